"""The columns of the marts about leverage and crowding, computed again from the definitions: plain loops, day by day.

Shares no code and no technique with the SQL. Open interest across venues is trend_reference's.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Mapping

from tests.dbt import trend_reference
from tests.dbt.risk_fixture import RATIOS
from tests.dbt.trend_fixture import MarketModel, Row
from tests.dbt.trend_reference import DAY, Key, by_series, days_before, last_report, mid_rank, snapped, span

Series = Mapping[dt.date, float | None]


def rank_in_past(series: Series, date: dt.date, count: int) -> float | None:
    value, window = series.get(date), [series.get(before) for before in days_before(date, count)]
    known = [snapped(member) for member in window if member is not None]
    if value is None or len(known) < count:
        return None
    return mid_rank(snapped(value), known)


def herfindahl(amounts: list[float]) -> float:
    return math.fsum((amount / math.fsum(amounts)) ** 2 for amount in amounts)


def leverage(world: MarketModel) -> dict[Key, Row]:
    trends = trend_reference.oi_trends(world)
    liquidations = {(r["asset"], r["trade_date"]): r for r in world.tables["marts.liquidation_comparison_daily"]}
    answer: dict[Key, Row] = {}
    for asset, venues in by_series(world.tables["marts.fct_open_interest_daily"], "venue").items():
        reported = {
            venue: {date: rows[0]["oi_base"] for date, rows in days.items()} for (venue,), days in venues.items()
        }
        turnover = _oi_to_volume(world, asset, reported)
        dates = span(date for days in reported.values() for date in days)
        linked_usd: dict[dt.date, float | None] = {}
        linked_hhi: dict[dt.date, float | None] = {}
        began: dict[dt.date, dt.date] = {}
        for date in dates:
            row, before = trends[asset, date], linked_hhi.get(date - DAY)
            goes_on = row["oi_growth_1d"] is not None and before is not None
            began[date] = began[date - DAY] if goes_on else date
            linked_hhi[date] = row["oi_hhi"]
            if before is not None and goes_on:
                both = [days for days in reported.values() if date in days and date - DAY in days]
                now, then = (herfindahl([days[d] for days in both]) for d in (date, date - DAY))
                linked_hhi[date] = before * now / then
            known = row["oi_usd"] is not None
            linked_usd[date] = math.log(row["oi_usd"] * row["oi_base_chain_linked"] / row["oi_base"]) if known else None
        for date in dates:
            here = [before for before in days_before(date, 365) if before >= began[date]] + [date]
            ratio, _, share = turnover.get(date, (None, 0, None))
            ranks: Row = {
                "oi_usd_percentile_365d": rank_in_past({d: linked_usd[d] for d in here}, date, 365),
                "oi_hhi_percentile_365d": rank_in_past({d: linked_hhi[d] for d in here}, date, 365),
                "oi_to_volume_percentile_365d": None
                if share is None or share < 0.5
                else rank_in_past({d: found[0] for d, found in turnover.items()}, date, 365),
            }
            known_ranks = [rank for rank in ranks.values() if rank is not None]
            liquidated = liquidations.get((asset, date), {})
            usd = linked_usd[date]
            answer[asset, date] = {
                **{name: trends[asset, date][name] for name in ("oi_base", "oi_usd", "oi_hhi", "venues_present")},
                **ranks,
                **{ratio: liquidated.get(f"exchange_{ratio}") for ratio in RATIOS},
                "oi_usd_chain_linked": None if usd is None else math.exp(usd),
                "oi_hhi_chain_linked": linked_hhi[date],
                "oi_to_volume": ratio,
                "oi_to_volume_venues": turnover[date][1] if date in turnover else 0,
                "oi_to_volume_oi_share": share,
                "systemic_risk_parts": len(known_ranks),
                "systemic_risk_score": math.fsum(known_ranks) / 3 if len(known_ranks) == 3 else None,
                "perp_dex_liq_to_oi": liquidated.get("perp_dex_liq_to_oi"),
                "liq_to_oi_venues": liquidated.get("exchange_liq_to_oi_venues", 0),
                "liq_to_oi_completeness": liquidated.get("exchange_completeness", "none"),
            }
    return answer


def _oi_to_volume(
    world: MarketModel, asset: str, reported: Mapping[str, Mapping[dt.date, float]]
) -> dict[dt.date, tuple[float, int, float]]:
    """Day -> ratio, venues in it, and the share of open interest (carried included) they hold."""
    traded: dict[dt.date, dict[str, float]] = defaultdict(dict)
    for row in world.tables["intermediate.int_candles_daily"]:
        if row["asset"] == asset and row["market"] == "perp" and row["volume_base"]:
            traded[row["trade_date"]][row["venue"]] = row["volume_base"]
    found = {}
    for date, volumes in traded.items():
        both = [venue for venue in volumes if date in reported.get(venue, {})]
        newest = {venue: last_report(days, date) for venue, days in reported.items()}
        total = math.fsum(reported[venue][on] for venue, on in newest.items() if on is not None)
        if both:
            oi = math.fsum(reported[venue][date] for venue in both)
            found[date] = (oi / math.fsum(volumes[venue] for venue in both), len(both), oi / total)
    return found


def logit(share: float | None) -> float | None:
    return None if share is None or share in (0, 1) else math.log(share / (1 - share))


def gap(large: float | None, crowd: float | None) -> float | None:
    high, low = logit(large), logit(crowd)
    return None if high is None or low is None else high - low


def extreme(percentile: float | None) -> str:
    if percentile is None:
        return "unknown"
    return "long_crowded" if percentile >= 97.5 else "short_crowded" if percentile <= 2.5 else "none"


def _held(days: Mapping[dt.date, list[Row]], date: dt.date) -> float:
    """Open interest of one venue at the day's end, reported or carried; less than any where there is none."""
    newest = last_report(days, date)
    return -math.inf if newest is None else float(days[newest][0]["oi_base"])


