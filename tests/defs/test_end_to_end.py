"""The command line end to end on a synthetic history: reports of the commands, Dagster's records, no leaked secrets."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.core.paths import environment
from pipelines.core.settings import Settings
from pipelines.defs.assemble import build_definitions
from pipelines.storage.warehouse import writer
from tests.e2e.example_history import command_environment, write_history

SECRET = "s3cr3t-f0r-n0b0dy"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class CommandRunner:
    """Runs `leverhouse` commands on a warehouse and the history it is loaded from."""

    settings: Settings
    history: Path

    def __call__(self, *arguments: str, **variables: str) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            env=command_environment(self.settings.root, self.history)
            | {"EXAMPLE_API_KEY": SECRET, "EXAMPLE_TOKEN": SECRET}
            | variables,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def runs(self) -> list[dg.DagsterRun]:
        """Runs in Dagster's instance, newest first."""
        with environment(DAGSTER_HOME=str(self.settings.dagster_home)), dg.DagsterInstance.get() as instance:
            return list(instance.get_runs())


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, spare_parsing: Callable[[Settings], None]) -> CommandRunner:
    folder = tmp_path_factory.mktemp("command")
    settings = Settings(home=folder / "home")
    spare_parsing(settings)
    return CommandRunner(settings, write_history(folder / "history"))


@pytest.fixture(scope="module")
def ran(command: CommandRunner) -> Outcome:
    """A run of the files in the inbox, of two data sets: the history, and one that cannot be landed."""
    inbox = command.settings.inbox_dir
    shutil.copytree(command.history / "example", inbox / "example")
    (inbox / "broken").mkdir()
    (inbox / "broken" / "a.csv").write_text("x\n", encoding="utf-8")
    for file in inbox.rglob("*.csv"):
        os.utime(file, (time.time() - 60, time.time() - 60))
    broken = command.history / "mappings" / "broken.toml"
    broken.write_text("dataset = ", encoding="utf-8")
    outcome = command("run", "--json")
    broken.unlink()
    return outcome


def test_a_data_set_that_cannot_be_landed_does_not_block_the_others(ran: Outcome) -> None:
    assert ran.code == 78
    assert "broken.toml" in ran.err
    assert {run["job"]: run["succeeded"] for run in ran.json["runs"]} == {
        "ingest_files": False,
        "load": True,
        "build": True,
    }


def test_a_run_reports_what_it_loaded(ran: Outcome) -> None:
    loaded = {row["table"]: (row["received"], row["accepted"]) for row in ran.json["loaded"]}
    assert loaded["candles"] == (200, 200)
    assert loaded["open_interest"] == (200, 200)
    assert loaded["funding_rates"] == (600, 600)


def test_a_run_reports_refused_and_missing_data_and_the_published_file(ran: Outcome, command: CommandRunner) -> None:
    report = ran.json
    assert report["refused"] == []
    assert isinstance(report["missing"], list)
    assert report["published"] == str(command.settings.published_database)


def test_the_runs_of_a_command_are_in_dagsters_instance(ran: Outcome, command: CommandRunner) -> None:
    recorded = {run.run_id: (run.job_name, run.status) for run in command.runs()}
    assert [recorded[run["run_id"]] for run in ran.json["runs"]] == [
        ("ingest_files", dg.DagsterRunStatus.FAILURE),
        ("load", dg.DagsterRunStatus.SUCCESS),
        ("build", dg.DagsterRunStatus.SUCCESS),
    ]


@pytest.mark.usefixtures("ran")
def test_dagster_tables_have_row_counts(command: CommandRunner) -> None:
    with environment(DAGSTER_HOME=str(command.settings.dagster_home)), dg.DagsterInstance.get() as instance:
        counts = {}
        for key in (["clean", "candles"], ["marts", "fct_price_daily"]):
            event = instance.get_latest_materialization_event(dg.AssetKey(key))
            assert event is not None
            assert event.asset_materialization is not None
            counts[key[1]] = event.asset_materialization.metadata["dagster/row_count"].value
    assert counts == {"candles": 200, "fct_price_daily": 200}


