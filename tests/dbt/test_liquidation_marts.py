"""The liquidation marts, built by dbt from clean rows of an invented market, say what an independent computation says.

And they never look ahead. The market is liquidation_world's, the independent computation liquidation_reference's.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.core.settings import PROJECT_ROOT
from tests.dbt import liquidation_reference
from tests.dbt.dbt_fixture import DbtIn
from tests.dbt.liquidation_fixture import MarketModel, Row, invent, known_after
from tests.dbt.liquidation_reference import Key

TOLERANCE = 1e-9
HEATMAP, CASCADES = "marts.liquidation_heatmap_daily", "marts.liquidation_cascades"
DAYS, ZONES = "intermediate.int_cascade_days", "intermediate.int_liquidation_zones_daily"
KEYS: Mapping[str, tuple[str, ...]] = {
    HEATMAP: ("asset", "trade_date", "bin_no"),
    CASCADES: ("asset", "cascade_id"),
    DAYS: ("asset", "trade_date"),
    ZONES: ("asset", "trade_date"),
}
REFERENCE: Mapping[str, Callable[[MarketModel], dict[Key, Row]]] = {
    HEATMAP: liquidation_reference.heatmap,
    CASCADES: liquidation_reference.cascades,
    DAYS: liquidation_reference.cascade_days,
    ZONES: liquidation_reference.zones,
}
# What is known later than the row itself, and the column that says when.
KNOWN_LATER = {
    **dict.fromkeys(
        ("color_value", "color_hex", "color_low_usd", "color_high_usd", "color_available_at"), "color_available_at"
    ),
    "move_after_1h": "reversal_1h_known_at",
    "reversal_1h": "reversal_1h_known_at",
    "reversal_1h_known_at": "reversal_1h_known_at",
    "move_after_24h": "reversal_24h_known_at",
    "reversal_24h": "reversal_24h_known_at",
    "reversal_24h_known_at": "reversal_24h_known_at",
}
# The evening before a cascade goes on, inside outages of the feed, before the windows are full and after.
CUTS = (23, 51, 93, 103, 112, 123)


@dataclass(frozen=True)
class Build:
    world: MarketModel
    database: Path
    tables: Mapping[str, dict[Key, Row]]
    steps: tuple[tuple[str, str], ...]
    """(relation, select) of every model, in the order dbt built them."""


def read(database: Path) -> dict[str, dict[Key, Row]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        tables = {}
        for name, keys in KEYS.items():
            cursor = connection.execute(f"select * from {name}")
            columns = [column[0] for column in cursor.description or ()]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            tables[name] = {tuple(row[key] for key in keys): row for row in rows}
            assert len(tables[name]) == len(rows)
        return tables


@pytest.fixture(scope="module")
def build(dbt_in: DbtIn, tmp_path_factory: pytest.TempPathFactory) -> Build:
    folder = tmp_path_factory.mktemp("liquidations")
    database = folder / "leverhouse.duckdb"
    world = invent()
    world.write(database)
    dbt = dbt_in(folder)
    dbt.succeed(
        "build", "--exclude-resource-type", "unit_test", "--indirect-selection", "cautious",
        "--select", "+liquidation_heatmap_daily", "+liquidation_cascades", "+int_liquidation_zones_daily",
        "fct_liquidations_daily", "path:tests/analysis/liquidations",
    )  # fmt: skip
    results = dbt.results()
    models = [result for result in results if result["unique_id"].startswith("model.")]
    return Build(
        world=world,
        database=database,
        tables=read(database),
        steps=tuple((result["relation_name"], result["compiled_code"]) for result in models),
    )


def differs(left: Any, right: Any) -> bool:
    if isinstance(left, int | float) and isinstance(right, int | float):
        return not abs(left - right) <= TOLERANCE * max(1.0, abs(left), abs(right))
    return bool(left != right)


@pytest.mark.parametrize("table", KEYS)
def test_every_row_agrees_with_an_independent_computation(build: Build, table: str) -> None:
    expected = REFERENCE[table](build.world)
    assert build.tables[table].keys() == expected.keys()
    wrong = [
        (key, column, build.tables[table][key][column], value)
        for key, row in expected.items()
        for column, value in row.items()
        if differs(build.tables[table][key][column], value)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        (HEATMAP, "input_grain", {"event", "daily_close", "mixed"}),
        (HEATMAP, "is_dense", {True, False, None}),
        (CASCADES, "input_grain", {"minute", "daily"}),
        (CASCADES, "is_market_wide", {True, False}),
        (CASCADES, "price_grain", {"5m", "1d", None}),
        (DAYS, "state", {"on", "off", "unknown"}),
        (DAYS, "input_grain", {"minute", "daily", "none"}),
        (ZONES, "zone_state", {"inside", "near", "outside", "unknown"}),
    ],
)
def test_the_invented_market_reaches_every_state(build: Build, table: str, column: str, values: set[object]) -> None:
    """What the market never does, the comparison with the independent computation could not notice."""
    assert {row[column] for row in build.tables[table].values()} == values


def test_the_invented_market_holds_the_awkward_cascades(build: Build) -> None:
    cascades = [row for row in build.tables[CASCADES].values() if row["input_grain"] == "minute"]
    assert any(row["started_at"].date() != row["ended_at"].date() for row in cascades)
    assert any(row["price_move"] is not None and row["move_after_1h"] is None for row in cascades)
    assert any(row["move_after_1h"] is not None and row["move_after_24h"] is None for row in cascades)
    assert any(row["duration_minutes"] > 4 for row in cascades)


@pytest.mark.parametrize("cut", CUTS)
def test_history_reads_the_same_when_later_days_do_not_exist_yet(build: Build, tmp_path: Path, cut: int) -> None:
    """Every row that could be known when day `cut` was published stands in a build that ends there, and says the same."""
    database = tmp_path / "leverhouse.duckdb"
    build.world.until(cut).write(database)
    with duckdb.connect(str(database)) as connection:
        connection.execute(f"attach '{build.database}' as whole (read_only)")
        for schema in ("seeds", "staging", "intermediate", "marts"):
            connection.execute(f"create schema {schema}")
        seeds = "select table_name from duckdb_tables() where database_name = 'whole' and schema_name = 'seeds'"
        for (seed,) in connection.execute(seeds).fetchall():
            connection.execute(f"create table seeds.{seed} as from whole.seeds.{seed}")
        connection.execute("detach whole")
        for relation, select in build.steps:
            connection.execute(f"create table {relation} as {select}")
    known_at = known_after(cut)
    for name, then in read(database).items():
        now = {key: row for key, row in build.tables[name].items() if row["available_at"] <= known_at}
        assert len(now) > 0 or name == CASCADES
        assert now.keys() <= then.keys()
        wrong = [
            (key, column, then[key][column], value)
            for key, row in now.items()
            for column, value in row.items()
            if (column not in KNOWN_LATER or (row[KNOWN_LATER[column]] or known_at) <= known_at)
            and differs(then[key][column], value)
        ]
        assert wrong == []
        # Nothing that the shorter build believed to know by then is missing from the longer one.
        assert {key for key, row in then.items() if row["available_at"] <= known_at} <= now.keys()


@pytest.mark.parametrize("table", KEYS)
def test_a_row_is_available_only_after_what_it_tells(build: Build, table: str) -> None:
    ends = [
        row["ended_at"]
        if table == CASCADES
        else dt.datetime.combine(row["trade_date"], dt.time()) + dt.timedelta(days=1)
        for row in build.tables[table].values()
    ]
    assert [end for row, end in zip(build.tables[table].values(), ends, strict=True) if row["available_at"] < end] == []


def test_the_colors_of_the_mart_are_those_the_report_draws_with() -> None:
    theme = (PROJECT_ROOT / "pipelines" / "report" / "static" / "app" / "theme.js").read_text(encoding="utf-8")
    macros = (PROJECT_ROOT / "dbt_project" / "macros" / "liquidations.sql").read_text(encoding="utf-8")
    ramp = re.findall(r"#[0-9a-f]{6}", theme.split("const RAMP =")[1].split(";")[0])
    stops = re.findall(r"\[(\d+), (\d+), (\d+)\]", macros.split("macro liquidation_color_stops()")[1])
    assert ["#" + "".join(f"{int(part):02x}" for part in stop) for stop in stops] == ramp
