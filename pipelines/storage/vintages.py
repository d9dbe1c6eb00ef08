"""Vintages: what the published file said of a mart at each publication, kept in the home and copied into every snapshot.

    history/<mart>/<publication>.parquet    rows that a publication added, changed or withdrew
    history/<mart>/<day or month>.parquet   the same of all publications of a day or month that is over
    history/pending-<publication>/          of a publication whose snapshot may not be shown yet

A record of what was said, as the landing is one of what was received: it follows from nothing else, so no rebuild touches it and
backups take it. A row is written again only if it differs in 9 significant digits. In the file it is `history.<mart>` and a
macro for what was in force at an instant. The caller holds the writer lock and has attached the snapshot as `snapshot`.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb

from pipelines.core.errors import PublishError
from pipelines.core.files import explained, sync
from pipelines.core.settings import Settings
from pipelines.storage.query import exactly, scalar

VINTAGES: Final[Mapping[str, str]] = {
    "funding_regimes_daily": "as_of_funding_regimes",
    "liquidation_comparison_daily": "as_of_liquidation_comparison",
    "liquidation_levels_skill_daily": "as_of_levels_skill",
    "liquidation_levels_summary_daily": "as_of_levels_summary",
    "oi_trends_daily": "as_of_oi_trends",
    "signal_scorecard": "as_of_scorecard",
    "signals_daily": "as_of_signals",
}
"""Marts that are recorded, and the macro that tells what was in force at an instant."""

BOOKKEEPING: Final[Mapping[str, str]] = {
    "published_from": "UTC instant of the publication since which the file says this.",
    "published_to": "UTC instant of the publication that changed or withdrew it; null: in force.",
    "publication_id": "The publication that said it first, as in meta.publication.",
    "code_version": "Version of the code that made it; null where it is not known.",
}
"""Columns of history.<mart> beside those of the mart."""

_STAMP: Final = "%Y%m%dT%H%M%S%fZ"
_PENDING: Final = "pending-"
_PERIODS: Final = (8, 6)
"""Lengths of the names of files of a day and of a month: the beginnings of the names of the publications in them."""
_FILE: Final = re.compile(r"\d{6}(\d{2}(T\d{12}Z)?)?\.parquet")

_WITH_OFFSET: Final = r"\d\d:\d\d.*([+-]\d\d(:?\d\d)?|Z)$"
_INSTANT: Final = (
    f"case when regexp_matches(cast(t as varchar), '{_WITH_OFFSET}') "
    "then cast(cast(t as varchar) as timestamptz) at time zone 'UTC' else cast(cast(t as varchar) as timestamp) end"
)
"""The argument of a macro as a UTC time without a zone: what has a zone or an offset is converted, what has none is UTC."""


@dataclass(frozen=True)
class Vintage:
    """A publication to record: its id, which is its instant, and the version of the code that made the marts."""

    id: str
    code_version: str | None

    @property
    def at(self) -> datetime:
        return datetime.strptime(self.id, _STAMP)  # noqa: DTZ007 - naive UTC


def next_instant(settings: Settings, now: datetime) -> datetime:
    """The instant of a publication of `now`: later than all recorded ones, also if the clock went back."""
    newest = _newest(settings)
    if f"{now:{_STAMP}}" > newest:
        return now
    return datetime.strptime(newest, _STAMP) + timedelta(microseconds=1)  # noqa: DTZ007 - naive UTC


def settle(settings: Settings, shown: str | None) -> None:
    """Finish or undo what a killed publication left: it counts if its snapshot is the one `shown` by the stable name."""
    for folder in sorted(settings.history_dir.glob(f"{_PENDING}*")):
        if shown is not None and folder.name.removeprefix(_PENDING) == shown:
            _take(folder)
        else:
            shutil.rmtree(folder)


def keep(settings: Settings, publication: str) -> None:
    """Add what a publication recorded to the record: its snapshot is shown."""
    _take(settings.history_dir / f"{_PENDING}{publication}")


def record(
    con: duckdb.DuckDBPyConnection, settings: Settings, vintage: Vintage, keys: Mapping[str, Sequence[str]]
) -> None:
    """Create schema history in the snapshot from the record and what this publication adds to it, which is pending.

    `keys` are those of the marts; one without is not recorded. Raises PublishError if a file of the record cannot be read.
    """
    root = settings.history_dir
    pending = root / f"{_PENDING}{vintage.id}"
    con.execute("create schema snapshot.history")
    for mart in _marts(con):
        if mart not in keys:
            continue
        pending.mkdir(parents=True, exist_ok=True)
        files = uncovered(root / mart)
        try:
            _record(con, vintage, mart, keys[mart], files, pending / f"{mart}.parquet")
        except duckdb.Error as error:
            raise explained(error, home=settings.root) or PublishError(
                f"{root / mart}: the record of what was published cannot be read or extended: {error} Bring it back with "
                "'leverhouse restore', or move the file away, whose publications are then unknown."
            ) from error


def merge(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Put the publications of each day that is over into one file, and those of each month.

    The parts are removed afterwards; what a killed merge left of them is covered by the new file and removed by the next.
    """
    newest = _newest(settings)
    for folder in sorted({x.parent for x in _files(settings.history_dir)}):
        for length in _PERIODS:
            _merge(con, folder, length, newest)
        kept = set(uncovered(folder))
        for part in folder.glob("*.parquet"):
            if part not in kept:
                part.unlink()


