"""Loading: parsed batches of one source become clean rows, quarantine, reconciliation and coverage in one transaction.

Pending landings are found by comparing the landing with ops.landings; callers pass no dates. No parsing and no DDL here;
the connection is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import duckdb

from pipelines.clean.ledger import TableLoad, Work, record_checks
from pipelines.clean.stage import Stage
from pipelines.contract.batch import SourceRules
from pipelines.contract.ddl import Contract
from pipelines.core.errors import GateError
from pipelines.core.progress import Progress, no_progress
from pipelines.extract.landing import Landing, Parser, current_versions
from pipelines.quality.batch import CheckResult, Gate
from pipelines.quality.exceptions import run_gate_with_exceptions
from pipelines.storage.query import scalar

__all__ = ["LoadReport", "TableLoad", "Work", "find_work", "load_source"]


@dataclass(frozen=True)
class LoadReport:
    """Result of one load. `load_seq` is None if nothing was pending."""

    source: str
    load_seq: int | None
    landings: int
    tables: tuple[TableLoad, ...] = ()
    checks: tuple[CheckResult, ...] = field(default=(), repr=False)


def find_work(con: duckdb.DuckDBPyConnection, source: str, landings: Iterable[Landing]) -> Work:
    """Compare the landings on disk with ops.landings.

    `superseded` are ids of loaded landings that are no longer current; `unchanged` are loaded, current landings, which may
    share days with pending ones.
    """
    known: dict[str, bool] = dict(
        con.execute("select landing_id, is_current from ops.landings where source = ?", [source]).fetchall()
    )
    matching = [x for x in landings if x.source == source]
    current = current_versions(matching)
    current_ids = {landing.landing_id for landing in current}
    return Work(
        pending=[landing for landing in current if landing.landing_id not in known],
        superseded=[
            landing_id for landing_id, is_current in known.items() if is_current and landing_id not in current_ids
        ],
        unchanged=[landing for landing in current if landing.landing_id in known],
        current=current,
        unrecorded=[x for x in matching if known.get(x.landing_id) is not (x.landing_id in current_ids)],
    )


def load_source(
    con: duckdb.DuckDBPyConnection,
    *,
    contract: Contract,
    source: str,
    landings: Iterable[Landing],
    parse: Parser,
    rules: SourceRules,
    gate: Gate,
    now: datetime,
    home: Path,
    progress: Progress = no_progress,
) -> LoadReport:
    """Load the pending landings of `source` in one transaction.

    The affected (table, day) partitions are rebuilt from all current landings with rows in them, so that restated and
    removed files take effect. Raises SourceFormatError from the parser, GateError if the gate refuses the batch, and
    ReconciliationError if the counts do not add up; the clean tables are then unchanged.
    """
    work = find_work(con, source, landings)
    if work.is_empty:
        return LoadReport(source=source, load_seq=None, landings=0)
    load_seq = int(scalar(con, "select coalesce(max(load_seq), 0) + 1 from ops.loads"))
    stage = Stage(con, contract, source, now, home)
    try:
        order = {landing.landing_id: rank for rank, landing in enumerate(work.current)}
        for done, landing in enumerate(work.pending):
            progress(f"{source}: {landing.original_name}", done, len(work.pending))
            for batch in parse(landing):
                stage.add(batch, order[landing.landing_id])
        stage.find_affected_partitions(work.superseded)
        sharing = stage.landings_in_affected_partitions(exclude=[x.landing_id for x in work.pending])
        for landing in work.unchanged:
            if landing.landing_id in sharing:
                for batch in parse(landing):
                    stage.add(batch, order[landing.landing_id], unchanged_landing=True)
        stage.resolve()
        progress(f"{source}: checks", len(work.pending), len(work.pending))
        results = run_gate_with_exceptions(con, contract, stage.gate_inputs(), rules.exceptions, gate=gate)
        failed = [r for r in results if not r.passed and r.severity == "error"]
        if failed:
            record_checks(con, results, source, load_seq, now)
            faults = "; ".join(f"{r.table}.{r.check_name}: {dict(r.observed)}" for r in failed)
            raise GateError(
                f"{source}: the gate refused the batch; the clean tables are unchanged. {faults}. "
                "See ops.check_results; correct the mapping or the file and import again. If the data is correct, declare "
                "an exception: [[accept]] in the mapping, see docs/quality.md."
            )
        tables = stage.commit(load_seq, work, rules, results)
    finally:
        stage.drop()
    progress(source, len(work.pending), len(work.pending))
    return LoadReport(
        source=source, load_seq=load_seq, landings=len(work.pending), tables=tables, checks=tuple(results)
    )
