"""JSON documents and JSON lines to records: strings unchanged, other values as JSON text.

Where the records of a document are is found in json_arrays.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.core.limits import MIB, current, exceeded
from pipelines.sources.files.json_arrays import array_at, elements
from pipelines.sources.files.records import LINE, Columns, Records, broken_lines, in_batches
from pipelines.sources.files.text_blocks import BYTE_ORDER_MARK, text_blocks
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


def read_json_lines(
    stream: ByteStream, member: Member, record_path: Sequence[str], columns: Columns, first_line: int
) -> Iterator[tuple[Records, int]]:
    line = first_line
    batch = _Batch(member, columns)
    found = False
    for block in text_blocks(stream, member, size=LINES_BYTES, quotes=False):
        texts = (block.data.removeprefix(BYTE_ORDER_MARK) if block.line == 1 else block.data).split(b"\n")
        rows: list[Mapping[str, Any]] = []
        lines: list[int] = []
        broken: Broken = []
        for number, text in enumerate(texts, start=line):
            if not text.strip():
                continue
            try:
                row = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                if block.is_last and number == line + len(texts) - 1:
                    raise SourceFormatError(
                        f"{member.name}, line {number}: the file is truncated, its last line is not JSON ({error})."
                        " Obtain it again."
                    ) from error
                broken.append((number, f"not JSON: {error}", orjson.dumps(text.decode()).decode()))
                continue
            inner = _at_path(row, record_path)
            records = inner if record_path and isinstance(inner, list) else [inner]
            if any(not isinstance(record, dict) for record in records):
                why = f"no record at {' or '.join(record_path)}" if record_path else "not a JSON object"
                broken.append((number, why, orjson.dumps(text.decode()).decode()))
                continue
            rows += records
            lines += [number] * len(records)
        line += block.ends + (not block.data.endswith(b"\n"))
        found = found or bool(rows or broken)
        for part in batch.add(rows, lines, broken):
            yield part, line
    if not found:
        raise SourceFormatError(f"{member.name}: the file holds no record. Obtain it again.")
    for part in batch.rest():
        yield part, line


def read_json_document(
    stream: ByteStream, member: Member, record_path: Sequence[str], columns: Columns, first_line: int
) -> Iterator[tuple[Records, int]]:
    text = _document(stream, member).removeprefix(BYTE_ORDER_MARK)
    place = array_at(text, record_path, name=member.name)
    if place is None:
        raise SourceFormatError(
            f"{member.name}: expected an array of records at {' or '.join(record_path) or 'the top level'}. Correct record_path."
        )
    batch = _Batch(member, columns)
    number = first_line
    for found in elements(text, *place, name=member.name):
        rows = [row for row in found if isinstance(row, dict)]
        if number == first_line and not rows:
            raise SourceFormatError(
                f"{member.name}: none of the first {len(found):,} elements of the array is a record. Correct record_path."
            )
        lines = [line for line, row in enumerate(found, start=number) if isinstance(row, dict)]
        broken = [
            (line, "not a JSON object", orjson.dumps(row).decode())
            for line, row in enumerate(found, start=number)
            if not isinstance(row, dict)
        ]
        number += len(found)
        for part in batch.add(rows, lines, broken):
            yield part, number
    for part in batch.rest():
        yield part, number


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

    def add(self, rows: Sequence[Mapping[str, Any]], lines: Sequence[int], broken: Broken) -> Iterator[Records]:
        """Take up records; gives a batch whenever one is full."""
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
        unknown = [] if self.columns.wide else [x for x in new if x not in self.columns.used | self.columns.ignored]
        if unknown:
            place = f"{self.member.name}, record {self.seen[unknown[0]]}"
            self.columns.check([unknown[0]], place=place, complete=False)

    def _take(self) -> Iterator[Records]:
        frame = pl.concat(self.frames, how="diagonal") if self.frames else _json_frame([], [], self.seen)
        missing = sorted(self.columns.used - set(frame.columns))
        frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in missing)
        broken = broken_lines(self.broken)
        self.frames, self.broken, self.size = [], [], 0
        yield from in_batches(Records(frame, broken))


def _at_path(content: Any, record_path: Sequence[str]) -> Any:
    """The value at the first existing path of `record_path`, None if none exists; `content` itself for an empty `record_path`."""
    if not record_path:
        return content
    for path in record_path:
        inner = content
        for key in path.split("."):
            inner = inner.get(key) if isinstance(inner, dict) else None
        if inner is not None:
            return inner
    return None


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
