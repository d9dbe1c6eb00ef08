"""dYdX v4 by its indexer: perpetuals, liquidations among all trades, hourly funding, candles with open interest. No key.

Facts from the indexer's source and documentation; what was not seen live is marked "?". The chain itself is not read here.
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
from pipelines.sources.dex.perpetuals import listed
from pipelines.sources.instruments import each_instrument
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    Records,
    RecordsOf,
    at_path,
    read_records,
    rejected,
)

NAME: Final = "dydx"
HOUR_MS: Final = 3_600_000

# The indexer refuses a larger limit instead of cutting it, so a page with fewer rows is the last one.
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
"""Types of trades that close nobody's position by force."""
FORCED: Final = {"LIQUIDATED": False, "DELEVERAGED": True}
"""Types that do, and whether it was auto-deleveraging."""

trades: Final[RecordsOf] = at_path("trades")
funding: Final[RecordsOf] = at_path("historicalFunding")
candles: Final[RecordsOf] = at_path("candles")


def check(page: Page) -> None:
    """Refusals are {"errors": [{"msg": …}]}, with status 400 or 404."""
    answer = page.json()
    if isinstance(answer, dict) and "errors" in answer:
        raise RequestRefusedError(
            f"{NAME}: {page.where}: {answer['errors']}. Compare the request with the indexer's documentation."
        )


def iso(ms: int) -> str:
    """Milliseconds since the epoch as the indexer writes instants."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


def iso_stamps(records_of: RecordsOf, key: str) -> Stamps:
    """Stamps in milliseconds of rows whose instants are text. Raises SourceFormatError naming `key`."""

    def stamps(page: Page) -> list[int]:
        try:
            found = [datetime.fromisoformat(row[key]) for row in records_of(page)]  # type: ignore[call-overload]
            return [milliseconds(moment.astimezone(UTC).replace(tzinfo=None)) for moment in found]
        except (KeyError, TypeError, ValueError) as error:
            raise SourceFormatError(f"{page.where}: a row has no instant in {key!r}: {page.excerpt}") from error

    return stamps


def timed(found: Records) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Records with `at`, the instant of `at_text` in naive UTC, and the rejects: those of `found` and whose text is none."""
    frame = found.frame.with_columns(
        pl.col("at_text").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False).alias("at")
    )
    untimed = rejected(
        frame.filter(pl.col("at").is_null()), reason="unparsable", field="at_text",
        detail="no instant like 2024-03-05T01:00:00.316Z",
    )  # fmt: skip
    return frame.filter(pl.col("at").is_not_null()), pl.concat([found.rejects, untimed])


