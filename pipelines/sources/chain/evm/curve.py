"""Curve's crvUSD and LlamaLend: Liquidate of the controllers, which factories announce with the tokens of their market.

What the AMM sold before, band by band (soft liquidation), is an event of no position and is not here.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from pipelines.sources.chain.evm.abi import EventSpec
from pipelines.sources.chain.evm.lending import POSITION, Decoded, Family, Protocol, Rows, fetch_announced

CRVUSD: Final = "0xf939e0a03fb07f59a73314e73794be0e57ac1b4e"

# stablecoin_received is what the AMM had sold the collateral for; the liquidator pays the rest of the debt.
LIQUIDATE: Final = EventSpec.declared(
    "curve_liquidate",
    "0x642dd4d37ddd32036b9797cec464c0045dd2118c549066ae6b0f88e32240c2d0",
    "Liquidate(address indexed liquidator, address indexed user, uint256 collateral_received, uint256 stablecoin_received, "
    "uint256 debt)",
)
ADD_MARKET: Final = EventSpec.declared(
    "crvusd_add_market",
    "0xebbe0dfde9dde641808b7a803882653420f3a5b12bb405d238faed959e1e3aa3",
    "AddMarket(address indexed collateral, address controller, address amm, address monetary_policy, uint256 ix)",
)
NEW_VAULT: Final = EventSpec.declared(
    "llamalend_new_vault",
    "0x2a854a597908740dff5f0846840f167547ea0d7614c43bde3ea49be2e68c07ec",
    "NewVault(uint256 indexed id, address indexed collateral_token, address indexed borrowed_token, address vault, "
    "address controller, address amm, address price_oracle, address monetary_policy)",
)

EVENTS: Final = (LIQUIDATE, ADD_MARKET, NEW_VAULT)


def _rows(announcement: EventSpec, collateral: pl.Expr, borrowed: pl.Expr) -> Rows:
    """Rows of controllers whose tokens the `announcement` names. Who closes a position of their own is not liquidated."""

    def rows(decoded: Decoded) -> pl.DataFrame:
        markets = (
            decoded[announcement.name]
            .select(
                pl.col("controller").alias("address"),
                collateral.alias("collateral_token"),
                borrowed.alias("debt_token"),
            )
            .unique("address", keep="first", maintain_order=True)
        )
        unknown = pl.format("the market of controller {} is not in the landing", "address")
        return (
            decoded[LIQUIDATE.name]
            .filter(pl.col("liquidator") != pl.col("user"))
            .join(markets, on="address", how="left", maintain_order="left")
            .select(
                *POSITION,
                pl.col("user").alias("borrower"),
                "liquidator",
                "collateral_token",
                pl.col("collateral_received").alias("collateral_amount_raw"),
                "debt_token",
                pl.col("debt").alias("debt_amount_raw"),
                pl.when(pl.col("collateral_token").is_null()).then(unknown).alias("fault"),
            )
        )

    return rows


FAMILY: Final = Family(
    "curve",
    "Liquidate of the controllers of crvUSD and LlamaLend: the whole debt, and the collateral that the AMM had not sold. Owners "
    "who close their own position are left out.",
    (
        Protocol.declared(
            "crvusd",
            events=(LIQUIDATE, ADD_MARKET),
            rows=_rows(ADD_MARKET, pl.col("collateral"), pl.lit(CRVUSD)),
            registry={ADD_MARKET: "controller"},
            by_itself=True,
        ),
        Protocol.declared(
            "llamalend",
            events=(LIQUIDATE, NEW_VAULT),
            rows=_rows(NEW_VAULT, pl.col("collateral_token"), pl.col("borrowed_token")),
            registry={NEW_VAULT: "controller"},
            by_itself=True,
        ),
    ),
    fetch_announced,
)
