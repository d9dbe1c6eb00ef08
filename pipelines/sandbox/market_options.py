"""The option chain of a simulated asset at an instant: which expiries and strikes there are, their open interest, the smile.

Prices are Black's on the forward, in coins, without interest, so that put and call of a strike agree.
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
"""How long before its expiry a chain is listed, and by whose price its strikes are chosen."""
STRIKES_EACH_WAY: Final = 9
OPTIONS_TO_PERPETUALS: Final = 0.6
"""Open interest of all options to that of perpetuals, in coins."""
PUTS_TO_CALLS: Final = 0.65
SKEW: Final = -0.08
CURVATURE: Final = 0.25
CENTRE: Final = 0.08
SPREAD: Final = 0.18
"""Calls are held around 8% above, puts around 8% below the price a chain was listed at, with this standard deviation."""

_erf: Final = np.vectorize(math.erf, otypes=[np.float64])


def expiries(at: datetime) -> list[date]:
    """The next Fridays, and the last Fridays of the months after, that have not settled at `at`."""
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
    """The chain as World.option_chain promises it. `put_tilt` multiplies the open interest of all puts."""
    rows = []
    for rank, expiry in enumerate(expiries(at)):
        settles = datetime.combine(expiry, datetime.min.time()) + SETTLED_AT
        years = (settles - at) / timedelta(days=365)
        centre = price_at(settles - LISTED_BEFORE)
        step = strike_step(centre)
        middle = round(centre / step)
        strikes = np.array([k * step for k in range(max(1, middle - STRIKES_EACH_WAY), middle + STRIKES_EACH_WAY + 1)])
        age = 1 - math.exp(-((at - settles + LISTED_BEFORE) / timedelta(days=1)) / 30)
        rows.append(_expiry(expiry, strikes, centre, price, years, volatility, put_tilt, age / math.sqrt(rank + 1)))
    chain = pl.concat(rows)
    weight = pl.col("weight") / pl.col("weight").filter(pl.col("option_type") == "call").sum()
    oi = (weight * oi_base * OPTIONS_TO_PERPETUALS).round(1)
    return chain.select(
        "expiry_date",
        "strike",
        "option_type",
        oi.alias("open_interest_base"),
        (oi * 0.12).round(1).alias("volume_24h_base"),
        "mark_iv",
        "mark_price_base",
        "underlying_price",
        pl.lit(price).alias("index_price"),
        "delta",
    )


def _expiry(
    expiry: date, strikes: Numbers, centre: float, price: float, years: float, volatility: float, put_tilt: float,
    weight: float,
) -> pl.DataFrame:  # fmt: skip
    forward = price * math.exp(0.05 * years)
    depth = np.log(strikes / forward)
    # Smiles flatten with the square root of time; what is expected far ahead is nearer to the usual.
    level = volatility + (0.6 - volatility) * (1 - math.exp(-years * 4))
    iv = np.round(np.clip(level + (SKEW * depth + CURVATURE * depth**2) / math.sqrt(max(years, 0.04)), 0.15, 3.0), 4)
    sd = iv * math.sqrt(years)
    d1 = -depth / sd + sd / 2
    call_delta, other = _normal(d1), _normal(d1 - sd)
    call = call_delta - strikes / forward * other
    held = np.log(strikes / centre)
    calls_held = weight * np.exp(-(((held - CENTRE) / SPREAD) ** 2) / 2)
    puts_held = weight * PUTS_TO_CALLS * put_tilt * np.exp(-(((held + CENTRE) / SPREAD) ** 2) / 2)
    sides = {
        "call": (call, call_delta, calls_held),
        "put": (call - 1 + strikes / forward, call_delta - 1, puts_held),
    }
    return pl.concat(
        pl.DataFrame(
            {
                "strike": np.round(strikes, 8),
                "mark_price_base": np.maximum(p, 0.0),
                "delta": d,
                "weight": w,
                "mark_iv": iv,
            }
        ).with_columns(
            pl.lit(expiry).alias("expiry_date"),
            pl.lit(kind).alias("option_type"),
            pl.lit(forward).alias("underlying_price"),
        )
        for kind, (p, d, w) in sides.items()
    )


def _normal(x: Numbers) -> Numbers:
    """The standard normal distribution function."""
    share: Numbers = 0.5 * (1 + _erf(x / math.sqrt(2)))
    return share
