"""CSV to records, every cell as text: a fast path for uniform blocks, and a row-by-row path that locates faulty lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

import orjson
import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.sources.files.records import LINE, Columns, Records, broken_lines, in_batches, no_broken
from pipelines.sources.files.text_blocks import BYTE_ORDER_MARK, text_blocks
from pipelines.sources.files.unpack import ByteStream, Member


def read_csv(
    stream: ByteStream, member: Member, delimiter: str, columns: Columns, first_line: int
) -> Iterator[tuple[Records, int]]:
    header: list[str] | None = None
    line = first_line
    for block in text_blocks(stream, member):
        body, ends = block.data, block.ends
        if header is None:
            head, _, body = body.partition(b"\n")
            header = _header(head, member, delimiter, columns, line)
            line, ends = line + 1, max(ends - 1, 0)
        if block.is_last and body.endswith((b"\n\n", b"\n\r\n")):
            body = body.rstrip(b"\r\n")
            ends = body.count(b"\n")
        if not body:
            continue
        lines = ends + (not body.endswith(b"\n"))
        whole = _by_column(body, header, delimiter, line, lines)
        parts = (
            _by_cell(body, header, delimiter, member, line, is_last=block.is_last)
            if whole is None
            else in_batches(whole)
        )
        line += lines
        for part in parts:
            yield part, line
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


PART_CELLS: Final = 1_000_000

_DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


def _by_column(block: bytes, header: list[str], delimiter: str, line: int, lines: int) -> Records | None:
    """The records of `lines` whole lines, or None if the block needs row-by-row parsing: quotes, blank lines, or rows with too
    few or too many cells."""
    if b'"' in block or block.count(delimiter.encode()) != lines * (len(header) - 1):
        return None
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
    except (
        pl.exceptions.ComputeError,
        pl.exceptions.SchemaError,
    ):  # a long row and a short one cancel out in the count
        return None
    if frame.height != lines or (len(header) == 1 and b"\n\n" in block):
        return None
    numbers = pl.int_range(line, line + lines, dtype=pl.Int64, eager=True).alias(LINE)
    return Records(frame.with_columns(numbers), no_broken())


def _by_cell(
    block: bytes, header: list[str], delimiter: str, member: Member, line: int, *, is_last: bool
) -> Iterator[Records]:
    """The records of a block row by row, in parts of about PART_CELLS cells: as Python's objects they take ten times their text."""
    reader = csv.reader(io.StringIO(block.decode("utf-8"), newline="\n"), delimiter=delimiter, strict=True)
    whole: list[list[str]] = []
    lines: list[int] = []
    broken: list[tuple[int, str, str]] = []
    last_short: tuple[int, str, str] | None = None
    begins, cells = line, 0
    try:
        for row in reader:
            if len(row) == len(header):
                whole.append(row)
                lines.append(begins)
                last_short = None
            elif row:
                detail = f"{len(row)} cells where the header has {len(header)}"
                broken.append((begins, detail, orjson.dumps(row).decode()))
                last_short = broken[-1] if len(row) < len(header) else None
            begins = line + reader.line_num
            cells += len(row) or 1
            if cells >= PART_CELLS:
                yield _part(whole, lines, header, broken)
                whole, lines, broken, cells = [], [], [], 0
    except csv.Error as error:
        raise SourceFormatError(
            f"{member.name}, line {line + reader.line_num}: not CSV ({error}). Obtain the file again."
        ) from error
    if is_last and last_short is not None:
        number, detail, raw = last_short
        raise SourceFormatError(
            f"{member.name}, line {number}: the file is truncated, its last line has {detail}: {raw[:200]}."
            " Obtain it again."
        )
    yield _part(whole, lines, header, broken)


def _part(whole: list[list[str]], lines: list[int], header: list[str], broken: list[tuple[int, str, str]]) -> Records:
    frame = pl.DataFrame(whole, schema=dict.fromkeys(header, pl.String()), orient="row").with_columns(
        pl.Series(LINE, lines, dtype=pl.Int64)
    )
    return Records(frame, broken_lines(broken))
