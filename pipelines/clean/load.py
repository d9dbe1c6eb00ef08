"""Loading: the pending landings of one source become clean rows, quarantine, reconciliation and coverage.

A landing is the unit of damage: one that cannot be read, or that the gate refuses, is refused by itself and the rest is loaded.
Landings are parsed before the database is opened. Pending ones are found by comparing the landing with ops.landings; callers
pass no dates. No parsing and no DDL here; how to connect is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime

import duckdb

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

__all__ = ["Connect", "LoadReport", "TableLoad", "Work", "find_work", "load_source"]

Connect = Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]]
"""Opens the warehouse for writing; other writers wait until the block ends."""


@dataclass(frozen=True)
class LoadReport:
    """Result of one load: one entry of `tables` per batch and table, the gate's results, and the refused landings.

    `reread` counts those of `landings` that an earlier version of their parser had loaded.
    """

    source: str
    landings: int = 0
    reread: int = 0
    tables: tuple[TableLoad, ...] = ()
    checks: tuple[CheckResult, ...] = field(default=(), repr=False)
    refused: tuple[Refusal, ...] = ()


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
    progress: Progress = no_progress,
) -> LoadReport:
    """Load the pending landings of `source`: in one transaction, unless some of them are at fault.

    The affected (table, day) partitions are rebuilt from all current landings with rows in them, so that restated, removed and
    forgotten files take effect. What cannot be parsed is refused. If the gate refuses the batch, it is halved until the
    landings at fault are found; these are refused and the rest is loaded. A refused landing is tried again once it was
    accepted, or once `reader_version` has changed. Raises GateError if the gate refuses what remains of a removed landing, and
    ReconciliationError if the counts do not add up; the clean tables are then unchanged. Rows that could only be known after
    `known_by` are left out.
    """
    landings = list(landings)
    with parsed_source(
        contract,
        source,
        store,
        parse,
        reader_version=reader_version,
        now=now,
        known_by=known_by,
        made_by=made_by,
    ) as parsed:
        load = _Load(connect, parsed, landings, rules, gate, progress)
        return load.run()


@dataclass
class _Load:
    connect: Connect
    parsed: ParsedSource
    landings: Sequence[Landing]
    rules: SourceRules
    gate: Gate
    progress: Progress
    refused: set[str] = field(default_factory=set)
    """Landings that count as not landed."""
    done: list[TableLoad] = field(default_factory=list)
    checks: list[CheckResult] = field(default_factory=list)
    new_refusals: list[Refusal] = field(default_factory=list)
    loaded: int = 0
    reread: int = 0

    def run(self) -> LoadReport:
        source, store = self.parsed.source, self.parsed.store
        known = store.refusals(x for x in self.landings if x.source == source)
        self.refused = {x for x, refusal in known.items() if refusal.reader_version == self.parsed.reader_version}
        pending = 0
        while True:
            before = len(self.new_refusals)
            pending += self._load_pending()
            if len(self.new_refusals) == before:
                break
            # Where a landing was refused, the version before it may be one that was never loaded.
        self.progress(source, self.loaded, pending)
        return LoadReport(
            source, self.loaded, self.reread, tuple(self.done), tuple(self.checks), tuple(self.new_refusals)
        )

    def _load_pending(self) -> int:
        """Load or refuse everything that is pending now; return how many landings that was."""
        source, store = self.parsed.source, self.parsed.store
        with self.connect() as con:
            work = self._work(con)
        for number, landing in enumerate(work.pending):
            self.progress(f"{source}: {landing.original_name}", number, len(work.pending))
            refusal = self.parsed.read(landing, landings=self.landings, refused=self.refused)
            if refusal is not None:
                self._refuse(landing, refusal)
        readable = [x for x in work.pending if x.landing_id not in self.refused]
        batches = [readable] if readable or work.superseded else []
        while batches:
            batch = batches.pop()
            self.progress(f"{source}: checks", self.loaded, len(work.pending))
            faults = self._try(batch)
            if faults is None:
                self.loaded += len(batch)
                for landing in batch:
                    store.clear_refusal(landing)
            elif len(batch) > 1:
                batches += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]
            elif batch:
                [landing] = batch
                self._refuse(landing, self.parsed.refusal(landing, faults.reason, faults.detail, faults.sample))
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

    def _refuse(self, landing: Landing, refusal: Refusal) -> None:
        self.refused.add(landing.landing_id)
        # Of answers that could not be read when they came, that is no news.
        if landing.completeness != "unreadable":
            self.new_refusals.append(refusal)
        self.parsed.store.refuse(landing, refusal)

    def _try(self, batch: Sequence[Landing]) -> _Faults | None:
        """Load a batch; return why it cannot be loaded, with the database as it was, or None."""
        ids = [landing.landing_id for landing in batch]
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
        if failed and batch and all(self.parsed.store.is_accepted(landing) for landing in batch):
            results = [replace(r, severity="warn") for r in results]
        elif failed:
            if len(batch) <= 1:
                record_checks(con, results, self.parsed.source, load_seq, self.parsed.now)
            detail = "; ".join(f"{r.table}.{r.check_name}: {dict(r.observed)}" for r in failed)
            return _Faults("gate", detail, tuple(str(value) for r in failed for value in r.sample))
        results += [found for batch_of in inputs if (found := check_level(con, batch_of)) is not None]
        self.done += stage.commit(load_seq, work, self.rules, results)
        self.reread += len(work.reread)
        self.checks += results
        return None


@dataclass(frozen=True)
class _Faults:
    reason: str
    detail: str
    sample: tuple[str, ...]
