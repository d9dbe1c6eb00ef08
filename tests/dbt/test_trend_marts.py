"""The trend marts, built by dbt on an invented market, say what an independent computation says and never look ahead.

The market is trend_world's, the independent computation trend_reference's and trend_reference_liquidations'. Contracts and
identities are dbt's tests.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.dbt import trend_reference
from tests.dbt import trend_reference_liquidations as liquidations
from tests.dbt.dbt_fixture import DbtIn
from tests.dbt.trend_fixture import MarketModel, Row, day, invent, known_after


@dataclass(frozen=True)
class Mart:
    key: tuple[str, ...]
    """Columns of the key; the one that says when is second, or third of four."""
    compute: Callable[[MarketModel], Mapping[Any, Row]]
    compared: int
    """At least so many columns are computed independently."""


MARTS: Mapping[str, Mart] = {
    "oi_trends_daily": Mart(("asset", "trade_date"), trend_reference.oi_trends, 37),
    "oi_plausibility_daily": Mart(("venue", "trade_date"), trend_reference.oi_plausibility, 8),
    "oi_lead_lag_monthly": Mart(("asset", "trade_month", "lag_days"), trend_reference.oi_lead_lag_of, 5),
    "funding_regimes_daily": Mart(("asset", "trade_date"), trend_reference.funding_regimes, 30),
    "liquidation_comparison_daily": Mart(("asset", "trade_date"), liquidations.liquidation_comparison, 36),
    "liquidation_lead_lag_monthly": Mart(("asset", "counterpart", "trade_month", "lag_days"), liquidations.lead_lag, 6),
    "liquidation_comparison_hourly": Mart(("asset", "opened_at"), liquidations.liquidation_comparison_hourly, 36),
}
DAILY = ("oi_trends_daily", "funding_regimes_daily", "liquidation_comparison_daily")
TOLERANCE = 1e-9
# Inside silences, after departures, with half-filled windows, and the day after all of them are full.
CUTS = (41, 76, 151, 205, 323, 440)


@dataclass(frozen=True)
class Build:
    world: MarketModel
    marts: Mapping[str, trend_reference.Keyed]
    steps: tuple[tuple[str, str], ...]
    """(relation, select) of every model, in the order dbt built them."""


def read_marts(database: Path) -> dict[str, trend_reference.Keyed]:
    with duckdb.connect(str(database), read_only=True) as connection:
        marts = {}
        for name, mart in MARTS.items():
            cursor = connection.execute(f"select * from marts.{name}")
            columns = [column[0] for column in cursor.description or ()]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            marts[name] = {tuple(row[column] for column in mart.key): row for row in rows}
            assert len(marts[name]) == len(rows)
        return marts


@pytest.fixture(scope="module")
def build(dbt_in: DbtIn, tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("trends")
    database = folder / "leverhouse.duckdb"
    world = invent()
    world.write(database)
    dbt = dbt_in(folder)
    dbt.succeed("run", "--select", "path:models/marts/analysis/trends")
    results = dbt.results()
    return Build(
        world=world,
        marts=read_marts(database),
        steps=tuple((result["relation_name"], result["compiled_code"]) for result in results),
    )


def day_of(row: Row) -> dt.date:
    """The day a row speaks of; the first of those a profile holds for."""
    when: dt.date = row["trade_date"] if "trade_date" in row else row["trade_month"]
    return when


def differs(left: Any, right: Any) -> bool:
    if isinstance(left, int | float) and isinstance(right, int | float):
        return not abs(left - right) <= TOLERANCE * max(1.0, abs(left), abs(right))
    return bool(left != right)


@pytest.mark.parametrize("mart", MARTS)
def test_main_columns_agree_with_an_independent_computation(build: Build, mart: str) -> None:
    expected = MARTS[mart].compute(build.world)
    assert build.marts[mart].keys() == expected.keys()
    compared = set().union(*(row.keys() for row in expected.values())) & set(next(iter(build.marts[mart].values())))
    wrong = [
        (key, column, build.marts[mart][key][column], row[column])
        for key, row in expected.items()
        for column in compared & row.keys()
        if differs(build.marts[mart][key][column], row[column])
    ]
    assert len(compared) >= MARTS[mart].compared
    assert wrong == []


@pytest.mark.parametrize(
    ("mart", "column", "values"),
    [
        (
            "oi_trends_daily",
            "quadrant",
            {"long_build_up", "short_build_up", "short_covering", "long_unwinding", "neutral", "unknown"},
        ),
        ("oi_trends_daily", "divergence", {"bought_dip", "deleveraging", "neutral", "none", "unknown"}),
        ("oi_trends_daily", "expansion_confirmed", {"on", "off", "unknown"}),
        (
            "funding_regimes_daily",
            "regime",
            {
                "extreme_positive", "elevated", "mild_positive", "neutral",
                "negative", "depressed", "extreme_negative", "unknown",
            },
        ),
        ("funding_regimes_daily", "normalization", {"on", "off", "unknown"}),
        ("funding_regimes_daily", "healthy_market", {"on", "off", "unknown"}),
        ("funding_regimes_daily", "interval_changes", {0, 1, None}),
        ("oi_trends_daily", "oi_change_plausible", {"on", "off", "unknown"}),
        ("oi_lead_lag_monthly", "is_outside_band", {True, False, None}),
        ("liquidation_lead_lag_monthly", "is_outside_band", {True, False, None}),
        ("liquidation_comparison_hourly", "exchange_is_covered", {True, False}),
        ("liquidation_comparison_hourly", "lending_collateral_completeness", {"full", "sampled", "none"}),
        ("funding_regimes_daily", "input_grain", {"settlement", "daily", "none"}),
        ("liquidation_comparison_daily", "exchange_completeness", {"full", "throttled", "none"}),
    ],
)  # fmt: skip
def test_the_invented_market_reaches_every_state(build: Build, mart: str, column: str, values: set[object]) -> None:
    """What the market never does, the comparison with the independent computation could not notice."""
    assert {row[column] for row in build.marts[mart].values()} == values


@pytest.mark.parametrize("cut", CUTS)
def test_history_reads_the_same_when_later_days_do_not_exist_yet(build: Build, tmp_path: Path, cut: int) -> None:
    database = tmp_path / "leverhouse.duckdb"
    build.world.until(day(cut)).write(database)
    with duckdb.connect(str(database)) as connection:
        for relation, select in build.steps:
            connection.execute(f"create table {relation} as {select}")
    for name, then in read_marts(database).items():
        now = {key: row for key, row in build.marts[name].items() if day_of(row) <= day(cut)}
        # A day on which everything is silent is seen as a gap only when a later day exists.
        silent = {key for key in now.keys() - then.keys() if name in DAILY and now[key]["sources"] is None}
        assert then.keys() == now.keys() - silent
        wrong = [
            (key, column, value, now[key][column])
            for key, row in then.items()
            for column, value in row.items()
            if differs(value, now[key][column])
        ]
        assert len(then) >= cut or name not in DAILY
        assert wrong == []


def with_unit_error(world: MarketModel, asset: str, venue: str, date: dt.date) -> MarketModel:
    """The same world, with a venue's open interest of a day a thousand times too large and found out."""
    changed = {name: list(rows) for name, rows in world.tables.items()}
    for name in ("marts.fct_open_interest_daily", "intermediate.int_open_interest_daily"):
        changed[name] = [
            row | {"oi_base": row["oi_base"] * 1000, "taint_reason": "jump beyond traded volume"}
            | ({"oi_usd": row["oi_usd"] * 1000} if "oi_usd" in row else {})
            if (row["asset"], row["venue"], row["trade_date"]) == (asset, venue, date)
            else row
            for row in world.tables[name]
        ]  # fmt: skip
    return MarketModel(changed)


