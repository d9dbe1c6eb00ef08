"""The paths of one simulated asset on a 5-minute grid: price, premium, positions by leverage, forced closes.

Everything is determined by a seed and the planted episodes. market.py turns the paths into frames.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.sandbox.market_episodes import Episode

Path = npt.NDArray[np.float64]
Steps = npt.NDArray[np.int64]

STEP: Final = timedelta(minutes=5)
DAY: Final = 288
"""Steps per day."""
OPENED_EVERY: Final = 24
"""Steps between two cohorts of positions: two hours."""
LAST_PART: Final = 0.2
"""Fraction of a cohort that is never closed by force: holders that remain after four of five have left add margin instead. If they
were liquidated, half of all liquidations would be close to zero, the mean would be ten times the median, and cascades would be
found on 14% of all days; without them it is 4% (bitcoin 2.7%, ether 3.2%). Recorded data has 3.4% for bitcoin and 3.3% for ether
(Binance, day totals, 2022 and 2023)."""


@dataclass(frozen=True)
class Tier:
    """Positions of one leverage. They are closed voluntarily at a rate of 1/`days_held`, and by force when the margin falls to
    `maintenance` (fraction of notional). `share` is their share of leveraged positions, `account_usd` a typical account size."""

    leverage: float
    maintenance: float
    days_held: float
    share: float
    account_usd: float

    @property
    def distance(self) -> float:
        """The adverse price move that an isolated position survives: 1/leverage minus the maintenance margin."""
        return 1 / self.leverage - self.maintenance

    @property
    def decay_factor(self) -> float:
        """The fraction still open after one step."""
        return float(np.exp(-1 / (DAY * self.days_held)))


TIERS: Final = (
    Tier(3, 0.03, 14.0, 0.33, 50_000),
    Tier(5, 0.02, 7.0, 0.32, 20_000),
    Tier(10, 0.01, 3.0, 0.28, 8_000),
    Tier(25, 0.006, 1.0, 0.06, 3_000),
    Tier(50, 0.005, 0.25, 0.01, 2_000),
)
HEDGER_ACCOUNT_USD: Final = 5_000_000.0


@dataclass(frozen=True)
class Character:
    """Initial price and open interest of an asset, and `daily_sd`, its volatility in the calm regime."""

    price: float
    oi_usd: float
    daily_sd: float


CHARACTERS: Final = {
    "BTC": Character(60_000, 20e9, 0.020), "ETH": Character(3_000, 10e9, 0.026), "SOL": Character(150, 3e9, 0.034),
    "XRP": Character(0.6, 2e9, 0.032), "DOGE": Character(0.12, 1.2e9, 0.038), "AVAX": Character(30, 0.5e9, 0.036),
}  # fmt: skip
ANY: Final = Character(10, 0.4e9, 0.04)


@dataclass(frozen=True)
class Forced:
    """Cohorts closed by force: the step in which the price reached `price`, and the quantity still open, in coin."""

    step: Steps
    is_long: npt.NDArray[np.bool_]
    price: Path
    quantity: Path


@dataclass(frozen=True)
class Paths:
    """One asset. Every path has one value per step, at the step's end. Index prices are in dollars, amounts in coin.

    `longs` and `shorts` are leveraged positions by tier; `long_hedgers` and `short_hedgers` are their unleveraged counterparties.
    """

    price: Path
    high: Path
    low: Path
    premium: Path
    volatility: Path
    put_tilt: Path
    longs: Path
    shorts: Path
    long_hedgers: Path
    short_hedgers: Path
    forced: Forced
    volume: Path
    taker_tilt: Path

    @property
    def oi(self) -> Path:
        total: Path = self.longs.sum(axis=0) + self.long_hedgers
        return total


def simulate(asset: str, start: datetime, days: int, *, seed: int, episodes: Sequence[Episode] = ()) -> Paths:
    """The paths of `asset` over `days` days from `start`. The market-wide factor is the same for every asset of a seed."""
    planted = [e for e in episodes if e.asset == asset]
    character = CHARACTERS.get(asset, ANY)
    steps = days * DAY
    market = np.random.default_rng([seed, 0])
    asset_random = np.random.default_rng([seed, zlib.crc32(asset.encode())])
    calm = _regimes(market, days)
    sd = character.daily_sd / np.sqrt(DAY) * calm
    returns = sd * (0.75 * _shocks(market, steps) + 0.66 * _shocks(asset_random, steps))
    returns += np.where(
        asset_random.random(steps) < 1 / (20 * DAY), asset_random.normal(0, 1.5 * character.daily_sd, steps), 0.0
    )
    for episode in planted:
        _shape_returns(returns, episode, start)
    price = character.price * np.exp(np.cumsum(returns))
    before = np.concatenate([[character.price], price[:-1]])
    reach = np.exp(sd * np.abs(asset_random.normal(0, 0.6, (2, steps))))
    high, low = np.maximum(price, before) * reach[0], np.minimum(price, before) / reach[1]

    sentiment = 0.12 + 0.12 * _wander(asset_random, steps, 4.0) + 1.5 * _lagged_return(price, 3)
    activity = np.exp(0.12 * _wander(market, steps, 10.0) + 0.15 * _wander(asset_random, steps, 6.0))
    put_tilt = np.exp(0.10 * _wander(asset_random, steps, 6.0))
    pushed = np.zeros(steps)
    for episode in planted:
        inside = _within(episode, start, steps)
        if episode.kind == "expansion":
            activity[inside] *= 2.6
        elif episode.kind == "positive_funding":
            pushed[inside] += 0.0030
        elif episode.kind == "negative_funding":
            pushed[inside] -= 0.0030
        elif episode.kind == "capitulation":
            # Few positions are opened for a week before; the remaining traders are long and buy puts.
            activity[_within(episode, start, steps, days_before=7)] *= 0.25
            sentiment[_within(episode, start, steps, days_before=6)] = 0.8
            put_tilt[_within(episode, start, steps, days_before=1)] *= 1.8
    sentiment = np.clip(sentiment, -0.8, 0.8)

    stock = 0.5 * character.oi_usd / character.price
    longs, long_forced = _positions(low, price, activity * (1 + sentiment), stock, long=True)
    shorts, short_forced = _positions(high, price, activity * (1 - sentiment), stock, long=False)
    gap = longs.sum(axis=0) - shorts.sum(axis=0)
    # Half of the leveraged imbalance is matched by opened hedges, half by closed ones: longs always equal shorts, and a forced
    # close reduces open interest.
    hedged = np.maximum(stock * (1 + 0.05 * _wander(market, steps, 15.0)), np.abs(gap) / 2)
    crowding = gap / (longs.sum(axis=0) + shorts.sum(axis=0))
    forced = _both(long_forced, short_forced)
    volume = _volume(asset_random, longs + shorts, returns / sd, forced, hedged)
    return Paths(
        price=price,
        high=high,
        low=low,
        premium=0.0001 + 0.0010 * crowding + 0.00015 * _wander(asset_random, steps, 0.3) + pushed,
        volatility=_volatility(returns),
        put_tilt=put_tilt,
        longs=longs,
        shorts=shorts,
        long_hedgers=hedged - gap / 2,
        short_hedgers=hedged + gap / 2,
        forced=forced,
        volume=volume,
        taker_tilt=np.clip(0.02 * returns / sd + 0.05 * sentiment, -0.3, 0.3),
    )


def first_crossings(path: Path, opened: Steps, level: Path, *, below: bool) -> Steps:
    """For each position the first step after `opened` with a value at or beyond `level`; the path's length if there is none.

    Block extremes of doubling lengths are precomputed, so that all positions are searched at once in log2(steps) passes.
    """
    sign = 1.0 if below else -1.0
    values, wanted = sign * path, sign * level
    extremes = [values]
    while (length := 1 << len(extremes)) <= len(values):
        half = length // 2
        extremes.append(
            np.minimum(extremes[-1][: len(values) - length + 1], extremes[-1][half:][: len(values) - length + 1])
        )
    at = opened + 1
    for power in range(len(extremes) - 1, -1, -1):
        fits = at + (1 << power) <= len(values)
        least = extremes[power][np.where(fits, at, 0)]
        at = np.where(fits & (least > wanted), at + (1 << power), at)
    found: Steps = at.astype(np.int64)
    return found


def _positions(reached: Path, price: Path, opening: Path, stock: float, *, long: bool) -> tuple[Path, Forced]:
    """Open positions by tier and step, and the cohorts closed by force when `reached` (low or high) hit their price."""
    steps = len(price)
    opened = np.arange(0, steps - 1, OPENED_EVERY, dtype=np.int64)
    stocks, forced = np.zeros((len(TIERS), steps)), []
    side = -1.0 if long else 1.0
    for number, tier in enumerate(TIERS):
        size = stock * tier.share * opening[opened] * (1 - tier.decay_factor**OPENED_EVERY)
        level = price[opened] * (1 + side * tier.distance)
        end = first_crossings(reached, opened, level, below=long)
        hit = (end < steps) & (tier.decay_factor ** (end - opened) >= LAST_PART)
        left = size[hit] * tier.decay_factor ** (end[hit] - opened[hit])
        flow = np.zeros(steps)
        np.add.at(flow, opened, size)
        np.add.at(flow, end[hit], -left)
        flow[0] += stock * tier.share
        stocks[number] = np.maximum(_decayed(flow, tier.decay_factor), 0.0)
        forced.append(Forced(end[hit], np.full(int(hit.sum()), long), level[hit], left))
    return stocks, _both(*forced)


def _both(*parts: Forced) -> Forced:
    columns = (np.concatenate([getattr(p, name) for p in parts]) for name in ("step", "is_long", "price", "quantity"))
    step, is_long, price, quantity = columns
    order = np.argsort(step, kind="stable")
    return Forced(step[order], is_long[order], price[order], quantity[order])


def _decayed(flow: Path, decay_factor: float) -> Path:
    """y(t) = decay_factor · y(t−1) + flow(t)."""
    scaled = flow / (1 - decay_factor)
    scaled[0] = flow[0]
    path: Path = pl.Series(scaled).ewm_mean(alpha=1 - decay_factor, adjust=False).to_numpy()
    return path


def _wander(random: np.random.Generator, steps: int, days: float) -> Path:
    """A mean-reverting path around 0 with a time constant of `days` and standard deviation 1."""
    decay_factor = float(np.exp(-1 / (DAY * days)))
    noise = random.normal(0, np.sqrt(1 - decay_factor**2), steps)
    noise[0] = random.normal()
    return _decayed(noise, decay_factor)


def _shocks(random: np.random.Generator, steps: int) -> Path:
    """Student's t with 5 degrees of freedom, scaled to variance 1."""
    shocks: Path = random.standard_t(5, steps) * np.sqrt(3 / 5)
    return shocks


