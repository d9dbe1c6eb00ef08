"""A year of history, and a day of a large universe: over HTTP, through Dagster's jobs, to the clean tables, row by row."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.extract.landing import LandingStore
from pipelines.extract.pack import Pack
from pipelines.ingest import fetch
from pipelines.sandbox.emulator import Emulator, Hit
from pipelines.sandbox.venues import bybit as emulated
from pipelines.sandbox.world import FormulaWorld, Listing
from pipelines.settings import Settings
from pipelines.storage.fingerprint import fingerprint_table
from tests.sources.commands import leverhouse, real_now, start

WORLD: Final = FormulaWorld()
ASSETS: Final = ("BTC", "ETH", "PEPE")
YEAR: Final = (date(2025, 1, 1), date(2025, 12, 31))
MONTH: Final = (date(2025, 1, 1), date(2025, 1, 31))
DAY: Final = date(2025, 6, 1)

LARGE: Final = tuple(Listing("bybit", f"C{number:03}USDT", f"C{number:03}") for number in range(200))
"""A universe of two hundred perpetuals; their prices follow from their names."""


def bounds(days: tuple[date, date]) -> tuple[datetime, datetime]:
    first, last = (datetime(day.year, day.month, day.day) for day in days)
    return first, last + timedelta(days=1)


def clean(settings: Settings, query: str) -> pl.DataFrame:
    with duckdb.connect(str(settings.database), read_only=True) as con:
        return con.sql(query).pl()


def of_all(listings: list[Listing], rows: Callable[[Listing], pl.DataFrame]) -> pl.DataFrame:
    """The truth about several listings, as one table sorted by instrument and time."""
    return pl.concat(
        rows(x).select(pl.lit(x.instrument).alias("instrument"), pl.all())
        for x in sorted(listings, key=lambda x: x.instrument)
    )


def true_interest(listing: Listing, days: tuple[date, date]) -> pl.DataFrame:
    """States in (start, end], each in the one unit the venue says it in."""
    start, end = (moment + timedelta(minutes=5) for moment in bounds(days))
    inverse = listing.contract_type == "inverse"
    return WORLD.open_interest(listing, 5, start, end).select(
        "event_at",
        pl.lit(None, pl.Float64).alias("oi_base") if inverse else "oi_base",
        "oi_usd" if inverse else pl.lit(None, pl.Float64).alias("oi_usd"),
    )


def true_funding(listing: Listing, days: tuple[date, date]) -> pl.DataFrame:
    return WORLD.funding(listing, *bounds(days)).select("settled_at", "rate")


def true_ratios(listing: Listing, days: tuple[date, date]) -> pl.DataFrame:
    """Shares as Bybit prints them, with four decimals."""
    start, end = (moment + timedelta(hours=1) for moment in bounds(days))
    share = (pl.col("ratio") / (1 + pl.col("ratio"))).round(4).alias("long_share")
    return WORLD.ratios(listing, "account_global", 60, start, end).select("event_at", share)


def true_candles(listing: Listing, days: tuple[date, date]) -> pl.DataFrame:
    """In units of the instrument: one of 1000PEPE costs a thousand times as much and trades a thousandth as often."""
    many = listing.multiplier
    market = "spot" if listing.contract_type == "spot" else "perp"
    return WORLD.candles(listing, market, 60, *bounds(days)).select(
        pl.lit(market).alias("market"),
        "opened_at",
        *(pl.col(c) * many for c in ("open", "high", "low", "close")),
        pl.col("volume_base") / many,
        "volume_quote",
    )


INTEREST: Final = "select instrument, event_at, oi_base, oi_usd from clean.open_interest order by instrument, event_at"
FUNDING: Final = "select instrument, settled_at, rate from clean.funding_rates order by instrument, settled_at"
RATIOS: Final = "select instrument, event_at, long_share from clean.long_short_ratios order by instrument, event_at"
CANDLES: Final = (
    "select instrument, market, opened_at, open, high, low, close, volume_base, volume_quote from clean.candles "
    "order by instrument, opened_at"
)


def test_a_year_of_three_assets_is_what_the_market_did(settings: Settings) -> None:
    """Hours and settlements of a year, fetched by month by Dagster's job, which loads them with a month of five minutes that
    was landed before it."""
    hourly = [f"--feed={name}" for name in ("funding", "long_short_ratios", "candles")]
    with Emulator(WORLD, ["bybit"], now=real_now) as there:
        known = settings.model_copy(update={"endpoints": dict(there.endpoints)})
        fetch(known, "bybit", ["open_interest"], first=MONTH[0], last=MONTH[1], assets=ASSETS)
        days = (f"--from={YEAR[0]}", f"--to={YEAR[1]}")
        leverhouse(settings, there, "backfill", *days, *hourly, f"--assets={','.join(ASSETS)}")
    listed = [x for x in emulated.LISTINGS if x.asset in ASSETS]
    perpetuals = [x for x in listed if x.contract_type != "spot"]
    assert len(perpetuals) == 4
    assert_frame_equal(clean(settings, FUNDING), of_all(perpetuals, lambda x: true_funding(x, YEAR)))
    assert_frame_equal(clean(settings, RATIOS), of_all(perpetuals, lambda x: true_ratios(x, YEAR)))
    assert_frame_equal(clean(settings, CANDLES), of_all(listed, lambda x: true_candles(x, YEAR)))
    assert_frame_equal(clean(settings, INTEREST), of_all(perpetuals, lambda x: true_interest(x, MONTH)))
    assert clean(settings, "select * from ops.quarantine").is_empty()


def test_a_day_of_two_hundred_instruments_is_what_the_market_did(settings: Settings) -> None:
    listings = list(LARGE)
    assets = ",".join(x.asset for x in listings)
    with Emulator(WORLD, ["bybit"], now=real_now, routes={"bybit": emulated.routes(listings=LARGE)}) as there:
        leverhouse(settings, there, "backfill", f"--from={DAY}", f"--to={DAY}", f"--assets={assets}")
        assert there.most_in("bybit", 5.0) <= 600
    day = (DAY, DAY)
    assert_frame_equal(clean(settings, INTEREST), of_all(listings, lambda x: true_interest(x, day)))
    assert_frame_equal(clean(settings, FUNDING), of_all(listings, lambda x: true_funding(x, day)))
    assert_frame_equal(clean(settings, RATIOS), of_all(listings, lambda x: true_ratios(x, day)))
    assert_frame_equal(clean(settings, CANDLES), of_all(listings, lambda x: true_candles(x, day)))


BACKFILL: Final = ("backfill", "--from=2025-03-01", "--to=2025-03-30", "--feed=open_interest", "--assets=BTC,ETH")
KILLED_AFTER: Final = ((3, 30), (40, 60), (40, 60))
"""Questions about open interest after which a run is killed: of 180 for thirty days of three instruments, six days at once. The
first dies before any day is whole."""


@pytest.mark.slow
def test_a_backfill_killed_again_and_again_ends_like_one_that_was_let_alone(tmp_path: Path) -> None:
    """Killed without a chance to clean up. What was landed by then is whole, and is not asked for again."""
    whole, killed = Settings(home=tmp_path / "whole"), Settings(home=tmp_path / "killed")
    chance = random.Random(20250301)
    with Emulator(WORLD, ["bybit"], now=real_now, latency=0.05) as there:
        leverhouse(whole, there, *BACKFILL)
        held: set[str] = set()
        for between in KILLED_AFTER:
            there.hits.clear()
            process = start(killed, there, *BACKFILL)
            wanted = chance.randint(*between)
            while len(questions(there.hits)) < wanted and process.poll() is None:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            assert not asked_days(there.hits) & held
            held = landed_days(killed)
        assert 0 < len(held) < 30
        there.hits.clear()
        leverhouse(killed, there, *BACKFILL)
        assert asked_days(there.hits) == {f"2025-03-{day:02}" for day in range(1, 31)} - held
    with (
        duckdb.connect(str(whole.database), read_only=True) as left,
        duckdb.connect(str(killed.database), read_only=True) as right,
    ):
        expected = fingerprint_table(left, "clean", "open_interest", exact_doubles=True)
        found = fingerprint_table(right, "clean", "open_interest", exact_doubles=True)
    assert expected.differences(found) == []


def questions(hits: list[Hit]) -> list[Hit]:
    return [hit for hit in hits if "open-interest" in hit.where]


def asked_days(hits: list[Hit]) -> set[str]:
    """Days that questions about open interest were about."""
    starts = [int(hit.params["startTime"]) - 1 for hit in questions(hits)]
    return {f"{datetime(1970, 1, 1) + timedelta(milliseconds=start):%Y-%m-%d}" for start in starts}


def landed_days(settings: Settings) -> set[str]:
    """Days of open interest in the landing, each of which must be whole."""
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
