"""`leverhouse record` end to end: from an emulated websocket over loopback into the clean table, killed or not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.extract.landing import LandingStore
from pipelines.operations.record import record
from pipelines.recorder.segment import folder_of
from pipelines.sandbox.emulator import Emulator
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.stream_server import StreamFault
from tests.recorder.recorder_fixture import every, load, query, real_now


def start(settings: Settings, emulator: Emulator, *arguments: str) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEVERHOUSE_", "DAGSTER_", "DBT_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "record", *arguments],
        cwd=PROJECT_ROOT,
        env=kept | {"LEVERHOUSE_HOME": str(settings.root), "LEVERHOUSE_ENDPOINTS": json.dumps(emulator.endpoints)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_frames(emulator: Emulator, count: int) -> None:
    until = time.monotonic() + 60
    while len(emulator.streams.sent) < count:
        assert time.monotonic() < until, "nothing was sent"
        time.sleep(0.05)


def test_frames_become_clean_rows(settings: Settings) -> None:
    with Emulator(AnalyticMarket(), ["bybit"], now=real_now, stream_events=every(0.5)) as emulator:
        process = start(settings, emulator, "bybit", "--for", "4s")
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        sent = list(emulator.streams.sent)
    assert "recorded bybit.liquidation_stream" in output
    load(settings)
    rows = query(settings, "select * from clean.liquidations where source = 'bybit.liquidation_stream'")
    assert rows.height == len(sent) > 20
    assert set(rows["side"]) == {"long", "short"}
    assert (rows["available_at"] >= rows["occurred_at"]).all()
    inverse = rows.filter(pl.col("instrument") == "BTCUSD")
    assert inverse.height
    assert inverse["notional_usd"].round(6).to_list() == (inverse["quantity_base"] * 100).round(6).to_list()
    assert not list(folder_of(settings.root, "bybit.liquidation_stream").glob("*.segment"))


@pytest.mark.slow
def test_a_killed_recorder_loses_at_most_its_last_second(settings: Settings) -> None:
    source = "bybit.liquidation_stream"
    with Emulator(AnalyticMarket(), ["bybit"], now=real_now, stream_events=every(0.25)) as emulator:
        process = start(settings, emulator, "bybit")
        wait_for_frames(emulator, 100)
        os.kill(process.pid, signal.SIGKILL)
        killed = real_now()
        process.communicate(timeout=60)
        sent = list(emulator.streams.sent)
        left = list(folder_of(settings.root, source).glob("*.segment"))
        assert len(left) == 1
        cut_off(left[0])
        process = start(settings, emulator, "bybit", "--for", "1s")
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert LandingStore(settings.root).all(source)
    load(settings)
    rows = query(settings, f"select instrument, occurred_at from clean.liquidations where source = '{source}'")
    landed = set(rows.iter_rows())
    safe = {(x.event.listing.instrument, x.event.at) for x in sent if x.at < killed - timedelta(seconds=1.2)}
    assert safe and safe <= landed


def cut_off(path: Path) -> None:
    """A power cut in the middle of a line."""
    with path.open("ab") as file:
        file.write(b'0badc0de c1 1700000000000000 1 1 T {"topic":"all')


def test_what_was_listened_to_is_known(settings: Settings) -> None:
    faults = (StreamFault("bybit", "topic_refused", topic="DOGEUSDT", times=9),)
    with Emulator(
        AnalyticMarket(), ["bybit"], now=real_now, stream_events=every(3600), stream_faults=faults
    ) as emulator:
        served = settings.model_copy(update={"endpoints": dict(emulator.endpoints)})
        assert [one.error for one in record(served, ["bybit"], seconds=3.0)] == [None]
    load(settings)
    heard = query(settings, "select * from ops.listening order by instrument")
    by_name = {row["instrument"]: row for row in heard.iter_rows(named=True)}
    assert 1 < by_name["BTCUSDT"]["listened_seconds"] < 60
    assert by_name["DOGEUSDT"]["listened_seconds"] == 0
    assert "handler not found" in by_name["DOGEUSDT"]["refused"]
    # A quiet day that was hardly heard is no day without liquidations.
    coverage = query(
        settings, "select status, reason, detail from ops.coverage where source = 'bybit.liquidation_stream'"
    )
    assert set(coverage["reason"]) == {"not heard (recorder)"}
    assert set(coverage["status"]) <= {"missing", "partial"}
    assert coverage["detail"][0].startswith("listened ")
