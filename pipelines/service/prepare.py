"""What is done once at each start of the service, before its daemon runs: `python -m pipelines.service.prepare`.

Creates Dagster's tables, gives every pool its one place, removes leases of runs that are over, and says which venues will be
asked, and when.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence

import dagster as dg
from filelock import FileLock

from pipelines.core.home_kind import is_simulated
from pipelines.core.lease import Leases
from pipelines.core.settings import Settings
from pipelines.defs.common import WRITER_POOL, venue_pool
from pipelines.defs.jobs import capture_job, fetch_job
from pipelines.defs.runs import UNFINISHED
from pipelines.defs.schedules import build_schedules
from pipelines.extract.venue import Venue
from pipelines.sources.registry import followed_venues


def prepare(instance: dg.DagsterInstance, settings: Settings, venues: Iterable[Venue]) -> None:
    """Bring the instance into the state that the daemon expects.

    Dagster reads the limits of known pools and adds unknown ones afterwards: two runs of a pool that it meets for the first time
    would both start.
    """
    instance.get_runs_count()
    instance.event_log_storage.get_maximum_record_id()
    for pool in (WRITER_POOL, *(venue_pool(venue.name) for venue in venues)):
        instance.event_log_storage.set_concurrency_slots(pool, 1)
    unfinished = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    Leases.of(settings).remove(but=[run.run_id for run in unfinished])


def announcement(venues: Sequence[Venue]) -> Iterator[str]:
    """What the schedules will ask of venues, a line per time of day."""
    jobs = {job(venue.name): venue.name for venue in venues for job in (fetch_job, capture_job)}
    asked: dict[str, list[str]] = {}
    for schedule in build_schedules(venues):
        if schedule.job_name in jobs:
            asked.setdefault(str(schedule.cron_schedule), []).append(jobs[schedule.job_name])
    if not asked:
        yield "no venue is asked by itself"
    for cron, names in asked.items():
        yield f"asks {len(names)} venues {when(cron)}: {', '.join(sorted(names))}"


def when(cron: str) -> str:
    """The cron lines of this project's schedules in words."""
    minute, hour, *rest = cron.split()
    if rest == ["*", "*", "*"] and minute.isdigit() and hour.isdigit():
        return f"daily at {int(hour):02}:{int(minute):02} UTC"
    if rest == ["*", "*", "*"] and minute.isdigit() and hour == "*":
        return f"every hour at minute {minute}"
    return f"at '{cron}' (UTC)"


def main() -> None:
    """Prepare the instance of DAGSTER_HOME."""
    settings = Settings.load()
    venues = followed_venues(settings)
    # Without the lock, a command that starts at the same time could create the tables too.
    with FileLock(settings.dagster_home / "storage.lock"), dg.DagsterInstance.get() as instance:
        is_new = instance.get_runs_count() == 0
        prepare(instance, settings, venues)
    if is_simulated(settings.root):
        lines = ["the home of a simulated market: no schedule and no sensor is started, no venue is asked"]
    else:
        lines = list(announcement(venues))
        if is_new:
            lines.append("this home is new; to ask other venues, end this, set LEVERHOUSE_VENUES and start again")
    sys.stderr.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
