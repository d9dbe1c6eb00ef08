"""Records inside of a parsed JSON value: along a path that goes through lists, with fields of the objects around them; arrays as
records; and objects of lists as rows. Where the array of a document begins is found in json_arrays.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import orjson

from pipelines.core.errors import SourceFormatError
from pipelines.sources.files.records import Columns

Record = Mapping[str, Any]

ROWS: Final = 10_000
"""Rows of an object of lists that are given on at once."""


@dataclass(frozen=True)
class Inside:
    """How the records of a value are found: at the first of `paths` that exists. `around` are objects that hold all of it,
    the nearest first."""

    paths: Sequence[str]
    columns: Columns
    around: tuple[Record, ...] = ()

    @cached_property
    def wanted(self) -> frozenset[str]:
        """Columns that a record, or an object around it, may give."""
        return self.columns.used | self.columns.optional

    @cached_property
    def by_position(self) -> bool:
        """Whether the mapping names columns by their position in an array."""
        return any(name.isdigit() for name in self.wanted)

    def records(self, value: Any) -> list[Record] | None:
        """The records of `value`, None if it has none, or one that is no record. An empty list of records gives none."""
        if not self.paths:
            one = self._record(value, self.around)
            return None if one is None else [one]
        for path in self.paths:
            found = list(_along(value, path.split("."), self.around, by_position=self.by_position))
            if found:
                records = [self._record(inner, around) for inner, around in found if inner is not _NOTHING]
                return None if any(x is None for x in records) else [x for x in records if x is not None]
        return None

    def _record(self, value: Any, around: Sequence[Record]) -> Record | None:
        if isinstance(value, list) and self.by_position:
            value = {str(place): cell for place, cell in enumerate(value) if str(place) in self.wanted}
        if not isinstance(value, dict):
            return None
        if around:
            for name in self.wanted - value.keys():
                for outer in around:
                    if name in outer:
                        value = {**value, name: outer[name]}
                        break
        record: Record = value
        return record


_NOTHING: Final = object()
"""What an empty list of records holds."""


def _along(
    value: Any, keys: Sequence[str], around: tuple[Record, ...], *, by_position: bool
) -> Iterator[tuple[Any, tuple[Record, ...]]]:
    """The values at the end of the path, each with the objects around it; none if the path does not exist."""
    if isinstance(value, list):
        is_record = not keys and by_position and value and not any(isinstance(x, dict | list) for x in value)
        if not is_record:
            if not value:
                yield _NOTHING, around
            for element in value:
                if keys:
                    yield from _along(element, keys, around, by_position=by_position)
                else:
                    yield element, around
            return
    if not keys:
        yield value, around
    elif isinstance(value, dict) and (inner := value.get(keys[0])) is not None:
        yield from _along(inner, keys[1:], (value, *around), by_position=by_position)


def columnar_rows(text: bytes, paths: Sequence[str], *, name: str) -> Iterator[list[Any]]:
    """The rows of the object of lists at the first of `paths` that exists: a column for each list, and for each list of an object
    inside, with its key behind the object's and a dot.

    Raises SourceFormatError if there is none, or its lists differ in length.
    """
    try:
        root = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SourceFormatError(f"{name}, line {error.lineno}: not JSON ({error.msg}). Obtain it again.") from error
    found = None
    for path in paths or ("",):
        found = root
        for key in path.split(".") if path else ():
            found = found.get(key) if isinstance(found, dict) else None
        if found is not None:
            break
    if not isinstance(found, dict):
        raise SourceFormatError(f"{name}: no object of lists at {' or '.join(paths) or 'the top level'}.")
    columns = {key: value for key, value in found.items() if isinstance(value, list)}
    for key, value in found.items():
        inner = value if isinstance(value, dict) else {}
        columns |= {f"{key}.{part}": cells for part, cells in inner.items() if isinstance(cells, list)}
    lengths = {key: len(cells) for key, cells in columns.items()}
    if len(set(lengths.values())) != 1:
        shown = ", ".join(f"{key} {length:,}" for key, length in list(lengths.items())[:12]) or "no list"
        raise SourceFormatError(f"{name}: columnar data needs lists of one length; found {shown}.")
    for start in range(0, next(iter(lengths.values())), ROWS):
        cells = [column[start : start + ROWS] for column in columns.values()]
        yield [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]
