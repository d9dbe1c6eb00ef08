"""What every Dagster object here shares: names, partitions, freshness, and how errors of the pipeline become Dagster's.

No assets, jobs or sensors of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import dagster as dg

from pipelines.core.errors import LeverhouseError, TransientError
from pipelines.core.paths import claim_process
from pipelines.core.settings import Settings
from pipelines.operations.observer import Observer

OWNERS: Final = ["team:data"]

WRITER_POOL: Final = "warehouse_writer"
"""The pool of everything that writes the warehouse; its limit is in warehouse/dagster_home/dagster.yaml."""

PROCESS_TAG: Final = "leverhouse/process"
"""Run tag: token of the process that executes the run (home.claim_process)."""

RETRY_TAG: Final = "dagster/retry_on_asset_or_op_failure"
"""Run tag: whether the one retry of dagster.yaml applies to a failed step. Off unless the error may pass by itself."""

FIRST_DAY: Final = "2019-09-01"
"""The first day of the oldest venue archive that is followed."""

DAYS: Final = dg.DailyPartitionsDefinition(start_date=FIRST_DAY)
"""UTC days of the feeds in the landing."""

LEDGER: Final = dg.AssetKey(["clean", "ledger"])
"""The bookkeeping of the loaders, schema ops, as one asset."""

BUILT_DAILY: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36), warn_window=timedelta(hours=27))
"""Everything downstream of the landing is renewed by the daily schedule. It says when a table was built and not how new
its rows are: the check newest_day beside it does that."""


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
    """Run the body of an asset: mark the run with this process, and hand errors to the watcher and to Dagster.

    Only TransientError lets the run be retried, once; every other error ends it.
    """
    if PROCESS_TAG not in context.run.tags:
        context.instance.add_run_tags(context.run.run_id, {PROCESS_TAG: claim_process(settings)})
    name = context.op_execution_context.op.name if isinstance(context, dg.AssetExecutionContext) else context.op.name
    try:
        yield
    except TransientError as error:
        observer.failed(name, error)
        context.instance.add_run_tags(context.run.run_id, {RETRY_TAG: "true"})
        raise
    except LeverhouseError as error:
        observer.failed(name, error)
        raise dg.Failure(
            description=str(error),
            metadata={"error": type(error).__name__, "exit_code": error.exit_code},
            allow_retries=False,
        ) from error


def table_metadata(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Rows as a table on the screen; cells become text, so that dates and nulls can be shown."""
    records = [
        dg.TableRecord({name: "" if value is None else str(value) for name, value in row.items()}) for row in rows
    ]
    columns = list(rows[0]) if rows else []
    schema = dg.TableSchema(columns=[dg.TableColumn(name, "string") for name in columns])
    return dg.MetadataValue.table(records=records, schema=schema)