def covers(name: str, other: str) -> bool:
    """Whether the file `name` of a mart's record holds the publications of the file `other`, by their names."""
    stem = name.removesuffix(".parquet")
    return name != other and other.startswith(stem)


def uncovered(folder: Path) -> list[Path]:
    """The files of a mart's record, oldest first, without those whose publications are in a file of a day or month too."""
    files = sorted(path for path in folder.glob("*.parquet") if _FILE.fullmatch(path.name))
    return [x for x in files if not any(covers(other.name, x.name) for other in files)]


def _files(root: Path) -> Iterator[Path]:
    for mart in VINTAGES:
        yield from (path for path in (root / mart).glob("*.parquet") if _FILE.fullmatch(path.name))


def _newest(settings: Settings) -> str:
    """The newest publication with a file of its own, which every period that is over lies before."""
    return max((x.stem for x in _files(settings.history_dir) if "T" in x.stem), default="")


def _take(pending: Path) -> None:
    """Move the files of a pending publication into the folders of their marts; a killed one is continued."""
    if not pending.is_dir():
        return
    for file in sorted(pending.glob("*.parquet")):
        folder = pending.parent / file.stem
        folder.mkdir(exist_ok=True)
        sync(file)
        file.replace(folder / f"{pending.name.removeprefix(_PENDING)}.parquet")
        sync(folder)
    shutil.rmtree(pending)
    sync(pending.parent)


def _marts(con: duckdb.DuckDBPyConnection) -> list[str]:
    rows = con.execute(
        "select table_name from duckdb_tables() where database_name = 'snapshot' and schema_name = 'marts' order by 1"
    ).fetchall()
    return [name for (name,) in rows if name in VINTAGES]


def _record(
    con: duckdb.DuckDBPyConnection,
    vintage: Vintage,
    mart: str,
    key: Sequence[str],
    files: Sequence[Path],
    pending: Path,
) -> None:
    """Write the rows of one mart that differ from the record, if any, and create its table and macro in the snapshot."""
    columns = _columns(con, "snapshot", "marts", mart)
    _read(con, mart, files)
    before = _columns(con, "temp", "main", "vintage_log")
    keys = ", ".join(key)
    same_key = " and ".join(f"n.{name} = b.{name}" for name in key)
    exact, rounded = (
        f"hash({_values('n', columns, columns, digits=digits)}) <> hash({_values('b', columns, before, digits=digits)})"
        for digits in (False, True)
    )
    con.execute(
        "create or replace temp table vintage_in_force as select * from vintage_log "
        f"qualify row_number() over (partition by {keys} order by published_from desc) = 1 and not withdrawn"
    )
    con.execute(
        f"""
        create or replace temp table vintage_new as
        select
            n.*, cast(? as timestamp) as published_from, cast(? as varchar) as publication_id,
            cast(? as varchar) as code_version, false as withdrawn
        from snapshot.marts.{mart} as n
        left join vintage_in_force as b on {same_key}
        where b.published_from is null or ({exact} and {rounded})
        """,
        [vintage.at, vintage.id, vintage.code_version],
    )
    con.execute(
        f"""
        insert into vintage_new by name
        select
            {", ".join(f"b.{name}" for name in key)}, cast(? as timestamp) as published_from,
            cast(? as varchar) as publication_id, cast(? as varchar) as code_version, true as withdrawn
        from vintage_in_force as b
        where not exists (select 1 from snapshot.marts.{mart} as n where {same_key})
        """,
        [vintage.at, vintage.id, vintage.code_version],
    )
    if scalar(con, "select count(*) from vintage_new"):
        _write(con, f"select * from vintage_new order by {keys}", pending)
    _create(con, mart, key, list(columns))
    for name in ("vintage_log", "vintage_in_force", "vintage_new"):
        con.execute(f"drop table temp.{name}")


