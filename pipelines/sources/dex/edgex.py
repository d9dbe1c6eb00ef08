"""edgeX V2: perpetuals settled in USDC. Public endpoints; no key. The host of V1 answers success with empty lists and is not read.

Facts from edgeX's client libraries and from answers recorded in September 2026; anything not verified live is marked "?". There is
no history of open interest and no list of liquidations; the long/short ratio it publishes is that of other exchanges.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

import polars as pl

from pipelines.core.errors import DeadVenueError, RequestRefusedError, SourceFormatError, ThrottledError
from pipelines.extract.paging import pages_by_cursor
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
from pipelines.sources.dex.perpetuals import Ids, hourly_candles, interest, linear_perpetuals
from pipelines.sources.instruments import each_instrument
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    Records,
    at_path,
    flattened,
    from_ms,
    kept,
    read_records,
    settlement,
)
from pipelines.sources.risk_tiers import by_upper_bound, feed_of_risk_tiers, risk_tiers

NAME: Final = "edgex"
API: Final = "/api/v2/public"
META: Final = f"{API}/meta/getMetaData"
MOST_ROWS: Final = 1000

CONTRACTS: Final = (
    Field("contractName", "instrument", str),
    Field("isStock", "is_stock", bool, optional=True),
    Field("isFx", "is_fx", bool, optional=True),
)
TICKER: Final = (
    Field("openInterest", "oi_base", float),
    Field("contractName", "instrument", str),
    Field("size", "volume", float, optional=True),
)
RATES: Final = (
    Field("fundingTime", "at_ms", int),
    Field("fundingRate", "rate", float),
    Field("fundingRateIntervalMin", "minutes", float, optional=True),
    Field("markPrice", "mark", float, optional=True),
    Field("isSettlement", "is_settlement", bool, optional=True),
)
TIERS: Final = (
    Field("contractName", "instrument", str),
    Field("positionValueUpperBound", "upper", float),
    Field("maxLeverage", "max_leverage", float),
    Field("maintenanceMarginRate", "maintenance", float),
)
CANDLES: Final = (
    Field("klineTime", "at_ms", int),
    *(Field(name, name, float) for name in ("open", "high", "low", "close")),
    Field("size", "volume_base", float),
    Field("value", "volume_quote", float),
    Field("trades", "trades", int),
)

COUNTING: Final = (Counting("unknown", "no document says; captures compared with traded volume will settle it"),)

contracts = at_path("data", "contractList")
rows_of = at_path("data", "dataList")


def check(page: Page) -> None:
    """Raise for a code other than SUCCESS. An unknown contract is a success without rows."""
    response = page.json()
    code = response.get("code") if isinstance(response, dict) else None
    if code == "SUCCESS":
        return
    message = (
        f"{NAME}: {page.where}: code {code}: {response.get('msg') if isinstance(response, dict) else page.excerpt}"
    )
    if code == "RATE_LIMIT_EXCEEDED":
        raise ThrottledError(message)
    raise RequestRefusedError(f"{message}. Compare the request with edgeX's documentation.")


async def _contract_ids(api: Api) -> Mapping[str, str]:
    page = await api.get(META)
    listed = contracts(page)
    if not listed:
        raise DeadVenueError(f"{NAME}: {page.where}: no contract is listed, as on the dead host of V1.")
    try:
        return {str(one["contractName"]): str(one["contractId"]) for one in listed}  # type: ignore[call-overload]
    except (KeyError, TypeError) as error:
        raise SourceFormatError(f"{page.where}: a contract has no number ({error}): {page.excerpt}") from error


ids: Final = Ids(_contract_ids)


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All contracts."""
    yield await api.get(META)


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals with amounts in coin. Shares and currencies are flagged; of what is neither no class is stated: commodities stand
    in a list of labels whose format is not known (?)."""
    found = read_records(pages, contracts, CONTRACTS)
    stated = (
        pl.when(pl.col("is_stock").fill_null(value=False))
        .then(pl.lit("stock"))
        .when(pl.col("is_fx").fill_null(value=False))
        .then(pl.lit("forex"))
    )
    yield linear_perpetuals(NAME, found, stated=stated)


async def fetch_ticker(api: Api, job: Job) -> AsyncIterator[Page]:
    """The current state of a contract; several numbers in one request are answered with nothing."""
    number = await ids.of(api, job)
    if number is not None:
        yield await api.get(f"{API}/quote/getTicker", subject=job.subject, params={"contractId": number})


def parse_ticker(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Open interest in coin, of unknown counting, at the time of receipt: the stamps are those of the day's statistics."""
    found = read_records(pages, at_path("data"), TICKER)
    alive, sentinels = counting.without_sentinels(
        found.frame, ("oi_base",), ("volume",), stamp="received_at", instrument="instrument"
    )
    rows = interest(NAME, alive, COUNTING, at="received_at", instrument="instrument")
    yield Parsed("open_interest", rows, pl.concat([found.rejects, sentinels]))


