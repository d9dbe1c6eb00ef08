"""Parsed landings of one source, as Parquet files in the scratch folder: what a load stages, made without the database.

Parsing needs neither the writer lock nor the clean tables, so it happens before either is taken. Every landing is parsed by
itself: whatever goes wrong in it is a Refusal of that landing, and the others go on.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Final

import polars as pl
from filelock import FileLock, Timeout

from pipelines.clean.versions import Version, changes, versions_of
from pipelines.contract.batch import NULL_CELLS_SCHEMA, REJECT_SCHEMA, LeftOut, ParsedBatch
from pipelines.contract.ddl import Contract, Table
from pipelines.contract.versions import UNKNOWN, MadeBy
from pipelines.core.errors import ContractError, LimitError
from pipelines.core.files import is_fault_of_bytes
from pipelines.core.limits import current, exceeded
from pipelines.extract.landing import Landing, LandingStore, Parser, Refusal

_MIX: Final = 0x9E3779B97F4A7C15
"""An odd multiplier with well-spread bits, so that the hashes of key columns do not cancel out."""

DETAIL_LENGTH: Final = 2_000
"""Characters of an error that a refusal keeps."""

RESERVED_REASONS: Final = frozenset({"contract", "conflicting_duplicate"})
"""Reasons of rejected rows that only the loader gives."""

SENTINEL: Final = "sentinel"
"""Reason of rows that a mapping rejects on purpose."""

_LOCK: Final = ".lock"

ConstantColumns = Mapping[str, str | None]
"""Text columns with the same value (or null) in all rows, and that value."""


@dataclass(frozen=True)
class TableFiles:
    """The rows of one landing for one table: its Parquet files, the days in them, and what is constant in all of them."""

    files: tuple[Path, ...]
    days: frozenset[date | None]
    constant_columns: ConstantColumns


@dataclass(frozen=True)
class ParsedLanding:
    """One landing, parsed; keys are table names. `rejects` are Parquet files; `null_cells` are few and stay in memory, as are
    `withdrawn`, rows that earlier versions had (versions.WITHDRAWN_SCHEMA)."""

    landing_id: str
    tables: Mapping[str, TableFiles]
    rejects: Mapping[str, tuple[Path, ...]]
    null_cells: Mapping[str, pl.DataFrame]
    left_out: Mapping[str, LeftOut]
    withdrawn: Mapping[str, pl.DataFrame] = field(default_factory=dict)


@dataclass
class ParsedSource:
    """Parses landings of a source on request and keeps the results until the end of the load. Made by parsed_source."""

    contract: Contract
    source: str
    store: LandingStore
    parse: Parser
    folder: Path
    reader_version: str
    now: datetime
    known_by: datetime | None = None
    """Rows that could only be known later are left out; None: no limit."""
    made_by: MadeBy = UNKNOWN
    candidates: frozenset[str] = frozenset()
    """Ids of files that are not landed yet: their digest was taken just before, and is taken again when they are landed."""
    landings: dict[str, ParsedLanding] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)
    _rows: int = 0

    def read(self, landing: Landing, *, landings: Iterable[Landing], refused: Collection[str]) -> Refusal | None:
        """Parse a landing unless that was done; return why it is refused, None if it was read.

        Its earlier versions are found in `landings`, without those in `refused`, and decide when its rows could be known.
        Raises TransientError, and OSError for what is wrong with this machine (full disk, permissions): they say nothing of
        the landing.
        """
        if landing.landing_id in self.landings:
            return None
        if landing.landing_id not in self.refused:
            folder = self.folder / landing.landing_id
            try:
                self.landings[landing.landing_id] = self._known(
                    self._dated(self._parse(landing, folder), versions_of(landing, landings, refused=refused))
                )
            # Parsers meet whatever the world sends, and a panic of polars is no Exception: nothing of one landing may
            # stop the others.
            except BaseException as error:
                shutil.rmtree(folder, ignore_errors=True)
                if not is_fault_of_bytes(error):
                    raise
                self.refused[landing.landing_id] = self.refusal(
                    landing, _reason(error), _message(error), page=getattr(error, "page", None)
                )
        return self.refused.get(landing.landing_id)

    def refusal(
        self, landing: Landing, reason: str, detail: str, sample: Iterable[str] = (), page: str | None = None
    ) -> Refusal:
        """A refusal of a landing by the code of now."""
        return Refusal(
            landing_id=landing.landing_id,
            source=landing.source,
            partition=landing.partition,
            part=landing.part,
            reason=reason,
            detail=detail[:DETAIL_LENGTH],
            page=page,
            sample=tuple(sample),
            reader_version=self.reader_version,
            refused_at=self.now,
        )

    def _parse(self, landing: Landing, folder: Path) -> ParsedLanding:
        if landing.bytes > current().landing_bytes:
            raise exceeded(landing.original_name, "landing_bytes", f"it has {landing.bytes:,} bytes")
        for fault in self.store.verify([] if landing.landing_id in self.candidates else [landing]):
            raise AlteredError(fault)
        folder.mkdir(parents=True)
        parts: dict[str, list[tuple[Path, set[date | None], ConstantColumns]]] = {}
        rejects: dict[str, list[Path]] = {}
        null_cells: dict[str, list[pl.DataFrame]] = {}
        left_out: dict[str, LeftOut] = {}
        read = unreadable = 0
        for batch in self.parse(landing):
            read += batch.rows.height + batch.rejects.height
            unreadable += batch.rejects.filter(pl.col("reason") != SENTINEL).height
            _check_counts(landing, read, unreadable)
            table = self.contract.table(batch.table)
            _check_frame(self.source, table, batch.rows, batch.rejects)
            if batch.rows.height:
                rows = self._stamped(table, batch)
                file = folder / f"{table.name}-{self._rows}.parquet"
                constant_columns = _constant_texts(rows)
                rows.select(*stage_schema(table)).with_columns(
                    *_dictionaries(constant_columns, rows.height)
                ).write_parquet(file, compression="uncompressed", statistics=False)
                parts.setdefault(table.name, []).append((file, set(rows["trade_date"].unique()), constant_columns))
                self._rows += rows.height
            parts.setdefault(table.name, [])
            left_out[table.name] = left_out.get(table.name, LeftOut()) + batch.left_out
            if batch.rejects.height:
                found = rejects.setdefault(table.name, [])
                found.append(folder / f"{table.name}-rejects-{len(found)}.parquet")
                batch.rejects.select(*REJECT_SCHEMA).write_parquet(found[-1], compression="lz4", statistics=False)
            if batch.null_cells.height:
                null_cells.setdefault(table.name, []).append(batch.null_cells.select(*NULL_CELLS_SCHEMA))
        return ParsedLanding(
            landing.landing_id,
            {
                name: TableFiles(
                    tuple(file for file, _, _ in staged),
                    frozenset().union(*(days for _, days, _ in staged)),
                    shared_constants(constants for _, _, constants in staged),
                )
                for name, staged in parts.items()
            },
            {name: tuple(files) for name, files in rejects.items()},
            {name: pl.concat(frames) for name, frames in null_cells.items()},
            left_out,
        )

    def _dated(self, parsed: ParsedLanding, versions: Sequence[Version]) -> ParsedLanding:
        """The landing with the time since which each row has stood in the versions up to it."""
        if len(versions) == 1 or not any(found.files for found in parsed.tables.values()):
            return parsed
        withdrawn: dict[str, pl.DataFrame] = {}
        before = self.folder / f"{parsed.landing_id}-before"
        known: list[tuple[Version, ParsedLanding]] = []
        for version in versions[:-1]:
            try:
                known.append((version, self._parse(version.landing, before / version.landing.landing_id)))
            except BaseException as error:
                # What cannot be read was never known to anyone here.
                if not is_fault_of_bytes(error):
                    raise
        known.append((versions[-1], parsed))
        for name, found in parsed.tables.items():
            if not found.files:
                continue
            chain = [(version, said.tables[name].files if name in said.tables else ()) for version, said in known]
            found_changes = changes(self.contract.table(name), chain)
            moved = found_changes.moved
            if found_changes.withdrawn.height:
                withdrawn[name] = found_changes.withdrawn
            for file in found.files if moved.height else ():
                rows = pl.read_parquet(file, glob=False)
                later = pl.coalesce("known_at", "available_at").alias("available_at")
                rows = rows.join(
                    moved.rename({"available_at": "known_at"}), on="_rid", how="left", maintain_order="left"
                )
                rows.with_columns(later).drop("known_at").write_parquet(
                    file, compression="uncompressed", statistics=False
                )
        shutil.rmtree(before, ignore_errors=True)
        return replace(parsed, withdrawn=withdrawn)

    def _known(self, parsed: ParsedLanding) -> ParsedLanding:
        """The landing without what could only be known after `known_by`.

        Reference (tables merged by key) stays, as the mappings do: it says what the rows are of, also where it came later.
        """
        if self.known_by is None:
            return parsed
        tables = {}
        for name, found in parsed.tables.items():
            if self.contract.table(name).merge:
                tables[name] = found
                continue
            days: set[date | None] = set()
            for file in found.files:
                rows = pl.read_parquet(file, glob=False).filter(pl.col("available_at") <= self.known_by)
                rows.write_parquet(file, compression="uncompressed", statistics=False)
                days.update(rows["trade_date"].unique())
            tables[name] = replace(found, days=frozenset(days))
        by = pl.col("trade_date").is_null() | (pl.col("trade_date") < self.known_by)
        for files in parsed.rejects.values():
            for file in files:
                pl.read_parquet(file, glob=False).filter(by).write_parquet(file, compression="lz4", statistics=False)
        return replace(
            parsed,
            tables=tables,
            null_cells={name: rows.filter(by) for name, rows in parsed.null_cells.items()},
        )

    def _stamped(self, table: Table, batch: ParsedBatch) -> pl.DataFrame:
        """The rows of a batch with every column of the stage: partition day, origin, row number, key hash."""
        rows, day = batch.rows, pl.col(table.day_column or "")
        return rows.with_columns(
            *(pl.lit(None, dtype=t).alias(c) for c, t in table.polars_schema().items() if c not in rows.columns),
            ((day - pl.duration(microseconds=1)) if table.day_is_state else day).dt.date().alias("trade_date"),
            pl.lit(batch.landing_id).alias("landing_id"),
            pl.int_range(self._rows, self._rows + pl.len(), dtype=pl.Int64).alias("_rid"),
        ).with_columns(_key_hash(table).alias("_key"))


class AlteredError(Exception):
    """Landed bytes are missing or are not those of the manifest."""


@contextmanager
def parsed_source(
    contract: Contract,
    source: str,
    store: LandingStore,
    parse: Parser,
    *,
    reader_version: str,
    now: datetime,
    known_by: datetime | None = None,
    made_by: MadeBy = UNKNOWN,
    candidates: frozenset[str] = frozenset(),
) -> Iterator[ParsedSource]:
    """A ParsedSource in a folder of its own below the scratch folder, which is removed at the end of the block."""
    folder = store.home / "scratch" / f"load-{secrets.token_hex(6)}"
    folder.mkdir(parents=True)
    # Held until the end of the block: whose lock is free belonged to a process that was killed.
    with FileLock(folder / _LOCK):
        try:
            yield ParsedSource(
                contract, source, store, parse, folder, reader_version, now, known_by, made_by, candidates
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(home: Path) -> None:
    """Remove the folders of loads that were killed; those of running loads, in this process or another, stay."""
    for folder in (home / "scratch").glob("load*"):
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def stage_schema(table: Table) -> dict[str, pl.DataType]:
    """Columns of a staged file: wire columns, partition day, origin of the row, row number in the load, key hash."""
    return table.polars_schema() | {
        "trade_date": pl.Date(),
        "landing_id": pl.String(),
        "_line": pl.Int64(),
        "_field": pl.String(),
        "_rid": pl.Int64(),
        "_key": pl.UInt64(),
    }


def shared_constants(columns: Iterable[ConstantColumns]) -> ConstantColumns:
    """The columns that have one and the same constant value in all of `columns`."""
    shared: dict[str, str | None] | None = None
    for constants in columns:
        shared = dict(constants) if shared is None else dict(shared.items() & constants.items())
    return shared or {}


def _check_counts(landing: Landing, read: int, unreadable: int) -> None:
    """Raise LimitError for a landing with too many rows."""
    limits = current()
    if read > limits.landing_rows:
        raise exceeded(landing.original_name, "landing_rows", f"{read:,} rows so far", advice="Split the file.")
    if unreadable > limits.unreadable_rows:
        raise exceeded(
            landing.original_name, "unreadable_rows", f"{unreadable:,} of the first {read:,} rows cannot be read",
            advice="Compare the file with its mapping.",
        )  # fmt: skip


def _reason(error: BaseException) -> str:
    if isinstance(error, AlteredError):
        return "altered"
    if isinstance(error, LimitError):
        return "limit"
    return "contract" if isinstance(error, ContractError) else "unreadable"


def _message(error: BaseException) -> str:
    text = " ".join(str(error).split()) or "no message"
    return text if isinstance(error, AlteredError | LimitError) else f"{type(error).__name__}: {text}"


def _check_frame(source: str, table: Table, rows: pl.DataFrame, rejects: pl.DataFrame) -> None:
    expected = table.polars_schema()
    unknown = [c for c in rows.columns if c not in expected and c not in ("_line", "_field")]
    # A batch of rejects only has no columns.
    missing = [c.name for c in table.wire_columns if rows.height and not c.nullable and c.name not in rows.columns]
    wrong = [f"{c} is {rows.schema[c]}" for c in rows.columns if c in expected and rows.schema[c] != expected[c]]
    if unknown or missing or wrong:
        raise ContractError(
            f"{source}: the parser's frame for {table.qualified} has unknown columns {unknown}, lacks {missing}, "
            f"has wrong types {wrong}; correct the module in pipelines/sources."
        )
    reserved = set(rejects["reason"].unique()) & RESERVED_REASONS
    if reserved:
        raise ContractError(
            f"{source}: reasons {sorted(reserved)} are reserved for the loader; a parser must not use them."
        )


def _constant_texts(rows: pl.DataFrame) -> ConstantColumns:
    texts = rows.select(pl.col(pl.String))
    first = texts.row(0, named=True)
    same = texts.select((pl.all() == pl.all().first()).all(ignore_nulls=False) | pl.all().is_null().all())
    return {name: first[name] for name, constant in same.row(0, named=True).items() if constant}


def _dictionaries(constant_columns: ConstantColumns, height: int) -> list[pl.Series]:
    """Constant text columns as enums, which are written without collecting their distinct values."""
    return [
        pl.repeat(value, height, dtype=pl.Enum([value or ""]), eager=True).alias(column)
        for column, value in constant_columns.items()
    ]


def _key_hash(table: Table) -> pl.Expr:
    """A hash of the key: equal keys have equal hashes within one load. Hashing a struct would take twice as long."""
    mixed = pl.lit(0, pl.UInt64)
    for number, column in enumerate(c for c in table.key if c != "source"):
        mixed = mixed * pl.lit(_MIX, pl.UInt64) + pl.col(column).hash(number)
    return mixed
