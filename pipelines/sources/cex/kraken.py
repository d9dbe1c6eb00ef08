"""Kraken Futures: perpetuals, open interest, accounts long and short, settled funding, candles. Public endpoints of
futures.kraken.com; no key.

Facts from Kraken's documentation and from public collectors; what was not seen live is marked "?". Of the market analytics,
liquidation-volume is not here: one number without a side, in a unit that collectors disagree about. Nothing here opens a database.

The analytics tell the history of open interest, but are documented by nobody and of unknown depth. The tickers, which are
documented, are captured every hour beside them: a snapshot that gives way to the history of the same day.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError, VenueUnavailableError
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    ALL_DAYS,
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
from pipelines.sources.instruments import each_instrument, parse_symbols
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    RecordsOf,
    at_path,
    read_records,
    rejected,
    stamps_of,
)

NAME: Final = "kraken"

INSTRUMENTS: Final = (
    Field("symbol", "name", str),
    Field("contractSize", "size", float),
    Field("openingDate", "opened", str, optional=True),
)
TICKERS: Final = (
    Field("symbol", "name", str),
    # Tickers of suspended contracts and of indices have none.
    Field("openInterest", "contracts", float, optional=True),
)
OPEN_INTEREST: Final = (Field("timestamp", "at", int), Field("close", "contracts", float))
ACCOUNTS: Final = (
    Field("timestamp", "at", int),
    Field("longCount", "longs", int),
    Field("shortCount", "shorts", int),
)
# relativeFundingRate is the fraction; fundingRate is dollars per contract and hour.
FUNDING: Final = (Field("timestamp", "at", str), Field("relativeFundingRate", "rate", float))
CANDLES: Final = (
    Field("time", "at", int),
    Field("open", "open", float),
    Field("high", "high", float),
    Field("low", "low", float),
    Field("close", "close", float),
    Field("volume", "contracts", float),
)
PERPETUAL: Final = r"^P[FI]_"
"""PF is linear and settled in dollars, PI inverse. Dated contracts (FF, FI) and old ratios (PV) are not followed."""

PERIOD: Final = timedelta(minutes=5)
FIRST_MILLISECONDS: Final = 100_000_000_000
"""Stamps from here on are milliseconds. The analytics are documented in seconds, and some of its series were seen in
milliseconds."""


def check(page: Page) -> None:
    """The two APIs say their errors differently, both also with status 200: `error` or `errors` that hold something."""
    answer = page.json()
    if not isinstance(answer, dict):
        return
    found = answer.get("error") or answer.get("errors")
    if not found and answer.get("result") != "error":
        return
    said = f"{NAME}: {page.where}: {found}"
    if "apiLimitExceeded" in str(found):
        raise ThrottledError(said, wait_seconds=10.0)
    if any(trouble in str(found) for trouble in ("Unavailable", "Server Error", "marketUnavailable", "overload")):
        raise VenueUnavailableError(said)
    raise RequestRefusedError(f"{said}. Compare the request with Kraken's documentation.")


GetRange = Callable[[int, int], Awaitable[Page]]


async def pages_while_more(
    get: GetRange, stamps: Callable[[Page], Sequence[int]], has_more: Callable[[Page], bool], *, start: int, end: int
) -> AsyncIterator[Page]:
    """Pages of rows from `start` on, old to new, each asked from behind the newest row so far while Kraken says that there is
    more. All in seconds. Raises SourceFormatError where there should be more and nothing newer came."""
    first = start
    while first < end:
        page = await get(first, end)
        if not (seen := stamps(page)):
            # Believed when said twice: a venue in trouble may answer like one in which nothing happened.
            page = await get(first, end)
            seen = stamps(page)
        more = has_more(page)
        yield page
        if not more:
            return
        newest = max(map(in_seconds, seen), default=first - 1)
        if newest < first:
            raise SourceFormatError(f"{page.where}: there should be more, and no row is newer; the paging changed.")
        first = newest + 1


def in_seconds(stamp: int) -> int:
    return stamp // 1000 if stamp >= FIRST_MILLISECONDS else stamp


def instant(column: str) -> pl.Expr:
    """A stamp in seconds or milliseconds as a naive UTC instant."""
    stamp = pl.col(column)
    micros = pl.when(stamp >= FIRST_MILLISECONDS).then(stamp * 1000).otherwise(stamp * 1_000_000)
    return micros.cast(pl.Datetime("us"))


def written(column: str) -> pl.Expr:
    """An ISO 8601 text that ends in Z as a naive UTC instant; null where it is none."""
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All contracts that are traded, in one answer."""
    yield await api.get("/derivatives/api/v3/instruments")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals as clean.instruments. PF contracts are coins, PI contracts dollars. Names came in small letters until about
    2022 and are the same names."""
    read = read_records(pages, at_path("instruments"), INSTRUMENTS)
    frame = read.frame.with_columns(pl.col("name").str.to_uppercase().alias("instrument"))
    perpetuals = frame.filter(pl.col("instrument").str.contains(PERPETUAL))
    known = parse_symbols(NAME, perpetuals["instrument"])
    joined = perpetuals.join(known, on="instrument", how="left", maintain_order="left")
    rows = joined.filter(pl.col("asset").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "quote",
        "contract_type",
        pl.col("size").alias("contract_size"),
        pl.when(pl.col("contract_type") == "inverse")
        .then(pl.lit("usd"))
        .otherwise(pl.lit("base"))
        .alias("contract_size_unit"),
        "multiplier",
        written("opened").alias("listed_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    strange = rejected(
        joined.filter(pl.col("asset").is_null()),
        reason="unknown_instrument",
        detail="the name follows no rule of Kraken's",
        instrument="instrument",
    )
    yield Parsed("instruments", rows, pl.concat([read.rejects, strange]))


def series(page: Page) -> Sequence[Record]:
    """Open interest of the analytics, {"result": {"timestamp": [...], "data": [[open, high, low, close], ...]}}, as records."""
    stamps, data = (at_path("result", key)(page) for key in ("timestamp", "data"))
    if len(stamps) != len(data):
        raise SourceFormatError(f"{page.where}: {len(stamps)} stamps and {len(data)} values: {page.excerpt}")
    if short := next((row for row in data if not isinstance(row, list) or len(row) != 4), None):
        raise SourceFormatError(f"{page.where}: {short!r} is no open, high, low and close; the format changed.")
    return [{"timestamp": stamp, "close": row[3]} for stamp, row in zip(stamps, data, strict=True)]  # type: ignore[index]


def counts(page: Page) -> Sequence[Record]:
    """Accounts of the analytics, {"result": {"timestamp": [...], "data": {"longCount": [...], "shortCount": [...]}}}, as
    records."""
    stamps = at_path("result", "timestamp")(page)
    longs, shorts = (at_path("result", "data", key)(page) for key in ("longCount", "shortCount"))
    if not len(stamps) == len(longs) == len(shorts):
        raise SourceFormatError(
            f"{page.where}: {len(stamps)} stamps, {len(longs)} and {len(shorts)} counts: {page.excerpt}"
        )
    return [
        {"timestamp": stamp, "longCount": long, "shortCount": short}
        for stamp, long, short in zip(stamps, longs, shorts, strict=True)
    ]


def more_of_series(page: Page) -> bool:
    result: Mapping[str, Any] = page.json()["result"]
    if not isinstance(result.get("more"), bool):
        raise SourceFormatError(f"{page.where}: result.more does not say whether there is more: {page.excerpt}")
    return bool(result["more"])


def fetch_analytics(kind: str, rows: RecordsOf) -> Fetch:
    """A series of the market analytics in buckets of five minutes, old to new; at most 2000 to a page."""

    async def fetch(api: Api, job: Job) -> AsyncIterator[Page]:
        async def get(first: int, last: int) -> Page:
            return await api.get(
                f"/api/charts/v1/analytics/{job.subject}/{kind}",
                subject=job.subject,
                params={"since": first, "to": last, "interval": int(PERIOD.total_seconds())},
            )

        start, end = job.span.start_ms // 1000, job.span.end_ms // 1000
        async for page in pages_while_more(get, stamps_of(rows, "timestamp"), more_of_series, start=start, end=end):
            yield page

    return fetch


def parse_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The close of each bucket: the state at its end, in coins (PF) or dollars (PI?). Stamps are the buckets' starts, the
    last of which is still filling when asked too early; those around the span belong to another landing."""
    read = read_records(pages, series, OPEN_INTEREST)
    frame = with_contracts(read.frame, context).with_columns(
        instant("at").alias("opened_at"), (instant("at") + PERIOD).alias("event_at")
    )
    frame = frame.filter(pl.col("opened_at") >= context.span.start, pl.col("opened_at") < context.span.end)
    rows = frame.filter(pl.col("type").is_not_null()).select(*open_interest("5m", pl.col("event_at")), LINE)
    yield Parsed("open_interest", rows, pl.concat([read.rejects, strays(frame, "opened_at")]))


