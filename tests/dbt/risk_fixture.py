"""An invented market for the marts about leverage and crowding: trend_world's open interest and prices, and beside them
volume, long/short ratios, liquidations and options with the traps these marts must survive.

What the marts should say about it is risk_reference's business; running dbt and comparing is test_leverage_positioning's.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from tests.dbt import trend_fixture as trend_world
from tests.dbt.trend_fixture import DAYS, MarketModel, day, known_after

RATIOS = (
    "liq_to_oi",
    "liq_to_oi_long",
    "liq_to_oi_short",
    "liq_to_oi_usd",
    "liq_to_oi_usd_long",
    "liq_to_oi_usd_short",
)

COLUMNS: Mapping[str, Mapping[str, Any]] = {
    **{
        name: trend_world.COLUMNS[name]
        for name in (
            "marts.fct_open_interest_daily", "marts.fct_price_daily", "intermediate.int_open_interest_daily",
            "intermediate.int_instruments",
        )
    },
    # What oi_trends_daily also reads and these marts have no use for: left empty, as is open interest per instrument.
    "intermediate.int_oi_plausibility_daily": {
        "asset": pl.String, "trade_date": pl.Date, "is_plausible": pl.Boolean, "available_at": pl.Datetime("us"),
    },
    "marts.oi_lead_lag_monthly": {
        "asset": pl.String, "trade_month": pl.Date, "lag_days": pl.Int32, "is_best": pl.Boolean,
        "correlation": pl.Float64, "correlation_band": pl.Float64, "pairs": pl.Int32, "available_at": pl.Datetime("us"),
    },
    "intermediate.int_candles_daily": {
        "venue": pl.String, "asset": pl.String, "market": pl.String, "trade_date": pl.Date, "volume_base": pl.Float64,
        "source": pl.String, "available_at": pl.Datetime("us"),
    },
    "marts.fct_positioning_daily": {
        "venue": pl.String, "asset": pl.String, "measure": pl.String, "trade_date": pl.Date, "long_share": pl.Float64,
        "input_grain": pl.String, "sources": pl.String, "available_at": pl.Datetime("us"),
    },
    "marts.liquidation_comparison_daily": {
        "asset": pl.String, "trade_date": pl.Date, **{f"exchange_{ratio}": pl.Float64 for ratio in RATIOS},
        "exchange_liq_to_oi_venues": pl.Int32, "exchange_completeness": pl.String, "perp_dex_liq_to_oi": pl.Float64,
        "perp_dex_liq_to_oi_usd": pl.Float64, "sources": pl.String, "available_at": pl.Datetime("us"),
    },
    "marts.options_structure_daily": {
        "asset": pl.String, "trade_date": pl.Date, "put_call_oi_ratio": pl.Float64,
        "put_call_oi_percentile_90d": pl.Float64, "otm_put_oi_share": pl.Float64, "sources": pl.String,
        "available_at": pl.Datetime("us"),
    },
}  # fmt: skip


def write(world: MarketModel, path: Path) -> None:
    """A database whose tables hold this world, and a calendar beside them."""
    with duckdb.connect(str(path)) as connection:
        for schema in ("marts", "intermediate"):
            connection.execute(f"create schema {schema}")
        for name, columns in COLUMNS.items():
            rows = pl.DataFrame(world.tables[name], schema=dict(columns), orient="row")
            connection.register("rows", rows)
            connection.execute(f"create table {name} as select * from rows")
            connection.unregister("rows")
        connection.execute(
            "create table intermediate.int_calendar as "
            "select date '2023-12-01' + cast(i as int) as trade_date from range(0, 800) as t (i)"
        )


def invent(seed: int = 11) -> MarketModel:
    """The three assets of trend_world over 470 days.

    Leverage: AAA is on three venues that come, fall silent and go, with volume on all of them, for a day on one only;
    BBB is on one venue; CCC moves from one venue to another overnight.
    Positioning: AAA has three venues, one of which misses a day and one of which stops; BBB's only venue repeats values,
    reaches 0 and 1 and is silent for a day; CCC is delisted at day 300. Options exist for AAA, with gaps, and for nobody else.
    """
    base, random_ = trend_world.invent(), random.Random(seed)
    world = MarketModel({name: list(base.tables[name]) if name in base.tables else [] for name in COLUMNS})
    world.tables["intermediate.int_candles_daily"].clear()
    world.tables["intermediate.int_open_interest_daily"].clear()
    # For a day, and a week later, the venue that holds most of AAA cannot be compared.
    world.tables["marts.fct_open_interest_daily"][:] = [
        row
        for row in world.tables["marts.fct_open_interest_daily"]
        if (row["asset"], row["venue"], row["trade_date"]) != ("AAA", "binance", day(300))
    ]
    _volume(world, random_)
    _positioning(world, random_)
    _liquidations(world, random_)
    _options(world, random_)
    return world


def _volume(world: MarketModel, random_: random.Random) -> None:
    for asset, venue, market, scale in (
        ("AAA", "binance", "perp", 2e7),
        ("AAA", "binance", "spot", 9e9),
        ("AAA", "bybit", "perp", 9e6),
        ("AAA", "hyperliquid", "perp", 2e6),
        ("BBB", "binance", "perp", 7e6),
        ("CCC", "binance", "perp", 5e7),
        ("CCC", "bybit", "perp", 4e6),
    ):
        for n in range(DAYS):
            volume: float | None = scale * random_.lognormvariate(0, 0.4)
            if (asset, n) == ("AAA", 380) and venue != "hyperliquid":
                continue
            if (asset, venue) == ("AAA", "bybit") and n in (390, 391):
                volume = 0.0
            if (asset, venue) == ("BBB", "binance") and n == 20:
                volume = None
            world.tables["intermediate.int_candles_daily"].append(
                {
                    "venue": venue,
                    "asset": asset,
                    "market": market,
                    "trade_date": day(n),
                    "volume_base": volume,
                    "source": f"files.{venue}_candles",
                    "available_at": known_after(day(n)),
                }
            )


def _positioning(world: MarketModel, random_: random.Random) -> None:
    for asset, venue, measure, days in (
        ("AAA", "binance", "account_global", {*range(DAYS)} - {250, 251}),
        ("AAA", "binance", "position_top", {*range(DAYS)} - {250, 400}),
        ("AAA", "binance", "account_top", {*range(50, DAYS)}),
        ("AAA", "binance", "taker_volume", {*range(DAYS)} - {250}),
        ("AAA", "bybit", "account_global", {*range(120, 430)}),
        ("AAA", "hyperliquid", "taker_volume", {*range(130, 380)}),
        ("BBB", "binance", "account_global", {*range(DAYS)} - {330}),
        ("BBB", "binance", "position_top", {*range(DAYS)} - {330}),
        ("CCC", "bybit", "account_global", {*range(301)}),
    ):
        level = 0.0
        for n in sorted(days):
            level = 0.93 * level + random_.gauss(0.01, 0.25)
            share = round(1 / (1 + math.exp(-level)), 2)
            if asset == "BBB":
                share = {77: 0.0, 78: 1.0}.get(n, 0.6063 if 150 <= n < 260 else share)
            world.tables["marts.fct_positioning_daily"].append(
                {
                    "venue": venue,
                    "asset": asset,
                    "measure": measure,
                    "trade_date": day(n),
                    "long_share": share,
                    "input_grain": "5m" if measure == "taker_volume" else "1d",
                    "sources": f"files.{venue}_ratios",
                    "available_at": known_after(day(n)) + dt.timedelta(days=3 if (asset, n) == ("AAA", 110) else 0),
                }
            )


def _liquidations(world: MarketModel, random_: random.Random) -> None:
    for asset in ("AAA", "BBB"):
        for n in range(DAYS):
            if (asset, n) == ("BBB", 100):
                continue
            world.tables["marts.liquidation_comparison_daily"].append(
                {
                    "asset": asset,
                    "trade_date": day(n),
                    **{f"exchange_{ratio}": random_.random() / 20 for ratio in RATIOS},
                    "exchange_liq_to_oi_venues": 1,
                    "exchange_completeness": "throttled",
                    "perp_dex_liq_to_oi": random_.random() / 20 if n > 200 else None,
                    "perp_dex_liq_to_oi_usd": random_.random() / 20 if n > 200 else None,
                    "sources": "files.zz,files.liquidations",
                    "available_at": known_after(day(n)),
                }
            )


def _options(world: MarketModel, random_: random.Random) -> None:
    for n in range(20, DAYS):
        if n % 50 == 0:
            continue
        world.tables["marts.options_structure_daily"].append(
            {
                "asset": "AAA",
                "trade_date": day(n),
                "put_call_oi_ratio": 0.4 + random_.random(),
                # Often exactly on the border.
                "put_call_oi_percentile_90d": random_.choice([0.0, 50.0, 89.9, 90.0, 90.0, 97.0]) if n >= 110 else None,
                "otm_put_oi_share": random_.random(),
                "sources": "files.options",
                "available_at": known_after(day(n)) + dt.timedelta(hours=3),
            }
        )
