"""How runs end: transient and permanent errors, and runs whose process was killed."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from pipelines.core.errors import GateError, LeverhouseError, WarehouseBusyError
from pipelines.core.paths import claim_process
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.defs.common import PROCESS_TAG, RETRY_TAG, step
from pipelines.defs.runs import fail_orphaned_runs
from pipelines.operations.observer import Observer

_CLAIM = """
import sys
from pathlib import Path
from pipelines.core.paths import claim_process
from pipelines.core.settings import Settings
print(claim_process(Settings(home=Path(sys.argv[1]))), flush=True)
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


def test_a_run_is_tagged_with_the_token_of_its_process(home: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_failing(home, instance, GateError("refused"), Observer())
        run = instance.get_run_by_id(result.run_id)
    assert run is not None
    assert run.tags[PROCESS_TAG] == claim_process(home)


@dg.job
def nothing() -> None:
    """A job without work."""


def started(instance: dg.DagsterInstance, tags: dict[str, str]) -> str:
    return instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus.STARTED).run_id


@pytest.fixture
def other_process(home: Settings) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _CLAIM, str(home.home)],
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_only_the_run_of_a_killed_process_is_reported_as_failed(
    home: Settings, other_process: subprocess.Popen[str]
) -> None:
    with other_process as process, dg.DagsterInstance.ephemeral() as instance:
        assert process.stdout is not None
        token = process.stdout.readline().strip()
        run_id = started(instance, {PROCESS_TAG: token})
        own_run = started(instance, {PROCESS_TAG: claim_process(home)})
        unknown = started(instance, {})
        while_alive = fail_orphaned_runs(instance, home)
        process.kill()
        process.wait()
        assert while_alive == []
        assert fail_orphaned_runs(instance, home) == [run_id]
        statuses = {run.run_id: run.status for run in instance.get_runs()}
    assert statuses[run_id] == dg.DagsterRunStatus.FAILURE
    assert statuses[own_run] == statuses[unknown] == dg.DagsterRunStatus.STARTED


def test_a_run_of_another_host_is_left_alone(home: Settings, tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        started(instance, {PROCESS_TAG: "another-host~1~abc"})
        assert fail_orphaned_runs(instance, home) == []
