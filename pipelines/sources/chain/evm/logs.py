"""Event logs of an EVM chain: the filter they are requested with, SQD's portal as a source, and landed answers as one frame.

JSON-RPC nodes are the other source (nodes.py). Events are decoded by abi.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.extract.venue import Page, Span
from pipelines.sources.account import LINE, count_page, leave_out
from pipelines.sources.chain.evm.abi import LOG_COLUMNS
from pipelines.sources.chain.portal import PORTAL, BlockRange, Portal, blocks_of
from pipelines.sources.records import from_seconds

FIELDS: Final = {
    "block": {"number": True, "hash": True, "timestamp": True},
    "log": {"address": True, "topics": True, "data": True, "transactionHash": True, "logIndex": True},
}
"""Fields requested from the portal."""

SCHEMA: Final[dict[str, pl.DataType]] = {
    **dict.fromkeys(LOG_COLUMNS, pl.String()),
    "occurred_at": pl.Datetime("us"),
    LINE: pl.Int64(),
}
"""LOG_COLUMNS as abi.decode_logs takes them, the block's time, and the number of the log in the landing."""


@dataclass(frozen=True)
class LogFilter:
    """Logs of `contracts` whose first topic is one of `topics0` and, if given, whose second topic is one of `topics1`.

    Contracts are required, because any contract can emit any event. All values are lower-case 0x-hex.
    """

    contracts: tuple[str, ...]
    topics0: tuple[str, ...]
    topics1: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.contracts or not self.topics0:
            raise ValueError("a log filter needs contracts and events")

    def halves(self) -> tuple[LogFilter, ...]:
        """The filter cut in two by its longest list; itself alone if every list has one entry."""
        longest = max(("contracts", "topics0", "topics1"), key=lambda name: len(getattr(self, name)))
        values: tuple[str, ...] = getattr(self, longest)
        if len(values) == 1:
            return (self,)
        middle = len(values) // 2
        return tuple(replace(self, **{longest: part}) for part in (values[:middle], values[middle:]))

    def matches(self, address: str, topics: Sequence[str]) -> bool:
        """Whether a log belongs in the answer to this filter."""
        return (
            address.lower() in self.contracts
            and bool(topics)
            and topics[0].lower() in self.topics0
            and (not self.topics1 or (len(topics) > 1 and topics[1].lower() in self.topics1))
        )


class LogSource(Protocol):
    """Where the logs of a chain are fetched."""

    async def blocks(self, span: Span) -> BlockRange:
        """The blocks whose time lies in `span`. Raises NotYetPublishedError unless all of them are final."""
        ...

    def logs(self, blocks: BlockRange, log_filter: LogFilter) -> AsyncIterator[Page]:
        """Pages with every matching log of `blocks`, and the times of their blocks."""
        ...


class PortalLogs(Portal):
    """Logs from SQD's portal."""

    async def logs(self, blocks: BlockRange, log_filter: LogFilter) -> AsyncIterator[Page]:
        async for page in self.stream(blocks, lambda part: query(part, log_filter)):
            yield page


def query(blocks: BlockRange, log_filter: LogFilter) -> dict[str, Any]:
    """Body of a portal query."""
    item: dict[str, Any] = {"address": list(log_filter.contracts), "topic0": list(log_filter.topics0)}
    if log_filter.topics1:
        item["topic1"] = list(log_filter.topics1)
    return {"type": "evm", "fromBlock": blocks.first, "toBlock": blocks.last, "fields": FIELDS, "logs": [item]}


@dataclass
class _Columns:
    logs: list[Mapping[str, Any]] = field(default_factory=list)
    numbers: list[Any] = field(default_factory=list)
    seconds: list[int | None] = field(default_factory=list)
    before: int | None = None
    """Records of the landing that were read before these."""

    def count(self, page: Page, logs: int) -> None:
        before = count_page(page, logs)
        self.before = before if self.before is None else self.before


