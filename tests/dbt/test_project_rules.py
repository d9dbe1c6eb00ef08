"""What every model of the dbt project promises: documentation, contracts, portable SQL. Read from dbt's manifest."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from .conftest import PROJECT, Dbt

Node = Mapping[str, Any]

NOT_PORTABLE = {
    r"::": "write cast(x as type)",
    r"\bvarchar\b|\btext\b": "the type is string",
    r"\bdistinct on\b": "use qualify row_number()",
    r"\barg_max\b|\barg_min\b": "use max_by or min_by with a filter",
    r"\basof\b": "union both sides and look back",
    r"\bignore nulls\b": "use max_by(...) filter (where x is not null) over (...)",
    r"\bgenerate_series\b|\bunnest\(generate": "use range()",
    r"\bexclude\b|\breplace \(": "list the columns",
    r"\bstrptime\b|\bstrftime\b|\bepoch_ms\b|\bto_timestamp\b|\btime_bucket\b": "see PORTABLE_SQL",
    r"\bunion all by name\b|\bunion by name\b": "union by position",
    r"\bdatediff\b|\bdate_diff\b": "subtract timestamps and extract(day from ...)",
    r"\bstring_agg\b|\blist\(|\blist_": "a dispatched macro",
    r"\bepoch\(": "the dispatched macro seconds_between",
    r"\bisodow\b|\bdayofweek\b": "see PORTABLE_SQL for the ISO weekday",
    r"\bquantile_cont\b|\bapprox_": "percentile_cont, or a dispatched macro in windows",
    r"(?<![\w.])\d+\.\d+(?!e)\b": "a double literal needs its exponent: 0.5e0",
}


@pytest.fixture(scope="module")
def models(dbt: Dbt) -> Mapping[str, Node]:
    dbt.succeed("parse")
    nodes = dbt.artifact("manifest")["nodes"].values()
    return {node["name"]: node for node in nodes if node["resource_type"] == "model"}


@pytest.fixture(scope="module")
def marts(models: Mapping[str, Node]) -> Mapping[str, Node]:
    return {name: node for name, node in models.items() if node["schema"] == "marts"}


def test_every_description_begins_with_the_grain(models: Mapping[str, Node]) -> None:
    silent = [name for name, node in models.items() if not node["description"].startswith("One row per ")]
    assert silent == []


def test_every_column_of_a_mart_is_described_and_typed(marts: Mapping[str, Node]) -> None:
    bare = [
        f"{name}.{column}"
        for name, node in marts.items()
        for column, facts in node["columns"].items()
        if not facts["description"] or not facts["data_type"]
    ]
    assert marts
    assert bare == []


def test_every_mart_has_an_enforced_contract_and_an_owner(marts: Mapping[str, Node], dbt: Dbt) -> None:
    owners = {group["name"]: group["owner"] for group in dbt.artifact("manifest")["groups"].values()}
    loose = [
        name
        for name, node in marts.items()
        if not node["contract"]["enforced"] or node["access"] != "public" or not owners[node["group"]]["name"]
    ]
    assert loose == []


def test_every_required_column_is_also_tested_since_spark_enforces_no_constraint(
    marts: Mapping[str, Node], dbt: Dbt
) -> None:
    tested: dict[str, set[str]] = {}
    for node in dbt.artifact("manifest")["nodes"].values():
        about = node.get("test_metadata")
        if node["resource_type"] != "test" or about is None:
            continue
        kwargs = about["kwargs"]
        columns = {
            "known": kwargs.get("columns"),
            "sound": kwargs.get("known"),
            "not_null": [kwargs.get("column_name")],
        }
        tested.setdefault(node["attached_node"], set()).update(columns.get(about["name"]) or [])
    untested = [
        f"{name}.{column}"
        for name, node in marts.items()
        for column, facts in node["columns"].items()
        if any(constraint["type"] == "not_null" for constraint in facts["constraints"])
        and column not in tested.get(node["unique_id"], set())
    ]
    assert untested == []


def test_layers_are_not_skipped(models: Mapping[str, Node]) -> None:
    """Only staging reads clean tables (incremental models also ask ops what was loaded); marts read no source."""
    faults = []
    for name, node in models.items():
        sources = [parent for parent in node["depends_on"]["nodes"] if parent.startswith("source.")]
        clean = [parent for parent in sources if ".clean." in parent]
        if clean and node["schema"] != "staging":
            faults.append(f"{name} reads {clean}")
        if sources and node["schema"] == "marts":
            faults.append(f"{name} reads {sources}")
    assert faults == []


def test_models_keep_to_the_portable_spellings(models: Mapping[str, Node]) -> None:
    faults = []
    for name, node in models.items():
        code = re.sub(r"--[^\n]*|\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}|'[^']*'", " ", node["raw_code"], flags=re.DOTALL)
        faults += [
            f"{name}: {found[0]!r}: {hint}"
            for bad, hint in NOT_PORTABLE.items()
            for found in [re.search(bad, code)]
            if found
        ]
    assert faults == []


def test_every_incremental_model_says_what_it_reads(models: Mapping[str, Node]) -> None:
    incremental = {name for name, node in models.items() if node["config"]["materialized"] == "incremental"}
    macro = (PROJECT / "macros" / "incremental.sql").read_text(encoding="utf-8")
    declared = set(re.findall(r"^        '(int_\w+)': ", macro, re.MULTILINE))
    assert incremental == declared


@pytest.mark.parametrize("seed", sorted((PROJECT / "seeds").glob("*.csv")), ids=lambda path: path.stem)
def test_seeds_hold_no_apostrophes_and_no_padded_cells(seed: Path) -> None:
    with seed.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert [cell for cell in cells if "'" in cell or cell != cell.strip()] == []


def test_token_addresses_are_whole_and_in_lower_case() -> None:
    with (PROJECT / "seeds" / "token_registry.csv").open(encoding="utf-8", newline="") as file:
        tokens = [row["token"] for row in csv.DictReader(file)]
    assert [token for token in tokens if not re.fullmatch(r"0x[0-9a-f]{40}", token)] == []
