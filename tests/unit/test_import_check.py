"""Check before land: what is refused is not landed and says why; what passes is landed and loaded at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipelines.clean.stage import Stage
from pipelines.contract.ddl import load_contract
from pipelines.core.errors import LandingError, MappingError, SourceFormatError
from pipelines.core.settings import Settings
from pipelines.extract.candidates import candidate, land_candidate
from pipelines.extract.landing import LandingStore
from pipelines.operations.import_check import import_checked, label_notes, refused_imports
from pipelines.operations.load import load_pending
from pipelines.operations.rebuild import rebuild
from pipelines.quality.batch import CheckResult, GateInput
from pipelines.sources.files.source import load_mapping
from pipelines.storage.fingerprint import compare, fingerprint_schemas
from pipelines.storage.warehouse import writer
from tests.unit.files_fixture import GOOD_ROW, LONG, LONG_HEADER

SHORT = "BTCUSDT,2024-01-01 00:10:00,x,60000\n"


def passed(con: duckdb.DuckDBPyConnection, inputs: Sequence[GateInput]) -> list[CheckResult]:
    """A gate that finds nothing: the real one takes long, and its checks have tests of their own."""
    return []


def failed(con: duckdb.DuckDBPyConnection, inputs: Sequence[GateInput]) -> list[CheckResult]:
    """A gate that refuses everything."""
    return [
        CheckResult(
            "open_interest", "within_supply", "error", passed=False, observed={}, sample=["BTC"], cause="dollars"
        )
    ]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def given(folder: Path, content: str = LONG_HEADER + GOOD_ROW + SHORT, name: str = "a.csv", text: str = LONG) -> Path:
    """A folder with a file and a mapping beside it; the mapping's path."""
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / name).write_text(content, encoding="utf-8")
    (folder / "mapping.toml").write_text(text, encoding="utf-8")
    return folder / "mapping.toml"


def rows(settings: Settings) -> list[tuple[object, ...]]:
    with writer(settings, what="test") as con:
        return con.execute("select instrument, oi_base from clean.open_interest order by all").fetchall()


def test_a_trial_shows_rows_and_rejects_and_lands_nothing(tmp_path: Path, settings: Settings) -> None:
    mapping = given(tmp_path)
    report = import_checked(settings, mapping, paths=[tmp_path / "in"], dry_run=True, gate=passed)
    assert [(x["table"], x["received"], x["accepted"], x["quarantined"]) for x in report.load.counts] == [
        ("instruments", 1, 1, 0), ("open_interest", 2, 1, 1),
    ]  # fmt: skip
    assert report.load.preview["open_interest"][0]["oi_base"] == 1.5
    [reject] = report.load.rejects
    assert (reject["file"], reject["line"], reject["rows"]) == ("a.csv", 3, 1)
    assert "column 'oi': x is not a finite number" in reject["detail"]
    assert LandingStore(settings.root).all() == []
    assert rows(settings) == []


def test_what_passes_is_landed_and_loaded_once(tmp_path: Path, settings: Settings) -> None:
    mapping = given(tmp_path)
    (tmp_path / "in" / "README.md").write_text("about")
    report = import_checked(settings, mapping, paths=[tmp_path / "in"], gate=passed)
    assert [x.part for x in report.landed] == ["a.csv"]
    assert report.uncovered == (tmp_path / "in" / "README.md",)
    assert rows(settings) == [("BTCUSDT", 1.5)]
    again = import_checked(settings, mapping, paths=[tmp_path / "in"], gate=passed)
    assert (again.landed, len(again.unchanged)) == ((), 1)
    assert load_pending(settings, gate=passed).reports == ()


def test_what_the_gate_refuses_stays_where_it_is_and_says_why(tmp_path: Path, settings: Settings) -> None:
    mapping = given(tmp_path)
    report = import_checked(settings, mapping, paths=[tmp_path / "in" / "a.csv"], gate=failed)
    assert "within_supply: dollars" in report.load.refused[0].detail
    assert LandingStore(settings.root).all() == []
    [kept] = refused_imports(settings)
    assert (kept.part, kept.reason, kept.sample) == ("a.csv", "gate", ("BTC",))
    quarantine = pl.read_parquet(settings.root / "refused" / "files.example" / "a.csv.quarantine.parquet")
    assert quarantine["line"].to_list() == [3]
    taken = import_checked(settings, mapping, paths=[tmp_path / "in"], gate=failed, accept="they are right")
    assert LandingStore(settings.root).is_accepted(taken.landed[0])
    assert refused_imports(settings) == []
    assert rows(settings) == [("BTCUSDT", 1.5)]


