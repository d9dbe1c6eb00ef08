"""Hyperliquid's history: settled funding, candles, and the daily liquidated notional of its statistics page.

Facts from Hyperliquid's documentation; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from math import ceil
from typing import Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.core.universe import parse_symbol
from pipelines.extract.paging import paginate_forward
from pipelines.extract.venue import Api, Context, Job, NotYetPublishedError, Page, Parsed
from pipelines.sources.dex.hyperliquid.wire import HOUR_MS, NAME, info, root_array
from pipelines.sources.dex.perpetuals import hourly_candles
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Records,
    at_path,
    from_ms,
    read_records,
    rejected,
    stamps_of,
    within,
)

FUNDING_LIMIT: Final = 500
CANDLE_LIMIT: Final = 5000
CANDLES_KEPT_DAYS: Final = CANDLE_LIMIT // 24 - 1
"""Only the newest 5,000 candles of an interval are available: 208 days of hourly candles, the oldest day incomplete."""

LIQUIDATED: Final = "/daily_notional_liquidated_by_coin"

FUNDING: Final = (Field("fundingRate", "rate", float), Field("time", "at_ms", int))
CANDLES: Final = (
    Field("t", "at_ms", int),
    *(Field(key, name, float) for key, name in zip("ohlc", ("open", "high", "low", "close"), strict=True)),
    Field("v", "volume_base", float),
    Field("n", "trades", int),
)
TOTALS: Final = (
    Field("time", "day_text", str),
    Field("coin", "instrument", str),
    Field("daily_notional_liquidated", "total_usd", float),
)

totals = at_path("chart_data")


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements, oldest first, 500 per response; both bounds are inclusive. A month takes two pages."""

    async def get(first: int, last: int) -> Page:
        limit = min(FUNDING_LIMIT, (last - first) // HOUR_MS + 1)
        body = {"type": "fundingHistory", "coin": job.subject, "startTime": first, "endTime": last}
        return await info(api, body, subject=job.subject, extra=ceil(limit / 20))

    start, end = job.span.start_ms, job.span.end_ms
    async for page in paginate_forward(
        get, stamps_of(root_array, "time"), start=start, end=end, limit=FUNDING_LIMIT, spacing=HOUR_MS
    ):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates as a fraction per interval: an hour today, 8 hours in May 2023. The interval is not in the payload; it is
    inferred from settlement times.

    Funding settles on the hour; timestamps are those of the block, up to half a second late, and once 111 s (2025-07-27).
    """
    found = read_records(pages, root_array, FUNDING)
    rows = found.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        from_ms("at_ms").dt.round("1h").alias("settled_at"),
        "rate",
        from_ms("at_ms").alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, found.rejects)


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles, oldest first: every candle that overlaps [startTime, endTime]."""

    async def get(first: int, last: int) -> Page:
        limit = min(CANDLE_LIMIT, (last - first) // HOUR_MS + 1)
        request = {"coin": job.subject, "interval": "1h", "startTime": first, "endTime": last}
        return await info(api, {"type": "candleSnapshot", "req": request}, subject=job.subject, extra=ceil(limit / 60))

    start, end, stamps = job.span.start_ms, job.span.end_ms, stamps_of(root_array, "t")
    async for page in paginate_forward(
        get, stamps, start=start, end=end, limit=CANDLE_LIMIT, step=HOUR_MS, spacing=HOUR_MS
    ):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Volume is in units of the instrument; the response has no quote volume. A candle received before its close is rejected."""
    found = read_records(pages, root_array, CANDLES)
    frame = found.frame.with_columns(from_ms("at_ms").alias("opened_at"))
    yield hourly_candles(NAME, Records(frame, found.rejects), "volume_base", "trades")


async def fetch_liquidation_totals(api: Api, job: Job) -> AsyncIterator[Page]:
    """The whole history, one file. A day without rows is not published yet: a coin without liquidations is absent on that day, but
    no day is without liquidations. Months are fetched only after they are over, so only single days are checked."""
    page = await api.get(LIQUIDATED, endpoint="stats", subject=job.subject)
    if len(job.span.days) == 1 and f"{job.span.start:%Y-%m-%d}" not in days_of(page):
        raise NotYetPublishedError
    yield page


def days_of(page: Page) -> set[str]:
    """The days with rows in the file, as texts."""
    try:
        return {row["time"][:10] for row in totals(page)}  # type: ignore[call-overload]
    except (KeyError, TypeError) as error:
        raise SourceFormatError(f"{page.where}: expected a day in 'time' of every row: {page.excerpt}") from error


def parse_liquidation_totals(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Liquidated notional per coin and day, without sides, for the days of the span; each landing contains the whole file.

    The page totals all fills of the chain, so completeness is full, not throttled or sampled. Whether both sides of a liquidation
    are counted is not confirmed (?): a factor of two is possible, missing events are not.
    """
    found = read_records(pages, totals, TOTALS)
    frame = found.frame.with_columns(
        pl.col("day_text").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False).alias("at")
    )
    names = frame["instrument"].unique()
    known = pl.col("instrument").is_in([name for name in names if parse_symbol(NAME, name) is not None])
    in_span = within(frame, "at", context, answers="history")
    rows = in_span.filter(known).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.lit("position_notional").alias("measure"),
        pl.lit("1d").alias("period"),
        pl.col("at").alias("event_at"),
        "total_usd",
        pl.lit("full").alias("completeness"),
        # The page is updated once a day.
        (pl.col("at") + timedelta(days=2)).alias("available_at"),
        LINE,
    )
    untimed = rejected(
        frame.filter(pl.col("at").is_null()), reason="unparsable", field="time", instrument="instrument",
        detail="no day like 2023-06-14T00:00:00",
    )  # fmt: skip
    unknown = rejected(
        in_span.filter(~known), reason="unknown_instrument", stamp="at", instrument="instrument",
        detail="the name follows no rule of Hyperliquid's",
    )  # fmt: skip
    yield Parsed("liquidation_totals", rows, pl.concat([found.rejects, untimed, unknown]))
