"""JSON documents and JSON lines to records: strings unchanged, other values as JSON text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.sources.files.records import LINE, Columns, Records, broken_lines, in_batches
from pipelines.sources.files.text_blocks import BYTE_ORDER_MARK, text_blocks
from pipelines.sources.files.unpack import ByteStream, Member

MAX_DOCUMENT_BYTES: Final = 256 << 20
"""A JSON document is parsed in one piece; larger data must be JSON lines."""


def read_json_lines(
    stream: ByteStream, member: Member, record_path: Sequence[str], columns: Columns, first_line: int
) -> Iterator[tuple[Records, int]]:
    line = first_line
    seen: dict[str, int] = {}
    found = False
    for block in text_blocks(stream, member):
        texts = (block.data.removeprefix(BYTE_ORDER_MARK) if block.line == 1 else block.data).split(b"\n")
        rows: list[Mapping[str, Any]] = []
        lines: list[int] = []
        broken: list[tuple[int, str, str]] = []
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
        for part in in_batches(Records(_json_frame(rows, lines, columns, member, seen), broken_lines(broken))):
            yield part, line
    if not found:
        raise SourceFormatError(f"{member.name}: the file holds no record. Obtain it again.")


def read_json_document(
    stream: ByteStream, member: Member, record_path: Sequence[str], columns: Columns, first_line: int
) -> Iterator[tuple[Records, int]]:
    text = stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(text) > MAX_DOCUMENT_BYTES:
        raise SourceFormatError(
            f"{member.name}: the JSON document is larger than {MAX_DOCUMENT_BYTES} bytes. Convert it to JSON lines."
        )
    try:
        found = orjson.loads(text.removeprefix(BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        raise SourceFormatError(
            f"{member.name}, line {error.lineno}, byte {error.colno}: not JSON ({error.msg}), truncated?"
            " Obtain it again."
        ) from error
    found = _at_path(found, record_path)
    if not isinstance(found, list):
        raise SourceFormatError(
            f"{member.name}: expected an array of records at {' or '.join(record_path) or 'the top level'}. Correct record_path."
        )
    rows = [row for row in found if isinstance(row, dict)]
    lines = [number for number, row in enumerate(found, start=first_line) if isinstance(row, dict)]
    broken = [
        (number, "not a JSON object", orjson.dumps(row).decode())
        for number, row in enumerate(found, start=first_line)
        if not isinstance(row, dict)
    ]
    for part in in_batches(Records(_json_frame(rows, lines, columns, member, {}), broken_lines(broken))):
        yield part, first_line + len(found)


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


def _json_frame(
    rows: Sequence[Mapping[str, Any]], lines: Sequence[int], columns: Columns, member: Member, seen: dict[str, int]
) -> pl.DataFrame:
    """Records as text cells: strings unchanged, other values as JSON; missing keys become null.

    `seen` maps each key of the file so far to the record it first appeared in; this function adds to it.
    """
    for number, row in zip(lines, rows, strict=True):
        for name in row:
            seen.setdefault(name, number)
    if rows:
        unknown = [name for name in seen if name not in columns.used | columns.ignored]
        place = f"{member.name}, record {seen[unknown[0]] if unknown and not columns.wide else lines[0]}"
        columns.check(list(seen), place=place)
    cells = {name: pl.Series(name, [_text(row.get(name)) for row in rows], dtype=pl.String) for name in seen}
    return pl.DataFrame(cells).with_columns(pl.Series(LINE, lines, dtype=pl.Int64))


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return repr(value) if isinstance(value, float) else orjson.dumps(value).decode()
