"""Liquidations of the trend marts, computed again from the definitions of the metrics: plain loops, day by day, hour by hour.

Shares no code and no technique with the SQL. Open interest, funding and the helpers are trend_reference's.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tests.dbt.trend_fixture import MarketModel, Row
from tests.dbt.trend_reference import (
    DAY,
    Key,
    Keyed,
    by_series,
    correlation,
    days_before,
    mark_best,
    prices_of,
    quantile,
    span,
    z_score,
)

SIDES = {
    "exchange": ("cex", "position_notional", "exchange_position_notional_usd"),
    "perp_dex": ("perp_dex", "position_notional", "perp_dex_position_notional_usd"),
    "lending_collateral": ("lending", "collateral_seized", "lending_collateral_seized_usd"),
    "lending_debt": ("lending", "debt_repaid", "lending_debt_repaid_usd"),
}
FEED = ("venue", "chain", "series", "asset", "side", "measure")


def liquidation_comparison(world: MarketModel) -> dict[Key, Row]:
    prices, answer, leads = prices_of(world), {}, lead_lag(world)
    oi = {(row["asset"], row["venue"], row["trade_date"]): row for row in world.tables["marts.fct_open_interest_daily"]}
    kinds = {
        "exchange_position_notional_usd": ("cex", "position_notional"),
        "perp_dex_position_notional_usd": ("perp_dex", "position_notional"),
        "lending_collateral_seized_usd": ("lending", "collateral_seized"),
        "lending_debt_repaid_usd": ("lending", "debt_repaid"),
    }
    series = by_series(world.tables["marts.fct_liquidations_daily"], "venue", "venue_kind", "measure")
    for asset, venues in series.items():
        dates = span(date for days in venues.values() for date in days)
        logs: dict[str, dict[dt.date, float | None]] = defaultdict(dict)
        for date in dates:
            row: Row = {}
            for column, (kind, measure) in kinds.items():
                here = {
                    venue: days[date]
                    for (venue, *rest), days in venues.items()
                    if rest == [kind, measure] and date in days
                }
                total = _priced([r for rows in here.values() for r in rows])
                row[column] = total
                logs[column][date] = None if total is None else math.log1p(total)
                row[f"{column}_venues"] = len(here)
                if measure != "position_notional":
                    continue
                for side in ("long", "short"):
                    row[f"{column}_{side}"] = _sum(
                        r["notional_usd"] for rows in here.values() for r in rows if r["side"] == side
                    )
                uppers = [_upper(asset, venue, date, rows, prices, oi) for venue, rows in here.items()]
                known = [upper for upper in uppers if upper is not None]
                priced = sum(_priced(rows) is not None for rows in here.values())
                row[f"{column}_upper"] = math.fsum(known) if known and len(known) == priced else None
                row |= _to_open_interest(column.split("_position")[0], asset, date, here, oi)
            exchange, dex = row["exchange_position_notional_usd"], row["perp_dex_position_notional_usd"]
            row["perp_dex_share"] = dex / (dex + exchange) if None not in (exchange, dex) and exchange + dex else None
            lending = row["lending_collateral_seized_usd"]
            row["lending_to_exchange_ratio"] = lending / exchange if lending is not None and exchange else None
            answer[asset, date] = row
        for date in dates:
            for name in ("perp_dex", "lending"):
                profile = [leads.get((asset, name, date.replace(day=1), lag)) for lag in range(-5, 6)]
                best = next((lag for lag in profile if lag and lag["is_best"]), None)
                prefix = f"exchange_{name}"
                answer[asset, date] |= {
                    f"{prefix}_best_lag_days": best and best["lag_days"],
                    f"{prefix}_best_lag_correlation": best and best["correlation"],
                    f"{prefix}_lag_band": profile[0] and profile[0]["correlation_band"],
                    f"{prefix}_lag_common_days": profile[0] and profile[0]["common_days"],
                }
            window = {name: [days.get(d) for d in days_before(date, 90)] for name, days in logs.items()}
            z = {name: z_score(logs[name][date], window[name]) for name in logs}
            left = "exchange_position_notional_usd"
            for name, right in (
                ("perp_dex", "perp_dex_position_notional_usd"),
                ("lending", "lending_collateral_seized_usd"),
            ):
                here_z, there_z = z[left], z[right]
                answer[asset, date][f"exchange_{name}_zscore_divergence"] = (
                    None if here_z is None or there_z is None else here_z - there_z
                )
                answer[asset, date][f"exchange_{name}_correlation_30d"] = correlation(
                    window[left][-30:], window[right][-30:]
                )
    return answer


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if known else None


def _priced(rows: Sequence[Row]) -> float | None:
    """What is priced; unknown where something happened and nothing of it is priced."""
    total = _sum(row["notional_usd"] for row in rows)
    return None if total == 0 and any(row["unpriced_events"] for row in rows) else total


def _upper(
    asset: str,
    venue: str,
    date: dt.date,
    rows: Sequence[Row],
    prices: Mapping[Key, Row],
    oi: Mapping[tuple[str, str, dt.date], Row],
) -> float | None:
    reported, price = _priced(rows), prices.get((asset, date), {})
    if any(row["unpriced_events"] for row in rows):
        return None
    if reported is None or all(row["completeness"] == "full" for row in rows):
        return reported
    r, sigma = price.get("log_return"), price.get("realized_vol_30d_daily")
    if r is None or sigma is None:
        return None
    if abs(r) <= 2 * sigma:
        return reported
    now, then = oi.get((asset, venue, date)), oi.get((asset, venue, date - DAY))
    if now is None or then is None:
        return None
    implied: float = max(0.0, then["oi_base"] - now["oi_base"]) * price["close_usd"]
    return max(reported, implied)


def _to_open_interest(
    name: str, asset: str, date: dt.date, here: Mapping[str, Sequence[Row]], oi: Mapping[tuple[str, str, dt.date], Row]
) -> Row:
    row: Row = {}
    for part, sides in (("", ("long", "short", "unknown")), ("_long", ("long",)), ("_short", ("short",))):
        for unit, amount, held in (("", "quantity_base", "oi_base"), ("_usd", "notional_usd", "oi_usd")):
            above, below = [], []
            for venue, rows in here.items():
                mine = [r for r in rows if r["side"] in sides]
                liquidated = _priced(mine) if amount == "notional_usd" else _sum(r[amount] for r in mine)
                before = oi.get((asset, venue, date - DAY), {}).get(held)
                if liquidated is not None and before:
                    above.append(liquidated)
                    below.append(before)
            row[f"{name}_liq_to_oi{unit}{part}"] = math.fsum(above) / math.fsum(below) if below else None
    return row


def lead_lag(world: MarketModel) -> Keyed:
    """Profiles of exchange against on-chain by month: residuals beside |return|, correlations by lag, one band."""
    prices, answer = prices_of(world), Keyed()
    amounts: dict[tuple[str, str], dict[dt.date, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in world.tables["marts.fct_liquidations_daily"]:
        if row["measure"] != "debt_repaid":
            amounts[row["asset"], row["venue_kind"]][row["trade_date"]].append(row)
    last: dict[str, dt.date] = {}
    for row in world.tables["marts.fct_liquidations_daily"]:
        last[row["asset"]] = max(row["trade_date"], last.get(row["asset"], row["trade_date"]))
    for asset in sorted(last):
        exchange = {date: _priced(rows) for date, rows in amounts[asset, "cex"].items()}
        for counterpart in ("perp_dex", "lending"):
            on_chain = {date: _priced(rows) for date, rows in amounts[asset, counterpart].items()}
            common = {}
            for date in exchange.keys() & on_chain.keys():
                left, right, move = exchange[date], on_chain[date], prices.get((asset, date), {}).get("log_return")
                if left is not None and right is not None and move is not None:
                    common[date] = (math.log1p(left), math.log1p(right), abs(move))
            if not common:
                continue
            months = [d for d in span([min(common), last[asset]]) if d.day == 1 and d > min(common)]
            for month in months:
                profile = _profile(common, month)
                for row in profile:
                    answer[asset, counterpart, month, row["lag_days"]] = row
    return answer


def _profile(common: Mapping[dt.date, tuple[float, float, float]], month: dt.date) -> list[Row]:
    window = days_before(month, 364)
    known = [date for date in window if date in common]
    blank: Row = {"common_days": len(known), "pairs": 0, "correlation": None, "correlation_band": None}
    profile: list[Row] = [{"lag_days": lag} | blank for lag in range(-5, 6)]
    if len(known) >= 180:
        moves = [common[date][2] for date in known]
        left = dict(zip(known, _residuals([common[date][0] for date in known], moves), strict=True))
        right = dict(zip(known, _residuals([common[date][1] for date in known], moves), strict=True))
        spread = math.sqrt(
            statistics.fmean(v * v for v in left.values()) * statistics.fmean(v * v for v in right.values())
        )
        products = {
            lag: {d: left[d] * right[d + DAY * lag] / spread for d in known if d + DAY * lag in right}
            for lag in range(-5, 6)
        }
        for row in profile:
            row["pairs"] = len(products[row["lag_days"]])
            row["correlation"] = statistics.fmean(products[row["lag_days"]].values())
        band = _band(products, window)
        for row in profile:
            row["correlation_band"] = band
    mark_best(profile)
    return profile


def _residuals(values: Sequence[float], moves: Sequence[float]) -> list[float]:
    slope, intercept = statistics.linear_regression(moves, values)
    return [value - intercept - slope * move for value, move in zip(values, moves, strict=True)]


def _band(products: Mapping[int, Mapping[dt.date, float]], window: Sequence[dt.date]) -> float:
    """95% of 199 resamples of 26 fortnights stay within it at every lag."""
    blocks = [set(window[start : start + 14]) for start in range(0, 364, 14)]
    sums = {
        lag: [
            math.fsum(value - statistics.fmean(by_day.values()) for d, value in by_day.items() if d in block)
            for block in blocks
        ]
        for lag, by_day in products.items()
    }
    largest = []
    for resample in range(199):
        drawn = [
            26 * int(hashlib.md5(f"{resample} {draw}".encode(), usedforsecurity=False).hexdigest()[:4], 16) // 65536
            for draw in range(26)
        ]
        largest.append(
            max(abs(math.fsum(sums[lag][block] for block in drawn)) / len(products[lag]) for lag in products)
        )
    return quantile(largest, 0.95)


def liquidation_comparison_hourly(world: MarketModel) -> Keyed:
    """Each hour from the feeds of its day: what they report, zero where they cover, unknown elsewhere."""
    feeds: dict[Key, list[Row]] = defaultdict(list)
    for feed in world.tables["intermediate.int_liquidation_feeds_daily"]:
        feeds[feed["asset"], feed["trade_date"]].append(feed)
    reports: dict[tuple[object, ...], Row] = {}
    for report in world.tables["intermediate.int_liquidations_hourly"]:
        reports[*(report[name] for name in FEED), report["opened_at"]] = report
    answer = Keyed()
    for (asset, date), here in feeds.items():
        if all(feed["hours_known_by"] == "none" for feed in here):
            continue
        for hour in range(24):
            opened_at = dt.datetime.combine(date, dt.time(hour))
            row: Row = {
                "trade_date": date,
                "sources": ",".join(sorted({feed["source"] for feed in here if feed["hours_known_by"] != "none"})),
            }
            for name, (kind, measure, amount) in SIDES.items():
                mine = [feed for feed in here if (feed["venue_kind"], feed["measure"]) == (kind, measure)]
                row |= _hour(name, amount, mine, opened_at, reports)
            exchange, dex = row["exchange_position_notional_usd"], row["perp_dex_position_notional_usd"]
            row["perp_dex_share"] = dex / (dex + exchange) if None not in (exchange, dex) and exchange + dex else None
            answer[asset, opened_at] = row
    return answer


def _hour(
    name: str,
    amount: str,
    feeds: Sequence[Row],
    opened_at: dt.datetime,
    reports: Mapping[tuple[object, ...], Row],
) -> Row:
    sides: dict[str, float | None] = {}
    events: list[int | None] = []
    unpriced, covered = 0, set()
    for side in ("long", "short", "unknown"):
        mine = [feed for feed in feeds if feed["side"] == side]
        found = [(feed, reports.get((*(feed[key] for key in FEED), opened_at))) for feed in mine]
        told = [report for _, report in found if report is not None]
        if told:
            sides[side] = _priced(told)
            events += [report["events"] for report in told]
            unpriced += sum(report["unpriced_events"] for report in told)
        elif any(feed["hours_known_by"] == "day" for feed in mine):
            sides[side] = 0.0
        whole = [
            feed for feed, report in found if feed["hours_known_by"] == "day" or (report and report["is_hour_complete"])
        ]
        covered |= {(feed["venue"], feed["chain"], feed["series"]) for feed in whole}
    labels = {(feed["venue"], feed["chain"], feed["series"]) for feed in feeds}
    telling = [feed["completeness"] for feed in feeds if feed["hours_known_by"] != "none"]
    poorest = next((grade for grade in ("sampled", "throttled", "full") if grade in telling), "none")
    row: Row = {
        amount: None if unpriced and not _sum(sides.values()) else _sum(sides.values()),
        f"{name}_events": None if not sides or None in events else sum(count for count in events if count is not None),
        f"{name}_unpriced_events": unpriced if sides else None,
        f"{name}_completeness": poorest if sides else "none",
        f"{name}_feeds_covered": len(covered),
        f"{name}_feeds_expected": len(labels),
        f"{name}_is_covered": bool(labels) and covered == labels,
    }
    if amount.endswith("position_notional_usd"):
        for column, side in (("long", "long"), ("short", "short"), ("side_unknown", "unknown")):
            row[f"{amount}_{column}"] = sides.get(side)
    return row
