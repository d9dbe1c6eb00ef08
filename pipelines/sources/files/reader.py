"""Reads a landed file of any container and format as batches of records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.core.limits import GIB, MIB, current, exceeded
from pipelines.sources.files.csv_reader import read_csv
from pipelines.sources.files.json_reader import read_json_document, read_json_lines
from pipelines.sources.files.mapping import File
from pipelines.sources.files.records import BATCH_ROWS, LINE, Columns, Records, no_broken
from pipelines.sources.files.sheets import read_sheet
from pipelines.sources.files.unpack import open_members

TEXT_BYTES: Final = 64 * MIB
"""Texts of a Parquet file that are shaped at once."""


def read_records(path: Path, file: File, name: str, columns: Columns) -> Iterator[Records]:
    """The records of `path`, originally named `name`, in batches. Line numbers continue across the members of an archive.

    Raises SourceFormatError for a structural fault: an unsafe archive, a missing or unknown column, a truncated file, or bytes
    that are not text. Raises LimitError for what exceeds a limit.
    """
    for records in _raw_records(path, file, name, columns):
        lacking = columns.optional - set(records.frame.columns)
        if not lacking:
            yield records
            continue
        frame = records.frame.with_columns(pl.lit(None, dtype=pl.String).alias(column) for column in sorted(lacking))
        yield replace(records, frame=frame, missing=lacking)


def _raw_records(path: Path, file: File, name: str, columns: Columns) -> Iterator[Records]:
    if file.format in {"parquet", "feather"}:
        yield from _table(path, file.format, name, columns)
        return
    if file.format == "xlsx":
        yield from read_sheet(path, file.sheet, name, columns)
        return
    first_line = 1
    for member in open_members(path, name=name, pattern=file.member, ignored=file.ignore_members):
        with closing(member.stream) as stream:
            readers = {"csv": read_csv, "jsonl": read_json_lines, "json": read_json_document}
            for records, next_line in readers[file.format](stream, member, file, columns, first_line):
                first_line = next_line
                yield records


KINDS: Final = {"parquet": "Parquet", "feather": "Feather (Arrow IPC)"}


def _table(path: Path, kind: str, name: str, columns: Columns) -> Iterator[Records]:
    limits = current()
    try:
        scan = pl.scan_parquet(path, glob=False) if kind == "parquet" else pl.scan_ipc(path)
        schema = scan.collect_schema()
        if not schema:
            raise SourceFormatError(f"{name}: the file has no columns. Obtain it again.")
        names = dict(zip(schema.names(), columns.renamed(schema.names()), strict=True))
        columns.check(list(names.values()), place=name)
        rows = scan.select(pl.len()).collect().item()
        if rows > limits.landing_rows:
            raise exceeded(name, "landing_rows", f"{rows:,} rows", advice="Split the file.")
        wanted = [
            _flat(x, schema[x], name, columns).alias(names[x])
            for x in schema
            if columns.takes_any or names[x] in columns.known
        ]
        held = 0
        for start in range(0, max(rows, 1), BATCH_ROWS):
            frame = scan.select(wanted).slice(start, BATCH_ROWS).collect()
            texts = _text_bytes(frame, name)
            held += texts
            if held > max(GIB, limits.unpacked_ratio * path.stat().st_size):
                raise exceeded(
                    name, "unpacked_ratio", f"its texts unpack to {held:,} bytes or more, as a decompression bomb does"
                )
            frame = frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
            numbers = pl.int_range(start + 1, start + frame.height + 1, dtype=pl.Int64, eager=True).alias(LINE)
            frame = frame.with_columns(numbers)
            step = max(1, BATCH_ROWS // max(1, texts // TEXT_BYTES))
            for part in frame.iter_slices(step) if frame.height else (frame,):
                yield Records(part, no_broken())
    # Bytes that contradict each other end in a panic of polars, which is no Exception.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise SourceFormatError(f"{name}: not a readable {KINDS[kind]} file ({error}). Obtain it again.") from error


def _flat(column: str, dtype: pl.DataType, name: str, columns: Columns) -> pl.Expr:
    """A column without values inside values: what no rule reads is kept as JSON, what one reads is refused."""
    if not dtype.is_nested():
        return pl.col(column)
    levels, inner = 0, [dtype]
    while inner and levels <= current().nesting:
        levels += 1
        inner = [x for one in inner for x in _inner(one)]
    if inner:
        raise exceeded(name, "nesting", f"column {column!r} has values nested more than {current().nesting} deep")
    if column in columns.used | columns.optional or not (column in columns.ignored or columns.takes_any):
        raise SourceFormatError(
            f"{name}: column {column!r} holds lists or structs. Write its values into columns of their own, or list it in ignore."
        )
    return pl.struct(column).struct.json_encode().alias(column)


def _inner(dtype: pl.DataType) -> list[pl.DataType]:
    if isinstance(dtype, pl.Struct):
        return [field.dtype for field in dtype.fields if isinstance(field.dtype, pl.DataType)]
    inner = getattr(dtype, "inner", None)
    return [inner] if isinstance(inner, pl.DataType) else []


def _text_bytes(frame: pl.DataFrame, name: str) -> int:
    """Bytes of all texts of a frame, which may be far more than the file has: a text is stored once and named by each row.

    Raises LimitError for a text that exceeds `record_bytes`.
    """
    total = 0
    for series in frame.select(pl.col(pl.String, pl.Categorical, pl.Enum, pl.Binary)):
        named = series.unique().cast(pl.String) if isinstance(series.dtype, pl.Categorical | pl.Enum) else series
        sizes = named.bin.size() if named.dtype == pl.Binary else named.str.len_bytes()
        longest = int(sizes.max() or 0)  # type: ignore[arg-type]
        if longest > current().record_bytes:
            raise exceeded(name, "record_bytes", f"a text in column {series.name!r} has {longest:,} bytes")
        total += int(sizes.sum()) if named is series else longest * frame.height
    return total
