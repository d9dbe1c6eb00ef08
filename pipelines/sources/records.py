"""Records in a venue's JSON as typed columns, strictly: a missing or retyped field is an error that names it, a bad cell a
rejected row, a new field stays in the landing.

Which fields a payload has stands in the venue's module; what they mean too.
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
"""A field of an object, or the position in an array."""

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
    """One field: `key` in the record, `name` of the column, `kind` of its values (numbers may come as text).

    `optional` fields may be absent, null or an empty text, which gives null; of others each of these is an error or a
    rejected row.
    """

    key: Key
    name: str
    kind: Kind
    optional: bool = False


@dataclass(frozen=True)
class Records:
    """`frame` has the fields' columns, `subject` (of the page), `received_at` and `_line`, the number of the record in the
    landing from 1. `rejects` has batch.REJECT_SCHEMA: records with a cell that cannot be read."""

    frame: pl.DataFrame
    rejects: pl.DataFrame


def read_records(pages: Iterable[Page], records_of: RecordsOf, fields: Sequence[Field]) -> Records:
    """The records of all pages, in the order of the pages.

    Columns are gathered by comprehension over records that orjson has read: half the time of polars' own JSON decoder,
    which would also take a missing field for null. Raises SourceFormatError naming page, field and value.
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
    """Records that are the array at `path` of a page's JSON. A page whose array is null or absent is an error."""

    def records_of(page: Page) -> Sequence[Record]:
        found = page.json()
        for step in path:
            if not isinstance(found, Mapping) or step not in found:
                raise SourceFormatError(
                    f"{page.where}: no field {step!r} (of {'.'.join(path)}) in the answer: {page.excerpt}"
                )
            found = found[step]
        if not isinstance(found, Sequence) or isinstance(found, str):
            raise SourceFormatError(f"{page.where}: {'.'.join(path) or 'the answer'} is no array: {page.excerpt}")
        return found

    return records_of


def stamps_of(records_of: RecordsOf, key: Key) -> Callable[[Page], list[int]]:
    """What a page's rows are paged by: the whole number under `key` of every record. Raises SourceFormatError where it is
    missing or none."""

    def stamps(page: Page) -> list[int]:
        try:
            return [int(record[key]) for record in records_of(page)]  # type: ignore[index]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise SourceFormatError(
                f"{page.where}: a record has no whole number {key!r}; the venue's format changed: {page.excerpt}"
            ) from error

    return stamps


def from_ms(column: str) -> pl.Expr:
    """Milliseconds since the epoch as a naive UTC instant in microseconds."""
    return (pl.col(column) * 1000).cast(pl.Datetime("us"))


def from_seconds(column: str) -> pl.Expr:
    """Seconds since the epoch as a naive UTC instant in microseconds."""
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
    """Rows of `frame` as rejects, kept whole; `stamp` names the column whose UTC day they belong to."""
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
            f"{page.where}: a record has no field {field.key!r}; the venue's format changed: {page.excerpt}"
        ) from error


def _typed(field: Field, values: list[Any]) -> pl.Series:
    """The cells as the field's type; null where they cannot be read. Nested values are an error at once."""
    nested = next((value for value in values if isinstance(value, list | dict)), None)
    if nested is not None:
        raise SourceFormatError(
            f"field {field.key!r} holds {str(nested)[:80]!r} where a single value was; the venue's format changed."
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
    """Turn away the records with a cell that cannot be read; where none of a field can, the field was retyped."""
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
                f"field {field.key!r} holds {str(raw[positions[0]])[:80]!r} in every record, which is no "
                f"{field.kind.__name__}; the venue's format changed."
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
