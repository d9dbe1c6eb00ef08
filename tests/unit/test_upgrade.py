"""Upgrades: what is recorded of versions, what is read or built again because of them, and a home that an earlier version made."""

from __future__ import annotations

import copy
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pipelines.contract.versions import LANDING_FORMAT, SCHEMA_VERSION
from pipelines.core.errors import ConfigError, WarehouseDamagedError
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.extract.landing import LandingStore
from pipelines.operations.build import load_parsed
from pipelines.operations.load import import_files, load_pending
from pipelines.operations.model_versions import drop_outdated_models, record_sql_versions, sql_versions
from pipelines.operations.rebuild import rebuild
from pipelines.sources import registry
from pipelines.storage.fingerprint import Fingerprint, compare, fingerprint_schemas
from pipelines.storage.warehouse import writer
from tests.e2e.example_history import write_history
from tests.unit.test_load import LoaderFixture, clean_rows, oi

FROZEN = Path(__file__).with_name("frozen_home.tar.xz")
"""A home that the code of November 2026 made, before versions were recorded: four days of the simulated market from four venues,
one restated file, and an imported data set."""


def ungated(con: duckdb.DuckDBPyConnection, inputs: Any) -> list[Any]:
    return []


def fingerprints(settings: Settings) -> dict[str, Fingerprint]:
    with writer(settings, what="test") as con:
        return fingerprint_schemas(con, "clean")


# A new version of a parser


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[LoaderFixture]:
    loader = LoaderFixture(tmp_path)
    loader.parser_version = 1
    yield loader
    loader.con.close()


def test_every_row_of_loads_records_what_it_was_made_by(loader: LoaderFixture) -> None:
    loader.land("a.csv", oi(("BTCUSDT", "2024-01-01 12:00", 1.0)))
    loader.load()
    recorded = loader.rows("select distinct code_version, schema_version, parser_version from ops.loads")
    assert recorded == [("0.1.0+abc", "0.1", 1)]
    assert loader.rows("select parser_version from ops.landings") == [(1,)]


def test_a_landing_is_read_again_by_a_newer_parser_and_what_the_old_one_made_of_it_is_gone(
    loader: LoaderFixture, tmp_path: Path
) -> None:
    first = loader.land("a.csv", oi(("BTCUSDT", "2024-01-01 12:00", 1.0), ("ETHUSDT", "2024-01-02 12:00", 2.0)))
    loader.land("b.csv", oi(("SOLUSDT", "2024-01-05 12:00", 3.0)))
    loader.load()
    assert loader.load().landings == 0, "the same version reads nothing again"
    # The new parser puts a row on another day, drops one and corrects a value.
    loader.frames[first.landing_id] = [
        replace(batch, landing_id=first.landing_id)
        for batch in _batches(first.landing_id, oi(("BTCUSDT", "2024-01-03 12:00", 1.5)))
    ]
    loader.parser_version = 2
    report = loader.load()
    assert (report.landings, report.reread) == (2, 2)
    fresh = LoaderFixture(tmp_path)
    fresh.frames, fresh.parser_version = loader.frames, 2
    fresh.load()
    assert clean_rows(loader) == clean_rows(fresh)
    for table in ("lineage", "quarantine", "landings"):
        query = f"select * from ops.{table} order by all"
        assert loader.rows(query) == fresh.rows(query)
    assert loader.load().landings == 0
    fresh.con.close()


def _batches(landing_id: str, batch: dict[str, Any]) -> list[Any]:
    from pipelines.contract.batch import ParsedBatch

    return [ParsedBatch(landing_id=landing_id, **batch)]


def test_landings_from_before_versions_were_recorded_are_read_again(loader: LoaderFixture) -> None:
    loader.land("a.csv", oi(("BTCUSDT", "2024-01-01 12:00", 1.0)))
    loader.parser_version = None
    loader.load()
    loader.parser_version = 1
    assert loader.load().reread == 1


def test_keys_of_a_merged_table_that_the_newer_parser_does_not_make_are_gone(loader: LoaderFixture) -> None:
    landing = loader.land("a.csv", _instruments("BTCUSDT", "ETHUSDT"))
    loader.load()
    loader.frames[landing.landing_id] = _batches(landing.landing_id, _instruments("BTCUSDT"))
    loader.parser_version = 2
    loader.load()
    assert loader.rows("select instrument from clean.instruments") == [("BTCUSDT",)]


