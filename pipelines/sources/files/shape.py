"""Applies a mapping's rules: records of a file become rows of the clean tables it feeds, or rejects.

An unreadable cell rejects its row, with reason, column and value; it never becomes a silent null. Cell expressions are in
cells.py; the loader checks the contract.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from pipelines.contract.batch import NULL_CELLS_SCHEMA, REJECT_SCHEMA, LeftOut, ParsedBatch
from pipelines.contract.ddl import Contract, Table, polars_type
from pipelines.sources.files.cells import SIZE, NullRule, cell_message, prepare, text_of, value_of
from pipelines.sources.files.check import constant
from pipelines.sources.files.instruments import InstrumentBook
from pipelines.sources.files.mapping import PERIODS, Cell, File, Rows, Where, columns_of
from pipelines.sources.files.records import LINE
from pipelines.sources.files.times import adjusted, file_instants, within_history
from pipelines.sources.files.wide import FIELD, INSTRUMENT

FORMING = "the newest period, still forming"
"""What the rows of the newest time count as where the mapping drops them."""

_EVENT = "_event"
_SYMBOL = "_symbol"
_NAME = "_name"


@dataclass(frozen=True)
class Fault:
    """A possible fault of a row: its condition, the file's column (None: the whole row), the reject reason and the message."""

    wrong: pl.Expr
    source: str | None
    reason: str
    detail: pl.Expr


def as_json(columns: list[str]) -> pl.Expr:
    """The cells of `columns` as one JSON object with string values."""
    return pl.struct(pl.col(name).cast(pl.String) for name in columns).struct.json_encode()


