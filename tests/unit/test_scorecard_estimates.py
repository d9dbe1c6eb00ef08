"""The statistics of the scorecard against computations that share no code with them, and against known truth."""

from __future__ import annotations

import math
from dataclasses import astuple, replace
from datetime import date, timedelta

import duckdb
import numpy as np
import pytest

from pipelines.evidence.errors_of_series import ewc_error, p_student, shifts, t_quantile, terms
from pipelines.evidence.estimates import Estimate, Hypothesis, Sample, estimate
from pipelines.evidence.panel import Panel, month_digests
from pipelines.sandbox.evidence import (
    DESIGNS,
    FIRST,
    MARKET_SIGNALS,
    Design,
    judge,
    market_panel,
    null_panel,
    panel_of,
    sizes,
    with_drift,
)

SMALL = Design("small", 260, 9, on=0.08, days_on=3.0)
RETURN = Hypothesis("signal", "adjusted_return", 7, "all")
RISK = Hypothesis("signal", "log_volatility", 7, "all")


@pytest.fixture(scope="module")
def panel() -> Panel:
    """With gaps: an asset that comes late, days without a price, days without a state."""
    made = null_panel(SMALL, 3)
    returns = made.outcomes["log_return"].copy()
    returns[:60, 2] = np.nan
    returns[100:104, 4] = np.nan
    states = made.states["signal"].copy()
    states[:20] = -1
    states[120:130, 1] = -1
    return panel_of(returns, {"signal": states}, liquidations=np.abs(returns) * 0.02)


def as_numbers(found: Estimate) -> list[float]:
    return [math.nan if value is None else float(value) for value in astuple(found)]


def same(one: Estimate, other: Estimate, *, within: float = 1e-12) -> bool:
    a, b = np.array(as_numbers(one)), np.array(as_numbers(other))
    return bool((np.isnan(a) == np.isnan(b)).all()) and bool(
        np.allclose(a, b, rtol=within, atol=within, equal_nan=True)
    )


def test_a_return_row_is_the_one_of_plain_sql(panel: Panel) -> None:
    """Effect, counts, and both errors: joins and sums over rows, without an array."""
    rows = [
        (int(t), int(i), None if math.isnan(r) else float(r), int(panel.states["signal"][t, i]))
        for (t, i), r in np.ndenumerate(panel.outcomes["log_return"])
    ]
    con = duckdb.connect()
    con.execute("create table p (t int, i int, r double, w int)")
    con.executemany("insert into p values (?, ?, ?, ?)", rows)
    query = """
        with adjusted as (select t, i, r - avg(r) over (partition by t) as a from p),
        demeaned as (select t, i, a - avg(a) over (partition by i) as a from adjusted),
        events as (
            select p.t, p.i, sum(d.a) as f from p join demeaned d on d.i = p.i and d.t between p.t + 1 and p.t + 7
            where p.w = 1 group by p.t, p.i having count(d.a) = 7
        ),
        effect as (select avg(f) as theta, count(*) as n, count(distinct t) as days from events),
        span as (select min(t) as first, max(t) as last, max(t) - min(t) + 1 as length from (select t from p where w >= 0)),
        series as (
            select s.t, coalesce(sum(d.a), 0) / any_value(effect.n) as x
            from (select distinct t from p) s cross join effect
            left join events e on s.t between e.t + 1 and e.t + 7 left join demeaned d on d.t = s.t and d.i = e.i
            group by s.t
        ),
        here as (select t - first as k, x - avg(x) over () as c, x, length from series, span where t >= first),
        projected as (
            select j, sqrt(2.0 / any_value(length)) * sum(cos(pi() * j * (k + 0.5) / length) * c) as y
            from here, range(1, cast(floor(0.4 * power((select length from span), 2.0 / 3)) as int) + 1) as r(j) group by j
        )
        select
            theta, n, days, sqrt((select sum(x * x) from here)),
            sqrt((select length from span) * (select avg(y * y) from projected))
        from effect
    """
    [(theta, n, days, calendar, ewc)] = con.execute(query).fetchall()
    found = judge(panel, RETURN)
    assert (found.n_events, found.n_days) == (n, days)
    assert (found.effect, found.se_calendar, found.se_ewc) == pytest.approx((theta, calendar, ewc), rel=1e-11)


def test_a_risk_row_is_the_one_of_least_squares_with_a_dummy_per_asset(panel: Panel) -> None:
    found = judge(panel, RISK, count_shifts=11)
    returns, states = panel.outcomes["log_return"], panel.states["signal"]
    days, assets = returns.shape
    first = int(np.flatnonzero((states >= 0).any(axis=1))[0])

    def level(values: np.ndarray) -> float:
        return math.log(math.sqrt(float(np.mean(values**2))) + 1e-4)

    own = np.full((days, assets, 3), np.nan)
    for t in range(days):
        for i in range(assets):
            for c, past in enumerate((1, 7, 30)):
                window = returns[t - past + 1 : t + 1, i] if t + 1 >= past else np.array([np.nan])
                own[t, i, c] = level(window) if np.isfinite(window).all() else np.nan
    market = np.array(
        [
            [
                float(np.mean(known)) if (known := own[t, np.isfinite(own[t, :, c]), c]).size else math.nan
                for c in range(3)
            ]
            for t in range(days)
        ]
    )
    rows = [
        (t, i) for t in range(first, days - 7) for i in range(assets)
        if states[t, i] >= 0 and np.isfinite(own[t, i]).all() and np.isfinite(returns[t + 1 : t + 8, i]).all()
    ]  # fmt: skip
    y = np.array([level(returns[t + 1 : t + 8, i]) for t, i in rows])
    dummies = np.eye(assets)[[i for _, i in rows]]
    z = np.column_stack([dummies, [own[t, i] for t, i in rows], [market[t] for t, _ in rows]])
    length = days - first

    def fit(shift: int) -> tuple[float, float]:
        on = {((t - first + shift) % length + first, i) for t, i in rows if states[t, i] == 1}
        w = np.array([float(row in on) for row in rows])
        cleaned = w - z @ np.linalg.lstsq(z, w, rcond=None)[0]
        theta = float(cleaned @ y / (cleaned @ cleaned))
        e = y - z @ np.linalg.lstsq(z, y, rcond=None)[0] - theta * cleaned
        psi = np.zeros(length)
        for (t, _), value in zip(rows, cleaned * e, strict=True):
            psi[t - first] += value / (cleaned @ cleaned)
        return theta, float(ewc_error(psi))

    theta, error = fit(0)
    assert (found.effect, found.se_ewc) == pytest.approx((theta, error), rel=1e-8)
    assert found.n_events == sum(states[row] == 1 for row in rows)
    larger = sum(abs(a / b) >= abs(theta / error) for a, b in map(fit, shifts(length, 11)))
    assert found.p_shift == pytest.approx((1 + larger) / 12)


