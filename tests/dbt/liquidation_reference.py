"""The liquidation marts computed a second time, day by day in plain Python, from the clean rows of liquidation_world.

Other algorithms than the models': edges of bins by bisection, windows by slicing, cascades by walking along the minutes.
"""

from __future__ import annotations

import bisect
import datetime as dt
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tests.dbt.liquidation_fixture import (
    ASSETS,
    FEED_DOWN,
    INSTRUMENT,
    MULTIPLIER,
    WITH_EVENTS,
    MarketModel,
    Row,
    day,
    midnight,
)

LOWEST_BIN = -4000
EDGES = [1.0025**number for number in range(LOWEST_BIN, 4001)]
MINUTE = dt.timedelta(minutes=1)
Key = tuple[object, ...]


def bin_of(price: float) -> int:
    return LOWEST_BIN + bisect.bisect_right(EDGES, price) - 1


def edge(number: int) -> float:
    return EDGES[number - LOWEST_BIN]


@dataclass
class Bin:
    usd: dict[str, float] = field(default_factory=lambda: {"long": 0.0, "short": 0.0, "unknown": 0.0})
    at_close: float = 0.0
    grains: set[str] = field(default_factory=set)

    @property
    def total(self) -> float:
        return math.fsum(self.usd.values())


@dataclass
class Day:
    """An asset's day: dollars known (None outside coverage), their bins and their minutes."""

    close: float | None
    has_events: bool = False
    notional: float | None = None
    bins: dict[int, Bin] = field(default_factory=lambda: defaultdict(Bin))
    minutes: dict[dt.datetime, dict[str, float]] = field(
        default_factory=lambda: defaultdict(lambda: {"long": 0.0, "short": 0.0, "events": 0.0})
    )

    def add(self, usd: float, *, side: str, price: float | None) -> None:
        self.notional = (self.notional or 0.0) + usd
        place = price if price is not None else self.close
        if place is not None and usd > 0:
            held = self.bins[bin_of(place)]
            held.usd[side] += usd
            held.at_close += usd if price is None else 0.0
            held.grains.add("daily_close" if price is None else "event")


def days(world: MarketModel) -> dict[str, list[Day]]:
    asset_of = {instrument: asset for asset, instrument in INSTRUMENT.items()}
    events: dict[tuple[str, dt.date], list[Row]] = defaultdict(list)
    for row in world.events:
        if not row["is_adl"]:
            events[asset_of[row["instrument"]], row["trade_date"]].append(row)
    totals = {(asset_of[row["instrument"]], row["trade_date"]): row for row in world.totals}
    last_close: dict[tuple[str, dt.date], float] = {}
    for asset, series in world.closes.items():
        for at in sorted(series):
            last_close[asset, (at - MINUTE).date()] = series[at]

    made: dict[str, list[Day]] = {}
    for asset in ASSETS:
        made[asset] = []
        for number in range(world.days):
            key = (asset, day(number))
            held = Day(close=last_close.get(key))
            if asset in WITH_EVENTS and number not in FEED_DOWN:
                _take_events(held, events[key], MULTIPLIER[asset])
            elif key in totals:
                _take_totals(held, totals[key])
            made[asset].append(held)
    return made


def _take_events(held: Day, rows: Sequence[Row], multiplier: float) -> None:
    for row in rows:
        usd, price = row["notional_usd"], row["price"]
        if usd is None and held.close is not None:
            usd = row["quantity_base"] * multiplier * held.close
        if usd is None:
            continue
        held.add(usd, side=row["side"], price=None if price is None else price / multiplier)
        minute = held.minutes[row["occurred_at"].replace(second=0)]
        minute[row["side"]] += usd
        minute["events"] += 1
    held.notional = held.notional or 0.0
    held.has_events = True


