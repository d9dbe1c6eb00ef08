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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from filelock import FileLock

from pipelines.core.errors import ContractError, PermanentError, TransientError
from pipelines.core.files import as_error, explained, fault_in_text, write_atomically
from pipelines.core.lease import confirm_leases
from pipelines.core.paths import environment, plain_path
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import PACKAGE_ROOT, PROJECT_ROOT, Settings
from pipelines.operations.model_versions import drop_outdated_models, record_sql_versions, sql_versions

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest
    from dbt.contracts.results import RunResult

    from pipelines.evidence.levels import Fitted
    from pipelines.evidence.scorecard import Estimated
    from pipelines.storage.publish import Edition

Status = Literal["success", "warn", "fail", "error", "skipped"]


SAMPLE_ROWS: Final = 5
"""Sample rows kept of a failed test."""

READS_STATISTICS: Final = "source:stats+"
"""dbt's name for everything that reads a table of schema stats, itself or through others, with the tests of it."""

QUIET: Final = ("--log-level", "none", "--log-level-file", "info", "--no-use-colors", "--no-use-colors-file")
"""Options that make dbt log to its log file only."""

_TOTALS: Final = {"LogModelResult": "total", "LogSeedResult": "total", "LogTestResult": "num_models"}
"""dbt events at the end of a node, and the field of each with the number of nodes."""

_NOT_SOURCES: Final = {"target", "logs", "dbt_packages"}
_STATUS: Final[Mapping[str, Status]] = {
    "success": "success",
    "pass": "success",
    "warn": "warn",
    "fail": "fail",
    "error": "error",
    "runtime error": "error",
    "skipped": "skipped",
    "partial success": "error",
    "no-op": "success",
}


@dataclass(frozen=True)
class NodeResult:
    """Result of one model, seed or test: `rows` of tables, `failures` and a `sample` of tests."""

    unique_id: str
    name: str
    kind: str
    status: Status
    seconds: float
    message: str
    rows: int | None = None
    failures: int | None = None
    sample: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Statistics:
    """What the step of statistics did: estimates of hypotheses, and the fit and score of liquidation levels."""

    estimates: Estimated
    levels: Fitted


@dataclass(frozen=True)
class BuildReport:
    """Results in the order in which the nodes finished."""

    nodes: tuple[NodeResult, ...]
    seconds: float

    @property
    def models(self) -> tuple[NodeResult, ...]:
        return tuple(node for node in self.nodes if node.kind in {"model", "seed", "snapshot"})

    @property
    def tests(self) -> tuple[NodeResult, ...]:
        return tuple(node for node in self.nodes if node.kind == "test")

    @property
    def faults(self) -> tuple[NodeResult, ...]:
        """Nodes that make the build fail: errors, and failed tests of severity error."""
        return tuple(node for node in self.nodes if node.status in {"fail", "error"})

    def after(self, earlier: BuildReport | None) -> BuildReport:
        """This report with the nodes of an earlier one that it does not name: a build is two runs of dbt."""
        if earlier is None:
            return self
        mine = {node.unique_id for node in self.nodes}
        kept = (node for node in earlier.nodes if node.unique_id not in mine)
        return BuildReport(nodes=(*kept, *self.nodes), seconds=earlier.seconds + self.seconds)

    def raise_faults(self) -> None:
        """Raise one error naming the failed nodes, if there are any; a fault of this machine as that."""
        if not self.faults:
            return
        told = next(filter(None, (fault_in_text(node.message) for node in self.faults)), None)
        if told is not None:
            raise as_error(told, home=Path("LEVERHOUSE_HOME"))
        skipped = sum(node.status == "skipped" for node in self.nodes)
        lines = "\n".join(f"{node.kind} {node.name}: {node.message}" for node in self.faults[:10])
        more = f"\nand {len(self.faults) - 10} more" if len(self.faults) > 10 else ""
        raise BuildError(
            f"dbt: {len(self.faults)} of {len(self.nodes)} nodes failed, {skipped} were skipped; nothing was "
            f"published.\n"
            f"{lines}{more}\nCorrect the model or the data and build again."
        )


