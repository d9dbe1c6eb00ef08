"""Helpers on a connection: read a single row, run a statement over a frame, run a block in a transaction.

Uses `fetchall` because in DuckDB 2.0 a `fetchone` leaves its result open, and the next relation on the same connection
fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from pipelines.core.lease import confirm_leases


def first_row(con: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...]:
    """The first row of a query that always has one, such as an aggregate. Raises IndexError if there is none."""
    row: tuple[Any, ...] = con.execute(sql, list(parameters)).fetchall()[0]
    return row


def scalar(con: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[Any] = ()) -> Any:
    """The first value of the first row. Raises IndexError if there is none."""
    return first_row(con, sql, parameters)[0]


def execute_with(con: duckdb.DuckDBPyConnection, frame: pl.DataFrame, sql: str, parameters: Sequence[Any] = ()) -> None:
    """Run a statement that reads `frame` as the table frame."""
    con.register("frame", frame)
    try:
        con.execute(sql, list(parameters))
    finally:
        con.unregister("frame")


def exactly(files: Iterable[Path]) -> list[str]:
    """Paths for a function of DuckDB that takes patterns: what means something in one is put in brackets, which take it
    literally."""
    return [re.sub(r"([*?\[])", r"[\1]", str(file)) for file in files]


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what the block does, or roll it back if the block raises, including on an interrupt.

    A process that lost the lease of its run ends instead of committing.
    """
    con.execute("begin transaction")
    try:
        yield
        confirm_leases()
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise
