"""History in Binance's archive files: 5-minute metrics, settled funding, hourly candles, COIN-M liquidations and the BVOL index.

Paths, checksums and CSV parsing are in wire.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

import polars as pl

from pipelines.extract.venue import Api, Context, Job, Page, Parse, Parsed
from pipelines.sources import counting
from pipelines.sources.account import leave_out
from pipelines.sources.cex.binance.wire import VENUE_ID, sizes
from pipelines.sources.cex.binance_archive.wire import (
    FILE,
    FILE_DAY,
    MICROSECONDS_FROM,
    Archive,
    file_day,
    read_archives,
)
from pipelines.sources.records import LINE, SUBJECT, Field, from_ms, kept, rejected

# Open interest and four long/short ratios in one file. Cells may be empty: COIN-M files have quoted empty strings in three of
# the ratios.
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

METRICS_PERIOD: Final = timedelta(minutes=5)

LAST_END_LABELED: Final = date(2026, 6, 25)
"""Last day whose USDT-M file is labeled with period ends (00:05 … 00:00 of the next day); later files are labeled with period
starts (00:00 … 23:55). Observed in USDT-M archives; COIN-M files always had period starts."""

# The switch date comes from one audit of a few symbols, so around it the labels are inferred from each file's midnight row.
_INFER_LABELS_FROM: Final = LAST_END_LABELED - timedelta(days=3)

ARCHIVE_LAG: Final = timedelta(hours=24)
"""A day's file is published 1 to 2 days after the day's end."""

Market = Literal["um", "cm"]


def parse_um_metrics(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """USDT-M: open interest in base coin, value in the quote currency."""
    yield from _parse_metrics(pages, context, "um")


def parse_cm_metrics(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """COIN-M: open interest in contracts, value in base coin."""
    yield from _parse_metrics(pages, context, "cm")


def _parse_metrics(pages: Sequence[Page], context: Context, market: Market) -> Iterator[Parsed]:
    for records in read_archives(pages, METRICS):
        label = pl.col("labeled").str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
        frame, untimed = _partition(records.frame.with_columns(label.alias("label")), pl.col("label").is_null())
        frame = _timed(frame, market)
        # On 2022-03-07 16:00, 2024-07-13 and 2025-04-15 08:00 (and others, ?) every column of every symbol is zero: a gap in
        # recording, not market data.
        zeros = pl.all_horizontal(pl.col(c).fill_null(0.0) == 0 for c in ("amount", "value", *MEASURES))
        frame, sentinels = _partition(frame, zeros)
        rejects = pl.concat(
            [
                records.rejects,
                _rejects_of_day(untimed, "unparsable", pl.format("create_time is {}", "labeled"), field="create_time"),
                _rejects_of_day(sentinels, "sentinel", "zero in every column"),
            ]
        )
        yield _open_interest(frame, context, market, rejects)
        yield Parsed("long_short_ratios", _ratios(frame), rejects)


def _timed(frame: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Adds `event_at`, the end of a record's period, which is the instant of its states, and `available_at`."""
    return frame.with_columns(
        pl.when(_is_start_labeled(frame, market))
        .then(pl.col("label") + METRICS_PERIOD)
        .otherwise(pl.col("label"))
        .alias("event_at"),
        (pl.col(FILE_DAY).cast(pl.Datetime("us")) + timedelta(days=1) + ARCHIVE_LAG).alias("available_at"),
    )


def _is_start_labeled(frame: pl.DataFrame, market: Market) -> pl.Expr | pl.Series:
    """Whether labels are period starts, per record."""
    if market == "cm":
        return pl.lit(value=True)
    newest = frame[FILE_DAY].max()
    if not isinstance(newest, date) or newest < _INFER_LABELS_FROM:
        return pl.lit(value=False)
    day = pl.col("label").dt.date()
    midnights = (
        frame.filter(pl.col(FILE_DAY) >= _INFER_LABELS_FROM, pl.col("label").dt.time() == pl.time(0, 0))
        .group_by(FILE)
        .agg((day == pl.col(FILE_DAY)).any().alias("has_first"), (day > pl.col(FILE_DAY)).any().alias("has_last"))
    )
    by_date = pl.col(FILE_DAY) > LAST_END_LABELED
    labeled = frame.select(FILE, FILE_DAY).join(midnights, on=FILE, how="left", maintain_order="left")
    # A file with both midnights or neither is inconclusive; the date decides.
    is_conclusive = pl.col("has_first") != pl.col("has_last")
    return labeled.select(pl.when(is_conclusive).then(pl.col("has_first")).otherwise(by_date).alias("starts"))["starts"]


