"""Hourly candles from Binance's archives: USDT-M, COIN-M and spot trades, mark and index prices.

Where the files lie stands in binance_archive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import polars as pl

from pipelines.extract.venue import Context, Page, Parse, Parsed
from pipelines.sources.cex.binance.wire import VENUE_ID, sizes
from pipelines.sources.cex.binance_archive.metrics import ARCHIVE_LAG
from pipelines.sources.cex.binance_archive.wire import Archive, read_archives
from pipelines.sources.records import LINE, SUBJECT, Field

PERIOD: Final = "1h"
"""Fine enough for cascades and for the day's close, and one small file a month."""

# Newer USDT-M files have a header with these names; older ones and spot have none.
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

# Spot files count in microseconds from 2025-01-01. As milliseconds, the number would lie in the year 5138.
MICROSECONDS_FROM: Final = 100_000_000_000_000


@dataclass(frozen=True)
class Candles:
    """One set of candles. `volumes`: base and quote (linear), contracts and base (inverse), or none (prices only)."""

    archive: Archive
    market: Literal["perp", "spot", "mark", "index"]
    volumes: Literal["linear", "inverse", "none"]

    @property
    def parse(self) -> Parse:
        def parse(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
            for records in read_archives(pages, KLINES):
                published = pl.col("opened_at").dt.truncate("1d") + timedelta(days=1) + ARCHIVE_LAG
                rows = candle_rows(records.frame, self, context).with_columns(published.alias("available_at"))
                yield Parsed("candles", rows, records.rejects)

        return parse


def candle_rows(frame: pl.DataFrame, candles: Candles, context: Context) -> pl.DataFrame:
    """Rows of clean.candles from the columns of KLINES, each available at its close."""
    opened = (
        pl.when(pl.col("opened") >= MICROSECONDS_FROM)
        .then(pl.col("opened"))
        .otherwise(pl.col("opened") * 1000)
        .cast(pl.Datetime("us"))
    )
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

    COIN-M counts contracts in `volume` and puts base coin where others have the quote: 501,936 contracts of 100 dollars beside
    1,182.37 bitcoin in the first hour of 2024.
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
