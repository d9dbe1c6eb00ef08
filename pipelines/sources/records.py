"""Strict parsing of JSON records into typed columns: a record with a missing key or an unreadable cell is rejected, with the
name of the field; a list in which no record has a field raises an error, because the venue's format changed; a new field is
kept only in the landing.

The fields of each payload and their meaning are in the venue's module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import numpy as np
import orjson
import polars as pl

from pipelines.contract.batch import REJECT_SCHEMA, no_rejects
from pipelines.core.errors import SourceFormatError
from pipelines.extract.venue import Context, Page
from pipelines.sources import account
from pipelines.sources.account import count_page, leave_out, leave_out_lines, note_outside

LINE: Final = account.LINE
SUBJECT: Final = "subject"

Key = str | int
"""A field of an object or a position in an array."""

Record = Mapping[str, Any] | Sequence[Any]
RecordsOf = Callable[[Page], Sequence[Record]]
Needed = Callable[[Record], bool]
"""Whether a feed uses a record. A list may mix kinds of records, such as indices and combos, that lack the feed's fields."""

PART_BYTES: Final = 4 << 20
"""Text of answers that is made into columns at once."""

Kind = type[float] | type[int] | type[str] | type[bool]

_TYPES: Final[Mapping[Kind, pl.DataType]] = {
    float: pl.Float64(),
    int: pl.Int64(),
    str: pl.String(),
    bool: pl.Boolean(),
}
_EMPTY: Final = ""


class _Missing:
    """The cell of a record without the field."""

    def __str__(self) -> str:
        return "missing"


_MISSING: Final = _Missing()
_NO_CELL: Final = {list, dict, _Missing}


@dataclass(frozen=True)
class Field:
    """One field: `key` in the record, `name` of the column, `kind` of its values (numbers may be strings).

    An `optional` field may be absent, null or an empty string; all three become null. In a required field each of these is
    an error or a rejected row.
    """

    key: Key
    name: str
    kind: Kind
    optional: bool = False


@dataclass(frozen=True)
class Records:
    """`frame` has the fields' columns, the page's `subject` and `received_at`, and `_line`, the 1-based number of the record
    in the landing. `rejects` (batch.REJECT_SCHEMA) holds records with an unreadable cell."""

    frame: pl.DataFrame
    rejects: pl.DataFrame


def read_records(
    pages: Iterable[Page], records_of: RecordsOf, fields: Sequence[Field], *, needed: Needed | None = None
) -> Records:
    """The records of all pages, in page order; those that are not `needed` are left out before their fields are read.

    Columns are built by comprehensions over records decoded by orjson. That takes half the time of polars' JSON decoder,
    which also reads a missing field as null. A record without a required field is rejected. Raises SourceFormatError, naming
    page and field, if no record that an endpoint returned has it.
    """
    first_line = 1
    counts = _Counts()
    read: list[_Typed] = []
    part = _Part(fields)
    for page in pages:
        if part.size > PART_BYTES:
            read.append(part.typed())
            part = _Part(fields)
        listed = records_of(page)
        before = count_page(page, len(listed))
        first_line = first_line if before is None else before + 1
        chosen = range(len(listed)) if needed is None else [i for i, record in enumerate(listed) if needed(record)]
        records = listed if needed is None else [listed[i] for i in chosen]
        part.add(page, records, [first_line + i for i in chosen], counts)
        if len(chosen) < len(listed):
            left = set(range(len(listed))).difference(chosen)
            leave_out_lines(pl.Series(LINE, [first_line + i for i in left], dtype=pl.Int64), "other_kind")
        first_line += len(listed)
    counts.raise_if_absent()
    read.append(part.typed(is_last=not read))
    for field in fields:
        _raise_if_retyped(field, read)
    return Records(pl.concat(one.frame for one in read), pl.concat(one.rejects for one in read))


def look_up(
    pages: Iterable[Page], records_of: RecordsOf, fields: Sequence[Field], *, needed: Needed | None = None
) -> Records:
    """The records of pages that only say how those of other pages are read; none of them becomes a row by itself."""
    found = read_records(pages, records_of, fields, needed=needed)
    leave_out(found.frame, "looked_up")
    leave_out_lines(found.rejects.get_column("line"), "looked_up")
    return found


