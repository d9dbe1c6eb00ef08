"""History of Gate's contracts: statistics (open interest, liquidation totals, ratios), liquidation orders, funding, candles.

Facts from Gate's v4 documentation and from public collectors; anything not verified live is marked "?".
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from pipelines.contract.batch import SourceRules
from pipelines.core.errors import SourceFormatError
from pipelines.extract.paging import paginate_backward, paginate_by_slices
from pipelines.extract.venue import Api, Context, Job, NotYetPublishedError, Page, Parsed, Span
from pipelines.sources import counting
from pipelines.sources.cex.gate.wire import NAME, SETTLEMENTS, base_path, root_array, seconds, with_contracts
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    RecordsOf,
    from_seconds,
    read_records,
    rejected,
    settlement,
    stamps_of,
    with_facts,
    within,
)

# lsr_taker is the taker ratio and lsr_account the account ratio; documentation before 2025 swaps the two descriptions.
# The _new fields exist since 2026-04-27 (v4.106.73): contracts × multiplier × mark price.
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
    # Missing in responses before 2025 (?).
    Field("order_size", "ordered", float, optional=True),
    Field("left", "left", float, optional=True),
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
    # Turnover in the quote currency; missing in responses before 2022 (?).
    Field("sum", "turnover", float, optional=True),
)

STATISTICS_PERIOD: Final = timedelta(minutes=5)
STATISTICS_LIMIT: Final = 100
LIQUIDATION_LIMIT: Final = 1000
LIQUIDATION_WINDOW_SECONDS: Final = 3600
FUNDING_LIMIT: Final = 1000
HOUR_SECONDS: Final = 3600
"""The shortest funding interval. Gate's row limit is undocumented, so a short page is not taken as the last."""
CANDLE_LIMIT: Final = 2000


GetFrom = Callable[[int, int], Awaitable[Page]]
"""Requests rows: (first timestamp, maximum number of rows)."""


