"""Opening the warehouse: one writer behind a file lock, any number of readers of the published file.

The only code that opens a DuckDB file. What is written or read is decided elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock, Timeout

from pipelines.clean.contract import apply_ddl, load_contract
from pipelines.errors import ConfigError, WarehouseBusyError
from pipelines.settings import Settings


@contextmanager
def writer_lock(settings: Settings, *, what: str) -> Iterator[None]:
    """Hold the one writer's place for `what` (a few words for whoever has to wait).

    Waits up to settings.lock_timeout_seconds, then raises WarehouseBusyError naming the holder. The operating system
    frees the lock of a killed process.
    """
    settings.root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.lock_file)
    holder = settings.lock_file.with_suffix(".holder.json")
    try:
        lock.acquire(timeout=settings.lock_timeout_seconds)
    except Timeout as error:
        raise WarehouseBusyError(
            f"{settings.database} is being written by {_describe(holder)}; waited {settings.lock_timeout_seconds:g} s. "
            "Wait for it to end, or raise LEVERHOUSE_LOCK_TIMEOUT_SECONDS."
        ) from error
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "what": what}), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def writer(settings: Settings, *, what: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """The read-write connection, in UTC, with the contract's tables in place. Locks, and always closes."""
    with writer_lock(settings, what=what):
        con = open_database(settings)
        try:
            contract = load_contract(settings.schema_dir)
            there = {
                row[0] for row in con.execute("select schema_name || '.' || table_name from duckdb_tables()").fetchall()
            }
            if not {table.qualified for table in (*contract.clean.values(), *contract.ops.values())} <= there:
                apply_ddl(con, contract)
                # DuckDB 1.5 cannot replay these statements from the log of a killed process: keep them out of it.
                con.execute("checkpoint")
            yield con
        finally:
            con.close()


def open_database(settings: Settings) -> duckdb.DuckDBPyConnection:
    """The working database, read-write. The caller holds `writer_lock` and closes the connection."""
    settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect(
        str(settings.database),
        config={
            "memory_limit": settings.duckdb_memory,
            "threads": settings.duckdb_threads,
            "temp_directory": str(settings.scratch_dir),
            "preserve_insertion_order": False,
        },
    )
    con.execute("set TimeZone = 'UTC'")
    return con


@contextmanager
def reader(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the published snapshot that can neither write, nor reach other files, nor be reconfigured.

    Raises ConfigError where nothing was published yet. An open reader keeps its snapshot while a new one is published.
    """
    con = open_snapshot(settings.published_database)
    try:
        yield con
    finally:
        con.close()


def open_snapshot(path: Path) -> duckdb.DuckDBPyConnection:
    """Open a published file read-only and locked down, as BI tools are advised to."""
    if not path.exists():
        raise ConfigError(f"nothing is published at {path} yet; run 'leverhouse run' first.")
    con = duckdb.connect(
        str(path), read_only=True, config={"enable_external_access": False, "autoload_known_extensions": False}
    )
    # connections of one process to one path share an instance: a second one finds the configuration locked already
    if con.execute("select current_setting('lock_configuration')").fetchone() == (False,):
        con.execute("set TimeZone = 'UTC'")
        con.execute("set lock_configuration = true")
    return con


def _describe(holder: Path) -> str:
    try:
        data: dict[str, Any] = json.loads(holder.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "another process"
    return f"process {data.get('pid')} ({data.get('what')})"
