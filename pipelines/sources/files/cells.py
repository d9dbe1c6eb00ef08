"""Polars expressions for the cell rules of a mapping: the value, when it is wrong, and the message about it.

Expressions only; shape.py applies them to rows and rejects wrong ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from pipelines.contract.ddl import Column
from pipelines.sources.files.mapping import Cell, fields_of
from pipelines.sources.files.numbers import cleaned, hint
from pipelines.sources.files.times import file_instants

SIZE = "_size"
"""Column with the contract size of the row's instrument in base units; null if it has none."""


@dataclass(frozen=True)
class Value:
    """`expression` reads the value into a column named `shaped`; `wrong` checks that column; `source` is the file's column to
    report when it is wrong."""

    expression: pl.Expr
    wrong: pl.Expr
    source: str
    detail: pl.Expr


@dataclass(frozen=True)
class NullRule:
    """Which cell texts of a file mean null. If the empty string is listed, null cells count too."""

    texts: tuple[str, ...]

    def holds(self, raw: pl.Expr) -> pl.Expr:
        if not self.texts:
            return pl.lit(value=False)
        listed = raw.cast(pl.String).is_in(self.texts)
        return (listed | raw.is_null()).fill_null(value=True) if "" in self.texts else listed.fill_null(value=False)

    @property
    def numbers(self) -> list[str]:
        """Null texts that would otherwise parse as numbers."""
        return [text for text in self.texts if _is_number(text)]


def prepare(frame: pl.DataFrame, cells: Mapping[str, Cell]) -> pl.DataFrame:
    """`frame` with a column #name for every cell that expressions cannot compute: times and digests."""
    extra: list[pl.Series] = []
    for name, cell in cells.items():
        if cell.time is not None:
            extra.append(file_instants(frame, cell.time).alias(f"#{name}"))
        elif cell.digest is not None:
            extra.append(_digest(frame, cell.digest).alias(f"#{name}"))
    return frame.with_columns(extra) if extra else frame


def value_of(cell: Cell, column: Column, *, null_rule: NullRule, shaped: str, factor: pl.Expr | None) -> Value:
    """How `cell` fills `column` of a clean table; `factor` multiplies numbers (adjusted scales)."""
    if cell.time is not None or cell.digest is not None:
        return _prepared(cell, column, shaped)
    if cell.template is not None:
        names = fields_of(cell.template)
        text = pl.format(re.sub(r"\{[^{}]*\}", "{}", cell.template), *(pl.col(name).cast(pl.String) for name in names))
        return _text(
            cell, column, raw=text, source=names[0] if names else column.name, null_rule=NullRule(()), shaped=shaped
        )
    if cell.sum is not None:
        return _sum(cell, column, null_rule=null_rule, shaped=shaped, factor=factor)
    assert cell.column is not None  # noqa: S101 - the model demands one origin
    raw = pl.col(cell.column)
    if column.type == "DOUBLE":
        return _number(cell, column, raw=raw, null_rule=null_rule, shaped=shaped, factor=factor)
    if column.type in {"BIGINT", "INTEGER"}:
        dtype = pl.Int64() if column.type == "BIGINT" else pl.Int32()
        value = raw.cast(dtype, strict=False)
        wrong = pl.col(shaped).is_null() & ~_may_be_null(column, null_rule, raw)
        return Value(value, wrong, cell.column, cell_message(cell.column, raw, "is not a whole number"))
    return _text(cell, column, raw=raw, source=cell.column, null_rule=null_rule, shaped=shaped)


def text_of(cell: Cell) -> pl.Expr:
    """The text of a cell rule, or null; used for instrument names."""
    if cell.template is not None:
        names = fields_of(cell.template)
        return _transformed(
            cell,
            pl.format(re.sub(r"\{[^{}]*\}", "{}", cell.template), *(pl.col(name).cast(pl.String) for name in names)),
        )
    return _transformed(cell, pl.col(cell.column or ""))


def _number(
    cell: Cell, column: Column, *, raw: pl.Expr, null_rule: NullRule, shaped: str, factor: pl.Expr | None
) -> Value:
    value = _plain_number(cell, raw, null_rule)
    return _finished(cell, column, value, raw=raw, null_rule=null_rule, shaped=shaped, factor=factor)


def _sum(cell: Cell, column: Column, *, null_rule: NullRule, shaped: str, factor: pl.Expr | None) -> Value:
    """The sum of several columns: null where all are absent, wrong where one is no number, or absent beside one that is not."""
    parts = [pl.col(name) for name in cell.sum or ()]
    value = pl.sum_horizontal((_plain_number(cell, raw, null_rule) for raw in parts), ignore_nulls=False)
    absent = pl.all_horizontal(null_rule.holds(raw) for raw in parts)
    raw = pl.when(absent).then(pl.lit("")).otherwise(pl.concat_str((x.cast(pl.String) for x in parts), separator=" + "))
    rule = NullRule(("",)) if null_rule.texts else NullRule(())
    return _finished(cell, column, value, raw=raw, null_rule=rule, shaped=shaped, factor=factor)