class BuildError(PermanentError):
    """dbt could not build a model, or a blocking test failed. The published snapshot is unchanged."""

    exit_code = 65


class BuildBrokenError(PermanentError):
    """dbt itself could not run: invalid project or profile."""

    exit_code = 70


def manifest_is_current(settings: Settings) -> bool:
    """Whether the prepared manifest is that of the current dbt project."""
    return _is_parsed(_manifest_path(settings))


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


def build_marts(settings: Settings, *, select: Sequence[str] = (), progress: Progress = no_progress) -> BuildReport:
    """Run dbt build on the models in `select`, or everything: what statistics read, the statistics, what reads them.

    Tests run with their models. Unit tests are excluded: they test the project, not the data. If a model fails that statistics may
    read, the rest is not built. Raises WarehouseBusyError if another process is writing,
    BuildBrokenError if dbt cannot run at all; failures of single nodes are in the report.
    """
    if select:
        return _run(settings, "build", ["--select", *select], progress)
    before = build_inputs(settings, progress=progress)
    if before.faults:
        return before
    fit_statistics(settings, progress=progress)
    return build_evidence(settings, progress=progress).after(before)


def build_inputs(settings: Settings, *, progress: Progress = no_progress) -> BuildReport:
    """Run dbt over everything that reads no statistics. Raises as build_marts does.

    An incremental model whose SQL, macros, thresholds or seeds have changed is built whole.
    """
    return _run(settings, "build", ["--exclude", READS_STATISTICS], progress, whole=True)


def build_evidence(settings: Settings, *, progress: Progress = no_progress) -> BuildReport:
    """Run dbt over what reads statistics, as they are. Raises as build_marts does."""
    return _run(settings, "build", ["--select", READS_STATISTICS], progress)


def fit_statistics(settings: Settings, *, progress: Progress = no_progress) -> Statistics:
    """Bring the tables of schema stats up to date from the marts as they are, each in a transaction of its own.

    A step that is killed or fails leaves the last fit in force. Raises WarehouseBusyError while another process writes.
    """
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
    return _run(settings, "test", ["--select", *select], progress)


def _run(
    settings: Settings, command: str, nodes: Sequence[str], progress: Progress, *, whole: bool = False
) -> BuildReport:
    from pipelines.storage.warehouse import writer, writer_lock

    started = time.monotonic()
    path = ensure_manifest(settings)
    # dbt reads the tables of clean and ops, which a new warehouse does not have yet.
    with writer(settings, what=f"prepare dbt {command}"):
        pass
    arguments = [
        # Nobody reads the artifacts of a run, and writing them takes longer than the models of statistics.
        "--no-write-json",
        command,
        "--exclude-resource-type",
        "unit_test",
        *_folders(settings, settings.dbt_target_dir),
        *nodes,
    ]
    with writer_lock(settings, what=f"dbt {command}"):
        manifest = load_parsed(path)
        versions = sql_versions(manifest, settings.dbt_project_dir) if whole else {}
        if whole:
            for model in drop_outdated_models(settings, versions):
                progress(f"{model} is built whole: its SQL or a seed has changed", 0, 0)
        results = _invoke(settings, arguments, manifest=manifest, progress=progress)
        described = _describe(settings, results)
        if whole:
            built = {node.name for node in described if node.kind == "model" and node.status in {"success", "warn"}}
            record_sql_versions(settings, {name: x for name, x in versions.items() if name.split(".")[1] in built})
    return BuildReport(nodes=described, seconds=time.monotonic() - started)


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
        built = [r for r in results if _STATUS[str(r.status)] in {"success", "warn"} and _is_table(r.node)]
        rows = count_rows(con, [(r.node.schema, r.node.alias) for r in built])
        described = []
        for result in results:
            node = result.node
            status = _STATUS[str(result.status)]
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
    return settings.dbt_target_dir / f"manifest-{_project_digest(settings.dbt_project_dir)}.json"


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
