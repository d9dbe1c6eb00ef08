"""OKX's history: open interest, settled funding, candles, positioning.

Facts from OKX's v5 documentation; anything not verified live is marked "?".

OKX keeps 5-minute open interest for days and hourly open interest for weeks, so a day is complete once it is over and the current
state is not captured separately.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from pipelines.extract.paging import paginate_backward
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources import counting
from pipelines.sources.cex.okx import wire
from pipelines.sources.records import LINE, SUBJECT, Field, from_ms, read_records, rejected, settlement

NAME: Final = wire.NAME

ALL_CONTRACTS: Final = "-CONTRACTS"
"""OKX's account ratio and taker volume cover all contracts of a coin: linear, inverse and dated (instType CONTRACTS). They belong
to no single instrument, so they use the name BTC-CONTRACTS, which venue.py adds to the instruments with the coin as asset."""

HOUR_MS: Final = 3_600_000
# Every version of these endpoints allowed 100 rows; since 2025 candles allow 300 and funding 400. With a higher limit, a server
# that still caps at 100 would make a full page look like the last one.
LIMIT: Final = 100

OPEN_INTEREST: Final = (
    Field("ts", "at_ms", int),
    Field("oi", "contracts", float),
    Field("oiCcy", "oi_base", float),
    Field("oiUsd", "oi_usd", float),
    Field("period", "bar", str),
)
FUNDING: Final = (
    Field("instId", "instrument", str),
    Field("realizedRate", "rate", float),
    Field("fundingTime", "at_ms", int),
)
CANDLES: Final = (
    Field("ts", "at_ms", int),
    *(Field(name, name, float) for name in ("open", "high", "low", "close")),
    Field("vol", "contracts", float),
    Field("volCcy", "volume_base", float),
    Field("volCcyQuote", "volume_quote", float),
    Field("confirm", "confirm", str),
)
RATIO: Final = (Field("ts", "at_ms", int), Field("ratio", "ratio", float), Field("period", "bar", str))
TAKER: Final = (
    Field("ts", "at_ms", int),
    Field("sellVol", "sold", float),
    Field("buyVol", "bought", float),
    Field("period", "bar", str),
)

OPEN_INTEREST_CELLS: Final = wire.keyed("ts", "oi", "oiCcy", "oiUsd", params=("period",))
CANDLE_CELLS: Final = wire.keyed("ts", "open", "high", "low", "close", "vol", "volCcy", "volCcyQuote", "confirm")
RATIO_CELLS: Final = wire.keyed("ts", "ratio", params=("period",))
# Sell volume comes first; reading the array as [ts, buy, sell] inverts the sign of the flow.
TAKER_CELLS: Final = wire.keyed("ts", "sellVol", "buyVol", params=("period",))


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """Open interest of a swap at the finest period OKX still has, newest first; bounds are exclusive."""

    async def get(period: str, first: int, last: int) -> Page:
        return await wire.get(
            api, wire.OPEN_INTEREST, job.subject,
            instId=job.subject, period=period, begin=first - 1, end=last + 1, limit=LIMIT,
        )  # fmt: skip

    async for page in wire.finest_available_interval(
        get, wire.stamps(0), start=job.span.start_ms, end=job.span.end_ms, periods=("5m", "1H", "4H")
    ):
        yield page


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One-sided. oiCcy is in coin and oiUsd in dollars for both linear and inverse swaps; contracts are kept as oi_raw."""
    found = read_records(pages, OPEN_INTEREST_CELLS, OPEN_INTEREST)
    states, sentinels = counting.without_sentinels(
        found.frame.with_columns(from_ms("at_ms").alias("at")), ("contracts", "oi_base", "oi_usd"), (), stamp="at"
    )
    rows = states.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        _period(),
        from_ms("at_ms").alias("event_at"),
        "oi_base",
        "oi_usd",
        pl.col("contracts").alias("oi_raw"),
        pl.lit("contracts").alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        _available_at().alias("available_at"),
        LINE,
    )
    yield Parsed("open_interest", rows, pl.concat([found.rejects, sentinels]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements of the last three months, newest first; `before` and `after` are exclusive."""

    async def get(first: int, last: int) -> Page:
        return await wire.get(
            api, wire.FUNDING, job.subject, instId=job.subject, before=first - 1, after=last + 1, limit=LIMIT
        )

    stamps = wire.stamps("fundingTime")
    start, end = job.span.start_ms, job.span.end_ms
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=LIMIT, spacing=HOUR_MS):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The rate paid (realizedRate); fundingRate is the prediction before the settlement.

    Rates are fractions per interval. The interval (8, 4, 2 or 1 hours) changes and is not in the payload; it is inferred from
    settlement times.
    """
    found = read_records(pages, wire.records, FUNDING)
    rows = found.frame.select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.lit("settled").alias("kind"),
        settlement(from_ms("at_ms")).alias("settled_at"),
        "rate",
        from_ms("at_ms").alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, found.rejects)


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles, newest first; `before` and `after` are exclusive. OKX's daily candles are Hong Kong days unless requested as
    1Dutc, so days are built from hours, which are the same in both time zones."""

    async def get(first: int, last: int) -> Page:
        return await wire.get(
            api, wire.CANDLES, job.subject,
            instId=job.subject, bar="1H", before=first - 1, after=last + 1, limit=LIMIT,
        )  # fmt: skip

    start, end = job.span.start_ms, job.span.end_ms
    async for page in wire.paginate_backward(get, wire.stamps(0), start=start, end=end, step=HOUR_MS):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Volume in coin (volCcy) and quote currency (volCcyQuote); vol is in contracts, 50 to 100 times the coins for bitcoin.

    A candle received before its close is rejected. The flag `confirm` alone is not reliable: recorded responses have 0 for
    years-old candles.
    """
    found = read_records(pages, CANDLE_CELLS, CANDLES)
    closed_at = from_ms("at_ms") + timedelta(hours=1)
    is_open = (pl.col("confirm") == "0") & (closed_at > pl.col("received_at"))
    rows = found.frame.filter(~is_open).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("perp").alias("market"),
        pl.lit("1h").alias("period"),
        from_ms("at_ms").alias("opened_at"),
        *("open", "high", "low", "close"),
        "volume_base",
        "volume_quote",
        closed_at.alias("available_at"),
        LINE,
    )
    early = rejected(
        found.frame.filter(is_open).with_columns(from_ms("at_ms").alias("opened_at")),
        reason="undecodable", detail="the candle was received before its close", stamp="opened_at", field="confirm",
    )  # fmt: skip
    yield Parsed("candles", rows, pl.concat([found.rejects, early]))


