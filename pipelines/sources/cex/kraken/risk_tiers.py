"""Kraken's margin levels of perpetuals, which are part of its list of instruments.

Facts from Kraken's documentation and from public clients; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.cex.kraken.wire import NAME, PERPETUAL
from pipelines.sources.records import Field, Record, at_path, having, read_records
from pipelines.sources.risk_tiers import DEFAULT_SCHEDULE, by_lower_bound, risk_tiers

instruments = at_path("instruments")

SCHEDULES: Final = {"marginLevels": DEFAULT_SCHEDULE, "retailMarginLevels": "retail"}
LEVELS: Final = (
    Field("symbol", "name", str),
    Field("schedule", "schedule", str),
    # Of inverse contracts; of the others the value, in dollars (?): tens of millions cannot be coins.
    Field("contracts", "in_contracts", float, optional=True),
    Field("numNonContractUnits", "in_quote", float, optional=True),
    Field("initialMargin", "initial", float),
    Field("maintenanceMargin", "maintenance", float),
)


async def fetch_risk_tiers(api: Api, job: Job) -> AsyncIterator[Page]:
    """All contracts with their margin levels, in one response."""
    yield await api.get("/derivatives/api/v3/instruments")


def levels(page: Page) -> Sequence[Record]:
    """Every level of every table of every contract, with the name of the table; one without levels for a contract without any.
    `marginSchedules` are by region and client (europa.retail), and are read where the two lists beside them are absent."""
    records: list[Mapping[str, Any]] = []
    for contract in instruments(page):
        if isinstance(contract, Mapping):
            named = {"symbol": contract.get("symbol")}
            found = [
                {**level, **named, "schedule": name}
                for name, table in _tables(contract)
                for level in table
                if isinstance(level, Mapping)
            ]
            records += found or [{**named, "schedule": DEFAULT_SCHEDULE}]
    return records


def _tables(contract: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    named = [(name, contract[key]) for key, name in SCHEDULES.items() if contract.get(key)]
    if named:
        yield from named
        return
    for region, clients in (contract.get("marginSchedules") or {}).items():
        yield from ((f"{region}.{client}", table) for client, table in clients.items() if isinstance(table, list))


def parse_risk_tiers(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Leverage is the inverse of the initial margin; nothing is deducted: the whole position has the rates of its level."""
    found = read_records(pages, levels, LEVELS, needed=having("symbol", PERPETUAL))
    frame = by_lower_bound(
        found.frame.with_columns(
            pl.col("name").str.to_uppercase().alias("instrument"),
            pl.coalesce("in_quote", "in_contracts").alias("lower"),
            (1 / pl.col("initial")).alias("max_leverage"),
            pl.lit(None, pl.Float64).alias("deduction"),
        )
    )
    unit = pl.when(pl.col("in_quote").is_not_null()).then(pl.lit("quote")).otherwise(pl.lit("contracts"))
    yield risk_tiers(NAME, frame, found.rejects, context, unit=unit)
