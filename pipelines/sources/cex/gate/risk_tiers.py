"""Gate's risk limits of perpetuals: leverage and margin rates by value of the position.

Facts from Gate's v4 documentation and its clients; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import polars as pl

from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.cex.gate.wire import NAME, base_path, root_array
from pipelines.sources.records import SUBJECT, Field, read_records
from pipelines.sources.risk_tiers import by_upper_bound, risk_tiers

TIERS: Final = (
    Field("risk_limit", "upper", float),
    Field("leverage_max", "max_leverage", float),
    Field("initial_rate", "initial", float),
    Field("maintenance_rate", "maintenance", float),
    # Documented since 2024.
    Field("deduction", "deduction", float, optional=True),
)


async def fetch_risk_tiers(api: Api, job: Job) -> AsyncIterator[Page]:
    """All tiers of one contract. Without a contract the endpoint gives those of 100 contracts a page."""
    yield await api.get(f"{base_path(job)}/risk_limit_tiers", subject=job.subject, params={"contract": job.subject})


def parse_risk_tiers(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Limits are values in USDT, of inverse contracts in bitcoin (?)."""
    found = read_records(pages, root_array, TIERS)
    frame = by_upper_bound(found.frame.with_columns(pl.col(SUBJECT).alias("instrument")))
    unit = pl.when(pl.col("contract_type") == "inverse").then(pl.lit("base")).otherwise(pl.lit("quote"))
    yield risk_tiers(NAME, frame, found.rejects, context, unit=unit)
