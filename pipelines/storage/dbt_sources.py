"""Renders dbt's sources.yml and a yml per staging model from warehouse/schema, so that every table is described once.

Writes the contract's tables, columns and comments as YAML. contract.ddl reads the DDL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipelines.contract.ddl import Table, load_contract

SOURCES_HEADER = """\
# Generated from warehouse/schema/*.sql; edit the DDL, then run: python -m pipelines.storage.dbt_sources
# On DuckDB the tables are read where they were loaded; on Spark the same names are Parquet below LEVERHOUSE_PARQUET.
version: 2

sources:
"""

STAGING_HEADER = """\
# Generated from warehouse/schema/*.sql; edit the DDL, then run: python -m pipelines.storage.dbt_sources
version: 2

models:
"""

CLEAN_DESCRIPTION = "Canonical tables written by the loaders: typed, UTC, units normalized, every source side by side."
OPS_DESCRIPTION = "What was landed, loaded, refused and found missing: the bookkeeping of the loaders."

STATS_DESCRIPTION = "What the step of statistics fitted to the marts: written between two runs of dbt."

STAGED_OPS = ("coverage", "landings", "listening", "loads", "quarantine")
"""Tables of ops that have a staging model."""

STAGING_ADDS = {
    "candles": {
        "period_minutes": "Length of the candle in minutes.",
        "closed_at": "UTC end of the candle: the instant its close was struck.",
    },
    "liquidation_totals": {"period_minutes": "Length of the period in minutes."},
    "long_short_ratios": {"period_minutes": "Cadence of the series in minutes."},
    "open_interest": {"period_minutes": "Cadence of the series in minutes; null for irregular captures."},
}
"""Columns that the staging views add to those of their table."""


def render_sources_yml(schema_dir: Path) -> str:
    """The content of sources.yml: tables sorted by name, columns in the order of the DDL.

    Raises ContractError if the DDL is incomplete.
    """
    contract = load_contract(schema_dir)
    lines = [
        *_source_lines("clean", CLEAN_DESCRIPTION, contract.clean.values()),
        *_source_lines("ops", OPS_DESCRIPTION, contract.ops.values()),
        *_source_lines("stats", STATS_DESCRIPTION, contract.stats.values()),
    ]
    return SOURCES_HEADER + "\n".join(lines) + "\n"


def render_staging_yml(schema_dir: Path) -> Mapping[str, str]:
    """The yml of each staging model, by name: descriptions of the contract and of the columns a view adds.

    Raises ContractError if the DDL is incomplete.
    """
    contract = load_contract(schema_dir)
    tables = [*contract.clean.values(), *(contract.ops[name] for name in STAGED_OPS)]
    return {f"stg_{table.name}": STAGING_HEADER + "\n".join(_staging_lines(table)) + "\n" for table in tables}


def _source_lines(schema: str, description: str, tables: Iterable[Table]) -> Iterator[str]:
    yield f"  - name: {schema}"
    yield f"    description: {_quoted(description)}"
    yield f"    schema: \"{{{{ 'parquet' if target.type == 'spark' else '{schema}' }}}}\""
    yield "    quoting: {identifier: true}"
    yield "    tables:"
    for table in sorted(tables, key=lambda table: table.name):
        yield from _table_lines(table)


def _table_lines(table: Table) -> Iterator[str]:
    parquet = f"env_var('LEVERHOUSE_PARQUET') ~ '/{table.schema}/{table.name}.parquet'"
    yield f"      - name: {table.name}"
    yield f"        identifier: \"{{{{ {parquet} if target.type == 'spark' else '{table.name}' }}}}\""
    yield f"        description: {_quoted(table.comment)}"
    yield f"        meta: {{key: [{', '.join(table.key)}]}}"
    yield "        columns:"
    for column in table.columns:
        yield f"          - name: {column.name}"
        yield f"            data_type: {column.type.lower()}"
        yield f"            description: {_quoted(column.comment)}"


def _staging_lines(table: Table) -> Iterator[str]:
    grain = f"One row per {', '.join(table.key)}."
    yield f"  - name: stg_{table.name}"
    yield f"    description: {_quoted(f'{grain} {table.comment} The rows of {table.qualified} as they stand.')}"
    yield "    columns:"
    described = {column.name: column.comment for column in table.columns} | STAGING_ADDS.get(table.name, {})
    for name, comment in described.items():
        yield f"      - name: {name}"
        yield f"        description: {_quoted(comment)}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    models = root / "dbt_project" / "models"
    (models / "sources.yml").write_text(render_sources_yml(root / "warehouse" / "schema"), encoding="utf-8")
    for model, text in render_staging_yml(root / "warehouse" / "schema").items():
        (models / "staging" / f"{model}.yml").write_text(text, encoding="utf-8")
