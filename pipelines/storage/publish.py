"""Publishing: an atomic snapshot of the marts for readers, as one DuckDB file and as Parquet.

    published/leverhouse.duckdb      link to the newest snapshot: schemas marts, ops, history and meta
    published/parquet                link to the newest published/parquet-<token>: one file per mart

Readers that have the old file open keep it; later readers get the new file; no reader sees a partial file. The folder
itself is that of snapshots.py, the record of what was published that of vintages.py.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import duckdb

from pipelines.contract.ddl import load_contract
from pipelines.contract.versions import SCHEMA_VERSION
from pipelines.core.errors import LeverhouseError, PublishError
from pipelines.core.files import explained, show_folder, sync
from pipelines.core.lease import confirm_leases
from pipelines.core.settings import Settings
from pipelines.storage import vintages
from pipelines.storage.dictionary import MartDictionary, quoted, write_dictionary
from pipelines.storage.snapshots import (
    READ_ONLY,
    current_snapshot,
    log_of,
    publication_id,
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

_PUBLICATION: Final = {
    "published_at": "UTC instant of publication.",
    "publication_id": "Name of the snapshot without the prefix; rows of schema history name the publication that said them first.",
    "schema_version": "Version of names, types and meanings of tables and columns.",
    "code_version": "Version of the package and digest of the code that made the marts; null where it is not known.",
    "fingerprint": "Digest of the code version and of the landings: equal where the same code read the same bytes.",
    "as_of": "UTC instant whose knowledge this snapshot is limited to; null: everything that is landed.",
    "clock": "What as_of limits: fetched (when this warehouse had it) or available (when anyone could have); null without.",
    "duckdb_version": "DuckDB that wrote the file; its format is that of 1.2.",
    "load_seq": "Number of the newest load.",
    "parser_versions": "Version of the parser by source, as JSON: which one read the landings this snapshot is made of.",
    "mart_tables": "Marts.",
    "mart_rows": "Rows of all marts.",
}
_MACROS: Final = (
    (
        "utc_now()",
        "now() at time zone 'UTC'",
        "The present instant in UTC without a zone, whatever the TimeZone of the session: compare available_at with it.",
    ),
    (
        "with_zone(utc)",
        "cast(utc as timestamp) at time zone 'UTC'",
        "A time of this file as an instant with a zone, which clients show in their own: with_zone(available_at).",
    ),
)

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


@dataclass(frozen=True)
class Edition:
    """What a snapshot is of: the dictionary of its marts, the version of the code that made them, and the instant whose
    knowledge it is limited to, None for all that is landed."""

    dictionary: MartDictionary = field(default_factory=MartDictionary)
    code_version: str | None = None
    as_of: datetime | None = None
    clock: str | None = None


def publish(
    settings: Settings,
    *,
    now: datetime,
    edition: Edition | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Publication:
    """Copy marts and ops into a new file and let the stable name lead to it.

    Without an `edition` nothing is known of the marts but their tables: the file then states no units, keys and constraints.

    Raises PublishError if there is nothing to publish, or if readers would not get what was written; the stable name then
    leads where it led before.
    """
    started = time.monotonic()
    target, folder = settings.published_database, snapshots_dir(settings)
    link = settings.published_dir / "parquet"
    token = secrets.token_hex(6)
    temporary = folder / f".{token}.duckdb"
    parquet = settings.published_dir / f"parquet-{token}"
    snapshot: Path | None = None
    edition = edition or Edition()
    with writer(settings, what="publish") as con:
        show_folder(settings.published_dir)
        show_folder(folder)
        _settle_record(settings)
        _remove_leftovers(settings)
        name = snapshot_name(folder, vintages.next_instant(settings, now))
        vintage = vintages.Vintage(publication_id(name), edition.code_version)
        try:
            tables, rows = _copy(con, settings, temporary, parquet, now, vintage, edition, progress)
            _verify(settings, temporary, tables, rows, now)
            snapshot = temporary.replace(folder / name)
            record_snapshot(snapshot)
            for written in (snapshot, *parquet.iterdir(), parquet, folder):
                sync(written)
            _show(settings, snapshot, tables, rows, now)
            vintages.keep(settings, vintage.id)
            swap_link(link, parquet)
            sync(settings.published_dir)
        except BaseException:
            temporary.unlink(missing_ok=True)
            _settle_record(settings)
            if snapshot is not None and current_snapshot(settings) != snapshot:
                remove_snapshot(snapshot)
            if not _is_linked(link, parquet):
                shutil.rmtree(parquet, ignore_errors=True)
            raise
        _remove_leftovers(settings)
        vintages.merge(con, settings)
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
    confirm_leases()
    target = settings.published_database
    before = current_snapshot(settings)
    put_away_stray_log(settings)
    swap_link(target, snapshot)
    try:
        # A client of DuckDB 1.2 may have put its log there between the two steps above.
        log_of(target).unlink(missing_ok=True)
        _verify(settings, target, tables, rows, now)
    except BaseException:
        if before is not None and before.parent == snapshot.parent:
            swap_link(target, before)
        raise


def _copy(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    temporary: Path,
    parquet: Path,
    now: datetime,
    vintage: vintages.Vintage,
    edition: Edition,
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
    show_folder(parquet)
    con.execute(f"attach '{quoted(str(temporary))}' as snapshot (storage_version '{STORAGE_VERSION}')")
    try:
        for schema in ("marts", "ops", "meta"):
            con.execute(f"create schema snapshot.{schema}")
        rows = 0
        tables = [("marts", name) for name in marts] + [("ops", name) for name in OPS_TABLES]
        for done, (schema, name) in enumerate(tables):
            if progress:
                progress(f"publish {schema}.{name}", done, len(tables))
            _copy_table(con, schema, name, edition.dictionary)
            _copy_comments(con, schema, name)
            if schema == "marts":
                rows += (con.execute(f"select count(*) from snapshot.marts.{name}").fetchone() or (0,))[0]
                file = parquet / f"{name}.parquet"
                con.execute(f"copy snapshot.marts.{name} to '{quoted(str(file))}' (format parquet, compression zstd)")
                file.chmod(READ_ONLY)
        if edition.as_of is None:
            # What is known as of an instant was not published then.
            vintages.record(con, settings, vintage, edition.dictionary.keys)
        write_dictionary(con, edition.dictionary, load_contract(settings.schema_dir))
        _describe_publication(con, now, vintage, edition, len(marts), rows)
        _create_macros(con)
    finally:
        con.execute("detach snapshot")
    return len(marts), rows


def _copy_table(con: duckdb.DuckDBPyConnection, schema: str, name: str, dictionary: MartDictionary) -> None:
    if schema != "marts":
        con.execute(f"create table snapshot.{schema}.{name} as select * from {schema}.{name} order by all")
        return
    columns = con.execute(
        "select column_name, data_type from duckdb_columns() where database_name = current_database() "
        "and schema_name = ? and table_name = ? order by column_index",
        [schema, name],
    ).fetchall()
    con.execute(f"create table snapshot.marts.{name} ({dictionary.constraints(name, columns)})")
    con.execute(f"insert into snapshot.marts.{name} select * from marts.{name} order by all")


def _describe_publication(
    con: duckdb.DuckDBPyConnection,
    now: datetime,
    vintage: vintages.Vintage,
    edition: Edition,
    tables: int,
    rows: int,
) -> None:
    made_of = "".join(
        f"{line}\n"
        for (line,) in con.execute(
            "select concat_ws(chr(9), source, partition, part, sha256) from ops.landings where is_current order by 1"
        ).fetchall()
    )
    parsers = dict(
        con.execute(
            "select source, min(parser_version) from ops.landings where is_current group by source order by source"
        ).fetchall()
    )
    fingerprint = hashlib.sha256(f"{edition.code_version}\n{made_of}".encode()).hexdigest()
    con.execute(
        "create table snapshot.meta.publication as select ? as published_at, ? as publication_id, ? as schema_version, "
        "? as code_version, ? as fingerprint, cast(? as timestamp) as as_of, "
        "cast(? as varchar) as clock, version() as duckdb_version, "
        "(select max(load_seq) from ops.loads) as load_seq, ? as parser_versions, ? as mart_tables, ? as mart_rows",
        [
            now,
            vintage.id,
            SCHEMA_VERSION,
            edition.code_version,
            fingerprint,
            edition.as_of,
            edition.clock,
            json.dumps(parsers),
            tables,
            rows,
        ],
    )
    con.execute(
        "comment on table snapshot.meta.publication is 'One row: when this snapshot was made, of what, by which code.'"
    )
    for name, text in _PUBLICATION.items():
        con.execute(f"comment on column snapshot.meta.publication.{name} is '{quoted(text)}'")


def _create_macros(con: duckdb.DuckDBPyConnection) -> None:
    """Macros for readers in another time zone than UTC: times in the file are UTC without a zone."""
    for name, definition, text in _MACROS:
        con.execute(f"create macro snapshot.meta.{name} as {definition}")
        con.execute(f"comment on macro snapshot.meta.{name.partition('(')[0]} is '{quoted(text)}'")


def _copy_comments(con: duckdb.DuckDBPyConnection, schema: str, name: str) -> None:
    comment = con.execute(
        "select comment from duckdb_tables() where database_name = current_database() and schema_name = ? and table_name = ? "
        "union all select comment from duckdb_views() "
        "where database_name = current_database() and schema_name = ? and view_name = ?",
        [schema, name, schema, name],
    ).fetchone()
    if comment and comment[0]:
        con.execute(f"comment on table snapshot.{schema}.{name} is '{quoted(comment[0])}'")
    for column, text in con.execute(
        "select column_name, comment from duckdb_columns() where database_name = current_database() "
        "and schema_name = ? and table_name = ? and comment is not null",
        [schema, name],
    ).fetchall():
        con.execute(f"comment on column snapshot.{schema}.{name}.{column} is '{quoted(text)}'")


def _verify(settings: Settings, database: Path, tables: int, rows: int, now: datetime) -> None:
    """Read a snapshot under the name that readers use, and compare it with what was written."""
    try:
        con = open_snapshot(database, memory=settings.limits.reader_memory, spill=settings.scratch_dir)
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
        raise explained(error, home=database) or PublishError(
            f"{database} cannot be read back: {error} The published one is unchanged; check the disk and publish again."
        ) from error
    if (len(names), found, told) != (tables, rows, now):
        raise PublishError(
            f"{database} has {len(names)} tables and {found} rows of {told} instead of {tables} and {rows} of {now}; "
            "the published one is unchanged. Check the disk and publish again."
        )


def _settle_record(settings: Settings) -> None:
    """Finish or undo what the record of published rows has of a publication that did not end."""
    shown = current_snapshot(settings)
    vintages.settle(settings, None if shown is None else publication_id(shown.name))


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
