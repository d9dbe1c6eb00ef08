"""Aave v4, crvUSD, LlamaLend, Silo v2, Moolah: golden rows of events encoded by an independent library; lists of contracts."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest

from pipelines.extract.venue import Span
from pipelines.sandbox.venues.evm import Log
from pipelines.sources import registry
from pipelines.sources.chain.evm.venue import FAMILIES
from scripts import chain_contracts
from tests.sources.evm_events import address, emitters, encoded, event_hash, parsed, registries, rows, stream

PREMIUM = "(int256,int256,uint256)"
WETH, USDC = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2", "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
CRVUSD = "0xf939e0a03fb07f59a73314e73794be0e57ac1b4e"


def test_a_liquidation_of_aave_v4_is_in_the_tokens_of_its_reserves() -> None:
    hub, spoke = registries("aave_v4")[0], next(iter(emitters("aave_v4")))
    added = [
        encoded(
            "AddAsset(uint256,address,uint8)",
            hub,
            [("uint256", number), ("address", token)],
            [("uint8", 18)],
            block=10 + number,
        )
        for number, token in ((3, WETH), (5, USDC))
    ]
    reserves = [
        encoded(
            "AddReserve(uint256,uint256,address)", spoke,
            [("uint256", reserve), ("uint256", asset), ("address", hub)], [], block=20 + reserve,
        )
        for reserve, asset in ((0, 5), (1, 3))
    ]  # fmt: skip
    call = encoded(
        f"LiquidationCall(uint256,uint256,address,address,bool,uint256,uint256,{PREMIUM},uint256,uint256,uint256)", spoke,
        [("uint256", 1), ("uint256", 0), ("address", address(7))],
        [("address", address(8)), ("bool", False), ("uint256", 2_000_000_000), ("uint256", 1), (PREMIUM, (-3, -4, 5)),
         ("uint256", 10**18), ("uint256", 11), ("uint256", 12)],
    )  # fmt: skip
    [row] = rows("evm_ethereum", "aave_v4", *added, *reserves, call)
    assert (row["borrower"], row["liquidator"], row["market"]) == (address(7), address(8), spoke)
    assert (row["collateral_token"], row["collateral_amount_raw"]) == (WETH, str(10**18))
    assert (row["debt_token"], row["debt_amount_raw"]) == (USDC, "2000000000")
    deficit = encoded(
        f"ReportDeficit(uint256,address,uint256,{PREMIUM},uint256)", hub, [("uint256", 5), ("address", spoke)],
        [("uint256", 1), (PREMIUM, (-3, -4, 5)), ("uint256", 1_500_000 * 10**27 + 999)],
    )  # fmt: skip
    [bad] = rows("evm_ethereum", "aave_v4", *added, *reserves, deficit, table="lending_bad_debt")
    assert (bad["event"], bad["debt_token"], bad["debt_amount_raw"]) == ("ReportDeficit", USDC, "1500000")
    # A reserve that nobody added costs its row and no other.
    one = parsed("evm_ethereum", "aave_v4", stream(call))
    assert one.rows.is_empty()
    assert one.rejects is not None
    assert one.rejects["detail"].to_list() == ["a reserve of the spoke is not in the landing"]


def test_a_hard_liquidation_of_crvusd_and_llamalend_has_the_tokens_of_its_market_and_owners_are_left_out() -> None:
    controller, other = address(0xC0), address(0xC1)
    factory, lending = registries("crvusd")[0], registries("llamalend")[0]
    market = encoded(
        "AddMarket(address,address,address,address,uint256)", factory, [("address", WETH)],
        [("address", controller), ("address", address(1)), ("address", address(2)), ("uint256", 4)], block=10,
    )  # fmt: skip
    vault = encoded(
        "NewVault(uint256,address,address,address,address,address,address,address)", lending,
        [("uint256", 1), ("address", CRVUSD), ("address", USDC)],
        [("address", address(9)), ("address", other), *(("address", address(number)) for number in (1, 2, 3))], block=11,
    )  # fmt: skip

    def liquidate(emitter: str, liquidator: int, index: int) -> Log:
        return encoded(
            "Liquidate(address,address,uint256,uint256,uint256)", emitter,
            [("address", address(liquidator)), ("address", address(5))],
            [("uint256", 10**18), ("uint256", 40), ("uint256", 2_500)], index=index,
        )  # fmt: skip

    found = rows(
        "evm_ethereum",
        "curve",
        market,
        vault,
        liquidate(controller, 8, 1),
        liquidate(other, 8, 2),
        liquidate(other, 5, 3),
    )
    assert [
        (
            row["protocol"],
            row["collateral_token"],
            row["collateral_amount_raw"],
            row["debt_token"],
            row["debt_amount_raw"],
        )
        for row in found
    ] == [("crvusd", WETH, str(10**18), CRVUSD, "2500"), ("llamalend", CRVUSD, str(10**18), USDC, "2500")]


def test_a_liquidation_of_silo_takes_the_other_token_of_the_pair() -> None:
    [factory], hook, silos = registries("silo_v2"), address(0x40), (address(0x50), address(0x51))
    made = encoded(
        "NewSilo(address,address,address,address,address,address)", factory,
        [("address", address(1)), ("address", WETH), ("address", USDC)],
        [("address", silos[0]), ("address", silos[1]), ("address", address(2))], block=10,
    )  # fmt: skip
    hooked = encoded("NewSiloHook(address,address)", factory, [("address", silos[0]), ("address", hook)], [], block=11)
    call = encoded(
        "LiquidationCall(address,address,address,uint256,uint256,bool)", hook,
        [("address", address(8)), ("address", silos[1]), ("address", address(7))],
        [("uint256", 3_000_000), ("uint256", 10**15), ("bool", True)],
    )  # fmt: skip
    [row] = rows("evm_ethereum", "silo", made, hooked, call)
    assert (row["collateral_token"], row["collateral_amount_raw"]) == (WETH, str(10**15))
    assert (row["debt_token"], row["debt_amount_raw"]) == (USDC, "3000000")
    assert (row["borrower"], row["liquidator"]) == (address(7), address(8))


def test_moolah_is_read_as_the_code_it_is_built_on() -> None:
    [singleton] = emitters("moolah", "bnb")
    market = bytes(range(32))
    created = encoded(
        "CreateMarket(bytes32,(address,address,address,address,uint256))", singleton, [("bytes32", market)],
        [("(address,address,address,address,uint256)", (USDC, WETH, address(1), address(2), 7))], block=10,
    )  # fmt: skip
    call = encoded(
        "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)", singleton,
        [("bytes32", market), ("address", address(8)), ("address", address(7))],
        [("uint256", number) for number in (100, 1, 200, 5, 1)],
    )  # fmt: skip
    [row] = rows("evm_bnb", "morpho", created, call)
    assert (row["protocol"], row["collateral_token"], row["debt_token"]) == ("moolah", WETH, USDC)


def test_both_deployments_and_all_branches_of_liquity_v2_are_listened_to() -> None:
    assert len(emitters("liquity_v2")) == 6
    signature = f"Liquidation({','.join(['uint256'] * 10)})"
    words = [("uint256", number) for number in (10**18, 0, 0, 0, 10**18, 0, 0, 0, 0, 2_000 * 10**18)]
    first = "0xde026433882a9dded65cac4fff8402fafff40fca"
    [row] = rows("evm_ethereum", "liquity", encoded(signature, first, [], words))
    assert row["collateral_token"] == "0xae78736cd615f374d3085123a210448e74fc6393"
    assert row["debt_token"] == "0xb01dd87b29d187f3e3a4bf6cdaebfb97f3d9ab98"
    # Amounts beyond any token cost their row.
    wild = encoded(signature, first, [], [("uint256", 2**200), *words[1:]], index=2)
    one = parsed("evm_ethereum", "liquity", stream(encoded(signature, first, [], words), wild))
    assert one.rows.height == 1
    assert one.rejects is not None
    assert one.rejects["detail"].to_list() == ["an amount that no token has"]


def test_every_signature_of_the_sheet_has_its_hash_and_every_event_read_is_one_of_them(reference_dir: Path) -> None:
    with (reference_dir / "event_signatures.csv").open(encoding="utf-8", newline="") as file:
        sheet = list(csv.DictReader(file))
    for row in sheet:
        if row["topic0"] and row["signature"].endswith(")"):
            assert event_hash(row["signature"]) == row["topic0"], row["event"]
    wrong = {row["topic0"] for row in sheet if row["use"] == "do_not_use"}
    right = {row["topic0"] for row in sheet} - wrong
    read = {
        event.topic0: event
        for family in FAMILIES.values()
        for protocol in family.protocols
        for event in (*protocol.events, *protocol.bad_debt_events, *protocol.registry_events)
    }
    assert {topic0: event.signature for topic0, event in read.items() if topic0 not in right} == {}
    assert all(event_hash(event.signature) == topic0 for topic0, event in read.items())


def test_the_lists_are_those_of_the_fact_sheets(reference_dir: Path) -> None:
    held = chain_contracts.read(chain_contracts.TARGET)
    made = chain_contracts.rows_of(chain_contracts.read(reference_dir / "emitters.csv"), held, "")
    assert chain_contracts.rendered(made) == chain_contracts.TARGET.read_text(encoding="utf-8")
    names = chain_contracts.read(chain_contracts.MARKETS)
    markets = chain_contracts.markets_of(chain_contracts.read(reference_dir / "gmx_markets.csv"), names)
    assert chain_contracts.rendered(markets) == chain_contracts.MARKETS.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("asked", "covered_on"),
    [({"*"}, [date(2024, 5, 1)]), ({"*", "2026-11"}, [date(2024, 5, 1), date(2025, 2, 1), date(2025, 6, 1)])],
    ids=["fetched before the branches were listed", "and after"],
)
def test_a_day_is_covered_only_where_every_contract_of_its_time_was_asked_for(
    asked: set[str], covered_on: list[date]
) -> None:
    feed = registry.venue("evm_ethereum").feed("liquity")
    assert feed.rules_of_subjects is not None
    assert feed.subjects is not None
    days = (date(2024, 5, 1), date(2025, 2, 1), date(2025, 6, 1))
    rules = feed.rules_of_subjects([(Span.of_days(day, day), frozenset(asked)) for day in days])
    v1 = [span.first_day for span in rules.spans if span.venue == "liquity_v1"]
    v2 = [span.first_day for span in rules.spans if span.venue == "liquity_v2"]
    assert v1 == [*days]
    assert v2 == [day for day in covered_on if day >= date(2025, 1, 23)]
    # Nothing is claimed of the time before the contract.
    before = feed.rules_of_subjects([(Span.of_days(date(2025, 1, 1), date(2025, 1, 22)), frozenset(asked))])
    assert {span.venue for span in before.spans} == {"liquity_v1"}
