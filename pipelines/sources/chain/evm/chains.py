"""The EVM chains that are read, one entry each. Which protocols run on a chain is declared by protocol (aave.py, …)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True)
class Chain:
    """One chain; its venue is evm_<name>."""

    name: str
    portal_dataset: str
    """Its dataset on SQD's portal."""
    defillama: str
    """Its name at DefiLlama, which prices its tokens."""
    confirmations: int
    """Blocks nearer than this to a node's head are not read."""
    finality: timedelta
    """Time from a block until its events count as final. Sets `available_at`."""

    @property
    def venue(self) -> str:
        return f"evm_{self.name}"


CHAINS: Final = (
    # Two epochs.
    Chain("ethereum", "ethereum-mainnet", "ethereum", confirmations=64, finality=timedelta(minutes=15)),
    # A rollup is as final as its batch on Ethereum. ?
    Chain("arbitrum", "arbitrum-one", "arbitrum", confirmations=7_200, finality=timedelta(minutes=30)),
    Chain("optimism", "optimism-mainnet", "optimism", confirmations=900, finality=timedelta(minutes=30)),
    Chain("base", "base-mainnet", "base", confirmations=900, finality=timedelta(minutes=30)),
    Chain("polygon", "polygon-mainnet", "polygon", confirmations=256, finality=timedelta(minutes=10)),
    Chain("avalanche", "avalanche-mainnet", "avax", confirmations=20, finality=timedelta(minutes=1)),
    Chain("bnb", "binance-mainnet", "bsc", confirmations=50, finality=timedelta(minutes=1)),
    Chain("gnosis", "gnosis-mainnet", "xdai", confirmations=64, finality=timedelta(minutes=10)),
    Chain("linea", "linea-mainnet", "linea", confirmations=1_800, finality=timedelta(minutes=60)),
    Chain("scroll", "scroll-mainnet", "scroll", confirmations=1_200, finality=timedelta(minutes=60)),
    Chain("zksync", "zksync-mainnet", "era", confirmations=3_600, finality=timedelta(minutes=60)),
    Chain("sonic", "sonic-mainnet", "sonic", confirmations=20, finality=timedelta(minutes=1)),
    Chain("plasma", "plasma-mainnet", "plasma", confirmations=60, finality=timedelta(minutes=1)),
    Chain("mantle", "mantle-mainnet", "mantle", confirmations=900, finality=timedelta(minutes=30)),
    Chain("metis", "metis-mainnet", "metis", confirmations=450, finality=timedelta(minutes=30)),
    Chain("celo", "celo-mainnet", "celo", confirmations=1_800, finality=timedelta(minutes=30)),
    Chain("soneium", "soneium-mainnet", "soneium", confirmations=900, finality=timedelta(minutes=30)),
    Chain("unichain", "unichain-mainnet", "unichain", confirmations=1_800, finality=timedelta(minutes=30)),
    Chain("ink", "ink-mainnet", "ink", confirmations=1_800, finality=timedelta(minutes=30)),
    # Names of these on the portal are by analogy. ?
    Chain("katana", "katana-mainnet", "katana", confirmations=1_800, finality=timedelta(minutes=30)),
    Chain("hyperevm", "hyperliquid-mainnet", "hyperliquid", confirmations=60, finality=timedelta(minutes=1)),
    Chain("worldchain", "worldchain-mainnet", "wc", confirmations=900, finality=timedelta(minutes=30)),
    Chain("monad", "monad-mainnet", "monad", confirmations=30, finality=timedelta(minutes=1)),
    Chain("fraxtal", "fraxtal-mainnet", "fraxtal", confirmations=900, finality=timedelta(minutes=30)),
    Chain("moonbeam", "moonbeam-mainnet", "moonbeam", confirmations=30, finality=timedelta(minutes=2)),
    Chain("moonriver", "moonriver-mainnet", "moonriver", confirmations=30, finality=timedelta(minutes=2)),
    Chain("opbnb", "opbnb-mainnet", "op_bnb", confirmations=900, finality=timedelta(minutes=30)),
)
