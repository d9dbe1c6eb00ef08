"""Rows of the on-chain exchanges: linear perpetuals with amounts in coin, so contracts have no size.

Fields and units of a venue's payloads are in its module; mapping symbols to assets is in pipelines.core.universe.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import polars as pl

from pipelines.core.errors import LeverhouseError
from pipelines.extract.venue import Api, Counting, Job, Parsed
from pipelines.sources import counting
from pipelines.sources.asset_class import with_asset_class
from pipelines.sources.instruments import parse_symbols
from pipelines.sources.records import LINE, SUBJECT, Records, rejected

HOUR: Final = timedelta(hours=1)
HOUR_MS: Final = 3_600_000


def linear_perpetuals(venue: str, found: Records, *, stated: pl.Expr | None = None) -> Parsed:
    """Rows of clean.instruments from the column `instrument` of `found.frame`, valid from the day of receipt.

    `stated` is the asset class by the venue's own field; None if it has none. Optional columns of the frame: `settled_in`, the
    quote currency where the name does not tell it, and `listed_at`. Symbols that match no rule of the venue are rejected.
    """
    known = parse_symbols(venue, found.frame["instrument"])
    frame = found.frame.join(known, on="instrument", how="left", maintain_order="left")
    frame = with_asset_class(frame, pl.lit(None, pl.String) if stated is None else stated)
    optional = {"settled_in": pl.lit(None, pl.String), "listed_at": pl.lit(None, pl.Datetime("us"))}
    frame = frame.with_columns(value.alias(name) for name, value in optional.items() if name not in frame.columns)
    rows = frame.filter(pl.col("asset").is_not_null()).select(
        pl.lit(venue).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        *(["asset_class"] if stated is not None else []),
        pl.coalesce("settled_in", "quote").alias("quote"),
        pl.lit("linear").alias("contract_type"),
        pl.lit(None, pl.Float64).alias("contract_size"),
        pl.lit(None, pl.String).alias("contract_size_unit"),
        "multiplier",
        "listed_at",
        pl.lit(None, pl.Datetime("us")).alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    unknown = rejected(
        frame.filter(pl.col("asset").is_null()), reason="unknown_instrument", instrument="instrument",
        detail=f"the name follows no rule of {venue}'s",
    )  # fmt: skip
    return Parsed("instruments", rows, pl.concat([found.rejects, unknown]))


def interest(
    venue: str,
    frame: pl.DataFrame,
    facts: Sequence[Counting],
    *,
    at: str,
    instrument: str = SUBJECT,
    period: str = "snapshot",
) -> pl.DataFrame:
    """Rows of clean.open_interest from the column `oi_base`, in units of the instrument, at the time in the column `at`."""
    counted = counting.sides(facts, pl.col(at))
    return frame.select(
        pl.lit(venue).alias("venue"),
        pl.col(instrument).alias("instrument"),
        pl.lit(period).alias("period"),
        pl.col(at).alias("event_at"),
        (pl.col("oi_base") * counting.share(counted)).alias("oi_base"),
        pl.col("oi_base").alias("oi_raw"),
        pl.lit("base").alias("oi_raw_unit"),
        counting.counting(counted),
        pl.max_horizontal(at, *(["received_at"] if period == "snapshot" else [])).alias("available_at"),
        LINE,
    )


def hourly_candles(venue: str, found: Records, *columns: str | pl.Expr, instrument: str = SUBJECT) -> Parsed:
    """Rows of clean.candles from the columns `opened_at`, open, high, low, close and `columns`. A candle received before its close
    is rejected."""
    frame = found.frame
    closed_at = pl.col("opened_at") + HOUR
    is_open = closed_at > pl.col("received_at")
    rows = frame.filter(~is_open).select(
        pl.lit(venue).alias("venue"),
        pl.col(instrument).alias("instrument"),
        pl.lit("perp").alias("market"),
        pl.lit("1h").alias("period"),
        "opened_at",
        *("open", "high", "low", "close"),
        *columns,
        closed_at.alias("available_at"),
        LINE,
    )
    early = rejected(
        frame.filter(is_open), reason="undecodable", stamp="opened_at", field="opened_at", instrument=instrument,
        detail="the candle is not closed yet",
    )  # fmt: skip
    return Parsed("candles", rows, pl.concat([found.rejects, early]))


@dataclass(eq=False)
class Ids:
    """The numbers by which a venue is asked about its instruments, by name. The list is asked for once per client."""

    listed: Callable[[Api], Awaitable[Mapping[str, str]]]
    _asked: weakref.WeakKeyDictionary[Api, asyncio.Task[Mapping[str, str]]] = field(
        default_factory=weakref.WeakKeyDictionary
    )

    async def of(self, api: Api, job: Job) -> str | None:
        """The number of the job's instrument; None if the venue no longer lists it."""
        if api not in self._asked:
            self._asked[api] = asyncio.ensure_future(self.listed(api))
        try:
            return (await self._asked[api]).get(job.subject)
        except LeverhouseError:
            # The next job asks again.
            self._asked.pop(api, None)
            raise
