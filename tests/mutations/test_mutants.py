"""A test of the tests: every defect of mutants.py, put into a copy of the project, is seen by a test that names it.

`make mutants` runs it; only the first test, which keeps the list in step with the code, is part of `make test`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import orjson
import pytest

from pipelines.contract.ddl import load_contract
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.storage.warehouse import writer
from tests.mutations.mutants import MUTANTS, Mutant

COPIED: Final = ("pipelines", "dbt_project", "scripts", "tests", "warehouse/schema", "warehouse/dagster_home", "docs")
LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", "target", "logs", "mutations", ".*")

SEEN: Final = re.compile(r"AssertionError|^assert |^Failed: |Hypothesis found|pipelines\.core\.errors\.\w+Error")
"""How a defect is seen: an assertion that fails, or an error that the pipeline raises on purpose. Anything else, an import
that breaks or a query that does not parse, says nothing of the tests."""

# Read on import, before the environment of the tests is cleaned; a copy elsewhere would not find its neighbors.
FOLDERS: Final = {
    f"LEVERHOUSE_{name.upper()}": os.environ.get(f"LEVERHOUSE_{name.upper()}")
    or str(PROJECT_ROOT.parent / "shared" / name)
    for name in ("field", "recorded", "reference", "samples")
}


@dataclass(frozen=True)
class Verdict:
    """What a run of tests said: names that passed, for those that did not, why, and names that were skipped. A test of several
    parameters is there with each of them, and without: passed where all of them are."""

    passed: frozenset[str]
    failed: dict[str, str]
    skipped: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Copy:
    """A copy of the project that may be broken, with a warehouse whose tables are empty."""

    root: Path
    database: Path

    @contextmanager
    def broken(self, mutant: Mutant) -> Iterator[None]:
        """The copy with the mutant in it, for the length of the block."""
        file = self.root / mutant.file
        whole = file.read_text(encoding="utf-8")
        file.write_text(whole.replace(mutant.text, mutant.instead), encoding="utf-8")
        try:
            yield
        finally:
            file.write_text(whole, encoding="utf-8")

    def run_tests(self, tests: Collection[str]) -> Verdict:
        report = self.database.with_name("report.xml")
        report.unlink(missing_ok=True)
        done = self._python("-m", "pytest", "-n", "0", "-q", f"--junitxml={report}", *tests)
        assert report.is_file(), done.stdout[-2000:] + done.stderr[-2000:]
        passed, skipped = set[str](), set[str]()
        failed: dict[str, str] = {}
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by our own pytest
            name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '')}"
            names = {name, name.partition("[")[0]}
            faults = [*case.iter("failure"), *case.iter("error")]
            if faults:
                failed |= dict.fromkeys(names, faults[0].get("message", "").removeprefix('failed on setup with "'))
            elif case.find("skipped") is None:
                passed |= names
            else:
                skipped |= names
        return Verdict(frozenset(passed - failed.keys()), failed, frozenset(skipped - failed.keys()))

    def run_units(self, units: Collection[str]) -> Verdict:
        done = self.dbt("test", "--select", *units)
        results = self._results(done)
        named = {unit: [r["status"] for r in results if r["unique_id"].endswith(f".{unit}")] for unit in units}
        failed = {
            unit: f"AssertionError: dbt says {status}" if status == ["fail"] else f"dbt says {status}"
            for unit, status in named.items()
            if status != ["pass"]
        }
        return Verdict(frozenset(units) - failed.keys(), failed)

    def dbt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        target = str(self.database.with_name("target"))
        shutil.rmtree(Path(target) / "run_results.json", ignore_errors=True)
        project = str(self.root / "dbt_project")
        return self._python(
            "-m", "dbt.cli.main", "--no-use-colors", *arguments, "--project-dir", project, "--profiles-dir", project,
            "--target-path", target, "--log-path", target, LEVERHOUSE_DATABASE=str(self.database),
        )  # fmt: skip

    def _results(self, done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
        file = self.database.with_name("target") / "run_results.json"
        assert done.returncode in (0, 1) and file.is_file(), done.stdout[-2000:] + done.stderr[-2000:]
        results: list[dict[str, Any]] = orjson.loads(file.read_bytes())["results"]
        file.unlink()
        return results

    def _python(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """The copy stands before the installed package on the path of what is started here and of its children."""
        folders = {variable: folder for variable, folder in FOLDERS.items() if Path(folder).is_dir()}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env={**os.environ, **folders, **variables, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    folder = tmp_path_factory.mktemp("mutants")
    root = folder / "project"
    for part in COPIED:
        shutil.copytree(PROJECT_ROOT / part, root / part, ignore=LEFT_OUT)
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT_ROOT / file, root / file)
    settings = Settings(home=folder / "home")
    with writer(settings, what="empty tables"):
        pass
    made = Copy(root, settings.database)
    where = made._python("-c", "import pipelines; print(pipelines.__file__)").stdout
    assert where.startswith(str(root)), f"the tests would import {where}"
    return made


@pytest.fixture(scope="module")
def sound(copy: Copy) -> Verdict:
    """What all tests that are named say of the project as it is."""
    tests = sorted({test for mutant in MUTANTS for test in mutant.tests})
    units = sorted({unit for mutant in MUTANTS for unit in mutant.units})
    done = copy.dbt("build", "--exclude-resource-type", "test", "unit_test")
    assert done.returncode == 0, done.stdout[-2000:]
    said, told = copy.run_tests(tests), copy.run_units(units)
    return Verdict(said.passed | told.passed, said.failed | told.failed, said.skipped)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_text_of_the_code_as_it_is(mutant: Mutant) -> None:
    assert (PROJECT_ROOT / mutant.file).read_text(encoding="utf-8").count(mutant.text) == 1
    assert mutant.instead != mutant.text
    assert mutant.tests or mutant.units
    assert sum(other.name == mutant.name for other in MUTANTS) == 1


@pytest.mark.mutation
def test_without_a_mutant_every_test_passes(sound: Verdict) -> None:
    assert load_contract(PROJECT_ROOT / "warehouse" / "schema")
    assert sound.failed == {}


@pytest.mark.mutation
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_seen(copy: Copy, sound: Verdict, mutant: Mutant) -> None:
    tests = [test for test in mutant.tests if test in sound.passed]
    units = [unit for unit in mutant.units if unit in sound.passed]
    if not tests and not units:
        assert {*mutant.tests} <= sound.skipped, f"no test of that name ran: {mutant.tests}"
        pytest.skip("the tests that would see it lack their data")
    with copy.broken(mutant):
        verdicts = [copy.run_tests(tests)] if tests else []
        verdicts += [copy.run_units(units)] if units else []
    failed = {name: why for verdict in verdicts for name, why in verdict.failed.items()}
    assert failed, f"nothing noticed: {mutant.name}"
    assert any(SEEN.search(why) for why in failed.values()), f"broke instead of being noticed: {failed}"
