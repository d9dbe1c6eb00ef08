"""Bitget: perpetuals in USDT and USDC, hourly open interest, funding, candles, liquidations, account ratios. Public endpoints.

Facts from Bitget's v2 and UTA (v3) documentation and from public collectors; anything not verified live is marked "?".
Coin-margined contracts are not read: the two families name them differently, and no document states the unit of their open
interest.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.core.errors import (
    NoLongerAvailableError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    VenueUnavailableError,
)
from pipelines.extract.paging import pages_by_cursor, paginate_by_slices
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    ALL_DAYS,
    Api,
    Capture,
    Context,
    Feed,
    Job,
    NotYetPublishedError,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Venue,
)
from pipelines.sources.asset_class import CRYPTO, OTHER, asset_class, with_asset_class
from pipelines.sources.cex import perpetuals
from pipelines.sources.cex.bitget_stream import STREAM
from pipelines.sources.cex.perpetuals import HOUR_MS, instant
from pipelines.sources.counting import FACTS, without_sentinels
from pipelines.sources.instruments import each_instrument
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    at_path,
    from_ms,
    having,
    kept,
    read_records,
    rejected,
    stamps_of,
    within,
)
from pipelines.sources.risk_tiers import feed_of_risk_tiers, risk_tiers

NAME: Final = "bitget"
CATEGORIES: Final = ("USDT-FUTURES", "USDC-FUTURES")
"""Linear products; names that start with S are for demo trading."""

INSTRUMENTS: Final = (
    Field("symbol", "instrument", str),
    Field("type", "kind", str),
    Field("symbolType", "symbol_type", str, optional=True),
    Field("isRwa", "is_rwa", str, optional=True),
    # 0 for the oldest contracts; −1 where no end is planned.
    Field("launchTime", "launch_ms", int, optional=True),
    Field("offTime", "off_ms", int, optional=True),
)
TICKERS: Final = (
    Field("symbol", "instrument", str),
    Field("ts", "at_ms", int),
    Field("openInterest", "held", float),
    Field("volume24h", "volume", float, optional=True),
    Field("deliveryTime", "delivery", str, optional=True),
)
FUNDING: Final = (Field("fundingTime", "at_ms", int), Field("fundingRate", "rate", float))
CANDLES: Final = (
    Field(0, "at_ms", int),
    *(Field(place, name, float) for place, name in enumerate(("open", "high", "low", "close"), start=1)),
    Field(5, "volume", float),
    Field(6, "turnover", float),
)
LIQUIDATIONS: Final = (
    Field("symbol", "instrument", str),
    Field("ts", "at_ms", int),
    Field("side", "bought", str),
    Field("price", "price", float),
    Field("amount", "amount", float),
    Field("price", "price_text", str),
    Field("amount", "amount_text", str),
    Field(perpetuals.PAGE, perpetuals.PAGE, int),
)
SIDES: Final = {"buy": "long", "sell": "short"}
RATIOS: Final = (
    Field("ts", "at_ms", int),
    Field("longAccountRatio", "long", float),
    Field("shortAccountRatio", "short", float),
)
RISK_TIERS: Final = (
    Field("startUnit", "lower", float),
    Field("endUnit", "upper", float),
    Field("leverage", "max_leverage", float),
    Field("keepMarginRate", "maintenance", float),
)
CLASSES: Final = {"crypto": "crypto", "stock": "stock", "metal": "commodity", "commodity": "commodity"}

FUNDING_LIMIT: Final = 100
CANDLES_LIMIT: Final = 200
CANDLES_WIDTH_MS: Final = 180 * HOUR_MS
LIQUIDATIONS_LIMIT: Final = 100
LIQUIDATIONS_KEPT: Final = timedelta(days=3)

PER_SECOND: Final = {
    "instruments": 20, "tickers": 20, "history-fund-rate": 20, "history-candles": 20, "liquidations": 5,
    "account-long-short": 1, "query-position-lever": 10,
}  # fmt: skip
"""Requests per second and address of each endpoint, which are also the names of their budgets."""

data = at_path("data")
liquidated = at_path("data", "list")


def check(page: Page) -> None:
    """Raise for an error code; "00000" is success. Errors come with status 400 or 200."""
    response = page.json()
    code = response.get("code") if isinstance(response, dict) else None
    if code == "00000":
        return
    message = (
        f"{NAME}: {page.where}: code {code}: {response.get('msg') if isinstance(response, dict) else page.excerpt}"
    )
    if code == "429":
        raise ThrottledError(message, wait_seconds=1.0)
    if code in ("40010", "40015", "40725", "45001"):  # timeout, system abnormal, service error, unknown error
        raise VenueUnavailableError(message)
    raise RequestRefusedError(f"{message}. Compare the request with Bitget's documentation.")


async def get(api: Api, path: str, subject: str = "*", **params: str | int) -> Page:
    """One response, counted against the budget of its endpoint."""
    budget = path.rpartition("/")[2]
    return await api.get(path, subject=subject, params=params, costs={"requests": 1.0, budget: 1.0})


def product(job: Job) -> str:
    """The product type of the job's contract."""
    return f"{job.instrument['quote']}-FUTURES"


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All contracts of each category, one response each."""
    for category in CATEGORIES:
        yield await get(api, "/api/v3/market/instruments", category=category)


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals; one contract is one coin, and quantityMultiplier is the step of orders. The class takes both fields: currencies,
    indices and some shares are of symbolType crypto and marked as assets of the real world."""
    found = read_records(pages, data, INSTRUMENTS, needed=having("type", "^perpetual$"))
    stated = asset_class("symbol_type", CLASSES)
    disputed = (stated == CRYPTO) & (pl.col("is_rwa") == "YES").fill_null(value=False)
    frame = with_asset_class(
        perpetuals.named(NAME, found.frame), pl.when(disputed).then(pl.lit(OTHER)).otherwise(stated)
    )
    yield perpetuals.instruments(
        NAME,
        frame,
        found.rejects,
        size=pl.lit(1.0),
        listed_at=pl.when(pl.col("launch_ms") > 0).then(from_ms("launch_ms")),
        delisted_at=pl.when(pl.col("off_ms") > 0).then(from_ms("off_ms")),
    )


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """The tickers of all contracts, one response per category; open interest has no history."""
    for category in CATEGORIES:
        yield await get(api, "/api/v3/market/tickers", category=category)


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Open interest in coin at the ticker's time. Tickers of dated futures stay in the landing."""
    found = read_records(pages, data, TICKERS)
    frame = kept(found.frame, pl.col("delivery").fill_null("") == "", "other_kind").with_columns(
        from_ms("at_ms").alias("at")
    )
    states, sentinels = without_sentinels(frame, ("held",), ("volume",), stamp="at", instrument="instrument")
    rows = perpetuals.open_interest(
        NAME, states, instrument="instrument", period=pl.lit("snapshot"), at=pl.col("at"), raw=pl.col("held"),
        unit=pl.lit("base"), base=pl.col("held"), usd=perpetuals.NOTHING,
    )  # fmt: skip
    yield Parsed("open_interest", rows, pl.concat([found.rejects, sentinels]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements in numbered pages, newest first; the endpoint ignores times. How far it reaches is undocumented, and learned."""

    async def numbered(number: int) -> Page:
        return await get(
            api, "/api/v2/mix/market/history-fund-rate", job.subject, symbol=job.subject, productType=product(job),
            pageSize=FUNDING_LIMIT, pageNo=number,
        )  # fmt: skip

    async for page in perpetuals.kept_history(NAME, job, numbered, stamps_of(data, "fundingTime"), what="funding"):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates; the interval (1, 2, 4 or 8 hours) is not in the rows and is inferred."""
    yield perpetuals.settlements(NAME, read_records(pages, data, FUNDING), context, from_ms("at_ms"))


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Finished hourly candles in windows below the limit, so that it does not matter which rows of a full page are left out. A
    window may have the candle that opens at its end, too."""

    async def window(first: int, last: int) -> Page:
        return await get(
            api, "/api/v2/mix/market/history-candles", job.subject, symbol=job.subject, productType=product(job),
            granularity="1H", startTime=first, endTime=last, limit=CANDLES_LIMIT,
        )  # fmt: skip

    async for page in paginate_by_slices(
        window, stamps_of(data, 0), start=job.span.start_ms, end=job.span.end_ms, limit=CANDLES_LIMIT,
        width=CANDLES_WIDTH_MS, spacing=HOUR_MS,
    ):  # fmt: skip
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Volume is in coin and turnover in the quote currency."""
    found = read_records(pages, data, CANDLES)
    yield perpetuals.hourly_candles(
        NAME, found, context, from_ms("at_ms"), base=pl.col("volume"), quote=pl.col("turnover")
    )


def cursor(page: Page) -> str | None:
    after = page.json()["data"].get("cursor")
    return str(after) if after else None


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """Liquidations of all contracts, newest first, linked by a cursor; no time bounds, and three days are kept.

    A list that ends after the span's start is whole for as long as Bitget keeps that day; later the rest is gone. A span in which
    no contract had any is treated as not published yet, because rows come with a delay.
    """
    stamps = stamps_of(liquidated, "ts")
    start, end = job.span.start_ms, job.span.end_ms
    pages: list[Page] = []
    for category in CATEGORIES:

        async def after(cursor: str | None, category: str = category) -> Page:
            more = {} if cursor is None else {"cursor": cursor}
            return await get(api, "/api/v3/market/liquidations", category=category, limit=LIQUIDATIONS_LIMIT, **more)

        found = [
            page
            async for page in pages_by_cursor(
                after, cursor, is_done=lambda page: not stamps(page) or min(stamps(page)) < start
            )
        ]
        oldest = min((stamp for page in found for stamp in stamps(page)), default=None)
        expired = found[-1].received_at - LIQUIDATIONS_KEPT
        if oldest is not None and oldest > start and expired > job.span.start:
            raise NoLongerAvailableError(
                f"{NAME}: {found[-1].where}: the liquidations of {category} begin at {instant(oldest):%Y-%m-%d %H:%M}."
            )
        pages += found
    if not any(start <= stamp < end for page in pages for stamp in stamps(page)):
        raise NotYetPublishedError
    for page in pages:
        yield page


def digits_of(number: float) -> int:
    """Significant digits of a number, of at most twelve."""
    return len(f"{number:.11e}".partition("e")[0].replace(".", "").rstrip("0"))


def is_in_quote(amounts: Sequence[float], prices: Sequence[float]) -> bool:
    """Whether amounts are in the quote coin: a size is a round number of coins, and its value is that times the price. So the
    amount divided by the price has fewer digits than the amount itself, by more than one on average."""
    pairs = [(amount, price) for amount, price in zip(amounts, prices, strict=True) if amount > 0 and price > 0]
    return sum(digits_of(amount) - digits_of(amount / price) - 1 for amount, price in pairs) > 0


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """`side` is the side of the liquidated position (all rows are "buy" when longs are liquidated), `price` is near its bankruptcy
    price. No document says whether `amount` is in coin, as a collector of these answers takes it, or in the quote coin, as in the
    frames of the websocket: the numbers of an answer tell it (?). Bitget has no id: equal rows of one page are numbered."""
    found = read_records(pages, perpetuals.numbered(liquidated), LIQUIDATIONS)
    facts = ["instrument", "at_ms", "bought", "price_text", "amount_text"]
    in_quote = is_in_quote(found.frame["amount"].to_list(), found.frame["price"].to_list())
    quantity = pl.col("amount") / pl.col("price") if in_quote else pl.col("amount")
    frame = found.frame.with_columns(
        quantity.alias("quantity"),
        from_ms("at_ms").alias("occurred_at"),
        pl.int_range(1, pl.len() + 1).over(perpetuals.PAGE, *facts).alias("number"),
        pl.col("bought").replace_strict(SIDES, default=None, return_dtype=pl.String).alias("side"),
    )
    frame = within(frame, "occurred_at", context)
    known = pl.col("side").is_not_null() & (pl.col("quantity") > 0)
    rows = frame.filter(known).select(
        pl.lit(NAME).alias("venue"),
        pl.concat_str([*facts, "number"], separator="-").alias("liquidation_id"),
        pl.lit("cex").alias("venue_kind"),
        "instrument",
        "occurred_at",
        "side",
        "price",
        pl.col("quantity").alias("quantity_base"),
        (pl.col("quantity") * pl.col("price")).alias("notional_usd"),
        # No document says that the list is whole, and the websocket gives the largest per contract and second only.
        pl.lit("throttled").alias("completeness"),
        pl.lit(value=False).alias("is_adl"),
        pl.col("occurred_at").alias("available_at"),
        LINE,
    )
    undecodable = rejected(
        frame.filter(~known.fill_null(value=False)), reason="undecodable", stamp="occurred_at", field="side",
        instrument="instrument", detail="neither buy nor sell, or no amount",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([found.rejects, undecodable]))


async def fetch_ratios(api: Api, job: Job) -> AsyncIterator[Page]:
    """The newest hours of the account ratio; the endpoint takes no times and states no depth."""
    page = await get(
        api,
        "/api/v2/mix/market/account-long-short",
        job.subject,
        symbol=job.subject,
        productType=product(job),
        period="1h",
    )
    if not data(page):
        raise SourceFormatError(f"{page.where}: no hour in the account ratio of a listed contract: {page.excerpt}")
    yield page


def parse_ratios(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Shares of accounts. The ratio is worked out from the shares: the published one contradicts them in Bitget's own example."""
    found = read_records(pages, data, RATIOS)
    total = pl.col("long") + pl.col("short")
    frame = found.frame.with_columns(from_ms("at_ms").alias("event_at"))
    rows = frame.filter(total > 0).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("account_global").alias("measure"),
        pl.lit("1h").alias("period"),
        "event_at",
        pl.when(pl.col("short") > 0).then(pl.col("long") / pl.col("short")).alias("ratio"),
        (pl.col("long") / total).alias("long_share"),
        pl.col("event_at").alias("available_at"),
        LINE,
    )
    nobody = rejected(
        frame.filter(total <= 0), reason="sentinel", detail="no accounts on either side", stamp="event_at"
    )
    yield Parsed("long_short_ratios", rows, pl.concat([found.rejects, nobody]))


async def fetch_risk_tiers(api: Api, job: Job) -> AsyncIterator[Page]:
    """All tiers of one contract."""
    path = "/api/v2/mix/market/query-position-lever"
    yield await get(api, path, job.subject, symbol=job.subject, productType=product(job))


def parse_risk_tiers(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Bounds are values in the quote currency. Initial margin and a deduction are not published (v2)."""
    found = read_records(pages, data, RISK_TIERS)
    nothing = pl.lit(None, pl.Float64)
    frame = found.frame.with_columns(
        pl.col(SUBJECT).alias("instrument"), nothing.alias("initial"), nothing.alias("deduction")
    )
    yield risk_tiers(NAME, frame, found.rejects, context, unit="quote")


VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.bitget.com"},
    limits=(
        Limit(6000, 60.0),
        *(Limit(amount, 1.0, name=name, share=1.0 if amount < 20 else 0.95) for name, amount in PER_SECOND.items()),
    ),
    concurrency=8,
    check=check,
    ignored_in_digest=re.compile(rb'"requestTime":\d+'),
    notes="Open interest has no history: an hour that is not captured is lost. What it counts is unsettled, so it is shown and in "
    "no total. Coin-margined contracts are not read.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals in USDT and USDC with their asset class and planned ends.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest of all perpetuals, captured every hour.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(),
            counting=FACTS[NAME],
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates; how far back is learned from the venue.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=date(2019, 7, 1)),
            partitioning=Partitioning(most_days=ALL_DAYS),
            subjects=each_instrument(perpetuals.IS_LINEAR),
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles; history depth unverified.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=date(2019, 7, 1)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(perpetuals.IS_LINEAR),
        ),
        Feed(
            name="liquidations",
            tables=("liquidations",),
            description="Liquidations of all contracts, kept for three days; public since 2026-06-25.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            retention=Retention(since=date(2026, 6, 22), days=2),
            completeness="throttled",
            parser_version=2,
        ),
        Feed(
            name="account_ratio",
            tables=("long_short_ratios",),
            description="Ratio of long to short accounts of the newest hours, captured every hour.",
            fetch=fetch_ratios,
            parse=parse_ratios,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(),
            subjects=each_instrument(perpetuals.IS_LINEAR),
        ),
        feed_of_risk_tiers(
            fetch_risk_tiers, parse_risk_tiers, what="of perpetuals", subjects=each_instrument(perpetuals.IS_LINEAR)
        ),
    ),
    streams=(STREAM,),
)
