"""Schedules and sensors: daily fetch and ingest, hourly captures, the inbox, and load and build after other runs.

Plain functions here and in operations.datasets decide which files are waiting and whether a run is due.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import dagster as dg

from pipelines.core.settings import Settings
from pipelines.defs.common import LEDGER, clean_key, raw_key
from pipelines.defs.jobs import (
    BUILD,
    BUILDING,
    INGEST_FILES,
    INGESTING,
    LOAD,
    LOADING,
    capture_job,
    fetch_job,
)
from pipelines.extract.venue import Venue
from pipelines.operations.datasets import Dataset, changed_files, files_key, waiting_files

DAILY_AT: Final = "30 3 * * *"
"""03:30 UTC: by then, the venues have published the archives of the previous day."""

HOURLY_AT: Final = "5 * * * *"

SENSOR_SECONDS: Final = 30

ENDED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
RUNNING: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_schedules(venues: Sequence[Venue]) -> list[Any]:
    """The daily ingest of files, and the daily fetch and hourly captures of every venue. Load and build have no schedule:
    sensors start them after other runs."""
    return [
        *(schedule for venue in venues for schedule in _venue_schedules(venue)),
        dg.ScheduleDefinition(
            name="ingest_files_daily",
            job_name=INGEST_FILES,
            cron_schedule=DAILY_AT,
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Lands the files in every inbox and loads everything pending, once a day. A sensor starts the build.",
        ),
    ]


def _venue_schedules(venue: Venue) -> Iterator[dg.ScheduleDefinition]:
    if any(feed.cadence.name == "daily" for feed in venue.feeds):
        yield dg.ScheduleDefinition(
            name=f"fetch_{venue.name}_daily",
            job_name=fetch_job(venue.name),
            cron_schedule=DAILY_AT,
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Fetches everything that is due of {venue.name}: new days, and earlier ones that failed, came late or "
            "were missed.",
        )
    if any(feed.cadence.name == "capture" for feed in venue.feeds):
        yield dg.ScheduleDefinition(
            name=f"capture_{venue.name}_hourly",
            job_name=capture_job(venue.name),
            cron_schedule=HOURLY_AT,
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Captures the current state of {venue.name} every hour; an hour that is not captured is lost.",
        )


def build_sensors(
    settings: Settings,
    datasets: Sequence[Dataset],
    tables: Sequence[str],
    venues: Sequence[Venue],
    *,
    now: Callable[[], float] = time.time,
) -> list[dg.SensorDefinition]:
    """The inbox sensor, the sensor that starts a load after fetches, and the one that starts a build after loads."""
    return [_inbox_sensor(settings, datasets, tables, now), _load_sensor(venues), _build_sensor()]


def _inbox_sensor(
    settings: Settings, datasets: Sequence[Dataset], tables: Sequence[str], now: Callable[[], float]
) -> dg.SensorDefinition:
    clean = [*(clean_key(table) for table in tables), LEDGER]

    @dg.sensor(
        name="inbox",
        job_name=INGEST_FILES,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Lands and loads the files in inbox/<data set>/, one run per data set, once they have not changed for "
        "ten seconds.",
    )
    def inbox(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        seen = {path: (size, time_ns) for path, (size, time_ns) in json.loads(context.cursor or "{}").items()}
        present: dict[str, tuple[int, int]] = {}
        requests = []
        for dataset in datasets:
            files = waiting_files(settings, dataset.name, now=now())
            changed = changed_files(files, seen)
            present |= {str(path): state for path, state in changed_files(files, {}).items()}
            if changed:
                op = raw_key(dataset.name).to_python_identifier()
                requests.append(
                    dg.RunRequest(
                        run_key=files_key(dataset.name, changed),
                        asset_selection=[raw_key(dataset.name), *clean],
                        run_config={"ops": {op: {"config": {"files": [str(path) for path in sorted(changed)]}}}},
                        tags={"leverhouse/dataset": dataset.name},
                    )
                )
        if not requests:
            return dg.SkipReason(f"no new files below {settings.inbox_dir}")
        return dg.SensorResult(run_requests=requests, cursor=json.dumps(present))

    return inbox


@dataclass(frozen=True)
class RunTimes:
    """Start and end of a run in seconds since the epoch; None if it has not started or ended."""

    run_id: str
    started: float | None
    ended: float | None


def run_is_due(before: Sequence[RunTimes], same: Sequence[RunTimes]) -> str | None:
    """Id of the newest ended run of `before` if no run of `same` has started since; None if there is none, or while any of
    the runs is in progress.

    Failed runs count as ended: load and build must run for the data of the other sources.
    """
    if any(run.ended is None for run in (*before, *same)):
        return None
    newest = max(before, key=lambda run: run.ended or 0.0, default=None)
    if newest is None or newest.ended is None:
        return None
    last_start = max((run.started for run in same if run.started is not None), default=float("-inf"))
    return newest.run_id if newest.ended > last_start else None


def _load_sensor(venues: Sequence[Venue]) -> dg.SensorDefinition:
    fetching = [name(venue.name) for venue in venues for name in (fetch_job, capture_job)]
    return _following_sensor("load_after_fetch", "fetch", fetching, LOAD, LOADING)


def _build_sensor() -> dg.SensorDefinition:
    return _following_sensor("build_after_ingest", "ingest", INGESTING, BUILD, BUILDING)


def _following_sensor(
    name: str, what: str, before: Sequence[str], job: str, same: Sequence[str]
) -> dg.SensorDefinition:
    """Starts `job` when all runs of the jobs `before` have ended; `same` are the jobs that include its work."""

    @dg.sensor(
        name=name,
        job_name=job,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Starts one {job} when all {what} runs have ended, successfully or not. Several share one {job}.",
    )
    def start_after(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        due = run_is_due(_runs(context.instance, before), _runs(context.instance, same))
        if due is None:
            return dg.SkipReason(f"no {what} run has ended since the last {job} started, or one is still running")
        return dg.RunRequest(run_key=f"after-{due}")

    return start_after


def _runs(instance: dg.DagsterInstance, jobs: Sequence[str]) -> list[RunTimes]:
    """Runs of the jobs that are in progress, and the newest ended ones."""
    found = []
    for job in jobs:
        for statuses, limit in ((RUNNING, None), (ENDED, 20)):
            filters = dg.RunsFilter(job_name=job, statuses=statuses)
            for record in instance.get_run_records(filters, limit=limit):
                is_running = statuses is RUNNING
                found.append(
                    RunTimes(
                        run_id=record.dagster_run.run_id,
                        started=record.start_time or _seconds(record.create_timestamp),
                        ended=None if is_running else record.end_time or _seconds(record.update_timestamp),
                    )
                )
    return found


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
