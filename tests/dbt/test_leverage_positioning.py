"""The marts about leverage and crowding, built by dbt on an invented market, say what an independent computation says and
never look ahead.

The market is risk_world's, the independent computation risk_reference's. Contracts and identities are dbt's tests.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.dbt import risk_fixture as risk_world
from tests.dbt import risk_reference
from tests.dbt.dbt_fixture import DbtIn
from tests.dbt.trend_fixture import MarketModel, Row, day, known_after
from tests.dbt.trend_reference import Key

MARTS: Mapping[str, Callable[[MarketModel], dict[Key, Row]]] = {
    "leverage_daily": risk_reference.leverage,
    "positioning_divergence_daily": risk_reference.positioning,
}
TOLERANCE = 1e-9
# After a venue came, the day windows fill, inside a silence, after a delisting, and with every window full.
CUTS = (121, 210, 301, 366, 391, 455)


@dataclass(frozen=True)
class Build:
    world: MarketModel
    marts: Mapping[str, dict[Key, Row]]
    steps: tuple[tuple[str, str], ...]
    """(relation, select) of every model, in the order dbt built them."""


def read_marts(database: Path) -> dict[str, dict[Key, Row]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        marts = {}
        for name in MARTS:
            cursor = connection.execute(f"select * from marts.{name}")
            columns = [column[0] for column in cursor.description or ()]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            marts[name] = {(row["asset"], row["trade_date"]): row for row in rows}
            assert len(marts[name]) == len(rows)
        return marts


@pytest.fixture(scope="module")
def build(dbt_in: DbtIn, tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("risk")
    database = folder / "leverhouse.duckdb"
    world = risk_world.invent()
    risk_world.write(world, database)
    dbt = dbt_in(folder)
    dbt.succeed(
        "run", "--select", "int_oi_by_venue_daily", "int_oi_across_venues_daily", "oi_trends_daily",
        "path:models/marts/analysis/risk",
    )  # fmt: skip
    results = dbt.results()
    return Build(
        world=world,
        marts=read_marts(database),
        steps=tuple((result["relation_name"], result["compiled_code"]) for result in results),
    )


def differs(left: Any, right: Any) -> bool:
    if isinstance(left, int | float) and isinstance(right, int | float):
        return not abs(left - right) <= TOLERANCE * max(1.0, abs(left), abs(right))
    return bool(left != right)


@pytest.mark.parametrize("mart", MARTS)
def test_every_measure_agrees_with_an_independent_computation(build: Build, mart: str) -> None:
    expected = MARTS[mart](build.world)
    assert build.marts[mart].keys() == expected.keys()
    wrong = [
        (key, column, build.marts[mart][key][column], value)
        for key, row in expected.items()
        for column, value in row.items()
        if differs(build.marts[mart][key][column], value)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("mart", "column", "values"),
    [
        ("positioning_divergence_daily", "positioning_extreme", {"long_crowded", "short_crowded", "none", "unknown"}),
        ("positioning_divergence_daily", "capitulation", {"on", "off", "unknown"}),
        ("positioning_divergence_daily", "venue", {"binance", "bybit", None}),
        ("leverage_daily", "systemic_risk_parts", {0, 1, 2, 3}),
        ("leverage_daily", "oi_to_volume_venues", {0, 1, 2, 3}),
    ],
)
def test_the_invented_market_reaches_every_state(build: Build, mart: str, column: str, values: set[Any]) -> None:
    """What the market never does, the comparison with the independent computation could not notice."""
    assert {row[column] for row in build.marts[mart].values()} == values


@pytest.mark.parametrize("cut", CUTS)
def test_history_reads_the_same_when_later_days_do_not_exist_yet(build: Build, tmp_path: Path, cut: int) -> None:
    database = tmp_path / "leverhouse.duckdb"
    risk_world.write(build.world.until(day(cut)), database)
    with duckdb.connect(str(database)) as connection:
        for relation, select in build.steps:
            connection.execute(f"create table {relation} as {select}")
    for name, then in read_marts(database).items():
        now = {key: row for key, row in build.marts[name].items() if key[1] <= day(cut)}
        assert then.keys() == now.keys()
        wrong = [
            (key, column, value, now[key][column])
            for key, row in then.items()
            for column, value in row.items()
            if differs(value, now[key][column])
        ]
        assert len(then) >= cut
        assert wrong == []


@pytest.mark.parametrize("mart", MARTS)
def test_a_row_is_available_only_after_its_day_and_everything_before_it(build: Build, mart: str) -> None:
    latest: dict[str, dt.datetime] = {}
    for (asset, date), row in sorted(build.marts[mart].items()):
        assert row["available_at"] >= dt.datetime.combine(date, dt.time()) + dt.timedelta(days=1)
        assert row["available_at"] >= latest.get(asset, row["available_at"])
        latest[asset] = row["available_at"]


def test_a_ratio_that_came_late_delays_the_rows_that_rest_on_it(build: Build) -> None:
    rows = build.marts["positioning_divergence_daily"]
    late = known_after(day(110)) + dt.timedelta(days=3)
    options = dt.timedelta(hours=3)
    known = [rows["AAA", day(number)]["available_at"] for number in (109, 110, 112, 113, 114)]
    assert known == [known_after(day(109)) + options, late, late, late + options, known_after(day(114)) + options]


def test_a_venue_coming_or_going_moves_no_percentile_of_leverage_by_itself(build: Build) -> None:
    """Concentration falls by a step when a venue joins; over an unchanging set of venues it does not."""
    rows = build.marts["leverage_daily"]
    joins, before = rows["AAA", day(110)], rows["AAA", day(109)]
    assert joins["venues_present"] == before["venues_present"] + 1
    steps = [abs(joins[name] / before[name] - 1) for name in ("oi_hhi", "oi_hhi_chain_linked")]
    assert steps[0] > 2 * steps[1]


def test_a_single_venue_is_neither_more_nor_less_concentrated_than_it_ever_was(build: Build) -> None:
    ranks = {
        row["oi_hhi_percentile_365d"] for (asset, _), row in build.marts["leverage_daily"].items() if asset == "BBB"
    }
    assert ranks == {None, 50.0}
