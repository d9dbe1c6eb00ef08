"""The effect of one hypothesis in one sample, with its errors: arrays in, an Estimate out. No tables, no verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pipelines.evidence.errors_of_series import (
    POWER_TERM,
    calendar_error,
    ewc_error,
    p_normal,
    p_student,
    shifts,
    t_quantile,
    terms,
)
from pipelines.evidence.panel import UNKNOWN, Panel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

LOG_FLOOR: Final = 1e-4
"""Added before a logarithm of volatility or liquidations is taken, so that a quiet day has one."""
PAST_DAYS: Final = (1, 7, 30)
RETURNS: Final = {"adjusted_return": "adjusted_return", "raw_return": "log_return"}
RISKS: Final = ("log_volatility", "liquidations_total", "liquidations_long", "liquidations_short")
GROUPS: Final = ("all", "btc_eth", "largest", "rest")
MOST_BIASED_DAYS: Final = 30
"""Fewer days than this make no series that errors could be taken of."""


@dataclass(frozen=True)
class Hypothesis:
    """What is claimed: while the signal is on, the target of the next days differs. Unsigned; the sign is judged later."""

    signal: str
    target: str
    horizon: int
    group: str


@dataclass(frozen=True)
class Estimate:
    """Numbers of stats.signal_estimates, by its names; None where there is nothing to compute."""

    first: int | None = None
    last: int | None = None
    days_known: int = 0
    n_events: int = 0
    n_days: int = 0
    n_assets: int = 0
    effect: float | None = None
    se_calendar: float | None = None
    se_ewc: float | None = None
    ewc_terms: int | None = None
    p_calendar: float | None = None
    p_ewc: float | None = None
    p_shift: float | None = None
    p: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    ci90_low: float | None = None
    ci90_high: float | None = None
    mde: float | None = None
    n_eff: float | None = None
    effect_first_half: float | None = None
    effect_second_half: float | None = None
    effect_bull: float | None = None
    effect_bear: float | None = None
    effect_calm: float | None = None
    effect_storm: float | None = None
    placebo_rejection_share: float | None = None


class Sample:
    """A panel until the day of judgment, with what several hypotheses share kept: demeaned returns, regressors, regimes."""

    def __init__(self, panel: Panel, *, largest: int) -> None:
        self.panel = panel
        self.largest = largest
        self._returns: dict[str, Floats] = {}
        self._ahead: dict[tuple[str, int], Floats] = {}
        self._controls: dict[str, Floats] = {}

    def returns(self, target: str) -> Floats:
        """Returns less the mean of their asset over every day until the judgment."""
        if target not in self._returns:
            values = self.panel.outcomes[RETURNS[target]]
            self._returns[target] = values - _mean(values, axis=0)[None, :]
        return self._returns[target]

    def risk(self, target: str, horizon: int) -> tuple[Floats, Floats]:
        """The log of the mean over the coming days, and its controls: the same over 1, 7 and 30 past days, own and market's."""
        import numpy as np

        if target not in self._controls:
            own = [self._level(target, past) for past in PAST_DAYS]
            market = [np.repeat(_mean(one, axis=1)[:, None], len(self.panel.assets), axis=1) for one in own]
            self._controls[target] = np.stack([*own, *market], axis=-1)
        if (target, horizon) not in self._ahead:
            ahead = np.full_like(self.panel.oi_rank, np.nan)
            days = self.panel.days
            if days > horizon:
                ahead[: days - horizon] = self._level(target, horizon)[horizon:]
            self._ahead[target, horizon] = ahead
        return self._ahead[target, horizon], self._controls[target]

    def _level(self, target: str, days: int) -> Floats:
        import numpy as np

        if target == "log_volatility":
            mean = np.sqrt(_trailing_mean(self.panel.outcomes["log_return"] ** 2, days))
        else:
            mean = _trailing_mean(self.panel.outcomes[target], days)
        found: Floats = np.log(mean + LOG_FLOOR)
        return found

    def member(self, group: str) -> Bools | None:
        """Which asset-days belong to a group as known that day; None for all."""
        import numpy as np

        if group == "all":
            return None
        major = np.array([asset in {"BTC", "ETH"} for asset in self.panel.assets])[None, :]
        large = self.panel.oi_rank <= self.largest
        if group == "btc_eth":
            return np.broadcast_to(major, large.shape)
        chosen: Bools = large & ~major if group == "largest" else np.isfinite(self.panel.oi_rank) & ~large & ~major
        return chosen

    def regimes(self) -> dict[str, Bools]:
        """Days by what was known on them: bitcoin's return of 90 days, and the market's volatility against its median of a year."""
        import numpy as np

        returns = self.panel.outcomes["log_return"]
        days = returns.shape[0]
        assets = self.panel.assets
        bitcoin = returns[:, assets.index("BTC")] if "BTC" in assets else np.full(days, np.nan)
        quarter = _trailing_mean(bitcoin[:, None], 90)[:, 0]
        market = _mean(returns, axis=1)
        spread = _trailing_mean((market**2)[:, None], 30)[:, 0]
        median = np.full(days, np.nan)
        for day in range(days):
            year = spread[max(0, day - 364) : day + 1]
            year = year[np.isfinite(year)]
            if year.size >= 90:
                median[day] = np.median(year)
        return {"bull": quarter > 0, "bear": quarter <= 0, "calm": spread <= median, "storm": spread > median}


