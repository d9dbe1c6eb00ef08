"""Reads a landed file of any container and format as batches of records."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.sources.files.csv_reader import read_csv
from pipelines.sources.files.json_reader import read_json_document, read_json_lines
from pipelines.sources.files.mapping import File
from pipelines.sources.files.records import BATCH_ROWS, LINE, Columns, Records, no_broken
from pipelines.sources.files.unpack import open_members


def read_records(path: Path, file: File, name: str, columns: Columns) -> Iterator[Records]:
    """The records of `path`, originally named `name`, in batches. Line numbers continue across the members of an archive.

    Raises SourceFormatError for a structural fault: an unsafe archive, a missing or unknown column, a truncated file, or bytes
    that are not text.
    """
    if file.format == "parquet":
        yield from _parquet(path, name, columns)
        return
    first_line = 1
    for member in open_members(path, name=name, pattern=file.member):
        with closing(member.stream) as stream:
            if file.format == "csv":
                reader = read_csv(stream, member, file.delimiter, columns, first_line)
            elif file.format == "jsonl":
                reader = read_json_lines(stream, member, file.record_path, columns, first_line)
            else:
                reader = read_json_document(stream, member, file.record_path, columns, first_line)
            for records, next_line in reader:
                first_line = next_line
                yield records


def _parquet(path: Path, name: str, columns: Columns) -> Iterator[Records]:
    try:
        scan = pl.scan_parquet(path, glob=False)
        found = scan.collect_schema().names()
        columns.check(found, place=name)
        wanted = [x for x in found if columns.wide or x in columns.used | columns.ignored]
        start = 0
        while True:
            frame = scan.select(wanted).slice(start, BATCH_ROWS).collect()
            if start and frame.is_empty():
                return
            lines = pl.int_range(start + 1, start + frame.height + 1, dtype=pl.Int64, eager=True).alias(LINE)
            yield Records(frame.with_columns(lines), no_broken())
            start += frame.height
            if frame.height < BATCH_ROWS:
                return
    except (pl.exceptions.ComputeError, OSError) as error:
        raise SourceFormatError(f"{name}: not a readable Parquet file ({error}). Obtain it again.") from error