def _open_interest(frame: pl.DataFrame, context: Context, market: Market, record_rejects: pl.DataFrame) -> Parsed:
    frame, empty = _partition(frame, pl.col("amount").is_null())
    frame, sentinels = counting.without_sentinels(frame, ("amount", "value"), MEASURES, stamp=FILE_DAY)
    rejects = [
        record_rejects,
        sentinels,
        _rejects_of_day(empty, "unparsable", "sum_open_interest is empty", field="sum_open_interest"),
    ]
    if market == "cm":
        frame = frame.join(sizes(context.instruments, subject=SUBJECT), on=SUBJECT, how="left", maintain_order="left")
        frame, unknown = _partition(frame, pl.col("contract_size").is_null())
        rejects.append(_rejects_of_day(unknown, "unknown_instrument", "in no listing of Binance's archive"))
        base, usd, unit = pl.col("value"), pl.col("amount") * pl.col("contract_size"), "contracts"
    else:
        # For pairs quoted in bitcoin (ETHBTC) the value is not in dollars.
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
    """One row per measure; a missing ratio gives no row."""
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


def _partition(frame: pl.DataFrame, condition: pl.Expr) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that fail the condition and rows that meet it. Returns the frame unchanged in the usual case that none meets it."""
    meets = frame.select(condition.alias("meets"))["meets"]
    return (frame.filter(~meets), frame.filter(meets)) if meets.any() else (frame, frame.clear())


def _rejects_of_day(
    frame: pl.DataFrame, reason: str, detail: pl.Expr | str, *, field: str | None = None
) -> pl.DataFrame:
    """Rejects dated by their file's day, since a record's own time may be the faulty cell."""
    return rejected(frame, reason=reason, detail=detail, field=field).with_columns(frame[FILE_DAY].alias("trade_date"))


UM_FUNDING: Final = Archive("futures/um", "fundingRate", "monthly")
CM_FUNDING: Final = Archive("futures/cm", "fundingRate", "monthly")

# The columns of fundingRate files, which always have a header (?).
FUNDING: Final = (
    Field("calc_time", "at_ms", int),
    Field("funding_interval_hours", "interval_hours", float, optional=True),
    Field("last_funding_rate", "rate", float),
)


async def fetch_funding(api: Api, job: Job) -> AsyncIterator[Page]:
    """The month's file, from USDT-M or COIN-M."""
    archive = CM_FUNDING if job.instrument["contract_type"] == "inverse" else UM_FUNDING
    async for page in archive.fetch(api, job):
        yield page


