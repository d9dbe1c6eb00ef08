"""Lighter: perpetuals of mainnet.zklighter.elliot.ai. Public endpoints; no key.

Facts from Lighter's documentation and client library and from answers recorded in 2026; anything not verified live is marked "?".
Past liquidations need an account; the websocket (lighter_stream) tells of new ones. The second deployment
(api.rh.lighter.xyz) is another venue and not read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from pipelines.core.errors import DeadVenueError, RequestRefusedError, SourceFormatError, ThrottledError
from pipelines.extract.paging import paginate_by_slices
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    ALL_DAYS,
    Api,
    Capture,
    Context,
    Counting,
    Daily,
    Feed,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Venue,
)
from pipelines.sources import counting
from pipelines.sources.dex.lighter_stream import STREAM
from pipelines.sources.dex.perpetuals import HOUR_MS, Ids, hourly_candles, interest, linear_perpetuals
from pipelines.sources.instruments import each_instrument
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Records,
    at_path,
    from_ms,
    from_seconds,
    having,
    kept,
    look_up,
    read_records,
    rejected,
    stamps_of,
    within,
)

NAME: Final = "lighter"
API: Final = "/api/v1"
DETAILS: Final = f"{API}/orderBookDetails"
FUNDINGS: Final = f"{API}/fundings"
CANDLES: Final = f"{API}/candles"
METRICS: Final = f"{API}/exchangeMetrics"

# 750 rows of funding are documented, and 500 were once reported.
MOST_ROWS: Final = 500
WIDTH_HOURS: Final = 480
HOUR_SECONDS: Final = 3600

MARKETS: Final = (Field("symbol", "instrument", str),)
STATES: Final = (
    Field("symbol", "instrument", str),
    Field("status", "status", str),
    Field("open_interest", "oi_base", float),
    Field("daily_base_token_volume", "volume", float, optional=True),
)
RATES: Final = (
    Field("timestamp", "at_s", int),
    Field("rate", "percent", float),
    Field("direction", "direction", str),
    Field("value", "value", float, optional=True),
)
PRICES: Final = (Field("t", "at_ms", int), Field("o", "open", float, optional=True))
# What is zero is left out of the JSON.
BARS: Final = (
    Field("t", "at_ms", int),
    *(
        Field(key, name, float, optional=True)
        for key, name in zip("ohlc", ("open", "high", "low", "close"), strict=True)
    ),
    Field("v", "volume_base", float, optional=True),
    Field("V", "volume_quote", float, optional=True),
)
DAYS: Final = (Field("timestamp", "at_s", int), Field("data", "usd", float))

ONE_SIDED: Final = (Counting("one_sided", "DefiLlama doubles it to reach the figure of the venue's site"),)
TWO_SIDED: Final = (
    Counting("two_sided", "it is twice the open interest of orderBookDetails (DefiLlama, a public client)"),
)

PERCENT_PRINTED: Final = 0.0001
"""The last digit of a published rate, in percent."""

is_perpetual = having("market_type", "^perp$")
details = at_path("order_book_details")
bars = at_path("c")


def check(page: Page) -> None:
    """Raise for an error, {"code": 21500, "message": ...}; the code of success is 200."""
    response = page.json()
    code = response.get("code", 200) if isinstance(response, dict) else 200
    if code == 200:
        return
    message = f"{NAME}: {page.where}: code {code}: {response.get('message')}"
    if code == 23000:  # too many requests (?)
        raise ThrottledError(message, wait_seconds=60.0)
    raise RequestRefusedError(f"{message}. Compare the request with Lighter's documentation.")


async def _market_ids(api: Api) -> dict[str, str]:
    page = await api.get(DETAILS)
    listed = details(page)
    if not listed:
        raise DeadVenueError(f"{NAME}: {page.where}: no market is listed.")
    found: dict[str, str] = {}
    for one in listed:
        if isinstance(one, dict) and "symbol" in one and "market_id" in one and is_perpetual(one):
            found[str(one["symbol"])] = str(one["market_id"])
    if not found:
        raise SourceFormatError(f"{page.where}: no market has a number; the venue's format changed: {page.excerpt}")
    return found


ids: Final = Ids(_market_ids)


async def fetch_details(api: Api, job: Job) -> AsyncIterator[Page]:
    """All markets and their current state."""
    yield await api.get(DETAILS)


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals, named by what is traded; amounts are in units of the instrument. The list has no asset class (?)."""
    yield linear_perpetuals(NAME, read_records(pages, details, MARKETS, needed=is_perpetual))


