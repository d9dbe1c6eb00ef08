"""dYdX v4's indexer: perpetuals, liquidations selected from all trades, hourly funding, candles with open interest. No key.

Facts from the indexer's source and documentation; anything not verified live is marked "?". The chain itself is not read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import polars as pl

from pipelines.core.errors import RequestRefusedError, SourceFormatError
from pipelines.extract.paging import Stamps, paginate_backward
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    Api,
    Capture,
    Context,
    Daily,
    Feed,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Venue,
    milliseconds,
)
from pipelines.sources.dex.dydx_stream import STREAM
from pipelines.sources.dex.perpetuals import linear_perpetuals
from pipelines.sources.instruments import each_instrument
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    Records,
    RecordsOf,
    at_path,
    kept,
    read_records,
    rejected,
    within,
)

NAME: Final = "dydx"
HOUR_MS: Final = 3_600_000

# The indexer refuses a larger limit instead of capping it, so a page with fewer rows is the last one.
LIMIT: Final = 1000

MARKETS: Final = (Field("ticker", "instrument", str),)
TRADES: Final = (
    Field("id", "trade_id", str),
    Field("side", "taker", str),
    Field("size", "quantity_base", float),
    Field("price", "price", float),
    Field("type", "kind", str),
    Field("createdAt", "at_text", str),
)
FUNDING: Final = (
    Field("rate", "rate", float),
    Field("price", "oracle_price", float),
    Field("effectiveAt", "at_text", str),
)
CANDLES: Final = (
    Field("startedAt", "at_text", str),
    *(Field(name, name, float) for name in ("open", "high", "low", "close")),
    Field("baseTokenVolume", "volume_base", float),
    Field("usdVolume", "volume_quote", float),
    Field("trades", "trades", int),
    Field("startingOpenInterest", "oi_base", float),
)

ORDINARY: Final = ("LIMIT", "TWAP_SUBORDER")
"""Trade types without a forced close."""
FORCED: Final = {"LIQUIDATED": False, "DELEVERAGED": True}
"""Trade types with a forced close, and whether it was auto-deleveraging."""
POSITION_SIDES: Final = {"SELL": "long", "BUY": "short"}
"""Side of the closed position by the taker's order side."""

trades: Final[RecordsOf] = at_path("trades")
funding: Final[RecordsOf] = at_path("historicalFunding")
candles: Final[RecordsOf] = at_path("candles")


def check(page: Page) -> None:
    """Raise for an error, {"errors": [{"msg": …}]}, which has status 400 or 404."""
    response = page.json()
    if isinstance(response, dict) and "errors" in response:
        raise RequestRefusedError(
            f"{NAME}: {page.where}: {response['errors']}. Compare the request with the indexer's documentation."
        )


def iso(ms: int) -> str:
    """Milliseconds since the epoch in the indexer's ISO 8601 format."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


def iso_stamps(records_of: RecordsOf, key: str) -> Stamps:
    """Reads timestamps in milliseconds from ISO 8601 texts. Raises SourceFormatError naming `key`."""

    def stamps(page: Page) -> list[int]:
        try:
            found = [datetime.fromisoformat(row[key]) for row in records_of(page)]  # type: ignore[call-overload]
            return [milliseconds(moment.astimezone(UTC).replace(tzinfo=None)) for moment in found]
        except (KeyError, TypeError, ValueError) as error:
            raise SourceFormatError(f"{page.where}: expected an ISO 8601 time in {key!r}: {page.excerpt}") from error

    return stamps


def timed(found: Records) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records with `at`, the time in `at_text` as naive UTC, and the rejects, including records with an unreadable time."""
    frame = found.frame.with_columns(
        pl.col("at_text").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False).alias("at")
    )
    untimed = rejected(
        frame.filter(pl.col("at").is_null()), reason="unparsable", field="at_text",
        detail="no instant like 2024-03-05T01:00:00.316Z",
    )  # fmt: skip
    return frame.filter(pl.col("at").is_not_null()), pl.concat([found.rejects, untimed])


