"""Liquidations of Fluid's vaults as an independent library encodes them, and over HTTP."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from pipelines.core.settings import Settings
from pipelines.operations.fetch import fetch
from pipelines.sandbox.venues.evm import ChainMarket, Log, ResponseBehavior, block_of
from pipelines.sources.tokens import NATIVE
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, quarantined
from tests.sources.evm_events import address, emitters, encoded, parsed, registries, rows, stream

[FACTORY], [LIQUIDITY] = registries("fluid"), emitters("fluid")
USDC = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
VAULT = address(0xF1)


def deployed(vault: str, *, block: int = 10, factory: str = FACTORY) -> Log:
    return encoded("VaultDeployed(address,uint256)", factory, [("address", vault), ("uint256", 11)], [], block=block)


def liquidated(vault: str, collateral: int, debt: int, **place: Any) -> Log:
    return encoded(
        "LogLiquidate(address,uint256,uint256,address)", vault, [],
        [("address", address(8)), ("uint256", collateral), ("uint256", debt), ("address", address(9))], **place,
    )  # fmt: skip


def operated(
    vault: str, token: str, *, supply: int = 0, borrow: int = 0, liquidity: str = LIQUIDITY, **place: Any
) -> Log:
    return encoded(
        "LogOperate(address,address,int256,int256,address,address,uint256,uint256)", liquidity,
        [("address", vault), ("address", token)],
        [
            ("int256", supply), ("int256", borrow), ("address", address(9)), ("address", address(0)),
            ("uint256", 2**200), ("uint256", 2**250),
        ], **place,
    )  # fmt: skip


def test_a_liquidation_is_in_the_tokens_the_vault_moved_in_its_transaction() -> None:
    collateral, debt = 3 * 10**20, 7_500_000_000
    found = rows(
        "evm_ethereum", "fluid", deployed(VAULT),
        # Somebody borrows in the vault in the same block and another transaction, by chance the same amount.
        operated(VAULT, address(0x77), borrow=-debt, block=5000, index=1, tx_hash="0x" + "b" * 64),
        operated(VAULT, USDC, borrow=-debt, block=5000, index=2), operated(VAULT, NATIVE, supply=-collateral, block=5000, index=3),
        liquidated(VAULT, collateral, debt, block=5000, index=4),
    )  # fmt: skip
    [row] = found
    assert (row["collateral_token"], row["collateral_amount_raw"]) == (NATIVE, "300000000000000000000")
    assert (row["debt_token"], row["debt_amount_raw"]) == (USDC, "7500000000")
    assert (row["borrower"], row["liquidator"], row["market"]) == (None, address(8), VAULT)
    assert row["protocol"] == "fluid"


def test_two_liquidations_of_one_transaction_find_their_own_tokens() -> None:
    other = address(0xF2)
    found = rows(
        "evm_ethereum", "fluid", deployed(VAULT), deployed(other, block=11),
        operated(VAULT, USDC, borrow=-5, index=1), operated(VAULT, NATIVE, supply=-6, index=2), liquidated(VAULT, 6, 5, index=3),
        operated(other, NATIVE, borrow=-5, index=4), operated(other, USDC, supply=-6, index=5), liquidated(other, 6, 5, index=6),
        operated(VAULT, USDC, borrow=-5, index=7), operated(VAULT, NATIVE, supply=-6, index=8), liquidated(VAULT, 6, 5, index=9),
    )  # fmt: skip
    assert [(row["log_index"], row["collateral_token"], row["debt_token"]) for row in found] == [
        (3, NATIVE, USDC), (6, USDC, NATIVE), (9, NATIVE, USDC),
    ]  # fmt: skip


def test_shares_of_a_pool_have_the_vault_as_their_token() -> None:
    # The debt is a token of the liquidity, the collateral a share of a pool, which moves two tokens of its own.
    pool = address(0xD0)
    [row] = rows(
        "evm_ethereum", "fluid", deployed(VAULT), operated(VAULT, USDC, borrow=-900, index=1),
        operated(pool, NATIVE, supply=-44, index=2), operated(pool, USDC, supply=-55, index=3),
        liquidated(VAULT, 10**18, 900, index=4),
    )  # fmt: skip
    assert (row["collateral_token"], row["debt_token"]) == (VAULT, USDC)


def test_what_is_supplied_or_borrowed_is_not_what_a_liquidation_takes() -> None:
    [row] = rows(
        "evm_ethereum", "fluid", deployed(VAULT), operated(VAULT, USDC, supply=6, borrow=5, index=1),
        liquidated(VAULT, 6, 5, index=4),
    )  # fmt: skip
    assert (row["collateral_token"], row["debt_token"]) == (VAULT, VAULT)


def test_a_vault_and_a_liquidity_that_nobody_announced_are_not_believed() -> None:
    fake = address(0xBAD)
    one = parsed(
        "evm_ethereum", "fluid",
        stream(
            deployed(VAULT), deployed(fake, factory=address(0xFAC)), liquidated(fake, 6, 5, index=2),
            operated(VAULT, fake, borrow=-5, liquidity=address(0xBAD1), index=3), liquidated(VAULT, 6, 5, index=4),
        ),
    )  # fmt: skip
    assert one.rows.select("market", "debt_token").rows() == [(VAULT, VAULT)]
    assert one.rejects is not None
    assert one.rejects["detail"].to_list() == ["the contract is not on the list"] * 3


@pytest.mark.parametrize("nodes", [[], ["rpc"]], ids=["portal", "node"])
def test_vaults_and_tokens_are_found_over_http(
    settings: Settings, serve: Serve, clock: Clock, nodes: list[str]
) -> None:
    day, first = date(2024, 3, 8), block_of(datetime(2024, 3, 8))
    quiet = address(0xF2)
    logs = [
        deployed(VAULT, block=block_of(datetime(2024, 2, 20))), deployed(quiet, block=block_of(datetime(2024, 3, 1))),
        operated(VAULT, USDC, borrow=-5, block=first - 1),
        operated(VAULT, USDC, borrow=-5, block=first + 3, index=1), operated(VAULT, NATIVE, supply=-6, block=first + 3, index=2),
        liquidated(VAULT, 6, 5, block=first + 3, index=3), operated(quiet, USDC, borrow=-5, block=first + 4),
        liquidated(address(0xBAD), 6, 5, block=first + 5),
    ]  # fmt: skip
    market = ChainMarket(logs=logs, stream_blocks=500_000, nodes={"rpc": ResponseBehavior(most_blocks=1_000_000)})
    with serve("evm_ethereum", settings=settings, market=market) as (_, there):
        wanted = {f"evm_ethereum.{name}" for name in nodes or ("portal",)}
        there = there.model_copy(update={"endpoints": {k: v for k, v in there.endpoints.items() if k in wanted}})
        [report] = fetch(
            there, "evm_ethereum", ["fluid"], first=day, last=day, assets=["ETH"], retry=FAST_RETRY, clock=clock
        )
    assert dict(report.failures) == {}
    found = loaded(there, "lending_liquidations", clock=clock)
    assert found.select("protocol", "market", "collateral_token", "debt_token").rows() == [
        ("fluid", VAULT, NATIVE, USDC)
    ]
    assert quarantined(there).is_empty()
