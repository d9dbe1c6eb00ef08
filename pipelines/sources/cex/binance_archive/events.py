"""The lesser archives of Binance: COIN-M liquidations while they were published, and the BVOL volatility index.

Where the files lie stands in binance_archive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from pipelines.extract.venue import Context, Page, Parsed
from pipelines.sources.cex.binance.wire import VENUE_ID, sizes
from pipelines.sources.cex.binance_archive.metrics import ARCHIVE_LAG
from pipelines.sources.cex.binance_archive.wire import FILE, FILE_DAY, read_archives
from pipelines.sources.records import LINE, SUBJECT, Field, from_ms, rejected

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

# The side is that of the order: a forced BUY closed a short. In the samples, BUY fills below its bankruptcy price and SELL
# above, as an order that closes a position does.
POSITION: Final = {"BUY": "short", "SELL": "long"}
TWINS: Final = 2
"""Every row of the archive stands there twice. Twins of one event in truth stand there four times."""


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Forced orders of COIN-M perpetuals: contracts of so many dollars, at the average price they were filled for.

    Both rows of a pair get one id, so that the loader keeps one of them. No symbol is in the file; it is in its name.
    """
    for records in read_archives(pages, LIQUIDATIONS):
        frame = records.frame.join(
            sizes(context.instruments, subject=SUBJECT), on=SUBJECT, how="left", maintain_order="left"
        )
        told = [field.name for field in LIQUIDATIONS]
        number = pl.int_range(pl.len()).over([FILE, *told]) // TWINS
        frame = frame.with_columns(number.alias("number"), from_ms("at_ms").alias("occurred_at"))
        is_known = pl.col("contract_size").is_not_null()
        is_sided = pl.col("order_side").is_in(list(POSITION))
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
            pl.col("order_side").replace_strict(POSITION, return_dtype=pl.String).alias("side"),
            "price",
            (usd / pl.col("price")).alias("quantity_base"),
            usd.alias("notional_usd"),
            # The archive is a recording of the stream, which pushes at most one order per symbol and second (?).
            pl.lit("throttled").alias("completeness"),
            pl.lit(value=False).alias("is_adl"),
            _published(pl.col(FILE_DAY)).alias("available_at"),
            LINE,
        )
        yield Parsed("liquidations", rows, pl.concat([records.rejects, unknown, unsided]))


def parse_volatility_index(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One value a second, in percent, as hourly candles in fractions. The seconds stay in the landing."""
    for records in read_archives(pages, BVOL):
        opened = from_ms("at_ms").dt.truncate("1h")
        # Four decimals of a percent: the rest is how a division by 100 rounds.
        value = (pl.col("percent") / 100).round(8)
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