def in_span(frame: pl.DataFrame, context: Context) -> pl.DataFrame:
    """The rows in the landing's span. Most of the indexer's endpoints have no lower bound, so pages include earlier days, which
    belong to other landings."""
    return within(frame, "at", context, answers="history")


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All markets ever listed; finally settled markets stay in the list."""
    yield await api.get("/perpetualMarkets")


def markets(page: Page) -> Sequence[Record]:
    """The markets, an object keyed by ticker."""
    found = page.json().get("markets")
    if not isinstance(found, dict):
        raise SourceFormatError(f"{page.where}: expected an object in 'markets': {page.excerpt}")
    return list(found.values())


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Sizes are in coin. Markets that users opened on a token address are named after it (X,UNISWAP_V3,0X…-USD); their asset
    cannot be determined, so they are rejected."""
    yield linear_perpetuals(NAME, read_records(pages, markets, MARKETS))


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """All trades of a market, newest first, including liquidations.

    The first page is bounded by time, later pages by block height; both bounds are inclusive. A page may end within a block, so
    each page starts with the lowest block of the previous one; the loader drops duplicates. There is no lower bound: the first
    page with trades before the span is the last.
    """
    start, end = job.span.start_ms, job.span.end_ms
    stamps_of = iso_stamps(trades, "createdAt")
    lowest: int | None = None

    async def get() -> Page:
        bound: dict[str, str | int] = (
            {"createdBeforeOrAt": iso(end - 1)} if lowest is None else {"createdBeforeOrAtHeight": lowest}
        )
        path = f"/trades/perpetualMarket/{job.subject}"
        return await api.get(path, subject=job.subject, params={"limit": LIMIT, **bound})

    while True:
        page = await get()
        if lowest is None and not trades(page):
            page = await get()  # an empty response is requested twice: a failing venue may return no rows
        stamps, heights = stamps_of(page), heights_of(page)
        yield page
        if not stamps and lowest is None:
            return
        if not stamps or max(stamps) >= end or (lowest is not None and max(heights) > lowest):
            raise SourceFormatError(
                f"{page.where}: trades outside the bound, or none at it; the venue's paging changed."
            )
        if min(stamps) < start or len(stamps) < LIMIT:
            return
        if min(heights) == lowest:
            raise SourceFormatError(f"{page.where}: one block fills a page of trades; older trades cannot be fetched.")
        lowest = min(heights)


