"""Ingestion as plain functions: land files, load what is pending, rebuild. Dagster's assets call them.

No Dagster here, no parsing, no SQL.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.clean.contract import load_contract
from pipelines.clean.load import Gate, LoadReport, Progress, find_work, load_source, no_progress
from pipelines.errors import LandingError, LeverhouseError, PermanentError, TransientError
from pipelines.extract.landing import Clock, Landing, LandingStore, utc_now
from pipelines.quality.gate import run_gate
from pipelines.settings import Settings
from pipelines.sources import registry
from pipelines.sources.files import land_matches
from pipelines.storage.database import replace_database
from pipelines.storage.warehouse import writer, writer_lock


@dataclass(frozen=True)
class LoadOutcome:
    """Reports of the sources that loaded, and the error of every source that did not."""

    reports: tuple[LoadReport, ...]
    failures: Mapping[str, LeverhouseError]

    def raise_failures(self) -> None:
        """Raise one error that names every source that failed; transient only where all of them are."""
        if not self.failures:
            return
        text = "\n".join(f"{source}: {error}" for source, error in self.failures.items())
        kind = TransientError if all(isinstance(e, TransientError) for e in self.failures.values()) else PermanentError
        error = kind(f"{len(self.failures)} source(s) were not loaded, the others were.\n{text}")
        error.exit_code = next(iter(self.failures.values())).exit_code
        raise error


def import_files(
    settings: Settings,
    mapping: Path,
    *,
    files: Sequence[Path] | None = None,
    root: Path | None = None,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> tuple[Landing, ...]:
    """Land the named files, or all files below `root` that the mapping matches. Nothing is parsed yet.

    Raises MappingError, SourceFormatError (a file the mapping does not match) or LandingError.
    """
    return land_matches(LandingStore(settings.root), mapping, files=files, root=root, clock=clock, progress=progress)


def load_pending(
    settings: Settings,
    *,
    sources: Collection[str] | None = None,
    partitions: Collection[str] | None = None,
    gate: Gate = run_gate,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> LoadOutcome:
    """Load every source that has landings the clean tables do not show yet, each in its own transaction.

    A source that fails leaves its clean rows as they were and does not stop the others.
    """
    contract = load_contract(settings.schema_dir)
    store = LandingStore(settings.root)
    landings = store.all()
    by_source: dict[str, list[Landing]] = {}
    for landing in landings:
        if sources is None or landing.source in sources:
            by_source.setdefault(landing.source, []).append(landing)
    reports: list[LoadReport] = []
    failures: dict[str, LeverhouseError] = {}
    with writer(settings, what="load") as con:
        for source, mine in by_source.items():
            if find_work(con, source, mine, partitions=partitions).is_empty:
                continue
            try:
                opened = registry.open_source(store, contract, source, mine)
                report = load_source(
                    con,
                    contract=contract,
                    source=source,
                    landings=mine,
                    parse=opened.parse,
                    rules=opened.rules,
                    gate=gate,
                    now=clock(),
                    home=settings.root,
                    partitions=partitions,
                    progress=progress,
                )
            except LeverhouseError as error:
                failures[source] = error
            else:
                reports.append(report)
    return LoadOutcome(reports=tuple(reports), failures=failures)


def rebuild(
    settings: Settings, *, gate: Gate = run_gate, clock: Clock = utc_now, progress: Progress = no_progress
) -> LoadOutcome:
    """Make the working database anew from the landing alone. The published snapshot stays until the next publish.

    The new database is made beside the old one and renamed over it when every source is in it, so that a kill at any
    moment leaves a whole one. Raises LandingError where landed bytes were lost or altered, and the error of a source
    that cannot be loaded; the old database is then as before.
    """
    store = LandingStore(settings.root)
    progress("verify landings", 0, 0)
    faults = list(store.verify(store.all()))
    if faults:
        raise LandingError(
            f"{len(faults)} landing(s) are not as received, nothing was rebuilt.\n" + "\n".join(faults[:20])
        )
    side = settings.model_copy(update={"home": settings.root / "rebuild"})
    with writer_lock(settings, what="rebuild"):
        shutil.rmtree(side.home, ignore_errors=True)
        side.home.mkdir(parents=True)
        (side.home / "raw").symlink_to(settings.raw_dir, target_is_directory=True)
        outcome = load_pending(side, gate=gate, clock=clock, progress=progress)
        outcome.raise_failures()
        replace_database(settings, side.database)
        shutil.rmtree(side.home)
    return outcome
