"""The gate judges real batches with real Great Expectations: for every check one sound batch and one that must fail.

One context serves all of them because importing Great Expectations takes seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pipelines.clean.contract import Contract, apply_ddl, load_contract
from pipelines.errors import ContractError
from pipelines.quality import gate, suites
from pipelines.quality.gate import CheckResult, GateBrokenError, GateInput, run_gate
from pipelines.quality.profiles import PROFILES
from pipelines.quality.suites import SAMPLE_ROWS, SHAPE, SUITES, Check

from . import quality_world as world

pytestmark = pytest.mark.xdist_group("great_expectations")

SCHEMA_DIR = Path(__file__).resolve().parents[2] / "warehouse" / "schema"

# Per table: what is done to a sound batch ({rows}), and exactly the checks that must fail. Checks that every table has are
# broken once, on open interest.
BROKEN: dict[str, list[tuple[str, set[str]]]] = {
    "open_interest": [
        ("update {rows} set oi_base = oi_base * 470, oi_raw = oi_raw * 470 where instrument = 'COIN1USDT'",
         {"oi_base_unit_jump", "oi_base_level_shift", "other_sources_agree", "price_against_candles"}),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(SCHEMA_DIR)