def _take_totals(held: Day, row: Row) -> None:
    for side in ("long", "short"):
        usd, base = row[f"{side}_usd"], row[f"{side}_base"]
        if usd is None and held.close is not None:
            usd = base * held.close
        if usd is not None:
            held.add(usd, side=side, price=None)
    if row["total_usd"] is not None:
        held.add(row["total_usd"] - row["long_usd"] - row["short_usd"], side="unknown", price=None)


def known_before(series: Sequence[Day], number: int, *, of: int) -> int:
    return sum(held.notional is not None for held in series[max(0, number - of) : number])


def color_scale(series: Sequence[Day]) -> tuple[float, float]:
    """Ends of an asset's scale as ln(1 + dollars), from the 365 days up to its newest day with a bin."""
    newest = max((number for number, held in enumerate(series) if held.bins), default=0)
    year = [math.log1p(b.total) for held in series[max(0, newest - 364) : newest + 1] for b in held.bins.values()]
    return (float(np.quantile(year, 0.1)), float(np.quantile(year, 0.95))) if year else (0.0, 1.0)


def heatmap(world: MarketModel) -> dict[Key, Row]:
    rows: dict[Key, Row] = {}
    for asset, series in days(world).items():
        purple, yellow = color_scale(series)
        for number, held in enumerate(series):
            before = [b.total for other in series[max(0, number - 90) : number] for b in other.bins.values()]
            border = float(np.quantile(before, 0.9)) if before else None
            is_full = known_before(series, number, of=90) == 90
            dense = {no for no, b in held.bins.items() if is_full and border is not None and b.total > border}
            for no, b in held.bins.items():
                low, high = no, no
                while low - 1 in dense:
                    low -= 1
                while high + 1 in dense:
                    high += 1
                rows[asset, day(number), no] = {
                    "price_low_usd": edge(no),
                    "price_high_usd": edge(no + 1),
                    "notional_usd": b.total,
                    "long_usd": b.usd["long"],
                    "short_usd": b.usd["short"],
                    "side_unknown_usd": b.usd["unknown"],
                    "placed_at_close_usd": b.at_close,
                    "input_grain": next(iter(b.grains)) if len(b.grains) == 1 else "mixed",
                    "density_rank": 1 + sum(other.total > b.total for other in held.bins.values()),
                    "dense_border_usd": border,
                    "is_dense": no in dense if is_full and border is not None else None,
                    "cluster_id": low if no in dense else None,
                    "cluster_low_usd": edge(low) if no in dense else None,
                    "cluster_high_usd": edge(high + 1) if no in dense else None,
                    "cluster_usd": sum(held.bins[n].total for n in range(low, high + 1)) if no in dense else None,
                    "close_usd": held.close,
                    "distance_to_close": None if held.close is None else _distance(no, no, held.close),
                    "color_value": float(np.clip((math.log1p(b.total) - purple) / (yellow - purple), 0, 1)),
                    "color_low_usd": math.expm1(purple),
                    "color_high_usd": math.expm1(yellow),
                    "days_known": known_before(series, number, of=90),
                }
    return rows


def _distance(low_bin: int, high_bin: int, close: float) -> float:
    if bin_of(close) < low_bin:
        return edge(low_bin) / close - 1
    return edge(high_bin + 1) / close - 1 if bin_of(close) > high_bin else 0.0


def zones(world: MarketModel) -> dict[Key, Row]:
    rows: dict[Key, Row] = {}
    for asset, series in days(world).items():
        first = next(number for number, held in enumerate(series) if held.notional is not None)
        for number, held in enumerate(series[first:], start=first):
            row: Row = {"zone_state": "unknown", "zones": None, "nearest_zone_distance": None, "zone_usd": None}
            if known_before(series, number, of=90) == 90 and held.close is not None:
                row = _zone(series[number - 90 : number], held.close)
            rows[asset, day(number)] = {**row, "days_known": known_before(series, number, of=90)}
    return rows