def estimate(
    sample: Sample,
    hypothesis: Hypothesis,
    *,
    start: int = 0,
    count_shifts: int = 0,
    regimes: dict[str, Bools] | None = None,
) -> Estimate:
    """The effect over the days from number `start` on, on which the signal was known.

    With `count_shifts` the statistic is compared with that of so many circular shifts of the signal. Where nothing can be computed,
    the estimate holds counts only.
    """
    import numpy as np

    states = sample.panel.states.get(hypothesis.signal)
    if states is None:
        return Estimate()
    known = states != UNKNOWN
    member = sample.member(hypothesis.group)
    if member is not None:
        known = known & member
    known[:start] = False
    on_days = np.flatnonzero(known.any(axis=1))
    if on_days.size == 0:
        return Estimate()
    first = int(on_days[0])
    counts = Estimate(first=first, last=sample.panel.days - 1, days_known=int(on_days.size))
    weights = np.where(known, states, 0).astype(np.float64)
    regimes = sample.regimes() if regimes is None else regimes
    if hypothesis.target in RETURNS:
        return _of_returns(sample, hypothesis, weights, counts, regimes, count_shifts)
    return _of_risk(sample, hypothesis, weights, known, counts, regimes, count_shifts)


def _of_returns(
    sample: Sample,
    hypothesis: Hypothesis,
    weights: Floats,
    counts: Estimate,
    regimes: dict[str, Bools],
    count_shifts: int,
) -> Estimate:
    import numpy as np

    first, horizon = counts.first or 0, hypothesis.horizon
    returns = sample.returns(hypothesis.target)[first:]
    weights = weights[first:]
    length = returns.shape[0]
    day, asset = np.nonzero(weights)
    inside = day + horizon < length
    day, asset = day[inside], asset[inside]
    ahead = returns[day[:, None] + np.arange(1, horizon + 1)[None, :], asset[:, None]]
    whole = np.isfinite(ahead).all(axis=1)
    day, asset, ahead = day[whole], asset[whole], ahead[whole]
    events = day.size
    counts = replace(counts, n_events=int(events), n_days=int(np.unique(day).size), n_assets=int(np.unique(asset).size))
    if events == 0 or length < MOST_BIASED_DAYS:
        return counts
    outcome = ahead.sum(axis=1)
    effect = float(outcome.sum() / events)
    series = np.zeros(length)
    for step in range(horizon):
        series += np.bincount(day + step + 1, weights=ahead[:, step], minlength=length)
    series /= events
    se_calendar = float(calendar_error(series))
    se_ewc = float(ewc_error(series))
    if se_calendar <= 0 or se_ewc <= 0:
        return counts
    degrees = terms(length)
    p_calendar = float(p_normal(np.float64(effect), np.float64(se_calendar)))  # type: ignore[arg-type]
    p_ewc = float(p_student(np.float64(effect), np.float64(se_ewc), degrees))  # type: ignore[arg-type]
    error = max(se_calendar, se_ewc)
    placebo = (
        _shifted_returns(returns, weights, day, asset, horizon, events, degrees, effect / error, count_shifts)
        if count_shifts else {}
    )  # fmt: skip
    variance = float(outcome.var(ddof=1)) if events > 1 else math.nan
    halves: dict[str, Any] = {
        name: float(outcome[where].mean()) if where.any() else None
        for name, where in _parts(day, length, {k: v[first:] for k, v in regimes.items()}).items()
    }
    return replace(
        counts, effect=effect, se_calendar=se_calendar, se_ewc=se_ewc, ewc_terms=degrees, p_calendar=p_calendar, p_ewc=p_ewc,
        p=max(p_calendar, p_ewc), n_eff=_number(variance / error**2), **_interval(effect, error, degrees), **halves, **placebo,
    )  # fmt: skip