async def _rows(api: Api, job: Job, path: str, params: Mapping[str, str | int]) -> AsyncIterator[Page]:
    """Pages of a contract's rows, newest first, until there is no cursor or no row."""
    number = await ids.of(api, job)
    if number is None:
        return

    async def get(after: str | None) -> Page:
        cursor = {} if after is None else {"offsetData": after}
        return await api.get(
            f"{API}/{path}", subject=job.subject, params={"contractId": number, "size": MOST_ROWS, **params, **cursor}
        )

    async for page in pages_by_cursor(get, next_page, is_done=lambda page: not rows_of(page)):
        yield page


def next_page(page: Page) -> str | None:
    """The cursor of the next page; empty at the end."""
    data = page.json().get("data")
    after = data.get("nextPageOffsetData") if isinstance(data, dict) else None
    return str(after) if after else None


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements; without the filter there is a row a minute."""
    params: dict[str, str | int] = {
        "filterSettlementFundingRate": "true", "filterBeginTimeInclusive": job.span.start_ms,
        "filterEndTimeExclusive": job.span.end_ms,
    }  # fmt: skip
    async for page in _rows(api, job, "funding/getFundingRatePage", params):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates as a fraction per interval, which every row states."""
    found = read_records(pages, rows_of, RATES)
    settled = kept(found.frame, pl.col("is_settlement").fill_null(value=True), "other_kind")
    rows = settled.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        settlement(from_ms("at_ms")).alias("settled_at"),
        "rate",
        pl.when(pl.col("minutes") > 0).then(pl.col("minutes") / 60).alias("interval_hours"),
        pl.when(pl.col("mark") > 0).then("mark").alias("mark_price"),
        settlement(from_ms("at_ms")).alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, found.rejects)


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles of trades."""
    params: dict[str, str | int] = {
        "priceType": "LAST_PRICE", "klineType": "HOUR_1", "filterBeginKlineTimeInclusive": job.span.start_ms,
        "filterEndKlineTimeExclusive": job.span.end_ms,
    }  # fmt: skip
    async for page in _rows(api, job, "quote/getKline", params):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Volumes in coin and in USDC. The fields are those of V1's document (?)."""
    found = read_records(pages, rows_of, CANDLES)
    frame = found.frame.with_columns(from_ms("at_ms").alias("opened_at"))
    yield hourly_candles(NAME, Records(frame, found.rejects), "volume_base", "volume_quote", "trades")


def tiers(page: Page) -> Sequence[Record]:
    """The risk tiers of every contract."""
    return flattened(page, contracts(page), "riskTierList", ("contractName",))


async def fetch_risk_tiers(api: Api, job: Job) -> AsyncIterator[Page]:
    """All contracts, of which each has its tiers."""
    yield await api.get(META)


def parse_risk_tiers(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Upper bounds of the position's value, in USDC. The maintenance rate is the displayed one, which the document of V1 says is
    rounded; initial margin and a deduction are not published."""
    found = read_records(pages, tiers, TIERS)
    nothing = pl.lit(None, pl.Float64)
    frame = by_upper_bound(found.frame).with_columns(nothing.alias("initial"), nothing.alias("deduction"))
    yield risk_tiers(NAME, frame, found.rejects, context, unit="quote")


OPENED: Final = date(2026, 5, 12)
"""Day of the first settlement of V2."""


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
    endpoints={"api": "https://edgex-prod-v2.edgex.exchange"},
    # No number is published; 28 calls a second were accepted.
    limits=(Limit(10, 1.0),),
    concurrency=4,
    check=check,
    notes=(
        "V2 only, since May 2026; the host of V1 answers success with empty lists. Not to be had: history of open interest, "
        "liquidations, files; its long/short ratio is that of other exchanges and not stored. What its terms allow is not known to "
        "us: read them before anything is published again."
    ),
    feeds=(
        _feed(
            "instruments", "instruments", "Perpetuals; shares and currencies are flagged, commodities are not.",
            fetch_instruments, parse_instruments, cadence=Capture(every_hours=24),
        ),
        _feed(
            "ticker", "open_interest", "Current open interest, captured every hour, one request a contract.", fetch_ticker,
            parse_ticker, counting=COUNTING, cadence=Capture(), subjects=each_instrument(),
        ),
        _feed(
            "funding", "funding_rates", "Settled funding rates, every 4 hours, with the mark price.", fetch_funding,
            parse_funding, subjects=each_instrument(), partitioning=Partitioning(months="past"),
        ),
        _feed(
            "candles", "candles", "Hourly candles.", fetch_candles, parse_candles, subjects=each_instrument(),
            partitioning=Partitioning(months="past"),
        ),
        feed_of_risk_tiers(fetch_risk_tiers, parse_risk_tiers, what="of all perpetuals"),
    ),
)  # fmt: skip
