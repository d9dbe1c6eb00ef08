"""How runs are launched, watched and ended: Dagster's own launcher, with leases in place of its faith in dead processes.

Named in dagster.yaml, so every process that opens the instance imports this. The one module that uses private names of
Dagster's launcher and executor. What a lease is: core/lease.py.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import dagster as dg
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from pipelines.core.lease import Leases, LeaseWatch, hold

INTERRUPT_SECONDS: Final = 20.0
"""How long a process may take to end after an interrupt before it is killed."""
POLL_SECONDS: Final = 0.1


class LeasedRunLauncher(DefaultRunLauncher):
    """Launches runs as Dagster's default does; tells its monitor which of them are dead; ends them without asking the code server,
    which waits without limit for a process that does not answer."""

    @cached_property
    def _leases(self) -> Leases:
        return Leases(Path(self._instance.root_directory))

    @cached_property
    def _watch(self) -> LeaseWatch:
        return LeaseWatch(self._leases)

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Called by the monitor for every started run. A run that is found dead may not commit from then on."""
        death = self._watch.death(run.run_id)
        if death is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        self._leases.declare_lost(run.run_id)
        self._watch.forget(run.run_id)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, msg=death)

    def terminate(self, run_id: str) -> bool:
        """Interrupt the process of a run, kill it if that does not help, and return when it is gone.

        A process that cannot be reached from here is interrupted through the code server, as Dagster does.
        """
        process = self._leases.process_here(run_id)
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if process is None:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        self._instance.report_run_canceling(run)
        if not self._end(run_id, process, signal.SIGINT):
            self._leases.declare_lost(run_id)
            self._end(run_id, process, signal.SIGKILL)
            self._instance.report_engine_event(
                f"Process {process} did not end within {INTERRUPT_SECONDS:.0f} s of an interrupt and was killed.",
                dagster_run=run,
                cls=self.__class__,
            )
            current = self._instance.get_run_by_id(run_id)
            if current is not None and not current.is_finished:
                self._instance.report_run_canceled(current)
        return True

    def _end(self, run_id: str, process: int, number: signal.Signals) -> bool:
        """Signal the holder of a lease; whether the lease is free afterwards."""
        try:
            os.kill(process, number)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + INTERRUPT_SECONDS
        while self._leases.is_locked(run_id):
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True


class LeasedExecutor(InProcessExecutor):
    """Executes the steps one after the other in the run's process, which holds the lease of the run meanwhile."""

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        with hold(Leases(Path(plan_context.instance.root_directory)), plan_context.run_id):
            yield from super().execute(plan_context, execution_plan)


@dg.executor(name="in_process")
def leased_executor(_: dg.InitExecutorContext) -> LeasedExecutor:
    """Executes all steps in one process that holds the lease of the run."""
    return LeasedExecutor(retries=RetryMode.ENABLED)
