"""The option chain of a simulated asset at an instant: expiries, strikes, open interest and the volatility smile.

Prices follow Black's formula on the forward, in coin and without interest, so that put-call parity holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Numbers = npt.NDArray[np.float64]

SETTLED_AT: Final = timedelta(hours=8)
FRIDAY: Final = 4
WEEKS: Final = 3
MONTHS: Final = 3
LISTED_BEFORE: Final = timedelta(days=100)
"""Time from listing to expiry of a chain; its strikes are chosen around the price at listing."""
STRIKES_EACH_WAY: Final = 9
OPTIONS_TO_PERPETUALS: Final = 0.6
"""Ratio of the open interest of calls to that of perpetuals, in coin."""
PUTS_TO_CALLS: Final = 0.65
SKEW: Final = -0.08
CURVATURE: Final = 0.25
CENTER: Final = 0.08
SPREAD: Final = 0.18
"""Open interest of calls is centered 8% above the price at listing, that of puts 8% below, with this standard deviation."""

_erf: Final = np.vectorize(math.erf, otypes=[np.float64])


def expiries(at: datetime) -> list[date]:
    """The next Fridays and the last Fridays of the next months that have not settled at `at`."""
    today = (
        at.date() if at < datetime.combine(at.date(), datetime.min.time()) + SETTLED_AT else at.date() + timedelta(1)
    )
    friday = today + timedelta(days=(FRIDAY - today.weekday()) % 7)
    found = {friday + timedelta(weeks=week) for week in range(WEEKS)}
    month = friday.replace(day=1)
    for _ in range(MONTHS):
        after = (month + timedelta(days=32)).replace(day=1)
        last = after - timedelta(days=1)
        last -= timedelta(days=(last.weekday() - FRIDAY) % 7)
        if last >= today:
            found.add(last)
        month = after
    return sorted(found)


def strike_step(price: float) -> float:
    """About 4% of the price, rounded to 1, 2 or 5 of a decade."""
    raw = price * 0.04
    decade = 10.0 ** math.floor(math.log10(raw))
    return min((1.0, 2.0, 5.0, 10.0), key=lambda many: abs(many * decade - raw)) * decade


def option_chain(
    at: datetime,
    *,
    price: float,
    price_at: Callable[[datetime], float],
    oi_base: float,
    volatility: float,
    put_tilt: float,
) -> pl.DataFrame:
    """The chain as defined by MarketModel.option_chain. `put_tilt` multiplies the open interest of all puts."""
    listed = expiries(at)
    grids, forwards, years, centers, ages = [], [], [], [], []
    for rank, expiry in enumerate(listed):
        settles = datetime.combine(expiry, datetime.min.time()) + SETTLED_AT
        left = (settles - at) / timedelta(days=365)
        center = price_at(settles - LISTED_BEFORE)
        step = strike_step(center)
        middle = round(center / step)
        ladder = np.arange(max(1, middle - STRIKES_EACH_WAY), middle + STRIKES_EACH_WAY + 1)
        grids.append(ladder * step)
        forwards.append(price * math.exp(0.05 * left))
        years.append(left)
        centers.append(center)
        age = 1 - math.exp(-((at - settles + LISTED_BEFORE) / timedelta(days=1)) / 30)
        ages.append(age / math.sqrt(rank + 1))
    lengths = [len(grid) for grid in grids]
    strikes = np.concatenate(grids)
    forward, time_left, center_of, weight = (np.repeat(each, lengths) for each in (forwards, years, centers, ages))
    depth = np.log(strikes / forward)
    # Smiles flatten with the square root of time; long-dated volatility reverts to its mean.
    level = volatility + (0.6 - volatility) * (1 - np.exp(-time_left * 4))
    smile = (SKEW * depth + CURVATURE * depth**2) / np.sqrt(np.maximum(time_left, 0.04))
    iv = np.round(np.clip(level + smile, 0.15, 3.0), 4)
    sd = iv * np.sqrt(time_left)
    d1 = -depth / sd + sd / 2
    call_delta, other = _normal(d1), _normal(d1 - sd)
    call = call_delta - strikes / forward * other
    held = np.log(strikes / center_of)
    calls_held = weight * np.exp(-(((held - CENTER) / SPREAD) ** 2) / 2)
    puts_held = weight * PUTS_TO_CALLS * put_tilt * np.exp(-(((held + CENTER) / SPREAD) ** 2) / 2)
    oi_per_weight = oi_base * OPTIONS_TO_PERPETUALS / calls_held.sum()
    expiry_dates = pl.Series([day for day, length in zip(listed, lengths, strict=True) for _ in range(length)])
    common = pl.DataFrame(
        {"expiry_date": expiry_dates, "strike": np.round(strikes, 8), "mark_iv": iv, "forward": forward}
    )
    sides = {
        "call": (call, call_delta, calls_held),
        "put": (call - 1 + strikes / forward, call_delta - 1, puts_held),
    }
    chain = pl.concat(
        common.with_columns(
            pl.lit(kind).alias("option_type"),
            pl.Series("mark_price_base", np.maximum(value, 0.0)),
            pl.Series("delta", delta),
            pl.Series("oi_base", np.round(held_here * oi_per_weight, 1)),
        )
        for kind, (value, delta, held_here) in sides.items()
    )
    return chain.select(
        "expiry_date",
        "strike",
        "option_type",
        "oi_base",
        (pl.col("oi_base") * 0.12).round(1).alias("volume_24h_base"),
        "mark_iv",
        "mark_price_base",
        pl.col("forward").alias("underlying_price"),
        pl.lit(price).alias("index_price"),
        "delta",
    )


def _normal(x: Numbers) -> Numbers:
    """The standard normal distribution function."""
    share: Numbers = 0.5 * (1 + _erf(x / math.sqrt(2)))
    return share
