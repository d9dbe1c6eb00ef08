"""JSON-RPC nodes of an EVM chain: logs, block times and eth_call.

A block range that a node refuses is halved, for an unknown reason once; a filter with too many addresses is cut in two. Nodes fail
over; where several answer, two must agree. Nodes are the endpoints named rpc, rpc_2, …; their URLs may contain a token and are
never recorded.
"""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from pipelines.core.errors import (
    BlockedError,
    NoLongerAvailableError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    VenueUnavailableError,
)
from pipelines.extract import fetch_log
from pipelines.extract.venue import Api, NotYetPublishedError, Page, Span
from pipelines.sources.chain.evm.logs import LogFilter, headers_of
from pipelines.sources.chain.portal import BlockRange

NODE: Final = "rpc"
NODES: Final = re.compile(rf"{NODE}(_[1-9][0-9]*)?")
NODE_REQUESTS: Final = "node_requests"
COSTS: Final = {NODE_REQUESTS: 1.0}
HEADERS_PER_BATCH: Final = 100
CALLS_PER_BATCH: Final = 99

RANGE_ERROR: Final = re.compile(
    r"query returned more than|block range|range (is )?(too (large|wide|big)|limit)|exceed(s|ed)? .*(range|limit|size)"
    r"|(range|size|limit) .*exceed|too many (results|logs|blocks)|response (is )?too (large|big)|more than \d+ (results|logs)"
    r"|query time-?out|timed? ?out|limited to .*(blocks|range)|limit exceeded|max(imum)? .*(blocks|results|range)"
    # dRPC's free tier; 1rpc; Coinbase; Harmony; geth and proxies that give up; Optimism's proxy, when every node behind it did.
    r"|ranges? over \d+|is limited to [\d -]+|limit the query to|must be smaller than size|deadline exceeded"
    r"|no backend is currently healthy|range is bigger|too (wide|large|high)|max(imum)? range|bigger than range",
    re.IGNORECASE,
)
"""Messages that mean a block range holds too much. Their codes (-32005, -32000, -32602, -32614, …) have other meanings too."""

ADDRESS_ERROR: Final = re.compile(
    r"max(imum)? (number of )?(addresses|topics)|too many (addresses|topics|parameters)|(addresses|topics) .*(limit|exceed)",
    re.IGNORECASE,
)
"""Messages that mean a filter has too many addresses or topics."""

THROTTLED: Final = re.compile(
    r"rate limit|request rate|too many requests|requests? (count|limit) |capacity (limit )?exceeded|compute units",
    re.IGNORECASE,
)
"""Messages of a rate limit in an answer of status 200."""

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1)
_FAULTS: Final = (VenueUnavailableError, RequestRefusedError, SourceFormatError)


class _RangeTooWideError(Exception):
    """A node wants a shorter block range."""


class _TooManyAddressesError(Exception):
    """A node wants fewer addresses or topics in a filter."""


class _NodesDisagreeError(VenueUnavailableError):
    """No two nodes gave the same answer."""


def nodes_of(endpoints: Collection[str]) -> tuple[str, ...]:
    """The endpoints that are nodes, sorted by name: rpc, rpc_2, …"""
    return tuple(sorted(name for name in endpoints if name == NODE or name.startswith(f"{NODE}_")))


def check_node(page: Page) -> None:
    """Raise ThrottledError if a node's answer reports a rate limit. Other errors are left to the caller."""
    answer = page.json()
    error = answer.get("error") if isinstance(answer, dict) else None
    if error and THROTTLED.search(_message(error)):
        raise ThrottledError(f"{page.where}: {_message(error)}")


