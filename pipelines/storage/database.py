"""The working database as a file: opening it, giving it the tables of the contract, putting a finished one in its place.

A kill at any moment leaves a file that opens. Who may write is decided in warehouse: callers hold the writer's lock.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import duckdb

from pipelines.contract.ddl import Contract, apply_ddl, load_contract
from pipelines.core.errors import TransientError, WarehouseDamagedError
from pipelines.core.files import sync
from pipelines.core.settings import Settings

STORAGE_VERSION: Final = "v1.4.0"
"""File format of a new working database, which only leverhouse opens. Since 1.3 DuckDB weighs one way to compress texts
instead of three: texts are most columns of a clean table, and a load of them costs 40% less."""


def open_database(settings: Settings) -> duckdb.DuckDBPyConnection:
    """The working database as it is, read-write and in UTC. The caller closes the connection.

    Raises TransientError where a program that knows nothing of the writer's lock has the file open, and
    WarehouseDamagedError where DuckDB cannot read it.
    """
    settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    try:
        con = duckdb.connect(
            str(settings.database),
            config={
                "memory_limit": settings.duckdb_memory,
                "threads": settings.duckdb_threads,
                "temp_directory": str(settings.scratch_dir),
                "preserve_insertion_order": False,
            },
        )
    except duckdb.Error as error:
        # An internal error brings its stack trace along.
        text = str(error).splitlines()[0]
        if "Could not set lock on file" in text:
            raise TransientError(
                f"{text}. A program other than leverhouse has {settings.database} open; close it."
            ) from error
        raise WarehouseDamagedError(
            f"{settings.database} cannot be opened: {text}. "
            "Nothing received is lost: 'leverhouse rebuild' makes it again from the landing."
        ) from error
    con.execute("set TimeZone = 'UTC'")
    return con


def open_with_tables(settings: Settings) -> duckdb.DuckDBPyConnection:
    """The working database with every table of the contract; makes what is not there yet.

    Raises as open_database does, and WarehouseDamagedError where a table has other columns than the contract.
    """
    contract = load_contract(settings.schema_dir)
    if not settings.database.exists():
        _create(settings, contract)
    con = open_database(settings)
    try:
        _add_missing_tables(con, contract)
        _refuse_another_version(con, settings, contract)
    except BaseException:
        con.close()
        raise
    return con


def replace_database(settings: Settings, finished: Path) -> None:
    """Rename `finished` over the working database. Nobody has `finished` open.

    The write-ahead log of the old database goes first: left behind, it would be replayed into the new one.
    """
    log = settings.database.with_name(settings.database.name + ".wal")
    if log.exists():
        try:
            open_database(settings).close()
        except WarehouseDamagedError:
            # A database that cannot be opened is what a rebuild repairs.
            log.unlink()
    sync(finished)
    finished.replace(settings.database)
    sync(settings.database.parent)


def _create(settings: Settings, contract: Contract) -> None:
    """Make the database beside its place and rename it: killed earlier, there is none; later, it is whole."""
    settings.root.mkdir(parents=True, exist_ok=True)
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
    """Add tables that came into the contract after the database was made, all of them or none.

    They are made in memory and copied in one statement, comments included: DuckDB 1.5 cannot replay a logged `comment on
    column` of a table whose CHECK calls a function, so a process killed with that in its log would leave a database that
    does not open.
    """
    names = "select schema_name || '.' || table_name from duckdb_tables() where database_name = current_database()"
    there = {row[0] for row in con.execute(names).fetchall()}
    wanted = {table.qualified for table in contract.tables}
    if wanted <= there:
        return
    (database,) = con.execute("select current_database()").fetchall()[0]
    con.execute("attach ':memory:' as contract_ddl")
    try:
        con.execute("use contract_ddl")
        apply_ddl(con, contract)
        for name in wanted & there:
            con.execute(f"drop table {name}")
        con.execute(f'use "{database}"')
        con.execute(f'copy from database contract_ddl to "{database}" (schema)')
    finally:
        con.execute(f'use "{database}"')
        con.execute("detach contract_ddl")


def _refuse_another_version(con: duckdb.DuckDBPyConnection, settings: Settings, contract: Contract) -> None:
    """Columns are not altered in place: everything these schemas hold follows from the landing."""
    there: dict[str, dict[str, str]] = {}
    for table, column, kind in con.execute(
        "select schema_name || '.' || table_name, column_name, data_type from duckdb_columns() "
        "where database_name = current_database() and schema_name in ('clean', 'ops', 'stats') order by column_index"
    ).fetchall():
        there.setdefault(table, {})[column] = kind
    other = [
        table.qualified
        for table in contract.tables
        if there[table.qualified] != {column.name: column.type for column in table.columns}
    ]
    if other:
        raise WarehouseDamagedError(
            f"{settings.database} was made by another version of leverhouse: {', '.join(other)} has other columns now. "
            "'leverhouse rebuild' makes it again from the landing."
        )
