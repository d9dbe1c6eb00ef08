"""Emulates a chain through SQD's portal and JSON-RPC nodes: finalized streams that may end early, nodes with limits.

One module for all chains, which do not differ in anything visible in logs. The market model supplies the logs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import orjson

from pipelines.sandbox.emulator import Request, Response, Route
from pipelines.sandbox.market_model import AnalyticMarket, MarketModel

GENESIS: Final = datetime(2023, 12, 1)
BLOCK_SECONDS: Final = 12
NODES: Final = ("rpc", "rpc_2", "rpc_3")
MOST_ITEMS: Final = 100


@dataclass(frozen=True)
class Log:
    """One event log of the chain."""

    block: int
    index: int
    address: str
    topics: tuple[str, ...]
    data: str
    tx_hash: str = ""

    @property
    def transaction(self) -> str:
        return self.tx_hash or "0x" + hashlib.sha256(f"tx {self.block}".encode()).hexdigest()


@dataclass(frozen=True)
class ResponseBehavior:
    """Behavior of a node. A request may span `most_blocks`, beyond that it fails with `range_error` (status, code, message).
    `most_addresses`: addresses in a filter. `stamps`: block times in logs. `hides`: number of oldest logs it omits. `shifts`: error
    of its block times. `broken`: every request fails. `renames`: contract calls return values that are one too large."""

    most_blocks: int = 10_000
    most_addresses: int = 1_000
    range_error: tuple[int, int, str] = (200, -32005, "query returned more than 10000 results")
    stamps: Literal["given", "missing", "zero"] = "given"
    batches: bool = True
    hides: int = 0
    shifts: timedelta = timedelta(0)
    broken: bool = False
    renames: bool = False


@dataclass(frozen=True)
class ChainMarket(AnalyticMarket):
    """A market with a chain. Changing `logs` between two runs simulates a reorg; `fork` changes block hashes.

    `contracts` are the results of contract calls: address → selector → data.
    `stream_blocks` is the number of blocks after which the portal ends a stream, `behind` its delay behind the head.
    """

    logs: list[Log] = field(default_factory=list)
    nodes: Mapping[str, ResponseBehavior] = field(default_factory=dict)
    stream_blocks: int = 5_000
    behind: timedelta = timedelta(hours=2)
    fork: list[str] = field(default_factory=list)
    contracts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def block_hash(self, number: int) -> str:
        return "0x" + hashlib.sha256(f"{self.fork} {number}".encode()).hexdigest()


def block_of(moment: datetime) -> int:
    """The first block at or after `moment`."""
    return max(0, -((GENESIS - moment) // timedelta(seconds=BLOCK_SECONDS)))


def seconds_of(number: int) -> int:
    """The Unix time of a block."""
    return int((GENESIS - datetime(1970, 1, 1)).total_seconds()) + number * BLOCK_SECONDS


def block_at(request: Request, market: MarketModel) -> Response:
    number = block_of(datetime(1970, 1, 1) + timedelta(seconds=int(request.params["unix"])))
    if number > _finalized(request, market):
        return Response({"error": "timestamp is past the last block"}, status=404)
    return Response({"block_number": number})


def finalized_head(request: Request, market: MarketModel) -> Response:
    number = _finalized(request, market)
    return Response({"number": number, "hash": _chain(market).block_hash(number)})


def finalized_stream(request: Request, market: MarketModel) -> Response:
    """The first and last block of the scanned range, and the blocks in between with matching logs."""
    chain = _chain(market)
    query = request.json
    items = query.get("logs", [])
    if query.get("type") != "evm" or not items or len(items) > MOST_ITEMS or query["fromBlock"] > query["toBlock"]:
        return Response({"error": "the query is malformed"}, status=400)
    first, head = query["fromBlock"], _finalized(request, market)
    if first > head:
        return Response(b"", status=204)
    last = min(query["toBlock"], head, first + chain.stream_blocks - 1)
    blocks: dict[int, list[Log]] = {first: [], last: []}
    for log in _matching(chain.logs, first, last, items):
        blocks.setdefault(log.block, []).append(log)
    return Response(b"".join(_line(chain, number, logs, query["fields"]) for number, logs in sorted(blocks.items())))


def node(request: Request, market: MarketModel) -> Response:
    """JSON-RPC 2.0, one request or a batch."""
    behavior = _chain(market).nodes.get(request.endpoint, ResponseBehavior())
    rpc = request.json
    if isinstance(rpc, list):
        if not behavior.batches:
            return Response(_error(None, -32600, "batch requests are not supported"), status=400)
        return Response([_answered(request, one, market, behavior)[1] for one in rpc])
    status, body = _answered(request, rpc, market, behavior)
    return Response(body, status=status)


def _answered(
    request: Request, rpc: Mapping[str, Any], market: MarketModel, behavior: ResponseBehavior
) -> tuple[int, Any]:
    chain, number = _chain(market), rpc.get("id")
    head = block_of(request.now) - 1
    if behavior.broken:
        return 200, _error(number, -32603, "internal error")
    if rpc["method"] == "eth_blockNumber":
        return 200, _result(number, hex(head))
    if rpc["method"] == "eth_getBlockByNumber":
        block = int(rpc["params"][0], 16)
        stamp = seconds_of(block) + int(behavior.shifts.total_seconds())
        header = {"number": hex(block), "hash": chain.block_hash(block), "timestamp": hex(stamp)}
        return 200, _result(number, header if block <= head else None)
    if rpc["method"] == "eth_call":
        return 200, _called(chain, number, rpc["params"], behavior)
    if rpc["method"] != "eth_getLogs":
        return 200, _error(number, -32601, "the method does not exist")
    [wanted] = rpc["params"]
    first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
    if last - first + 1 > behavior.most_blocks:
        status, code, message = behavior.range_error
        return status, _error(number, code, message)
    topics = wanted["topics"]
    if len(wanted["address"]) > behavior.most_addresses:
        return 200, _error(number, -32602, "exceed max addresses or topics per search position")
    item = {"address": wanted["address"], "topic0": topics[0], **({"topic1": topics[1]} if len(topics) > 1 else {})}
    hidden = set(sorted(chain.logs, key=lambda log: (log.block, log.index))[: behavior.hides])
    found = _matching([log for log in chain.logs if log not in hidden], first, last, [item])
    return 200, _result(number, [_rpc_log(chain, log, behavior) for log in found])


def _called(chain: ChainMarket, number: Any, params: Sequence[Any], behavior: ResponseBehavior) -> dict[str, Any]:
    """The result of a contract call: a revert for an unknown function, empty data if there is no contract."""
    call, block = params
    if block != "latest" or set(call) != {"to", "data"}:
        return _error(number, -32602, "invalid argument")
    functions = chain.contracts.get(call["to"])
    if functions is None:
        return _result(number, "0x")
    if call["data"] not in functions:
        return _error(number, 3, "execution reverted")
    data = functions[call["data"]]
    if behavior.renames and len(data) == 66:
        data = f"0x{int(data, 16) + 1:064x}"
    return _result(number, data)


def _matching(logs: Iterable[Log], first: int, last: int, items: Sequence[Mapping[str, Any]]) -> list[Log]:
    def wanted(log: Log) -> bool:
        return any(
            ("address" not in item or log.address in item["address"])
            and all(
                f"topic{n}" not in item or (n < len(log.topics) and log.topics[n] in item[f"topic{n}"]) for n in (0, 1)
            )
            for item in items
        )

    return sorted((x for x in logs if first <= x.block <= last and wanted(x)), key=lambda x: (x.block, x.index))


def _line(chain: ChainMarket, number: int, logs: Sequence[Log], fields: Mapping[str, Mapping[str, bool]]) -> bytes:
    header = {"number": number, "hash": chain.block_hash(number), "timestamp": seconds_of(number)}
    block: dict[str, Any] = {"header": {name: header[name] for name in fields["block"]}}
    if logs:
        block["logs"] = [{name: _portal_log(log)[name] for name in fields["log"]} for log in logs]
    return orjson.dumps(block) + b"\n"


def _portal_log(log: Log) -> dict[str, Any]:
    return {
        "address": log.address, "topics": list(log.topics), "data": log.data, "transactionHash": log.transaction,
        "logIndex": log.index, "transactionIndex": 0,
    }  # fmt: skip


def _rpc_log(chain: ChainMarket, log: Log, behavior: ResponseBehavior) -> dict[str, Any]:
    stamps = {"given": {"blockTimestamp": hex(seconds_of(log.block))}, "zero": {"blockTimestamp": "0x0"}, "missing": {}}
    return {
        "address": log.address, "topics": list(log.topics), "data": log.data, "blockNumber": hex(log.block),
        "transactionHash": log.transaction, "transactionIndex": "0x0", "blockHash": chain.block_hash(log.block),
        "logIndex": hex(log.index), "removed": False, **stamps[behavior.stamps],
    }  # fmt: skip


def _finalized(request: Request, market: MarketModel) -> int:
    return block_of(request.now - _chain(market).behind) - 1


def _chain(market: MarketModel) -> ChainMarket:
    """The market's chain: the market itself, its attribute `chain`, or else an empty chain."""
    chain = getattr(market, "chain", market)
    return chain if isinstance(chain, ChainMarket) else ChainMarket()


def _result(number: Any, result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "result": result}


def _error(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


ROUTES: Final = (
    Route("GET", "portal", "/timestamps/{unix}/block", block_at),
    Route("GET", "portal", "/finalized-head", finalized_head),
    Route("POST", "portal", "/finalized-stream", finalized_stream),
    *(Route("POST", name, "", node) for name in NODES),
)
