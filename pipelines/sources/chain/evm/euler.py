"""Euler v2: Liquidate and DebtSocialized of the vaults. The factory's ProxyCreated announces a vault and its asset."""

from __future__ import annotations

from typing import Final

import polars as pl

from pipelines.sources.chain.evm.abi import EventSpec, Word
from pipelines.sources.chain.evm.lending import (
    POSITION,
    BadDebt,
    Decoded,
    Family,
    Protocol,
    fetch_announced,
)

# Emitted by the vault of the debt. collateral is another vault, yield_balance its shares.
LIQUIDATE: Final = EventSpec.declared(
    "euler_liquidate",
    "0x8246cc71ab01533b5bebc672a636df812f10637ad720797319d5741d5ebb3962",
    "Liquidate(address indexed liquidator, address indexed violator, address collateral, uint256 repay_assets, "
    "uint256 yield_balance)",
)
# Emitted by the factory. The trailing bytes are the vault's asset, oracle and unit of account, 20 bytes each, packed.
PROXY_CREATED: Final = EventSpec(
    "euler_proxy_created",
    "0x04e664079117e113faa9684bc14aecb41651cbf098b14eda271248c6d0cda57c",
    (
        Word("proxy", "address", indexed=True),
        Word("upgradeable", "bool"),
        Word("implementation", "address"),
        Word("offset", "uint256"),
        Word("length", "uint256"),
        Word("trailing", "bytes32"),
        Word("trailing_rest", "bytes32"),
    ),
    "ProxyCreated(address,bool,address,bytes)",
)
# Emitted by the vault in a liquidation that left debt and no collateral.
DEBT_SOCIALIZED: Final = EventSpec.declared(
    "debt_socialized",
    "0xe786d0bc2e83bf230ed9895a9c4d7756ab0c6e22eb8a4ff69c161ece76bd36df",
    "DebtSocialized(address indexed account, uint256 assets)",
)

EVENTS: Final = (LIQUIDATE, PROXY_CREATED, DEBT_SOCIALIZED)


def _liquidations(decoded: Decoded) -> pl.DataFrame:
    return _with_debt_token(decoded, LIQUIDATE).select(
        *POSITION,
        pl.col("violator").alias("borrower"),
        "liquidator",
        pl.col("collateral").alias("collateral_token"),
        pl.col("yield_balance").alias("collateral_amount_raw"),
        "debt_token",
        pl.col("repay_assets").alias("debt_amount_raw"),
        "fault",
    )


def _bad_debt(decoded: Decoded) -> pl.DataFrame:
    return _with_debt_token(decoded, DEBT_SOCIALIZED).select(
        *POSITION,
        pl.lit("DebtSocialized").alias("event"),
        pl.col("account").alias("borrower"),
        "debt_token",
        pl.col("assets").alias("debt_amount_raw"),
        "fault",
    )


def _with_debt_token(decoded: Decoded, event: EventSpec) -> pl.DataFrame:
    """Logs of a vault's event with `debt_token`, the vault's asset, and `fault` if its creation does not state one."""
    vaults = (
        decoded[PROXY_CREATED.name]
        .filter(pl.col("length") == "60")
        .select(pl.col("proxy").alias("address"), pl.col("trailing").str.slice(0, 42).alias("debt_token"))
        .unique("address")
    )
    unknown = pl.format("the creation of vault {} does not state its asset", "address")
    return (
        decoded[event.name]
        .join(vaults, on="address", how="left", maintain_order="left")
        .with_columns(pl.when(pl.col("debt_token").is_null()).then(unknown).alias("fault"))
    )


FAMILY: Final = Family(
    "euler",
    "Liquidate of the vaults of Euler v2: debt repaid; collateral in vault shares, which have no price. "
    "DebtSocialized is bad debt.",
    (
        Protocol.declared(
            "euler_v2",
            events=(LIQUIDATE, PROXY_CREATED),
            rows=_liquidations,
            registry={PROXY_CREATED: "proxy"},
            bad_debt=BadDebt(_bad_debt, exclusive=(DEBT_SOCIALIZED,), shared=(PROXY_CREATED,)),
        ),
    ),
    fetch_announced,
)