def read_logs(pages: Iterable[Page]) -> pl.DataFrame:
    """The logs of all pages with SCHEMA, in the order of the pages, without those that a node marks as removed.

    Raises SourceFormatError naming the page and the missing field, also for a log whose block has no known time.
    """
    columns, times = _Columns(), dict[int, int]()
    answers: list[tuple[Page, Sequence[Mapping[str, Any]]]] = []
    for page in pages:
        try:
            if page.request.get("endpoint") == PORTAL:
                before = len(columns.logs)
                _read_stream(page, columns)
                columns.count(page, len(columns.logs) - before)
            elif (method := method_of(page)) == "eth_call":
                continue
            elif method == "eth_getBlockByNumber":
                times |= {int(header["number"], 16): int(header["timestamp"], 16) for header in headers_of(page)}
            else:
                answers.append((page, [log for log in page.json()["result"] if not log.get("removed")]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SourceFormatError(f"{page.where}: malformed logs ({error!r}): {page.excerpt}") from error
    for page, logs in answers:
        try:
            _read_answer(logs, times, columns)
            columns.count(page, len(logs))
        except (KeyError, TypeError, ValueError) as error:
            raise SourceFormatError(f"{page.where}: malformed log ({error!r}): {page.excerpt}") from error
    frame = _frame(columns)
    # Until a parser makes a row or a reject of it: registries, lists and copies say how other logs are read.
    leave_out(frame, "looked_up")
    # A log that was answered twice is one: what is added up within a transaction would double.
    return frame.unique(LOG_COLUMNS, keep="first", maintain_order=True)


def _read_stream(page: Page, columns: _Columns) -> None:
    for block in blocks_of(page, "logs"):
        logs = block.get("logs")
        if logs:
            count = len(logs)
            columns.logs.extend(logs)
            columns.numbers.extend([hex(block["header"]["number"])] * count)
            columns.seconds.extend([int(block["header"]["timestamp"])] * count)


def _read_answer(logs: Sequence[Mapping[str, Any]], times: Mapping[int, int], columns: _Columns) -> None:
    for log in logs:
        stated = int(log.get("blockTimestamp") or "0x0", 16)
        seconds = stated or times.get(int(log["blockNumber"], 16))
        if seconds is None:
            raise ValueError(f"the time of block {log['blockNumber']} is not in the landing")
        columns.logs.append(log)
        columns.numbers.append(log["blockNumber"])
        columns.seconds.append(seconds)


def _frame(columns: _Columns) -> pl.DataFrame:
    logs = columns.logs
    try:
        cells: dict[str, list[Any]] = {
            "address": [log["address"] for log in logs],
            "topics": [" ".join(log["topics"]) for log in logs],
            "data": [log["data"] for log in logs],
            "blockNumber": columns.numbers,
            "transactionHash": [log["transactionHash"] for log in logs],
            # A number from the portal, 0x-hex from a node.
            "logIndex": [index if isinstance(index := log["logIndex"], str) else hex(index) for log in logs],
        }
    except (KeyError, TypeError) as error:
        raise SourceFormatError(f"malformed log: no {error}; the format of the source changed.") from error
    frame = pl.DataFrame(cells, schema={name: SCHEMA[name] for name in LOG_COLUMNS})
    return frame.with_columns(
        pl.Series("seconds", columns.seconds, dtype=pl.Int64),
        (pl.int_range(1, len(logs) + 1, dtype=pl.Int64) + (columns.before or 0)).alias(LINE),
    ).select(*LOG_COLUMNS, from_seconds("seconds").alias("occurred_at"), LINE)


def method_of(page: Page) -> str:
    """JSON-RPC method of a page's request, or of the first in its batch; empty for the portal."""
    body = page.request["body"]
    return str((body[0] if isinstance(body, list) else body).get("method", ""))


def headers_of(page: Page) -> list[Mapping[str, Any]]:
    """Block headers in the answer to one eth_getBlockByNumber, or to a batch of them."""
    answer = page.json()
    answers = answer if isinstance(answer, list) else [answer]
    return [one["result"] for one in answers if isinstance(one, dict) and isinstance(one.get("result"), dict)]
