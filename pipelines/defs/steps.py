"""The jobs `load` and `build`, whose runs report what they changed: a materialization for each table that was written, and the
result of each check that was made.

Jobs of assets say of every asset that it is planned, what comes in and what goes out, and Dagster looks up the versions of all it
reads: 771 events and 5,000 connections for a build in which one table had changed. The assets are there for what somebody picks in
the UI; these jobs are what schedules, sensors and commands run. operations.load and operations.build do the work.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg

from pipelines.contract.ddl import Contract
from pipelines.core.files import write_atomically
from pipelines.core.settings import Settings
from pipelines.defs.checks import checks_of_build
from pipelines.defs.clean import checks_of, ledger_metadata, table_load_metadata
from pipelines.defs.common import LEDGER, WRITER_POOL, clean_key, step
from pipelines.defs.jobs import BUILD, LOAD
from pipelines.defs.marts import TESTS, check_of_tests, model_metadata, statistics_metadata, tested_node
from pipelines.defs.publish import PUBLISHED, REPORT, publication_metadata, report_metadata
from pipelines.extract.landing import utc_now
from pipelines.operations.build_report import BuildReport
from pipelines.operations.observer import Observer

CHECKS_FILE: Final = "checks_of_clean.json"
"""In dagster_home: what the checks of clean tables said when they were reported last, since only changes are reported."""


def load_job(settings: Settings, contract: Contract, *, observer: Observer) -> dg.JobDefinition:
    """The job that loads everything pending."""

    @dg.op(name="load_pending", pool=WRITER_POOL, description="Loads pending landings into the clean tables.")
    def load_pending(context: dg.OpExecutionContext) -> None:
        from pipelines.operations import load
        from pipelines.operations.current import CLEAN, note_built
        from pipelines.operations.diagnostics import inspect_clean

        with step(context, settings, observer):
            outcome = load.load_pending(settings, progress=observer.progress)
            observer.loaded(outcome)
            states, ledger = inspect_clean(settings)
            touched = {loaded.table for report in outcome.reports for loaded in report.tables}
            for name in sorted(touched):
                metadata = table_load_metadata(name, outcome, states[name])
                context.log_event(dg.AssetMaterialization(clean_key(name), metadata=metadata))
            checks = [check for name in contract.clean for check in checks_of(states[name])]
            _report_changed(context, settings, checks, touched={clean_key(name) for name in touched})
            context.log_event(dg.AssetMaterialization(LEDGER, metadata=ledger_metadata(outcome, ledger)))
            outcome.raise_failures()
            note_built(settings, CLEAN, utc_now())

    @dg.job(name=LOAD, description="Loads pending landings into the clean tables.")
    def load_landings() -> None:
        load_pending()

    return load_landings


def build_job(
    settings: Settings, marts: Collection[dg.AssetKey], manifest: Path, *, observer: Observer
) -> dg.JobDefinition:
    """The job that builds what has changed, publishes it and draws the report."""

    @dg.op(
        name="build_inputs",
        pool=WRITER_POOL,
        description="Runs dbt, with its blocking tests, over what has changed of what statistics read.",
    )
    def build_inputs(context: dg.OpExecutionContext) -> None:
        from pipelines.operations import build

        with step(context, settings, observer):
            _tell(
                context, manifest, build.build_inputs(settings, only_changed=True, progress=observer.progress), observer
            )

    @dg.op(
        name="fit_statistics",
        pool=WRITER_POOL,
        ins={"inputs": dg.In(dg.Nothing)},
        description="Brings the tables of statistics up to date.",
    )
    def fit_statistics(context: dg.OpExecutionContext) -> None:
        from pipelines.operations import build

        with step(context, settings, observer):
            fitted = build.fit_statistics(settings, progress=observer.progress)
            for table, metadata in statistics_metadata(fitted).items():
                context.log_event(dg.AssetMaterialization(dg.AssetKey(["stats", table]), metadata=metadata))

    @dg.op(
        name="build_evidence",
        pool=WRITER_POOL,
        ins={"statistics": dg.In(dg.Nothing)},
        description="Runs dbt, with its blocking tests, over what has changed of what reads statistics.",
    )
    def build_evidence(context: dg.OpExecutionContext) -> None:
        from pipelines.operations import build
        from pipelines.operations.current import MARTS, note_built

        with step(context, settings, observer):
            _tell(
                context,
                manifest,
                build.build_evidence(settings, only_changed=True, progress=observer.progress),
                observer,
            )
            note_built(settings, MARTS, utc_now())

    @dg.op(
        name="publish_snapshot",
        pool=WRITER_POOL,
        ins={"evidence": dg.In(dg.Nothing)},
        description="Publishes the snapshot that readers open.",
    )
    def publish_snapshot(context: dg.OpExecutionContext) -> None:
        with step(context, settings, observer):
            metadata = publication_metadata(settings, manifest, observer)
            context.log_event(dg.AssetMaterialization(PUBLISHED, metadata=metadata))

    @dg.op(
        name="write_pages",
        ins={"snapshot": dg.In(dg.Nothing)},
        description="Draws the report of the published snapshot. Its failure leaves the snapshot in place.",
    )
    def write_pages(context: dg.OpExecutionContext) -> None:
        with step(context, settings, observer):
            context.log_event(dg.AssetMaterialization(REPORT, metadata=report_metadata(settings, observer)))

    @dg.op(
        name="check_rows",
        pool=WRITER_POOL,
        ins={"evidence": dg.In(dg.Nothing)},
        description="How recent and how complete the rows of the marts are, and what the evidence says of itself.",
    )
    def check_rows(context: dg.OpExecutionContext) -> None:
        with step(context, settings, observer):
            for check in checks_of_build(settings, marts):
                _report(context, check)

    @dg.job(
        name=BUILD,
        description="Runs dbt with its blocking tests, before and after the statistics, over what has changed; then publishes the "
        "snapshot.",
    )
    def build_marts() -> None:
        built = build_evidence(statistics=fit_statistics(inputs=build_inputs()))
        check_rows(evidence=built)
        write_pages(snapshot=publish_snapshot(evidence=built))

    return build_marts


def _tell(context: dg.OpExecutionContext, manifest: Path, report: BuildReport, observer: Observer) -> None:
    """Report the models that were built and the tests that ran; raise what failed."""
    observer.built(report)
    nodes = json.loads(manifest.read_bytes())["nodes"] if report.nodes else {}
    keys = {name: dg.AssetKey([node["schema"], node["name"]]) for name, node in nodes.items()}
    for node in report.models:
        if node.status == "success" and node.unique_id in keys:
            context.log_event(dg.AssetMaterialization(keys[node.unique_id], metadata=model_metadata(node)))
    tests: dict[dg.AssetKey, list[Any]] = {}
    for node in report.tests:
        model = tested_node(nodes[node.unique_id]) if node.unique_id in nodes else None
        if model in keys:
            tests.setdefault(keys[model], []).append(node)
    for key, found in sorted(tests.items()):
        if any(node.status != "skipped" for node in found):
            _report(context, check_of_tests(dg.AssetCheckKey(key, TESTS), found))
    report.raise_faults()


def _report(context: dg.OpExecutionContext, check: dg.AssetCheckResult) -> None:
    """Report a check outside of the run: one event, where a check of a step is two and a row that waits for it."""
    if check.asset_key is None or check.check_name is None:
        raise dg.DagsterInvariantViolationError("a check that is reported names its asset and itself")
    context.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=check.asset_key,
            check_name=check.check_name,
            passed=check.passed,
            severity=check.severity,
            metadata=check.metadata,
        )
    )


def _report_changed(
    context: dg.OpExecutionContext,
    settings: Settings,
    checks: Sequence[dg.AssetCheckResult],
    *,
    touched: Collection[dg.AssetKey],
) -> None:
    """Report the checks of tables that were touched, and those that say something else than before."""
    path = settings.dagster_home / CHECKS_FILE
    known = _known(path)
    said = {name: check.passed for name, check in _named(checks)}
    for name, check in _named(checks):
        if check.asset_key in touched or known.get(name) is not check.passed:
            _report(context, check)
    if said != known:
        write_atomically(path, json.dumps(said, indent=1, sort_keys=True).encode())


def _named(checks: Iterable[dg.AssetCheckResult]) -> Iterator[tuple[str, dg.AssetCheckResult]]:
    for check in checks:
        if check.asset_key is not None:
            yield f"{check.asset_key.to_user_string()} {check.check_name}", check


def _known(path: Path) -> Mapping[str, bool]:
    """What was reported last; a damaged file means that all is reported again."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
