"""Backups, restoring, and repairing a landing that has lost something."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from pipelines.core.errors import ConfigError, LandingError
from pipelines.core.settings import Settings
from pipelines.extract.landing import Landing, LandingStore
from pipelines.operations.backup import INDEX, BackupReport, backup, restore, verify
from pipelines.operations.load import import_files, load_pending
from pipelines.operations.rebuild import rebuild
from pipelines.operations.repair import repair_landing
from pipelines.storage.fingerprint import Fingerprint, compare, fingerprint_schemas
from pipelines.storage.warehouse import writer
from tests.e2e.example_history import write_history

NOW = datetime(2025, 1, 2, 3, 4)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three landings, loaded, a mapping, a run in its history, and a setting of its own."""
    folder = tmp_path_factory.mktemp("prepared")
    history = write_history(folder / "history", days=3)
    settings = Settings(home=folder / "home")
    import_files(settings, history / "mappings" / "example.toml", root=history / "example")
    load_pending(settings, gate=lambda con, inputs: []).raise_failures()
    runs = settings.dagster_home / "history" / "runs.db"
    runs.parent.mkdir(parents=True)
    with closing(sqlite3.connect(runs)) as con:
        con.execute("create table runs as select 'one' as run_id")
        con.commit()
    (settings.root / "dagster_overrides.yaml").write_text("retention: {}\n", encoding="utf-8")
    return settings.root


@pytest.fixture
def home(prepared: Path, tmp_path: Path) -> Settings:
    """A copy of the prepared home."""
    shutil.copytree(prepared, tmp_path / "home")
    return Settings(home=tmp_path / "home")


def taken(settings: Settings, folder: Path) -> BackupReport:
    report = backup(settings, folder, now=NOW)
    report.raise_faults()
    return report


def first(settings: Settings) -> Landing:
    return LandingStore(settings.root).all()[0]


def manifest_of(landing: Landing) -> Path:
    return landing.path.with_name(landing.path.name + ".manifest.json")


def fingerprints(settings: Settings) -> dict[str, Fingerprint]:
    with writer(settings, what="test") as con:
        return fingerprint_schemas(con, "clean")


def landing_files(settings: Settings) -> dict[str, bytes]:
    return {
        path.relative_to(settings.root).as_posix(): path.read_bytes()
        for path in settings.raw_dir.rglob("*")
        if path.is_file()
    }


def test_an_empty_home_is_restored_and_rebuilt_to_the_same_tables(home: Settings, tmp_path: Path) -> None:
    taken(home, tmp_path / "backup")
    other = Settings(home=tmp_path / "other")
    report = restore(other, tmp_path / "backup")
    assert (report.faults, report.repaired, report.kept) == ((), (), 0)
    assert landing_files(other) == landing_files(home)
    rebuild(other, gate=lambda con, inputs: [])
    assert compare(fingerprints(home), fingerprints(other)) == []
    with closing(sqlite3.connect(other.dagster_home / "history" / "runs.db")) as con:
        assert con.execute("select run_id from runs").fetchall() == [("one",)]
    assert (other.root / "dagster_overrides.yaml").exists()
    assert not (tmp_path / "backup" / "leverhouse.duckdb").exists()


def test_the_second_backup_copies_only_what_is_new_or_has_changed(home: Settings, tmp_path: Path) -> None:
    everything = taken(home, tmp_path / "backup")
    assert everything.copied == everything.files
    assert taken(home, tmp_path / "backup").copied == 0
    store, landing = LandingStore(home.root), first(home)
    store.forget(landing, reason="a test")
    assert taken(home, tmp_path / "backup").copied == 1
    store.mark_path(landing, "forgotten").unlink()
    report = taken(home, tmp_path / "backup")
    assert (report.copied, report.files) == (0, everything.files), "a mark that was removed is removed from the backup"


