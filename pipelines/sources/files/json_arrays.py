"""Cuts a JSON array out of a document and into parts of whole elements, without making objects of all of it.

A parsed document takes 20 to 50 times its text. Here only brackets, braces, commas and quotes are looked at, block by block;
orjson then parses one part after the other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from pipelines.core.errors import SourceFormatError
from pipelines.core.limits import KIB, MIB, current, exceeded

PART_BYTES: Final = 512 * KIB
"""Text that is parsed at once."""
_SCAN_BYTES: Final = MIB

_OTHER, _QUOTE, _OPEN, _CLOSE, _COMMA = range(5)
_KINDS: Final = bytes(
    {34: _QUOTE, 91: _OPEN, 123: _OPEN, 93: _CLOSE, 125: _CLOSE, 44: _COMMA}.get(byte, _OTHER) for byte in range(256)
)
_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_KEY: Final = re.compile(rb'[ \t\r\n]*("(?:[^"\\]|\\.)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)

_SCALAR: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][-+0-9.eE]*|true|false|null', re.DOTALL)

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ArrayPlace:
    """Where an array stands (`end` is behind its bracket), what is left of the path in each of its elements, and the wanted
    fields of the objects around it."""

    start: int
    end: int
    rest: tuple[str, ...] = ()
    around: Mapping[str, Any] = field(default_factory=dict)


def array_on(text: bytes, record_path: Sequence[str], wanted: Collection[str], *, name: str) -> ArrayPlace | None:
    """The first array on the first path of `record_path` that exists and is not null; the document itself for an empty
    `record_path`. None if there is no array.

    Raises SourceFormatError for a document that is cut off or goes on behind its end, LimitError for one nested too deeply.
    """
    root = _skip_space(text, 0)
    if text[root : root + 1] not in {b"[", b"{"}:
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise _not_json(text, root, error.msg, name) from error
        return None
    end = _end(text, root, name)
    behind = _skip_space(text, end)
    if behind < len(text):
        raise _not_json(text, behind, "data behind the end", name)
    if text[root : root + 1] == b"[":
        return ArrayPlace(root, end, tuple(record_path))
    for path in record_path:
        found: int | None = root
        keys = path.split(".")
        around: dict[str, Any] = {}
        while found is not None and keys and text[found : found + 1] == b"{":
            inner, fields = _fields_of(text, found, keys[0], wanted, name)
            around |= fields
            found, keys = inner, keys[1:]
        if found is None or text[found : found + 4] == b"null":
            continue
        is_array = text[found : found + 1] == b"["
        return (
            ArrayPlace(found, _end(text, found, name), (".".join(keys),) if keys else (), around) if is_array else None
        )
    return None


def elements(text: bytes, start: int, end: int, *, name: str) -> Iterator[list[Any]]:
    """The elements of the array text[start:end], in lists of about PART_BYTES of text.

    Raises SourceFormatError for what is not JSON, LimitError for an element that exceeds `record_bytes`.
    """
    begin = start + 1
    for cut in _cuts(text, start, end, name):
        try:
            found = orjson.loads(b"[" + text[begin:cut] + b"]")
        except orjson.JSONDecodeError as error:
            raise _not_json(text, min(begin + max(error.pos - 1, 0), len(text)), error.msg, name) from error
        if found:
            yield found
        elif begin > start + 1:
            raise _not_json(text, cut, "a comma without a value", name)
        begin = cut + 1


def _cuts(text: bytes, start: int, end: int, name: str) -> Iterator[int]:
    """Where parts of the array end: positions of some of its commas, and of its closing bracket."""
    begin = last = start
    longest = current().record_bytes
    for commas, closed in _walk(text, start, name):
        found = commas if closed is None else np.append(commas, end - 1)
        if not found.size:
            continue
        gaps = np.diff(found, prepend=last)
        if gaps.max() > longest + 1:
            line = text.count(b"\n", 0, int(found[gaps.argmax()])) + 1
            raise exceeded(f"{name}, line {line}", "record_bytes", f"it ends an element of {gaps.max() - 1:,} bytes")
        while (place := int(np.searchsorted(found, begin + PART_BYTES))) < found.size:
            cut = int(found[place])
            yield cut
            begin = cut
        last = int(found[-1])
    if begin < end - 1:
        yield end - 1


def _fields_of(
    text: bytes, start: int, key: str, wanted: Collection[str], name: str
) -> tuple[int | None, dict[str, Any]]:
    """Where the value of `key` begins in the object at `start` (None if it has none), and its wanted fields that are no lists and
    no objects."""
    found, keys = None, 0
    fields: dict[str, Any] = {}
    before = [start]
    for commas, _ in _walk(text, start, name):
        keys += commas.size
        if keys > current().columns:
            raise exceeded(name, "columns", f"an object around the records has {keys:,} keys or more")
        for position in (*before, *commas.tolist()):
            match = _KEY.match(text, position + 1)
            named = _loads(text, *match.span(1), name) if match else None
            if match and named == key:
                found = match.end()
            elif match and isinstance(named, str) and named in wanted and (scalar := _SCALAR.match(text, match.end())):
                fields[named] = _loads(text, *scalar.span(), name)
        before = []
    return found, fields


def _loads(text: bytes, start: int, end: int, name: str) -> Any:
    """The value text[start:end]; raises SourceFormatError for what is not JSON."""
    try:
        return orjson.loads(text[start:end])
    except orjson.JSONDecodeError as error:
        raise _not_json(text, start + error.pos, error.msg, name) from error


def _end(text: bytes, start: int, name: str) -> int:
    """The position behind the list or object that begins at `start`."""
    return next(closed for _, closed in _walk(text, start, name) if closed is not None)


def _walk(text: bytes, start: int, name: str) -> Iterator[tuple[Positions, int | None]]:
    """The commas directly inside the list or object at `start`, block by block; with the last ones the position behind its end.

    Raises SourceFormatError if it does not end, LimitError if it is nested too deeply.
    """
    position, depth, inside = start, 0, 0
    deepest = current().nesting
    while position < len(text):
        block = text[position : position + _SCAN_BYTES]
        whole = block.rstrip(b"\\")
        if len(whole) < len(block) and position + len(block) < len(text):
            # An escape sequence must not be cut: the backslashes go to the next block.
            if not whole:
                raise exceeded(name, "record_bytes", f"a text has {len(block):,} backslashes in a row")
            block = whole
        plain = block.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
        kinds = np.frombuffer(plain.translate(_KINDS), dtype=np.uint8)
        places = np.flatnonzero(kinds)
        kinds = kinds[places]
        quotes = np.cumsum(kinds == _QUOTE) + inside
        inside = int(quotes[-1]) & 1 if quotes.size else inside
        outside = (quotes & 1 == 0) & (kinds != _QUOTE)
        places, kinds = places[outside], kinds[outside]
        depths = np.cumsum((kinds == _OPEN).astype(np.int32) - (kinds == _CLOSE)) + depth
        if depths.size and depths.max() > deepest:
            line = text.count(b"\n", 0, position + int(places[depths.argmax()])) + 1
            raise exceeded(f"{name}, line {line}", "nesting", f"values nested more than {deepest} deep")
        ends = np.flatnonzero(depths == 0)
        stop = int(ends[0]) if ends.size else depths.size
        commas = places[:stop][(kinds[:stop] == _COMMA) & (depths[:stop] == 1)] + position
        if ends.size:
            yield commas, position + int(places[stop]) + 1
            return
        yield commas, None
        depth = int(depths[-1]) if depths.size else depth
        position += len(block)
    raise _not_json(text, len(text), "the data ends inside a list or object", name)


def _skip_space(text: bytes, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _not_json(text: bytes, position: int, why: str, name: str) -> SourceFormatError:
    line = text.count(b"\n", 0, position) + 1
    column = position - text.rfind(b"\n", 0, position)
    return SourceFormatError(f"{name}, line {line}, byte {column}: not JSON ({why}), truncated? Obtain it again.")
