"""How runs end: transient and permanent errors, and runs whose process was killed."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._daemon.monitoring.run_monitoring import monitor_started_run

from pipelines.core.errors import GateError, LeverhouseError, WarehouseBusyError
from pipelines.core.lease import Leases, hold
from pipelines.core.paths import environment, prepare_home
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.defs import launcher
from pipelines.defs.common import RETRY_TAG, step
from pipelines.defs.runs import fail_orphaned_runs
from pipelines.operations.observer import Observer
from tests.defs.conftest import small_warehouse

_HOLD = """
import sys
from pathlib import Path
from pipelines.core.lease import Leases, hold
with hold(Leases(Path(sys.argv[1])), sys.argv[2]):
    print("held", flush=True)
    if "deaf" in sys.argv:
        import signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("deaf", flush=True)
    sys.stdin.readline()
"""


class RecordingObserver(Observer):
    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def failed(self, step: str, error: BaseException) -> None:
        self.errors.append(error)


def run_failing(
    settings: Settings, instance: dg.DagsterInstance, error: LeverhouseError, observer: Observer
) -> dg.ExecuteInProcessResult:
    @dg.asset
    def failing(context: dg.AssetExecutionContext) -> None:
        with step(context, settings, observer):
            raise error

    return dg.materialize([failing], instance=instance, raise_on_error=False)


def test_a_transient_error_lets_the_run_be_retried(home: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_failing(home, instance, WarehouseBusyError("busy"), Observer())
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[RETRY_TAG] == "true"


def test_a_permanent_error_does_not(home: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_failing(home, instance, GateError("refused"), Observer())
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert RETRY_TAG not in run.tags
    failure = result.failure_data_for_node("failing")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.description == "refused"


def test_the_observer_gets_the_error_itself(home: Settings) -> None:
    error, recording = GateError("refused"), RecordingObserver()
    with dg.DagsterInstance.ephemeral() as instance:
        run_failing(home, instance, error, recording)
    assert recording.errors == [error]


@dg.job
def nothing() -> None:
    """A job without work."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with the project's dagster.yaml."""
    settings = small_warehouse(tmp_path_factory.mktemp("served"))
    prepare_home(settings)
    return settings


@pytest.fixture(scope="module")
def instance(served: Settings) -> Iterator[dg.DagsterInstance]:
    with environment(DAGSTER_HOME=str(served.dagster_home)), dg.DagsterInstance.get() as instance:
        yield instance


def started(instance: dg.DagsterInstance) -> str:
    return instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED).run_id


@contextmanager
def worker(home: Settings, run_id: str, *how: str) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease of a run."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(home.dagster_home), run_id, *how],
        cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def monitor(instance: dg.DagsterInstance, run_id: str) -> None:
    """What the daemon does with a started run in each of its passes."""
    record = instance.get_run_record_by_id(run_id)
    assert record is not None
    monitor_started_run(instance, None, record, logging.getLogger(__name__))  # type: ignore[arg-type]


def test_a_command_reports_only_the_run_of_a_killed_process_as_failed(
    served: Settings, instance: dg.DagsterInstance
) -> None:
    run_id, own_run, unknown = (started(instance) for _ in range(3))
    with worker(served, run_id) as process, hold(Leases.of(served), own_run):
        assert fail_orphaned_runs(instance, served) == []
        process.kill()
        process.wait()
        assert fail_orphaned_runs(instance, served) == [run_id]
    assert status(instance, run_id) == dg.DagsterRunStatus.FAILURE
    assert status(instance, own_run) == status(instance, unknown) == dg.DagsterRunStatus.STARTED


def test_the_monitor_fails_the_run_of_a_killed_process_in_its_next_pass(
    served: Settings, instance: dg.DagsterInstance
) -> None:
    run_id = started(instance)
    with worker(served, run_id) as process:
        monitor(instance, run_id)
        assert status(instance, run_id) == dg.DagsterRunStatus.STARTED
        process.kill()
        process.wait()
        monitor(instance, run_id)
    assert status(instance, run_id) == dg.DagsterRunStatus.FAILURE
    assert Leases.of(served).is_lost(run_id), "it may not commit, should it live after all"


def test_a_canceled_process_is_interrupted_and_gone(served: Settings, instance: dg.DagsterInstance) -> None:
    run_id = started(instance)
    with worker(served, run_id) as process:
        assert instance.run_launcher.terminate(run_id)
        assert process.wait(timeout=30) != 0
    assert not Leases.of(served).is_lost(run_id)


def test_a_process_that_no_interrupt_reaches_is_killed(
    served: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "INTERRUPT_SECONDS", 1.0)
    run_id = started(instance)
    with worker(served, run_id, "deaf") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "deaf\n"
        assert instance.run_launcher.terminate(run_id)
        assert process.wait(timeout=30) == -signal.SIGKILL
    assert status(instance, run_id) == dg.DagsterRunStatus.CANCELED


def test_a_run_of_the_service_holds_its_lease_while_its_steps_run(
    served: Settings, instance: dg.DagsterInstance
) -> None:
    result = dg.execute_job(dg.reconstructable(leased_job), instance=instance)
    assert result.success
    assert Leases.of(served).record(result.run_id) is None


@dg.op
def reads_its_lease(context: dg.OpExecutionContext) -> None:
    record = Leases(Path(context.instance.root_directory)).record(context.run_id)
    assert record is not None
    assert record.pid == os.getpid()


@dg.job(executor_def=launcher.leased_executor)
def leased_job() -> None:
    reads_its_lease()
