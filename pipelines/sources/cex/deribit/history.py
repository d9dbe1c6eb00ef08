"""Deribit's history: hourly funding, the volatility index, candles, and liquidations selected from all trades.

Facts from Deribit's documentation; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.core.universe import parse_symbol
from pipelines.extract.paging import pages_by_cursor, paginate_by_slices
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.cex.deribit import wire
from pipelines.sources.records import (
    LINE,
    SUBJECT,
    Field,
    Record,
    at_path,
    from_ms,
    kept,
    read_records,
    rejected,
    settlement,
)

NAME: Final = wire.NAME

FUNDING_LIMIT: Final = 744
CHART_LIMIT: Final = 5000
SLICE_MS: Final = 700 * wire.HOUR_MS
"""Fewer hours than either row limit, so that no response is truncated."""

TRADES_LIMIT: Final = 1000

# interest_8h is the rolling sum of the last eight hours; adding it up would count each hour eight times.
FUNDING: Final = (Field("timestamp", "at_ms", int), Field("interest_1h", "rate", float))
INDEX_CANDLES: Final = (
    Field(0, "at_ms", int),
    *(Field(i + 1, n, float) for i, n in enumerate(("open", "high", "low", "close"))),
)
CHART_COLUMNS: Final = ("ticks", "open", "high", "low", "close", "volume", "cost")
CANDLES: Final = (Field(0, "at_ms", int), *(Field(i + 1, n, float) for i, n in enumerate(CHART_COLUMNS[1:])))
TRADES: Final = (
    Field("trade_id", "trade_id", str),
    Field("instrument_name", "instrument", str),
    Field("timestamp", "at_ms", int),
    Field("direction", "taker", str),
    Field("price", "price", float),
    Field("amount", "amount", float),
    Field("liquidation", "liquidated", str, optional=True),
)


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly rates of a perpetual; bounds are inclusive, at most 744 rows per response."""

    async def get(first: int, last: int) -> Page:
        return await wire.get(
            api, wire.FUNDING, job.subject, instrument_name=job.subject, start_timestamp=first, end_timestamp=last
        )

    def stamps(page: Page) -> list[int]:
        return wire.stamps_of(page, wire.results(page), "timestamp")

    start, end = job.span.start_ms, job.span.end_ms
    async for page in paginate_by_slices(
        get, stamps, start=start, end=end, limit=FUNDING_LIMIT, width=SLICE_MS, spacing=wire.HOUR_MS
    ):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Funding of the hour up to the timestamp, as a fraction. Deribit pays continuously; settlement by hour is our convention."""
    found = read_records(pages, wire.results, FUNDING)
    rows = found.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        settlement(from_ms("at_ms")).alias("settled_at"),
        "rate",
        pl.lit(1.0).alias("interval_hours"),
        from_ms("at_ms").alias("available_at"),
        LINE,
    )
    yield Parsed("funding_rates", rows, found.rejects)


async def fetch_volatility_index(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles of the volatility index, newest page first. `continuation` is the end of the next page, null on the last."""

    async def get(continuation: str | None) -> Page:
        return await wire.get(
            api, wire.VOLATILITY_INDEX, job.subject,
            currency=job.subject, resolution="3600", start_timestamp=job.span.start_ms,
            end_timestamp=int(continuation) if continuation else job.span.end_ms - 1,
        )  # fmt: skip

    def cursor(page: Page) -> str | None:
        continuation = wire.result(page, "data", "continuation")["continuation"]
        return None if continuation is None else str(continuation)

    def is_done(page: Page) -> bool:
        return int(cursor(page) or 0) < job.span.start_ms

    async for page in pages_by_cursor(get, cursor, is_done=is_done):
        yield page