def test_cosine_errors_are_those_of_white_noise_and_of_a_slow_series() -> None:
    random = np.random.default_rng(5)
    noise = random.normal(size=(2000, 400))
    assert float((ewc_error(noise) ** 2).mean()) == pytest.approx(400, rel=0.03)
    p = p_student(noise.sum(axis=1), ewc_error(noise), terms(400))
    assert float((p < 0.05).mean()) == pytest.approx(0.05, abs=0.015)
    assert terms(700) == 31
    assert t_quantile(31, 0.975) == pytest.approx(2.0395, abs=1e-4)


@pytest.mark.parametrize("hypothesis", [RETURN, RISK, replace(RETURN, group="largest", horizon=3)])
def test_later_days_change_nothing_before_them(panel: Panel, hypothesis: Hypothesis) -> None:
    until = FIRST + timedelta(days=230)
    whole = estimate(Sample(panel.cut(until), largest=3), hypothesis, count_shifts=99)
    returns = panel.outcomes["log_return"].copy()
    random = np.random.default_rng(1)
    returns[231:] = random.normal(size=returns[231:].shape)
    states = panel.states["signal"].copy()
    states[231:] = 1
    other = panel_of(returns, {"signal": states}, liquidations=np.abs(returns))
    assert same(whole, estimate(Sample(other.cut(until), largest=3), hypothesis, count_shifts=99), within=0)
    assert whole.effect is not None


@pytest.mark.parametrize("hypothesis", [RETURN, RISK])
def test_the_order_of_assets_changes_nothing(panel: Panel, hypothesis: Hypothesis) -> None:
    order = np.random.default_rng(2).permutation(len(panel.assets))
    turned = Panel(
        first=panel.first, assets=tuple(panel.assets[i] for i in order), available=panel.available,
        outcomes={name: values[:, order] for name, values in panel.outcomes.items()}, oi_rank=panel.oi_rank[:, order],
        states={name: values[:, order] for name, values in panel.states.items()},
    )  # fmt: skip
    assert same(judge(panel, hypothesis, count_shifts=99), judge(turned, hypothesis, count_shifts=99), within=1e-9)


def test_a_signal_that_is_never_known_or_never_on_has_counts_and_no_effect(panel: Panel) -> None:
    assert judge(panel, replace(RETURN, signal="nobody")) == Estimate()
    off = panel_of(panel.outcomes["log_return"], {"signal": np.zeros_like(panel.states["signal"])})
    for hypothesis in (RETURN, RISK):
        found = judge(off, hypothesis, count_shifts=99)
        assert (found.days_known, found.n_events, found.effect, found.p) == (260, 0, None, None)


def test_null_panels_are_rejected_about_as_often_as_is_said() -> None:
    """Forty panels of two designs; a rate of 5% gives at most 6 in 99 of 100 tries. Sizes on 400 panels: docs/evidence.md."""
    for size in sizes(40, designs=(DESIGNS[1], DESIGNS[3])):
        assert size.rejected <= 6, size
        assert size.planted_found >= 20, size


def test_what_is_planted_in_a_simulated_market_is_found_with_its_sign() -> None:
    found = 0
    for seed in (1, 2, 3):
        panel = market_panel(seed, days=400, assets=("BTC", "ETH", "SOL", "XRP", "DOGE", "AVAX"))
        for signal in MARKET_SIGNALS:
            hypothesis = Hypothesis(signal, "adjusted_return", 7, "all")
            null = judge(panel, hypothesis)
            assert null.mde is not None
            planted = judge(with_drift(panel, hypothesis, -1.5 * null.mde), hypothesis)
            found += planted.p is not None and planted.p < 0.05 and (planted.effect or 0) < 0
    assert found >= 8


def test_a_digest_follows_from_the_days_until_its_month(panel: Panel) -> None:
    months = [date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31)]
    assert panel.month_ends()[:3] == months
    before = month_digests(panel, months)
    returns = panel.outcomes["log_return"].copy()
    changed = panel_of(returns, {"signal": panel.states["signal"]}, liquidations=np.abs(returns) * 0.02)
    assert month_digests(changed, months) == before
    changed.outcomes["log_return"][45, 3] += 1e-6
    after = month_digests(changed, months)
    assert [after[""][month] == before[""][month] for month in months] == [True, False, False]
    assert after["signal"] == before["signal"]
