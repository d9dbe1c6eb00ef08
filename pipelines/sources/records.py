"""Strict parsing of JSON records into typed columns: a missing or retyped field raises an error naming the field, an
unreadable cell rejects its row, and a new field is kept only in the landing.

The fields of each payload and their meaning are in the venue's module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import polars as pl

from pipelines.contract.batch import REJECT_SCHEMA, no_rejects
from pipelines.core.errors import SourceFormatError
from pipelines.extract.venue import Page

LINE: Final = "_line"
SUBJECT: Final = "subject"

Key = str | int
"""A field of an object or a position in an array."""

Record = Mapping[str, Any] | Sequence[Any]
RecordsOf = Callable[[Page], Sequence[Record]]
Kind = type[float] | type[int] | type[str] | type[bool]

_TYPES: Final[Mapping[Kind, pl.DataType]] = {
    float: pl.Float64(),
    int: pl.Int64(),
    str: pl.String(),
    bool: pl.Boolean(),
}
_EMPTY: Final = ""


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


def read_records(pages: Iterable[Page], records_of: RecordsOf, fields: Sequence[Field]) -> Records:
    """The records of all pages, in page order.

    Columns are built by comprehensions over records decoded by orjson. That takes half the time of polars' JSON decoder,
    which also reads a missing field as null. Raises SourceFormatError naming page, field and value.
    """
    cells: dict[str, list[Any]] = {field.name: [] for field in fields}
    subjects: list[pl.Series] = []
    received: list[pl.Series] = []
    kept: list[Record] = []
    for page in pages:
        records = records_of(page)
        for field in fields:
            cells[field.name].extend(_column(page, records, field))
        subjects.append(pl.repeat(page.subject, len(records), dtype=pl.String, eager=True))
        received.append(pl.repeat(page.received_at, len(records), dtype=pl.Datetime("us"), eager=True))
        kept.extend(records)
    columns = {field.name: _typed(field, cells[field.name]) for field in fields}
    frame = pl.DataFrame(columns).with_columns(
        (pl.concat(subjects) if subjects else pl.Series([], dtype=pl.String)).alias(SUBJECT),
        (pl.concat(received) if received else pl.Series([], dtype=pl.Datetime("us"))).alias("received_at"),
        pl.int_range(1, len(kept) + 1, dtype=pl.Int64).alias(LINE),
    )
    return _split(frame, fields, cells, kept)


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
    """Reads the paging key of a page's rows: the integer in `key` of every record. Raises SourceFormatError if it is missing
    or not an integer."""

    def stamps(page: Page) -> list[int]:
        try:
            return [int(record[key]) for record in records_of(page)]  # type: ignore[index]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise SourceFormatError(
                f"{page.where}: expected an integer in {key!r}; the venue's format changed: {page.excerpt}"
            ) from error

    return stamps


def from_ms(column: str) -> pl.Expr:
    """Milliseconds since the epoch as naive UTC with microsecond resolution."""
    return (pl.col(column) * 1000).cast(pl.Datetime("us"))


def from_seconds(column: str) -> pl.Expr:
    """Seconds since the epoch as naive UTC with microsecond resolution."""
    return (pl.col(column) * 1_000_000).cast(pl.Datetime("us"))


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


def _column(page: Page, records: Sequence[Record], field: Field) -> list[Any]:
    try:
        if field.optional and isinstance(field.key, str):
            return [record.get(field.key) for record in records]  # type: ignore[union-attr]
        return [record[field.key] for record in records]  # type: ignore[index]
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise SourceFormatError(
            f"{page.where}: a record is missing field {field.key!r}; the venue's format changed: {page.excerpt}"
        ) from error


def _typed(field: Field, values: list[Any]) -> pl.Series:
    """The cells cast to the field's type; unreadable cells become null. A nested value raises SourceFormatError."""
    nested = next((value for value in values if isinstance(value, list | dict)), None)
    if nested is not None:
        raise SourceFormatError(
            f"expected a scalar in field {field.key!r}, got {str(nested)[:80]!r}; the venue's format changed."
        )
    target = _TYPES[field.kind]
    if field.kind in (float, int) and not any(isinstance(value, str | bool) for value in values):
        return pl.Series(field.name, values, dtype=target, strict=False)
    if field.kind is bool:
        return pl.Series(field.name, [v if isinstance(v, bool) else None for v in values], dtype=pl.Boolean)
    text = pl.Series(field.name, values, dtype=pl.String, strict=False)
    return text if field.kind is str else text.cast(target, strict=False)


def _split(
    frame: pl.DataFrame, fields: Sequence[Field], cells: Mapping[str, list[Any]], records: Sequence[Record]
) -> Records:
    """Reject records with an unreadable cell; if every cell of a field is unreadable, the venue retyped the field."""
    faults: list[pl.DataFrame] = []
    for field in fields:
        missing = frame.get_column(field.name).is_null()
        if not missing.any():
            continue
        raw = cells[field.name]
        positions = [
            i for i in missing.arg_true().to_list() if not (field.optional and (raw[i] is None or raw[i] == _EMPTY))
        ]
        if not positions:
            continue
        if len(positions) == frame.height and frame.height > 1:
            raise SourceFormatError(
                f"expected {field.kind.__name__} in field {field.key!r}, but no record has one (first value: "
                f"{str(raw[positions[0]])[:80]!r}); the venue's format changed."
            )
        faults.append(
            pl.DataFrame(
                {
                    "trade_date": [None] * len(positions),
                    "line": [i + 1 for i in positions],
                    "field": [str(field.key)] * len(positions),
                    "instrument": frame.get_column(SUBJECT).gather(positions),
                    "reason": ["unparsable"] * len(positions),
                    "detail": [f"{field.key} is {str(raw[i])[:80]!r}, no {field.kind.__name__}" for i in positions],
                    "raw": [orjson.dumps(records[i]).decode() for i in positions],
                },
                schema=REJECT_SCHEMA,
            )
        )
    rejects = pl.concat(faults).unique("line", keep="first", maintain_order=True) if faults else no_rejects()
    return Records(frame.filter(~pl.col(LINE).is_in(rejects["line"].implode())), rejects)
