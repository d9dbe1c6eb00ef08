"""Jobs: which assets run together.

Ingestion and build are separate jobs, so that a failed source does not block the publication of the others.
"""

from typing import Any, Final

import dagster as dg

from pipelines.core.settings import Settings
from pipelines.defs.common import WRITER_POOL, step
from pipelines.defs.marts import GROUPS
from pipelines.operations.observer import Observer

INGEST_FILES: Final = "ingest_files"
LOAD: Final = "load"
BUILD: Final = "build"
PUBLISH: Final = "publish"
EVERYTHING: Final = "everything"
REBUILD: Final = "rebuild"

INGESTING: Final = (INGEST_FILES, LOAD, REBUILD)
"""Jobs after which the marts must be rebuilt."""

LOADING: Final = (INGEST_FILES, LOAD)
"""Jobs that load everything pending, from files and venues."""

BUILDING: Final = (BUILD, EVERYTHING)
"""Jobs that build the marts."""


def fetch_job(venue: str) -> str:
    """Name of the job that fetches the daily feeds of a venue."""
    return f"fetch_{venue}"


def capture_job(venue: str) -> str:
    """Name of the job that captures the current state of a venue."""
    return f"capture_{venue}"


def build_jobs(settings: Settings, *, observer: Observer) -> list[Any]:
    """The jobs of assets, and the rebuild. Those that fetch are in venues.py, those that load and build in steps.py."""
    landing, clean = dg.AssetSelection.key_prefixes(["raw", "files"]), dg.AssetSelection.groups("clean")
    published = dg.AssetSelection.groups("published")
    layers = dg.AssetSelection.groups(*GROUPS)
    return [
        dg.define_asset_job(
            INGEST_FILES,
            selection=landing | clean,
            description="Lands files (from the inbox, or those in the run configuration) and loads everything pending.",
        ),
        dg.define_asset_job(
            PUBLISH, selection=published, description="Publishes the snapshot from the existing marts."
        ),
        dg.define_asset_job(
            EVERYTHING,
            selection=landing | clean | layers | published,
            description="From landing to snapshot in one run. Stops at the first failed step.",
        ),
        _rebuild_job(settings, observer),
    ]


def _rebuild_job(settings: Settings, observer: Observer) -> dg.JobDefinition:
    @dg.op(
        name="rebuild_clean_tables",
        description="Loads every landing into a new database that replaces the working one.",
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
        description="Rebuilds the working database from the landing; the next build creates the marts.",
    )
    def rebuild_job() -> None:
        rebuild_clean_tables()

    return rebuild_job
