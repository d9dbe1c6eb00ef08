"""Fetching by commands and schedules: through Dagster jobs, over loopback HTTP, into the clean tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest

from pipelines.core.paths import environment
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.defs.assemble import build_definitions
from pipelines.defs.schedules import build_schedules
from pipelines.defs.venues import lookback
from pipelines.extract.landing import LandingStore
from pipelines.sandbox.emulator import Emulator, Fault
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sources import registry


def real_now() -> datetime:
    return datetime.now(tz=UTC).replace(tzinfo=None)


LAST_WEEK = (real_now() - timedelta(days=7)).date()


@pytest.fixture
def home(home: Settings, spare_parsing: Callable[[Settings], None]) -> Settings:
    spare_parsing(home)
    return home


@pytest.fixture
def bybit() -> Iterator[Emulator]:
    with Emulator(AnalyticMarket(), ["bybit"], now=real_now) as emulator:
        yield emulator


def leverhouse(settings: Settings, emulator: Emulator, *arguments: str) -> tuple[int, Any, str]:
    """Exit code, JSON and messages of a command run against emulated venues."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("LEVERHOUSE_", "DAGSTER_", "DBT_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments, "--json"],
        cwd=PROJECT_ROOT,
        env=variables
        | {
            "LEVERHOUSE_HOME": str(settings.root),
            "LEVERHOUSE_ENDPOINTS": json.dumps(emulator.endpoints),
            "LEVERHOUSE_VENUES": "bybit",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def count(settings: Settings, query: str) -> int:
    with duckdb.connect(str(settings.database), read_only=True) as con:
        row = con.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def test_a_backfill_fetches_and_loads_a_range_of_days_and_a_second_one_requests_nothing(
    home: Settings, bybit: Emulator
) -> None:
    days = ("--from", str(LAST_WEEK), "--to", str(LAST_WEEK + timedelta(days=1)))
    code, report, messages = leverhouse(home, bybit, "backfill", "bybit", *days, "--assets", "BTC,ETH")
    assert code == 0, messages
    assert [run["job"] for run in report["runs"]] == ["fetch_bybit", "load"]
    # Three instruments (BTCUSDT, BTCUSD, ETHUSDT), two days, 288 states each.
    assert count(home, "select count(*) from clean.open_interest") == 3 * 2 * 288
    requests = len(bybit.hits)
    code, again, messages = leverhouse(home, bybit, "backfill", "bybit", *days, "--assets", "BTC,ETH")
    assert code == 0, messages
    assert again["landed"]["bybit.open_interest"]["new"] == 0
    assert len(bybit.hits) == requests


def test_a_failed_feed_fails_its_run_and_the_others_are_loaded(home: Settings) -> None:
    refused = Fault("open-interest", "status", times=10_000, status=400, body=b'{"retCode":10001}')
    with Emulator(AnalyticMarket(), ["bybit"], now=real_now, faults=[refused]) as emulator:
        code, report, messages = leverhouse(
            home, emulator, "backfill", "--from", str(LAST_WEEK), "--to", str(LAST_WEEK), "--assets", "BTC"
        )
    assert code == 76, messages
    assert [(run["job"], run["succeeded"]) for run in report["runs"]] == [("fetch_bybit", False), ("load", True)]
    assert "open-interest" in report["runs"][0]["error"]
    assert count(home, "select count(*) from clean.funding_rates") == 2 * 3


def test_a_scheduled_run_fetches_as_far_back_as_days_may_change(home: Settings, parsed: Path, bybit: Emulator) -> None:
    settings = home.model_copy(update={"endpoints": dict(bybit.endpoints), "assets": ("BTC",)})
    definitions = build_definitions(settings, manifest=parsed)
    with environment(DAGSTER_HOME=""), dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("fetch_bybit").execute_in_process(
            instance=instance, partition_key=str(LAST_WEEK)
        )
    assert result.success
    partitions = {landing.partition for landing in LandingStore(settings.root).all("bybit.open_interest")}
    daily = [feed for feed in registry.venue("bybit").feeds if feed.cadence.name == "daily"]
    assert partitions == {str(LAST_WEEK - timedelta(days=back)) for back in range(lookback(daily).days + 1)}


def test_the_daily_schedule_requests_yesterday() -> None:
    [daily, *_] = build_schedules([registry.venue("bybit")])
    request = daily(dg.build_schedule_context(scheduled_execution_time=datetime(2024, 3, 10, 3, 30, tzinfo=UTC)))
    assert isinstance(request, dg.RunRequest)
    assert request.partition_key == "2024-03-09"
