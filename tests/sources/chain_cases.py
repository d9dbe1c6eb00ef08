"""Answers of every kind of chain feed for the fuzzer: logs by protocol from the portal and from a node, instructions of Solana,
fills of Hyperliquid, prices of tokens. Each is fetched from its emulator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from pipelines.extract.venue import WHOLE_VENUE, Job, Page, Span
from pipelines.sandbox.emulator import Route
from pipelines.sandbox.market_model import AnalyticMarket, MarketModel
from pipelines.sandbox.venues import defillama, evm, hyperliquid_fills, kamino
from pipelines.sandbox.venues.evm import ChainMarket, Log, ResponseBehavior, block_of
from pipelines.sandbox.venues.kamino import Liquidated, SolanaMarket
from pipelines.sources import registry
from pipelines.sources.chain.evm.gmx_markets import INDEX_TOKENS
from tests.sources import test_evm_fluid as fluid
from tests.sources import test_evm_gmx as gmx
from tests.sources.evm_events import address, emitters, encoded
from tests.sources.in_process import InProcessApi, fetch_pages
from tests.sources.test_evm_bad_debt import deficit
from tests.sources.test_evm_events import (
    LIQUIDATE_BORROW,
    USDC,
    WETH,
    absorb,
    absorb_debt,
    create_market,
    liquidation_call,
    morpho_liquidate,
    vault_created,
    vault_liquidated,
)

DAY: Final = Span.of_days(date(2025, 11, 1), date(2025, 11, 1))
NOON: Final = block_of(datetime(2025, 11, 1, 12))
AFTER: Final = datetime(2025, 11, 4, 6)
MOST_BLOCKS: Final = 10_000_000
"""Of a stream: announcements of years are few answers."""


@dataclass(frozen=True)
class ChainCase:
    """A feed, and the answers of `routes` about `subject` in DAY, asked for `now`."""

    venue: str
    feed: str
    routes: Sequence[Route]
    market: MarketModel
    subject: str = WHOLE_VENUE
    now: datetime = AFTER

    def api(self) -> InProcessApi:
        return InProcessApi(self.routes, self.market, self.now)

    def pages(self) -> list[Page]:
        feed = registry.venue(self.venue).feed(self.feed)
        return fetch_pages(feed, self.api(), Job(self.subject, DAY))


def place(number: int) -> dict[str, Any]:
    return {"block": NOON + number, "index": number, "tx_hash": f"0x{number:064x}"}


def absorbed(number: int) -> list[Log]:
    """An absorption by a comet: two collaterals and the debt, in one transaction."""
    one = f"0x{number:064x}"
    logs = [
        absorb(1, 100, 2 * 10**18, 300_100_000_000, tx_hash=one),
        absorb(2, 101, 3 * 10**18, 12_000_000_000, tx_hash=one),
        absorb_debt(3, 2_900_250_000, 290_025_000_000, tx_hash=one),
    ]
    return [replace(log, block=NOON + number) for log in logs]


def borrow_liquidated(number: int) -> Log:
    emitter, collateral = list(emitters("venus", "bnb"))[:2]
    words: list[tuple[str, Any]] = [
        ("address", address(1)), ("address", address(2)), ("uint256", 10**19), ("address", collateral), ("uint256", 55),
    ]  # fmt: skip
    return encoded(LIQUIDATE_BORROW, emitter, [], words, **place(number))


def barked(number: int) -> Log:
    dog = next(iter(emitters("maker")))
    return encoded(
        "Bark(bytes32,address,uint256,uint256,uint256,address,uint256)", dog,
        [("bytes32", b"ETH-A".ljust(32, b"\0")), ("address", address(6)), ("uint256", 77)],
        [("uint256", 125 * 10**17), ("uint256", 1), ("uint256", 20_000 * 10**45), ("address", address(9))], **place(number),
    )  # fmt: skip


def trove_liquidated(number: int) -> Log:
    return encoded(
        "TroveLiquidated(address,uint256,uint256,uint8)", next(iter(emitters("liquity_v1"))), [("address", address(6))],
        [("uint256", 2_000 * 10**18), ("uint256", 15 * 10**17), ("uint8", 2)], **place(number),
    )  # fmt: skip


def fluid_logs(number: int) -> list[Log]:
    collateral, debt, vault = 3 * 10**20, 7_500_000_000, fluid.VAULT
    moved: dict[str, Any] = {"block": NOON + number, "tx_hash": f"0x{number:064x}"}
    return [
        fluid.operated(vault, fluid.USDC, borrow=-debt, index=2, **moved),
        fluid.operated(vault, WETH, supply=-collateral, index=3, **moved),
        fluid.liquidated(vault, collateral, debt, index=4, **moved),
    ]


ETHER: Final = next(iter(INDEX_TOKENS["arbitrum"]))
MARKET_ID: Final = bytes(range(32))
EULER_VAULT: Final = address(0xE1)

LOGS: Final[Mapping[tuple[str, str], Sequence[Log]]] = {
    ("evm_ethereum", "aave"): [liquidation_call(1, 2, **place(1)), liquidation_call(3, 4, **place(2)), deficit(5, **place(3))],
    ("evm_bnb", "compound_v2"): [borrow_liquidated(1), borrow_liquidated(2)],
    ("evm_ethereum", "comet"): [*absorbed(1), *absorbed(2)],
    ("evm_ethereum", "morpho"): [
        replace(create_market(MARKET_ID, USDC, WETH), block=NOON - 9),
        *(morpho_liquidate(MARKET_ID, **place(number)) for number in (1, 2)),
    ],
    ("evm_ethereum", "maker"): [barked(1), barked(2)],
    ("evm_ethereum", "liquity"): [trove_liquidated(1), trove_liquidated(2)],
    ("evm_ethereum", "euler"): [
        vault_created(EULER_VAULT, USDC, block=NOON - 9),
        *(vault_liquidated(EULER_VAULT, **place(number)) for number in (1, 2)),
    ],
    ("evm_ethereum", "fluid"): [fluid.deployed(fluid.VAULT, block=NOON - 9), *fluid_logs(1), *fluid_logs(2)],
    ("evm_arbitrum", "gmx_v1"): [gmx.liquidate_position(ETHER, **place(number)) for number in (1, 2)],
    ("evm_arbitrum", "gmx_v2"): [
        gmx.decrease(**place(1)), gmx.executed(**place(1) | {"index": 9}), gmx.decrease(order=b"\5" * 32, **place(2)),
    ],
}  # fmt: skip
"""Logs by venue and feed: registries' announcements, and two events of each kind in the day."""

