"""Binance's five-minute metrics from the archives: open interest and four long/short ratios in one file.

Where the files lie stands in binance_archive. The traps of this series (labels, sentinels, units) are dealt with here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final, Literal

import polars as pl

from pipelines.extract.venue import Context, Page, Parsed
from pipelines.sources.cex.binance.wire import VENUE_ID, sizes
from pipelines.sources.cex.binance_archive.wire import FILE, FILE_DAY, read_archives
from pipelines.sources.records import LINE, SUBJECT, Field, rejected

# Cells may be empty: COIN-M files have quoted empty texts in three of the ratios.
METRICS: Final = (
    Field("create_time", "labeled", str),
    Field("symbol", "symbol", str, optional=True),
    Field("sum_open_interest", "amount", float, optional=True),
    Field("sum_open_interest_value", "value", float, optional=True),
    Field("count_toptrader_long_short_ratio", "account_top", float, optional=True),
    Field("sum_toptrader_long_short_ratio", "position_top", float, optional=True),
    Field("count_long_short_ratio", "account_global", float, optional=True),
    Field("sum_taker_long_short_vol_ratio", "taker_volume", float, optional=True),
)
MEASURES: Final = ("account_global", "account_top", "position_top", "taker_volume")

PERIOD: Final = timedelta(minutes=5)

LAST_END_LABELED: Final = date(2026, 6, 25)
"""The file of this day is the last whose labels are the ends of periods (00:05 … 00:00 of the next day); files after it have
the starts (00:00 … 23:55). Observed in USDT-M archives; COIN-M files always had the starts."""

# The day is known from one audit of a few symbols. From a little before it, a file's own midnight says what its labels are.
_ASK_THE_FILE_FROM: Final = LAST_END_LABELED - timedelta(days=3)

ARCHIVE_LAG: Final = timedelta(hours=24)
"""A day's file comes 1 to 2 days after the day's end."""

Market = Literal["um", "cm"]


def parse_um_metrics(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """USDT-M: open interest in base coin, its value in the quote currency."""
    yield from _parse(pages, context, "um")


def parse_cm_metrics(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """COIN-M: open interest in contracts, its value in the base coin."""
    yield from _parse(pages, context, "cm")


def _parse(pages: Sequence[Page], context: Context, market: Market) -> Iterator[Parsed]:
    for records in read_archives(pages, METRICS):
        label = pl.col("labeled").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
        frame, untimed = _split(records.frame.with_columns(label.alias("label")), pl.col("label").is_null())
        frame = _placed(frame, market)
        # 2022-03-07 16:00, 2024-07-13 and 2025-04-15 08:00 (and others, ?) are zeros in every column and on every symbol: no
        # state of a market, but a gap of the recorder.
        zeros = pl.all_horizontal(pl.col(c).fill_null(0.0) == 0 for c in ("amount", "value", *MEASURES))
        frame, sentinels = _split(frame, zeros)
        refused = pl.concat(
            [
                records.rejects,
                _rejects(untimed, "unparsable", pl.format("create_time is {}", "labeled"), field="create_time"),
                _rejects(sentinels, "sentinel", "zero in every column"),
            ]
        )
        yield _open_interest(frame, context, market, refused)
        yield Parsed("long_short_ratios", _ratios(frame), refused)


def _placed(frame: pl.DataFrame, market: Market) -> pl.DataFrame:
    """`event_at` is the end of the period a record is about, which is the instant of its states."""
    return frame.with_columns(
        pl.when(_is_start_labeled(frame, market))
        .then(pl.col("label") + PERIOD)
        .otherwise(pl.col("label"))
        .alias("event_at"),
        (pl.col(FILE_DAY).cast(pl.Datetime("us")) + timedelta(days=1) + ARCHIVE_LAG).alias("available_at"),
    )


def _is_start_labeled(frame: pl.DataFrame, market: Market) -> pl.Expr | pl.Series:
    """Whether the labels are the starts of periods, by record."""
    if market == "cm":
        return pl.lit(value=True)
    newest = frame[FILE_DAY].max()
    if not isinstance(newest, date) or newest < _ASK_THE_FILE_FROM:
        return pl.lit(value=False)
    day = pl.col("label").dt.date()
    told = (
        frame.filter(pl.col(FILE_DAY) >= _ASK_THE_FILE_FROM, pl.col("label").dt.time() == pl.time(0, 0))
        .group_by(FILE)
        .agg((day == pl.col(FILE_DAY)).any().alias("has_first"), (day > pl.col(FILE_DAY)).any().alias("has_last"))
    )
    by_date = pl.col(FILE_DAY) > LAST_END_LABELED
    judged = frame.select(FILE, FILE_DAY).join(told, on=FILE, how="left", maintain_order="left")
    # A file with both midnights, or with neither, says nothing.
    says = pl.col("has_first") != pl.col("has_last")
    return judged.select(pl.when(says).then(pl.col("has_first")).otherwise(by_date).alias("starts"))["starts"]


def _open_interest(frame: pl.DataFrame, context: Context, market: Market, refused: pl.DataFrame) -> Parsed:
    frame, empty = _split(frame, pl.col("amount").is_null())
    rejects = [refused, _rejects(empty, "unparsable", "sum_open_interest is empty", field="sum_open_interest")]
    if market == "cm":
        frame = frame.join(sizes(context.instruments, subject=SUBJECT), on=SUBJECT, how="left", maintain_order="left")
        frame, unknown = _split(frame, pl.col("contract_size").is_null())
        rejects.append(_rejects(unknown, "unknown_instrument", "in no listing of Binance's archive"))
        base, usd, unit = pl.col("value"), pl.col("amount") * pl.col("contract_size"), "contracts"
    else:
        # Quoted in bitcoin (ETHBTC), the value is not in dollars.
        in_dollars = ~pl.col(SUBJECT).str.ends_with("BTC")
        base, usd, unit = pl.col("amount"), pl.when(in_dollars).then(pl.col("value")), "base"
    rows = frame.select(
        pl.lit(VENUE_ID).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit("5m").alias("period"),
        "event_at",
        base.alias("oi_base"),
        usd.alias("oi_usd"),
        pl.col("amount").alias("oi_raw"),
        pl.lit(unit).alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        "available_at",
        LINE,
    )
    return Parsed("open_interest", rows, pl.concat(rejects))


def _ratios(frame: pl.DataFrame) -> pl.DataFrame:
    """One row per measure. A ratio that is not stated gives none."""
    return pl.concat(
        frame.filter(pl.col(measure).is_not_null()).select(
            pl.lit(VENUE_ID).alias("venue"),
            pl.col(SUBJECT).alias("instrument"),
            pl.lit(measure).alias("measure"),
            pl.lit("5m").alias("period"),
            "event_at",
            pl.col(measure).alias("ratio"),
            (pl.col(measure) / (1 + pl.col(measure))).alias("long_share"),
            "available_at",
            LINE,
        )
        for measure in MEASURES
    )


def _split(frame: pl.DataFrame, condition: pl.Expr) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that do not meet the condition, and those that do; the frame itself where none does, which is the rule."""
    meets = frame.select(condition.alias("meets"))["meets"]
    return (frame.filter(~meets), frame.filter(meets)) if meets.any() else (frame, frame.clear())


def _rejects(frame: pl.DataFrame, reason: str, detail: pl.Expr | str, *, field: str | None = None) -> pl.DataFrame:
    """A record is turned away on the day of its file: its own time may be what is wrong with it."""
    return rejected(frame, reason=reason, detail=detail, field=field).with_columns(frame[FILE_DAY].alias("trade_date"))
