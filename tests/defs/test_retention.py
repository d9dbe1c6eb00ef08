"""Old runs leave nothing behind: rows, event files, captured output, check results, leases; young and newest ones stay whole."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from pipelines.core.lease import Leases
from pipelines.core.paths import environment, prepare_home
from pipelines.core.settings import Settings
from pipelines.defs.retention import forget_old_runs
from pipelines.operations.sizes import growth_per_day, record_sizes, recorded_sizes, size_lines

NOW = datetime(2026, 12, 1, 2, 15)


@dg.asset
def measured() -> dg.MaterializeResult:  # type: ignore[type-arg]
    return dg.MaterializeResult(metadata={"text": "x" * 40_000})


@dg.asset_check(asset=measured)
def passes() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("served"))
    prepare_home(settings)
    return settings


@pytest.fixture(scope="module")
def instance(served: Settings) -> Iterator[dg.DagsterInstance]:
    with environment(DAGSTER_HOME=str(served.dagster_home)), dg.DagsterInstance.get() as instance:
        yield instance


@pytest.fixture(scope="module")
def runs(served: Settings, instance: dg.DagsterInstance) -> list[str]:
    """Runs of 20, 18, 16 and 2 days ago, oldest first, after a pass; the third is unfinished, and a stranger's file is old."""
    definitions = dg.Definitions(assets=[measured], asset_checks=[passes])
    job = definitions.resolve_implicit_global_asset_job_def()
    made = [job.execute_in_process(instance=instance).run_id for _ in range(4)]
    statement = "update runs set create_timestamp = ? where run_id = ?"
    with sqlite3.connect(served.dagster_home / "history" / "runs.db") as connection:
        for run_id, days in zip(made, (20, 18, 16, 2), strict=True):
            connection.execute(statement, [(NOW - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f"), run_id])
        connection.execute("update runs set status = 'STARTED' where run_id = ?", [made[2]])
    for run_id in (*made, "stranger"):
        folder = served.dagster_home / "storage" / run_id / "compute_logs"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "step.out").write_text("printed")
        Leases.of(served).declare_lost(run_id)
    stranger = event_file(served, "stranger")
    stranger.write_bytes(event_file(served, made[0]).read_bytes())
    os.utime(stranger, (0, 0))
    return made


@pytest.fixture(scope="module")
def removed(served: Settings, instance: dg.DagsterInstance, runs: list[str]) -> dict[str, object]:
    before = (served.dagster_home / "history" / "runs" / "index.db").stat().st_size
    forgotten = forget_old_runs(instance, served, now=NOW)
    after = (served.dagster_home / "history" / "runs" / "index.db").stat().st_size
    return {"forgotten": forgotten, "before": before, "after": after, "runs": runs}


def event_file(settings: Settings, run_id: str) -> Path:
    return settings.dagster_home / "history" / "runs" / f"{run_id}.db"


def test_finished_old_runs_are_gone_with_their_files(
    served: Settings, instance: dg.DagsterInstance, runs: list[str], removed: dict[str, object]
) -> None:
    assert sorted(instance.get_run_ids()) == sorted(runs[2:])
    for run_id, is_kept in zip((*runs, "stranger"), (False, False, True, True, False), strict=True):
        assert event_file(served, run_id).exists() is is_kept
        assert (served.dagster_home / "storage" / run_id).exists() is is_kept
    assert {run_id for run_id in runs if Leases.of(served).is_lost(run_id)} == {runs[2]}


def test_the_result_of_a_check_is_still_shown(
    instance: dg.DagsterInstance, runs: list[str], removed: dict[str, object]
) -> None:
    history = instance.event_log_storage.get_asset_check_execution_history(passes.check_key, limit=10)
    assert {one.run_id for one in history} == {*runs[2:]}


def test_events_of_young_runs_stay(instance: dg.DagsterInstance, runs: list[str], removed: dict[str, object]) -> None:
    assert instance.get_latest_materialization_event(measured.key) is not None
    assert len(instance.all_logs(runs[3])) > 5


def test_the_files_shrink(removed: dict[str, object]) -> None:
    assert isinstance(removed["before"], int)
    assert isinstance(removed["after"], int)
    assert removed["after"] < removed["before"]


def test_the_newest_run_of_a_job_stays_however_old(
    served: Settings, instance: dg.DagsterInstance, runs: list[str], removed: dict[str, object]
) -> None:
    forget_old_runs(instance, served, now=NOW + timedelta(days=365))
    assert sorted(instance.get_run_ids()) == sorted(runs[2:]), "unfinished, and the newest"


def test_sizes_are_kept_once_a_day_and_give_the_growth(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    prepare_home(settings)
    (tmp_path / "raw").mkdir(exist_ok=True)
    for day, size in ((1, 100), (1, 200), (3, 1_200)):
        (tmp_path / "raw" / "pack").write_bytes(b"x" * size)
        record_sizes(settings, datetime(2026, 12, day))
    first, last = recorded_sizes(settings)
    assert (first.parts["landing"], last.parts["landing"]) == (200, 1_200)
    assert growth_per_day(first, last)["landing"] == 500
    assert growth_per_day(last, last) == {}
    [line] = [line for line in size_lines(settings, datetime(2026, 12, 5)) if line.startswith("landing")]
    assert line == "landing 0.0 MB (+0.0 MB a day)"


def test_times_of_runs_are_utc(instance: dg.DagsterInstance, runs: list[str], removed: dict[str, object]) -> None:
    record = instance.get_run_record_by_id(runs[3])
    assert record is not None
    assert record.create_timestamp.replace(tzinfo=UTC) == (NOW - timedelta(days=2)).replace(tzinfo=UTC)
