"""A small invented market for the liquidation marts: clean rows with every trap, as the loader leaves them.

What the marts should say about it is liquidation_reference's business; running dbt and comparing is test_liquidation_marts'.
"""

from __future__ import annotations

import datetime as dt
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipelines.contract.ddl import apply_ddl, load_contract
from pipelines.core.settings import PROJECT_ROOT

FIRST_DAY = dt.date(2024, 1, 1)
DAYS = 128
STEP_MINUTES = 5
EVENTS, TOTALS, CANDLES = "bybit.liquidations", "coinalyze.liquidations", "files.candles"
ASSETS = ("AAA", "BBB", "CCC", "DDD")
INSTRUMENT = {"AAA": "AAAUSDT", "BBB": "BBBUSDT", "CCC": "CCCUSDT", "DDD": "1000DDDUSDT"}
MULTIPLIER = {"AAA": 1.0, "BBB": 1.0, "CCC": 1.0, "DDD": 1000.0}
START = {"AAA": 100.0, "BBB": 5.0, "CCC": 0.4, "DDD": 0.002}
WITH_EVENTS = ("AAA", "BBB", "DDD")
# Days on which the feed of events was down. The vendor's totals of the same venue and instruments stand in.
FEED_DOWN = frozenset({9, 50, 51, 52, 70, 110})
# Days the vendor missed.
SILENT = {"AAA": frozenset({9}), "BBB": frozenset({2}), "CCC": frozenset({20}), "DDD": frozenset[int]()}
# Days without any candle.
UNPRICED = {"AAA": frozenset[int](), "BBB": frozenset({51, 80}), "CCC": frozenset({10}), "DDD": frozenset({81})}

Row = dict[str, Any]


def day(number: int) -> dt.date:
    return FIRST_DAY + dt.timedelta(days=number)


def midnight(number: int) -> dt.datetime:
    return dt.datetime.combine(day(number), dt.time())


def known_after(number: int) -> dt.datetime:
    """Totals and candles of a day are published two hours after it."""
    return midnight(number + 1) + dt.timedelta(hours=2)


@dataclass(frozen=True)
class MarketModel:
    """Clean rows of the market: events, the vendor's totals per day, and closes on a grid of five minutes."""

    events: tuple[Row, ...]
    totals: tuple[Row, ...]
    closes: Mapping[str, Mapping[dt.datetime, float]]
    """Asset → end of candle → close in dollars per unit of the asset."""

    def until(self, last: int) -> MarketModel:
        """The same world as it was recorded up to the end of day `last`."""
        return MarketModel(
            events=tuple(row for row in self.events if row["trade_date"] <= day(last)),
            totals=tuple(row for row in self.totals if row["trade_date"] <= day(last)),
            closes={
                asset: {at: close for at, close in series.items() if at <= midnight(last + 1)}
                for asset, series in self.closes.items()
            },
        )

    @property
    def days(self) -> int:
        last: dt.date = max(row["trade_date"] for row in (*self.events, *self.totals))
        return 1 + (last - FIRST_DAY).days

    def write(self, path: Path) -> None:
        """A warehouse that has loaded this world."""
        frames = {
            "clean.liquidations": list(self.events),
            "clean.liquidation_totals": list(self.totals),
            "clean.candles": list(self._candles()),
            "clean.instruments": list(_instruments()),
            "ops.coverage": list(self._coverage()),
            "ops.loads": list(self._loads()),
        }
        with duckdb.connect(str(path)) as connection:
            apply_ddl(connection, load_contract(PROJECT_ROOT / "warehouse" / "schema"))
            for table, rows in frames.items():
                frame = pl.DataFrame(rows, orient="row", infer_schema_length=None)
                connection.register("rows", frame)
                connection.execute(f"insert into {table} by name select * from rows")
                connection.unregister("rows")

    def _candles(self) -> Iterator[Row]:
        for asset, series in self.closes.items():
            for closed_at, close in series.items():
                opened_at = closed_at - dt.timedelta(minutes=STEP_MINUTES)
                yield {
                    "venue": "bybit",
                    "instrument": INSTRUMENT[asset],
                    "market": "perp",
                    "period": f"{STEP_MINUTES}m",
                    "opened_at": opened_at,
                    "close": close * MULTIPLIER[asset],
                    "trade_date": opened_at.date(),
                    **_common(CANDLES, known_after((opened_at.date() - FIRST_DAY).days)),
                }

    def _coverage(self) -> Iterator[Row]:
        """Events are covered as a whole: one row per day on which the feed was up, with or without an event."""
        held = {row["trade_date"] for row in self.events}
        for number in range(self.days):
            if number not in FEED_DOWN:
                yield {
                    "source": EVENTS,
                    "table_name": "liquidations",
                    "venue": "bybit",
                    "instrument": "*",
                    "series": "",
                    "trade_date": day(number),
                    "present": 1,
                    "quarantined": 0,
                    "status": "complete" if day(number) in held else "empty",
                }

    def _loads(self) -> Iterator[Row]:
        for source, table, rows in ((EVENTS, "liquidations", self.events), (TOTALS, "liquidation_totals", self.totals)):
            for date in sorted({row["trade_date"] for row in rows}):
                yield _load(source, table, date)
        for date in sorted({at.date() for series in self.closes.values() for at in series}):
            yield _load(CANDLES, "candles", date)


