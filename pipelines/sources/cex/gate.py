"""Gate v4 futures: contracts, statistics of contracts, liquidation orders, settled funding, candles. Public endpoints; no key.

Facts from Gate's v4 documentation and from public collectors of it; what was not seen live is marked "?". Nothing here opens
a database.

Statistics hold the open interest of every five minutes and are asked for as soon as their day is over: the state of the moment
is not captured beside them.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.contract.batch import SourceRules
from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError, VenueUnavailableError
from pipelines.extract.paging import paginate_backward, paginate_by_slices
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    Api,
    Capture,
    Context,
    Feed,
    Job,
    NotYetPublishedError,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Span,
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
    from_seconds,
    read_records,
    rejected,
    stamps_of,
)

NAME: Final = "gate"
SETTLEMENTS: Final = ("usdt", "btc")
"""Gate keeps contracts apart by what settles them: linear ones in USDT, the inverse BTC_USD in BTC."""

CONTRACTS: Final = (
    Field("name", "instrument", str),
    Field("quanto_multiplier", "size", float),
    # 0 for contracts older than the field.
    Field("create_time", "created_s", int, optional=True),
)
# lsr_taker is takers and lsr_account accounts, as the names say: documents before 2025 swap the two descriptions.
# The _new fields are there since 2026-04-27 (v4.106.73): contracts × multiplier × mark price.
STATISTICS: Final = (
    Field("time", "at_s", int),
    Field("open_interest", "contracts", float),
    Field("open_interest_usd", "oi_usd", float),
    Field("long_liq_amount", "long_base", float),
    Field("short_liq_amount", "short_base", float),
    Field("long_liq_usd", "long_usd_old", float),
    Field("short_liq_usd", "short_usd_old", float),
    Field("long_liq_usd_new", "long_usd_new", float, optional=True),
    Field("short_liq_usd_new", "short_usd_new", float, optional=True),
    Field("lsr_account", "account_global", float),
    Field("top_lsr_account", "account_top", float),
    Field("top_lsr_size", "position_top", float),
    Field("lsr_taker", "taker_volume", float),
)
MEASURES: Final = ("account_global", "account_top", "position_top", "taker_volume")
PAGE: Final = "_page"
LIQUIDATIONS: Final = (
    Field("contract", "instrument", str),
    Field("time", "at_s", int),
    Field("size", "contracts", float),
    Field("fill_price", "price", float),
    Field("size", "size_text", str),
    Field("fill_price", "price_text", str),
    Field("order_price", "order_price_text", str),
    Field(PAGE, "page", int),
)
FUNDING: Final = (Field("t", "at_s", int), Field("r", "rate", float))
CANDLES: Final = (
    Field("t", "at_s", int),
    Field("o", "open", float),
    Field("h", "high", float),
    Field("l", "low", float),
    Field("c", "close", float),
    Field("v", "contracts", float),
    # Turnover in the quote currency; not in answers before 2022 (?).
    Field("sum", "turnover", float, optional=True),
)

STATISTICS_PERIOD: Final = timedelta(minutes=5)
STATISTICS_LIMIT: Final = 100
LIQUIDATION_LIMIT: Final = 1000
LIQUIDATION_WINDOW_SECONDS: Final = 3600
FUNDING_LIMIT: Final = 1000
CANDLE_LIMIT: Final = 2000

records: Final[RecordsOf] = at_path()


def check(page: Page) -> None:
    """Refusals are objects with a label where the answer would be an array; they come with statuses 400 and above."""
    answer = page.json()
    label = answer.get("label") if isinstance(answer, dict) else None
    if label is None:
        return
    said = f"{NAME}: {page.where}: {label}: {answer.get('message', '')}"
    if label == "TOO_MANY_REQUESTS":
        raise ThrottledError(said, wait_seconds=10.0)
    if label in ("SERVER_ERROR", "INTERNAL", "TOO_BUSY"):
        raise VenueUnavailableError(said)
    if label == "CONTRACT_NOT_FOUND":
        raise RequestRefusedError(f"{said}. Gate no longer knows this contract; its past cannot be asked for.")
    raise RequestRefusedError(f"{said}. Compare the request with Gate's documentation.")


def base_path(job: Job) -> str:
    """The branch of the API that holds the job's contract."""
    return "/futures/usdt" if job.instrument["contract_type"] == "linear" else "/futures/btc"


