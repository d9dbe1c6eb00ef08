"""Silo v2: LiquidationCall of the hooks, which the factory announces beside the pairs of silos and their tokens."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipelines.sources.chain.evm.abi import EventSpec
from pipelines.sources.chain.evm.lending import POSITION, Decoded, Family, Protocol, fetch_announced

# `silo` is that of the debt; the collateral is the other one's of its pair. Amounts are in tokens, estimated where the
# liquidator takes shares.
LIQUIDATION_CALL: Final = EventSpec.declared(
    "silo_liquidation_call",
    "0x3a84f64446e8eada995aa9da2ddbfcd9b5d5d650503b19f024096d04c05ef2a9",
    "LiquidationCall(address indexed liquidator, address indexed silo, address indexed borrower, uint256 repay_debt_assets, "
    "uint256 withdraw_collateral, bool receive_shares)",
)
NEW_SILO: Final = EventSpec.declared(
    "silo_new_silo",
    "0x3d6b896c73b628ec6ba0bdfe3cdee1356ea2af31af2a97bbd6b532ca6fa00acb",
    "NewSilo(address indexed implementation, address indexed token0, address indexed token1, address silo0, address silo1, "
    "address silo_config)",
)
NEW_SILO_HOOK: Final = EventSpec.declared(
    "silo_new_silo_hook",
    "0x762198150052a4717aaed334287e0cf90d2e8a6b1d8a14b48a0ba7059736b8d6",
    "NewSiloHook(address indexed silo, address indexed hook)",
)

EVENTS: Final = (LIQUIDATION_CALL, NEW_SILO, NEW_SILO_HOOK)


def _liquidations(decoded: Decoded) -> pl.DataFrame:
    made = decoded[NEW_SILO.name]
    pairs = pl.concat(
        [
            made.select(
                pl.col(f"silo{lent}").alias("silo"),
                pl.col(f"token{lent}").alias("debt_token"),
                pl.col(f"token{1 - lent}").alias("collateral_token"),
            )
            for lent in (0, 1)
        ]
    ).unique("silo", keep="first", maintain_order=True)
    unknown = pl.format("the creation of silo {} is not in the landing", "silo")
    return (
        decoded[LIQUIDATION_CALL.name]
        .join(pairs, on="silo", how="left", maintain_order="left")
        .select(
            *POSITION,
            "borrower",
            "liquidator",
            "collateral_token",
            pl.col("withdraw_collateral").alias("collateral_amount_raw"),
            "debt_token",
            pl.col("repay_debt_assets").alias("debt_amount_raw"),
            pl.when(pl.col("debt_token").is_null()).then(unknown).alias("fault"),
        )
    )


FAMILY: Final = Family(
    "silo",
    "LiquidationCall of the hooks of Silo v2: debt repaid and collateral withdrawn, with tokens from the creation of the pair.",
    (
        Protocol.declared(
            "silo_v2", events=EVENTS, rows=_liquidations, registry={NEW_SILO_HOOK: "hook", NEW_SILO: "silo0"}
        ),
    ),
    fetch_announced,
)