def _instruments(*names: str) -> dict[str, Any]:
    epoch = datetime(1970, 1, 1)
    frame = pl.DataFrame(
        [
            {
                "venue": "binance", "instrument": name, "valid_from": epoch, "asset": "BTC", "quote": "USDT",
                "contract_type": "linear", "multiplier": 1.0, "available_at": epoch, "_line": 2, "_field": None,
            }
            for name in names
        ],
        schema_overrides={"valid_from": pl.Datetime("us"), "available_at": pl.Datetime("us"), "_field": pl.String},
    )  # fmt: skip
    return {"table": "instruments", "rows": frame}


def test_only_the_source_whose_parser_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = write_history(tmp_path / "history", days=2)
    home = Settings(home=tmp_path / "home")
    import_files(home, history / "mappings" / "example.toml", root=history / "example")
    load_pending(home, gate=ungated).raise_failures()
    before = fingerprints(home)
    assert load_pending(home, gate=ungated).reports == ()
    made_by, numbers = registry.parser_version("files.example"), {"files.example": 7}
    monkeypatch.setattr(registry, "parser_version", lambda source, landings=(): numbers.get(source, 1))
    [report] = load_pending(home, gate=ungated).reports
    assert (report.source, report.reread, report.landings) == ("files.example", 3, 3)
    assert compare(before, fingerprints(home)) == []
    with writer(home, what="test") as con:
        versions = con.execute("select distinct schema_version, parser_version from ops.loads order by all").fetchall()
    assert versions == [(SCHEMA_VERSION, made_by), (SCHEMA_VERSION, 7)]


def test_every_feed_has_one_number() -> None:
    for name in registry.VENUES:
        for feed in registry.venue(name).feeds:
            assert registry.parser_version(f"{name}.{feed.name}") == feed.parser_version
    assert registry.parser_version("bybit.nothing") is None


# Tables of an older contract


def test_bookkeeping_that_lacks_new_columns_or_checks_is_brought_up_to_date_with_its_rows(tmp_path: Path) -> None:
    history = write_history(tmp_path / "history", days=2)
    home = Settings(home=tmp_path / "home")
    import_files(home, history / "mappings" / "example.toml", root=history / "example")
    load_pending(home, gate=ungated).raise_failures()
    before = fingerprints(home)
    with writer(home, what="test") as con:
        rows = con.execute("select * exclude (parser_version) from ops.landings order by all").fetchall()
        con.execute("create table ops.old as select * exclude (parser_version) from ops.landings")
        con.execute("drop table ops.landings")
        con.execute("alter table ops.old rename to landings")
    with writer(home, what="test") as con:
        assert con.execute("select * exclude (parser_version) from ops.landings order by all").fetchall() == rows
        assert con.execute("select distinct parser_version from ops.landings").fetchall() == [(None,)]
        comment = (
            "select comment from duckdb_columns() where table_name = 'landings' and column_name = 'parser_version'"
        )
        assert con.execute(comment).fetchall()[0][0]
        with pytest.raises(duckdb.ConstraintException):
            con.execute("update ops.landings set completeness = 'whatever'")
    assert not any(home.root.glob(".*.new*"))
    load_pending(home, gate=ungated).raise_failures()
    assert compare(before, fingerprints(home)) == []


def test_a_clean_table_of_other_columns_names_the_command(tmp_path: Path) -> None:
    home = Settings(home=tmp_path)
    with writer(home, what="test") as con:
        con.execute("alter table clean.candles drop column trades")
    with (
        pytest.raises(WarehouseDamagedError, match=r"clean\.candles differ.*leverhouse rebuild"),
        writer(home, what="test"),
    ):
        pass


# The landing's format


def test_the_landing_states_its_format_and_a_later_one_is_refused(tmp_path: Path) -> None:
    store = LandingStore(tmp_path / "home")
    (tmp_path / "a.csv").write_text("a\n", encoding="utf-8")
    given = {"source": "files.a", "partition": "history", "part": "a.csv", "request": {}}
    store.land_file(tmp_path / "a.csv", **given)  # type: ignore[arg-type]
    stated = store.raw_dir / "format.json"
    assert json.loads(stated.read_bytes()) == {"landing_format": LANDING_FORMAT}
    stated.unlink()
    assert len(store.all()) == 1, "a landing from before formats were stated is of the first"
    stated.write_text(json.dumps({"landing_format": LANDING_FORMAT + 1}), encoding="utf-8")
    for refused in (store.all, lambda: store.land_file(tmp_path / "a.csv", **{**given, "part": "b.csv"})):  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=f"has format {LANDING_FORMAT + 1}"):
            refused()


# Incremental models


