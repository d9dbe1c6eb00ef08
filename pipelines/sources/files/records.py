"""Records of a file before their meaning is known: text cells, line numbers, and which columns must be there.

What the cells mean is files_shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from pipelines.core.errors import SourceFormatError

BATCH_ROWS: Final = 1_000_000
LINE: Final = "_line"


@dataclass(frozen=True)
class Records:
    """Some records of a file: every column as text (null where the file has null) except typed Parquet columns, and
    `_line`. `broken` are lines that are no record (too few or too many cells): line, detail, raw."""

    frame: pl.DataFrame
    broken: pl.DataFrame


BROKEN_SCHEMA: Final[dict[str, pl.DataType]] = {"line": pl.Int64(), "detail": pl.String(), "raw": pl.String()}


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
                f"{place}: column {missing[0]!r} is missing{hint}; found {_some(found)}."
                " Correct the file or the mapping."
            )
        unknown = [] if self.wide else [name for name in found if name not in self.used | self.ignored]
        if unknown:
            raise SourceFormatError(
                f"{place}: column {unknown[0]!r} is not in the mapping. Use it in a rule or list it in ignore."
            )


def in_batches(records: Records) -> Iterator[Records]:
    """`records` in parts of at most BATCH_ROWS; the broken lines go with the first, which may hold nothing else."""
    yield Records(records.frame.head(BATCH_ROWS), records.broken)
    for start in range(BATCH_ROWS, records.frame.height, BATCH_ROWS):
        yield Records(records.frame.slice(start, BATCH_ROWS), no_broken())


def no_broken() -> pl.DataFrame:
    """No broken lines."""
    return pl.DataFrame(schema=BROKEN_SCHEMA)


def broken_lines(found: Sequence[tuple[int, str, str]]) -> pl.DataFrame:
    """Broken lines as Records hold them: line, detail, raw."""
    return pl.DataFrame(found, schema=BROKEN_SCHEMA, orient="row")


def _some(names: Iterable[str], limit: int = 12) -> str:
    listed = [repr(name) for name in names]
    return ", ".join(listed[:limit]) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
