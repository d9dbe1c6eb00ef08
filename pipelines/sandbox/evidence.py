"""Markets of known truth for the statistics: panels without any effect, with a planted one, and daily bars of simulated markets.

How often the scorecard finds something in them is counted here; the marts are not built for it. What it makes of real history is
evidence.scorecard's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.core.progress import Progress
from pipelines.evidence.estimates import Estimate, Hypothesis, Sample, estimate
from pipelines.evidence.levels import Rules, Side, fit_month, score
from pipelines.evidence.panel import OUTCOMES, Panel
from pipelines.sandbox.market import BURN_IN_DAYS, SimulatedMarket
from pipelines.sandbox.market_paths import DAY

Floats = npt.NDArray[np.float64]

FIRST: Final = date(2024, 1, 1)
LEVEL: Final = 0.05
"""Size of a test that is asked for."""


@dataclass(frozen=True)
class Design:
    """A kind of null panel: signals that persist, cluster over assets and follow volatility, and say nothing of what comes."""

    name: str
    days: int
    assets: int
    horizon: int = 7
    on: float = 0.05
    days_on: float = 1.0


DESIGNS: Final = (
    Design("700 days, 50 assets", 700, 50),
    Design("persistent, 20% on", 700, 50, on=0.20, days_on=10.0),
    Design("horizon of 14 days", 700, 50, horizon=14),
    Design("6 assets", 700, 6),
    Design("120 days, 6 assets", 120, 6),
)


@dataclass(frozen=True)
class Bars:
    """Days of one simulated asset: what the levels and the signals of a market are made from. Amounts in units of the asset."""

    close: Floats
    high: Floats
    low: Floats
    oi: Floats
    volume: Floats
    liquidated_long: Floats
    liquidated_short: Floats


@dataclass(frozen=True)
class Size:
    """How often a test of 5% rejected, and by how much the least detectable effect was found where it was planted."""

    design: Design
    panels: int
    rejected: int
    planted_found: int

    @property
    def rate(self) -> float:
        return self.rejected / self.panels

    @property
    def power(self) -> float:
        return self.planted_found / self.panels


def null_panel(design: Design, seed: int) -> Panel:
    """Returns with a common factor, fat tails and storms, and a signal that clusters but is blind to the future."""
    random = np.random.default_rng([seed, design.days, design.assets, design.horizon, round(design.days_on)])
    days, assets = design.days, design.assets
    storm = np.exp(0.5 * _wander(random, days, 20.0))
    common = 0.02 * storm * random.standard_t(4, days) / np.sqrt(2)
    own = 0.03 * storm[:, None] * random.standard_t(4, (days, assets)) / np.sqrt(2)
    returns = common[:, None] * random.uniform(0.6, 1.4, assets) + own
    crowd = _wander(random, days, max(design.days_on, 0.5))
    score = 0.6 * crowd[:, None] + 0.8 * np.stack(
        [_wander(random, days, max(design.days_on, 0.5)) for _ in range(assets)], axis=1
    )
    # Signals follow what was: they are on more often after moves.
    score += 0.3 * np.abs(returns) / np.abs(returns).mean(axis=0)
    states = (score > np.quantile(score, 1 - design.on)).astype(np.int8)
    return panel_of(returns, {"signal": states})


def panel_of(
    returns: Floats,
    states: dict[str, npt.NDArray[np.int8]],
    *,
    liquidations: Floats | None = None,
    names: Sequence[str] = (),
) -> Panel:
    """A panel of these returns; an asset's rank by open interest is its place."""
    days, assets = returns.shape
    missing = np.full_like(returns, np.nan)
    total = missing if liquidations is None else liquidations
    outcomes = dict(zip(OUTCOMES, (_adjusted(returns), returns, total, total, total), strict=True))
    return Panel(
        first=FIRST, assets=tuple(names) or tuple(f"A{i:03d}" for i in range(assets)), outcomes=outcomes,
        oi_rank=np.tile(np.arange(1.0, assets + 1), (days, 1)), states=states,
        available=(np.arange(days, dtype=np.int64) + (FIRST - date(1970, 1, 1)).days + 1) * 86_400_000_000,
    )  # fmt: skip


