"""Importing files into the landing, and loading landings into the clean tables, one transaction per source.

No parsing, no SQL: sources.files lands files, clean.load loads batches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.clean.fetch_problems import record_fetch_problems
from pipelines.clean.load import LoadReport, find_work, load_source
from pipelines.contract.ddl import load_contract
from pipelines.core.errors import LeverhouseError, PermanentError, TransientError
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import Settings
from pipelines.extract.landing import Clock, Landing, LandingStore, utc_now
from pipelines.quality.batch import Gate
from pipelines.quality.gate import run_gate
from pipelines.sources import registry
from pipelines.sources.files.source import land_matches
from pipelines.storage.warehouse import writer


@dataclass(frozen=True)
class LoadOutcome:
    """Reports of the loaded sources, and the errors of the failed ones."""

    reports: tuple[LoadReport, ...]
    failures: Mapping[str, LeverhouseError]

    def raise_failures(self) -> None:
        """Raise one error naming every failed source; it is transient only if all of them are."""
        if not self.failures:
            return
        text = "\n".join(f"{source}: {error}" for source, error in self.failures.items())
        kind = TransientError if all(isinstance(e, TransientError) for e in self.failures.values()) else PermanentError
        error = kind(f"{len(self.failures)} source(s) were not loaded; the others were.\n{text}")
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
    """Land the named files, or all files below `root` that the mapping matches. Parses nothing.

    Raises MappingError, SourceFormatError (a file the mapping does not match) or LandingError.
    """
    return land_matches(LandingStore(settings.root), mapping, files=files, root=root, clock=clock, progress=progress)


def load_pending(
    settings: Settings,
    *,
    sources: Collection[str] | None = None,
    gate: Gate = run_gate,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> LoadOutcome:
    """Load every source with pending landings, each in its own transaction.

    The clean rows of a failed source are unchanged; the other sources are still loaded.
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
        record_fetch_problems(con, settings.raw_dir)
        for source, source_landings in by_source.items():
            if find_work(con, source, source_landings).is_empty:
                continue
            try:
                opened = registry.open_source(store, contract, source, source_landings)
                report = load_source(
                    con,
                    contract=contract,
                    source=source,
                    landings=source_landings,
                    parse=opened.parse,
                    rules=opened.rules,
                    gate=gate,
                    now=clock(),
                    home=settings.root,
                    progress=progress,
                )
            except LeverhouseError as error:
                failures[source] = error
            else:
                reports.append(report)
    return LoadOutcome(reports=tuple(reports), failures=failures)
