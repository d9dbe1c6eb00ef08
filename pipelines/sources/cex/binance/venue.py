"""Binance's public interface: the last days that the archives lack, funding in full, and what only the present shows.

USDT-M (fapi), COIN-M (dapi) and spot; options stand in binance_options. No key. Facts from Binance's documentation; what was
not seen live is marked "?".

Open interest of every five minutes is forgotten after thirty days and comes a day late; the archives have holes that nobody
can fill later, of COIN-M three months of 2024. So its present state is captured as well, every hour. It is a snapshot, and
gives way to any history of the same day.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from pipelines.core.errors import RequestRefusedError, ThrottledError, VenueUnavailableError
from pipelines.core.universe import split_quote, spot_symbol
from pipelines.extract.paging import paginate_by_slices, paginate_forward
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    Api,
    Capture,
    Context,
    Feed,
    Fetch,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Venue,
)
from pipelines.sources.cex.binance.capture import fetch_option_chain, parse_option_chain
from pipelines.sources.cex.binance.wire import IS_PERPETUAL, IS_SPOT, SPOT_QUOTES, VENUE_ID, perpetuals
from pipelines.sources.cex.binance_archive.candles import COIN_M, PERIOD, SPOT, USDT_M, candle_rows
from pipelines.sources.instruments import each_instrument, parse_symbols
from pipelines.sources.records import LINE, SUBJECT, Field, Records, at_path, from_ms, read_records, rejected, stamps_of

NAME: Final = VENUE_ID
UM: Final = "fapi"
CM: Final = "dapi"
CASH: Final = "spot"

WEIGHT: Final = "weight"
DATA: Final = "futures data requests"
FUNDING_REQUESTS: Final = "funding requests"
OPTIONS: Final = "options weight"

DATA_LIMIT: Final = 500
FUNDING_LIMIT: Final = 1000
KLINES_LIMIT: Final = 1000
"""Of fapi, 1500 would be allowed, at twice the weight."""

DAY_MS: Final = 86_400_000
NEVER_MS: Final = 4_133_404_800_000
"""2100-12-25: the delivery date of what is never delivered."""

CONTRACTS: Final = (
    Field("symbol", "instrument", str),
    Field("deliveryDate", "delivery_ms", int),
    Field("onboardDate", "onboard_ms", int),
    Field("contractSize", "contract_size", float, optional=True),
)
PAIRS: Final = (Field("symbol", "symbol", str),)
CURRENT_OPEN_INTEREST: Final = (Field("openInterest", "amount", float), Field("time", "at_ms", int))
OPEN_INTEREST: Final = (
    Field("sumOpenInterest", "amount", float),
    Field("sumOpenInterestValue", "value", float),
    Field("timestamp", "at_ms", int),
)
# longAccount and shortAccount round to four decimals; the ratio says more.
RATIO: Final = (Field("longShortRatio", "ratio", float), Field("timestamp", "at_ms", int))
TAKER: Final = (Field("buySellRatio", "ratio", float), Field("timestamp", "at_ms", int))
FUNDING: Final = (
    Field("fundingRate", "rate", float),
    Field("fundingTime", "at_ms", int),
    Field("markPrice", "mark_price", float, optional=True),
)
PREMIUM: Final = (
    Field("lastFundingRate", "rate", float, optional=True),
    Field("nextFundingTime", "next_ms", int),
    Field("markPrice", "mark_price", float),
    Field("time", "at_ms", int),
)
KLINES: Final = (
    Field(0, "opened", int),
    Field(1, "open", float),
    Field(2, "high", float),
    Field(3, "low", float),
    Field(4, "close", float),
    Field(5, "volume", float),
    Field(7, "other_volume", float),
    Field(8, "trades", int),
    Field(9, "taker_buy", float),
    Field(10, "taker_buy_other", float),
)

MEASURES: Final[Mapping[str, str]] = {
    "/futures/data/globalLongShortAccountRatio": "account_global",
    "/futures/data/topLongShortAccountRatio": "account_top",
    "/futures/data/topLongShortPositionRatio": "position_top",
    "/futures/data/takerlongshortRatio": "taker_volume",
}


def check(page: Page) -> None:
    """Errors come with a status of their own (400, 418, 429, 5xx). Should one come as a 200, its code says what it is."""
    if not page.body.lstrip().startswith(b'{"code"'):
        return
    answer = page.json()
    code = answer.get("code")
    if not isinstance(code, int) or code >= 0:
        return
    said = f"{NAME}: {page.where}: code {code}: {answer.get('msg')}"
    if code in (-1003, -1015):  # too many requests, too many orders
        raise ThrottledError(said)
    if code in (
        -1000,
        -1001,
        -1006,
        -1007,
        -1008,
        -1016,
    ):  # unknown, disconnected, unexpected, time-out, overload, down
        raise VenueUnavailableError(said)
    hint = "Only 30 days are kept there." if code == -1130 else "Compare the request with Binance's documentation."
    raise RequestRefusedError(f"{said}. {hint}")


class _NoLongerListedError(Exception):
    """Binance knows no instrument of this name any more."""


async def _ask(
    api: Api, path: str, *, endpoint: str, subject: str, params: Mapping[str, str | int], costs: Mapping[str, float]
) -> Page:
    """One answer about an instrument. A refusal comes as a 400 with a code, which says whether it is the instrument's end."""
    page = await api.get(path, endpoint=endpoint, subject=subject, params=params, costs=costs, accept=(200, 400))
    if page.status == 200:
        return page
    if page.body.startswith(b"{"):
        if page.json().get("code") == -1121:
            raise _NoLongerListedError(subject)
        check(page)
    raise RequestRefusedError(
        f"{NAME}: {page.where}: status 400: {page.excerpt}. The request or the venue's rules changed."
    )


