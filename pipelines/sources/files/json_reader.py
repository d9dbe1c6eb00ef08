"""JSON documents and JSON lines to records: strings unchanged, other values as JSON text.

Where the records of a document are is found in json_arrays.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.core.limits import MIB, current, exceeded
from pipelines.sources.files.json_arrays import array_on, elements
from pipelines.sources.files.json_paths import Inside, columnar_rows
from pipelines.sources.files.mapping import File
from pipelines.sources.files.patterns import LONGEST_TEXT
from pipelines.sources.files.records import (
    LINE,
    NO_TEXT,
    SKIPPED,
    TRUNCATED,
    Columns,
    Records,
    broken_lines,
    in_batches,
)
from pipelines.sources.files.text_blocks import BYTE_ORDER_MARK, REPLACED, Transcoded, text_blocks
from pipelines.sources.files.unpack import ByteStream, Member

LINES_BYTES: Final = 2 * MIB
"""JSON lines that are parsed at once: as Python's objects they take 20 to 50 times their text."""
BATCH_BYTES: Final = 32 * MIB
"""Text cells that are gathered before a batch is given on."""

ROW_BYTES: Final = 128
"""What a row counts at least: one that is rejected takes more than its cells."""
BROKEN_ROWS: Final = 100_000
"""Broken records that are gathered before they are given on."""
PART_CELLS: Final = 1_000_000
"""Cells that a frame is made of at once."""

Broken = list[tuple[int, str, str]]

_REPLACED: Final = REPLACED.encode()


def read_json_lines(
    stream: ByteStream, member: Member, file: File, columns: Columns, first_line: int
) -> Iterator[tuple[Records, int]]:
    line = first_line
    batch = _Batch(member, columns)
    found = False
    skip = None if file.skip_line is None else re.compile(file.skip_line)
    prefix = None if file.prefix is None else re.compile(file.prefix)
    inside = Inside(file.record_path, columns)
    why = f"no record at {' or '.join(file.record_path)}" if file.record_path else "not a JSON object"
    for block in text_blocks(stream, member, size=LINES_BYTES, quotes=False, encoding=file.encoding):
        texts = (block.data.removeprefix(BYTE_ORDER_MARK) if block.line == 1 else block.data).split(b"\n")
        rows: list[Mapping[str, Any]] = []
        lines: list[int] = []
        broken: Broken = []
        for number, text in enumerate(texts, start=line):
            if not text.strip():
                continue
            if block.is_damaged and _REPLACED in text:
                broken.append((number, NO_TEXT, orjson.dumps(text.decode()).decode()))
                continue
            if skip is not None and skip.fullmatch(text[:LONGEST_TEXT].decode(errors="replace").rstrip("\r")):
                batch.ignored[SKIPPED] += 1
                continue
            groups: Mapping[str, Any] = {}
            content = text
            if prefix is not None:
                match = prefix.match(text[:LONGEST_TEXT].decode(errors="replace"))
                if match is None:
                    broken.append((number, "does not begin with the prefix", orjson.dumps(text.decode()).decode()))
                    continue
                groups, content = match.groupdict(), text[len(match[0].encode()) :]
            try:
                row = orjson.loads(content)
            except orjson.JSONDecodeError as error:
                cut = TRUNCATED if block.is_last and number == line + len(texts) - 1 else ""
                broken.append((number, f"not JSON: {error}{cut}", orjson.dumps(text.decode()).decode()))
                continue
            records = inside.records(row)
            if records is None:
                broken.append((number, why, orjson.dumps(text.decode()).decode()))
                continue
            rows += [{**groups, **record} for record in records] if groups else records
            lines += [number] * len(records)
        line += block.ends + (not block.data.endswith(b"\n"))
        found = found or bool(rows or broken or batch.ignored)
        for part in batch.add(rows, lines, broken):
            yield part, line
    if not found:
        raise SourceFormatError(f"{member.name}: the file holds no record. Obtain it again.")
    for part in batch.rest():
        yield part, line


def read_json_document(
    stream: ByteStream, member: Member, file: File, columns: Columns, first_line: int
) -> Iterator[tuple[Records, int]]:
    stream = stream if file.encoding is None else Transcoded(stream, file.encoding, member.name)
    text = _document(stream, member).removeprefix(BYTE_ORDER_MARK)
    batch = _Batch(member, columns)
    number = first_line
    if file.columnar:
        parts: Iterator[list[Any]] = columnar_rows(text, file.record_path, name=member.name)
        inside = Inside((), columns)
    else:
        place = array_on(text, file.record_path, columns.used | columns.optional, name=member.name)
        if place is None:
            raise _no_array(member, file, text)
        parts = elements(text, place.start, place.end, name=member.name)
        inside = Inside(place.rest, columns, around=(place.around,) if place.around else ())
    for found in parts:
        rows: list[Mapping[str, Any]] = []
        lines: list[int] = []
        broken: Broken = []
        for line, element in enumerate(found, start=number):
            records = inside.records(element)
            if records is None:
                why = f"no record at {' or '.join(place.rest)}" if inside.paths and place else "not a JSON object"
                broken.append((line, why, orjson.dumps(element).decode()))
                continue
            rows += records
            lines += [line] * len(records)
        if number == first_line and len(broken) == len(found):
            raise SourceFormatError(
                f"{member.name}: none of the first {len(found):,} elements of the array is a record. Correct record_path."
            )
        number += len(found)
        for part in batch.add(rows, lines, broken):
            yield part, number
    if number == first_line and inside.paths:
        raise _no_array(member, file, text)
    for part in batch.rest():
        yield part, number


