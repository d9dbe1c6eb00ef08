"""The command line without Dagster: status, sql, doctor, errors and exit codes, and its documentation."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.cli.app import Commands
from pipelines.cli.screen import Screen
from pipelines.core.paths import prepare_home
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.extract.landing import LandingStore
from pipelines.operations.load import import_files, load_pending
from pipelines.storage.publish import publish
from pipelines.storage.warehouse import writer
from tests.e2e.example_history import write_history
from tests.unit.test_storage import NOW

DOCS = (PROJECT_ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


class Result:
    """Output and exit code of a command."""

    def __init__(self, *arguments: str) -> None:
        done = CliRunner().invoke(app, list(arguments))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        self.code, self.out, self.err = done.exit_code, done.stdout, done.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def published(settings: Settings) -> Settings:
    """A hand-made published snapshot with the tables that status reads."""
    with writer(settings, what="test") as con:
        con.execute("create schema marts")
        con.execute(
            "create table marts.fct_price_daily as "
            "select 'BTC' as asset, date '2024-01-01' as trade_date, 42000.5e0 as close_usd union all "
            "select 'ETH', date '2024-01-01', null"
        )
        con.execute(
            "create table marts.source_freshness as select 'files.example' as source, 'candles' as table_name, "
            "date '2024-01-01' as first_trade_date, date '2024-01-02' as last_trade_date, 2 as days, 0 as gap_days, "
            "0 as lag_days, 4 as rows_accepted, 0 as rows_quarantined, timestamp '2024-01-03' as last_loaded_at"
        )
        con.execute(
            "create table marts.data_coverage_daily as select 'files.example' as source, 'candles' as table_name, "
            "'binance' as venue, date '2024-01-02' as trade_date, 'missing' as status, 'not in the source' as primary_reason, "
            "1 as instruments_expected, 0 as instruments_present, 0 as instruments_partial"
        )
    publish(settings, now=NOW)
    return settings


@pytest.mark.parametrize("command", sorted(get_command(app).commands))  # type: ignore[attr-defined]
def test_every_command_is_documented(command: str) -> None:
    assert f"\n## {command}\n" in DOCS
    assert f"| `leverhouse {command}" in DOCS


@pytest.mark.parametrize("command", sorted(get_command(app).commands))  # type: ignore[attr-defined]
def test_every_command_and_option_has_a_help_text(command: str) -> None:
    found = get_command(app).commands[command]  # type: ignore[attr-defined]
    assert found.help
    undocumented = [p.name for p in found.params if p.param_type_name == "option" and p.name != "help" and not p.help]
    assert undocumented == []


def test_every_exit_code_of_an_error_is_documented() -> None:
    from pipelines.cli import read, session
    from pipelines.core import errors
    from pipelines.operations import build, build_report

    kinds = [kind for module in (errors, build, build_report, read, session) for kind in vars(module).values()]
    codes = {kind.exit_code for kind in kinds if isinstance(kind, type) and issubclass(kind, errors.LeverhouseError)}
    assert [code for code in codes if f"| {code} |" not in DOCS] == []


def test_status_reports_what_is_loaded_and_what_is_missing(published: Settings) -> None:
    found = Result("status", "--json").json
    assert found["holdings"][0]["source"] == "files.example"
    assert found["missing"][0]["reason"] == "not in the source"
    assert found["newest_day"] == "2024-01-02"


def test_status_prints_the_file_and_its_marts(published: Settings) -> None:
    out = Result("status").out
    assert str(published.published_database) in out
    assert "fct_price_daily" in out
    assert "not in the source" in out


@pytest.mark.usefixtures("settings")
def test_status_before_the_first_publish_names_the_next_step() -> None:
    result = Result("status")
    assert result.code == 78
    assert "leverhouse run" in result.err


def test_status_and_sql_do_not_open_the_working_database(published: Settings) -> None:
    published.database.unlink()
    assert Result("status").code == 0
    assert Result("sql", "select 1").code == 0
    assert not published.database.exists()


@pytest.mark.usefixtures("published")
def test_sql_prints_a_table() -> None:
    out = Result("sql", "select asset, close_usd from marts.fct_price_daily order by asset").out
    assert [line.split() for line in out.splitlines() if line.startswith(("BTC", "ETH"))] == [
        ["BTC", "42000.5"],
        ["ETH"],
    ]


@pytest.mark.usefixtures("published")
def test_sql_prints_json() -> None:
    query = "select asset, trade_date, close_usd from marts.fct_price_daily order by asset"
    assert Result("sql", "--json", query).json == [
        {"asset": "BTC", "trade_date": "2024-01-01", "close_usd": 42000.5},
        {"asset": "ETH", "trade_date": "2024-01-01", "close_usd": None},
    ]


@pytest.mark.usefixtures("warehouse_home")
def test_sql_without_a_query_lists_the_examples_with_their_questions() -> None:
    listed = Result("sql", "--json").json
    assert "largest_liquidation_days" in {one["example"] for one in listed}
    assert all("?" in one["question"] for one in listed)


@pytest.mark.usefixtures("published")
def test_sql_runs_an_example_and_prints_its_trust_note() -> None:
    result = Result("sql", "--json", "--example", "data_gaps_by_reason")
    assert result.json[0]["status"] == "missing"
    assert "Trust: " in result.err
    assert "no example 'nothing_like_it'" in Result("sql", "--example", "nothing_like_it").err
    assert "not both" in Result("sql", "select 1", "--example", "data_gaps_by_reason").err


@pytest.mark.usefixtures("published")
def test_sql_prints_csv() -> None:
    out = Result("sql", "--csv", "select asset, close_usd from marts.fct_price_daily order by asset").out
    assert list(csv.reader(io.StringIO(out))) == [["asset", "close_usd"], ["BTC", "42000.5"], ["ETH", ""]]


@pytest.mark.usefixtures("published")
def test_square_brackets_in_values_are_not_markup() -> None:
    assert "[bold]x[/bold]" in Result("sql", "select '[bold]x[/bold]' as text").out


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    "query",
    [
        "selct 1",
        "select * from marts.nothing",
        "create table marts.mine as select 1",
        "delete from marts.fct_price_daily",
        "select * from read_text('/etc/hostname')",
        "copy marts.fct_price_daily to 'stolen.csv'",
        "attach 'other.duckdb'",
        "set enable_external_access = true",
    ],
)
def test_sql_refuses_queries_that_are_invalid_or_not_allowed(
    query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    result = Result("sql", query)
    assert result.code == 65
    assert result.err.startswith("error: sql: ")
    assert "Traceback" not in result.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("published")
def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in Result("--debug", "sql", "selct 1").err


@pytest.mark.usefixtures("settings")
def test_import_requires_files_or_a_folder(tmp_path: Path) -> None:
    mapping = write_history(tmp_path / "history", days=1) / "mappings" / "example.toml"
    result = Result("import", "--mapping", str(mapping))
    assert result.code == 78
    assert "--root" in result.err


@pytest.mark.usefixtures("settings")
def test_import_names_a_mapping_that_cannot_be_read(tmp_path: Path) -> None:
    mapping = tmp_path / "wrong.toml"
    mapping.write_text("dataset = ", encoding="utf-8")
    result = Result("import", "--mapping", str(mapping), "--root", str(tmp_path))
    assert result.code == 78
    assert str(mapping) in result.err


@pytest.mark.usefixtures("settings")
def test_backfill_refuses_a_range_that_ends_before_it_starts() -> None:
    result = Result("backfill", "--from", "2024-02-01", "--to", "2024-01-01")
    assert result.code == 78
    assert "before" in result.err


@pytest.mark.usefixtures("settings")
def test_run_names_a_root_without_any_data_set(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = Result("run", "--root", str(tmp_path / "empty"))
    assert result.code == 78
    assert str(tmp_path / "empty") in result.err


def test_an_unknown_command_is_a_usage_error() -> None:
    assert Result("conquer").code == 2


def test_an_invalid_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVERHOUSE_DUCKDB_THREADS", "many")
    result = Result("status")
    assert result.code == 78
    assert "LEVERHOUSE_DUCKDB_THREADS" in result.err


@pytest.fixture
def loaded_warehouse(settings: Settings, tmp_path: Path) -> Settings:
    """A small, valid warehouse."""
    history = write_history(tmp_path / "history", days=2)
    prepare_home(settings)
    import_files(settings, history / "mappings" / "example.toml", root=history / "example")
    load_pending(settings, gate=lambda con, inputs: []).raise_failures()
    return settings


def findings() -> dict[str, dict[str, str]]:
    result = Result("doctor", "--json")
    found = {finding["check"]: finding for finding in result.json}
    assert result.code == int(any(finding["verdict"] == "wrong" for finding in found.values()))
    return found


@pytest.mark.usefixtures("settings")
def test_doctor_finds_nothing_wrong_with_an_empty_home() -> None:
    assert {finding["verdict"] for finding in findings().values()} == {"ok"}


@pytest.mark.usefixtures("loaded_warehouse")
def test_doctor_finds_nothing_wrong_with_a_loaded_warehouse() -> None:
    found = findings()
    assert {finding["verdict"] for finding in found.values()} == {"ok"}
    assert "3 as received" in found["landings"]["found"]
    assert "reconciled" in found["database"]["found"]


def test_doctor_finds_an_altered_landing(loaded_warehouse: Settings) -> None:
    landing = LandingStore(loaded_warehouse.root).all()[0]
    landing.path.write_bytes(b"altered")
    finding = findings()["landings"]
    assert finding["verdict"] == "wrong"
    assert landing.part in finding["found"]
    assert finding["next_step"]


def test_doctor_finds_row_counts_that_do_not_reconcile(loaded_warehouse: Settings) -> None:
    with writer(loaded_warehouse, what="test") as con:
        con.execute("delete from clean.candles where trade_date = (select min(trade_date) from clean.candles)")
    finding = findings()["database"]
    assert finding["verdict"] == "wrong"
    assert "candles" in finding["found"]


def test_doctor_finds_a_damaged_database(loaded_warehouse: Settings) -> None:
    loaded_warehouse.database.write_bytes(b"no database")
    assert findings()["database"]["next_step"] == "run leverhouse rebuild"


def test_doctor_finds_an_invalid_mapping(loaded_warehouse: Settings) -> None:
    loaded_warehouse.mappings_dir.mkdir(exist_ok=True)
    (loaded_warehouse.mappings_dir / "wrong.toml").write_text(
        'dataset = "wrong"\nfile = []\nsurprise = 1\n', encoding="utf-8"
    )
    finding = findings()["mapping"]
    assert finding["verdict"] == "wrong"
    assert "surprise" in finding["found"]


def test_doctor_finds_changed_dagster_settings(loaded_warehouse: Settings) -> None:
    (loaded_warehouse.dagster_home / "dagster.yaml").write_text("", encoding="utf-8")
    assert findings()["home"]["verdict"] == "wrong"


def test_doctor_does_not_wait_for_a_writer(loaded_warehouse: Settings) -> None:
    with writer(loaded_warehouse, what="test"):
        found = findings()
    assert found["database"]["verdict"] == "unknown"
    assert "held" in found["writer lock"]["found"]


def test_library_output_goes_to_the_log_and_results_do_not(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    with screen.quiet(tmp_path / "noise.log"):
        print("noise")
        screen.out.print("result")
        screen.note("remark")
    print("after")
    screen.close()
    out, err = capfd.readouterr()
    assert (out, err) == ("result\nafter\n", "remark\n")
    assert (tmp_path / "noise.log").read_text(encoding="utf-8") == "noise\n"


@pytest.mark.parametrize("wrapped", [False, True], ids=["in the command", "while importing"])
def test_an_interrupt_exits_with_130_wherever_it_occurs(wrapped: bool) -> None:
    interrupted = typer.Typer(cls=Commands)

    @interrupted.callback()
    def options() -> None:
        """A command group like the real one."""

    @interrupted.command()
    def wait() -> None:
        if wrapped:
            raise RuntimeError("Error calling __set_name__ on 'Field' instance") from KeyboardInterrupt()
        raise KeyboardInterrupt

    done = CliRunner().invoke(interrupted, ["wait"])
    assert done.exit_code == 130
    assert "interrupted" in done.output


@pytest.fixture
def half_loaded(settings: Settings, tmp_path: Path) -> str:
    """A warehouse in which one of three imported files was altered after landing; returns the id of its landing."""
    history = write_history(tmp_path / "history", days=3)
    import_files(settings, history / "mappings" / "example.toml", root=history / "example")
    [bad] = [one for one in LandingStore(settings.root).all() if one.part.startswith("oi")]
    bad.path.write_bytes(b"altered")
    outcome = load_pending(settings, gate=lambda con, inputs: [])
    assert (outcome.failures, len(outcome.refused)) == ({}, 1)
    return bad.landing_id


def test_a_refused_landing_is_shown_before_anything_was_published(half_loaded: str) -> None:
    status = Result("status")
    assert status.code == 78
    assert half_loaded in status.out
    assert "altered" in findings()["refused landings"]["found"]
    [row] = Result("landing", "show", "--json").json
    assert (row["landing_id"], row["refused"]) == (half_loaded, "altered")
    assert half_loaded in Result("landing", "show", half_loaded[:6]).out


def test_only_what_the_gate_refused_can_be_accepted(half_loaded: str) -> None:
    result = Result("landing", "accept", half_loaded, "--because", "it is right")
    assert result.code == 78
    assert "Only what the gate refused can be accepted" in result.err


def test_a_forgotten_landing_is_refused_no_longer(half_loaded: str) -> None:
    assert Result("landing", "forget", half_loaded, "--because", "the wrong file").code == 0
    assert Result("landing", "show", "--json").json == []


def test_an_import_is_undone_by_forgetting_its_data_set(loaded_warehouse: Settings) -> None:
    assert Result("forget", "example", "--because", "the wrong unit").code == 0
    load_pending(loaded_warehouse, gate=lambda con, inputs: [])
    with writer(loaded_warehouse, what="test") as con:
        assert con.execute("select count(*) from clean.candles").fetchall() == [(0,)]
    unknown = Result("forget", "exampel", "--because", "a slip")
    assert unknown.code == 78
    assert "nothing is landed of files.exampel" in unknown.err
