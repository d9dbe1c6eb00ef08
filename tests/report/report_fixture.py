"""A published file made by hand: every mart the pages read, with the columns its contract promises and few, odd rows.

Two assets, one of them and one venue named like markup; days of two years; days that are unknown, tainted or partial; and the
marts that are published only where they are built: predicted levels, their skill, the scorecard, vintages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl
import yaml

from pipelines.core.settings import PROJECT_ROOT

FIRST: Final = date(2024, 11, 20)
DAYS: Final = 90
LAST: Final = FIRST + timedelta(days=DAYS - 1)
MARKUP: Final = "<script>alert(1)</script>"
BAD_VENUE: Final = "<img src=x onerror=alert(2)>"
ASSETS: Final = ("BTC", MARKUP)
VENUES: Final = ("binance", BAD_VENUE)
KNOWN_AT: Final = datetime(2025, 3, 1)

MISSING_DAY: Final = 20
"""The second venue did not report."""
TAINTED_DAYS: Final = (40, 41)
UNHEARD_DAYS: Final = 15
"""First days without any liquidation feed."""
SIGNALS: Final = (
    ("oi_expansion", "H01", "Open interest expands while the price is flat", "up"),
    ("dense_liquidation_zone", "H06", "The price stands at a dense liquidation zone", "risk_up"),
)
PUBLISHED: Final = (datetime(2025, 2, 10, 6), datetime(2025, 2, 15, 6))

LEVELS_DDL: Final = (
    "create table if not exists marts.liquidation_levels_daily (asset varchar, trade_date date, side varchar, "
    "bin_no int, price_low_usd double, price_high_usd double, expected_usd double)"
)
SKILL_DDL: Final = (
    "create table if not exists marts.liquidation_levels_skill_daily (asset varchar, side varchar, trade_date date, "
    "skill_180d_vs_distance double, skill_low double, skill_high double, skill_days int, verdict varchar)"
)
SCORECARD_DDL: Final = (
    "create table if not exists marts.signal_scorecard_latest (signal varchar, target varchar, horizon_days int, "
    "family varchar, effect double, ci_low double, ci_high double, n_events int, verdict varchar, verdict_reason varchar)"
)
HISTORY_DDL: Final = (
    "create table if not exists history.signals_daily (asset varchar, trade_date date, signal varchar, state varchar, "
    "value double, threshold double, published_from timestamp, published_to timestamp)"
)

LATER: Final = ("liquidation_levels_daily", "liquidation_levels_skill_daily", "signal_scorecard_latest")

Row = Mapping[str, Any]


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def close(asset: str, number: int) -> float:
    return (40.0 if asset == "BTC" else 0.5) * (1 + 0.1 * math.sin(number / 9) + 0.02 * math.sin(number * 1.7))


def create_contract(con: duckdb.DuckDBPyConnection) -> None:
    """Every mart with the columns its yml promises, and the tables of ops as their DDL says; all of them empty."""
    con.execute("create schema marts; create schema ops; create schema meta; create schema history")
    for path in sorted((PROJECT_ROOT / "dbt_project" / "models" / "marts").rglob("*.yml")):
        for model in yaml.load(path.read_text(), Loader=yaml.CSafeLoader).get("models", []):
            if model["name"].startswith("int_"):
                continue  # a helper beside the marts, not published
            columns = ", ".join(f'"{column["name"]}" {column["data_type"]}' for column in model["columns"])
            con.execute(f"create table if not exists marts.{model['name']} ({columns})")
    for path in sorted((PROJECT_ROOT / "warehouse" / "schema").glob("ops.*.sql")):
        con.execute(path.read_text())
    con.execute("create table meta.publication (published_at timestamp, mart_tables int)")
    con.execute("insert into meta.publication values (timestamp '2025-02-18 06:30:00', 40)")


def insert(con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    """Put rows into a table; columns that a row leaves out are null."""
    con.register("rows", pl.DataFrame(list(rows), infer_schema_length=None))
    con.execute(f"insert into {table} by name select * from rows")
    con.unregister("rows")


def publish(path: Path, *, extras: bool = True) -> None:
    """Write the published file. Without `extras` the marts that are not always built are left out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as con:
        create_contract(con)
        for asset in ASSETS:
            _market(con, asset)
            _liquidations(con, asset)
            _signals(con, asset)
        _options(con)
        _reference(con)
        _operations(con)
        if extras:
            _extras(con)
        else:
            con.execute("drop schema history")
            for name in LATER:
                con.execute(f"drop table if exists marts.{name}")