def heights_of(page: Page) -> list[int]:
    """Block heights of a page's trades. Raises SourceFormatError if one is missing."""
    try:
        return [int(row["createdAtHeight"]) for row in trades(page)]  # type: ignore[call-overload]
    except (KeyError, TypeError, ValueError) as error:
        raise SourceFormatError(f"{page.where}: expected an integer in 'createdAtHeight': {page.excerpt}") from error


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Trades of the types LIQUIDATED and DELEVERAGED; ordinary trades stay in the landing.

    The endpoint lists takers only. In both types the taker is the account whose position is closed (makers have the fill types
    LIQUIDATION and OFFSETTING), so a SELL closed a long and each event appears once. DELEVERAGED is a bankrupt position closed
    against traders in profit instead of the order book (is_adl). Sizes are in coin.
    """
    frame, rejects = timed(read_records(pages, trades, TRADES))
    frame = kept(in_span(frame, context), ~pl.col("kind").is_in(ORDINARY), "not_forced")
    is_decodable = pl.col("kind").is_in(list(FORCED)) & pl.col("taker").is_in(list(POSITION_SIDES))
    rows = frame.filter(is_decodable).select(
        pl.lit(NAME).alias("venue"),
        # Height, transaction and event index in hexadecimal: unique on the chain.
        pl.col("trade_id").alias("liquidation_id"),
        pl.lit("perp_dex").alias("venue_kind"),
        pl.col(SUBJECT).alias("instrument"),
        pl.col("at").alias("occurred_at"),
        pl.col("taker").replace_strict(POSITION_SIDES, return_dtype=pl.String).alias("side"),
        "price",
        "quantity_base",
        (pl.col("quantity_base") * pl.col("price")).alias("notional_usd"),
        pl.lit("full").alias("completeness"),
        pl.col("kind").replace_strict(FORCED, return_dtype=pl.Boolean).alias("is_adl"),
        pl.col("at").alias("available_at"),
        LINE,
    )
    undecodable = rejected(
        frame.filter(~is_decodable), reason="undecodable", stamp="at", field="type",
        detail="type or side is none that is documented",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([rejects, undecodable]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements, newest first, up to an inclusive upper bound. There is no lower bound, so the limit is the number of hours in
    the span plus two."""
    limit = min(LIMIT, (job.span.end_ms - job.span.start_ms) // HOUR_MS + 2)

    async def get(first: int, last: int) -> Page:
        path = f"/historicalFunding/{job.subject}"
        return await api.get(path, subject=job.subject, params={"limit": limit, "effectiveBeforeOrAt": iso(last)})

    start, end, stamps = job.span.start_ms, job.span.end_ms, iso_stamps(funding, "effectiveAt")
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=limit):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Rates per hour: the indexer divides the chain's 8-hour rate by 8, whatever the settlement interval.

    Timestamps are those of the hour's first block, about a second late. `price` is the oracle price, which is the mark price of
    positions.
    """
    frame, rejects = timed(read_records(pages, funding, FUNDING))
    rows = in_span(frame, context).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        pl.col("at").dt.round("1m").alias("settled_at"),
        "rate",
        pl.lit(1.0).alias("interval_hours"),
        pl.col("oracle_price").alias("mark_price"),
        pl.col("at").alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, rejects)


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles, newest first; fromISO is inclusive, toISO exclusive. The candle that opens at the span's end is included: its
    open interest is the final state of the span's last day."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            f"/candles/perpetualMarkets/{job.subject}",
            subject=job.subject,
            params={"resolution": "1HOUR", "limit": LIMIT, "fromISO": iso(first), "toISO": iso(last + 1)},
        )

    start, end, stamps = job.span.start_ms, job.span.end_ms + 1, iso_stamps(candles, "startedAt")
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=LIMIT, step=HOUR_MS):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Candles in [start, end) of the span, and open interest in (start, end], since a state belongs to the day it ends.

    startingOpenInterest is the one-sided state at the candle's open, in coin. An hour without events has no candle and so no
    state. A candle received before its close is rejected.
    """
    frame, rejects = timed(read_records(pages, candles, CANDLES))
    closed_at = pl.col("at") + timedelta(hours=1)
    of_span = in_span(frame, context)
    is_open = closed_at > pl.col("received_at")
    shared = (pl.lit(NAME).alias("venue"), pl.col(SUBJECT).alias("instrument"), pl.lit("1h").alias("period"))
    rows = of_span.filter(~is_open).select(
        *shared,
        pl.lit("perp").alias("market"),
        pl.col("at").alias("opened_at"),
        *("open", "high", "low", "close", "volume_base", "volume_quote", "trades"),
        closed_at.alias("available_at"),
        LINE,
    )
    early = rejected(
        of_span.filter(is_open), reason="undecodable", stamp="at", field="startedAt",
        detail="the candle was received before its close",
    )  # fmt: skip
    yield Parsed("candles", rows, pl.concat([rejects, early]))
    states = within(frame, "at", context, closed="right", answers="history").select(
        *shared,
        pl.col("at").alias("event_at"),
        "oi_base",
        pl.col("oi_base").alias("oi_raw"),
        pl.lit("base").alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        pl.col("at").alias("available_at"),
        LINE,
    )
    yield Parsed("open_interest", states)


GENESIS: Final = date(2023, 10, 26)
"""Day of the chain's first block; the indexer has everything since (?)."""

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://indexer.dydx.trade/v4"},
    limits=(Limit(100, 10.0),),
    concurrency=8,
    check=check,
    notes="The indexer run by the chain's operators; liquidations are on-chain fills, so none is missing.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals, finally settled ones included.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=GENESIS),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="liquidations",
            tables=("liquidations",),
            description="Trades that liquidated or deleveraged their taker, selected from all trades; ADL is flagged.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            retention=Retention(since=GENESIS),
            subjects=each_instrument(),
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Hourly funding rates, per hour.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=GENESIS),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
        Feed(
            name="candles",
            tables=("candles", "open_interest"),
            description="Hourly candles, with open interest at each candle's open.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=GENESIS),
            # A candle appears with its first event, so an hour after a day's end the candle with the day's last state exists.
            cadence=Daily(published_after=timedelta(hours=1)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
    ),
    streams=(STREAM,),
)
