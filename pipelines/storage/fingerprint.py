"""Fingerprints: compare the contents of two tables independently of row order.

Columns other than doubles must be equal. Doubles of clean tables must be equal too; doubles of marts are sums whose last
digits depend on thread order, so a fingerprint contains weighted sums of them, compared with a tolerance of 1e-9.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import duckdb

CLOCK_COLUMNS: Final = frozenset(
    {"loaded_at", "last_loaded_at", "built_at", "checked_at", "published_at", "fetched_at", "load_seq"}
)
"""Columns with processing times instead of data; excluded."""

TOLERANCE: Final = 1e-9


@dataclass(frozen=True)
class Fingerprint:
    """Row count, an order-independent digest of the exact columns, and (nulls, weighted sum, weighted |sum|) per double."""

    table: str
    rows: int
    exact: str
    doubles: Mapping[str, tuple[int, float, float]] = field(default_factory=dict)

    def differences(self, other: Fingerprint) -> list[str]:
        """One line per difference, none if the tables are equal."""
        faults = []
        if self.rows != other.rows:
            faults.append(f"{self.table}: {self.rows} rows against {other.rows}")
        if self.exact != other.exact:
            faults.append(f"{self.table}: the columns that are not double differ")
        if self.doubles.keys() != other.doubles.keys():
            faults.append(f"{self.table}: columns {sorted(self.doubles)} against {sorted(other.doubles)}")
            return faults
        for column, (nulls, total, size) in self.doubles.items():
            other_nulls, other_total, other_size = other.doubles[column]
            scale = max(size, other_size)
            close = math.isclose(total, other_total, rel_tol=0, abs_tol=TOLERANCE * scale)
            if nulls != other_nulls or not close or not math.isclose(size, other_size, rel_tol=TOLERANCE):
                faults.append(f"{self.table}.{column}: ({nulls}, {total!r}) against ({other_nulls}, {other_total!r})")
        return faults


def fingerprint_table(con: duckdb.DuckDBPyConnection, schema: str, table: str, *, exact_doubles: bool) -> Fingerprint:
    """The fingerprint of one table or view. NaN counts as null; the contract excludes infinity."""
    columns = [
        (name, kind)
        for name, kind in con.execute(
            "select column_name, data_type from duckdb_columns() where schema_name = ? and table_name = ? order by 1",
            [schema, table],
        ).fetchall()
        if name not in CLOCK_COLUMNS
    ]
    doubles = [] if exact_doubles else [name for name, kind in columns if kind in ("DOUBLE", "FLOAT")]
    exact = [name for name, _ in columns if name not in doubles]
    row_hash = f"hash({', '.join(exact)})" if exact else "hash(1)"
    parts = "".join(
        f", count(*) filter ({name} is null or isnan({name}))"
        f", coalesce(sum(w * {name}) filter (not isnan({name})), 0)"
        f", coalesce(sum(abs(w * {name})) filter (not isnan({name})), 0)"
        for name in doubles
    )
    row = con.execute(
        f"select count(*), coalesce(bit_xor(h), 0), coalesce(sum(cast(h as hugeint)), 0){parts} from ("
        f"select *, {row_hash} as h, 1e0 + ({row_hash} % 1048573) / 1048573e0 as w from {schema}.{table})"
    ).fetchone()
    values = list(row or ())
    return Fingerprint(
        table=f"{schema}.{table}",
        rows=values[0],
        exact=f"{values[1]:x}-{values[2]:x}",
        doubles={name: (values[3 + 3 * i], values[4 + 3 * i], values[5 + 3 * i]) for i, name in enumerate(doubles)},
    )


def fingerprint_schemas(con: duckdb.DuckDBPyConnection, *schemas: str) -> dict[str, Fingerprint]:
    """Fingerprints of every table of the schemas; doubles of the schema `clean` are compared exactly."""
    tables = con.execute(
        "select schema_name, table_name from duckdb_tables() where schema_name in (select unnest(?)) order by 1, 2",
        [list(schemas)],
    ).fetchall()
    return {
        f"{schema}.{table}": fingerprint_table(con, schema, table, exact_doubles=schema == "clean")
        for schema, table in tables
    }


def compare(left: Mapping[str, Fingerprint], right: Mapping[str, Fingerprint]) -> list[str]:
    """One line per difference between two sets of fingerprints."""
    faults = [f"{name}: only on one side" for name in sorted(left.keys() ^ right.keys())]
    for name in sorted(left.keys() & right.keys()):
        faults += left[name].differences(right[name])
    return faults
