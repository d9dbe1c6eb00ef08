"""The semantic layer sums what may be summed: its measures agree with the additivity that the marts state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dbt_semantic_interfaces.implementations.semantic_manifest import PydanticSemanticManifest
from dbt_semantic_interfaces.validations.semantic_manifest_validator import SemanticManifestValidator

MAY = {"flow": {"sum"}, "stock": {"sum"}, "ratio": {"average", "max", "min"}}
"""How a column may be aggregated, by its additivity."""


@pytest.fixture(scope="module")
def manifest(parsed: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(parsed.read_bytes())
    return found


def measures(manifest: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each measure that is a column of its mart, and the column."""
    for semantic in manifest["semantic_models"].values():
        [mart] = semantic["depends_on"]["nodes"]
        columns = manifest["nodes"][mart]["columns"]
        for measure in semantic["measures"]:
            name = measure["expr"] or measure["name"]
            if name in columns:
                yield measure, columns[name]


def test_a_measure_is_aggregated_as_its_column_may_be(manifest: dict[str, Any]) -> None:
    found = list(measures(manifest))
    assert len(found) >= 8
    for measure, column in found:
        additivity = column["config"]["meta"]["additivity"]
        if measure["agg"] != "count_distinct":
            assert measure["agg"] in MAY[additivity], (measure["name"], additivity)
        over_days = measure["non_additive_dimension"]
        if additivity == "stock":
            assert (over_days["name"], over_days["window_choice"]) == ("trade_date", "max"), measure["name"]


def test_dollars_of_different_measures_are_never_added(manifest: dict[str, Any]) -> None:
    taken = 0
    for metric in manifest["metrics"].values():
        measure = metric["type_params"]["measure"]
        if measure is not None and measure["name"] in ("liquidated_usd", "liquidation_events"):
            [condition] = metric["filter"]["where_filters"]
            assert "__measure') }} = '" in condition["where_sql_template"], metric["name"]
            taken += 1
    assert taken >= 5


def test_every_metric_is_labeled_described_and_reached(manifest: dict[str, Any]) -> None:
    assert all(metric["label"] and metric["description"] for metric in manifest["metrics"].values())
    used = {
        metric["type_params"]["measure"]["name"]
        for metric in manifest["metrics"].values()
        if metric["type_params"]["measure"] is not None
    }
    assert {measure["name"] for model in manifest["semantic_models"].values() for measure in model["measures"]} <= used


def test_the_layer_is_valid_for_metricflow(parsed: Path, manifest: dict[str, Any]) -> None:
    models = [{**model, "node_relation": model["node_relation"]} for model in manifest["semantic_models"].values()]
    layer = PydanticSemanticManifest.parse_obj(
        {
            "semantic_models": models,
            "metrics": list(manifest["metrics"].values()),
            "project_configuration": {
                "time_spines": [],
                "time_spine_table_configurations": [
                    {"location": "marts.dim_date", "column_name": "trade_date", "grain": "day"}
                ],
            },
        }
    )
    results = SemanticManifestValidator[PydanticSemanticManifest]().validate_semantic_manifest(layer)
    assert [issue.message for issue in (*results.errors, *results.future_errors)] == []