def _market(con: duckdb.DuckDBPyConnection, asset: str) -> None:
    insert(con, "marts.fct_price_daily", [
        {"asset": asset, "trade_date": day(n), "close_usd": close(asset, n), "volume_usd": 1e9 + n,
         "realized_vol_30d_daily": 0.03}
        for n in range(DAYS)
    ])  # fmt: skip
    insert(con, "marts.fct_open_interest_daily", [
        {"asset": asset, "venue": venue, "trade_date": day(n), "oi_base": 1e6 + 1e4 * n,
         "oi_usd": (1e6 + 1e4 * n) * close(asset, n)}
        for venue in VENUES for n in range(DAYS) if (venue, n) != (BAD_VENUE, MISSING_DAY)
    ])  # fmt: skip
    trends = []
    for n in range(DAYS):
        plausible = "off" if n in TAINTED_DAYS else "unknown" if n in (0, MISSING_DAY) else "on"
        position, price, cross = 1e6 * math.sin(n), 2e6 * math.cos(n), 1e4
        trends.append({
            "asset": asset, "trade_date": day(n), "oi_usd": 2e6 * close(asset, n),
            "oi_usd_change_1d": None if n == 0 else position + price + cross,
            "oi_usd_position_1d": None if n == 0 else position,
            "oi_usd_price_1d": None if n == 0 else price, "oi_usd_cross_1d": None if n == 0 else cross,
            "oi_growth_7d": None if n < 7 else 0.05, "oi_change_plausible": plausible,
            "venues_present": 1 if n == MISSING_DAY else 2, "venues_expected": 2,
        })  # fmt: skip
    insert(con, "marts.oi_trends_daily", trends)
    insert(con, "marts.fct_funding_daily", [
        {"asset": asset, "venue": venue, "trade_date": day(n), "rate_8h": 1e-4 + 1e-4 * math.sin(n), "neutral_rate_8h": 1e-4}
        for venue in VENUES for n in range(0 if venue == "binance" else 30, DAYS)
    ])  # fmt: skip
    insert(con, "marts.funding_regimes_daily", [
        {"asset": asset, "trade_date": day(n), "excess_rate_8h": 1e-4 * math.sin(n), "days_in_regime": 1,
         "regime": "unknown" if n < 50 else "extreme_positive" if n in (60, 61) else "neutral"}
        for n in range(DAYS)
    ])  # fmt: skip
    insert(con, "marts.fct_positioning_daily", [
        {"asset": asset, "venue": "binance", "measure": measure, "trade_date": day(n),
         "long_share": 0.55 + 0.05 * math.sin(n / 5)}
        for measure in ("account_global", "taker_volume") for n in range(DAYS)
    ])  # fmt: skip
    insert(con, "marts.positioning_divergence_daily", [
        {"asset": asset, "trade_date": day(n), "account_long_share": 0.55 + 0.05 * math.sin(n / 5),
         "positioning_extreme": "unknown" if n < 30 else "long_crowded" if n in (70, 71, 72) else "none"}
        for n in range(DAYS)
    ])  # fmt: skip


