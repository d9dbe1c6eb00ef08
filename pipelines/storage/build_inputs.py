"""The notes of builds in ops.build_inputs, and the states of tables that they are compared with. Callers hold the writer lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import duckdb

from pipelines.storage.query import transaction


@dataclass(frozen=True)
class Notes:
    """What a build read, by input; `is_complete` once it has ended without a fault."""

    marks: Mapping[str, str]
    is_complete: bool


def read_notes(con: duckdb.DuckDBPyConnection) -> Notes:
    """The notes of the last build; none, and not complete, where it failed or goes on."""
    rows = con.execute("select input, mark, is_complete from ops.build_inputs").fetchall()
    return Notes({name: mark for name, mark, _ in rows}, bool(rows) and all(complete for _, _, complete in rows))


def forget_notes(con: duckdb.DuckDBPyConnection) -> None:
    """A build begins, or is done in part by hand: whatever ends it early has everything built the next time."""
    con.execute("delete from ops.build_inputs")


def write_notes(con: duckdb.DuckDBPyConnection, marks: Mapping[str, str], now: datetime, *, complete: bool) -> None:
    """Replace the notes by those of this build."""
    with transaction(con):
        forget_notes(con)
        con.executemany(
            "insert into ops.build_inputs values (?, ?, ?, ?)",
            [[name, mark, complete, now] for name, mark in marks.items()],
        )


def loaded_marks(con: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> dict[str, str]:
    """For clean tables by name, the newest load that touched each, and its rows."""
    newest = dict(con.execute("select table_name, max(load_seq) from ops.loads group by table_name").fetchall())
    return {name: f"{newest.get(name, 0)} {_count(con, f'clean.{name}')}" for name in tables}


def ledger_mark(con: duckdb.DuckDBPyConnection) -> str:
    """The state of ops.loads, to which loads only add."""
    row = con.execute("select coalesce(max(load_seq), 0), count(*) from ops.loads").fetchone() or (0, 0)
    return f"{row[0]} {row[1]}"


def content_marks(con: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> dict[str, str]:
    """A digest of all rows of each table `schema.name`, whatever their order; tables that do not exist are left out."""
    marks = {}
    existing = existing_relations(con)
    for name in tables:
        if name in existing:
            row = con.execute(
                f"select count(*), bit_xor(hash(t)), sum(cast(hash(t) as hugeint)) from {name} as t"
            ).fetchone()
            marks[name] = " ".join(str(value) for value in row or ())
    return marks


def existing_relations(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Tables and views of the working database as `schema.name`."""
    rows = con.execute(
        "select schema_name || '.' || table_name from duckdb_tables() where database_name = current_database() "
        "union all select schema_name || '.' || view_name from duckdb_views() where database_name = current_database()"
    ).fetchall()
    return {name for (name,) in rows}


def _count(con: duckdb.DuckDBPyConnection, table: str) -> int:
    return int((con.execute(f"select count(*) from {table}").fetchone() or (0,))[0])
