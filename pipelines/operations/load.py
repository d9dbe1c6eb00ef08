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

from pipelines.clean.expected import Expected, write_expected
from pipelines.clean.fetch_problems import record_fetch_problems
from pipelines.clean.listening import write_listening
from pipelines.clean.load import Connect, LoadReport, find_work, load_source
from pipelines.clean.parsed import remove_leftovers
from pipelines.clean.refusals import record_refusals
from pipelines.contract.ddl import Contract, load_contract
from pipelines.contract.versions import SCHEMA_VERSION, MadeBy
from pipelines.core.errors import (
    ConfigError,
    LeverhouseError,
    MachineError,
    NotPermittedError,
    PermanentError,
    TransientError,
)
from pipelines.core.home_kind import Kind, home_kind, origin_of_landing
from pipelines.core.limits import in_force
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import Settings
from pipelines.extract.due import changes_at
from pipelines.extract.landing import Clock, Landing, LandingStore, Refusal, utc_now
from pipelines.extract.venue import Capture
from pipelines.operations.build import code_version
from pipelines.operations.current import landing_state
from pipelines.operations.due import feed_states
from pipelines.quality.batch import Gate
from pipelines.quality.gate import run_gate
from pipelines.sources import registry
from pipelines.sources.files.source import land_matches
from pipelines.storage.query import transaction
from pipelines.storage.warehouse import writer

LINE_LENGTH: Final = 300
"""Characters of a refusal's detail that its line shows."""

REFUSED_EXIT_CODE: Final = 65
"""Exit code of a command in which landings were refused and the rest was loaded: EX_DATAERR."""


_LANDING_ADVICE: Final = (
    "See 'leverhouse landing show ID'. If its data is right: 'leverhouse landing accept ID', or [[accept]] in the "
    "mapping (docs/quality.md). If not: 'leverhouse landing forget ID'."
)

_IMPORT_ADVICE: Final = (
    "Nothing of them was landed. Correct the mapping or the files, and import them again. If what the gate refuses is right: "
    "'leverhouse import --accept WHY', or [[accept]] in the mapping (docs/quality.md)."
)


@dataclass(frozen=True)
class LoadOutcome:
    """Reports of the loaded sources, the errors of the failed ones, and the landings that were refused in this load.

    `found` is the state of the landing when it began, and `until` the instant from which time alone may change what is expected.
    """

    reports: tuple[LoadReport, ...]
    failures: Mapping[str, LeverhouseError]
    found: str | None = None
    until: datetime | None = None
    is_import: bool = False
    """Whether what is refused was not landed."""

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
            counts.append(f"{len(self.refused)} {'file' if self.is_import else 'landing'}(s) were refused")
            lines.append(_IMPORT_ADVICE if self.is_import else _LANDING_ADVICE)
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
    with in_force(settings.limits):
        return land_matches(
            LandingStore(settings.root), mapping, files=files, root=root, clock=clock, progress=progress
        )


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
    with in_force(settings.limits):
        return _load_pending(settings, sources, gate=gate, clock=clock, known_by=known_by, progress=progress)


def _load_pending(
    settings: Settings,
    sources: Collection[str] | None,
    *,
    gate: Gate,
    clock: Clock,
    known_by: datetime | None,
    progress: Progress,
) -> LoadOutcome:
    contract = load_contract(settings.schema_dir)
    store = LandingStore(settings.root, remembers=True)
    remove_leftovers(settings.root)
    by_source: dict[str, list[Landing]] = {}
    landed, found = store.tokens.landed(), landing_state(settings)
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
    kind = home_kind(settings.root)
    code = code_version(settings) if pending else None
    for source in pending:
        try:
            _refuse_other_kind(kind, by_source[source])
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
                made_by=MadeBy(code, SCHEMA_VERSION, registry.parser_version(source, by_source[source])),
                progress=progress,
            )
        except (MachineError, NotPermittedError):
            # What this machine cannot do for one source it cannot do for the next.
            raise
        except LeverhouseError as error:
            failures[source] = error
        else:
            reports.append(report)
    if any(report.refused for report in reports):
        with connect() as con:
            record_refusals(con, store, by_source)
    until = None
    if known_by is None:
        until = _write_expected(settings, contract, connect, sources, clock())
        _write_listening(connect, by_source)
        if sources is None:
            store.tokens.note_loaded(landed)
    told = tuple(report for report in reports if report.landings or report.tables or report.refused)
    return LoadOutcome(told, failures, found if sources is None and known_by is None else None, until)


def _refuse_other_kind(kind: Kind, landings: Sequence[Landing]) -> None:
    """Raise ConfigError if landings were made in a home of the other kind, by copying folders: a simulated market and the real
    one have the same venues and instruments, and nobody could tell their rows apart afterwards."""
    other = [landing for landing in landings if origin_of_landing(landing.request) != kind]
    if other:
        raise ConfigError(
            f"{len(other)} landing(s) were made in a {origin_of_landing(other[0].request)} home and this one is {kind}: "
            f"{', '.join(landing.landing_id for landing in other[:5])}{' …' if len(other) > 5 else ''}. Nothing of the source "
            "was loaded; remove them with 'leverhouse landing forget ID', or make a demo anew with 'leverhouse demo --fresh'."
        )


def _write_expected(
    settings: Settings, contract: Contract, connect: Connect, sources: Collection[str] | None, now: datetime
) -> datetime | None:
    """Judge every source that was planned or asked for, whether anything arrived or not: yesterday is judged in any case.

    Return the instant from which the judgment may differ although nothing arrives; None if there is nothing to judge.
    """
    states = [state for state in feed_states(settings) if sources is None or state.source in sources]
    expected = [
        Expected(
            source=state.source,
            venue=state.venue.name,
            tables=state.feed.tables,
            missing=state.missing(now),
            landed=state.landed.values(),
            lives=state.plan.lives(),
            slots_per_day=24 // state.feed.cadence.every_hours if isinstance(state.feed.cadence, Capture) else None,
        )
        for state in states
    ]
    if expected:
        with connect() as con, transaction(con):
            write_expected(con, contract, expected)
    return min((changes_at(state.feed, now) for state in states), default=None)


def _write_listening(connect: Connect, by_source: Mapping[str, Sequence[Landing]]) -> None:
    """How long each recorded stream was listened to. Landings that were refused were heard all the same."""
    streams = {venue.source(stream): (venue, stream) for venue, stream in registry.recorded_streams()}
    recorded = [source for source in streams if by_source.get(source)]
    if not recorded:
        return
    with connect() as con:
        for source in recorded:
            venue, stream = streams[source]
            is_capped = stream.rules[-1].per_second == 1.0
            write_listening(con, source, venue.name, stream.tables, by_source[source], is_capped=is_capped)


def _has_work(con: duckdb.DuckDBPyConnection, store: LandingStore, source: str, landings: Sequence[Landing]) -> bool:
    """Whether a source has landings that the parser of now has not read yet, be they new, refused or loaded."""
    version = registry.reader_version(store, source)
    refused = {x for x, refusal in store.refusals(landings).items() if refusal.reader_version == version}
    return not find_work(
        con, source, landings, refused=refused, parser_version=registry.parser_version(source, landings)
    ).is_empty
