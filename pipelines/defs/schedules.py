"""Schedules: daily fetch and ingest, hourly captures. What is started by something that happened is in sensors.py."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import dagster as dg

from pipelines.defs.jobs import (
    INGEST_FILES,
    capture_job,
    fetch_job,
)
from pipelines.extract.venue import Venue

DAILY_AT: Final = "30 3 * * *"
"""03:30 UTC: by then, the venues have published the archives of the previous day."""

HOURLY_AT: Final = "5 * * * *"


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
