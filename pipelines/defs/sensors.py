"""Sensors: the inbox, the clock of loading, the build after loads, and alerts.

Plain functions here and in operations.datasets decide which files are waiting and whether a run is due.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import dagster as dg

from pipelines.core.settings import Settings
from pipelines.defs.common import KIND_TAG, LEDGER, clean_key, raw_key
from pipelines.defs.jobs import BUILD, BUILDING, INGEST_FILES, INGESTING, LOAD, LOADING
from pipelines.operations.datasets import Dataset, changed_files, files_key, waiting_files

if TYPE_CHECKING:
    from pipelines.operations.alerts import FailedRun
    from pipelines.operations.watch import Watch

SENSOR_SECONDS: Final = 30

LOAD_SECONDS: Final = 60.0
"""Loads start at most this often: what lands meanwhile shares one."""
LOAD_AGAIN_SECONDS: Final = 900.0
"""How long after a load that failed as a whole the same landings are tried again."""
BUILD_SECONDS: Final = 900.0
"""How long a build waits for fetches and loads that still go on, counted from the first load that it would show to readers."""

ENDED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
RUNNING: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
RECENT: Final = 20
"""Ended runs of a job that are looked at."""
RECENT_OF_ALL: Final = 300
"""Newest runs that alerts and metrics look at: about a day of default schedules."""

ALERT_SECONDS: Final = 60
MESSAGE_LENGTH: Final = 300


def build_sensors(
    settings: Settings, datasets: Sequence[Dataset], tables: Sequence[str], *, now: Callable[[], float] = time.time
) -> list[dg.SensorDefinition]:
    """The inbox sensor, the sensor that starts a load after landings, the one that starts a build after loads, and alerts."""
    return [
        _inbox_sensor(settings, datasets, tables, now),
        _load_sensor(settings, now),
        _build_sensor(now),
        _alert_sensor(settings),
    ]


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
            files = waiting_files(settings, dataset, now=now())
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


def load_is_due(
    *, landed: str | None, loaded: str | None, tried: str | None, loads: Sequence[RunTimes], now: float
) -> bool:
    """Whether something was landed since the last load looked, no load goes on, and the last one began long enough ago.

    The tokens are those of LandingStore; `tried` is the one that a load was started for last, which may have failed as a whole.
    Fetches that go on do not matter: each landing is whole. A clock that was set back makes a load due, never late.
    """
    if landed == loaded or any(run.ended is None for run in loads):
        return False
    last = max(loads, key=_start, default=None)
    if last is None:
        return True
    since = now - _start(last)
    return since < 0 or since >= (LOAD_AGAIN_SECONDS if landed == tried else LOAD_SECONDS)


def build_is_due(*, ingests: Sequence[RunTimes], builds: Sequence[RunTimes], fetching: bool, now: float) -> str | None:
    """Id of the newest ended run of `ingests` if a build is due for it: none has started since, none goes on, and fetches and
    ingests have ended or have been waited for long enough.

    Failed runs count as ended: the data of the other sources must be built.
    """
    if any(run.ended is None for run in builds):
        return None
    last_start = max(map(_start, builds), default=float("-inf"))
    unbuilt = sorted((run.ended, run.run_id) for run in ingests if run.ended is not None and run.ended > last_start)
    if not unbuilt:
        return None
    is_quiet = not fetching and all(run.ended is not None for run in ingests)
    waited = now - unbuilt[0][0]
    return unbuilt[-1][1] if is_quiet or waited < 0 or waited >= BUILD_SECONDS else None


def _start(run: RunTimes) -> float:
    return run.started if run.started is not None else float("-inf")


def _load_sensor(settings: Settings, now: Callable[[], float]) -> dg.SensorDefinition:
    @dg.sensor(
        name="load_after_landing",
        job_name=LOAD,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Starts one {LOAD} when something was landed, at most one a minute, whatever fetches still go on.",
    )
    def load_after_landing(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        from pipelines.extract.landing import LandingStore

        store = LandingStore(settings.root)
        landed, loads = store.tokens.landed(), _runs(context.instance, LOADING)
        if not load_is_due(landed=landed, loaded=store.tokens.loaded(), tried=context.cursor, loads=loads, now=now()):
            return dg.SkipReason("nothing was landed since the last load, or it began less than a minute ago")
        last = max(loads, key=_start, default=None)
        request = dg.RunRequest(run_key=f"landed-{landed}-{last.run_id if last else 'first'}")
        return dg.SensorResult(run_requests=[request], cursor=landed)

    return load_after_landing


def _build_sensor(now: Callable[[], float]) -> dg.SensorDefinition:
    @dg.sensor(
        name="build_after_ingest",
        job_name=BUILD,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Starts one {BUILD} when fetches and loads have ended, successfully or not, or a quarter of an hour after the "
        "first of several loads.",
    )
    def build_after_ingest(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        due = build_is_due(
            ingests=_runs(context.instance, INGESTING),
            builds=_runs(context.instance, BUILDING),
            fetching=_is_fetching(context.instance),
            now=now(),
        )
        if due is None:
            return dg.SkipReason(f"no ingest has ended since the last {BUILD} started, or more is about to be loaded")
        return dg.RunRequest(run_key=f"after-{due}")

    return build_after_ingest


def _alert_sensor(settings: Settings) -> dg.SensorDefinition:
    watches: list[Watch] = []

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=ALERT_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells of what is wrong over the channels that the environment names, and writes metrics.prom.",
    )
    def tell(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from pipelines.extract.landing import utc_now
        from pipelines.operations.alert_channels import channels
        from pipelines.operations.alerting import pass_over
        from pipelines.operations.watch import Watch

        # Kept between the passes of one code server: what did not change is not read again.
        watch = watches[0] if watches else Watch(settings)
        watches[:] = [watch]
        recent = [record.dagster_run for record in context.instance.get_run_records(limit=RECENT_OF_ALL)]
        failed = _failed_runs(context.instance, recent)
        return dg.SkipReason(pass_over(watch, channels(), utc_now(), failed_runs=failed, runs=_run_counts(recent)))

    return tell


def _failed_runs(instance: dg.DagsterInstance, recent: Sequence[dg.DagsterRun]) -> list["FailedRun"]:
    """The newest run of every job, where it failed and no retry of it follows; `recent` are runs, newest first."""
    from pipelines.operations.alerts import FailedRun

    newest: dict[str, dg.DagsterRun] = {}
    for run in recent:
        newest.setdefault(run.job_name, run)
    return [
        FailedRun(job, run.run_id, _why(instance, run.run_id))
        for job, run in sorted(newest.items())
        if run.status == dg.DagsterRunStatus.FAILURE and run.tags.get("dagster/will_retry") != "true"
    ]


def _why(instance: dg.DagsterInstance, run_id: str) -> str:
    """The message of the step that failed, else that of the run."""
    wanted = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    for entry in instance.all_logs(run_id, of_type=wanted):
        event = entry.get_dagster_event()
        if event.is_step_failure:
            data = event.step_failure_data
            text = data.user_failure_data.description if data.user_failure_data else data.error_display_string
            return " ".join((text or "").split())[:MESSAGE_LENGTH]
        return " ".join((event.message or "").split())[:MESSAGE_LENGTH]
    return ""


def _run_counts(recent: Iterable[dg.DagsterRun]) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for run in recent:
        key = (run.job_name, run.status.value.lower())
        counts[key] = counts.get(key, 0) + 1
    return counts


def _is_fetching(instance: dg.DagsterInstance) -> bool:
    filters = dg.RunsFilter(statuses=RUNNING, tags={KIND_TAG: ["fetch", "capture"]})
    return bool(instance.get_run_records(filters, limit=1))


def _runs(instance: dg.DagsterInstance, jobs: Iterable[str]) -> list[RunTimes]:
    """Runs of the jobs that are in progress, and the newest ended ones."""
    found = []
    for job in jobs:
        for statuses, limit in ((RUNNING, None), (ENDED, RECENT)):
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
