"""Markets that comptrollers announce, and tokens that say what they are: read from logs and from nodes over loopback HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
from eth_abi.abi import encode

from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.operations.fetch import fetch
from pipelines.sandbox.venues.evm import ChainMarket, Log, ResponseBehavior, block_of
from pipelines.sources.chain.evm.tokens import DECIMALS, SYMBOL, UNDERLYING, address_of, decimals_of, text_of
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, quarantined
from tests.sources.evm_events import address, emitters, encoded, parsed, registries, rows, stream
from tests.sources.test_evm import FIRST, VENUE, bring
from tests.sources.test_evm_events import LIQUIDATE_BORROW, POOL_V3, USDC, WETH, liquidation_call

REGISTRY = "0x9f7b01a536afa00ef10310a162877fd792cd0666"
VTOKEN, OTHER = address(0x5A), address(0x5B)
UNKNOWN = address(0xFEED)


def market_added(market: str, *, indexed: bool, block: int = 10, by: str = REGISTRY) -> Log:
    word = [("address", market)]
    comptroller = ("address", address(1))
    topics = [comptroller, *word] if indexed else [comptroller]
    return encoded("MarketAdded(address,address)", by, topics, [] if indexed else word, block=block)


def isolated(emitter: str, debt: int, **place: Any) -> Log:
    return encoded(
        LIQUIDATE_BORROW, emitter, [("address", address(1)), ("address", address(2)), ("address", OTHER)],
        [("uint256", debt), ("uint256", 55)], **place,
    )  # fmt: skip


@pytest.mark.parametrize("indexed", [True, False])
def test_a_market_of_an_isolated_pool_is_believed_because_the_registry_announced_it(indexed: bool) -> None:
    [row] = rows("evm_bnb", "compound_v2", market_added(VTOKEN, indexed=indexed), isolated(VTOKEN, 7, index=2))
    assert (row["protocol"], row["market"], row["debt_amount_raw"]) == ("venus_isolated", VTOKEN, "7")
    # What it lends no log tells: it is not guessed, and the amount is kept.
    assert row["debt_token"] is None


@pytest.mark.parametrize("comptroller", ["MarketListed", "MarketSupported"])
def test_a_comptroller_s_own_announcement_counts_and_a_stranger_s_does_not(comptroller: str) -> None:
    protocol = {"MarketListed": "moonwell", "MarketSupported": "venus_isolated"}[comptroller]
    trusted = registries(protocol, "base")[0]

    def listed(market: str, by: str) -> Log:
        return encoded(f"{comptroller}(address)", by, [], [("address", market)], block=10)

    logs = (
        listed(VTOKEN, trusted),
        listed(OTHER, address(0xBAD)),
        isolated(VTOKEN, 7, index=2),
        isolated(OTHER, 8, index=3),
    )
    one = parsed("evm_base", "compound_v2", stream(*logs))
    assert one.rows.select("protocol", "debt_amount_raw").rows() == [(protocol, "7")]
    assert one.rejects is not None
    # The stranger's announcement, and the liquidation in the market that only it announced.
    assert one.rejects["detail"].to_list() == ["the contract is not on the list"] * 2


def test_a_market_that_is_listed_and_announced_keeps_what_the_list_says_it_lends() -> None:
    ctoken, lent = next(iter(emitters("moonwell", "base").items()))
    [trusted] = registries("moonwell", "base")
    again = encoded("MarketListed(address)", trusted, [], [("address", ctoken)], block=10)
    borrow = [("address", address(1)), ("address", address(2)), ("uint256", 9), ("address", OTHER), ("uint256", 1)]
    [row] = rows("evm_base", "compound_v2", again, encoded(LIQUIDATE_BORROW, ctoken, [], borrow, index=2))
    assert row["debt_token"] == lent


def test_bad_debt_of_an_isolated_pool_is_told_by_its_market() -> None:
    lost = encoded(
        "BadDebtIncreased(address,uint256,uint256,uint256)", VTOKEN, [("address", address(9))],
        [("uint256", 2**64 + 1), ("uint256", 5), ("uint256", 2**64 + 6)], index=3,
    )  # fmt: skip
    logs = (market_added(VTOKEN, indexed=True), lost)
    [row] = rows("evm_bnb", "compound_v2", *logs, table="lending_bad_debt")
    assert (row["protocol"], row["event"], row["borrower"]) == ("venus_isolated", "BadDebtIncreased", address(9))
    assert (row["debt_amount_raw"], row["debt_token"]) == (str(2**64 + 1), None)
    assert rows("evm_bnb", "compound_v2", *logs) == []


def test_markets_announced_years_ago_are_found_when_a_day_is_fetched(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    logs = [
        market_added(VTOKEN, indexed=False, block=block_of(datetime(2023, 12, 2))),
        isolated(VTOKEN, 7, block=FIRST + 5),
        isolated(OTHER, 8, block=FIRST + 6),
    ]
    day = date(2024, 3, 8)
    with serve("evm_bnb", settings=settings, market=ChainMarket(logs=logs, stream_blocks=200_000)) as (_, there):
        there = there.model_copy(
            update={"endpoints": {k: v for k, v in there.endpoints.items() if k.endswith("portal")}}
        )
        [report] = fetch(
            there, "evm_bnb", ["compound_v2"], first=day, last=day, assets=["ETH"], retry=FAST_RETRY, clock=clock
        )
    assert report.failures == {}
    found = loaded(there, "lending_liquidations", clock=clock)
    assert found.select("protocol", "market", "debt_amount_raw").rows() == [("venus_isolated", VTOKEN, "7")]
    assert quarantined(there).is_empty()


def string(text: str) -> str:
    return "0x" + encode(["string"], [text]).hex()


def word(kind: str, value: Any) -> str:
    return "0x" + encode([kind], [value]).hex()


def of_unknown(**functions: str) -> Mapping[str, Mapping[str, str]]:
    return {UNKNOWN: {SYMBOL: string("NEW"), DECIMALS: word("uint8", 9), **functions}}


def seized(token: str) -> Log:
    log = liquidation_call(1_000_000, 5 * 10**9, block=FIRST + 5)
    return Log(log.block, log.index, log.address, (log.topics[0], word("address", token), *log.topics[2:]), log.data)


@pytest.mark.parametrize("batches", [True, False])
@pytest.mark.parametrize(
    ("symbol", "text"),
    [
        (string("NEW"), "NEW"),
        (word("bytes32", b"MKR"), "MKR"),  # as MKR and SAI answer
        (string("USD₮0"), "USD₮0"),
        ("0x", None),
        (string("bad\nname"), None),
    ],
    ids=["string", "bytes32", "beyond ASCII", "nothing", "no text"],
)
def test_a_token_the_registry_does_not_list_is_asked_what_it_is(
    settings: Settings, serve: Serve, clock: Clock, symbol: str, text: str | None, batches: bool
) -> None:
    model = ChainMarket(
        logs=[seized(UNKNOWN), liquidation_call(1, 1, block=FIRST + 9)],
        nodes={"rpc": ResponseBehavior(batches=batches)},
        contracts={UNKNOWN: {SYMBOL: symbol, DECIMALS: word("uint8", 9)}},
    )
    there, failures, _ = bring(settings, serve, clock, model, nodes=["rpc"])
    assert failures == {}
    events = loaded(there, "lending_liquidations", clock=clock)
    assert sorted(events["collateral_token"]) == sorted([UNKNOWN, WETH])
    # The registry lists WETH and USDC: they are not asked.
    [row] = loaded(there, "tokens", clock=clock).to_dicts()
    assert (row["chain"], row["token"], row["symbol"], row["decimals"], row["underlying_token"]) == (
        "ethereum", UNKNOWN, text, 9, None,
    )  # fmt: skip
    assert row["named_at"] == events.filter(collateral_token=UNKNOWN)["occurred_at"][0]


def test_a_token_that_is_no_contract_is_left_unknown(settings: Settings, serve: Serve, clock: Clock) -> None:
    there, failures, _ = bring(settings, serve, clock, ChainMarket(logs=[seized(UNKNOWN)]), nodes=["rpc"])
    assert failures == {}
    assert loaded(there, "tokens", clock=clock).is_empty()
    assert loaded(there, "lending_liquidations", clock=clock).height == 1


def test_without_a_node_nothing_is_asked_and_no_event_is_missing(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    there, failures, hits = bring(settings, serve, clock, ChainMarket(logs=[seized(UNKNOWN)], contracts=of_unknown()))
    assert failures == {}
    assert all("rpc" not in hit.where for hit in hits)
    assert loaded(there, "lending_liquidations", clock=clock)["collateral_token"].to_list() == [UNKNOWN]
    assert loaded(there, "tokens", clock=clock).is_empty()


def test_a_node_that_says_other_decimals_than_another_is_caught(settings: Settings, serve: Serve, clock: Clock) -> None:
    model = ChainMarket(logs=[seized(UNKNOWN)], contracts=of_unknown(), nodes={"rpc": ResponseBehavior(renames=True)})
    _, failures, _ = bring(settings, serve, clock, model, nodes=["rpc", "rpc_2"])
    assert "nodes disagree" in str(next(iter(failures.values())))
    # The later list names no such token; the first one, which does, is not landed.
    assert all("*" not in landing.request["covers"] for landing in LandingStore(settings.root).all(f"{VENUE}.aave"))


def test_a_token_that_changes_its_symbol_changes_no_event(settings: Settings, serve: Serve, clock: Clock) -> None:
    clock.now = datetime(2024, 3, 9, 7)
    model = ChainMarket(logs=[seized(UNKNOWN)], contracts=of_unknown())
    there, _, _ = bring(settings, serve, clock, model, nodes=["rpc"])
    before = loaded(there, "lending_liquidations", clock=clock)
    clock.now = datetime(2024, 3, 9, 14)
    there, failures, _ = bring(
        settings, serve, clock, replace(model, contracts=of_unknown(**{SYMBOL: string("NEWER")})), nodes=["rpc"]
    )
    assert failures == {}
    assert loaded(there, "tokens", clock=clock)["symbol"].to_list() == ["NEWER"]
    assert loaded(there, "lending_liquidations", clock=clock).equals(before)


def test_what_a_discovered_market_lends_is_read_of_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    comptroller = "0x687a01ecf6d3907658f7a7c714749fac32336d1b"
    supported = encoded(
        "MarketSupported(address)", comptroller, [], [("address", VTOKEN)], block=block_of(datetime(2023, 12, 5))
    )
    vtoken = {SYMBOL: string("vUSDC"), DECIMALS: word("uint8", 8), UNDERLYING: word("address", USDC)}
    model = ChainMarket(
        logs=[supported, isolated(VTOKEN, 7, block=FIRST + 5)],
        nodes={"rpc": ResponseBehavior(most_blocks=2_000_000)},
        contracts={VTOKEN: vtoken, OTHER: {**vtoken, UNDERLYING: word("address", WETH)}},
    )
    there, failures, _ = bring(settings, serve, clock, model, nodes=["rpc"], feed="compound_v2")
    assert failures == {}
    told = loaded(there, "tokens", clock=clock)
    assert told.select("token", "underlying_token", "decimals").rows() == [(VTOKEN, USDC, 8), (OTHER, WETH, 8)]
    assert loaded(there, "lending_liquidations", clock=clock)["debt_token"].to_list() == [None]
    assert POOL_V3 not in told["token"]


@pytest.mark.parametrize("data", ["", "00", "f" * 64, f"{78:064x}", "zz" * 32])
def test_decimals_that_are_none_are_no_default_of_18(data: str) -> None:
    assert decimals_of(data) is None


@pytest.mark.parametrize("data", ["", "0" * 64, "f" * 64, "zz" * 32])
def test_what_is_no_address_is_no_claim(data: str) -> None:
    assert address_of(data) is None


def test_a_string_that_is_cut_off_is_no_symbol() -> None:
    assert text_of(string("NEW")[2:][:-64]) is None