WETH_ON_ETHEREUM: Final = f"ethereum:{WETH}"


def of(routes: Sequence[Route], *endpoints: str) -> list[Route]:
    """The routes of some endpoints: a fetch takes nodes where it knows any."""
    return [route for route in routes if route.endpoint in endpoints]


CHAIN_CASES: Final[Mapping[str, ChainCase]] = {
    **{
        f"{venue}.{feed}": ChainCase(
            venue, feed, of(evm.ROUTES, "portal"), ChainMarket(logs=list(logs), stream_blocks=MOST_BLOCKS)
        )
        for (venue, feed), logs in LOGS.items()
    },
    "evm_ethereum.aave from a node": ChainCase(
        "evm_ethereum", "aave", of(evm.ROUTES, "rpc"),
        ChainMarket(logs=list(LOGS["evm_ethereum", "aave"]), nodes={"rpc": ResponseBehavior(stamps="missing")}),
    ),
    "kamino.liquidations": ChainCase(
        "kamino", "liquidations", kamino.ROUTES,
        SolanaMarket(solana=[Liquidated(NOON, 1), Liquidated(NOON + 1, 2), Liquidated(NOON + 2, 3, checked=False)]),
    ),
    "hyperliquid_fills.liquidations": ChainCase(
        "hyperliquid_fills", "liquidations", of(hyperliquid_fills.ROUTES, "portal"), AnalyticMarket(),
    ),
    "hyperliquid_fills.liquidations from a node": ChainCase(
        "hyperliquid_fills", "liquidations", of(hyperliquid_fills.ROUTES, "node"), AnalyticMarket(),
    ),
    "defillama.prices": ChainCase(
        "defillama", "prices", defillama.ROUTES, AnalyticMarket(), subject=WETH_ON_ETHEREUM,
    ),
}  # fmt: skip
"""By name of the source, and where its answers come from if there are several."""
