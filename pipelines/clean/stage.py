"""The staging area of a load: rows are written as Parquet, checked, and inserted into the clean tables in one transaction.

load.py decides which landings are staged. No parsing and no DDL here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from pipelines.clean.coverage import write_coverage
from pipelines.clean.ledger import (
    TableLoad,
    Work,
    record_checks,
    write_landings,
    write_lineage,
    write_loads,
    write_quarantine,
)
from pipelines.clean.parsed import ParsedLanding, ParsedSource, shared_constants, stage_schema
from pipelines.contract.batch import LeftOut, SourceRules
from pipelines.contract.ddl import Table
from pipelines.core.errors import ReconciliationError, WarehouseDamagedError
from pipelines.quality.batch import CheckResult, GateInput
from pipelines.storage.query import exactly, execute_with, first_row, scalar, transaction

STAGE_ROWS_PER_PASS: Final = 5_000_000
"""Keys compared per pass: bounds the memory of deduplication (8 bytes per row, plus a set of the same size)."""


REJECT_KINDS: Final = 25
"""Kinds of rejected rows that are shown one by one."""

PREVIEW_ROWS: Final = 20
"""Rows of a table that a trial shows as they would be."""


class Stage:
    """A batch on its way into the clean tables. Rows are Parquet files that parsed.py wrote, so that memory stays bounded and
    the database is written once; stage_<table> is a view of them, rejected_<table> lists the rows that are not accepted.

    `ranks` orders landings from old to new.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, parsed: ParsedSource, ranks: Mapping[str, int], home: Path
    ) -> None:
        self.con = con
        self.home = home
        self.parsed = parsed
        self.contract = parsed.contract
        self.source = parsed.source
        self.now = parsed.now
        self.ranks = ranks
        self.tables: dict[str, Table] = {}
        self.pending: list[ParsedLanding] = []
        self.unchanged: list[ParsedLanding] = []
        con.execute(
            "create or replace temp table stage_rejects (table_name varchar, landing_id varchar, trade_date date, line bigint, "
            "field varchar, instrument varchar, reason varchar, detail varchar, raw varchar)"
        )
        con.execute(
            "create or replace temp table stage_null_cells (table_name varchar, landing_id varchar, trade_date date, "
            "instrument varchar, cells bigint)"
        )
        con.execute(
            "create or replace temp table stage_withdrawn (table_name varchar, venue varchar, instrument varchar, series varchar, "
            "trade_date date, rows bigint)"
        )
        con.execute("create or replace temp table affected_partitions (table_name varchar, trade_date date)")

    def add_pending(self, landing_ids: Iterable[str], replaced: Sequence[str]) -> None:
        """Stage the landings to load and fill affected_partitions: their days, and those that replaced landings had rows in."""
        self.pending = [self.parsed.landings[landing_id] for landing_id in landing_ids]
        for landing in self.pending:
            for name in landing.tables:
                if name not in self.tables:
                    self._create(self.contract.table(name))
            self._add_rejects(landing)
        for name in self.tables:
            found = (landing.tables[name].days for landing in self.pending if name in landing.tables)
            days = pl.DataFrame({"trade_date": list(set().union(*found))}, schema={"trade_date": pl.Date()})
            execute_with(self.con, days, "insert into affected_partitions select ?, trade_date from frame", [name])
        self.con.execute("insert into affected_partitions select distinct table_name, trade_date from stage_rejects")
        self.con.execute(
            "insert into affected_partitions select distinct table_name, trade_date from ops.lineage "
            "where source = ? and landing_id in (select unnest(cast(? as varchar[])))",
            [self.source, list(replaced)],
        )
        self.con.execute(
            "create or replace temp table affected_partitions as select distinct table_name, trade_date from affected_partitions"
        )
        for (name,) in self.con.execute("select distinct table_name from affected_partitions").fetchall():
            if name not in self.tables:
                self._create(self.contract.table(name))

    def add_unchanged(self, landing_ids: Iterable[str]) -> None:
        """Stage what loaded landings have in the affected partitions, which are built anew from all of their landings."""
        self.unchanged = [self.parsed.landings[landing_id] for landing_id in landing_ids]
        for landing in self.unchanged:
            self._add_rejects(landing, only_affected=True)

    def _add_rejects(self, landing: ParsedLanding, *, only_affected: bool = False) -> None:
        where = (
            " where (?, trade_date) in (select table_name, trade_date from affected_partitions)"
            if only_affected
            else ""
        )
        for name, files in landing.rejects.items():
            self.con.execute(
                "insert into stage_rejects select ?, ?, trade_date, line, field, instrument, reason, detail, raw "
                f"from {_read(files)}{where}",
                [name, landing.landing_id, *([name] if only_affected else [])],
            )
        for name, frame in landing.withdrawn.items():
            execute_with(
                self.con,
                frame,
                "insert into stage_withdrawn select ?, * from frame" + where,
                [name] * (1 + only_affected),
            )
        for name, frame in landing.null_cells.items():
            execute_with(
                self.con,
                frame,
                f"insert into stage_null_cells select ?, ?, trade_date, instrument, cells from frame{where}",
                [name, landing.landing_id, *([name] if only_affected else [])],
            )

    def landings_in_affected_partitions(self, *, exclude: list[str]) -> set[str]:
        """Other landings with rows in the affected partitions."""
        merge = [t.name for t in self.contract.clean.values() if t.merge]
        rows = self.con.execute(
            "select distinct l.landing_id from ops.lineage as l join affected_partitions as t "
            "on t.table_name = l.table_name and t.trade_date is not distinct from l.trade_date "
            "where l.source = ? and t.trade_date is not null "
            "and l.table_name not in (select unnest(cast(? as varchar[]))) "
            "and l.landing_id not in (select unnest(cast(? as varchar[])))",
            [self.source, merge, exclude],
        ).fetchall()
        return {row[0] for row in rows}

    def resolve(self) -> None:
        """Decide which staged rows are not accepted: contract violations, conflicts, duplicates."""
        for table in self.tables.values():
            self._open_view(table)
            self._find_violations(table)
            self._find_duplicates(table)
            if table.merge:
                self._find_older(table)
            self._move_to_rejects(table)
            self._create_view(table)
            self._count(table)

    def gate_inputs(self) -> list[GateInput]:
        """The batches as input of the gate."""
        distrusted = dict(
            self.con.execute(
                "select table_name, count(*) from stage_rejects where reason = 'sentinel' group by all"
            ).fetchall()
        )
        return [
            GateInput(table=name, source=self.source, staged=f"accepted_{name}", received=received, accepted=accepted,
                      duplicates=duplicates, quarantined=quarantined, distrusted=distrusted.get(name, 0))
            for name, (received, accepted, duplicates, quarantined) in sorted(self._totals().items())
        ]  # fmt: skip

    def quarantine(self) -> pl.DataFrame:
        """Every rejected row, with the columns of ops.quarantine."""
        return self.con.sql(
            "select table_name, trade_date, landing_id, line, field, instrument, reason, detail, raw from stage_rejects "
            "order by all"
        ).pl()

    def reject_counts(self, names: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """Rejected rows by table, reason and column, the most first, with file, line, message and content of the first of each.

        `names` are the names of the files by landing.
        """
        found = self.con.sql(f"""
            select
                table_name as "table", reason, field as "column", count(*) as rows, arg_min(landing_id, coalesce(line, 0)) as file,
                min(line) as line, arg_min(detail, coalesce(line, 0)) as detail, arg_min(raw, coalesce(line, 0)) as raw
            from stage_rejects
            group by table_name, reason, field
            order by rows desc, 1, 2, 3
            limit {REJECT_KINDS}
        """).pl()
        return [{**row, "file": names.get(row["file"], row["file"])} for row in found.iter_rows(named=True)]

    def counts(self) -> list[Mapping[str, Any]]:
        """Records by table and outcome, which add up to those received, and the days they are of."""
        found: list[Mapping[str, Any]] = []
        for name, (received, accepted, duplicates, quarantined) in sorted(self._totals().items()):
            first, last = first_row(self.con, f"select min(trade_date), max(trade_date) from accepted_{name}")
            ignored = sum(x.left_out[name].records for x in self.pending if name in x.left_out)
            found.append({
                "table": name, "received": received + ignored, "accepted": accepted, "duplicates": duplicates,
                "quarantined": quarantined, "ignored": ignored, "first_day": first, "last_day": last,
            })  # fmt: skip
        return found

    def preview(self) -> dict[str, tuple[Mapping[str, Any], ...]]:
        """Some accepted rows of every table, without what the loader adds."""
        return {
            name: tuple(
                self.con.sql(
                    f"select * exclude (source, landing_id, loaded_at) from accepted_{name} limit {PREVIEW_ROWS}"
                )
                .pl()
                .iter_rows(named=True)
            )
            for name in sorted(self.tables)
        }

    def commit(
        self, load_seq: int, work: Work, rules: SourceRules, results: Sequence[CheckResult]
    ) -> tuple[TableLoad, ...]:
        """Replace the affected partitions and write all ops rows in one transaction."""
        con = self.con
        with transaction(con):
            for table in self.tables.values():
                self._replace_rows(table, work.reread)
            made_by = self.parsed.made_by
            reports = write_loads(
                con, list(self.tables), self._totals(), self._left_out(), self.source, load_seq, self.now, made_by
            )
            write_quarantine(con, self.source, work, self.now)
            write_lineage(con, self.tables, self.source, work)
            write_landings(con, work, self.home, made_by.parser_version)
            write_coverage(con, self.contract, self.source, rules)
            record_checks(con, results, self.source, load_seq, self.now)
        con.execute("checkpoint")
        return reports

    def drop(self) -> None:
        """Remove the temporary tables."""
        for name in self.tables:
            self.con.execute(f"drop view if exists accepted_{name}")
            self.con.execute(f"drop table if exists rejected_{name}")
            self.con.execute(f"drop table if exists counted_{name}")
            self.con.execute(f"drop view if exists stage_{name}")
        for name in ("stage_rejects", "stage_null_cells", "stage_withdrawn", "affected_partitions"):
            self.con.execute(f"drop table if exists {name}")

    def _create(self, table: Table) -> None:
        """Create the table of rejected rows."""
        self.con.execute(
            f"create or replace temp table rejected_{table.name} (rid bigint, outcome varchar, detail varchar)"
        )
        self.tables[table.name] = table

    def _files(self, table: Table, landings: Iterable[ParsedLanding]) -> list[Path]:
        return [
            file for landing in landings if table.name in landing.tables for file in landing.tables[table.name].files
        ]

    def _open_view(self, table: Table) -> None:
        """Create stage_<table> over the files of the staged landings.

        Constant columns are literals in the view, so that they are checked once and not read.
        """
        pending = self._files(table, self.pending)
        # The rows of a merged table are replaced key by key: those of other landings stay.
        unchanged = [] if table.merge else self._files(table, self.unchanged)
        used = [x for x in (*self.pending, *([] if table.merge else self.unchanged)) if table.name in x.tables]
        constants = shared_constants(x.tables[table.name].constant_columns for x in used if x.tables[table.name].files)
        replaced = ", ".join(
            f"cast({_literal(value)} as varchar) as {column}" for column, value in sorted(constants.items())
        )
        columns = f"select *{f' replace ({replaced})' if replaced else ''}"
        parts = [f"{columns} from {_read(pending or [self._empty(table)])}"]
        if unchanged:
            parts.append(
                f"{columns} from {_read(unchanged)} where trade_date in "
                f"(select trade_date from affected_partitions where table_name = '{table.name}')"
            )
        self.con.execute(f"create or replace temp view stage_{table.name} as {' union all by name '.join(parts)}")

    def _empty(self, table: Table) -> Path:
        """A file without rows that defines the columns."""
        path = self.parsed.folder / f"{table.name}-empty.parquet"
        if not path.exists():
            pl.DataFrame(schema=stage_schema(table)).write_parquet(path)
        return path

    def _find_violations(self, table: Table) -> None:
        """Reject rows that violate a NOT NULL or CHECK of the DDL, with the first violated rule."""
        required = [c.name for c in table.wire_columns if not c.nullable]
        whens = [f"when {c} is null then '{c} is null'" for c in required]
        whens += [f"when not ({check}) then 'violates: {_quoted(check)}'" for check in table.checks]
        broken = " or ".join(
            # A CHECK that evaluates to null passes, and "not (null)" selects no row either.
            [f"{c} is null" for c in required] + [f"not ({check})" for check in table.checks]
        )
        self.con.execute(
            f"insert into rejected_{table.name} select _rid, 'contract', case {' '.join(whens)} end "
            f"from stage_{table.name} where {broken}"
        )

    def _find_duplicates(self, table: Table) -> None:
        """Resolve rows with equal keys: if one landing has different values for a key, all of its rows with that key are
        rejected; otherwise the first row of the newest landing is kept."""
        suspects = self._suspect_keys(table)
        if suspects.is_empty():
            return
        key = ", ".join(c for c in table.key if c != "source")
        values = ", ".join(table.value_columns) or "1"
        execute_with(
            self.con,
            suspects.to_frame(),
            f"""
            create or replace temp table suspects as
            select
                s._rid as rid, {key}, s.landing_id, s._line, s._field, hash({values}) as content
            from stage_{table.name} as s
            where s._key in (select _key from frame) and s._rid not in (select rid from rejected_{table.name})
            """,
        )
        execute_with(
            self.con,
            self._ranked(),
            f"""
            insert into rejected_{table.name}
            with
            judged as (
                select s.*, f.rank, min(s.content) over w <> max(s.content) over w as contradicts
                from suspects as s
                join frame as f using (landing_id)
                window w as (partition by {key}, landing_id)
            ),
            ranked as (
                select
                    *,
                    row_number() over w as position,
                    first_value(content) over w as kept
                from judged
                where not contradicts
                window w as (partition by {key} order by rank desc, _line, _field nulls first)
            )
            select rid, 'conflicting_duplicate', 'same key with different values in one file' from judged where contradicts
            union all
            select rid, case when content = kept then 'duplicate' else 'restated' end, null from ranked where position > 1
            """,
        )
        self.con.execute("drop table suspects")

    def _find_older(self, table: Table) -> None:
        """Leave a loaded row of a merged table as it is where it came from a newer landing, which may have been loaded before."""
        key = " and ".join(f"s.{c} = c.{c}" for c in table.key if c != "source")
        same = " and ".join(f"s.{c} is not distinct from c.{c}" for c in table.value_columns) or "true"
        execute_with(
            self.con,
            self._ranked(),
            f"""
            insert into rejected_{table.name}
            select s._rid, case when {same} then 'duplicate' else 'restated' end, null
            from stage_{table.name} as s
            join frame as staged on staged.landing_id = s.landing_id
            join {table.qualified} as c on c.source = ? and {key}
            join frame as loaded on loaded.landing_id = c.landing_id
            where
                loaded.rank > staged.rank
                and not list_contains(cast(? as varchar[]), c.landing_id)
                and s._rid not in (select rid from rejected_{table.name})
            """,
            [self.source, [landing.landing_id for landing in self.pending]],
        )

    def _ranked(self) -> pl.DataFrame:
        """The landings and their ranks: the newest has the highest."""
        return pl.DataFrame(
            {"landing_id": list(self.ranks), "rank": list(self.ranks.values())},
            schema={"landing_id": pl.String(), "rank": pl.Int64()},
        )

    def _suspect_keys(self, table: Table) -> pl.Series:
        """Hashes of keys that may occur twice, found in several passes over part of the hashes to bound the memory."""
        found = [pl.Series("_key", [], dtype=pl.UInt64())]
        files = self._files(table, (*self.pending, *self.unchanged)) or [self._empty(table)]
        scan = pl.scan_parquet(files, glob=False).select("_key")
        passes = -(-int(scalar(self.con, f"select count(*) from stage_{table.name}")) // STAGE_ROWS_PER_PASS)
        for number in range(passes):
            keys = scan.filter(pl.col("_key") % passes == number) if passes > 1 else scan
            held = keys.collect().to_series()
            if held.n_unique() < held.len():
                found.append(held.filter(held.is_duplicated()).unique())
        return pl.concat(found)

    def _move_to_rejects(self, table: Table) -> None:
        """Copy rows rejected by the contract or a conflict into stage_rejects, with all columns."""
        columns = ", ".join(f"{c.name} := s.{c.name}" for c in table.wire_columns)
        instrument = table.instrument_column or "null"
        self.con.execute(
            f"insert into stage_rejects select '{table.name}', s.landing_id, s.trade_date, s._line, s._field, {instrument}, "
            f"o.outcome, o.detail, cast(to_json(struct_pack({columns})) as varchar) "
            f"from stage_{table.name} as s join rejected_{table.name} as o on o.rid = s._rid "
            "where o.outcome in ('contract', 'conflicting_duplicate')"
        )

    def _count(self, table: Table) -> None:
        """Create counted_<table>: rows by day, landing and outcome (null: accepted), from which the ops rows are computed.

        If coverage counts periods, rows are also counted by series. Not for events, where every event may be its own series.
        """
        by_series = table.coverage is not None and table.coverage.expected == "period"
        columns = [f"s.{c}" for c in table.series_columns] if by_series else []
        rejected = scalar(self.con, f"select count(*) from rejected_{table.name}")
        outcome = "o.outcome" if rejected else "cast(null as varchar)"
        joined = f" left join rejected_{table.name} as o on o.rid = s._rid" if rejected else ""
        self.con.execute(
            f"create or replace temp table counted_{table.name} as "
            f"select {', '.join([*columns, 's.trade_date', 's.landing_id'])}, {outcome} as outcome, count(*) as n "
            f"from stage_{table.name} as s{joined} group by all"
        )

    def _create_view(self, table: Table) -> None:
        columns = ", ".join(
            {"source": f"'{_quoted(self.source)}' as source", "loaded_at": f"timestamp '{self.now}' as loaded_at"}.get(
                c, c
            )
            for c in table.column_names
        )
        rejected = scalar(self.con, f"select count(*) from rejected_{table.name}")
        keep = f" where _rid not in (select rid from rejected_{table.name})" if rejected else ""
        self.con.execute(
            f"create or replace temp view accepted_{table.name} as select {columns} from stage_{table.name}{keep}"
        )

    def _left_out(self) -> dict[str, LeftOut]:
        """What the landings to load have that is no row of a table, by table."""
        return {
            name: sum((x.left_out[name] for x in self.pending if name in x.left_out), LeftOut()) for name in self.tables
        }

    def _totals(self) -> dict[str, tuple[int, int, int, int]]:
        return {name: self._total(name) for name in self.tables}

    def _total(self, name: str) -> tuple[int, int, int, int]:
        """Rows received, accepted, duplicate and quarantined."""
        staged, parsed_out, duplicates, resolved_out = first_row(
            self.con,
            f"""
            select
                (select count(*) from stage_{name}),
                (select count(*) from stage_rejects where table_name = '{name}'
                    and reason not in ('contract', 'conflicting_duplicate')),
                (select count(*) from rejected_{name} where outcome in ('duplicate', 'restated')),
                (select count(*) from rejected_{name} where outcome in ('contract', 'conflicting_duplicate'))
            """,
        )
        return staged + parsed_out, staged - duplicates - resolved_out, duplicates, parsed_out + resolved_out

    def _replace_rows(self, table: Table, reread: Sequence[str]) -> None:
        con = self.con
        if table.merge:
            # Keys that the parser no longer makes of a landing would stay.
            con.execute(
                f"delete from {table.qualified} where source = ? and landing_id in (select unnest(cast(? as varchar[])))",
                [self.source, list(reread)],
            )
            key = " and ".join(f"c.{k} = a.{k}" for k in table.key)
            con.execute(
                f"delete from {table.qualified} as c where exists (select 1 from accepted_{table.name} as a where {key})"
            )
        else:
            con.execute(
                f"delete from {table.qualified} where source = ? and trade_date in "
                "(select trade_date from affected_partitions where table_name = ?)",
                [self.source, table.name],
            )
        before = scalar(con, f"select count(*) from {table.qualified}")
        try:
            con.execute(f"insert into {table.qualified} select * from accepted_{table.name}")
        except duckdb.ConstraintException as error:
            # The rows passed the current contract, so the table was created with another one.
            raise WarehouseDamagedError(
                f"{self.source}: the database was created by another version of leverhouse: {table.qualified} has other "
                f"constraints ({error}). Nothing was committed; run 'leverhouse rebuild' to recreate it from the landing."
            ) from error
        after = scalar(con, f"select count(*) from {table.qualified}")
        accepted = self._total(table.name)[1]
        if after - before != accepted:
            raise ReconciliationError(
                f"{self.source}: {table.qualified} grew by {after - before} rows where {accepted} were accepted. "
                "Nothing was committed; this is a bug in the loader."
            )


def _read(files: Iterable[Path]) -> str:
    """A table function over exactly these files."""
    return f"read_parquet([{', '.join(_literal(name) for name in exactly(files))}])"


def _literal(text: str | None) -> str:
    return "null" if text is None else f"'{_quoted(text)}'"


def _quoted(text: str) -> str:
    return text.replace("'", "''")
