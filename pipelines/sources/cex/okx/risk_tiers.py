"""OKX's position tiers of swaps: leverage and margin rates by number of contracts.

Facts from OKX's v5 documentation; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import polars as pl

from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.cex.okx import wire
from pipelines.sources.cex.okx.capture import SWAP
from pipelines.sources.cex.okx.wire import NAME
from pipelines.sources.records import SUBJECT, Field, read_records
from pipelines.sources.risk_tiers import risk_tiers

TIERS: Final = (
    Field("minSz", "lower", float),
    Field("maxSz", "upper", float),
    Field("maxLever", "max_leverage", float),
    Field("imr", "initial", float),
    Field("mmr", "maintenance", float),
)


async def fetch_risk_tiers(api: Api, job: Job) -> AsyncIterator[Page]:
    """The tiers of cross margin of one swap; those of isolated margin are the same for swaps (?)."""
    family = job.subject.removesuffix(SWAP)
    yield await wire.get(
        api, wire.POSITION_TIERS, job.subject, instType="SWAP", tdMode="cross", instFamily=family
    )  # fmt: skip


def parse_risk_tiers(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Sizes are contracts. A tier may begin a contract above the end of the one before. Records of swaps have no instId, so the
    instrument is the one that was asked for. Nothing is deducted: the whole position has the rate of its tier."""
    found = read_records(pages, wire.records, TIERS)
    frame = found.frame.with_columns(pl.col(SUBJECT).alias("instrument"), pl.lit(None, pl.Float64).alias("deduction"))
    yield risk_tiers(NAME, frame, found.rejects, context, unit="contracts")