def parse_states(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One-sided open interest of active markets, at the time of receipt: the response has none. Inactive ones keep a figure."""
    found = read_records(pages, details, STATES, needed=is_perpetual)
    active = kept(found.frame, pl.col("status") == "active", "delisted")
    alive, sentinels = counting.without_sentinels(
        active, ("oi_base",), ("volume",), stamp="received_at", instrument="instrument"
    )
    rows = interest(NAME, alive, ONE_SIDED, at="received_at", instrument="instrument")
    yield Parsed("open_interest", rows, pl.concat([found.rejects, sentinels]))


async def fetch_daily_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """The whole history of a market, a value a day."""
    params = {"period": "all", "kind": "open_interest", "filter": "byMarket", "value": job.subject}
    yield await api.get(METRICS, subject=job.subject, params=params)


def parse_daily_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Dollars of both sides, halved. A value is taken as the state at its stamp, a UTC midnight (?)."""
    found = read_records(pages, at_path("metrics"), DAYS)
    frame = found.frame.with_columns(from_seconds("at_s").alias("event_at"))
    rows = within(frame, "event_at", context, closed="right", answers="history")
    counted = counting.sides(TWO_SIDED, pl.col("event_at"))
    yield Parsed(
        "open_interest",
        rows.select(
            pl.lit(NAME).alias("venue"),
            pl.col(SUBJECT).alias("instrument"),
            pl.lit("1d").alias("period"),
            "event_at",
            (pl.col("usd") * counting.share(counted)).alias("oi_usd"),
            pl.col("usd").alias("oi_raw"),
            pl.lit("usd").alias("oi_raw_unit"),
            counting.counting(counted),
            pl.col("event_at").alias("available_at"),
            LINE,
        ),
        found.rejects,
    )


async def _series(api: Api, job: Job, path: str, rows: str, stamp: str, unit: int) -> AsyncIterator[Page]:
    """Hourly rows of a market whose stamps are in `unit` milliseconds. Which rows an overfull answer drops is not documented."""
    number = await ids.of(api, job)
    if number is None:
        return

    async def get(first: int, last: int) -> Page:
        params: dict[str, str | int] = {
            "market_id": number, "resolution": "1h", "start_timestamp": first, "end_timestamp": last, "count_back": MOST_ROWS,
        }  # fmt: skip
        return await api.get(path, subject=job.subject, params=params)

    hour = HOUR_MS // unit
    pages = paginate_by_slices(
        get, stamps_of(at_path(rows), stamp), start=job.span.start_ms // unit, end=job.span.end_ms // unit, limit=MOST_ROWS,
        width=WIDTH_HOURS * hour, spacing=hour,
    )  # fmt: skip
    async for page in pages:
        yield page


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly settlements, and the candles whose prices tell the digits that the published rate lacks."""
    async for page in _series(api, job, FUNDINGS, "fundings", "timestamp", 1000):
        yield page
    async for page in _series(api, job, CANDLES, "c", "t", 1):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """A fraction per hour. `rate` is in percent per hour without a sign, rounded to 0.0001; `direction` says who pays. `value`,
    which is paid per unit of the instrument, over the price of the hour has the digits that are lost; where the two disagree by
    more than the rounding, the published rate stands."""
    found = read_records([page for page in pages if page.request["path"] == FUNDINGS], at_path("fundings"), RATES)
    prices = look_up([page for page in pages if page.request["path"] == CANDLES], bars, PRICES).frame
    opened = prices.select(SUBJECT, (pl.col("at_ms") // 1000).alias("at_s"), "open").unique(
        [SUBJECT, "at_s"], keep="first"
    )
    frame = found.frame.join(opened, on=[SUBJECT, "at_s"], how="left", maintain_order="left")
    finer = pl.when(pl.col("open") > 0).then(pl.col("value").abs() / pl.col("open"))
    printed = pl.col("percent").abs() / 100
    agrees = (finer - printed).abs() <= PERCENT_PRINTED / 100
    sign = pl.when(pl.col("direction") == "long").then(1.0).when(pl.col("direction") == "short").then(-1.0)
    rated = frame.with_columns(
        from_seconds("at_s").dt.round("1m").alias("settled_at"), sign.alias("sign")
    ).with_columns((pl.col("sign") * pl.when(agrees).then(finer).otherwise(printed)).alias("rate"))
    rows = rated.filter(pl.col("sign").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        "settled_at",
        "rate",
        pl.lit(1.0).alias("interval_hours"),
        pl.col("settled_at").alias("available_at"),
        LINE,
    )
    undirected = rejected(
        rated.filter(pl.col("sign").is_null()), reason="undecodable", stamp="settled_at", field="direction",
        detail="neither long nor short pays",
    )  # fmt: skip
    yield Parsed("funding_rates", rows, pl.concat([found.rejects, undirected]))


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles."""
    async for page in _series(api, job, CANDLES, "c", "t", 1):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Volumes in units of the instrument and in dollars. Hours before the first trade are rows without prices."""
    found = read_records(pages, bars, BARS)
    priced = kept(found.frame, (pl.col("close") > 0) & (pl.col("open") > 0), "no_value").with_columns(
        from_ms("at_ms").alias("opened_at"), pl.col("volume_base", "volume_quote").fill_null(0.0)
    )
    yield hourly_candles(NAME, Records(priced, found.rejects), "volume_base", "volume_quote")


OPENED: Final = date(2025, 1, 17)
"""First day of the venue's daily open interest."""


def _feed(name: str, table: str, description: str, fetch: Any, parse: Any, **more: Any) -> Feed:
    return Feed(
        name=name,
        tables=(table,),
        description=description,
        fetch=fetch,
        parse=parse,
        retention=Retention(since=OPENED),
        **more,
    )


VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://mainnet.zklighter.elliot.ai"},
    limits=(Limit(60, 60.0),),
    concurrency=2,
    check=check,
    notes=(
        "Sixty requests a minute; some regions are answered 403. Past liquidations need an account. Not to be had: ratios, asset "
        "classes, files. What its terms allow is not known to us: read them before anything is published again."
    ),
    feeds=(
        _feed(
            "instruments", "instruments", "Perpetuals listed now; the list states no asset class.", fetch_details,
            parse_instruments, cadence=Capture(every_hours=24),
        ),
        _feed(
            "details", "open_interest", "Current one-sided open interest of all perpetuals, captured every hour.", fetch_details,
            parse_states, counting=ONE_SIDED, cadence=Capture(),
        ),
        _feed(
            "daily_open_interest", "open_interest", "Open interest in dollars by day; every response has the whole history.",
            fetch_daily_open_interest, parse_daily_open_interest, counting=TWO_SIDED, subjects=each_instrument(),
            cadence=Daily(published_after=timedelta(hours=2)), partitioning=Partitioning(most_days=ALL_DAYS),
        ),
        _feed(
            "funding", "funding_rates", "Hourly settled funding rates; how far back is not documented.", fetch_funding,
            parse_funding, subjects=each_instrument(), partitioning=Partitioning(months="past"),
        ),
        _feed(
            "candles", "candles", "Hourly candles; how far back is not documented.", fetch_candles, parse_candles,
            subjects=each_instrument(), partitioning=Partitioning(months="past"),
        ),
    ),
    streams=(STREAM,),
)  # fmt: skip
