"""What the published file says of itself: schema meta, derived from dbt's manifest and from the contract.

    meta.columns         one row per column of marts, ops and history: type, unit, additivity, orientation, key, description
    meta.relationships   one row per column of a mart that leads to a row of another

Writes into a database that publish.py has attached as `snapshot`. No file access here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
import polars as pl

from pipelines.contract.ddl import Contract
from pipelines.storage.query import execute_with
from pipelines.storage.vintages import BOOKKEEPING

Manifest = Mapping[str, Any]

_REF: Final = re.compile(r"ref\('(\w+)'\)")
_DIMENSIONS: Final = {"assets": "asset", "venues": "venue", "dates": "trade_date"}
"""Arguments of the test conformed_dimensions, and the column that each is about."""

_COLUMNS: Final = {
    "schema_name": "Schema of the table: marts, ops or history.",
    "table_name": "Table.",
    "column_name": "Column.",
    "position": "Position in the table, from 1.",
    "data_type": "Type.",
    "is_required": "True where the column is never null.",
    "key_position": "Position in the key of the table, from 1; null where the column is not part of it. The key identifies a row.",
    "unit": "Unit as docs/glossary.md defines it; null in ops.",
    "additivity": "flow: may be summed over time; stock: may be summed over the subjects of one instant; ratio: over neither; "
    "state: no quantity; null in ops.",
    "orientation": "What a higher value means, where that could be misread.",
    "description": "Meaning, without unit and additivity.",
}
_OF_BOOKKEEPING: Final = {
    name: {"unit": "timestamp_utc" if name.startswith("published_") else "text", "additivity": "state"}
    for name in BOOKKEEPING
}
_RELATIONSHIPS: Final = {
    "table_name": "Mart that refers.",
    "column_name": "Its column.",
    "to_table_name": "Mart that it refers to.",
    "to_column_name": "Column of that mart.",
    "relationship": "Counts the relationships of a pair of marts from 1: rows with the same number belong to one join.",
}


@dataclass(frozen=True)
class Relationship:
    """Columns of one mart whose values are found in another."""

    table: str
    columns: tuple[str, ...]
    to_table: str
    to_columns: tuple[str, ...]


@dataclass(frozen=True)
class MartDictionary:
    """What dbt's manifest says of the marts: facts of columns by (mart, column), keys by mart, and relationships."""

    columns: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    required: frozenset[tuple[str, str]] = frozenset()
    relationships: tuple[Relationship, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest) -> MartDictionary:
        """Read the manifest."""
        marts = {
            unique_id: node
            for unique_id, node in manifest["nodes"].items()
            if node["resource_type"] == "model" and node["schema"] == "marts"
        }
        columns = {(node["name"], name): facts for node in marts.values() for name, facts in node["columns"].items()}
        keys: dict[str, tuple[str, ...]] = {}
        related: set[Relationship] = set()
        for node in manifest["nodes"].values():
            about, mart = node.get("test_metadata"), marts.get(node.get("attached_node") or "")
            if about is None or mart is None:
                continue
            if about["name"] == "unique_combination":
                keys[mart["name"]] = tuple(about["kwargs"]["columns"])
            elif about["name"] == "unique":
                keys.setdefault(mart["name"], (about["kwargs"]["column_name"],))
            related.update(_relationships(mart["name"], about["name"], about["kwargs"]))
        names = {node["name"] for node in marts.values()}
        return cls(
            columns=columns,
            keys=keys,
            required=frozenset(
                place
                for place, facts in columns.items()
                if any(rule["type"] == "not_null" for rule in facts.get("constraints") or ())
            ),
            relationships=tuple(
                sorted((x for x in related if x.to_table in names), key=lambda x: (x.table, x.to_table, x.columns))
            ),
        )

    def constraints(self, mart: str, columns: Collection[tuple[str, str]]) -> str:
        """Column definitions of a mart, (name, type) each: not null where promised, and the key of a dimension.

        Facts get no primary key: its index makes the file three times as large. Their keys are in meta.columns.
        """
        lines = [
            f"{name} {data_type}{' not null' if (mart, name) in self.required else ''}" for name, data_type in columns
        ]
        key = self.keys.get(mart)
        if mart.startswith("dim_") and key:
            lines.append(f"primary key ({', '.join(key)})")
        return ", ".join(lines)


