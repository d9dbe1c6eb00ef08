"""Liquidations of GMX: v2's generic events and v1's, as an independent library encodes them, and over HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from eth_abi.abi import decode
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipelines.contract.ddl import load_contract
from pipelines.core.settings import Settings
from pipelines.core.universe import parse_symbol
from pipelines.extract.venue import Context, Page, Parsed, Span
from pipelines.operations.fetch import fetch
from pipelines.sandbox.venues.evm import ChainMarket, Log, ResponseBehavior, block_of
from pipelines.sources import registry
from pipelines.sources.chain.evm import gmx
from pipelines.sources.chain.evm.contracts import GMX_V1_VAULTS, GMX_V2_EVENT_EMITTERS
from pipelines.sources.chain.evm.gmx_markets import INDEX_TOKENS, markets
from pipelines.sources.instruments import InstrumentHistory
from pipelines.sources.records import LINE
from pipelines.storage.warehouse import writer
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, quarantined
from tests.sources.evm_events import AT, address, encoded, event_hash, stream

KINDS = ("address", "uint256", "int256", "bool", "bytes32", "bytes", "string")
EVENT_DATA = f"({','.join(f'((string,{kind})[],(string,{kind}[])[])' for kind in KINDS)})"
ETH_USD = "0x70d95587d40a2caf56bd97485ab3eec10bee6336"
BTC_USD_AVALANCHE = "0xfb02132333a79c8b5bd0b64e3abcca5f7faf2937"
ORDER = bytes(range(32))

Items = Mapping[str, Sequence[tuple[str, Any]]]


def event(
    name: str, items: Items, *, topics: Sequence[bytes] = (b"\1" * 32,), arrays: Items | None = None,
    chain: str = "arbitrum", emitter: str = "", **place: Any,
) -> Log:  # fmt: skip
    """An event of v2's EventEmitter: EventLog, EventLog1 or EventLog2, by how many topics it has besides its name."""
    values = tuple((tuple(items.get(kind, ())), tuple((arrays or {}).get(kind, ()))) for kind in KINDS)
    signature = f"EventLog{len(topics) or ''}(address,string,string,{'bytes32,' * len(topics)}{EVENT_DATA})"
    log = encoded(
        signature, emitter or GMX_V2_EVENT_EMITTERS[chain],
        [("bytes32", bytes.fromhex(event_hash(name)[2:])), *(("bytes32", topic) for topic in topics)],
        [("address", address(0x60)), ("string", name), (EVENT_DATA, values)], **place,
    )  # fmt: skip
    assert log.topics[0] in gmx.EVENT_LOGS.values()
    return log


def decrease(
    *, order_type: int = 7, tokens: int = 4 * 10**18, price: int = 2_500 * 10**12, is_long: bool = True,
    market: str = ETH_USD, order: bytes = ORDER, **place: Any,
) -> Log:  # fmt: skip
    """PositionDecrease as PositionEventUtils fills it; 4 ether at 2,500 dollars, of a position entered at 3,000."""
    numbers = {
        "sizeInUsd": 0, "sizeInTokens": 0, "collateralAmount": 0, "borrowingFactor": 10**28, "fundingFeeAmountPerSize": 7,
        "longTokenClaimableFundingAmountPerSize": 8, "shortTokenClaimableFundingAmountPerSize": 9, "executionPrice": price,
        "indexTokenPrice.max": price + 1, "indexTokenPrice.min": price - 1, "collateralTokenPrice.max": 10**24,
        "collateralTokenPrice.min": 10**24, "sizeDeltaUsd": 12_000 * 10**30, "sizeDeltaInTokens": tokens,
        "collateralDeltaAmount": 0, "values.priceImpactDiffUsd": 0, "orderType": order_type, "decreasedAtTime": 1_700_000_000,
    }  # fmt: skip
    return event(
        "PositionDecrease",
        {
            "address": [("account", address(5)), ("market", market), ("collateralToken", address(6))],
            "uint256": list(numbers.items()),
            "int256": [("priceImpactUsd", -5), ("basePnlUsd", -2_000 * 10**30), ("uncappedBasePnlUsd", -1)],
            "bool": [("isLong", is_long)],
            "bytes32": [("orderKey", order), ("positionKey", b"\7" * 32)],
        },
        **place,
    )


