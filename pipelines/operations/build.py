"""Building the marts: prepares dbt's manifest and runs dbt, before and after the statistics, holding the writer lock.

dbt runs in this process, which has the adapter loaded already and whose end also ends dbt; a dbt subprocess would continue to
write after the lock of a killed build was released. No Dagster and no SQL of models here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock

from pipelines.core.errors import ContractError, TransientError
from pipelines.core.files import explained, write_atomically
from pipelines.core.lease import confirm_leases
from pipelines.core.paths import environment, plain_path
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import PACKAGE_ROOT, PROJECT_ROOT, Settings
from pipelines.operations.build_report import STATUS, BuildBrokenError, BuildReport, NodeResult
from pipelines.operations.selection import LEDGER, STATISTICS, Graph, plan

if TYPE_CHECKING:
    import duckdb
    from dbt.contracts.graph.manifest import Manifest
    from dbt.contracts.results import RunResult

    from pipelines.evidence.levels import Fitted
    from pipelines.evidence.scorecard import Estimated
    from pipelines.storage.publish import Edition


SAMPLE_ROWS: Final = 5
"""Sample rows kept of a failed test."""

READS_STATISTICS: Final = "source:stats+"
"""dbt's name for everything that reads a table of schema stats, itself or through others, with the tests of it."""

PLAN: Final = "plan"
"""Input under which a build notes between its parts what is left to build; null: everything."""

BOOKKEEPING: Final = frozenset({"ops.loads", "ops.model_watermarks", "ops.build_inputs"})
"""Tables of the ledger that are not compared by their rows: loads only grows, the others are written by builds."""

QUIET: Final = ("--log-level", "none", "--log-level-file", "info", "--no-use-colors", "--no-use-colors-file")
"""Options that make dbt log to its log file only."""

_TOTALS: Final = {"LogModelResult": "total", "LogSeedResult": "total", "LogTestResult": "num_models"}
"""dbt events at the end of a node, and the field of each with the number of nodes."""

HOLDER: Final = "dbt build"
"""What a build is called where others wait for the writer lock."""

_NOT_SOURCES: Final = {"target", "logs", "dbt_packages"}


@dataclass(frozen=True)
class Statistics:
    """What the step of statistics did: estimates of hypotheses, and the fit and score of liquidation levels."""

    estimates: Estimated
    levels: Fitted


def ensure_manifest(settings: Settings) -> Path:
    """Path of dbt's manifest of the current project; parses the project only if it has changed.

    Safe when several processes call it at once. Raises BuildBrokenError if the project cannot be parsed.
    """
    path = _manifest_path(settings)
    if _is_parsed(path):
        return path
    folder = _parse_dir(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.dbt_target_dir / "parse.lock"):
        if _is_parsed(path):
            return path
        _parse(settings, folder)
        for parsed, kept in (("partial_parse.msgpack", _for_dbt(path)), ("manifest.json", path)):
            write_atomically(kept, (folder / parsed).read_bytes())
        write_atomically(_digests_of(path), _digests(path))
        for stale in settings.dbt_target_dir.glob("manifest-*"):
            if stale.stem != path.stem:
                stale.unlink(missing_ok=True)
    return path


def edition(settings: Settings, manifest: Path) -> Edition:
    """What a snapshot of the marts of `manifest` is of."""
    from pipelines.storage.dictionary import MartDictionary
    from pipelines.storage.publish import Edition

    parsed = json.loads(manifest.read_bytes())
    return Edition(dictionary=MartDictionary.of(parsed), code_version=code_version(settings))


def code_version(settings: Settings) -> str:
    """Version of the package, and a digest of everything that decides what marts contain: code, contract and dbt project."""
    digest = hashlib.sha256(_project_digest(settings.dbt_project_dir).encode())
    code = {path.relative_to(PACKAGE_ROOT): path for path in (PACKAGE_ROOT / "pipelines").rglob("*.py")}
    # By its place in the project, so that a wheel and the checkout it was made from have one version.
    code |= {path.relative_to(PROJECT_ROOT): path for path in settings.schema_dir.glob("*.sql")}
    for name, path in sorted(code.items()):
        digest.update(f"\0{name.as_posix()}\0".encode())
        digest.update(path.read_bytes())
    try:
        package = version("leverhouse")
    except PackageNotFoundError:
        package = "checkout"
    return f"{package}+{digest.hexdigest()[:12]}"


