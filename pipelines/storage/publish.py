"""Publishing: an atomic snapshot of the marts for readers, as one DuckDB file and as Parquet.

    published/leverhouse.duckdb      link to the newest snapshot: schemas marts and ops, plus meta.publication
    published/parquet                link to the newest published/parquet-<token>: one file per mart

Readers that have the old file open keep it; later readers get the new file; no reader sees a partial file. The folder
itself is that of snapshots.py.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb

from pipelines.core.errors import LeverhouseError, PublishError
from pipelines.core.files import sync
from pipelines.core.settings import Settings
from pipelines.storage.snapshots import (
    READ_ONLY,
    current_snapshot,
    log_of,
    put_away_stray_log,
    record_snapshot,
    remove_old_snapshots,
    remove_snapshot,
    snapshot_name,
    snapshots_dir,
    swap_link,
)
from pipelines.storage.warehouse import open_snapshot, writer

STORAGE_VERSION: Final = "v1.2.0"
"""File format readable by DuckDB 1.2 and newer."""

OPS_TABLES: Final = ("landings", "loads", "lineage", "quarantine", "check_results", "fetch_problems")
"""Published tables of ops: what readers need to trace a number back to its file."""


@dataclass(frozen=True)
class Publication:
    """Result of publishing: paths, number of mart tables and of their rows, size of the database, seconds.

    `database` is the stable name, `snapshot` the file behind it.
    """

    database: Path
    snapshot: Path
    parquet: Path
    tables: int
    rows: int
    bytes: int
    seconds: float


def publish(
    settings: Settings, *, now: datetime, progress: Callable[[str, int, int], None] | None = None
) -> Publication:
    """Copy marts and ops into a new file and let the stable name lead to it.

    Raises PublishError if there is nothing to publish, or if readers would not get what was written; the stable name then
    leads where it led before.
    """
    started = time.monotonic()
    target, folder = settings.published_database, snapshots_dir(settings)
    link = settings.published_dir / "parquet"
    folder.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(6)
    temporary = folder / f".{token}.duckdb"
    parquet = settings.published_dir / f"parquet-{token}"
    snapshot: Path | None = None
    with writer(settings, what="publish") as con:
        _remove_leftovers(settings)
        try:
            tables, rows = _copy(con, temporary, parquet, now, progress)
            _verify(temporary, tables, rows, now)
            snapshot = temporary.replace(folder / snapshot_name(folder, now))
            record_snapshot(snapshot)
            for written in (snapshot, *parquet.iterdir(), parquet, folder):
                sync(written)
            _show(settings, snapshot, tables, rows, now)
            swap_link(link, parquet)
            sync(settings.published_dir)
        except BaseException:
            temporary.unlink(missing_ok=True)
            if snapshot is not None and current_snapshot(settings) != snapshot:
                remove_snapshot(snapshot)
            if not _is_linked(link, parquet):
                shutil.rmtree(parquet, ignore_errors=True)
            raise
        _remove_leftovers(settings)
    return Publication(
        database=target,
        snapshot=snapshot,
        parquet=link,
        tables=tables,
        rows=rows,
        bytes=snapshot.stat().st_size,
        seconds=time.monotonic() - started,
    )


def _show(settings: Settings, snapshot: Path, tables: int, rows: int, now: datetime) -> None:
    """Let the stable name lead to the snapshot, and back if that is not what a reader of the name then gets."""
    target = settings.published_database
    before = current_snapshot(settings)
    put_away_stray_log(settings)
    swap_link(target, snapshot)
    try:
        # A client of DuckDB 1.2 may have put its log there between the two steps above.
        log_of(target).unlink(missing_ok=True)
        _verify(target, tables, rows, now)
    except BaseException:
        if before is not None and before.parent == snapshot.parent:
            swap_link(target, before)
        raise


def _copy(
    con: duckdb.DuckDBPyConnection,
    temporary: Path,
    parquet: Path,
    now: datetime,
    progress: Callable[[str, int, int], None] | None,
) -> tuple[int, int]:
    marts = [
        row[0]
        for row in con.execute(
            "select table_name from information_schema.tables where table_schema = 'marts' order by 1"
        ).fetchall()
    ]
    if not marts:
        raise PublishError("schema marts is empty; build the marts first ('leverhouse run').")
    parquet.mkdir()
    con.execute(f"attach '{temporary}' as snapshot (storage_version '{STORAGE_VERSION}')")
    try:
        for schema in ("marts", "ops", "meta"):
            con.execute(f"create schema snapshot.{schema}")
        rows = 0
        tables = [("marts", name) for name in marts] + [("ops", name) for name in OPS_TABLES]
        for done, (schema, name) in enumerate(tables):
            if progress:
                progress(f"publish {schema}.{name}", done, len(tables))
            con.execute(f"create table snapshot.{schema}.{name} as select * from {schema}.{name} order by all")
            _copy_comments(con, schema, name)
            if schema == "marts":
                rows += (con.execute(f"select count(*) from snapshot.marts.{name}").fetchone() or (0,))[0]
                con.execute(
                    f"copy snapshot.marts.{name} to '{parquet / name}.parquet' (format parquet, compression zstd)"
                )
                (parquet / f"{name}.parquet").chmod(READ_ONLY)
        con.execute(
            "create table snapshot.meta.publication as select ? as published_at, version() as duckdb_version, "
            "(select max(load_seq) from ops.loads) as load_seq, ? as mart_tables, ? as mart_rows",
            [now, len(marts), rows],
        )
        con.execute(
            "comment on table snapshot.meta.publication is 'When this snapshot was created, and from which load.'"
        )
    finally:
        con.execute("detach snapshot")
    return len(marts), rows


def _copy_comments(con: duckdb.DuckDBPyConnection, schema: str, name: str) -> None:
    comment = con.execute(
        "select comment from duckdb_tables() where database_name = current_database() and schema_name = ? and table_name = ? "
        "union all select comment from duckdb_views() "
        "where database_name = current_database() and schema_name = ? and view_name = ?",
        [schema, name, schema, name],
    ).fetchone()
    if comment and comment[0]:
        con.execute(f"comment on table snapshot.{schema}.{name} is '{_quoted(comment[0])}'")
    for column, text in con.execute(
        "select column_name, comment from duckdb_columns() where database_name = current_database() "
        "and schema_name = ? and table_name = ? and comment is not null",
        [schema, name],
    ).fetchall():
        con.execute(f"comment on column snapshot.{schema}.{name}.{column} is '{_quoted(text)}'")


def _verify(database: Path, tables: int, rows: int, now: datetime) -> None:
    """Read a snapshot under the name that readers use, and compare it with what was written."""
    try:
        con = open_snapshot(database)
        try:
            names = [
                r[0]
                for r in con.execute("select table_name from duckdb_tables() where schema_name = 'marts'").fetchall()
            ]
            found = sum((con.execute(f"select count(*) from marts.{name}").fetchone() or (0,))[0] for name in names)
            told = (con.execute("select published_at from meta.publication").fetchone() or (None,))[0]
        finally:
            con.close()
    except (duckdb.Error, LeverhouseError) as error:
        raise PublishError(
            f"{database} cannot be read back: {error} The published one is unchanged; check the disk and publish again."
        ) from error
    if (len(names), found, told) != (tables, rows, now):
        raise PublishError(
            f"{database} has {len(names)} tables and {found} rows of {told} instead of {tables} and {rows} of {now}; "
            "the published one is unchanged. Check the disk and publish again."
        )


def _is_linked(link: Path, target: Path) -> bool:
    return link.is_symlink() and link.readlink().name == target.name


def _remove_leftovers(settings: Settings) -> None:
    """Remove what a killed publish left, old snapshots, and all Parquet folders but the current and the previous one."""
    remove_old_snapshots(settings)
    folder = settings.published_dir
    link = folder / "parquet"
    current = link.readlink().name if link.is_symlink() else None
    older = sorted((p for p in folder.glob("parquet-*") if p.name != current), key=lambda p: p.stat().st_mtime)
    for stale in older[:-1]:
        shutil.rmtree(stale)


def _quoted(text: str) -> str:
    return text.replace("'", "''")
