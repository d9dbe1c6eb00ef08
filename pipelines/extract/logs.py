"""Event logs of an EVM chain by emitter and event: what is asked for, and how SQD's keyless portal is asked.

A node over JSON-RPC is the other source (logs_node). What a log means stands in pipelines/sources; nothing is decoded here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

import orjson

from pipelines.core.errors import SourceFormatError, VenueUnavailableError
from pipelines.extract import fetch_log
from pipelines.extract.venue import Api, NotYetPublishedError, Page, Span, milliseconds

PORTAL: Final = "portal"
"""Endpoint of the portal. Its base address ends in the name of the chain's dataset."""

PORTAL_REQUESTS: Final = "portal_requests"
NODE_REQUESTS: Final = "node_requests"

PORTAL_COSTS: Final = {PORTAL_REQUESTS: 1.0}

MOST_ITEMS: Final = 100
"""Items of `logs` in one query: more are refused. One item may name many addresses; we name as many."""

MOST_BLOCKS: Final = 5_000_000
"""Blocks in one query, so that an answer comes within the client's patience: the whole life of a chain may take minutes. ?"""

RESTARTS: Final = 3
"""How often a stream is asked for again from the same block when it breaks off inside a line or is refused as a fork."""

FIELDS: Final = {
    "block": {"number": True, "hash": True, "timestamp": True},
    "log": {"address": True, "topics": True, "data": True, "transactionHash": True, "logIndex": True},
}


@dataclass(frozen=True)
class BlockRange:
    """Blocks from `first` through `last`, both inclusive."""

    first: int
    last: int

    @property
    def halves(self) -> tuple[BlockRange, BlockRange]:
        middle = (self.first + self.last) // 2
        return BlockRange(self.first, middle), BlockRange(middle + 1, self.last)


@dataclass(frozen=True)
class LogFilter:
    """Logs that one of `emitters` wrote, whose first topic is one of `topics0` and, where given, second one of `topics1`.

    Anyone can emit any event, so that there is no filter without emitters. All are lower-case 0x-hex.
    """

    emitters: tuple[str, ...]
    topics0: tuple[str, ...]
    topics1: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.emitters or not self.topics0:
            raise ValueError("a log filter needs emitters and events")

    def admits(self, address: str, topics: Sequence[str]) -> bool:
        """Whether a log belongs into an answer to this filter."""
        return (
            address.lower() in self.emitters
            and bool(topics)
            and topics[0].lower() in self.topics0
            and (not self.topics1 or (len(topics) > 1 and topics[1].lower() in self.topics1))
        )


class LogSource(Protocol):
    """Where logs are had from."""

    async def blocks(self, span: Span) -> BlockRange:
        """The blocks whose time lies in `span`. Raises NotYetPublishedError where not all of them are final."""
        ...

    def logs(self, blocks: BlockRange, wanted: LogFilter) -> AsyncIterator[Page]:
        """Pages that hold every log of `blocks` that `wanted` admits, and the times of their blocks."""
        ...


class PortalLogs:
    """SQD's portal: finalized blocks only, hours behind, so that nothing it says is ever taken back."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def blocks(self, span: Span) -> BlockRange:
        first = await self._first_at_or_after(span.start)
        after = await self._first_at_or_after(span.end)
        page = await self._api.get("/finalized-head", endpoint=PORTAL, costs=PORTAL_COSTS)
        head = page.json()
        # null: the dataset is empty.
        if head is None or _whole(head, "number", page) < after - 1:
            raise NotYetPublishedError
        return BlockRange(first, after - 1)

    async def logs(self, blocks: BlockRange, wanted: LogFilter) -> AsyncIterator[Page]:
        async for page in self.stream(blocks, lambda part: query(part, wanted)):
            yield page

    async def stream(self, blocks: BlockRange, body: Callable[[BlockRange], Mapping[str, Any]]) -> AsyncIterator[Page]:
        """Everything of `blocks` that the query `body` asks for, of whatever kind of chain. The stream may end anywhere; its last
        line is the last block it looked at, found something or not."""
        position, tries = blocks.first, 0
        while position <= blocks.last:
            page = await self._api.post(
                "/finalized-stream",
                endpoint=PORTAL,
                body=body(BlockRange(position, min(blocks.last, position + MOST_BLOCKS - 1))),
                costs=PORTAL_COSTS,
                accept=(200, 204, 409),
                is_json=False,
            )
            if page.status == 204:
                # Past the end of what is finalized, although the head was further when it was asked for.
                raise NotYetPublishedError
            reached = last_block(page) if page.status == 200 else None
            if reached is None or reached < position:
                # 409 tells of a fork, which finalized blocks have none of; a line broken off tells of a lost connection.
                tries += 1
                if tries > RESTARTS:
                    raise VenueUnavailableError(
                        f"{page.where}: block {position}: status {page.status}, no whole stream in {tries} tries: "
                        f"{page.excerpt}"
                    )
                detail = f"{page.where}: block {position}: status {page.status}, the stream is not whole"
                fetch_log.record("broken_off", detail, effect="asked_again")
                continue
            tries = 0
            yield page
            position = reached + 1

    async def _first_at_or_after(self, moment: datetime) -> int:
        page = await self._api.get(
            f"/timestamps/{milliseconds(moment) // 1000}/block",
            endpoint=PORTAL,
            costs=PORTAL_COSTS,
            accept=(200, 204, 404),
            is_json=False,
        )
        if page.status != 200:
            raise NotYetPublishedError
        # The documentation names the path and not the field of the answer: either name is read. ?
        answer = page.json()
        return _whole(
            answer, "block_number" if isinstance(answer, dict) and "block_number" in answer else "number", page
        )


def query(blocks: BlockRange, wanted: LogFilter) -> dict[str, Any]:
    """The body of a portal query."""
    item: dict[str, Any] = {"address": list(wanted.emitters), "topic0": list(wanted.topics0)}
    if wanted.topics1:
        item["topic1"] = list(wanted.topics1)
    return {"type": "evm", "fromBlock": blocks.first, "toBlock": blocks.last, "fields": FIELDS, "logs": [item]}


def last_block(page: Page) -> int | None:
    """The number of the last block of a stream; None where the stream breaks off inside a line or holds nothing."""
    line = page.body.rstrip(b"\n").rpartition(b"\n")[2]
    try:
        return int(orjson.loads(line)["header"]["number"])
    except orjson.JSONDecodeError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise SourceFormatError(f"{page.where}: a line has no header with a block number: {line[:200]!r}") from error


def _whole(answer: Any, key: str, page: Page) -> int:
    found = answer.get(key) if isinstance(answer, dict) else answer
    if isinstance(found, bool) or not isinstance(found, int):
        raise SourceFormatError(f"{page.where}: no whole number {key!r} in the answer: {page.excerpt}")
    return found
