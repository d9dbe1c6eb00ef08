"""Bybit's risk limits of perpetuals: leverage and margin rates by value of the position.

Facts from Bybit's v5 documentation and from public clients; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import polars as pl

from pipelines.extract.paging import pages_by_cursor
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.cex.bybit.wire import NAME, category, result_list, symbol
from pipelines.sources.records import Field, read_records
from pipelines.sources.risk_tiers import by_upper_bound, risk_tiers

TIERS: Final = (
    Field("symbol", "instrument", str),
    Field("riskLimitValue", "upper", float),
    Field("maintenanceMargin", "maintenance", float),
    Field("initialMargin", "initial", float),
    Field("maxLeverage", "max_leverage", float),
    # An empty text in the first tier, where nothing is deducted.
    Field("mmDeduction", "deduction", float, optional=True),
)


async def fetch_risk_tiers(api: Api, job: Job) -> AsyncIterator[Page]:
    """All tiers of one contract. Without a symbol the endpoint gives 15 contracts a page."""

    async def get(cursor: str | None) -> Page:
        params: dict[str, str | int] = {"category": category(job), "symbol": symbol(job)}
        return await api.get(
            "/v5/market/risk-limit", subject=job.subject, params=params | ({"cursor": cursor} if cursor else {})
        )

    async for page in pages_by_cursor(get, lambda page: page.json()["result"].get("nextPageCursor")):
        yield page


def parse_risk_tiers(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Limits of linear contracts are in their quote currency, of inverse ones in coin (?). Their ids count over all contracts.

    Bybit's example of an inverse contract has rates in percent, those of linear ones are fractions: initial margin times leverage
    is 1 or 100, which says what a row has.
    """
    found = read_records(pages, result_list, TIERS)
    scale = pl.when(pl.col("initial") * pl.col("max_leverage") > 10).then(100.0).otherwise(1.0)
    is_first = pl.col("lower") == 0
    frame = by_upper_bound(found.frame).with_columns(
        pl.col("initial", "maintenance") / scale,
        pl.when(is_first).then(pl.col("deduction").fill_null(0.0)).otherwise("deduction").alias("deduction"),
    )
    unit = pl.when(pl.col("contract_type") == "inverse").then(pl.lit("base")).otherwise(pl.lit("quote"))
    yield risk_tiers(NAME, frame, found.rejects, context, unit=unit)