@pytest.fixture(scope="module")
def manifest(parsed: Path) -> Any:
    return load_parsed(parsed)


MODEL = "intermediate.int_lending_legs_by_source"
OTHER = "intermediate.int_candle_marks_by_source"


@pytest.mark.parametrize(
    ("changed", "models"),
    [
        ("model.leverhouse.int_lending_legs_by_source", {MODEL}),
        ("model.leverhouse.stg_candles", {OTHER}),
        ("seed.leverhouse.token_registry", {MODEL}),
        ("macro.leverhouse.needs_rebuild", {MODEL, OTHER}),
    ],
)
def test_a_model_is_of_another_version_once_anything_that_decides_its_rows_has_changed(
    manifest: Any, changed: str, models: set[str]
) -> None:
    before = sql_versions(manifest, PROJECT_ROOT / "dbt_project")
    edited = copy.copy(manifest)
    edited.nodes, edited.macros = dict(manifest.nodes), dict(manifest.macros)
    holder = edited.macros if changed.startswith("macro.") else edited.nodes
    one = holder[changed] = copy.copy(holder[changed])
    if changed.startswith("seed."):
        one.checksum = replace(one.checksum, checksum="other")
    elif changed.startswith("macro."):
        one.macro_sql += " -- changed"
    else:
        one.raw_code += " -- changed"
    after = sql_versions(edited, PROJECT_ROOT / "dbt_project")
    differing = {name for name in before if before[name] != after[name]}
    assert models <= differing
    assert (OTHER in differing) == (OTHER in models)
    assert (MODEL in differing) == (MODEL in models) or changed == "model.leverhouse.stg_candles"


def test_a_model_of_another_or_an_unknown_version_is_dropped_to_be_built_whole(tmp_path: Path) -> None:
    home = Settings(home=tmp_path)
    with writer(home, what="test") as con:
        con.execute("create schema intermediate")
        for name in ("kept", "changed", "unknown"):
            con.execute(f"create table intermediate.{name} as select 1 as n")
            con.execute(f"insert into ops.model_watermarks values ('{name}', 1, now()::timestamp, null)")
    record_sql_versions(home, {"intermediate.kept": "a", "intermediate.changed": "a"})
    versions = {f"intermediate.{name}": "a" for name in ("kept", "unknown", "new")} | {"intermediate.changed": "b"}
    assert set(drop_outdated_models(home, versions)) == {"intermediate.changed", "intermediate.unknown"}
    with writer(home, what="test") as con:
        assert con.execute("select model, sql_version from ops.model_watermarks").fetchall() == [("kept", "a")]
        # A build that was killed before it could record its version leaves the one before in force.
        con.execute("insert into ops.model_watermarks values ('kept', 2, now()::timestamp, null)")
    assert drop_outdated_models(home, {"intermediate.kept": "a"}) == []
    assert drop_outdated_models(home, {"intermediate.kept": "b"}) == ["intermediate.kept"]


# A home that an earlier version made


@pytest.fixture
def frozen(tmp_path: Path) -> Settings:
    with tarfile.open(FROZEN) as archive:
        archive.extractall(tmp_path, filter="data")
    return Settings(home=tmp_path / "home")


@pytest.mark.slow
def test_a_home_of_an_earlier_version_is_upgraded_by_one_command_to_what_a_rebuild_makes(
    frozen: Settings, tmp_path: Path
) -> None:
    """Its clean tables have other columns, so every command that writes names the one that upgrades."""
    with pytest.raises(WarehouseDamagedError, match="leverhouse rebuild"):
        load_pending(frozen, gate=ungated)
    landed = len(LandingStore(frozen.root).all())
    report = rebuild(frozen, gate=ungated)
    report.outcome.raise_failures()
    fresh = Settings(home=tmp_path / "fresh")
    fresh.root.mkdir()
    (fresh.root / "raw").symlink_to(frozen.raw_dir, target_is_directory=True)
    load_pending(fresh, gate=ungated).raise_failures()
    upgraded = fingerprints(frozen)
    assert compare(upgraded, fingerprints(fresh)) == []
    assert upgraded["clean.open_interest"].rows > 0
    assert upgraded["clean.lending_liquidations"].rows > 0
    with writer(frozen, what="test") as con:
        assert con.execute("select count(*) from ops.landings").fetchall() == [(landed,)]
        assert con.execute(
            "select count(*) from ops.landings where is_current and parser_version is null"
        ).fetchall() == [(0,)]
    assert load_pending(frozen, gate=ungated).reports == ()
