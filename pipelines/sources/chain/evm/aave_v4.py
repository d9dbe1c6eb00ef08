"""Aave v4: LiquidationCall of a spoke numbers its reserves; AddReserve of the spoke and AddAsset of its hub name the token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

import polars as pl

from pipelines.extract.venue import Page, Span
from pipelines.sources.chain.evm.abi import EventSpec
from pipelines.sources.chain.evm.chains import Chain
from pipelines.sources.chain.evm.lending import POSITION, BadDebt, Decoded, Family, Protocol
from pipelines.sources.chain.evm.logs import LogFilter, LogSource

LIQUIDATION_CALL: Final = EventSpec.declared(
    "aave_v4_liquidation_call",
    "0x2a1f12d996f530f89d8038aa293f9fde81cac44b6dfd6225e3358d09b78a4a37",
    "LiquidationCall(uint256 indexed collateral_reserve, uint256 indexed debt_reserve, address indexed user, address liquidator, "
    "bool receive_shares, uint256 debt_amount, uint256 drawn_shares, (int256 shares_delta, int256 offset_delta, "
    "uint256 restored_premium) premium, uint256 collateral_amount, uint256 collateral_shares, uint256 liquidator_shares)",
)
ADD_RESERVE: Final = EventSpec.declared(
    "aave_v4_add_reserve",
    "0xb2d3221c3db1eb0d586556ae23399acdfe3e52ff0fcd184c19069c730f9ca2e9",
    "AddReserve(uint256 indexed reserve, uint256 indexed asset, address indexed hub)",
)
ADD_ASSET: Final = EventSpec.declared(
    "aave_v4_add_asset",
    "0x92fb402b777f3710166f15b30098f41042b439850df67d0195196d125458e7b3",
    "AddAsset(uint256 indexed asset, address indexed underlying, uint8 decimals)",
)
# Of the hub, in units of the token with 27 more decimals. The spoke's event of the same deficit counts shares.
REPORT_DEFICIT: Final = EventSpec.declared(
    "aave_v4_report_deficit",
    "0x4845ee5c72bde2b62defc8a1ca2f0fc3313b2d9e799997ce4f6776da9773bcbf",
    "ReportDeficit(uint256 indexed asset, address indexed spoke, uint256 drawn_shares, (int256 shares_delta, "
    "int256 offset_delta, uint256 restored_premium) premium, uint256 deficit_ray)",
)

FACTS: Final = (ADD_RESERVE, ADD_ASSET)
EVENTS: Final = (LIQUIDATION_CALL, *FACTS, REPORT_DEFICIT)


async def _fetch(source: LogSource, span: Span, chain: Chain, protocols: Sequence[Protocol]) -> AsyncIterator[Page]:
    """All reserves and assets ever added, then the liquidations and deficits of the span."""
    for protocol in protocols:
        listed = tuple(protocol.tokens(chain.name))
        life = await source.blocks(protocol.life(chain.name, span))
        async for page in source.logs(life, LogFilter(listed, tuple(event.topic0 for event in FACTS))):
            yield page
        blocks = await source.blocks(span)
        async for page in source.logs(blocks, LogFilter(listed, (LIQUIDATION_CALL.topic0, REPORT_DEFICIT.topic0))):
            yield page


def _liquidations(decoded: Decoded) -> pl.DataFrame:
    assets = _assets(decoded)
    reserves = (
        decoded[ADD_RESERVE.name]
        .sort("block_number", "log_index")
        .unique(["address", "reserve"], keep="last")
        .join(assets, on=["hub", "asset"], how="left")
        .select("address", "reserve", "token")
    )
    rows = decoded[LIQUIDATION_CALL.name]
    for leg in ("collateral", "debt"):
        tokens = reserves.rename({"reserve": f"{leg}_reserve", "token": f"{leg}_token"})
        rows = rows.join(tokens, on=["address", f"{leg}_reserve"], how="left", maintain_order="left")
    unknown = pl.any_horizontal(pl.col("collateral_token", "debt_token").is_null())
    return rows.select(
        *POSITION,
        pl.col("user").alias("borrower"),
        "liquidator",
        "collateral_token",
        pl.col("collateral_amount").alias("collateral_amount_raw"),
        "debt_token",
        pl.col("debt_amount").alias("debt_amount_raw"),
        pl.when(unknown).then(pl.lit("a reserve of the spoke is not in the landing")).alias("fault"),
    )


def _deficits(decoded: Decoded) -> pl.DataFrame:
    """The deficits that hubs report; whose debt it was, only the spoke says."""
    known = _assets(decoded).rename({"hub": "address", "token": "debt_token"})
    return (
        decoded[REPORT_DEFICIT.name]
        .join(known, on=["address", "asset"], how="left", maintain_order="left")
        .select(
            *POSITION,
            pl.lit("ReportDeficit").alias("event"),
            pl.lit(None, pl.String).alias("borrower"),
            "debt_token",
            pl.col("deficit_ray").str.head(-27).replace("", "0").alias("debt_amount_raw"),
        )
    )


def _assets(decoded: Decoded) -> pl.DataFrame:
    """The token of each asset of a hub: hub, asset, token."""
    added = decoded[ADD_ASSET.name].sort("block_number", "log_index").unique(["address", "asset"], keep="last")
    return added.select(pl.col("address").alias("hub"), "asset", pl.col("underlying").alias("token"))


FAMILY: Final = Family(
    "aave_v4",
    "LiquidationCall of the spokes of Aave v4, with tokens from the reserves of spoke and hub; ReportDeficit of the hubs is bad "
    "debt.",
    (
        Protocol.declared(
            "aave_v4",
            events=(LIQUIDATION_CALL, *FACTS),
            rows=_liquidations,
            bad_debt=BadDebt(_deficits, exclusive=(REPORT_DEFICIT,), shared=FACTS),
        ),
    ),
    _fetch,
)
