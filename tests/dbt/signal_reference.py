"""The signals computed again from their definitions: plain loops, day by day. Shares no code and no technique with the SQL."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.dbt.trend_fixture import MarketModel, Row
from tests.dbt.trend_reference import DAY, days_before, mid_rank, snapped, span

Key = tuple[str, dt.date, str]
Number = float | None

SIGN = {"up": 1, "risk_up": 1, "down": -1, "risk_down": -1}
PRICE = {"up", "down"}
BAD_NEWS = {"down", "risk_up"}
MART = {
    "oi": "marts.oi_trends_daily",
    "funding": "marts.funding_regimes_daily",
    "positioning": "marts.positioning_divergence_daily",
    "options": "marts.options_structure_daily",
    "leverage": "marts.leverage_daily",
    "comparison": "marts.liquidation_comparison_daily",
    "zones": "intermediate.int_liquidation_zones_daily",
    "cascades": "intermediate.int_cascade_days",
    "liquidations": "intermediate.int_liquidation_days",
}
SIGNALS_READ = [mart for mart in MART if mart != "cascades"]


def above(percentile: Number, border: Number) -> Number:
    if percentile is None or border is None:
        return None
    return max(0.0, percentile - border) / (100 - border) if border < 100 else 0.0


def below(percentile: Number, border: Number) -> Number:
    return None if percentile is None or border is None else above(100 - percentile, 100 - border)


def weaker(*parts: Number) -> Number:
    known = [part for part in parts if part is not None]
    return min(known) if len(known) == len(parts) else None


@dataclass(frozen=True)
class Asset:
    """An asset's rows by mart and day; a day a mart is silent about has an empty row."""

    rows: dict[str, dict[dt.date, Row]]

    def row(self, mart: str, date: dt.date) -> Row:
        return self.rows[mart].get(date, {})

    def told(self, mart: str, date: dt.date, measure: Callable[[Row], Number]) -> Number:
        row = self.row(mart, date)
        return measure(row) if row else None

    def window(self, mart: str, date: dt.date, measure: Callable[[Row], Number], days: int) -> list[float] | None:
        """The values of the days before, snapped; None where one of them is missing."""
        values = [self.told(mart, before, measure) for before in days_before(date, days)]
        known = [snapped(value) for value in values if value is not None]
        return known if len(known) == days else None

    def rank(self, mart: str, date: dt.date, measure: Callable[[Row], Number], days: int) -> Number:
        value, window = self.told(mart, date, measure), self.window(mart, date, measure, days)
        return None if value is None or window is None else mid_rank(snapped(value), window)


def past(value: Number, level: Number) -> Number:
    """The share of a value that is past a level above it; 0 up to the level."""
    if value is None or level is None:
        return None
    return 1 - level / snapped(value) if snapped(value) > level else 0.0


def state_is(word: str, said: str | None) -> str:
    if said is None or said == "unknown":
        return "unknown"
    return "on" if said == word else "off"


def judged(condition: bool | None) -> str:
    return "unknown" if condition is None else "on" if condition else "off"


def _growth(row: Row) -> Number:
    return row["oi_growth_1d"]  # type: ignore[no-any-return]


def _sigmas(row: Row) -> Number:
    change, sd = row["oi_log_change_1d"], row["oi_log_change_sd_30d"]
    return None if change is None or sd is None else change / sd


def _minus_sigmas(row: Row) -> Number:
    value = _sigmas(row)
    return None if value is None else -value


def _lead(counterpart: str) -> Callable[[Row], Number]:
    def lead(row: Row) -> Number:
        divergence = row[f"exchange_{counterpart}_zscore_divergence"]
        return None if divergence is None else -divergence

    return lead


def _cell(oi: Number, funding: Number) -> str:
    if oi is None or funding is None:
        return "unknown"
    high, low = oi >= 80, oi <= 20
    if funding >= 80:
        return "top_risk" if high else "chase" if low else "none"
    if funding <= 20:
        return "upside_setup" if high else "bottom_zone" if low else "none"
    return "none"


