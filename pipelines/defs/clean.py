"""The clean tables as one multi-asset, because the transaction of a source may write several of them.

operations.load.load_pending does the work; warehouse/schema defines the tables. No parsing, no SQL.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from pipelines.contract.ddl import Contract, Table
from pipelines.core.settings import Settings
from pipelines.defs.common import (
    BUILT_DAILY,
    LEDGER,
    OWNERS,
    WRITER_POOL,
    clean_key,
    feed_key,
    raw_key,
    step,
    table_metadata,
    tables_of_rows,
)
from pipelines.extract.venue import Venue
from pipelines.operations.datasets import Dataset
from pipelines.operations.observer import Observer

if TYPE_CHECKING:
    from pipelines.clean.load import TableLoad
    from pipelines.operations.load import LoadOutcome
    from pipelines.storage.status import LedgerState, TableState

Result = dg.MaterializeResult[Any] | dg.AssetCheckResult


def build_clean_assets(
    settings: Settings, contract: Contract, datasets: Sequence[Dataset], venues: Sequence[Venue], *, observer: Observer
) -> dg.AssetsDefinition:
    """All clean tables and the ledger, with the checks gate, reconciliation and coverage on every table.

    The landing is partitioned by day, the clean tables are not: pending landings are found by comparing the landing with
    ops, so a run loads everything pending, whatever its days.
    """
    feeders = {
        name: [
            *(raw_key(dataset.name) for dataset in datasets if name in dataset.tables),
            *(feed_key(venue.name, feed.name) for venue in venues for feed in venue.feeds if name in feed.tables),
        ]
        for name in contract.clean
    }
    specs = [_table_spec(table, feeders[table.name]) for table in contract.clean.values()]
    specs.append(
        dg.AssetSpec(
            LEDGER,
            deps=sorted({*(raw_key(d.name) for d in datasets), *(key for keys in feeders.values() for key in keys)}),
            group_name="clean",
            owners=OWNERS,
            kinds={"duckdb"},
            description="Loader ledger, schema ops: landings, loads, lineage, quarantine, coverage, checks.",
            freshness_policy=BUILT_DAILY,
        )
    )

    @dg.multi_asset(
        name="clean",
        specs=specs,
        check_specs=[spec for table in contract.clean for spec in _check_specs(table)],
        can_subset=False,
        pool=WRITER_POOL,
    )
    def clean(context: dg.AssetExecutionContext) -> Iterator[Result]:
        from pipelines.operations.diagnostics import inspect_clean
        from pipelines.operations.load import load_pending

        with step(context, settings, observer):
            outcome = load_pending(settings, progress=observer.progress)
            observer.loaded(outcome)
            states, ledger = inspect_clean(settings)
            for name in contract.clean:
                yield dg.MaterializeResult(
                    asset_key=clean_key(name), metadata=table_load_metadata(name, outcome, states[name])
                )
                yield from checks_of(states[name])
            yield dg.MaterializeResult(asset_key=LEDGER, metadata=ledger_metadata(outcome, ledger))
            outcome.raise_failures()

    return clean


def _table_spec(table: Table, feeders: Sequence[dg.AssetKey]) -> dg.AssetSpec:
    columns = [
        dg.TableColumn(
            name=column.name,
            type=column.type.lower(),
            description=column.comment,
            constraints=dg.TableColumnConstraints(nullable=column.nullable),
        )
        for column in table.columns
    ]
    return dg.AssetSpec(
        clean_key(table.name),
        deps=feeders,
        group_name="clean",
        owners=OWNERS,
        kinds={"duckdb", "polars", "greatexpectations"},
        description=f"{table.comment} Key: {', '.join(table.key)}.",
        freshness_policy=BUILT_DAILY,
        metadata={
            "dagster/column_schema": dg.TableSchema(columns=columns),
            "dagster/table_name": f"leverhouse.{table.qualified}",
        },
    )


def _check_specs(table: str) -> list[dg.AssetCheckSpec]:
    descriptions = {
        "gate": "The newest batch of every source passed the checks of the gate.",
        "reconciliation": "received = accepted + duplicates + quarantined, and the table has exactly the accepted rows.",
        "coverage": "Every expected period of every instrument and day is present.",
    }
    return [
        dg.AssetCheckSpec(name, asset=clean_key(table), description=text, blocking=name == "reconciliation")
        for name, text in descriptions.items()
    ]


def table_load_metadata(name: str, outcome: "LoadOutcome", state: "TableState") -> Mapping[str, Any]:
    """What a load did to a table."""
    loads = [(report, load) for report in outcome.reports for load in report.tables if load.table == name]
    metadata: dict[str, Any] = {
        "dagster/row_count": state.rows,
        "received": sum(load.received for _, load in loads),
        "accepted": sum(load.accepted for _, load in loads),
        "duplicates": sum(load.duplicates for _, load in loads),
        "quarantined": sum(load.quarantined for _, load in loads),
        "landings": sum(report.landings for report, _ in loads),
    }
    days = [day for _, load in loads for day in (load.first_day, load.last_day) if day is not None]
    if days:
        metadata |= {"first_day": str(min(days)), "last_day": str(max(days))}
    if loads:
        metadata["by_source"] = table_metadata([_load_row(report.source, load) for report, load in loads])
    if state.first_day and state.last_day:
        metadata |= {"table_first_day": str(state.first_day), "table_last_day": str(state.last_day)}
    return metadata


def _load_row(source: str, load: "TableLoad") -> dict[str, Any]:
    return {
        "source": source,
        "received": load.received,
        "accepted": load.accepted,
        "duplicates": load.duplicates,
        "restated": load.restated,
        "quarantined": load.quarantined,
        "absent_cells": load.absent_cells,
        "first_day": load.first_day,
        "last_day": load.last_day,
    }


def ledger_metadata(outcome: "LoadOutcome", ledger: "LedgerState") -> Mapping[str, Any]:
    """What a load did to the ledger."""
    return {
        "sources_loaded": len(outcome.reports),
        "sources_failed": sorted(outcome.failures),
        "landings": ledger.landings,
        "current_landings": ledger.current_landings,
        "loads": ledger.loads,
        "quarantined": ledger.quarantined,
        "quarantined_by_reason": dict(ledger.by_reason),
    }


def checks_of(state: "TableState") -> Iterator[dg.AssetCheckResult]:
    """The checks gate, reconciliation and coverage of a table."""
    key = clean_key(state.table)
    refused = [check for check in state.failed_checks if check.severity == "error"]
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name="gate",
        passed=not state.failed_checks,
        severity=dg.AssetCheckSeverity.ERROR if refused else dg.AssetCheckSeverity.WARN,
        metadata={
            "checks": state.checks,
            "failed": len(state.failed_checks),
            **tables_of_rows(
                failures=[
                    {
                        "source": c.source,
                        "check": c.name,
                        "severity": c.severity,
                        "observed": dict(c.observed),
                        "sample": c.sample,
                    }
                    for c in state.failed_checks
                ]
            ),
        },
    )
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name="reconciliation",
        passed=state.reconciles,
        metadata={
            "received": state.received,
            "accepted": state.accepted,
            "duplicates": state.duplicates,
            "quarantined": state.quarantined,
            "rows": state.rows,
            **tables_of_rows(quarantine=state.quarantine),
        },
    )
    gaps = state.gaps["partial"] + state.gaps["missing"]
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name="coverage",
        passed=gaps == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            **{f"{status}_days": days for status, days in state.gaps.items()},
            **tables_of_rows(gaps=state.gap_sample),
        },
    )