@dataclass(frozen=True)
class Shaper:
    """The rules of one [[file]] of a mapping, for the records of one landing. `wide_names` gives the file's column by instrument
    and metric, so that a rejected cell is reported under the file's column name."""

    file: File
    contract: Contract
    book: InstrumentBook
    landing_id: str
    wide_names: Mapping[tuple[str, str], str] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    forming: datetime | None = None

    def batches(self, records: pl.DataFrame, raw: pl.Expr) -> Iterator[ParsedBatch]:
        """One batch per rule with rows. `records` has the cells, `_line` and `_field`; `raw` gives a rejected row as received, as
        JSON. A row that no rule covers is rejected under the first rule's table; one that the mapping skips is counted."""
        labeled = records.with_columns(file_instants(records, self.file.time).alias(_EVENT))
        for reason, condition in self._skipped():
            chosen = labeled.select(condition.fill_null(value=False)).to_series()
            if chosen.any():
                yield self.left_out({reason: int(chosen.sum())})
                labeled = labeled.filter(~chosen)
        covered = pl.lit(value=False)
        rules = [rows for rows in self.file.rows if not (rows.optional and columns_of(rows) & self.missing)]
        if not rules and labeled.height:
            fault = Fault(pl.lit(value=True), None, "unparsable", pl.lit("the file lacks columns of every rule"))
            yield self.reject(labeled, fault, raw)
            return
        for rows in rules:
            part = labeled
            if rows.where is not None:
                covering = _meets(rows.where)
                covered = covered | covering
                part = labeled.filter(covering)
            if part.height:
                yield self._apply(rows, part, raw)
        if all(rows.where is not None for rows in rules):
            uncovered = labeled.filter(~covered)
            if uncovered.height:
                fault = Fault(pl.lit(value=True), None, "unparsable", pl.lit("no rule of the mapping covers this row"))
                yield self.reject(uncovered, fault, raw)

    def _skipped(self) -> Iterator[tuple[str, pl.Expr]]:
        if self.forming is not None:
            yield FORMING, pl.col(_EVENT) == self.forming
        for skip in self.file.skip:
            yield skip.because, _meets(skip.where)

    def left_out(self, ignored: Mapping[str, int]) -> ParsedBatch:
        """Records that are no rows, counted under the first rule's table."""
        table = self.file.rows[0].table
        return ParsedBatch(table, self.landing_id, _no_rows(), left_out=LeftOut(ignored=dict(ignored)))

    def reject(self, records: pl.DataFrame, fault: Fault, raw: pl.Expr) -> ParsedBatch:
        """Reject all of `records` for one reason, under the first rule's table."""
        table = self.contract.table(self.file.rows[0].table)
        if _EVENT not in records.columns:
            event = file_instants(records, self.file.time)
            records = records.with_columns(event.alias(_EVENT))
        rejects = self._rejects(_flagged(records, [fault]), [fault], table, raw)
        return ParsedBatch(table=table.name, landing_id=self.landing_id, rows=_no_rows(), rejects=rejects)

    def null_cells(self, records: pl.DataFrame) -> ParsedBatch:
        """Records of a wide file without any value, counted per day and instrument under the first rule's table."""
        rows = self.file.rows[0]
        table = self.contract.table(rows.table)
        label = file_instants(records, self.file.time)
        event = adjusted(label, shift=rows.time.shift, rounding=rows.time.round)
        named = self._named(rows, table, records.with_columns(event.alias(_EVENT)))
        counted = named.group_by(
            _day(table, pl.col(_EVENT)).alias("trade_date"),
            pl.coalesce(_SYMBOL, _NAME).alias("instrument"),
            maintain_order=True,
        ).agg(pl.len().cast(pl.Int64).alias("cells"))
        cells = counted.select(list(NULL_CELLS_SCHEMA))
        return ParsedBatch(table=table.name, landing_id=self.landing_id, rows=_no_rows(), null_cells=cells)

    def _apply(self, rows: Rows, part: pl.DataFrame, raw: pl.Expr) -> ParsedBatch:
        table = self.contract.table(rows.table)
        label = part[_EVENT] if rows.time.own is None else file_instants(part, rows.time.own)
        event = within_history(adjusted(label, shift=rows.time.shift, rounding=rows.time.round))
        work = prepare(self._named(rows, table, part.with_columns(event.alias(_EVENT))), rows.columns)
        values, faults = self._read(rows, table)
        shaped = _flagged(
            work.with_columns(expression.alias(f"={name}") for name, expression in values.items()), faults
        )
        flags = [f"!{number}" for number in range(len(faults))]
        bad = shaped.select(pl.any_horizontal(flags)).to_series()
        accepted, rejected = (shaped.filter(~bad), shaped.filter(bad)) if bad.any() else (shaped, shaped.clear())
        out = accepted.select(*(pl.col(f"={name}").alias(name) for name in values), LINE, FIELD)
        if "instrument" in values and out.height:
            self.book.record(out)
        rejects = self._rejects(rejected, faults, table, raw)
        return ParsedBatch(table=table.name, landing_id=self.landing_id, rows=out, rejects=rejects)

    def _named(self, rows: Rows, table: Table, part: pl.DataFrame) -> pl.DataFrame:
        """`part` with the venue's symbol and contract size of every row, if the table has instruments."""
        if "instrument" not in table.column_names:
            return part
        name = pl.col(INSTRUMENT) if self.file.instrument is None else text_of(self.file.instrument)
        named = part.with_columns(name.alias(_NAME))
        venue = rows.set.get("venue")
        venues = str(venue) if venue is not None else named.select(text_of(rows.columns["venue"])).to_series()
        symbols, sizes = self.book.resolve(venues, named[_NAME])
        return named.with_columns(symbols.alias(_SYMBOL), sizes.alias(SIZE))

    def _read(self, rows: Rows, table: Table) -> tuple[dict[str, pl.Expr], list[Fault]]:
        """Expressions per column of the table, in table order, and possible faults in order of priority."""
        time = rows.time.own or self.file.time
        wanted = f"is not a time in {' or '.join(time.format)} from 2009 to 2100"
        cells = pl.concat_str((pl.col(name).cast(pl.String) for name in time.sources), separator=" ", ignore_nulls=True)
        no_time = cell_message(time.label, cells, wanted)
        faults = [Fault(_meets(x.where), None, "sentinel", pl.lit(x.because)) for x in self.file.distrust]
        faults.append(Fault(pl.col(_EVENT).is_null(), time.sources[0], "unparsable", no_time))
        values: dict[str, pl.Expr] = {}
        filled = self._filled(rows, table)
        for column in table.wire_columns:
            name = column.name
            if name == table.day_column:
                values[name] = pl.col(_EVENT)
            elif name == "available_at":
                values[name] = pl.col(_EVENT) + self._known_after(rows)
                if rows.available.after == "period" and "period" not in rows.set:
                    period = text_of(rows.columns["period"])
                    detail = cell_message("period", period, f"is none of {', '.join(PERIODS)}")
                    no_period = pl.col("=available_at").is_null()
                    faults.append(Fault(no_period, rows.columns["period"].sources[0], "unparsable", detail))
            elif name == "instrument":
                values[name] = pl.col(_SYMBOL)
                detail = pl.format("no [[instrument]] rule of the mapping knows {}", pl.col(_NAME).fill_null("(empty)"))
                faults.append(Fault(pl.col(_SYMBOL).is_null(), None, "unknown_instrument", detail))
            elif name in filled:
                value = value_of(
                    filled[name],
                    column,
                    null_rule=NullRule(self.file.absent),
                    shaped=f"={name}",
                    factor=_factor(rows, name),
                )
                values[name] = value.expression
                if name not in rows.columns:
                    continue
                faults.append(Fault(value.wrong, value.source, "unparsable", value.detail))
            elif (fixed := _constant(rows, name, column.type)) is not None:
                values[name] = fixed
        return values, faults

    def _known_after(self, rows: Rows) -> pl.Expr:
        lag = rows.available.lag
        if rows.available.after == "event":
            return pl.lit(lag)
        if "period" in rows.set:
            return pl.lit(lag + PERIODS[str(rows.set["period"])])
        known = {name: length + lag for name, length in PERIODS.items()}
        period = text_of(rows.columns["period"])
        return period.replace_strict(known, default=None, return_dtype=pl.Duration("us"))

    def _filled(self, rows: Rows, table: Table) -> Mapping[str, Cell]:
        """The rule's cells, and the total of both sides where it gives the sides alone."""
        sides = [rows.columns.get(name) for name in ("long_usd", "short_usd")]
        names = [cell.column for cell in sides if cell is not None and cell.is_plain and cell.column is not None]
        if len(names) < 2 or "total_usd" in {*rows.columns, *rows.set} or "total_usd" not in table.column_names:
            return rows.columns
        if any({"long_usd", "short_usd"} & set(x.scale) for x in rows.adjust):
            return rows.columns
        alike = {(cell.scale, cell.clean, cell.absent_as) for cell in sides if cell is not None}
        if len(alike) > 1:
            return rows.columns
        scale, clean, absent_as = alike.pop()
        return {**rows.columns, "total_usd": Cell(sum=tuple(names), scale=scale, clean=clean, absent_as=absent_as)}

    def _rejects(self, rejected: pl.DataFrame, faults: list[Fault], table: Table, raw: pl.Expr) -> pl.DataFrame:
        if rejected.is_empty():
            return pl.DataFrame(schema=REJECT_SCHEMA)
        numbered = list(enumerate(faults))
        field_name = pl.coalesce(
            pl.when(pl.col(f"!{number}")).then(pl.lit(fault.source or "", dtype=pl.String))
            for number, fault in numbered
        )
        instrument = pl.coalesce(
            *(name for name in (_SYMBOL, _NAME, INSTRUMENT) if name in rejected.columns), pl.lit(None, dtype=pl.String)
        )
        found = rejected.select(
            _day(table, pl.col(_EVENT)).alias("trade_date"),
            pl.col(LINE).alias("line"),
            field_name.alias("field"),
            instrument.alias("instrument"),
            pl.coalesce(pl.when(pl.col(f"!{n}")).then(pl.lit(fault.reason)) for n, fault in numbered).alias("reason"),
            pl.coalesce(pl.when(pl.col(f"!{n}")).then(fault.detail) for n, fault in numbered).alias("detail"),
            raw.alias("raw"),
            pl.col(FIELD),
            *([pl.col(INSTRUMENT).alias("_wide")] if self.wide_names else []),
        )
        if self.wide_names:
            named = {f"{name}\x1f{metric}": column for (name, metric), column in self.wide_names.items()}
            key = pl.col("_wide") + "\x1f" + pl.col("field")
            found = found.with_columns(
                key.replace_strict(named, default=pl.col("field"), return_dtype=pl.String).alias("field")
            )
        named_field = pl.when(pl.col("field") != "").then(pl.col("field"))
        return found.with_columns(pl.coalesce(named_field, pl.col(FIELD)).alias("field")).select(list(REJECT_SCHEMA))


