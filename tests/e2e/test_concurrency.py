"""Concurrent commands: writers wait for each other or fail with the name of the lock holder."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from pipelines.storage.fingerprint import compare, fingerprint_schemas
from pipelines.storage.warehouse import writer
from tests.e2e.example_history import run, settings_of, start, write_history

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_two_concurrent_runs_leave_the_same_tables_as_one(tmp_path: Path) -> None:
    history = write_history(tmp_path / "history", days=40)
    home, alone = tmp_path / "home", tmp_path / "alone"
    both = [start(home, history, "run", "--root", str(history)) for _ in range(2)]
    outputs = [process.communicate(timeout=600)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    run(alone, history, "run", "--root", str(history))
    with writer(settings_of(home), what="test") as one, writer(settings_of(alone), what="test") as other:
        assert compare(fingerprint_schemas(one, "clean", "marts"), fingerprint_schemas(other, "clean", "marts")) == []


def test_a_run_with_zero_lock_timeout_is_refused_with_a_description_of_the_holder(tmp_path: Path) -> None:
    history = write_history(tmp_path / "history", days=40)
    home = tmp_path / "home"
    with writer(settings_of(home), what="a long import"):
        process = start(
            home, history, "import", "--mapping", str(history / "mappings" / "example.toml"),
            "--root", str(history / "example"), LEVERHOUSE_LOCK_TIMEOUT_SECONDS="0",
        )  # fmt: skip
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 75, output
    assert f"process {os.getpid()} (a long import)" in output


def test_an_interrupted_run_exits_cleanly_with_a_message(tmp_path: Path) -> None:
    history = write_history(tmp_path / "history", days=40)
    home = tmp_path / "home"
    with writer(settings_of(home), what="a long import"):
        process = start(home, history, "publish")
        deadline = time.monotonic() + 120
        # Dagster stores the events of every run in a file named after it, and an index in the same folder.
        while not any(file.stem != "index" for file in (home / "dagster_home").glob("history/runs/*.db")):
            assert time.monotonic() < deadline, "no run was started"
            time.sleep(0.05)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    # A shell reports termination by SIGINT as 130 too.
    assert process.returncode in (130, -signal.SIGINT), output
    assert "interrupted" in output
