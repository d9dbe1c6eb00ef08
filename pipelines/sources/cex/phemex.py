"""Phemex: perpetuals in USDT and USDC, hourly open interest, funding with its interval, candles. Public endpoints; no key.

Facts from Phemex's documentation and from public collectors; anything not verified live is marked "?". Contracts in coin, whose
numbers are scaled integers, are not read. Phemex publishes neither liquidations nor long/short ratios.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from typing import Final

import polars as pl

from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError, VenueUnavailableError
from pipelines.extract.paging import paginate_by_slices
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import Api, Capture, Context, Feed, Job, Page, Parsed, Partitioning, Retention, Venue
from pipelines.sources.asset_class import asset_class, with_asset_class
from pipelines.sources.cex import perpetuals
from pipelines.sources.cex.perpetuals import NOTHING
from pipelines.sources.counting import FACTS, without_sentinels
from pipelines.sources.instruments import each_instrument
from pipelines.sources.records import Field, at_path, from_ms, from_seconds, having, kept, read_records, stamps_of

NAME: Final = "phemex"
INSTRUMENTS: Final = (
    Field("symbol", "instrument", str),
    Field("type", "kind", str),
    Field("status", "status", str),
    Field("perpProductSubType", "sub_type", str, optional=True),
    Field("listTime", "list_ms", int, optional=True),
)
TICKERS: Final = (
    Field("symbol", "instrument", str),
    Field("timestamp", "at_ns", int),
    Field("openInterestRv", "held", float),
    Field("volumeRq", "volume", float, optional=True),
)
FUNDING: Final = (
    Field("fundingTime", "at_ms", int),
    Field("fundingRate", "rate", float),
    Field("intervalSeconds", "interval_s", float),
)
CANDLES: Final = (
    Field(0, "at_s", int),
    Field(3, "open", float),
    Field(4, "high", float),
    Field(5, "low", float),
    Field(6, "close", float),
    Field(7, "volume", float),
    Field(8, "turnover", float),
)
CLASSES: Final = {"Normal": "crypto", "TradFi": "other", "PreMarket": "stock"}
"""TradFi is shares, metals, currencies and indices alike; PreMarket is companies before their listing."""

FUNDING_LIMIT: Final = 100
MOST_PAGES: Final = 10_000
CANDLES_LIMIT: Final = 500
CANDLES_WIDTH_S: Final = 480 * 3600

products = at_path("data", "perpProductsV2")
tickers = at_path("result")
rows_of = at_path("data", "rows")


def check(page: Page) -> None:
    """Raise for an error: answers have a code of 0, as a number or a text, those of tickers an error of null."""
    response = page.json()
    told = response if isinstance(response, dict) else {}
    if str(told.get("code")) == "0" or ("code" not in told and "result" in told and told.get("error") is None):
        return
    problem = told.get("error")
    code = problem.get("code") if isinstance(problem, dict) else told.get("code")
    message = f"{NAME}: {page.where}: code {code}: {told.get('msg') or problem or page.excerpt}"
    if str(code) == "429":  # the address is blocked for as long as the window
        raise ThrottledError(message, wait_seconds=300.0)
    if str(code) in ("10500", "11010"):  # missing server, busy (?)
        raise VenueUnavailableError(message)
    raise RequestRefusedError(f"{message}. Compare the request with Phemex's documentation.")


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All products in one response, those that were delisted included."""
    yield await api.get("/public/products")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Linear perpetuals that are listed, sized in coin. The date of a delisting is not published, and a name can come back."""
    found = read_records(pages, products, INSTRUMENTS, needed=having("type", "^PerpetualV2$"))
    listed = kept(found.frame, pl.col("status") == "Listed", "delisted")
    frame = with_asset_class(perpetuals.named(NAME, listed), asset_class("sub_type", CLASSES))
    yield perpetuals.instruments(
        NAME,
        frame,
        found.rejects,
        size=pl.lit(1.0),
        listed_at=pl.when(pl.col("list_ms") > 0).then(from_ms("list_ms")),
        delisted_at=pl.lit(None, pl.Datetime("us")),
    )


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """The tickers of all linear contracts in one response; open interest has no history."""
    yield await api.get("/md/v3/ticker/24hr/all")


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """In coin, at the ticker's time, which is in nanoseconds."""
    found = read_records(pages, tickers, TICKERS)
    frame = found.frame.with_columns((pl.col("at_ns") // 1000).cast(pl.Datetime("us")).alias("at"))
    states, sentinels = without_sentinels(frame, ("held",), ("volume",), stamp="at", instrument="instrument")
    rows = perpetuals.open_interest(
        NAME, states, instrument="instrument", period=pl.lit("snapshot"), at=pl.col("at"), raw=pl.col("held"),
        unit=pl.lit("base"), base=pl.col("held"), usd=NOTHING,
    )  # fmt: skip
    yield Parsed("open_interest", rows, pl.concat([found.rejects, sentinels]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements between bounds by offset, through the first empty page. An empty first page is requested twice."""
    stamps = stamps_of(rows_of, "fundingTime")
    offset, before = 0, list[int]()
    for _ in range(MOST_PAGES):
        page = await _settlements(api, job, offset)
        if offset == 0 and not stamps(page):
            page = await _settlements(api, job, offset)
        seen = list(stamps(page))
        if seen and seen == before and len(set(seen)) > 1:
            raise SourceFormatError(f"{page.where}: the page repeats the one before; the venue's paging changed.")
        yield page
        if not seen:
            return
        offset, before = offset + len(seen), seen
    raise SourceFormatError(f"{page.where}: not at the end after {MOST_PAGES} pages.")


async def _settlements(api: Api, job: Job, offset: int) -> Page:
    # The name says 8H whatever the interval is (?).
    return await api.get(
        "/api-data/public/data/funding-rate-history",
        subject=job.subject,
        params={
            "symbol": f".{job.subject}FR8H", "start": job.span.start_ms, "end": job.span.end_ms, "limit": FUNDING_LIMIT,
            "offset": offset,
        },
    )  # fmt: skip


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates with their interval, which every row states."""
    found = read_records(pages, rows_of, FUNDING)
    yield perpetuals.settlements(NAME, found, context, from_ms("at_ms"), interval_hours=pl.col("interval_s") / 3600)


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles between bounds in seconds, in windows below the limit (?)."""

    async def window(first: int, last: int) -> Page:
        return await api.get(
            "/exchange/public/md/v2/kline/list",
            subject=job.subject,
            params={"symbol": job.subject, "resolution": 3600, "from": first, "to": last},
        )

    async for page in paginate_by_slices(
        window, stamps_of(rows_of, 0), start=job.span.start_ms // 1000, end=job.span.end_ms // 1000, limit=CANDLES_LIMIT,
        width=CANDLES_WIDTH_S, spacing=3600,
    ):  # fmt: skip
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Rows are start, seconds, last close, open, high, low, close, volume in coin, turnover in the quote currency."""
    found = read_records(pages, rows_of, CANDLES)
    yield perpetuals.hourly_candles(
        NAME, found, context, from_seconds("at_s"), base=pl.col("volume"), quote=pl.col("turnover")
    )


OPENED: Final = date(2022, 11, 1)

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.phemex.com"},
    # 5,000 in five minutes; beyond that the address is blocked for five minutes.
    limits=(Limit(5000, 300.0),),
    concurrency=4,
    check=check,
    notes="Open interest has no history: an hour that is not captured is lost. What it counts is unsettled, so it is shown and in "
    "no total. Neither liquidations nor ratios are published. Contracts in coin are not read.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Linear perpetuals that are listed, with their asset class.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=OPENED),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest of all linear perpetuals, captured every hour.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            retention=Retention(since=OPENED),
            cadence=Capture(),
            counting=FACTS[NAME],
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates with their interval; history depth unverified.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(perpetuals.IS_LINEAR),
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles; history depth unverified.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(perpetuals.IS_LINEAR),
        ),
    ),
)
