"""Compound v3 (Comet): AbsorbCollateral and AbsorbDebt. Debt absorbed without collateral is bad debt."""

from __future__ import annotations

from datetime import date
from typing import Final

import polars as pl

from pipelines.sources.chain.evm import contracts
from pipelines.sources.chain.evm.abi import EventSpec
from pipelines.sources.chain.evm.lending import POSITION, BadDebt, Decoded, Family, Protocol, scaled

# usd_value has 8 decimals. BuyCollateral is the protocol's later sale and not a liquidation.
ABSORB_COLLATERAL: Final = EventSpec.declared(
    "absorb_collateral",
    "0x9850ab1af75177e4a9201c65a2cf7976d5d28e40ef63494b44366f86b2f9412e",
    "AbsorbCollateral(address indexed absorber, address indexed borrower, address indexed asset, "
    "uint256 collateral_absorbed, uint256 usd_value)",
)
ABSORB_DEBT: Final = EventSpec.declared(
    "absorb_debt",
    "0x1547a878dc89ad3c367b6338b4be6a65a5dd74fb77ae044da1e8747ef1f4f62f",
    "AbsorbDebt(address indexed absorber, address indexed borrower, uint256 base_paid_out, uint256 usd_value)",
)

EVENTS: Final = (ABSORB_COLLATERAL, ABSORB_DEBT)
VALUE_DECIMALS: Final = 8

ABSORPTION: Final = ("tx_hash", "address", "borrower")
"""Columns that the events of one absorption share."""


def _absorptions(decoded: Decoded) -> pl.DataFrame:
    """One row per absorbed collateral. The debt is one event, which follows the collateral events of its absorption; it is put
    on the last of them, so that it counts once."""
    collateral = decoded[ABSORB_COLLATERAL.name].sort("log_index")
    debts = (
        _debts(decoded)
        .filter(~pl.col("is_bad_debt"))
        .select(
            *ABSORPTION,
            pl.col("collateral_index").alias("log_index"),
            pl.col("contract_token").alias("debt_token"),
            pl.col("base_paid_out").alias("debt_amount_raw"),
            scaled("usd_value", VALUE_DECIMALS).alias("debt_usd"),
        )
    )
    return collateral.join(debts, on=[*ABSORPTION, "log_index"], how="left", maintain_order="left").select(
        *POSITION,
        "borrower",
        pl.col("absorber").alias("liquidator"),
        pl.col("asset").alias("collateral_token"),
        pl.col("collateral_absorbed").alias("collateral_amount_raw"),
        scaled("usd_value", VALUE_DECIMALS).alias("collateral_usd"),
        "debt_token",
        "debt_amount_raw",
        "debt_usd",
    )


def _bad_debt(decoded: Decoded) -> pl.DataFrame:
    """Debt absorbed without collateral: left over by an earlier absorption, or of an account that had none."""
    return (
        _debts(decoded)
        .filter("is_bad_debt")
        .select(
            *POSITION,
            pl.lit("AbsorbDebt").alias("event"),
            "borrower",
            pl.col("contract_token").alias("debt_token"),
            pl.col("base_paid_out").alias("debt_amount_raw"),
            scaled("usd_value", VALUE_DECIMALS).alias("debt_usd"),
        )
    )


def _debts(decoded: Decoded) -> pl.DataFrame:
    """The AbsorbDebt events with `collateral_index`, the log index of the last collateral before them in their absorption, and
    `is_bad_debt`, true if there is none or it already has another debt."""
    collateral = decoded[ABSORB_COLLATERAL.name].sort("log_index")
    debts = decoded[ABSORB_DEBT.name].sort("log_index").join_asof(
        collateral.select(*ABSORPTION, "log_index", pl.col("log_index").alias("collateral_index")),
        on="log_index", by=list(ABSORPTION), strategy="backward", check_sortedness=False,
    )  # fmt: skip
    is_taken = ~pl.struct(*ABSORPTION, "collateral_index").is_first_distinct()
    return debts.with_columns(is_bad_debt=pl.col("collateral_index").is_null() | is_taken)


FAMILY: Final = Family(
    "comet",
    "AbsorbCollateral of Compound v3, in the dollars that the event states; AbsorbDebt, on the last collateral of its "
    "absorption. Debt absorbed without collateral is bad debt.",
    (
        Protocol(
            "compound_v3",
            since={
                "ethereum": date(2022, 8, 1),
                "polygon": date(2023, 2, 1),
                "arbitrum": date(2023, 5, 1),
                "base": date(2023, 8, 1),
                "optimism": date(2024, 3, 1),
            },
            contracts=contracts.COMPOUND_V3,
            events=EVENTS,
            rows=_absorptions,
            bad_debt=BadDebt(_bad_debt, shared=EVENTS),
        ),
    ),
)