def _flagged(frame: pl.DataFrame, faults: list[Fault]) -> pl.DataFrame:
    return frame.with_columns(fault.wrong.fill_null(value=True).alias(f"!{n}") for n, fault in enumerate(faults))


def _meets(where: Where) -> pl.Expr:
    conditions = [pl.col(name).cast(pl.String).is_in(texts) for name, texts in where.cells.items()]
    conditions += [pl.col(name).cast(pl.String).str.contains(_whole(text)) for name, text in where.like.items()]
    conditions += [
        ~pl.col(name).cast(pl.String).fill_null("").str.contains(_whole(text)) for name, text in where.unlike.items()
    ]
    conditions += [pl.col(name).cast(pl.String).fill_null("").str.strip_chars() == "" for name in where.empty]
    if where.instrument is not None:
        conditions.append(pl.col(_SYMBOL).is_in(where.instrument))
    if where.from_ is not None:
        conditions.append(pl.col(_EVENT) >= pl.lit(where.from_).cast(pl.Datetime("us")))
    if where.before is not None:
        conditions.append(pl.col(_EVENT) < pl.lit(where.before).cast(pl.Datetime("us")))
    return pl.all_horizontal(conditions).fill_null(value=False)


def _whole(pattern: str) -> str:
    return rf"\A(?:{pattern})\z"


def _factor(rows: Rows, name: str) -> pl.Expr | None:
    factor: pl.Expr | None = None
    for adjust in rows.adjust:
        if name in adjust.scale:
            before = pl.lit(1.0) if factor is None else factor
            factor = pl.when(_meets(adjust.where)).then(pl.lit(adjust.scale[name])).otherwise(before)
    return factor


def _constant(rows: Rows, name: str, column_type: str) -> pl.Expr | None:
    fixed = pl.lit(constant(rows.set[name], column_type), dtype=polars_type(column_type)) if name in rows.set else None
    for adjust in rows.adjust:
        if name in adjust.set:
            value = pl.lit(constant(adjust.set[name], column_type), dtype=polars_type(column_type))
            fixed = pl.when(_meets(adjust.where)).then(value).otherwise(fixed)
    return fixed


def _day(table: Table, event: pl.Expr) -> pl.Expr:
    return (event - pl.duration(microseconds=1) if table.day_is_state else event).dt.date()


def _no_rows() -> pl.DataFrame:
    return pl.DataFrame(schema={LINE: pl.Int64(), FIELD: pl.String()})
