"""Lending events decoded: real receipts and recorded logs exactly, every other shape as an independent library encodes it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from pipelines.contract.ddl import load_contract
from pipelines.core.errors import SourceFormatError
from pipelines.core.settings import Settings
from pipelines.sandbox.venues.evm import Log
from pipelines.sources.chain.evm import (
    aave,
    aave_v4,
    comet,
    compound,
    curve,
    euler,
    fluid,
    liquity,
    maker,
    morpho,
    silo,
)
from pipelines.sources.chain.evm.abi import EventSpec
from pipelines.sources.chain.evm.chains import CHAINS, Chain
from pipelines.sources.chain.evm.lending import parse_events
from pipelines.sources.chain.evm.liquity import BOLD, LUSD
from pipelines.sources.chain.evm.maker import DAI
from pipelines.sources.chain.evm.venue import FAMILIES, chain_venue
from pipelines.sources.tokens import NATIVE
from tests.sources.evm_events import (
    address,
    amounts,
    answer,
    emitters,
    encoded,
    event_hash,
    parsed,
    registries,
    rows,
    stream,
)

POOL_V3 = "0x87870bca3f3fd6335c3f4ce8392d69350b4fa4e2"
WETH = "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"
USDC = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
USDT = "0xdac17f958d2ee523a2206206994597c13d831ec7"
MORPHO = next(iter(emitters("morpho_blue")))
LIQUIDATION_CALL = "LiquidationCall(address,address,address,uint256,uint256,address,bool)"
LIQUIDATE_BORROW = "LiquidateBorrow(address,address,uint256,address,uint256)"
ABSORB_COLLATERAL = "AbsorbCollateral(address,address,address,uint256,uint256)"
ABSORB_DEBT = "AbsorbDebt(address,address,uint256,uint256)"
COMET_USDC = "0xc3d688b66703497daa19211eedff47f25384cdc3"


EVENTS = [
    event
    for module in (aave, aave_v4, comet, compound, curve, euler, fluid, liquity, maker, morpho, silo)
    for event in module.EVENTS
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_an_event_hash_is_that_of_its_signature(event: EventSpec) -> None:
    assert event_hash(event.signature) == event.topic0


def test_every_event_that_is_read_is_among_those_of_its_module() -> None:
    for family in FAMILIES.values():
        for protocol in family.protocols:
            bad_debt = protocol.bad_debt.events if protocol.bad_debt else ()
            assert {*protocol.events, *protocol.registry_events, *bad_debt} <= set(EVENTS), protocol.name


def test_every_contract_is_an_address_of_a_known_chain_and_of_one_protocol() -> None:
    chains = {chain.name for chain in CHAINS}
    for family in FAMILIES.values():
        for chain in CHAINS:
            listed = [a for protocol in family.on(chain) for a in protocol.tokens(chain.name)]
            assert len(listed) == len(set(listed)), (family, chain.name)
        for protocol in family.protocols:
            # Contracts of chains that are not read are on record too.
            assert set(protocol.since) & chains, protocol.name
            registries = [a for chain in protocol.since for a in protocol.registries(chain)]
            addresses = [a for chain in protocol.since for a in protocol.tokens(chain)]
            assert pl.Series([*addresses, *registries]).str.contains("^0x[0-9a-f]{40}$").all(), protocol.name


def test_a_protocol_with_contracts_on_a_chain_and_no_first_date_is_refused() -> None:
    [compound_v3] = FAMILIES["comet"].protocols
    with pytest.raises(ValueError, match="compound_v3"):
        replace(compound_v3, since={"ethereum": date(2022, 8, 1)})


RECEIPTS: dict[str, tuple[str, str, tuple[str, str, str, str]]] = {
    # The amounts are the payloads' own words, read as integers by hand.
    "aave_v1_liquidation": (
        "aave", "0x8ca7ed9b02ec1e8beee868a32495ed5b157eee08",
        ("0x514910771af9ca656af840dff83e8264ecf986ca", "38160293005291481434",
         "0x57ab1ec28d129707052df4df418d58a2d46d5f51", "274021843682369759590"),
    ),
    # Collateral and debt are the same token.
    "aave_v2_liquidation": (
        "aave", "0x1db64086b4cda94884e4fc296799a512dfc564ca",
        (WETH, "956418919660594328", WETH, "910875161581518408"),
    ),
    "aave_v3_liquidation": (
        "aave", "0x7420fa58ba44e1141d5e9adb6903be549f7ce0b5", (WETH, "18891825379519208", USDC, "30660134"),
    ),
    # 1,907.307144 USDT repaid for cBAT: the debt is what the emitting cToken lends, the collateral stays cTokens.
    "compound_v2_liquidate": (
        "compound_v2", "0x9bf62c518ffe86bd43d57c7026aa1a4fbea83b15",
        ("0x6c8c6b02e7b2be14d4fa6022dfd6d75921d90e4e", "25883142924011", USDT, "1907307144"),
    ),
    "compound_v2_liquidation_eth": (
        "compound_v2", "0xc440f3c87dc4b6843cabc413916220d4f4fed117",
        ("0x39aa39c021dfbae8fac545936693ac917d5e7563", "1306078395", NATIVE, "1688675718347350"),
    ),
    "compound_v2_liquidator_side": (
        "compound_v2", "0x9bf62c518ffe86bd43d57c7026aa1a4fbea83b15",
        ("0x6c8c6b02e7b2be14d4fa6022dfd6d75921d90e4e", "25883142924011", USDT, "1907307144"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RECEIPTS)
def test_a_receipt_of_the_chain_decodes_exactly(samples_dir: Path, name: str) -> None:
    feed, borrower, expected = RECEIPTS[name]
    logs = orjson.loads((samples_dir / "onchain" / "evm_logs" / f"{name}.json").read_bytes())["logs"]
    [log] = [{**log, "blockTimestamp": "0x62e61111"} for log in logs]
    one = parsed("evm_ethereum", feed, answer([log]))
    assert amounts(one.rows) == [expected]
    [row] = one.rows.to_dicts()
    assert row["event_id"] == f"{log['transactionHash']}:{int(log['logIndex'], 16)}"
    assert (row["borrower"], row["block_number"]) == (borrower, int(log["blockNumber"], 16))
    # 0x62e61111 is 1,659,244,817: 2022-07-31 05:20:17; Ethereum is final a quarter of an hour later.
    assert (row["occurred_at"], row["available_at"]) == (
        datetime(2022, 7, 31, 5, 20, 17),
        datetime(2022, 7, 31, 5, 35, 17),
    )


def test_all_recorded_aave_logs_decode_to_exactly_the_decoded_rows(recorded_dir: Path) -> None:
    folder = recorded_dir / "onchain" / "aave_ethereum"
    lines = [orjson.loads(line) for line in (folder / "aave_v2_v3_raw_logs.jsonl").read_bytes().splitlines()]
    for line in lines:
        moment = datetime.fromisoformat(line["_block_time"].removesuffix(" UTC"))
        line["blockTimestamp"] = hex(int((moment - datetime(1970, 1, 1)).total_seconds()))
    ours = parsed("evm_ethereum", "aave", answer(lines)).rows
    decoded = pl.concat(
        [pl.read_csv(folder / f"liq_aave_{v}.csv", infer_schema=False).with_columns(v=pl.lit(f"aave_{v}")) for v in ("v2", "v3")]
    ).select(
        protocol="v", event_id=pl.format("{}:{}", "evt_tx_hash", "evt_index"), market="contract_address",
        occurred_at=pl.col("evt_block_time").str.strip_suffix(" UTC").str.to_datetime(time_unit="us"),
        borrower="user", liquidator="liquidator", collateral_token="collateralAsset", debt_token="debtAsset",
        collateral_amount_raw="liquidatedCollateralAmount", debt_amount_raw="debtToCover",
    )  # fmt: skip
    assert decoded.height == 1144
    assert ours.select(decoded.columns).sort("event_id").equals(decoded.sort("event_id"))


def liquidation_call(debt: int, collateral: int, **place: Any) -> Log:
    return encoded(
        LIQUIDATION_CALL, POOL_V3, [("address", WETH), ("address", USDC), ("address", address(7))],
        [("uint256", debt), ("uint256", collateral), ("address", address(8)), ("bool", True)], **place,
    )  # fmt: skip


@pytest.mark.parametrize("amount", [0, 2**64 - 1, 2**64, 2**127, 2**255 + 1])
def test_amounts_keep_every_digit(amount: int) -> None:
    [row] = rows("evm_ethereum", "aave", liquidation_call(amount, amount))
    assert (row["debt_amount_raw"], row["collateral_amount_raw"]) == (str(amount), str(amount))


def test_several_liquidations_of_one_transaction_are_as_many_events() -> None:
    found = rows("evm_ethereum", "aave", *(liquidation_call(n, n, index=n) for n in (1, 2, 3)))
    assert len({row["tx_hash"] for row in found}) == 1
    assert [row["event_id"].rsplit(":", 1)[1] for row in found] == ["1", "2", "3"]


def test_compound_and_venus_share_a_hash_and_differ_in_what_is_indexed() -> None:
    emitter, collateral = list(emitters("venus", "bnb"))[:2]
    words = [
        ("address", address(1)),
        ("address", address(2)),
        ("uint256", 10**19),
        ("address", collateral),
        ("uint256", 55),
    ]
    core = encoded(LIQUIDATE_BORROW, emitter, [], words, index=1)
    isolated = encoded(
        LIQUIDATE_BORROW, emitter, [words[0], words[1], words[3]], [words[2], words[4]], index=2,
    )  # fmt: skip
    assert core.topics[0] == isolated.topics[0]
    first, second = rows("evm_bnb", "compound_v2", core, isolated)
    told = ("borrower", "liquidator", "collateral_token", "collateral_amount_raw", "debt_token", "debt_amount_raw")
    assert {name: first[name] for name in told} == {name: second[name] for name in told}
    assert first["borrower"] == address(2)
    assert first["debt_amount_raw"] == "10000000000000000000"
    assert first["debt_token"] == emitters("venus", "bnb")[emitter]


def absorb(index: int, asset: int, amount: int, usd: int, *, tx_hash: str = "0x" + "a" * 64, borrower: int = 5) -> Log:
    return encoded(
        ABSORB_COLLATERAL, COMET_USDC, [("address", address(4)), ("address", address(borrower)), ("address", address(asset))],
        [("uint256", amount), ("uint256", usd)], index=index, tx_hash=tx_hash,
    )  # fmt: skip


def absorb_debt(index: int, amount: int, usd: int, *, tx_hash: str = "0x" + "a" * 64, borrower: int = 5) -> Log:
    return encoded(
        ABSORB_DEBT, COMET_USDC, [("address", address(4)), ("address", address(borrower))],
        [("uint256", amount), ("uint256", usd)], index=index, tx_hash=tx_hash,
    )  # fmt: skip


def test_an_absorption_counts_each_collateral_once_and_shares_its_debt_by_value() -> None:
    # 2 ether at 1,500.5 dollars and 3 of another token at 40; 2,900.25 USDC of debt, of which 120/3121 belong to the latter.
    found = rows(
        "evm_ethereum", "comet",
        absorb(1, 100, 2 * 10**18, 300_100_000_000), absorb(2, 101, 3 * 10**18, 12_000_000_000),
        absorb_debt(3, 2_900_250_000, 290_025_000_000),
    )  # fmt: skip
    assert [(row["collateral_token"], row["collateral_usd"], row["debt_usd"]) for row in found] == [
        (address(100), 3001.0, pytest.approx(2788.73766421)),
        (address(101), 120.0, pytest.approx(111.51233579)),
    ]
    assert [(row["debt_token"], row["debt_amount_raw"]) for row in found] == [(USDC, "2788737664"), (USDC, "111512336")]
    assert {row["price_source"] for row in found} == {"event"}


def test_debts_of_two_accounts_in_one_transaction_stay_with_their_account() -> None:
    found = rows(
        "evm_ethereum", "comet",
        absorb(1, 100, 1, 100, borrower=5), absorb_debt(2, 11, 100, borrower=5),
        absorb(3, 100, 2, 100, borrower=6), absorb_debt(4, 22, 100, borrower=6),
    )  # fmt: skip
    assert [(row["borrower"], row["debt_amount_raw"]) for row in found] == [(address(5), "11"), (address(6), "22")]


def test_debt_absorbed_without_collateral_is_bad_debt_and_kept_apart() -> None:
    one = parsed(
        "evm_ethereum", "comet", stream(absorb(1, 100, 1, 100), absorb_debt(2, 5, 9), absorb_debt(3, 7, 9, borrower=9))
    )
    assert one.rows["debt_amount_raw"].to_list() == ["5"]
    assert one.rejects is not None
    assert one.rejects.is_empty()


def test_a_later_sale_of_absorbed_collateral_is_not_asked_for() -> None:
    sold = event_hash("BuyCollateral(address,address,uint256,uint256)")
    assert sold not in {event.topic0 for protocol in FAMILIES["comet"].protocols for event in protocol.events}


def create_market(market: bytes, loan: str, collateral: str) -> Log:
    return encoded(
        "CreateMarket(bytes32,(address,address,address,address,uint256))", MORPHO, [("bytes32", market)],
        [("(address,address,address,address,uint256)", (loan, collateral, address(1), address(2), 86 * 10**16))], block=10,
    )  # fmt: skip


def morpho_liquidate(market: bytes, **place: Any) -> Log:
    # repaid assets and shares, seized assets, bad debt in assets and shares
    numbers = (1_000_000_000, 10**15, 4 * 10**17, 5, 6)
    return encoded(
        "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)", MORPHO,
        [("bytes32", market), ("address", address(3)), ("address", address(4))], [("uint256", n) for n in numbers], **place,
    )  # fmt: skip


def test_a_morpho_market_stands_for_two_tokens_and_bad_debt_is_not_repaid() -> None:
    market = bytes(range(32))
    [row] = rows("evm_ethereum", "morpho", morpho_liquidate(market), create_market(market, USDC, WETH))
    assert (row["collateral_token"], row["collateral_amount_raw"]) == (WETH, "400000000000000000")
    assert (row["debt_token"], row["debt_amount_raw"]) == (USDC, "1000000000")
    assert (row["borrower"], row["liquidator"]) == (address(4), address(3))


def test_a_market_whose_creation_is_missing_turns_its_liquidations_away() -> None:
    one = parsed("evm_ethereum", "morpho", stream(morpho_liquidate(bytes(range(32)))))
    assert one.rows.is_empty()
    assert one.rejects is not None
    assert "the creation of market 0x0001" in one.rejects["detail"][0]


@pytest.mark.parametrize(
    ("ilk", "token", "event"),
    [
        (b"ETH-A", "eth", "Bark"),
        (b"WBTC-B", "wbtc", "Bite"),
        (b"P-A", "p", "Bite"),
        # No text: it stands for itself, and no other event is lost.
        (b"\xff\xfe", "0xfffe" + "0" * 60, "Bark"),
    ],
)
def test_a_maker_vault_is_scaled_by_maker_and_its_debt_is_dai(ilk: bytes, token: str, event: str) -> None:
    dog, _, cat = emitters("maker")
    # 12.5 of collateral with 18 decimals whatever the token has; 20,000.123456789012345678 Dai with 45.
    ink, due = 125 * 10**17, 20_000_123_456_789_012_345_678 * 10**27 + 999
    topics: list[tuple[str, Any]] = [("bytes32", ilk.ljust(32, b"\0")), ("address", address(6))]
    data: list[tuple[str, Any]] = [("uint256", ink), ("uint256", 1), ("uint256", due), ("address", address(9))]
    signature = f"{event}(bytes32,address,uint256,uint256,uint256,address,uint256)"
    if event == "Bark":
        log = encoded(signature, dog, [*topics, ("uint256", 77)], data)
    else:
        log = encoded(signature, cat, topics, [*data, ("uint256", 77)])
    [row] = rows("evm_ethereum", "maker", log)
    assert (row["collateral_token"], row["collateral_amount"], row["collateral_amount_raw"]) == (token, 12.5, None)
    assert (row["debt_token"], row["debt_amount_raw"]) == (DAI, "20000123456789012345678")
    assert row["borrower"] == address(6)


def test_the_sales_of_a_bark_are_not_asked_for() -> None:
    kick = event_hash("Kick(uint256,uint256,uint256,uint256,address,address,uint256)")
    take = event_hash("Take(uint256,uint256,uint256,uint256,uint256,uint256,address)")
    assert {kick, take}.isdisjoint(
        {event.topic0 for protocol in FAMILIES["maker"].protocols for event in protocol.events}
    )


def test_a_liquity_trove_is_ether_against_lusd() -> None:
    manager = next(iter(emitters("liquity_v1")))
    log = encoded(
        "TroveLiquidated(address,uint256,uint256,uint8)", manager, [("address", address(6))],
        [("uint256", 2_000 * 10**18), ("uint256", 15 * 10**17), ("uint8", 2)],
    )  # fmt: skip
    [row] = rows("evm_ethereum", "liquity", log)
    assert (row["collateral_token"], row["collateral_amount_raw"]) == (NATIVE, "1500000000000000000")
    assert (row["debt_token"], row["debt_amount_raw"], row["borrower"]) == (LUSD, "2000000000000000000000", address(6))


def test_a_liquity_v2_liquidation_is_what_left_the_troves_and_not_the_surplus() -> None:
    manager = "0x7bcb64b2c9206a5b699ed43363f6f98d4776cf5a"
    # debt: 900 to the pool, 100 redistributed. Collateral: 0.01 gas, 0.5 sent, 0.09 redistributed; 0.4 goes back. Price 2,500.
    numbers = (900 * 10**18, 100 * 10**18, 0, 10**16, 5 * 10**17, 9 * 10**16, 4 * 10**17, 1, 2, 2_500 * 10**18)
    signature = f"Liquidation({','.join(['uint256'] * 10)})"
    [row] = rows("evm_ethereum", "liquity", encoded(signature, manager, [], [("uint256", n) for n in numbers]))
    assert (row["collateral_token"], row["collateral_amount_raw"]) == (WETH, "600000000000000000")
    assert row["collateral_usd"] == pytest.approx(1_500.0)
    assert (row["debt_token"], row["debt_amount_raw"], row["borrower"]) == (BOLD, "1000000000000000000000", None)


FACTORY = registries("euler_v2")[0]


def vault_created(vault: str, asset: str, *, block: int = 10) -> Log:
    trailing = bytes.fromhex(asset[2:]) + bytes(range(1, 41))
    return encoded(
        "ProxyCreated(address,bool,address,bytes)", FACTORY, [("address", vault)],
        [("bool", True), ("address", address(3)), ("bytes", trailing)], block=block,
    )  # fmt: skip


def vault_liquidated(vault: str, **place: Any) -> Log:
    return encoded(
        "Liquidate(address,address,address,uint256,uint256)", vault, [("address", address(8)), ("address", address(9))],
        [("address", address(77)), ("uint256", 5_000_000), ("uint256", 3 * 10**18)], **place,
    )  # fmt: skip


def test_a_vault_of_euler_lends_what_its_creation_says_and_takes_shares() -> None:
    vault = address(0xE1)
    [row] = rows("evm_ethereum", "euler", vault_created(vault, USDC), vault_liquidated(vault))
    assert (row["debt_token"], row["debt_amount_raw"], row["market"]) == (USDC, "5000000", vault)
    assert (row["collateral_token"], row["collateral_amount_raw"]) == (address(77), "3000000000000000000")
    assert (row["borrower"], row["liquidator"]) == (address(9), address(8))


def test_a_vault_that_no_listed_factory_made_is_not_believed() -> None:
    one = parsed("evm_ethereum", "euler", stream(vault_created(address(0xE1), USDC), vault_liquidated(address(0xE2))))
    assert one.rows.is_empty()
    assert one.rejects is not None
    assert one.rejects["detail"].to_list() == ["the contract is not on the list"]


def test_what_an_unlisted_contract_emits_is_no_liquidation() -> None:
    fake = encoded(
        LIQUIDATION_CALL, address(0xBAD), [("address", WETH), ("address", USDC), ("address", address(7))],
        [("uint256", 1), ("uint256", 2), ("address", address(8)), ("bool", True)],
    )  # fmt: skip
    one = parsed("evm_ethereum", "aave", stream(fake, liquidation_call(1, 2, index=9)))
    assert one.rows["log_index"].to_list() == [9]
    assert one.rejects is not None
    assert one.rejects.select("reason", "instrument").rows() == [("undecodable", address(0xBAD))]


def test_an_event_of_another_shape_is_turned_away_whole() -> None:
    cut = liquidation_call(1, 2)
    cut = Log(cut.block, cut.index, cut.address, cut.topics, cut.data[:-64])
    one = parsed("evm_ethereum", "aave", stream(cut, Log(6000, 2, POOL_V3, cut.topics[:2], "0x")))
    assert one.rows.is_empty()
    assert one.rejects is not None
    assert sorted(one.rejects["detail"])[0].startswith("2 topics from 0xe413")
    assert cut.data in "".join(one.rejects["raw"])


def test_a_removed_log_is_none() -> None:
    log = {
        "address": POOL_V3, "topics": list(liquidation_call(1, 2).topics), "data": liquidation_call(1, 2).data,
        "blockNumber": "0x10", "transactionHash": "0x" + "1" * 64, "logIndex": "0x1", "blockTimestamp": "0x62e61111",
    }  # fmt: skip
    assert parsed("evm_ethereum", "aave", answer([log, {**log, "logIndex": "0x2", "removed": True}])).rows.height == 1


@pytest.mark.parametrize("missing", ["data", "logIndex", "transactionHash", "topics", "blockTimestamp"])
def test_a_log_without_a_field_is_an_error_that_names_it(missing: str) -> None:
    log = {
        "address": POOL_V3, "topics": list(liquidation_call(1, 2).topics), "data": liquidation_call(1, 2).data,
        "blockNumber": "0x10", "transactionHash": "0x" + "1" * 64, "logIndex": "0x1", "blockTimestamp": "0x62e61111",
    }  # fmt: skip
    del log[missing]
    with pytest.raises(SourceFormatError, match="time of block" if missing == "blockTimestamp" else missing):
        parsed("evm_ethereum", "aave", answer([log]))


def test_a_new_chain_and_a_deployment_on_it_are_declarations_only() -> None:
    chain = Chain("testnet", "testnet-mainnet", "test", confirmations=20, finality=timedelta(minutes=5))
    pool, spark = address(0xA), FAMILIES["aave"].protocols[-1]
    spark = replace(spark, since={"testnet": date(2023, 9, 1)}, contracts={"testnet": {pool: ""}})
    [one] = parse_events([stream(replace(liquidation_call(1, 2), address=pool))], chain, [spark])
    [row] = one.rows.to_dicts()
    assert (row["chain"], row["protocol"], row["market"], row["debt_amount_raw"]) == ("testnet", "spark", pool, "1")
    assert row["available_at"] - row["occurred_at"] == timedelta(minutes=5)
    assert [feed.name for feed in chain_venue(chain).feeds] == []


def test_rows_have_the_types_of_the_contract() -> None:
    types = load_contract(Settings.load().schema_dir).table("lending_liquidations").polars_schema()
    for feed in FAMILIES:
        one = parsed("evm_ethereum", feed, stream())
        assert {name: kind for name, kind in one.rows.schema.items() if name != "_line" and types[name] != kind} == {}


def test_a_hundred_thousand_events_decode_in_seconds() -> None:
    log = liquidation_call(10**18, 2**100)
    many = [Log(5000 + n // 40, n % 40, log.address, log.topics, log.data) for n in range(100_000)]
    page = stream(*many)
    started = time.process_time()
    assert parsed("evm_ethereum", "aave", page).rows.height == 100_000
    assert time.process_time() - started < 10


def test_the_seed_of_receipts_has_the_underlying_of_every_listed_ctoken() -> None:
    seeds = Path(__file__).resolve().parents[2] / "dbt_project" / "seeds"
    told = set(pl.read_csv(seeds / "receipt_tokens.csv").rows())
    protocols = FAMILIES["compound_v2"].protocols
    # The seed has newer markets besides, and addresses where the list has symbols.
    assert {row[:2] for row in told} >= {
        (chain, ctoken)
        for protocol in protocols
        for chain, listed in protocol.contracts.items()
        for ctoken, lent in listed.items()
        if lent
    }
    assert all(lent.startswith("0x") for *_, lent in told)
    incentives = set(pl.read_csv(seeds / "liquidation_incentives.csv")["protocol"])
    assert {protocol.name for protocol in protocols} <= incentives
