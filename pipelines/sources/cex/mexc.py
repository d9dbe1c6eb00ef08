"""MEXC: perpetuals, hourly open interest, about 18 months of funding, candles. Public endpoints of api.mexc.com; no key.

Facts from MEXC's contract documentation and from public collectors; anything not verified live is marked "?". MEXC publishes
neither liquidations nor long/short ratios.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from typing import Any, Final

import polars as pl

from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError, VenueUnavailableError
from pipelines.extract.paging import paginate_by_slices
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    ALL_DAYS,
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
from pipelines.sources.asset_class import with_asset_class
from pipelines.sources.cex import perpetuals
from pipelines.sources.cex.perpetuals import IS_INVERSE
from pipelines.sources.counting import FACTS, without_sentinels
from pipelines.sources.instruments import each_instrument
from pipelines.sources.records import (
    Field,
    Record,
    at_path,
    from_ms,
    from_seconds,
    kept,
    read_records,
    stamps_of,
)

NAME: Final = "mexc"
INSTRUMENTS: Final = (
    Field("symbol", "instrument", str),
    # Coins per contract; dollars of the contracts in coin.
    Field("contractSize", "size", float),
    Field("futureType", "kind", int, optional=True),
    Field("createTime", "created_ms", int, optional=True),
    Field("openingTime", "opening_ms", int, optional=True),
    Field("class", "stated", str, optional=True),
)
TICKERS: Final = (
    Field("symbol", "instrument", str),
    Field("timestamp", "at_ms", int),
    Field("holdVol", "contracts", float),
    Field("volume24", "volume", float),
    Field("lastPrice", "last", float),
)
FUNDING: Final = (
    Field("settleTime", "at_ms", int),
    Field("fundingRate", "rate", float),
    Field("collectCycle", "interval_hours", float),
)
COLUMNS: Final = ("time", "open", "high", "low", "close", "vol", "amount")
CANDLES: Final = (
    Field("time", "at_s", int),
    *(Field(name, name, float) for name in ("open", "high", "low", "close")),
    Field("vol", "contracts", float),
    Field("amount", "turnover", float),
)

PERPETUAL: Final = 1
TRADFI: Final = 2
"""`type` of contracts on shares and other assets that are no coins; the documentation calls it suspended."""
ZONES: Final = (
    ("forex", "forex"), ("commodity", "commodity"), ("index", "index"), ("etf", "stock"), ("pre-ipo", "stock"),
    ("stock", "stock"), ("tradfi", "other"),
)  # fmt: skip
"""Words of conceptPlate, the zones of the website, and the asset classes they stand for; the first that fits."""

FUNDING_LIMIT: Final = 100
CANDLES_LIMIT: Final = 2000
CANDLES_WIDTH_S: Final = 1800 * 3600
PER_TWO_SECONDS: Final = {"detail": 10, "ticker": 10, "funding": 20, "kline": 20}
"""Requests of each endpoint in two seconds, which are also the names of their budgets."""

data = at_path("data")
settled = at_path("data", "resultList")


def check(page: Page) -> None:
    """Raise for an error; MEXC sends them with status 200."""
    response = page.json()
    told = response if isinstance(response, dict) else {}
    if told.get("success") is True and told.get("code") == 0:
        return
    code = told.get("code")
    message = f"{NAME}: {page.where}: code {code}: {told.get('message') or page.excerpt}"
    if code == 510:  # too frequent
        raise ThrottledError(message, wait_seconds=2.0)
    if code in (500, 501, 9999):  # internal error, system busy, common failure
        raise VenueUnavailableError(message)
    if code == 1001:
        raise RequestRefusedError(f"{message}. MEXC no longer lists this contract; its history cannot be fetched.")
    raise RequestRefusedError(f"{message}. Compare the request with MEXC's documentation.")


def classified(page: Page) -> Sequence[Record]:
    """Contracts with what `type` and `conceptPlate` say of their class; neither is in every answer, and then nothing is said."""

    def class_of(record: dict[str, Any]) -> str | None:
        if "type" not in record and "conceptPlate" not in record:
            return None
        zones = " ".join(str(zone).lower() for zone in record.get("conceptPlate") or ())
        known = next((found for word, found in ZONES if word in zones), None)
        return known or ("other" if record.get("type") == TRADFI else "crypto")

    return [{**row, "class": class_of(row)} if isinstance(row, dict) else row for row in data(page)]


async def get(api: Api, path: str, budget: str, subject: str = "*", **params: str | int) -> Page:
    """One response, counted against the budget of its endpoint."""
    return await api.get(f"/api/v1/contract/{path}", subject=subject, params=params, costs={budget: 1.0})


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All contracts listed now; delisted ones leave the list."""
    yield await get(api, "detail", "detail")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals with their size and asset class. Dated futures (futureType 2) are left out."""
    found = read_records(pages, classified, INSTRUMENTS)
    perpetual = kept(found.frame, pl.col("kind").fill_null(PERPETUAL) == PERPETUAL, "other_kind")
    frame = with_asset_class(perpetuals.named(NAME, perpetual), pl.col("stated"))
    opening = pl.when(pl.col("opening_ms") > 0).then("opening_ms")
    yield perpetuals.instruments(
        NAME,
        frame.with_columns(
            pl.coalesce(opening, pl.when(pl.col("created_ms") > 0).then("created_ms")).alias("listed_ms")
        ),
        found.rejects,
        size=pl.col("size"),
        listed_at=from_ms("listed_ms"),
        delisted_at=pl.lit(None, pl.Datetime("us")),
    )


async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """The tickers of all contracts in one response; open interest has no history."""
    yield await get(api, "ticker", "ticker")


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """holdVol is in contracts; times their size it is coins, of contracts in coin dollars. Contracts that are no longer traded have
    no last price."""
    found = read_records(pages, data, TICKERS)
    alive = kept(found.frame, pl.col("last") > 0, "delisted").with_columns(from_ms("at_ms").alias("at"))
    known, unknown = perpetuals.unlisted(
        NAME, perpetuals.with_contracts(alive, context, "instrument"), stamp="at", instrument="instrument"
    )
    states, sentinels = without_sentinels(known, ("contracts",), ("volume",), stamp="at", instrument="instrument")
    amount = pl.col("contracts") * pl.col("contract_size")
    rows = perpetuals.open_interest(
        NAME, states, instrument="instrument", period=pl.lit("snapshot"), at=pl.col("at"), raw=pl.col("contracts"),
        unit=pl.lit("contracts"), base=pl.when(~IS_INVERSE).then(amount), usd=pl.when(IS_INVERSE).then(amount),
    )  # fmt: skip
    yield Parsed("open_interest", rows, pl.concat([found.rejects, unknown, sentinels]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements in numbered pages, newest first; no times. About 18 months are kept, which is learned; totalPage is not
    read."""

    async def numbered(number: int) -> Page:
        return await get(
            api, "funding_rate/history", "funding", job.subject, symbol=job.subject, page_num=number,
            page_size=FUNDING_LIMIT,
        )  # fmt: skip

    async for page in perpetuals.kept_history(NAME, job, numbered, stamps_of(settled, "settleTime"), what="funding"):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates with their interval in hours, which every row states."""
    found = read_records(pages, settled, FUNDING)
    yield perpetuals.settlements(NAME, found, context, from_ms("at_ms"), interval_hours=pl.col("interval_hours"))


def bars(page: Page) -> Sequence[Record]:
    """Candles as records: the answer has a list for each column. Raises SourceFormatError if they are not of one length."""
    columns = {name: at_path("data", name)(page) for name in COLUMNS}
    if len({len(cells) for cells in columns.values()}) > 1:
        raise SourceFormatError(f"{page.where}: columns of different lengths: {page.excerpt}")
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles between bounds in seconds, in windows below the limit."""

    async def window(first: int, last: int) -> Page:
        return await get(api, f"kline/{job.subject}", "kline", job.subject, interval="Min60", start=first, end=last)

    async for page in paginate_by_slices(
        window, stamps_of(bars, "time"), start=job.span.start_ms // 1000, end=job.span.end_ms // 1000, limit=CANDLES_LIMIT,
        width=CANDLES_WIDTH_S, spacing=3600,
    ):  # fmt: skip
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """vol is in contracts and amount in the quote currency, of contracts in coin in coin (?)."""
    found = read_records(pages, bars, CANDLES)
    amount = pl.col("contracts") * pl.col("contract_size")
    yield perpetuals.hourly_candles(
        NAME, found, context, from_seconds("at_s"), base=pl.when(IS_INVERSE).then("turnover").otherwise(amount),
        quote=pl.when(IS_INVERSE).then(amount).otherwise("turnover"),
    )  # fmt: skip


OPENED: Final = date(2019, 12, 1)

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.mexc.com"},
    limits=tuple(Limit(amount, 2.0, name=name) for name, amount in PER_TWO_SECONDS.items()),
    concurrency=8,
    check=check,
    notes="Open interest has no history: an hour that is not captured is lost. What it counts is unsettled, so it is shown and in "
    "no total. Funding of about 18 months is kept. Neither liquidations nor ratios are published.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals listed now with contract sizes and asset class.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=OPENED),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest of all perpetuals, captured every hour.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            retention=Retention(since=OPENED),
            cadence=Capture(),
            counting=FACTS[NAME],
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates with their interval; about 18 months, as learned from the venue.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(most_days=ALL_DAYS),
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
