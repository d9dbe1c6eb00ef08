"""Jobs: what runs together.

Ingestion and build are apart, so that a source that fails never keeps the others from readers.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import dagster as dg

from pipelines.core.settings import Settings
from pipelines.defs.common import WRITER_POOL, feed_key, step
from pipelines.extract.venue import Venue
from pipelines.operations.observer import Observer

INGEST_FILES: Final = "ingest_files"
LOAD: Final = "load"
BUILD: Final = "build"
PUBLISH: Final = "publish"
EVERYTHING: Final = "everything"
REBUILD: Final = "rebuild"

INGESTING: Final = (INGEST_FILES, LOAD, REBUILD)
"""Jobs after which the marts are out of date."""

LOADING: Final = (INGEST_FILES, LOAD)
"""Jobs that load whatever is pending, wherever it came from."""

BUILDING: Final = (BUILD, EVERYTHING)
"""Jobs that bring them up to date."""


def fetch_job(venue: str) -> str:
    """Name of the job that brings the daily feeds of a venue."""
    return f"fetch_{venue}"


def capture_job(venue: str) -> str:
    """Name of the job that captures what a venue forgets."""
    return f"capture_{venue}"


def build_jobs(settings: Settings, venues: Sequence[Venue], *, observer: Observer) -> list[Any]:
    """All jobs."""
    landing, clean = dg.AssetSelection.key_prefixes(["raw", "files"]), dg.AssetSelection.groups("clean")
    published = dg.AssetSelection.groups("published")
    layers = dg.AssetSelection.groups("seeds", "staging", "intermediate", "marts")
    return [
        dg.define_asset_job(
            INGEST_FILES,
            selection=landing | clean,
            description="Lands files (from the inbox, or those the configuration names) and loads whatever is pending.",
        ),
        dg.define_asset_job(
            LOAD,
            selection=clean,
            description="Loads landings that the clean tables do not show yet.",
        ),
        dg.define_asset_job(
            BUILD,
            selection=layers | published,
            description="dbt with its blocking tests, before and after the step of statistics, then the snapshot for readers.",
        ),
        dg.define_asset_job(
            PUBLISH, selection=published, description="The snapshot for readers from the marts as they are."
        ),
        dg.define_asset_job(
            EVERYTHING,
            selection=landing | clean | layers | published,
            description="Landing to snapshot in one run. Stops at the first step that fails.",
        ),
        _rebuild_job(settings, observer),
        *(job for venue in venues for job in _venue_jobs(venue)),
    ]


def _venue_jobs(venue: Venue) -> Iterator[Any]:
    """Fetching only writes the landing: venues run side by side, and one that is down turns its own run red."""
    daily = [feed_key(venue.name, feed.name) for feed in venue.feeds if feed.cadence.name == "daily"]
    captured = [feed_key(venue.name, feed.name) for feed in venue.feeds if feed.cadence.name == "capture"]
    if daily:
        yield dg.define_asset_job(
            fetch_job(venue.name),
            selection=dg.AssetSelection.assets(*daily),
            description=f"Brings the daily feeds of {venue.name} into the landing. The load follows by itself.",
        )
    if captured:
        yield dg.define_asset_job(
            capture_job(venue.name),
            selection=dg.AssetSelection.assets(*captured),
            description=f"Captures what {venue.name} forgets, this hour. The load follows by itself.",
        )


def _rebuild_job(settings: Settings, observer: Observer) -> dg.JobDefinition:
    @dg.op(
        name="rebuild_clean_tables",
        description="Loads every landing into a new database and puts it in the place of the working one.",
        pool=WRITER_POOL,
    )
    def rebuild_clean_tables(context: dg.OpExecutionContext) -> None:
        from pipelines.operations.rebuild import rebuild

        with step(context, settings, observer):
            report = rebuild(settings, progress=observer.progress)
            outcome = report.outcome
            observer.loaded(outcome)
            observer.compared("clean", report.comparison)
            loads = [load for report in outcome.reports for load in report.tables]
            context.add_output_metadata(
                {
                    "sources": len(outcome.reports),
                    "received": sum(load.received for load in loads),
                    "accepted": sum(load.accepted for load in loads),
                    "quarantined": sum(load.quarantined for load in loads),
                    "differences": list(report.comparison.differences)
                    if report.comparison
                    else "nothing to compare with",
                }
            )

    @dg.job(
        name=REBUILD,
        description="Makes the working database anew from the landing alone; the marts follow with the next build.",
    )
    def rebuild_job() -> None:
        rebuild_clean_tables()

    return rebuild_job
