"""The dbt project as assets: asset keys of models, dbt's results as materializations and checks.

operations.build.build_marts runs dbt; no SQL here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets

from pipelines.core.settings import Settings
from pipelines.defs.common import BUILT_DAILY, LEDGER, OWNERS, WRITER_POOL, clean_key, step, table_metadata
from pipelines.operations.build import NodeResult
from pipelines.operations.observer import Observer

MART_GROUPS: Final = ("facts", "reference", "operations", "analysis")
"""Folders of models/marts, each a group."""

GROUPS: Final = ("seeds", "staging", "intermediate", *MART_GROUPS)
"""Groups of everything dbt builds, in the order data takes."""

UNIQUE_ID: Final = "dagster_dbt/unique_id"
"""Metadata key under which dagster_dbt stores dbt's unique id of a model or test in its spec."""


TESTS: Final = "dbt_tests"
"""The single check of a model. Every check costs two events of 25 ms and more in Dagster's log: with a check per test the
log of a build of 325 tests took 20 s of CPU time, with a check per model 6 s."""


class Translator(DagsterDbtTranslator):
    """A model's or seed's key is its schema and name, its group its folder; sources are the clean tables and the ledger."""

    def __init__(self) -> None:
        # All tables of ops map to the single asset ledger.
        super().__init__(settings=DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))
        self.tested: dict[str, dg.AssetKey] = {}
        """The asset of a test, by dbt's unique id of the test."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        name = dbt_resource_props["name"]
        if dbt_resource_props["resource_type"] == "source":
            return clean_key(name) if dbt_resource_props["source_name"] == "clean" else LEDGER
        return dg.AssetKey([dbt_resource_props["schema"], name])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return _group(dbt_resource_props)

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        return OWNERS

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: Any) -> dg.AssetSpec:
        spec: dg.AssetSpec = super().get_asset_spec(manifest, unique_id, project)
        return spec.replace_attributes(freshness_policy=BUILT_DAILY) if spec.group_name in MART_GROUPS else spec

    def get_asset_check_spec(
        self, asset_spec: dg.AssetSpec, manifest: Mapping[str, Any], unique_id: str, project: Any
    ) -> dg.AssetCheckSpec | None:
        if asset_spec.metadata[UNIQUE_ID] != _tested_node(manifest["nodes"][unique_id]):
            return None
        self.tested[unique_id] = asset_spec.key
        return dg.AssetCheckSpec(
            TESTS,
            asset=asset_spec.key,
            description="All dbt tests of the model pass: keys, relationships, ranges, identities.",
            blocking=True,
        )


def build_mart_assets(settings: Settings, manifest: Path, *, observer: Observer) -> dg.AssetsDefinition:
    """All models and seeds as one step, with dbt's tests as their checks.

    A run of a subset builds that subset; a run of checks only tests the existing tables.
    """

    translator = Translator()

    @dbt_assets(manifest=manifest, name="dbt", dagster_dbt_translator=translator, pool=WRITER_POOL)
    def dbt(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from pipelines.operations.build import build_marts, check_marts

        keys = {spec.metadata[UNIQUE_ID]: spec.key for spec in context.assets_def.specs}
        selected = _names(context.selected_asset_keys)
        with step(context, settings, observer):
            if not selected:
                tested = _names(key.asset_key for key in context.selected_asset_check_keys)
                report = check_marts(settings, select=tested, progress=observer.progress)
            else:
                some = selected if context.selected_asset_keys != set(keys.values()) else []
                report = build_marts(settings, select=some, progress=observer.progress)
            observer.built(report)
            for node in report.models:
                # A model added while Dagster is running has no asset until the definitions are reloaded.
                model = keys.get(node.unique_id)
                if node.status == "success" and model in context.selected_asset_keys:
                    yield dg.MaterializeResult(asset_key=model, metadata=_model_metadata(node))
            for key in sorted(context.selected_asset_check_keys):
                tests = [node for node in report.tests if translator.tested.get(node.unique_id) == key.asset_key]
                if any(node.status != "skipped" for node in tests):
                    yield _check(key, tests)
            report.raise_faults()

    return dbt


def mart_keys(assets: dg.AssetsDefinition) -> list[dg.AssetKey]:
    """Keys of the marts, which are published."""
    return sorted(key for key in assets.keys if key.path[0] == "marts")


def _names(keys: Iterable[dg.AssetKey]) -> list[str]:
    """dbt names of models and seeds, which are unique in the project."""
    return sorted({key.path[-1] for key in keys})


def _group(props: Mapping[str, Any]) -> str:
    if props["resource_type"] in {"seed", "source"}:
        return {"seed": "seeds", "source": "clean"}[props["resource_type"]]
    folder = "/".join(props["fqn"][1:-1])
    group = folder.removeprefix("marts/").partition("/")[0]
    if group not in GROUPS:
        raise dg.DagsterInvalidDefinitionError(
            f"dbt model {props['name']} is in models/{folder}, which is none of {', '.join(GROUPS[1:])}; move it, or "
            f"give its folder a place in GROUPS of pipelines/defs/marts.py."
        )
    return group


def _model_metadata(node: NodeResult) -> dict[str, Any]:
    metadata: dict[str, Any] = {"seconds": round(node.seconds, 3), UNIQUE_ID: node.unique_id}
    if node.rows is not None:
        metadata["dagster/row_count"] = node.rows
    return metadata


def _tested_node(test: Mapping[str, Any]) -> str | None:
    """The model or seed a test belongs to: the one it is attached to, else the first one it reads."""
    assets = [node for node in test["depends_on"]["nodes"] if node.split(".")[0] in {"model", "seed"}]
    return test.get("attached_node") or next(iter(assets), None)


def _check(key: dg.AssetCheckKey, tests: Sequence[NodeResult]) -> dg.AssetCheckResult:
    ran = [node for node in tests if node.status != "skipped"]
    wrong = [node for node in ran if node.status != "success"]
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN
        if all(node.status == "warn" for node in wrong)
        else dg.AssetCheckSeverity.ERROR,
        metadata={
            "tests": len(ran),
            "failed": len(wrong),
            "skipped": len(tests) - len(ran),
            "seconds": round(sum(node.seconds for node in ran), 3),
            "passed": [node.name for node in ran if node.status == "success"],
            "failures": table_metadata(
                [
                    {
                        "test": node.name,
                        "status": node.status,
                        "rows": node.failures,
                        "message": node.message,
                        "sample": [dict(row) for row in node.sample],
                    }
                    for node in wrong
                ]
            ),
        },
    )
