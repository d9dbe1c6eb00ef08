"""What emulated exchanges of perpetuals answer alike: states of now, and pages of a frame.

How a venue names and writes the fields is in its module in sandbox/venues.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import polars as pl

from pipelines.sandbox.emulator import Request
from pipelines.sandbox.market_model import Listing, MarketModel

MINUTE: Final = timedelta(minutes=1)
MS: Final = timedelta(milliseconds=1)
EVER: Final = datetime(2020, 1, 1)
"""Before it no emulated contract is listed."""


def held_now(market: MarketModel, listing: Listing, now: datetime) -> tuple[float, float]:
    """Open interest of the minute, in units of the instrument and in dollars."""
    at = now.replace(second=0, microsecond=0)
    base, usd = market.open_interest(listing, 1, at, at + MINUTE).select("oi_base", "oi_usd").row(0)
    return base / listing.multiplier, usd


def until_now(request: Request, end: datetime) -> datetime:
    """The exclusive end of what the venue can know."""
    return min(end, request.now + timedelta(microseconds=1))


def settled(market: MarketModel, listing: Listing, request: Request, since: datetime = EVER) -> pl.DataFrame:
    """All settlements since then, newest first, with `ms`."""
    frame = market.funding(listing, max(since, listing.listed_at), until_now(request, request.now + MINUTE))
    return frame.sort("settled_at", descending=True).with_columns(pl.col("settled_at").dt.epoch("ms").alias("ms"))


def finished_candles(
    market: MarketModel, listing: Listing, request: Request, first: datetime, last: datetime
) -> pl.DataFrame:
    """Hourly candles that open between the inclusive bounds and are closed, in units of the instrument, oldest first, with `ms`."""
    hour = timedelta(hours=1)
    end = min(last + MS, request.now - hour + timedelta(microseconds=1))
    frame = market.candles(listing, "perp", 60, first, max(first, end))
    scale = listing.multiplier
    return frame.with_columns(
        *(pl.col(price) * scale for price in ("open", "high", "low", "close")),
        pl.col("volume_base") / scale,
        pl.col("opened_at").dt.epoch("ms").alias("ms"),
    )


def numbered(frame: pl.DataFrame, number: int, size: int) -> pl.DataFrame:
    """The page of a number, counted from 1."""
    return frame.slice((number - 1) * size, size)


def text(value: float) -> str:
    """A number as venues print it: all its digits, without an exponent."""
    return f"{value:.16f}".rstrip("0").rstrip(".") if abs(value) < 1e-4 else f"{value:.15g}"