def test_library_output_does_not_reach_the_terminal(ran: Outcome, command: CommandRunner) -> None:
    assert "DEBUG" not in ran.err
    assert "Warning" not in ran.err
    assert "STEP_SUCCESS" in (command.settings.dagster_home / "logs" / "leverhouse.log").read_text(encoding="utf-8")


def test_a_secret_of_the_environment_is_not_stored_in_the_warehouse(ran: Outcome, command: CommandRunner) -> None:
    assert SECRET not in ran.out + ran.err
    leaks = [
        path for path in command.settings.root.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    assert leaks == []


@pytest.mark.usefixtures("ran")
def test_the_same_files_again_leave_nothing_to_load(command: CommandRunner) -> None:
    """Ingested by `import`, as `run` does it before it builds."""
    mapping = command.history / "mappings" / "example.toml"
    again = command("import", "--mapping", str(mapping), "--root", str(command.history / "example"), "--json")
    assert again.code == 0
    assert again.json["loaded"] == []
    assert again.json["landed"] == {"example": {"files": 3, "new": 0}}


@pytest.fixture(scope="module")
def price() -> dg.AssetKey:
    return dg.AssetKey(["marts", "fct_price_daily"])


def results_of(command: CommandRunner, selection: dg.AssetSelection) -> tuple[list[str], dict[str, int]]:
    """Materialized assets, and dbt tests run by check, for a selection of marts as made in the web UI."""
    part = dg.Definitions(jobs=[dg.define_asset_job("part", selection=selection)])
    definitions = dg.Definitions.merge(build_definitions(command.settings), part)
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("part").execute_in_process(instance=instance)
    tests = {check.asset_key.path[-1]: check.metadata["tests"].value for check in result.get_asset_check_evaluations()}
    built = [event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key]
    return built, tests  # type: ignore[return-value]


@pytest.mark.usefixtures("ran")
@pytest.mark.filterwarnings("default", "ignore:unclosed file:ResourceWarning")
def test_one_mart_can_be_built_with_its_tests(command: CommandRunner, price: dg.AssetKey) -> None:
    built, tests = results_of(command, dg.AssetSelection.assets(price))
    assert built == ["marts/fct_price_daily"]
    assert tests["fct_price_daily"] > 0


@pytest.mark.usefixtures("ran")
@pytest.mark.filterwarnings("default", "ignore:unclosed file:ResourceWarning")
def test_the_tests_of_one_mart_can_be_run_alone(command: CommandRunner, price: dg.AssetKey) -> None:
    built, tests = results_of(command, dg.AssetSelection.checks(dg.AssetCheckKey(price, "dbt_tests")))
    assert built == []
    assert list(tests) == ["fct_price_daily"]


@pytest.mark.usefixtures("ran")
def test_a_command_during_another_write_is_refused_with_a_description_of_the_holder(command: CommandRunner) -> None:
    with writer(command.settings, what="a long load"):
        outcome = command("publish", LEVERHOUSE_LOCK_TIMEOUT_SECONDS="0.2")
    assert outcome.code == 75
    assert f"process {os.getpid()} (a long load)" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.usefixtures("ran")
def test_the_run_of_a_killed_command_is_marked_as_failed_by_the_next(command: CommandRunner) -> None:
    with writer(command.settings, what="blocking the killed command"):
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", "publish"],
            env=command_environment(command.settings.root, command.history),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 120
        while command.runs()[0].status != dg.DagsterRunStatus.STARTED:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
    killed = command.runs()[0]
    found = {finding["check"]: finding["verdict"] for finding in command("doctor", "--json").json}
    published = command("publish")
    assert found["runs"] == "wrong"
    assert published.code == 0
    assert killed.run_id in published.err
    assert {run.run_id: run.status for run in command.runs()}[killed.run_id] == dg.DagsterRunStatus.FAILURE
