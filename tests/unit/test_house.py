"""Checks of the repository itself: documentation matches the files, forbidden content, import rules.

Reads the files and runs the linters; the behavior of the warehouse is tested elsewhere.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import yaml

from scripts import lock, setup

ROOT = Path(__file__).resolve().parents[2]
PAPERS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()
LOCKS = ["requirements.lock", "requirements-duckdb2.lock", "requirements-postgres.lock", "requirements-spark.lock"]
MAX_LINES = 600
TOOLS = {"__pycache__", "target", "logs", "node_modules"}


def walk(folder: Path) -> Iterator[Path]:
    """Project files below a folder: no hidden folder but .ci, no warehouse data, no tool output."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name in TOOLS or path.suffix == ".egg-info" or (path.name.startswith(".") and path.name != ".ci"):
                continue
            if path.parent == ROOT / "warehouse" and path.name != "schema":
                continue
            yield from walk(path)
        elif path.name not in {"leverhouse.toml", ".ready"} and path.parent != ROOT / "warehouse":
            yield path


FILES = [*walk(ROOT), ROOT / "warehouse" / "dagster_home" / "dagster.yaml"]
PYTHON = [path for path in FILES if path.suffix == ".py"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


# Commands


def test_help_lists_every_target() -> None:
    listed = make().stdout
    assert {line.split()[1] for line in listed.splitlines()} == make_targets()


@pytest.mark.parametrize("paper", [*PAPERS, ROOT / ".ci" / "run"], ids=shown)
def test_every_make_command_named_in_a_paper_can_run(paper: Path) -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z0-9-]*)", paper.read_text(), re.MULTILINE))
    assert named <= make_targets()
    for target in sorted(named):
        rehearsal = make("--dry-run", target)
        assert rehearsal.returncode == 0, rehearsal.stderr


def test_readme_sets_up_with_two_commands() -> None:
    first_block = re.search(r"```sh\n(.*?)```", README, re.DOTALL)
    assert first_block is not None
    commands = [line.split("#")[0].strip() for line in first_block[1].splitlines()]
    assert commands == ["make demo", "make test"]


@pytest.mark.parametrize("target", ["demo", "recorded", "test", "lint", "unit", "bench", "ui"])
def test_every_target_that_needs_the_environment_prepares_it(target: str) -> None:
    assert "scripts/setup.py" in make("--dry-run", target).stdout


