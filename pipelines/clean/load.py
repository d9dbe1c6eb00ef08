"""Loading: the pending landings of one source become clean rows, quarantine, reconciliation and coverage.

A landing is the unit of damage: one that cannot be read, or that the gate refuses, is refused by itself and the rest is loaded.
Landings are parsed before the database is opened. Pending ones are found by comparing the landing with ops.landings; callers
pass no dates. No parsing and no DDL here; how to connect is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import duckdb
import polars as pl

from pipelines.clean.ledger import TableLoad, Work, record_checks
from pipelines.clean.parsed import ParsedSource, parsed_source
from pipelines.clean.stage import Stage
from pipelines.contract.batch import SourceRules
from pipelines.contract.ddl import Contract
from pipelines.contract.versions import UNKNOWN, MadeBy
from pipelines.core.errors import GateError
from pipelines.core.progress import Progress, no_progress
from pipelines.extract.landing import Landing, LandingStore, Parser, Refusal, current_versions
from pipelines.quality.batch import CheckResult, Gate
from pipelines.quality.exceptions import run_gate_with_exceptions
from pipelines.quality.second_source import check_level
from pipelines.storage.query import scalar

__all__ = ["Candidates", "Connect", "LoadReport", "TableLoad", "Work", "find_work", "load_source"]

Connect = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
"""Opens the warehouse for writing; other writers wait until the block ends."""


@dataclass(frozen=True)
class Candidates:
    """Files that are landed only once they are parsed and judged, by their ids (extract/candidates.py).

    `land` lands one; without it nothing is landed and nothing is committed: the files are judged only. With `accept`, the
    reason why they are right, what the gate refuses is loaded.
    """

    ids: frozenset[str] = frozenset()
    land: Callable[[Landing], Landing] | None = None
    accept: str | None = None


@dataclass(frozen=True)
class LoadReport:
    """Result of one load: one entry of `tables` per batch and table, the gate's results, and the refused landings.

    `reread` counts those of `landings` that an earlier version of their parser had loaded. Of candidates: `rejects` are the
    rejected rows by table, reason and column, with the first of each; `quarantine` all those of a refused one, by id; and where
    they are judged only, `counts` and `preview` are the rows as they would be, by table.
    """

    source: str
    landings: int = 0
    reread: int = 0
    tables: tuple[TableLoad, ...] = ()
    checks: tuple[CheckResult, ...] = field(default=(), repr=False)
    refused: tuple[Refusal, ...] = ()
    rejects: tuple[Mapping[str, Any], ...] = ()
    quarantine: Mapping[str, pl.DataFrame] = field(default_factory=dict, repr=False)
    counts: tuple[Mapping[str, Any], ...] = ()
    preview: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)


def find_work(
    con: duckdb.DuckDBPyConnection,
    source: str,
    landings: Iterable[Landing],
    *,
    refused: Collection[str] = (),
    only: Collection[str] | None = None,
    parser_version: int | None = None,
) -> Work:
    """Compare the landings on disk with ops.landings.

    `refused` are ids of landings that count as not landed, so that the version before stays in force. With `only`, of what is
    pending just these ids count as landed. `superseded` are ids of loaded landings that are no longer current; `unchanged` are
    loaded, current landings, which may share days with pending ones. With `parser_version`, a landing that another version has
    loaded is pending again.
    """
    recorded = con.execute(
        "select landing_id, is_current, parser_version from ops.landings where source = ?", [source]
    ).fetchall()
    loaded: dict[str, bool] = {landing_id: is_current for landing_id, is_current, _ in recorded}
    stale = {
        landing_id
        for landing_id, is_current, version in recorded
        if is_current and parser_version is not None and version != parser_version
    }
    if only is not None:
        stale &= set(only)
    matching = [x for x in landings if x.source == source and x.landing_id not in refused]
    if only is not None:
        chosen = {
            x.identity: x.version for x in current_versions(x for x in matching if x.landing_id in {*loaded, *only})
        }
        # Older versions were never loaded and never will be, but ops.landings lists them.
        matching = [x for x in matching if x.version <= chosen.get(x.identity, 0)]
    current = current_versions(matching)
    current_ids = {landing.landing_id for landing in current}
    reread = [landing.landing_id for landing in current if landing.landing_id in stale]
    for landing_id in reread:
        loaded[landing_id] = False
    return Work(
        pending=[landing for landing in current if not loaded.get(landing.landing_id)],
        superseded=[
            landing_id for landing_id, is_current in loaded.items() if is_current and landing_id not in current_ids
        ],
        unchanged=[landing for landing in current if loaded.get(landing.landing_id)],
        current=current,
        unrecorded=[x for x in matching if loaded.get(x.landing_id) is not (x.landing_id in current_ids)],
        reread=reread,
    )


def load_source(
    connect: Connect,
    *,
    contract: Contract,
    source: str,
    store: LandingStore,
    landings: Iterable[Landing],
    parse: Parser,
    rules: SourceRules,
    gate: Gate,
    now: datetime,
    reader_version: str = "",
    known_by: datetime | None = None,
    made_by: MadeBy = UNKNOWN,
    candidates: Candidates | None = None,
    progress: Progress = no_progress,
) -> LoadReport:
    """Load the pending landings of `source`: in one transaction, unless some of them are at fault.

    The affected (table, day) partitions are rebuilt from all current landings with rows in them, so that restated, removed and
    forgotten files take effect. What cannot be parsed is refused. If the gate refuses the batch, it is halved until the
    landings at fault are found; these are refused and the rest is loaded. A refused landing is tried again once it was
    accepted, or once `reader_version` has changed. Raises GateError if the gate refuses what remains of a removed landing, and
    ReconciliationError if the counts do not add up; the clean tables are then unchanged. Rows that could only be known after
    `known_by` are left out.

    With `candidates`, which are among `landings`, only these are loaded, and with them the landings that `made_by` says to read
    again: all of them or none, because they are read anew for the candidates' sake.
    """
    landings = list(landings)
    chosen = candidates or Candidates()
    with parsed_source(
        contract,
        source,
        store,
        parse,
        reader_version=reader_version,
        now=now,
        known_by=known_by,
        made_by=made_by,
        candidates=chosen.ids,
    ) as parsed:
        load = _Load(connect, parsed, landings, rules, gate, progress, chosen)
        return load.run()


@dataclass
class _Load:
    connect: Connect
    parsed: ParsedSource
    landings: Sequence[Landing]
    rules: SourceRules
    gate: Gate
    progress: Progress
    candidates: Candidates
    refused: set[str] = field(default_factory=set)
    """Landings that count as not landed."""
    done: list[TableLoad] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    new_refusals: list[Refusal] = field(default_factory=list)
    loaded: int = 0
    reread: int = 0
    rejects: list[Mapping[str, Any]] = field(default_factory=list)
    refused_rejects: list[Mapping[str, Any]] = field(default_factory=list)
    """Those of candidates that the gate refused."""
    quarantine: dict[str, pl.DataFrame] = field(default_factory=dict)
    counts: list[Mapping[str, Any]] = field(default_factory=list)
    passed: list[Landing] = field(default_factory=list)
    """Candidates that were judged right where nothing is landed."""
    preview: dict[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)

    def run(self) -> LoadReport:
        source, store = self.parsed.source, self.parsed.store
        known = store.refusals(x for x in self.landings if x.source == source and not self._is_candidate(x))
        self.refused = {x for x, refusal in known.items() if refusal.reader_version == self.parsed.reader_version}
        pending = 0
        while True:
            before = len(self.new_refusals)
            pending += self._load_pending()
            if len(self.new_refusals) == before or self.candidates.ids:
                break
            # Where a landing was refused, the version before it may be one that was never loaded.
        self.progress(source, self.loaded, pending)
        return LoadReport(
            source, self.loaded, self.reread, tuple(self.done), tuple(self.checks), tuple(self.new_refusals),
            (*self.rejects, *self.refused_rejects), self.quarantine, tuple(self.counts), self.preview,
        )  # fmt: skip

    def _is_measured(self, landing: Landing) -> bool:
        """Whether a file is held against prices: files with candles come first, so that nothing is loaded before they can tell."""
        return "candles" not in self.parsed.landings[landing.landing_id].tables

    def _is_candidate(self, landing: Landing) -> bool:
        return landing.landing_id in self.candidates.ids

    def _load_pending(self) -> int:
        """Load or refuse everything that is pending now; return how many landings that was."""
        source, store = self.parsed.source, self.parsed.store
        with self.connect() as con:
            work = self._work(con)
            if self.candidates.ids:
                work = self._work(con, only=[*self.candidates.ids, *work.reread])
        for number, landing in enumerate(work.pending):
            self.progress(f"{source}: {landing.original_name}", number, len(work.pending))
            refusal = self.parsed.read(landing, landings=self.landings, refused=self.refused)
            if refusal is not None:
                self._refuse(landing, refusal)
        lost = [x for x in work.pending if x.landing_id in self.refused and x.landing_id in work.reread]
        if self.candidates.ids and lost:
            self._refuse_all(
                work.pending, f"with this mapping {lost[0].original_name}, which is loaded, cannot be read"
            )
        readable = [x for x in work.pending if x.landing_id not in self.refused]
        if self.candidates.ids:
            readable.sort(key=self._is_measured)
        batches = [readable] if readable or (work.superseded and not self.candidates.ids) else []
        while batches:
            batch = batches.pop()
            self.progress(f"{source}: checks", self.loaded, len(work.pending))
            faults = self._try(batch)
            if faults is None:
                self.loaded += len(batch)
                for landing in batch:
                    if not self._is_candidate(landing):
                        store.clear_refusal(landing)
            elif self.candidates.ids and work.reread:
                detail = "with this mapping the files that are loaded already and these do not pass the checks: "
                self._refuse_all(batch, detail + faults.detail, faults)
            elif len(batch) > 1:
                batches += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
            elif batch:
                [landing] = batch
                self._refuse(landing, self.parsed.refusal(landing, faults.reason, faults.detail, faults.sample))
                if faults.quarantine is not None:
                    self.quarantine[landing.landing_id] = faults.quarantine
            else:
                raise GateError(
                    f"{source}: the gate refused what remains after landings were removed; the clean tables are unchanged. "
                    f"{faults.detail}. See ops.check_results."
                )
        return len(work.pending)

    def _work(self, con: duckdb.DuckDBPyConnection, *, only: Collection[str] | None = None) -> Work:
        return find_work(
            con, self.parsed.source, self.landings, refused=self.refused, only=only,
            parser_version=self.parsed.made_by.parser_version,
        )  # fmt: skip

    def _refuse_all(self, batch: Sequence[Landing], detail: str, faults: _Faults | None = None) -> None:
        """Refuse every candidate of a batch because of what would become of loaded landings, which stay as they are."""
        for landing in batch:
            if self._is_candidate(landing) and landing.landing_id not in self.refused:
                sample = faults.sample if faults else ()
                self._refuse(landing, self.parsed.refusal(landing, faults.reason if faults else "gate", detail, sample))
            self.refused.add(landing.landing_id)

    def _refuse(self, landing: Landing, refusal: Refusal) -> None:
        self.refused.add(landing.landing_id)
        if self.candidates.ids:
            # It is not landed, or it is loaded and stays so: there is nothing to mark.
            if self._is_candidate(landing):
                self.new_refusals.append(refusal)
            return
        # Of answers that could not be read when they came, that is no news.
        if landing.completeness != "unreadable":
            self.new_refusals.append(refusal)
        self.parsed.store.refuse(landing, refusal)

    def _try(self, batch: Sequence[Landing]) -> _Faults | None:
        """Load a batch; return why it cannot be loaded, with the database as it was, or None."""
        # What was found right and is not landed stands beside the rest, so that a file is held against the candles of another.
        ids = [landing.landing_id for landing in (*self.passed, *batch)]
        while True:
            with self.connect() as con:
                work = self._work(con, only=ids)
                # Another process may have loaded some of it meanwhile.
                pending = [landing.landing_id for landing in work.pending]
                if not pending and not work.superseded:
                    return None
                ranks = {landing.landing_id: rank for rank, landing in enumerate(work.current)}
                stage = Stage(con, self.parsed, ranks, self.parsed.store.home)
                try:
                    stage.add_pending(pending, work.replaced)
                    sharing = stage.landings_in_affected_partitions(exclude=pending)
                    others = [landing for landing in work.unchanged if landing.landing_id in sharing]
                    unread = [landing for landing in others if landing.landing_id not in self.parsed.landings]
                    if not unread:
                        stage.add_unchanged(landing.landing_id for landing in others)
                        return self._commit(con, stage, work, batch)
                finally:
                    stage.drop()
            # Parsed without the lock; then the state of the database is compared again.
            for landing in unread:
                refusal = self.parsed.read(landing, landings=self.landings, refused=self.refused)
                if refusal is not None:
                    detail = f"shares days with {landing.original_name}, which can no longer be read: {refusal.detail}"
                    return _Faults(refusal.reason, detail, ())

    def _commit(
        self, con: duckdb.DuckDBPyConnection, stage: Stage, work: Work, batch: Sequence[Landing]
    ) -> _Faults | None:
        stage.resolve()
        inputs = stage.gate_inputs()
        results = run_gate_with_exceptions(con, self.parsed.contract, inputs, self.rules.exceptions, gate=self.gate)
        load_seq = int(scalar(con, "select coalesce(max(load_seq), 0) + 1 from ops.loads"))
        failed = [r for r in results if not r.passed and r.severity == "error"]
        if failed and batch and all(self._is_accepted(landing) for landing in batch):
            results = [replace(r, severity="warn") for r in results]
        elif failed:
            if (len(batch) <= 1 and self.candidates.land is not None) or not self.candidates.ids:
                record_checks(con, results, self.parsed.source, load_seq, self.parsed.now)
            names = {x.landing_id: x.original_name for x in self.landings}
            if self.candidates.ids and len(batch) <= 1:
                rejects = list(stage.reject_counts(names))
                self.refused_rejects += rejects
                failed = [_explained(r, rejects) for r in failed]
            detail = "; ".join(fault_line(r) for r in failed)
            sample = tuple(str(value) for r in failed for value in r.sample)
            kept = stage.quarantine() if self.candidates.ids else None
            return _Faults("gate", detail, sample, kept)
        results += [found for batch_of in inputs if (found := check_level(con, batch_of)) is not None]
        if self.candidates.ids:
            names = {x.landing_id: x.original_name for x in self.landings}
            if self.candidates.land is None:
                self.rejects = list(stage.reject_counts(names))
                self.counts, self.checks = list(stage.counts()), list(results)
                self.preview |= {name: rows for name, rows in stage.preview().items() if name not in self.preview}
                self.passed += batch
                return None
            self.rejects += stage.reject_counts(names)
            work = self._landed(work, batch)
        self.done += stage.commit(load_seq, work, self.rules, results)
        self.reread += len(work.reread)
        self.checks += results
        return None

    def _is_accepted(self, landing: Landing) -> bool:
        if self._is_candidate(landing):
            return self.candidates.accept is not None
        return self.parsed.store.is_accepted(landing)

    def _landed(self, work: Work, batch: Sequence[Landing]) -> Work:
        """Land the candidates of a batch that passed; the work with the landings they have become.

        A process that is killed before the rows are committed leaves landings that the next load takes. They are landed in the
        order of their times, which decides which of two files a row is kept of: after a kill it is the same.
        """
        store, land, accept = self.parsed.store, self.candidates.land, self.candidates.accept
        landed: dict[str, Landing] = {}
        for one in sorted(batch, key=lambda x: (x.fetched_at, x.landing_id)):
            if self._is_candidate(one) and land is not None:
                landed[one.landing_id] = land(one)
                if accept is not None:
                    store.accept(landed[one.landing_id], reason=accept)

        def now(landings: Sequence[Landing]) -> list[Landing]:
            return [landed.get(x.landing_id, x) for x in landings]

        return replace(
            work, pending=now(work.pending), unchanged=now(work.unchanged), current=now(work.current),
            unrecorded=[x for x in now(work.unrecorded) if x.landing_id in landed or not self._is_candidate(x)],
        )  # fmt: skip


@dataclass(frozen=True)
class _Faults:
    reason: str
    detail: str
    sample: tuple[str, ...]
    quarantine: pl.DataFrame | None = None


def _explained(result: CheckResult, rejects: Sequence[Mapping[str, Any]]) -> CheckResult:
    """A failed check of the number of rows with the commonest fault of the rows that are lacking."""
    kinds = [x for x in rejects if x["table"] == result.table]
    if result.cause is not None or not kinds or result.check_name not in {"batch_not_empty", "quarantine_share"}:
        return result
    first = kinds[0]
    return replace(
        result, cause=f"{first['rows']:,} rows are rejected, the first in line {first['line']}: {first['detail']}"
    )


def fault_line(result: CheckResult) -> str:
    """A failed check in one line: its name, the likely cause if one was found, and what was observed."""
    cause = "" if result.cause is None else f"{result.cause}. "
    return f"{result.table}.{result.check_name}: {cause}{dict(result.observed)}"