def _shifted_returns(
    returns: Floats,
    weights: Floats,
    day: Any,
    asset: Any,
    horizon: int,
    events: int,
    degrees: int,
    statistic: float,
    count: int,
) -> dict[str, Any]:
    """All shifts at once: what a portfolio held on day u would have earned on day s, for every pair of days."""
    import numpy as np

    length = returns.shape[0]
    moved = shifts(length, count)
    if not moved:
        return {}
    held = np.zeros_like(weights)
    for step in range(1, horizon + 1):
        np.add.at(held, (day + step, asset), 1.0)
    earned = np.nan_to_num(returns) @ held.T
    s = np.arange(length)
    series = np.stack([earned[s, (s - shift) % length] for shift in moved]) / events
    effects = series.sum(axis=1)
    calendar, ewc = calendar_error(series), ewc_error(series)
    error = np.maximum(calendar, ewc)
    p = np.maximum(p_normal(effects, calendar), p_student(effects, ewc, degrees))
    larger = np.abs(effects) / error >= abs(statistic)
    return {
        "p_shift": float((1 + larger.sum()) / (len(moved) + 1)),
        "placebo_rejection_share": float((p < 0.05).mean()),
    }


def _of_risk(
    sample: Sample, hypothesis: Hypothesis, weights: Floats, known: Bools, counts: Estimate, regimes: dict[str, Bools],
    count_shifts: int,
) -> Estimate:  # fmt: skip
    import numpy as np

    first, horizon = counts.first or 0, hypothesis.horizon
    target, controls = sample.risk(hypothesis.target, horizon)
    rows = (known & np.isfinite(target) & np.isfinite(controls).all(axis=-1))[first:]
    on = np.where(rows, weights[first:], 0.0)
    length = rows.shape[0]
    day, asset = np.nonzero(on)
    counts = replace(
        counts, n_events=int(day.size), n_days=int(np.unique(day).size), n_assets=int(np.unique(asset).size)
    )
    if day.size == 0 or length < MOST_BIASED_DAYS or day.size == rows.sum():
        return counts
    # Assets without a row say nothing: what is left is a fraction of the panel.
    some = np.flatnonzero(rows.any(axis=0))
    rows, asset = rows[:, some], np.searchsorted(some, asset)
    used = rows.sum(axis=0)
    y = _within(np.where(rows, target[first:, some], 0.0), rows)
    z = _within(np.where(rows[:, :, None], controls[first:, some], 0.0), rows)
    flat = z.reshape(-1, z.shape[-1])
    inverse = np.linalg.pinv(flat.T @ flat, hermitian=True).astype(np.float64)
    y = y - z @ (inverse @ (flat.T @ y.ravel()))
    moved = [0, *(shifts(length, count_shifts) if count_shifts else [])]
    top, bottom = _moments(y, z, rows, used, inverse, day, asset, moved)
    total = bottom.sum(axis=1)
    if total[0] <= 1e-12:
        return counts
    total = np.where(total > 1e-12, total, np.nan)
    effects = top.sum(axis=1) / total
    series = (top - effects[:, None] * bottom) / total[:, None]
    errors = ewc_error(series)
    effect, error, degrees = float(effects[0]), float(errors[0]), terms(length)
    if not error > 0:
        return counts
    p = p_student(effects, errors, degrees)
    placebo: dict[str, Any] = {}
    if len(moved) > 1:
        statistics = np.abs(effects / errors)
        placebo["p_shift"] = float((1 + (statistics[1:] >= statistics[0]).sum()) / len(moved))
        placebo["placebo_rejection_share"] = float((p[1:] < 0.05).mean())
    outcome = y[day, asset]
    variance = float(outcome.var(ddof=1)) if day.size > 1 else math.nan
    every = np.arange(length)
    halves: dict[str, Any] = {}
    for name, where in _parts(every, length, {k: v[first:] for k, v in regimes.items()}).items():
        below = float(bottom[0][where].sum())
        has = bool(np.isin(day, every[where]).any())
        halves[name] = float(top[0][where].sum() / below) if has and below > 1e-12 else None
    return replace(
        counts, effect=effect, se_ewc=error, ewc_terms=degrees, p_ewc=float(p[0]), p=max(float(p[0]), placebo.get("p_shift", 0.0)),
        n_eff=_number(variance / error**2), **_interval(effect, error, degrees), **halves, **placebo,
    )  # fmt: skip


