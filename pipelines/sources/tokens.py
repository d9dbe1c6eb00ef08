"""The tokens of the registry, dbt_project/seeds/token_registry.csv, for sources that ask about tokens.

Read only; which token is which asset, and how many decimals it has, is written in the seed. What is read of a token on chain
stands in evm_tokens.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import polars as pl

from pipelines.core.settings import PROJECT_ROOT

SEEDS: Final = PROJECT_ROOT / "dbt_project" / "seeds"

NATIVE: Final = "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
"""Stands for the chain's own coin, which has no contract."""


@cache
def registered() -> pl.DataFrame:
    """The rows of the registry: chain, token (address in lower case), symbol, asset, decimals, kind, underlying, is_stable."""
    return pl.read_csv(SEEDS / "token_registry.csv", schema_overrides={"decimals": pl.Int64}, infer_schema_length=None)


@cache
def receipts() -> pl.DataFrame:
    """The receipts of lending protocols: chain, token (address in lower case), underlying_token."""
    return pl.read_csv(SEEDS / "receipt_tokens.csv")