def write_dictionary(con: duckdb.DuckDBPyConnection, dictionary: MartDictionary, contract: Contract) -> None:
    """Create meta.columns and meta.relationships of the attached snapshot, with comments."""
    described = []
    for schema, table, column, position, data_type, comment in con.execute(
        "select schema_name, table_name, column_name, column_index, data_type, comment from duckdb_columns() "
        "where database_name = 'snapshot' and schema_name in ('marts', 'ops', 'history') order by all"
    ).fetchall():
        facts = dictionary.columns.get((table, column), {}) if schema != "ops" else {}
        meta = facts.get("config", {}).get("meta", {})
        if schema == "marts":
            key, required = dictionary.keys.get(table, ()), (table, column) in dictionary.required
            description = facts.get("description")
        elif schema == "history":
            key = (*dictionary.keys[table], "published_from")
            required = column in key or column == "publication_id"
            description = facts.get("description") or comment
            meta = _OF_BOOKKEEPING.get(column, meta)
        else:
            known = {c.name: c for c in contract.ops[table].columns}[column]
            key, required, description = contract.ops[table].key, not known.nullable, known.comment
        described.append(
            {
                "schema_name": schema,
                "table_name": table,
                "column_name": column,
                "position": position,
                "data_type": data_type,
                "is_required": required,
                "key_position": key.index(column) + 1 if column in key else None,
                "unit": meta.get("unit"),
                "additivity": meta.get("additivity"),
                "orientation": meta.get("orientation"),
                "description": description,
            }
        )
    texts = dict.fromkeys(("unit", "additivity", "orientation", "description"), pl.String())
    _create(
        con, "columns", "One row per schema, table and column: what the column means and how it may be added up.",
        _COLUMNS, pl.DataFrame(described, schema_overrides=texts | {"key_position": pl.Int64()}, infer_schema_length=None),
    )  # fmt: skip
    found = pl.DataFrame(
        list(_join_rows(dictionary)),
        schema=dict.fromkeys(list(_RELATIONSHIPS)[:4], pl.String()) | {"relationship": pl.Int64()},
        orient="row",
    )
    _create(
        con,
        "relationships",
        "One row per column of a mart whose values are found in another mart.",
        _RELATIONSHIPS,
        found,
    )


def _join_rows(dictionary: MartDictionary) -> Iterator[tuple[str, str, str, str, int]]:
    seen: dict[tuple[str, str], int] = {}
    for one in dictionary.relationships:
        number = seen[one.table, one.to_table] = seen.get((one.table, one.to_table), 0) + 1
        for column, to_column in zip(one.columns, one.to_columns, strict=True):
            yield one.table, column, one.to_table, to_column, number


def _create(
    con: duckdb.DuckDBPyConnection, name: str, comment: str, columns: Mapping[str, str], rows: pl.DataFrame
) -> None:
    execute_with(con, rows, f"create table snapshot.meta.{name} as select {', '.join(columns)} from frame order by all")
    con.execute(f"comment on table snapshot.meta.{name} is '{quoted(comment)}'")
    for column, text in columns.items():
        con.execute(f"comment on column snapshot.meta.{name}.{column} is '{quoted(text)}'")


def _relationships(mart: str, test: str, arguments: Mapping[str, Any]) -> Iterator[Relationship]:
    if test == "relationships":
        yield Relationship(mart, (arguments["column_name"],), _target(arguments["to"]), (arguments["field"],))
    elif test == "relationships_where":
        columns = tuple(arguments["columns"])
        yield Relationship(mart, columns, _target(arguments["to"]), columns)
    elif test == "conformed_dimensions":
        for argument, column in _DIMENSIONS.items():
            if argument in arguments:
                yield Relationship(mart, (column,), _target(arguments[argument]), (column,))


def _target(reference: str) -> str:
    found = _REF.search(reference)
    return found[1] if found else reference


def quoted(text: str) -> str:
    """Text inside single quotes of SQL."""
    return text.replace("'", "''")