class NodeLogs:
    """One or more nodes of a chain. Blocks nearer to the head than `confirmations` are not read."""

    def __init__(self, api: Api, *, confirmations: int) -> None:
        self._api = api
        self._nodes = nodes_of(api.endpoints)
        self._confirmations = confirmations
        self._known: dict[tuple[str, int], tuple[int, str, datetime]] = {}

    async def blocks(self, span: Span) -> BlockRange:
        """The blocks of a span, by bisection over block times on one node; the blocks at both ends are then checked on a second
        node. Raises NotYetPublishedError unless all of them are final."""
        faults: list[Exception] = []
        for node in self._nodes:
            try:
                found = await self._bisect(node, span)
                ends = [n for n in (found.first - 1, found.first, found.last, found.last + 1) if n >= 0]
                headers = await self._agreed(lambda at, ends=tuple(ends): self._ends(at, ends))  # type: ignore[misc]
                for number, _, stamp in headers:
                    inside = span.start <= stamp < span.end
                    if inside != (found.first <= number <= found.last):
                        raise VenueUnavailableError(
                            f"nodes disagree: block {number} has the time {stamp}, but {node} places it elsewhere."
                        )
            except _FAULTS as fault:
                faults.append(fault)
            else:
                return found
        raise faults[-1]

    async def logs(self, blocks: BlockRange, log_filter: LogFilter) -> AsyncIterator[Page]:
        """Pages with every matching log of `blocks`, then the headers of blocks whose time no log states."""
        position, size = blocks.first, min(blocks.last - blocks.first + 1, self._api.node_blocks or sys.maxsize)
        filters: tuple[LogFilter, ...] = (log_filter,)
        undated: dict[int, str] = {}
        is_second_try = False
        while position <= blocks.last:
            part = BlockRange(position, min(position + size - 1, blocks.last))
            try:
                answers = [
                    await self._agreed(lambda node, part=part, one=one: self._logs(node, part, one))  # type: ignore[misc]
                    for one in filters
                ]
            except _TooManyAddressesError as error:
                halves = tuple(half for one in filters for half in one.halves())
                if halves == filters:
                    raise RequestRefusedError(f"every node refuses a filter of one address: {error}") from error
                filters = halves
                continue
            except (_RangeTooWideError, ThrottledError) as error:
                # 429 can also mean that one request costs too much: a shorter range may pass.
                if part.first == part.last:
                    if isinstance(error, ThrottledError):
                        raise
                    raise RequestRefusedError(f"every node refuses block {part.first} alone: {error}") from error
                size = max(1, (part.last - part.first + 1) // 2)
                continue
            except (_NodesDisagreeError, BlockedError, NoLongerAvailableError):
                raise
            except (RequestRefusedError, VenueUnavailableError) as error:
                # Nodes word it in many ways, and some give up without a word: half of the range is the test.
                if is_second_try or part.first == part.last:
                    raise
                fetch_log.record(
                    fetch_log.problem_of(error), f"{error}; half of the range is tried", effect="asked_again"
                )
                is_second_try, size = True, max(1, (part.last - part.first + 1) // 2)
                continue
            is_second_try = False
            for found in answers:
                undated |= {
                    _number(log["blockNumber"]): str(log["blockHash"]) for log in found.logs if not _is_dated(log)
                }
                yield found.page
            position = part.last + 1
        numbers = sorted(undated)
        for start in range(0, len(numbers), HEADERS_PER_BATCH):
            for page in await self._headers(numbers[start : start + HEADERS_PER_BATCH], undated):
                yield page

    async def calls(self, requests: Sequence[Mapping[str, Any]]) -> AsyncIterator[Page]:
        """Answers to eth_call at the head, in batches, each as two nodes give it. A call that a contract reverts is an error in
        its answer, not a fault of the node."""
        for start in range(0, len(requests), CALLS_PER_BATCH):
            part = requests[start : start + CALLS_PER_BATCH]
            for page in (await self._agreed(lambda node, part=part: self._calls(node, part))).pages:  # type: ignore[misc]
                yield page

    async def _calls(self, node: str, requests: Sequence[Mapping[str, Any]]) -> _Calls:
        batch = [_request("eth_call", [call, "latest"], n) for n, call in enumerate(requests, start=1)]
        page = await self._api.post("", body=batch, endpoint=node, costs=COSTS, accept=(200, 400))
        if page.status == 200 and isinstance(page.json(), list) and len(page.json()) == len(batch):
            return _Calls([page])
        pages = [await self._api.post("", body=one, endpoint=node, costs=COSTS, accept=(200,)) for one in batch]
        for one in pages:
            _response(one, node)
        return _Calls(pages)

    async def _agreed(self, ask: Callable[[str], Awaitable[T]]) -> T:
        """The answer that two nodes give. If only one node answers, its answer is taken unchecked."""
        answers: list[tuple[str, T]] = []
        faults: list[Exception] = []
        for node in self._nodes:
            try:
                answer = await ask(node)
            except _FAULTS as fault:
                # Another node may answer.
                fetch_log.record(fetch_log.problem_of(fault), str(fault), effect="asked_again")
                faults.append(fault)
                continue
            if any(answer == earlier for _, earlier in answers):
                return answer
            answers.append((node, answer))
        if len(answers) == 1:
            return answers[0][1]
        if answers:
            raise _NodesDisagreeError(
                f"nodes disagree: {', '.join(node for node, _ in answers)} give different answers. "
                "Configure a third node, or remove the one that is wrong."
            )
        raise faults[-1]

    async def _logs(self, node: str, part: BlockRange, log_filter: LogFilter) -> _Logs:
        topics: list[Any] = [list(log_filter.topics0)]
        if log_filter.topics1:
            topics.append(list(log_filter.topics1))
        params = {
            "fromBlock": hex(part.first), "toBlock": hex(part.last), "address": list(log_filter.contracts),
            "topics": topics,
        }  # fmt: skip
        page, logs = await self._call(node, "eth_getLogs", [params])
        if not isinstance(logs, list):
            raise SourceFormatError(f"{page.where}: {node}: expected an array from eth_getLogs: {page.excerpt}")
        for log in logs:
            try:
                is_inside = part.first <= _number(log["blockNumber"]) <= part.last
                matches = is_inside and log_filter.matches(log["address"], log["topics"])
            except (KeyError, TypeError, ValueError) as error:
                raise SourceFormatError(f"{page.where}: {node}: malformed log ({error!r}): {str(log)[:200]}") from error
            if not matches:
                raise VenueUnavailableError(f"{node}: returned a log that does not match the filter: {str(log)[:200]}")
        return _Logs(page, logs)

    async def _headers(self, numbers: Sequence[int], hashes: Mapping[int, str]) -> list[Page]:
        """Headers of blocks, in one batch if the node supports batches."""
        faults: list[Exception] = []
        for node in self._nodes:
            try:
                pages = await self._header_pages(node, numbers)
                for page in pages:
                    for header in headers_of(page):
                        number = _number(header["number"])
                        if header["hash"] != hashes[number]:
                            raise VenueUnavailableError(f"{node}: block {number} was replaced during the fetch.")
            except _FAULTS as fault:
                faults.append(fault)
            except (KeyError, TypeError, ValueError) as error:
                faults.append(SourceFormatError(f"{node}: malformed block header: no {error}."))
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
        """The first block of [low, high] with a time at or after `moment`; block `high` is known to be one."""
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
        """Number, hash and time of a block, requested once per node."""
        if (node, number) not in self._known:
            self._known[node, number] = await self._fetch_header(node, number)
        return self._known[node, number]

    async def _fetch_header(self, node: str, number: int) -> tuple[int, str, datetime]:
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
            raise _RangeTooWideError(f"{node}: status 413")
        response = _response(page, node)
        if response.get("error"):
            message = _message(response["error"])
            if method == "eth_getLogs" and ADDRESS_ERROR.search(message):
                raise _TooManyAddressesError(f"{node}: {message}")
            if method == "eth_getLogs" and RANGE_ERROR.search(message):
                raise _RangeTooWideError(f"{node}: {message}")
            raise RequestRefusedError(f"{node}: {method}: {message}")
        return page, response["result"]


class _Calls:
    """Answers to a batch of calls; equal if every call has the same result."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self.pages = pages
        answers = [one for page in pages for one in (page.json() if isinstance(page.json(), list) else [page.json()])]
        self._results = frozenset((one.get("id"), one.get("result")) for one in answers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Calls) and self._results == other._results

    def __hash__(self) -> int:
        return hash(self._results)


class _Logs:
    """An answer to eth_getLogs; equal if it holds the same logs, whatever other fields they have."""

    def __init__(self, page: Page, logs: Sequence[Mapping[str, Any]]) -> None:
        self.page = page
        self.logs = logs
        self._keys = frozenset(
            (str(log.get("blockHash")), str(log.get("logIndex")), str(log.get("transactionHash")), str(log.get("data")))
            for log in logs
            if not log.get("removed")
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Logs) and self._keys == other._keys

    def __hash__(self) -> int:
        return hash(self._keys)


def _request(method: str, params: Sequence[Any], number: int) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}


def _response(page: Page, node: str) -> Mapping[str, Any]:
    answer = page.json()
    if not isinstance(answer, dict) or ("error" not in answer and "result" not in answer):
        raise SourceFormatError(f"{page.where}: {node}: expected a JSON-RPC response: {page.excerpt}")
    return answer


def _message(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)
    # Some nodes say "invalid params" and give the reason in `data`.
    more = f": {str(error['data'])[:200]}" if error.get("data") else ""
    return f"{error.get('message')}{more} (code {error.get('code')})"


def _is_dated(log: Mapping[str, Any]) -> bool:
    """Whether a log states its block's time. Nodes leave it out, or send 0x0, when they do not know it."""
    stamp = log.get("blockTimestamp")
    return isinstance(stamp, str) and int(stamp, 16) != 0


def _number(quantity: Any) -> int:
    return int(quantity, 16)
