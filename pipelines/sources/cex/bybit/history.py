"""History of Bybit's perpetuals and spot pairs: open interest, settled funding, account ratios, candles.

Facts from Bybit's v5 documentation; anything not verified live is marked "?". All four endpoints have inclusive bounds and
return the newest rows between them. Open interest goes back to launch, so its current state is not captured separately.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from pipelines.extract.paging import paginate_backward
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.cex.bybit.wire import NAME, category, result_list, symbol
from pipelines.sources.records import LINE, SUBJECT, Field, from_ms, read_records, rejected, settlement, stamps_of

# openInterest counts both sides of a contract; singleOpenInterest (one side) exists since 2026-06-11.
OPEN_INTEREST: Final = (
    Field("openInterest", "both_sides", float),
    Field("singleOpenInterest", "one_side", float, optional=True),
    Field("timestamp", "at_ms", int),
)
FUNDING: Final = (
    Field("fundingRate", "rate", float),
    Field("fundingRateTimestamp", "at_ms", int),
)
RATIO: Final = (
    Field("buyRatio", "long", float),
    Field("sellRatio", "short", float),
    Field("timestamp", "at_ms", int),
)
CANDLES: Final = (
    Field(0, "at_ms", int),
    *(Field(place, name, float) for place, name in enumerate(("open", "high", "low", "close"), start=1)),
    Field(5, "volume", float),
    Field(6, "turnover", float),
)

OI_LIMIT: Final = 200
FUNDING_LIMIT: Final = 200
RATIO_LIMIT: Final = 500
CANDLES_LIMIT: Final = 1000

FIVE_MINUTES_MS: Final = 300_000
HOUR_MS: Final = 3_600_000


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """Five-minute open interest."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            "/v5/market/open-interest",
            subject=job.subject,
            params={
                "category": category(job), "symbol": symbol(job), "intervalTime": "5min",
                "startTime": first, "endTime": last, "limit": OI_LIMIT,
            },
        )  # fmt: skip

    # A state belongs to the day it ends, so a day's last state is the next day's 00:00.
    start, end = job.span.start_ms + 1, job.span.end_ms + 1
    stamps = stamps_of(result_list, "timestamp")
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=OI_LIMIT, spacing=FIVE_MINUTES_MS):
        yield page


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One-sided, in base coin (linear) or dollars (inverse); two-sided values are halved."""
    records = read_records(pages, result_list, OPEN_INTEREST)
    frame = records.frame.join(_contract_types(context), on=SUBJECT, how="left", maintain_order="left")
    amount = pl.coalesce("one_side", pl.col("both_sides") / 2)
    inverse = pl.col("contract_type") == "inverse"
    known = frame.filter(pl.col("contract_type").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("5m").alias("period"),
        from_ms("at_ms").alias("event_at"),
        pl.when(~inverse).then(amount).alias("oi_base"),
        pl.when(inverse).then(amount).alias("oi_usd"),
        pl.coalesce("one_side", "both_sides").alias("oi_raw"),
        pl.when(inverse).then(pl.lit("usd")).otherwise(pl.lit("base")).alias("oi_raw_unit"),
        pl.when(pl.col("one_side").is_null()).then(pl.lit("halved")).otherwise(pl.lit("one_sided")).alias("counting"),
        from_ms("at_ms").alias("available_at"),
        LINE,
    )
    yield Parsed("open_interest", known, pl.concat([records.rejects, _unknown(frame)]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements. The endpoint has no cursor, and startTime without endTime is an error."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            "/v5/market/funding/history",
            subject=job.subject,
            params={
                "category": category(job), "symbol": symbol(job),
                "startTime": first, "endTime": last, "limit": FUNDING_LIMIT,
            },
        )  # fmt: skip

    start, end = job.span.start_ms, job.span.end_ms
    stamps = stamps_of(result_list, "fundingRateTimestamp")
    # Intervals of 8, 4, 2 and 1 hours all settle at midnight, where every span starts.
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=FUNDING_LIMIT, spacing=HOUR_MS):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates as a fraction per interval. The interval is not in the payload; it is inferred from settlement times."""
    records = read_records(pages, result_list, FUNDING)
    rows = records.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        settlement(from_ms("at_ms")).alias("settled_at"),
        "rate",
        settlement(from_ms("at_ms")).alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, records.rejects)


