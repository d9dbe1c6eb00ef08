"""Rebuilding the working database from the landing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.core.errors import LandingError
from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.operations.load import import_files, load_pending
from pipelines.operations.rebuild import Comparison, rebuild
from pipelines.storage.fingerprint import Fingerprint, compare, fingerprint_schemas
from pipelines.storage.warehouse import writer
from tests.e2e.example_history import write_history


@pytest.fixture
def loaded(tmp_path: Path) -> Settings:
    """A warehouse with a few days of files loaded, without the gate, which takes long and is not tested here."""
    history = write_history(tmp_path / "history", days=3)
    settings = Settings(home=tmp_path / "home")
    import_files(settings, history / "mappings" / "example.toml", root=history / "example")
    load_pending(settings, gate=lambda con, inputs: []).raise_failures()
    return settings


def fingerprints(settings: Settings) -> dict[str, Fingerprint]:
    with writer(settings, what="test") as con:
        return fingerprint_schemas(con, "clean")


def test_a_rebuilt_database_has_the_same_tables(loaded: Settings) -> None:
    before = fingerprints(loaded)
    report = rebuild(loaded, gate=lambda con, inputs: [])
    assert compare(before, fingerprints(loaded)) == []
    assert before["clean.candles"].rows == 6
    assert report.comparison == Comparison(tables=len(before), differences=(), pending=0)


def test_a_rebuild_names_what_differed_from_the_tables_before(loaded: Settings) -> None:
    with writer(loaded, what="test") as con:
        con.execute(
            "update clean.candles set close = close * 1.001 where opened_at = (select min(opened_at) from clean.candles)"
        )
    comparison = rebuild(loaded, gate=lambda con, inputs: []).comparison
    assert comparison is not None
    assert comparison.differences == ("clean.candles: the columns that are not double differ",)
    assert comparison.pending == 0


def test_a_rebuild_counts_the_landings_that_were_not_loaded_before(loaded: Settings) -> None:
    with writer(loaded, what="test") as con:
        con.execute("delete from clean.candles")
        con.execute("delete from ops.landings")
    comparison = rebuild(loaded, gate=lambda con, inputs: []).comparison
    assert comparison is not None
    assert comparison.pending == len(LandingStore(loaded.root).all())
    assert any(line.startswith("clean.candles: 0 rows against 6") for line in comparison.differences)


def test_a_deleted_database_is_restored_from_the_landing(loaded: Settings) -> None:
    before = fingerprints(loaded)
    loaded.database.unlink()
    assert rebuild(loaded, gate=lambda con, inputs: []).comparison is None
    assert compare(before, fingerprints(loaded)) == []


def test_a_damaged_database_is_replaced(loaded: Settings) -> None:
    before = fingerprints(loaded)
    loaded.database.write_bytes(b"no database")
    loaded.database.with_name("leverhouse.duckdb.wal").write_bytes(b"no log")
    assert rebuild(loaded, gate=lambda con, inputs: []).comparison is None
    assert compare(before, fingerprints(loaded)) == []


def test_a_database_of_another_version_is_replaced(loaded: Settings) -> None:
    before = fingerprints(loaded)
    with writer(loaded, what="test") as con:
        con.execute("alter table clean.candles drop column trades")
    rebuild(loaded, gate=lambda con, inputs: [])
    assert compare(before, fingerprints(loaded)) == []


def test_an_altered_landing_stops_the_rebuild_and_the_old_database_stays(loaded: Settings) -> None:
    before = fingerprints(loaded)
    landing = LandingStore(loaded.root).all()[0]
    landing.path.write_bytes(landing.path.read_bytes() + b"\n")
    with pytest.raises(LandingError, match="altered after landing"):
        rebuild(loaded, gate=lambda con, inputs: [])
    assert compare(before, fingerprints(loaded)) == []


def test_leftovers_of_a_killed_rebuild_are_removed(loaded: Settings) -> None:
    leftover = loaded.root / "rebuild" / "leverhouse.duckdb"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half a database")
    rebuild(loaded, gate=lambda con, inputs: [])
    assert not leftover.parent.exists()


def test_the_landing_is_not_modified(loaded: Settings) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in loaded.raw_dir.rglob("*") if path.is_file())
    rebuild(loaded, gate=lambda con, inputs: [])
    assert sorted((path, path.stat().st_mtime_ns) for path in loaded.raw_dir.rglob("*") if path.is_file()) == before
