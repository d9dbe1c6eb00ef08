"""Compound v2 and its forks (Benqi, Venus, Moonwell): LiquidateBorrow of the cTokens, and bad debt of Venus' isolated
pools. Comptrollers and pool registries announce the markets.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from pipelines.sources.chain.evm.abi import EventSpec
from pipelines.sources.chain.evm.lending import (
    POSITION,
    BadDebt,
    Decoded,
    Family,
    Protocol,
    fetch_announced,
    fields,
)

# Emitted by the cToken of the debt. seize_tokens counts cTokens, not their underlying.
LIQUIDATE_BORROW: Final = EventSpec.declared(
    "liquidate_borrow",
    "0x298637f684da70674f26509b10f07ec2fbc77a335ab1e7d6215a4b2484d8bb52",
    "LiquidateBorrow(address liquidator, address borrower, uint256 repay_amount, address ctoken_collateral, "
    "uint256 seize_tokens)",
)
# Venus' isolated pools: the same hash with three indexed parameters.
LIQUIDATE_BORROW_INDEXED: Final = EventSpec.declared(
    "liquidate_borrow_indexed",
    LIQUIDATE_BORROW.topic0,
    "LiquidateBorrow(address indexed liquidator, address indexed borrower, uint256 repay_amount, "
    "address indexed ctoken_collateral, uint256 seize_tokens)",
)
# Venus' isolated pools: emitted by the vToken when an account is healed whose collateral is worth less than its debt.
BAD_DEBT_INCREASED: Final = EventSpec.declared(
    "bad_debt_increased",
    "0x90125ffdb441e57c4f6bf69789206424859f206bea5727f2d81ad2470826ef6a",
    "BadDebtIncreased(address indexed borrower, uint256 bad_debt_delta, uint256 bad_debt_old, uint256 bad_debt_new)",
)
# Comptrollers.
MARKET_LISTED: Final = EventSpec.declared(
    "market_listed",
    "0xcf583bb0c569eb967f806b11601c4cb93c10310485c67add5f8362c2f212321f",
    "MarketListed(address market)",
)
# Later comptrollers: the same hash with the market indexed. Venus' core pool declares it so in its source.
MARKET_LISTED_INDEXED: Final = EventSpec.declared(
    "market_listed_indexed", MARKET_LISTED.topic0, "MarketListed(address indexed market)"
)
# Comptrollers of Venus' isolated pools.
MARKET_SUPPORTED: Final = EventSpec.declared(
    "market_supported",
    "0xaf16ad15f9e29d5140e8e81a30a92a755aa8edff3d301053c84392b70c0d09a3",
    "MarketSupported(address market)",
)
# Venus' pool registry: one indexed parameter in its first version, two later, under the same hash.
MARKET_ADDED: Final = EventSpec.declared(
    "market_added",
    "0x7772c85e68debdf74fad87834e2cc05fa763e74faf14de7096da305290651142",
    "MarketAdded(address indexed comptroller, address market)",
)
MARKET_ADDED_INDEXED: Final = EventSpec.declared(
    "market_added_indexed",
    MARKET_ADDED.topic0,
    "MarketAdded(address indexed comptroller, address indexed market)",
)

LIQUIDATIONS: Final = (LIQUIDATE_BORROW, LIQUIDATE_BORROW_INDEXED)
COMPTROLLER_EVENTS: Final = dict.fromkeys((MARKET_LISTED, MARKET_LISTED_INDEXED), "market")
ISOLATED_POOL_EVENTS: Final = dict.fromkeys((MARKET_SUPPORTED, MARKET_ADDED, MARKET_ADDED_INDEXED), "market")
EVENTS: Final = (*LIQUIDATIONS, BAD_DEBT_INCREASED, *COMPTROLLER_EVENTS, *ISOLATED_POOL_EVENTS)

_ROWS: Final = fields(
    borrower="borrower",
    liquidator="liquidator",
    collateral_token="ctoken_collateral",  # noqa: S106 - a token of a chain
    collateral_amount_raw="seize_tokens",
    debt_token="contract_token",  # noqa: S106
    debt_amount_raw="repay_amount",
)


def _increases(decoded: Decoded) -> pl.DataFrame:
    return decoded[BAD_DEBT_INCREASED.name].select(
        *POSITION,
        pl.lit("BadDebtIncreased").alias("event"),
        "borrower",
        pl.col("contract_token").alias("debt_token"),
        pl.col("bad_debt_delta").alias("debt_amount_raw"),
    )


FAMILY: Final = Family(
    "compound_v2",
    "LiquidateBorrow of Compound v2 and its forks, in every market their comptrollers announced: debt repaid; collateral "
    "in cTokens, which the marts value by the debt. BadDebtIncreased of Venus' isolated pools is bad debt.",
    (
        # All its markets are listed: none was opened since 2021.
        Protocol.declared("compound_v2", events=LIQUIDATIONS, rows=_ROWS),
        Protocol.declared("benqi", events=LIQUIDATIONS, rows=_ROWS, registry=COMPTROLLER_EVENTS),
        Protocol.declared("venus", events=LIQUIDATIONS, rows=_ROWS, registry=COMPTROLLER_EVENTS),
        Protocol.declared(
            "venus_isolated",
            events=LIQUIDATIONS,
            rows=_ROWS,
            registry=ISOLATED_POOL_EVENTS,
            bad_debt=BadDebt(_increases, exclusive=(BAD_DEBT_INCREASED,)),
        ),
        Protocol.declared("moonwell", events=LIQUIDATIONS, rows=_ROWS, registry=COMPTROLLER_EVENTS),
    ),
    fetch_announced,
)
