"""BingX: perpetuals in USDT and USDC, hourly open interest in dollars, funding with the mark price, candles. Public endpoints.

Facts from BingX's v3 documentation and from public collectors; anything not verified live is marked "?". Coin-margined contracts
are not read. BingX publishes neither liquidations nor long/short ratios.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from typing import Final

import polars as pl

from pipelines.core.errors import RequestRefusedError, ThrottledError, VenueUnavailableError
from pipelines.extract.paging import paginate_backward, paginate_by_slices
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import Api, Capture, Context, Feed, Job, Page, Parsed, Partitioning, Retention, Venue
from pipelines.sources.asset_class import CRYPTO, asset_class, with_asset_class
from pipelines.sources.cex import perpetuals
from pipelines.sources.cex.perpetuals import HOUR_MS, NOTHING
from pipelines.sources.counting import FACTS
from pipelines.sources.instruments import each_instrument
from pipelines.sources.records import Field, Record, at_path, from_ms, kept, read_records, stamps_of

NAME: Final = "bingx"
INSTRUMENTS: Final = (
    Field("symbol", "instrument", str),
    Field("status", "status", int),
    Field("launchTime", "launch_ms", int, optional=True),
    # 0 where no end is planned.
    Field("offTime", "off_ms", int, optional=True),
)
INTEREST: Final = (Field("symbol", "instrument", str), Field("openInterest", "usd", float), Field("time", "at_ms", int))
FUNDING: Final = (
    Field("fundingTime", "at_ms", int),
    Field("fundingRate", "rate", float),
    Field("markPrice", "mark", float, optional=True),
)
CANDLES: Final = (
    Field("time", "at_ms", int),
    *(Field(name, name, float) for name in ("open", "high", "low", "close", "volume")),
)

ONLINE: Final = 1
COMING: Final = 5
"""Statuses of contracts that are traded, or will be; 25 is suspended and 0 offline."""
NAMED: Final = r"^NC(SK|FX|CO|SI)(.+)2USD-"
"""How contracts on anything but coins are named: NCSKTSLA2USD-USDT is the share TSLA."""
CLASSES: Final = {"SK": "stock", "FX": "forex", "CO": "commodity", "SI": "index"}

FUNDING_LIMIT: Final = 1000
CANDLES_LIMIT: Final = 1440
CANDLES_WIDTH_MS: Final = 1400 * HOUR_MS

data = at_path("data")


def check(page: Page) -> None:
    """Raise for an error code; BingX sends them with status 200."""
    response = page.json()
    code = response.get("code") if isinstance(response, dict) else None
    if code == 0:
        return
    message = (
        f"{NAME}: {page.where}: code {code}: {response.get('msg') if isinstance(response, dict) else page.excerpt}"
    )
    if code == 100410:  # too frequent; the address is free again after five minutes
        raise ThrottledError(message, wait_seconds=300.0)
    if code in (100500, 80012):  # internal error, service unavailable
        raise VenueUnavailableError(message)
    raise RequestRefusedError(f"{message}. Compare the request with BingX's documentation.")


def one(page: Page) -> Sequence[Record]:
    """The state that is the whole answer, as a record."""
    content = page.json()
    state = content.get("data") if isinstance(content, dict) else None
    return [state] if isinstance(state, dict) else data(page)


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All contracts."""
    yield await api.get("/openApi/swap/v2/quote/contracts")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Contracts that are traded or will be, sized in coin; the asset class is in the name."""
    found = read_records(pages, data, INSTRUMENTS)
    listed = kept(found.frame, pl.col("status").is_in([ONLINE, COMING]), "delisted")
    mark, asset = (pl.col("instrument").str.extract(NAMED, place) for place in (1, 2))
    frame = perpetuals.named(NAME, listed).with_columns(mark.alias("mark"), pl.coalesce(asset, "asset").alias("asset"))
    yield perpetuals.instruments(
        NAME,
        with_asset_class(frame, pl.coalesce(asset_class("mark", CLASSES), pl.lit(CRYPTO))),
        found.rejects,
        size=pl.lit(1.0),
        listed_at=pl.when(pl.col("launch_ms") > 0).then(from_ms("launch_ms")),
        delisted_at=pl.when(pl.col("off_ms") > 0).then(from_ms("off_ms")),
    )


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """The current state of one contract; open interest has no history."""
    yield await api.get("/openApi/swap/v2/quote/openInterest", subject=job.subject, params={"symbol": job.subject})


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """In the quote currency, taken as dollars: one document says coin, but BTC-USDT had 287,039,550 at a price of 77,190."""
    found = read_records(pages, one, INTEREST)
    rows = perpetuals.open_interest(
        NAME, found.frame, instrument="instrument", period=pl.lit("snapshot"), at=from_ms("at_ms"), raw=pl.col("usd"),
        unit=pl.lit("quote"), base=NOTHING, usd=pl.col("usd"),
    )  # fmt: skip
    yield Parsed("open_interest", rows, found.rejects)


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements between inclusive bounds (?), the newest of them first."""

    async def between(first: int, last: int) -> Page:
        return await api.get(
            "/openApi/swap/v2/quote/fundingRate",
            subject=job.subject,
            params={"symbol": job.subject, "startTime": first, "endTime": last, "limit": FUNDING_LIMIT},
        )

    async for page in paginate_backward(
        between, stamps_of(data, "fundingTime"), start=job.span.start_ms, end=job.span.end_ms, limit=FUNDING_LIMIT,
        spacing=HOUR_MS,
    ):  # fmt: skip
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates; the interval (1, 4 or 8 hours) is inferred."""
    found = read_records(pages, data, FUNDING)
    yield perpetuals.settlements(NAME, found, context, from_ms("at_ms"), mark=pl.when(pl.col("mark") > 0).then("mark"))


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles in windows below the limit; the start is exclusive."""

    async def window(first: int, last: int) -> Page:
        return await api.get(
            "/openApi/swap/v3/quote/klines",
            subject=job.subject,
            params={
                "symbol": job.subject, "interval": "1h", "startTime": first - 1, "endTime": last, "limit": CANDLES_LIMIT,
            },
        )  # fmt: skip

    async for page in paginate_by_slices(
        window, stamps_of(data, "time"), start=job.span.start_ms, end=job.span.end_ms, limit=CANDLES_LIMIT,
        width=CANDLES_WIDTH_MS, spacing=HOUR_MS,
    ):  # fmt: skip
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Volume is in coin (?); turnover is not published."""
    found = read_records(pages, data, CANDLES)
    yield perpetuals.hourly_candles(NAME, found, context, from_ms("at_ms"), base=pl.col("volume"), quote=NOTHING)


OPENED: Final = date(2020, 4, 7)

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://open-api.bingx.com"},
    # The documentation says 500 in 10 seconds for each endpoint, another text of BingX's 1 a second; a ban lasts five minutes.
    limits=(Limit(100, 10.0),),
    concurrency=4,
    check=check,
    ignored_in_digest=re.compile(rb'"timestamp":\d+'),
    notes="Open interest has no history: an hour that is not captured is lost. It is published in dollars; what it counts is "
    "unsettled, so it is shown and in no total. Neither liquidations nor ratios are published.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals in USDT and USDC with their asset class and planned ends.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=OPENED),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest in dollars, captured every hour.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            retention=Retention(since=OPENED),
            cadence=Capture(),
            subjects=each_instrument(perpetuals.IS_LINEAR),
            counting=FACTS[NAME],
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates with the mark price; history depth unverified.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(perpetuals.IS_LINEAR),
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles without turnover; history depth unverified.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(perpetuals.IS_LINEAR),
        ),
    ),
)