def _plain_number(cell: Cell, raw: pl.Expr, null_rule: NullRule) -> pl.Expr:
    text = _transformed(cell, raw) if cell.extract is not None or cell.translate is not None else raw
    value = cleaned(text.cast(pl.String), cell.clean) if cell.clean else text.cast(pl.Float64, strict=False)
    if null_rule.numbers:
        value = pl.when(raw.cast(pl.String).is_in(null_rule.numbers)).then(None).otherwise(value)
    if cell.absent_as is not None:
        value = pl.when(null_rule.holds(raw)).then(pl.lit(cell.absent_as)).otherwise(value)
    return value


def _finished(
    cell: Cell,
    column: Column,
    value: pl.Expr,
    *,
    raw: pl.Expr,
    null_rule: NullRule,
    shaped: str,
    factor: pl.Expr | None,
) -> Value:
    source = cell.sources[0]
    if cell.scale != 1:
        value = value * cell.scale
    if factor is not None:
        value = value * factor
    if cell.times is not None:
        value = value * pl.col(cell.times).cast(pl.Float64, strict=False)
    if cell.over is not None:
        value = value / pl.col(cell.over).cast(pl.Float64, strict=False)
    if cell.contracts:
        value = value * pl.col(SIZE)
    if cell.as_ == "long_share":
        value = value / (1 + value)
    wrong = ~pl.col(shaped).is_finite().fill_null(value=False)
    if column.nullable:
        wrong = wrong & ~null_rule.holds(raw)
    partners = [name for name in (cell.times, cell.over) if name is not None]
    suffix = f" (with {' and '.join(partners)})" if partners else ""
    suffix += " or its instrument has no contract size in base" if cell.contracts else ""
    if cell.extract is not None:
        suffix = f" after {cell.extract}{suffix}"
    elif cell.translate is not None:
        suffix = f", by {', '.join(cell.translate)}{suffix}"
    suffix = f" written as {', '.join(cell.clean)}{suffix}" if cell.clean else suffix
    message = cell_message(" + ".join(cell.sum or (source,)), raw, f"is not a finite number{suffix}")
    if not cell.clean:
        message += hint(raw.cast(pl.String).fill_null(""))
    return Value(value, wrong, source, message)


def _text(cell: Cell, column: Column, *, raw: pl.Expr, source: str, null_rule: NullRule, shaped: str) -> Value:
    value = _transformed(cell, raw)
    if null_rule.texts:
        value = pl.when(~null_rule.holds(raw)).then(value)
    if column.type == "BOOLEAN":
        value = value.str.to_lowercase().replace_strict(
            {"true": True, "false": False}, default=None, return_dtype=pl.Boolean
        )
    wrong = pl.col(shaped).is_null() & ~_may_be_null(column, null_rule, raw)
    if cell.translate is not None:
        why = f"is none of {', '.join(cell.translate)}"
    elif cell.extract is not None:
        why = f"does not match {cell.extract}"
    elif column.type == "BOOLEAN":
        why = "is neither true nor false"
    else:
        why = "is not given"
    return Value(value, wrong, source, cell_message(source, raw, why))


def _prepared(cell: Cell, column: Column, shaped: str) -> Value:
    value = pl.col(f"#{column.name}")
    if column.type == "DATE":
        value = value.dt.date()
    wrong = pl.col(shaped).is_null() if not column.nullable or cell.time is not None else pl.lit(value=False)
    source = cell.sources[0]
    wanted = f"is not a time in {' or '.join(cell.time.format)}" if cell.time else "cannot be hashed"
    return Value(value, wrong, source, cell_message(source, pl.col(source), wanted))


def _transformed(cell: Cell, raw: pl.Expr) -> pl.Expr:
    text = raw.cast(pl.String)
    if cell.extract is not None:
        text = text.str.extract(cell.extract, 1 if re.compile(cell.extract).groups else 0)
    if cell.lower:
        text = text.str.to_lowercase()
    if cell.upper:
        text = text.str.to_uppercase()
    if cell.translate is not None:
        text = text.replace_strict(cell.translate, default=None, return_dtype=pl.String)
    return text


def _may_be_null(column: Column, null_rule: NullRule, raw: pl.Expr) -> pl.Expr:
    return null_rule.holds(raw) if column.nullable else pl.lit(value=False)


def cell_message(source: str, raw: pl.Expr, what: str) -> pl.Expr:
    """The message about a wrong cell: column, value, and what is wrong."""
    text = raw.cast(pl.String).fill_null("")
    shown = pl.when(text == "").then(pl.lit("(empty)")).otherwise(text)
    return pl.concat_str(pl.lit(f"column {source!r}: "), shown, pl.lit(f" {what}"))


def _digest(frame: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """The first 32 hex digits of the sha256 of the cells as text: identical on every machine and in every version."""
    cells = frame.select(pl.concat_list(pl.col(name).cast(pl.String).fill_null("") for name in columns)).to_series()
    digests = [hashlib.sha256("\x1f".join(row).encode()).hexdigest()[:32] for row in cells.to_list()]
    return pl.Series("digest", digests, dtype=pl.String)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
