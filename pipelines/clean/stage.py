"""The staging area of a load: rows are written as Parquet, checked, and inserted into the clean tables in one transaction.

load.py decides which landings are staged. No parsing and no DDL here.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Final

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
from pipelines.contract.batch import ParsedBatch, SourceRules
from pipelines.contract.ddl import Contract, Table
from pipelines.core.errors import ContractError, ReconciliationError, WarehouseDamagedError
from pipelines.quality.batch import CheckResult, GateInput
from pipelines.storage.query import execute_with, first_row, scalar, transaction

_MIX: Final = 0x9E3779B97F4A7C15
"""An odd multiplier with well-spread bits, so that the hashes of key columns do not cancel out."""

STAGE_ROWS_PER_PASS: Final = 5_000_000
"""Keys compared per pass: bounds the memory of deduplication (8 bytes per row, plus a set of the same size)."""

ConstantColumns = Mapping[str, str | None]
"""Text columns with the same value (or null) in all rows, and that value."""


class Stage:
    """A load in progress. Rows are Parquet files in the scratch folder, so that memory stays bounded and the database is
    written once; stage_<table> is a view of them, rejected_<table> lists the rows that are not accepted. Days and key hashes
    are computed while a batch is in memory, so that no later pass has to.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, contract: Contract, source: str, now: datetime, home: Path
    ) -> None:
        self.con = con
        self.home = home
        self.contract = contract
        self.source = source
        self.now = now
        self.tables: dict[str, Table] = {}
        self.days: dict[str, set[date | None]] = {}
        self.constant_columns: dict[str, ConstantColumns] = {}
        self.ranks: dict[str, int] = {}
        self.folder = home / "scratch" / "load"
        self.staged = 0
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        con.execute(
            "create or replace temp table stage_rejects (table_name varchar, landing_id varchar, trade_date date, line bigint, "
            "field varchar, instrument varchar, reason varchar, detail varchar, raw varchar, unchanged_landing boolean)"
        )
        con.execute(
            "create or replace temp table stage_null_cells (table_name varchar, landing_id varchar, trade_date date, "
            "instrument varchar, cells bigint, unchanged_landing boolean)"
        )
        con.execute("create or replace temp table affected_partitions (table_name varchar, trade_date date)")

    def add(self, batch: ParsedBatch, rank: int, *, unchanged_landing: bool = False) -> None:
        """Stage one batch; `rank` orders landings from old to new."""
        table = self.contract.table(batch.table)
        rows = batch.rows
        self._check_frame(table, rows, batch.rejects)
        if table.name not in self.tables:
            self._create(table)
        day = pl.col(table.day_column or "")
        self.ranks[batch.landing_id] = rank
        rows = rows.with_columns(
            *(pl.lit(None, dtype=t).alias(c) for c, t in table.polars_schema().items() if c not in rows.columns),
            ((day - pl.duration(microseconds=1)) if table.day_is_state else day).dt.date().alias("trade_date"),
            pl.lit(batch.landing_id).alias("landing_id"),
            pl.int_range(self.staged, self.staged + pl.len(), dtype=pl.Int64).alias("_rid"),
        ).with_columns(_key_hash(table).alias("_key"))
        if unchanged_landing:
            rows = rows.clear() if table.merge else rows.join(self._affected_days(table), on="trade_date", how="semi")
        if rows.height:
            file = self.folder / table.name / f"{self.staged}.parquet"
            constant_columns = _constant_texts(rows)
            rows.select(*_stage_schema(table)).with_columns(
                *_dictionaries(constant_columns, rows.height)
            ).write_parquet(file, compression="uncompressed", statistics=False)
            self.staged += batch.rows.height
            self.days[table.name].update(rows["trade_date"].unique())
            before = self.constant_columns.get(table.name, constant_columns)
            self.constant_columns[table.name] = dict(before.items() & constant_columns.items())
        not_loaded = {
            "insert into stage_rejects select ?, ?, trade_date, line, field, instrument, reason, detail, raw, ? from frame":
                batch.rejects,
            "insert into stage_null_cells select ?, ?, trade_date, instrument, cells, ? from frame": batch.null_cells,
        }  # fmt: skip
        for sql, frame in not_loaded.items():
            if frame.height:
                execute_with(self.con, frame, sql, [table.name, batch.landing_id, unchanged_landing])

    def _check_frame(self, table: Table, rows: pl.DataFrame, rejects: pl.DataFrame) -> None:
        expected = table.polars_schema()
        unknown = [c for c in rows.columns if c not in expected and c not in ("_line", "_field")]
        missing = [c.name for c in table.wire_columns if not c.nullable and c.name not in rows.columns]
        wrong = [f"{c} is {rows.schema[c]}" for c in rows.columns if c in expected and rows.schema[c] != expected[c]]
        if unknown or missing or wrong:
            raise ContractError(
                f"{self.source}: the parser's frame for {table.qualified} has unknown columns {unknown}, lacks {missing}, "
                f"has wrong types {wrong}; correct the module in pipelines/sources."
            )
        reserved = set(rejects["reason"].unique()) & {"contract", "conflicting_duplicate"}
        if reserved:
            raise ContractError(
                f"{self.source}: reasons {sorted(reserved)} are reserved for the loader; a parser must not use them."
            )

    def find_affected_partitions(self, superseded: list[str]) -> None:
        """Fill affected_partitions: the days staged so far and the days with rows of superseded landings."""
        for name, table in self.tables.items():
            self._open_view(table)
            staged = pl.DataFrame({"trade_date": list(self.days[name])}, schema={"trade_date": pl.Date()})
            execute_with(self.con, staged, "insert into affected_partitions select ?, trade_date from frame", [name])
        self.con.execute("insert into affected_partitions select distinct table_name, trade_date from stage_rejects")
        self.con.execute(
            "insert into affected_partitions select distinct table_name, trade_date from ops.lineage "
            "where source = ? and landing_id in (select unnest(cast(? as varchar[])))",
            [self.source, superseded],
        )
        self.con.execute(
            "create or replace temp table affected_partitions as select distinct table_name, trade_date from affected_partitions"
        )
        for (name,) in self.con.execute("select distinct table_name from affected_partitions").fetchall():
            if name not in self.tables:
                self._create(self.contract.table(name))

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
        self.con.execute(
            "delete from stage_rejects where unchanged_landing and (trade_date is null or not exists "
            "(select 1 from affected_partitions as t where t.table_name = stage_rejects.table_name "
            "and t.trade_date = stage_rejects.trade_date))"
        )
        self.con.execute(
            "delete from stage_null_cells where unchanged_landing and not exists "
            "(select 1 from affected_partitions as t where t.table_name = stage_null_cells.table_name "
            "and t.trade_date = stage_null_cells.trade_date)"
        )
        for table in self.tables.values():
            self._open_view(table)
            self._find_violations(table)
            self._find_duplicates(table)
            self._move_to_rejects(table)
            self._create_view(table)
            self._count(table)

    def gate_inputs(self) -> list[GateInput]:
        """The batches as input of the gate."""
        return [
            GateInput(table=name, source=self.source, staged=f"accepted_{name}", received=received, accepted=accepted,
                      duplicates=duplicates, quarantined=quarantined)
            for name, (received, accepted, duplicates, quarantined) in sorted(self._totals().items())
        ]  # fmt: skip

    def commit(
        self, load_seq: int, work: Work, rules: SourceRules, results: Sequence[CheckResult]
    ) -> tuple[TableLoad, ...]:
        """Replace the affected partitions and write all ops rows in one transaction."""
        con = self.con
        with transaction(con):
            for table in self.tables.values():
                self._replace_rows(table)
            reports = write_loads(con, list(self.tables), self._totals(), self.source, load_seq, self.now)
            write_quarantine(con, self.source, work, self.now)
            write_lineage(con, self.tables, self.source, work)
            write_landings(con, work, self.home)
            write_coverage(con, self.contract, self.source, rules)
            record_checks(con, results, self.source, load_seq, self.now)
        con.execute("checkpoint")
        return reports

    def drop(self) -> None:
        """Remove the temporary tables and files."""
        for name in self.tables:
            self.con.execute(f"drop view if exists accepted_{name}")
            self.con.execute(f"drop table if exists rejected_{name}")
            self.con.execute(f"drop table if exists counted_{name}")
            self.con.execute(f"drop view if exists stage_{name}")
        for name in ("stage_rejects", "stage_null_cells", "affected_partitions"):
            self.con.execute(f"drop table if exists {name}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _create(self, table: Table) -> None:
        """Create the folder of the table with an empty file that defines the columns, and the table of rejected rows."""
        schema = _stage_schema(table)
        (self.folder / table.name).mkdir()
        pl.DataFrame(schema=schema).write_parquet(self.folder / table.name / "empty.parquet")
        self.con.execute(
            f"create or replace temp table rejected_{table.name} (rid bigint, outcome varchar, detail varchar)"
        )
        self.tables[table.name] = table
        self.days[table.name] = set()
        self._open_view(table)

    def _open_view(self, table: Table) -> None:
        """Recreate the view over the files, because a view keeps the file list it was created with.

        Constant columns are literals in the view, so that they are checked once and not read.
        """
        constant_columns = self.constant_columns.get(table.name, {})
        replaced = ", ".join(
            f"cast({_literal(value)} as varchar) as {column}" for column, value in sorted(constant_columns.items())
        )
        self.con.execute(
            f"create or replace temp view stage_{table.name} as select *{f' replace ({replaced})' if replaced else ''} from "
            f"read_parquet('{_quoted(str(self.folder / table.name))}/*.parquet')"
        )

    def _affected_days(self, table: Table) -> pl.DataFrame:
        return self.con.sql("select trade_date from affected_partitions where table_name = ?", params=[table.name]).pl()

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
            pl.DataFrame({"landing_id": list(self.ranks), "rank": list(self.ranks.values())}),
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

    def _suspect_keys(self, table: Table) -> pl.Series:
        """Hashes of keys that may occur twice, found in several passes over part of the hashes to bound the memory."""
        found = [pl.Series("_key", [], dtype=pl.UInt64())]
        scan = pl.scan_parquet(self.folder / table.name / "*.parquet").select("_key")
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
            f"o.outcome, o.detail, cast(to_json(struct_pack({columns})) as varchar), false "
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

    def _replace_rows(self, table: Table) -> None:
        con = self.con
        if table.merge:
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


def _stage_schema(table: Table) -> dict[str, pl.DataType]:
    """Columns of a staged file: wire columns, partition day, origin of the row, row number in the load, key hash."""
    return table.polars_schema() | {
        "trade_date": pl.Date(),
        "landing_id": pl.String(),
        "_line": pl.Int64(),
        "_field": pl.String(),
        "_rid": pl.Int64(),
        "_key": pl.UInt64(),
    }


def _constant_texts(rows: pl.DataFrame) -> ConstantColumns:
    texts = rows.select(pl.col(pl.String))
    first = texts.row(0, named=True)
    same = texts.select((pl.all() == pl.all().first()).all(ignore_nulls=False) | pl.all().is_null().all())
    return {name: first[name] for name, constant in same.row(0, named=True).items() if constant}


def _dictionaries(constant_columns: ConstantColumns, height: int) -> list[pl.Series]:
    """Constant text columns as enums, which are written without collecting their distinct values."""
    return [
        pl.repeat(value, height, dtype=pl.Enum([value or ""]), eager=True).alias(column)
        for column, value in constant_columns.items()
    ]


def _key_hash(table: Table) -> pl.Expr:
    """A hash of the key: equal keys have equal hashes within one load. Hashing a struct would take twice as long."""
    mixed = pl.lit(0, pl.UInt64)
    for number, column in enumerate(c for c in table.key if c != "source"):
        mixed = mixed * pl.lit(_MIX, pl.UInt64) + pl.col(column).hash(number)
    return mixed


def _literal(text: str | None) -> str:
    return "null" if text is None else f"'{_quoted(text)}'"


def _quoted(text: str) -> str:
    return text.replace("'", "''")
