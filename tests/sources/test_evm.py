"""Chains over loopback HTTP: the portal and nodes with the manners they are documented to have, through fetch and load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.core.errors import LeverhouseError
from pipelines.core.settings import Settings
from pipelines.extract.fetch import span_of
from pipelines.extract.landing import LandingStore
from pipelines.extract.pack import Pack
from pipelines.extract.venue import Context
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Fault
from pipelines.sandbox.venues.evm import GENESIS, ChainMarket, Log, ResponseBehavior, block_of
from pipelines.sources import registry
from pipelines.sources.chain import portal
from pipelines.sources.chain.evm.chains import CHAINS
from pipelines.sources.chain.evm.logs import LogFilter, query
from pipelines.sources.chain.evm.nodes import RANGE_ERROR, NodeLogs
from pipelines.sources.chain.portal import MAX_ITEMS, BlockRange
from pipelines.sources.instruments import InstrumentHistory
from pipelines.storage.warehouse import writer
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, quarantined
from tests.sources.evm_events import address, emitters, encoded
from tests.sources.test_evm_events import (
    COMET_USDC,
    absorb,
    absorb_debt,
    create_market,
    liquidation_call,
    morpho_liquidate,
    vault_created,
    vault_liquidated,
)

DAY = date(2024, 3, 8)
FIRST = block_of(datetime(2024, 3, 8))
LAST = block_of(datetime(2024, 3, 9)) - 1
VENUE = "evm_ethereum"


def spread(count: int) -> list[Log]:
    """`count` liquidations over the day, the first in its first block and the last in its last, and one on either side."""
    blocks = [FIRST + (LAST - FIRST) * n // (count - 1) for n in range(count)]
    inside = [liquidation_call(n + 1, n + 1, block=block, index=n % 7) for n, block in enumerate(blocks)]
    return [liquidation_call(9, 9, block=FIRST - 1), *inside, liquidation_call(9, 9, block=LAST + 1)]


def bring(
    settings: Settings, serve: Serve, clock: Clock, model: ChainMarket, *, nodes: Sequence[str] = (), feed: str = "aave",
    faults: Sequence[Fault] = (), day: date = DAY,
) -> tuple[Settings, Mapping[str, LeverhouseError], list[Any]]:  # fmt: skip
    """Fetch the day from the portal or from `nodes`. Failures, and the requests that were made."""
    with serve(VENUE, settings=settings, market=model, faults=faults) as (emulator, there):
        wanted = {f"{VENUE}.{name}" for name in nodes or ("portal",)}
        there = there.model_copy(update={"endpoints": {k: v for k, v in there.endpoints.items() if k in wanted}})
        [report] = fetch(there, VENUE, [feed], first=day, last=day, assets=["ETH"], retry=FAST_RETRY, clock=clock)
    return there, report.failures, emulator.hits


def debts(settings: Settings, clock: Clock) -> list[int]:
    return sorted(int(text) for text in loaded(settings, "lending_liquidations", clock=clock)["debt_amount_raw"])


def landed(settings: Settings) -> pl.DataFrame:
    """The rows that the landing of Aave makes, without loading them."""
    [landing] = LandingStore(settings.root).current(f"{VENUE}.aave")
    context = Context(VENUE, landing.fetched_at, span_of(landing), InstrumentHistory.none())
    parsed = registry.venue(VENUE).feed("aave").parse(list(Pack(landing.path).pages()), context)
    return next(one.rows for one in parsed if one.table == "lending_liquidations")


def test_the_day_from_the_portal_is_every_log_of_its_blocks_though_streams_end_early(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    there, failures, hits = bring(settings, serve, clock, ChainMarket(logs=spread(50), stream_blocks=1_700))
    assert failures == {}
    rows = loaded(there, "lending_liquidations", clock=clock)
    assert sorted(int(text) for text in rows["debt_amount_raw"]) == list(range(1, 51))
    assert set(rows["trade_date"]) == {DAY}
    assert rows["occurred_at"].min() == datetime(2024, 3, 8)
    assert quarantined(there).is_empty()
    # 7,200 blocks by streams of 1,700.
    assert len([hit for hit in hits if "finalized-stream" in hit.where]) == 5


def test_the_landing_says_which_blocks_it_holds(settings: Settings, serve: Serve, clock: Clock) -> None:
    bring(settings, serve, clock, ChainMarket(logs=spread(3), stream_blocks=5_000))
    [landing] = LandingStore(settings.root).current(f"{VENUE}.aave")
    asked = [page.request["body"] for page in Pack(landing.path).pages()]
    assert [(body["fromBlock"], body["toBlock"]) for body in asked] == [(FIRST, LAST), (FIRST + 5_000, LAST)]


def test_a_long_range_is_asked_for_in_parts(
    settings: Settings, serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portal, "MAX_BLOCKS", 3_000)
    _, failures, _ = bring(settings, serve, clock, ChainMarket(logs=spread(20)))
    assert failures == {}
    [landing] = LandingStore(settings.root).current(f"{VENUE}.aave")
    asked = [page.request["body"] for page in Pack(landing.path).pages()]
    parts = [(FIRST, FIRST + 2_999), (FIRST + 3_000, FIRST + 5_999), (FIRST + 6_000, LAST)]
    assert [(body["fromBlock"], body["toBlock"]) for body in asked] == parts
    assert landed(settings).height == 20


def test_a_protocol_without_events_on_a_landed_day_is_covered_and_empty(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    there, failures, _ = bring(settings, serve, clock, ChainMarket(logs=spread(2)))
    assert failures == {}
    assert loaded(there, "lending_liquidations", clock=clock).height == 2
    with writer(there, what="test") as con:
        days = con.sql(
            "select venue, series, trade_date, status from ops.coverage where table_name = 'lending_liquidations' order by venue"
        ).fetchall()
    told = {"aave_v1": "empty", "aave_v2": "empty", "aave_v3": "complete", "spark": "empty"}
    assert days == [(name, "ethereum", DAY, status) for name, status in told.items()]


def test_what_is_not_final_yet_is_asked_for_later(settings: Settings, serve: Serve, clock: Clock) -> None:
    model = ChainMarket(logs=spread(3), behind=timedelta(hours=30, minutes=1))
    bring(settings, serve, clock, model)
    [landing] = LandingStore(settings.root).all(f"{VENUE}.aave")
    assert landing.completeness == "not_yet_published"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(where="finalized-stream", kind="status", status=409, body=b'{"previousBlocks":[]}'),
        Fault(where="finalized-stream", kind="status", status=429, headers={"Retry-After": "0"}),
        Fault(where="finalized-stream", kind="status", status=503, headers={"Retry-After": "0"}),
        Fault(where="finalized-stream", kind="truncated"),
        Fault(where="finalized-stream", kind="reset"),
        Fault(where="timestamps", kind="status", status=503),
        Fault(where="finalized-head", kind="status", status=429),
    ],
    ids=lambda fault: f"{fault.where} {fault.kind} {fault.status}",
)
def test_the_portal_may_falter(settings: Settings, serve: Serve, clock: Clock, fault: Fault) -> None:
    _, failures, _ = bring(settings, serve, clock, ChainMarket(logs=spread(20)), faults=[fault])
    assert failures == {}
    assert landed(settings)["debt_amount_raw"].to_list() == [str(n) for n in range(1, 21)]


def test_the_end_of_the_stream_before_its_time_is_not_the_end_of_the_day(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    """204: the portal has nothing from this block on, although its head was further."""
    gone = Fault(where="finalized-stream", kind="status", status=204, first=2, body=b"")
    bring(settings, serve, clock, ChainMarket(logs=spread(20)), faults=[gone])
    [landing] = LandingStore(settings.root).all(f"{VENUE}.aave")
    assert landing.completeness == "not_yet_published"


def test_a_portal_that_keeps_breaking_off_is_a_failure_and_lands_nothing(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    fork = Fault(where="finalized-stream", kind="status", status=409, times=99, body=b"{}")
    _, failures, _ = bring(settings, serve, clock, ChainMarket(logs=spread(20)), faults=[fork])
    assert "status 409, incomplete stream after 4 attempts" in str(next(iter(failures.values())))
    assert LandingStore(settings.root).all(f"{VENUE}.aave") == []


def test_a_query_stays_below_the_most_items_the_portal_takes() -> None:
    body = query(BlockRange(1, 2), LogFilter(tuple(emitters("venus", "bnb")), ("0x1",)))
    assert len(body["logs"]) <= MAX_ITEMS


# As nodes were seen to word it, with their statuses and codes.
RANGE_ERRORS = [
    (200, -32005, "query returned more than 10000 results"),
    (200, -32005, "query returned more than 10000 results. Try with this block range [0x1, 0x2]."),
    (200, -32000, "exceed maximum block range: 5000"),
    (200, -32602, "eth_getLogs range limit is 2000"),
    (200, -32000, "block range is too wide"),
    (200, -32614, "eth_getLogs is limited to a 10,000 range"),
    (400, -32600, "eth_getLogs requests with up to a 10 block range are allowed"),
    (200, -32602, "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range"),
    (200, -32000, "logs matched by query exceeds limit of 10000"),
    (200, -32602, "query exceeds max results 20000, retry with the range 1-2"),
    (200, -32000, "query timeout exceeded"),
    (200, -32701, "Please specify an address in your request or, to remove restrictions, order a dedicated full node: block range"),
    (413, -32000, "Payload Too Large"),
    # dRPC, 1rpc, Coinbase, Harmony, geth, Optimism's proxy, Infura, Moonbeam.
    (200, 35, "ranges over 10000 blocks are not supported on freetier"),
    (200, 30, "Request timeout on the free tier, please upgrade your tier to the paid one"),
    (200, -32000, "eth_getLogs is limited to 0 - 10000 blocks range"),
    (200, -32602, "please limit the query to at most 1000 blocks"),
    (200, -32000, "query must be smaller than size 1024"),
    (200, -32000, "context deadline exceeded"),
    (200, -32011, "no backend is currently healthy to serve traffic"),
    (200, -32602, "range 1000000 exceeds limit of 10000"),
    (200, -32000, "block range is too wide (maximum 1024)"),
    (200, -32600, "block range too high"),
]  # fmt: skip


@pytest.mark.parametrize("said", RANGE_ERRORS, ids=lambda said: said[2][:40])
def test_a_node_that_finds_a_span_too_wide_is_asked_for_less(
    settings: Settings, serve: Serve, clock: Clock, said: tuple[int, int, str]
) -> None:
    model = ChainMarket(logs=spread(40), nodes={"rpc": ResponseBehavior(most_blocks=2_000, range_error=said)})
    there, failures, _ = bring(settings, serve, clock, model, nodes=["rpc"])
    assert failures == {}
    [landing] = LandingStore(there.root).current(f"{VENUE}.aave")
    pages = list(Pack(landing.path).pages())
    # 7,200 blocks, halved twice.
    assert len(pages) == 4
    parsed = sum(len(page.json()["result"]) for page in pages)
    assert parsed == 40


def test_an_error_of_another_kind_is_no_reason_to_ask_for_less() -> None:
    for message in ("internal error", "method not found", "execution reverted", "header not found"):
        assert not RANGE_ERROR.search(message)


@pytest.mark.parametrize(
    ("said", "most_blocks", "is_brought"),
    [
        ((200, -32000, "we would rather not"), 4_000, True),
        ((503, -32000, "we would rather not"), 4_000, True),
        ((200, -32000, "we would rather not"), 2_000, False),
    ],
    ids=["half passes", "half passes after a status", "half is refused too"],
)
def test_an_unknown_error_is_final_once_half_of_the_range_has_failed_too(
    settings: Settings, serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch, said: tuple[int, int, str],
    most_blocks: int, is_brought: bool,
) -> None:  # fmt: skip
    asked: list[int] = []
    ask = NodeLogs._logs

    async def noted(source: NodeLogs, node: str, part: BlockRange, log_filter: LogFilter) -> Any:
        asked.append(part.last - part.first + 1)
        return await ask(source, node, part, log_filter)

    monkeypatch.setattr(NodeLogs, "_logs", noted)
    model = ChainMarket(logs=spread(40), nodes={"rpc": ResponseBehavior(most_blocks=most_blocks, range_error=said)})
    _, failures, _ = bring(settings, serve, clock, model, nodes=["rpc"])
    assert bool(failures) is not is_brought
    assert asked == ([7_200, 3_600, 3_600] if is_brought else [7_200, 3_600])
    if is_brought:
        assert landed(settings)["debt_amount_raw"].to_list() == [str(n) for n in range(1, 41)]
    else:
        assert "we would rather not" in str(next(iter(failures.values())))


def test_a_filter_with_too_many_addresses_is_asked_for_in_parts(settings: Settings, serve: Serve, clock: Clock) -> None:
    contracts = (*emitters("aave_v3", "ethereum"), *emitters("aave_v2", "ethereum"))
    assert len(contracts) > 1
    model = ChainMarket(logs=spread(40), nodes={"rpc": ResponseBehavior(most_addresses=1)})
    _, failures, _ = bring(settings, serve, clock, model, nodes=["rpc"])
    assert failures == {}
    assert sorted(int(text) for text in landed(settings)["debt_amount_raw"]) == list(range(1, 41))


def test_a_setting_bounds_the_blocks_of_a_request(settings: Settings, serve: Serve, clock: Clock) -> None:
    bounded = settings.model_copy(update={"node_blocks": 2_500})
    _, failures, _ = bring(bounded, serve, clock, ChainMarket(logs=spread(40)), nodes=["rpc"])
    assert failures == {}
    [landing] = LandingStore(settings.root).current(f"{VENUE}.aave")
    asked = [page.request["body"]["params"][0] for page in Pack(landing.path).pages()]
    widths = [int(one["toBlock"], 16) - int(one["fromBlock"], 16) + 1 for one in asked if "toBlock" in one]
    assert widths == [2_500, 2_500, 2_200]


def test_429_for_a_long_span_makes_it_shorter(settings: Settings, serve: Serve, clock: Clock) -> None:
    model = ChainMarket(
        logs=spread(40), nodes={"rpc": ResponseBehavior(most_blocks=4_000, range_error=(429, 429, "too many requests"))}
    )
    _, failures, _ = bring(settings, serve, clock, model, nodes=["rpc"])
    assert failures == {}
    assert landed(settings)["debt_amount_raw"].to_list() == [str(n) for n in range(1, 41)]


@pytest.mark.parametrize(
    "message",
    [
        "Your app has exceeded its compute units per second capacity",
        "daily request count exceeded, request rate limited",
        "rate limit exceeded",
    ],
)
def test_a_node_that_asks_to_wait_in_an_answer_of_status_200_is_asked_again(
    settings: Settings, serve: Serve, clock: Clock, message: str
) -> None:
    body = f'{{"jsonrpc":"2.0","id":1,"error":{{"code":-32005,"message":"{message}"}}}}'.encode()
    wait = Fault(where="rpc", kind="body", body=body, first=3)
    _, failures, _ = bring(settings, serve, clock, ChainMarket(logs=spread(5)), nodes=["rpc"], faults=[wait])
    assert failures == {}
    assert landed(settings).height == 5


@pytest.mark.parametrize("stamps", ["given", "missing", "zero"])
@pytest.mark.parametrize("batches", [True, False])
def test_block_times_are_looked_up_where_logs_do_not_tell_them(
    settings: Settings, serve: Serve, clock: Clock, stamps: Any, batches: bool
) -> None:
    # Few events where every header is a request of its own.
    model = ChainMarket(logs=spread(5), nodes={"rpc": ResponseBehavior(stamps=stamps, batches=batches)})
    _, failures, _ = bring(settings, serve, clock, model, nodes=["rpc"])
    assert failures == {}
    rows = landed(settings)
    assert rows["occurred_at"].to_list() == [
        GENESIS + timedelta(seconds=12 * number) for number in rows["block_number"]
    ]
    assert rows.height == 5


def test_a_removed_log_disappears_when_the_day_is_read_again(settings: Settings, serve: Serve, clock: Clock) -> None:
    clock.now = datetime(2024, 3, 9, 7)
    model = ChainMarket(logs=spread(6))
    there, _, _ = bring(settings, serve, clock, model, nodes=["rpc"])
    assert debts(there, clock) == [1, 2, 3, 4, 5, 6]
    # A reorg: two transactions are gone, one is in another block.
    [gone, moved] = model.logs[2:4]
    model.logs.remove(gone)
    model.logs[model.logs.index(moved)] = Log(moved.block + 1, 0, moved.address, moved.topics, moved.data)
    model.fork.append("reorg")
    clock.now += timedelta(hours=7)
    there, failures, _ = bring(settings, serve, clock, model, nodes=["rpc"])
    assert failures == {}
    rows = loaded(there, "lending_liquidations", clock=clock)
    assert sorted(int(text) for text in rows["debt_amount_raw"]) == [1, 3, 4, 5, 6]
    assert rows.filter(debt_amount_raw="3")["block_number"].to_list() == [moved.block + 1]


@pytest.mark.parametrize(
    "lie", [ResponseBehavior(hides=3), ResponseBehavior(shifts=timedelta(hours=5))], ids=["hides logs", "false times"]
)
def test_an_endpoint_that_lies_is_caught_by_another(
    settings: Settings, serve: Serve, clock: Clock, lie: ResponseBehavior
) -> None:
    model = ChainMarket(logs=spread(6), nodes={"rpc": lie})
    _, failures, _ = bring(settings, serve, clock, model, nodes=["rpc", "rpc_2"])
    assert "nodes disagree" in str(next(iter(failures.values())))
    assert LandingStore(settings.root).all(f"{VENUE}.aave") == []


@pytest.mark.parametrize(
    "lie", [ResponseBehavior(hides=3), ResponseBehavior(shifts=timedelta(hours=5))], ids=["hides logs", "false times"]
)
def test_two_honest_endpoints_outvote_one_that_lies(
    settings: Settings, serve: Serve, clock: Clock, lie: ResponseBehavior
) -> None:
    model = ChainMarket(logs=spread(6), nodes={"rpc": lie})
    _, failures, _ = bring(settings, serve, clock, model, nodes=["rpc", "rpc_2", "rpc_3"])
    assert failures == {}
    assert landed(settings)["debt_amount_raw"].to_list() == ["1", "2", "3", "4", "5", "6"]


def test_a_node_that_fails_is_passed_over(settings: Settings, serve: Serve, clock: Clock) -> None:
    model = ChainMarket(
        logs=spread(6), nodes={"rpc": ResponseBehavior(broken=True), "rpc_2": ResponseBehavior(stamps="missing")}
    )
    _, failures, _ = bring(settings, serve, clock, model, nodes=["rpc", "rpc_2"])
    assert failures == {}
    assert landed(settings)["debt_amount_raw"].to_list() == ["1", "2", "3", "4", "5", "6"]


def test_the_address_of_a_node_is_nowhere_on_disk(
    settings: Settings, serve: Serve, clock: Clock, tmp_path: Path
) -> None:
    there, _, _ = bring(settings, serve, clock, ChainMarket(logs=spread(3)), nodes=["rpc"])
    address = next(iter(there.endpoints.values())).encode()
    files = [path for path in there.root.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if address in path.read_bytes()]
    for landing in LandingStore(there.root).all():
        assert all(address.decode() not in str(page.request) for page in Pack(landing.path).pages())


@pytest.mark.parametrize("nodes", [[], ["rpc"]], ids=["portal", "node"])
def test_what_is_sold_after_an_absorption_is_no_second_liquidation(
    settings: Settings, serve: Serve, clock: Clock, nodes: list[str]
) -> None:
    at: dict[str, Any] = {"tx_hash": "0x" + "a" * 64}
    logs = [
        replace(absorb(1, 100, 2 * 10**18, 300_100_000_000, **at), block=FIRST + 5),
        replace(absorb_debt(2, 2_900_250_000, 290_025_000_000, **at), block=FIRST + 5),
        encoded(
            "BuyCollateral(address,address,uint256,uint256)", COMET_USDC, [("address", address(8)), ("address", address(100))],
            [("uint256", 2_800_000_000), ("uint256", 2 * 10**18)], block=FIRST + 900,
        ),
    ]  # fmt: skip
    there, failures, _ = bring(settings, serve, clock, ChainMarket(logs=logs), feed="comet", nodes=nodes)
    assert failures == {}
    rows = loaded(there, "lending_liquidations", clock=clock)
    assert rows.select("collateral_usd", "debt_usd").rows() == [(3001.0, 2900.25)]
    assert quarantined(there).is_empty()


@pytest.mark.parametrize("nodes", [[], ["rpc"]], ids=["portal", "node"])
def test_the_auction_of_a_bark_is_no_second_liquidation(
    settings: Settings, serve: Serve, clock: Clock, nodes: list[str]
) -> None:
    dog, clipper = next(iter(emitters("maker"))), "0xc67963a226eddd77b91ad8c421630a1b0adff270"
    ilk, numbers = b"ETH-A".ljust(32, b"\0"), [("uint256", 10**18)] * 4
    logs = [
        encoded(
            "Bark(bytes32,address,uint256,uint256,uint256,address,uint256)", dog,
            [("bytes32", ilk), ("address", address(6)), ("uint256", 77)],
            [("uint256", 125 * 10**17), ("uint256", 1), ("uint256", 20_000 * 10**45), ("address", clipper)],
            block=FIRST + 5,
        ),
        encoded(
            "Kick(uint256,uint256,uint256,uint256,address,address,uint256)", clipper,
            [("uint256", 77), ("address", address(6)), ("address", address(7))], numbers, block=FIRST + 5, index=2,
        ),
        encoded(
            "Take(uint256,uint256,uint256,uint256,uint256,uint256,address)", clipper,
            [("uint256", 77), ("address", address(6))], [*numbers, ("uint256", 1)], block=FIRST + 99,
        ),
    ]  # fmt: skip
    there, failures, _ = bring(settings, serve, clock, ChainMarket(logs=logs), feed="maker", nodes=nodes)
    assert failures == {}
    rows = loaded(there, "lending_liquidations", clock=clock)
    assert rows.select("collateral_token", "collateral_amount").rows() == [("eth", 12.5)]
    assert quarantined(there).is_empty()


@pytest.mark.parametrize("nodes", [[], ["rpc"]], ids=["portal", "node"])
def test_the_creation_of_a_morpho_market_is_found_however_old(
    settings: Settings, serve: Serve, clock: Clock, nodes: list[str]
) -> None:
    market, other = bytes(range(32)), bytes(reversed(range(32)))
    created = create_market(market, "0x" + "11" * 20, "0x" + "22" * 20)
    old = Log(block_of(datetime(2024, 1, 3)), 4, created.address, created.topics, created.data)
    unused = create_market(other, "0x" + "33" * 20, "0x" + "44" * 20)
    logs = [
        old,
        Log(old.block, 5, unused.address, unused.topics, unused.data),
        morpho_liquidate(market, block=FIRST + 10),
    ]
    model = ChainMarket(logs=logs, stream_blocks=200_000, nodes={"rpc": ResponseBehavior(most_blocks=1_000_000)})
    there, failures, _ = bring(settings, serve, clock, model, feed="morpho", nodes=nodes)
    assert failures == {}
    rows = loaded(there, "lending_liquidations", clock=clock)
    assert rows.select("collateral_token", "debt_token").rows() == [("0x" + "22" * 20, "0x" + "11" * 20)]


def test_the_vaults_of_euler_are_those_its_factory_made(settings: Settings, serve: Serve, clock: Clock) -> None:
    # The factory's life begins in August 2024.
    clock.now = datetime(2024, 9, 3, 6)
    day = date(2024, 9, 1)
    first, vault, fake = block_of(datetime(2024, 9, 1)), "0x" + "e1" * 20, "0x" + "e2" * 20
    logs = [
        vault_created(vault, "0x" + "11" * 20, block=block_of(datetime(2024, 8, 15))),
        vault_liquidated(vault, block=first + 5),
        vault_liquidated(fake, block=first + 6),
    ]
    model = ChainMarket(logs=logs, stream_blocks=200_000)
    there, failures, _ = bring(settings, serve, clock, model, feed="euler", day=day)
    assert failures == {}
    rows = loaded(there, "lending_liquidations", clock=clock)
    assert rows.select("market", "debt_token").rows() == [(vault, "0x" + "11" * 20)]
    assert quarantined(there).is_empty()


def test_every_chain_has_its_own_dataset_and_its_families() -> None:
    venues = {name: registry.venue(name) for name in registry.VENUES if name.startswith("evm_")}
    bases = [venue.endpoints["portal"] for venue in venues.values()]
    assert len(set(bases)) == len(bases) == len(CHAINS) == 27
    found = pl.DataFrame([{"venue": name, "feed": feed.name} for name, venue in venues.items() for feed in venue.feeds])
    feeds = dict(found.group_by("venue").agg(pl.col("feed")).rows())
    assert all(feeds.values())
    known = {
        "evm_ethereum": [
            "aave", "aave_v4", "compound_v2", "comet", "morpho", "maker", "liquity", "euler", "fluid", "curve", "silo",
        ],
        "evm_arbitrum": [
            "aave", "compound_v2", "comet", "morpho", "euler", "fluid", "curve", "silo", "gmx_v1", "gmx_v2",
        ],
        "evm_base": ["aave", "compound_v2", "comet", "morpho", "euler", "fluid"],
        "evm_bnb": ["aave", "compound_v2", "morpho", "euler", "fluid"],
        "evm_sonic": ["aave", "morpho", "euler", "curve", "silo"],
    }  # fmt: skip
    assert {name: feeds[name] for name in known} == known