def _liquidations(con: duckdb.DuckDBPyConnection, asset: str) -> None:
    facts, compared, bins = [], [], []
    for n in range(DAYS):
        heard = n >= UNHEARD_DAYS
        long, short = 1e5 * (1 + n % 7), 2e5 * (1 + n % 5)
        compared.append({
            "asset": asset, "trade_date": day(n), "exchange_completeness": "throttled" if heard else "none",
            "perp_dex_completeness": "none", "lending_collateral_completeness": "full",
            "lending_collateral_seized_usd": 5e4 + n,
            "exchange_position_notional_usd": long + short if heard else None,
            "exchange_position_notional_usd_long": long if heard else None,
            "exchange_position_notional_usd_short": short if heard else None,
            "exchange_lending_zscore_divergence": math.sin(n) if n >= 60 else None,
        })  # fmt: skip
        if not heard:
            continue
        for side, usd in (("long", long), ("short", short)):
            # A third of the days has no upper end, a third one that is higher, a third one that is the same.
            upper = None if n % 3 == 0 else usd * (1.5 if n % 3 == 1 else 1)
            facts.append({
                "asset": asset, "venue": "binance", "chain": "", "side": side, "measure": "position_notional",
                "trade_date": day(n),
                "venue_kind": "cex", "notional_usd": usd, "notional_usd_upper": upper, "completeness": "throttled",
            })  # fmt: skip
        price = close(asset, n)
        for step in range(4):
            low = price * (0.99 + 0.0025 * step)
            usd = 1e3 * 10 ** ((n * 4 + step) % 5)
            bins.append({
                "asset": asset, "trade_date": day(n), "bin_no": 1000 + n * 7 + step, "price_low_usd": low,
                "price_high_usd": low * 1.0025,
                "notional_usd": usd, "long_usd": usd * 0.25, "short_usd": usd * 0.75, "is_dense": None if n < 60 else step < 2,
                "color_low_usd": 1e3, "color_high_usd": 1e7,
            })  # fmt: skip
    insert(con, "marts.liquidation_comparison_daily", compared)
    insert(con, "marts.fct_liquidations_daily", facts)
    insert(con, "marts.liquidation_heatmap_daily", bins)


def _signals(con: duckdb.DuckDBPyConnection, asset: str) -> None:
    insert(con, "marts.signals_daily", [
        {"asset": asset, "trade_date": day(n), "signal": signal, "direction": direction, "value": n / 7, "threshold": 5.0,
         "strength": None if n < 40 else 0.25,
         "state": "unknown" if n < 40 else "on" if n % 10 == 0 or n == DAYS - 1 else "off",
         "unknown_reason": "window not full" if n < 40 else None}
        for signal, _, _, direction in SIGNALS for n in range(DAYS)
    ])  # fmt: skip


def _options(con: duckdb.DuckDBPyConnection) -> None:
    insert(con, "marts.fct_option_oi_by_strike_daily", [
        {"asset": "BTC", "venue": "deribit", "trade_date": LAST, "expiry_date": LAST + timedelta(days=7 * expiry),
         "is_whole_chain": True,
         "strike_usd": 30.0 + 2.5 * strike, "option_type": kind,
         "oi_base": 100.0 * expiry + 10 * strike + (5 if kind == "put" else 0),
         "mark_iv": 0.5 + 0.01 * abs(strike - 4), "index_usd": 40.0}
        for expiry in (1, 2) for strike in range(9) for kind in ("call", "put")
    ])  # fmt: skip
    insert(con, "marts.options_structure_daily", [
        {"asset": "BTC", "trade_date": day(n), "put_call_oi_ratio": 0.6 + n / 1000, "put_call_volume_ratio": 0.5,
         "iv_venue": "deribit",
         "iv_atm_30d": 0.5 if n % 2 else None, "risk_reversal_25d_30d": -0.05, "call_wall_strike_usd": 50.0,
         "put_wall_strike_usd": 50.0}
        for n in range(45, DAYS)
    ])  # fmt: skip
    insert(
        con,
        "marts.options_max_pain_daily",
        [
            {
                "asset": "BTC",
                "trade_date": LAST,
                "expiry_date": LAST + timedelta(days=7),
                "max_pain_usd": 40.0,
                "oi_base": 5e3,
            }
        ],
    )
    insert(con, "marts.fct_volatility_index_daily", [
        {"asset": "BTC", "venue": "deribit", "index_name": "DVOL-BTC", "trade_date": day(n),
         "iv_close": 0.55} for n in range(DAYS)
    ])  # fmt: skip


