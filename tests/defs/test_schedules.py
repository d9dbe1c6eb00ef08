"""The inbox sensor, and the sensors that start load and build."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from pipelines.core.settings import Settings
from pipelines.defs.schedules import RunTimes, build_sensors, run_is_due
from pipelines.operations.datasets import Dataset
from pipelines.sources import registry

NOW = 1_700_000_000.0


@pytest.fixture
def add_file(home: Settings) -> Callable[[str, float], Path]:
    """Put a file into the inbox that was last written `age` seconds ago."""

    def write_file(name: str, age: float = 60) -> Path:
        path = home.inbox_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("day,close\n", encoding="utf-8")
        os.utime(path, (NOW - age, NOW - age))
        return path

    return write_file


@pytest.fixture
def inbox(home: Settings) -> dg.SensorDefinition:
    datasets = [Dataset(name=name, mapping=home.mappings_dir / f"{name}.toml") for name in ("example", "other")]
    return build_sensors(home, datasets, ["candles"], [], now=lambda: NOW)[0]


def evaluate(sensor: dg.SensorDefinition, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    with dg.DagsterInstance.ephemeral() as instance:
        result = sensor(dg.build_sensor_context(instance=instance, cursor=cursor))
    assert isinstance(result, dg.SensorResult | dg.SkipReason)
    return result


def requests(result: dg.SensorResult | dg.SkipReason) -> list[dg.RunRequest]:
    assert isinstance(result, dg.SensorResult)
    return list(result.run_requests or [])


def test_an_empty_inbox_requests_no_run(inbox: dg.SensorDefinition) -> None:
    assert isinstance(evaluate(inbox), dg.SkipReason)


def test_a_new_file_is_landed_and_loaded(inbox: dg.SensorDefinition, add_file: Callable[..., Path]) -> None:
    path = add_file("example/a.csv")
    [request] = requests(evaluate(inbox))
    assert request.run_config["ops"]["raw__files__example"]["config"]["files"] == [str(path)]
    assert {key.to_user_string() for key in request.asset_selection or []} == {
        "raw/files/example",
        "clean/candles",
        "clean/ledger",
    }


def test_each_data_set_gets_its_own_run(inbox: dg.SensorDefinition, add_file: Callable[..., Path]) -> None:
    add_file("example/a.csv")
    add_file("other/b.csv")
    assert [r.tags["leverhouse/dataset"] for r in requests(evaluate(inbox))] == ["example", "other"]


def test_a_file_that_is_still_being_written_waits(inbox: dg.SensorDefinition, add_file: Callable[..., Path]) -> None:
    add_file("example/a.csv", age=5)
    assert isinstance(evaluate(inbox), dg.SkipReason)


def test_hidden_files_are_skipped(inbox: dg.SensorDefinition, add_file: Callable[..., Path]) -> None:
    add_file("example/.a.csv.part")
    add_file("example/.tmp/a.csv")
    assert isinstance(evaluate(inbox), dg.SkipReason)


def test_a_file_is_requested_once(inbox: dg.SensorDefinition, add_file: Callable[..., Path]) -> None:
    add_file("example/a.csv")
    first = evaluate(inbox)
    assert isinstance(first, dg.SensorResult)
    assert isinstance(evaluate(inbox, first.cursor), dg.SkipReason)


def test_only_a_changed_file_is_requested_again(inbox: dg.SensorDefinition, add_file: Callable[..., Path]) -> None:
    add_file("example/a.csv")
    changed = add_file("example/b.csv")
    first = evaluate(inbox)
    assert isinstance(first, dg.SensorResult)
    os.utime(changed, (NOW - 30, NOW - 30))
    [again] = requests(evaluate(inbox, first.cursor))
    assert again.run_config["ops"]["raw__files__example"]["config"]["files"] == [str(changed)]
    assert again.run_key != requests(first)[0].run_key


def test_a_lost_cursor_does_not_start_the_same_run_twice(
    inbox: dg.SensorDefinition, add_file: Callable[..., Path]
) -> None:
    add_file("example/a.csv")
    assert requests(evaluate(inbox))[0].run_key == requests(evaluate(inbox))[0].run_key


def test_the_cursor_contains_only_existing_files(inbox: dg.SensorDefinition, add_file: Callable[..., Path]) -> None:
    gone = add_file("example/a.csv")
    first = evaluate(inbox)
    assert isinstance(first, dg.SensorResult)
    gone.unlink()
    stays = add_file("example/b.csv")
    second = evaluate(inbox, first.cursor)
    assert isinstance(second, dg.SensorResult)
    assert list(json.loads(second.cursor or "{}")) == [str(stays)]


def ended(run_id: str, started: float, at: float) -> RunTimes:
    return RunTimes(run_id=run_id, started=started, ended=at)


IN_PROGRESS = RunTimes(run_id="going", started=10.0, ended=None)


@pytest.mark.parametrize(
    ("ingests", "builds", "due"),
    [
        ([], [], None),
        ([ended("a", 1, 2)], [], "a"),
        ([ended("a", 1, 2), ended("b", 1, 3)], [], "b"),
        ([ended("a", 1, 2)], [ended("x", 3, 4)], None),
        ([ended("a", 1, 5)], [ended("x", 3, 4)], "a"),
        ([ended("a", 1, 2), IN_PROGRESS], [], None),
        ([ended("a", 1, 2)], [IN_PROGRESS], None),
    ],
    ids=[
        "nothing was ingested",
        "an ingest ended and nothing was built",
        "several ingests share one build",
        "a build began after the ingest",
        "the build began before the ingest ended",
        "another ingest goes on",
        "a build goes on",
    ],
)
def test_a_run_is_due_when_all_ingestion_has_ended(
    ingests: list[RunTimes], builds: list[RunTimes], due: str | None
) -> None:
    assert run_is_due(ingests, builds) == due


@pytest.mark.parametrize("succeeds", [True, False])
@pytest.mark.parametrize(("sensor", "before"), [(1, "capture_bybit"), (2, "ingest_files")], ids=["load", "build"])
def test_load_and_build_start_after_successful_and_failed_runs(
    home: Settings, sensor: int, before: str, succeeds: bool
) -> None:
    @dg.op
    def work() -> None:
        if not succeeds:
            raise dg.Failure("the source is down", allow_retries=False)

    @dg.job(name=before)
    def job() -> None:
        work()

    sensor_under_test = build_sensors(home, [], [], [registry.venue("bybit")])[sensor]
    with dg.DagsterInstance.ephemeral() as instance:
        early = sensor_under_test(dg.build_sensor_context(instance=instance))
        run = job.execute_in_process(instance=instance, raise_on_error=False)
        after = sensor_under_test(dg.build_sensor_context(instance=instance))
    assert isinstance(early, dg.SkipReason)
    assert isinstance(after, dg.RunRequest)
    assert after.run_key == f"after-{run.run_id}"
