"""The daily partitions of each feed, with a first day that is frozen in the home: Dagster recounts all states of an asset whose
partitions change, and a feed that keeps 29 days would begin later every day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import orjson

from pipelines.core.errors import ConfigError
from pipelines.core.files import write_atomically
from pipelines.core.settings import Settings
from pipelines.extract.venue import Feed, Venue

FILE: Final = "partitions.json"


def first_days(settings: Settings, venues: Sequence[Venue], *, today: date) -> dict[str, date]:
    """First partition of every daily feed of `venues`, by source. Days of feeds that are new here are added to the file of the
    home, if the home exists. Raises ConfigError if the file cannot be read."""
    path = settings.dagster_home / FILE
    known = _read(path)
    found = {
        venue.source(feed): known.get(venue.source(feed), _first_day(feed, today))
        for venue in venues
        for feed in venue.feeds
        if feed.cadence.name == "daily"
    }
    if found.keys() - known.keys() and settings.dagster_home.is_dir():
        lines = {source: day.isoformat() for source, day in sorted({**found, **known}.items())}
        write_atomically(path, orjson.dumps(lines, option=orjson.OPT_INDENT_2))
    return found


def partitions_from(day: date) -> dg.DailyPartitionsDefinition:
    """UTC days from `day` on."""
    return dg.DailyPartitionsDefinition(start_date=day.isoformat())


def _first_day(feed: Feed, today: date) -> date:
    kept = feed.retention.days
    return feed.retention.since if kept is None else max(feed.retention.since, today - timedelta(days=kept))


def _read(path: Path) -> dict[str, date]:
    try:
        return {source: date.fromisoformat(day) for source, day in orjson.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); remove it: it is written again.") from error