async def fetch_current_open_interest(api: Api, job: Job) -> AsyncIterator[Page]:
    """The tickers of all contracts, in one answer."""
    yield await api.get("/derivatives/api/v3/tickers")


def parse_current_open_interest(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Open interest of perpetuals at the moment: coins (PF) or dollars (PI). Tickers have no stamp of their own: the state is
    taken at the instant it was received, for the answer's own (serverTime) is of another clock."""
    read = read_records(pages, at_path("tickers"), TICKERS)
    named = read.frame.with_columns(pl.col("name").str.to_uppercase().alias(SUBJECT))
    frame = with_contracts(named.filter(pl.col(SUBJECT).str.contains(PERPETUAL)), context)
    rows = frame.filter(pl.col("type").is_not_null(), pl.col("contracts").is_not_null()).select(
        *open_interest("snapshot", pl.col("received_at")), LINE
    )
    yield Parsed("open_interest", rows, pl.concat([read.rejects, strays(frame, "received_at")]))


def open_interest(period: str, event_at: pl.Expr) -> tuple[pl.Expr, ...]:
    """The columns of open interest in contracts of known size."""
    inverse = pl.col("type") == "inverse"
    amount = pl.col("contracts") * pl.col("size")
    return (
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit(period).alias("period"),
        event_at.alias("event_at"),
        pl.when(~inverse).then(amount).alias("oi_base"),
        pl.when(inverse).then(amount).alias("oi_usd"),
        pl.col("contracts").alias("oi_raw"),
        pl.lit("contracts").alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        event_at.alias("available_at"),
    )


def with_contracts(frame: pl.DataFrame, context: Context) -> pl.DataFrame:
    """`frame` with `type` and `size` of each row's contract; null where it is unknown."""
    sizes = context.instruments.select(
        pl.col("instrument").alias(SUBJECT),
        pl.col("contract_type").alias("type"),
        pl.col("contract_size").alias("size"),
    )
    return frame.join(sizes, on=SUBJECT, how="left", maintain_order="left")


def strays(frame: pl.DataFrame, stamp: str) -> pl.DataFrame:
    return rejected(
        frame.filter(pl.col("type").is_null()),
        reason="unknown_instrument",
        detail="in no capture of Kraken's contracts",
        stamp=stamp,
    )


def parse_accounts(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Accounts long over accounts short at the end of each bucket (?). Where nobody holds a position there is no ratio."""
    read = read_records(pages, counts, ACCOUNTS)
    frame = read.frame.with_columns(instant("at").alias("opened_at"), (instant("at") + PERIOD).alias("event_at"))
    frame = frame.filter(pl.col("opened_at") >= context.span.start, pl.col("opened_at") < context.span.end)
    held = (pl.col("longs") + pl.col("shorts")) > 0
    rows = frame.filter(held).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("account_global").alias("measure"),
        pl.lit("5m").alias("period"),
        "event_at",
        pl.when(pl.col("shorts") > 0).then(pl.col("longs") / pl.col("shorts")).alias("ratio"),
        (pl.col("longs") / (pl.col("longs") + pl.col("shorts"))).alias("long_share"),
        pl.col("event_at").alias("available_at"),
        LINE,
    )
    nobody = rejected(frame.filter(~held), reason="sentinel", detail="no accounts on either side", stamp="opened_at")
    yield Parsed("long_short_ratios", rows, pl.concat([read.rejects, nobody]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """All settlements of a perpetual there ever were: the endpoint knows no bounds."""
    yield await api.get(
        "/derivatives/api/v4/historicalfundingrates", subject=job.subject, params={"symbol": job.subject}
    )


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """The settlements of the span, as a fraction per interval (an hour, since when?). The stamp is taken for the settlement
    (?). What lies outside the span is read from the landing it belongs to."""
    read = read_records(pages, at_path("rates"), FUNDING)
    settled = written("at")
    inside = (settled >= context.span.start) & (settled < context.span.end)
    # A stamp that cannot be read is null and goes to quarantine by the contract.
    rows = read.frame.filter(inside.fill_null(value=True)).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        settled.alias("settled_at"),
        "rate",
        settled.alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, read.rejects)


def more_candles(page: Page) -> bool:
    more = page.json().get("more_candles")
    if not isinstance(more, bool):
        raise SourceFormatError(f"{page.where}: more_candles does not say whether there are more: {page.excerpt}")
    return more


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles of trades, old to new."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            f"/api/charts/v1/trade/{job.subject}/1h", subject=job.subject, params={"from": first, "to": last}
        )

    async for page in pages_while_more(
        get,
        stamps_of(at_path("candles"), "time"),
        more_candles,
        start=job.span.start_ms // 1000,
        end=job.span.end_ms // 1000,
    ):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Hourly candles of the span. Volume is in contracts: coins (PF) or dollars (PI), whose other measure is not told."""
    read = read_records(pages, at_path("candles"), CANDLES)
    frame = with_contracts(read.frame, context).with_columns(instant("at").alias("opened_at"))
    frame = frame.filter(pl.col("opened_at") >= context.span.start, pl.col("opened_at") < context.span.end)
    inverse = pl.col("type") == "inverse"
    amount = pl.col("contracts") * pl.col("size")
    rows = frame.filter(pl.col("type").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("perp").alias("market"),
        pl.lit("1h").alias("period"),
        "opened_at",
        "open",
        "high",
        "low",
        "close",
        pl.when(~inverse).then(amount).alias("volume_base"),
        pl.when(inverse).then(amount).alias("volume_quote"),
        (pl.col("opened_at") + timedelta(hours=1)).alias("available_at"),
        LINE,
    )
    yield Parsed("candles", rows, pl.concat([read.rejects, strays(frame, "opened_at")]))


VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://futures.kraken.com"},
    # Kraken publishes no limit for its charts and says only to back off when told so: two requests a second are ours.
    limits=(Limit(20, 10.0, share=1.0),),
    concurrency=4,
    check=check,
    ignored_in_digest=re.compile(rb'"serverTime":"[^"]*"'),
    notes="Liquidation volume of its analytics is not read: it has no side, and its unit is unwritten.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals, linear (PF) and inverse (PI).",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest every 5 minutes; depth unverified.",
            fetch=fetch_analytics("open-interest", series),
            parse=parse_open_interest,
            # Public collectors probed 2023 and found rows; before that is open (?).
            retention=Retention(since=date(2022, 3, 22)),
            subjects=each_instrument(),
        ),
        Feed(
            name="current_open_interest",
            tables=("open_interest",),
            description="Open interest of perpetuals at the moment, captured every hour.",
            fetch=fetch_current_open_interest,
            parse=parse_current_open_interest,
            retention=Retention(since=date(2018, 9, 1)),
            cadence=Capture(),
        ),
        Feed(
            name="long_short_info",
            tables=("long_short_ratios",),
            description="Accounts long and short every 5 minutes; depth unverified.",
            fetch=fetch_analytics("long-short-info", counts),
            parse=parse_accounts,
            # As far back as a public collector found it.
            retention=Retention(since=date(2024, 2, 28)),
            subjects=each_instrument(),
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates, hourly; an answer holds the whole history, of which the span is read.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=date(2018, 9, 1)),
            partitioning=Partitioning(most_days=ALL_DAYS),
            subjects=each_instrument(),
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles of trades; depth unverified.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=date(2018, 9, 1)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
    ),
)