def executed(*, secondary: int = 0, order: bytes = ORDER, **place: Any) -> Log:
    return event(
        "OrderExecuted",
        {
            "bytes32": [("key", order)],
            "address": [("account", address(5))],
            "uint256": [("secondaryOrderType", secondary)],
        },
        topics=(order, b"\1" * 32), **place,
    )  # fmt: skip


def created(*, order_type: int = 7, order: bytes = ORDER, **place: Any) -> Log:
    """OrderCreated, which has an array among its items and names type, side and size as a decrease does."""
    return event(
        "OrderCreated",
        {
            "address": [("account", address(5)), ("market", ETH_USD)],
            "uint256": [("orderType", order_type), ("sizeDeltaUsd", 12_000 * 10**30)],
            "bool": [("isLong", True)],
            "bytes32": [("key", order)],
        },
        topics=(order, b"\1" * 32), arrays={"address": [("swapPath", [address(1), address(2)])]}, **place,
    )  # fmt: skip


def liquidate_position(
    index_token: str, *, is_long: bool = True, size: int = 9_000 * 10**30, mark: int = 30_000 * 10**30,
    chain: str = "arbitrum", **place: Any,
) -> Log:  # fmt: skip
    return encoded(
        "LiquidatePosition(bytes32,address,address,address,bool,uint256,uint256,uint256,int256,uint256)", GMX_V1_VAULTS[chain], [],
        [
            ("bytes32", b"\3" * 32), ("address", address(5)), ("address", address(6)), ("address", index_token),
            ("bool", is_long), ("uint256", size), ("uint256", 300 * 10**30), ("uint256", 10**8),
            ("int256", -(250 * 10**30)), ("uint256", mark),
        ], **place,
    )  # fmt: skip


def told(feed: str, *pages: Page, chain: str = "arbitrum") -> tuple[Parsed, Parsed]:
    """Liquidations and instruments of the pages."""
    span = Span(datetime(2019, 1, 1), AT)
    context = Context(f"evm_{chain}", AT, span, InstrumentHistory.none())
    first, second = registry.venue(f"evm_{chain}").feed(feed).parse(pages, context)
    return first, second


def rows(feed: str, *logs: Log, chain: str = "arbitrum") -> list[dict[str, Any]]:
    one, _ = told(feed, stream(*logs), chain=chain)
    assert one.rejects is not None
    assert one.rejects.is_empty(), one.rejects["detail"].to_list()
    return one.rows.to_dicts()


def rejects(feed: str, *logs: Log) -> list[tuple[str, str]]:
    one, _ = told(feed, stream(*logs))
    assert one.rejects is not None
    return one.rejects.select("reason", "detail").rows()


def test_hashes_are_those_of_signatures_and_names() -> None:
    for signature, topic0 in gmx.EVENT_LOGS.items():
        assert event_hash(signature) == topic0
    assert event_hash(gmx.LIQUIDATE_POSITION.signature) == gmx.LIQUIDATE_POSITION.topic0
    assert event_hash("PositionDecrease") == gmx.POSITION_DECREASE
    assert event_hash("OrderExecuted") == gmx.ORDER_EXECUTED


def test_every_market_is_an_address_with_an_index_whose_decimals_are_known() -> None:
    assert {chain: len(listed) for chain, listed in markets().items()} == {
        "arbitrum": 129,
        "avalanche": 16,
        "megaeth": 4,
    }
    for chain, listed in markets().items():
        assert pl.Series(list(listed)).str.contains("^0x[0-9a-f]{40}$").all()
        # A pair of tokens may back an index once; names are instruments.
        assert len({name for name, _ in listed.values()}) == len(listed)
        for name, decimals in listed.values():
            assert 0 < decimals <= 24
            assert parse_symbol("gmx", f"{chain}:{name}") is not None, name
        known = {name.partition("/")[0] for name, _ in listed.values()}
        assert set(INDEX_TOKENS.get(chain, {}).values()) <= known
    # Decimals belong to the token on its chain, not to the symbol.
    gold = {decimals for listed in markets().values() for name, decimals in listed.values() if name.startswith("XAUT/")}
    assert gold == {18, 6}


