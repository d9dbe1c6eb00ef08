"""What Bybit remembers of its perpetuals and spot pairs: open interest, settled funding, account ratios, candles.

Facts from Bybit's v5 documentation; what was not seen live is marked "?". All four answer with the newest rows of bounds that
are both included. Open interest goes back to the launch, so that its state of the moment is not captured beside it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from pipelines.extract.paging import paginate_backward
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.records import LINE, SUBJECT, Field, at_path, from_ms, read_records, rejected, stamps_of

NAME: Final = "bybit"

# Bybit counts both sides of a contract in openInterest; singleOpenInterest (one side) is there since 2026-06-11.
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

_LIST: Final = at_path("result", "list")


def category(job: Job) -> str:
    """`linear`, `inverse` or `spot`: Bybit keeps them apart in every request."""
    return str(job.instrument["contract_type"])


def symbol(job: Job) -> str:
    """Bybit's own spelling: the spot pair BTC/USDT and the perpetual on it are both its BTCUSDT."""
    return job.subject.replace("/", "")


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

    # A day's last state is the one of 00:00 of the day after: states belong to the day that ends with them.
    start, end = job.span.start_ms + 1, job.span.end_ms + 1
    stamps = stamps_of(_LIST, "timestamp")
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=OI_LIMIT, spacing=FIVE_MINUTES_MS):
        yield page


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One side, in base coin (linear) or dollars (inverse); halved where only both sides are given."""
    records = read_records(pages, _LIST, OPEN_INTEREST)
    frame = records.frame.join(_kinds(context), on=SUBJECT, how="left", maintain_order="left")
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
    """Settlements. There is no cursor, and startTime without endTime is an error."""

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
    stamps = stamps_of(_LIST, "fundingRateTimestamp")
    # Intervals are 8, 4, 2 or 1 hours: all of them settle at midnight, where every span begins.
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=FUNDING_LIMIT, spacing=HOUR_MS):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates as a fraction of the interval. The interval is not in the payload: it is observed from the gaps."""
    records = read_records(pages, _LIST, FUNDING)
    rows = records.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        from_ms("at_ms").alias("settled_at"),
        "rate",
        from_ms("at_ms").alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, records.rejects)


async def fetch_ratios(api: Api, job: Job) -> AsyncIterator[Page]:
    """Account ratio of every hour. Bybit has it by five minutes as well; accounts turn slowly, and hours reach back as far
    for a twelfth of the requests."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            "/v5/market/account-ratio",
            subject=job.subject,
            params={
                "category": category(job), "symbol": symbol(job), "period": "1h",
                "startTime": first, "endTime": last, "limit": RATIO_LIMIT,
            },
        )  # fmt: skip

    # As with open interest, the state of midnight belongs to the day it ends.
    start, end = job.span.start_ms + 1, job.span.end_ms + 1
    stamps = stamps_of(_LIST, "timestamp")
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=RATIO_LIMIT, spacing=HOUR_MS):
        yield page


def parse_ratios(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Holders who are net long against those who are net short, by head: buyRatio and sellRatio are shares of one whole.

    Bybit does not say whether a stamp begins its hour or ends it (?): the state is taken at the stamp and not called known
    before the hour after it is over.
    """
    records = read_records(pages, _LIST, RATIO)
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
    stamps = stamps_of(_LIST, 0)
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=CANDLES_LIMIT, spacing=HOUR_MS):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Volume is in coin and turnover in the quote coin; of inverse contracts volume is in dollars and turnover in coin.

    A candle received before its close is turned away: it still moves.
    """
    records = read_records(pages, _LIST, CANDLES)
    frame = records.frame.join(_kinds(context), on=SUBJECT, how="left", maintain_order="left").with_columns(
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


def _kinds(context: Context) -> pl.DataFrame:
    """Contract types by subject, for joining to records."""
    return context.instruments.select(pl.col("instrument").alias(SUBJECT), "contract_type")


def _unknown(frame: pl.DataFrame) -> pl.DataFrame:
    return rejected(
        frame.filter(pl.col("contract_type").is_null()),
        reason="unknown_instrument",
        detail="in no capture of Bybit's instruments",
    )
