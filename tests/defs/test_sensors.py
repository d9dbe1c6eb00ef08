"""The inbox sensor, and the sensors that start load and build."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest

from pipelines.core.settings import Settings
from pipelines.defs import landed
from pipelines.defs.common import KIND_TAG
from pipelines.defs.sensors import (
    BUILD_SECONDS,
    LOAD_AGAIN_SECONDS,
    LOAD_SECONDS,
    RunTimes,
    build_is_due,
    build_sensors,
    load_is_due,
)
from pipelines.extract.landing import LandingStore
from pipelines.operations import alert_channels
from pipelines.operations.datasets import Dataset

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
    datasets = [
        Dataset(name=name, mapping=home.mappings_dir / f"{name}.toml", required=("*.csv",))
        for name in ("example", "other")
    ]
    return build_sensors(home, datasets, ["candles"], now=lambda: NOW)[0]


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
    ("landed", "loaded", "tried", "loads", "due"),
    [
        (None, None, None, [], False),
        ("b", None, None, [], True),
        ("b", "b", None, [], False),
        ("b", "a", "a", [IN_PROGRESS], False),
        ("b", "a", "a", [ended("x", NOW - LOAD_SECONDS + 1, NOW - 1)], False),
        ("b", "a", "a", [ended("x", NOW - LOAD_SECONDS, NOW - 1)], True),
        ("b", "a", "b", [ended("x", NOW - LOAD_AGAIN_SECONDS + 1, NOW - 800)], False),
        ("b", "a", "b", [ended("x", NOW - LOAD_AGAIN_SECONDS, NOW - 800)], True),
        ("b", "a", "a", [ended("x", NOW + 3600, NOW + 3601)], True),
    ],
    ids=[
        "nothing was ever landed",
        "the first landing",
        "all is loaded",
        "a load goes on",
        "a load began less than a minute ago",
        "a load began a minute ago",
        "these landings were tried minutes ago",
        "these landings were tried a quarter of an hour ago",
        "the clock was set back",
    ],
)
def test_a_load_is_due_for_what_was_landed_at_most_once_a_minute(
    landed: str | None, loaded: str | None, tried: str | None, loads: list[RunTimes], due: bool
) -> None:
    assert load_is_due(landed=landed, loaded=loaded, tried=tried, loads=loads, now=NOW) is due


LONG_AGO = NOW - BUILD_SECONDS


@pytest.mark.parametrize(
    ("ingests", "builds", "fetching", "due"),
    [
        ([], [], False, None),
        ([ended("a", 1, 2)], [], False, "a"),
        ([ended("a", 1, 2), ended("b", 1, 3)], [], False, "b"),
        ([ended("a", 1, 2)], [ended("x", 3, 4)], False, None),
        ([ended("a", 1, 5)], [ended("x", 3, 4)], False, "a"),
        ([ended("a", 1, 5)], [IN_PROGRESS], False, None),
        ([ended("a", 1, LONG_AGO + 1)], [], True, None),
        ([ended("a", 1, LONG_AGO + 1), IN_PROGRESS], [], False, None),
        ([ended("a", 1, LONG_AGO), ended("b", 1, NOW - 1)], [], True, "b"),
        ([ended("a", 1, LONG_AGO), IN_PROGRESS], [], True, "a"),
        ([ended("a", 1, LONG_AGO), ended("b", 1, NOW - 1)], [ended("x", LONG_AGO + 1, NOW - 2)], True, None),
    ],
    ids=[
        "nothing was ingested",
        "an ingest ended and nothing was built",
        "several ingests share one build",
        "a build began after the ingest",
        "the build began before the ingest ended",
        "a build goes on",
        "a fetch goes on",
        "another ingest goes on",
        "a fetch goes on for long",
        "a fetch and an ingest go on for long",
        "the oldest was built meanwhile",
    ],
)
def test_a_build_waits_for_what_goes_on_but_not_for_long(
    ingests: list[RunTimes], builds: list[RunTimes], fetching: bool, due: str | None
) -> None:
    assert build_is_due(ingests=ingests, builds=builds, fetching=fetching, now=NOW) == due


def test_a_landing_starts_one_load_while_a_fetch_goes_on(home: Settings, tmp_path: Path) -> None:
    sensor = build_sensors(home, [], [])[1]
    store = LandingStore(home.root)
    path = tmp_path / "a.csv"
    path.write_text("day,close\n")
    with dg.DagsterInstance.ephemeral() as instance:
        early = sensor(dg.build_sensor_context(instance=instance))
        fetch = dg.DagsterRun(job_name="fetch_bybit", status=dg.DagsterRunStatus.STARTED, tags={KIND_TAG: "fetch"})
        instance.add_run(fetch)
        store.land_file(path, source="files.example", partition="all", part="a.csv", request={})
        after = sensor(dg.build_sensor_context(instance=instance))
        store.tokens.note_loaded(store.tokens.landed())
        loaded = sensor(dg.build_sensor_context(instance=instance))
    assert isinstance(early, dg.SkipReason)
    assert isinstance(after, dg.SensorResult)
    assert len(after.run_requests or []) == 1
    assert isinstance(loaded, dg.SkipReason)


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_build_starts_after_successful_and_failed_loads(home: Settings, succeeds: bool) -> None:
    @dg.op
    def work() -> None:
        if not succeeds:
            raise dg.Failure("a source is damaged", allow_retries=False)

    @dg.job(name="load")
    def job() -> None:
        work()

    sensor = build_sensors(home, [], [])[2]
    with dg.DagsterInstance.ephemeral() as instance:
        early = sensor(dg.build_sensor_context(instance=instance))
        run = job.execute_in_process(instance=instance, raise_on_error=False)
        after = sensor(dg.build_sensor_context(instance=instance))
    assert isinstance(early, dg.SkipReason)
    assert isinstance(after, dg.RunRequest)
    assert after.run_key == f"after-{run.run_id}"


def test_a_build_waits_for_a_fetch_that_goes_on(home: Settings) -> None:
    @dg.job(name="load")
    def job() -> None:
        pass

    sensor = build_sensors(home, [], [])[2]
    with dg.DagsterInstance.ephemeral() as instance:
        job.execute_in_process(instance=instance)
        capture = dg.DagsterRun(
            job_name="capture_bybit", status=dg.DagsterRunStatus.STARTED, tags={KIND_TAG: "capture"}
        )
        instance.add_run(capture)
        assert isinstance(sensor(dg.build_sensor_context(instance=instance)), dg.SkipReason)


def test_a_job_whose_newest_run_failed_is_told_of(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = ["a source is damaged", None]

    @dg.op
    def work() -> None:
        fault = faults.pop(0)
        if fault:
            raise dg.Failure(fault, allow_retries=False)

    @dg.job(name="load")
    def job() -> None:
        work()

    told: list[list[str]] = []
    monkeypatch.setenv("LEVERHOUSE_ALERT_WEBHOOK", "http://127.0.0.1:9/")
    monkeypatch.setattr(
        alert_channels, "webhook", lambda _: lambda messages: told.append([message.line for message in messages])
    )
    home.root.mkdir(parents=True)
    sensor = build_sensors(home, [], [])[3]
    with dg.DagsterInstance.ephemeral() as instance:
        run = job.execute_in_process(instance=instance, raise_on_error=False)
        for _ in range(2):
            sensor(dg.build_sensor_context(instance=instance))
        job.execute_in_process(instance=instance)
        sensor(dg.build_sensor_context(instance=instance))
    failed = f"run failed load: a source is damaged (run {run.run_id})."
    assert told == [
        [f"{failed} Next: leverhouse doctor, then the run's page."],
        [f"closed: {failed}"],
    ]
    assert 'leverhouse_runs{job="load",status="failure"} 1' in (home.root / "metrics.prom").read_text()


def test_the_sensor_of_states_reads_the_landing_again_only_once_it_or_the_time_has_changed(
    home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    moment = [datetime(2024, 5, 1, 10, 30)]

    def note(*_: object, venues: object, **__: object) -> list[str]:
        asked.append(venues)
        return []

    monkeypatch.setattr(landed, "report_states", note)
    sensor = landed.build_landing_sensor(home, [], clock=lambda: moment[0])
    evaluate(sensor)
    evaluate(sensor)
    problems = home.raw_dir / "_problems" / "okx" / "2024-05-01.jsonl"
    problems.parent.mkdir(parents=True)
    problems.write_text("{}\n", encoding="utf-8")
    evaluate(sensor)
    moment[0] = datetime(2024, 5, 1, 10, 59)
    evaluate(sensor)
    moment[0] = datetime(2024, 5, 1, 11, 0)
    evaluate(sensor)
    assert asked[:3] == [None, (), None], "the first time, nothing new, a line of the journal"
    assert asked[-1] is None, "an hour in which captures are due has ended"