def test_a_liquidation_of_v2_is_what_was_closed_at_the_price_it_was_closed_at() -> None:
    log = decrease(block=5000, index=3)
    [row] = rows("gmx_v2", log)
    # 2,500 dollars times 10^30 for an ether of 10^18: 2,500 × 10^12. 4 ether are 10,000 dollars, though bought for 12,000.
    assert row | {"_line": 1} == {
        "venue": "gmx", "liquidation_id": f"arbitrum:{log.transaction}:3", "venue_kind": "perp_dex",
        "instrument": "arbitrum:ETH/USD:WETH-USDC", "occurred_at": datetime(2023, 12, 1, 16, 40), "side": "long",
        "price": 2500.0, "quantity_base": 4.0, "notional_usd": 10000.0, "completeness": "full", "is_adl": False,
        "available_at": datetime(2023, 12, 1, 17, 10), "_line": 1,
    }  # fmt: skip


def test_an_index_of_eight_decimals_on_the_other_chain() -> None:
    # 0.5 bitcoin at 61,234.56 dollars: × 10^30 / 10^8.
    log = decrease(
        market=BTC_USD_AVALANCHE, chain="avalanche", tokens=5 * 10**7, price=6_123_456 * 10**20, is_long=False
    )
    [row] = rows("gmx_v2", log, chain="avalanche")
    told_of = ("instrument", "side", "price", "quantity_base", "notional_usd")
    assert tuple(row[name] for name in told_of) == ("avalanche:BTC/USD:BTC.b-USDC", "short", 61234.56, 0.5, 30617.28)


def test_the_order_of_a_liquidation_is_created_and_executed_and_the_liquidation_counted_once() -> None:
    one, _ = told("gmx_v2", stream(created(index=1), decrease(index=2), executed(index=3)))
    assert one.rows["liquidation_id"].str.ends_with(":2").to_list() == [True]
    assert one.rows["is_adl"].to_list() == [False]
    # The creation is not asked for: where a source tells it all the same, it is turned away and not counted.
    assert one.rejects is not None
    assert one.rejects["detail"].to_list() == ["an event that is not read, or of another contract"]
    wanted = created().topics[1]
    assert wanted not in (gmx.POSITION_DECREASE, gmx.ORDER_EXECUTED)


def test_what_its_owner_ordered_is_no_liquidation() -> None:
    # Market decrease, limit decrease, stop loss.
    logs = [decrease(order_type=kind, index=kind) for kind in (4, 5, 6)]
    assert rows("gmx_v2", *logs, executed(index=9)) == []


def test_auto_deleveraging_is_told_by_the_execution_and_kept_apart() -> None:
    other = b"\2" * 32
    found = rows(
        "gmx_v2",
        # In one transaction: deleveraged, and an order of somebody else's.
        decrease(order_type=4, index=1), decrease(order_type=4, index=2, order=other),
        executed(secondary=1, index=3), executed(index=4, order=other),
        decrease(block=6000, index=1), executed(block=6000, index=2),
    )  # fmt: skip
    assert [(row["liquidation_id"].rsplit(":", 1)[1], row["is_adl"]) for row in found] == [("1", True), ("1", False)]
    assert found[0]["liquidation_id"] != found[1]["liquidation_id"]


def test_an_execution_in_another_transaction_deleverages_nothing() -> None:
    found = rejects("gmx_v2", decrease(order_type=4, block=5000), executed(secondary=1, block=5001))
    assert found == [("undecodable", "an order to auto-deleverage was executed, and no position decreased by it")]


def test_a_market_that_is_not_listed_is_kept_in_quarantine_by_its_address() -> None:
    one, instruments = told("gmx_v2", stream(decrease(market=address(0xABC)), decrease(index=9)))
    assert one.rows.height == 1
    assert one.rejects is not None
    assert one.rejects.select("reason", "instrument", "trade_date").rows() == [
        ("unknown_instrument", address(0xABC), date(2023, 12, 1))
    ]
    assert instruments.rows.select("instrument", "asset", "quote", "multiplier").rows() == [
        ("arbitrum:ETH/USD:WETH-USDC", "ETH", "USD", 1.0)
    ]


def test_another_contract_is_not_believed() -> None:
    assert [reason for reason, _ in rejects("gmx_v2", decrease(emitter=address(0xBAD)))] == ["undecodable"]
    vault = liquidate_position(next(iter(INDEX_TOKENS["arbitrum"])))
    fake = Log(vault.block, vault.index, address(0xBAD), vault.topics, vault.data)
    assert rejects("gmx_v1", fake) == [("undecodable", "the contract is not on the list")]