def kept(frame: pl.DataFrame, condition: pl.Expr, rule: str) -> pl.DataFrame:
    """The rows that meet `condition`; the others are left out by `rule`, one of account.RULES."""
    chosen = frame.select(condition.fill_null(value=False)).to_series()
    leave_out(frame.filter(~chosen), rule)
    return frame.filter(chosen)


NEAR: Final = timedelta(days=1)
"""A record this near the span belongs to its neighbor; an answer of which every record is farther off is misread."""

FIRST_TIME: Final = datetime(2009, 1, 1)
"""Nothing that is read here is older: the year of Bitcoin's first block."""


def within(
    frame: pl.DataFrame,
    column: str,
    context: Context,
    *,
    closed: Literal["left", "right"] = "left",
    answers: Literal["span", "history"] = "span",
) -> pl.DataFrame:
    """The rows whose time in `column` lies in the span; the others belong to neighboring landings.

    A venue that `answers` with its whole history may have nothing in a span, and then only times that cannot be are far off.
    """
    start, end = context.span.start, context.span.end
    at = pl.col(column)
    inside = frame.select(at.is_between(start, end, closed=closed).fill_null(value=False)).to_series()
    others = frame.filter(~inside)
    if others.height:
        first, last = (start, end) if answers == "span" else (FIRST_TIME, max(end, context.fetched_at))
        is_near = at.is_between(first - NEAR, last + NEAR).fill_null(value=False)
        note_outside(others.filter(is_near), others.filter(~is_near))
    return frame.filter(inside)


def having(key: str, pattern: str) -> Needed:
    """Records whose text in `key` matches `pattern` (searched, case ignored). A record without a text there may be a needed one,
    so it is kept and rejected for what it lacks."""
    matches = re.compile(pattern, re.IGNORECASE).search

    def needed(record: Record) -> bool:
        text = record.get(key) if isinstance(record, Mapping) else None
        return not isinstance(text, str) or matches(text) is not None

    return needed


def at_path(*path: str) -> RecordsOf:
    """Records in the array at `path` of a page's JSON. A null or missing array is an error."""

    def records_of(page: Page) -> Sequence[Record]:
        found = page.json()
        for step in path:
            if not isinstance(found, Mapping) or step not in found:
                raise SourceFormatError(f"{page.where}: missing field {step!r} in {'.'.join(path)}: {page.excerpt}")
            found = found[step]
        if not isinstance(found, Sequence) or isinstance(found, str):
            place = f" in {'.'.join(path)}" if path else ""
            raise SourceFormatError(f"{page.where}: expected an array{place}: {page.excerpt}")
        return found

    return records_of


def stamps_of(records_of: RecordsOf, key: Key) -> Callable[[Page], list[int]]:
    """Reads the paging key of a page's rows: the integer in `key` of every record.

    A record without one gets its neighbor's, so that rows are counted in full and one odd record does not end the paging;
    parsing rejects it. Raises SourceFormatError if no record has one.
    """

    def stamps(page: Page) -> list[int]:
        records = records_of(page)
        try:
            return [int(record[key]) for record in records]  # type: ignore[index]
        except (KeyError, IndexError, TypeError, ValueError):
            found = [_stamp(record, key) for record in records]
        known = [stamp for stamp in found if stamp is not None]
        if not known:
            raise SourceFormatError(
                f"{page.where}: expected an integer in {key!r}; the venue's format changed: {page.excerpt}"
            )
        last = known[0]
        return [last := last if stamp is None else stamp for stamp in found]

    return stamps


def _stamp(record: Record, key: Key) -> int | None:
    try:
        return int(record[key])  # type: ignore[index]
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def with_facts(record: Record, **facts: Any) -> Record:
    """The record with further fields. One that is no object stays what it is, and is rejected when its fields are read."""
    return {**record, **facts} if isinstance(record, Mapping) else record


PLACE: Final = "place"


