"""The published snapshot and the report as assets; storage.publish and report.build do the work."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from pipelines.core.settings import Settings
from pipelines.defs.common import BUILT_DAILY, OWNERS, WRITER_POOL, step
from pipelines.operations.observer import Observer

PUBLISHED = dg.AssetKey(["published", "leverhouse"])
REPORT = dg.AssetKey(["published", "report"])


def build_published_asset(
    settings: Settings, marts: Sequence[dg.AssetKey], manifest: Path, *, observer: Observer
) -> dg.AssetsDefinition:
    """The file that readers open. It depends on the marts, so a failed blocking check leaves the old one in place."""

    @dg.asset(
        key=PUBLISHED,
        deps=list(marts),
        group_name="published",
        owners=OWNERS,
        kinds={"duckdb", "parquet"},
        description="Atomic snapshot of the marts and the loader ledger, as one DuckDB file and as Parquet. "
        "The only file that readers open.",
        freshness_policy=BUILT_DAILY,
        pool=WRITER_POOL,
    )
    def published(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        with step(context, settings, observer):
            return dg.MaterializeResult(metadata=publication_metadata(settings, manifest, observer))

    return published


def build_report_asset(settings: Settings, *, observer: Observer) -> dg.AssetsDefinition:
    """The static pages of the published file. They follow it, and their failure leaves it and the pages before in place."""

    @dg.asset(
        key=REPORT,
        deps=[PUBLISHED],
        group_name="published",
        owners=OWNERS,
        kinds={"html"},
        description="Static pages of the published file: charts of every asset, signals, data trust. Opened from a file.",
        freshness_policy=BUILT_DAILY,
    )
    def report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        with step(context, settings, observer):
            return dg.MaterializeResult(metadata=report_metadata(settings, observer))

    return report


def publication_metadata(settings: Settings, manifest: Path, observer: Observer) -> dict[str, Any]:
    """Publish, and return what is told of it."""
    from pipelines.extract.landing import utc_now
    from pipelines.operations.build import edition
    from pipelines.storage.publish import publish

    publication = publish(settings, now=utc_now(), edition=edition(settings, manifest), progress=observer.progress)
    observer.published(publication)
    return {
        "database": dg.MetadataValue.path(publication.database),
        "parquet": dg.MetadataValue.path(publication.parquet),
        "tables": publication.tables,
        "dagster/row_count": publication.rows,
        "bytes": publication.bytes,
        "seconds": round(publication.seconds, 3),
    }


def report_metadata(settings: Settings, observer: Observer) -> dict[str, Any]:
    """Draw the report, and return what is told of it."""
    from pipelines.report.build import write_report

    written = write_report(settings, progress=observer.progress)
    observer.reported(written)
    return {
        "index": dg.MetadataValue.path(written.index),
        "assets": written.assets,
        "files": written.files,
        "bytes": written.bytes,
        "seconds": round(written.seconds, 3),
    }