def _zone(before: Sequence[Day], close: float) -> Row:
    steps: dict[int, float] = defaultdict(float)
    for held in before:
        for no, b in held.bins.items():
            steps[no // 4] += b.total
    border = float(np.quantile([*steps.values()], 0.9))
    found: list[list[int]] = []
    for step in sorted(step for step, usd in steps.items() if usd > border):
        if found and found[-1][-1] == step - 1:
            found[-1].append(step)
        else:
            found.append([step])
    best = min(
        (abs(_distance(4 * zone[0], 4 * zone[-1] + 3, close)), -sum(steps[step] for step in zone), zone)
        for zone in found
    )
    distance = _distance(4 * best[2][0], 4 * best[2][-1] + 3, close)
    return {
        "zone_state": "inside" if distance == 0 else "near" if abs(distance) < 0.02 else "outside",
        "zones": len(found),
        "nearest_zone_distance": distance,
        "nearest_zone_low_usd": edge(4 * best[2][0]),
        "nearest_zone_high_usd": edge(4 * best[2][-1] + 4),
        "zone_usd": -best[1],
    }


@dataclass
class Cascade:
    hot: list[dt.datetime]


def _judges_minutes(series: Sequence[Day], number: int) -> bool:
    week = series[number - 7 : number] if number >= 7 else []
    return series[number].has_events and len(week) == 7 and all(held.has_events for held in week)


def hot_minutes(series: Sequence[Day]) -> list[dt.datetime]:
    hot: list[dt.datetime] = []
    for number, held in enumerate(series):
        if not _judges_minutes(series, number):
            continue
        active = [m["long"] + m["short"] for other in series[number - 7 : number] for m in other.minutes.values()]
        border = 10 * statistics.median(active)
        hot += [
            at for at, m in held.minutes.items() if m["long"] + m["short"] > border and m["long"] + m["short"] >= 10_000
        ]
    return sorted(hot)


def _cascades(hot: Sequence[dt.datetime]) -> list[Cascade]:
    made: list[Cascade] = []
    for at in hot:
        if made and at - made[-1].hot[-1] <= 3 * MINUTE:
            made[-1].hot.append(at)
        else:
            made.append(Cascade([at]))
    return made


def _at_once(hot: Mapping[str, Sequence[dt.datetime]], at: dt.datetime) -> int:
    return sum(any(at - 3 * MINUTE <= other <= at for other in series) for series in hot.values())


def daily_verdict(series: Sequence[Day], number: int) -> tuple[str, float] | None:
    """on or off by the day's total, with the border; None where it cannot be judged so."""
    before = [held.notional for held in series[max(0, number - 90) : number] if held.notional is not None]
    total = series[number].notional
    if _judges_minutes(series, number) or len(before) < 90 or total is None:
        return None
    border = float(np.quantile(before, 0.975))
    return ("on" if total > border else "off"), border


def cascades(world: MarketModel) -> dict[Key, Row]:
    rows: dict[Key, Row] = {}
    market = days(world)
    hot = {asset: hot_minutes(series) for asset, series in market.items()}
    on = on_days(world)
    for asset, series in market.items():
        for cascade in _cascades(hot[asset]):
            start, end = cascade.hot[0], cascade.hot[-1] + MINUTE
            minutes = {
                at: m
                for number in {(start.date() - day(0)).days, (cascade.hot[-1].date() - day(0)).days}
                for at, m in series[number].minutes.items()
                if start <= at < end
            }
            size = {at: m["long"] + m["short"] for at, m in minutes.items()}
            at_once = max(_at_once(hot, at) for at in cascade.hot)
            rows[asset, f"{asset} {start}"] = {
                "ended_at": end,
                "input_grain": "minute",
                "peak_at": min(at for at in size if size[at] == max(size.values())),
                "peak_minute_usd": max(size.values()),
                "notional_usd": math.fsum(size.values()),
                "long_usd": math.fsum(m["long"] for m in minutes.values()),
                "short_usd": math.fsum(m["short"] for m in minutes.values()),
                "events": sum(m["events"] for m in minutes.values()),
                "assets_at_once": at_once,
                "is_market_wide": at_once >= 3,
                **_moves(world.closes[asset], start, end),
            }
        for number, held in enumerate(series):
            verdict = daily_verdict(series, number)
            if verdict is None or verdict[0] != "on":
                continue
            rows[asset, f"{asset} {midnight(number)}"] = {
                "ended_at": midnight(number + 1),
                "input_grain": "daily",
                "peak_at": None,
                "notional_usd": held.notional,
                "events": None,
                "assets_at_once": len(on[day(number)]),
                "is_market_wide": len(on[day(number)]) >= 3,
                "price_move": _return(series, number),
                "move_after_1h": None,
                "move_after_24h": _return(series, number + 1),
            }
    return rows


def _return(series: Sequence[Day], number: int) -> float | None:
    if not 0 < number < len(series):
        return None
    first, last = series[number - 1].close, series[number].close
    return None if first is None or last is None else math.log(last / first)


def _moves(closes: Mapping[dt.datetime, float], start: dt.datetime, end: dt.datetime) -> Row:
    grid = 5 * MINUTE
    before = midnight(0) + (start - midnight(0)) // grid * grid
    behind = midnight(0) - (midnight(0) - end) // grid * grid
    first, last = closes.get(before), closes.get(behind)
    if first is None or last is None:
        return {"price_grain": None, "price_move": None, "move_after_1h": None, "move_after_24h": None}
    hour, later = closes.get(behind + 60 * MINUTE), closes.get(behind + 1440 * MINUTE)
    return {
        "price_grain": "5m",
        "price_move": math.log(last / first),
        "move_after_1h": None if hour is None else math.log(hour / last),
        "move_after_24h": None if later is None else math.log(later / last),
    }


def on_days(world: MarketModel) -> dict[dt.date, set[str]]:
    on: dict[dt.date, set[str]] = defaultdict(set)
    for asset, series in days(world).items():
        for at in hot_minutes(series):
            on[at.date()].add(asset)
        for number in range(len(series)):
            verdict = daily_verdict(series, number)
            if verdict is not None and verdict[0] == "on":
                on[day(number)].add(asset)
    return on


def cascade_days(world: MarketModel) -> dict[Key, Row]:
    rows: dict[Key, Row] = {}
    market, on = days(world), on_days(world)
    hot = {asset: hot_minutes(series) for asset, series in market.items()}
    for asset, series in market.items():
        started = {at: cascade.hot[0] for cascade in _cascades(hot[asset]) for at in cascade.hot}
        first = next(number for number, held in enumerate(series) if held.notional is not None)
        for number, held in enumerate(series[first:], start=first):
            row: Row = {"state": "unknown", "input_grain": "none", "cascades": None, "cascade_usd": None}
            verdict = daily_verdict(series, number)
            if _judges_minutes(series, number):
                hits = [at for at in hot[asset] if at.date() == day(number)]
                row = {
                    "state": "on" if hits else "off",
                    "input_grain": "minute",
                    "cascades": len({started[at] for at in hits}),
                    "cascade_usd": math.fsum(held.minutes[at]["long"] + held.minutes[at]["short"] for at in hits),
                    "assets_at_once": max((_at_once(hot, at) for at in hits), default=0),
                }
            elif verdict is not None:
                is_on = verdict[0] == "on"
                row = {
                    "state": verdict[0],
                    "input_grain": "daily",
                    "cascades": int(is_on),
                    "cascade_usd": held.notional if is_on else 0.0,
                    "assets_at_once": len(on[day(number)]) if is_on else 0,
                    "daily_border_usd": verdict[1],
                    "border_excess": 1 - verdict[1] / held.notional if is_on and held.notional else None,
                }
            rows[asset, day(number)] = {**row, "notional_usd": held.notional}
    return rows
