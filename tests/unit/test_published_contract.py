"""What the published file says of itself: meta, constraints, time zones, and JSON that every program reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.storage.dictionary import MartDictionary
from pipelines.storage.publish import Edition, publish
from pipelines.storage.warehouse import reader, writer

NOW = datetime(2024, 1, 1)
ZONES = ("UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland")


def column(name: str, *, required: bool = False, **meta: str) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"About {name}.",
        "constraints": [{"type": "not_null"}] if required else [],
        "config": {"meta": meta},
    }


def model(name: str, *columns: dict[str, Any]) -> dict[str, Any]:
    return {"resource_type": "model", "schema": "marts", "name": name, "columns": {c["name"]: c for c in columns}}


def check(model_name: str, test: str, **arguments: Any) -> dict[str, Any]:
    return {
        "resource_type": "test", "attached_node": f"model.{model_name}", "test_metadata": {"name": test, "kwargs": arguments}
    }  # fmt: skip


MANIFEST = {
    "nodes": {
        "model.dim_asset": model("dim_asset", column("asset", required=True, unit="text", additivity="state")),
        "model.fct_example": model(
            "fct_example",
            column("asset", required=True, unit="text", additivity="state"),
            column("available_at", required=True, unit="timestamp_utc", additivity="state"),
            column("oi_usd", unit="usd", additivity="stock", orientation="more leverage"),
        ),
        "test.1": check("dim_asset", "unique", column_name="asset"),
        "test.2": check("fct_example", "unique_combination", columns=["asset", "available_at"]),
        "test.3": check("fct_example", "conformed_dimensions", assets="ref('dim_asset')", dates="ref('dim_date')"),
    }
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = Settings(home=tmp_path_factory.mktemp("published"))
    with writer(settings, what="test") as con:
        con.execute("create schema marts")
        con.execute("create table marts.dim_asset as select unnest(['BTC', 'ETH']) as asset")
        con.execute(
            "create table marts.fct_example as select 'BTC' as asset, "
            "timestamp '2025-05-29 00:00' + interval (h) hour as available_at, 1e0 / 0 as oi_usd from range(0, 48) as t(h)"
        )
    edition = Edition(dictionary=MartDictionary.of(MANIFEST), code_version="0.1.0+abc")
    publish(settings, now=NOW, edition=edition)
    return settings


@pytest.fixture
def con(home: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    with reader(home) as opened:
        yield opened


def test_every_column_is_described_with_its_unit_and_place_in_the_key(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.execute(
        "select table_name, column_name, is_required, key_position, unit, additivity, orientation, description "
        "from meta.columns where schema_name = 'marts' order by table_name, position"
    ).fetchall()
    assert rows == [
        ("dim_asset", "asset", True, 1, "text", "state", None, "About asset."),
        ("fct_example", "asset", True, 1, "text", "state", None, "About asset."),
        ("fct_example", "available_at", True, 2, "timestamp_utc", "state", None, "About available_at."),
        ("fct_example", "oi_usd", False, None, "usd", "stock", "more leverage", "About oi_usd."),
    ]
    undescribed = "select count(*) from meta.columns where schema_name = 'ops' and description is null"
    assert con.execute(undescribed).fetchall() == [(0,)]


def test_a_relationship_leads_to_a_mart_that_is_published(con: duckdb.DuckDBPyConnection) -> None:
    assert con.execute("from meta.relationships").fetchall() == [("fct_example", "asset", "dim_asset", "asset", 1)]


def test_null_is_refused_by_the_file_and_only_dimensions_have_an_index(con: duckdb.DuckDBPyConnection) -> None:
    rules = con.execute(
        "select constraint_type, table_name, constraint_column_names from duckdb_constraints() "
        "where schema_name = 'marts' order by all"
    ).fetchall()
    assert [x for x in rules if x[0] == "PRIMARY KEY"] == [("PRIMARY KEY", "dim_asset", ["asset"])]
    required = {(table, *columns) for kind, table, columns in rules if kind == "NOT NULL"}
    assert required == {("dim_asset", "asset"), ("fct_example", "asset"), ("fct_example", "available_at")}


def test_everything_in_meta_has_a_comment(con: duckdb.DuckDBPyConnection) -> None:
    bare = (
        "select table_name, column_name from duckdb_columns() where schema_name = 'meta' and comment is null union all "
        "select table_name, '' from duckdb_tables() where schema_name = 'meta' and comment is null union all "
        "select function_name, '' from duckdb_functions() where schema_name = 'meta' and comment is null"
    )
    assert con.execute(bare).fetchall() == []


def test_the_fingerprint_depends_on_the_code_and_on_nothing_of_the_run(home: Settings) -> None:
    def fingerprint() -> Any:
        with reader(home) as opened:
            return opened.execute("select fingerprint from meta.publication").fetchall()

    first = fingerprint()
    edition = Edition(dictionary=MartDictionary.of(MANIFEST), code_version="0.1.0+abc")
    publish(home, now=datetime(2024, 1, 2), edition=edition)
    assert fingerprint() == first
    publish(home, now=datetime(2024, 1, 3), edition=Edition(dictionary=edition.dictionary, code_version="0.1.0+abd"))
    assert fingerprint() != first
    publish(home, now=NOW, edition=edition)


@pytest.mark.parametrize("zone", ZONES)
def test_what_was_known_at_an_instant_is_the_same_in_every_time_zone(home: Settings, zone: str) -> None:
    guide = (PROJECT_ROOT / "docs" / "connect.md").read_text(encoding="utf-8")
    [then, now] = re.findall(r"^where (available_at <= .+?) +-- ", guide, re.MULTILINE)
    with duckdb.connect(str(home.published_database.resolve()), read_only=True) as client:
        client.execute(f"set TimeZone = '{zone}'")
        known = f"select max(available_at) from marts.fct_example where {then.replace('12:00:00', '12:30:00')}"
        assert client.execute(known).fetchall() == [(datetime(2025, 5, 29, 12),)]
        assert client.execute(f"select count(*) from marts.fct_example where {now}").fetchall() == [(48,)]
        drift = "select abs(epoch(meta.utc_now()) - epoch(now())) < 1"
        assert client.execute(drift).fetchall() == [(True,)]
        same = "select bool_and(epoch(meta.with_zone(available_at)) = epoch(available_at)) from marts.fct_example"
        assert client.execute(same).fetchall() == [(True,)]


def test_examples_use_no_clock_and_no_zone() -> None:
    zoned = re.compile(r"\b(now\(|current_date|current_timestamp|timestamptz|with time zone|today\()", re.IGNORECASE)
    folder = PROJECT_ROOT / "dbt_project" / "analyses"
    assert [path.name for path in folder.glob("*.sql") if zoned.search(path.read_text(encoding="utf-8"))] == []


def test_json_has_neither_infinity_nor_nan(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERHOUSE_HOME", str(home.root))
    query = "select 1e0 / 0 as a, -1e0 / 0 as b, 'nan'::double as c, [1e0, 1e0 / 0] as d, {'x': 'nan'::float} as e"
    done = CliRunner().invoke(app, ["sql", "--json", query])

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    [row] = json.loads(done.stdout, parse_constant=refuse)
    assert row == {"a": None, "b": None, "c": None, "d": [1.0, None], "e": {"x": None}}
