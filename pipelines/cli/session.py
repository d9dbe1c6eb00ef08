"""Runs Dagster jobs inside a command: the same jobs as the scheduler's, recorded in the same instance.

Commands select the jobs; pipelines.defs defines them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from pipelines.cli.screen import Bar, Screen
from pipelines.core.errors import LeverhouseError, PermanentError
from pipelines.core.files import present_fault
from pipelines.core.lease import Leases, hold
from pipelines.core.paths import environment, prepare_home
from pipelines.core.redaction import redact
from pipelines.core.settings import Settings
from pipelines.extract.clock import check_clock
from pipelines.extract.landing import Clock, utc_now
from pipelines.operations.observer import Observer

if TYPE_CHECKING:
    import dagster as dg

    from pipelines.clean.load import LoadReport, TableLoad
    from pipelines.extract.fetch import FetchReport
    from pipelines.extract.landing import Refusal
    from pipelines.operations.build_report import BuildReport
    from pipelines.operations.import_check import ImportReport
    from pipelines.operations.load import LoadOutcome
    from pipelines.operations.rebuild import Comparison
    from pipelines.report.build import Report
    from pipelines.storage.publish import Publication


class UnexpectedError(PermanentError):
    """A step failed with an unexpected error: a bug in leverhouse."""

    exit_code = 70


@dataclass
class Record(Observer):
    """Records the results of the jobs of one command and shows their progress."""

    bar: Bar
    landings: dict[str, tuple[int, int]] = field(default_factory=dict)
    loads: list[tuple[str, TableLoad]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    imports: list[ImportReport] = field(default_factory=list)
    reports: list[LoadReport] = field(default_factory=list)
    failures: dict[str, LeverhouseError] = field(default_factory=dict)
    errors: list[tuple[str, BaseException]] = field(default_factory=list)
    outcome: LoadOutcome | None = None
    build: BuildReport | None = None
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    publication: Publication | None = None
    report: Report | None = None

    def progress(self, what: str, done: int, total: int) -> None:
        self.bar.show(what, done, total)

    def imported(self, dataset: str, report: ImportReport) -> None:
        files = len(report.landed) + len(report.unchanged) + len(report.load.refused)
        self.landings[dataset] = (files, len(report.landed))
        self.imports.append(report)
        self._loaded_source(report.load)
        self.bar.line(f"landed {dataset}: {len(report.landed)} new of {files} files")

    def fetched(self, reports: Sequence[FetchReport]) -> None:
        for report in reports:
            self.landings[report.source] = (
                len(report.landings) + report.unchanged + report.skipped,
                len(report.landings),
            )
            late = f", {report.not_yet_published} not yet published" if report.not_yet_published else ""
            if report.gone:
                first = min(first for first, _ in report.gone.values())
                last = max(last for _, last in report.gone.values())
                late += f", {first} to {last} no longer available at the venue ({len(report.gone)} subjects; not asked again)"
            failed = f", {len(report.failures)} failed" if report.failures else ""
            self.bar.line(
                f"fetched {report.source}: {len(report.landings)} new, {report.unchanged} unchanged, "
                f"{report.skipped} already final{late}{failed}"
            )

    def loaded(self, outcome: LoadOutcome) -> None:
        self.outcome = outcome
        for report in outcome.reports:
            self._loaded_source(report)
        self.failures.update(outcome.failures)
        if not outcome.reports and not outcome.failures:
            self.bar.line("nothing pending: every landing is loaded")

    def _loaded_source(self, report: LoadReport) -> None:
        self.reports.append(report)
        self.loads += [(report.source, load) for load in report.tables]
        self.refused += report.refused
        rows = sum(load.accepted for load in report.tables)
        again = f", {report.reread} of them read again because the parser has changed" if report.reread else ""
        if report.landings:
            self.bar.line(f"loaded {report.source}: {rows:,} rows from {report.landings} files{again}")

    def compared(self, tables: str, comparison: Comparison | None) -> None:
        if comparison is None:
            self.bar.line(f"{tables}: no old tables to compare with")
            return
        self.comparisons[tables] = comparison
        if not comparison.differences:
            self.bar.line(f"{tables}: {comparison.tables} tables, all equal to the old ones")
            return
        pending = f"; {comparison.pending} landings had not been loaded" if comparison.pending else ""
        self.bar.line(f"{tables}: {len(comparison.differences)} differences from the old tables{pending}")
        for line in comparison.differences:
            self.bar.line(f"  {line}")

    def built(self, report: BuildReport) -> None:
        self.build = report.after(self.build)
        self.bar.line(
            f"built {len(report.models)} models, {len(report.tests)} tests, {len(report.faults)} failed, "
            f"in {report.seconds:.0f} s"
        )

    def published(self, publication: Publication) -> None:
        self.publication = publication
        self.bar.line(f"published {publication.tables} tables, {publication.rows:,} rows to {publication.database}")

    def reported(self, report: Report) -> None:
        self.report = report
        self.bar.line(f"drew {report.assets} assets in {report.seconds:.1f} s to {report.index}")

    def failed(self, step: str, error: BaseException) -> None:
        self.errors.append((step, error))
        self.bar.line(f"failed {step}")


@dataclass(frozen=True)
class JobRun:
    """One run of a job; `error` is None if it succeeded."""

    job: str
    run_id: str
    error: LeverhouseError | None

    @property
    def succeeded(self) -> bool:
        return self.error is None


class Session:
    """Definitions and Dagster instance of one warehouse, for the duration of a command."""

    def __init__(
        self, settings: Settings, definitions: dg.Definitions, instance: dg.DagsterInstance, record: Record, log: Path
    ) -> None:
        self.settings = settings
        self.record = record
        self.runs: list[JobRun] = []
        self._definitions = definitions
        self._instance = instance
        self._log = log

    def run(
        self,
        job: str,
        *,
        assets: Sequence[dg.AssetKey] | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> JobRun:
        """Execute a job, or the given assets of it, in this process. A failed run is returned, not raised; an interrupted run
        raises KeyboardInterrupt."""
        before = len(self.record.errors)
        self.record.bar.show(job, 0, 0)
        run_id = str(uuid.uuid4())
        with hold(Leases.of(self.settings), run_id):
            result = self._definitions.resolve_job_def(job).execute_in_process(
                instance=self._instance,
                run_id=run_id,
                run_config=dict(config or {}),
                asset_selection=assets,
                # The user of the command sees the failure; the daemon must not retry it.
                tags={"dagster/max_retries": "0", **(tags or {})},
                raise_on_error=False,
            )
        if _was_interrupted(result):
            raise KeyboardInterrupt
        error = None if result.success else self._error_of(result, self.record.errors[before:])
        run = JobRun(job=job, run_id=result.run_id, error=error)
        self.runs.append(run)
        return run

    def clean_keys(self) -> list[dg.AssetKey]:
        """Keys of all assets the load writes."""
        graph = self._definitions.resolve_asset_graph()
        return sorted(graph.asset_keys_for_group("clean"))

    def raise_errors(self) -> None:
        """Raise the error of the first run that failed, if any."""
        for run in self.runs:
            if run.error is not None:
                raise run.error

    def _error_of(
        self, result: dg.ExecuteInProcessResult, errors: Sequence[tuple[str, BaseException]]
    ) -> LeverhouseError:
        known = [error for _, error in errors if isinstance(error, LeverhouseError)]
        if known:
            return known[0]
        fault = present_fault(self.settings.root)
        if fault is not None:
            return fault
        for event in result.all_events:
            if event.is_step_failure:
                cause = event.step_failure_data.error
                while cause is not None and cause.cause is not None:
                    cause = cause.cause
                text = cause.to_string() if cause is not None else event.message
                self._log_text(text or "")
                reason = " ".join((cause.message if cause is not None else event.message or "").split())
                return UnexpectedError(
                    f"{event.step_key}: {reason}. This is a bug in leverhouse; see {self._log} and run {result.run_id}."
                )
        return UnexpectedError(f"run {result.run_id} failed outside its steps; see {self._log}.")

    def _log_text(self, text: str) -> None:
        with self._log.open("a", encoding="utf-8") as log:
            log.write(redact(text) + "\n")


def _was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a step was interrupted; Dagster reports an interrupt as an error of the step."""
    failures = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    return any(error is not None and error.cls_name == "DagsterExecutionInterruptedError" for error in failures)