def build_marts(
    settings: Settings, *, select: Sequence[str] = (), only_changed: bool = False, progress: Progress = no_progress
) -> BuildReport:
    """Run dbt build on the models in `select`, or everything: what statistics read, the statistics, what reads them.

    Tests run with their models. Unit tests are excluded: they test the project, not the data. If a model fails that statistics may
    read, the rest is not built. With `only_changed`, models that would read the same as in the last faultless build are left as
    they are. Raises WarehouseBusyError if another process is writing, BuildBrokenError if dbt cannot run at all; failures of
    single nodes are in the report.
    """
    if select:
        with _Build.of(settings, progress) as build:
            return build.run("build", ["--select", *select])
    before = build_inputs(settings, only_changed=only_changed, progress=progress)
    if before.faults:
        return before
    fit_statistics(settings, progress=progress)
    return build_evidence(settings, only_changed=only_changed, progress=progress).after(before)


def build_inputs(settings: Settings, *, only_changed: bool = False, progress: Progress = no_progress) -> BuildReport:
    """Run dbt over everything that reads no statistics, or over what of it has changed. Raises as build_marts does.

    An incremental model whose SQL, macros, thresholds or seeds have changed is built whole.
    """
    with _Build.of(settings, progress) as build:
        return build.inputs(only_changed=only_changed)


def build_evidence(settings: Settings, *, only_changed: bool = False, progress: Progress = no_progress) -> BuildReport:
    """Run dbt over what reads statistics, as they are, or over what of it has changed. Raises as build_marts does."""
    with _Build.of(settings, progress) as build:
        return build.evidence(only_changed=only_changed)


def forget_builds(settings: Settings) -> None:
    """Have the next build build everything."""
    from pipelines.storage.build_inputs import forget_notes
    from pipelines.storage.warehouse import writer

    with writer(settings, what="forget builds") as con:
        forget_notes(con)


def fit_statistics(settings: Settings, *, progress: Progress = no_progress) -> Statistics:
    """Bring the tables of schema stats up to date from the marts as they are, each in a transaction of its own.

    A step that is killed or fails leaves the last fit in force. Raises WarehouseBusyError while another process writes.
    """
    # Its linear algebra is limited below, which reaches only libraries that are loaded by then.
    import numpy as np  # noqa: F401
    from threadpoolctl import threadpool_limits

    from pipelines.evidence.levels import write_levels
    from pipelines.evidence.scorecard import write_estimates
    from pipelines.storage.warehouse import writer

    # The matrices are small: a second thread of the linear algebra doubles the processor time and saves none by the clock.
    with writer(settings, what="statistics") as con, threadpool_limits(limits=1):
        return Statistics(
            estimates=write_estimates(con, progress=progress), levels=write_levels(con, progress=progress)
        )


def check_marts(settings: Settings, *, select: Sequence[str], progress: Progress = no_progress) -> BuildReport:
    """Run the dbt tests of the models in `select` on the existing tables. Raises as build_marts does."""
    with _Build.of(settings, progress) as build:
        return build.run("test", ["--select", *select])


