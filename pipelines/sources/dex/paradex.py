"""Paradex: perpetuals of api.prod.paradex.trade. Public endpoints; no key; some countries are refused (code 40112).

Facts from Paradex's documentation of 2026-08-20 and answers of September 2026; anything not verified live is marked "?".
Funding accrues all the time, an observation every few seconds, so full hours are sampled; so is the history of open interest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import polars as pl

from pipelines.core.errors import BlockedError, RequestRefusedError
from pipelines.extract.paging import pages_by_cursor, paginate_forward
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    Api,
    Capture,
    Context,
    Counting,
    Feed,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Venue,
)
from pipelines.sources import counting
from pipelines.sources.asset_class import CRYPTO, OTHER
from pipelines.sources.dex.perpetuals import HOUR, HOUR_MS, hourly_candles, interest, linear_perpetuals
from pipelines.sources.instruments import each_instrument
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    Records,
    at_path,
    from_ms,
    having,
    kept,
    look_up,
    read_records,
    rejected,
    stamps_of,
    within,
)

NAME: Final = "paradex"
MARKETS: Final = "/v1/markets"
SUMMARY: Final = "/v1/markets/summary"
INDEX: Final = "/v1/funding/data"
KLINES: Final = "/v1/markets/klines"
TRADES: Final = "/v1/trades"

SAMPLE_MS: Final = 60_000
"""Observations are asked for this long up to a full hour; the last of them is that of the hour."""
SAMPLE_ROWS: Final = 100
TRADE_ROWS: Final = 1000
CANDLE_ROWS: Final = 500
"""Not documented (?)."""

LISTED: Final = (
    Field("symbol", "instrument", str),
    Field("open_at", "open_ms", int, optional=True),
    Field("tags", "tags", str, optional=True),
)
CLASSES: Final = (
    ("STOCK", "stock"), ("STOCKS", "stock"), ("EQUITY", "stock"), ("COMMODITY", "commodity"), ("COMMODITIES", "commodity"),
    ("METALS", "commodity"), ("FX", "forex"), ("FOREX", "forex"), ("INDEX", "index"), ("RWA", OTHER),
)  # fmt: skip
"""Asset classes by tag, the only field that tells them (?)."""

STATES: Final = (
    Field("symbol", "instrument", str),
    Field("open_interest", "oi_base", float),
    Field("volume_24h", "volume", float, optional=True),
    Field("created_at", "at_ms", int),
)
OBSERVED: Final = (Field("funding_index", "index", float), Field("created_at", "at_ms", int))
MARKS: Final = (Field(0, "at_ms", int), Field(1, "mark", float))
CANDLES: Final = (
    Field(0, "at_ms", int),
    *(Field(place, name, float) for place, name in enumerate(("open", "high", "low", "close"), start=1)),
)
TRADE: Final = (
    Field("id", "liquidation_id", str),
    Field("market", "instrument", str),
    Field("side", "taker", str),
    Field("size", "quantity_base", float),
    Field("price", "price", float),
    Field("created_at", "at_ms", int),
    Field("trade_type", "kind", str),
)

COUNTING: Final = (Counting("unknown", "no document says; captures compared with traded volume will settle it"),)

results = at_path("results")
is_perpetual = having("symbol", "-PERP$")


def check(page: Page) -> None:
    """Raise for an error, {"error": "...", "message": ...}."""
    response = page.json()
    error = response.get("error") if isinstance(response, dict) else None
    if error is None:
        return
    message = f"{NAME}: {page.where}: {error}: {response.get('message')}"
    if "40112" in str(error) or "40112" in str(response.get("message")):
        raise BlockedError(f"{message}. Paradex refuses this address; fetch it from a permitted region.")
    raise RequestRefusedError(f"{message}. Compare the request with Paradex's documentation.")


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All markets: perpetuals, options, spot."""
    yield await api.get(MARKETS)


def tagged(page: Page) -> Sequence[Record]:
    """The markets, with their tags as one text."""
    found: list[dict[str, Any]] = []
    for one in results(page):
        record = dict(one) if isinstance(one, dict) else {}
        tags = record.get("tags")
        found.append(record | {"tags": ",".join(map(str, tags)) if isinstance(tags, list) else None})
    return found


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals with amounts in coin. A market without tags states no class."""
    found = read_records(pages, tagged, LISTED, needed=having("asset_kind", "^PERP$"))
    tags = pl.col("tags").str.to_uppercase().str.split(",")
    stated: pl.Expr = pl.when(pl.col("tags").is_not_null()).then(pl.lit(CRYPTO))
    for tag, name in reversed(CLASSES):
        stated = pl.when(tags.list.contains(tag)).then(pl.lit(name)).otherwise(stated)
    listed = pl.when(pl.col("open_ms") > 0).then(from_ms("open_ms")).alias("listed_at")
    yield linear_perpetuals(NAME, Records(found.frame.with_columns(listed), found.rejects), stated=stated)


async def fetch_summary(api: Api, job: Job) -> AsyncIterator[Page]:
    """The current state of all markets."""
    yield await api.get(SUMMARY, params={"market": "ALL"})


def parse_summary(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Open interest of perpetuals in coin, of unknown counting; the list has options too."""
    found = read_records(pages, results, STATES, needed=is_perpetual)
    frame = found.frame.with_columns(from_ms("at_ms").alias("event_at"))
    alive, sentinels = counting.without_sentinels(
        frame, ("oi_base",), ("volume",), stamp="event_at", instrument="instrument"
    )
    rows = interest(NAME, alive, COUNTING, at="event_at", instrument="instrument")
    yield Parsed("open_interest", rows, pl.concat([found.rejects, sentinels]))