def seconds(span: Span) -> tuple[int, int]:
    return span.start_ms // 1000, span.end_ms // 1000


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All contracts that are traded, one answer per settlement currency. Delisted ones are not told of."""
    for settled_in in SETTLEMENTS:
        yield await api.get(f"/futures/{settled_in}/contracts")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Contracts as clean.instruments. quanto_multiplier is coins in a contract; 0 for inverse ones, which are one dollar."""
    read = read_records(pages, records, CONTRACTS)
    known = parse_symbols(NAME, read.frame["instrument"])
    frame = read.frame.join(known, on="instrument", how="left", maintain_order="left")
    inverse = pl.col("contract_type") == "inverse"
    # ETH_USD and others settled in BTC paid by a multiplier of bitcoin: quanto, no kind that is followed.
    followed = pl.col("asset").is_not_null() & (inverse == (pl.col("size") == 0))
    rows = frame.filter(followed).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "quote",
        "contract_type",
        pl.when(inverse).then(1.0).otherwise("size").alias("contract_size"),
        pl.when(inverse).then(pl.lit("usd")).otherwise(pl.lit("base")).alias("contract_size_unit"),
        "multiplier",
        pl.when(pl.col("created_s") > 0).then(from_seconds("created_s")).alias("listed_at"),
        pl.lit(None, pl.Datetime("us")).alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    rejected_logs = rejected(
        frame.filter(~followed.fill_null(value=False)),
        reason="unknown_instrument",
        detail="neither linear with a multiplier nor inverse without one",
        instrument="instrument",
    )
    yield Parsed("instruments", rows, pl.concat([read.rejects, rejected_logs]))


GetFrom = Callable[[int, int], Awaitable[Page]]
"""Ask for at most so many rows (second) with stamps from (first) on."""


