"""A command killed at any stage and run again gives the same tables, and no reader sees a partial snapshot."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.core.settings import PROJECT_ROOT
from pipelines.extract.landing import LandingStore
from pipelines.operations.build import HOLDER
from pipelines.storage.fingerprint import Fingerprint, compare, fingerprint_schemas
from pipelines.storage.warehouse import reader, writer
from tests.e2e.example_history import run, settings_of, start, write_history

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS = 5
"""Per stage; twenty in total for four stages."""

ATTEMPTS = 4 * KILLS
"""Maximum starts of a command per stage: some finish before they are killed."""

LANDING = (None, 0.0, 0.02)
LOAD = ("load", 0.0, 1.5)
DBT = (HOLDER, 0.0, 8.0)
PUBLISH = ("publish", 0.0, 0.25)
"""What the writer lock is held for in a stage (None: watch the landing instead), and the range of seconds after that in
which to kill."""

Stage = tuple[str | None, float, float]

_READER = """
import sys, time
from pathlib import Path
from pipelines.storage.warehouse import open_snapshot

path, stop = Path(sys.argv[1]), Path(sys.argv[2])
reads = 0
while not stop.exists():
    if path.exists():
        con = open_snapshot(path)
        names = [row[0] for row in con.execute("select table_name from duckdb_tables() where schema_name = 'marts'").fetchall()]
        counts = [con.execute(f"select count(*) from marts.{name}").fetchall()[0][0] for name in names]
        promised = con.execute("select mart_tables, mart_rows from meta.publication").fetchall()[0]
        con.close()
        assert (len(names), sum(counts)) == promised and sum(counts) > 0, (names, counts, promised)
        reads += 1
    time.sleep(0.05)
print(reads)
"""


def fingerprints(home: Path, *schemas: str) -> dict[str, Fingerprint]:
    with writer(settings_of(home), what="fingerprints") as con:
        return fingerprint_schemas(con, *schemas)


def fingerprints_but_when_known(home: Path) -> dict[str, Fingerprint]:
    """Fingerprints of clean tables and marts without available_at: a second version of a file was known when it was imported."""
    with writer(settings_of(home), what="fingerprints") as con:
        for schema in ("clean", "marts"):
            con.execute(f"create schema memory_of_{schema}")
            for (name,) in con.execute(
                "select table_name from duckdb_tables() where schema_name = ? order by 1", [schema]
            ).fetchall():
                columns = [row[0] for row in con.execute(f"describe {schema}.{name}").fetchall()]
                kept = ", ".join(f'"{column}"' for column in columns if column != "available_at")
                con.execute(f"create table memory_of_{schema}.{name} as select {kept} from {schema}.{name}")
        # Outcomes are measured from when a signal was known.
        con.execute("drop table memory_of_marts.signal_outcomes")
        found = fingerprint_schemas(con, "memory_of_clean", "memory_of_marts")
        for schema in ("clean", "marts"):
            con.execute(f"drop schema memory_of_{schema} cascade")
    return found


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_history(tmp_path_factory.mktemp("history"))


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shorter version of the same history."""
    return write_history(tmp_path_factory.mktemp("half"), days=60)


@pytest.fixture(scope="module")
def undisturbed(history: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fingerprint]:
    """Fingerprints of an undisturbed warehouse."""
    home = tmp_path_factory.mktemp("undisturbed")
    run(home, history, "run", "--root", str(history))
    return fingerprints(home, "clean", "marts")


@pytest.fixture(scope="module")
def grown(half: Path, history: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fingerprint]:
    """Fingerprints of a warehouse that had the shorter history first: its rows come from second versions of the files."""
    home = tmp_path_factory.mktemp("grown")
    run(home, half, "run", "--root", str(half))
    run(home, history, "run", "--root", str(history))
    return fingerprints_but_when_known(home)


@contextmanager
def reading(home: Path, stop: Path) -> Iterator[None]:
    """Read the published file continuously in another process during the block; it must exit without an error."""
    process = subprocess.Popen(
        [sys.executable, "-c", _READER, str(settings_of(home).published_database), str(stop)],
        cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield
    finally:
        stop.touch()
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert int(output) > 0


def _reached(home: Path, held_for: str | None, pid: int) -> bool:
    """Whether process `pid` has reached the stage. The holder file may be that of an earlier, killed process."""
    if held_for is None:
        return any((home / "raw").rglob("*"))
    try:
        holder = json.loads(settings_of(home).lock_file.with_suffix(".holder.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(holder == {"pid": pid, "what": held_for})


def kill_in(stage: Stage, chance: random.Random, home: Path, history: Path, *arguments: str) -> bool:
    """Start a command and kill it in `stage`; False if it finished before that."""
    held_for, earliest, latest = stage
    process = start(home, history, *arguments)
    try:
        deadline = time.monotonic() + 300
        while not _reached(home, held_for, process.pid):
            assert time.monotonic() < deadline, f"never reached {held_for}"
            if process.poll() is not None:
                return False
            time.sleep(0.002)
        time.sleep(chance.uniform(earliest, latest))
        return process.poll() is None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def kill_often(stage: Stage, chance: random.Random, home: Path, history: Path, *arguments: str) -> None:
    """Kill a command KILLS times in `stage`, one start after the other on the same home."""
    killed = 0
    for _ in range(ATTEMPTS):
        killed += kill_in(stage, chance, home, history, *arguments)
        if killed == KILLS:
            return
    pytest.fail(f"only {killed} of {ATTEMPTS} starts were killed in {stage}")


@pytest.mark.parametrize("stage", [LANDING, LOAD], ids=["landing", "load"])
def test_a_killed_import_that_is_run_again_gives_the_same_clean_tables(
    stage: Stage, history: Path, undisturbed: dict[str, Fingerprint], tmp_path: Path
) -> None:
    chance = random.Random(1)
    arguments = ("import", "--mapping", str(history / "mappings" / "example.toml"), "--root", str(history / "example"))
    expected = {name: found for name, found in undisturbed.items() if name.startswith("clean.")}
    killed = 0
    for attempt in range(ATTEMPTS):
        home = tmp_path / f"home{attempt}"
        killed += kill_in(stage, chance, home, history, *arguments)
        run(home, history, *arguments)
        assert compare(expected, fingerprints(home, "clean")) == []
        assert list(LandingStore(home).verify(LandingStore(home).all())) == []
        if killed == KILLS:
            return
    pytest.fail(f"only {killed} of {ATTEMPTS} imports were killed in {stage}")


def test_a_repeatedly_killed_build_ends_in_the_same_marts_without_disturbing_readers(
    half: Path, history: Path, grown: dict[str, Fingerprint], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    run(home, half, "run", "--root", str(half))
    with reading(home, tmp_path / "stop"):
        kill_often(DBT, random.Random(2), home, history, "run", "--root", str(history))
        run(home, history, "run", "--root", str(history))
    assert compare(grown, fingerprints_but_when_known(home)) == []


def test_a_repeatedly_killed_publish_leaves_a_complete_snapshot(
    history: Path, undisturbed: dict[str, Fingerprint], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    run(home, history, "run", "--root", str(history))
    with reading(home, tmp_path / "stop"):
        kill_often(PUBLISH, random.Random(3), home, history, "publish")
        run(home, history, "publish")
    assert not list(settings_of(home).published_dir.glob(".*"))
    assert not list((home / "published").glob("*.wal"))
    expected = {name: found for name, found in undisturbed.items() if name.startswith("marts.")}
    with reader(settings_of(home)) as con:
        assert compare(expected, fingerprint_schemas(con, "marts")) == []
