"""Retention: runs older than a fortnight leave Dagster's storage with everything they left there.

Dagster deletes a run's rows and leaves its file, its logs and its check results; this removes them too. The one module with SQL
on Dagster's storage. What may be deleted is history of execution only: data, partitions' reasons and coverage are elsewhere.
"""

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from pipelines.core.lease import Leases
from pipelines.core.settings import Settings
from pipelines.defs.common import step
from pipelines.defs.runs import UNFINISHED
from pipelines.operations.observer import Observer

RETENTION: Final = "retention"
DAILY_AT: Final = "15 2 * * *"
"""02:15 UTC: after the captures of the hour and before the fetches of the night."""
BATCH: Final = 500
"""Runs that are looked at in one query."""
SHARE_TO_SHRINK: Final = 0.25
"""A database file of which this share is empty is written anew."""
LOG_BYTES: Final = 10_000_000
"""The log of commands is put away as .1 when it is larger."""
ORPHAN_SECONDS: Final = 86_400.0
"""Files of runs that are not recorded are removed when they are this old."""


@dataclass(frozen=True)
class Forgotten:
    """What a pass removed."""

    runs: int
    check_results: int
    files: int
    shrunk: Sequence[str]
    """Database files that were written anew."""


def build_retention_job(settings: Settings, *, observer: Observer) -> dg.JobDefinition:
    """The job that removes old runs and measures the home."""

    @dg.op(name="remove_old_runs", description="Removes old runs with all of their files, and measures the home.")
    def remove_old_runs(context: dg.OpExecutionContext) -> None:
        from pipelines.extract.landing import utc_now
        from pipelines.operations.sizes import record_sizes

        with step(context, settings, observer):
            forgotten = forget_old_runs(context.instance, settings, now=utc_now())
            measured = record_sizes(settings, utc_now())
            context.add_output_metadata(
                {
                    "runs": forgotten.runs,
                    "check_results": forgotten.check_results,
                    "files": forgotten.files,
                    "shrunk": ", ".join(forgotten.shrunk),
                    **{f"{name}_bytes".replace(" ", "_"): size for name, size in measured.parts.items()},
                }
            )

    @dg.job(
        name=RETENTION, description=f"Removes runs older than {settings.kept_run_days} days, and measures the home."
    )
    def retention() -> None:
        remove_old_runs()

    return retention


def build_retention_schedule() -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name="retention_daily",
        job_name=RETENTION,
        cron_schedule=DAILY_AT,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Removes old runs once a day, so that the Dagster home stays bounded.",
    )


def forget_old_runs(
    instance: dg.DagsterInstance, settings: Settings, *, now: datetime, clock: Callable[[], float] = time.time
) -> Forgotten:
    """Remove runs that were created more than `kept_run_days` before `now` (naive UTC), and shrink the files they were in.

    Unfinished runs stay, and of every job the newest: sensors read when it began.
    """
    before = (now - timedelta(days=settings.kept_run_days)).replace(tzinfo=UTC)
    removed = _old_runs(instance, before)
    for run_id in removed:
        instance.delete_run(run_id)
    results = _remove_check_results(instance, removed)
    files = sum(_remove_files(instance, run_id) for run_id in removed)
    known = set(instance.get_run_ids())
    files += _remove_unknown(instance, known, older_than=clock() - ORPHAN_SECONDS)
    unfinished = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))]
    Leases.of(settings).remove(but=unfinished)
    _put_away(settings.dagster_home / "logs" / "leverhouse.log")
    return Forgotten(len(removed), results, files, tuple(_shrink(settings.dagster_home)))


def _old_runs(instance: dg.DagsterInstance, before: datetime) -> list[str]:
    """Ids of the runs that may go, all read before the first is deleted."""
    found: list[tuple[str, str]] = []
    cursor: str | None = None
    while records := instance.get_run_records(dg.RunsFilter(created_before=before), limit=BATCH, cursor=cursor):
        cursor = records[-1].dagster_run.run_id
        found += [(r.dagster_run.run_id, r.dagster_run.job_name) for r in records if r.dagster_run.is_finished]
    newest = {
        record.dagster_run.run_id
        for job in {job for _, job in found}
        for record in instance.get_run_records(dg.RunsFilter(job_name=job), limit=1)
    }
    return [run_id for run_id, _ in found if run_id not in newest]


def _remove_check_results(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> int:
    """Remove the check results of removed runs, but the newest of every check, which the pages show."""
    table, removed = AssetCheckExecutionsTable, 0
    newest = sa.select(sa.func.max(table.c.id)).group_by(table.c.asset_key, table.c.check_name)
    with instance.event_log_storage.index_connection() as connection:  # type: ignore[attr-defined]
        for first in range(0, len(run_ids), BATCH):
            chosen = sa.and_(table.c.run_id.in_(run_ids[first : first + BATCH]), table.c.id.not_in(newest))
            removed += int(connection.execute(sa.delete(table).where(chosen)).rowcount)
    return removed


def _remove_files(instance: dg.DagsterInstance, run_id: str) -> int:
    """Remove the event file and the captured output of a run; return how many event files that were."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return 0
    path = Path(storage.path_for_shard(run_id))
    existed = path.exists()
    for part in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        part.unlink(missing_ok=True)
    return int(existed)


def _remove_unknown(instance: dg.DagsterInstance, known: Collection[str], *, older_than: float) -> int:
    """Remove files of runs that were deleted elsewhere, as in Dagster's pages."""
    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage):
        return 0
    unknown = [
        run_id
        for run_id in storage.get_all_run_ids()
        if run_id and run_id not in known and Path(storage.path_for_shard(run_id)).stat().st_mtime < older_than
    ]
    return sum(_remove_files(instance, run_id) for run_id in unknown)


def _shrink(dagster_home: Path) -> Iterator[str]:
    """Write database files anew that are empty to a large part; one that is in use right now waits for the next day."""
    for path in (
        dagster_home / "history" / "runs" / "index.db",
        dagster_home / "history" / "runs.db",
        dagster_home / "schedules" / "schedules.db",
    ):
        if not path.exists():
            continue
        connection = sqlite3.connect(path, timeout=5.0, isolation_level=None)
        try:
            [(free,)], [(pages,)] = (
                connection.execute(f"pragma {name}").fetchall() for name in ("freelist_count", "page_count")
            )
            if pages and free / pages >= SHARE_TO_SHRINK:
                connection.execute("vacuum")
                connection.execute("pragma wal_checkpoint(truncate)")
                yield path.name
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) and "busy" not in str(error):
                raise
        finally:
            connection.close()


def _put_away(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