def _while_listed(fetch: Fetch) -> Fetch:
    """Nothing, where an instrument of an earlier capture has left the venue since."""

    async def fetch_while_listed(api: Api, job: Job) -> AsyncIterator[Page]:
        try:
            async for page in fetch(api, job):
                yield page
        except _NoLongerListedError:
            return

    return fetch_while_listed


def host(job: Job) -> str:
    """The endpoint that serves a job's instrument."""
    return {"linear": UM, "inverse": CM, "spot": CASH}[str(job.instrument["contract_type"])]


# Instruments


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """What is traded now. The list of spot pairs is that of prices: a tenth of a megabyte instead of ten."""
    yield await api.get("/fapi/v1/exchangeInfo", endpoint=UM, costs={WEIGHT: 1})
    yield await api.get("/dapi/v1/exchangeInfo", endpoint=CM, costs={WEIGHT: 1})
    yield await api.get("/api/v3/ticker/price", endpoint=CASH, costs={WEIGHT: 4})


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Futures of both margins as published; spot pairs by their names."""
    futures = read_records([p for p in pages if p.request["endpoint"] != CASH], at_path("symbols"), CONTRACTS)
    pairs = read_records([p for p in pages if p.request["endpoint"] == CASH], at_path(), PAIRS)
    slashed = pl.Series("instrument", [_spot_name(symbol) for symbol in pairs.frame["symbol"]], dtype=pl.String)
    spot = pairs.frame.select(slashed, "received_at", LINE).filter(pl.col("instrument").is_not_null())
    listed = pl.concat([futures.frame, spot], how="diagonal")
    joined = listed.join(
        parse_symbols(VENUE_ID, listed["instrument"]), on="instrument", how="left", maintain_order="left"
    )
    unknown = joined.filter(pl.col("asset").is_null())
    size = pl.when(pl.col("contract_type") == "inverse").then(pl.col("contract_size"))
    rows = joined.filter(pl.col("asset").is_not_null()).select(
        pl.lit(VENUE_ID).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "quote",
        "contract_type",
        size.alias("contract_size"),
        pl.when(size.is_not_null()).then(pl.lit("usd")).alias("contract_size_unit"),
        "multiplier",
        from_ms("onboard_ms").alias("listed_at"),
        pl.when(pl.col("delivery_ms") < NEVER_MS).then(from_ms("delivery_ms")).alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    rejected_logs = rejected(
        unknown, reason="unknown_instrument", detail="the name follows no rule of Binance's", instrument="instrument"
    )
    yield Parsed("instruments", rows, pl.concat([futures.rejects, pairs.rejects, rejected_logs]))


def _spot_name(symbol: str) -> str | None:
    """BTC/USDT of BTCUSDT; None in currencies nobody here follows."""
    pair = split_quote(symbol, SPOT_QUOTES)
    return spot_symbol(VENUE_ID, *pair) if pair else None


# The last thirty days


async def _data(api: Api, job: Job, path: str, named: Mapping[str, str]) -> AsyncIterator[Page]:
    """A series of /futures/data: five-minute states, both bounds included (?). Which rows a full page leaves out is not
    documented, so none is asked for: a day has 288 of the 500 there may be."""
    endpoint = host(job)
    named = (
        {"symbol": job.subject}
        if endpoint == UM
        else {"pair": job.subject.partition("_")[0], "contractType": "PERPETUAL"}
    )

    async def get(first: int, last: int) -> Page:
        params: dict[str, str | int] = {
            **named,
            "period": "5m",
            "startTime": first,
            "endTime": last,
            "limit": DATA_LIMIT,
        }
        return await _ask(api, path, endpoint=endpoint, subject=job.subject, params=params, costs={DATA: 1})

    # A day's last state is the one of 00:00 of the day after: states belong to the day that ends with them.
    start, end = job.span.start_ms + 1, job.span.end_ms + 1
    async for page in paginate_by_slices(
        get, stamps_of(at_path(), "timestamp"), start=start, end=end, limit=DATA_LIMIT, width=DAY_MS
    ):
        yield page


def _named(job: Job) -> dict[str, str]:
    """How /futures/data wants an instrument named: fapi by symbol, dapi by pair."""
    return {"symbol": job.subject} if host(job) == UM else {"pair": job.subject.partition("_")[0]}


@_while_listed
async def fetch_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    kind = {} if host(job) == UM else {"contractType": "PERPETUAL"}
    async for page in _data(api, job, "/futures/data/openInterestHist", _named(job) | kind):
        yield page


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One-sided. USDT-M: base coin and tether; COIN-M: contracts and base coin, as in the archives.

    A stamp is taken for the instant of the state (?): in recorded answers of 2022 the newest stamp was the last whole five
    minutes before the request.
    """
    records = read_records(pages, at_path(), OPEN_INTEREST)
    frame, unknown = _with_contracts(records.frame, context)
    inverse = pl.col("contract_type") == "inverse"
    in_dollars = pl.when(pl.col("quote") != "BTC").then(pl.col("value"))
    rows = frame.select(
        *_open_interest("5m"),
        pl.when(inverse).then(pl.col("value")).otherwise(pl.col("amount")).alias("oi_base"),
        pl.when(inverse).then(pl.col("amount") * pl.col("contract_size")).otherwise(in_dollars).alias("oi_usd"),
    )
    yield Parsed("open_interest", rows, pl.concat([records.rejects, unknown]))