async def paginate_forward(
    get: GetFrom, stamps: Callable[[Page], Sequence[int]], *, start: int, end: int, step: int, most: int
) -> AsyncIterator[Page]:
    """Pages of rows with stamps in [start, end), one every `step`, for an endpoint that takes a start and a number of rows.

    Ends where the last possible row is reached or nothing follows, and not where a page is short: how many rows Gate really
    gives is unwritten, and a cap below ours would make every page look like the last.
    """
    first = start
    while first < end:
        wanted = min(most, -(-(end - first) // step))
        page = await get(first, wanted)
        if not (came := stamps(page)):
            # Believed when said twice: a venue in trouble may answer like one in which nothing happened.
            page = await get(first, wanted)
            came = stamps(page)
        yield page
        seen = [stamp for stamp in came if stamp >= first]
        if came and not seen:
            raise SourceFormatError(
                f"{page.where}: rows before the bound only; Gate ignores it or its paging changed: {page.excerpt}"
            )
        if not seen:
            return
        first = max(seen) + step


async def fetch_statistics(api: Api, job: Job) -> AsyncIterator[Page]:
    """Statistics of every five minutes, old to new, from a second on. There is no end to ask for."""

    async def get(first: int, rows: int) -> Page:
        return await api.get(
            f"{base_path(job)}/contract_stats",
            subject=job.subject,
            params={"contract": job.subject, "from": first, "interval": "5m", "limit": rows},
        )

    start, end = seconds(job.span)
    async for page in paginate_forward(
        get,
        stamps_of(records, "time"),
        start=start,
        end=end,
        step=int(STATISTICS_PERIOD.total_seconds()),
        most=STATISTICS_LIMIT,
    ):
        yield page


def parse_statistics(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Open interest, liquidated amounts and four ratios.

    `time` is the start of five minutes whose row Gate renews until they end (public collectors upsert it), so that states
    are those of the end (?), and nothing is known before it. Rows around the span belong to another landing.
    """
    read = read_records(pages, records, STATISTICS)
    opened = from_seconds("at_s")
    frame = with_contracts(read.frame, context, SUBJECT).with_columns(
        opened.alias("opened_at"), (opened + STATISTICS_PERIOD).alias("ended_at"), pl.lit("5m").alias("period")
    )
    frame = frame.filter(pl.col("opened_at") >= context.span.start, pl.col("opened_at") < context.span.end)
    known, unknown = frame.filter(pl.col("type").is_not_null()), frame.filter(pl.col("type").is_null())
    stray = rejected(
        unknown, reason="unknown_instrument", detail="in no capture of Gate's contracts", stamp="opened_at"
    )
    inverse = pl.col("type") == "inverse"
    coins = pl.col("contracts") * pl.col("size")
    common = (pl.lit(NAME).alias("venue"), pl.col(SUBJECT).alias("instrument"))
    yield Parsed(
        "open_interest",
        known.select(
            *common,
            "period",
            pl.col("ended_at").alias("event_at"),
            pl.when(~inverse).then(coins).alias("oi_base"),
            pl.when(inverse).then(coins).otherwise("oi_usd").alias("oi_usd"),
            pl.col("contracts").alias("oi_raw"),
            pl.lit("contracts").alias("oi_raw_unit"),
            pl.lit("one_sided").alias("counting"),
            pl.col("ended_at").alias("available_at"),
            LINE,
        ),
        pl.concat([read.rejects, stray]),
    )
    # "Long liquidation": long positions that were closed by force (?). Zeros are real: nothing was liquidated.
    long_usd, short_usd = (pl.coalesce(f"{side}_usd_new", f"{side}_usd_old") for side in ("long", "short"))
    yield Parsed(
        "liquidation_totals",
        known.select(
            *common,
            pl.lit("position_notional").alias("measure"),
            "period",
            pl.col("opened_at").alias("event_at"),
            long_usd.alias("long_usd"),
            short_usd.alias("short_usd"),
            (long_usd + short_usd).alias("total_usd"),
            "long_base",
            "short_base",
            pl.lit("full").alias("completeness"),
            pl.col("ended_at").alias("available_at"),
            LINE,
        ),
    )
    yield from (ratios(known, measure) for measure in MEASURES)


def ratios(frame: pl.DataFrame, measure: str) -> Parsed:
    """One ratio of the statistics. A 0 stands for no data: contracts without large traders print it for years (?)."""
    told = pl.col(measure) > 0
    rows = frame.filter(told).select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit(measure).alias("measure"),
        "period",
        pl.col("ended_at").alias("event_at"),
        pl.col(measure).alias("ratio"),
        (pl.col(measure) / (1 + pl.col(measure))).alias("long_share"),
        pl.col("ended_at").alias("available_at"),
        LINE,
    )
    zeros = rejected(
        frame.filter(~told), reason="sentinel", detail="a ratio of 0 is no ratio", stamp="opened_at", field=measure
    )
    return Parsed("long_short_ratios", rows, zeros)


def with_contracts(frame: pl.DataFrame, context: Context, instrument: str) -> pl.DataFrame:
    """`frame` with `type` and `size` of the contract each row is about; null where the contract is unknown."""
    sizes = context.instruments.select(
        pl.col("instrument").alias(instrument),
        pl.col("contract_type").alias("type"),
        pl.col("contract_size").alias("size"),
    )
    return frame.join(sizes, on=instrument, how="left", maintain_order="left")


def told_at_all(pages: Sequence[Page]) -> bool:
    return any(len(records(page)) > 0 for page in pages)


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """Liquidation orders of all contracts, hour by hour: the window is at most 3600 seconds, both bounds included. An hour
    that fills a page is halved."""
    start, end = seconds(job.span)
    pages: list[Page] = []
    for settled_in in SETTLEMENTS:

        async def get(first: int, last: int, settled_in: str = settled_in) -> Page:
            return await api.get(
                f"/futures/{settled_in}/liq_orders", params={"from": first, "to": last, "limit": LIQUIDATION_LIMIT}
            )

        pages += [
            page
            async for page in paginate_by_slices(
                get,
                stamps_of(records, "time"),
                start=start,
                end=end,
                limit=LIQUIDATION_LIMIT,
                width=LIQUIDATION_WINDOW_SECONDS,
            )
        ]
    if not told_at_all(pages):
        # How far back Gate remembers is unwritten. A day without one liquidation in any contract never was.
        raise NotYetPublishedError
    for page in pages:
        yield page


def numbered(page_records: RecordsOf) -> RecordsOf:
    """The records with the number of the page they came on."""
    numbers = itertools.count(1)

    def records_of(page: Page) -> Sequence[Record]:
        number = next(numbers)
        return [{**record, PAGE: number} for record in page_records(page)]  # type: ignore[dict-item]

    return records_of


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Orders as positions: `size` is that of the position, negative for a short (an order of −165 in the recorded answer
    bought below its bankruptcy price). Contracts times multiplier, in coins; inverse ones are dollars, at the price of the fill.

    Gate gives no id. What tells orders apart is contract, second, size and prices, and for exact twins their number among
    themselves: windows are whole seconds, so twins come on one page, and a page that comes again counts them the same.
    """
    read = read_records(pages, numbered(records), LIQUIDATIONS)
    facts = ["instrument", "at_s", "size_text", "price_text", "order_price_text"]
    frame = with_contracts(read.frame, context, "instrument").with_columns(
        pl.int_range(1, pl.len() + 1).over("page", *facts).alias("twin"), from_seconds("at_s").alias("occurred_at")
    )
    known = pl.col("type").is_not_null()
    inverse = pl.col("type") == "inverse"
    amount = pl.col("contracts").abs() * pl.col("size")
    rows = frame.filter(known).select(
        pl.lit(NAME).alias("venue"),
        pl.concat_str([*facts, "twin"], separator="-").alias("liquidation_id"),
        pl.lit("cex").alias("venue_kind"),
        "instrument",
        "occurred_at",
        pl.when(pl.col("contracts") < 0).then(pl.lit("short")).otherwise(pl.lit("long")).alias("side"),
        "price",
        pl.when(inverse).then(amount / pl.col("price")).otherwise(amount).alias("quantity_base"),
        pl.when(inverse).then(amount).otherwise(amount * pl.col("price")).alias("notional_usd"),
        pl.lit("full").alias("completeness"),
        pl.lit(value=False).alias("is_adl"),
        pl.col("occurred_at").alias("available_at"),
        LINE,
    )
    rejected_logs = rejected(
        frame.filter(~known),
        reason="unknown_instrument",
        detail="in no capture of Gate's contracts",
        stamp="occurred_at",
        instrument="instrument",
    )
    yield Parsed("liquidations", rows, pl.concat([read.rejects, rejected_logs]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements, newest first; both bounds are included."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            f"{base_path(job)}/funding_rate",
            subject=job.subject,
            params={"contract": job.subject, "from": first, "to": last, "limit": FUNDING_LIMIT},
        )

    start, end = seconds(job.span)
    async for page in paginate_backward(get, stamps_of(records, "t"), start=start, end=end, limit=FUNDING_LIMIT):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates as a fraction of the interval, stamped in seconds. The interval is observed from the gaps."""
    read = read_records(pages, records, FUNDING)
    rows = read.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        from_seconds("at_s").alias("settled_at"),
        "rate",
        from_seconds("at_s").alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, read.rejects)


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles; both bounds are included, at most 2000 candles fit between them, and `limit` may not be given."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            f"{base_path(job)}/candlesticks",
            subject=job.subject,
            params={"contract": job.subject, "from": first, "to": last, "interval": "1h"},
        )

    start, end = seconds(job.span)
    async for page in paginate_by_slices(
        get, stamps_of(records, "t"), start=start, end=end, limit=CANDLE_LIMIT, width=CANDLE_LIMIT * 3600 // 2
    ):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Hourly candles. `v` is contracts: times the multiplier in coins, dollars for inverse ones, whose coins are not told."""
    read = read_records(pages, records, CANDLES)
    frame = with_contracts(read.frame, context, SUBJECT).with_columns(from_seconds("at_s").alias("opened_at"))
    known, unknown = frame.filter(pl.col("type").is_not_null()), frame.filter(pl.col("type").is_null())
    inverse = pl.col("type") == "inverse"
    amount = pl.col("contracts") * pl.col("size")
    rows = known.select(
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
        pl.when(inverse).then(amount).otherwise("turnover").alias("volume_quote"),
        (pl.col("opened_at") + timedelta(hours=1)).alias("available_at"),
        LINE,
    )
    stray = rejected(
        unknown, reason="unknown_instrument", detail="in no capture of Gate's contracts", stamp="opened_at"
    )
    yield Parsed("candles", rows, pl.concat([read.rejects, stray]))


def as_told(spans: Sequence[Span]) -> SourceRules:
    """Gate prints the zeros of quiet periods, so a day without rows is one it does not tell of, and no quiet one."""
    return SourceRules()


IS_PERPETUAL: Final = pl.col("contract_type").is_in(["linear", "inverse"])

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.gateio.ws/api/v4"},
    limits=(Limit(200, 10.0),),
    concurrency=8,
    check=check,
    notes="How far back statistics and liquidation orders go is unwritten; what Gate does not tell of stays unknown.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetual contracts settled in USDT or BTC, with their contract sizes.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="contract_stats",
            tables=("open_interest", "liquidation_totals", "long_short_ratios"),
            description="Every 5 minutes: open interest, liquidated longs and shorts, ratios of accounts, top accounts, top "
            "positions and takers; depth unverified.",
            fetch=fetch_statistics,
            parse=parse_statistics,
            # The endpoint is from 2020-11 (v4.15.5), its ratios of top traders from 2020-12 (v4.18.0).
            retention=Retention(since=date(2020, 12, 21)),
            subjects=each_instrument(IS_PERPETUAL),
            rules=as_told,
        ),
        Feed(
            name="liq_orders",
            tables=("liquidations",),
            description="Every liquidation order of all contracts, to the second; depth unverified.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            retention=Retention(since=date(2020, 12, 16)),
        ),
        Feed(
            name="funding_rate",
            tables=("funding_rates",),
            description="Settled funding rates.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=date(2020, 1, 1)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_PERPETUAL),
        ),
        Feed(
            name="candlesticks",
            tables=("candles",),
            description="Hourly candles.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=date(2020, 1, 1)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_PERPETUAL),
        ),
    ),
)