@dataclass(frozen=True)
class _Build:
    """One hold of the writer lock, in which dbt runs from one manifest, and what builds note in ops.build_inputs.

    A note is taken away before the first model is written and is complete after the last test: whatever ends a build in between
    has the next one build everything. What was loaded between its two parts has other marks than the note, and is built next.
    """

    settings: Settings
    manifest: Manifest
    progress: Progress

    @classmethod
    @contextmanager
    def of(cls, settings: Settings, progress: Progress) -> Iterator[_Build]:
        from pipelines.storage.warehouse import writer, writer_lock

        path = ensure_manifest(settings)
        # dbt reads the tables of clean and ops, which a new warehouse does not have yet.
        with writer(settings, what="prepare dbt"):
            pass
        with writer_lock(settings, what=HOLDER):
            yield cls(settings, load_parsed(path), progress)

    def run(self, command: str, nodes: Sequence[str]) -> BuildReport:
        """Build or test what was chosen by hand; what else would have to be built is then no longer known."""
        from pipelines.storage.build_inputs import forget_notes

        if command == "build":
            with self._database() as con:
                forget_notes(con)
        return self._dbt(command, nodes)

    def inputs(self, *, only_changed: bool) -> BuildReport:
        from pipelines.storage.build_inputs import (
            content_marks,
            existing_relations,
            forget_notes,
            read_notes,
            write_notes,
        )

        graph = Graph.of(self.manifest)
        with self._database() as con:
            before, settled, sources = read_notes(con), self._settled(graph), self._sources(con, graph)
            is_known = before.is_complete and before.marks.items() >= settled.items()
            is_known &= graph.relations() <= existing_relations(con)
            forget_notes(con)
        if only_changed and is_known:
            report, left = self._changed(graph, before.marks, sources)
        else:
            report, left = self._everything(), None
        if not report.faults:
            statistics = {name: mark for name, mark in before.marks.items() if name in graph.sources(STATISTICS)}
            with self._database() as con:
                rows = content_marks(con, self._ledger_tables(graph))
                marks = {**statistics, **settled, **sources, **rows, PLAN: json.dumps(left)}
                write_notes(con, marks, datetime.now(tz=UTC).replace(tzinfo=None), complete=False)
        return report

    def evidence(self, *, only_changed: bool) -> BuildReport:
        from pipelines.storage.build_inputs import content_marks, read_notes, write_notes

        graph = Graph.of(self.manifest)
        statistics = graph.sources(STATISTICS)
        with self._database() as con:
            before, marks = read_notes(con), content_marks(con, statistics.values())
        now = {source: marks[name] for source, name in statistics.items() if name in marks}
        left = None if before.is_complete else json.loads(before.marks.get(PLAN, "null"))
        if only_changed and left is not None:
            changed = graph.downstream(source for source in statistics if before.marks.get(source) != now.get(source))
            nodes = set(left["models"]) | changed | (graph.tests_of(left["built"]) & graph.tests_of(graph.evidence()))
            report = self._selected(graph, nodes)
        else:
            report = self._dbt("build", ["--select", READS_STATISTICS])
        if not report.faults and PLAN in before.marks:
            noted = {name: mark for name, mark in before.marks.items() if name != PLAN} | now
            with self._database() as con:
                write_notes(con, noted, datetime.now(tz=UTC).replace(tzinfo=None), complete=True)
        return report

    def _everything(self) -> BuildReport:
        from pipelines.operations.model_versions import drop_outdated_models, record_sql_versions, sql_versions

        versions = sql_versions(self.manifest, self.settings.dbt_project_dir)
        for model in drop_outdated_models(self.settings, versions):
            self.progress(f"{model} is built whole: its SQL or a seed has changed", 0, 0)
        report = self._dbt("build", ["--exclude", READS_STATISTICS])
        built = {node.name for node in report.nodes if node.kind == "model" and node.status in {"success", "warn"}}
        record_sql_versions(self.settings, {name: x for name, x in versions.items() if name.split(".")[1] in built})
        return report

    def _changed(
        self, graph: Graph, before: Mapping[str, str], sources: Mapping[str, str]
    ) -> tuple[BuildReport, dict[str, list[str]]]:
        """Build what has changed of the inputs; return also what that leaves to build of the evidence."""
        from pipelines.storage.build_inputs import content_marks

        evidence = graph.evidence()
        planned = plan(graph, before, sources)
        first = planned.first - evidence
        # Without tests: some compare the ledger with models that are built below.
        report = self._selected(graph, first, excluded=("--exclude-resource-type", "test"))
        if report.faults:
            return report, {}
        with self._database() as con:
            rows = content_marks(con, {graph.relation(node) for node in first if graph.is_table(node)})
        differing = {node for node in first if rows.get(graph.relation(node)) != before.get(graph.relation(node))}
        second = planned.second(graph, (node for node in differing if graph.is_table(node)))
        tests = graph.tests_of(first | second) - graph.tests_of(evidence)
        report = self._selected(graph, (second - evidence) | tests, excluded=("--exclude", READS_STATISTICS)).after(
            report
        )
        ledger = planned.first & evidence
        left = (second | ledger | graph.downstream(ledger)) & evidence
        return report, {"models": sorted(left), "built": sorted(first | second)}

    def _selected(self, graph: Graph, nodes: Collection[str], *, excluded: Sequence[str] = ()) -> BuildReport:
        if not nodes:
            return BuildReport(nodes=(), seconds=0.0)
        return self._dbt("build", ["--select", *graph.names(nodes), *excluded])

    def _settled(self, graph: Graph) -> dict[str, str]:
        """The marks of what a partial build cannot follow: if one differs, everything is built."""
        versions = " ".join(version(name) for name in ("dbt-core", "dbt-duckdb", "duckdb"))
        today = {"clock": f"{datetime.now(tz=UTC):%Y-%m-%d}"} if graph.reads_clock() else {}
        return {"code": f"{code_version(self.settings)} {versions}", **today}

    def _sources(self, con: duckdb.DuckDBPyConnection, graph: Graph) -> dict[str, str]:
        """The marks of the clean tables and of the ledger, where a model reads them."""
        from pipelines.storage.build_inputs import content_marks, ledger_mark, loaded_marks

        read = {source for source, readers in graph.readers.items() if readers}
        clean = {name: source for source, name in graph.sources("clean").items() if source in read}
        ledger = {name: source for source, name in graph.sources(LEDGER).items() if source in read}
        marks = loaded_marks(con, [name.partition(".")[2] for name in clean])
        content = content_marks(con, [name for name in ledger if name not in BOOKKEEPING])
        return {
            **{source: marks[name.partition(".")[2]] for name, source in clean.items()},
            **{ledger[name]: mark for name, mark in content.items()},
            **{source: ledger_mark(con) for name, source in ledger.items() if name == "ops.loads"},
        }

    def _ledger_tables(self, graph: Graph) -> set[str]:
        readers = graph.ledger_readers(graph.sources(LEDGER))
        return {graph.relation(node) for node in readers if graph.is_table(node)}

    @contextmanager
    def _database(self) -> Iterator[duckdb.DuckDBPyConnection]:
        from pipelines.storage.database import open_database

        con = open_database(self.settings)
        try:
            yield con
        finally:
            con.close()

    def _dbt(self, command: str, nodes: Sequence[str]) -> BuildReport:
        started = time.monotonic()
        arguments = [
            # Nobody reads the artifacts of a run, and writing them takes longer than the models of statistics.
            "--no-write-json",
            command,
            "--exclude-resource-type",
            "unit_test",
            *_folders(self.settings, self.settings.dbt_target_dir),
            *nodes,
        ]
        results = _invoke(self.settings, arguments, manifest=self.manifest, progress=self.progress)
        return BuildReport(nodes=_describe(self.settings, results), seconds=time.monotonic() - started)


