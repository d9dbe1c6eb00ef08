"""Runs of this host whose process has ended without saying so: found by their process tag and reported as failed."""

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
    """Runs that look as if they went on while the process that executed them is gone.

    A run without a process tag, or of another host, is left to Dagster's own run monitoring.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    return [run for run in runs if PROCESS_TAG in run.tags and not process_is_alive(settings, run.tags[PROCESS_TAG])]


def fail_orphaned_runs(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    """Report orphaned runs as failed, free what they held, and return their ids.

    Their work is taken up by the next run: what is pending follows from the landing.
    """
    runs = orphaned_runs(instance, settings)
    for run in runs:
        instance.report_run_failed(run, f"The process {run.tags[PROCESS_TAG]} ended without finishing this run.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in runs]
