"""When jobs run by themselves: the daily ingest, the inbox, and the build after any ingest has ended.

What is waiting and whether a build is due are decided by plain functions here and in datasets; no I/O beyond them.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import dagster as dg

from pipelines.datasets import Dataset, changed_files, files_key, waiting_files
from pipelines.defs.common import LEDGER, clean_key, raw_key
from pipelines.defs.jobs import BUILD, BUILDING, INGEST_FILES, INGESTING
from pipelines.settings import Settings

DAILY_AT: Final = "30 3 * * *"
"""03:30 UTC: the venues' archives of the day before are out by then."""

SENSOR_SECONDS: Final = 30

ENDED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
GOING: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_schedules() -> list[dg.ScheduleDefinition]:
    """The daily ingest. The build has no time of its own: it follows the end of ingestion."""
    return [
        dg.ScheduleDefinition(
            name="ingest_files_daily",
            job_name=INGEST_FILES,
            cron_schedule=DAILY_AT,
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Looks once a day into every inbox and loads whatever is pending. The build follows it.",
        )
    ]


def build_sensors(
    settings: Settings,
    datasets: Sequence[Dataset],
    tables: Sequence[str],
    *,
    now: Callable[[], float] = time.time,
) -> list[dg.SensorDefinition]:
    """The sensor on the inbox and the one that starts the build."""
    return [_inbox_sensor(settings, datasets, tables, now), _build_sensor()]


def _inbox_sensor(
    settings: Settings, datasets: Sequence[Dataset], tables: Sequence[str], now: Callable[[], float]
) -> dg.SensorDefinition:
    clean = [*(clean_key(table) for table in tables), LEDGER]

    @dg.sensor(
        name="inbox",
        job_name=INGEST_FILES,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Files dropped into inbox/<data set>/ are landed and loaded, one run per data set, once they have "
        "not changed for ten seconds.",
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
    """A run as the decision to build needs it. Times are seconds since the epoch, None where it is not so far."""

    run_id: str
    started: float | None
    ended: float | None


def build_is_due(ingests: Sequence[RunTimes], builds: Sequence[RunTimes]) -> str | None:
    """Id of the newest ended ingest run that no build has started after; None while one is going on, or none is due.

    However ingestion ended, a build follows: what other sources delivered must reach the readers.
    """
    if any(run.ended is None for run in (*ingests, *builds)):
        return None
    newest = max(ingests, key=lambda run: run.ended or 0.0, default=None)
    if newest is None or newest.ended is None:
        return None
    built = max((run.started for run in builds if run.started is not None), default=float("-inf"))
    return newest.run_id if newest.ended > built else None


def _build_sensor() -> dg.SensorDefinition:
    @dg.sensor(
        name="build_after_ingest",
        job_name=BUILD,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts one build when all ingestion has ended, however it ended. Several ingests share a build.",
    )
    def build_after_ingest(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        due = build_is_due(_runs(context.instance, INGESTING), _runs(context.instance, BUILDING))
        if due is None:
            return dg.SkipReason("no ingest has ended since the last build began, or one is still going on")
        return dg.RunRequest(run_key=f"after-{due}")

    return build_after_ingest


def _runs(instance: dg.DagsterInstance, jobs: Sequence[str]) -> list[RunTimes]:
    """Runs of the jobs that go on, and the newest ones that ended."""
    found = []
    for job in jobs:
        for statuses, limit in ((GOING, None), (ENDED, 20)):
            filters = dg.RunsFilter(job_name=job, statuses=statuses)
            for record in instance.get_run_records(filters, limit=limit):
                going = statuses is GOING
                found.append(
                    RunTimes(
                        run_id=record.dagster_run.run_id,
                        started=record.start_time or _seconds(record.create_timestamp),
                        ended=None if going else record.end_time or _seconds(record.update_timestamp),
                    )
                )
    return found


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
