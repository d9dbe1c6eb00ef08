"""Opening the warehouse: one writer holding a file lock, any number of readers of the published file.

The working database file itself is in database.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb
from filelock import FileLock, Timeout

from pipelines.core.errors import ConfigError, SnapshotDamagedError, TransientError, WarehouseBusyError
from pipelines.core.files import as_error, machine_fault, make_home, private_files, require_open_files
from pipelines.core.limits import DEFAULTS
from pipelines.core.settings import Settings
from pipelines.storage.database import open_database, open_with_tables


@contextmanager
def writer_lock(settings: Settings, *, what: str) -> Iterator[None]:
    """Hold the writer lock; `what` describes the work for processes that wait for it.

    Waits up to settings.lock_timeout_seconds, then raises WarehouseBusyError naming the holder. The operating system
    releases the lock of a killed process.
    """
    with private_files():
        make_home(settings.root)
        with _held(settings, what):
            yield


@contextmanager
def _held(settings: Settings, what: str) -> Iterator[None]:
    lock = FileLock(settings.lock_file)
    holder = settings.lock_file.with_suffix(".holder.json")
    try:
        lock.acquire(timeout=settings.lock_timeout_seconds)
    except Timeout as error:
        raise WarehouseBusyError(
            f"{settings.database} is being written by {_describe(holder)}; waited {settings.lock_timeout_seconds:g} s. "
            "Retry when it has finished, or increase LEVERHOUSE_LOCK_TIMEOUT_SECONDS."
        ) from error
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "what": what}), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


@contextmanager
def writer(settings: Settings, *, what: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-write connection in UTC, with all tables of the contract. Holds the writer lock and closes the connection."""
    with writer_lock(settings, what=what):
        con = open_with_tables(settings)
        try:
            yield con
        finally:
            con.close()


@contextmanager
def onlooker(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the working database while nobody writes it. Changes nothing on the disk, and needs no right to.

    Raises WarehouseBusyError at once if another process writes, and as open_database does.
    """
    with ExitStack() as stack:
        if settings.lock_file.exists() and os.access(settings.lock_file, os.W_OK):
            lock = FileLock(settings.lock_file)
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                holder = _describe(settings.lock_file.with_suffix(".holder.json"))
                raise WarehouseBusyError(f"{settings.database} is being written by {holder}.") from error
            stack.callback(lock.release)
        con = open_database(settings, changes=False)
        stack.callback(con.close)
        yield con


@contextmanager
def reader(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the published snapshot, without access to other files and with a locked configuration.

    Raises as open_snapshot does. An open reader keeps its snapshot while a new one is published.
    """
    con = open_snapshot(settings.published_database, memory=settings.limits.reader_memory, spill=settings.scratch_dir)
    try:
        yield con
    except duckdb.Error as error:
        fault = machine_fault(error)
        if fault is None or fault.kind != "rotten":
            raise
        raise SnapshotDamagedError(
            f"{settings.published_database} cannot be read: {fault.text}. See 'leverhouse doctor', then run 'leverhouse publish'."
        ) from error
    finally:
        con.close()


def open_snapshot(
    path: Path, *, memory: str = DEFAULTS.reader_memory, spill: Path | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a published file read-only with a locked configuration, as recommended for BI tools. A query uses up to `memory`,
    then the folder `spill`; None: one beside the file.

    Raises ConfigError if there is none, TransientError if a client has it open for writing, which keeps all others out, and
    SnapshotDamagedError if DuckDB cannot read it.
    """
    require_open_files()
    if not path.exists():
        raise ConfigError(f"no published snapshot at {path}; run 'leverhouse run' first.")
    try:
        con = duckdb.connect(
            str(path),
            read_only=True,
            config={
                "enable_external_access": False,
                "autoload_known_extensions": False,
                "memory_limit": memory,
                **({} if spill is None else {"temp_directory": str(spill)}),
            },
        )
    except duckdb.Error as error:
        # An internal error includes its stack trace.
        text = str(error).splitlines()[0]
        if "Could not set lock on file" in text:
            raise TransientError(
                f"a client has opened the published file for writing, which locks all others out: {text}. "
                "Connect that client read-only (docs/connect.md)."
            ) from error
        fault = machine_fault(error)
        if fault is not None and fault.kind != "rotten":
            raise as_error(fault, home=path) from error
        raise SnapshotDamagedError(
            f"{path} cannot be opened: {text}. See 'leverhouse doctor', then run 'leverhouse publish'."
        ) from error
    # Connections of one process to one path share an instance, whose configuration may already be locked.
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