def within(context: Context, column: str = "at") -> pl.Expr:
    """Whether a row is of the landing's span. Most of the indexer's requests have no lower bound, so that pages reach further
    back; what they bring of other days belongs to the landings of those days."""
    return pl.col(column).is_between(context.span.start, context.span.end, closed="left")


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All markets there ever were; those that are settled for good stay in the list."""
    yield await api.get("/perpetualMarkets")


def markets(page: Page) -> Sequence[Record]:
    """The markets, which come as an object by ticker."""
    found = page.json().get("markets")
    if not isinstance(found, dict):
        raise SourceFormatError(f"{page.where}: no object 'markets' in the answer: {page.excerpt}")
    return list(found.values())


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Sizes are in coin. Markets that users opened on a token's address are named after it (X,UNISWAP_V3,0X…-USD) and carry
    no asset we could name; they are turned away."""
    yield listed(NAME, read_records(pages, markets, MARKETS))


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """All trades of a market, newest first; liquidations are among them.

    The last instant is asked for by time, what is older by height of the chain: both bounds are inclusive. A block has several
    trades and a page may end between them, so each page begins with the lowest block of the one before; the loader drops what
    came twice. There is no lower bound: the page that reaches behind the span is the last.
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
            page = await get()  # an answer without rows is asked for again before it is believed
        stamps, heights = stamps_of(page), heights_of(page)
        yield page
        if not stamps and lowest is None:
            return
        if not stamps or max(stamps) >= end or (lowest is not None and max(heights) > lowest):
            raise SourceFormatError(f"{page.where}: trades outside the bound, or none at it; the paging changed.")
        if min(stamps) < start or len(stamps) < LIMIT:
            return
        if min(heights) == lowest:
            raise SourceFormatError(f"{page.where}: one block fills a page of trades; those behind it cannot be had.")
        lowest = min(heights)


def heights_of(page: Page) -> list[int]:
    """Heights of a page's trades. Raises SourceFormatError where one has none."""
    try:
        return [int(row["createdAtHeight"]) for row in trades(page)]  # type: ignore[call-overload]
    except (KeyError, TypeError, ValueError) as error:
        raise SourceFormatError(f"{page.where}: a trade has no createdAtHeight: {page.excerpt}") from error


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Trades of the types LIQUIDATED and DELEVERAGED; ordinary trades stay in the landing.

    A trade is told from its taker. In both types that is the account whose position is closed (the indexer gives makers the
    fill types LIQUIDATION and OFFSETTING, and lists takers only), so a SELL closed a long, and each event is here once.
    DELEVERAGED is a bankrupt position closed against traders in profit instead of the book: is_adl. Sizes are in coin.
    """
    frame, rejects = timed(read_records(pages, trades, TRADES))
    frame = frame.filter(within(context), ~pl.col("kind").is_in(ORDINARY))
    sides = {"SELL": "long", "BUY": "short"}
    understood = pl.col("kind").is_in(list(FORCED)) & pl.col("taker").is_in(list(sides))
    rows = frame.filter(understood).select(
        pl.lit(NAME).alias("venue"),
        # Height, transaction and event in hexadecimal: unique on the chain.
        pl.col("trade_id").alias("liquidation_id"),
        pl.lit("perp_dex").alias("venue_kind"),
        pl.col(SUBJECT).alias("instrument"),
        pl.col("at").alias("occurred_at"),
        pl.col("taker").replace_strict(sides, return_dtype=pl.String).alias("side"),
        "price",
        "quantity_base",
        (pl.col("quantity_base") * pl.col("price")).alias("notional_usd"),
        pl.lit("full").alias("completeness"),
        pl.col("kind").replace_strict(FORCED, return_dtype=pl.Boolean).alias("is_adl"),
        pl.col("at").alias("available_at"),
        LINE,
    )
    unfit = rejected(
        frame.filter(~understood), reason="undecodable", stamp="at", field="type",
        detail="type or side is none that is documented",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([rejects, unfit]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements, newest first, up to an instant and including it. There is no lower bound, so no more are asked for than the
    span can hold, and two."""
    limit = min(LIMIT, (job.span.end_ms - job.span.start_ms) // HOUR_MS + 2)

    async def get(first: int, last: int) -> Page:
        path = f"/historicalFunding/{job.subject}"
        return await api.get(path, subject=job.subject, params={"limit": limit, "effectiveBeforeOrAt": iso(last)})

    start, end, stamps = job.span.start_ms, job.span.end_ms, iso_stamps(funding, "effectiveAt")
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=limit):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The indexer divides the chain's rate per 8 hours by 8, whatever the gap between settlements: a rate per hour, always.

    Stamps are those of the hour's first block, about a second late. There is no mark price: positions are marked at the
    oracle's, which is what `price` is.
    """
    frame, rejects = timed(read_records(pages, funding, FUNDING))
    rows = frame.filter(within(context)).select(
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
    """Hourly candles, newest first; fromISO is inclusive, toISO exclusive. The candle that opens at the span's end is asked for
    too: it holds the open interest of that instant, which is the state the span's last day ends with."""

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
    """Candles of [start, end) of the span, and open interest of (start, end]: a state at midnight ends the day before it.

    startingOpenInterest is the state at the candle's opening, in coin, one-sided. An hour without any event has no candle,
    hence no state. A candle that was received before its close is turned away.
    """
    frame, rejects = timed(read_records(pages, candles, CANDLES))
    closed_at = pl.col("at") + timedelta(hours=1)
    mine = frame.filter(within(context))
    moving = closed_at > pl.col("received_at")
    shared = (pl.lit(NAME).alias("venue"), pl.col(SUBJECT).alias("instrument"), pl.lit("1h").alias("period"))
    rows = mine.filter(~moving).select(
        *shared,
        pl.lit("perp").alias("market"),
        pl.col("at").alias("opened_at"),
        *("open", "high", "low", "close", "volume_base", "volume_quote", "trades"),
        closed_at.alias("available_at"),
        LINE,
    )
    early = rejected(
        mine.filter(moving), reason="undecodable", stamp="at", field="startedAt",
        detail="the candle was received before its close",
    )  # fmt: skip
    yield Parsed("candles", rows, pl.concat([rejects, early]))
    states = frame.filter(pl.col("at").is_between(context.span.start, context.span.end, closed="right")).select(
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
"""First block of the chain; the indexer remembers everything since (?)."""

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://indexer.dydx.trade/v4"},
    limits=(Limit(100, 10.0),),
    concurrency=8,
    check=check,
    notes="The indexer of the chain's operators; liquidations are fills of the chain, so none is missing.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals, those that are settled for good included.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=GENESIS),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="liquidations",
            tables=("liquidations",),
            description="Trades that liquidated or deleveraged their taker, out of all trades; auto-deleveraging is marked.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            retention=Retention(since=GENESIS),
            subjects=each_instrument(),
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Funding of every hour, as a rate per hour.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=GENESIS),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
        Feed(
            name="candles",
            tables=("candles", "open_interest"),
            description="Hourly candles, each with the open interest at its opening.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=GENESIS),
            cadence=Daily(published_after=timedelta(hours=1)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
            # A candle is made by its first event: an hour after a day's end the one with the day's last state is there.
        ),
    ),
)