def parse_funding(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Settled rates as a fraction per interval; the file states the interval.

    `available_at` is the settlement time: Binance publishes the rate live and its API keeps it indefinitely. The file, published
    the next month, only repeats it.
    """
    for records in read_archives(pages, FUNDING):
        settled = from_ms("at_ms").dt.round("1m")
        rows = records.frame.select(
            pl.lit(VENUE_ID).alias("venue"),
            pl.col(SUBJECT).alias("instrument"),
            pl.lit("settled").alias("kind"),
            settled.alias("settled_at"),
            "rate",
            "interval_hours",
            settled.alias("available_at"),
            LINE,
        )
        yield Parsed("funding_rates", rows, records.rejects)


PERIOD: Final = "1h"
"""Fine enough for cascades and the daily close, with one small file per month."""

# Newer USDT-M files have a header with these names; older files and spot files have none.
KLINES: Final = (
    Field("open_time", "opened", int),
    Field("open", "open", float),
    Field("high", "high", float),
    Field("low", "low", float),
    Field("close", "close", float),
    Field("volume", "volume", float),
    Field("close_time", "closed", int, optional=True),
    Field("quote_volume", "other_volume", float, optional=True),
    Field("count", "trades", int, optional=True),
    Field("taker_buy_volume", "taker_buy", float, optional=True),
    Field("taker_buy_quote_volume", "taker_buy_other", float, optional=True),
    Field("ignore", "ignore", str, optional=True),
)


@dataclass(frozen=True)
class Candles:
    """One set of candle files. `volumes`: base and quote (linear), contracts and base (inverse), or none (prices only)."""

    archive: Archive
    market: Literal["perp", "spot", "mark", "index"]
    volumes: Literal["linear", "inverse", "none"]

    @property
    def parse(self) -> Parse:
        def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
            days = _days_of_their_own(pages)
            for records in read_archives(pages, KLINES):
                published = pl.col("opened_at").dt.truncate("1d") + timedelta(days=1) + ARCHIVE_LAG
                frame = _without_days(records.frame, days) if days.height else records.frame
                rows = candle_rows(frame, self, context).with_columns(published.alias("available_at"))
                yield Parsed("candles", rows, records.rejects)

        return parse


def _days_of_their_own(pages: Sequence[Page]) -> pl.DataFrame:
    """Subjects and days with a daily file, which was fetched because the monthly file of the subject lacks some of the day."""
    days = [{SUBJECT: page.subject, "day": day} for page in pages if (day := file_day(page)) is not None]
    return pl.DataFrame(days, schema={SUBJECT: pl.String(), "day": pl.Date()})


def _without_days(frame: pl.DataFrame, days: pl.DataFrame) -> pl.DataFrame:
    """Records without those of a monthly file on days that have a daily file."""
    monthly = frame.with_columns(_opened().dt.date().alias("day"), pl.col(FILE_DAY).is_null().alias("is_monthly"))
    repeated = days.with_columns(pl.lit(value=True).alias("is_monthly"), pl.lit(value=True).alias("is_repeated"))
    marked = monthly.join(repeated, on=[SUBJECT, "day", "is_monthly"], how="left", maintain_order="left")
    return kept(marked, pl.col("is_repeated").is_null(), "counted_before").select(frame.columns)


def _opened() -> pl.Expr:
    stamp = pl.col("opened")
    return pl.when(stamp >= MICROSECONDS_FROM).then(stamp).otherwise(stamp * 1000).cast(pl.Datetime("us"))


def candle_rows(frame: pl.DataFrame, candles: Candles, context: Context) -> pl.DataFrame:
    """Rows of clean.candles from the columns of KLINES; each candle is available at its close."""
    opened = _opened()
    if candles.volumes == "inverse":
        frame = frame.join(sizes(context.instruments, subject=SUBJECT), on=SUBJECT, how="left", maintain_order="left")
    volume_base, volume_quote, taker_buy = _volumes(candles.volumes)
    return frame.select(
        pl.lit(VENUE_ID).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit(candles.market).alias("market"),
        pl.lit(PERIOD).alias("period"),
        opened.alias("opened_at"),
        "open",
        "high",
        "low",
        "close",
        volume_base.alias("volume_base"),
        volume_quote.alias("volume_quote"),
        taker_buy.alias("taker_buy_base"),
        (pl.col("trades") if candles.volumes != "none" else pl.lit(None, pl.Int64)).alias("trades"),
        (opened + timedelta(hours=1)).alias("available_at"),
        LINE,
    )


def _volumes(kind: str) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """volume_base, volume_quote and taker_buy_base.

    COIN-M has contracts in `volume` and base coin in the quote volume column: 501,936 contracts of 100 dollars and 1,182.37
    bitcoin in the first hour of 2024.
    """
    if kind == "linear":
        return pl.col("volume"), pl.col("other_volume"), pl.col("taker_buy")
    if kind == "inverse":
        return pl.col("other_volume"), pl.col("volume") * pl.col("contract_size"), pl.col("taker_buy_other")
    nothing = pl.lit(None, pl.Float64)
    return nothing, nothing, nothing


USDT_M: Final = Candles(Archive("futures/um", "klines", "both", PERIOD), "perp", "linear")
COIN_M: Final = Candles(Archive("futures/cm", "klines", "both", PERIOD), "perp", "inverse")
SPOT: Final = Candles(Archive("spot", "klines", "both", PERIOD), "spot", "linear")
MARK: Final = Candles(Archive("futures/um", "markPriceKlines", "both", PERIOD), "mark", "none")
INDEX: Final = Candles(Archive("futures/um", "indexPriceKlines", "both", PERIOD), "index", "none")
COIN_M_MARK: Final = Candles(Archive("futures/cm", "markPriceKlines", "both", PERIOD), "mark", "none")


LIQUIDATIONS: Final = (
    Field("time", "at_ms", int),
    Field("side", "order_side", str),
    Field("order_type", "order_type", str, optional=True),
    Field("time_in_force", "time_in_force", str, optional=True),
    Field("original_quantity", "ordered", float),
    Field("price", "bankruptcy_price", float),
    Field("average_price", "price", float),
    Field("order_status", "order_status", str, optional=True),
    Field("last_fill_quantity", "last_fill", float, optional=True),
    Field("accumulated_fill_quantity", "filled", float),
)

BVOL: Final = (
    Field("calc_time", "at_ms", int),
    Field("symbol", "symbol", str, optional=True),
    Field("base_asset", "base_asset", str, optional=True),
    Field("quote_asset", "quote_asset", str, optional=True),
    Field("index_value", "percent", float),
)

# `side` is the order's side: a forced BUY closed a short. In the samples BUY fills below its bankruptcy price and SELL above,
# as expected of orders that close a position.
POSITION_SIDES: Final = {"BUY": "short", "SELL": "long"}
COPIES: Final = 2
"""The archive contains every row twice, so two identical events appear as four rows."""


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Forced orders of COIN-M perpetuals, in contracts of fixed dollar size, at their average fill price.

    Both copies of a row get the same id, so that the loader keeps one. The symbol is in the file name only.
    """
    for records in read_archives(pages, LIQUIDATIONS):
        frame = records.frame.join(
            sizes(context.instruments, subject=SUBJECT), on=SUBJECT, how="left", maintain_order="left"
        )
        columns = [field.name for field in LIQUIDATIONS]
        number = pl.int_range(pl.len()).over([FILE, *columns]) // COPIES
        frame = frame.with_columns(number.alias("number"), from_ms("at_ms").alias("occurred_at"))
        is_known = pl.col("contract_size").is_not_null()
        is_sided = pl.col("order_side").is_in(list(POSITION_SIDES))
        unknown = rejected(
            frame.filter(~is_known),
            reason="unknown_instrument",
            detail="in no listing of Binance's archive",
            stamp="occurred_at",
        )
        unsided = rejected(
            frame.filter(is_known & ~is_sided), reason="unparsable", detail=pl.format("side is {}", "order_side"),
            field="side", stamp="occurred_at",
        )  # fmt: skip
        usd = pl.col("filled") * pl.col("contract_size")
        identity = pl.format(
            "{}-{}-{}-{}-{}-{}-{}", SUBJECT, "at_ms", "order_side", "ordered", "price",
            pl.format("{}/{}", pl.col("filled"), pl.col("last_fill").fill_null(0.0)), "number",
        )  # fmt: skip
        rows = frame.filter(is_known & is_sided).select(
            pl.lit(VENUE_ID).alias("venue"),
            identity.alias("liquidation_id"),
            pl.lit("cex").alias("venue_kind"),
            pl.col(SUBJECT).alias("instrument"),
            "occurred_at",
            pl.col("order_side").replace_strict(POSITION_SIDES, return_dtype=pl.String).alias("side"),
            "price",
            (usd / pl.col("price")).alias("quantity_base"),
            usd.alias("notional_usd"),
            # The archive records the websocket stream, which pushes at most one order per symbol and second (?).
            pl.lit("throttled").alias("completeness"),
            pl.lit(value=False).alias("is_adl"),
            _published(pl.col(FILE_DAY)).alias("available_at"),
            LINE,
        )
        yield Parsed("liquidations", rows, pl.concat([records.rejects, unknown, unsided]))


def parse_volatility_index(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One value per second in percent, aggregated to hourly candles in fractions. The per-second values stay in the landing."""
    for records in read_archives(pages, BVOL):
        opened = from_ms("at_ms").dt.truncate("1h")
        # Values have four decimals in percent; rounding removes the error of dividing by 100.
        value = (pl.col("percent") / 100).round(8)
        leave_out(records.frame, "part_of_row")
        rows = (
            records.frame.sort(SUBJECT, "at_ms", maintain_order=True)
            .group_by(pl.col(SUBJECT), opened.alias("opened_at"), FILE, maintain_order=True)
            .agg(
                value.first().alias("open"),
                value.max().alias("high"),
                value.min().alias("low"),
                value.last().alias("close"),
                _published(pl.col(FILE_DAY).first()).alias("available_at"),
                pl.col(LINE).first(),
            )
            .select(
                pl.lit(VENUE_ID).alias("venue"),
                pl.format("BVOL-{}", pl.col(SUBJECT).str.replace("BVOLUSDT$", "")).alias("index_name"),
                pl.lit("1h").alias("period"),
                "opened_at",
                "open",
                "high",
                "low",
                "close",
                "available_at",
                LINE,
            )
        )
        yield Parsed("volatility_index", rows, records.rejects)


def _published(day: pl.Expr) -> pl.Expr:
    return day.cast(pl.Datetime("us")) + timedelta(days=1) + ARCHIVE_LAG