def test_a_decrease_without_an_item_says_which_and_is_kept() -> None:
    whole = decrease()
    for name, says in (
        ("orderType", "without the item orderType"),
        ("sizeDeltaInTokens", "not one item sizeDeltaInTokens"),
    ):
        spoilt = whole.data.replace(name.encode().hex(), name[::-1].encode().hex())
        [(reason, detail)] = rejects("gmx_v2", Log(5000, 1, whole.address, whole.topics, spoilt))
        assert reason == "undecodable"
        assert says in detail
    wrong = whole.data.replace(f"{1:064x}{6:064x}{b'isLong'.hex():0<64}", f"{2:064x}{6:064x}{b'isLong'.hex():0<64}")
    assert wrong != whole.data
    assert rejects("gmx_v2", Log(5000, 1, whole.address, whole.topics, wrong)) == [
        ("undecodable", "isLong is not an ABI bool")
    ]


@given(
    tokens=st.integers(0, 2**256 - 1),
    names=st.lists(st.text(min_size=1, max_size=40), max_size=4),
    noise=st.binary(max_size=90),
)
@hypothesis_settings(max_examples=40, deadline=None)
def test_items_are_found_wherever_they_stand(tokens: int, names: list[str], noise: bytes) -> None:
    """The independent library reads the same values out of the data, whatever stands around them."""
    log = event(
        "PositionDecrease",
        {
            "uint256": [*((name, 7) for name in names), ("sizeDeltaInTokens", tokens), ("orderType", 7)],
            "bytes": [("reason", noise)],
            "string": [("step", "sizeDeltaInTokens")],
        },
        arrays={"uint256": [("sizes", [7, 9, 17])]},
    )
    _, name, data = decode(["address", "string", EVENT_DATA], bytes.fromhex(log.data[2:]))
    frame = pl.DataFrame({"data": [log.data], LINE: [1]})
    found = gmx.items(frame, {"sizeDeltaInTokens": "uint256", "orderType": "uint256"})
    assert found["fault"].to_list() == [None]
    said = dict(data[1][0])
    assert found.select("sizeDeltaInTokens", "orderType").rows() == [(str(said["sizeDeltaInTokens"]), "7")]
    assert name == "PositionDecrease"


@pytest.mark.parametrize(
    ("text", "places", "value"),
    [("1", 6, 0.000001), ("0", 8, 0.0), ("6123456" + "0" * 20, 22, 61234.56), (str(10**41), 30, 1e11)],
)
def test_amounts_are_the_nearest_double(text: str, places: int, value: float) -> None:
    frame = pl.DataFrame({"text": [text]})
    assert frame.select(gmx.shifted("text", pl.lit(places))).item() == value


def test_a_liquidation_of_v1_is_its_dollars_at_the_mark_price() -> None:
    bitcoin = "0x2f2a2543b76a4166549f7aab2e75bef0aefc5b0f"
    log = liquidate_position(bitcoin, is_long=False, index=4)
    [row] = rows("gmx_v1", log)
    # 9,000 dollars at 30,000 a bitcoin.
    assert (row["instrument"], row["side"], row["is_adl"]) == ("arbitrum:BTC/USD:v1", "short", False)
    assert (row["price"], row["quantity_base"], row["notional_usd"]) == (30000.0, 0.3, 9000.0)
    assert row["liquidation_id"] == f"arbitrum:{log.transaction}:4"


def test_both_bitcoins_of_avalanche_are_one_instrument_and_an_unknown_index_is_kept() -> None:
    tokens = [token for token, symbol in INDEX_TOKENS["avalanche"].items() if symbol == "BTC"]
    logs = [liquidate_position(token, chain="avalanche", index=n) for n, token in enumerate([*tokens, address(0xABC)])]
    one, instruments = told("gmx_v1", stream(*logs), chain="avalanche")
    assert one.rows["instrument"].to_list() == ["avalanche:BTC/USD:v1"] * 2
    assert instruments.rows["asset"].to_list() == ["BTC"]
    assert one.rejects is not None
    assert one.rejects.select("reason", "instrument").rows() == [("unknown_instrument", address(0xABC))]


def test_a_log_of_v1_that_does_not_follow_its_signature_is_turned_away() -> None:
    log = liquidate_position(next(iter(INDEX_TOKENS["arbitrum"])))
    [(reason, detail)] = rejects("gmx_v1", Log(log.block, log.index, log.address, log.topics, log.data[:-64]))
    assert (reason, detail[:8]) == ("undecodable", "data has")


