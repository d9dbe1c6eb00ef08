"""KuCoin Futures: perpetuals, open interest of 7 days (hourly) and 70 days (daily), funding, candles. Public endpoints; no key.

Facts from KuCoin's documentation of classic futures and of the unified account, and from public collectors; anything not verified
live is marked "?". KuCoin publishes neither liquidations nor long/short ratios.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.core.errors import (
    NoLongerAvailableError,
    RequestRefusedError,
    ThrottledError,
    VenueUnavailableError,
)
from pipelines.extract.paging import paginate_backward, paginate_by_slices
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    Api,
    Capture,
    Context,
    Feed,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Venue,
)
from pipelines.sources.asset_class import asset_class, with_asset_class
from pipelines.sources.cex import perpetuals
from pipelines.sources.cex.perpetuals import HOUR_MS, IS_INVERSE, instant
from pipelines.sources.counting import FACTS
from pipelines.sources.instruments import each_instrument
from pipelines.sources.records import (
    SUBJECT,
    Field,
    Record,
    at_path,
    from_ms,
    having,
    read_records,
    stamps_of,
    within,
)

NAME: Final = "kucoin"
INSTRUMENTS: Final = (
    Field("symbol", "instrument", str),
    Field("type", "kind", str),
    # Coins per lot; −1 of inverse contracts, whose lot is one dollar.
    Field("multiplier", "size", float),
    Field("isInverse", "is_inverse", bool),
    Field("firstOpenDate", "listed_ms", int, optional=True),
    Field("expireDate", "expire_ms", int, optional=True),
    Field("assetClass", "class", str, optional=True),
)
INTEREST: Final = (Field("ts", "at_ms", int), Field("openInterest", "lots", float), Field("interval", "interval", str))
FUNDING: Final = (Field("timepoint", "at_ms", int), Field("fundingRate", "rate", float))
CANDLES: Final = (
    Field(0, "at_ms", int),
    *(Field(place, name, float) for place, name in enumerate(("open", "high", "low", "close"), start=1)),
    Field(5, "lots", float),
    # Missing in answers before 2022 (?).
    Field(6, "turnover", float, optional=True),
)
CLASSES: Final = {
    "CRYPTO": "crypto",
    "STOCK": "stock",
    "METAL": "commodity",
    "COMMODITY": "commodity",
    "FOREX": "forex",
}

PERIODS: Final = {"1hour": ("1h", HOUR_MS), "1day": ("1d", 24 * HOUR_MS)}
"""Intervals of open interest, finest first: our names, and milliseconds."""
INTEREST_LIMIT: Final = 200
FUNDING_LIMIT: Final = 100
CANDLES_LIMIT: Final = 500
CANDLES_WIDTH_MS: Final = 480 * HOUR_MS

data = at_path("data")


def check(page: Page) -> None:
    """Raise for an error code; "200000" is success. Errors come with status 200."""
    response = page.json()
    code = response.get("code") if isinstance(response, dict) else None
    if code == "200000":
        return
    message = (
        f"{NAME}: {page.where}: code {code}: {response.get('msg') if isinstance(response, dict) else page.excerpt}"
    )
    if code == "429000":  # the pool is refilled every 30 seconds
        raise ThrottledError(message, wait_seconds=30.0)
    if code in ("500000", "230003"):
        raise VenueUnavailableError(message)
    if code in ("200003", "404000"):
        raise RequestRefusedError(f"{message}. KuCoin no longer lists this contract; its history cannot be fetched.")
    raise RequestRefusedError(f"{message}. Compare the request with KuCoin's documentation.")


def rows_or_null(page: Page) -> Sequence[Record]:
    """Rows; an empty window answers null."""
    content = page.json()
    return [] if isinstance(content, dict) and content.get("data", ...) is None else data(page)


def states(page: Page) -> Sequence[Record]:
    """Rows of open interest with the interval of the request. They stand in `data` or in a list of it (?)."""
    content = page.json()
    inner = content.get("data") if isinstance(content, dict) else None
    listed = at_path("data", "list")(page) if isinstance(inner, dict) else rows_or_null(page)
    interval = (page.request.get("params") or {}).get("interval", "")
    return [{**(row if isinstance(row, dict) else {}), "interval": interval} for row in listed]


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """Open contracts; delisted ones leave the list."""
    yield await api.get("/api/v1/contracts/active")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals (FFWCSX) with their asset class; dated futures (FFICSX) are left out."""
    found = read_records(pages, data, INSTRUMENTS, needed=having("type", "^FFWCSX$"))
    frame = with_asset_class(perpetuals.named(NAME, found.frame), asset_class("class", CLASSES))
    yield perpetuals.instruments(
        NAME,
        frame,
        found.rejects,
        size=pl.when(pl.col("is_inverse")).then(1.0).otherwise("size"),
        listed_at=pl.when(pl.col("listed_ms") > 0).then(from_ms("listed_ms")),
        delisted_at=pl.when(pl.col("expire_ms") > 0).then(from_ms("expire_ms")),
    )


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly open interest as far back as KuCoin has it (7 days), before that daily (70 days): every row states its period. Raises
    NoLongerAvailableError if neither reaches the span."""
    start, end = job.span.start_ms + 1, job.span.end_ms + 1
    stamps = stamps_of(states, "ts")
    has_any = False
    for interval, (_, width) in PERIODS.items():

        async def between(first: int, last: int, interval: str = interval) -> Page:
            return await api.get(
                "/api/ua/v1/market/open-interest",
                endpoint="unified",
                subject=job.subject,
                params={
                    "symbol": job.subject, "interval": interval, "startAt": first, "endAt": last,
                    "pageSize": INTEREST_LIMIT,
                },
            )  # fmt: skip

        found = [
            page
            async for page in paginate_backward(
                between, stamps, start=start, end=end, limit=INTEREST_LIMIT, spacing=width
            )
        ]
        kept = [stamp for page in found for stamp in stamps(page)]
        has_any |= bool(kept)
        for page in found:
            yield page
        if kept and min(kept) < start + width:
            return
    if not has_any and found[-1].received_at - job.span.end > timedelta(days=1):
        raise NoLongerAvailableError(f"{NAME}: {found[-1].where}: no open interest of {job.subject} that old is kept.")


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Lots times multiplier are coins, of inverse contracts dollars. Which sides are counted is not stated. A state belongs to the
    day it ends."""
    found = read_records(pages, states, INTEREST)
    frame = perpetuals.with_contracts(found.frame, context).with_columns(from_ms("at_ms").alias("at"))
    known, unknown = perpetuals.unlisted(NAME, within(frame, "at", context, closed="right"), stamp="at")
    amount = pl.col("lots") * pl.col("contract_size")
    names = {interval: name for interval, (name, _) in PERIODS.items()}
    rows = perpetuals.open_interest(
        NAME, known, instrument=SUBJECT, at=pl.col("at"), raw=pl.col("lots"), unit=pl.lit("contracts"),
        period=pl.col("interval").replace_strict(names, default=None, return_dtype=pl.String),
        base=pl.when(~IS_INVERSE).then(amount), usd=pl.when(IS_INVERSE).then(amount),
    )  # fmt: skip
    yield Parsed("open_interest", rows, pl.concat([found.rejects, unknown]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements between inclusive bounds, newest first. In 2025 the endpoint was seen to answer its newest hundred whatever was
    asked; what is older than these then counts as no longer available."""
    stamps = stamps_of(rows_or_null, "timepoint")
    end = job.span.end_ms

    async def between(first: int, last: int) -> Page:
        page = await api.get(
            "/api/v1/contract/funding-rates",
            subject=job.subject,
            params={"symbol": job.subject, "from": first, "to": last},
        )
        seen = stamps(page)
        if seen and min(seen) > last:
            raise NoLongerAvailableError(
                f"{NAME}: {page.where}: the oldest settlement that KuCoin gives is of {instant(min(seen)):%Y-%m-%d %H:%M}."
            )
        return page

    async for page in paginate_backward(
        between, stamps, start=job.span.start_ms, end=end, limit=FUNDING_LIMIT, spacing=HOUR_MS
    ):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates; the interval is inferred, and grids of four hours may begin at 03:00."""
    found = read_records(pages, rows_or_null, FUNDING)
    yield perpetuals.settlements(NAME, found, context, from_ms("at_ms"))


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles in windows below the limit. Hours without a trade are left out."""

    async def window(first: int, last: int) -> Page:
        return await api.get(
            "/api/v1/kline/query",
            subject=job.subject,
            params={"symbol": job.subject, "granularity": 60, "from": first, "to": last},
        )

    async for page in paginate_by_slices(
        window, stamps_of(rows_or_null, 0), start=job.span.start_ms, end=job.span.end_ms, limit=CANDLES_LIMIT,
        width=CANDLES_WIDTH_MS, spacing=HOUR_MS,
    ):  # fmt: skip
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Volume is in lots, turnover in the quote currency; of inverse contracts lots are dollars and turnover is coin (?)."""
    found = read_records(pages, rows_or_null, CANDLES)
    amount = pl.col("lots") * pl.col("contract_size")
    yield perpetuals.hourly_candles(
        NAME, found, context, from_ms("at_ms"), base=pl.when(IS_INVERSE).then("turnover").otherwise(amount),
        quote=pl.when(IS_INVERSE).then(amount).otherwise("turnover"),
    )  # fmt: skip


OPENED: Final = date(2019, 7, 1)

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api-futures.kucoin.com", "unified": "https://api.kucoin.com"},
    # A public pool of 2,000 weight in 30 seconds; the documented weights of these endpoints are up to 5 (?).
    limits=(Limit(400, 30.0),),
    concurrency=8,
    check=check,
    notes="Open interest is kept for 7 days by hour and for 70 by day. What it counts is unsettled, so it is shown and in no "
    "total. Neither liquidations nor ratios are published.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Open perpetuals with contract sizes and asset class.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=OPENED),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest by hour for the last 7 days and by day for the last 70.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            retention=Retention(since=OPENED, days=69),
            subjects=each_instrument(perpetuals.IS_PERPETUAL),
            counting=FACTS[NAME],
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates; how far back is learned from the venue.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(perpetuals.IS_PERPETUAL),
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles; history depth unverified.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(perpetuals.IS_PERPETUAL),
        ),
    ),
)