def states_and_pasts(asset: Asset, date: dt.date) -> dict[str, tuple[str, Number]]:
    """State and distance past the threshold of every signal on a day, whatever the state."""
    oi, funding, positioning = (asset.row(mart, date) for mart in ("oi", "funding", "positioning"))
    zone, comparison = asset.row("zones", date), asset.row("comparison", date)
    x, accounts = funding.get("excess_rate_percentile_90d"), positioning.get("account_long_share_percentile_90d")
    put_call, score = (
        positioning.get("put_call_oi_percentile_90d"),
        asset.row("leverage", date).get("systemic_risk_score"),
    )
    level = asset.rank("oi", date, lambda row: row["oi_zscore_90d"], 90)
    cell, distance = _cell(level, x), zone.get("nearest_zone_distance")
    healthy = below(asset.rank("funding", date, lambda row: row["rate_8h_sd_30d"], 365), 50)
    volume = past(oi.get("volume_base"), oi.get("volume_high_30d"))
    near = zone.get("zone_state") in ("inside", "near")
    answer: dict[str, tuple[str, Number]] = {
        "oi_expansion": (oi.get("expansion", "unknown"), past(asset.told("oi", date, _growth), 0.08)),
        "oi_expansion_confirmed": (oi.get("expansion_confirmed", "unknown"), volume),
        "bought_dip": (
            state_is("bought_dip", oi.get("divergence")), past(asset.told("oi", date, _sigmas), 0.5)
        ),
        "deleveraging": (
            state_is("deleveraging", oi.get("divergence")), past(asset.told("oi", date, _minus_sigmas), 0.5)
        ),
        "healthy_funding": (funding.get("healthy_market", "unknown"), healthy),
        "funding_normalization": (
            funding.get("normalization", "unknown"), None if x is None else max(0.0, 40 - abs(x - 50)) / 40
        ),
        "dense_liquidation_zone": (
            judged(near if zone.get("zone_state", "unknown") != "unknown" else None),
            1 - abs(distance) / 0.02 if near and distance is not None else 0.0,
        ),
        "capitulation": (
            positioning.get("capitulation", "unknown"), weaker(above(put_call, 90), above(accounts, 70))
        ),
        "upside_setup": (state_is("upside_setup", cell), weaker(above(level, 80), below(x, 20))),
        "extreme_positive_funding": (state_is("extreme_positive", funding.get("regime")), above(x, 90)),
        "extreme_negative_funding": (state_is("extreme_negative", funding.get("regime")), below(x, 10)),
        "top_risk": (state_is("top_risk", cell), weaker(above(level, 80), above(x, 80))),
        "bottom_zone": (state_is("bottom_zone", cell), weaker(below(level, 20), below(x, 20))),
        "large_liquidations": (
            asset.row("cascades", date).get("state", "unknown"),
            asset.row("cascades", date).get("border_excess"),
        ),
        "systemic_risk": (judged(None if score is None else score >= 72), above(score, 72)),
        "long_crowded": (state_is("long_crowded", positioning.get("positioning_extreme")), above(accounts, 97.5)),
        "short_crowded": (state_is("short_crowded", positioning.get("positioning_extreme")), below(accounts, 2.5)),
    }  # fmt: skip
    for counterpart in ("lending", "perp_dex"):
        lead, own = asset.told("comparison", date, _lead(counterpart)), comparison.get(f"{counterpart}_zscore_90d")
        answer[f"{counterpart}_stress"] = (
            judged(None if lead is None or own is None else lead >= 1 and own > 0),
            past(lead, 1.0),
        )
    return answer


def strength(state: str, distance: Number) -> Number:
    if state == "unknown":
        return None
    return 0.01 + 0.99 * (distance or 0.0) if state == "on" else 0.0


READS = {
    "oi_expansion": ["oi"], "oi_expansion_confirmed": ["oi"], "bought_dip": ["oi"], "deleveraging": ["oi"],
    "healthy_funding": ["funding"], "funding_normalization": ["funding"], "dense_liquidation_zone": ["zones", "liquidations"],
    "capitulation": ["positioning", "options"], "upside_setup": ["oi", "funding"],
    "extreme_positive_funding": ["funding"], "extreme_negative_funding": ["funding"],
    "top_risk": ["oi", "funding"], "bottom_zone": ["oi", "funding"], "large_liquidations": ["liquidations"],
    "systemic_risk": ["leverage"], "long_crowded": ["positioning"], "short_crowded": ["positioning"],
    "lending_stress": ["comparison"], "perp_dex_stress": ["comparison"],
}  # fmt: skip


def assets(world: MarketModel) -> dict[str, Asset]:
    names = {row["asset"] for rows in world.tables.values() for row in rows}
    return {
        name: Asset(
            {
                mart: {row["trade_date"]: row for row in world.tables[table] if row["asset"] == name}
                for mart, table in MART.items()
            }
        )
        for name in names
    }


def known_at(asset: Asset, marts: Iterable[str], date: dt.date) -> dt.datetime:
    """When the last of the marts' rows up to the day was known, and not before the day ended."""
    latest = dt.datetime.combine(date + DAY, dt.time())
    for mart in marts:
        latest = max([latest, *(row["available_at"] for told, row in asset.rows[mart].items() if told <= date)])
    return latest


def signals(world: MarketModel, directions: dict[str, str]) -> dict[Key, Row]:
    answer: dict[Key, Row] = {}
    for name, asset in assets(world).items():
        for date in span(told for mart in SIGNALS_READ for told in asset.rows[mart]):
            for signal, (state, distance) in states_and_pasts(asset, date).items():
                answer[name, date, signal] = {
                    "state": state,
                    "strength": strength(state, distance),
                    "available_at": known_at(asset, READS[signal], date),
                }
    return answer


def matrix(answer: dict[Key, Row], directions: dict[str, str]) -> dict[tuple[str, dt.date], Row]:
    days: dict[tuple[str, dt.date], dict[str, Row]] = {}
    for (asset, date, signal), row in answer.items():
        days.setdefault((asset, date), {})[signal] = row
    return {key: combined(rows, directions) for key, rows in days.items()}


def combined(rows: dict[str, Row], directions: dict[str, str]) -> Row:
    known = {signal: row["strength"] for signal, row in rows.items() if row["strength"] is not None}

    def mean(values: Sequence[float]) -> Number:
        return math.fsum(values) / len(values) if values else None

    return {
        "combined_score": mean(
            [-value if directions[signal] in BAD_NEWS else value for signal, value in known.items()]
        ),
        "price_score": mean(
            [SIGN[directions[signal]] * value for signal, value in known.items() if directions[signal] in PRICE]
        ),
        "risk_score": mean(
            [SIGN[directions[signal]] * value for signal, value in known.items() if directions[signal] not in PRICE]
        ),
        "strengths_known": len(known),
        "signals_known": sum(row["state"] != "unknown" for row in rows.values()),
        "signals_on": sum(row["state"] == "on" for row in rows.values()),
        "score_inputs": ",".join(signal for signal in directions if signal in known) or None,
        "available_at": max(row["available_at"] for row in rows.values()),
        **{f"{signal}_state": row["state"] for signal, row in rows.items()},
        **{f"{signal}_strength": row["strength"] for signal, row in rows.items()},
    }
