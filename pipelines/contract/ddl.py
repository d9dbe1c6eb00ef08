"""The table contract: warehouse/schema/*.sql as Python objects.

The DDL is the only definition of columns, types, rules and comments; everything here is read from the catalog of an
in-memory DuckDB that runs it. No warehouse is opened here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.errors import ContractError

if TYPE_CHECKING:
    import duckdb
    import polars as pl

COMMON_COLUMNS = ("trade_date", "source", "landing_id", "available_at", "loaded_at")
"""The last columns of every clean table."""

SCHEMAS = ("clean", "ops", "stats")
"""Schemas of the contract: what was received, its bookkeeping, and what statistics were fitted to it."""

LOADER_COLUMNS = ("trade_date", "source", "landing_id", "loaded_at")
"""Columns filled by the loader, never by a parser."""

_HEADER = re.compile(r"^-- (key|day|load|coverage): (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Column:
    """One column, with DuckDB's type name and the comment of the DDL."""

    name: str
    type: str
    nullable: bool
    comment: str


@dataclass(frozen=True)
class CoverageRule:
    """How ops.coverage counts a table: SQL expressions for venue, instrument and series, and the expected rows of a day.

    `expected` is period (24 h / period), interval (24 h / interval_hours), captures (the slots of the feed, if it has any) or
    events (no fixed number).
    """

    venue: str
    instrument: str
    series: str
    expected: str


@dataclass(frozen=True)
class Table:
    """One table of the contract.

    `key` identifies a row. `day_column` gives the partition day; with `day_is_state`, a timestamp of exactly 00:00 belongs
    to the day that ends at it. `merge` tables are upserted by key instead of replaced by day.
    """

    schema: str
    name: str
    comment: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    day_column: str | None
    day_is_state: bool
    merge: bool
    coverage: CoverageRule | None
    checks: tuple[str, ...]

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def wire_columns(self) -> tuple[Column, ...]:
        """Columns a parser delivers, including `available_at`."""
        return tuple(column for column in self.columns if column.name not in LOADER_COLUMNS)

    @property
    def instrument_column(self) -> str | None:
        """The column that identifies the instrument, index or token of a row, if the table has one."""
        names = ("instrument", "index_name", "token", "collateral_token")
        return next((name for name in names if name in self.column_names), None)

    @property
    def value_columns(self) -> tuple[str, ...]:
        """Columns that decide whether two rows with the same key are equal."""
        return tuple(c.name for c in self.wire_columns if c.name not in self.key and c.name != "available_at")

    @property
    def series_columns(self) -> tuple[str, ...]:
        """The key without source and time: identifies a series within one source."""
        return tuple(c for c in self.key if c not in ("source", self.day_column))

    def polars_schema(self) -> dict[str, pl.DataType]:
        """The parser's columns as polars types; timestamps are naive microseconds in UTC."""
        return {column.name: polars_type(column.type) for column in self.wire_columns}