@_while_listed
async def fetch_current_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """The state of the moment, one instrument an answer."""
    endpoint = host(job)
    path, params = f"/{endpoint}/v1/openInterest", {"symbol": job.subject}
    yield await _ask(api, path, endpoint=endpoint, subject=job.subject, params=params, costs={WEIGHT: 1})


def parse_current_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One-sided, base coin of USDT-M and contracts of COIN-M; what they are worth is not told."""
    records = read_records(pages, _one_or_many, CURRENT_OPEN_INTEREST)
    frame, unknown = _with_contracts(records.frame, context)
    inverse = pl.col("contract_type") == "inverse"
    rows = frame.select(
        *_open_interest("snapshot"),
        pl.when(~inverse).then(pl.col("amount")).alias("oi_base"),
        pl.when(inverse).then(pl.col("amount") * pl.col("contract_size")).alias("oi_usd"),
    )
    yield Parsed("open_interest", rows, pl.concat([records.rejects, unknown]))


def _with_contracts(frame: pl.DataFrame, context: Context) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows with kind, size and quote of their contracts, and rejects: those of contracts that are not known."""
    facts = context.instruments.select(pl.col("instrument").alias(SUBJECT), "contract_type", "contract_size", "quote")
    joined = frame.join(facts, on=SUBJECT, how="left", maintain_order="left")
    inverse = pl.col("contract_type") == "inverse"
    is_known = pl.col("contract_type").is_not_null() & (~inverse | pl.col("contract_size").is_not_null())
    unknown = rejected(
        joined.filter(~is_known), reason="unknown_instrument", detail="in no capture of Binance's instruments"
    )
    return joined.filter(is_known), unknown