async def fetch_ratios(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly account ratio. Bybit also has 5-minute data, but the ratio changes slowly, and hourly data goes back as far with
    a twelfth of the requests."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            "/v5/market/account-ratio",
            subject=job.subject,
            params={
                "category": category(job), "symbol": symbol(job), "period": "1h",
                "startTime": first, "endTime": last, "limit": RATIO_LIMIT,
            },
        )  # fmt: skip

    # As with open interest, the state at midnight belongs to the day it ends.
    start, end = job.span.start_ms + 1, job.span.end_ms + 1
    stamps = stamps_of(result_list, "timestamp")
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=RATIO_LIMIT, spacing=HOUR_MS):
        yield page


def parse_ratios(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Accounts net long over accounts net short: buyRatio and sellRatio are shares that add up to 1.

    Bybit does not document whether a timestamp marks the start or the end of its hour (?), so `event_at` is the timestamp and
    `available_at` is an hour later.
    """
    records = read_records(pages, result_list, RATIO)
    rows = records.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("account_global").alias("measure"),
        pl.lit("1h").alias("period"),
        from_ms("at_ms").alias("event_at"),
        pl.when(pl.col("short") > 0).then(pl.col("long") / pl.col("short")).alias("ratio"),
        (pl.col("long") / (pl.col("long") + pl.col("short"))).alias("long_share"),
        (from_ms("at_ms") + timedelta(hours=1)).alias("available_at"),
        LINE,
    )
    yield Parsed("long_short_ratios", rows, records.rejects)


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles of a perpetual or a spot pair."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            "/v5/market/kline",
            subject=job.subject,
            params={
                "category": category(job), "symbol": symbol(job), "interval": "60",
                "start": first, "end": last, "limit": CANDLES_LIMIT,
            },
        )  # fmt: skip

    start, end = job.span.start_ms, job.span.end_ms
    stamps = stamps_of(result_list, 0)
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=CANDLES_LIMIT, spacing=HOUR_MS):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Volume is in coin and turnover in the quote currency; for inverse contracts volume is in dollars and turnover in coin.

    A candle received before its close is rejected, since it may still change.
    """
    records = read_records(pages, result_list, CANDLES)
    frame = records.frame.join(_contract_types(context), on=SUBJECT, how="left", maintain_order="left").with_columns(
        from_ms("at_ms").alias("opened_at"), (from_ms("at_ms") + timedelta(hours=1)).alias("closed_at")
    )
    inverse = pl.col("contract_type") == "inverse"
    closed = pl.col("closed_at") <= pl.col("received_at")
    rows = frame.filter(pl.col("contract_type").is_not_null(), closed).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.when(pl.col("contract_type") == "spot").then(pl.lit("spot")).otherwise(pl.lit("perp")).alias("market"),
        pl.lit("1h").alias("period"),
        "opened_at",
        *("open", "high", "low", "close"),
        pl.when(inverse).then("turnover").otherwise("volume").alias("volume_base"),
        pl.when(inverse).then("volume").otherwise("turnover").alias("volume_quote"),
        pl.col("closed_at").alias("available_at"),
        LINE,
    )
    early = rejected(
        frame.filter(pl.col("contract_type").is_not_null(), ~closed),
        reason="undecodable", detail="the candle was received before its close", stamp="opened_at",
    )  # fmt: skip
    yield Parsed("candles", rows, pl.concat([records.rejects, _unknown(frame), early]))


def _contract_types(context: Context) -> pl.DataFrame:
    """Contract types keyed by subject, for joining to records."""
    return context.instruments.select(pl.col("instrument").alias(SUBJECT), "contract_type")


def _unknown(frame: pl.DataFrame) -> pl.DataFrame:
    return rejected(
        frame.filter(pl.col("contract_type").is_null()),
        reason="unknown_instrument",
        detail="in no capture of Bybit's instruments",
    )
