"""The token registry (dbt_project/seeds/token_registry.csv) for sources that request data by token.

Read-only: assets and decimals are set in the seed. Token metadata read from a chain is in chain/evm/tokens.py.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import polars as pl

from pipelines.core.settings import PROJECT_ROOT

SEEDS: Final = PROJECT_ROOT / "dbt_project" / "seeds"

NATIVE: Final = "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
"""Placeholder address of the chain's native coin, which has no contract."""


@cache
def registered() -> pl.DataFrame:
    """The registry's rows: chain, token (lower-case address), symbol, asset, decimals, kind, underlying, is_stable."""
    return pl.read_csv(SEEDS / "token_registry.csv", schema_overrides={"decimals": pl.Int64}, infer_schema_length=None)


@cache
def receipts() -> pl.DataFrame:
    """Receipt tokens of lending protocols: chain, token (lower-case address), underlying_token."""
    return pl.read_csv(SEEDS / "receipt_tokens.csv")
