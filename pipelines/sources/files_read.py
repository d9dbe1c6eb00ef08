"""Bytes of one landed file to frames of text cells: containers, CSV, JSON, JSON lines, Parquet, in bounded batches.

What the cells mean is decided in files_shape. A structural fault (missing column, truncated file, undecodable bytes, a
container that must not be opened) is a SourceFormatError naming file, line, column and value.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson
import polars as pl

from pipelines.errors import SourceFormatError
from pipelines.sources.files_mapping import File
from pipelines.sources.files_unpack import Member, open_members

BATCH_ROWS: Final = 1_000_000
BLOCK_BYTES: Final = 24 << 20
MAX_LINE_BYTES: Final = 1 << 20
"""The widest recorded header has 5 KB; a line beyond this is not a line but a file that is not what it claims."""
MAX_DOCUMENT_BYTES: Final = 256 << 20
"""A JSON document is parsed as one; larger ones belong into JSON lines."""

LINE: Final = "_line"


@dataclass(frozen=True)
class Records:
    """Some records of a file: every column as text (null where the file has null) except typed Parquet columns, and
    `_line`. `broken` are lines that are no record (too few or too many cells): line, detail, raw."""

    frame: pl.DataFrame
    broken: pl.DataFrame


BROKEN_SCHEMA: Final[dict[str, pl.DataType]] = {"line": pl.Int64(), "detail": pl.String(), "raw": pl.String()}


def read_records(path: Path, file: File, name: str, columns: Columns) -> Iterator[Records]:
    """The records of `path`, which `name` calls itself, in batches. Lines count on through the members of an archive."""
    if file.format == "parquet":
        yield from _parquet(path, name, columns)
        return
    first_line = 1
    for member in open_members(path, name=name, pattern=file.member):
        with member.stream as stream:
            if file.format == "csv":
                reader = _csv(stream, member, file.delimiter, columns, first_line)
            elif file.format == "jsonl":
                reader = _json_lines(stream, member, columns, first_line)
            else:
                reader = _json_document(stream, member, file.record_path, columns, first_line)
            for records, next_line in reader:
                first_line = next_line
                yield records


@dataclass(frozen=True)
class Columns:
    """Which columns a file must have, and which it may have."""

    used: frozenset[str]
    ignored: frozenset[str]
    wide: bool

    def check(self, found: Sequence[str], *, place: str, hint: str = "") -> None:
        """Raise SourceFormatError where `found` is not what the mapping describes; wide columns are checked later."""
        twice = sorted({name for name in found if found.count(name) > 1})
        if twice:
            raise SourceFormatError(f"{place}: column {twice[0]!r} appears twice. Correct the file.")
        missing = sorted(self.used - set(found))
        if missing:
            raise SourceFormatError(
                f"{place}: column {missing[0]!r} is missing{hint}; found {_some(found)}. Correct the file or the mapping."
            )
        unknown = [] if self.wide else [name for name in found if name not in self.used | self.ignored]
        if unknown:
            raise SourceFormatError(
                f"{place}: column {unknown[0]!r} is not in the mapping. Use it in a rule or list it in ignore."
            )


def _csv(
    stream: IO[bytes], member: Member, delimiter: str, columns: Columns, first_line: int
) -> Iterator[tuple[Records, int]]:
    header: list[str] | None = None
    line = first_line
    for block, is_last in _blocks(stream, member):
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
            records = Records(records.frame, _no_broken())
    if header is None:
        raise SourceFormatError(f"{member.name}: the file is empty, not even a header. Obtain it again.")


def _header(head: bytes, member: Member, delimiter: str, columns: Columns, line: int) -> list[str]:
    text = head.removeprefix(b"\xef\xbb\xbf").decode("utf-8").rstrip("\r")
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
            return Records(frame.with_columns(lines), _no_broken()), line + ends
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
    if is_last and broken and broken[-1][0] > last_whole and orjson.loads(broken[-1][2]).__len__() < len(header):
        number, detail, raw = broken[-1]
        raise SourceFormatError(
            f"{member.name}, line {number}: the file is truncated, its last line has {detail}: {raw[:200]}. Obtain it again."
        )
    frame = pl.DataFrame(whole, schema=dict.fromkeys(header, pl.String()), orient="row").with_columns(
        pl.Series(LINE, lines, dtype=pl.Int64)
    )
    return Records(frame, pl.DataFrame(broken, schema=BROKEN_SCHEMA, orient="row")), begins


def _blocks(stream: IO[bytes], member: Member) -> Iterator[tuple[bytes, bool]]:
    """Blocks of whole lines and whether it is the last one; a quoted cell that spans lines is never cut."""
    rest = b""
    line = 1
    while True:
        chunk = stream.read(BLOCK_BYTES)
        block = rest + chunk
        if not chunk:
            if block:
                _check_text(block, member, line)
                yield block, True
            return
        _check_lines(block, member, line)
        cut = _cut(block)
        if cut == 0:
            raise SourceFormatError(
                f"{member.name}, line {line}: a quoted cell does not end within {len(block)} bytes. Correct the file."
            )
        whole, rest = block[:cut], block[cut:]
        _check_text(whole, member, line)
        line += whole.count(b"\n")
        if not rest:  # the file may end here: look ahead, so that the last block is known as such
            rest = stream.read(1)
            if not rest:
                yield whole, True
                return
        yield whole, False


def _cut(block: bytes) -> int:
    """Position after the last line end that is not inside quotes; 0 where there is none."""
    end = block.rfind(b"\n") + 1
    if b'"' not in block:
        return end
    while end and block.count(b'"', 0, end) % 2:
        end = block.rfind(b"\n", 0, end - 1) + 1
    return end


def _check_lines(block: bytes, member: Member, line: int) -> None:
    """Raise SourceFormatError where a line exceeds MAX_LINE_BYTES, looking at one position per MAX_LINE_BYTES."""
    position = 0
    while position + MAX_LINE_BYTES < len(block):
        end = block.rfind(b"\n", position, position + MAX_LINE_BYTES)
        if end < 0:
            number = line + block.count(b"\n", 0, position)
            raise SourceFormatError(
                f"{member.name}, line {number}: longer than {MAX_LINE_BYTES} bytes, beginning "
                f"{block[position : position + 40]!r}. This is not the file the mapping describes."
            )
        position = end + 1


def _check_text(block: bytes, member: Member, line: int) -> None:
    _check_lines(block, member, line)
    position = block.find(b"\0")
    reason = "a NUL byte"
    if position < 0:
        if block.isascii():
            return
        try:
            block.decode("utf-8")
        except UnicodeDecodeError as error:
            position, reason = error.start, f"byte 0x{block[error.start]:02x} is not UTF-8"
        else:
            return
    number = line + block.count(b"\n", 0, position)
    column = position - block.rfind(b"\n", 0, position)
    raise SourceFormatError(
        f"{member.name}, line {number}, byte {column}: {reason}, near {block[max(position - 20, 0) : position + 20]!r}. "
        "Save the file as UTF-8 or obtain it again."
    )


def _json_lines(stream: IO[bytes], member: Member, columns: Columns, first_line: int) -> Iterator[tuple[Records, int]]:
    line = first_line
    seen = False
    for block, is_last in _blocks(stream, member):
        texts = block.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line == first_line else block.split(b"\n")
        rows: list[Mapping[str, Any]] = []
        lines: list[int] = []
        broken: list[tuple[int, str, str]] = []
        for number, text in enumerate(texts, start=line):
            if not text.strip():
                continue
            try:
                row = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                if is_last and number == line + len(texts) - 1:
                    raise SourceFormatError(
                        f"{member.name}, line {number}: the file is truncated, its last line is not JSON ({error})."
                        " Obtain it again."
                    ) from error
                broken.append((number, f"not JSON: {error}", orjson.dumps(text.decode()).decode()))
                continue
            if not isinstance(row, dict):
                broken.append((number, "not a JSON object", orjson.dumps(text.decode()).decode()))
                continue
            rows.append(row)
            lines.append(number)
        line += block.count(b"\n")
        seen = seen or bool(rows or broken)
        frame = _json_frame(rows, lines, columns, member)
        lost = pl.DataFrame(broken, schema=BROKEN_SCHEMA, orient="row")
        for part in frame.iter_slices(BATCH_ROWS):
            yield Records(part, lost), line
            lost = _no_broken()
    if not seen:
        raise SourceFormatError(f"{member.name}: the file holds no record. Obtain it again.")


def _json_document(
    stream: IO[bytes], member: Member, record_path: str | None, columns: Columns, first_line: int
) -> Iterator[tuple[Records, int]]:
    text = stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(text) > MAX_DOCUMENT_BYTES:
        raise SourceFormatError(
            f"{member.name}: a JSON document beyond {MAX_DOCUMENT_BYTES} bytes is not read whole. Convert it to JSON lines."
        )
    try:
        found = orjson.loads(text.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise SourceFormatError(
            f"{member.name}, line {error.lineno}, byte {error.colno}: not JSON ({error.msg}), truncated? Obtain it again."
        ) from error
    for key in (record_path or "").split(".") if record_path else ():
        if not isinstance(found, dict) or key not in found:
            raise SourceFormatError(f"{member.name}: nothing at {record_path!r} (no {key!r}). Correct record_path.")
        found = found[key]
    if not isinstance(found, list):
        raise SourceFormatError(
            f"{member.name}: no list of records at {record_path or 'the top'}. Correct record_path."
        )
    rows = [row for row in found if isinstance(row, dict)]
    lines = [number for number, row in enumerate(found, start=first_line) if isinstance(row, dict)]
    odd = [
        (number, "not a JSON object", orjson.dumps(row).decode())
        for number, row in enumerate(found, start=first_line)
        if not isinstance(row, dict)
    ]
    lost = pl.DataFrame(odd, schema=BROKEN_SCHEMA, orient="row")
    frame = _json_frame(rows, lines, columns, member)
    for part in frame.iter_slices(BATCH_ROWS):
        yield Records(part, lost), first_line + len(found)
        lost = _no_broken()


def _json_frame(
    rows: Sequence[Mapping[str, Any]], lines: Sequence[int], columns: Columns, member: Member
) -> pl.DataFrame:
    """Records as text cells: a string as it is, anything else as its JSON; a key some records lack is null there."""
    names: dict[str, int] = {}
    for number, row in zip(lines, rows, strict=True):
        for name in row:
            names.setdefault(name, number)
    if rows:
        unknown = [name for name in names if name not in columns.used | columns.ignored]
        place = f"{member.name}, record {names[unknown[0]] if unknown and not columns.wide else lines[0]}"
        columns.check(list(names), place=place)
    cells = {name: pl.Series(name, [_text(row.get(name)) for row in rows], dtype=pl.String) for name in names}
    return pl.DataFrame(cells).with_columns(pl.Series(LINE, lines, dtype=pl.Int64))


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return repr(value) if isinstance(value, float) else orjson.dumps(value).decode()


def _parquet(path: Path, name: str, columns: Columns) -> Iterator[Records]:
    try:
        scan = pl.scan_parquet(path)
        found = scan.collect_schema().names()
        columns.check(found, place=name)
        wanted = [x for x in found if columns.wide or x in columns.used | columns.ignored]
        start = 0
        while True:
            frame = scan.select(wanted).slice(start, BATCH_ROWS).collect()
            if start and frame.is_empty():
                return
            lines = pl.int_range(start + 1, start + frame.height + 1, dtype=pl.Int64, eager=True).alias(LINE)
            yield Records(frame.with_columns(lines), _no_broken())
            start += frame.height
            if frame.height < BATCH_ROWS:
                return
    except (pl.exceptions.ComputeError, OSError) as error:
        raise SourceFormatError(f"{name}: not a readable Parquet file ({error}). Obtain it again.") from error


def _no_broken() -> pl.DataFrame:
    return pl.DataFrame(schema=BROKEN_SCHEMA)


def _some(names: Iterable[str], limit: int = 12) -> str:
    listed = [repr(name) for name in names]
    return ", ".join(listed[:limit]) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