async def paginate_forward(
    get: GetFrom, stamps: Callable[[Page], Sequence[int]], *, start: int, end: int, step: int, most: int
) -> AsyncIterator[Page]:
    """Pages of rows with timestamps in [start, end), one every `step`, for an endpoint that takes a start and a number of rows.

    Stops at the last possible row or at an empty response, not at a short page: Gate's row limit is undocumented, and a limit
    below ours would make every page look like the last.
    """
    first = start
    while first < end:
        limit = min(most, -(-(end - first) // step))
        page = await get(first, limit)
        if not (found := stamps(page)):
            # An empty response is requested twice: a failing venue may return no rows.
            page = await get(first, limit)
            found = stamps(page)
        yield page
        seen = [stamp for stamp in found if stamp >= first]
        if found and not seen:
            raise SourceFormatError(
                f"{page.where}: all rows are before the bound; Gate ignores it or its paging changed: {page.excerpt}"
            )
        if not seen:
            return
        first = max(seen) + step


async def fetch_statistics(api: Api, job: Job) -> AsyncIterator[Page]:
    """5-minute statistics, oldest first, from a start time. The endpoint has no end parameter."""

    async def get(first: int, rows: int) -> Page:
        return await api.get(
            f"{base_path(job)}/contract_stats",
            subject=job.subject,
            params={"contract": job.subject, "from": first, "interval": "5m", "limit": rows},
        )

    start, end = seconds(job.span)
    async for page in paginate_forward(
        get,
        stamps_of(root_array, "time"),
        start=start,
        end=end,
        step=int(STATISTICS_PERIOD.total_seconds()),
        most=STATISTICS_LIMIT,
    ):
        yield page


def parse_statistics(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Open interest, liquidated amounts and four ratios.

    `time` is the start of a 5-minute period. Gate updates the row until the period ends (public collectors upsert it), so states
    are those at the end (?) and available from then on. Rows outside the span belong to other landings.
    """
    found = read_records(pages, root_array, STATISTICS)
    opened = from_seconds("at_s")
    frame = with_contracts(found.frame, context, SUBJECT).with_columns(
        opened.alias("opened_at"), (opened + STATISTICS_PERIOD).alias("ended_at"), pl.lit("5m").alias("period")
    )
    frame = within(frame, "opened_at", context)
    known, unknown = frame.filter(pl.col("type").is_not_null()), frame.filter(pl.col("type").is_null())
    without_contract = rejected(
        unknown, reason="unknown_instrument", detail="in no capture of Gate's contracts", stamp="opened_at"
    )
    inverse = pl.col("type") == "inverse"
    counted = counting.sides(counting.FACTS[NAME], pl.col("opened_at"))
    share = counting.share(counted)
    coins = pl.col("contracts") * pl.col("size") * share
    states, sentinels = counting.without_sentinels(
        known, ("contracts",), ("oi_usd", "long_base", "short_base", *MEASURES), stamp="opened_at"
    )
    common = (pl.lit(NAME).alias("venue"), pl.col(SUBJECT).alias("instrument"))
    yield Parsed(
        "open_interest",
        states.select(
            *common,
            "period",
            pl.col("ended_at").alias("event_at"),
            pl.when(~inverse).then(coins).alias("oi_base"),
            pl.when(inverse).then(coins).otherwise(pl.col("oi_usd") * share).alias("oi_usd"),
            pl.col("contracts").alias("oi_raw"),
            pl.lit("contracts").alias("oi_raw_unit"),
            counting.counting(counted),
            pl.col("ended_at").alias("available_at"),
            LINE,
        ),
        pl.concat([found.rejects, without_contract, sentinels]),
    )
    # "Long liquidation" means liquidated long positions (?). Zeros are real: nothing was liquidated.
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
    """One ratio of the statistics. 0 means no data: contracts without large traders have it for years (?)."""
    is_reported = pl.col(measure) > 0
    rows = frame.filter(is_reported).select(
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
        frame.filter(~is_reported),
        reason="sentinel",
        detail="a ratio of 0 is no ratio",
        stamp="opened_at",
        field=measure,
    )
    return Parsed("long_short_ratios", rows, zeros)


def has_records(pages: Sequence[Page]) -> bool:
    """Whether any page has a record."""
    return any(len(root_array(page)) > 0 for page in pages)


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """Liquidation orders of all contracts, hour by hour: the window is at most 3600 seconds and both bounds are inclusive. An
    hour that fills a page is split in half."""
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
                stamps_of(root_array, "time"),
                start=start,
                end=end,
                limit=LIQUIDATION_LIMIT,
                width=LIQUIDATION_WINDOW_SECONDS,
            )
        ]
    if not has_records(pages):
        # Gate's retention is undocumented. A day without any liquidation in any contract is treated as unpublished.
        raise NotYetPublishedError
    for page in pages:
        yield page


def numbered(page_records: RecordsOf) -> RecordsOf:
    """The records with the number of their page."""
    numbers = itertools.count(1)

    def records_of(page: Page) -> Sequence[Record]:
        number = next(numbers)
        return [with_facts(record, **{PAGE: number}) for record in page_records(page)]

    return records_of


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Forced orders. `size` is the user's position before the order, negative for a short; `order_size` is the order, `left` what
    of it was not filled, so |order_size| − left contracts were liquidated: a position closed in three orders states its size three
    times. Without `order_size` the order is taken as the whole position. Contracts times multiplier give coin; inverse contracts
    are dollars, converted at the fill price.

    Gate has no id. Orders are identified by contract, second, size and prices; identical ones are numbered. Windows are whole
    seconds, so identical orders are on one page and get the same numbers when the page is fetched again.
    """
    found = read_records(pages, numbered(root_array), LIQUIDATIONS)
    facts = ["instrument", "at_s", "size_text", "price_text", "order_price_text"]
    frame = with_contracts(found.frame, context, "instrument").with_columns(
        pl.int_range(1, pl.len() + 1).over("page", *facts).alias("number"), from_seconds("at_s").alias("occurred_at")
    )
    known = pl.col("type").is_not_null()
    inverse = pl.col("type") == "inverse"
    filled = pl.coalesce("ordered", "contracts").abs() - pl.col("left").abs().fill_null(0.0)
    amount = filled * pl.col("size")
    rows = frame.filter(known, filled > 0).select(
        pl.lit(NAME).alias("venue"),
        pl.concat_str([*facts, "number"], separator="-").alias("liquidation_id"),
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
    without_contract = rejected(
        frame.filter(~known),
        reason="unknown_instrument",
        detail="in no capture of Gate's contracts",
        stamp="occurred_at",
        instrument="instrument",
    )
    unfilled = rejected(
        frame.filter(known, filled <= 0), reason="sentinel", detail="nothing of the order was filled",
        stamp="occurred_at", field="left", instrument="instrument",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([found.rejects, without_contract, unfilled]))


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Settlements, newest first; both bounds are inclusive."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            f"{base_path(job)}/funding_rate",
            subject=job.subject,
            params={"contract": job.subject, "from": first, "to": last, "limit": FUNDING_LIMIT},
        )

    start, end = seconds(job.span)
    stamps = stamps_of(root_array, "t")
    async for page in paginate_backward(get, stamps, start=start, end=end, limit=FUNDING_LIMIT, spacing=HOUR_SECONDS):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates as a fraction per interval, up to three seconds late. The interval is inferred."""
    found = read_records(pages, root_array, FUNDING)
    rows = found.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        settlement(from_seconds("at_s")).alias("settled_at"),
        "rate",
        settlement(from_seconds("at_s")).alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, found.rejects)


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles; both bounds are inclusive, at most 2000 candles apart, and `limit` is not allowed with them."""

    async def get(first: int, last: int) -> Page:
        return await api.get(
            f"{base_path(job)}/candlesticks",
            subject=job.subject,
            params={"contract": job.subject, "from": first, "to": last, "interval": "1h"},
        )

    start, end = seconds(job.span)
    async for page in paginate_by_slices(
        get,
        stamps_of(root_array, "t"),
        start=start,
        end=end,
        limit=CANDLE_LIMIT,
        width=CANDLE_LIMIT * 3600 // 2,
        spacing=HOUR_SECONDS,
    ):
        yield page


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Hourly candles. `v` is in contracts: times the multiplier it is coin, for inverse contracts dollars, whose coin volume is
    not published."""
    found = read_records(pages, root_array, CANDLES)
    frame = with_contracts(found.frame, context, SUBJECT).with_columns(from_seconds("at_s").alias("opened_at"))
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
    without_contract = rejected(
        unknown, reason="unknown_instrument", detail="in no capture of Gate's contracts", stamp="opened_at"
    )
    yield Parsed("candles", rows, pl.concat([found.rejects, without_contract]))


def no_coverage_claims(spans: Sequence[Span]) -> SourceRules:
    """No coverage spans: Gate publishes zeros for quiet periods, so a day without rows is missing data, not a quiet day."""
    return SourceRules()
