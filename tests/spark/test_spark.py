"""The demo's seeds, models and data tests on Spark: every mart as on DuckDB, in full and after days that came, changed and went."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pytest

from pipelines.core.settings import PROJECT_ROOT

from .spark_fixture import PROJECT, Engines, differences

pytestmark = [pytest.mark.spark, pytest.mark.timeout(1800)]

CHANGED, GONE = date(2025, 5, 20), date(2025, 5, 22)
RESTATE = "update clean.open_interest set oi_base = oi_base * 1.1, oi_usd = oi_usd * 1.1 where trade_date = $day"
REMOVE = "delete from clean.open_interest where trade_date = $day"


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Engines:
    """The demo on both engines, built in full."""
    folder = tmp_path_factory.mktemp("engines")
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LEVERHOUSE_", "DAGSTER_", "DBT_"))
    }
    subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "demo", "--days", "45", "--json"],
        cwd=PROJECT_ROOT, env=kept | {"LEVERHOUSE_HOME": str(folder / "home")}, stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    shutil.copy(folder / "home" / "demo" / "leverhouse.duckdb", folder / "leverhouse.duckdb")
    shutil.rmtree(folder / "home")
    found = Engines(folder)
    found.export()
    found.spark("seed", "run")
    return found


def tables(engines: Engines, schema: str) -> list[str]:
    with duckdb.connect(str(engines.database), read_only=True) as con:
        found = con.execute(
            "select table_name from duckdb_tables() where schema_name = ? order by 1", [schema]
        ).fetchall()
    return [name for (name,) in found]


def test_every_mart_is_that_of_duckdb(engines: Engines) -> None:
    names = tables(engines, "marts")
    assert len(names) > 40
    assert [line for name in names for line in differences(engines, "marts", name)] == []


def test_every_data_test_passes(engines: Engines) -> None:
    assert "done" in engines.spark("test --exclude test_type:unit")


def test_days_that_change_go_and_come_back(engines: Engines, tmp_path: Path) -> None:
    saved = tmp_path / "day.parquet"
    with duckdb.connect(str(engines.database), read_only=True) as con:
        con.execute(f"copy (select * from clean.open_interest where trade_date = date '{GONE}') to '{saved}'")
    whole = duckdb.read_parquet(str(saved)).shape[0]
    assert whole > 100
    for changes in (
        {CHANGED: RESTATE, GONE: REMOVE},
        {GONE: f"insert into clean.open_interest select * from read_parquet('{saved}') where trade_date = $day"},
    ):
        engines.load(changes)
        engines.export()
        engines.duckdb("run", "--select", "int_open_interest_by_source")
        engines.spark("run --select int_open_interest_by_source")
        assert differences(engines, "intermediate", "int_open_interest_by_source") == []
    # What nobody loaded is what it was: the days of Spark are those of the table that was built in full.
    engines.duckdb("run", "--select", "int_open_interest_by_source+")
    engines.spark("run --select int_open_interest_by_source+")
    names = tables(engines, "marts")
    assert [line for name in names for line in differences(engines, "marts", name)] == []


def test_without_partitions_a_day_replaces_all_others(engines: Engines, tmp_path: Path) -> None:
    """The defect that the comparison must see: insert_overwrite of a table that has no partitions."""
    project = tmp_path / "dbt_project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    config = project / "dbt_project.yml"
    text = config.read_text()
    line = next(line for line in text.splitlines(keepends=True) if "+partition_by" in line)
    config.write_text(text.replace(line, ""))
    macros = project / "macros" / "incremental_spark.sql"
    macros.write_text(macros.read_text().replace("alter table {{ relation }} drop if exists", "-- {{ relation }}"))
    broken = Engines(engines.folder, project)
    broken.spark("run --full-refresh --select int_open_interest_by_source")
    engines.load({CHANGED: RESTATE})
    engines.export()
    engines.duckdb("run", "--select", "int_open_interest_by_source")
    broken.spark("run --select int_open_interest_by_source")
    assert any("on DuckDB only" in line for line in differences(engines, "intermediate", "int_open_interest_by_source"))
