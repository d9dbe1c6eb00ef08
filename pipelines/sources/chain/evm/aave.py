"""Aave v1, v2 and v3, and Spark, which emits the same events: LiquidationCall and DeficitCreated of the pool."""

from __future__ import annotations

from datetime import date
from typing import Final

import polars as pl

from pipelines.sources.chain.evm.abi import EventSpec
from pipelines.sources.chain.evm.chains import CHAINS
from pipelines.sources.chain.evm.lending import POSITION, BadDebt, Decoded, Family, Protocol, fields

# v2, v3 and Spark. v3's collateral is net of the protocol's fee.
LIQUIDATION_CALL: Final = EventSpec.declared(
    "aave_liquidation_call",
    "0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286",
    "LiquidationCall(address indexed collateral_asset, address indexed debt_asset, address indexed user, "
    "uint256 debt_to_cover, uint256 liquidated_collateral_amount, address liquidator, bool receive_atoken)",
)
# v1. `timestamp` repeats the block's time.
LIQUIDATION_CALL_V1: Final = EventSpec.declared(
    "aave_v1_liquidation_call",
    "0x56864757fd5b1fc9f38f5f3a981cd8ae512ce41b902cf73fc506ee369c6bc237",
    "LiquidationCall(address indexed collateral, address indexed reserve, address indexed user, uint256 purchase_amount, "
    "uint256 liquidated_collateral_amount, uint256 accrued_borrow_interest, address liquidator, bool receive_atoken, "
    "uint256 timestamp)",
)
# v3.3: after the LiquidationCall that seized the last collateral, one event per reserve with debt left.
DEFICIT_CREATED: Final = EventSpec.declared(
    "deficit_created",
    "0x2bccfb3fad376d59d7accf970515eb77b2f27b082c90ed0fb15583dd5a942699",
    "DeficitCreated(address indexed user, address indexed debt_asset, uint256 amount_created)",
)

EVENTS: Final = (LIQUIDATION_CALL, LIQUIDATION_CALL_V1, DEFICIT_CREATED)

_LIQUIDATIONS: Final = fields(
    borrower="user",
    liquidator="liquidator",
    collateral_token="collateral_asset",  # noqa: S106 - a token of a chain
    collateral_amount_raw="liquidated_collateral_amount",
    debt_token="debt_asset",  # noqa: S106
    debt_amount_raw="debt_to_cover",
)
_LIQUIDATIONS_V1: Final = fields(
    borrower="user",
    liquidator="liquidator",
    collateral_token="collateral",  # noqa: S106
    collateral_amount_raw="liquidated_collateral_amount",
    debt_token="reserve",  # noqa: S106
    debt_amount_raw="purchase_amount",
)


def _deficits(decoded: Decoded) -> pl.DataFrame:
    return decoded[DEFICIT_CREATED.name].select(
        *POSITION,
        pl.lit("DeficitCreated").alias("event"),
        pl.col("user").alias("borrower"),
        pl.col("debt_asset").alias("debt_token"),
        pl.col("amount_created").alias("debt_amount_raw"),
    )


FAMILY: Final = Family(
    "aave",
    "LiquidationCall of Aave v1, v2, v3 and Spark: collateral seized and debt repaid, raw; DeficitCreated of v3 is bad debt.",
    (
        Protocol.declared("aave_v1", events=(LIQUIDATION_CALL_V1,), rows=_LIQUIDATIONS_V1),
        Protocol.declared("aave_v2", events=(LIQUIDATION_CALL,), rows=_LIQUIDATIONS),
        Protocol.declared(
            "aave_v3",
            events=(LIQUIDATION_CALL,),
            rows=_LIQUIDATIONS,
            # v3.3 reached the pools in February 2025. Before it, debt without collateral stayed on the account unreported. ?
            bad_debt=BadDebt(
                _deficits,
                exclusive=(DEFICIT_CREATED,),
                since=dict.fromkeys((chain.name for chain in CHAINS), date(2025, 2, 1)),
            ),
        ),
        Protocol.declared("spark", events=(LIQUIDATION_CALL,), rows=_LIQUIDATIONS),
    ),
)