def _regimes(random: np.random.Generator, days: int) -> Path:
    """Volatility factor of calm (1) and volatile (1.7) days: a volatile regime starts on one day in 20 and lasts 4 on average."""
    switches = random.random(days)
    is_volatile, states = False, []
    for switch in switches:
        is_volatile = switch >= 1 / 4 if is_volatile else switch < 1 / 20
        states.append(1.7 if is_volatile else 1.0)
    return np.repeat(np.array(states), DAY)


def _lagged_return(price: Path, days: int) -> Path:
    """A third of the return of the last `days`: positioning follows the price."""
    lag = days * DAY
    path = np.zeros_like(price)
    path[lag:] = np.log(price[lag:] / price[:-lag]) / 3
    return path


def _volatility(returns: Path) -> Path:
    """Expected annualized volatility: realized volatility of the last week plus the usual premium of options."""
    variance = pl.Series(returns**2).ewm_mean(half_life=7 * DAY, adjust=True).to_numpy()
    path: Path = np.sqrt(variance * DAY * 365) * 1.1
    return path


def _volume(random: np.random.Generator, positions: Path, z: Path, forced: Forced, hedged: Path) -> Path:
    """Coin traded in a step: twice the open interest per day at rest and more when the price moves, plus the change in open
    interest and forced closes."""
    oi = hedged + positions.sum(axis=0) / 2
    at_rest = 2 * oi / DAY * (0.7 + 0.3 * np.abs(z)) * np.exp(random.normal(0, 0.2, len(oi)))
    closed = np.zeros_like(oi)
    np.add.at(closed, forced.step, forced.quantity)
    path: Path = at_rest + np.abs(np.diff(oi, prepend=oi[0])) + closed
    return path


def _within(episode: Episode, start: datetime, steps: int, *, days_before: int = 0) -> slice:
    """The steps of the episode's days and of `days_before` days before them."""
    first = (episode.start - start).days - days_before
    return slice(max(0, first * DAY), min(steps, (episode.end - start).days * DAY))


CRASH: Final = np.array([0.05, 0.10, 0.55, 0.20, 0.07, 0.03]) * -0.16
"""Log returns in the half hour of a cascade."""
CRASH_HOUR: Final = 13


def _shape_returns(returns: Path, episode: Episode, start: datetime) -> None:
    """Apply the planted episode to the price: a flat day, a crash with a 25% recovery over six hours, or a slow decline."""
    inside = _within(episode, start, len(returns))
    if episode.kind in ("expansion", "divergence"):
        returns[inside] *= 0.3
        returns[inside] -= returns[inside].mean()
    elif episode.kind == "cascade":
        first = inside.start + CRASH_HOUR * 12
        returns[first : first + len(CRASH)] = CRASH
        returns[first + len(CRASH) : first + len(CRASH) + 72] += 0.04 / 72
    elif episode.kind == "capitulation":
        returns[inside] -= 0.06 / (inside.stop - inside.start)