def flattened(page: Page, outer: Sequence[Record], key: str, shared: Sequence[str]) -> list[dict[str, Any]]:
    """The records in the list `key` of each of `outer`, with the fields `shared` of the outer record and their `place` in it.

    An outer record without that list stays one record with what it has, and is rejected when its fields are read. Raises
    SourceFormatError if none has it.
    """
    records: list[dict[str, Any]] = []
    complete = 0
    for row in outer:
        facts = {name: row[name] for name in shared if name in row} if isinstance(row, Mapping) else {}
        inner = row.get(key) if isinstance(row, Mapping) else None
        if not isinstance(inner, list):
            records.append({**facts, PLACE: 0})
            continue
        complete += 1
        records += [
            {**(record if isinstance(record, Mapping) else {}), **facts, PLACE: place}
            for place, record in enumerate(inner)
        ]
    if outer and not complete:
        raise SourceFormatError(
            f"{page.where}: no record has a list in {key!r}; the venue's format changed: {page.excerpt}"
        )
    return records


def from_ms(column: str) -> pl.Expr:
    """Milliseconds since the epoch as naive UTC with microsecond resolution."""
    return (pl.col(column) * 1000).cast(pl.Datetime("us"))


def from_seconds(column: str) -> pl.Expr:
    """Seconds since the epoch as naive UTC with microsecond resolution."""
    return (pl.col(column) * 1_000_000).cast(pl.Datetime("us"))


def settlement(stamp: pl.Expr) -> pl.Expr:
    """The settlement that a stamp belongs to: venues stamp it milliseconds to seconds late."""
    return stamp.dt.round("1m")


def rejected(
    frame: pl.DataFrame,
    *,
    reason: str,
    detail: pl.Expr | str,
    stamp: str | None = None,
    field: str | None = None,
    instrument: str = SUBJECT,
) -> pl.DataFrame:
    """Rows of `frame` as rejects, each with the complete row; `stamp` names the column that gives their UTC day."""
    return frame.select(
        (pl.col(stamp).dt.date() if stamp else pl.lit(None, pl.Date)).alias("trade_date"),
        pl.col(LINE).alias("line"),
        pl.lit(field, pl.String).alias("field"),
        pl.col(instrument).alias("instrument"),
        pl.lit(reason).alias("reason"),
        (pl.lit(detail) if isinstance(detail, str) else detail).alias("detail"),
        pl.struct(pl.all().exclude(LINE)).struct.json_encode().alias("raw"),
    )


class _Counts:
    """Records that lack each required field, by endpoint."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Key], tuple[Page, int, int]] = {}

    def add(self, page: Page, field: Field, missing: int, records: int) -> None:
        endpoint = f"{page.request.get('endpoint', '')}{page.request.get('path', '')}"
        first, before, total = self._found.get((endpoint, field.key), (page, 0, 0))
        self._found[endpoint, field.key] = (first if total else page, before + missing, total + records)

    def raise_if_absent(self) -> None:
        for (_, key), (page, missing, records) in self._found.items():
            if records and missing == records:
                raise SourceFormatError(
                    f"{page.where}: no record has the field, the first is missing field {key!r}; the venue's format changed: "
                    f"{page.excerpt}"
                )


def _column(records: Sequence[Record], field: Field) -> tuple[list[Any], int]:
    """The cells of a field, and how many records lack it although it is required."""
    try:
        if field.optional and isinstance(field.key, str):
            return [record.get(field.key) for record in records], 0  # type: ignore[union-attr]
        return [record[field.key] for record in records], 0  # type: ignore[index]
    except (KeyError, IndexError, TypeError, AttributeError):
        cells = [_cell(record, field) for record in records]
        return cells, sum(cell is _MISSING for cell in cells)


def _cell(record: Record, field: Field) -> Any:
    try:
        return record[field.key]  # type: ignore[index]
    except (KeyError, IndexError):
        return None if field.optional else _MISSING
    except (TypeError, AttributeError):  # no record at all
        return _MISSING


def _typed(field: Field, values: list[Any]) -> pl.Series:
    """The cells cast to the field's type; unreadable cells, including missing and nested ones, become null."""
    kinds = set(map(type, values))
    if kinds & _NO_CELL:
        values = [None if isinstance(value, list | dict | _Missing) else value for value in values]
    target = _TYPES[field.kind]
    if field.kind in (float, int) and not kinds & {str, bool}:
        return pl.Series(field.name, values, dtype=target, strict=False)
    if field.kind is bool:
        return pl.Series(field.name, [v if isinstance(v, bool) else None for v in values], dtype=pl.Boolean)
    text = pl.Series(field.name, values, dtype=pl.String, strict=False)
    return text if field.kind is str else text.cast(target, strict=False)


