"""The dbt project as assets: asset keys of models, dbt's results as materializations and checks, and the statistics between what
they read and what reads them.

What runs is operations.build; no SQL here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets

from pipelines.core.settings import Settings
from pipelines.defs.common import BUILT_DAILY, LEDGER, OWNERS, WRITER_POOL, step, tables_of_rows
from pipelines.operations.build import READS_STATISTICS, Statistics
from pipelines.operations.build_report import BuildReport, NodeResult
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
            source = dbt_resource_props["source_name"]
            return LEDGER if source == "ops" else dg.AssetKey([source, name])
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
        if asset_spec.metadata[UNIQUE_ID] != tested_node(manifest["nodes"][unique_id]):
            return None
        self.tested[unique_id] = asset_spec.key
        return dg.AssetCheckSpec(
            TESTS,
            asset=asset_spec.key,
            description="All dbt tests of the model pass: keys, relationships, ranges, identities.",
            blocking=True,
        )


STATISTICS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "signal_estimates": (
        ("int_hypothesis_outcomes_daily", "int_hypothesis_states_daily", "signal_hypotheses", "dim_threshold"),
        "Effect of every hypothesis with its errors, as judged at the end of each month; months as they were are kept.",
    ),
    "liquidation_kernel_monthly": (
        ("int_liquidation_exposure_daily", "liquidation_classes", "dim_threshold"),
        "Rates of liquidation by class of leverage, fitted for each month on the days before it.",
    ),
    "liquidation_skill_daily": (
        ("int_liquidation_exposure_daily", "liquidation_classes", "dim_threshold"),
        "What the rates of a month expected of its days, what was liquidated, and the skill of 180 days.",
    ),
}
"""Tables of the step of statistics, with the models and seeds they are made from: assets of their own, so that a fit that fails is
seen, and the last one stays in force."""


def build_mart_assets(settings: Settings, manifest: Path, *, observer: Observer) -> list[dg.AssetsDefinition]:
    """All models and seeds in two steps, with dbt's tests as their checks, and the statistics between them.

    A run of a subset builds that subset; a run of checks only tests the existing tables.
    """

    def whole(first: bool) -> BuildReport:  # noqa: FBT001
        from pipelines.operations.build import build_evidence, build_inputs

        return (build_inputs if first else build_evidence)(settings, progress=observer.progress)

    def build(
        context: dg.AssetExecutionContext, translator: Translator, *, first: bool
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from pipelines.operations.build import build_marts, check_marts

        keys = {spec.metadata[UNIQUE_ID]: spec.key for spec in context.assets_def.specs}
        selected = _names(context.selected_asset_keys)
        with step(context, settings, observer):
            if not selected:
                tested = _names(key.asset_key for key in context.selected_asset_check_keys)
                report = check_marts(settings, select=tested, progress=observer.progress)
            elif context.selected_asset_keys == set(keys.values()):
                report = whole(first)
            else:
                report = build_marts(settings, select=selected, progress=observer.progress)
            observer.built(report)
            for node in report.models:
                # A model added while Dagster is running has no asset until the definitions are reloaded.
                model = keys.get(node.unique_id)
                if node.status == "success" and model in context.selected_asset_keys:
                    yield dg.MaterializeResult(asset_key=model, metadata=model_metadata(node))
            for key in sorted(context.selected_asset_check_keys):
                tests = [node for node in report.tests if translator.tested.get(node.unique_id) == key.asset_key]
                if any(node.status != "skipped" for node in tests):
                    yield check_of_tests(key, tests)
            report.raise_faults()

    inputs, evidence = Translator(), Translator()

    @dbt_assets(
        manifest=manifest, name="dbt", exclude=READS_STATISTICS, dagster_dbt_translator=inputs, pool=WRITER_POOL
    )
    def dbt(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        yield from build(context, inputs, first=True)

    @dbt_assets(
        manifest=manifest,
        name="dbt_evidence",
        select=READS_STATISTICS,
        dagster_dbt_translator=evidence,
        pool=WRITER_POOL,
    )
    def dbt_evidence(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        yield from build(context, evidence, first=False)

    group = next(iter(dbt_evidence.group_names_by_key.values()))
    return [dbt, _statistics(settings, dbt, group=group, observer=observer), dbt_evidence]


def _statistics(settings: Settings, dbt: dg.AssetsDefinition, *, group: str, observer: Observer) -> dg.AssetsDefinition:
    @dg.multi_asset(
        name="statistics",
        specs=[
            dg.AssetSpec(
                dg.AssetKey(["stats", table]),
                deps=sorted(key for key in dbt.keys if key.path[-1] in read),
                # Drawn among the marts that read it, so that the picture of the layers has no way back.
                group_name=group,
                owners=OWNERS,
                kinds={"python", "duckdb"},
                description=description,
                freshness_policy=BUILT_DAILY,
            )
            for table, (read, description) in STATISTICS.items()
        ],
        pool=WRITER_POOL,
    )
    def statistics(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        from pipelines.operations.build import fit_statistics

        with step(context, settings, observer):
            fitted = fit_statistics(settings, progress=observer.progress)
            for table, metadata in statistics_metadata(fitted).items():
                yield dg.MaterializeResult(asset_key=dg.AssetKey(["stats", table]), metadata=metadata)

    return statistics


def statistics_metadata(fitted: Statistics) -> dict[str, dict[str, Any]]:
    """What is told of each table of statistics."""
    return {
        "signal_estimates": {
            "dagster/row_count": fitted.estimates.rows,
            "computed": fitted.estimates.computed,
            "seconds": round(fitted.estimates.seconds, 3),
        },
        "liquidation_kernel_monthly": {
            "dagster/row_count": fitted.levels.kernel_rows,
            "months_fitted": fitted.levels.months,
            "seconds": round(fitted.levels.seconds, 3),
        },
        "liquidation_skill_daily": {"dagster/row_count": fitted.levels.skill_rows},
    }


def mart_keys(assets: Iterable[dg.AssetsDefinition]) -> list[dg.AssetKey]:
    """Keys of the marts, which are published."""
    return sorted(key for some in assets for key in some.keys if key.path[0] == "marts")


def _names(keys: Iterable[dg.AssetKey]) -> list[str]:
    """dbt names of models and seeds, which are unique in the project."""
    return sorted({key.path[-1] for key in keys})


def _group(props: Mapping[str, Any]) -> str:
    if props["resource_type"] in {"seed", "source"}:
        return "seeds" if props["resource_type"] == "seed" else str(props["source_name"])
    folder = "/".join(props["fqn"][1:-1])
    group = folder.removeprefix("marts/").partition("/")[0]
    if group not in GROUPS:
        raise dg.DagsterInvalidDefinitionError(
            f"dbt model {props['name']} is in models/{folder}, which is none of {', '.join(GROUPS[1:])}; move it, or "
            f"give its folder a place in GROUPS of pipelines/defs/marts.py."
        )
    return group


def model_metadata(node: NodeResult) -> dict[str, Any]:
    """What is told of a model that was built."""
    metadata: dict[str, Any] = {"seconds": round(node.seconds, 3), UNIQUE_ID: node.unique_id}
    if node.rows is not None:
        metadata["dagster/row_count"] = node.rows
    return metadata


def tested_node(test: Mapping[str, Any]) -> str | None:
    """The model or seed a test belongs to: the one it is attached to, else the first one it reads."""
    assets = [node for node in test["depends_on"]["nodes"] if node.split(".")[0] in {"model", "seed"}]
    return test.get("attached_node") or next(iter(assets), None)


def check_of_tests(key: dg.AssetCheckKey, tests: Sequence[NodeResult]) -> dg.AssetCheckResult:
    """The check of a model whose tests are `tests`."""
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
            **tables_of_rows(
                failures=[
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
