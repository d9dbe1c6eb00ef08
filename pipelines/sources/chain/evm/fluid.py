"""Fluid: LogLiquidate of the vaults names neither tokens nor borrowers; LogOperate of the liquidity layer names the tokens.

The vault factory announces the vaults.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

import polars as pl

from pipelines.extract.venue import Page, Span
from pipelines.sources.chain.evm.abi import EventSpec, Word
from pipelines.sources.chain.evm.chains import Chain
from pipelines.sources.chain.evm.lending import (
    MAX_CONTRACTS,
    MAX_TOPICS,
    Decoded,
    Family,
    Protocol,
    announced,
    batches,
)
from pipelines.sources.chain.evm.logs import LogFilter, LogSource, read_logs

VAULT_DEPLOYED: Final = EventSpec.declared(
    "fluid_vault_deployed",
    "0x00fa89a51ae01c150bfde909191818194382d30b43b645428ed6a71f19551073",
    "VaultDeployed(address indexed vault, uint256 indexed vault_id)",
)
# The sum over all liquidated positions: Fluid liquidates price ticks, not borrowers. LogAbsorb, by which a vault takes over
# positions too far under water, is not a liquidation; what it absorbed is liquidated later, with this event.
LOG_LIQUIDATE: Final = EventSpec.declared(
    "fluid_log_liquidate",
    "0x80fd9cc6b1821f4a510e45ffce6852ea3404807b5d3d833ffa85664408afcb66",
    "LogLiquidate(address liquidator, uint256 col_amt, uint256 debt_amt, address to)",
)
# Emitted by the liquidity layer. Amounts are signed: withdrawals and repayments are negative.
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
VAULTS: Final = {VAULT_DEPLOYED: "vault"}


async def _fetch(source: LogSource, span: Span, chain: Chain, protocols: Sequence[Protocol]) -> AsyncIterator[Page]:
    """All vaults ever deployed, their liquidations, and the token movements of the liquidated vaults in the same span."""
    [protocol] = protocols
    listed = tuple(protocol.tokens(chain.name))
    blocks = await source.blocks(span)
    life = await source.blocks(protocol.life(chain.name, span))
    deployments = [page async for page in source.logs(life, LogFilter(listed, (VAULT_DEPLOYED.topic0,)))]
    for page in deployments:
        yield page
    vaults = sorted(set(announced(read_logs(deployments), VAULTS)))
    liquidated: set[str] = set()
    for part in batches(vaults, MAX_CONTRACTS):
        pages = [page async for page in source.logs(blocks, LogFilter(part, (LOG_LIQUIDATE.topic0,)))]
        for page in pages:
            yield page
        liquidated |= set(read_logs(pages)["address"].str.to_lowercase())
    users = ["0x" + vault[2:].zfill(64) for vault in sorted(liquidated)]
    for part in batches(users, MAX_TOPICS):
        async for page in source.logs(blocks, LogFilter(listed, (LOG_OPERATE.topic0,), part)):
            yield page


def _liquidations(decoded: Decoded) -> pl.DataFrame:
    """One row per call. Collateral and debt are the tokens of which the vault moved exactly these amounts in the transaction.

    A vault whose collateral or debt is a share of a pool (Fluid's types 2 to 4) moves no such amount. For amounts in shares
    the vault stands in as the token: no registry lists it, so they stay raw, unpriced, and counted as such.
    """
    movements = decoded[LOG_OPERATE.name].select(
        "tx_hash",
        "token",
        pl.col("user").alias("address"),
        _paid("supply_amount").alias("col_amt"),
        _paid("borrow_amount").alias("debt_amt"),
    )
    rows = decoded[LOG_LIQUIDATE.name]
    for amount, token in (("col_amt", "collateral_token"), ("debt_amt", "debt_token")):
        key = ["tx_hash", "address", amount]
        tokens = movements.filter(pl.col(amount).is_not_null()).select(*key, pl.col("token").alias(token))
        tokens = tokens.unique(key, keep="first", maintain_order=True)
        rows = rows.join(tokens, on=key, how="left", maintain_order="left")
    return rows.with_columns(
        pl.lit(None, pl.String).alias("borrower"),
        pl.col("collateral_token", "debt_token").fill_null(pl.col("address")),
        pl.col("col_amt").alias("collateral_amount_raw"),
        pl.col("debt_amt").alias("debt_amount_raw"),
    )


def _paid(column: str) -> pl.Expr:
    """Absolute value of a negative int256 as decimal text; null if it is not negative, or below -2^124, which no amount of a
    token is."""
    word = pl.col(column).str.strip_prefix("0x")
    size = pl.lit(2**124, pl.Int128) - word.str.tail(31).str.to_integer(base=16, dtype=pl.Int128, strict=False)
    return pl.when(word.str.starts_with("f" * 33)).then(size.cast(pl.String))


FAMILY: Final = Family(
    "fluid",
    "LogLiquidate of Fluid's vaults, summed over the positions of a call; tokens from LogOperate of the liquidity layer. "
    "Shares of pools have no price.",
    (Protocol.declared("fluid", events=EVENTS, rows=_liquidations, registry=VAULTS),),
    _fetch,
)
