"""How protocols announce markets: the events of the contracts that open them, so that no market has to be listed by hand.

Who is believed stands in REGISTRIES; what a market then emits in evm_lending and evm_bad_debt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from pipelines.sources.chain.evm.abi import EventSpec, is_event

ANNOUNCED: Final = ("market", "proxy", "vault")
"""The word of an announcing event that is the new emitter."""

# Comptrollers of Compound v2 and its kin.
MARKET_LISTED: Final = EventSpec.declared(
    "market_listed",
    "0xcf583bb0c569eb967f806b11601c4cb93c10310485c67add5f8362c2f212321f",
    "MarketListed(address market)",
)
# The same of later versions (Venus' diamond ?): one word indexed under the same hash.
MARKET_LISTED_INDEXED: Final = EventSpec.declared(
    "market_listed_indexed",
    "0xcf583bb0c569eb967f806b11601c4cb93c10310485c67add5f8362c2f212321f",
    "MarketListed(address indexed market)",
)
# Comptrollers of Venus' isolated pools.
MARKET_SUPPORTED: Final = EventSpec.declared(
    "market_supported",
    "0xaf16ad15f9e29d5140e8e81a30a92a755aa8edff3d301053c84392b70c0d09a3",
    "MarketSupported(address market)",
)
# Venus' registry of pools, first with one word indexed and later with two, under the same hash.
MARKET_ADDED: Final = EventSpec.declared(
    "market_added",
    "0x7772c85e68debdf74fad87834e2cc05fa763e74faf14de7096da305290651142",
    "MarketAdded(address indexed comptroller, address market)",
)
MARKET_ADDED_INDEXED: Final = EventSpec.declared(
    "market_added_indexed",
    "0x7772c85e68debdf74fad87834e2cc05fa763e74faf14de7096da305290651142",
    "MarketAdded(address indexed comptroller, address indexed market)",
)

EVENTS: Final = (MARKET_LISTED, MARKET_LISTED_INDEXED, MARKET_SUPPORTED, MARKET_ADDED, MARKET_ADDED_INDEXED)
COMPTROLLER: Final = (MARKET_LISTED, MARKET_LISTED_INDEXED)
VENUS_ISOLATED: Final = (MARKET_SUPPORTED, MARKET_ADDED, MARKET_ADDED_INDEXED)

REGISTRIES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "benqi": {"avalanche": ("0x486af39519b4dc9a7fccd318217352830e8ad9b4",)},
    "venus": {"bnb": ("0xfd36e2c2a6789db23113685031d7f16329158384",)},
    "venus_isolated": {
        # The registry tells of the markets of all pools; elsewhere the core pool's own comptroller is believed.
        "bnb": ("0x9f7b01a536afa00ef10310a162877fd792cd0666",),
        "ethereum": ("0x687a01ecf6d3907658f7a7c714749fac32336d1b",),
        "arbitrum": ("0x317c1a5739f39046e20b08ac9beea3f10fd43326",),
        "optimism": ("0x5593ff68be84c966821eef5f0a988c285d5b7cec",),
        "base": ("0x0c7973f9598aa62f9e03b94e92c967fd5437426c",),
    },
    "moonwell": {
        "base": ("0xfbb21d0380bee3312b33c4353c8936a0f13ef26c",),
        "optimism": ("0xca889f40aae37fff165bccf69aef1e82b5c511b9",),
    },
}
"""Protocol → chain → the contracts that are believed about its markets; addresses in lower case."""

_WORD: Final = 64


def announced(logs: pl.DataFrame, events: Sequence[EventSpec]) -> pl.Series:
    """The addresses that logs of `events` announce, in lower case; of other logs nothing."""
    found = [pl.Series("address", [], dtype=pl.String)]
    for event in events:
        position = next(n for n, word in enumerate(event.words) if word.name in ANNOUNCED)
        word = event.words[position]
        if word.indexed:
            # A topic is 66 characters and a blank; the address is the last 40 of them.
            place = pl.col("topics").str.slice(67 * (1 + event.indexed.index(word)) + 26, 40)
        else:
            place = pl.col("data").str.slice(2 + _WORD * event.data.index(word) + 24, 40)
        mine = logs.filter(is_event((event,)))
        found.append(mine.select(pl.format("0x{}", place.str.to_lowercase()).alias("address")).to_series())
    return pl.concat(found)
