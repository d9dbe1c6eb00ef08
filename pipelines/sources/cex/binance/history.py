"""History of Binance's USDT-M (fapi), COIN-M (dapi) and spot markets: open interest and long/short ratios of the last 30 days,
settled funding and candles.

Facts from Binance's documentation; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from pipelines.extract.paging import paginate_by_slices, paginate_forward
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources import counting
from pipelines.sources.cex.binance.wire import (
    CASH,
    CM,
    DATA,
    FUNDING_REQUESTS,
    UM,
    VENUE_ID,
    WEIGHT,
    get_for_instrument,
    host,
    while_listed,
)
from pipelines.sources.cex.binance_archive.history import COIN_M, PERIOD, SPOT, USDT_M, candle_rows
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Records,
    at_path,
    from_ms,
    read_records,
    rejected,
    settlement,
    stamps_of,
)

DATA_LIMIT: Final = 500
FUNDING_LIMIT: Final = 1000
KLINES_LIMIT: Final = 1000
"""fapi allows 1500 at twice the weight."""

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
FIVE_MINUTES_MS: Final = 300_000

OPEN_INTEREST: Final = (
    Field("sumOpenInterest", "amount", float),
    Field("sumOpenInterestValue", "value", float),
    Field("timestamp", "at_ms", int),
)
# longAccount and shortAccount are rounded to four decimals; longShortRatio is more precise.
RATIO: Final = (Field("longShortRatio", "ratio", float), Field("timestamp", "at_ms", int))
TAKER: Final = (Field("buySellRatio", "ratio", float), Field("timestamp", "at_ms", int))
FUNDING: Final = (
    Field("fundingRate", "rate", float),
    Field("fundingTime", "at_ms", int),
    Field("markPrice", "mark_price", float, optional=True),
    # Since 2026-07-28: Regular or Special. A special payment shares the fundingTime of a regular one.
    Field("rateType", "rate_type", str, optional=True),
)
KLINES: Final = (
    Field(0, "opened", int),
    Field(1, "open", float),
    Field(2, "high", float),
    Field(3, "low", float),
    Field(4, "close", float),
    Field(5, "volume", float),
    Field(7, "other_volume", float),
    Field(8, "trades", int),
    Field(9, "taker_buy", float),
    Field(10, "taker_buy_other", float),
)

REGULAR: Final = "Regular"
SPECIAL: Final = "Special"

MEASURES: Final[Mapping[str, str]] = {
    "/futures/data/globalLongShortAccountRatio": "account_global",
    "/futures/data/topLongShortAccountRatio": "account_top",
    "/futures/data/topLongShortPositionRatio": "position_top",
    "/futures/data/takerlongshortRatio": "taker_volume",
}


async def _fetch_data(api: Api, job: Job, path: str) -> AsyncIterator[Page]:
    """A 5-minute series of /futures/data; both bounds are inclusive (?). Which rows an overfull page drops is undocumented, so
    the window stays small: a day has 288 rows and the limit is 500."""
    endpoint = host(job)
    # fapi names an instrument by symbol, dapi by pair and contract type.
    named = (
        {"symbol": job.subject}
        if endpoint == UM
        else {"pair": job.subject.partition("_")[0], "contractType": "PERPETUAL"}
    )

    async def get(first: int, last: int) -> Page:
        params: dict[str, str | int] = {
            **named,
            "period": "5m",
            "startTime": first,
            "endTime": last,
            "limit": DATA_LIMIT,
        }
        return await get_for_instrument(
            api, path, endpoint=endpoint, subject=job.subject, params=params, costs={DATA: 1}
        )

    # A state belongs to the day it ends, so a day's last state is the next day's 00:00.
    start, end = job.span.start_ms + 1, job.span.end_ms + 1
    async for page in paginate_by_slices(
        get,
        stamps_of(at_path(), "timestamp"),
        start=start,
        end=end,
        limit=DATA_LIMIT,
        width=DAY_MS,
        spacing=FIVE_MINUTES_MS,
    ):
        yield page


@while_listed
async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """Open interest of an instrument every 5 minutes."""
    async for page in _fetch_data(api, job, "/futures/data/openInterestHist"):
        yield page


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One-sided. USDT-M: amount in base coin, value in USDT; COIN-M: amount in contracts, value in base coin, as in the archives.

    The timestamp is taken as the instant of the state (?): in recorded responses of 2022 the newest timestamp was the last
    full 5-minute mark before the request.
    """
    records = read_records(pages, at_path(), OPEN_INTEREST)
    stamped = records.frame.with_columns(from_ms("at_ms").alias("at"))
    states, sentinels = counting.without_sentinels(stamped, ("amount", "value"), (), stamp="at")
    frame, unknown = with_contracts(states, context)
    inverse = pl.col("contract_type") == "inverse"
    in_dollars = pl.when(pl.col("quote") != "BTC").then(pl.col("value"))
    rows = frame.select(
        *open_interest_columns("5m"),
        pl.when(inverse).then(pl.col("value")).otherwise(pl.col("amount")).alias("oi_base"),
        pl.when(inverse).then(pl.col("amount") * pl.col("contract_size")).otherwise(in_dollars).alias("oi_usd"),
    )
    yield Parsed("open_interest", rows, pl.concat([records.rejects, unknown, sentinels]))