async def _samples(
    api: Api, job: Job, path: str, bounds: tuple[str, str], *, first_ms: int, end_ms: int, more: Mapping[str, str | int]
) -> AsyncIterator[Page]:
    """The observations just before every full hour from `first_ms` through `end_ms`, a request each."""
    for hour in range(first_ms, end_ms + 1, HOUR_MS):
        window = {bounds[0]: hour - SAMPLE_MS, bounds[1]: hour}
        yield await api.get(path, subject=job.subject, params={"market": job.subject, **window, **more})


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """Past states at every full hour; a state at midnight belongs to the day it ends."""
    first, end = job.span.start_ms + HOUR_MS, job.span.end_ms
    async for page in _samples(api, job, SUMMARY, ("start", "end"), first_ms=first, end_ms=end, more={}):
        yield page


def of_hour(frame: pl.DataFrame) -> pl.DataFrame:
    """The last observation up to each full hour of each subject, at `hour`; the others are part of it."""
    hours = frame.with_columns(((pl.col("at_ms") + HOUR_MS - 1) // HOUR_MS * HOUR_MS).alias("hour_ms"))
    last = pl.col("at_ms") == pl.col("at_ms").max().over(SUBJECT, "hour_ms")
    return kept(hours, last, "part_of_row").with_columns(from_ms("hour_ms").alias("hour"))


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Open interest in coin at full hours, of unknown counting."""
    found = read_records(pages, results, STATES, needed=is_perpetual)
    frame = within(of_hour(found.frame), "hour", context, closed="right")
    alive, sentinels = counting.without_sentinels(frame, ("oi_base",), ("volume",), stamp="hour")
    rows = interest(NAME, alive, COUNTING, at="hour", period="1h")
    yield Parsed("open_interest", rows, pl.concat([found.rejects, sentinels]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """The funding index at every full hour from the one before the span on, and the mark prices."""
    first, end = job.span.start_ms - HOUR_MS, job.span.end_ms - HOUR_MS
    more: dict[str, str | int] = {"page_size": SAMPLE_ROWS}
    async for page in _samples(api, job, INDEX, ("start_at", "end_at"), first_ms=first, end_ms=end, more=more):
        yield page
    async for page in _klines(api, job, "mark"):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """A fraction per hour: what the index, in dollars per coin, rose by since the hour before, over the mark price. A rise is paid
    by longs. An hour whose predecessor or mark is missing has no rate."""
    found = read_records([page for page in pages if page.request["path"] == INDEX], results, OBSERVED)
    marks = look_up([page for page in pages if page.request["path"] == KLINES], results, MARKS).frame
    hours = of_hour(found.frame)
    index = hours.select(SUBJECT, "hour", "index").unique([SUBJECT, "hour"], keep="first")
    before = index.select(SUBJECT, (pl.col("hour") + HOUR).alias("hour"), pl.col("index").alias("index_before"))
    prices = marks.select(SUBJECT, from_ms("at_ms").alias("hour"), "mark").unique([SUBJECT, "hour"], keep="first")
    joined = within(
        hours.join(before, on=[SUBJECT, "hour"], how="left", maintain_order="left").join(
            prices, on=[SUBJECT, "hour"], how="left", maintain_order="left"
        ),
        "hour",
        context,
    )
    is_known = pl.col("index_before").is_not_null() & (pl.col("mark") > 0)
    rows = joined.filter(is_known).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        pl.col("hour").alias("settled_at"),
        ((pl.col("index") - pl.col("index_before")) / pl.col("mark")).alias("rate"),
        pl.lit(1.0).alias("interval_hours"),
        pl.col("mark").alias("mark_price"),
        pl.col("hour").alias("available_at"),
        LINE,
    )
    unknown = rejected(
        joined.filter(~is_known.fill_null(value=False)), reason="undecodable", stamp="hour", field="funding_index",
        detail="no index of the hour before, or no mark price",
    )  # fmt: skip
    yield Parsed("funding_rates", rows, pl.concat([found.rejects, unknown]))


async def _klines(api: Api, job: Job, kind: str) -> AsyncIterator[Page]:
    async def get(first: int, last: int) -> Page:
        params: dict[str, str | int] = {
            "symbol": job.subject, "resolution": 60, "start_at": first, "end_at": last, "price_kind": kind,
        }  # fmt: skip
        return await api.get(KLINES, subject=job.subject, params=params)

    pages = paginate_forward(
        get, stamps_of(results, 0), start=job.span.start_ms, end=job.span.end_ms, limit=CANDLE_ROWS, spacing=HOUR_MS
    )
    async for page in pages:
        yield page


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles of trades, oldest first (?)."""
    async for page in _klines(api, job, "last"):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Prices only: in which unit volumes are is not documented."""
    found = read_records(pages, results, CANDLES)
    frame = found.frame.with_columns(from_ms("at_ms").alias("opened_at"))
    yield hourly_candles(NAME, Records(frame, found.rejects))


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """All trades of a market, by cursor: liquidations are marked among them."""

    async def get(after: str | None) -> Page:
        params: dict[str, str | int] = {
            "market": job.subject, "start_at": job.span.start_ms, "end_at": job.span.end_ms - 1, "page_size": TRADE_ROWS,
        }  # fmt: skip
        return await api.get(TRADES, subject=job.subject, params=params | ({} if after is None else {"cursor": after}))

    async for page in pages_by_cursor(get, next_page, is_done=lambda page: not results(page)):
        yield page


def next_page(page: Page) -> str | None:
    """The cursor of the next page; empty at the end."""
    content = page.json()
    after = content.get("next") if isinstance(content, dict) else None
    return str(after) if after else None


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Trades marked LIQUIDATION. Their side is the taker's: a sale closed a long (?)."""
    found = read_records(pages, results, TRADE)
    forced = kept(found.frame, pl.col("kind") == "LIQUIDATION", "not_forced")
    timed = within(forced.with_columns(from_ms("at_ms").alias("occurred_at")), "occurred_at", context)
    is_decodable = pl.col("taker").is_in(["BUY", "SELL"]) & (pl.col("quantity_base") > 0) & (pl.col("price") > 0)
    rows = timed.filter(is_decodable).select(
        pl.lit(NAME).alias("venue"),
        "liquidation_id",
        pl.lit("perp_dex").alias("venue_kind"),
        "instrument",
        "occurred_at",
        pl.when(pl.col("taker") == "SELL").then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
        "price",
        "quantity_base",
        (pl.col("price") * pl.col("quantity_base")).alias("notional_usd"),
        pl.lit("full").alias("completeness"),
        pl.lit(value=False).alias("is_adl"),
        pl.col("occurred_at").alias("available_at"),
        LINE,
    )
    undecodable = rejected(
        timed.filter(~is_decodable), reason="undecodable", stamp="occurred_at", field="side", instrument="instrument",
        detail="the side is neither BUY nor SELL, or price or size is not positive",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([found.rejects, undecodable]))


OPENED: Final = date(2023, 10, 1)
"""About when the order book opened (?)."""
SUMMARIES: Final = date(2025, 11, 11)
"""Release with past summaries."""


def _feed(
    name: str, table: str, description: str, fetch: Any, parse: Any, *, since: date = OPENED, **more: Any
) -> Feed:
    return Feed(
        name=name,
        tables=(table,),
        description=description,
        fetch=fetch,
        parse=parse,
        retention=Retention(since=since),
        **more,
    )


VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.prod.paradex.trade"},
    limits=(Limit(1500, 60.0),),
    concurrency=4,
    check=check,
    notes=(
        "Small since 2026. Some countries are refused by address. Not to be had: ratios, files; liquidations only among all "
        "trades, of followed perpetuals. What its terms allow is not known to us: read them before anything is published again."
    ),
    feeds=(
        _feed(
            "instruments", "instruments", "Perpetuals listed now, with their asset class by tag.", fetch_instruments,
            parse_instruments, cadence=Capture(every_hours=24),
        ),
        _feed(
            "summary", "open_interest", "Current open interest of all perpetuals, captured every hour.", fetch_summary,
            parse_summary, counting=COUNTING, cadence=Capture(),
        ),
        _feed(
            "open_interest", "open_interest", "Open interest at full hours, sampled from past summaries.", fetch_open_interest,
            parse_open_interest, since=SUMMARIES, counting=COUNTING, subjects=each_instrument(),
        ),
        _feed(
            "funding", "funding_rates", "Funding accrued in every hour, from the index at full hours.", fetch_funding,
            parse_funding, subjects=each_instrument(),
        ),
        _feed(
            "candles", "candles", "Hourly candles, without volumes.", fetch_candles, parse_candles, subjects=each_instrument(),
            partitioning=Partitioning(months="past"),
        ),
        _feed(
            "liquidations", "liquidations", "Trades marked as liquidations, selected from all trades of followed perpetuals.",
            fetch_liquidations, parse_liquidations, subjects=each_instrument(),
        ),
    ),
)  # fmt: skip
