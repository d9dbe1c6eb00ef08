"""Liquity v1 (TroveLiquidated, one event per trove) and v2 (Liquidation, one event for all troves of a call)."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipelines.sources.chain.evm.abi import EventSpec
from pipelines.sources.chain.evm.lending import Family, Protocol, fields
from pipelines.sources.tokens import NATIVE

LUSD: Final = "0x5f98805a4e8be255a32880fdec7f6728c6568ba0"
BOLD: Final = "0x6440f144b7e50d6a8439336510312d2f54beb01d"
# What the branches of January 2025 lent, until they were wound down.
LEGACY_BOLD: Final = "0xb01dd87b29d187f3e3a4bf6cdaebfb97f3d9ab98"
LEGACY_BRANCHES: Final = (
    "0x81d78814df42da2cab0e8870c477bc3ed861de66",
    "0xb47ef60132deabc89580fd40e49c062d93070046",
    "0xde026433882a9dded65cac4fff8402fafff40fca",
)

# v1. Its event Liquidation is the sum per transaction and is not counted as well.
TROVE_LIQUIDATED: Final = EventSpec.declared(
    "liquity_trove_liquidated",
    "0xea67486ed7ebe3eea8ab3390efd4a3c8aae48be5bea27df104a8af786c408434",
    "TroveLiquidated(address indexed borrower, uint256 debt, uint256 coll, uint8 operation)",
)
# v2. price has 18 decimals. coll_surplus goes back to the owner.
LIQUIDATION: Final = EventSpec.declared(
    "liquity_v2_liquidation",
    "0x7243af9a1cff94d3429b2ee00b78c1c10589259f20dc167cb67704f38f9e824e",
    "Liquidation(uint256 debt_offset, uint256 debt_redistributed, uint256 bold_gas_compensation, "
    "uint256 coll_gas_compensation, uint256 coll_sent, uint256 coll_redistributed, uint256 coll_surplus, uint256 l_eth, "
    "uint256 l_bold_debt, uint256 price)",
)

EVENTS: Final = (TROVE_LIQUIDATED, LIQUIDATION)


_COLLATERAL: Final = ("coll_sent", "coll_redistributed", "coll_gas_compensation")
_DEBT: Final = ("debt_offset", "debt_redistributed")


def _sum(*columns: str) -> pl.Expr:
    """Exact sum of decimal texts that are amounts of one token, which are far below 2^127; null if one is not."""
    return pl.sum_horizontal((pl.col(name).cast(pl.Int128, strict=False) for name in columns), ignore_nulls=False)


_SEIZED: Final = _sum(*_COLLATERAL)
_TOO_LARGE: Final = pl.any_horizontal(
    pl.col(name).cast(pl.Int128, strict=False).is_null() for name in (*_COLLATERAL, *_DEBT)
)

_ROWS_V1: Final = fields(
    borrower="borrower",
    collateral_token=pl.lit(NATIVE),
    collateral_amount_raw="coll",
    debt_token=pl.lit(LUSD),
    debt_amount_raw="debt",
)
_ROWS_V2: Final = fields(
    collateral_token="contract_token",  # noqa: S106 - a token of a chain
    collateral_amount_raw=_SEIZED.cast(pl.String),
    collateral_usd=_SEIZED.cast(pl.Float64) * pl.col("price").cast(pl.Float64) / 1e36,
    debt_token=pl.when(pl.col("address").is_in(LEGACY_BRANCHES)).then(pl.lit(LEGACY_BOLD)).otherwise(pl.lit(BOLD)),
    debt_amount_raw=_sum(*_DEBT).cast(pl.String),
    fault=pl.when(_TOO_LARGE).then(pl.lit("an amount that no token has")),
)

FAMILY: Final = Family(
    "liquity",
    "TroveLiquidated of Liquity v1; Liquidation of Liquity v2, summed over the troves of a call.",
    (
        Protocol.declared("liquity_v1", events=(TROVE_LIQUIDATED,), rows=_ROWS_V1),
        Protocol.declared("liquity_v2", events=(LIQUIDATION,), rows=_ROWS_V2),
    ),
)
