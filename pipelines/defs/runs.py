"""Runs of this host whose process has ended without reporting it: found by their process tag and marked as failed."""

from __future__ import annotations

import dagster as dg

from pipelines.core.paths import process_is_alive
from pipelines.core.settings import Settings
from pipelines.defs.common import PROCESS_TAG

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def orphaned_runs(instance: dg.DagsterInstance, settings: Settings) -> list[dg.DagsterRun]:
    """Runs that are recorded as running although their process has ended.

    A run without a process tag, or of another host, is left to Dagster's run monitoring.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    return [run for run in runs if PROCESS_TAG in run.tags and not process_is_alive(settings, run.tags[PROCESS_TAG])]


def fail_orphaned_runs(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    """Mark orphaned runs as failed, release their concurrency slots, and return their ids.

    The next run continues their work, because pending work is found by comparing the landing with ops.
    """
    runs = orphaned_runs(instance, settings)
    for run in runs:
        instance.report_run_failed(run, f"The process {run.tags[PROCESS_TAG]} ended without finishing this run.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in runs]