def _create(con: duckdb.DuckDBPyConnection, mart: str, key: Sequence[str], columns: Sequence[str]) -> None:
    """Create history.<mart> from the record and the new rows, with its comments, and the macro."""
    keys = ", ".join(key)
    both = "(select * from vintage_log union all by name select * from vintage_new)"
    given_up = [
        name
        for name in _columns(con, "temp", "main", "vintage_log")
        if name not in {*columns, *BOOKKEEPING, "withdrawn"}
    ]
    kept = ", ".join([*columns, *given_up])
    con.execute(
        f"create table snapshot.history.{mart} as select {kept}, published_from, published_to, publication_id, code_version "
        f"from (select *, lead(published_from) over (partition by {keys} order by published_from) as published_to from {both}) "
        f"where not withdrawn order by {keys}, published_from"
    )
    (database,) = con.execute("select current_database()").fetchall()[0]
    con.execute("use snapshot")
    try:
        # Names inside a macro are looked up in the file that the reader has opened.
        con.execute(
            f"create macro main.{VINTAGES[mart]}(t) as table select {', '.join(columns)} from history.{mart} "
            f"where published_from <= {_INSTANT} and (published_to is null or published_to > {_INSTANT})"
        )
        con.execute(
            f"comment on macro table main.{VINTAGES[mart]} is "
            f"'What this file said in marts.{mart} at an instant t, in UTC where t has no zone.'"
        )
    finally:
        con.execute(f'use "{database}"')
    con.execute(
        f"comment on table snapshot.history.{mart} is "
        f"'What marts.{mart} said at each publication: one row per key and published_from; only what changed is a new row.'"
    )
    known = con.execute(
        "select column_name, comment from duckdb_columns() where database_name = 'snapshot' and schema_name = 'marts' "
        "and table_name = ? and comment is not null",
        [mart],
    ).fetchall()
    gone = dict.fromkeys(given_up, f"A column that marts.{mart} had before.")
    for name, text in {**dict(known), **BOOKKEEPING, **gone}.items():
        con.execute(f"comment on column snapshot.history.{mart}.{name} is '{_quoted(text)}'")


def _read(con: duckdb.DuckDBPyConnection, mart: str, files: Sequence[Path]) -> None:
    """The record of a mart as a temporary table."""
    con.execute("create or replace temp table vintage_log as " + (
        f"select * from read_parquet([{_listed(files)}], union_by_name = true)" if files else
        f"select *, cast(null as timestamp) as published_from, cast(null as varchar) as publication_id, "
        f"cast(null as varchar) as code_version, false as withdrawn from snapshot.marts.{mart} limit 0"
    ))  # fmt: skip


def _values(alias: str, columns: Mapping[str, str], have: Mapping[str, str], *, digits: bool) -> str:
    """The columns of a mart as arguments of a hash; with `digits`, doubles in 9 significant digits. `have` are the types that
    the table `alias` has: what it lacks is null, another type is read as the mart's."""
    values = []
    for name, kind in columns.items():
        value = f"{alias}.{name}"
        if have.get(name) != kind:
            value = f"try_cast({value if name in have else 'null'} as {kind})"
        if digits and kind in ("DOUBLE", "FLOAT"):
            value = f"case when {value} = 0 then '0' else printf('%.8e', {value}) end"
        values.append(value)
    return ", ".join(values)


def _columns(con: duckdb.DuckDBPyConnection, database: str, schema: str, table: str) -> dict[str, str]:
    rows = con.execute(
        "select column_name, data_type from duckdb_columns() "
        "where database_name = ? and schema_name = ? and table_name = ? order by column_index",
        [database, schema, table],
    ).fetchall()
    return dict(rows)


def _merge(con: duckdb.DuckDBPyConnection, folder: Path, length: int, newest: str) -> None:
    """Merge the files of each period that is over, by the first `length` characters of their names."""
    periods: dict[str, list[Path]] = {}
    for file in uncovered(folder):
        if len(file.stem) > length and file.stem[:length] < newest[:length]:
            periods.setdefault(file.stem[:length], []).append(file)
    for period, files in periods.items():
        query = f"select * from read_parquet([{_listed(files)}], union_by_name = true) order by published_from"
        _write(con, query, folder / f"{period}.parquet")


def _write(con: duckdb.DuckDBPyConnection, query: str, target: Path) -> None:
    temporary = target.with_name(f".{secrets.token_hex(6)}.part")
    try:
        con.execute(f"copy ({query}) to '{_quoted(temporary)}' (format parquet, compression zstd)")
        sync(temporary)
        temporary.replace(target)
        sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _listed(files: Iterable[Path]) -> str:
    return ", ".join(f"'{_quoted(file)}'" for file in exactly(files))


def _quoted(path: Path | str) -> str:
    return str(path).replace("'", "''")
