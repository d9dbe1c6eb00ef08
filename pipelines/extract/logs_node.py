"""Event logs from any EVM nodes over JSON-RPC: spans that a node finds too wide are halved, nodes fail over and check one
another.

Nodes are the endpoints whose names begin with "rpc"; their addresses may hold a token and are recorded nowhere.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError, VenueUnavailableError
from pipelines.extract import fetch_log
from pipelines.extract.logs import NODE_REQUESTS, BlockRange, LogFilter
from pipelines.extract.venue import Api, NotYetPublishedError, Page, Span

NODE: Final = "rpc"
COSTS: Final = {NODE_REQUESTS: 1.0}
HEADERS_AT_ONCE: Final = 100
CALLS_AT_ONCE: Final = 99

TOO_WIDE: Final = re.compile(
    r"query returned more than|block range|range (is )?(too (large|wide|big)|limit)|exceed(s|ed)? .*(range|limit|size)"
    r"|(range|size|limit) .*exceed|too many (results|logs|blocks)|response (is )?too (large|big)|more than \d+ (results|logs)"
    r"|query time-?out|timed? ?out|limited to .*(blocks|range)|limit exceeded|max(imum)? .*(blocks|results|range)",
    re.IGNORECASE,
)
"""How nodes say that a span holds too much. Their codes (-32005, -32000, -32602, -32614, …) mean other things as well."""

THROTTLED: Final = re.compile(
    r"rate limit|request rate|too many requests|requests? (count|limit) |capacity (limit )?exceeded|compute units",
    re.IGNORECASE,
)
"""How nodes ask to wait in an answer of status 200."""

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1)
_FAULTS: Final = (VenueUnavailableError, RequestRefusedError, SourceFormatError)


class _TooWideError(Exception):
    """A node wants a shorter span."""


def nodes_of(endpoints: Collection[str]) -> tuple[str, ...]:
    """The endpoints that are nodes, in the order of their names: rpc, rpc_2, …"""
    return tuple(sorted(name for name in endpoints if name == NODE or name.startswith(f"{NODE}_")))


def check_node(page: Page) -> None:
    """Raise ThrottledError where a node's answer asks to wait. Other errors are for who asked."""
    answer = page.json()
    error = answer.get("error") if isinstance(answer, dict) else None
    if error and THROTTLED.search(_said(error)):
        raise ThrottledError(f"{page.where}: {_said(error)}")


