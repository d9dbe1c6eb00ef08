"""Uninterpreted records of a file: text cells, line numbers, and the check of required columns. shape.py interprets the cells."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.core.limits import current, exceeded
from pipelines.sources.files.text_blocks import REPLACED

BATCH_ROWS: Final = 1_000_000
LINE: Final = "_line"
SKIPPED: Final = "lines that skip_line matches"
"""What such lines count as."""
NO_TEXT: Final = "holds bytes that are no text (NUL, or not of the file's encoding)"
"""The fault of a record with REPLACED in it."""
TRUNCATED: Final = "; it is the last line, so the file may be cut off: obtain it again if rows are missing"
"""What is added to the fault of a file's last line."""
EVERY: Final = "*"
"""In `ignore`: every column that no rule reads."""


@dataclass(frozen=True)
class Records:
    """A batch of records: every column as text (or null) except typed Parquet columns, and `_line`. `broken` holds lines that are
    not valid records (too few or too many cells): line, detail, raw. `ignored` counts lines that a rule leaves out, by the
    rule; `missing` are optional columns that the file lacks, which are null in the frame."""

    frame: pl.DataFrame
    broken: pl.DataFrame
    ignored: Mapping[str, int] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()


BROKEN_SCHEMA: Final[dict[str, pl.DataType]] = {"line": pl.Int64(), "detail": pl.String(), "raw": pl.String()}


@dataclass(frozen=True)
class Columns:
    """Required and allowed columns of a file. `rename` pairs regular expressions with the names that columns get."""

    used: frozenset[str]
    ignored: frozenset[str]
    wide: bool
    optional: frozenset[str] = frozenset()
    rename: tuple[tuple[str, str], ...] = ()

    @property
    def known(self) -> frozenset[str]:
        """All columns of the mapping."""
        return self.used | self.ignored | self.optional

    @property
    def takes_any(self) -> bool:
        """Whether other columns may come, too."""
        return self.wide or EVERY in self.ignored

    def renamed(self, names: Sequence[str]) -> list[str]:
        """`names` as the mapping calls them."""
        if not self.rename:
            return list(names)
        return [next((to for pattern, to in self.rename if re.fullmatch(pattern, name)), name) for name in names]

    def check(self, found: Sequence[str], *, place: str, hint: str = "", complete: bool = True) -> None:
        """Raise SourceFormatError if `found` does not match the mapping, LimitError if there are too many. Wide columns are
        checked later; without `complete`, columns may still come."""
        if len(found) > current().columns:
            raise exceeded(
                place, "columns", f"{len(found):,} columns", advice="Split the file by columns, or unpivot it before."
            )
        twice = sorted(name for name, count in Counter(found).items() if count > 1)
        if twice:
            raise SourceFormatError(f"{place}: column {twice[0]!r} appears twice. Correct the file.")
        missing = sorted(self.used - set(found)) if complete else []
        if missing:
            raise SourceFormatError(
                f"{place}: column {missing[0]!r} is missing{hint}; found {_some(found)}."
                " Correct the file or the mapping."
            )
        known = self.known
        unknown = [] if self.takes_any else [name for name in found if name not in known]
        if unknown:
            raise SourceFormatError(
                f"{place}: column {unknown[0]!r} is not in the mapping. Use it in a rule or list it in ignore."
            )


def in_batches(records: Records) -> Iterator[Records]:
    """`records` in batches of at most BATCH_ROWS; broken lines are in the first batch, which may have no rows."""
    yield Records(records.frame.head(BATCH_ROWS), records.broken, records.ignored)
    for start in range(BATCH_ROWS, records.frame.height, BATCH_ROWS):
        yield Records(records.frame.slice(start, BATCH_ROWS), no_broken())


def no_broken() -> pl.DataFrame:
    """An empty frame of broken lines."""
    return pl.DataFrame(schema=BROKEN_SCHEMA)


def broken_lines(found: Sequence[tuple[int, str, str]]) -> pl.DataFrame:
    """A frame of broken lines: line, detail, raw."""
    return pl.DataFrame(found, schema=BROKEN_SCHEMA, orient="row")


def without_damaged(records: Records) -> Records:
    """The records without those in which something is no text: they are broken lines."""
    frame = records.frame
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    is_damaged = pl.any_horizontal(
        pl.col(name).str.contains(REPLACED, literal=True).fill_null(value=False) for name in texts
    )
    broken = frame.filter(is_damaged).select(
        pl.col(LINE).alias("line"), pl.lit(NO_TEXT).alias("detail"), pl.struct(texts).struct.json_encode().alias("raw")
    )
    if broken.is_empty():
        return records
    return replace(records, frame=frame.filter(~is_damaged), broken=pl.concat([records.broken, broken]))


def _some(names: Iterable[str], limit: int = 12) -> str:
    listed = [repr(name) for name in names]
    return ", ".join(listed[:limit]) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