def _load(source: str, table: str, date: dt.date) -> Row:
    zeros = ("duplicates", "restated", "quarantined", "absent_cells", "outside_span", "ignored")
    counts = {"received": 1, "accepted": 1, **dict.fromkeys(zeros, 0)}
    stamps = {"load_seq": 1, "loaded_at": dt.datetime(2025, 1, 1)}
    return {"source": source, "table_name": table, "trade_date": date, **counts, **stamps}


def _common(source: str, available_at: dt.datetime) -> Row:
    return {"source": source, "landing_id": "l", "available_at": available_at, "loaded_at": dt.datetime(2025, 1, 1)}


def _instruments() -> Iterator[Row]:
    for asset in ASSETS:
        yield {
            "venue": "bybit",
            "instrument": INSTRUMENT[asset],
            "valid_from": dt.datetime(2020, 1, 1),
            "asset": asset,
            "quote": "USDT",
            "contract_type": "linear",
            "multiplier": MULTIPLIER[asset],
            "trade_date": dt.date(2020, 1, 1),
            **_common(CANDLES, dt.datetime(2020, 1, 1)),
        }


def invent(seed: int = 11) -> MarketModel:
    """Four assets on one venue over 128 days.

    Events of AAA, BBB and DDD are known but for the days their feed was down, on which the vendor's totals stand in; on AAA's
    ninth not even those. CCC has totals only; DDD is traded in thousands. The totals overlap the events on every other day and
    must not be added to them. Bursts of all sizes run through the events, some across midnight, some in all three at once.
    """
    random_ = random.Random(seed)
    closes = {asset: _closes(random_, asset) for asset in ASSETS}
    events = tuple(_events(random_, closes))
    return MarketModel(events=events, totals=tuple(_totals(random_)), closes=closes)


