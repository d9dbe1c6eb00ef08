"""What exchanges of perpetuals publish alike: rows of their lists, states of open interest, settlements, hourly candles, and
history in numbered pages, newest first.

Names of fields, units and refusals are in the venue's module.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from pipelines.core.errors import NoLongerAvailableError, SourceFormatError
from pipelines.extract import fetch_log
from pipelines.extract.venue import Context, Job, Page, Parsed
from pipelines.sources import counting
from pipelines.sources.instruments import parse_symbols
from pipelines.sources.records import LINE, SUBJECT, Record, Records, RecordsOf, rejected, settlement, within

HOUR: Final = timedelta(hours=1)
HOUR_MS: Final = 3_600_000
LONGEST_INTERVAL: Final = timedelta(hours=24)
"""Between two settlements of a contract that is traded."""

MOST_PAGES: Final = 10_000

IS_LINEAR: Final = pl.col("contract_type") == "linear"
IS_INVERSE: Final = pl.col("contract_type") == "inverse"
IS_PERPETUAL: Final = IS_LINEAR | IS_INVERSE

Stamps = Callable[[Page], Sequence[int]]
"""Times of a page's rows in milliseconds."""


def named(venue: str, frame: pl.DataFrame) -> pl.DataFrame:
    """`frame` with what the names in `instrument` say: asset, quote, contract_type, multiplier."""
    return frame.join(parse_symbols(venue, frame["instrument"]), on="instrument", how="left", maintain_order="left")


