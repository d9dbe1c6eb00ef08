"""The data behind emulated venues: the MarketModel protocol, and AnalyticMarket, whose values are functions of time.

All values are canonical (one-sided, base coin, fractions, naive UTC); the emulators convert them to each venue's format.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

Stamps = NDArray[np.int64]
"""Milliseconds since the epoch."""
Numbers = NDArray[np.float64]
MINUTE_MS: Final = 60_000

Market = Literal["spot", "perp", "mark", "index"]
Measure = Literal["account_global", "account_top", "position_top", "taker_volume"]

PRICES: Final[Mapping[str, float]] = {
    "BTC": 60_000.0, "ETH": 3_000.0, "SOL": 150.0, "AVAX": 30.0, "XRP": 0.6, "DOGE": 0.12, "PEPE": 0.00001,
}  # fmt: skip


@dataclass(frozen=True)
class Listing:
    """One instrument of an emulated venue. `contract_size` is in `contract_size_unit` (base, quote or usd)."""

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


class MarketModel(Protocol):
    """Data of a market. Timestamps are in [start, end), aligned to the period; prices and amounts are per unit of the asset (not of
    a scaled instrument). Frames are sorted by time."""

    def candles(self, listing: Listing, market: Market, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        """opened_at, open, high, low, close, volume_base, volume_quote, taker_buy_base, trades."""
        ...

    def open_interest(self, listing: Listing, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        """event_at, oi_base, oi_usd: the state at event_at."""
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
        """expiry_date, strike, option_type (call, put), oi_base, volume_24h_base, mark_iv (fraction),
        mark_price_base, underlying_price, index_price, delta."""
        ...

    def volatility_index(self, asset: str, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        """opened_at, open, high, low, close (fractions per year)."""
        ...


@dataclass(frozen=True)
class AnalyticMarket:
    """Smooth curves that differ by venue and instrument; repeated calls and any slicing give the same data. It has no economics; it
    lets a test compute every expected value.

    Values are rounded to the venues' precision, so that they survive formatting exactly. Built with numpy: emulators request a few
    rows at a time, thousands of times, and a polars expression would cost more than the rows.
    """

    prices: Mapping[str, float] = field(default_factory=lambda: dict(PRICES))
    liquidation_minutes: int = 90

    def candles(self, listing: Listing, market: Market, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        shift = {"perp": 0.0, "spot": -0.0004, "mark": 0.0001, "index": -0.0002}[market]
        at = _stamps(start, end, minutes)
        opened = self._price(listing, at, shift)
        closed = self._price(listing, at + minutes * MINUTE_MS, shift)
        volume = np.round(50 + 40 * _wave(listing, at, 7, "volume"), 3) * minutes
        spread = 1.0005
        return pl.DataFrame(
            {
                "opened_at": _moments(at),
                "open": opened,
                "high": self._tick(listing, np.maximum(opened, closed) * spread),
                "low": self._tick(listing, np.minimum(opened, closed) / spread),
                "close": closed,
                "volume_base": volume,
                "volume_quote": np.round(volume * opened, 8),
                "taker_buy_base": np.round(volume / 2, 4),
                "trades": at // MINUTE_MS % 977 + 1,
            }
        )

    def open_interest(self, listing: Listing, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        at = _stamps(start, end, minutes)
        base = np.round(20_000 * (1 + 0.2 * _wave(listing, at, 3, "oi")), 2)
        usd = np.round(base * self._price(listing, at, 0.0), 8)
        return pl.DataFrame({"event_at": _moments(at), "oi_base": base, "oi_usd": usd})

    def funding(self, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
        at = _stamps(start, end, listing.interval_hours * 60)
        return pl.DataFrame(
            {
                "settled_at": _moments(at),
                "rate": np.round(0.0001 + 0.0002 * _wave(listing, at, 5, "funding"), 8),
                "interval_hours": np.full(at.size, float(listing.interval_hours)),
                "mark_price": self._price(listing, at, 0.0001),
            }
        )

    def ratios(self, listing: Listing, measure: Measure, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        at = _stamps(start, end, minutes)
        return pl.DataFrame(
            {"event_at": _moments(at), "ratio": np.round(1.2 + 0.5 * _wave(listing, at, 4, measure), 4)}
        )

    def liquidations(self, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
        """One event every `liquidation_minutes`, offset from the minute by seconds and milliseconds, with alternating sides."""
        step = self.liquidation_minutes
        planned = _stamps(start - timedelta(minutes=step), end, step)
        number = planned // (step * MINUTE_MS)
        at = planned + number * 7919 % 59_000
        inside = (at * 1000 >= _microseconds(start)) & (at * 1000 < _microseconds(end))
        at, number = at[inside], number[inside]
        return pl.DataFrame(
            {
                "occurred_at": _moments(at),
                "number": number,
                "side": pl.Series(["short" if odd else "long" for odd in (number % 2).tolist()], dtype=pl.String),
                "price": self._price(listing, at, 0.0),
                "quantity_base": 10.0 * (2 + number % 17),
            }
        )

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
            .alias("oi_base"),
            (pl.col("strike") / index * 3).round(1).alias("volume_24h_base"),
            (0.6 + 0.2 * moneyness * moneyness - 0.05 * moneyness).round(4).alias("mark_iv"),
            pl.when(is_call).then(call_delta * 0.1).otherwise((1 - call_delta) * 0.1).round(4).alias("mark_price_base"),
            pl.lit(round(index * 1.001, 2)).alias("underlying_price"),
            pl.lit(round(index, 2)).alias("index_price"),
            pl.when(is_call).then(call_delta).otherwise(call_delta - 1).round(5).alias("delta"),
        )

    def volatility_index(self, asset: str, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        at = _stamps(start, end, minutes)
        value = np.round(0.6 + 0.1 * _wave(Listing("index", asset, asset), at, 6, "iv"), 4)
        moved = {"open": 0.0, "high": 0.01, "low": -0.01, "close": 0.002}
        return pl.DataFrame({"opened_at": _moments(at)} | {name: np.round(value + by, 4) for name, by in moved.items()})

    def _level(self, asset: str) -> float:
        return self.prices.get(asset, 1.0 + zlib.crc32(asset.encode()) % 1000)

    def _price(self, listing: Listing, at: Stamps, shift: float) -> Numbers:
        curve = 1 + shift + 0.1 * _wave(Listing("all", listing.asset, listing.asset), at, 11, "price")
        return self._tick(listing, self._level(listing.asset) * curve)

    def _tick(self, listing: Listing, price: Numbers) -> Numbers:
        """Rounded to six significant digits at the asset's price level."""
        return np.round(price, max(0, 5 - math.floor(math.log10(self._level(listing.asset)))))


def _wave(listing: Listing, at: Stamps, days: int, kind: str) -> Numbers:
    """A wave in [-1, 1] with a period of `days` and a faster component."""
    phase = zlib.crc32(f"{listing.venue} {listing.instrument} {kind}".encode()) / 2**32 * 2 * math.pi
    turns = at / 86_400_000 * (2 * math.pi / days)
    return 0.8 * np.sin(turns + phase) + 0.2 * np.sin(turns * 13 + phase)


def _stamps(start: datetime, end: datetime, minutes: int) -> Stamps:
    """Multiples of the period in [start, end), in milliseconds."""
    step = minutes * MINUTE_MS
    first, last = (-(-_microseconds(moment) // (step * 1000)) * step for moment in (start, end))
    return np.arange(first, last, step, dtype=np.int64)


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def _moments(at: Stamps) -> pl.Series:
    return pl.Series(at * 1000).cast(pl.Datetime("us"))
