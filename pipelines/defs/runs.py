"""Runs whose process has ended without reporting it: found by their lease and marked as failed.

The service finds them by itself (launcher.py); commands do it once at their start, without waiting for what only time can tell.
"""

from __future__ import annotations

import dagster as dg

from pipelines.core.lease import Leases, LeaseWatch
from pipelines.core.settings import Settings

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def orphaned_runs(instance: dg.DagsterInstance, settings: Settings) -> list[dg.DagsterRun]:
    """Runs that are recorded as running although their process, on this kernel, has ended.

    A run without a lease, or of another kernel, is left to the service's monitoring.
    """
    return list(_deaths(instance, Leases.of(settings)).values())


def fail_orphaned_runs(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    """Mark orphaned runs as failed, release their concurrency slots, and return their ids.

    The next run continues their work, because pending work is found by comparing the landing with ops. Leases of runs that are
    over are removed.
    """
    leases = Leases.of(settings)
    deaths = _deaths(instance, leases)
    for death, run in deaths.items():
        leases.declare_lost(run.run_id)
        instance.report_run_failed(run, death)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    leases.remove(but=[run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))])
    return [run.run_id for run in deaths.values()]


def _deaths(instance: dg.DagsterInstance, leases: Leases) -> dict[str, dg.DagsterRun]:
    watch = LeaseWatch(leases)
    runs = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    found = ((watch.death(run.run_id), run) for run in runs)
    return {f"{death} Run {run.run_id}.": run for death, run in found if death is not None}
