"""What an emulated venue talks about: the World protocol, and FormulaWorld, whose every number follows from its stamp.

Everything is canonical here (one-sided, base coin, fractions, naive UTC); how a venue says it is the emulator's business.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

import polars as pl

Market = Literal["spot", "perp", "mark", "index"]
Measure = Literal["account_global", "account_top", "position_top", "taker_volume"]

PRICES: Final[Mapping[str, float]] = {
    "BTC": 60_000.0, "ETH": 3_000.0, "SOL": 150.0, "AVAX": 30.0, "XRP": 0.6, "DOGE": 0.12, "PEPE": 0.00001,
}  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """One instrument of an emulated venue. `contract_size` in `contract_size_unit` (base, quote or usd) as the venue says."""

    venue: str
    instrument: str
    asset: str
    quote: str = "USDT"
    contract_type: Literal["linear", "inverse", "quanto", "spot", "option"] = "linear"
    contract_size: float | None = None
    contract_size_unit: Literal["base", "quote", "usd"] | None = None
    multiplier: float = 1.0
    listed_at: datetime = datetime(2020, 1, 1)
    delisted_at: datetime | None = None
    interval_hours: int = 8


class World(Protocol):
    """What can be asked about a market. Stamps lie in [start, end), aligned to the period; prices and amounts are per unit of
    the asset (not of a scaled instrument). Frames are sorted by time."""

    def candles(self, listing: Listing, market: Market, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        """opened_at, open, high, low, close, volume_base, volume_quote, taker_buy_base, trades."""
        ...

    def open_interest(self, listing: Listing, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        """event_at, oi_base, oi_usd: the state at the instant."""
        ...

    def funding(self, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
        """settled_at, rate (fraction per interval), interval_hours, mark_price."""
        ...

    def ratios(self, listing: Listing, measure: Measure, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        """event_at, ratio (longs over shorts)."""
        ...

    def liquidations(self, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
        """occurred_at, number (unique in the listing), side (of the position), price, quantity_base."""
        ...

    def option_chain(self, underlying: str, at: datetime) -> pl.DataFrame:
        """expiry_date, strike, option_type (call, put), open_interest_base, volume_24h_base, mark_iv (fraction),
        mark_price_base, underlying_price, index_price, delta."""
        ...

    def volatility_index(self, asset: str, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        """opened_at, open, high, low, close (fractions per year)."""
        ...


@dataclass(frozen=True)
class FormulaWorld:
    """Smooth curves, different for every venue and instrument: asked twice, in any slices, it says the same. It has no
    economics; it is there so that a test knows every number a pipeline must find.

    Values are rounded to what venues print, so that wire text gives them back exactly.
    """

    prices: Mapping[str, float] = field(default_factory=lambda: dict(PRICES))
    liquidation_minutes: int = 90

    def candles(self, listing: Listing, market: Market, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        shift = {"perp": 0.0, "spot": -0.0004, "mark": 0.0001, "index": -0.0002}[market]
        frame = self._stamps(start, end, minutes).rename({"at": "opened_at"})
        opened = self._price(listing, pl.col("opened_at"), shift)
        closed = self._price(listing, pl.col("opened_at").dt.offset_by(f"{minutes}m"), shift)
        volume = (50 + 40 * self._wave(listing, pl.col("opened_at"), 7, "volume")).round(3) * minutes
        spread = 1.0005
        return frame.select(
            "opened_at",
            opened.alias("open"),
            self._tick(listing, pl.max_horizontal(opened, closed) * spread).alias("high"),
            self._tick(listing, pl.min_horizontal(opened, closed) / spread).alias("low"),
            closed.alias("close"),
            volume.alias("volume_base"),
            (volume * opened).round(8).alias("volume_quote"),
            (volume / 2).round(4).alias("taker_buy_base"),
            (pl.col("opened_at").dt.epoch("s") // 60 % 977 + 1).cast(pl.Int64).alias("trades"),
        )

    def open_interest(self, listing: Listing, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        base = (20_000 * (1 + 0.2 * self._wave(listing, pl.col("at"), 3, "oi"))).round(2)
        price = self._price(listing, pl.col("at"), 0.0)
        return self._stamps(start, end, minutes).select(
            pl.col("at").alias("event_at"), base.alias("oi_base"), (base * price).round(8).alias("oi_usd")
        )

    def funding(self, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
        rate = (0.0001 + 0.0002 * self._wave(listing, pl.col("at"), 5, "funding")).round(8)
        return self._stamps(start, end, listing.interval_hours * 60).select(
            pl.col("at").alias("settled_at"),
            rate.alias("rate"),
            pl.lit(float(listing.interval_hours)).alias("interval_hours"),
            self._price(listing, pl.col("at"), 0.0001).alias("mark_price"),
        )

    def ratios(self, listing: Listing, measure: Measure, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        ratio = (1.2 + 0.5 * self._wave(listing, pl.col("at"), 4, measure)).round(4)
        return self._stamps(start, end, minutes).select(pl.col("at").alias("event_at"), ratio.alias("ratio"))

    def liquidations(self, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
        """One event every `liquidation_minutes`, a few seconds and milliseconds off the minute, sides in turn."""
        number = pl.col("at").dt.epoch("s") // (60 * self.liquidation_minutes)
        occurred = pl.col("at") + pl.duration(milliseconds=(number * 7919) % 59_000)
        wide = self._stamps(start - timedelta(minutes=self.liquidation_minutes), end, self.liquidation_minutes)
        return wide.select(
            occurred.alias("occurred_at"),
            number.alias("number"),
            pl.when(number % 2 == 0).then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
            self._price(listing, occurred, 0.0).alias("price"),
            (10 * (2 + (number % 17))).cast(pl.Float64).alias("quantity_base"),
        ).filter(pl.col("occurred_at") >= start, pl.col("occurred_at") < end)

    def option_chain(self, underlying: str, at: datetime) -> pl.DataFrame:
        index = self._level(underlying)
        expiries = [at.date() + timedelta(days=days) for days in (1, 8, 36, 92)]
        strikes = [round(index * share, 6) for share in (0.6, 0.8, 0.9, 1.0, 1.1, 1.25, 1.6)]
        grid = (
            pl.DataFrame({"expiry_date": expiries})
            .join(pl.DataFrame({"strike": strikes}), how="cross")
            .join(pl.DataFrame({"option_type": ["call", "put"]}), how="cross")
        )
        years = (pl.col("expiry_date") - pl.lit(at.date())).dt.total_days() / 365
        moneyness = (pl.col("strike") / index).log()
        is_call = pl.col("option_type") == "call"
        depth = moneyness / (0.6 * years.sqrt())
        call_delta = 1 / (1 + (depth * 1.7).exp())
        return grid.with_columns(
            (100 + 10 * (pl.col("strike") / index * 7).floor() + pl.when(is_call).then(3.0).otherwise(0.5))
            .round(1)
            .alias("open_interest_base"),
            (pl.col("strike") / index * 3).round(1).alias("volume_24h_base"),
            (0.6 + 0.2 * moneyness * moneyness - 0.05 * moneyness).round(4).alias("mark_iv"),
            pl.when(is_call).then(call_delta * 0.1).otherwise((1 - call_delta) * 0.1).round(4).alias("mark_price_base"),
            pl.lit(round(index * 1.001, 2)).alias("underlying_price"),
            pl.lit(round(index, 2)).alias("index_price"),
            pl.when(is_call).then(call_delta).otherwise(call_delta - 1).round(5).alias("delta"),
        )

    def volatility_index(self, asset: str, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        seed = Listing("index", asset, asset)
        value = (0.6 + 0.1 * self._wave(seed, pl.col("at"), 6, "iv")).round(4)
        return self._stamps(start, end, minutes).select(
            pl.col("at").alias("opened_at"),
            value.alias("open"),
            (value + 0.01).round(4).alias("high"),
            (value - 0.01).round(4).alias("low"),
            (value + 0.002).round(4).alias("close"),
        )

    def _level(self, asset: str) -> float:
        return self.prices.get(asset, 1.0 + zlib.crc32(asset.encode()) % 1000)

    def _price(self, listing: Listing, at: pl.Expr, shift: float) -> pl.Expr:
        curve = 1 + shift + 0.1 * self._wave(Listing("all", listing.asset, listing.asset), at, 11, "price")
        return self._tick(listing, self._level(listing.asset) * curve)

    def _tick(self, listing: Listing, price: pl.Expr) -> pl.Expr:
        """Six significant digits at the asset's level."""
        return price.round(max(0, 5 - math.floor(math.log10(self._level(listing.asset)))))

    @staticmethod
    def _wave(listing: Listing, at: pl.Expr, days: int, kind: str) -> pl.Expr:
        """Between -1 and 1, with a period of `days` and a faster one inside it."""
        phase = zlib.crc32(f"{listing.venue} {listing.instrument} {kind}".encode()) / 2**32 * 2 * math.pi
        turns = at.dt.epoch("ms") / 86_400_000 * (2 * math.pi / days)
        return 0.8 * (turns + phase).sin() + 0.2 * (turns * 13 + phase).sin()

    @staticmethod
    def _stamps(start: datetime, end: datetime, minutes: int) -> pl.DataFrame:
        step = timedelta(minutes=minutes)
        epoch = datetime(1970, 1, 1)
        first = epoch + -(-(start - epoch) // step) * step
        stamps = pl.datetime_range(first, end, interval=step, closed="left", time_unit="us", eager=True)
        return pl.DataFrame({"at": stamps if first < end else stamps.clear()})