async def fetch_positioning(api: Api, job: Job) -> AsyncIterator[Page]:
    """Account ratio and taker volume of a coin. OKX keeps 5-minute data for 2 days, hourly data for 30; its days are Hong Kong
    days."""
    coin = job.subject.removesuffix(ALL_CONTRACTS)
    start, end, bars = job.span.start_ms, job.span.end_ms, ("5m", "1H")

    async def ratio(period: str, first: int, last: int) -> Page:
        return await wire.get(
            api, wire.ACCOUNT_RATIO, job.subject, ccy=coin, period=period, begin=first - 1, end=last + 1
        )

    async def volume(period: str, first: int, last: int) -> Page:
        return await wire.get(
            api, wire.TAKER_VOLUME, job.subject,
            ccy=coin, instType="CONTRACTS", period=period, begin=first - 1, end=last + 1,
        )  # fmt: skip

    async for page in wire.finest_available_interval(ratio, wire.stamps(0), start=start, end=end, periods=bars):
        yield page
    async for page in wire.finest_available_interval(volume, wire.stamps(0), start=start, end=end, periods=bars, lag=1):
        yield page


def parse_positioning(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """account_global as published; taker_volume as buy volume over sell volume."""
    accounts, takers = wire.by_path(pages, wire.ACCOUNT_RATIO, wire.TAKER_VOLUME)
    yield _ratios(accounts, measure="account_global")
    found = read_records(takers, TAKER_CELLS, TAKER)
    rows = found.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("taker_volume").alias("measure"),
        _period(),
        _available_at().alias("event_at"),
        pl.when(pl.col("sold") > 0).then(pl.col("bought") / pl.col("sold")).alias("ratio"),
        (pl.col("bought") / (pl.col("bought") + pl.col("sold"))).alias("long_share"),
        _available_at().alias("available_at"),
        LINE,
    )
    yield Parsed("long_short_ratios", rows, found.rejects)


async def fetch_top_traders(api: Api, job: Job) -> AsyncIterator[Page]:
    """Long/short ratios of the 5% of accounts with the largest positions in a swap: by account and by position."""
    for path in (wire.TOP_ACCOUNTS, wire.TOP_POSITIONS):

        async def get(period: str, first: int, last: int, path: str = path) -> Page:
            return await wire.get(
                api, path, job.subject, instId=job.subject, period=period, begin=first - 1, end=last + 1, limit=LIMIT
            )

        start, end = job.span.start_ms, job.span.end_ms
        async for page in wire.finest_available_interval(
            get, wire.stamps(0), start=start, end=end, periods=("5m", "1H", "4H")
        ):
            yield page


def parse_top_traders(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    accounts, positions = wire.by_path(pages, wire.TOP_ACCOUNTS, wire.TOP_POSITIONS)
    yield _ratios(accounts, measure="account_top")
    yield _ratios(positions, measure="position_top")


def _ratios(pages: Sequence[Page], *, measure: str) -> Parsed:
    found = read_records(pages, RATIO_CELLS, RATIO)
    rows = found.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit(measure).alias("measure"),
        _period(),
        from_ms("at_ms").alias("event_at"),
        "ratio",
        (pl.col("ratio") / (1 + pl.col("ratio"))).alias("long_share"),
        _available_at().alias("available_at"),
        LINE,
    )
    return Parsed("long_short_ratios", rows, found.rejects)


def _period() -> pl.Expr:
    return pl.col("bar").replace_strict({bar: name for bar, (name, _) in wire.PERIODS.items()}).alias("period")


def _available_at() -> pl.Expr:
    """The end of the row's period. OKX does not document whether a timestamp marks the start of the period or the instant of the
    state (?): ratios and open interest use the timestamp, volume starts at it, and none is available before the period ends."""
    minutes = pl.col("bar").replace_strict(
        {bar: minutes for bar, (_, minutes) in wire.PERIODS.items()}, return_dtype=pl.Int64
    )
    return from_ms("at_ms") + pl.duration(minutes=minutes)
