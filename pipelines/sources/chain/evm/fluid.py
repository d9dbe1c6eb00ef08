"""Fluid's vaults: a liquidation names no token and no borrower; the movements it makes in Fluid's liquidity name the tokens.

Which contracts are believed stands in evm_emitters. A vault is believed where its factory announced it.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from pipelines.sources.chain.evm.abi import EventSpec, Word
from pipelines.sources.chain.evm.lending import Decoded

VAULT_DEPLOYED: Final = EventSpec.declared(
    "fluid_vault_deployed",
    "0x00fa89a51ae01c150bfde909191818194382d30b43b645428ed6a71f19551073",
    "VaultDeployed(address indexed vault, uint256 indexed vault_id)",
)
# The sum over all positions beyond the price: Fluid liquidates by ticks and not by borrowers. LogAbsorb, by which a vault
# takes what is too far gone to itself, is no liquidation; what was absorbed is liquidated later, with this event.
LOG_LIQUIDATE: Final = EventSpec.declared(
    "fluid_log_liquidate",
    "0x80fd9cc6b1821f4a510e45ffce6852ea3404807b5d3d833ffa85664408afcb66",
    "LogLiquidate(address liquidator, uint256 col_amt, uint256 debt_amt, address to)",
)
# The liquidity under all vaults. Amounts are signed: what leaves the supply or is paid back is negative.
LOG_OPERATE: Final = EventSpec(
    "fluid_log_operate",
    "0x4d93b232a24e82b284ced7461bf4deacffe66759d5c24513e6f29e571ad78d15",
    (
        Word("user", "address", indexed=True),
        Word("token", "address", indexed=True),
        Word("supply_amount", "bytes32"),
        Word("borrow_amount", "bytes32"),
        Word("withdraw_to", "address"),
        Word("borrow_to", "address"),
        Word("total_amounts", "uint256"),
        Word("exchange_prices_and_config", "uint256"),
    ),
    "LogOperate(address,address,int256,int256,address,address,uint256,uint256)",
)

EVENTS: Final = (LOG_LIQUIDATE, VAULT_DEPLOYED, LOG_OPERATE)


def fluid(decoded: Decoded) -> pl.DataFrame:
    """One row per call, whose collateral and debt are the tokens in which the vault moved just these amounts in the transaction.

    A vault whose collateral or debt is a share of a pool (Fluid's types 2 to 4) moves no such amount. What it counts in shares
    has the vault as its token: no registry knows that, so that it stays raw, unpriced and counted as such.
    """
    moved = decoded[LOG_OPERATE.name].select(
        "tx_hash",
        "token",
        pl.col("user").alias("address"),
        _given("supply_amount").alias("col_amt"),
        _given("borrow_amount").alias("debt_amt"),
    )
    found = decoded[LOG_LIQUIDATE.name]
    for amount, token in (("col_amt", "collateral_token"), ("debt_amt", "debt_token")):
        key = ["tx_hash", "address", amount]
        told = moved.filter(pl.col(amount).is_not_null()).select(*key, pl.col("token").alias(token))
        found = found.join(
            told.unique(key, keep="first", maintain_order=True), on=key, how="left", maintain_order="left"
        )
    return found.with_columns(
        pl.lit(None, pl.String).alias("borrower"),
        pl.col("collateral_token", "debt_token").fill_null(pl.col("address")),
        pl.col("col_amt").alias("collateral_amount_raw"),
        pl.col("debt_amt").alias("debt_amount_raw"),
    )


def _given(column: str) -> pl.Expr:
    """The size of a negative int256 as decimal text; null where it is none, or below -2^124, which no token's amount is."""
    word = pl.col(column).str.strip_prefix("0x")
    size = pl.lit(2**124, pl.Int128) - word.str.tail(31).str.to_integer(base=16, dtype=pl.Int128, strict=False)
    return pl.when(word.str.starts_with("f" * 33)).then(size.cast(pl.String))