def test_a_killed_backup_is_continued(home: Settings, tmp_path: Path) -> None:
    def kill(what: str, done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup(home, tmp_path / "backup", now=NOW, progress=kill)
    with pytest.raises(ConfigError, match="no backup"):
        restore(home, tmp_path / "backup")
    taken(home, tmp_path / "backup")
    assert verify(tmp_path / "backup")[1] == ()


def test_damaged_bytes_never_replace_good_ones_of_the_backup_and_come_back_from_it(
    home: Settings, tmp_path: Path
) -> None:
    taken(home, tmp_path / "backup")
    before, landing = landing_files(home), first(home)
    landing.path.write_bytes(b"altered")
    report = backup(home, tmp_path / "backup", now=NOW)
    with pytest.raises(LandingError, match=r"1 file\(s\).*leverhouse restore"):
        report.raise_faults()
    assert verify(tmp_path / "backup")[1] == ()
    assert restore(home, tmp_path / "backup").repaired == (landing.path.relative_to(home.root).as_posix(),)
    assert landing_files(home) == before


@pytest.mark.parametrize("what", ["pack", "manifest", "both", "broken manifest"])
def test_what_is_lost_comes_back_from_the_backup(home: Settings, tmp_path: Path, what: str) -> None:
    taken(home, tmp_path / "backup")
    before, landing = landing_files(home), first(home)
    if what in ("pack", "both"):
        landing.path.unlink()
    if what in ("manifest", "both"):
        manifest_of(landing).unlink()
    if what == "broken manifest":
        manifest_of(landing).write_text("{", encoding="utf-8")
    # A backup after the loss keeps what it has.
    report = backup(home, tmp_path / "backup", now=NOW)
    assert bool(report.only_in_backup) == (what != "broken manifest")
    restore(home, tmp_path / "backup").raise_faults()
    assert landing_files(home) == before


def test_restoring_keeps_newer_decisions_of_the_home(home: Settings, tmp_path: Path) -> None:
    taken(home, tmp_path / "backup")
    store, landing = LandingStore(home.root), first(home)
    store.forget(landing, reason="decided later")
    restore(home, tmp_path / "backup")
    assert store.is_forgotten(landing)


def test_a_damaged_backup_is_found_and_restores_the_rest(home: Settings, tmp_path: Path) -> None:
    taken(home, tmp_path / "backup")
    name = first(home).path.relative_to(home.root).as_posix()
    (tmp_path / "backup" / name).write_bytes(b"altered")
    assert verify(tmp_path / "backup")[1] == (f"{name} was altered",)
    other = Settings(home=tmp_path / "other")
    report = restore(other, tmp_path / "backup")
    with pytest.raises(LandingError, match="was altered"):
        report.raise_faults()
    assert not (other.root / name).exists()
    assert len(LandingStore(other.root).all()) == 3


def test_a_folder_of_something_else_or_of_another_warehouse_is_refused(home: Settings, tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="holds something else"):
        backup(home, strange, now=NOW)
    with pytest.raises(ConfigError, match="lies in the home"):
        backup(home, home.root / "backup", now=NOW)
    taken(home, tmp_path / "backup")
    other = Settings(home=tmp_path / "other")
    (tmp_path / "file.csv").write_text("a\n", encoding="utf-8")
    LandingStore(other.root).land_file(
        tmp_path / "file.csv", source="files.other", partition="history", part="file.csv", request={}
    )
    for refused in (lambda: backup(other, tmp_path / "backup", now=NOW), lambda: restore(other, tmp_path / "backup")):
        with pytest.raises(ConfigError, match="another warehouse"):
            refused()


def test_an_index_of_another_format_is_refused(home: Settings, tmp_path: Path) -> None:
    taken(home, tmp_path / "backup")
    index = tmp_path / "backup" / INDEX
    index.write_text(index.read_text(encoding="utf-8").replace('"format":1', '"format":2'), encoding="utf-8")
    with pytest.raises(ConfigError, match="format 2"):
        restore(home, tmp_path / "backup")


def test_a_lost_manifest_is_written_again_from_the_books(home: Settings) -> None:
    before, landing = landing_files(home), first(home)
    manifest_of(landing).unlink()
    report = repair_landing(home)
    assert (report.manifests, report.lost) == ((landing.landing_id,), ())
    assert landing_files(home) == before
    assert repair_landing(home).manifests == ()


def test_a_lost_pack_is_named_and_can_be_forgotten_so_that_a_rebuild_goes_on(home: Settings) -> None:
    landing = first(home)
    landing.path.unlink()
    [lost] = repair_landing(home).lost
    assert (lost.landing_id, lost.what) == (landing.landing_id, "missing")
    assert "import the file again" in lost.next_step
    assert repair_landing(home, forget_because="lost").forgotten == (landing.landing_id,)
    assert repair_landing(home).lost == ()
    rebuild(home, gate=lambda con, inputs: [])


def test_a_landing_of_which_both_files_are_lost_is_named_from_the_books(home: Settings) -> None:
    folder, landing = first(home).path.parent, first(home)
    shutil.rmtree(folder)
    assert landing.landing_id in {one.landing_id for one in repair_landing(home).lost}


def test_without_books_a_repair_says_so(home: Settings) -> None:
    home.database.write_bytes(b"no database")
    assert repair_landing(home).books.startswith("no book")
