"""Importing files into the landing, and loading landings into the clean tables, one transaction per source.

No parsing, no SQL: sources.files lands files, clean.load loads batches.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import duckdb

from pipelines.clean.fetch_problems import record_fetch_problems
from pipelines.clean.load import LoadReport, find_work, load_source
from pipelines.clean.parsed import remove_leftovers
from pipelines.clean.refusals import record_refusals
from pipelines.contract.ddl import load_contract
from pipelines.contract.versions import SCHEMA_VERSION, MadeBy
from pipelines.core.errors import LeverhouseError, PermanentError, TransientError
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import Settings
from pipelines.extract.landing import Clock, Landing, LandingStore, Refusal, utc_now
from pipelines.operations.build import code_version
from pipelines.quality.batch import Gate
from pipelines.quality.gate import run_gate
from pipelines.sources import registry
from pipelines.sources.files.source import land_matches
from pipelines.storage.warehouse import writer

LINE_LENGTH: Final = 300
"""Characters of a refusal's detail that its line shows."""

REFUSED_EXIT_CODE: Final = 65
"""Exit code of a command in which landings were refused and the rest was loaded: EX_DATAERR."""


@dataclass(frozen=True)
class LoadOutcome:
    """Reports of the loaded sources, the errors of the failed ones, and the landings that were refused in this load."""

    reports: tuple[LoadReport, ...]
    failures: Mapping[str, LeverhouseError]

    @property
    def refused(self) -> tuple[Refusal, ...]:
        return tuple(refusal for report in self.reports for refusal in report.refused)

    def raise_source_failures(self) -> None:
        """Raise one error naming every source that failed as a whole; landings that were refused by themselves do not count."""
        replace(self, reports=()).raise_failures()

    def raise_failures(self) -> None:
        """Raise one error naming every failed source and refused landing; it is transient only if all of them are."""
        if not self.failures and not self.refused:
            return
        lines = [f"{source}: {error}" for source, error in self.failures.items()]
        lines += [refusal_line(refusal) for refusal in self.refused]
        counts = []
        if self.failures:
            counts.append(f"{len(self.failures)} source(s) were not loaded")
        if self.refused:
            counts.append(f"{len(self.refused)} landing(s) were refused")
            lines.append(
                "See 'leverhouse landing show ID'. If its data is right: 'leverhouse landing accept ID', or [[accept]] in the "
                "mapping (docs/quality.md). If not: 'leverhouse landing forget ID'."
            )
        only_waiting = not self.refused and all(isinstance(e, TransientError) for e in self.failures.values())
        error = (TransientError if only_waiting else PermanentError)(
            f"{' and '.join(counts)}; everything else was loaded.\n" + "\n".join(lines)
        )
        error.exit_code = next((e.exit_code for e in self.failures.values()), REFUSED_EXIT_CODE)
        raise error


def refusal_line(refusal: Refusal) -> str:
    """A refused landing in one line: what, why, and where in it."""
    where = f" ({refusal.page})" if refusal.page else ""
    detail = refusal.detail if len(refusal.detail) <= LINE_LENGTH else f"{refusal.detail[:LINE_LENGTH]}…"
    return f"refused {refusal.landing_id} {refusal.source} {refusal.partition} {refusal.part}: {refusal.reason}{where}: {detail}"


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
    known_by: datetime | None = None,
    progress: Progress = no_progress,
) -> LoadOutcome:
    """Load every source with pending landings, each in its own transaction; with `known_by`, only rows known by then.

    The clean rows of a failed source are unchanged; the other sources are still loaded.
    """
    contract = load_contract(settings.schema_dir)
    store = LandingStore(settings.root)
    remove_leftovers(settings.root)
    by_source: dict[str, list[Landing]] = {}
    for landing in store.all():
        if sources is None or landing.source in sources:
            by_source.setdefault(landing.source, []).append(landing)
    connect = partial(writer, settings, what="load")
    with connect() as con:
        record_fetch_problems(con, settings.raw_dir)
        record_refusals(con, store, by_source)
        loaded = {
            name for (name,) in con.execute("select distinct source from ops.landings where is_current").fetchall()
        }
        # A source all of whose landings were forgotten has rows left.
        for source in loaded if sources is None else loaded & set(sources):
            by_source.setdefault(source, [])
        pending = [source for source, found in by_source.items() if _has_work(con, store, source, found)]
    reports: list[LoadReport] = []
    failures: dict[str, LeverhouseError] = {}
    code = code_version(settings) if pending else None
    for source in pending:
        try:
            opened = registry.open_source(store, contract, source, by_source[source])
            report = load_source(
                connect,
                contract=contract,
                source=source,
                store=store,
                landings=by_source[source],
                parse=opened.parse,
                rules=opened.rules,
                gate=gate,
                now=clock(),
                reader_version=opened.version,
                known_by=known_by,
                made_by=MadeBy(code, SCHEMA_VERSION, registry.parser_version(source)),
                progress=progress,
            )
        except LeverhouseError as error:
            failures[source] = error
        else:
            reports.append(report)
    if any(report.refused for report in reports):
        with connect() as con:
            record_refusals(con, store, by_source)
    return LoadOutcome(reports=tuple(r for r in reports if r.landings or r.tables or r.refused), failures=failures)


def _has_work(con: duckdb.DuckDBPyConnection, store: LandingStore, source: str, landings: Sequence[Landing]) -> bool:
    """Whether a source has landings that the parser of now has not read yet, be they new, refused or loaded."""
    version = registry.reader_version(store, source)
    refused = {x for x, refusal in store.refusals(landings).items() if refusal.reader_version == version}
    return not find_work(
        con, source, landings, refused=refused, parser_version=registry.parser_version(source)
    ).is_empty
