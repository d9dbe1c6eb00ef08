"""What the schema version promises: every column of the published file as it was when the version was released.

    python scripts/published_columns.py      writes tests/unit/published_columns_<version>.csv, as a part of a release

`breaking` and `added` compare two such lists; tests/unit/test_schema_promise.py holds the present one against the file.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipelines.contract.ddl import Contract, load_contract
from pipelines.contract.versions import SCHEMA_VERSION
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.operations.build import ensure_manifest
from pipelines.storage.dictionary import MartDictionary
from pipelines.storage.publish import OPS_TABLES
from pipelines.storage.vintages import VINTAGES

FOLDER: Final = PROJECT_ROOT / "tests" / "unit"
_PREFIX: Final = "published_columns_"


class Column(NamedTuple):
    """What a reader may rely on of a column: type, place in the key, whether it is never null, unit, additivity."""

    type: str
    key_position: str
    is_required: str
    unit: str
    additivity: str


Columns = Mapping[tuple[str, str], Column]
"""By table with its schema, and column."""


def columns_of(manifest: Mapping[str, Any], contract: Contract) -> dict[tuple[str, str], Column]:
    """The columns of the published file, from dbt's manifest and the contract. Macros count as tables without columns."""
    dictionary = MartDictionary.of(manifest)
    found: dict[tuple[str, str], Column] = {}
    for (mart, name), facts in dictionary.columns.items():
        meta, key = facts["config"]["meta"], dictionary.keys.get(mart, ())
        found[f"marts.{mart}", name] = Column(
            type=facts["data_type"] or "",
            key_position=str(key.index(name) + 1) if name in key else "",
            is_required=str((mart, name) in dictionary.required).lower(),
            unit=meta["unit"],
            additivity=meta["additivity"],
        )
    for table in OPS_TABLES:
        held = contract.ops[table]
        for column in held.columns:
            position = str(held.key.index(column.name) + 1) if column.name in held.key else ""
            required = str(not column.nullable).lower()
            found[f"ops.{table}", column.name] = Column(column.type, position, required, "", "")
    for mart, macro in VINTAGES.items():
        found[f"history.{mart}", ""] = Column("table", "", "true", "", "")
        found[f"main.{macro}(t)", ""] = Column("macro", "", "true", "", "")
    return found


def breaking(before: Columns, now: Columns) -> list[str]:
    """What readers of `before` could not rely on any more, one line each: columns that are gone or mean something
    else, and tables with another grain."""
    faults = []
    for place, was in before.items():
        name = ".".join(filter(None, place))
        has = now.get(place)
        if has is None:
            faults.append(f"{name} is gone")
            continue
        faults += [
            f"{name}: {field} {old or 'none'} became {new or 'none'}"
            for field, old, new in zip(Column._fields, was, has, strict=True)
            # A column that is null no longer is a promise more.
            if old != new and (field, old) != ("is_required", "false")
        ]
    tables = {table for table, _ in before}
    faults += [
        f"{table}: {name} became part of the key"
        for (table, name), has in now.items()
        if table in tables and (table, name) not in before and has.key_position
    ]
    return faults


def added(before: Columns, now: Columns) -> list[str]:
    """Tables and columns that `before` lacked."""
    return [".".join(filter(None, place)) for place in now if place not in before]


def write(columns: Columns, version: str) -> Path:
    """Write the file of a version."""
    path = FOLDER / f"{_PREFIX}{version}.csv"
    with path.open("w", encoding="utf-8", newline="") as sink:
        rows = csv.writer(sink, lineterminator="\n")
        rows.writerow(("table_name", "column_name", *Column._fields))
        rows.writerows((*place, *column) for place, column in sorted(columns.items()))
    return path


def read(path: Path) -> tuple[str, dict[tuple[str, str], Column]]:
    """The version of a file, and its columns."""
    with path.open(encoding="utf-8", newline="") as source:
        table = {(row[0], row[1]): Column(*row[2:]) for row in list(csv.reader(source))[1:]}
    return path.stem.removeprefix(_PREFIX), table


def released() -> Path:
    """The file of the last release."""
    return max(FOLDER.glob(f"{_PREFIX}*.csv"), key=lambda path: numbers(path.stem.removeprefix(_PREFIX)))


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def may_break(before: str, now: str) -> bool:
    """Whether a change from one schema version to another says that something broke: before 1.0 the second number counts that."""
    counted = 2 if numbers(before)[0] == 0 else 1
    return numbers(now)[:counted] > numbers(before)[:counted]


def may_add(before: str, now: str) -> bool:
    """Whether it says that something came: before 1.0 nothing need say so."""
    return numbers(before)[0] == 0 or numbers(now) > numbers(before)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        manifest = json.loads(ensure_manifest(Settings(home=Path(folder))).read_bytes())
    print(write(columns_of(manifest, load_contract(PROJECT_ROOT / "warehouse" / "schema")), SCHEMA_VERSION))


if __name__ == "__main__":
    main()
