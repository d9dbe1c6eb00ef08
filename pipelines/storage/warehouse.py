"""Opening the warehouse: one writer behind a file lock, any number of readers of the published file.

What the working file is made of stands in database; what is written or read is decided elsewhere.
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

from pipelines.core.errors import ConfigError, WarehouseBusyError
from pipelines.core.settings import Settings
from pipelines.storage.database import open_with_tables


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
        con = open_with_tables(settings)
        try:
            yield con
        finally:
            con.close()


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
