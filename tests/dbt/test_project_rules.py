"""What every model of the dbt project promises: documentation, contracts, portable SQL. Read from dbt's manifest."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scripts import data_dictionary, sql_snapshots
from scripts.data_dictionary import Vocabulary

from .dbt_fixture import PROJECT, Dbt

Node = Mapping[str, Any]
# Unit and additivity by model or seed and column.
Measures = Mapping[tuple[str, str], tuple[str, str]]

NOT_PORTABLE = {
    r"::": "write cast(x as type)",
    r"\bvarchar\b|\btext\b": "the type is string",
    r"\bdistinct on\b": "use qualify row_number()",
    r"\barg_max\b|\barg_min\b": "use max_by or min_by with a filter",
    r"\basof\b": "union both sides and look back",
    r"\bignore nulls\b": "use max_by(...) filter (where x is not null) over (...)",
    r"\bgenerate_series\b|\bunnest\(generate": "use range()",
    r"\bexclude\b|\breplace \(": "list the columns",
    r"\bstrptime\b|\bstrftime\b|\bepoch_ms\b|\bto_timestamp\b|\btime_bucket\b": "see docs/portable_sql.md",
    r"\bunion all by name\b|\bunion by name\b": "union by position",
    r"\bdatediff\b|\bdate_diff\b": "subtract timestamps and extract(day from ...)",
    r"\bstring_agg\b|\blist\(|\blist_": "a dispatched macro",
    r"\bepoch\(": "the dispatched macro seconds_between",
    r"\bisodow\b|\bdayofweek\b": "see docs/portable_sql.md for the ISO weekday",
    r"\bquantile_cont\b|\bapprox_": "percentile_cont, or a dispatched macro in windows",
    r"(?<![\w.])\d+\.\d+(?!e)\b": "a double literal needs its exponent: 0.5e0",
}

PLACES = {
    "staging": 0,
    "intermediate": 1,
    "marts/facts": 2,
    "marts/reference": 2,
    "marts/analysis": 3,
    "marts/operations": 3,
}
"""Folders of models in the order data takes: a model reads its own place and those before it."""


@pytest.fixture(scope="module")
def manifest(dbt: Dbt) -> Mapping[str, Any]:
    return dbt.manifest()


@pytest.fixture(scope="module")
def models(manifest: Mapping[str, Any]) -> Mapping[str, Node]:
    return {node["name"]: node for node in manifest["nodes"].values() if node["resource_type"] == "model"}


@pytest.fixture(scope="module")
def marts(models: Mapping[str, Node]) -> Mapping[str, Node]:
    return {name: node for name, node in models.items() if node["schema"] == "marts"}


@pytest.fixture(scope="module")
def words() -> Vocabulary:
    return data_dictionary.vocabulary(data_dictionary.GLOSSARY.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measures(manifest: Mapping[str, Any], words: Vocabulary) -> Measures:
    return {
        (node["name"], name): data_dictionary.measure_of(facts, words)
        for node in manifest["nodes"].values()
        if node["resource_type"] == "seed" or (node["resource_type"] == "model" and node["schema"] == "marts")
        for name, facts in node["columns"].items()
    }


def test_a_model_is_two_files_and_no_file_gathers_models(
    models: Mapping[str, Node], manifest: Mapping[str, Any]
) -> None:
    """Description, columns, tests and unit tests of a model stand in the yml that has the name of its sql."""
    beside = {name: str(Path(node["original_file_path"]).with_suffix(".yml")) for name, node in models.items()}
    described = {name: str(node["patch_path"]).partition("://")[2] for name, node in models.items()}
    assert described == beside
    units = manifest["unit_tests"].values()
    assert units
    assert [unit["name"] for unit in units if unit["original_file_path"] != beside[unit["model"]]] == []


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


def test_every_column_of_a_mart_and_a_seed_states_a_unit_and_an_additivity_of_the_glossary(
    measures: Measures, words: Vocabulary
) -> None:
    assert len(measures) > 700
    # No word is kept for nothing.
    assert {unit for unit, _ in measures.values()} == set(words.units)
    assert {additivity for _, additivity in measures.values()} == set(words.additivities)


@pytest.mark.parametrize(
    ("meta", "fault"),
    [
        ({"additivity": "flow"}, "unit is None"),
        ({"unit": "dollars", "additivity": "flow"}, "unit is 'dollars'"),
        ({"unit": "usd"}, "additivity is None"),
    ],
)
def test_a_column_without_a_word_of_the_glossary_is_noticed(
    meta: Mapping[str, str], fault: str, words: Vocabulary
) -> None:
    facts = {"name": "oi_usd", "config": {"meta": meta}, "description": "Open interest in US dollars."}
    with pytest.raises(data_dictionary.VocabularyError, match=f"oi_usd: {fault}"):
        data_dictionary.measure_of(facts, words)


def test_units_fit_the_types_of_their_columns(marts: Mapping[str, Node], measures: Measures) -> None:
    of_type = {"string": "text", "boolean": "flag", "date": "date", "timestamp": "timestamp_utc"}
    misfits = []
    for mart, node in marts.items():
        for name, facts in node["columns"].items():
            unit, wanted = measures[mart, name][0], of_type.get(facts["data_type"])
            if unit != wanted if wanted else unit in of_type.values():
                misfits.append(f"{mart}.{name}: {facts['data_type']} in {unit}")
    assert misfits == []


def test_only_amounts_add_up_and_only_names_and_keys_are_states(
    marts: Mapping[str, Node], manifest: Mapping[str, Any], measures: Measures
) -> None:
    amounts = {
        "flow": {"usd", "base_coin", "count", "minutes", "log_ratio"},
        "stock": {"usd", "base_coin", "count", "days"},
    }
    names = {"text", "flag", "date", "timestamp_utc", "ordinal"}
    faults = []
    for mart, node in marts.items():
        key = data_dictionary.key_of(manifest, node["unique_id"])
        for name in node["columns"]:
            unit, additivity = measures[mart, name]
            if unit not in amounts.get(additivity, {unit}):
                faults.append(f"{mart}.{name}: {unit} is no {additivity}")
            if (additivity == "state") != (unit in names or name in key):
                faults.append(f"{mart}.{name}: {unit} as {additivity}")
    assert faults == []


def test_a_name_has_one_unit_in_all_marts(marts: Mapping[str, Node], measures: Measures) -> None:
    units: dict[str, set[str]] = {}
    for (owner, name), (unit, _) in measures.items():
        if owner in marts and unit != "varies":
            units.setdefault(name, set()).add(unit)
    assert {name: found for name, found in units.items() if len(found) > 1} == {}


def test_no_example_sums_what_does_not_add_up(manifest: Mapping[str, Any], measures: Measures) -> None:
    """Flows add up over time; a stock only over the subjects of one day."""
    additivities: dict[str, set[str]] = {}
    for (_, name), (_, additivity) in measures.items():
        additivities.setdefault(name, set()).add(additivity)
    summed = {
        (node["name"], column, "group by trade_date\n" in node["raw_code"])
        for node in manifest["nodes"].values()
        if node["resource_type"] == "analysis"
        for column in re.findall(r"\bsum\((?:\w+\.)?(\w+)\)", node["raw_code"])
        if column in additivities
    }
    assert len(summed) > 10
    assert [
        f"{name} sums {column}"
        for name, column, is_by_day in sorted(summed)
        if additivities[column] != {"flow"} and not (is_by_day and additivities[column] == {"stock"})
    ] == []


def test_every_mart_is_tested_for_rows_that_share_its_key(
    marts: Mapping[str, Node], manifest: Mapping[str, Any]
) -> None:
    """The key is what the description's first sentence counts out, and none of it may be missing."""
    said_otherwise = {"trade_date": "day", "opened_at": "hour", "name": "threshold", "valid_from": "version"}
    faults = []
    for name, node in marts.items():
        key = data_dictionary.key_of(manifest, node["unique_id"])
        grain = node["description"].partition(".")[0].lower()
        faults += [f"{name}: no test of a unique key"] if not key else []
        for column in key:
            constraints = {constraint["type"] for constraint in node["columns"][column]["constraints"]}
            words = [said_otherwise.get(column, ""), *column.split("_")]
            faults += [f"{name}.{column} may be null"] if "not_null" not in constraints else []
            faults += [] if any(w and w in grain for w in words) else [f"{name}.{column} is not in: {grain}"]
    assert faults == []


