"""Loads a mapping and checks it against its model and against the contract of the clean tables.

A wrong mapping raises one MappingError that names the file and, of every wrong key, its line and the allowed values.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from collections.abc import Mapping as Dictionary
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from pipelines.contract.ddl import Contract, Table
from pipelines.core.errors import ContractError, MappingError
from pipelines.core.limits import current, exceeded
from pipelines.core.words import nearest
from pipelines.sources.files.mapping import PERIODS, Cell, File, Instrument, Mapping, Rows, Scalar
from pipelines.sources.files.toml_lines import places

_CHOICES: Final = re.compile(r"\(?\"?(?P<column>\w+)\"? IN \((?P<values>'[^()]*')\)\)?")
_NUMBER: Final = re.compile(r"\d+")

EXAMPLES: Final[Dictionary[str, str]] = {
    "available": 'for example { after = "event", lag = "1m" }; after is event or period, lag a number and one of s, m, h, d',
    "time": 'for example { column = "time", format = "iso", zone = "UTC" }',
    "columns": 'for example { rate = "funding rate" }: a column of the table, and the column of the file that fills it',
    "format": "one of csv, parquet, json, jsonl",
    "table": "a clean table, such as candles, funding_rates, open_interest or liquidations",
}
"""What a missing key wants, by its name."""


def load_mapping(path: Path, *, contract: Contract | None = None) -> Mapping:
    """Read the mapping at `path`; with `contract`, check tables and columns too.

    Raises MappingError naming the file, every wrong key with its line, and the allowed values.
    """
    try:
        with path.open("rb") as file:
            text = file.read(current().mapping_bytes + 1)
    except OSError as error:
        raise MappingError(f"mapping {path}: cannot be read ({error.strerror}). Check the path.") from error
    if len(text) > current().mapping_bytes:
        raise exceeded(f"mapping {path}", "mapping_bytes", f"it has more than {current().mapping_bytes:,} bytes")
    try:
        data = tomllib.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(f"mapping {path}: not TOML in UTF-8: {error}.") from error
    try:
        mapping = Mapping.model_validate({**data, "path": path, "text": text})
    except ValidationError as error:
        raise mapping_error(path, text, (_fault(fault) for fault in error.errors())) from error
    if contract is not None:
        check_mapping(mapping, contract)
    return mapping


def check_mapping(mapping: Mapping, contract: Contract) -> None:
    """Raise MappingError listing every mismatch between `mapping` and `contract`: tables, columns, constants."""
    faults: list[str] = []
    for number, file in enumerate(mapping.file):
        for position, rows in enumerate(file.rows):
            where = f"file.{number}.rows.{position}"
            try:
                table = contract.table(rows.table)
            except ContractError as error:
                faults.append(f"{where}.table: {error}")
                continue
            faults += [f"{where}.{fault}" for fault in _table_faults(file, rows, table)]
    named = [("gap", gap.table) for gap in mapping.gap] + [("span", span.table) for span in mapping.span]
    named += [("accept", accept.table) for accept in mapping.accept]
    named += [("expected_per_day", table) for table in mapping.expected_per_day]
    faults += [f"{key}: no clean table {table!r}" for key, table in named if table not in contract.clean]
    for position, rule in enumerate(mapping.instrument):
        faults += [f"instrument.{position}.{fault}" for fault in _template_faults(rule)]
    if faults:
        raise mapping_error(mapping.path, mapping.text, faults)


def mapping_error(path: Path, text: bytes, faults: Iterable[str]) -> MappingError:
    """One error of every fault of a mapping. A fault begins with the place of its key (file.0.rows.0.set.kind), which is looked
    up in the text."""
    found = list(faults)
    lines = places(text.decode("utf-8", errors="replace"))

    def with_line(fault: str) -> str:
        parts = [int(x) if _NUMBER.fullmatch(x) else x for x in fault.partition(":")[0].split(".")]
        line = next((lines[place] for n in range(len(parts), 0, -1) if (place := tuple(parts[:n])) in lines), None)
        return fault if line is None else f"line {line}: {fault}"

    return MappingError(f"mapping {path}: " + "; ".join(dict.fromkeys(map(with_line, found))))


def choices(table: Table) -> dict[str, tuple[str, ...]]:
    """The allowed texts of columns that the contract limits to a list."""
    found = (match for check in table.checks if (match := _CHOICES.fullmatch(check)))
    return {match["column"]: tuple(re.findall(r"'([^']*)'", match["values"])) for match in found}


def constant(value: Scalar, column_type: str) -> object:
    """`value` of a `set` table for a column of DuckDB type `column_type`. Raises ValueError if the types do not match."""
    expected: dict[str, type | tuple[type, ...]] = {
        "VARCHAR": str,
        "DOUBLE": (int, float),
        "BIGINT": int,
        "INTEGER": int,
        "BOOLEAN": bool,
    }
    fits = expected.get(column_type)
    if fits is None or not isinstance(value, fits) or (isinstance(value, bool) != (column_type == "BOOLEAN")):
        raise ValueError(f"{value!r} is not a constant of type {column_type}")
    return float(value) if column_type == "DOUBLE" else value


def _table_faults(file: File, rows: Rows, table: Table) -> list[str]:
    faults = []
    types = {column.name: column.type for column in table.wire_columns}
    resolved = {"available_at", table.day_column, *(("instrument",) if "instrument" in types else ())}
    settable = sorted(set(types) - resolved)
    given = set(rows.columns) | set(rows.set)
    allowed = choices(table)
    for key, names in (("columns", rows.columns), ("set", rows.set)):
        faults += [
            f"{key}.{name}: {table.name} takes {', '.join(settable)} here.{nearest(name, settable)}"
            for name in names
            if name not in settable
        ]
    for adjust in rows.adjust:
        unknown = (set(adjust.set) - set(settable)) | (set(adjust.scale) - set(rows.columns))
        faults += [f"adjust.{name}: not a column this rule fills" for name in sorted(unknown)]
    faults += [f"{name}: given as a column and as a constant" for name in sorted(set(rows.columns) & set(rows.set))]
    for name, value in [*rows.set.items(), *(item for adjust in rows.adjust for item in adjust.set.items())]:
        if name in settable:
            try:
                constant(value, types[name])
            except ValueError as error:
                faults.append(f"set.{name}: {error}{_one_of(allowed.get(name))}")
            else:
                if name in allowed and value not in allowed[name]:
                    faults.append(
                        f"set.{name}: {value!r} is none of {', '.join(allowed[name])}.{nearest(str(value), allowed[name])}"
                    )
    for name, cell in rows.columns.items():
        for text in sorted(set((cell.translate or {}).values()) - set(allowed.get(name, ()))):
            if name in allowed:
                faults.append(f"columns.{name}.translate: {text!r} is none of {', '.join(allowed[name])}")
    needed = {column.name for column in table.wire_columns if not column.nullable} - resolved
    if missing := sorted(needed - given):
        wanted = [name + (f" (one of {', '.join(allowed[name])})" if name in allowed else "") for name in missing]
        faults.append(f"columns: {table.name} needs {', '.join(wanted)} as a column or a constant")
    for name, cell in rows.columns.items():
        if name in settable:
            faults += [f"columns.{name}: {fault}" for fault in _cell_faults(cell, types[name])]
    if rows.where is not None and rows.where.instrument is not None:
        faults.append("where.instrument: a symbol is known only inside the rule; use the cells it is made of")
    if any(x.where.instrument is not None for x in file.distrust) and "instrument" not in types:
        faults.append(f"distrust.where.instrument: {table.name} has no instruments")
    if "instrument" in types and not (file.wide or file.instrument):
        faults.append(f"table: {table.name} needs [file.instrument] or a wide file")
    if table.day_is_state and rows.available.after == "period":
        faults.append(
            f'available.after: {table.name} holds states of an instant: give after = "event". Where the file labels a period by '
            'its start, move the label to its end with shift, as in time = { ..., shift = "1d" }'
        )
    elif rows.available.after == "period" and rows.set.get("period") not in PERIODS and "period" not in rows.columns:
        faults.append(f"available.after: period needs set.period, one of {', '.join(PERIODS)}")
    return faults


def _cell_faults(cell: Cell, column_type: str) -> list[str]:
    """Settings of a cell rule that do not apply to a column of this type and would be ignored silently."""
    numeric = [key for key in ("times", "over", "as_") if getattr(cell, key) is not None]
    numeric += ["contracts"] * cell.contracts + ["scale"] * (cell.scale != 1)
    numeric += [key for key in ("sum", "clean", "absent_as") if getattr(cell, key) not in {None, ()}]
    textual = [key for key in ("extract", "translate") if getattr(cell, key) is not None]
    textual += ["lower"] * cell.lower + ["upper"] * cell.upper
    is_text = column_type in {"VARCHAR", "BOOLEAN"}
    wrong = [] if column_type == "DOUBLE" else numeric
    if column_type == "DOUBLE" and cell.column is not None:
        textual = [key for key in textual if key not in {"extract", "translate"}]
    wrong += [] if is_text else [*textual, *(key for key in ("template", "digest") if getattr(cell, key) is not None)]
    if (cell.time is not None) != (column_type in {"DATE", "TIMESTAMP"}):
        wrong.append("time" if cell.time is not None else "column, for a time needs { time = … }")
    if (cell.time is not None or cell.digest is not None) and (numeric or textual):
        wrong += [*numeric, *textual]
    return [f"{key.rstrip('_')} does not fit type {column_type}" for key in dict.fromkeys(wrong)]


def _template_faults(rule: Instrument) -> list[str]:
    groups = re.compile(rule.name).groupindex
    faults = []
    for key in ("symbol", "base", "quote"):
        unknown = sorted(set(re.findall(r"\{([^{}]*)\}", getattr(rule, key))) - {"name", *groups})
        known = ", ".join(sorted({"name", *groups}))
        faults += [f"{key}: name has no group {group!r}; a template can use {known}" for group in unknown]
    return faults


def _fault(fault: Any) -> str:
    where = ".".join(str(part) for part in fault["loc"] if part not in {"path", "text"})
    shown = fault.get("input")
    value = f" (found {shown!r})" if isinstance(shown, str | int | float | bool) else ""
    help_ = ""
    key = str(fault["loc"][-1]) if fault["loc"] else ""
    if fault["type"] == "extra_forbidden":
        allowed = _keys_beside(Mapping, fault["loc"])
        help_ = f"; the keys here are {', '.join(allowed)}.{nearest(key, allowed)}" if allowed else ""
    elif fault["type"] == "missing":
        help_ = f"; {EXAMPLES[key]}" if key in EXAMPLES else ""
    return f"{where or 'top level'}: {fault['msg'].removeprefix('Value error, ')}{value}{help_}"


def _one_of(values: Iterable[str] | None) -> str:
    return f"; it is one of {', '.join(values)}" if values else ""


def _keys_beside(model: type[BaseModel], place: tuple[str | int, ...]) -> list[str]:
    """The keys of the section in which the last key of `place` was not known; none if it is not one of the model's sections."""
    section: type[BaseModel] | None = model
    for part in place[:-1]:
        if section is None:
            return []
        if isinstance(part, str) and part in section.model_fields:
            section = _section_in(section.model_fields[part].annotation)
    if section is None:
        return []
    return sorted(field.alias or name for name, field in section.model_fields.items() if name not in {"path", "text"})


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds, alone, in a list or by name."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := _section_in(inner)) is not None), None)
