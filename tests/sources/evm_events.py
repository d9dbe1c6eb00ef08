"""Logs encoded by an independent ABI library from the events' signatures: what the decoders are held against."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
import polars as pl
from eth_abi.abi import encode
from eth_hash.auto import keccak

from pipelines.extract.venue import Context, Page, Parsed, Span
from pipelines.sandbox.venues.evm import Log, seconds_of
from pipelines.sources import registry
from pipelines.sources.chain.evm.contracts import contracts_of
from pipelines.sources.instruments import InstrumentHistory

AT = datetime(2024, 3, 9)


def address(number: int) -> str:
    return f"0x{number:040x}"


def emitters(protocol: str, chain: str = "ethereum") -> dict[str, str]:
    """The listed contracts of a protocol that emit its events, each with its token."""
    return {one.address: one.token for one in contracts_of(protocol)[chain] if not one.announces}


def registries(protocol: str, chain: str = "ethereum") -> list[str]:
    """The listed contracts of a protocol that announce others."""
    return [one.address for one in contracts_of(protocol)[chain] if one.announces]


def event_hash(signature: str) -> str:
    return "0x" + keccak(signature.encode()).hex()


def encoded(
    signature: str, emitter: str, topics: Sequence[tuple[str, Any]], data: Sequence[tuple[str, Any]], *, block: int = 5000,
    index: int = 1, tx_hash: str = "",
) -> Log:  # fmt: skip
    """A log of the event with this signature: (type, value) of its indexed words, then of the others."""
    return Log(
        block=block,
        index=index,
        address=emitter.lower(),
        topics=(event_hash(signature), *("0x" + encode([kind], [value]).hex() for kind, value in topics)),
        data="0x" + encode([kind for kind, _ in data], [value for _, value in data]).hex(),
        tx_hash=tx_hash,
    )


def stream(*logs: Log) -> Page:
    """The logs as the portal tells them."""
    lines = [
        orjson.dumps(
            {
                "header": {"number": log.block, "hash": "0x0", "timestamp": seconds_of(log.block)},
                "logs": [
                    {
                        "address": log.address, "topics": list(log.topics), "data": log.data,
                        "transactionHash": log.transaction, "logIndex": log.index,
                    }
                ],
            }
        )
        for log in logs
    ]  # fmt: skip
    # The last block that was searched, in which nothing matched.
    lines.append(orjson.dumps({"header": {"number": 10**9, "hash": "0x0", "timestamp": seconds_of(10**9)}}))
    return Page("*", {"endpoint": "portal", "path": "/finalized-stream", "body": {}}, 200, AT, b"\n".join(lines))


def answer(logs: Sequence[dict[str, Any]]) -> Page:
    """The logs as a node tells them."""
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "result": logs})
    return Page("*", {"endpoint": "rpc", "path": "", "body": {"method": "eth_getLogs"}}, 200, AT, body)


def parsed(venue: str, feed: str, *pages: Page, table: str = "lending_liquidations") -> Parsed:
    span = Span(datetime(2019, 1, 1), AT)
    made = registry.venue(venue).feed(feed).parse(pages, Context(venue, AT, span, InstrumentHistory.none()))
    return {one.table: one for one in made}[table]


def rows(venue: str, feed: str, *logs: Log, table: str = "lending_liquidations") -> list[dict[str, Any]]:
    """Rows made of the logs, none of which is turned away."""
    one = parsed(venue, feed, stream(*logs), table=table)
    assert one.rejects is not None
    assert one.rejects.is_empty(), one.rejects["detail"].to_list()
    return one.rows.to_dicts()


def amounts(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    return frame.select("collateral_token", "collateral_amount_raw", "debt_token", "debt_amount_raw").rows()
