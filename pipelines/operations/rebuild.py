"""Rebuilding the working database from the landing, without network access, and comparing it with the old one."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import duckdb
from filelock import FileLock, Timeout

from pipelines.clean.load import LoadReport
from pipelines.core.errors import (
    LandingError,
    SnapshotDamagedError,
    TransientError,
    WarehouseBusyError,
    WarehouseDamagedError,
)
from pipelines.core.home_kind import home_kind, mark_home
from pipelines.core.limits import in_force
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import Settings
from pipelines.extract.landing import Clock, LandingStore, utc_now
from pipelines.operations.load import LoadOutcome, load_pending
from pipelines.quality.batch import Gate
from pipelines.quality.gate import run_gate
from pipelines.storage.database import open_database, replace_database
from pipelines.storage.fingerprint import Fingerprint, compare, fingerprint_schemas
from pipelines.storage.warehouse import reader, writer_lock

Fingerprints = Mapping[str, Fingerprint]


@dataclass(frozen=True)
class Comparison:
    """Old tables compared with new ones, by fingerprint (storage.fingerprint).

    `differences` has one line per difference. `pending` counts the landings that had not been loaded into the old tables;
    if there are any, differences are expected.
    """

    tables: int
    differences: tuple[str, ...]
    pending: int = 0

    @classmethod
    def of(cls, before: Fingerprints, after: Fingerprints, *, pending: int = 0) -> Comparison:
        """Compare two sets of fingerprints by table name."""
        return cls(len(before.keys() | after.keys()), tuple(compare(before, after)), pending)


@dataclass(frozen=True)
class RebuildReport:
    """Result of the load, and the comparison of new and old clean tables; None if no old database could be opened."""

    outcome: LoadOutcome
    comparison: Comparison | None


def rebuild(
    settings: Settings, *, gate: Gate = run_gate, clock: Clock = utc_now, progress: Progress = no_progress
) -> RebuildReport:
    """Rebuild the working database from the landing. The published snapshot stays until the next publish.

    The new database is written to a separate file and renamed over the old one once every source is loaded, so that a kill
    at any moment leaves a complete database. Raises LandingError if landed bytes are missing or altered, and the error of a
    source that cannot be loaded; the old database is then unchanged.
    """
    store = LandingStore(settings.root)
    progress("verify landings", 0, 0)
    rebuilt = settings.model_copy(update={"home": settings.root / "rebuild"})
    reports: list[LoadReport] = []
    with _only_rebuild(settings):
        shutil.rmtree(rebuilt.home, ignore_errors=True)
        rebuilt.home.mkdir(parents=True)
        (rebuilt.home / "raw").symlink_to(settings.raw_dir, target_is_directory=True)
        mark_home(rebuilt.home, home_kind(settings.root))
        while True:
            landings = list(store.all())
            with in_force(settings.limits):
                faults = list(store.verify(landings))
            if faults:
                raise LandingError(
                    f"{len(faults)} landing(s) are missing or altered; nothing was rebuilt.\n" + "\n".join(faults[:20])
                )
            # Others may write meanwhile: landings are read without the writer lock, and once more if there are new ones.
            outcome = load_pending(rebuilt, gate=gate, clock=clock, progress=progress)
            outcome.raise_source_failures()
            reports += outcome.reports
            with writer_lock(settings, what="rebuild"):
                if {x.landing_id for x in store.all()} != {x.landing_id for x in landings}:
                    continue
                progress("compare with the old database", 0, 0)
                comparison = _compare(settings, rebuilt, {landing.landing_id for landing in landings})
                replace_database(settings, rebuilt.database)
            shutil.rmtree(rebuilt.home)
            return RebuildReport(replace(outcome, reports=tuple(reports)), comparison)


@contextmanager
def _only_rebuild(settings: Settings) -> Iterator[None]:
    """Keep a second rebuild of the same warehouse out."""
    settings.root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.root / "rebuild.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise WarehouseBusyError(
            f"{settings.root} is being rebuilt by another process. Retry when it has finished."
        ) from error
    try:
        yield
    finally:
        lock.release()


def published_fingerprints(settings: Settings) -> Fingerprints | None:
    """Fingerprints of the published marts; None if nothing is published, or if a client keeps it from being read."""
    if not settings.published_database.exists():
        return None
    try:
        with reader(settings) as con:
            return fingerprint_schemas(con, "marts")
    except (SnapshotDamagedError, TransientError):
        # A rebuild publishes anew; what a client did to the file must not stop it.
        return None


def _compare(before: Settings, after: Settings, landed: Collection[str]) -> Comparison | None:
    if not before.database.exists():
        return None
    try:
        old, known = _clean_tables(before)
    except WarehouseDamagedError:
        # A rebuild replaces a database that cannot be opened or read.
        return None
    new, _ = _clean_tables(after)
    return Comparison.of(old, new, pending=len(set(landed) - known))


def _clean_tables(settings: Settings) -> tuple[Fingerprints, set[str]]:
    """Fingerprints of the clean tables, and the ids of the loaded landings."""
    con = open_database(settings, changes=False)
    try:
        tables = fingerprint_schemas(con, "clean", "ops")
        known = con.execute("select landing_id from ops.landings").fetchall() if "ops.landings" in tables else []
        clean = {name: table for name, table in tables.items() if name.startswith("clean.")}
        return clean, {landing_id for (landing_id,) in known}
    except duckdb.Error as error:
        raise WarehouseDamagedError(f"{settings.database} cannot be read: {error}") from error
    finally:
        con.close()