def test_readers_are_promised_every_mart_and_nothing_else(
    marts: Mapping[str, Node], manifest: Mapping[str, Any]
) -> None:
    exposures = {exposure["name"]: exposure for exposure in manifest["exposures"].values()}
    ids = {node["unique_id"] for node in marts.values()}
    assert set(exposures) == {"bi", "report"}
    assert set(exposures["bi"]["depends_on"]["nodes"]) == ids
    assert set(exposures["report"]["depends_on"]["nodes"]) <= ids


def test_the_data_dictionary_is_that_of_the_models(manifest: Mapping[str, Any], words: Vocabulary) -> None:
    written = data_dictionary.PAGE.read_text(encoding="utf-8")
    assert written == data_dictionary.render(manifest, data_dictionary.thresholds(), words), "run: make docs"


@pytest.mark.parametrize("page", ["glossary.md", "metrics.md"])
def test_names_in_the_pages_about_metrics_are_those_of_the_project(
    page: str, manifest: Mapping[str, Any], words: Vocabulary
) -> None:
    known = {*words.units, *data_dictionary.thresholds()}
    for node in manifest["nodes"].values():
        if node["resource_type"] in {"model", "seed"}:
            known |= {node["name"], *node["columns"]}
        sets = (node.get("test_metadata") or {}).get("kwargs", {}).get("sets", {})
        known |= {str(value) for values in sets.values() for value in values}
    text = (data_dictionary.PAGE.parent / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z][a-z0-9]*(?:_[a-z0-9]+)+)`", text))
    assert named
    assert sorted(named - known) == []


@pytest.fixture(scope="module")
def documented(dbt: Dbt) -> Path:
    """The folder of dbt's artifacts after it wrote its documentation site, for which it compiles everything."""
    dbt.succeed("docs", "generate", "--static", "--empty-catalog")
    return dbt.target


def test_dbt_writes_its_documentation_site(documented: Path) -> None:
    site = (documented / "static_index.html").read_text(encoding="utf-8")
    assert "oi_trends_daily" in site


def test_the_compiled_sql_of_every_mart_is_its_snapshot(documented: Path, manifest: Mapping[str, Any]) -> None:
    compiled, kept = sql_snapshots.snapshots(manifest, documented), sql_snapshots.kept()
    assert compiled
    changed = [name for name in sorted(compiled.keys() | kept.keys()) if compiled.get(name) != kept.get(name)]
    assert changed == [], "the SQL of these marts changed: run make snapshots and review the difference"


def test_every_mart_has_an_enforced_contract_and_an_owner(
    marts: Mapping[str, Node], manifest: Mapping[str, Any]
) -> None:
    owners = {group["name"]: group["owner"] for group in manifest["groups"].values()}
    loose = [
        name
        for name, node in marts.items()
        if not node["contract"]["enforced"] or node["access"] != "public" or not owners[node["group"]]["name"]
    ]
    assert loose == []


def test_every_required_column_is_also_tested_since_spark_enforces_no_constraint(
    marts: Mapping[str, Node], manifest: Mapping[str, Any]
) -> None:
    tested: dict[str, set[str]] = {}
    for node in manifest["nodes"].values():
        about = node.get("test_metadata")
        if node["resource_type"] != "test" or about is None:
            continue
        kwargs = about["kwargs"]
        columns = {
            "not_null_columns": kwargs.get("columns"),
            "row_rules": kwargs.get("not_null"),
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


def folder_of(node: Node) -> str:
    """The folder of `PLACES` a model lies in, or one that would have to be there."""
    folders = Path(node["original_file_path"]).parent.parts[1:]
    return "/".join(folders[: 2 if folders[:1] == ("marts",) else 1])


def faults_of_order(models: Mapping[str, Node]) -> list[str]:
    """Models in a folder without a place, and edges from a later place to an earlier one."""
    by_id = {node["unique_id"]: node for node in models.values()}
    faults = [f"{name} lies in '{folder_of(node)}'" for name, node in models.items() if folder_of(node) not in PLACES]
    if faults:
        return faults
    return [
        f"{name} in {folder_of(node)} reads {by_id[parent]['name']} in {folder_of(by_id[parent])}"
        for name, node in models.items()
        for parent in node["depends_on"]["nodes"]
        if parent in by_id and PLACES[folder_of(by_id[parent])] > PLACES[folder_of(node)]
    ]


def test_data_takes_one_way_through_the_folders(models: Mapping[str, Node]) -> None:
    assert faults_of_order(models) == []
    assert {folder_of(node) for node in models.values()} == set(PLACES)


@pytest.mark.parametrize(
    ("reader", "read", "fault"),
    [
        ("stg_candles", "int_instruments", "stg_candles in staging reads int_instruments in intermediate"),
        (
            "int_open_interest_daily",
            "fct_price_daily",
            "int_open_interest_daily in intermediate reads fct_price_daily in marts/facts",
        ),
        ("int_calendar", "dim_date", "int_calendar in intermediate reads dim_date in marts/reference"),
        (
            "int_tokens",
            "int_oi_by_venue_daily",
            "int_tokens in intermediate reads int_oi_by_venue_daily in marts/analysis",
        ),
        (
            "fct_funding_daily",
            "oi_trends_daily",
            "fct_funding_daily in marts/facts reads oi_trends_daily in marts/analysis",
        ),
        ("dim_venue", "source_freshness", "dim_venue in marts/reference reads source_freshness in marts/operations"),
    ],
)
def test_an_edge_that_runs_back_is_noticed(models: Mapping[str, Node], reader: str, read: str, fault: str) -> None:
    planted = {"nodes": [*models[reader]["depends_on"]["nodes"], models[read]["unique_id"]]}
    assert faults_of_order({**models, reader: {**models[reader], "depends_on": planted}}) == [fault]


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("models/oi_trends_daily.sql", ""),
        ("models/marts/oi_trends_daily.sql", "marts"),
        ("models/marts/trends/oi_trends_daily.sql", "marts/trends"),
        ("models/metrics/oi_trends_daily.sql", "metrics"),
    ],
)
def test_a_folder_without_a_place_is_noticed(models: Mapping[str, Node], path: str, folder: str) -> None:
    moved = {**models, "oi_trends_daily": {**models["oi_trends_daily"], "original_file_path": path}}
    assert faults_of_order(moved) == [f"oi_trends_daily lies in '{folder}'"]


def test_helpers_of_an_analysis_are_private_and_not_published(models: Mapping[str, Node]) -> None:
    """int_ in the name, schema intermediate, and a place in intermediate or below an analysis' helpers: all three or none."""
    faults = []
    for name, node in models.items():
        is_helper = Path(node["original_file_path"]).parent.name == "helpers"
        is_private = name.startswith("int_")
        if is_private != (is_helper or folder_of(node) == "intermediate"):
            faults.append(f"{name} lies in {node['original_file_path']}")
        if is_private != (node["schema"] == "intermediate"):
            faults.append(f"{name} is built in schema {node['schema']}")
        if is_helper and (node["access"], node["group"], folder_of(node)) != ("private", "analysis", "marts/analysis"):
            faults.append(f"{name} is {node['access']} to {node['group']} in {folder_of(node)}")
    assert faults == []


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


def test_models_and_examples_keep_to_the_portable_spellings(manifest: Mapping[str, Any]) -> None:
    faults = []
    for node in manifest["nodes"].values():
        name = node["name"]
        if node["resource_type"] not in {"model", "analysis"}:
            continue
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


def test_token_addresses_are_whole_and_in_lower_case_where_case_means_nothing() -> None:
    with (PROJECT / "seeds" / "token_registry.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["chain"], row["token"]) for row in csv.DictReader(file)]
    address = {"solana": r"[1-9A-HJ-NP-Za-km-z]{32,44}"}
    assert [token for chain, token in rows if not re.fullmatch(address.get(chain, r"0x[0-9a-f]{40}"), token)] == []
