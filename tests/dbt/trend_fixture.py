"""A small invented market for the trend marts: facts with every trap they must survive, written as tables dbt reads.

What the marts should say about it is trend_reference's business; running dbt and comparing is test_trend_marts'.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

FIRST_DAY = dt.date(2024, 1, 1)
DAYS = 470
NEUTRAL = {"binance": 0.0001, "bybit": 0.0001, "hyperliquid": 0.0001, "dydx": 0.0}
KIND = {"binance": "cex", "bybit": "cex", "hyperliquid": "perp_dex", "dydx": "perp_dex", "aave_v3": "lending"}

COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "marts.fct_open_interest_daily": {
        "venue": pl.String, "asset": pl.String, "trade_date": pl.Date, "oi_base": pl.Float64, "oi_usd": pl.Float64,
        "taint_reason": pl.String, "input_grain": pl.String, "sources": pl.String, "available_at": pl.Datetime("us"),
    },
    "marts.fct_price_daily": {
        "asset": pl.String, "trade_date": pl.Date, "close_usd": pl.Float64, "log_return": pl.Float64,
        "realized_vol_30d_daily": pl.Float64, "volume_base": pl.Float64, "volume_venues": pl.Int32, "sources": pl.String,
        "available_at": pl.Datetime("us"),
    },
    "intermediate.int_open_interest_daily": {
        "venue": pl.String, "instrument": pl.String, "asset": pl.String, "trade_date": pl.Date, "oi_base": pl.Float64,
        "taint_reason": pl.String, "available_at": pl.Datetime("us"),
    },
    # Contracts that ended; none has.
    "intermediate.int_instruments": {
        "venue": pl.String, "asset": pl.String, "valid_to": pl.Date, "ended_at": pl.Datetime("us"),
    },
    "intermediate.int_candles_daily": {
        "venue": pl.String, "instrument": pl.String, "asset": pl.String, "market": pl.String, "trade_date": pl.Date,
        "volume_base": pl.Float64, "volume_usd": pl.Float64, "taker_buy_base": pl.Float64, "taker_buy_usd": pl.Float64,
        "day_completeness": pl.Float64, "source": pl.String, "available_at": pl.Datetime("us"),
    },
    "intermediate.int_funding_settlements": {
        "venue": pl.String, "asset": pl.String, "settled_at": pl.Datetime("us"), "trade_date": pl.Date,
        "rate_8h": pl.Float64, "excess_rate_8h": pl.Float64, "input_grain": pl.String, "source": pl.String,
        "available_at": pl.Datetime("us"),
    },
    "marts.fct_funding_daily": {
        "venue": pl.String, "asset": pl.String, "trade_date": pl.Date, "rate_8h": pl.Float64,
        "neutral_rate_8h": pl.Float64, "interval_hours": pl.Float64, "interval_changed": pl.Boolean,
        "sources": pl.String, "available_at": pl.Datetime("us"),
    },
    "marts.fct_liquidations_daily": {
        "venue": pl.String, "chain": pl.String, "asset": pl.String, "side": pl.String, "measure": pl.String,
        "trade_date": pl.Date, "venue_kind": pl.String, "events": pl.Int64, "notional_usd": pl.Float64,
        "quantity_base": pl.Float64, "completeness": pl.String, "unpriced_events": pl.Int64, "sources": pl.String,
        "available_at": pl.Datetime("us"),
    },
    "intermediate.int_liquidation_feeds_daily": {
        "venue": pl.String, "chain": pl.String, "series": pl.String, "asset": pl.String, "side": pl.String,
        "measure": pl.String, "trade_date": pl.Date, "venue_kind": pl.String, "completeness": pl.String,
        "source": pl.String, "hours_known_by": pl.String, "available_at": pl.Datetime("us"),
    },
    "intermediate.int_liquidations_hourly": {
        "venue": pl.String, "chain": pl.String, "series": pl.String, "asset": pl.String, "side": pl.String,
        "measure": pl.String, "opened_at": pl.Datetime("us"), "trade_date": pl.Date, "venue_kind": pl.String,
        "events": pl.Int64, "notional_usd": pl.Float64, "unpriced_events": pl.Int64, "is_hour_complete": pl.Boolean,
    },
}  # fmt: skip

Row = dict[str, Any]


def day(number: int) -> dt.date:
    return FIRST_DAY + dt.timedelta(days=number)


def known_after(date: dt.date) -> dt.datetime:
    return dt.datetime.combine(date, dt.time()) + dt.timedelta(days=1, hours=2)


@dataclass(frozen=True)
class MarketModel:
    """Rows per table, by the table's name as dbt knows it."""

    tables: Mapping[str, list[Row]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def until(self, last: dt.date) -> MarketModel:
        """The same world as it was known when `last` ended."""
        return MarketModel(
            {name: [row for row in rows if row["trade_date"] <= last] for name, rows in self.tables.items()}
        )

    def write(self, path: Path) -> None:
        """A database whose fact tables hold this world, and a calendar beside them."""
        with duckdb.connect(str(path)) as connection:
            for schema in ("marts", "intermediate"):
                connection.execute(f"create schema {schema}")
            for name, columns in COLUMNS.items():
                rows = pl.DataFrame(self.tables[name], schema=dict(columns), orient="row")
                connection.register("rows", rows)
                connection.execute(f"create table {name} as select * from rows")
                connection.unregister("rows")
            connection.execute(
                "create table intermediate.int_calendar as "
                "select date '2023-12-01' + cast(i as int) as trade_date from range(0, 800) as t (i)"
            )


def _walk(random_: random.Random, *, start: float, spread: float) -> list[float]:
    levels = [start]
    for _ in range(DAYS - 1):
        levels.append(levels[-1] * math.exp(random_.gauss(0, spread)))
    return levels


def _standard_deviation(values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def invent(seed: int = 7) -> MarketModel:
    """Three assets over 470 days.

    AAA trades on three venues with silences, a late entry, a departure and settlements every 8, 4 and 1 hours, one of
    which went from 8 to 4; its loans are liquidated two days after its positions;
    BBB on one venue with a day nobody reports, stretches of unchanged open interest and one funding value a day;
    CCC moves from one venue to another overnight, and lacks prices for a while.
    """
    world, random_ = MarketModel(), random.Random(seed)
    closes = {
        "AAA": _walk(random_, start=100.0, spread=0.03),
        "BBB": _walk(random_, start=5.0, spread=0.05),
        "CCC": _walk(random_, start=0.4, spread=0.06),
    }
    _prices(world, random_, closes)
    _open_interest(world, random_, closes)
    _funding(world, random_)
    _liquidations(world, random_, closes)
    _liquidation_hours(world, random.Random(seed + 1))
    return world


def _prices(world: MarketModel, random_: random.Random, closes: Mapping[str, list[float]]) -> None:
    for asset, series in closes.items():
        returns: dict[int, float] = {n: math.log(series[n] / series[n - 1]) for n in range(1, DAYS)}
        for n, close in enumerate(series):
            missing = asset == "CCC" and 200 <= n < 204
            window = [returns[m] for m in range(n - 30, n) if m in returns and not (asset == "CCC" and 200 <= m <= 204)]
            volume_venues = 1 if asset != "AAA" else (2 if n < 120 else 3)
            volume = random_.lognormvariate(10, 0.5)
            if not missing:
                world.tables["marts.fct_price_daily"].append(
                    {
                        "asset": asset,
                        "trade_date": day(n),
                        "close_usd": close,
                        "log_return": returns.get(n) if not (asset == "CCC" and n == 204) else None,
                        "realized_vol_30d_daily": _standard_deviation(window) if len(window) == 30 else None,
                        "volume_base": volume,
                        "volume_venues": volume_venues,
                        "sources": "files.prices",
                        "available_at": known_after(day(n)),
                    }
                )
            for venue in ("binance", "bybit"):
                if n % 97 != 5:
                    traded = random_.lognormvariate(12, 0.4)
                    world.tables["intermediate.int_candles_daily"].append(
                        {
                            "venue": venue,
                            "instrument": f"{asset}USDT",
                            "asset": asset,
                            "market": "perp",
                            "trade_date": day(n),
                            # Too little, now and then, for the change of open interest; for a day nothing at all.
                            "volume_base": 0.0 if n == 222 else 3 * traded,
                            "volume_usd": traded,
                            "taker_buy_base": 0.0 if n == 222 else 1.5 * traded,
                            "taker_buy_usd": traded / 2,
                            "day_completeness": 1.0,
                            "source": f"files.{venue}_candles",
                            "available_at": known_after(day(n)),
                        }
                    )


def _oi_days(asset: str, venue: str) -> Iterable[int]:
    silent = {
        ("AAA", "binance"): [60],
        ("AAA", "bybit"): [75, 76, 200, 201, 202],
        ("AAA", "hyperliquid"): [*range(110), *range(400, DAYS)],
        ("BBB", "binance"): [40],
        ("CCC", "binance"): [*range(250, DAYS)],
        ("CCC", "bybit"): [*range(250)],
    }[asset, venue]
    return (n for n in range(DAYS) if n not in set(silent))


def _open_interest(world: MarketModel, random_: random.Random, closes: Mapping[str, list[float]]) -> None:
    for asset, venue, start in (
        ("AAA", "binance", 5e6),
        ("AAA", "bybit", 3e6),
        ("AAA", "hyperliquid", 1e6),
        ("BBB", "binance", 2e6),
        ("CCC", "binance", 9e6),
        ("CCC", "bybit", 1e6),
    ):
        levels = _walk(random_, start=start, spread=0.06)
        for n in _oi_days(asset, venue):
            level = levels[n]
            if asset == "BBB" and (n % 50) in (10, 11, 12, 13):
                level = levels[n - n % 50 + 10]
            unpriced = asset == "CCC" and 200 <= n < 204
            available_at = known_after(day(n)) + dt.timedelta(days=3 if n == 30 else 0)
            world.tables["intermediate.int_open_interest_daily"].append(
                {
                    "venue": venue,
                    "instrument": f"{asset}USDT",
                    "asset": asset,
                    "trade_date": day(n),
                    "oi_base": level,
                    "available_at": available_at,
                }
            )
            world.tables["marts.fct_open_interest_daily"].append(
                {
                    "venue": venue,
                    "asset": asset,
                    "trade_date": day(n),
                    "oi_base": level,
                    # Each venue marks with a price of its own.
                    "oi_usd": None if unpriced else level * closes[asset][n] * (1.001 if venue == "bybit" else 1.0),
                    "input_grain": "1h" if venue == "hyperliquid" else "1d",
                    "sources": "files.zeta,files.oi" if venue == "bybit" else "files.oi",
                    "available_at": available_at,
                }
            )


def _funding_path(random_: random.Random, *, steps: int, neutral: float) -> list[float]:
    """Long stretches exactly at neutral, waves above and below, and a few fits."""
    rates, level = [], 0.0
    for step in range(steps):
        level = 0.9 * level + random_.gauss(0, 3e-5)
        if (step // 40) % 4 == 0:
            rates.append(neutral)
        elif (step // 25) % 9 == 4:
            rates.append(round(neutral + level + 4e-4, 8))
        elif (step // 25) % 11 == 7:
            rates.append(round(neutral + level - 5e-4, 8))
        else:
            rates.append(round(neutral + level, 8))
    return rates


def _funding(world: MarketModel, random_: random.Random) -> None:
    for asset, venue, hours, first, last in (
        ("AAA", "binance", 8, 0, DAYS),
        ("AAA", "bybit", 4, 0, 320),
        ("AAA", "hyperliquid", 1, 110, DAYS),
        ("BBB", "binance", 24, 0, DAYS),
        ("CCC", "dydx", 8, 0, 300),
    ):
        path = _funding_path(random_, steps=DAYS * 24 // hours, neutral=NEUTRAL[venue])
        for n in range(first, last):
            if (asset, n) == ("BBB", 35) or (asset, venue, n) == ("AAA", "bybit", 90):
                continue
            rates = []
            interval = 8 if (asset, venue) == ("AAA", "bybit") and n < 150 else hours
            for hour in range(0, 24, interval):
                # Part of one day is lost; the slot behind it is then missing where no other venue fills it.
                if asset == "CCC" and n == 150 and hour == 8:
                    continue
                rate = path[(n * 24 + hour) // hours]
                rates.append(rate)
                if hours < 24:
                    world.tables["intermediate.int_funding_settlements"].append(
                        {
                            "venue": venue,
                            "asset": asset,
                            "settled_at": dt.datetime.combine(day(n), dt.time(hour)),
                            "trade_date": day(n),
                            "rate_8h": rate,
                            "excess_rate_8h": rate - NEUTRAL[venue],
                            "input_grain": "settlement",
                            "source": f"files.{venue}_funding",
                            "available_at": known_after(day(n)),
                        }
                    )
            world.tables["marts.fct_funding_daily"].append(
                {
                    "venue": venue,
                    "asset": asset,
                    "trade_date": day(n),
                    "rate_8h": math.fsum(rates) / len(rates),
                    "neutral_rate_8h": NEUTRAL[venue],
                    "interval_hours": float(interval),
                    "interval_changed": (asset, venue, n) == ("AAA", "bybit", 150),
                    "sources": f"files.{venue}_funding",
                    "available_at": known_after(day(n)),
                }
            )


def _liquidations(world: MarketModel, random_: random.Random, closes: Mapping[str, list[float]]) -> None:
    on_exchanges: dict[tuple[str, int], float] = defaultdict(float)
    for asset, venue, sides, completeness, measures in (
        ("AAA", "binance", ("long", "short"), "throttled", ("position_notional",)),
        ("AAA", "bybit", ("long", "short"), "full", ("position_notional",)),
        ("AAA", "hyperliquid", ("unknown",), "full", ("position_notional",)),
        ("AAA", "aave_v3", ("long",), "full", ("collateral_seized", "debt_repaid")),
        ("BBB", "binance", ("long", "short"), "throttled", ("position_notional",)),
        ("BBB", "aave_v3", ("long",), "sampled", ("collateral_seized",)),
    ):
        for n in range(DAYS):
            outside = (
                (venue == "hyperliquid" and n < 130)
                or (asset == "BBB" and n in (210, 211))
                or (venue == "bybit" and 300 <= n < 330)
                or (asset == "AAA" and venue == "binance" and 350 <= n < 355)
            )
            if outside:
                continue
            for measure in measures:
                for side in sides:
                    quiet = (venue == "aave_v3" and random_.random() < 0.1) or (asset == "BBB" and 20 <= n < 50)
                    base = 0.0 if quiet else random_.lognormvariate(8, 1.0)
                    if KIND[venue] == "cex":
                        on_exchanges[asset, n] += base
                    elif asset == "AAA" and venue == "aave_v3":
                        base *= on_exchanges[asset, n - 2] / 10_000
                    # Nothing priced; then a single long without a price beside shorts of which none was closed.
                    unpriced = asset == "BBB" and venue == "binance" and (n == 400 or (n == 401 and side == "long"))
                    if (asset, n, side) == ("BBB", 401, "short"):
                        base = 0.0
                    world.tables["marts.fct_liquidations_daily"].append(
                        {
                            "venue": venue,
                            "chain": "ethereum" if venue == "aave_v3" else "",
                            "asset": asset,
                            "side": side,
                            "measure": measure,
                            "trade_date": day(n),
                            "venue_kind": KIND[venue],
                            "events": None if venue == "binance" else int(base > 0),
                            "notional_usd": None if unpriced else base * closes[asset][n],
                            "quantity_base": base if venue != "hyperliquid" else None,
                            "completeness": completeness,
                            "unpriced_events": int(unpriced),
                            "sources": f"files.{venue}_liquidations",
                            "available_at": known_after(day(n)),
                        }
                    )


HOURLY_DAYS = range(290, 360)


def _known_by(venue: str, n: int) -> str:
    """How a feed tells the hours of a day apart: bybit by totals of an hour, hyperliquid by the day only."""
    if n not in HOURLY_DAYS or venue == "hyperliquid":
        return "none"
    if venue == "bybit":
        return "periods"
    return "events" if venue == "aave_v3" and n % 10 == 7 else "day"


def _liquidation_hours(world: MarketModel, random_: random.Random) -> None:
    """The days of the facts, cut into hours: quiet ones, hours a venue did not state, events nobody priced."""
    for row in world.tables["marts.fct_liquidations_daily"]:
        n = (row["trade_date"] - FIRST_DAY).days
        sampled = row["completeness"] == "sampled"
        known_by = "events" if sampled and n in HOURLY_DAYS else _known_by(row["venue"], n)
        feed = {name: row[name] for name in ("venue", "chain", "asset", "side", "measure", "trade_date", "venue_kind")}
        feed["series"] = row["asset"] if row["venue_kind"] == "lending" else f"{row['asset']}USDT"
        world.tables["intermediate.int_liquidation_feeds_daily"].append(
            feed
            | {
                "completeness": row["completeness"],
                "source": row["sources"],
                "hours_known_by": known_by,
                "available_at": row["available_at"],
            }
        )
        if known_by == "none":
            continue
        # Totals are stated for every hour, quiet or not, but for those a venue lost; events where they happened.
        hours = [h for h in range(24) if not (n % 7 == 3 and h in (4, 5))] if known_by == "periods" else []
        busy = random_.sample(hours or range(24), random_.randint(1, 5)) if row["notional_usd"] else []
        for hour in sorted({*hours, *busy}):
            unpriced = known_by == "day" and hour == 13
            world.tables["intermediate.int_liquidations_hourly"].append(
                feed
                | {
                    "opened_at": dt.datetime.combine(row["trade_date"], dt.time(hour)),
                    "events": None if known_by == "periods" else 1,
                    "notional_usd": None if unpriced else row["notional_usd"] / len(busy) if hour in busy else 0.0,
                    "unpriced_events": int(unpriced),
                    # Half an hour of six o'clock is missing now and then.
                    "is_hour_complete": known_by == "periods" and not (n % 5 == 2 and hour == 6),
                }
            )
