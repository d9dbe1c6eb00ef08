"""What a run says of tests that do not use DuckDB: no way of using it escapes, and what is listed is left out on request."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.core.settings import PROJECT_ROOT

WAYS = """
import multiprocessing
import os
import subprocess
import threading
from collections.abc import Iterator
from duckdb import connect
import duckdb
import pytest

@pytest.fixture(scope="module")
def opened() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect() as con:
        yield con

@pytest.fixture(scope="module")
def through_another(opened) -> None: ...

def test_free() -> None: ...
def test_connects() -> None: connect().close()
def test_asks_the_default_connection() -> None: assert duckdb.sql("select 1").fetchall() == [(1,)]
def test_uses_a_fixture(opened) -> None: ...
def test_uses_a_fixture_that_is_there_already(opened) -> None: ...
def test_uses_a_fixture_through_another(through_another) -> None: ...
def test_asks_for_a_fixture(request) -> None: request.getfixturevalue("opened")
def test_starts_a_thread() -> None:
    thread = threading.Thread(target=lambda: connect().close())
    thread.start()
    thread.join()
def test_starts_a_process() -> None: subprocess.run(["true"], check=True)
def test_spawns_a_process() -> None:
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()
    process.close()
def test_uses_it_to_end(request) -> None: request.addfinalizer(lambda: connect().close())
def test_fails() -> None: assert False
def test_is_skipped() -> None: pytest.skip("for now")
def test_is_free_too() -> None: ...
"""
IMPORTING = """
import duckdb
ANSWER = duckdb.sql("select 1").fetchall()

def test_reads_what_the_import_asked() -> None: assert ANSWER == [(1,)]
"""


def pytest_in(folder: Path, *arguments: str) -> str:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.suite",
        "-p",
        "no:cacheprovider",
        "-c",
        str(folder / "none.ini"),
    ]
    done = subprocess.run(
        [*command, "--rootdir", str(folder), *arguments, str(folder)],
        cwd=PROJECT_ROOT, env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("workers", ["0", "2"])
def test_only_tests_that_do_not_use_duckdb_are_listed_and_left_out(tmp_path: Path, workers: str) -> None:
    folder, listed = tmp_path / "tests", tmp_path / "listed"
    folder.mkdir()
    (folder / "none.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "test_ways.py").write_text(WAYS, encoding="utf-8")
    (folder / "test_importing.py").write_text(IMPORTING, encoding="utf-8")
    pytest_in(folder, "-n", workers, "--write-without-duckdb", str(listed))
    assert listed.read_text(encoding="utf-8") == "test_ways.py::test_free\ntest_ways.py::test_is_free_too\n"
    said = pytest_in(folder, "-n", workers, "--skip-without-duckdb", str(listed))
    assert "1 failed, 11 passed, 1 skipped" in said