@pytest.mark.parametrize("feed", ["gmx_v1", "gmx_v2"])
def test_rows_have_the_types_of_the_contract(feed: str) -> None:
    contract = load_contract(Settings.load().schema_dir)
    logs = {"gmx_v1": liquidate_position(next(iter(INDEX_TOKENS["arbitrum"]))), "gmx_v2": decrease()}
    for page in (stream(), stream(logs[feed])):
        for one in told(feed, page):
            types = contract.table(one.table).polars_schema()
            assert {
                name: kind for name, kind in one.rows.schema.items() if name != "_line" and types[name] != kind
            } == {}


def test_a_day_of_decreases_is_read_in_seconds() -> None:
    ordinary, forced = decrease(order_type=4), decrease()
    many = [
        Log(5000 + n // 4, n % 4, log.address, log.topics, log.data)
        for n in range(10_000)
        for log in [forced if n % 20 == 0 else ordinary]
    ]
    page = stream(*many)
    started = time.process_time()
    one, _ = told("gmx_v2", page)
    assert one.rows.height == 500
    assert time.process_time() - started < 10


# The way over HTTP

DAY = date(2024, 3, 8)
FIRST, LAST = block_of(datetime(2024, 3, 8)), block_of(datetime(2024, 3, 9)) - 1


@pytest.mark.parametrize("nodes", [[], ["rpc"]], ids=["portal", "node"])
def test_a_day_over_http_is_loaded_with_its_instruments(
    settings: Settings, serve: Serve, clock: Clock, nodes: list[str]
) -> None:
    ether = next(iter(INDEX_TOKENS["arbitrum"]))
    logs = [
        decrease(block=FIRST - 1), liquidate_position(ether, block=FIRST - 1, index=5),
        created(block=FIRST, index=0), decrease(block=FIRST, index=1), executed(block=FIRST, index=2),
        decrease(block=FIRST + 9, order_type=4, is_long=False), executed(block=FIRST + 9, index=2, secondary=1),
        decrease(block=FIRST + 20, order_type=4), decrease(block=FIRST + 30, market=address(0xABC)),
        liquidate_position(ether, block=LAST, mark=3_000 * 10**30), decrease(block=LAST + 1),
    ]  # fmt: skip
    # Arbitrum waits for 7,200 blocks of a node, which are a day of the emulated ones.
    clock.now += timedelta(days=1)
    model = ChainMarket(logs=logs, stream_blocks=3_000, nodes={"rpc": ResponseBehavior(stamps="missing")})
    with serve("evm_arbitrum", settings=settings, market=model) as (_, there):
        wanted = {f"evm_arbitrum.{name}" for name in nodes or ("portal",)}
        there = there.model_copy(update={"endpoints": {k: v for k, v in there.endpoints.items() if k in wanted}})
        reports = fetch(
            there,
            "evm_arbitrum",
            ["gmx_v1", "gmx_v2"],
            first=DAY,
            last=DAY,
            assets=["ETH"],
            retry=FAST_RETRY,
            clock=clock,
        )
    assert {report.source: dict(report.failures) for report in reports if report.failures} == {}
    found = loaded(there, "liquidations", clock=clock).sort("occurred_at")
    assert found.select("source", "instrument", "side", "is_adl", "notional_usd").rows() == [
        ("evm_arbitrum.gmx_v2", "arbitrum:ETH/USD:WETH-USDC", "long", False, 10000.0),
        ("evm_arbitrum.gmx_v2", "arbitrum:ETH/USD:WETH-USDC", "short", True, 10000.0),
        ("evm_arbitrum.gmx_v1", "arbitrum:ETH/USD:v1", "long", False, 9000.0),
    ]
    assert quarantined(there).select("source", "reason", "instrument").rows() == [
        ("evm_arbitrum.gmx_v2", "unknown_instrument", address(0xABC))
    ]
    with writer(there, what="test") as con:
        named = con.sql("select instrument, asset from clean.instruments order by all").fetchall()
        covered = con.sql(
            "select source, venue, trade_date, status from ops.coverage where table_name = 'liquidations' order by all"
        ).fetchall()
    assert named == [("arbitrum:ETH/USD:WETH-USDC", "ETH"), ("arbitrum:ETH/USD:v1", "ETH")]
    assert covered == [(f"evm_arbitrum.gmx_{v}", "gmx", DAY, "complete") for v in ("v1", "v2")]
