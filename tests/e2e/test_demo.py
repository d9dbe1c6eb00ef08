"""The demo as a user starts it: one command on a fresh home, without network, finds everything that was planted."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.cli.demo import reachable
from pipelines.cli.screen import Screen
from pipelines.core.errors import VenueUnavailableError
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.extract.pack import Pack
from pipelines.operations.as_of import rebuild_as_of
from pipelines.operations.examples import load_examples
from pipelines.operations.trace import trace_landing, trace_row
from scripts import report_pictures
from tests.e2e.as_of_fixture import compare_known

KINDS = {
    "outage", "unit_error", "late", "restated", "cascade", "expansion", "positive_funding", "negative_funding",
    "capitulation", "divergence",
}  # fmt: skip


def leverhouse(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("LEVERHOUSE_", "DAGSTER_", "DBT_"))}
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        cwd=PROJECT_ROOT,
        env=variables | {"LEVERHOUSE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def landed(home: Path) -> dict[Path, int]:
    """Packs of the demo's landing with their modification times."""
    files = (path for path in (home / "demo" / "raw").rglob("*~*") if path.suffix != ".json")
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def shown(home: Path) -> dict[str, Any]:
    done = leverhouse(home, "demo", "--days", "120", "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.slow
@pytest.mark.timeout(1800)
class TestDemo:
    def test_it_is_labeled_as_simulated(self, shown: dict[str, Any]) -> None:
        assert shown["simulated"] is True
        assert "SIMULATED" in shown["note"]

    def test_every_planted_episode_is_found_on_its_days_and_asset(self, shown: dict[str, Any]) -> None:
        assert {one["kind"] for one in shown["evaluation"]} == KINDS
        for one in shown["evaluation"]:
            assert one["found"], one
            assert all(one["first_day"] <= str(day) <= one["last_day"] for day in one["on_days"]), one

    def test_received_rows_are_accounted_for(self, shown: dict[str, Any]) -> None:
        rows = {layer["layer"]: layer["rows"] for layer in shown["layers"]}
        assert rows["received"] > rows["clean"] > rows["marts"] > 0
        assert {one["reason"] for one in shown["refused"]} == {"sentinel"}
        assert shown["faults"] == []
        assert all(run["succeeded"] for run in shown["runs"])

    def test_a_number_leads_to_the_answers_it_was_made_of(self, home: Path, shown: dict[str, Any]) -> None:
        assert shown["faults"] == []
        settings = Settings(home=home / "demo")
        trace = trace_row(settings, "fct_open_interest_daily", ["bybit", "AVAX", "2025-05-20"])
        assert {one.source for one in trace.landings} >= {"bybit.open_interest"}
        assert {one.fault for one in trace.landings} == {None}
        [landing] = [one for one in trace.landings if one.source == "bybit.open_interest"]
        assert {request["subject"] for request in landing.requests} == {"AVAXUSDT"}
        lines = [line for line in trace.lines if line.landing_id == landing.landing_id]
        assert len(lines) == landing.tables["open_interest"] == 288
        pages = list(Pack(settings.root / landing.path).pages(["AVAXUSDT"]))
        answers = {str(page.request): json.loads(page.body)["result"]["list"] for page in pages}
        for line in lines[:: len(lines) // 10]:
            request = line.where.partition(": ")[2]
            stamp = line.key["event_at"].replace(tzinfo=UTC).timestamp() * 1000
            assert int(answers[request][line.line - 1]["timestamp"]) == stamp
        back = trace_landing(settings, landing.landing_id)
        [mart] = [step for step in back.steps if step.table == "fct_open_interest_daily"]
        assert (mart.first_day, mart.last_day) == (date(2025, 5, 20), date(2025, 5, 20))

    @pytest.mark.parametrize("at", [datetime(2025, 3, 19, 7), datetime(2025, 4, 22, 21, 30), datetime(2025, 5, 20, 12)])
    def test_what_was_known_by_an_instant_is_what_a_warehouse_as_of_it_says(
        self, home: Path, shown: dict[str, Any], at: datetime
    ) -> None:
        assert shown["faults"] == []
        settings = Settings(home=home / "demo")
        then = rebuild_as_of(settings, at, by="available").publication.database
        compared = compare_known(settings.published_database.resolve(), then.resolve(), at)
        assert sum(one.rows for one in compared) > 10_000
        assert [one for one in compared if not one.is_equal] == []

    def test_a_wrong_unit_is_a_finding_of_the_gate(self, shown: dict[str, Any]) -> None:
        findings = [one for one in shown["quality"] if one["by"] == "gate"]
        assert [one["says"] for one in findings] == ["open_interest.oi_base_day_jump (warn)"]
        assert findings[0]["of"] == "bybit.open_interest"

    def test_it_shows_what_the_marts_can_say(self, home: Path, shown: dict[str, Any]) -> None:
        """At most one column in twenty is null in all rows, every signal is known on some day and every example has an answer."""
        assert shown["faults"] == []
        with duckdb.connect(Settings(home=home / "demo").published_database, read_only=True) as con:
            columns = con.execute(
                "select table_schema, table_name, column_name from information_schema.columns "
                "where table_schema in ('marts', 'history')"
            ).fetchall()
            empty = [
                ".".join(column) for column in columns
                if con.execute('select count("{2}") from {0}.{1}'.format(*column)).fetchone() == (0,)
            ]  # fmt: skip
            assert len(columns) > 1000
            assert len(empty) <= len(columns) / 20, empty
            unknown = "select signal from marts.signals_daily group by signal having count_if(state <> 'unknown') = 0"
            assert con.execute(unknown).fetchall() == []
            silent = [
                name
                for name, one in load_examples(PROJECT_ROOT / "dbt_project").items()
                if not con.execute(one.query).fetchall()
            ]
            assert silent == []

    def test_its_queries_run(self, shown: dict[str, Any]) -> None:
        for query in shown["queries"]:
            done = leverhouse(Path(shown["home"]), "sql", query, "--json")
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)

    def test_its_report_is_there_and_the_pictures_of_the_readme_are_of_it(self, shown: dict[str, Any]) -> None:
        report = Path(shown["report"]).parent
        assert "Simulated market" in (report / "index.html").read_text()
        kept = json.loads(report_pictures.FITS.read_text())
        assert {name: digests["data"] for name, digests in report_pictures.fits(report).items()} == {
            name: digests["data"] for name, digests in kept.items()
        }, "run `make docs`"

    def test_it_writes_nothing_to_the_real_warehouse(self, shown: dict[str, Any], home: Path) -> None:
        assert [path.name for path in home.iterdir()] == ["demo"]

    def test_a_second_run_fetches_nothing_again(self, shown: dict[str, Any], home: Path) -> None:
        before = landed(home)
        assert before
        done = leverhouse(home, "demo", "--json")
        assert done.returncode == 0, done.stderr
        assert landed(home) == before
        assert json.loads(done.stdout)["evaluation"] == shown["evaluation"]


def test_it_refuses_a_folder_with_other_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "demo" / "mine.txt"
    other.parent.mkdir()
    other.write_text("not a demo")
    monkeypatch.setenv("LEVERHOUSE_HOME", str(tmp_path))
    for arguments in (["demo"], ["demo", "--fresh"]):
        refused = CliRunner().invoke(app, arguments)
        assert refused.exit_code == 78
        assert "contains no demo" in refused.stderr
    assert other.read_text() == "not a demo"


ADDRESSES = (
    "bybit.api", "binance_archive.archive", "binance_archive.listing", "okx.api", "okx.files", "evm_ethereum.portal", "deribit.api",
)  # fmt: skip


def closed_address() -> str:
    """A local address on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_live_without_a_network_names_unreachable_endpoints_and_creates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = closed_address()
    monkeypatch.setenv("LEVERHOUSE_HOME", str(tmp_path))
    monkeypatch.setenv("LEVERHOUSE_ENDPOINTS", json.dumps(dict.fromkeys(ADDRESSES, closed)))
    refused = CliRunner().invoke(app, ["demo", "--live"])
    assert refused.exit_code == VenueUnavailableError.exit_code
    for name in ADDRESSES:
        assert f"{name}: {closed}" in refused.stderr
    assert "omit --live" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_live_continues_with_reachable_venues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    closed = closed_address()
    with socket.create_server(("127.0.0.1", 0)) as server:
        listening = f"http://127.0.0.1:{server.getsockname()[1]}"
        settings = Settings(
            home=tmp_path,
            venues=("bybit", "okx"),
            endpoints={"bybit.api": closed, "okx.api": listening, "okx.files": closed},
        )
        screen = Screen()
        assert reachable(settings, screen) == ("okx",)
        screen.close()
    assert f"bybit.api: {closed}" in capsys.readouterr().err