def _open_interest(period: str) -> tuple[pl.Expr | str, ...]:
    """The columns of open interest but for the amounts, which the endpoints tell differently."""
    return (
        pl.lit(VENUE_ID).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit(period).alias("period"),
        from_ms("at_ms").alias("event_at"),
        pl.col("amount").alias("oi_raw"),
        pl.when(pl.col("contract_type") == "inverse")
        .then(pl.lit("contracts"))
        .otherwise(pl.lit("base"))
        .alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        from_ms("at_ms").alias("available_at"),
        LINE,
    )


def _one_or_many(page: Page) -> Sequence[Any]:
    """Of one instrument fapi tells with an object, and dapi in places with an array of one."""
    answer = page.json()
    return answer if isinstance(answer, list) else [answer]


@_while_listed
async def fetch_ratios(api: Api, job: Job) -> AsyncIterator[Page]:
    """The four measures of an instrument; of COIN-M three, by pair: its taker volume has another form, and is archived."""
    for path, measure in MEASURES.items():
        if host(job) == UM or measure != "taker_volume":
            async for page in _data(api, job, path, _named(job)):
                yield page


def parse_ratios(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Longs over shorts; of takers, what they bought over what they sold."""
    for path, measure in MEASURES.items():
        mine = [page for page in pages if page.request["path"] == path]
        records = read_records(mine, at_path(), TAKER if measure == "taker_volume" else RATIO)
        rows = records.frame.select(
            pl.lit(VENUE_ID).alias("venue"),
            pl.col(SUBJECT).alias("instrument"),
            pl.lit(measure).alias("measure"),
            pl.lit("5m").alias("period"),
            from_ms("at_ms").alias("event_at"),
            "ratio",
            (pl.col("ratio") / (1 + pl.col("ratio"))).alias("long_share"),
            from_ms("at_ms").alias("available_at"),
            LINE,
        )
        yield Parsed("long_short_ratios", rows, records.rejects)


# Funding


@_while_listed
async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements from old to new, both bounds included."""
    endpoint = host(job)

    async def get(first: int, last: int) -> Page:
        return await _ask(
            api, f"/{endpoint}/v1/fundingRate", endpoint=endpoint, subject=job.subject, costs={FUNDING_REQUESTS: 1, WEIGHT: 1},
            params={"symbol": job.subject, "startTime": first, "endTime": last, "limit": FUNDING_LIMIT},
        )  # fmt: skip

    span = job.span
    async for page in paginate_forward(
        get, stamps_of(at_path(), "fundingTime"), start=span.start_ms, end=span.end_ms, limit=FUNDING_LIMIT
    ):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates as a fraction of the interval, which is not in the payload. Stamps are some milliseconds late."""
    records = read_records(pages, at_path(), FUNDING)
    settled = from_ms("at_ms").dt.round("1m")
    yield Parsed("funding_rates", _funding_rows(records, "settled", settled, settled), records.rejects)


@_while_listed
async def fetch_predicted_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """The running estimate of the next rate, with the mark price."""
    endpoint = host(job)
    params = {"symbol": job.subject}
    path = f"/{endpoint}/v1/premiumIndex"
    yield await api.get(
        path, endpoint=endpoint, subject=job.subject, params=params, costs={WEIGHT: 10 if endpoint == CM else 1}
    )


def parse_predicted_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """What the next settlement would be. The last capture before it is the one that stays in the clean table."""
    records = read_records(pages, _one_or_many, PREMIUM)
    due = records.frame.filter(pl.col("rate").is_not_null(), pl.col("next_ms") > 0)
    rows = _funding_rows(
        Records(due, records.rejects), "predicted", from_ms("next_ms").dt.round("1m"), from_ms("at_ms")
    )
    yield Parsed("funding_rates", rows, records.rejects)


def _funding_rows(records: Records, kind: str, settled_at: pl.Expr, available_at: pl.Expr) -> pl.DataFrame:
    return records.frame.select(
        pl.lit(VENUE_ID).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit(kind).alias("kind"),
        settled_at.alias("settled_at"),
        "rate",
        "mark_price",
        available_at.alias("available_at"),
        LINE,
    )


# Candles


@_while_listed
async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles from old to new, both bounds included. A page costs by how much is asked for."""
    endpoint = host(job)
    path = "/api/v3/klines" if endpoint == CASH else f"/{endpoint}/v1/klines"
    hours = (job.span.end - job.span.start) // timedelta(hours=1)
    limit = min(hours + 1, KLINES_LIMIT)

    async def get(first: int, last: int) -> Page:
        params: dict[str, str | int] = {
            "symbol": job.subject.replace("/", ""), "interval": PERIOD, "startTime": first, "endTime": last, "limit": limit,
        }  # fmt: skip
        costs = {WEIGHT: 2 if endpoint == CASH else 1 if limit < 100 else 2 if limit < 500 else 5}
        return await _ask(api, path, endpoint=endpoint, subject=job.subject, params=params, costs=costs)

    async for page in paginate_forward(
        get, stamps_of(at_path(), 0), start=job.span.start_ms, end=job.span.end_ms, limit=limit
    ):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The same columns as in the archives, of the three markets."""
    for endpoint, candles in ((UM, USDT_M), (CM, COIN_M), (CASH, SPOT)):
        mine = [page for page in pages if page.request["endpoint"] == endpoint]
        records = read_records(mine, at_path(), KLINES)
        yield Parsed("candles", candle_rows(records.frame, candles, context), records.rejects)


VENUE: Final = Venue(
    name=NAME,
    endpoints={
        UM: "https://fapi.binance.com",
        CM: "https://dapi.binance.com",
        "eapi": "https://eapi.binance.com",
        CASH: "https://api.binance.com",
    },
    # Every host counts for itself (2400 a minute; spot 6000), all of them in one header. One budget for all keeps each.
    limits=(
        Limit(2400, 60.0, WEIGHT),
        Limit(1000, 300.0, DATA),
        Limit(500, 300.0, FUNDING_REQUESTS),
        Limit(400, 60.0, OPTIONS),
    ),
    weights={WEIGHT: "X-MBX-USED-WEIGHT-1M"},
    concurrency=8,
    check=check,
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="USDT-M and COIN-M contracts with their sizes, and spot pairs, as traded now.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2019, 9, 8)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest of perpetuals every 5 minutes, the last 30 days.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            retention=Retention(since=date(2020, 5, 1), days=29),
            subjects=perpetuals,
            # A day that began 30 days ago is refused (code -1130) as soon as its first minute is older than that.
        ),
        Feed(
            name="current_open_interest",
            tables=("open_interest",),
            description="Open interest of perpetuals at the moment, captured every hour.",
            fetch=fetch_current_open_interest,
            parse=parse_current_open_interest,
            retention=Retention(since=date(2019, 9, 8)),
            cadence=Capture(),
            subjects=perpetuals,
        ),
        Feed(
            name="long_short_ratios",
            tables=("long_short_ratios",),
            description="Four long/short ratios of USDT-M perpetuals and three of COIN-M every 5 minutes, the last 30 days.",
            fetch=fetch_ratios,
            parse=parse_ratios,
            retention=Retention(since=date(2020, 5, 1), days=29),
            subjects=perpetuals,
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding of perpetuals with the mark price, back to their launch.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=date(2019, 9, 10)),
            partitioning=Partitioning(months="past"),
            subjects=perpetuals,
        ),
        Feed(
            name="predicted_funding",
            tables=("funding_rates",),
            description="The running estimate of the next funding rate, captured every hour.",
            fetch=fetch_predicted_funding,
            parse=parse_predicted_funding,
            retention=Retention(since=date(2019, 9, 10)),
            cadence=Capture(),
            subjects=perpetuals,
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles of perpetuals and of spot pairs in dollar coins.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=date(2017, 8, 17)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_PERPETUAL | IS_SPOT),
        ),
        Feed(
            name="option_chain",
            tables=("option_chain",),
            description="Open interest, volume and implied volatility of every option, captured every hour.",
            fetch=fetch_option_chain,
            parse=parse_option_chain,
            retention=Retention(since=date(2022, 11, 1)),
            cadence=Capture(),
        ),
    ),
)
