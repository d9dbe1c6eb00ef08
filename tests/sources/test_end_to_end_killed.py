"""A backfill that is killed repeatedly, run by the command line in its own processes."""

from __future__ import annotations

import random
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb
import pytest

from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.extract.pack import Pack
from pipelines.sandbox.emulator import Emulator, Hit
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.storage.fingerprint import fingerprint_table
from tests.sources.commands import leverhouse, real_now, start

MARKET: Final = AnalyticMarket()
BACKFILL: Final = ("backfill", "--from=2025-03-01", "--to=2025-03-30", "--feed=open_interest", "--assets=BTC,ETH")
KILLED_AFTER: Final = ((3, 30), (40, 60), (40, 60))
"""Number of open-interest requests after which a run is killed, out of 180 for thirty days of three instruments. The first run
is killed before any day is complete."""


@pytest.mark.slow
def test_a_backfill_killed_repeatedly_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    """Killed without cleanup. Days landed by then are complete and are not fetched again."""
    whole, killed = Settings(home=tmp_path / "whole"), Settings(home=tmp_path / "killed")
    random_source = random.Random(20250301)
    with Emulator(MARKET, ["bybit"], now=real_now, latency=0.05) as emulator:
        leverhouse(whole, emulator, *BACKFILL)
        landed: set[str] = set()
        for between in KILLED_AFTER:
            emulator.hits.clear()
            process = start(killed, emulator, *BACKFILL)
            threshold = random_source.randint(*between)
            while len(oi_requests(emulator.hits)) < threshold and process.poll() is None:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            assert not requested_days(emulator.hits) & landed
            landed = landed_days(killed)
        assert 0 < len(landed) < 30
        emulator.hits.clear()
        leverhouse(killed, emulator, *BACKFILL)
        assert requested_days(emulator.hits) == {f"2025-03-{day:02}" for day in range(1, 31)} - landed
    with (
        duckdb.connect(str(whole.database), read_only=True) as left,
        duckdb.connect(str(killed.database), read_only=True) as right,
    ):
        expected = fingerprint_table(left, "clean", "open_interest", exact_doubles=True)
        found = fingerprint_table(right, "clean", "open_interest", exact_doubles=True)
    assert expected.differences(found) == []


def oi_requests(hits: list[Hit]) -> list[Hit]:
    return [hit for hit in hits if "open-interest" in hit.where]


def requested_days(hits: list[Hit]) -> set[str]:
    """Days of the open-interest requests."""
    starts = [int(hit.params["startTime"]) - 1 for hit in oi_requests(hits)]
    return {f"{datetime(1970, 1, 1) + timedelta(milliseconds=start):%Y-%m-%d}" for start in starts}


def landed_days(settings: Settings) -> set[str]:
    """Landed days of open interest, each of which must be complete."""
    store = LandingStore(settings.root)
    landings = store.current("bybit.open_interest")
    assert list(store.verify(landings)) == []
    for landing in landings:
        pages = list(Pack(landing.path).pages())
        assert landing.completeness == "complete"
        assert {page.subject for page in pages} == {"BTCUSDT", "BTCUSD", "ETHUSDT"}
        states = [state for page in pages for state in page.json()["result"]["list"]]
        assert len(states) == 3 * 288
    return {landing.partition for landing in landings}
