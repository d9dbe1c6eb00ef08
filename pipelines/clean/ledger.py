"""The ops rows of a load: counts by day, quarantine, lineage, landings and gate results.

Reads the staged tables of the load (counted_<table>, affected_partitions, stage_rejects, stage_null_cells) in its
transaction. Coverage is in coverage.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

import duckdb
import orjson
import polars as pl

from pipelines.contract.batch import LeftOut
from pipelines.contract.ddl import Table
from pipelines.contract.versions import MadeBy
from pipelines.core.errors import ReconciliationError
from pipelines.extract.landing import Landing
from pipelines.quality.batch import CheckResult
from pipelines.storage.query import execute_with, first_row


@dataclass(frozen=True)
class TableLoad:
    """Counts of one table in one load. `first_day`, `last_day` and `days` (their number) are those of the affected
    partitions. `received` does not count what is `ignored`, the records that a named rule leaves out."""

    table: str
    received: int
    accepted: int
    duplicates: int
    restated: int
    quarantined: int
    absent_cells: int
    first_day: date | None
    last_day: date | None
    days: int
    ignored: int = 0


@dataclass(frozen=True)
class Work:
    """The landings of a source by what a load has to do with them."""

    pending: list[Landing]
    superseded: list[str]
    unchanged: list[Landing]
    current: list[Landing]
    unrecorded: list[Landing]
    reread: list[str] = field(default_factory=list)
    """Ids of pending landings that an earlier version of their parser has loaded: what it made of them is replaced."""

    @property
    def is_empty(self) -> bool:
        return not self.pending and not self.superseded

    @property
    def replaced(self) -> list[str]:
        """Ids of loaded landings whose rows are taken out."""
        return [*self.superseded, *self.reread]


def write_loads(
    con: duckdb.DuckDBPyConnection,
    tables: Sequence[str],
    totals: Mapping[str, tuple[int, int, int, int]],
    left_out: Mapping[str, LeftOut],
    source: str,
    load_seq: int,
    now: datetime,
    made_by: MadeBy,
) -> tuple[TableLoad, ...]:
    """Write one ops.loads row per affected partition; a CHECK in the DDL enforces the reconciliation identity.

    `totals` are rows received, accepted, duplicate and quarantined, counted independently: raises ReconciliationError if the
    sums over days differ from them. `left_out` are the records that are no rows; they stand in the row of the earliest day.
    """
    for name in tables:
        con.execute(
            f"""
            insert into ops.loads
            with
            staged as (
                select
                    trade_date,
                    sum(n) as staged,
                    sum(n) filter (where outcome is null) as accepted,
                    sum(n) filter (where outcome in ('duplicate', 'restated')) as duplicates,
                    sum(n) filter (where outcome = 'restated') as restated,
                    sum(n) filter (where outcome in ('contract', 'conflicting_duplicate')) as resolved_out
                from counted_{name}
                group by trade_date
            ),
            parsed_out as (
                select trade_date, count(*) as parsed_out
                from stage_rejects
                where table_name = '{name}' and reason not in ('contract', 'conflicting_duplicate')
                group by trade_date
            ),
            null_cells as (
                select trade_date, sum(cells) as cells from stage_null_cells where table_name = '{name}' group by trade_date
            ),
            days as (
                select trade_date from affected_partitions where table_name = '{name}'
                union
                select trade_date from null_cells
            )
            select
                ?, ?, '{name}', d.trade_date,
                coalesce(s.staged, 0) + coalesce(p.parsed_out, 0),
                coalesce(s.accepted, 0),
                coalesce(s.duplicates, 0),
                coalesce(s.restated, 0),
                coalesce(s.resolved_out, 0) + coalesce(p.parsed_out, 0),
                coalesce(a.cells, 0),
                0,
                0,
                null,
                ?, ?, ?, ?
            from days as d
            left join staged as s on s.trade_date is not distinct from d.trade_date
            left join parsed_out as p on p.trade_date is not distinct from d.trade_date
            left join null_cells as a on a.trade_date is not distinct from d.trade_date
            """,
            [load_seq, source, now, made_by.code_version, made_by.schema_version, made_by.parser_version],
        )
        _write_left_out(con, name, left_out.get(name, LeftOut()), source, load_seq, now, made_by)
    reports = []
    for row in con.execute(
        "select table_name, sum(received)::bigint, sum(accepted)::bigint, sum(duplicates)::bigint, sum(restated)::bigint, "
        "sum(quarantined)::bigint, sum(absent_cells)::bigint, min(trade_date), max(trade_date), count(trade_date), "
        "sum(ignored)::bigint from ops.loads where load_seq = ? group by table_name order by table_name",
        [load_seq],
    ).fetchall():
        report = TableLoad(*row)
        counted = (report.received, report.accepted, report.duplicates, report.quarantined)
        if counted != totals[report.table]:
            raise ReconciliationError(
                f"{source}: {report.table} counts {counted} (received, accepted, duplicates, quarantined) by day but "
                f"{totals[report.table]} in total. Nothing was committed; this is a bug in the loader."
            )
        reports.append(report)
    return tuple(reports)


def _write_left_out(
    con: duckdb.DuckDBPyConnection,
    table: str,
    left_out: LeftOut,
    source: str,
    load_seq: int,
    now: datetime,
    made_by: MadeBy,
) -> None:
    ignored = sum(left_out.ignored.values())
    if not left_out.outside + ignored:
        return
    key = [load_seq, source, table]
    days, first = first_row(
        con,
        "select count(*), min(trade_date) from ops.loads where load_seq = ? and source = ? and table_name = ?",
        key,
    )
    if not days:
        # Nothing became a row, as on a day of ordinary trades.
        con.execute(
            "insert into ops.loads values (?, ?, ?, null, 0, 0, 0, 0, 0, 0, 0, 0, null, ?, ?, ?, ?)",
            [*key, now, made_by.code_version, made_by.schema_version, made_by.parser_version],
        )
    con.execute(
        "update ops.loads set outside_span = ?, ignored = ?, ignored_by = ? "
        "where load_seq = ? and source = ? and table_name = ? and trade_date is not distinct from ?",
        [left_out.outside, ignored, orjson.dumps(dict(left_out.ignored)).decode() if ignored else None, *key, first],
    )


def write_quarantine(con: duckdb.DuckDBPyConnection, source: str, work: Work, now: datetime) -> None:
    """Replace the quarantine of the affected partitions and of superseded landings."""
    con.execute(
        "delete from ops.quarantine where source = ? and (landing_id in (select unnest(cast(? as varchar[]))) or exists "
        "(select 1 from affected_partitions as t where t.table_name = quarantine.table_name "
        "and t.trade_date = quarantine.trade_date))",
        [source, work.replaced],
    )
    con.execute(
        "insert into ops.quarantine select ?, table_name, trade_date, landing_id, line, field, instrument, reason, detail, "
        "raw, ? from stage_rejects",
        [source, now],
    )


def write_lineage(con: duckdb.DuckDBPyConnection, tables: Mapping[str, Table], source: str, work: Work) -> None:
    """Replace the lineage of the affected partitions: rows by landing. Merged tables keep the lineage of other landings."""
    merge = [t.name for t in tables.values() if t.merge]
    con.execute(
        "delete from ops.lineage where source = ? and (landing_id in (select unnest(cast(? as varchar[]))) or exists "
        "(select 1 from affected_partitions as t where t.table_name = lineage.table_name and t.trade_date = lineage.trade_date)) "
        "and not (table_name in (select unnest(cast(? as varchar[]))) "
        "and landing_id not in (select unnest(cast(? as varchar[]))))",
        [source, work.replaced, merge, work.replaced],
    )
    for name in tables:
        con.execute(
            f"""
            insert into ops.lineage
            with
            seen as (
                select trade_date, landing_id, n as received, case when outcome is null then n else 0 end as accepted
                from counted_{name}
                union all
                select trade_date, landing_id, 1, 0
                from stage_rejects
                where table_name = '{name}' and reason not in ('contract', 'conflicting_duplicate')
            )
            select ?, '{name}', trade_date, landing_id, sum(received), sum(accepted)
            from seen
            group by trade_date, landing_id
            """,
            [source],
        )


def write_landings(con: duckdb.DuckDBPyConnection, work: Work, home: Path, parser_version: int | None = None) -> None:
    """Record new landings, those that are no longer current, and the version of the parser that loaded the pending ones."""
    current = {x.landing_id for x in work.current}
    rows = pl.DataFrame(
        [
            {
                "landing_id": x.landing_id,
                "source": x.source,
                "partition": x.partition,
                "part": x.part,
                "version": x.version,
                "is_current": x.landing_id in current,
                "path": x.path.relative_to(home).as_posix(),
                "original_name": x.original_name,
                "sha256": x.sha256,
                "bytes": x.bytes,
                "fetched_at": x.fetched_at,
                "completeness": x.completeness,
                "request": orjson.dumps(dict(x.request), option=orjson.OPT_SORT_KEYS).decode(),
                "parser_version": parser_version if x.landing_id in current else None,
            }
            for x in work.unrecorded
        ],
        schema_overrides={"fetched_at": pl.Datetime("us"), "parser_version": pl.Int64},
    )
    if rows.height:
        execute_with(con, rows, "delete from ops.landings where landing_id in (select landing_id from frame)")
        execute_with(con, rows, "insert into ops.landings by name select * from frame")
    # A forgotten landing is no longer on the list of those on disk, but its row stays.
    con.execute(
        "update ops.landings set is_current = false where landing_id in (select unnest(cast(? as varchar[])))",
        [work.superseded],
    )


def record_checks(
    con: duckdb.DuckDBPyConnection, results: Sequence[CheckResult], source: str, load_seq: int, now: datetime
) -> None:
    """Write the gate results, replacing those of the same load and source."""
    if not results:
        return
    rows = pl.DataFrame(
        {
            "load_seq": [load_seq] * len(results),
            "source": [source] * len(results),
            "table_name": [r.table for r in results],
            "check_name": [r.check_name for r in results],
            "severity": [r.severity for r in results],
            "passed": [r.passed for r in results],
            "observed": [orjson.dumps(dict(r.observed), default=str).decode() for r in results],
            "sample": [orjson.dumps(list(r.sample), default=str).decode() for r in results],
            "checked_at": [now] * len(results),
        }
    )
    con.execute("delete from ops.check_results where load_seq = ? and source = ?", [load_seq, source])
    execute_with(con, rows, "insert into ops.check_results by name select * from frame")
