"""Fit and score of liquidation levels against plain computations, simulated markets of known truth, and themselves cut short."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from pipelines.evidence.levels import Side, deviance, expect, fit_month, fit_rates, score, skill_of
from pipelines.sandbox.evidence import RULES, Skill, level_skill, market_bars, market_side
from pipelines.sandbox.market import SimulatedMarket

ASSETS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "AVAX")
MONTHS = [date(2024, month, 1) for month in range(1, 11)]


@pytest.fixture(scope="module")
def side() -> Side:
    market = SimulatedMarket(date(2024, 1, 1), date(2024, 9, 30), seed=5, assets=ASSETS[:3], planted=False)
    return market_side([market_bars(market, asset) for asset in ASSETS[:3]], ASSETS[:3], long=True)


def kernels_of(side: Side) -> dict[date, object]:
    found = {month: fit_month(side, month, RULES) for month in MONTHS}
    return {month: kernel for month, kernel in found.items() if kernel is not None}


def test_rates_are_the_maximum_of_the_penalized_likelihood() -> None:
    """Gamma prior of shape 1 + a and rate a/b per class, Poisson rows: no step in any direction is better."""
    random = np.random.default_rng(3)
    reached = np.column_stack([np.ones(4000), random.random((4000, 3)) * [0.5, 0.2, 0.05]])
    y = random.poisson(reached @ [0.1, 1.0, 3.0, 0.0]).astype(float)
    rates = fit_rates(reached, y, prior=20)
    b = y.mean() / reached.mean(axis=0).sum()

    def objective(of: np.ndarray) -> float:
        expected = reached @ of
        return float((y * np.log(expected) - expected).sum() + (20 * np.log(of) - 20 / b * of).sum())

    best = objective(rates)
    for k in range(4):
        for factor in (0.99, 1.01):
            other = rates.copy()
            other[k] *= factor
            assert objective(other) < best
    assert rates[2] > rates[1] > rates[0] > 0
    assert rates[3] > 0


def test_the_deviance_is_zero_where_the_forecast_is_right_and_grows_away_from_it() -> None:
    y = np.array([0.0, 2.0])
    assert deviance(y, np.array([1e-300, 2.0])) == pytest.approx([0, 0], abs=1e-12)
    assert deviance(np.array([2.0]), np.array([1.0])) == pytest.approx(2 * (2 * np.log(2) - 1))
    assert deviance(np.array([0.0]), np.array([3.0])) == pytest.approx(6)


def test_skill_is_that_of_its_window() -> None:
    random = np.random.default_rng(4)
    a = random.gamma(2, 1, 300)
    b = a * random.uniform(0.6, 1.1, 300)
    skill, low, high, days = skill_of(b, a, 180)[-1]
    assert days == 180
    assert skill == pytest.approx(1 - b[-180:].sum() / a[-180:].sum())
    assert skill is not None and low is not None and high is not None
    assert low < skill < high
    assert skill_of(b, a, 180)[20] == (None, None, None, 21)


def test_a_month_is_fitted_without_its_own_days_and_later_ones_change_nothing(side: Side) -> None:
    month = MONTHS[6]
    end = (month - side.first).days - 1
    cut = Side(
        side.first, side.assets, side.reached[:end], side.move[:end], side.liquidated[:end], side.feed[:end],
        side.available[:end],
    )  # fmt: skip
    whole, short = fit_month(side, month, RULES), fit_month(cut, month, RULES)
    assert whole is not None and short is not None
    assert (whole.rates == short.rates).all() and (whole.factors == short.factors).all()
    assert whole.training_rows == short.training_rows == end * 3
    assert fit_month(side, MONTHS[2], RULES) is None


def test_scores_of_a_day_do_not_follow_from_later_days(side: Side) -> None:
    kernels = kernels_of(side)
    days = 220
    changed = replace(side, liquidated=np.where(np.arange(side.days)[:, None] < days, side.liquidated, 0.5))
    before = [row for row in score(side, "long", kernels, RULES) if (row[2] - side.first).days <= days]  # type: ignore[arg-type]
    fresh = {month: kernel for month, kernel in kernels_of(changed).items() if (month - side.first).days <= days}
    after = [row for row in score(changed, "long", fresh, RULES) if (row[2] - side.first).days <= days]  # type: ignore[arg-type]
    assert len(before) > 300
    assert before == after


def test_the_order_of_assets_changes_nothing(side: Side) -> None:
    order = [2, 0, 1]
    turned = Side(
        side.first, tuple(side.assets[i] for i in order), side.reached[:, order], side.move[:, order],
        side.liquidated[:, order], side.feed[:, order], side.available[:, order],
    )  # fmt: skip
    one, other = fit_month(side, MONTHS[8], RULES), fit_month(turned, MONTHS[8], RULES)
    assert one is not None and other is not None
    assert other.rates == pytest.approx(one.rates, rel=1e-10)
    assert other.factors == pytest.approx(one.factors[order], rel=1e-10)


def test_the_published_map_is_four_fifths_map_and_one_fifth_distance(side: Side) -> None:
    kernel = fit_month(side, MONTHS[6], RULES)
    assert kernel is not None
    day = (MONTHS[6] - side.first).days + 3
    found = expect(side, {MONTHS[6]: kernel}, RULES)
    by_map = (kernel.rates[0] + side.reached[day, 1] @ kernel.rates[1:]) * kernel.factors[1]
    passed = np.array([side.move[day, 1] >= d for d in RULES.distances])
    alone = (kernel.rates_distance[0] + kernel.rates_distance[1:][passed].sum()) * kernel.factors_distance[1]
    assert found.blend[day, 1] == pytest.approx(0.8 * by_map + 0.2 * alone, rel=1e-12)
    assert np.isnan(found.blend[: (MONTHS[6] - side.first).days]).all()


def test_levels_are_found_where_they_are_known_and_not_where_there_are_none() -> None:
    """One simulated market; the seeds of docs/evidence.md are many."""
    found: list[Skill] = level_skill(1, days=300, assets=ASSETS)
    assert all(one.low > 0.1 for one in found), found
    assert all(one.low < 0 for one in level_skill(1, days=300, assets=ASSETS, null=True))
