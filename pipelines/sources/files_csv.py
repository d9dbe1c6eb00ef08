"""CSV to records, every cell as text: fast where cells cannot be miscounted, exact about the line at fault else."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

import orjson
import polars as pl

from pipelines.errors import SourceFormatError
from pipelines.sources.files_records import BATCH_ROWS, LINE, Columns, Records, broken_lines, no_broken
from pipelines.sources.files_text import BYTE_ORDER_MARK, text_blocks
from pipelines.sources.files_unpack import ByteStream, Member


def read_csv(
    stream: ByteStream, member: Member, delimiter: str, columns: Columns, first_line: int
) -> Iterator[tuple[Records, int]]:
    header: list[str] | None = None
    line = first_line
    for block, is_last in text_blocks(stream, member):
        body = block
        if header is None:
            head, _, body = block.partition(b"\n")
            header = _header(head, member, delimiter, columns, line)
            line += 1
        if not body:
            continue
        records, line = _csv_block(body, header, delimiter, member, line, is_last=is_last)
        for part in records.frame.iter_slices(BATCH_ROWS):
            yield Records(part, records.broken), line
            records = Records(records.frame, no_broken())
    if header is None:
        raise SourceFormatError(f"{member.name}: the file is empty, not even a header. Obtain it again.")


def _header(head: bytes, member: Member, delimiter: str, columns: Columns, line: int) -> list[str]:
    text = head.removeprefix(BYTE_ORDER_MARK).decode("utf-8").rstrip("\r")
    header = next(csv.reader([text], delimiter=delimiter), [])
    hint = ""
    if len(header) == 1:
        others = {name: text.count(mark) for mark, name in _DELIMITERS.items() if mark != delimiter and mark in text}
        if others:
            likely = max(others, key=lambda name: others[name])
            hint = f" (the header has no {_DELIMITERS.get(delimiter, repr(delimiter))} but {likely}s: wrong delimiter?)"
    columns.check(header, place=f"{member.name}, line {line}", hint=hint)
    return header


_DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def _csv_block(
    block: bytes, header: list[str], delimiter: str, member: Member, line: int, *, is_last: bool
) -> tuple[Records, int]:
    """One block of whole lines. Lines that cannot be miscounted go through polars, the rest through the csv module."""
    ends = block.count(b"\n") + (not block.endswith(b"\n"))
    if b'"' not in block and block.count(delimiter.encode()) == ends * (len(header) - 1):
        try:
            frame = pl.read_csv(
                block,
                has_header=False,
                separator=delimiter,
                quote_char=None,
                infer_schema=False,
                empty_string_is_null=False,
                schema=dict.fromkeys(header, pl.String()),
            )
        except pl.exceptions.ComputeError:
            frame = pl.DataFrame()  # a line too long beside one too short: counted cell by cell below
        if frame.height == ends and (len(header) > 1 or b"\n\n" not in block):
            lines = pl.int_range(line, line + ends, dtype=pl.Int64, eager=True).alias(LINE)
            return Records(frame.with_columns(lines), no_broken()), line + ends
    return _csv_by_cell(block, header, delimiter, member, line, is_last=is_last)


def _csv_by_cell(
    block: bytes, header: list[str], delimiter: str, member: Member, line: int, *, is_last: bool
) -> tuple[Records, int]:
    reader = csv.reader(io.StringIO(block.decode("utf-8"), newline=""), delimiter=delimiter, strict=True)
    whole: list[list[str]] = []
    lines: list[int] = []
    broken: list[tuple[int, str, str]] = []
    begins = line
    try:
        for row in reader:
            if len(row) == len(header):
                whole.append(row)
                lines.append(begins)
            elif row:
                detail = f"{len(row)} cells where the header has {len(header)}"
                broken.append((begins, detail, orjson.dumps(row).decode()))
            begins = line + reader.line_num
    except csv.Error as error:
        raise SourceFormatError(
            f"{member.name}, line {line + reader.line_num}: not CSV ({error}). Obtain the file again."
        ) from error
    last_whole = lines[-1] if lines else 0
    if is_last and broken and broken[-1][0] > last_whole and len(orjson.loads(broken[-1][2])) < len(header):
        number, detail, raw = broken[-1]
        raise SourceFormatError(
            f"{member.name}, line {number}: the file is truncated, its last line has {detail}: {raw[:200]}."
            " Obtain it again."
        )
    frame = pl.DataFrame(whole, schema=dict.fromkeys(header, pl.String()), orient="row").with_columns(
        pl.Series(LINE, lines, dtype=pl.Int64)
    )
    return Records(frame, broken_lines(broken)), begins