class NodeLogs:
    """One or more nodes of a chain. What is nearer to the head than `confirmations` blocks is not read."""

    def __init__(self, api: Api, *, confirmations: int) -> None:
        self._api = api
        self._nodes = nodes_of(api.endpoints)
        self._confirmations = confirmations
        self._seen: dict[tuple[str, int], tuple[int, str, datetime]] = {}

    async def blocks(self, span: Span) -> BlockRange:
        """By bisection over block times on one node; the blocks at both ends are then looked at on another one too."""
        faults: list[Exception] = []
        for node in self._nodes:
            try:
                found = await self._bisect(node, span)
                ends = [n for n in (found.first - 1, found.first, found.last, found.last + 1) if n >= 0]
                headers = await self._agreed(lambda at, ends=tuple(ends): self._ends(at, ends))  # type: ignore[misc]
                for number, _, stamp in headers:
                    inside = span.start <= stamp < span.end
                    if inside != (found.first <= number <= found.last):
                        raise VenueUnavailableError(f"{node}: block {number} is of {stamp}, which other nodes deny.")
            except _FAULTS as fault:
                faults.append(fault)
            else:
                return found
        raise faults[-1]

    async def logs(self, blocks: BlockRange, wanted: LogFilter) -> AsyncIterator[Page]:
        position, size = blocks.first, blocks.last - blocks.first + 1
        undated: dict[int, str] = {}
        while position <= blocks.last:
            part = BlockRange(position, min(position + size - 1, blocks.last))
            try:
                found = await self._agreed(lambda node, part=part: self._logs(node, part, wanted))  # type: ignore[misc]
            except (_TooWideError, ThrottledError) as error:
                # 429 may be the node's way to say that a request is too dear: a shorter one may pass.
                if part.first == part.last:
                    if isinstance(error, ThrottledError):
                        raise
                    raise RequestRefusedError(
                        f"block {part.first} alone is too much for every node: {error}"
                    ) from error
                size = max(1, (part.last - part.first + 1) // 2)
                continue
            undated |= {_number(log["blockNumber"]): str(log["blockHash"]) for log in found.logs if not _dated(log)}
            yield found.page
            position = part.last + 1
        numbers = sorted(undated)
        for start in range(0, len(numbers), HEADERS_AT_ONCE):
            for page in await self._headers(numbers[start : start + HEADERS_AT_ONCE], undated):
                yield page

    async def calls(self, wanted: Sequence[Mapping[str, Any]]) -> AsyncIterator[Page]:
        """Answers to eth_call at the head, CALLS_AT_ONCE in a batch, each as two nodes give it. What a contract refuses is an
        error in its answer, and no fault of the node."""
        for start in range(0, len(wanted), CALLS_AT_ONCE):
            part = wanted[start : start + CALLS_AT_ONCE]
            for page in (await self._agreed(lambda node, part=part: self._calls(node, part))).pages:  # type: ignore[misc]
                yield page

    async def _calls(self, node: str, wanted: Sequence[Mapping[str, Any]]) -> _Calls:
        batch = [_request("eth_call", [call, "latest"], n) for n, call in enumerate(wanted, start=1)]
        page = await self._api.post("", body=batch, endpoint=node, costs=COSTS, accept=(200, 400))
        if page.status == 200 and isinstance(page.json(), list) and len(page.json()) == len(batch):
            return _Calls([page])
        pages = [await self._api.post("", body=one, endpoint=node, costs=COSTS, accept=(200,)) for one in batch]
        for one in pages:
            if not isinstance(one.json(), dict) or ("error" not in one.json() and "result" not in one.json()):
                raise SourceFormatError(f"{one.where}: {node}: the answer is no JSON-RPC: {one.excerpt}")
        return _Calls(pages)

    async def _agreed(self, ask: Callable[[str], Awaitable[T]]) -> T:
        """What two nodes say alike. With one node, or one that answers, there is nothing to check it by: its word is taken."""
        answers: list[tuple[str, T]] = []
        faults: list[Exception] = []
        for node in self._nodes:
            try:
                answer = await ask(node)
            except _FAULTS as fault:
                # Another node may know.
                fetch_log.record(fetch_log.problem_of(fault), str(fault), effect="asked_again")
                faults.append(fault)
                continue
            if any(answer == earlier for _, earlier in answers):
                return answer
            answers.append((node, answer))
        if len(answers) == 1:
            return answers[0][1]
        if answers:
            raise VenueUnavailableError(
                f"nodes {', '.join(node for node, _ in answers)} do not tell the same; one of them lies or lags. "
                "Name a third one, or leave out the one that is wrong."
            )
        raise faults[-1]

    async def _logs(self, node: str, part: BlockRange, wanted: LogFilter) -> _Logs:
        topics: list[Any] = [list(wanted.topics0)]
        if wanted.topics1:
            topics.append(list(wanted.topics1))
        asked = {
            "fromBlock": hex(part.first), "toBlock": hex(part.last), "address": list(wanted.emitters), "topics": topics,
        }  # fmt: skip
        page, logs = await self._call(node, "eth_getLogs", [asked])
        if not isinstance(logs, list):
            raise SourceFormatError(f"{page.where}: {node}: eth_getLogs gave no list: {page.excerpt}")
        for log in logs:
            try:
                here = part.first <= _number(log["blockNumber"]) <= part.last
                fits = here and wanted.admits(log["address"], log["topics"])
            except (KeyError, TypeError, ValueError) as error:
                raise SourceFormatError(
                    f"{page.where}: {node}: a log is no log ({error!r}): {str(log)[:200]}"
                ) from error
            if not fits:
                raise VenueUnavailableError(f"{node}: answered with a log that was not asked for: {str(log)[:200]}")
        return _Logs(page, logs)

    async def _headers(self, numbers: Sequence[int], hashes: Mapping[int, str]) -> list[Page]:
        """Headers of blocks, in one batch where the node takes batches."""
        faults: list[Exception] = []
        for node in self._nodes:
            try:
                pages = await self._header_pages(node, numbers)
                for page in pages:
                    for header in headers_of(page):
                        number = _number(header["number"])
                        if header["hash"] != hashes[number]:
                            raise VenueUnavailableError(f"{node}: block {number} was replaced while it was read.")
            except _FAULTS as fault:
                faults.append(fault)
            except (KeyError, TypeError, ValueError) as error:
                faults.append(SourceFormatError(f"{node}: a block header lacks {error}."))
            else:
                return pages
        raise faults[-1]

    async def _header_pages(self, node: str, numbers: Sequence[int]) -> list[Page]:
        batch = [_request("eth_getBlockByNumber", [hex(n), False], n) for n in numbers]
        page = await self._api.post("", body=batch, endpoint=node, costs=COSTS, accept=(200, 400))
        if page.status == 200 and isinstance(page.json(), list) and len(headers_of(page)) == len(numbers):
            return [page]
        return [(await self._call(node, "eth_getBlockByNumber", [hex(n), False]))[0] for n in numbers]

    async def _bisect(self, node: str, span: Span) -> BlockRange:
        _, head = await self._call(node, "eth_blockNumber", [])
        final = _number(head) - self._confirmations
        if final <= 0 or (await self._header(node, final))[2] < span.end:
            raise NotYetPublishedError
        first = await self._first_at_or_after(node, span.start, 0, final)
        return BlockRange(first, await self._first_at_or_after(node, span.end, first, final) - 1)

    async def _first_at_or_after(self, node: str, moment: datetime, low: int, high: int) -> int:
        """The first block of [low, high] whose time is not before `moment`; that of `high` is not."""
        while low < high:
            middle = (low + high) // 2
            if (await self._header(node, middle))[2] < moment:
                low = middle + 1
            else:
                high = middle
        return low

    async def _ends(self, node: str, numbers: Sequence[int]) -> list[tuple[int, str, datetime]]:
        return [await self._header(node, number) for number in numbers]

    async def _header(self, node: str, number: int) -> tuple[int, str, datetime]:
        """Number, hash and time of a block, asked for once per node."""
        if (node, number) not in self._seen:
            self._seen[node, number] = await self._ask_header(node, number)
        return self._seen[node, number]

    async def _ask_header(self, node: str, number: int) -> tuple[int, str, datetime]:
        page, header = await self._call(node, "eth_getBlockByNumber", [hex(number), False])
        try:
            return number, str(header["hash"]), _EPOCH + timedelta(seconds=_number(header["timestamp"]))
        except (KeyError, TypeError, ValueError) as error:
            raise SourceFormatError(f"{page.where}: {node}: block {number} has no header: {page.excerpt}") from error

    async def _call(self, node: str, method: str, params: Sequence[Any]) -> tuple[Page, Any]:
        page = await self._api.post(
            "", body=_request(method, params, 1), endpoint=node, costs=COSTS, accept=(200, 400, 413)
        )
        if page.status == 413:
            raise _TooWideError(f"{node}: status 413")
        answer = page.json()
        if not isinstance(answer, dict) or ("error" not in answer and "result" not in answer):
            raise SourceFormatError(f"{page.where}: {node}: the answer is no JSON-RPC: {page.excerpt}")
        if answer.get("error"):
            said = _said(answer["error"])
            if method == "eth_getLogs" and TOO_WIDE.search(said):
                raise _TooWideError(f"{node}: {said}")
            raise RequestRefusedError(f"{node}: {method}: {said}")
        return page, answer["result"]


class _Calls:
    """Answers to calls. Two are equal that answer the same to each."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self.pages = pages
        answers = [one for page in pages for one in (page.json() if isinstance(page.json(), list) else [page.json()])]
        self._said = frozenset((one.get("id"), one.get("result")) for one in answers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Calls) and self._said == other._said

    def __hash__(self) -> int:
        return hash(self._said)


class _Logs:
    """An answer to eth_getLogs. Two are equal that hold the same logs, whatever else they say of them."""

    def __init__(self, page: Page, logs: Sequence[Mapping[str, Any]]) -> None:
        self.page = page
        self.logs = logs
        self._said = frozenset(
            (str(log.get("blockHash")), str(log.get("logIndex")), str(log.get("transactionHash")), str(log.get("data")))
            for log in logs
            if not log.get("removed")
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Logs) and self._said == other._said

    def __hash__(self) -> int:
        return hash(self._said)


def headers_of(page: Page) -> list[Mapping[str, Any]]:
    """The block headers in an answer to one or a batch of eth_getBlockByNumber."""
    answer = page.json()
    answers = answer if isinstance(answer, list) else [answer]
    return [one["result"] for one in answers if isinstance(one, dict) and isinstance(one.get("result"), dict)]


def _request(method: str, params: Sequence[Any], number: int) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _said(error: Any) -> str:
    return f"{error.get('message')} (code {error.get('code')})" if isinstance(error, dict) else str(error)


def _dated(log: Mapping[str, Any]) -> bool:
    """Whether a log states its block's time: nodes leave it out, or say 0x0 where they do not know it."""
    stamp = log.get("blockTimestamp")
    return isinstance(stamp, str) and int(stamp, 16) != 0


def _number(quantity: Any) -> int:
    return int(quantity, 16)