def with_contracts(frame: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows joined with contract type, size and quote, and rejects: rows of unknown contracts."""
    facts = context.instruments.select(pl.col("instrument").alias(SUBJECT), "contract_type", "contract_size", "quote")
    joined = frame.join(facts, on=SUBJECT, how="left", maintain_order="left")
    inverse = pl.col("contract_type") == "inverse"
    is_known = pl.col("contract_type").is_not_null() & (~inverse | pl.col("contract_size").is_not_null())
    unknown = rejected(
        joined.filter(~is_known), reason="unknown_instrument", detail="in no capture of Binance's instruments"
    )
    return joined.filter(is_known), unknown


def open_interest_columns(period: str) -> tuple[pl.Expr | str, ...]:
    """The columns of open interest except oi_base and oi_usd, whose source fields differ by endpoint."""
    return (
        pl.lit(VENUE_ID).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit(period).alias("period"),
        from_ms("at_ms").alias("event_at"),
        pl.col("amount").alias("oi_raw"),
        pl.when(pl.col("contract_type") == "inverse")
        .then(pl.lit("contracts"))
        .otherwise(pl.lit("base"))
        .alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        from_ms("at_ms").alias("available_at"),
        LINE,
    )


@while_listed
async def fetch_ratios(api: Api, job: Job) -> AsyncIterator[Page]:
    """Four measures of a USDT-M instrument, three of a COIN-M one: COIN-M taker volume has another format and is read from the
    archives."""
    for path, measure in MEASURES.items():
        if host(job) == UM or measure != "taker_volume":
            async for page in _fetch_data(api, job, path):
                yield page


def parse_ratios(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Longs over shorts; for takers, buy volume over sell volume."""
    for path, measure in MEASURES.items():
        matching = [page for page in pages if page.request["path"] == path]
        records = read_records(matching, at_path(), TAKER if measure == "taker_volume" else RATIO)
        rows = records.frame.select(
            pl.lit(VENUE_ID).alias("venue"),
            pl.col(SUBJECT).alias("instrument"),
            pl.lit(measure).alias("measure"),
            pl.lit("5m").alias("period"),
            from_ms("at_ms").alias("event_at"),
            "ratio",
            (pl.col("ratio") / (1 + pl.col("ratio"))).alias("long_share"),
            from_ms("at_ms").alias("available_at"),
            LINE,
        )
        yield Parsed("long_short_ratios", rows, records.rejects)


@while_listed
async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements, oldest first; both bounds are inclusive."""
    endpoint = host(job)

    async def get(first: int, last: int) -> Page:
        return await get_for_instrument(
            api, f"/{endpoint}/v1/fundingRate", endpoint=endpoint, subject=job.subject, costs={FUNDING_REQUESTS: 1, WEIGHT: 1},
            params={"symbol": job.subject, "startTime": first, "endTime": last, "limit": FUNDING_LIMIT},
        )  # fmt: skip

    span = job.span
    async for page in paginate_forward(
        get,
        stamps_of(at_path(), "fundingTime"),
        start=span.start_ms,
        end=span.end_ms,
        limit=FUNDING_LIMIT,
        step=0,
        spacing=HOUR_MS,
    ):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates as a fraction per interval; the interval is not in the payload. Timestamps are a few milliseconds late.

    A special payment is a row of its own kind: the regular rate is the funding rate. A rateType that is neither is rejected.
    """
    records = read_records(pages, at_path(), FUNDING)
    settled = settlement(from_ms("at_ms"))
    rate_type = pl.col("rate_type").fill_null(REGULAR)
    unknown = rejected(
        records.frame.filter(~rate_type.is_in([REGULAR, SPECIAL])), reason="undecodable", field="rateType",
        detail="a kind of payment that is not documented",
    )  # fmt: skip
    for kind, name in (("settled", REGULAR), ("special", SPECIAL)):
        found = Records(records.frame.filter(rate_type == name), records.rejects)
        rejects = pl.concat([records.rejects, unknown]) if name == REGULAR else None
        yield Parsed("funding_rates", funding_rows(found, kind, settled, settled), rejects)


def funding_rows(records: Records, kind: str, settled_at: pl.Expr, available_at: pl.Expr) -> pl.DataFrame:
    return records.frame.select(
        pl.lit(VENUE_ID).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit(kind).alias("kind"),
        settled_at.alias("settled_at"),
        "rate",
        "mark_price",
        available_at.alias("available_at"),
        LINE,
    )


@while_listed
async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles, oldest first; both bounds are inclusive. The weight of a request depends on `limit`."""
    endpoint = host(job)
    path = "/api/v3/klines" if endpoint == CASH else f"/{endpoint}/v1/klines"
    hours = (job.span.end - job.span.start) // timedelta(hours=1)
    limit = min(hours + 1, KLINES_LIMIT)

    async def get(first: int, last: int) -> Page:
        params: dict[str, str | int] = {
            "symbol": job.subject.replace("/", ""), "interval": PERIOD, "startTime": first, "endTime": last, "limit": limit,
        }  # fmt: skip
        costs = {WEIGHT: 2 if endpoint == CASH else 1 if limit < 100 else 2 if limit < 500 else 5}
        return await get_for_instrument(api, path, endpoint=endpoint, subject=job.subject, params=params, costs=costs)

    async for page in paginate_forward(
        get, stamps_of(at_path(), 0), start=job.span.start_ms, end=job.span.end_ms, limit=limit, spacing=HOUR_MS
    ):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The same columns as in the archives, for all three markets."""
    for endpoint, candles in ((UM, USDT_M), (CM, COIN_M), (CASH, SPOT)):
        matching = [page for page in pages if page.request["endpoint"] == endpoint]
        records = read_records(matching, at_path(), KLINES)
        yield Parsed("candles", candle_rows(records.frame, candles, context), records.rejects)