def test_a_corrected_mapping_repairs_what_is_landed_and_a_rebuild_agrees(tmp_path: Path, settings: Settings) -> None:
    mapping = given(tmp_path, LONG_HEADER + GOOD_ROW)
    import_checked(settings, mapping, paths=[tmp_path / "in"], gate=passed)
    (tmp_path / "more").mkdir()
    other = tmp_path / "more" / "b.csv"
    other.write_text(LONG_HEADER + GOOD_ROW.replace("BTC", "ETH"), encoding="utf-8")
    mapping.write_text(LONG.replace('oi_base = "oi"', 'oi_base = { column = "oi", scale = 2.0 }'))
    import_checked(settings, mapping, paths=[other], gate=passed)
    assert rows(settings) == [("BTCUSDT", 3.0), ("ETHUSDT", 3.0)]
    with writer(settings, what="test") as con:
        before = fingerprint_schemas(con, "clean")
    rebuild(settings, gate=passed)
    with writer(settings, what="test") as con:
        assert compare(before, fingerprint_schemas(con, "clean")) == []
    # A mapping that cannot read what is loaded already is refused, and everything stays as it was.
    mapping.write_text(LONG.replace('oi_usd = "value"', 'oi_usd = "usd"'))
    other.write_text(LONG_HEADER.replace("value", "usd") + GOOD_ROW, encoding="utf-8")
    refused = import_checked(settings, mapping, paths=[other], gate=passed).load.refused
    assert "a.csv, which is loaded, cannot be read" in refused[0].detail
    assert rows(settings) == [("BTCUSDT", 3.0), ("ETHUSDT", 3.0)]
    for landing in LandingStore(settings.root).all("files.example"):
        LandingStore(settings.root).forget(landing, reason="test")
    load_pending(settings, gate=passed)
    assert rows(settings) == []
    rebuild(settings, gate=passed)
    assert rows(settings) == []


def test_files_landed_by_a_killed_import_and_loaded_later_give_what_a_rebuild_makes(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instrument is named by both files: its row is that of the newer one, which is loaded first."""
    mapping = given(tmp_path, LONG_HEADER + GOOD_ROW)
    (tmp_path / "b.csv").write_text(LONG_HEADER + GOOD_ROW.replace("2024-01-01", "2024-01-02"), encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(Stage, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            import_checked(settings, mapping, paths=[tmp_path / "in"], gate=passed)
    report = import_checked(settings, mapping, paths=[tmp_path / "b.csv"], gate=passed)
    assert len(report.landed) == 1
    # The real gate: all rows of the older list of instruments are known already, which is no fault.
    load_pending(settings).raise_failures()
    with writer(settings, what="test") as con:
        before = fingerprint_schemas(con, "clean")
        [(newest,)] = con.execute("select distinct landing_id from clean.instruments").fetchall()
    assert newest == report.landed[0].landing_id
    rebuild(settings, gate=passed)
    with writer(settings, what="test") as con:
        assert compare(before, fingerprint_schemas(con, "clean")) == []


def killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_an_unknown_venue_is_refused_or_declared(tmp_path: Path, settings: Settings) -> None:
    text = LONG.replace('venue = "binance"', 'venue = "broker"')
    with pytest.raises(
        MappingError, match=r"line \d+: instrument.0.venue: no venue 'broker' is known; .* \[\[venue\]\]"
    ):
        import_checked(settings, given(tmp_path, text=text), paths=[tmp_path / "in"], dry_run=True, gate=passed)
    mapping = given(tmp_path, text=text + '[[venue]]\nname = "broker"\nbecause = "a broker"\n')
    assert import_checked(settings, mapping, paths=[tmp_path / "in"], dry_run=True, gate=passed).load.refused == ()


def test_only_files_that_no_pattern_matches_are_nothing_to_import(tmp_path: Path, settings: Settings) -> None:
    mapping = given(tmp_path, name="a.txt")
    with pytest.raises(SourceFormatError, match=r"a\.txt matches no pattern"):
        import_checked(settings, mapping, paths=[tmp_path / "in" / "a.txt"], gate=passed)


def test_a_file_that_changes_while_it_is_imported_is_not_landed(tmp_path: Path) -> None:
    store, path = LandingStore(tmp_path / "home"), tmp_path / "a.csv"
    path.write_text("a")
    one = candidate(store, path, source="files.x", partition="history", part="a.csv", request={})
    path.write_text("b")
    with pytest.raises(LandingError, match="was changed while it was imported"):
        land_candidate(store, one)
    assert store.all() == []


def test_a_date_without_time_of_day_in_a_table_of_states_is_a_warning(tmp_path: Path) -> None:
    dated = LONG.replace('format = "%Y-%m-%d %H:%M:%S"', 'format = "%Y-%m-%d"')
    contract = load_contract(Settings().schema_dir)
    texts = {"dated": dated, "stated": dated.replace('zone = "UTC"', 'zone = "UTC", shift = "0s"'), "timed": LONG}
    found = {
        name: list(label_notes(load_mapping(given(tmp_path, text=text), contract=contract), contract, {"*.csv"}))
        for name, text in texts.items()
    }
    assert {name: len(notes) for name, notes in found.items()} == {"dated": 1, "stated": 0, "timed": 0}
    assert "counts to the day before" in found["dated"][0]