@dataclass(frozen=True)
class _Typed:
    """What a part of the pages holds, its rejects left out; by field, the number of unreadable cells and the first of them."""

    frame: pl.DataFrame
    rejects: pl.DataFrame
    height: int
    unreadable: Mapping[Key, tuple[int, Any]]


class _Part:
    """Pages whose cells are still objects of Python, which take ten to thirty times their text: about PART_BYTES of it."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.size = 0
        self._fields = fields
        self._cells: dict[str, list[Any]] = {field.name: [] for field in fields}
        self._pages: list[Page] = []
        self._lengths: list[int] = []
        self._records: list[Record] = []
        self._lines: list[int] = []

    def add(self, page: Page, records: Sequence[Record], lines: Sequence[int], counts: _Counts) -> None:
        for field in self._fields:
            column, missing = _column(records, field)
            self._cells[field.name].extend(column)
            counts.add(page, field, missing, len(records))
        self._pages.append(page)
        self._lengths.append(len(records))
        self._records.extend(records)
        self._lines.extend(lines)
        self.size += len(page.body)

    def typed(self, *, is_last: bool = False) -> _Typed:
        """The cells as columns. The parsed JSON of pages is dropped where there are so many of them that it takes much memory."""
        columns = {field.name: _typed(field, self._cells[field.name]) for field in self._fields}
        of_page = pl.Series(np.repeat(np.arange(len(self._pages), dtype=np.uint32), self._lengths))
        # Put together as they are: each expression over a frame takes longer than the columns of a page.
        frame = pl.DataFrame(
            [
                *columns.values(),
                pl.Series(SUBJECT, [page.subject for page in self._pages], dtype=pl.String).gather(of_page),
                pl.Series("received_at", [page.received_at for page in self._pages], dtype=pl.Datetime("us")).gather(
                    of_page
                ),
                pl.Series(LINE, self._lines, dtype=pl.Int64),
            ]
        )
        found = self._split(frame)
        if not is_last:
            for page in self._pages:
                page.clear_cache()
        return found

    def _split(self, frame: pl.DataFrame) -> _Typed:
        """Reject records with an unreadable cell."""
        faults: list[pl.DataFrame] = []
        unreadable: dict[Key, tuple[int, Any]] = {}
        for field in self._fields:
            missing = frame.get_column(field.name).is_null()
            if not missing.any():
                continue
            raw = self._cells[field.name]
            positions = [
                i for i in missing.arg_true().to_list() if not (field.optional and (raw[i] is None or raw[i] == _EMPTY))
            ]
            if not positions:
                continue
            unreadable[field.key] = (len(positions), raw[positions[0]])
            faults.append(
                pl.DataFrame(
                    {
                        "trade_date": [None] * len(positions),
                        "line": frame.get_column(LINE).gather(positions),
                        "field": [str(field.key)] * len(positions),
                        "instrument": frame.get_column(SUBJECT).gather(positions),
                        "reason": ["unparsable"] * len(positions),
                        "detail": [_fault(field, raw[i]) for i in positions],
                        "raw": [orjson.dumps(self._records[i]).decode() for i in positions],
                    },
                    schema=REJECT_SCHEMA,
                )
            )
        if not faults:
            return _Typed(frame, no_rejects(), frame.height, unreadable)
        rejects = pl.concat(faults).unique("line", keep="first", maintain_order=True)
        kept_rows = frame.filter(~pl.col(LINE).is_in(rejects["line"].implode()))
        return _Typed(kept_rows, rejects, frame.height, unreadable)


def _raise_if_retyped(field: Field, parts: Sequence[_Typed]) -> None:
    """Raise SourceFormatError if every cell of a field is unreadable: the venue retyped it."""
    found = [part.unreadable[field.key] for part in parts if field.key in part.unreadable]
    height = sum(part.height for part in parts)
    if not found or sum(count for count, _ in found) < height:
        return
    first = found[0][1]
    if height > 1 or isinstance(first, list | dict):
        raise SourceFormatError(
            f"expected {field.kind.__name__} in field {field.key!r}, but no record has one (first value: "
            f"{str(first)[:80]!r}); the venue's format changed."
        )


def _fault(field: Field, cell: object) -> str:
    if cell is _MISSING:
        return f"{field.key} is missing"
    return f"{field.key} is {str(cell)[:80]!r}, no {field.kind.__name__}"
