"""Fetching by commands and schedules: through Dagster jobs, over loopback HTTP, into the clean tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.partition_status_cache import AssetPartitionStatus

from pipelines.core.paths import environment
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.defs.assemble import build_definitions
from pipelines.defs.landed import LANDED, report_states
from pipelines.defs.partitions import first_days
from pipelines.defs.schedules import build_schedules
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


class Lab:
    """A home with Dagster's storage, an emulated venue, and a clock that the test moves."""

    def __init__(self, settings: Settings, parsed: Path, emulator: Emulator, instance: dg.DagsterInstance) -> None:
        self.now = NIGHT
        self.settings = settings.model_copy(update={"endpoints": dict(emulator.endpoints), "assets": ("BTC",)})
        self.emulator, self.instance = emulator, instance
        self.definitions = build_definitions(self.settings, manifest=parsed, clock=lambda: self.now)

    def run(self, job: str = "fetch_bybit", step: str = "bybit_days", **config: Any) -> dg.ExecuteInProcessResult:
        run_config = {"ops": {step: {"config": {"feeds": ["open_interest"], **config}}}}
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, run_config=run_config, raise_on_error=False
        )

    def landed(self) -> set[str]:
        return {landing.partition for landing in LandingStore(self.settings.root).all("bybit.open_interest")}

    def days(self, color: str) -> set[str]:
        graph = self.definitions.resolve_asset_graph()
        definition = graph.get(OI_KEY).partitions_def
        assert definition is not None
        status = self.instance.get_status_by_partition(OI_KEY, definition.get_partition_keys()[-40:], definition)
        assert status is not None
        wanted = {"green": AssetPartitionStatus.MATERIALIZED, "red": AssetPartitionStatus.FAILED}[color]
        return {day for day, found in status.items() if found == wanted}


NIGHT = real_now().replace(hour=3, minute=30, second=0, microsecond=0)
OI_KEY = dg.AssetKey(["raw", "bybit", "open_interest"])


def nights_before(count: int) -> str:
    """The day that the night `count` nights before NIGHT fetches."""
    return f"{NIGHT.date() - timedelta(days=count + 1)}"


@pytest.fixture
def lab(home: Settings, parsed: Path) -> Iterator[Lab]:
    with (
        environment(DAGSTER_HOME=""),
        dg.DagsterInstance.ephemeral() as instance,
        Emulator(AnalyticMarket(), ["bybit"], now=lambda: made.now) as emulator,
    ):
        made = Lab(home, parsed, emulator, instance)
        yield made


def test_a_scheduled_run_lands_what_is_due_however_long_ago(lab: Lab) -> None:
    """Two nights, one of which fails, five days without a run, and a good night: no day is missing."""
    lab.now = NIGHT - timedelta(days=7)
    assert lab.run().success
    lab.now += timedelta(days=1)
    lab.emulator.faults[:] = [Fault("open-interest", "status", times=10_000, status=400, body=b'{"retCode":10001}')]
    assert not lab.run().success
    assert (lab.days("green"), lab.days("red")) == ({nights_before(7)}, {nights_before(6)})
    lab.emulator.faults.clear()
    lab.now = NIGHT
    assert lab.run().success
    every = {nights_before(count) for count in range(8)}
    assert lab.landed() == every
    assert (lab.days("green"), lab.days("red")) == (every, set())


def test_days_that_a_command_lands_are_green_and_those_that_fail_red(lab: Lab) -> None:
    days = {"first": nights_before(3), "last": nights_before(2)}
    assert lab.run(**days).success
    lab.emulator.faults[:] = [Fault("open-interest", "status", times=10_000, status=400, body=b'{"retCode":10001}')]
    assert not lab.run(first=nights_before(1)).success
    assert (lab.days("green"), lab.days("red")) == (set(days.values()), {nights_before(1)})


