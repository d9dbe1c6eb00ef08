"""SQD's portal: which blocks a time span covers, and streams of finalized blocks, for chains of any kind. Needs no key.

What is queried, and what the answers mean, is defined by the modules that use it. Facts not seen live are marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from pipelines.core.errors import SourceFormatError, VenueUnavailableError
from pipelines.extract import fetch_log
from pipelines.extract.venue import Api, NotYetPublishedError, Page, Span, milliseconds

PORTAL: Final = "portal"
"""Name of the endpoint. Its base URL ends in the chain's dataset."""

PORTAL_REQUESTS: Final = "portal_requests"
COSTS: Final = {PORTAL_REQUESTS: 1.0}

MAX_ITEMS: Final = 100
"""Items in one query; the portal refuses more. One item can list many addresses."""

MAX_BLOCKS: Final = 5_000_000
"""Blocks in one query, so that the answer arrives before the client times out: a chain's whole history may take minutes. ?"""

MAX_RESTARTS: Final = 3
"""Retries from the same block after a stream is cut inside a line or refused because of a fork."""


@dataclass(frozen=True)
class BlockRange:
    """Blocks from `first` through `last`, both inclusive."""

    first: int
    last: int


Query = Callable[[BlockRange], Mapping[str, Any]]
"""Request body for a range of blocks."""


class Portal:
    """One dataset of the portal. It serves finalized blocks only, hours behind the head, so its answers never change."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def blocks(self, span: Span) -> BlockRange:
        """The blocks whose time lies in `span`. Raises NotYetPublishedError unless all of them are final."""
        first = await self._first_at_or_after(span.start)
        after = await self._first_at_or_after(span.end)
        page = await self._api.get("/finalized-head", endpoint=PORTAL, costs=COSTS)
        head = page.json()
        # null: the dataset is empty.
        if head is None or _integer(head, "number", page) < after - 1:
            raise NotYetPublishedError
        return BlockRange(first, after - 1)

    async def stream(self, blocks: BlockRange, query: Query) -> AsyncIterator[Page]:
        """Pages that cover `blocks`. A stream may end at any block; its last line is the last block searched, even if nothing
        matched there."""
        position, tries = blocks.first, 0
        while position <= blocks.last:
            page = await self._api.post(
                "/finalized-stream",
                endpoint=PORTAL,
                body=query(BlockRange(position, min(blocks.last, position + MAX_BLOCKS - 1))),
                costs=COSTS,
                accept=(200, 204, 409),
                is_json=False,
            )
            if page.status == 204:
                # Past the last finalized block, although the head was reported beyond it.
                raise NotYetPublishedError
            reached = last_block(page) if page.status == 200 else None
            if reached is None or reached < position:
                # 409 means a fork, which finalized blocks do not have; a cut line means a lost connection.
                tries += 1
                where = f"{page.where}: block {position}: status {page.status}"
                if tries > MAX_RESTARTS:
                    raise VenueUnavailableError(f"{where}, incomplete stream after {tries} attempts: {page.excerpt}")
                fetch_log.record("broken_off", f"{where}, incomplete stream", effect="asked_again")
                continue
            tries = 0
            yield page
            position = reached + 1

    async def _first_at_or_after(self, moment: datetime) -> int:
        page = await self._api.get(
            f"/timestamps/{milliseconds(moment) // 1000}/block",
            endpoint=PORTAL,
            costs=COSTS,
            accept=(200, 204, 404),
            is_json=False,
        )
        if page.status != 200:
            raise NotYetPublishedError
        # The documentation gives the path but not the field of the answer: both names are accepted. ?
        answer = page.json()
        key = "block_number" if isinstance(answer, dict) and "block_number" in answer else "number"
        return _integer(answer, key, page)


def blocks_of(page: Page, *lists: str) -> Iterator[Mapping[str, Any]]:
    """The blocks of a stream, with those of `lists` that have something in them.

    Raises SourceFormatError for a stream without a block, a line that is no block, and a block that has none of `lists` but
    another: what was renamed must not look like nothing.
    """
    block: Any = None
    for block in page.json_lines():
        if not isinstance(block, Mapping) or "header" not in block:
            raise SourceFormatError(f"{page.where}: expected a block with a header in every line: {page.excerpt}")
        others = [name for name, content in block.items() if isinstance(content, list) and name not in lists]
        if others and not any(name in block for name in lists):
            raise SourceFormatError(
                f"{page.where}: expected {' or '.join(lists)} in a block, not {', '.join(others)}; the format changed: "
                f"{page.excerpt}"
            )
        yield block
    if block is None:
        raise SourceFormatError(f"{page.where}: the stream has no block")


def last_block(page: Page) -> int | None:
    """Number of the last block in a stream; None if the stream is empty or cut inside a line."""
    line = page.body.rstrip(b"\n").rpartition(b"\n")[2]
    try:
        return int(orjson.loads(line)["header"]["number"])
    except orjson.JSONDecodeError:
        return None
    except (KeyError, TypeError, ValueError) as error:
        raise SourceFormatError(f"{page.where}: expected a header with a block number: {line[:200]!r}") from error


def _integer(answer: Any, key: str, page: Page) -> int:
    found = answer.get(key) if isinstance(answer, dict) else answer
    if isinstance(found, bool) or not isinstance(found, int):
        raise SourceFormatError(f"{page.where}: expected an integer in {key!r}: {page.excerpt}")
    return found