def with_drift(panel: Panel, hypothesis: Hypothesis, effect: float) -> Panel:
    """The panel with `effect` beyond the market spread over the days of the horizon after each event, for its asset."""
    added = np.zeros_like(panel.outcomes["log_return"])
    on = panel.states[hypothesis.signal] == 1
    for step in range(1, hypothesis.horizon + 1):
        added[step:] += on[:-step] * effect / hypothesis.horizon
    planted = {name: panel.outcomes[name] + added for name in ("log_return", "adjusted_return")}
    return replace(panel, outcomes={**panel.outcomes, **planted})


def judge(panel: Panel, hypothesis: Hypothesis, *, count_shifts: int = 0) -> Estimate:
    """The estimate of one hypothesis from the whole panel."""
    return estimate(Sample(panel, largest=10), hypothesis, count_shifts=count_shifts)


def sizes(panels: int, *, designs: Sequence[Design] = DESIGNS, first_seed: int = 1) -> Iterator[Size]:
    """Share of null panels with p below 5%, and of the same panels with the detectable effect planted that were found."""
    for design in designs:
        hypothesis = Hypothesis("signal", "adjusted_return", design.horizon, "all")
        rejected = found = 0
        for seed in range(first_seed, first_seed + panels):
            panel = null_panel(design, seed)
            null = judge(panel, hypothesis)
            rejected += null.p is not None and null.p < LEVEL
            planted = judge(with_drift(panel, hypothesis, null.mde or 0.0), hypothesis)
            found += planted.p is not None and planted.p < LEVEL and (planted.effect or 0) > 0
        yield Size(design, panels, rejected, found)


def market_bars(market: SimulatedMarket, asset: str) -> Bars:
    """Whole UTC days from the first day of the market on, as one venue that has all of it would tell them."""
    paths = market.paths(asset)
    start = BURN_IN_DAYS * DAY
    days = (market.last - market.first).days + 1
    end = start + days * DAY

    def by_day(values: Floats) -> Floats:
        found: Floats = values[start:end].reshape(days, DAY)
        return found

    forced = paths.forced
    inside = (forced.step >= start) & (forced.step < end)
    day = (forced.step[inside] - start) // DAY

    def liquidated(*, is_long: bool) -> Floats:
        mine = forced.is_long[inside] == is_long
        return np.bincount(day[mine], weights=forced.quantity[inside][mine], minlength=days).astype(np.float64)

    return Bars(
        close=by_day(paths.price)[:, -1], high=by_day(paths.high).max(axis=1), low=by_day(paths.low).min(axis=1),
        oi=by_day(paths.oi)[:, -1], volume=by_day(paths.volume).sum(axis=1),
        liquidated_long=liquidated(is_long=True), liquidated_short=liquidated(is_long=False),
    )  # fmt: skip


MARKET_SIGNALS: Final = ("oi_up_with_move", "deleveraging", "large_liquidations")


def market_panel(seed: int, *, days: int, assets: Sequence[str]) -> Panel:
    """A simulated market without episodes, with three signals as the marts define them, on relative thresholds."""
    market = SimulatedMarket(FIRST, FIRST + timedelta(days=days - 1), seed=seed, assets=assets, planted=False)
    bars = [market_bars(market, asset) for asset in assets]
    returns = np.stack([np.diff(np.log(b.close), prepend=np.nan) for b in bars], axis=1)
    growth = np.stack([np.diff(np.log(b.oi), prepend=np.nan) for b in bars], axis=1)
    liquidated = np.stack([(b.liquidated_long + b.liquidated_short) / b.oi for b in bars], axis=1)
    spread, spread_oi = _past_sd(returns, 30), _past_sd(growth, 30)
    border = np.full_like(liquidated, np.nan)
    for day in range(90, days):
        border[day] = np.quantile(liquidated[day - 90 : day], 0.975, axis=0)
    known = np.isfinite(spread) & np.isfinite(spread_oi)
    states = {
        "oi_up_with_move": _state(known, (growth > 1.0 * spread_oi) & (np.abs(returns) > 0.5 * spread)),
        "deleveraging": _state(known, (returns <= -spread) & (growth < -0.5 * spread_oi)),
        "large_liquidations": _state(np.isfinite(border), liquidated > border),
    }
    return panel_of(returns, states, liquidations=liquidated, names=assets)