def _closes(random_: random.Random, asset: str) -> dict[dt.datetime, float]:
    level, series = START[asset], {}
    for step in range(1, DAYS * 24 * 60 // STEP_MINUTES + 1):
        level *= math.exp(random_.gauss(0, 0.0012) - 0.02 * (math.log(level / START[asset])) / 288)
        closed_at = midnight(0) + dt.timedelta(minutes=STEP_MINUTES * step)
        number = (closed_at - dt.timedelta(minutes=STEP_MINUTES) - midnight(0)).days
        # An hour of every ninth day is missing, so that some reversals have no candle.
        if number not in UNPRICED[asset] and not (number % 9 == 4 and closed_at.hour == 13):
            series[closed_at] = level
    return series


def _moments(random_: random.Random, number: int) -> Iterator[tuple[int, float]]:
    """(second of the day, dollars) of an asset's events on a day: a murmur, and on some days bursts."""
    for _ in range(random_.randrange(4, 14)):
        yield random_.randrange(86_400), random_.lognormvariate(7.5, 1.0)
    for _ in range(random_.choice((0, 0, 1, 2))):
        minute = random_.randrange(1430)
        for _ in range(random_.randrange(1, 7)):
            for _ in range(random_.randrange(1, 4)):
                yield minute * 60 + random_.randrange(60), random_.lognormvariate(10.5, 1.2)
            minute += random_.choice((1, 2, 3, 4, 5))
    # The last minute of some days, and the first ones of the next.
    if number % 10 == 3:
        yield 86_399, 150_000.0
    if number % 10 == 4:
        yield 61, 150_000.0
    # Noon of every twelfth day shakes all assets within three minutes of each other.
    if number % 12 == 6:
        yield 12 * 3600 + random_.randrange(180), 200_000.0


def _events(random_: random.Random, closes: Mapping[str, Mapping[dt.datetime, float]]) -> Iterator[Row]:
    serial = 0
    for asset in WITH_EVENTS:
        for number in sorted({*range(DAYS)} - FEED_DOWN):
            # A quiet day, on which the feed was up.
            moments = [] if (asset, number) == ("BBB", 33) else [*_moments(random_, number)]
            if number == 0:
                # Both sides are seen from the first day on, so that quiet days are known to be quiet.
                moments = [(1, 900.0), (2, 900.0), *moments]
            for place, (second, dollars) in enumerate(moments):
                serial += 1
                occurred_at = midnight(number) + dt.timedelta(seconds=min(second, 86_399))
                grid = midnight(0) + (occurred_at - midnight(0)) // dt.timedelta(minutes=STEP_MINUTES) * dt.timedelta(
                    minutes=STEP_MINUTES
                )
                price = closes[asset].get(grid, START[asset]) * math.exp(random_.gauss(0, 0.004))
                # Some venues' rows come without a price; those take the day's close, if there is one.
                is_priced = random_.random() > 0.04
                yield {
                    "venue": "bybit",
                    "liquidation_id": str(serial),
                    "venue_kind": "cex",
                    "instrument": INSTRUMENT[asset],
                    "occurred_at": occurred_at,
                    "side": ("long", "short")[place % 2 if number == 0 else random_.random() < 0.4],
                    "price": price * MULTIPLIER[asset] if is_priced else None,
                    "quantity_base": dollars / price / MULTIPLIER[asset],
                    "notional_usd": dollars if is_priced else None,
                    "completeness": "full",
                    "is_adl": number > 0 and random_.random() < 0.02,
                    "trade_date": occurred_at.date(),
                    **_common(EVENTS, occurred_at + dt.timedelta(seconds=5)),
                }


def _totals(random_: random.Random) -> Iterator[Row]:
    for asset in ASSETS:
        for number in range(DAYS):
            if number in SILENT[asset]:
                continue
            dollars = [random_.lognormvariate(11, 0.8) for _ in range(2)]
            if number % 40 == 38:
                dollars = [10 * amount for amount in dollars]
            stated = asset != "CCC"
            yield {
                "venue": "bybit",
                "instrument": INSTRUMENT[asset],
                "measure": "position_notional",
                "period": "1d",
                "event_at": midnight(number),
                "long_usd": dollars[0] if stated else None,
                "short_usd": dollars[1] if stated else None,
                # More than its sides: the rest has no side.
                "total_usd": sum(dollars) * 1.25 if stated else None,
                # The vendor states base units only; the close prices them.
                "long_base": None if stated else dollars[0] / START[asset],
                "short_base": None if stated else dollars[1] / START[asset],
                "completeness": "throttled",
                "trade_date": day(number),
                **_common(TOTALS, known_after(number)),
            }
