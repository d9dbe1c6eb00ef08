"""Maker: Bite of the Cat and Bark of the Dog, which send a vault to auction. The auction's sales are not added."""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from pipelines.sources.chain.evm.abi import EventSpec
from pipelines.sources.chain.evm.lending import Family, Protocol, fields, scaled

DAI: Final = "0x6b175474e89094c44da98b954eedeac495271d0f"

# Until April 2021. ink is collateral with 18 decimals whatever the token has; tab and due are Dai with 45.
BITE: Final = EventSpec.declared(
    "maker_bite",
    "0xa716da86bc1fb6d43d1493373f34d7a418b619681cd7b90f7ea667ba1489be28",
    "Bite(bytes32 indexed ilk, address indexed urn, uint256 ink, uint256 art, uint256 due, address flip, uint256 auction)",
)
# Since then. Kick and Take of the Clipper sell what a Bark sent to auction; they are not further liquidations.
BARK: Final = EventSpec.declared(
    "maker_bark",
    "0x85258d09e1e4ef299ff3fc11e74af99563f022d21f3f940db982229dc2a3358c",
    "Bark(bytes32 indexed ilk, address indexed urn, uint256 ink, uint256 art, uint256 due, address clip, "
    "uint256 indexed auction)",
)

EVENTS: Final = (BITE, BARK)


def _token_of(ilk: str) -> str:
    """The symbol, in lower case, of an ilk: a symbol and a letter in ASCII (ETH-A, WBTC-B); the ilk itself if it is no text."""
    try:
        text = bytes.fromhex(ilk[2:]).rstrip(b"\0").decode("ascii")
    except ValueError:
        return ilk
    return re.sub("-[A-Z0-9]+$", "", text).lower() or ilk


_ILK_TOKEN: Final = pl.col("ilk").map_elements(_token_of, return_dtype=pl.String)

_ROWS: Final = fields(
    borrower="urn",
    collateral_token=_ILK_TOKEN,
    collateral_amount=scaled("ink", 18),
    debt_token=pl.lit(DAI),
    # From 45 decimals to Dai's 18, rounded down.
    debt_amount_raw=pl.col("due").str.head(-27).replace("", "0"),
)

FAMILY: Final = Family(
    "maker",
    "Bite and Bark of Maker: collateral and debt sent to auction; the auction's sales are not added.",
    (Protocol.declared("maker", events=EVENTS, rows=_ROWS),),
)
