"""Open interest and funding of the trend marts, computed again from the definitions of the metrics: plain loops, day by day.

Shares no code and no technique with the SQL (no windows, no forward fill: the regime is a state machine that walks).
Liquidations are trend_reference_liquidations'.
"""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tests.dbt.trend_fixture import MarketModel, Row

Key = tuple[str, dt.date]
Keyed = dict[tuple[Any, ...], Row]
DAY = dt.timedelta(days=1)
EXPECTED_DAYS = 7


def snapped(value: float) -> float:
    return round(value, 12)


def mid_rank(value: float, window: Sequence[float]) -> float:
    below = sum(1 for member in window if member < value)
    equal = sum(1 for member in window if member == value)
    return 100 * (below + equal / 2) / len(window)


def deviation(window: Sequence[float]) -> float:
    return statistics.stdev(window)


def z_score(value: float | None, window: Sequence[float | None]) -> float | None:
    known = [member for member in window if member is not None]
    if value is None or len(known) < len(window) or len(set(known)) == 1:
        return None
    return (value - statistics.fmean(known)) / deviation(known)


def quantile(window: Sequence[float], share: float) -> float:
    ordered = sorted(window)
    position = share * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def correlation(left: Sequence[float | None], right: Sequence[float | None]) -> float | None:
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    if len(pairs) < len(left):
        return None
    if len({a for a, _ in pairs}) == 1 or len({b for _, b in pairs}) == 1:
        return None
    return statistics.correlation([a for a, _ in pairs], [b for _, b in pairs])


def days_before(date: dt.date, count: int) -> list[dt.date]:
    return [date - DAY * back for back in range(count, 0, -1)]


def span(dates: Iterable[dt.date]) -> list[dt.date]:
    dates = list(dates)
    return [min(dates) + DAY * n for n in range((max(dates) - min(dates)).days + 1)]