def _reference(con: duckdb.DuckDBPyConnection) -> None:
    insert(con, "marts.dim_venue", [
        {"venue": venue, "venue_kind": "cex", "price_rank": rank} for rank, venue in enumerate((*VENUES, "deribit"), start=1)
    ])  # fmt: skip
    insert(con, "marts.dim_signal", [
        {"signal": signal, "hypothesis": number, "title": title, "direction": direction, "horizon": "days",
         "condition_description": f"{title}."}
        for signal, number, title, direction in SIGNALS
    ])  # fmt: skip
    insert(con, "marts.dim_threshold", [
        {"name": "onchain_lead_zscore", "value": 1.0}, {"name": "heatmap_window_days", "value": 90.0},
    ])  # fmt: skip


def _operations(con: duckdb.DuckDBPyConnection) -> None:
    insert(con, "marts.data_coverage_daily", [
        {"source": "binance.metrics", "table_name": table, "venue": "binance", "trade_date": day(n),
         "status": "missing" if n == 5 else "partial" if n in (7, 8) else "complete",
         "primary_reason": "not in the source" if n == 5 else "captured 1 of 24 slots" if n in (7, 8) else None}
        for table in ("open_interest", "long_short_ratios") for n in range(0 if table == "open_interest" else 10, DAYS)
    ])  # fmt: skip
    insert(con, "marts.source_freshness", [
        {"source": "binance.metrics", "table_name": "open_interest", "first_trade_date": FIRST, "last_trade_date": LAST,
         "lag_days": 0,
         "gap_days": 1, "rows_received": 10, "rows_accepted": 8, "rows_duplicate": 1, "rows_quarantined": 1,
         "last_loaded_at": KNOWN_AT}
    ])  # fmt: skip
    insert(con, "ops.loads", [
        {"load_seq": 1, "source": "binance.metrics", "table_name": "open_interest", "trade_date": day(n), "received": 10,
         "accepted": 8,
         "duplicates": 1, "restated": n % 2, "quarantined": 1, "absent_cells": 0, "outside_span": 0,
         "ignored": 0, "loaded_at": KNOWN_AT}
        for n in range(4)
    ])  # fmt: skip


def _extras(con: duckdb.DuckDBPyConnection) -> None:
    for ddl in (LEVELS_DDL, SKILL_DDL, SCORECARD_DDL, HISTORY_DDL):
        con.execute(ddl)
    insert(con, "marts.liquidation_levels_daily", [
        {"asset": "BTC", "trade_date": day(n), "side": "long" if step < 0 else "short", "bin_no": 700 + step,
         "price_low_usd": 40 * 1.005**step, "price_high_usd": 40 * 1.005 ** (step + 1), "expected_usd": 1e4 * (20 - abs(step))}
        for n in range(30, DAYS) for step in range(-12, 12)
    ])  # fmt: skip
    insert(con, "marts.liquidation_levels_skill_daily", [
        {"asset": "*", "side": side, "trade_date": LAST, "skill_180d_vs_distance": 0.07, "skill_low": 0.05, "skill_high": 0.09,
         "skill_days": 180, "verdict": "better"}
        for side in ("long", "short")
    ])  # fmt: skip
    insert(con, "marts.signal_scorecard_latest", [
        {"signal": "oi_expansion", "target": "adj_return", "horizon_days": 7, "family": "primary", "effect": 0.0015,
         "ci_low": -0.002, "ci_high": 0.005, "n_events": 27, "verdict": "no_evidence"},
    ])  # fmt: skip
    first, second = PUBLISHED
    insert(con, "history.signals_daily", [
        {"asset": "BTC", "trade_date": day(n), "signal": signal, "state": "off", "value": 1.0, "threshold": 5.0,
         "published_from": first if n < 80 else second, "published_to": second if n == 79 else None}
        for signal, *_ in SIGNALS for n in range(70, 85)
    ] + [
        {"asset": "BTC", "trade_date": day(79), "signal": signal, "state": "on", "value": 6.0, "threshold": 5.0,
         "published_from": second, "published_to": None}
        for signal, *_ in SIGNALS
    ])  # fmt: skip