@dataclass(frozen=True)
class Contract:
    """All tables, by name without schema, in the order of their files."""

    clean: Mapping[str, Table]
    ops: Mapping[str, Table]
    stats: Mapping[str, Table]
    ddl: tuple[str, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """Every table of every schema."""
        return (*self.clean.values(), *self.ops.values(), *self.stats.values())

    def table(self, name: str) -> Table:
        """The clean table `name`. Raises ContractError listing the existing tables."""
        try:
            return self.clean[name]
        except KeyError as error:
            raise ContractError(
                f"no clean table {name!r}; warehouse/schema defines {', '.join(self.clean)}."
            ) from error


def polars_type(duckdb_type: str) -> pl.DataType:
    """The polars type of a DuckDB type. Raises ContractError for a type the contract does not use."""
    import polars as pl

    types: dict[str, pl.DataType] = {
        "VARCHAR": pl.String(),
        "DOUBLE": pl.Float64(),
        "BIGINT": pl.Int64(),
        "INTEGER": pl.Int32(),
        "BOOLEAN": pl.Boolean(),
        "DATE": pl.Date(),
        "TIMESTAMP": pl.Datetime("us"),
    }
    try:
        return types[duckdb_type]
    except KeyError as error:
        raise ContractError(f"type {duckdb_type} has no polars counterpart; use one of {', '.join(types)}.") from error


def apply_ddl(con: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    """Create the schemas and all missing tables in one transaction. Idempotent; the connection must not be in another one.

    Committing each of the 400 statements, most of them comments, would take a second of waiting for the disk.
    """
    con.begin()
    try:
        for schema in SCHEMAS:
            con.execute(f"create schema if not exists {schema}")
        for statement in contract.ddl:
            con.execute(statement)
    except BaseException:
        con.rollback()
        raise
    con.commit()


@lru_cache(maxsize=4)
def load_contract(schema_dir: Path) -> Contract:
    """Read the DDL in `schema_dir`. Raises ContractError naming the missing, invalid or incomplete file."""
    import duckdb

    files = sorted(schema_dir.glob("*.sql"))
    if not files:
        raise ContractError(f"no DDL in {schema_dir}; the checkout or the installed package is incomplete.")
    con = duckdb.connect(":memory:")
    try:
        for schema in SCHEMAS:
            con.execute(f"create schema {schema}")
        texts: dict[tuple[str, str], str] = {}
        for file in files:
            schema, _, table = file.stem.partition(".")
            texts[schema, table] = file.read_text(encoding="utf-8")
            try:
                con.execute(texts[schema, table])
            except duckdb.Error as error:
                raise ContractError(f"{file.name} is not valid DDL: {error}") from error
        tables = [_table(con, schema, table, text) for (schema, table), text in texts.items()]
    finally:
        con.close()
    return Contract(
        clean={t.name: t for t in tables if t.schema == "clean"},
        ops={t.name: t for t in tables if t.schema == "ops"},
        stats={t.name: t for t in tables if t.schema == "stats"},
        ddl=tuple(texts.values()),
    )


def _table(con: duckdb.DuckDBPyConnection, schema: str, name: str, text: str) -> Table:
    # Parameters are not bound because DuckDB would import pandas for it, which takes seconds; the names are trusted.
    is_table = f"schema_name = '{schema}' and table_name = '{name}'"
    columns = tuple(
        Column(name=row[0], type=row[1], nullable=row[2], comment=row[3] or "")
        for row in con.execute(
            f"select column_name, data_type, is_nullable, comment from duckdb_columns() where {is_table} order by column_index"
        ).fetchall()
    )
    if not columns:
        raise ContractError(f"{schema}.{name}.sql does not create {schema}.{name}; name the file after its table.")
    comment_row = con.execute(f"select comment from duckdb_tables() where {is_table}").fetchone()
    checks = tuple(
        row[0]
        for row in con.execute(
            f"select expression from duckdb_constraints() where {is_table} and constraint_type = 'CHECK' "
            "order by constraint_index"
        ).fetchall()
    )
    header = dict(_HEADER.findall(text))
    names = {column.name for column in columns}
    key = tuple(part.strip() for part in header.get("key", "").split(",") if part.strip())
    day_text = header.get("day")
    day_column, _, day_kind = (day_text or "").partition(" ")
    if not key or not set(key) <= names or (day_text and day_column not in names):
        raise ContractError(f"{schema}.{name}.sql: '-- key:' and '-- day:' must name columns of the table.")
    if not comment_row or not comment_row[0] or any(not column.comment for column in columns):
        raise ContractError(f"{schema}.{name}.sql: the table and every column need a 'comment on'.")
    if schema == "clean" and (day_text is None or "coverage" not in header):
        raise ContractError(f"{schema}.{name}.sql: a clean table needs '-- day:' and '-- coverage:' headers.")
    return Table(
        schema=schema,
        name=name,
        comment=comment_row[0],
        columns=columns,
        key=key,
        day_column=day_column or None,
        day_is_state=day_kind.strip() == "(state)",
        merge=header.get("load", "").strip() == "merge",
        coverage=_coverage(header.get("coverage", "none"), f"{schema}.{name}"),
        checks=checks,
    )


def _coverage(text: str, table: str) -> CoverageRule | None:
    if text.strip() == "none":
        return None
    parts = [part.strip() for part in text.split(";")]
    if len(parts) != 4 or parts[3] not in {"period", "interval", "captures", "events"}:
        raise ContractError(
            f"{table}: '-- coverage:' must be 'venue; instrument; series; period|interval|captures|events' or 'none'."
        )
    return CoverageRule(venue=parts[0], instrument=parts[1], series=parts[2], expected=parts[3])
