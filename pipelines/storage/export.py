"""The tables that models read, as Parquet: for dbt on another engine (docs/scale.md), and for whoever wants clean rows as files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

EXPORTED: Final = ("clean", "ops", "stats")
"""Schemas of the sources of the dbt project."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    folder: Path
    tables: int
    rows: int


def export_parquet(con: duckdb.DuckDBPyConnection, folder: Path) -> Exported:
    """Write <folder>/<schema>/<table>.parquet for every table of EXPORTED, each replaced as a whole. Timestamps are naive UTC.

    Raises OSError or duckdb.IOException where the folder cannot be written.
    """
    names = con.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = current_database() "
        "and list_contains($1, schema_name) order by all",
        [list(EXPORTED)],
    ).fetchall()
    rows = 0
    for schema, table in names:
        target = folder / schema / f"{table}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f".{target.name}.new")
        [(written,)] = con.execute(
            f'copy "{schema}"."{table}" to $1 (format parquet, compression zstd)', [str(scratch)]
        ).fetchall()
        scratch.replace(target)
        rows += written
    return Exported(folder, len(names), rows)
