"""Morpho Blue: Liquidate, which names a market by its id; CreateMarket names the tokens of the market."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

import polars as pl

from pipelines.extract.venue import Page, Span
from pipelines.sources.chain.evm.abi import EventSpec
from pipelines.sources.chain.evm.chains import Chain
from pipelines.sources.chain.evm.lending import (
    MAX_TOPICS,
    POSITION,
    BadDebt,
    Decoded,
    Family,
    Protocol,
    batches,
)
from pipelines.sources.chain.evm.logs import LogFilter, LogSource, read_logs

LIQUIDATE: Final = EventSpec.declared(
    "morpho_liquidate",
    "0xa4946ede45d0c6f06a0f5ce92c9ad3b4751452d2fe0e25010783bcab57a67e41",
    "Liquidate(bytes32 indexed id, address indexed caller, address indexed borrower, uint256 repaid_assets, "
    "uint256 repaid_shares, uint256 seized_assets, uint256 bad_debt_assets, uint256 bad_debt_shares)",
)
CREATE_MARKET: Final = EventSpec.declared(
    "morpho_create_market",
    "0xac4b2400f169220b0c0afdde7a0b32e775ba727ea1cb30b35f935cdaab8683ac",
    "CreateMarket(bytes32 indexed id, (address loan_token, address collateral_token, address oracle, address irm, "
    "uint256 lltv))",
)

EVENTS: Final = (LIQUIDATE, CREATE_MARKET)


async def _fetch(source: LogSource, span: Span, chain: Chain, protocols: Sequence[Protocol]) -> AsyncIterator[Page]:
    """The liquidations, then the creation of their markets, which may be years older."""
    blocks = await source.blocks(span)
    for protocol in protocols:
        listed = tuple(protocol.tokens(chain.name))
        pages = [page async for page in source.logs(blocks, LogFilter(listed, (LIQUIDATE.topic0,)))]
        for page in pages:
            yield page
        markets = sorted(set(read_logs(pages)["topics"].str.slice(67, 66)))
        if not markets:
            continue
        life = await source.blocks(protocol.life(chain.name, span))
        for part in batches(markets, MAX_TOPICS):
            async for page in source.logs(life, LogFilter(listed, (CREATE_MARKET.topic0,), part)):
                yield page


def _liquidations(decoded: Decoded) -> pl.DataFrame:
    """One row per Liquidate. Bad debt is not part of the repaid debt."""
    return (
        decoded[LIQUIDATE.name]
        .join(_markets(decoded), on="id", how="left", maintain_order="left")
        .select(
            *POSITION,
            "borrower",
            pl.col("caller").alias("liquidator"),
            "collateral_token",
            pl.col("seized_assets").alias("collateral_amount_raw"),
            pl.col("loan_token").alias("debt_token"),
            pl.col("repaid_assets").alias("debt_amount_raw"),
            pl.when(pl.col("collateral_token").is_null())
            .then(pl.format("the creation of market {} is not in the landing", "id"))
            .alias("fault"),
        )
    )


def _bad_debt(decoded: Decoded) -> pl.DataFrame:
    """The bad debt of each Liquidate. If the market's tokens are unknown, the liquidation is rejected and this makes no row."""
    return (
        decoded[LIQUIDATE.name]
        .filter(pl.col("bad_debt_assets") != "0")
        .join(_markets(decoded), on="id", maintain_order="left")
        .select(
            *POSITION,
            pl.lit("Liquidate").alias("event"),
            "borrower",
            pl.col("loan_token").alias("debt_token"),
            pl.col("bad_debt_assets").alias("debt_amount_raw"),
        )
    )


def _markets(decoded: Decoded) -> pl.DataFrame:
    """The tokens of each market: id, loan_token, collateral_token."""
    return decoded[CREATE_MARKET.name].select("id", "loan_token", "collateral_token").unique("id")


FAMILY: Final = Family(
    "morpho",
    "Liquidate of Morpho Blue and of Moolah, with the market's tokens from CreateMarket; the bad debt of a liquidation is a row "
    "of its own.",
    (
        Protocol.declared("morpho_blue", events=EVENTS, rows=_liquidations, bad_debt=BadDebt(_bad_debt, shared=EVENTS)),
        # Lista's, on the code of Morpho Blue.
        Protocol.declared("moolah", events=EVENTS, rows=_liquidations, bad_debt=BadDebt(_bad_debt, shared=EVENTS)),
    ),
    _fetch,
)