def _parse(settings: Settings, target: Path) -> None:
    """Parse the project in a subprocess, so that loading the definitions does not import dbt."""
    loud = [*QUIET, "--log-level", "error"]
    command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", *loud, "parse", *_folders(settings, target)]
    done = subprocess.run(
        command, env={**os.environ, **_variables(settings)}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        text = " ".join((done.stdout + done.stderr).split())[-2000:]
        raise BuildBrokenError(f"dbt parse: {text} Details: {settings.dbt_target_dir / 'logs' / 'dbt.log'}")


def _describe(settings: Settings, results: Sequence[RunResult]) -> tuple[NodeResult, ...]:
    """Results as plain values, with row counts of tables and samples of failed tests."""
    from pipelines.storage.database import open_database
    from pipelines.storage.status import count_rows, sample_query

    con = open_database(settings)
    try:
        built = [r for r in results if STATUS[str(r.status)] in {"success", "warn"} and _is_table(r.node)]
        rows = count_rows(con, [(r.node.schema, r.node.alias) for r in built])
        described = []
        for result in results:
            node = result.node
            status = STATUS[str(result.status)]
            failed_test = node.resource_type == "test" and status in {"fail", "warn"}
            described.append(
                NodeResult(
                    unique_id=node.unique_id,
                    name=node.name,
                    kind=str(node.resource_type),
                    status=status,
                    seconds=result.execution_time,
                    message=" ".join((result.message or "").split()),
                    rows=rows.get((node.schema, node.alias)) if node.resource_type in {"model", "seed"} else None,
                    failures=result.failures,
                    sample=sample_query(con, str(node.compiled_code), SAMPLE_ROWS) if failed_test else (),
                )
            )
    finally:
        con.close()
    return tuple(described)


def _is_table(node: Any) -> bool:
    return node.resource_type in {"model", "seed"} and node.config.materialized not in {"view", "ephemeral"}


def load_parsed(path: Path) -> Manifest:
    """The project whose manifest is at `path`, as dbt's own object.

    dbt takes it as it is, where its partial parse would compare every file again and parse everything for another
    database file, which no model depends on.
    """
    from dbt.contracts.graph.manifest import Manifest
    from dbt.parser.manifest import extended_mashumuro_decoder

    manifest: Manifest = Manifest.from_msgpack(_for_dbt(path).read_bytes(), decoder=extended_mashumuro_decoder)
    manifest.build_flat_graph()
    return manifest


def _invoke(
    settings: Settings, arguments: list[str], *, manifest: Manifest, progress: Progress | None = None
) -> Sequence[RunResult]:
    """Run one dbt command in this process and return the results of its nodes. Closes all connections."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.adapters.factory import reset_adapters
    from dbt.cli.main import dbtRunner

    def report_progress(event: Any) -> None:
        if event.info.name not in _TOTALS:
            return
        confirm_leases()
        if progress is not None:
            progress(event.data.node_info.node_name, event.data.index, getattr(event.data, _TOTALS[event.info.name]))

    with environment(**_variables(settings)):
        try:
            outcome = dbtRunner(manifest, callbacks=[report_progress]).invoke([*QUIET, *arguments])
        finally:
            reset_adapters()
            DuckDBConnectionManager.close_all_connections()
            _close_log()
    if outcome.exception is not None:
        text = " ".join(str(outcome.exception).split())
        if "Could not set lock on file" in text:
            raise TransientError(
                f"dbt: {text}. A program other than leverhouse has {settings.database} open; close it."
            )
        fault = explained(outcome.exception, home=settings.root)
        if fault is not None:
            raise fault from outcome.exception
        raise BuildBrokenError(f"dbt {arguments[0]}: {text}. Details: {settings.dbt_target_dir / 'logs' / 'dbt.log'}")
    results = getattr(outcome.result, "results", ())
    if not outcome.success and not results:
        raise BuildBrokenError(f"dbt {arguments[0]} failed. Details: {settings.dbt_target_dir / 'logs' / 'dbt.log'}")
    return tuple(results)


def _close_log() -> None:
    """Close dbt's log file: the next command of this process would open its own and leave this one to the garbage collector."""
    for handler in logging.getLogger("file_log").handlers:
        handler.close()


def _variables(settings: Settings) -> dict[str, str]:
    return {
        "LEVERHOUSE_DATABASE": str(plain_path(settings.root) / settings.database.name),
        "LEVERHOUSE_BUILD_MEMORY": settings.build_memory,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }


def _folders(settings: Settings, target: Path) -> list[str]:
    project = str(settings.dbt_project_dir)
    log = str(settings.dbt_target_dir / "logs")
    return ["--project-dir", project, "--profiles-dir", project, "--target-path", str(target), "--log-path", log]


def _parse_dir(settings: Settings) -> Path:
    """Artifacts of parsing, separate from those of building, so that neither reads partial files of the other."""
    return settings.dbt_target_dir / "parse"


def _manifest_path(settings: Settings) -> Path:
    # A manifest names the folder of its project, where dbt looks for the seeds: a home may be used by another checkout.
    place = hashlib.sha256(str(settings.dbt_project_dir).encode()).hexdigest()[:8]
    return settings.dbt_target_dir / f"manifest-{_project_digest(settings.dbt_project_dir)}-{place}.json"


def _for_dbt(path: Path) -> Path:
    """The manifest in the form that dbt loads, kept beside the one for readers."""
    return path.with_suffix(".msgpack")


def _digests_of(path: Path) -> Path:
    """Where the digests of both forms of a manifest are kept; written last."""
    return path.with_suffix(".sha256")


def _digests(path: Path) -> bytes:
    return "".join(f"{hashlib.sha256(form.read_bytes()).hexdigest()}\n" for form in (path, _for_dbt(path))).encode()


def _is_parsed(path: Path) -> bool:
    """Whether the manifest is there as it was written; one that was cut short or altered is parsed anew."""
    try:
        return _digests_of(path).read_bytes() == _digests(path)
    except FileNotFoundError:
        return False


def _project_digest(project: Path) -> str:
    """Digest of everything the manifest depends on: the files of the project and the versions of dbt."""
    if not (project / "dbt_project.yml").exists():
        raise ContractError(f"no dbt project in {project}; the checkout or the installed package is incomplete.")
    digest = hashlib.sha256(f"{version('dbt-core')} {version('dbt-duckdb')}".encode())
    for folder, names, files in os.walk(project):
        names[:] = sorted(name for name in names if name not in _NOT_SOURCES and not name.startswith("."))
        for file in sorted(files):
            path = Path(folder) / file
            digest.update(f"\0{path.relative_to(project).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:20]