def test_a_day_picked_in_the_ui_is_green_only_if_it_is_landed(lab: Lab) -> None:
    asset = lab.definitions.get_assets_def(OI_KEY)
    done = dg.materialize([asset], instance=lab.instance, partition_key=nights_before(3))
    assert done.success
    lab.emulator.faults[:] = [Fault("open-interest", "status", times=10_000, status=400, body=b'{"retCode":10001}')]
    failed = dg.materialize([asset], instance=lab.instance, partition_key=nights_before(2), raise_on_error=False)
    assert not failed.success
    assert (lab.days("green"), lab.days("red")) == ({nights_before(3)}, {nights_before(2)})


def test_a_failed_capture_materializes_nothing(lab: Lab) -> None:
    lab.emulator.faults[:] = [Fault("tickers", "status", times=10_000, status=400, body=b'{"retCode":10001}')]
    chain = dg.AssetKey(["raw", "bybit", "option_chain"])
    assert not lab.run("capture_bybit", "bybit_captures", feeds=["option_chain"]).success
    assert lab.instance.get_latest_materialization_event(chain) is None
    lab.emulator.faults.clear()
    assert lab.run("capture_bybit", "bybit_captures", feeds=["option_chain"]).success
    assert lab.instance.get_latest_materialization_event(chain) is not None


def freshness(instance: dg.DagsterInstance, key: dg.AssetKey) -> str:
    state = instance.get_asset_records([key])
    assert state
    entry = instance.event_log_storage.get_freshness_state_records([key])[key]
    return entry.freshness_state.value


def test_a_feed_is_fresh_while_nothing_is_due_whatever_was_materialized(lab: Lab) -> None:
    check = dg.AssetCheckKey(OI_KEY, LANDED)
    lab.now = NIGHT - timedelta(days=3)
    assert lab.run().success
    assert freshness(lab.instance, OI_KEY) == "PASS"
    lab.now += timedelta(days=1)
    assert report_states(lab.instance, lab.settings, now=lab.now) == []
    lab.emulator.faults[:] = [Fault("open-interest", "status", times=10_000, status=400, body=b'{"retCode":10001}')]
    assert not lab.run().success
    assert freshness(lab.instance, OI_KEY) == "FAIL"
    [record] = lab.instance.event_log_storage.get_asset_check_execution_history(check, limit=1)
    assert record.status == AssetCheckExecutionRecordStatus.FAILED
    lab.emulator.faults.clear()
    # A backfill of old days makes nothing fresh.
    assert lab.run(first=nights_before(9)).success
    assert freshness(lab.instance, OI_KEY) == "FAIL"
    assert lab.run().success
    assert freshness(lab.instance, OI_KEY) == "PASS"
    # Nobody runs for two days: the sensor sees it.
    lab.now += timedelta(days=2)
    assert "bybit.open_interest" in report_states(lab.instance, lab.settings, now=lab.now)
    assert freshness(lab.instance, OI_KEY) == "FAIL"


def test_what_is_built_daily_is_judged_by_its_age(lab: Lab) -> None:
    key = dg.AssetKey(["clean", "candles"])
    lab.instance.report_runless_asset_event(dg.AssetMaterialization(key))
    assert report_states(lab.instance, lab.settings, now=lab.now, built=[key]) == ["clean/candles"]
    assert freshness(lab.instance, key) == "PASS"


def test_the_schedule_starts_a_run_without_partitions() -> None:
    [daily, *_] = build_schedules([registry.venue("bybit")])
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2024, 3, 10, 3, 30, tzinfo=UTC))
    [request] = daily.evaluate_tick(context).run_requests or []
    assert request.partition_key is None


def test_the_first_partition_of_a_feed_is_frozen_in_the_home(home: Settings) -> None:
    venue = registry.venue("binance")
    home.dagster_home.mkdir(parents=True)
    first = first_days(home, [venue], today=date(2024, 3, 10))
    assert first["binance.open_interest"] == date(2024, 3, 10) - timedelta(days=29)
    assert first["binance.candles"] == venue.feed("candles").retention.since
    assert first_days(home, [venue], today=date(2025, 3, 10)) == first