@pytest.mark.parametrize(("asset", "venue", "unjudged"), [("AAA", "bybit", set[int]()), ("BBB", "binance", {150, 151})])
def test_an_implausible_value_changes_no_state_of_another_day(
    build: Build, tmp_path: Path, asset: str, venue: str, unjudged: set[int]
) -> None:
    """Of a market of one venue neither the day nor the change after it can be judged; with more venues the others speak."""
    database = tmp_path / "leverhouse.duckdb"
    with_unit_error(build.world, asset, venue, day(150)).write(database)
    with duckdb.connect(str(database)) as connection:
        for relation, select in build.steps:
            connection.execute(f"create table {relation} as {select}")
    marts = read_marts(database)
    states = ("quadrant", "expansion", "volume_surge", "divergence")
    changed = {
        (key[1], column, row[column])
        for key, row in marts["oi_trends_daily"].items()
        for column in states
        if key[0] == asset and key[1] != day(150) and row[column] != build.marts["oi_trends_daily"][key][column]
    }
    assert {date for date, _, _ in changed} <= {day(n) for n in unjudged}
    assert {state for _, _, state in changed} <= {"unknown"}
    tainted, clean = (each["oi_trends_daily"][asset, day(150)] for each in (marts, build.marts))
    assert (tainted["venues_excluded"], tainted["excluded_venues"]) == (1, venue)
    assert tainted["oi_base"] < 1.5 * clean["oi_base"], "the last report is carried"
    for mart, column in (("oi_trends_daily", "oi_zscore_90d"), ("oi_trends_daily", "oi_percentile_365d")):
        lost = [
            key
            for key, row in marts[mart].items()
            if row[column] is None and build.marts[mart][key][column] is not None
        ]
        assert lost == [], f"no window of {column} is lost"
    regimes = [
        key
        for key, row in marts["funding_regimes_daily"].items()
        if row["regime"] != build.marts["funding_regimes_daily"][key]["regime"]
    ]
    assert regimes == []


@pytest.mark.parametrize("mart", DAILY)
def test_a_row_is_available_only_after_its_day_and_everything_before_it(build: Build, mart: str) -> None:
    latest: dict[str, dt.datetime] = {}
    for (asset, date), row in sorted(build.marts[mart].items()):
        assert row["available_at"] >= dt.datetime.combine(date, dt.time()) + dt.timedelta(days=1)
        assert row["available_at"] >= latest.get(asset, row["available_at"])
        latest[asset] = row["available_at"]


def test_loans_that_follow_exchanges_by_two_days_are_seen_to_lag_by_two(build: Build) -> None:
    row = build.marts["liquidation_comparison_daily"]["AAA", day(400)]
    assert row["exchange_lending_best_lag_days"] == 2
    assert row["exchange_lending_best_lag_correlation"] > row["exchange_lending_lag_band"]


def test_series_made_by_chance_have_no_lead(build: Build) -> None:
    """One profile of twenty leaves its band by chance: of twelve, hardly three."""
    profiles = build.marts["liquidation_lead_lag_monthly"]
    found = [key for key, row in profiles.items() if key[1] == "perp_dex" and row["is_best"]]
    known = {key[2] for key, row in profiles.items() if key[1] == "perp_dex" and row["correlation"] is not None}
    assert len(known) >= 5
    assert len(found) <= 2


def test_an_input_that_came_late_delays_the_rows_that_rest_on_it(build: Build) -> None:
    rows = build.marts["oi_trends_daily"]
    late = known_after(day(30)) + dt.timedelta(days=3)
    known = [rows["BBB", day(number)]["available_at"] for number in (29, 30, 31, 33, 34)]
    assert known == [known_after(day(29)), late, late, late, known_after(day(34))]