def _moments(
    y: Floats, z: Floats, rows: Bools, used: Any, inverse: Floats, day: Any, asset: Any, moved: list[int]
) -> tuple[Floats, Floats]:
    """Per shift and day: sums over assets of (signal, cleaned of asset means and controls) times the outcome, and of its square.

    The cleaned signal is w − m_asset − z·c. Its products are expanded, so that a shift costs its events and not the whole panel.
    """
    import numpy as np

    length, assets = rows.shape
    valid = rows.astype(np.float64)
    # What an event is multiplied with, by day and asset: the outcome, whether there is a row, the controls; all 0 without one.
    cells = np.concatenate([y[:, :, None], valid[:, :, None], z], axis=-1).reshape(length * assets, -1)
    per_asset = np.zeros((assets, len(moved)))
    slopes = np.zeros((z.shape[-1], len(moved)))
    top, bottom = np.zeros((len(moved), length)), np.zeros((len(moved), length))
    for number, shift in enumerate(moved):
        at = day + shift
        at -= length * (at >= length)
        found = cells.take(at * assets + asset, axis=0)
        outcome, counts, control = found[:, 0], found[:, 1], found[:, 2:]
        means = np.bincount(asset, weights=counts, minlength=assets) / np.maximum(used, 1)
        slope = inverse @ (np.ones(day.size) @ control)
        top[number] = np.bincount(at, weights=outcome, minlength=length)
        cleaned = counts * (1 - 2 * means)[asset] - control @ (2 * slope)
        bottom[number] = np.bincount(at, weights=cleaned, minlength=length)
        per_asset[:, number], slopes[:, number] = means, slope
    # Sums over the whole panel, for all shifts at once.
    turned = np.ascontiguousarray(z.transpose(0, 2, 1))
    top -= (y @ per_asset + (turned @ y[:, :, None])[:, :, 0] @ slopes).T
    pairs = np.einsum("ck,dk->cdk", slopes, slopes).reshape(-1, len(moved))
    whole = valid @ per_asset**2 + (turned @ z).reshape(length, -1) @ pairs
    for c in range(z.shape[-1]):
        whole += 2 * slopes[c][None, :] * (turned[:, c] @ per_asset)
    bottom += whole.T
    return top, bottom


def _within(values: Floats, rows: Bools) -> Floats:
    """Values (of days, assets and perhaps controls) less their asset's mean over the rows; 0 elsewhere."""
    import numpy as np

    shape = rows.shape + (1,) * (values.ndim - 2)
    means = values.sum(axis=0) / np.maximum(rows.sum(axis=0), 1).reshape(shape[1:])
    found: Floats = (values - means[None]) * rows.reshape(shape)
    return found


def _parts(day: Any, length: int, regimes: dict[str, Bools]) -> dict[str, Any]:
    """Which of these days lie in each half and regime, by the column that is theirs."""
    early = day < length // 2
    return {"effect_first_half": early, "effect_second_half": ~early} | {
        f"effect_{name}": days[day] for name, days in regimes.items()
    }


def _interval(effect: float, error: float, degrees: int) -> dict[str, Any]:
    wide, narrow = t_quantile(degrees, 0.975), t_quantile(degrees, 0.95)
    return {
        "ci_low": effect - wide * error, "ci_high": effect + wide * error,
        "ci90_low": effect - narrow * error, "ci90_high": effect + narrow * error,
        "mde": (wide + POWER_TERM) * error,
    }  # fmt: skip


def _mean(values: Floats, axis: int) -> Floats:
    """Mean over what is known; NaN where nothing is."""
    import numpy as np

    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    found: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return found


def _trailing_mean(values: Floats, days: int) -> Floats:
    """Mean of the last `days` rows where all are known, else NaN. Each window is summed by itself: no running total drifts."""
    import numpy as np

    found = np.full_like(values, np.nan)
    if values.shape[0] >= days:
        windows = np.lib.stride_tricks.sliding_window_view(values, days, axis=0)
        found[days - 1 :] = windows.mean(axis=-1)
    return found


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
