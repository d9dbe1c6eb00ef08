"""Asset classes of instruments, from the venue's own field. Stocks, commodities, currencies and indices trade beside coins.

A coin keeps its bare ticker; any other asset has its class behind it (NET is the coin, NET.STOCK the share), so that no name means
two assets and the universe, which is of coins, holds no other class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

CRYPTO: Final = "crypto"
OTHER: Final = "other"
"""A class that the venue names and this project does not know, or an asset of which it only says that it is no coin."""

SUFFIXES: Final = frozenset({"STOCK", "COMMODITY", "FOREX", "INDEX", "BOND", "OTHER"})
"""What stands behind the name of an asset that is no coin."""


def asset_class(column: str, classes: Mapping[str, str]) -> pl.Expr:
    """The class of the venue's value in `column`; `other` for an unknown value, null where the venue states none."""
    stated = pl.col(column)
    known = stated.replace_strict(dict(classes), default=OTHER, return_dtype=pl.String)
    return pl.when(stated.is_not_null()).then(known)


def without_coin(assets: Iterable[str]) -> frozenset[str]:
    """Bare tickers that only an asset of another class has among `assets`: TSLA of TSLA.STOCK, but not NET beside NET.STOCK."""
    every = frozenset(assets)
    parts = (asset.rpartition(".") for asset in every)
    return frozenset(name for name, _, behind in parts if behind in SUFFIXES and name not in every)


def with_asset_class(frame: pl.DataFrame, stated: pl.Expr) -> pl.DataFrame:
    """`frame` with the column asset_class, and the class behind the `asset` of everything but coins."""
    is_coin = pl.col("asset_class").is_null() | (pl.col("asset_class") == CRYPTO)
    return frame.with_columns(stated.cast(pl.String).alias("asset_class")).with_columns(
        pl.when(is_coin)
        .then("asset")
        .otherwise(pl.concat_str("asset", pl.col("asset_class").str.to_uppercase(), separator="."))
        .alias("asset")
    )
