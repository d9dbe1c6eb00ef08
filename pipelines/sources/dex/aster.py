"""Aster: perpetuals of a venue with Binance's wire format. Public endpoints of fapi.asterdex.com; no key.

Facts from Aster's API documents of 2026-06-30 and answers of September 2026; anything not verified live is marked "?".
Open interest has no history, forced orders are pushed over a websocket only (aster_stream), ratios do not exist.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import polars as pl

from pipelines.core.errors import RequestRefusedError, ThrottledError, VenueUnavailableError
from pipelines.extract.paging import paginate_forward
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
from pipelines.sources.asset_class import CRYPTO, OTHER
from pipelines.sources.dex.aster_stream import STREAM
from pipelines.sources.dex.perpetuals import HOUR_MS, hourly_candles, interest, linear_perpetuals
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
    read_records,
    settlement,
    stamps_of,
)

NAME: Final = "aster"
WEIGHT: Final = "weight"
UNKNOWN_SYMBOL: Final = -1121

SYMBOLS: Final = (
    Field("symbol", "instrument", str),
    Field("onboardDate", "onboard_ms", int, optional=True),
    Field("symbolType", "symbol_type", int, optional=True),
    Field("tags", "tags", str, optional=True),
)
CLASSES: Final = (
    ("STOCK", "stock"),
    ("ETF", "stock"),
    ("COMMODITIES", "commodity"),
    ("FOREX", "forex"),
    ("INDEX", "index"),
)
"""Asset classes by tag in underlyingSubType; underlyingType is COIN of everything. The tags of currencies and indices are not
known (?)."""
TRADFI: Final = 1
"""symbolType of what is no coin, whatever its tags."""

INTEREST: Final = (Field("openInterest", "oi_base", float), Field("time", "at_ms", int))
FUNDING: Final = (Field("fundingRate", "rate", float), Field("fundingTime", "at_ms", int))
CANDLES: Final = (
    Field(0, "at_ms", int),
    *(Field(place, name, float) for place, name in enumerate(("open", "high", "low", "close", "volume_base"), start=1)),
    Field(7, "volume_quote", float),
    Field(8, "trades", int),
    Field(9, "taker_buy_base", float),
)
FUNDING_LIMIT: Final = 1000
CANDLE_LIMIT: Final = 1000
"""1500 are allowed at twice the weight (?, as at Binance)."""

COUNTING: Final = (Counting("one_sided", "a public collector; the documents do not say"),)


def check(page: Page) -> None:
    """Raise for an error, {"code": -1121, "msg": ...}, by its code."""
    if not page.body.lstrip().startswith(b'{"code"'):
        return
    response = page.json()
    code = response.get("code")
    if not isinstance(code, int) or code >= 0 or code == UNKNOWN_SYMBOL:
        return
    message = f"{NAME}: {page.where}: code {code}: {response.get('msg')}"
    if code in (-1003, -1015):
        raise ThrottledError(message)
    if code in (-1000, -1001, -1006, -1007, -1008, -1016):
        raise VenueUnavailableError(message)
    raise RequestRefusedError(f"{message}. Compare the request with Aster's documentation.")


class _NoLongerListedError(Exception):
    """Aster no longer lists the symbol of an earlier capture."""


async def _get(api: Api, path: str, job: Job, params: Mapping[str, str | int], weight: int) -> Page:
    """A response about the job's symbol. A refusal has status 400."""
    page = await api.get(
        path, subject=job.subject, params={"symbol": job.subject, **params}, costs={WEIGHT: weight}, accept=(200, 400)
    )
    if page.status == 200:
        return page
    response = page.json()
    if isinstance(response, dict) and response.get("code") == UNKNOWN_SYMBOL:
        raise _NoLongerListedError(job.subject)
    raise RequestRefusedError(f"{NAME}: {page.where}: status 400: {page.excerpt}. The venue's rules changed.")


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All symbols listed now."""
    yield await api.get("/fapi/v3/exchangeInfo", costs={WEIGHT: 1})


def symbols(page: Page) -> Sequence[Record]:
    """The symbols, with their tags as one text."""
    found: list[dict[str, Any]] = []
    for one in at_path("symbols")(page):
        record = dict(one) if isinstance(one, dict) else {}
        tags = record.get("underlyingSubType")
        found.append(record | {"tags": ",".join(map(str, tags)) if isinstance(tags, list) else ""})
    return found


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals, those that trade later too, whose contractType is empty. Amounts are in coin."""
    found = read_records(pages, symbols, SYMBOLS, needed=having("contractType", "^(PERPETUAL)?$"))
    tags = pl.col("tags").str.to_uppercase().str.split(",")
    stated = pl.when(pl.col("symbol_type") == TRADFI).then(pl.lit(OTHER)).otherwise(pl.lit(CRYPTO))
    for tag, name in reversed(CLASSES):
        stated = pl.when(tags.list.contains(tag)).then(pl.lit(name)).otherwise(stated)
    listed = pl.when(pl.col("onboard_ms") > 0).then(from_ms("onboard_ms")).alias("listed_at")
    yield linear_perpetuals(NAME, Records(found.frame.with_columns(listed), found.rejects), stated=stated)


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """Current open interest, one symbol a response. The path is of the older version: the newer document lacks it."""
    try:
        yield await _get(api, "/fapi/v1/openInterest", job, {}, 1)
    except _NoLongerListedError:
        return


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """In coin, at the time that the response states."""
    found = read_records(pages, lambda page: [page.json()], INTEREST)
    frame = found.frame.with_columns(from_ms("at_ms").alias("event_at"))
    yield Parsed("open_interest", interest(NAME, frame, COUNTING, at="event_at"), found.rejects)


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements, oldest first; both bounds are inclusive."""

    async def get(first: int, last: int) -> Page:
        bounds = {"startTime": first, "endTime": last, "limit": FUNDING_LIMIT}
        return await _get(api, "/fapi/v3/fundingRate", job, bounds, 1)

    span = job.span
    pages = paginate_forward(
        get, stamps_of(at_path(), "fundingTime"), start=span.start_ms, end=span.end_ms, limit=FUNDING_LIMIT,
        spacing=HOUR_MS,
    )  # fmt: skip
    try:
        async for page in pages:
            yield page
    except _NoLongerListedError:
        return


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates as a fraction per interval, which is not in the payload."""
    found = read_records(pages, at_path(), FUNDING)
    settled = settlement(from_ms("at_ms"))
    rows = found.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        settled.alias("settled_at"),
        "rate",
        pl.max_horizontal(settled, from_ms("at_ms")).alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, found.rejects)


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles, oldest first; both bounds are inclusive."""
    hours = (job.span.end_ms - job.span.start_ms) // HOUR_MS
    limit = min(hours + 1, CANDLE_LIMIT)
    weight = 1 if limit < 100 else 2 if limit < 500 else 5

    async def get(first: int, last: int) -> Page:
        params: dict[str, str | int] = {"interval": "1h", "startTime": first, "endTime": last, "limit": limit}
        return await _get(api, "/fapi/v3/klines", job, params, weight)

    pages = paginate_forward(
        get, stamps_of(at_path(), 0), start=job.span.start_ms, end=job.span.end_ms, limit=limit, spacing=HOUR_MS
    )
    try:
        async for page in pages:
            yield page
    except _NoLongerListedError:
        return


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Volumes in coin and in the quote currency."""
    found = read_records(pages, at_path(), CANDLES)
    frame = found.frame.with_columns(from_ms("at_ms").alias("opened_at"))
    volumes = ("volume_base", "volume_quote", "taker_buy_base", "trades")
    yield hourly_candles(NAME, Records(frame, found.rejects), *volumes)


OPENED: Final = date(2024, 1, 1)
"""About when the order book opened (?)."""

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://fapi.asterdex.com"},
    limits=(Limit(2400, 60.0, WEIGHT),),
    weights={WEIGHT: "X-MBX-USED-WEIGHT-1M"},
    concurrency=4,
    check=check,
    notes=(
        "Not to be had: history of open interest, past liquidations (a stream pushes the last of a second; Coinalyze has totals), "
        "ratios, files. What its terms allow is not known to us: read them before anything is published again."
    ),
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals listed now, with their asset class by tag; some shares have no tag.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=OPENED),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Current open interest, captured every hour, one request an instrument.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            counting=COUNTING,
            retention=Retention(since=OPENED),
            cadence=Capture(),
            subjects=each_instrument(),
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates; how far back is not documented.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles; how far back is not documented.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
    ),
    streams=(STREAM,),
)