def by_series(rows: Iterable[Row], *keys: str) -> dict[str, dict[tuple[str, ...], dict[dt.date, list[Row]]]]:
    """asset -> series -> day -> rows."""
    found: dict[str, dict[tuple[str, ...], dict[dt.date, list[Row]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for row in rows:
        found[row["asset"]][tuple(row[key] for key in keys)][row["trade_date"]].append(row)
    return found


def last_report(days: Mapping[dt.date, object], date: dt.date) -> dt.date | None:
    for back in range(EXPECTED_DAYS + 1):
        if date - DAY * back in days:
            return date - DAY * back
    return None


def prices_of(world: MarketModel) -> dict[Key, Row]:
    return {(row["asset"], row["trade_date"]): row for row in world.tables["marts.fct_price_daily"]}


def oi_trends(world: MarketModel) -> dict[Key, Row]:
    prices, answer = prices_of(world), {}
    for asset, venues in by_series(world.tables["marts.fct_open_interest_daily"], "venue").items():
        reported = {venue: {date: rows[0] for date, rows in days.items()} for (venue,), days in venues.items()}
        dates = span(date for days in reported.values() for date in days)
        level: dict[dt.date, float | None] = {}
        change: dict[dt.date, float | None] = {}
        segment, segments, totals = 0, {}, {}
        for date in dates:
            price = prices.get((asset, date), {})
            used, usd, present = {}, {}, set()
            for venue, days in reported.items():
                newest = last_report(days, date)
                if newest is None:
                    continue
                used[venue] = days[newest]["oi_base"]
                if newest == date:
                    present.add(venue)
                    usd[venue] = days[date]["oi_usd"]
                else:
                    close = price.get("close_usd")
                    usd[venue] = None if close is None else used[venue] * close
            total = math.fsum(used.values()) if present else None
            totals[date] = total
            row: Row = {
                "oi_base": total,
                "oi_usd": None
                if not present or None in usd.values()
                else math.fsum(v for v in usd.values() if v is not None),
                "venues_present": len(present),
                "venues_expected": len(used),
                "oi_base_reported": math.fsum(used[venue] for venue in present) if present else None,
                "oi_hhi": math.fsum((v / math.fsum(used.values())) ** 2 for v in used.values()) if present else None,
            }
            for days_back in (1, 7, 30):
                old = date - DAY * days_back
                both = [venue for venue in present if old in reported[venue]]
                now = math.fsum(reported[venue][date]["oi_base"] for venue in both)
                then = math.fsum(reported[venue][old]["oi_base"] for venue in both)
                row[f"venues_compared_{days_back}d"] = len(both)
                row[f"oi_base_change_{days_back}d"] = now - then if both else None
                row[f"oi_growth_{days_back}d"] = now / then - 1 if both else None
                if days_back == 1:
                    row |= _split(reported, both, date)
                    before = totals.get(old)
                    row["oi_compared_share_1d"] = then / before if both and before else None
            growth = row["oi_growth_1d"]
            change[date] = None if growth is None else math.log(1 + growth)
            row["oi_log_change_1d"] = change[date]
            previous = level.get(date - DAY)
            if total is None:
                level[date] = None
                segment += 1
            elif growth is None or previous is None:
                level[date] = total
                segment += 1
            else:
                level[date] = previous * (1 + growth)
            segments[date] = segment
            row["oi_base_chain_linked"] = level[date]
            answer[asset, date] = row | _oi_states(row, date, level, change, segments, prices, asset)
    checks, leads = _checked_changes(world), oi_lead_lag(answer, prices)
    for (asset, date), row in answer.items():
        here = [fits for (_, a, d), fits, _ in checks if (a, d) == (asset, date)]
        row["oi_changes_checked"] = len(here)
        row["oi_changes_implausible"] = here.count(False) if here else None
        row["oi_change_plausible"] = "unknown" if not here else "on" if all(here) else "off"
        profile = [leads[asset, date.replace(day=1), lag] for lag in range(-10, 11)]
        best = next((lag for lag in profile if lag["is_best"]), None)
        row["oi_lead_days"] = best and best["lag_days"]
        row["oi_lead_correlation"] = best and best["correlation"]
        row["oi_lead_band"] = best and best["correlation_band"]
        row["oi_lead_pairs"] = max(lag["pairs"] for lag in profile)
    return answer


def _checked_changes(world: MarketModel) -> list[tuple[tuple[str, str, dt.date], bool, float | None]]:
    """(venue, asset, day), whether the change can have been traded, change over volume. One instrument each here."""
    volumes = {
        (row["venue"], row["asset"], row["trade_date"]): row["volume_base"]
        for row in world.tables["intermediate.int_candles_daily"]
    }
    held = {
        (row["venue"], row["asset"], row["trade_date"]): row["oi_base"]
        for row in world.tables["intermediate.int_open_interest_daily"]
    }
    checks = []
    for key, now in held.items():
        venue, asset, date = key
        then, traded = held.get((venue, asset, date - DAY)), volumes.get(key)
        if then is not None and traded is not None:
            moved = abs(now - then)
            checks.append((key, moved <= traded, moved / traded if traded else None))
    return checks


def oi_plausibility(world: MarketModel) -> Keyed:
    checks, answer = _checked_changes(world), Keyed()
    for venue, date in sorted({(venue, date) for (venue, _, date), _, _ in checks}):
        today = [(fits, ratio, asset) for (v, asset, d), fits, ratio in checks if (v, d) == (venue, date)]
        month = [fits for (v, _, d), fits, _ in checks if v == venue and date - DAY * 29 <= d <= date]
        worst = max(((ratio, asset) for _, ratio, asset in today if ratio is not None), default=None)
        answer[venue, date] = {
            "changes_checked": len(today),
            "violations": sum(not fits for fits, _, _ in today),
            "violation_rate": sum(not fits for fits, _, _ in today) / len(today),
            "changes_checked_30d": len(month),
            "violations_30d": month.count(False),
            "violation_rate_30d": month.count(False) / len(month),
            "worst_change_to_volume": worst and worst[0],
            "worst_instrument": worst and f"{worst[1]}USDT",
        }
    return answer


def months_back(month: dt.date, count: int) -> dt.date:
    years, months = divmod(month.year * 12 + month.month - 1 - count, 12)
    return dt.date(years, months + 1, 1)


def oi_lead_lag(days: Mapping[Key, Row], prices: Mapping[Key, Row]) -> Keyed:
    """The profile that holds for a month: pairs whose later day lies in the twelve months before it."""
    answer = Keyed()
    for asset, month in sorted({(asset, date.replace(day=1)) for asset, date in days}):
        first = months_back(month, 12)
        for lag in range(-10, 11):
            pairs = []
            for (a, date), row in days.items():
                later = max(date, date + DAY * lag)
                y = prices.get((asset, date + DAY * lag), {}).get("log_return")
                known = (row["oi_compared_share_1d"] or 0) >= 0.5 and row["oi_log_change_1d"] is not None
                # Prices enter on days the asset has open interest.
                if a == asset and known and first <= later < month and y is not None and (a, date + DAY * lag) in days:
                    pairs.append((row["oi_log_change_1d"], y))
            row = {"lag_days": lag, "pairs": len(pairs), "correlation": None, "correlation_band": None}
            if len(pairs) >= 180:
                row["correlation"] = correlation(*zip(*pairs, strict=True))
            if row["correlation"] is not None:
                x_mean, y_mean = (statistics.fmean(side) for side in zip(*pairs, strict=True))
                products = [((x - x_mean) * (y - y_mean)) ** 2 for x, y in pairs]
                spread = math.prod(len(pairs) * statistics.pvariance(side) for side in zip(*pairs, strict=True))
                row["correlation_band"] = 3.04 * math.sqrt(math.fsum(products) / spread)
            answer[asset, month, lag] = row
        mark_best([answer[asset, month, lag] for lag in range(-10, 11)])
    return answer


def mark_best(profile: Sequence[Row]) -> None:
    for row in profile:
        known = row["correlation"] is not None
        row["is_outside_band"] = abs(row["correlation"]) > row["correlation_band"] if known else None
        row["is_best"] = False
    outside = [row for row in profile if row["is_outside_band"]]
    if outside:
        max(outside, key=lambda row: (abs(row["correlation"]), -abs(row["lag_days"])))["is_best"] = True


def oi_lead_lag_of(world: MarketModel) -> Keyed:
    return oi_lead_lag(oi_trends(world), prices_of(world))


def _split(reported: Mapping[str, Mapping[dt.date, Row]], both: Sequence[str], date: dt.date) -> Row:
    names = ("oi_usd_change_1d", "oi_usd_position_1d", "oi_usd_price_1d", "oi_usd_cross_1d")
    sums = dict.fromkeys(names, 0.0)
    for venue in both:
        now, then = reported[venue][date], reported[venue][date - DAY]
        if now["oi_usd"] is None or then["oi_usd"] is None:
            return dict.fromkeys(names)
        price_now, price_then = now["oi_usd"] / now["oi_base"], then["oi_usd"] / then["oi_base"]
        moved, repriced = now["oi_base"] - then["oi_base"], price_now - price_then
        sums["oi_usd_change_1d"] += now["oi_usd"] - then["oi_usd"]
        sums["oi_usd_position_1d"] += moved * price_then
        sums["oi_usd_price_1d"] += then["oi_base"] * repriced
        sums["oi_usd_cross_1d"] += moved * repriced
    return dict(sums) if both else dict.fromkeys(names)


def _oi_states(
    row: Row,
    date: dt.date,
    level: Mapping[dt.date, float | None],
    change: Mapping[dt.date, float | None],
    segments: Mapping[dt.date, int],
    prices: Mapping[Key, Row],
    asset: str,
) -> Row:
    def same_segment(count: int) -> list[dt.date] | None:
        window = days_before(date, count)
        return window if all(segments.get(d) == segments[date] and level.get(d) is not None for d in window) else None

    def logs(window: list[dt.date]) -> list[float]:
        return [math.log(value) for d in window if (value := level[d]) is not None]

    here, price = level[date], prices.get((asset, date), {})
    z = rank = None
    if here is not None and (window := same_segment(90)):
        z = z_score(math.log(here), logs(window))
    if here is not None and (window := same_segment(365)):
        rank = mid_rank(snapped(math.log(here)), [snapped(value) for value in logs(window)])
    sigma_oi = None
    changes = [change[d] for d in window if change[d] is not None] if (window := same_segment(30)) else []
    if len(changes) == 30:
        sigma_oi = deviation([value for value in changes if value is not None])

    r, sigma, o, growth = (
        price.get("log_return"),
        price.get("realized_vol_30d_daily"),
        row["oi_log_change_1d"],
        row["oi_growth_1d"],
    )
    comparable = (row["oi_compared_share_1d"] or 0) >= 0.5
    quadrant = divergence = expansion = "unknown"
    if comparable and r is not None and sigma is not None and o is not None and sigma_oi is not None:
        signs = (sign_beyond(r, 0.5 * sigma), sign_beyond(o, 0.5 * sigma_oi))
        quadrant = {
            (1, 1): "long_build_up",
            (-1, 1): "short_build_up",
            (1, -1): "short_covering",
            (-1, -1): "long_unwinding",
        }.get(signs, "neutral")
        divergence = (
            "none"
            if r > -sigma
            else {1: "bought_dip", -1: "deleveraging", 0: "neutral"}[sign_beyond(o, 0.5 * sigma_oi)]
        )
    if comparable and r is not None and sigma is not None and growth is not None:
        expansion = "on" if snapped(growth) >= 0.08 and abs(r) <= 0.5 * sigma else "off"

    surge, past = "unknown", [prices.get((asset, d)) for d in days_before(date, 30)]
    known = [p for p in past if p is not None]
    if price and len(known) == 30 and {p["volume_venues"] for p in known} == {price["volume_venues"]}:
        surge = "on" if price["volume_base"] >= quantile([p["volume_base"] for p in known], 0.8) else "off"
    confirmed = "unknown" if "unknown" in (expansion, surge) else "on" if (expansion, surge) == ("on", "on") else "off"
    return {
        "oi_zscore_90d": z,
        "oi_percentile_365d": rank,
        "oi_log_change_sd_30d": sigma_oi,
        "quadrant": quadrant,
        "divergence": divergence,
        "expansion": expansion,
        "volume_surge": surge,
        "expansion_confirmed": confirmed,
    }


def sign_beyond(value: float, border: float) -> int:
    return 1 if value > border else -1 if value < -border else 0


def oi_before(world: MarketModel) -> Callable[[str, str, dt.date], float | None]:
    """Dollars of a venue's open interest at the close before a day, carried over a short silence at that close."""
    prices = prices_of(world)
    days: dict[tuple[str, str], dict[dt.date, Row]] = defaultdict(dict)
    for row in world.tables["marts.fct_open_interest_daily"]:
        days[row["asset"], row["venue"]][row["trade_date"]] = row

    def weight(asset: str, venue: str, date: dt.date) -> float | None:
        reported = days.get((asset, venue), {})
        newest = last_report(reported, date - DAY)
        if newest is None:
            return None
        if newest == date - DAY:
            usd: float | None = reported[newest]["oi_usd"]
            return usd
        close: float | None = prices.get((asset, date - DAY), {}).get("close_usd")
        return None if close is None else reported[newest]["oi_base"] * close

    return weight


def weighted_mean(pairs: Sequence[tuple[float | None, float]]) -> float | None:
    known = [(weight, value) for weight, value in pairs if weight is not None]
    total = math.fsum(weight for weight, _ in known)
    return math.fsum(weight * value for weight, value in known) / total if known and total else None


def composite(rates: Mapping[str, tuple[float, float]], weights: Mapping[str, float | None]) -> Row:
    """One rate for an asset out of (rate_8h, excess_rate_8h) per venue."""
    venues = sorted(rates)
    by_weight = [(weights[venue], rates[venue][0]) for venue in venues]
    weighing = [weight for weight, _ in by_weight if weight is not None]
    mean = weighted_mean(by_weight)
    weighted = len(weighing) >= 0.5 * len(venues)
    x = weighted_mean([(weights[venue], rates[venue][1]) for venue in venues])
    spread = None
    if mean is not None and len(weighing) > 1:
        squares = math.fsum(weight * (rate - mean) ** 2 for weight, rate in by_weight if weight is not None)
        spread = math.sqrt(squares / math.fsum(weighing))
    median = statistics.median(rate for _, rate in by_weight)
    chosen_rate, chosen_x = (mean, x) if weighted else (median, statistics.median(rates[venue][1] for venue in venues))
    assert chosen_rate is not None
    assert chosen_x is not None
    return {
        "rate_8h": snapped(chosen_rate),
        "excess_rate_8h": snapped(chosen_x),
        "neutral_rate_8h": chosen_rate - chosen_x,
        "rate_basis": "oi_weighted" if weighted else "median",
        "rate_8h_oi_weighted": mean,
        "rate_8h_median": median,
        "rate_8h_dispersion": spread,
        "venues_present": len(venues),
        "venues_weighted": len(weighing),
    }


def classify(x: float, percentile: float) -> str:
    if abs(x) <= 0.00001:
        return "neutral"
    if x > 0:
        return "extreme_positive" if percentile >= 97.5 else "elevated" if percentile >= 90 else "mild_positive"
    return "extreme_negative" if percentile <= 2.5 else "depressed" if percentile <= 10 else "negative"


class Regime:
    """Walks step by step: a class seen three times in a row is the regime, unless an extreme still holds it back."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.regime = "unknown"
        self.lately: list[tuple[str, float]] = []

    def step(self, x: float, percentile: float) -> str:
        self.lately = [*self.lately[-2:], (classify(x, percentile), percentile)]
        classes = {name for name, _ in self.lately}
        if len(self.lately) == 3 and len(classes) == 1:
            holds_high = self.regime == "extreme_positive" and any(p >= 90 for _, p in self.lately)
            holds_low = self.regime == "extreme_negative" and any(p <= 10 for _, p in self.lately)
            if not holds_high and not holds_low:
                self.regime = self.lately[-1][0]
        return self.regime


def walk(steps: Sequence[tuple[object, Row | None]], *, window: int) -> dict[object, Row]:
    """Percentile, class, regime and run of the sign at each step; a missing step empties every memory."""
    answer: dict[object, Row] = {}
    xs: list[float] = []
    regime, sign, run = Regime(), 0, 0
    for key, step in steps:
        if step is None:
            regime.forget()
            xs, run = [], 0
            continue
        new_sign = (step["rate_8h"] > 0) - (step["rate_8h"] < 0)
        run = run + 1 if run and new_sign == sign else 1
        sign = new_sign
        row: Row = {"sign_run_length": run, "rate_sign": {1: "positive", 0: "zero", -1: "negative"}[sign]}
        row |= {
            "excess_rate_8h_at_close": step["excess_rate_8h"],
            "excess_rate_percentile_90d": None,
            "regime": "unknown",
            "regime_class": "unknown",
        }
        if len(xs) >= window:
            percentile = mid_rank(step["excess_rate_8h"], xs[-window:])
            row["excess_rate_percentile_90d"] = percentile
            row["regime_class"] = classify(step["excess_rate_8h"], percentile)
            row["regime"] = regime.step(step["excess_rate_8h"], percentile)
        xs.append(step["excess_rate_8h"])
        answer[key] = row | {"rate": step["rate_8h"], "x": step["excess_rate_8h"]}
    return answer


def funding_regimes(world: MarketModel) -> dict[Key, Row]:
    weight, answer = oi_before(world), {}
    volumes = {
        (row["asset"], row["venue"], row["trade_date"]): row["volume_usd"]
        for row in world.tables["intermediate.int_candles_daily"]
    }
    settled = by_series(world.tables["intermediate.int_funding_settlements"], "venue")
    for asset, series in by_series(world.tables["marts.fct_funding_daily"], "venue").items():
        daily: dict[dt.date, Row] = {}
        dates = span(date for days in series.values() for date in days)
        for date in dates:
            today = {venue: days[date][0] for (venue,), days in series.items() if date in days}
            if not today:
                continue
            rates = {venue: (row["rate_8h"], row["rate_8h"] - row["neutral_rate_8h"]) for venue, row in today.items()}
            daily[date] = composite(rates, {venue: weight(asset, venue, date) for venue in today})
            traded = [(volumes.get((asset, venue, date - DAY)), rates[venue][0]) for venue in sorted(rates)]
            daily[date]["rate_8h_volume_weighted"] = weighted_mean(traded)
        frequencies = {
            "daily": walk([((asset, date), daily.get(date)) for date in dates], window=90),
            "settlement": _settlement_walk(asset, settled.get(asset, {}), weight),
        }
        for date in dates:
            row = dict(daily.get(date, {}))
            row["venues_expected"] = sum(last_report(days, date) is not None for days in series.values())
            window = [daily[d]["rate_8h"] for d in days_before(date, 30) if d in daily]
            row["rate_8h_sd_30d"] = snapped(deviation(window)) if len(window) == 30 else None
            answer[asset, date] = row | _close(asset, date, frequencies)
            intervals = [
                (r["interval_hours"], r["interval_changed"]) for days in series.values() for r in days.get(date, ())
            ]
            row = answer[asset, date]
            row["interval_changes"] = sum(changed for _, changed in intervals) if intervals else None
            row["interval_hours_min"] = min((hours for hours, _ in intervals), default=None)
            row["interval_hours_max"] = max((hours for hours, _ in intervals), default=None)
            row |= _health(answer, daily, asset, date)
        _count_days(answer, asset, dates)
    return answer


def _health(answer: Mapping[Key, Row], daily: Mapping[dt.date, Row], asset: str, date: dt.date) -> Row:
    week = [daily[d]["rate_8h"] for d in days_before(date, 7) if d in daily]
    year = [answer.get((asset, d), {}).get("rate_8h_sd_30d") for d in days_before(date, 365)]
    month = [answer.get((asset, d), {}).get("interval_changes") for d in days_before(date, 30)]
    mean = snapped(statistics.fmean(week)) if len(week) == 7 else None
    known = [sd for sd in year if sd is not None]
    median = statistics.median(known) if len(known) == 365 else None
    sd, healthy = answer[asset, date]["rate_8h_sd_30d"], "unknown"
    if mean is not None and median is not None and sd is not None:
        healthy = "on" if 0.000037 <= mean <= 0.000072 and sd < snapped(median) else "off"
    return {
        "rate_8h_mean_7d": mean,
        "rate_8h_sd_median_365d": median,
        "healthy_market": healthy,
        "interval_changes_30d": sum(month) if None not in month else None,
    }


def _settlement_walk(
    asset: str,
    series: Mapping[tuple[str, ...], Mapping[dt.date, Sequence[Row]]],
    weight: Callable[[str, str, dt.date], float | None],
) -> dict[object, Row]:
    if not series:
        return {}
    steps: list[tuple[object, Row | None]] = []
    for date in span(date for days in series.values() for date in days):
        for slot in range(3):
            rates = {}
            for (venue,), days in series.items():
                inside = [row for row in days.get(date, ()) if row["settled_at"].hour // 8 == slot]
                if inside:
                    rates[venue] = (
                        statistics.fmean(row["rate_8h"] for row in inside),
                        statistics.fmean(row["excess_rate_8h"] for row in inside),
                    )
            weights = {venue: weight(asset, venue, date) for venue in rates}
            steps.append(((asset, date, slot), composite(rates, weights) if rates else None))
    return walk(steps, window=270)


def _close(asset: str, date: dt.date, frequencies: Mapping[str, Mapping[object, Row]]) -> Row:
    keys: dict[str, list[object]] = {"settlement": [(asset, date, slot) for slot in range(3)], "daily": [(asset, date)]}
    found: Row | None = None
    for frequency in ("settlement", "daily"):
        steps = [frequencies[frequency].get(key) for key in keys[frequency]]
        close = steps[-1]
        if all(step is None for step in steps):
            continue
        row: Row = {
            "input_grain": frequency,
            "excess_rate_8h_at_close": None,
            "excess_rate_percentile_90d": None,
            "regime": "unknown",
        }
        row |= {"regime_class": "unknown", "rate_sign": "unknown", "sign_run_length": None}
        row |= {} if close is None else {name: close[name] for name in row if name in close}
        month = [
            frequencies[frequency].get(key) for d in days_before(date, 30) for key in _keys_of(frequency, asset, d)
        ]
        known = [step for step in month if step is not None]
        full = len(known) == len(month)
        row["positive_share_30d"] = sum(step["rate"] > 0 for step in known) / len(month) if full else None
        row["above_neutral_share_30d"] = sum(step["x"] > 0 for step in known) / len(month) if full else None
        ranks = [None if step is None else step["excess_rate_percentile_90d"] for step in steps]
        row["inside"] = all(rank is not None and 10 < rank < 90 for rank in ranks)
        if row["excess_rate_percentile_90d"] is not None:
            return row
        found = found or row
    return found or {
        "input_grain": "none",
        "regime": "unknown",
        "regime_class": "unknown",
        "inside": False,
        "rate_sign": "unknown",
    }


def _keys_of(frequency: str, asset: str, date: dt.date) -> list[object]:
    return [(asset, date)] if frequency == "daily" else [(asset, date, slot) for slot in range(3)]


def _count_days(answer: dict[Key, Row], asset: str, dates: Sequence[dt.date]) -> None:
    """Days in the regime, and the day on which an extreme has given way to three calm days."""
    regime, days, calm, known, pending = "", 0, 0, 0, False
    for date in dates:
        row = answer[asset, date]
        days = days + 1 if row["regime"] == regime else 1
        regime = row["regime"]
        calm = calm + 1 if row["inside"] else 0
        known = 0 if regime == "unknown" else known + 1
        row["days_in_regime"] = None if regime == "unknown" else days
        if regime.startswith("extreme"):
            pending = True
        answered = not regime.startswith("extreme") and regime != "unknown" and calm >= 3
        row["normalization"] = "unknown" if known < 3 else "on" if answered and pending else "off"
        if answered or regime == "unknown":
            pending = False
