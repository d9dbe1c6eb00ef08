"""The service is killed with all of its processes while runs go on: the next start heals by itself, within two minutes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import dagster as dg
import pytest

from pipelines.core.lease import Leases, boot_id, hold
from pipelines.core.paths import environment, prepare_home
from pipelines.core.settings import Settings
from pipelines.defs.common import KIND_TAG
from pipelines.operations.load import import_files
from tests.e2e.example_history import MAPPING, write_history
from tests.service.service_fixture import served, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

FAILURE = dg.DagsterRunStatus.FAILURE
BEGUN = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS]
GOALS = {"same kernel": 30.0, "another kernel": 75.0, "no lease": 90.0}
"""Seconds after the service answers until a dead run is failed."""

OUTSIDE = [
    pytest.param((), id="process group"),
    pytest.param(
        ("unshare", "--pid", "--uts", "--ipc", "--mount-proc", "--fork", "--kill-child"),
        marks=pytest.mark.skipif(
            shutil.which("unshare") is None or os.getuid() != 0,
            reason="needs namespaces, which only root may make here",
        ),
        id="namespaces",
    ),
]


@dg.job
def nothing() -> None:
    """A job without work."""


@pytest.fixture
def deaf_venue() -> Iterator[str]:
    """The address of a venue that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home", venues=("bybit",))
    prepare_home(settings)
    settings.mappings_dir.mkdir()
    (settings.mappings_dir / "example.toml").write_text(MAPPING, encoding="utf-8")
    return settings


@pytest.fixture
def instance(home: Settings) -> Iterator[dg.DagsterInstance]:
    with environment(DAGSTER_HOME=str(home.dagster_home)), dg.DagsterInstance.get() as instance:
        yield instance


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


@pytest.mark.parametrize("before", OUTSIDE)
def test_killed_runs_are_failed_after_the_next_start(
    home: Settings, instance: dg.DagsterInstance, deaf_venue: str, before: tuple[str, ...]
) -> None:
    leases = Leases.of(home)
    with served(home, deaf_venue, before) as service:
        killed = service.launch_capture()
        until(lambda: leases.record(killed) is not None, 180)
        service.kill()
    record = leases.record(killed)
    assert record is not None
    assert record.boot_id == boot_id()
    elsewhere, unknown = (
        instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED).run_id for _ in range(2)
    )
    elsewhere_record = asdict(replace(record, boot_id="of another kernel"))
    (leases.folder / elsewhere).write_text(json.dumps(elsewhere_record))
    assert status(instance, killed) == dg.DagsterRunStatus.STARTED
    started = time.monotonic()
    took: dict[str, float] = {}
    with served(home, deaf_venue, before):
        answered = time.monotonic()
        waiting = {"same kernel": killed, "another kernel": elsewhere, "no lease": unknown}

        def all_failed() -> bool:
            for name in [name for name, run_id in waiting.items() if status(instance, run_id) == FAILURE]:
                del waiting[name]
                took[name] = time.monotonic() - answered
            return not waiting

        until(all_failed, 240)
    sys.stderr.write(f"\nservice answered after {answered - started:.0f} s; failed after that: {took}\n")
    assert {name: seconds for name, seconds in took.items() if seconds > GOALS[name]} == {}


def test_a_load_starts_while_every_place_of_fetches_is_taken(
    home: Settings, instance: dg.DagsterInstance, deaf_venue: str, tmp_path: Path
) -> None:
    leases, history = Leases.of(home), write_history(tmp_path / "history", days=3)
    with ExitStack() as held:
        for kind, places in (("fetch", 3), ("capture", 4)):
            for _ in range(places):
                run = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags={KIND_TAG: kind})
                held.enter_context(hold(leases, run.run_id))
        with served(home, deaf_venue) as service:
            queued = service.launch_capture()
            import_files(home, home.mappings_dir / "example.toml", root=history / "example")
            seconds = until(lambda: bool(instance.get_runs(dg.RunsFilter(job_name="load", statuses=BEGUN))), 180)
            assert status(instance, queued) == dg.DagsterRunStatus.QUEUED
    sys.stderr.write(f"\na load started {seconds:.0f} s after a landing, with every place of fetches taken\n")
    assert seconds <= 90