def parse_volatility_index(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Annualized volatility, converted from percent to a fraction."""
    found = read_records(pages, at_path("result", "data"), INDEX_CANDLES)
    rows = found.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.format("DVOL-{}", SUBJECT).alias("index_name"),
        pl.lit("1h").alias("period"),
        from_ms("at_ms").alias("opened_at"),
        *(pl.col(name) / 100 for name in ("open", "high", "low", "close")),
        (from_ms("at_ms") + timedelta(hours=1)).alias("available_at"),
        LINE,
    )
    yield Parsed("volatility_index", rows, found.rejects)


async def fetch_candles(api: Api, job: Job) -> AsyncIterator[Page]:
    """Hourly candles of a perpetual; bounds are inclusive."""

    async def get(first: int, last: int) -> Page:
        return await wire.get(
            api, wire.CHART, job.subject,
            instrument_name=job.subject, start_timestamp=first, end_timestamp=last, resolution="60",
        )  # fmt: skip

    def stamps(page: Page) -> list[int]:
        return [int(tick) for tick in wire.result(page, "ticks")["ticks"]]

    start, end = job.span.start_ms, job.span.end_ms
    async for page in paginate_by_slices(
        get, stamps, start=start, end=end, limit=CHART_LIMIT, width=SLICE_MS, spacing=wire.HOUR_MS
    ):
        yield page


def chart_rows(page: Page) -> Sequence[Record]:
    """The candles of a chart response, which is columnar. Columns of different lengths are an error: rows cannot be matched."""
    found = wire.result(page, *CHART_COLUMNS)
    columns = [found[name] for name in CHART_COLUMNS]
    try:
        return list(zip(*columns, strict=True))
    except (TypeError, ValueError) as error:
        raise SourceFormatError(f"{page.where}: chart columns differ in length ({error}): {page.excerpt}") from error


def parse_candles(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """`volume` is in coin and `cost` in dollars, for both inverse and linear perpetuals."""
    found = read_records(pages, chart_rows, CANDLES)
    rows = found.frame.select(
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("perp").alias("market"),
        pl.lit("1h").alias("period"),
        from_ms("at_ms").alias("opened_at"),
        *("open", "high", "low", "close"),
        pl.col("volume").alias("volume_base"),
        pl.col("cost").alias("volume_quote"),
        (from_ms("at_ms") + timedelta(hours=1)).alias("available_at"),
        LINE,
    )
    yield Parsed("candles", rows, found.rejects)


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """All trades of a currency's futures and perpetuals, oldest first: Deribit flags liquidations but has no list of them.

    Bounds are inclusive and trades share milliseconds, so each page starts at the newest timestamp of the previous one, until
    `has_more` is false. A short page is not the last, since block and combo trades are filtered out of it.
    """

    async def get(first: int, last: int, count: int = TRADES_LIMIT) -> Page:
        return await wire.get(
            api, wire.TRADES, job.subject, endpoint="history",
            currency=job.subject, kind="future", start_timestamp=first, end_timestamp=last, count=count, sorting="asc",
        )  # fmt: skip

    start, end = job.span.start_ms, job.span.end_ms
    while True:
        page = await get(start, end - 1)
        stamps, has_more = _stamps_and_more(page)
        yield page
        if not has_more:
            return
        if start == job.span.start_ms and min(stamps) > start:
            # If `sorting` were ignored, the page would hold the newest trades, also in ascending order; older ones would exist.
            older, _ = _stamps_and_more(await get(start, min(stamps) - 1, 1))
            if older:
                raise SourceFormatError(
                    f"{page.where}: the response does not start with the oldest trades; the venue's sorting changed."
                )
        if max(stamps) <= start:
            raise SourceFormatError(
                f"{page.where}: one millisecond fills a page of trades; later trades cannot be fetched."
            )
        start = max(stamps)


def _stamps_and_more(page: Page) -> tuple[list[int], bool]:
    """The timestamps of a page's trades, and whether more trades follow."""
    result = wire.result(page, "trades", "has_more")
    stamps = wire.stamps_of(page, result["trades"], "timestamp")
    if result["has_more"] and not stamps:
        raise SourceFormatError(f"{page.where}: has_more is true but there are no trades: {page.excerpt}")
    return stamps, bool(result["has_more"])


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Flagged trades of perpetuals; other trades, including those of dated futures, stay in the landing.

    `direction` is the taker's. T: the taker was liquidated, so its sell closed a long. M: the maker was liquidated, so the
    taker's buy closed a long. MT: both were, which gives two liquidations. Amounts are in dollars (inverse) or coin (linear).
    """
    found = read_records(pages, at_path("result", "trades"), TRADES)
    perpetuals = kept(found.frame, pl.col("instrument").str.ends_with(wire.PERPETUAL), "other_kind")
    flagged = kept(
        perpetuals, pl.col("liquidated").is_not_null() & ~pl.col("liquidated").is_in(["", "none"]), "not_forced"
    )
    facts = {name: parse_symbol(NAME, name) for name in flagged["instrument"].unique()}
    contract_types = {name: f.contract_type for name, f in facts.items() if f is not None}
    is_decodable = (
        pl.col("liquidated").is_in(["M", "T", "MT", "TM"])
        & pl.col("taker").is_in(["buy", "sell"])
        & pl.col("instrument").is_in(list(contract_types))
    )
    taker_sold = pl.col("taker") == "sell"
    inverse = pl.col("contract_type") == "inverse"
    events = (
        flagged.filter(is_decodable)
        .with_columns(
            pl.col("liquidated").str.extract_all("[MT]").alias("who"),
            pl.col("instrument")
            .replace_strict(contract_types, default=None, return_dtype=pl.String)
            .alias("contract_type"),
        )
        .explode("who")
    )
    rows = events.select(
        pl.lit(NAME).alias("venue"),
        # trade_id is unique per currency: a plain number for bitcoin, prefixed with the currency for others.
        pl.concat_str("instrument", "trade_id", "who", separator=":").alias("liquidation_id"),
        pl.lit("cex").alias("venue_kind"),
        "instrument",
        from_ms("at_ms").alias("occurred_at"),
        pl.when(taker_sold == (pl.col("who") == "T")).then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
        "price",
        pl.when(inverse).then(pl.col("amount") / pl.col("price")).otherwise("amount").alias("quantity_base"),
        pl.when(inverse).then("amount").otherwise(pl.col("amount") * pl.col("price")).alias("notional_usd"),
        pl.lit("full").alias("completeness"),
        pl.lit(value=False).alias("is_adl"),
        from_ms("at_ms").alias("available_at"),
        LINE,
    )
    undecodable = rejected(
        flagged.filter(~is_decodable).with_columns(from_ms("at_ms").alias("occurred_at")),
        reason="undecodable", detail="liquidation, direction or name is none that is documented", stamp="occurred_at",
        field="liquidation", instrument="instrument",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([found.rejects, undecodable]))
