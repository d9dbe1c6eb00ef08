"""The contracts whose events are read, by protocol and chain: the seed chain_contracts, made from records by a script.

A contract has the token of its market where its events omit it, the day of its deployment, and the month of its listing if that
is later than the first list: what was fetched before then does not hold its events. A market opened later is listed by the
script, unless a registry announces it.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Final

from pipelines.sources.tokens import SEEDS

LIST: Final = SEEDS / "chain_contracts.csv"

Contracts = Mapping[str, Mapping[str, str]]
"""Chain → contract → its token, in lower case; "" if the events of the contract name their tokens."""

Registries = Mapping[str, tuple[str, ...]]
"""Chain → contracts trusted to announce further contracts, in lower case."""

Units = Mapping[str, str]
"""Contract → the canonical ticker that its events state values in, where that is not the dollar."""


@dataclass(frozen=True)
class Contract:
    """A deployed contract. `listed` is empty for those of the first list."""

    address: str
    token: str
    announces: bool
    since: date
    listed: str


@cache
def _by_protocol() -> Mapping[str, Mapping[str, tuple[Contract, ...]]]:
    found: dict[str, dict[str, list[Contract]]] = defaultdict(lambda: defaultdict(list))
    with LIST.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found[row["protocol"]][row["chain"]].append(
                Contract(
                    row["contract"],
                    row["token"],
                    row["role"] == "announces",
                    date.fromisoformat(row["since"]),
                    row["listed"],
                )
            )
    return {name: {chain: tuple(ones) for chain, ones in chains.items()} for name, chains in found.items()}


def contracts_of(protocol: str) -> Mapping[str, tuple[Contract, ...]]:
    """The contracts of a protocol by chain. Raises KeyError for one that the seed does not have."""
    return _by_protocol()[protocol]


# Comets whose events state values in something else than dollars, by the feeds of their configurations. cWstETHv3 counts
# wstETH: its collateral's feeds are in it, and its base feed is a constant.
COMPOUND_V3_UNITS: Final[Units] = {
    "0xa17581a9e3356d9a858b789d68b4d866e593ae94": "ETH",  # cWETHv3 on ethereum
    "0x3d0bb1ccab520a66e607822fc55bc921738fafe3": "WSTETH",  # cWstETHv3 on ethereum
    "0xe85dc543813b8c2cfeaac371517b925a166a9293": "BTC",  # cWBTCv3 on ethereum
    "0x6f7d514bbd4aff3bcd1140b7344b32f063dee486": "ETH",  # cWETHv3 on arbitrum
    "0x46e6b214b524310239732d51387075e0e70970bf": "ETH",  # cWETHv3 on base
    "0xe36a30d249f7761327fd973001a32010b521b6fd": "ETH",  # cWETHv3 on optimism
    "0x60f2058379716a64a7a5d29219397e79bc552194": "ETH",  # cWETHv3 on linea
    "0x4006ed4097ee51c09a04c3b0951d28ccf19e6dfe": "ETH",  # cWETHv3 on ronin
    "0x6c987dde50db1dcdd32cd4175778c2a291978e2a": "ETH",  # cWETHv3 on unichain
}

# GMX, by chain: v1's Vault, and v2's EventEmitter, which emits all events of a chain.
GMX_V1_VAULTS: Final = {
    "arbitrum": "0x489ee077994b6658eafa855c308275ead8097c4a",
    "avalanche": "0x9ab2de34a33fb459b538c43f251eb825645e8595",
}
GMX_V2_EVENT_EMITTERS: Final = {
    "arbitrum": "0xc8ee91a54287db53897056e12d9819156d3822fb",
    "avalanche": "0xdb17b211c34240b014ab6d61d4a31fa0c0e20c26",
}