def instruments(
    venue: str, frame: pl.DataFrame, rejects: pl.DataFrame, *, size: pl.Expr, listed_at: pl.Expr, delisted_at: pl.Expr
) -> Parsed:
    """Rows of clean.instruments. `frame` has the columns of `named` and asset_class; `size` is coin per contract, of inverse
    contracts dollars. A name that no rule knows and a contract without a size are rejected."""
    sized = frame.with_columns(size.alias("contract_size"))
    known = pl.col("asset").is_not_null() & (pl.col("contract_size") > 0).fill_null(value=False)
    rows = sized.filter(known).select(
        pl.lit(venue).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "asset_class",
        "quote",
        "contract_type",
        "contract_size",
        pl.when(IS_INVERSE).then(pl.lit("usd")).otherwise(pl.lit("base")).alias("contract_size_unit"),
        "multiplier",
        listed_at.alias("listed_at"),
        delisted_at.alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    unknown = rejected(
        sized.filter(~known), reason="unknown_instrument", instrument="instrument",
        detail=f"the name follows no rule of {venue}'s, or the contract has no size",
    )  # fmt: skip
    return Parsed("instruments", rows, pl.concat([rejects, unknown]))


def with_contracts(frame: pl.DataFrame, context: Context, instrument: str = SUBJECT) -> pl.DataFrame:
    """`frame` with contract_type and contract_size of each row's contract; null if the contract is unknown."""
    sizes = context.instruments.select(pl.col("instrument").alias(instrument), "contract_type", "contract_size")
    return frame.join(sizes, on=instrument, how="left", maintain_order="left")


def unlisted(
    venue: str, frame: pl.DataFrame, *, stamp: str | None = None, instrument: str = SUBJECT
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows whose contract is known, and the others as rejects."""
    known = pl.col("contract_type").is_not_null()
    unknown = rejected(
        frame.filter(~known), reason="unknown_instrument", stamp=stamp, instrument=instrument,
        detail=f"in no capture of the contracts of {venue}",
    )  # fmt: skip
    return frame.filter(known), unknown


def open_interest(
    venue: str, frame: pl.DataFrame, *, instrument: str, period: pl.Expr, at: pl.Expr, raw: pl.Expr, unit: pl.Expr,
    base: pl.Expr, usd: pl.Expr,
) -> pl.DataFrame:  # fmt: skip
    """Rows of clean.open_interest; `base` and `usd` are as published, and what is counted on both sides is halved here."""
    counted = counting.sides(counting.FACTS[venue], at)
    share = counting.share(counted)
    return frame.select(
        pl.lit(venue).alias("venue"),
        pl.col(instrument).alias("instrument"),
        period.alias("period"),
        at.alias("event_at"),
        (base * share).alias("oi_base"),
        (usd * share).alias("oi_usd"),
        raw.alias("oi_raw"),
        unit.alias("oi_raw_unit"),
        counting.counting(counted),
        at.alias("available_at"),
        LINE,
    )


NOTHING: Final = pl.lit(None, pl.Float64)


def settlements(
    venue: str, found: Records, context: Context, at: pl.Expr, *, interval_hours: pl.Expr = NOTHING, mark: pl.Expr = NOTHING
) -> Parsed:  # fmt: skip
    """Settled rates of the span as a fraction per interval, positive when longs pay."""
    frame = found.frame.with_columns(settlement(at).alias("settled_at"))
    rows = within(frame, "settled_at", context, answers="history").select(
        pl.lit(venue).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("settled").alias("kind"),
        "settled_at",
        "rate",
        interval_hours.alias("interval_hours"),
        mark.alias("mark_price"),
        pl.col("settled_at").alias("available_at"),
        LINE,
    )
    return Parsed("funding_rates", rows, found.rejects)


def hourly_candles(
    venue: str, found: Records, context: Context, opened_at: pl.Expr, *, base: pl.Expr, quote: pl.Expr
) -> Parsed:
    """Hourly candles of the span in units of the instrument. One received before its close is rejected, since it may change."""
    frame = with_contracts(found.frame, context).with_columns(
        opened_at.alias("opened_at"), (opened_at + HOUR).alias("closed_at")
    )
    known, unknown = unlisted(venue, within(frame, "opened_at", context), stamp="opened_at")
    closed = pl.col("closed_at") <= pl.col("received_at")
    rows = known.filter(closed).select(
        pl.lit(venue).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("perp").alias("market"),
        pl.lit("1h").alias("period"),
        "opened_at",
        *("open", "high", "low", "close"),
        base.alias("volume_base"),
        quote.alias("volume_quote"),
        pl.col("closed_at").alias("available_at"),
        LINE,
    )
    early = rejected(
        known.filter(~closed),
        reason="undecodable",
        detail="the candle was received before its close",
        stamp="opened_at",
    )
    return Parsed("candles", rows, pl.concat([found.rejects, unknown, early]))


PAGE: Final = "page_number"


def numbered(page_records: RecordsOf) -> RecordsOf:
    """The records with the number of their page, by which equal events of a page are told apart."""
    numbers = itertools.count(1)

    def records_of(page: Page) -> Sequence[Record]:
        number = next(numbers)
        return [{**(record if isinstance(record, Mapping) else {}), PAGE: number} for record in page_records(page)]

    return records_of


GetPage = Callable[[int], Awaitable[Page]]
"""Requests the page of a number, counted from 1."""


async def newest_first(get: GetPage, stamps: Stamps, *, start: int) -> AsyncIterator[Page]:
    """Numbered pages, newest first, through the one that reaches `start` or the first empty one.

    Neither a short page nor a stated total is the end. An empty first page is requested twice. Raises SourceFormatError if a page
    repeats the one before: the venue ignores the number.
    """
    before: Sequence[int] = ()
    for number in range(1, MOST_PAGES + 1):
        page = await get(number)
        seen = stamps(page)
        if number == 1 and not seen:
            page = await get(number)
            seen = stamps(page)
            if seen:
                fetch_log.record(
                    "empty_answer", f"{page.where}: no rows at first, {len(seen)} on retry", effect="asked_again"
                )
        if seen and list(seen) == list(before) and len(set(seen)) > 1:
            raise SourceFormatError(f"{page.where}: the page repeats the one before; the venue's paging changed.")
        yield page
        if not seen or min(seen) < start:
            return
        before = seen
    raise SourceFormatError(f"{page.where}: not at the end after {MOST_PAGES} pages.")


def instant(ms: int) -> datetime:
    """Milliseconds since the epoch as naive UTC."""
    return datetime(1970, 1, 1) + timedelta(milliseconds=ms)


def check_kept(
    venue: str, job: Job, pages: Sequence[Page], stamps: Stamps, *, what: str, slack: timedelta = LONGEST_INTERVAL
) -> None:
    """Raise NoLongerAvailableError if the oldest row of `pages`, which hold all that the venue has, is later than the job's start
    by more than `slack`, and the contract was listed before. Without any row nothing was learned."""
    kept = [stamp for page in pages for stamp in stamps(page)]
    listed: datetime | None = job.instrument.get("listed_at")
    begins = job.span.start if listed is None else max(job.span.start, listed)
    if kept and instant(min(kept)) > begins + slack:
        raise NoLongerAvailableError(
            f"{venue}: {pages[-1].where}: {what} of {job.subject} begins at {instant(min(kept)):%Y-%m-%d %H:%M}; what is older "
            "is not kept."
        )


async def kept_history(venue: str, job: Job, get: GetPage, stamps: Stamps, *, what: str) -> AsyncIterator[Page]:
    """The numbered pages of a history without time bounds back to the job's start. Raises NoLongerAvailableError if it begins
    later.

    Pages that are wholly after the span are fetched, being the way to it, and not yielded; at least one page always is.
    """
    pages = [page async for page in newest_first(get, stamps, start=job.span.start_ms)]
    check_kept(venue, job, pages, stamps, what=what)
    needed = [page for page in pages if any(stamp < job.span.end_ms + HOUR_MS for stamp in stamps(page))]
    for page in needed or pages[-1:]:
        yield page