def _adjusted(returns: Floats) -> Floats:
    """Returns less the mean of the day."""
    known = np.isfinite(returns)
    total = np.where(known, returns, 0.0).sum(axis=1, keepdims=True)
    found: Floats = returns - total / np.maximum(known.sum(axis=1, keepdims=True), 1)
    return found


def _state(known: npt.NDArray[np.bool_], on: npt.NDArray[np.bool_]) -> npt.NDArray[np.int8]:
    found: npt.NDArray[np.int8] = np.where(known, on, -1).astype(np.int8)
    return found


def _past_sd(values: Floats, days: int) -> Floats:
    found = np.full_like(values, np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(values, days, axis=0)[:-1]
    found[days:] = windows.std(axis=-1, ddof=1)
    return found


def _wander(random: np.random.Generator, days: int, memory: float) -> Floats:
    """A path around 0 that forgets where it was in `memory` days; standard deviation 1."""
    kept = float(np.exp(-1 / memory))
    noise = random.normal(0, np.sqrt(1 - kept**2), days)
    path = np.empty(days)
    value = random.normal()
    for day in range(days):
        value = kept * value + noise[day]
        path[day] = value
    return path


RULES: Final = Rules(
    distances=(0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.14, 0.2, 0.3, 0.45),
    weights=(0.01, 0.02, 0.03, 0.04, 0.06, 0.07, 0.09, 0.09, 0.09, 0.08, 0.06, 0.04, 0.02),
    churn=0.2, prior=20, map_weight=0.8, window=180, window_min=30,
)  # fmt: skip
COHORT_DAYS: Final = 60


def cohorts(bars: Bars, *, churn: float = RULES.churn, days: int = COHORT_DAYS) -> Floats:
    """Share of the open interest of day t (row) that was opened on day u (column): what int_liquidation_cohorts_daily says."""
    length = bars.oi.size
    change = np.diff(bars.oi, prepend=0.0)
    turned = churn * np.maximum(bars.volume - np.abs(change), 0.0) / 2
    opened = np.maximum(change, 0.0) + turned
    closed = np.zeros(length)
    closed[1:] = np.minimum((np.maximum(-change, 0.0) + turned)[1:] / (bars.oi[:-1] + opened[1:]), 0.999)
    opened[0] = bars.oi[0]
    shares = np.zeros((length, length))
    for t in range(length):
        for u in range(max(0, t - days + 1), t + 1):
            shares[t, u] = opened[u] * float(np.prod(1 - closed[u : t + 1]))
    found: Floats = shares / shares.sum(axis=1, keepdims=True)
    return found


def reached(bars: Bars, *, long: bool) -> tuple[Floats, Floats]:
    """Shares of each class that the next day reached, and how far it went: what int_liquidation_exposure_daily says.

    Shorts are longs of the inverted price.
    """
    close, low = (bars.close, bars.low) if long else (1 / bars.close, 1 / bars.high)
    length, distances = close.size, np.array(RULES.distances)
    shares = cohorts(bars)
    found, move = np.zeros((length, distances.size)), np.full(length, np.nan)
    for t in range(length - 1):
        move[t] = max(1 - low[t + 1] / close[t], 0.0)
        for u in range(max(0, t - COHORT_DAYS + 1), t + 1):
            levels = close[u] * (1 - distances)
            alive = levels < (low[u + 1 : t + 1].min() if t > u else np.inf)
            found[t] += shares[t, u] * (alive & (levels >= low[t + 1]))
    return found, move


def market_side(all_bars: Sequence[Bars], names: Sequence[str], *, long: bool, null_seed: int | None = None) -> Side:
    """One side of some assets. With `null_seed` liquidations follow from open interest and a power of the move only."""
    parts = [reached(bars, long=long) for bars in all_bars]
    move = np.stack([part[1] for part in parts], axis=1)
    real = np.stack(
        [np.append((b.liquidated_long if long else b.liquidated_short)[1:], np.nan) / b.oi for b in all_bars], axis=1
    )
    if null_seed is not None:
        noise = np.random.default_rng([null_seed, int(long)]).gamma(0.5, 2.0, real.shape)
        real = 0.05 * move**1.3 * noise
    days = move.shape[0]
    known = np.arange(days, dtype=np.int64) + (FIRST - date(1970, 1, 1)).days + 2
    return Side(
        first=FIRST, assets=tuple(names), reached=np.stack([part[0] for part in parts], axis=1), move=move, liquidated=real,
        feed=np.zeros(move.shape, dtype=np.int8), available=np.tile(known[:, None] * 86_400_000_000, (1, len(names))),
    )  # fmt: skip


@dataclass(frozen=True)
class Skill:
    """Skill over every day scored, pooled, with its interval."""

    side: str
    skill: float
    low: float
    high: float
    days: int


def level_skill(seed: int, *, days: int, assets: Sequence[str], null: bool = False) -> list[Skill]:
    """Walk-forward skill of the map against distance alone on a simulated market, where levels truly are what is liquidated."""
    market = SimulatedMarket(FIRST, FIRST + timedelta(days=days - 1), seed=seed, assets=assets, planted=False)
    bars = [market_bars(market, asset) for asset in assets]
    return [
        pooled(market_side(bars, assets, long=name == "long", null_seed=seed if null else None), name)
        for name in ("long", "short")
    ]


def pooled(side: Side, name: str) -> Skill:
    """The skill of all days scored, as the last window of a score that holds them all."""
    months, month = [], side.first
    while (month - side.first).days < side.days:
        months.append(month)
        month = (month.replace(day=1) + timedelta(days=32)).replace(day=1)
    kernels = {month: kernel for month in months if (kernel := fit_month(side, month, RULES)) is not None}
    rows = [row for row in score(side, name, kernels, replace(RULES, window=10_000)) if row[0] == "*"]
    skill, low, high, count = rows[-1][11:15]
    return Skill(name, skill, low, high, count)


@dataclass(frozen=True)
class MarketRate:
    """How often a signal of simulated markets without any effect had p below 5%, and one with 1.5 times the detectable effect."""

    signal: str
    horizon: int
    markets: int
    rejected: int
    planted_found: int


@dataclass(frozen=True)
class Truth:
    """What the statistics make of markets whose truth is known."""

    panels: int
    markets: int
    days: int
    sizes: tuple[Size, ...]
    rates: tuple[MarketRate, ...]
    skills: tuple[tuple[int, Skill], ...]
    null_skills: tuple[tuple[int, Skill], ...]


def known_truth(*, panels: int, markets: int, skill_seeds: int, assets: Sequence[str], progress: Progress) -> Truth:
    """Sizes and power on null panels, rates on simulated markets, skill of levels where they are true and where they are not."""
    days = 400
    found: list[Size] = []
    for number, design in enumerate(DESIGNS):
        progress("null panels", number, len(DESIGNS))
        found += sizes(panels, designs=(design,))
    counts = {(signal, horizon): [0, 0] for signal in MARKET_SIGNALS for horizon in (1, 7)}
    for seed in range(1, markets + 1):
        progress("null markets", seed - 1, markets)
        panel = market_panel(seed, days=days, assets=assets)
        for (signal, horizon), count in counts.items():
            hypothesis = Hypothesis(signal, "adjusted_return", horizon, "all")
            null = judge(panel, hypothesis)
            planted = judge(with_drift(panel, hypothesis, 1.5 * (null.mde or 0.0)), hypothesis)
            count[0] += null.p is not None and null.p < LEVEL
            count[1] += planted.p is not None and planted.p < LEVEL and (planted.effect or 0) > 0
    skills, nulls = [], []
    for seed in range(1, skill_seeds + 1):
        progress("levels", seed - 1, skill_seeds)
        skills += [(seed, one) for one in level_skill(seed, days=300, assets=assets)]
        nulls += [(seed, one) for one in level_skill(seed, days=300, assets=assets, null=True)]
    return Truth(
        panels=panels, markets=markets, days=days, sizes=tuple(found),
        rates=tuple(MarketRate(signal, horizon, markets, *count) for (signal, horizon), count in counts.items()),
        skills=tuple(skills), null_skills=tuple(nulls),
    )  # fmt: skip
