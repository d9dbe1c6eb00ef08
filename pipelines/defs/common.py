"""Shared by the Dagster definitions: asset keys, freshness policies, conversion of errors.

Defines no assets, jobs or sensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import dagster as dg

from pipelines.core.errors import LeverhouseError, TransientError
from pipelines.core.files import explained, private_files
from pipelines.core.redaction import redact, redact_error
from pipelines.core.settings import Settings
from pipelines.extract.clock import check_clock
from pipelines.extract.landing import utc_now
from pipelines.operations.observer import Observer

OWNERS: Final = ["team:data"]

WRITER_POOL: Final = "warehouse_writer"
"""Pool of all steps that write the warehouse; its limit is in warehouse/dagster_home/dagster.yaml."""

KIND_TAG: Final = "leverhouse/kind"
"""Run tag by which dagster.yaml limits how many runs of a kind go on at once: fetches never take the places of load and build."""

FETCH_TAGS: Final = {KIND_TAG: "fetch", "dagster/max_runtime": "14400", "dagster/max_retries": "0"}
CAPTURE_TAGS: Final = {KIND_TAG: "capture", "dagster/max_runtime": "1200", "dagster/max_retries": "0"}
"""Runs that ask a venue: how long one may take (a capture's place is free again within its hour), and that Dagster repeats none:
what is due is asked for by the next one."""

RETRY_TAG: Final = "dagster/retry_on_asset_or_op_failure"
"""Run tag: whether the single retry of dagster.yaml applies to a failed step. Set only for transient errors."""

LEDGER: Final = dg.AssetKey(["clean", "ledger"])
"""The loader ledger (schema ops) as one asset."""

BUILT_DAILY: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=27))
"""For everything downstream of the landing, which the daily schedule rebuilds. Covers when a table was built; the check
newest_day covers how recent its rows are."""


def venue_pool(venue: str) -> str:
    """Pool of the steps that ask a venue: one at a time, because rate limits apply per IP address."""
    return f"venue_{venue}"


def raw_key(dataset: str) -> dg.AssetKey:
    return dg.AssetKey(["raw", "files", dataset])


def feed_key(venue: str, feed: str) -> dg.AssetKey:
    return dg.AssetKey(["raw", venue, feed])


def clean_key(table: str) -> dg.AssetKey:
    return dg.AssetKey(["clean", table])


@contextmanager
def step(
    context: dg.AssetExecutionContext | dg.OpExecutionContext, settings: Settings, observer: Observer
) -> Iterator[None]:
    """Run the body of an asset, and pass errors to the observer and to Dagster, without secrets.

    Dagster stores an error with all its causes. Only a TransientError allows the single retry of the run.
    """
    name = context.op_execution_context.op.name if isinstance(context, dg.AssetExecutionContext) else context.op.name
    try:
        with private_files():
            check_clock(utc_now())
            yield
    except TransientError as error:
        redact_error(error)
        observer.failed(name, error)
        context.instance.add_run_tags(context.run.run_id, {RETRY_TAG: "true"})
        raise
    except LeverhouseError as error:
        redact_error(error)
        observer.failed(name, error)
        raise _failure(error) from error
    except Exception as error:
        fault = explained(error, home=settings.root)
        if fault is not None:
            redact_error(error)
            redact_error(fault)
            observer.failed(name, fault)
            raise _failure(fault) from error
        clean = redact_error(error)
        if clean is error:
            raise
        raise clean from None


def _failure(error: LeverhouseError) -> dg.Failure:
    return dg.Failure(
        description=str(error),
        metadata={"error": type(error).__name__, "exit_code": error.exit_code},
        allow_retries=False,
    )


def tables_of_rows(**tables: Sequence[Mapping[str, Any]]) -> dict[str, dg.TableMetadataValue]:
    """Metadata of the tables that have rows: an empty one costs a kilobyte in every event and says nothing."""
    return {name: table_metadata(rows) for name, rows in tables.items() if rows}


def table_metadata(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Rows as table metadata; cells are converted to text, so that dates and nulls can be shown, without secrets."""
    records = [
        dg.TableRecord({name: "" if value is None else redact(str(value)) for name, value in row.items()})
        for row in rows
    ]
    columns = list(rows[0]) if rows else []
    schema = dg.TableSchema(columns=[dg.TableColumn(name, "string") for name in columns])
    return dg.MetadataValue.table(records=records, schema=schema)