def _no_array(member: Member, file: File, text: bytes) -> SourceFormatError:
    place = " or ".join(file.record_path) or "the top level"
    return SourceFormatError(
        f"{member.name}: expected an array of records at {place}.{_said(text)} Correct record_path."
    )


def _said(text: bytes) -> str:
    """What an API's answer says instead of data."""
    if len(text) > SAID_BYTES:
        return ""
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return f" It is not JSON ({error.msg}), truncated?"
    said = {key: content[key] for key in ("code", "status", "msg", "message", "error") if content.get(key) is not None} \
        if isinstance(content, dict) else {}  # fmt: skip
    return f" It says {orjson.dumps(said).decode()[:200]}." if said else ""


SAID_BYTES: Final = 4_000
"""Bytes of a document that may be an API's complaint."""


def _document(stream: ByteStream, member: Member) -> bytes:
    """All bytes of a document. Raises LimitError if there are more than `document_bytes`."""
    most = current().document_bytes
    text = bytearray()
    while chunk := stream.read(4 * MIB):
        text += chunk
        if len(text) > most:
            raise exceeded(
                member.name,
                "document_bytes",
                f"the JSON document is larger than {most} bytes",
                advice="Convert it to JSON lines.",
            )
    return bytes(text)


@dataclass
class _Batch:
    """Records that are gathered into frames. `seen` maps each key so far to the record it first appeared in.

    A key that first appears late may be one that the mapping needs: until then its column is null, and what is missing is
    told at the end.
    """

    member: Member
    columns: Columns
    seen: dict[str, int] = field(default_factory=dict)
    frames: list[pl.DataFrame] = field(default_factory=list)
    broken: Broken = field(default_factory=list)
    size: int = 0
    first: int | None = None
    ignored: Counter[str] = field(default_factory=Counter)

    def add(self, rows: Sequence[Mapping[str, Any]], lines: Sequence[int], broken: Broken) -> Iterator[Records]:
        """Take up records; gives a batch whenever one is full."""
        if self.columns.rename:
            rows = [dict(zip(self.columns.renamed(list(row)), row.values(), strict=True)) for row in rows]
        self._see(rows, lines)
        self.broken += broken
        if len(self.broken) >= BROKEN_ROWS:
            yield from self._take()
        step = max(1, PART_CELLS // max(1, len(self.seen)))
        for start in range(0, len(rows), step):
            frame = _json_frame(rows[start : start + step], lines[start : start + step], self.seen)
            self.frames.append(frame)
            self.size += max(int(frame.estimated_size()), ROW_BYTES * frame.height)
            if self.size >= BATCH_BYTES:
                yield from self._take()

    def rest(self) -> Iterator[Records]:
        """The last batch. Raises SourceFormatError if a column that the mapping needs never came."""
        if self.first is not None:
            self.columns.check(list(self.seen), place=f"{self.member.name}, record {self.first}")
        yield from self._take()

    def _see(self, rows: Sequence[Mapping[str, Any]], lines: Sequence[int]) -> None:
        known, most = len(self.seen), current().columns
        for number, row in zip(lines, rows, strict=True):
            for name in row:
                self.seen.setdefault(name, number)
            if len(self.seen) > most:
                place = f"{self.member.name}, record {number}"
                raise exceeded(place, "columns", f"{len(self.seen):,} different keys so far")
        if rows and self.first is None:
            self.first = lines[0]
        new = list(self.seen)[known:]
        unknown = [] if self.columns.takes_any else [x for x in new if x not in self.columns.known]
        if unknown:
            place = f"{self.member.name}, record {self.seen[unknown[0]]}"
            self.columns.check([unknown[0]], place=place, complete=False)

    def _take(self) -> Iterator[Records]:
        frame = pl.concat(self.frames, how="diagonal") if self.frames else _json_frame([], [], self.seen)
        missing = sorted(self.columns.used - set(frame.columns))
        frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in missing)
        broken = broken_lines(self.broken)
        ignored = dict(self.ignored)
        self.frames, self.broken, self.size, self.ignored = [], [], 0, Counter()
        yield from in_batches(Records(frame, broken, ignored))


def _json_frame(rows: Sequence[Mapping[str, Any]], lines: Sequence[int], names: Iterable[str]) -> pl.DataFrame:
    """Records as text cells: strings unchanged, other values as JSON; missing keys become null."""
    cells = {name: pl.Series(name, [_text(row.get(name)) for row in rows], dtype=pl.String) for name in names}
    return pl.DataFrame(cells).with_columns(pl.Series(LINE, lines, dtype=pl.Int64))


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list | dict) and _is_deeper(value, current().nesting - 1):
        raise exceeded("a record", "nesting", f"a value nested more than {current().nesting - 1} deep")
    return orjson.dumps(value).decode()


def _is_deeper(value: Any, levels: int) -> bool:
    if not isinstance(value, list | dict):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels <= 0 or any(_is_deeper(one, levels - 1) for one in inner)
