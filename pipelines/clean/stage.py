"""The stage of a load: rows wait here as Parquet until they are judged, and move into the clean tables in one transaction.

Which landings are staged is decided in load. No parsing and no DDL here.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

import duckdb
import orjson
import polars as pl

from pipelines.clean.batch import ParsedBatch, SourceRules
from pipelines.clean.contract import Contract, Table
from pipelines.clean.coverage import write_coverage
from pipelines.errors import ContractError, ReconciliationError, WarehouseDamagedError
from pipelines.extract.landing import Landing
from pipelines.quality.gate import CheckResult, GateInput
from pipelines.storage.query import execute_with, first_row, scalar

_MIX: Final = 0x9E3779B97F4A7C15
"""An odd number with well-spread bits: multiplying by it, hashes of columns do not cancel each other."""

STAGE_ROWS_PER_PASS: Final = 5_000_000
"""Rows whose keys are compared at a time: bounds the memory of deduplication (8 bytes a row and a set of as many)."""


@dataclass(frozen=True)
class TableLoad:
    """Counts of one table in one load; `days` is [first, last] of the partitions touched."""

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


@dataclass(frozen=True)
class Work:
    """What a load of one source has to do."""

    pending: list[Landing]
    superseded: list[str]
    bystanders: list[Landing]
    current: list[Landing]
    unrecorded: list[Landing]

    @property
    def is_empty(self) -> bool:
        return not self.pending and not self.superseded


class Stage:
    """One load in the making. Rows lie as Parquet in the scratch folder, so memory stays bounded and nothing is written twice
    into the database; stage_<table> is the view over them, out_<table> the rows that will not be accepted. Days and hashes of
    keys are taken while a batch is in memory, so that no later pass has to read or compute them again.
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
        self.days: dict[str, Counter[date | None]] = {}
        self.folder = home / "scratch" / "load"
        self.staged = 0
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        con.execute(
            "create or replace temp table stage_rejects (table_name varchar, landing_id varchar, trade_date date, line bigint, "
            "field varchar, instrument varchar, reason varchar, detail varchar, raw varchar, bystander boolean)"
        )
        con.execute(
            "create or replace temp table stage_absent (table_name varchar, landing_id varchar, trade_date date, "
            "instrument varchar, cells bigint, bystander boolean)"
        )
        con.execute("create or replace temp table touched (table_name varchar, trade_date date)")

    def add(self, batch: ParsedBatch, rank: int, *, bystander: bool = False) -> None:
        """Stage one batch; `rank` orders landings from old to new."""
        table = self.contract.table(batch.table)
        rows = batch.rows
        self._check_frame(table, rows, batch.rejects)
        if table.name not in self.tables:
            self._create(table)
        day = pl.col(table.day_column or "")
        rows = rows.with_columns(
            *(pl.lit(None, dtype=t).alias(c) for c, t in table.polars_schema().items() if c not in rows.columns),
            ((day - pl.duration(microseconds=1)) if table.day_is_state else day).dt.date().alias("trade_date"),
            pl.lit(batch.landing_id, dtype=pl.Enum([batch.landing_id])).alias("landing_id"),
            pl.lit(rank, dtype=pl.Int32).alias("_rank"),
            pl.int_range(self.staged, self.staged + pl.len(), dtype=pl.Int64).alias("_rid"),
        ).with_columns(_key_hash(table).alias("_key"))
        if bystander:
            rows = rows.clear() if table.merge else rows.join(self._touched_days(table), on="trade_date", how="semi")
        if rows.height:
            file = self.folder / table.name / f"{self.staged}.parquet"
            rows.select(*_stage_schema(table)).with_columns(*_constant_texts(rows)).write_parquet(
                file, compression="uncompressed", statistics=False
            )
            self.staged += batch.rows.height
            self.days[table.name].update(dict(rows.group_by("trade_date").len().iter_rows()))
        aside = {
            "insert into stage_rejects select ?, ?, trade_date, line, field, instrument, reason, detail, raw, ? from frame":
                batch.rejects,
            "insert into stage_absent select ?, ?, trade_date, instrument, cells, ? from frame": batch.absent,
        }  # fmt: skip
        for sql, frame in aside.items():
            if frame.height:
                execute_with(self.con, frame, sql, [table.name, batch.landing_id, bystander])

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
        own = set(rejects["reason"].unique()) & {"contract", "conflicting_duplicate"}
        if own:
            raise ContractError(
                f"{self.source}: reasons {sorted(own)} are the loader's own; a parser must not use them."
            )

    def touch(self, superseded: list[str]) -> None:
        """Work out the touched partitions: days staged so far and days the superseded landings had rows in."""
        for name, table in self.tables.items():
            self._open_view(table)
            staged = pl.DataFrame({"trade_date": list(self.days[name])}, schema={"trade_date": pl.Date()})
            execute_with(self.con, staged, "insert into touched select ?, trade_date from frame", [name])
        self.con.execute("insert into touched select distinct table_name, trade_date from stage_rejects")
        self.con.execute(
            "insert into touched select distinct table_name, trade_date from ops.lineage "
            "where source = ? and landing_id in (select unnest(cast(? as varchar[])))",
            [self.source, superseded],
        )
        self.con.execute("create or replace temp table touched as select distinct table_name, trade_date from touched")
        for (name,) in self.con.execute("select distinct table_name from touched").fetchall():
            if name not in self.tables:
                self._create(self.contract.table(name))

    def landings_in_touched_days(self, *, exclude: list[str]) -> set[str]:
        """Other landings that hold rows of the touched partitions."""
        merge = [t.name for t in self.contract.clean.values() if t.merge]
        rows = self.con.execute(
            "select distinct l.landing_id from ops.lineage as l join touched as t "
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
            "delete from stage_rejects where bystander and (trade_date is null or not exists (select 1 from touched as t "
            "where t.table_name = stage_rejects.table_name and t.trade_date = stage_rejects.trade_date))"
        )
        self.con.execute(
            "delete from stage_absent where bystander and not exists (select 1 from touched as t "
            "where t.table_name = stage_absent.table_name and t.trade_date = stage_absent.trade_date)"
        )
        for table in self.tables.values():
            self._open_view(table)
            self._find_violations(table)
            self._find_duplicates(table)
            self._move_to_rejects(table)
            self._create_view(table)

    def gate_inputs(self) -> list[GateInput]:
        """The batches as the gate sees them."""
        return [
            GateInput(table=name, source=self.source, staged=f"accepted_{name}", received=received, accepted=accepted,
                      duplicates=duplicates, quarantined=quarantined)
            for name, (received, accepted, duplicates, quarantined) in sorted(self._totals().items())
        ]  # fmt: skip

    def commit(
        self, load_seq: int, work: Work, rules: SourceRules, results: Sequence[CheckResult]
    ) -> tuple[TableLoad, ...]:
        """Replace the touched partitions and write every ops row in one transaction."""
        con = self.con
        con.execute("begin transaction")
        try:
            for table in self.tables.values():
                self._replace_rows(table)
            reports = self._write_loads(load_seq)
            self._write_quarantine(work)
            self._write_lineage(work)
            self._write_landings(work)
            write_coverage(con, self.contract, self.source, rules)
            record_checks(con, results, self.source, load_seq, self.now)
            con.execute("commit")
        except BaseException:
            con.execute("rollback")
            raise
        con.execute("checkpoint")
        return reports

    def drop(self) -> None:
        """Remove the temporary tables."""
        for name in self.tables:
            self.con.execute(f"drop view if exists accepted_{name}")
            self.con.execute(f"drop table if exists out_{name}")
            self.con.execute(f"drop view if exists stage_{name}")
        for name in ("stage_rejects", "stage_absent", "touched"):
            self.con.execute(f"drop table if exists {name}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _create(self, table: Table) -> None:
        """The folder of the table with one empty file, which gives the view its columns, and the list of rows turned away."""
        schema = _stage_schema(table)
        (self.folder / table.name).mkdir()
        pl.DataFrame(schema=schema).write_parquet(self.folder / table.name / "empty.parquet")
        self.con.execute(f"create or replace temp table out_{table.name} (rid bigint, outcome varchar, detail varchar)")
        self.tables[table.name] = table
        self.days[table.name] = Counter()
        self._open_view(table)

    def _open_view(self, table: Table) -> None:
        """Look at the files again: the view holds the list of files it was made with."""
        self.con.execute(
            f"create or replace temp view stage_{table.name} as select * from "
            f"read_parquet('{_quoted(str(self.folder / table.name))}/*.parquet')"
        )

    def _touched_days(self, table: Table) -> pl.DataFrame:
        return self.con.sql("select trade_date from touched where table_name = ?", params=[table.name]).pl()

    def _find_violations(self, table: Table) -> None:
        """Rows that break a NOT NULL or CHECK of the DDL, with the first rule broken."""
        required = [c.name for c in table.wire_columns if not c.nullable]
        whens = [f"when {c} is null then '{c} is null'" for c in required]
        whens += [f"when not ({check}) then 'violates: {_quoted(check)}'" for check in table.checks]
        broken = " or ".join(
            # A check that is null holds, and so does "not null" select no row.
            [f"{c} is null" for c in required] + [f"not ({check})" for check in table.checks]
        )
        self.con.execute(
            f"insert into out_{table.name} select _rid, 'contract', case {' '.join(whens)} end "
            f"from stage_{table.name} where {broken}"
        )

    def _find_duplicates(self, table: Table) -> None:
        """Rows of one key: a landing that contradicts itself loses all of them, else the newest landing's first row stays."""
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
                s._rid as rid, {key}, s._rank, s._line, s._field, hash({values}) as content
            from stage_{table.name} as s
            where s._key in (select _key from frame) and s._rid not in (select rid from out_{table.name})
            """,
        )
        self.con.execute(
            f"""
            insert into out_{table.name}
            with
            judged as (
                select *, min(content) over w <> max(content) over w as contradicts
                from suspects
                window w as (partition by {key}, _rank)
            ),
            ranked as (
                select
                    *,
                    row_number() over w as position,
                    first_value(content) over w as kept
                from judged
                where not contradicts
                window w as (partition by {key} order by _rank desc, _line, _field nulls first)
            )
            select rid, 'conflicting_duplicate', 'same key with different values in one file' from judged where contradicts
            union all
            select rid, case when content = kept then 'duplicate' else 'restated' end, null from ranked where position > 1
            """
        )
        self.con.execute("drop table suspects")

    def _suspect_keys(self, table: Table) -> pl.Series:
        """Hashes of keys that may occur twice; a few passes by day bound the memory."""
        found = [pl.Series("_key", [], dtype=pl.UInt64())]
        for first, last in self._passes(table):
            within = pl.col("trade_date").is_between(first, last)
            keys = self._scan(table).filter(within).select("_key").collect().to_series()
            if keys.n_unique() < keys.len():
                found.append(keys.filter(keys.is_duplicated()).unique())
        return pl.concat(found)

    def _scan(self, table: Table) -> pl.LazyFrame:
        return pl.scan_parquet(self.folder / table.name / "*.parquet")

    def _passes(self, table: Table) -> list[tuple[date, date]]:
        """Day ranges of at most STAGE_ROWS_PER_PASS rows; a single larger day is a pass of its own. Rows without a day
        break the contract."""
        ranges: list[tuple[date, date]] = []
        held = 0
        for day, rows in sorted((day, rows) for day, rows in self.days[table.name].items() if day is not None):
            if ranges and held + rows <= STAGE_ROWS_PER_PASS:
                ranges[-1] = (ranges[-1][0], day)
                held += rows
            else:
                ranges.append((day, day))
                held = rows
        return ranges

    def _move_to_rejects(self, table: Table) -> None:
        """Copy the rows the contract or a conflict turned away into stage_rejects, whole."""
        columns = ", ".join(f"{c.name} := s.{c.name}" for c in table.wire_columns)
        instrument = table.instrument_column or "null"
        self.con.execute(
            f"insert into stage_rejects select '{table.name}', s.landing_id, s.trade_date, s._line, s._field, {instrument}, "
            f"o.outcome, o.detail, cast(to_json(struct_pack({columns})) as varchar), false "
            f"from stage_{table.name} as s join out_{table.name} as o on o.rid = s._rid "
            "where o.outcome in ('contract', 'conflicting_duplicate')"
        )

    def _create_view(self, table: Table) -> None:
        columns = ", ".join(
            {"source": f"'{_quoted(self.source)}' as source", "loaded_at": f"timestamp '{self.now}' as loaded_at"}.get(
                c, c
            )
            for c in table.column_names
        )
        some_out = scalar(self.con, f"select count(*) from out_{table.name}")
        keep = f" where _rid not in (select rid from out_{table.name})" if some_out else ""
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
                (select count(*) from out_{name} where outcome in ('duplicate', 'restated')),
                (select count(*) from out_{name} where outcome in ('contract', 'conflicting_duplicate'))
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
                "(select trade_date from touched where table_name = ?)",
                [self.source, table.name],
            )
        before = scalar(con, f"select count(*) from {table.qualified}")
        try:
            con.execute(f"insert into {table.qualified} select * from accepted_{table.name}")
        except duckdb.ConstraintException as error:
            # The rows have passed the rules of the contract, so the table was made by a contract with others.
            raise WarehouseDamagedError(
                f"{self.source}: the database was made by another version of leverhouse, its {table.qualified} has other "
                f"rules ({error}). Nothing was committed; 'leverhouse rebuild' makes it again from the landing."
            ) from error
        after = scalar(con, f"select count(*) from {table.qualified}")
        accepted = self._total(table.name)[1]
        if after - before != accepted:
            raise ReconciliationError(
                f"{self.source}: {table.qualified} grew by {after - before} rows where {accepted} were accepted. "
                "Nothing was committed; this is a defect of the loader."
            )

    def _write_loads(self, load_seq: int) -> tuple[TableLoad, ...]:
        """One ops.loads row per touched partition; the CHECK of the DDL enforces the identity."""
        con = self.con
        for name in self.tables:
            con.execute(
                f"""
                insert into ops.loads
                with
                staged as (
                    select
                        s.trade_date,
                        count(*) as staged,
                        count(*) filter (where o.outcome is null) as accepted,
                        count(*) filter (where o.outcome in ('duplicate', 'restated')) as duplicates,
                        count(*) filter (where o.outcome = 'restated') as restated,
                        count(*) filter (where o.outcome in ('contract', 'conflicting_duplicate')) as resolved_out
                    from stage_{name} as s
                    left join out_{name} as o on o.rid = s._rid
                    group by s.trade_date
                ),
                parsed_out as (
                    select trade_date, count(*) as parsed_out
                    from stage_rejects
                    where table_name = '{name}' and reason not in ('contract', 'conflicting_duplicate')
                    group by trade_date
                ),
                absent as (
                    select trade_date, sum(cells) as cells from stage_absent where table_name = '{name}' group by trade_date
                ),
                days as (
                    select trade_date from touched where table_name = '{name}'
                    union
                    select trade_date from absent
                )
                select
                    ?, ?, '{name}', d.trade_date,
                    coalesce(s.staged, 0) + coalesce(p.parsed_out, 0),
                    coalesce(s.accepted, 0),
                    coalesce(s.duplicates, 0),
                    coalesce(s.restated, 0),
                    coalesce(s.resolved_out, 0) + coalesce(p.parsed_out, 0),
                    coalesce(a.cells, 0),
                    ?
                from days as d
                left join staged as s on s.trade_date is not distinct from d.trade_date
                left join parsed_out as p on p.trade_date is not distinct from d.trade_date
                left join absent as a on a.trade_date is not distinct from d.trade_date
                """,
                [load_seq, self.source, self.now],
            )
        reports = []
        totals = self._totals()
        for row in con.execute(
            "select table_name, sum(received)::bigint, sum(accepted)::bigint, sum(duplicates)::bigint, sum(restated)::bigint, "
            "sum(quarantined)::bigint, sum(absent_cells)::bigint, min(trade_date), max(trade_date), count(trade_date) "
            "from ops.loads where load_seq = ? group by table_name order by table_name",
            [load_seq],
        ).fetchall():
            report = TableLoad(*row)
            counted = (report.received, report.accepted, report.duplicates, report.quarantined)
            if counted != totals[report.table]:
                raise ReconciliationError(
                    f"{self.source}: {report.table} counts {counted} (received, accepted, duplicates, quarantined) by day and "
                    f"{totals[report.table]} in all. Nothing was committed; this is a defect of the loader."
                )
            reports.append(report)
        return tuple(reports)

    def _write_quarantine(self, work: Work) -> None:
        self.con.execute(
            "delete from ops.quarantine where source = ? and (landing_id in (select unnest(cast(? as varchar[]))) or exists "
            "(select 1 from touched as t where t.table_name = quarantine.table_name and t.trade_date = quarantine.trade_date))",
            [self.source, work.superseded],
        )
        self.con.execute(
            "insert into ops.quarantine select ?, table_name, trade_date, landing_id, line, field, instrument, reason, detail, "
            "raw, ? from stage_rejects",
            [self.source, self.now],
        )

    def _write_lineage(self, work: Work) -> None:
        merge = [t.name for t in self.tables.values() if t.merge]
        self.con.execute(
            "delete from ops.lineage where source = ? and (landing_id in (select unnest(cast(? as varchar[]))) or exists "
            "(select 1 from touched as t where t.table_name = lineage.table_name and t.trade_date = lineage.trade_date)) "
            "and not (table_name in (select unnest(cast(? as varchar[]))) "
            "and landing_id not in (select unnest(cast(? as varchar[]))))",
            [self.source, work.superseded, merge, work.superseded],
        )
        for name in self.tables:
            self.con.execute(
                f"""
                insert into ops.lineage
                with
                seen as (
                    select s.trade_date, s.landing_id, 1 as received, case when o.rid is null then 1 else 0 end as accepted
                    from stage_{name} as s
                    left join out_{name} as o on o.rid = s._rid
                    union all
                    select trade_date, landing_id, 1, 0
                    from stage_rejects
                    where table_name = '{name}' and reason not in ('contract', 'conflicting_duplicate')
                )
                select ?, '{name}', trade_date, landing_id, sum(received), sum(accepted)
                from seen
                group by trade_date, landing_id
                """,
                [self.source],
            )

    def _write_landings(self, work: Work) -> None:
        """Record the landings this load has dealt with: new ones, and old ones that are no longer current."""
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
                    "path": x.path.relative_to(self.home).as_posix(),
                    "original_name": x.original_name,
                    "sha256": x.sha256,
                    "bytes": x.bytes,
                    "fetched_at": x.fetched_at,
                    "completeness": x.completeness,
                    "request": orjson.dumps(dict(x.request), option=orjson.OPT_SORT_KEYS).decode(),
                }
                for x in work.unrecorded
            ],
            schema_overrides={"fetched_at": pl.Datetime("us")},
        )
        execute_with(self.con, rows, "delete from ops.landings where landing_id in (select landing_id from frame)")
        execute_with(self.con, rows, "insert into ops.landings by name select * from frame")


def _stage_schema(table: Table) -> dict[str, pl.DataType]:
    """Columns of a staged file: the wire columns, the partition day, where the row came from, its number in the load, its key."""
    return table.polars_schema() | {
        "trade_date": pl.Date(),
        "landing_id": pl.String(),
        "_line": pl.Int64(),
        "_field": pl.String(),
        "_rank": pl.Int32(),
        "_rid": pl.Int64(),
        "_key": pl.UInt64(),
    }


def _constant_texts(rows: pl.DataFrame) -> list[pl.Series]:
    """Columns that say one text in all rows, as dictionaries of it: written without a search for the texts there are."""
    texts = rows.select(pl.col(pl.String))
    same = texts.select((pl.all() == pl.all().first()).all(ignore_nulls=False).fill_null(value=False)).row(
        0, named=True
    )
    words = {name: texts[name][0] for name, constant in same.items() if constant}
    return [pl.repeat(word, rows.height, dtype=pl.Enum([word]), eager=True).alias(name) for name, word in words.items()]


def _key_hash(table: Table) -> pl.Expr:
    """A number per key: equal for equal keys within one load, and hardly ever equal for two. Structs hash half as fast."""
    mixed = pl.lit(0, pl.UInt64)
    for number, column in enumerate(c for c in table.key if c != "source"):
        mixed = mixed * pl.lit(_MIX, pl.UInt64) + pl.col(column).hash(number)
    return mixed


def record_checks(
    con: duckdb.DuckDBPyConnection, results: Sequence[CheckResult], source: str, load_seq: int, now: datetime
) -> None:
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


def _quoted(text: str) -> str:
    return text.replace("'", "''")
