"""Suites and profiles as data: they match the contract and the documentation, and importing them is cheap.

Does not load Great Expectations.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.contract.ddl import Contract, load_contract
from pipelines.quality.profiles import PROFILES
from pipelines.quality.suites import SUITES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(ROOT / "warehouse" / "schema")


def test_importing_the_gate_loads_neither_great_expectations_nor_pandas() -> None:
    code = (
        "import sys; import pipelines.quality.gate, pipelines.quality.profiles, pipelines.quality.suites; "
        "print([m for m in ('great_expectations', 'pandas', 'dagster') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_every_clean_table_has_a_suite_and_a_profile(contract: Contract) -> None:
    assert set(SUITES) == set(contract.clean)
    assert set(PROFILES) == set(contract.clean)


def test_profiles_repeat_the_keys_and_days_of_the_contract(contract: Contract) -> None:
    for name, profile in PROFILES.items():
        table = contract.clean[name]
        assert ("source", *profile.key) == table.key, name
        assert (profile.clock, profile.day_is_state) == (table.day_column, table.day_is_state), name


def test_names_of_checks_are_unique_within_a_table() -> None:
    for table, suite in SUITES.items():
        names = [check.name for check in suite]
        assert len(names) == len(set(names)), table


def test_keys_are_checked_over_the_whole_key() -> None:
    for table, suite in SUITES.items():
        (check,) = [check for check in suite if check.name == "keys_unique"]
        assert tuple(check.kwargs["column_list"]) == PROFILES[table].key


def test_the_quality_page_lists_every_check_with_its_tables_and_severity() -> None:
    text = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    documented = {(name, severity, tables.strip(), catches.strip()) for name, severity, tables, catches in rows}
    assert documented == {
        (name, severity, tables, catches) for (name, severity, catches), tables in checks_by_tables().items()
    }


def checks_by_tables() -> dict[tuple[str, str, str], str]:
    """Tables by (check, severity, what it catches); "all" if every table has it."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for table, suite in SUITES.items():
        for check in suite:
            found.setdefault((check.name, check.severity, check.catches), []).append(table)
    return {key: "all" if len(tables) == len(SUITES) else ", ".join(tables) for key, tables in found.items()}
