"""An invented market for the signals: rows of the marts they read, with states, ties at thresholds, gaps and silences.

Marts are invented one by one, so a state need not follow from the numbers beside it: signals take both as they stand. What the
signals should say about it is signal_reference's business; running dbt and comparing is test_signal_marts'.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from tests.dbt.trend_fixture import MarketModel, Row, day, known_after

DAYS = 480
SIGNALS_CSV = Path(__file__).resolve().parents[2] / "dbt_project" / "seeds" / "signals.csv"

_TEXT = {
    "asset", "expansion", "expansion_confirmed", "divergence", "healthy_market", "normalization", "regime", "capitulation",
    "positioning_extreme", "zone_state", "state", "input_grain", "completeness", "exchange_completeness",
    "lending_collateral_completeness", "perp_dex_completeness",
}  # fmt: skip
_WHOLE = {"venues_present", "venues_expected", "days_known"}

TABLES: Mapping[str, str] = {
    "marts.oi_trends_daily": (
        "expansion expansion_confirmed divergence venues_present oi_base close_usd volume_base volume_high_30d "
        "oi_compared_share_1d oi_growth_1d oi_log_change_1d oi_log_change_sd_30d oi_zscore_90d venue_share input_grain"
    ),
    "marts.funding_regimes_daily": (
        "healthy_market normalization regime rate_8h rate_8h_mean_7d rate_8h_sd_30d excess_rate_8h_at_close "
        "excess_rate_percentile_90d venue_share input_grain"
    ),
    "marts.positioning_divergence_daily": (
        "capitulation positioning_extreme account_long_share account_long_share_percentile_90d put_call_oi_percentile_90d "
        "oi_compared_share_7d venue_share input_grain"
    ),
    "marts.options_structure_daily": "put_call_oi_ratio venue_share",
    "marts.leverage_daily": (
        "oi_usd_chain_linked oi_hhi_chain_linked oi_to_volume oi_to_volume_oi_share systemic_risk_score venue_share input_grain"
    ),
    "marts.liquidation_comparison_daily": (
        "exchange_position_notional_usd lending_collateral_seized_usd perp_dex_position_notional_usd lending_zscore_90d "
        "perp_dex_zscore_90d exchange_lending_zscore_divergence exchange_perp_dex_zscore_divergence exchange_venue_share "
        "lending_collateral_venue_share perp_dex_venue_share exchange_completeness lending_collateral_completeness "
        "perp_dex_completeness"
    ),
    "intermediate.int_liquidation_zones_daily": "zone_state nearest_zone_distance days_known close_usd",
    "intermediate.int_cascade_days": "state input_grain daily_border_usd border_excess",
    "intermediate.int_liquidation_days": "notional_usd venues_present venues_expected completeness",
}

STATES = ["on", "off", "off", "off", "off", "unknown"]
COMPLETENESS = ["full", "throttled", "throttled", "sampled", "none"]
PERCENTILES = [0.0, 1.25, 2.5, 10.0, 20.0, 50.0, 70.0, 80.0, 90.0, 97.5, 98.75, 100.0]
CHOICES: Mapping[str, list[Any]] = {
    "expansion": STATES,
    "expansion_confirmed": STATES,
    "divergence": ["bought_dip", "deleveraging", "neutral", "none", "none", "unknown"],
    "healthy_market": STATES,
    "normalization": STATES,
    "regime": ["extreme_positive", "extreme_negative", "elevated", "neutral", "neutral", "unknown"],
    "capitulation": STATES,
    "positioning_extreme": ["long_crowded", "short_crowded", "none", "none", "unknown"],
    "state": STATES,
    "input_grain": ["1d", "1h,1d", None],
    "completeness": COMPLETENESS,
    "exchange_completeness": COMPLETENESS,
    "lending_collateral_completeness": COMPLETENESS,
    "perp_dex_completeness": COMPLETENESS,
    "excess_rate_percentile_90d": [*PERCENTILES, None],
    "account_long_share_percentile_90d": [*PERCENTILES, None],
    "put_call_oi_percentile_90d": [*PERCENTILES, None],
    "systemic_risk_score": [30.0, 50.0, 71.9, 72.0, 79.0, 100.0, None],
    "oi_compared_share_1d": [1.0, 1.0, 0.5, 0.4],
    "oi_compared_share_7d": [1.0, 1.0, 0.5, 0.4],
    "oi_to_volume_oi_share": [1.0, 1.0, 0.5, 0.4],
    "venue_share": [1.0, 1.0, 0.5, None],
    "exchange_venue_share": [1.0, 0.5],
    "lending_collateral_venue_share": [1.0, 0.75],
    "perp_dex_venue_share": [1.0, None],
    "venues_present": [2, 2, 2, 0],
    "venues_expected": [2],
    "days_known": [90, 90, 45, 0],
}
# Chosen so that values meet their thresholds exactly, and that windows hold ties.
SERIES: Mapping[str, Callable[[random.Random], float]] = {
    "oi_growth_1d": lambda r: round(r.gauss(0, 0.06), 2),
    "oi_log_change_1d": lambda r: round(r.gauss(0, 0.05), 2),
    "oi_log_change_sd_30d": lambda r: 0.0625,
    "oi_zscore_90d": lambda r: round(r.gauss(0, 1), 1),
    "rate_8h_sd_30d": lambda r: round(abs(r.gauss(0.0001, 0.00003)), 6),
    "volume_base": lambda r: float(r.randrange(100, 160)),
    "notional_usd": lambda r: float(r.randrange(0, 200)),
    "border_excess": lambda r: r.choice([0.0, 0.25, 0.875]),
    "nearest_zone_distance": lambda r: r.choice([0.0, 0.01, -0.015, 0.02, -0.3]),
    "lending_zscore_90d": lambda r: round(r.gauss(0, 1), 1),
    "perp_dex_zscore_90d": lambda r: round(r.gauss(0, 1), 1),
    "exchange_lending_zscore_divergence": lambda r: r.randrange(-20, 20) / 8,
    "exchange_perp_dex_zscore_divergence": lambda r: r.randrange(-20, 20) / 8,
}
# Days a mart says nothing at all: inside the history, at its end, from its beginning.
SILENT: Mapping[tuple[str, str], set[int]] = {
    ("AAA", "marts.oi_trends_daily"): {300, 301},
    ("AAA", "marts.funding_regimes_daily"): {*range(10), *range(470, DAYS)},
    ("AAA", "marts.options_structure_daily"): {*range(60), 200},
    ("AAA", "marts.liquidation_comparison_daily"): {250},
    ("AAA", "intermediate.int_cascade_days"): {*range(460, DAYS)},
    ("BBB", "marts.oi_trends_daily"): {*range(100), *range(310, DAYS)},
    ("BBB", "marts.funding_regimes_daily"): {*range(90), *range(300, DAYS)},
}
ASSETS = {"AAA": set(TABLES), "BBB": {"marts.oi_trends_daily", "marts.funding_regimes_daily"}}
# Without nulls but on one day, else no window of 90 days would ever be full.
UNBROKEN = {*SERIES} - {"rate_8h_sd_30d", "nearest_zone_distance", "border_excess"}
LATE = {("AAA", "marts.leverage_daily", 150): dt.timedelta(days=4)}


def columns_of(table: str) -> dict[str, Any]:
    types: dict[str, Any] = {"asset": pl.String, "trade_date": pl.Date}
    for name in TABLES[table].split():
        types[name] = pl.String if name in _TEXT else pl.Int32 if name in _WHOLE else pl.Float64
    return {**types, "available_at": pl.Datetime("us")}


def invent(seed: int = 5) -> MarketModel:
    """AAA in every mart, with silences; BBB delisted after 310 days, with open interest and funding only."""
    random_ = random.Random(seed)
    world = MarketModel({table: [] for table in TABLES})
    for asset, told in ASSETS.items():
        for table in TABLES:
            for n in range(DAYS):
                if table in told and n not in SILENT.get((asset, table), set()):
                    world.tables[table].append(_row(random_, asset=asset, table=table, n=n))
    return world


def _row(random_: random.Random, *, asset: str, table: str, n: int) -> Row:
    row: Row = {"asset": asset, "trade_date": day(n)}
    for name in TABLES[table].split():
        if name in CHOICES:
            row[name] = random_.choice(CHOICES[name])
        elif name in SERIES:
            row[name] = SERIES[name](random_)
        else:
            row[name] = None if random_.random() < 0.04 else random_.random()
    if table.endswith("int_liquidation_zones_daily"):
        distance = row["nearest_zone_distance"]
        row["zone_state"] = "inside" if distance == 0 else "near" if abs(distance) < 0.02 else "outside"
        if n < 90 or row["close_usd"] is None:
            row["zone_state"], row["nearest_zone_distance"] = "unknown", None
        elif n % 17 == 0:
            row["zone_state"], row["nearest_zone_distance"] = "outside", None
    if n == 130:
        row |= {name: None for name in row if name in UNBROKEN}
    row["available_at"] = known_after(day(n)) + LATE.get((asset, table, n), dt.timedelta())
    return row


def write(world: MarketModel, path: Path) -> None:
    """A database whose tables hold this world, with the calendar and what the signals mean beside them."""
    with duckdb.connect(str(path)) as connection:
        for schema in ("marts", "intermediate", "seeds"):
            connection.execute(f"create schema {schema}")
        for table in TABLES:
            rows = pl.DataFrame(world.tables[table], schema=columns_of(table), orient="row")
            connection.register("rows", rows)
            connection.execute(f"create table {table} as select * from rows")
            connection.unregister("rows")
        connection.execute(
            "create table intermediate.int_calendar as "
            "select date '2023-12-01' + cast(i as int) as trade_date from range(0, 800) as t (i)"
        )
        connection.execute(f"create table seeds.signals as select * from read_csv('{SIGNALS_CSV}', all_varchar = true)")
