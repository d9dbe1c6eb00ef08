"""The contract: everything Python uses about a table comes from its DDL."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from pipelines.contract.ddl import COMMON_COLUMNS, load_contract
from pipelines.core.errors import ContractError
from pipelines.core.settings import PROJECT_ROOT

SCHEMA_DIR = PROJECT_ROOT / "warehouse" / "schema"
CLEAN_TABLES = [
    "candles",
    "funding_rates",
    "instruments",
    "lending_bad_debt",
    "lending_liquidations",
    "liquidation_totals",
    "liquidations",
    "long_short_ratios",
    "open_interest",
    "option_chain",
    "risk_tiers",
    "token_prices",
    "tokens",
    "volatility_index",
]


def test_the_clean_tables_are_those_of_the_design() -> None:
    assert list(load_contract(SCHEMA_DIR).clean) == CLEAN_TABLES


@pytest.mark.parametrize("name", CLEAN_TABLES)
def test_every_clean_table_ends_with_the_common_columns(name: str) -> None:
    assert load_contract(SCHEMA_DIR).table(name).column_names[-5:] == COMMON_COLUMNS


def test_polars_types_follow_the_ddl() -> None:
    schema = load_contract(SCHEMA_DIR).table("open_interest").polars_schema()
    assert schema["event_at"] == pl.Datetime("us")
    assert schema["oi_base"] == pl.Float64()
    assert "loaded_at" not in schema
    assert "available_at" in schema


def test_open_interest_is_a_state_and_a_candle_is_not() -> None:
    contract = load_contract(SCHEMA_DIR)
    assert contract.table("open_interest").day_is_state
    assert not contract.table("candles").day_is_state


def test_duckdb_reads_the_columns_and_the_number_of_rules_that_are_written() -> None:
    """On every version of it. All other tests take the contract as it was read when the run began."""
    contract = load_contract.__wrapped__(SCHEMA_DIR)
    for table in (*contract.clean.values(), *contract.ops.values()):
        text = (SCHEMA_DIR / f"{table.qualified}.sql").read_text(encoding="utf-8")
        written = re.findall(r"^    (?!check \()(\w+) (\w+)( not null)?,?$", text, re.MULTILINE)
        written = [(name, {"int": "integer"}.get(kind, kind), rule) for name, kind, rule in written]
        read = [(column.name, column.type.lower(), "" if column.nullable else " not null") for column in table.columns]
        assert read == written, table.qualified
        assert len(table.checks) == len(re.findall(r"^    check \(", text, re.MULTILINE)), table.qualified


def test_an_unknown_table_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ContractError, match=r"'trades'.*candles"):
        load_contract(SCHEMA_DIR).table("trades")


@pytest.mark.parametrize(
    ("ddl", "fault"),
    [
        ("create table clean.t (a int", "is not valid DDL"),
        ("-- key: a\n-- day: b\n-- coverage: none\ncreate table clean.other (a int)", "name the file after its table"),
        ("-- key: z\n-- day: a\n-- coverage: none\ncreate table clean.t (a timestamp)", "must name columns"),
        ("-- key: a\n-- day: a\n-- coverage: none\ncreate table clean.t (a timestamp)", "comment on"),
        (
            "-- key: a\ncreate table clean.t (a int); comment on table clean.t is 'x'; comment on column clean.t.a is 'x'",
            "day",
        ),
    ],
)
def test_an_incomplete_ddl_file_is_refused(tmp_path: Path, ddl: str, fault: str) -> None:
    (tmp_path / "clean.t.sql").write_text(ddl, encoding="utf-8")
    with pytest.raises(ContractError, match=fault):
        load_contract(tmp_path)
