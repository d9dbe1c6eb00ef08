"""Markets of GMX: the name and the decimals of the index of each market token of v2 (gmx_markets.csv), and the indices of v1.

Lists only, from GMX itself (gmx-interface's markets, gmx-synthetics' tokens) by scripts/chain_contracts.py. Liquidations in a
market that is not listed are quarantined until it is. Swap-only markets have no positions and are left out.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

Markets = Mapping[str, Mapping[str, str]]
"""Chain → address in lower case → the symbol of its index."""

LIST: Final = Path(__file__).with_name("gmx_markets.csv")


@cache
def markets() -> Mapping[str, Mapping[str, tuple[str, int]]]:
    """Chain → market token of v2 in lower case → its name (index/USD, then the tokens that back longs and shorts) and the decimals
    of the index, which belong to the token on its chain and not to its symbol."""
    found: dict[str, dict[str, tuple[str, int]]] = defaultdict(dict)
    with LIST.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found[row["chain"]][row["market"]] = (row["name"], int(row["decimals"]))
    return found


INDEX_TOKENS: Final[Markets] = {
    "arbitrum": {
        "0x82af49447d8a07e3bd95bd0d56f35241523fbab1": "ETH",
        "0x2f2a2543b76a4166549f7aab2e75bef0aefc5b0f": "BTC",
        "0xf97f4df75117a78c1a5a0dbb814af92458539fb4": "LINK",
        "0xfa7f8980b0f1e64a2062791cc3b0871572f1f7f0": "UNI",
    },
    "avalanche": {
        "0xb31f66aa3c1e785363f0875a1b74e27b85fd66c7": "AVAX",
        "0x49d5c2bdffac6ce2bfdb6640f4f80f226bc10bab": "ETH",
        # Bitcoin from two bridges; both are indices.
        "0x50b7545627a5162f82a992c33b87adc75187b218": "BTC",
        "0x152b9d0fdc40c096757f570a51e494bd4b943e50": "BTC",
    },
}
"""Indices of v1, by index token; all indices of a chain share one pool."""
