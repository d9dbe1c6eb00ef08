"""The command doctor: checks the installation and the warehouse for problems. Changes nothing."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Annotated, Final, Literal

import typer

from pipelines.cli.screen import Bar, Screen
from pipelines.core.errors import LeverhouseError, WarehouseDamagedError
from pipelines.core.paths import dagster_yaml_is_current, environment
from pipelines.core.settings import Settings

OLDEST_PYTHON: Final = (3, 11)
OLDEST_DUCKDB: Final = (1, 5)
SPARE_BYTES: Final = 1_000_000_000
"""Free space required besides room for a second copy of the database, which rebuild and publish write."""

Verdict = Literal["ok", "wrong", "unknown"]


@dataclass(frozen=True)
class Finding:
    """Result of one check, and what to do if it is wrong."""

    check: str
    verdict: Verdict
    found: str
    next_step: str = ""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Check the venues instead: one small request to every feed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")] = False,
) -> None:
    """Check versions, home, disk, lock, mappings, digests of landings, database, runs and snapshot for problems.

    With --live, check whether the venues respond as their modules expect: reachable, format, newest day, oldest day. Changes
    nothing. The exit code is 1 if something is wrong.
    """
    settings = Settings.load()
    screen = Screen()
    with Bar(screen) as bar:
        findings = list(check_live(settings, bar.show) if live else check_local(settings, bar.show))
    if as_json:
        screen.json([asdict(finding) for finding in findings])
    else:
        screen.table(f"Warehouse {settings.root}", [asdict(finding) for finding in findings])
    screen.close()
    if any(finding.verdict == "wrong" for finding in findings):
        raise typer.Exit(1)


def check_live(settings: Settings, progress: Callable[[str, int, int], None]) -> Iterator[Finding]:
    """Results of one small request to every feed of the followed venues."""
    from pipelines.operations.healthcheck import check_venue
    from pipelines.sources.registry import VENUES, followed_venues

    venues = followed_venues(settings)
    for done, venue in enumerate(venues):
        progress(f"check {venue.name}", done, len(venues))
        module = VENUES[venue.name].partition(":")[0]
        for result in check_venue(settings, venue):
            verdict: Verdict = "ok" if result.verdict == "as expected" else "wrong"
            step = "" if verdict == "ok" else f"compare {module} with the venue's documentation"
            yield Finding(f"{result.source} {result.asked}", verdict, result.found, step)


def check_local(settings: Settings, progress: Callable[[str, int, int], None]) -> Iterator[Finding]:
    """Results of all local checks, from the Python version to the published snapshot."""
    yield _python()
    yield _duckdb()
    yield _home(settings)
    yield _disk(settings)
    yield _lock(settings)
    yield from _mappings(settings)
    yield _landings(settings, progress)
    yield _refused(settings)
    yield _database(settings)
    yield _runs(settings)
    yield from check_published(settings)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("python", "wrong", found, "install Python 3.11 or newer and run make setup")
    return Finding("python", "ok", found)


def _duckdb() -> Finding:
    found = version("duckdb")
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST_DUCKDB:
        return Finding("duckdb", "wrong", found, "run make setup to get the locked version")
    return Finding("duckdb", "ok", found)


def _home(settings: Settings) -> Finding:
    if not settings.dagster_home.is_dir():
        return Finding("home", "ok", f"{settings.root} is new; the first command that writes creates it")
    if not dagster_yaml_is_current(settings):
        return Finding(
            "home", "wrong", f"{settings.dagster_home / 'dagster.yaml'} is missing or differs from the project's",
            "run any leverhouse command that changes the warehouse; it rewrites the file",
        )  # fmt: skip
    return Finding("home", "ok", str(settings.root))


def _disk(settings: Settings) -> Finding:
    place = next(folder for folder in (settings.root, *settings.root.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    size = settings.database.stat().st_size if settings.database.exists() else 0
    found = f"{free / 1e9:.1f} GB free, database {size / 1e9:.2f} GB"
    if free < size + SPARE_BYTES:
        return Finding("disk", "wrong", found, "free disk space: rebuild and publish write a second copy")
    return Finding("disk", "ok", found)


def _lock(settings: Settings) -> Finding:
    from filelock import FileLock, Timeout

    if not settings.lock_file.exists():
        return Finding("writer lock", "ok", "free")
    lock = FileLock(settings.lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return Finding("writer lock", "ok", "held: another process is writing; the database was not checked")
    lock.release()
    return Finding("writer lock", "ok", "free")


def _mappings(settings: Settings) -> Iterator[Finding]:
    from pipelines.contract.ddl import load_contract
    from pipelines.operations.datasets import find_datasets
    from pipelines.sources.files.source import load_mapping

    contract = load_contract(settings.schema_dir)
    datasets = find_datasets(settings)
    faults = 0
    for dataset in datasets:
        try:
            load_mapping(dataset.mapping, contract=contract)
        except LeverhouseError as error:
            faults += 1
            yield Finding("mapping", "wrong", str(error), "correct the mapping")
    if not faults:
        yield Finding("mappings", "ok", f"{len(datasets)} valid")


def _landings(settings: Settings, progress: Callable[[str, int, int], None]) -> Finding:
    from pipelines.extract.landing import LandingStore

    store = LandingStore(settings.root)
    landings = store.all()
    faults = store.damaged_manifests()
    for done, landing in enumerate(landings):
        progress(f"verify {landing.part}", done, len(landings))
        faults += store.verify([landing])
    if faults:
        return Finding(
            "landings",
            "wrong",
            f"{len(faults)} of {len(landings)}: {faults[0]}",
            "leverhouse restore DIR, or leverhouse landing repair",
        )
    return Finding("landings", "ok", f"{len(landings)} as received, {sum(x.bytes for x in landings) / 1e6:,.1f} MB")


def _refused(settings: Settings) -> Finding:
    from pipelines.operations.diagnostics import refused_landings
    from pipelines.operations.load import refusal_line

    refused = refused_landings(settings)
    if not refused:
        return Finding("refused landings", "ok", "none")
    return Finding(
        "refused landings", "wrong", f"{len(refused)}: {refusal_line(refused[0])}",
        "leverhouse landing show ID; then accept it, forget it, or correct the mapping",
    )  # fmt: skip


def _database(settings: Settings) -> Finding:
    import duckdb

    from pipelines.operations.diagnostics import inspect_clean

    if not settings.database.exists():
        return Finding("database", "ok", "none yet; the first load creates it")
    try:
        states, ledger = inspect_clean(settings.model_copy(update={"lock_timeout_seconds": 0.0}))
    except WarehouseDamagedError as error:
        return Finding("database", "wrong", str(error), "run leverhouse rebuild")
    except LeverhouseError as error:
        return Finding("database", "unknown", str(error), "check again when the other process has finished")
    except duckdb.Error as error:
        return Finding("database", "wrong", f"cannot be read: {error}", "run leverhouse rebuild")
    wrong = [state.table for state in states.values() if not state.reconciles]
    if wrong:
        return Finding(
            "database", "wrong", f"{', '.join(wrong)}: row counts differ from ops.loads", "run leverhouse rebuild"
        )
    rows = sum(state.rows for state in states.values())
    return Finding("database", "ok", f"{rows:,} clean rows of {ledger.sources} sources, reconciled")


def _runs(settings: Settings) -> Finding:
    if not (settings.dagster_home / "history").exists():
        return Finding("runs", "ok", "none yet")
    with environment(DAGSTER_HOME=str(settings.dagster_home)):
        import dagster as dg

        from pipelines.defs.runs import orphaned_runs

        with dg.DagsterInstance.get() as instance:
            orphans = orphaned_runs(instance, settings)
            newest = instance.get_runs(limit=1)
    if orphans:
        found = f"{len(orphans)} run(s) of killed processes are still recorded as running: {orphans[0].run_id}"
        return Finding("runs", "wrong", found, "run leverhouse run: it marks them as failed and continues their work")
    return Finding(
        "runs", "ok", f"newest: {newest[0].job_name} {newest[0].status.value.lower()}" if newest else "none yet"
    )


def check_published(settings: Settings) -> Iterator[Finding]:
    """Whether the published file is what was published, whether it can be read, and what clients did beside it."""
    import duckdb

    from pipelines.storage.snapshots import inspect_snapshots
    from pipelines.storage.status import published_status
    from pipelines.storage.warehouse import reader

    if not settings.published_database.exists():
        yield Finding("snapshot", "ok", "nothing published yet")
        return
    for fault in inspect_snapshots(settings, full=True):
        yield Finding("snapshot", "wrong" if fault.reaches_readers else "ok", fault.what, fault.next_step)
    try:
        with reader(settings) as con:
            found = published_status(con, str(settings.published_database))
    except LeverhouseError as error:
        yield Finding("snapshot", "wrong", str(error), "close the client, then run leverhouse publish")
    except duckdb.Error as error:
        yield Finding("snapshot", "wrong", f"cannot be read: {error}", "run leverhouse publish")
    else:
        text = f"{len(found.marts)} marts, published {found.published_at:%Y-%m-%d %H:%M} UTC, newest day {found.newest_day}"
        yield Finding("snapshot", "ok", text)
