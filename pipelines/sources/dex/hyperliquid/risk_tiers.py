"""Hyperliquid's margin tables: the leverage of positions by their value, of its own perpetuals and of those that others deploy.

Facts from Hyperliquid's documentation and from an answer recorded in August 2026; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.dex.hyperliquid.dexes import METAS
from pipelines.sources.dex.hyperliquid.wire import NAME, info, root_array
from pipelines.sources.records import Field, Record, kept, read_records, with_facts
from pipelines.sources.risk_tiers import by_lower_bound, risk_tiers

TIERS: Final = (
    Field("name", "instrument", str),
    Field("isDelisted", "is_delisted", bool, optional=True),
    Field("lowerBound", "lower", float),
    Field("maxLeverage", "max_leverage", float),
)


async def fetch_risk_tiers(api: Api, job: Job) -> AsyncIterator[Page]:
    """Perpetuals and margin tables of all exchanges, in one response."""
    yield await info(api, {"type": METAS})


def tiers(page: Page) -> Sequence[Record]:
    """Every tier of every perpetual. One whose table is not listed has one tier: tables below number 50 only state a leverage."""
    records: list[Record] = []
    for exchange in root_array(page):
        if isinstance(exchange, Mapping):
            if "universe" not in exchange:
                raise SourceFormatError(f"{NAME}: {page.where}: an exchange without its universe.")
            tables = _tables(exchange)
            for perpetual in exchange["universe"] or ():
                if not isinstance(perpetual, Mapping):
                    records.append(perpetual)
                    continue
                facts = {"name": perpetual.get("name"), "isDelisted": perpetual.get("isDelisted")}
                several = tables.get(perpetual.get("marginTableId")) or [_whole(perpetual)]
                records += [with_facts(tier, **facts) for tier in several]
    return records


def _tables(exchange: Mapping[str, Any]) -> Mapping[int | None, Sequence[Mapping[str, Any]]]:
    return {number: table["marginTiers"] for number, table in exchange.get("marginTables") or ()}


def _whole(perpetual: Mapping[str, Any]) -> Mapping[str, Any]:
    stated = {"maxLeverage": perpetual["maxLeverage"]} if "maxLeverage" in perpetual else {}
    return {"lowerBound": "0.0", **stated}


def parse_risk_tiers(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Maintenance margin is half of the initial margin at the largest leverage of a tier; what is deducted grows from tier to tier
    by its lower bound times the rise of the rate. Both are documented, and not in the answer."""
    found = read_records(pages, tiers, TIERS)
    traded = kept(found.frame, ~pl.col("is_delisted").fill_null(value=False), "delisted")
    frame = by_lower_bound(traded).with_columns(
        pl.lit(None, pl.Float64).alias("initial"), (0.5 / pl.col("max_leverage")).alias("maintenance")
    )
    rise = pl.col("maintenance") - pl.col("maintenance").shift(1).over("instrument")
    frame = frame.with_columns((pl.col("lower") * rise.fill_null(0.0)).cum_sum().over("instrument").alias("deduction"))
    yield risk_tiers(NAME, frame, found.rejects, context, unit="quote")