def _compared_share(
    oi: Mapping[tuple[str, ...], Mapping[dt.date, list[Row]]], trends: Mapping[Key, Row], asset: str, date: dt.date
) -> float | None:
    """Share of the open interest of a week ago that venues reporting on both days held."""
    old = date - 7 * DAY
    held = [days[old][0]["oi_base"] for days in oi.values() if date in days and old in days]
    total = trends.get((asset, old), {}).get("oi_base")
    return math.fsum(held) / total if held and total else None


def positioning(world: MarketModel) -> dict[Key, Row]:
    trends = trend_reference.oi_trends(world)
    options = {(r["asset"], r["trade_date"]): r for r in world.tables["marts.options_structure_daily"]}
    oi = by_series(world.tables["marts.fct_open_interest_daily"], "venue")
    answer: dict[Key, Row] = {}
    for asset, venues in by_series(world.tables["marts.fct_positioning_daily"], "venue").items():
        told = {
            venue: {date: {row["measure"]: row["long_share"] for row in rows} for date, rows in days.items()}
            for (venue,), days in venues.items()
        }
        accounts = {v: {d: shares.get("account_global") for d, shares in days.items()} for v, days in told.items()}
        gaps = {
            v: {d: gap(shares.get("position_top"), shares.get("account_global")) for d, shares in days.items()}
            for v, days in told.items()
        }
        for date in span(d for days in told.values() for d in days):
            ranks = {v: rank_in_past(accounts[v], date, 90) for v in told if date in told[v]}

            held = {venue: _held(oi[asset].get((venue,), {}), date) for venue in ranks}
            order = {v: (ranks[v] is None, accounts[v].get(date) is None, -held[v], v) for v in ranks}
            venue = min(order, key=order.__getitem__, default=None)
            shares = told[venue][date] if venue is not None else {}
            percentile = ranks[venue] if venue is not None else None
            structure = options.get((asset, date), {})
            change = trends.get((asset, date), {}).get("oi_base_change_7d")
            share = _compared_share(oi[asset], trends, asset, date)
            put_call = structure.get("put_call_oi_percentile_90d")
            capitulation = "unknown"
            if (
                put_call is not None
                and percentile is not None
                and change is not None
                and share is not None
                and share >= 0.5
            ):
                capitulation = "on" if put_call >= 90 and percentile >= 70 and change < 0 else "off"
            present = [v for v in ranks if accounts[v].get(date) is not None]
            reports = {v: {d: s for d, s in days.items() if s is not None} for v, days in accounts.items()}
            answer[asset, date] = {
                "venue": venue,
                "account_long_share": shares.get("account_global"),
                "account_long_share_percentile_90d": percentile,
                "account_top_long_share": shares.get("account_top"),
                "position_top_long_share": shares.get("position_top"),
                "taker_long_share": shares.get("taker_volume"),
                "top_trader_account_gap": gap(shares.get("position_top"), shares.get("account_global")),
                "top_trader_account_gap_percentile_90d": rank_in_past(gaps[venue], date, 90)
                if venue is not None
                else None,
                "top_account_retail_gap": gap(shares.get("account_top"), shares.get("account_global")),
                "positioning_extreme": extreme(percentile),
                "venues_long_crowded": sum(extreme(rank) == "long_crowded" for rank in ranks.values()),
                "venues_short_crowded": sum(extreme(rank) == "short_crowded" for rank in ranks.values()),
                "put_call_oi_ratio": structure.get("put_call_oi_ratio"),
                "put_call_oi_percentile_90d": put_call,
                "otm_put_oi_share": structure.get("otm_put_oi_share"),
                "oi_base_change_7d": change,
                "oi_compared_share_7d": share,
                "capitulation": capitulation,
                "venues_present": len(present),
                "venues_expected": sum(last_report(days, date) is not None for days in reports.values()),
            }
    return answer