def test_a_python_that_is_too_old_is_named_before_anything_is_installed(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\nif [ "$1" = --version ]; then echo "Python 3.9.18"; else exit 1; fi\n')
    old.chmod(0o755)
    refused = make("setup", f"PYTHON={old}")
    assert refused.returncode != 0
    assert "needs Python 3.11 or newer" in refused.stderr
    assert "Python 3.9.18" in refused.stderr


def test_recorded_says_which_folder_is_missing(tmp_path: Path) -> None:
    refused = make("--old-file", "setup", "recorded", f"LEVERHOUSE_RECORDED={tmp_path / 'nowhere'}")
    assert refused.returncode != 0
    assert f"No recorded history in '{tmp_path / 'nowhere'}'" in refused.stderr


# The environment and its lock


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_pins_and_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", " ")
    entries = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert entries
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+(\[[a-z,]+\])?==[^ ]+ .*--hash=sha256:[0-9a-f]{64}", entry), entry
        assert "://" not in entry


@pytest.mark.parametrize("name", LOCKS)
def test_lock_was_made_from_the_dependencies_as_they_are_now(name: str) -> None:
    assert f"# inputs: {lock.inputs_digest(ROOT / 'pyproject.toml')}\n" in (ROOT / name).read_text(), (
        "run `make lock KEEP=1`"
    )


def test_lock_drops_index_options_and_refuses_pins_by_address() -> None:
    assert lock.without_addresses(["--index-url https://x/simple", "-f /somewhere", "six==1.17.0"]) == ["six==1.17.0"]
    with pytest.raises(ValueError, match="contains a URL"):
        lock.without_addresses(["six @ https://x/six.whl"])


def test_locking_ignores_this_machines_package_settings() -> None:
    assert lock.clean_environment({"PIP_INDEX_URL": "a", "UV_INDEX": "b", "PATH": "c"}) == {"PATH": "c"}


def test_an_environment_counts_only_when_its_stamp_was_written_last(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").touch()
    stamp = tmp_path / ".ready"
    assert not setup.is_ready(stamp, "lock 1"), "killed half-way: everything but the stamp is there"
    setup.mark_ready(stamp, "lock 1")
    assert setup.is_ready(stamp, "lock 1")
    assert not setup.is_ready(stamp, "lock 2"), "the lock changed"
    (tmp_path / "bin" / "python").unlink()
    assert not setup.is_ready(stamp, "lock 1"), "the Python it was made with is gone"


def test_set_up_names_the_command_that_failed() -> None:
    with pytest.raises(setup.SetupError, match="failed with exit code 3"):
        setup.run(sys.executable, "-c", "raise SystemExit(3)")


def test_pipelines_import_only_declared_packages() -> None:
    declared = {re.split(r"[\[<>=! ]", one)[0].replace("-", "_") for one in PROJECT["project"]["dependencies"]}
    declared |= {"dbt"} if "dbt_core" in declared else set()
    extras = {
        re.split(r"[\[<>=! ]", one)[0].replace("-", "_")
        for members in PROJECT["project"].get("optional-dependencies", {}).values()
        for one in members
    }
    declared |= {"yaml"} if "pyyaml" in declared else set()
    imported = {
        (name.split(".")[0], node.col_offset > 0)
        for path in PYTHON
        if path.is_relative_to(ROOT / "pipelines")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported_names(node)
    }
    known = declared | set(sys.stdlib_module_names) | {"pipelines"}
    # An extra is imported where it is used, so that the rest works without it.
    assert {
        (name, nested) for name, nested in imported if name not in known and not (name in extras and nested)
    } == set()


def imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


# Files

# Assembled from parts, so that this file does not contain the forbidden text itself.
FORBIDDEN = {
    "a path of somebody's machine": re.compile(
        r"(?<![\w.$}>)*])/(" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers"]) + ")/"
    ),
    "a package registry": re.compile("py" + r"pi\.org|pythonho" + r"sted\.org|registry\.np" + "mjs"),
    "who wrote it, or for which task": re.compile(
        r"\bAI[ -]assist" + r"|\bClau" + r"de\b|\biss" + r"ue #?\d|\bCo-Auth" + "ored", re.IGNORECASE
    ),
    "a mark of a merge": re.compile(r"^(<{7}|>{7}) ", re.MULTILINE),
}


@pytest.mark.parametrize("fault", FORBIDDEN)
def test_no_file_names(fault: str) -> None:
    offenders = [
        f"{shown(path)}: {match[0]!r}"
        for path in FILES
        if path.name != "LICENSE" and path.suffix not in {".parquet", ".duckdb", ".png", ".xz"}
        for match in [FORBIDDEN[fault].search(path.read_text())]
        if match
    ]
    assert not offenders


# A ~ inside each name keeps it out of this file.
@pytest.mark.parametrize("path", PYTHON, ids=shown)
def test_module_says_what_lives_in_it_and_stays_readable(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "open the module with what lives here and what does not"
    assert text.count("\n") <= MAX_LINES, "split it by subject"


def test_only_storage_opens_a_database_file() -> None:
    opening = re.compile(r"duckdb\.connect\((?!\)|\":memory:\")")
    openers = {path for path in PYTHON if path.is_relative_to(ROOT / "pipelines") and opening.search(path.read_text())}
    assert {path.parent for path in openers} <= {ROOT / "pipelines" / "storage"}


@pytest.mark.parametrize("paper", PAPERS, ids=shown)
def test_links_lead_somewhere(paper: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", paper.read_text())
    missing = [target for target in targets if "://" not in target and not (paper.parent / target).exists()]
    assert not missing


def test_readme_links_every_page_of_docs() -> None:
    assert [path.name for path in PAPERS if path.parent.name == "docs" and f"docs/{path.name}" not in README] == []


def test_every_folder_of_the_tree_in_readme_exists() -> None:
    tree = re.search(r"```text tree\n(.*?)```", README, re.DOTALL)
    assert tree is not None
    parents: dict[int, str] = {}
    for line in tree[1].splitlines():
        depth, entry = (len(line) - len(line.lstrip())) // 2, line.split()[0]
        parents[depth] = entry
        path = "".join(parents[level] for level in range(depth + 1))
        assert (ROOT / path).exists(), path


def files_of_marts(suffix: str) -> list[Path]:
    """Files of the marts, without the steps that analyses keep in their helpers."""
    marts = (ROOT / "dbt_project" / "models" / "marts").rglob(f"*.{suffix}")
    return sorted(path for path in marts if path.parent.name != "helpers")


def test_readme_names_every_mart() -> None:
    assert {path.stem for path in files_of_marts("sql")} - set(re.findall(r"`([a-z_]+)`", README)) == set()


def test_sql_of_the_readme_runs_on_the_columns_that_marts_promise() -> None:
    queries = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
    assert queries
    with duckdb.connect() as con:
        for path in files_of_marts("yml"):
            for model in yaml.safe_load(path.read_text()).get("models", []):
                columns = ", ".join(f"{column['name']} {column['data_type']}" for column in model["columns"])
                con.execute(f"create schema if not exists marts; create table marts.{model['name']} ({columns})")
        con.execute("create schema ops")
        for path in sorted((ROOT / "warehouse" / "schema").glob("ops.*.sql")):
            con.execute(path.read_text())
        for query in queries:
            assert con.execute(query).description


def test_a_test_cannot_reach_the_network() -> None:
    with socket.socket() as plug, pytest.raises(UserWarning, match=r"192\.0\.2\.1"):
        plug.connect(("192.0.2.1", 9))


# Import rules

LAYERS = "Data moves one way, and every package has its layer"
GROUPS = "A venue knows what all venues share, and no other group"
DAGSTER = "Only defs, the definitions, the service and the command line know of Dagster"
OBJECTS = "Dagster objects hold no parsing and open no database"

# Rule, module, the line planted at its end, and what the linter must say of it. A module that does not exist is made.
PLANTED = {
    "an import upwards": (
        LAYERS, "contract/ddl.py", "import pipelines.storage.warehouse",
        "pipelines.contract.ddl -> pipelines.storage.warehouse",
    ),
    "a venue that imports the sandbox": (
        LAYERS, "sources/cex/okx/venue.py", "import pipelines.sandbox.emulator",
        "pipelines.sources.cex.okx.venue -> pipelines.sandbox.emulator",
    ),
    "a package without a layer": (LAYERS, "novel/__init__.py", "", "not listed as layers:\n\n- pipelines.novel"),
    "a venue that imports one of another group": (
        GROUPS, "sources/cex/okx/venue.py", "import pipelines.sources.dex.dydx",
        "pipelines.sources.cex.okx.venue -> pipelines.sources.dex.dydx",
    ),
    "a module of sources without a layer": (
        GROUPS, "sources/novel.py", "", "not listed as layers:\n\n- pipelines.sources.novel",
    ),
    "Dagster in the extraction": (
        DAGSTER, "extract/landing.py", "import dagster", "pipelines.extract.landing -> dagster",
    ),
    "DuckDB in an asset": (OBJECTS, "defs/common.py", "import duckdb", "pipelines.defs.common -> duckdb"),
}  # fmt: skip


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "import sys; from importlinter.cli import lint_imports_command as run; sys.exit(run())",
    ]
    return subprocess.run(
        [*command, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def copied_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "pipelines", folder / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_import_rules_hold(copied_tree: Path) -> None:
    judged = lint_imports(copied_tree)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_every_import_rule_has_a_planted_violation() -> None:
    rules = {contract["name"] for contract in PROJECT["tool"]["importlinter"]["contracts"]}
    assert {rule for rule, *_ in PLANTED.values()} == rules


@pytest.mark.parametrize("violation", PLANTED)
def test_import_rule_notices(violation: str, copied_tree: Path) -> None:
    rule, name, line, told = PLANTED[violation]
    module = copied_tree / "pipelines" / name
    intact = module.read_text() if module.exists() else None
    module.parent.mkdir(exist_ok=True)
    module.write_text(f"{intact or ''}\n{line}\n")
    try:
        judged = lint_imports(copied_tree)
    finally:
        if intact is not None:
            module.write_text(intact)
        elif name.endswith("__init__.py"):
            shutil.rmtree(module.parent)
        else:
            module.unlink()
    assert judged.returncode != 0
    assert f"{rule} BROKEN" in judged.stdout
    assert told in judged.stdout
