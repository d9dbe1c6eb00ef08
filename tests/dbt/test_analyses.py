"""The example queries: dbt compiles them to what readers run, and they stand on the columns that the marts promise.

Rows and speed are asked of the published file of the recorded history, in tests/recorded/history/test_full_run.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.core.errors import ContractError
from pipelines.core.settings import PROJECT_ROOT
from pipelines.operations.examples import load_examples

from .dbt_fixture import PROJECT, Dbt

EXAMPLES = load_examples(PROJECT)


@pytest.fixture(scope="module")
def manifest(dbt: Dbt) -> Mapping[str, Any]:
    dbt.succeed("compile", "--select", "path:analyses")
    return dbt.manifest()


@pytest.fixture(scope="module")
def promised(manifest: Mapping[str, Any]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Empty tables with the columns of the contracts."""
    with duckdb.connect() as con:
        con.execute("create schema marts")
        for node in manifest["nodes"].values():
            if node["resource_type"] == "model" and node["schema"] == "marts":
                columns = ", ".join(f"{name} {facts['data_type']}" for name, facts in node["columns"].items())
                con.execute(f"create table marts.{node['name']} ({columns})")
        yield con


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_asks_a_question_and_says_unit_and_trust(name: str) -> None:
    example = EXAMPLES[name]
    assert "?" in example.question
    assert example.unit.startswith("one row per ")
    assert len(example.trust) > 40, "say what the answer rests on and where it misleads"


@pytest.mark.parametrize("name", EXAMPLES)
def test_dbt_compiles_an_example_to_what_readers_run(name: str, dbt: Dbt, manifest: Mapping[str, Any]) -> None:
    node = manifest["nodes"][f"analysis.leverhouse.{name}"]
    compiled = (dbt.target / "compiled" / "leverhouse" / node["original_file_path"]).read_text(encoding="utf-8")
    plain = compiled.replace(f'"{dbt.database.stem}"."marts".', "marts.").replace('"', "")
    assert plain.endswith(EXAMPLES[name].query.rstrip())


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_reads_marts_only_and_only_columns_they_promise(
    name: str, promised: duckdb.DuckDBPyConnection
) -> None:
    assert promised.execute(EXAMPLES[name].query).description


KNOWN = re.compile(r"entry\.trade_date|known_date|microsecond as date")
"""What such a day may be counted from: the first close at which the row was known."""


def outcomes_from_the_day(query: str) -> list[str]:
    """Lines that look for a later day, counted from the day a row speaks of rather than from when it was known."""
    return [
        line.strip()
        for line in query.splitlines()
        if ("lead(" in line or re.search(r"trade_date \+ ", line) or re.search(r"\+ \d+ = \w+\.trade_date", line))
        and not KNOWN.search(line)
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_outcomes_are_counted_from_when_a_row_was_known(name: str) -> None:
    assert outcomes_from_the_day(EXAMPLES[name].query) == []


@pytest.mark.parametrize(
    "line",
    [
        "lead(close_usd, 7) over (partition by asset order by trade_date) / close_usd - 1 as return_7d",
        "on entries.asset = later.asset and later.trade_date = entries.trade_date + 7",
        "on scored.asset = next_day.asset and scored.trade_date + 1 = next_day.trade_date",
        "and later.trade_date between days.trade_date + 1 and days.trade_date + 5",
    ],
)
def test_a_query_that_measures_from_a_close_of_the_day_is_found(line: str) -> None:
    assert outcomes_from_the_day(line) == [line]


QUESTIONS = PROJECT_ROOT / "docs" / "questions.md"


def test_every_question_of_analysts_has_its_example() -> None:
    named = re.findall(r"^\| \d+ \| .+ \| `(\w+)` \|$", QUESTIONS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(named) == 26
    assert set(named) <= EXAMPLES.keys()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("select 1\n", "Question:"),
        (
            "-- Question: how?\n-- Unit: one row\n-- Trust: none\nselect * from {{ source('ops', 'loads') }}\n",
            "no dbt function but ref",
        ),
    ],
)
def test_an_example_that_nobody_could_read_or_run_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "analyses").mkdir()
    (tmp_path / "analyses" / "one.sql").write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match=fault):
        load_examples(tmp_path)
