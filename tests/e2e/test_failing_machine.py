"""A machine that fails: full disk, read-only home, a home of somebody else, few open files, corrupt files. Nothing is imitated.

Every command ends with one sentence and exit code 74 or 78, nothing is left half-written, doctor works and says it, and once the
machine is well again the work ends with the tables of an undisturbed run.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.doctor import check_local
from pipelines.core.settings import Settings
from tests.e2e.example_history import run, write_history
from tests.e2e.failing_machine import COMMANDS_THAT_READ, COMMANDS_THAT_WRITE, CORRUPTIONS, steps, tables
from tests.e2e.machine_fixture import failing_machine, read_only, small_disk

FEW: int = 3
MANY: int = 50


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_history(tmp_path_factory.mktemp("history"), days=20)


@pytest.fixture
def home(tmp_path: Path, history: Path) -> Path:
    """A loaded and published home, below a folder that others may pass."""
    for step in steps(tmp_path / "home", history):
        step()
    return tmp_path / "home"


def full_disk(folder: Path, history: Path, points: int, seed: int) -> None:
    met = failing_machine(small_disk(folder, "64m"), "full_disk", folder, history, points, seed)
    assert len(met) == points
    for one in met:
        assert one["exit"] in (0, 74), one
        assert one["exit"] == 0 or "is full" in one["said"], one
        assert "\n" not in one["said"], one
        assert one["half"] == [], one
        assert one["unlooked"] == [], one
        assert one["disk"] == "wrong", one
        assert one["same"], one
    # Where a step happened to fit, nothing was shown.
    assert sum(one["exit"] == 74 for one in met) > points / 2


def test_a_full_disk_ends_a_step_anywhere_and_the_work_is_continued(tmp_path: Path, history: Path) -> None:
    full_disk(tmp_path, history, FEW, seed=2)


@pytest.mark.slow
def test_a_full_disk_at_many_more_points(tmp_path: Path, history: Path) -> None:
    full_disk(tmp_path, history, MANY, seed=7)


def check_commands(results: list[dict[str, Any]], *, because: str) -> None:
    written = results[: len(COMMANDS_THAT_WRITE)]
    for one in written:
        assert (one["raised"], one["exit"]) == (None, 78), one
        assert one["err"].startswith("error: "), one
        assert one["err"].count("\n") == 1, one
        assert because in one["err"], one
    read = {one["command"][0]: one for one in results[len(COMMANDS_THAT_WRITE) :]}
    assert len(read) == len(COMMANDS_THAT_READ)
    assert {name: (one["raised"], one["exit"]) for name, one in read.items()} == {
        "sql": (None, 0), "status": (None, 0), "landing": (None, 0), "doctor": (None, 1),
    }  # fmt: skip
    assert "cannot be checked" not in read["doctor"]["out"]
    assert "reconciled" in read["doctor"]["out"]


def test_on_a_read_only_home_what_writes_is_refused_and_what_reads_works(home: Path, history: Path) -> None:
    check_commands(failing_machine(read_only(home), "commands", home, history), because="this user")


def test_a_home_of_another_user_is_refused_with_a_sentence(home: Path, history: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a home away")
    for path in (home, *home.rglob("*")):
        os.lchown(path, 65534, 65534)
    results = failing_machine("true", "commands", home, history)
    check_commands(results, because="belongs to user nobody")


def test_few_open_files_are_named_before_they_run_out(home: Path, history: Path) -> None:
    *others, doctor, _ = failing_machine("ulimit -n 60", "run_and_read", home, history)
    for one in others:
        assert (one["raised"], one["exit"]) == (None, 74), one
        assert "this process may have 60, and 128 are needed" in one["err"], one
    assert (doctor["raised"], doctor["exit"]) == (None, 1)
    assert "raise the limit" in doctor["out"]


@pytest.mark.parametrize("kind", ["warehouse cut short", "warehouse with rotten blocks", "warehouse overwritten"])
def test_a_corrupt_warehouse_is_rebuilt_with_the_same_tables(home: Path, history: Path, kind: str) -> None:
    expected, settings = tables(home), Settings(home=home)
    _, damage, repair = CORRUPTIONS[kind]
    damage(settings)
    found = {finding.check: finding for finding in check_local(settings, lambda *_: None)}["database"]
    assert found.verdict == "wrong"
    assert "leverhouse rebuild" in found.next_step
    repair(settings, history)
    assert tables(home) == expected


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_corrupt_files_are_named_and_doctor_s_advice_gives_the_same_tables(tmp_path: Path, history: Path) -> None:
    results = {one["what"]: one for one in failing_machine("true", "corrupt", tmp_path, history)}
    expected = {
        "warehouse cut short": (74, "leverhouse rebuild", "database"),
        "warehouse with rotten blocks": (74, "leverhouse rebuild", "database"),
        "warehouse overwritten": (74, "leverhouse rebuild", "database"),
        "snapshot overwritten": (74, "leverhouse publish", "snapshot"),
        "records of runs overwritten": (74, "no data is", "runs"),
        "records of runs cut short": (74, "no data is", "runs"),
        "dagster.yaml overwritten": (0, "", None),
        "landing altered": (66, "altered", "landings"),
    }
    assert results.keys() == expected.keys()
    for name, (code, advice, check) in expected.items():
        one = results[name]
        assert (one["raised"], one["exit"]) == (None, code), one
        assert advice in one["err"], one
        assert "Traceback" not in one["err"], one
        assert check is None or check in {finding["check"] for finding in one["doctor"]}, one
        assert one["again"] == 0, one
        assert one["same"], one


def test_a_home_is_closed_to_others_but_for_what_is_published(home: Path) -> None:
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in home.rglob("*") if not path.is_symlink()}
    assert stat.S_IMODE(home.stat().st_mode) == 0o711
    for path, mode in modes.items():
        public = home / "published" in (path, *path.parents)
        if path.is_dir() and path.parent == home:
            assert mode == (0o755 if public else 0o700), path
        elif path.is_dir():
            assert not public or mode == 0o755, path
        else:
            assert (mode & 0o444 == 0o444) if public else path.parent != home or mode == 0o600, path


ODD: str = "o'k [a]* # {x} %20 ünï"
"""What SQL, patterns, URLs, templates and markup take for something else."""


def test_a_home_of_any_name_is_loaded_published_and_looked_at(tmp_path: Path, history: Path) -> None:
    home = tmp_path / ODD
    beside = tmp_path / "o'k a"
    beside.mkdir()
    for step in (*steps(home, history), *steps(home, history)):
        step()
    assert list(beside.iterdir()) == []
    results = {one["command"][0]: one for one in failing_machine("true", "read", home, history)}
    assert {name: (one["raised"], one["exit"]) for name, one in results.items()} == {
        "sql": (None, 0), "status": (None, 0), "landing": (None, 0), "doctor": (None, 0),
    }  # fmt: skip
    assert ODD in results["status"]["out"]
    assert ODD in results["doctor"]["out"]


@pytest.mark.slow
def test_the_whole_way_in_a_home_of_any_name(tmp_path: Path, history: Path) -> None:
    home = tmp_path / ODD
    assert "Published" in run(home, history, "run", "--root", str(history / "example"))
    assert "reconciled" in run(home, history, "doctor")
    assert (home / "published" / "report" / "index.html").exists()
