"""The working database file: opening it, creating the tables of the contract, replacing it with a finished one.

A process killed at any moment leaves a file that opens. Callers hold the writer lock of warehouse.py.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import duckdb

from pipelines.contract.ddl import Contract, Table, apply_ddl, load_contract
from pipelines.core.errors import TransientError, WarehouseDamagedError
from pipelines.core.files import as_error, machine_fault, make_home, require_open_files, sync
from pipelines.core.lease import confirm_leases
from pipelines.core.settings import Settings

STORAGE_VERSION: Final = "v1.4.0"
"""File format of a new working database, which only leverhouse opens. From 1.3 on, DuckDB tries one text compression instead
of three: most columns of clean tables are text, and loading them takes 40% less time."""

_CAST: Final = re.compile(r'\bAS "?(\w+)"?')


def open_database(settings: Settings, *, changes: bool = True) -> duckdb.DuckDBPyConnection:
    """A connection to the existing working database, in UTC; without `changes`, it can only read. The caller closes it.

    Raises TransientError if a program outside leverhouse has the file open, MachineError or NotPermittedError for a fault of
    this machine, and WarehouseDamagedError if DuckDB cannot read it.
    """
    require_open_files()
    if changes:
        settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    try:
        con = duckdb.connect(
            str(settings.database),
            read_only=not changes,
            config={
                "memory_limit": settings.duckdb_memory,
                "threads": settings.duckdb_threads,
                "temp_directory": str(settings.scratch_dir),
                "preserve_insertion_order": False,
            },
        )
    except duckdb.Error as error:
        # An internal error includes its stack trace.
        text = str(error).splitlines()[0]
        if "Could not set lock on file" in text:
            raise TransientError(
                f"{text}. A program other than leverhouse has {settings.database} open; close it."
            ) from error
        fault = machine_fault(error)
        if fault is not None and fault.kind != "rotten":
            raise as_error(fault, home=settings.root) from error
        raise WarehouseDamagedError(
            f"{settings.database} cannot be opened: {text}. "
            "No landed data is lost: run 'leverhouse rebuild' to recreate it from the landing."
        ) from error
    con.execute("set TimeZone = 'UTC'")
    return con


def open_with_tables(settings: Settings) -> duckdb.DuckDBPyConnection:
    """The working database with every table of the contract; creates what is missing and upgrades what may be.

    Raises as open_database does, and WarehouseDamagedError if the columns of a table differ from the contract in another way than
    by new ones that may be null.
    """
    contract = load_contract(settings.schema_dir)
    if not settings.database.exists():
        _create(settings, contract)
    con = open_database(settings)
    try:
        _add_missing_tables(con, contract)
        is_current = not _outdated(con, contract)
    except BaseException:
        con.close()
        raise
    if is_current:
        return con
    con.close()
    _upgrade(settings, contract)
    return open_database(settings)


def replace_database(settings: Settings, finished: Path) -> None:
    """Rename `finished` over the working database. `finished` must not be open.

    The write-ahead log of the old database is removed first; otherwise it would be replayed into the new one.
    """
    confirm_leases()
    log = settings.database.with_name(settings.database.name + ".wal")
    if log.exists():
        try:
            open_database(settings).close()
        except WarehouseDamagedError:
            # A rebuild replaces a database that cannot be opened.
            log.unlink()
    sync(finished)
    finished.replace(settings.database)
    sync(settings.database.parent)


def _create(settings: Settings, contract: Contract) -> None:
    """Create the database under a temporary name and rename it, so that a kill never leaves a partial one."""
    make_home(settings.root)
    beside = settings.database.with_name(f".{settings.database.name}.new")
    for leftover in (beside, beside.with_name(beside.name + ".wal")):
        leftover.unlink(missing_ok=True)
    con = duckdb.connect(str(beside), config={"storage_compatibility_version": STORAGE_VERSION})
    try:
        apply_ddl(con, contract)
        con.execute("checkpoint")
    finally:
        con.close()
    replace_database(settings, beside)


def _add_missing_tables(con: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    """Add tables that were added to the contract after the database was created, all or none.

    They are created in memory and copied in one statement, with comments: DuckDB 1.5 cannot replay a logged `comment on
    column` of a table whose CHECK calls a function, so a process killed with that in its write-ahead log would leave a
    database that does not open.
    """
    names = "select schema_name || '.' || table_name from duckdb_tables() where database_name = current_database()"
    existing = {row[0] for row in con.execute(names).fetchall()}
    wanted = {table.qualified for table in contract.tables}
    if wanted <= existing:
        return
    (database,) = con.execute("select current_database()").fetchall()[0]
    con.execute("attach ':memory:' as contract_ddl")
    try:
        con.execute("use contract_ddl")
        apply_ddl(con, contract)
        for name in wanted & existing:
            con.execute(f"drop table {name}")
        con.execute(f'use "{database}"')
        con.execute(f'copy from database contract_ddl to "{database}" (schema)')
    finally:
        con.execute(f'use "{database}"')
        con.execute("detach contract_ddl")


def check_columns(con: duckdb.DuckDBPyConnection, settings: Settings, contract: Contract) -> None:
    """Raise WarehouseDamagedError if columns differ from the contract in a way that only a rebuild mends.

    A table that is missing is added by the next writer, and one that may be widened is upgraded by it.
    """
    refused = [table.qualified for table in _outdated(con, contract) if not _may_be_widened(con, table)]
    if refused:
        raise WarehouseDamagedError(
            f"{settings.database} was created by another version of leverhouse: the columns of {', '.join(refused)} differ. "
            "Run 'leverhouse rebuild' to recreate it from the landing."
        )


def _upgrade(settings: Settings, contract: Contract) -> None:
    """Bring tables of an older contract up to the present one, if that only adds columns to ops that may be null or changes checks.

    It is done in a copy that then takes the place of the database: a log of it could not be replayed after a kill, for the
    reason above. Raises WarehouseDamagedError for any other difference, which a rebuild is for.
    """
    con = open_database(settings)
    try:
        check_columns(con, settings, contract)
        tables = _outdated(con, contract)
        con.execute("checkpoint")
    finally:
        con.close()
    if not tables:
        return
    beside = settings.database.with_name(f".{settings.database.name}.new")
    beside.with_name(beside.name + ".wal").unlink(missing_ok=True)
    shutil.copyfile(settings.database, beside)
    con = duckdb.connect(str(beside))
    try:
        for table in tables:
            con.execute(f"alter table {table.qualified} rename to before_upgrade_{table.name}")
        _add_missing_tables(con, contract)
        for table in tables:
            old = f"{table.schema}.before_upgrade_{table.name}"
            try:
                con.execute(f"insert into {table.qualified} by name select * from {old}")
            except duckdb.ConstraintException as error:
                raise WarehouseDamagedError(
                    f"{settings.database} was created by another version of leverhouse: rows of {table.qualified} do not fit "
                    f"({error}). Run 'leverhouse rebuild' to recreate it from the landing."
                ) from error
            con.execute(f"drop table {old}")
        con.execute("checkpoint")
    finally:
        con.close()
    replace_database(settings, beside)


def _outdated(con: duckdb.DuckDBPyConnection, contract: Contract) -> list[Table]:
    """The tables whose columns or checks are not those of the contract."""
    columns, checks = _existing_columns(con), _existing_checks(con)
    return [
        table
        for table in contract.tables
        if table.qualified in columns
        and (
            columns[table.qualified] != {column.name: column.type for column in table.columns}
            or checks.get(table.qualified, set()) != {_comparable(check) for check in table.checks}
        )
    ]


def _may_be_widened(con: duckdb.DuckDBPyConnection, table: Table) -> bool:
    existing = _existing_columns(con)[table.qualified]
    wanted = {column.name: column.type for column in table.columns}
    added = [column for column in table.columns if column.name not in existing]
    # A new column of a clean table would be null for everything loaded before; a rebuild fills it.
    may_add = table.schema == "ops" and all(column.nullable for column in added)
    return existing.items() <= wanted.items() and (may_add or not added)


def _existing_columns(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    existing: dict[str, dict[str, str]] = {}
    for table, column, kind in con.execute(
        "select schema_name || '.' || table_name, column_name, data_type from duckdb_columns() "
        "where database_name = current_database() and schema_name in ('clean', 'ops', 'stats') order by column_index"
    ).fetchall():
        existing.setdefault(table, {})[column] = kind
    return existing


def _existing_checks(con: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    existing: dict[str, set[str]] = {}
    for table, expression in con.execute(
        "select schema_name || '.' || table_name, expression from duckdb_constraints() "
        "where database_name = current_database() and constraint_type = 'CHECK'"
    ).fetchall():
        existing.setdefault(table, set()).add(_comparable(expression))
    return existing


def _comparable(check: str) -> str:
    """A check with the types of its casts as DuckDB prints them of a table that was read from a file."""
    return _CAST.sub(lambda cast: f"AS {cast[1].upper()}", check)