@contextmanager
def open_session(
    settings: Settings, screen: Screen, *, mappings: Iterable[Path] = (), clock: Clock = utc_now
) -> Iterator[Session]:
    """Prepare the home, load the Dagster definitions, and mark runs of killed processes as failed.

    `clock` is the clock of the fetch steps; ClockError if it was never set. Inside the block, Dagster and dbt write to
    <dagster_home>/logs/leverhouse.log instead of the terminal.
    """
    check_clock(clock())
    prepare_home(settings)
    log = settings.dagster_home / "logs" / "leverhouse.log"
    variables = {
        "DAGSTER_HOME": str(settings.dagster_home),
        "LEVERHOUSE_HOME": str(settings.root),
        "LEVERHOUSE_MAPPINGS": str(settings.mappings_dir),
    }
    with Bar(screen) as bar, screen.quiet(log), environment(**variables):
        import dagster as dg

        from pipelines.defs.assemble import build_definitions
        from pipelines.defs.runs import fail_orphaned_runs

        record = Record(bar)
        bar.show("loading definitions", 0, 0)
        definitions = build_definitions(settings, observer=record, mappings=tuple(mappings), clock=clock)
        # Without the lock, two concurrent first commands would both create the tables of Dagster's storage.
        with FileLock(settings.dagster_home / "storage.lock"):
            instance = dg.DagsterInstance.get()
            instance.get_runs_count()
            instance.event_log_storage.get_maximum_record_id()
        with instance:
            for run_id in fail_orphaned_runs(instance, settings):
                bar.line(f"run {run_id} of a killed process is marked as failed; its work continues in this run")
            yield Session(settings, definitions, instance, record, log)
