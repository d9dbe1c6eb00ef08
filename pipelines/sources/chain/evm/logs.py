"""Landed answers of a log source (the portal's stream, a node's JSON-RPC) as one frame of logs. No decoding of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import polars as pl

from pipelines.core.errors import SourceFormatError
from pipelines.extract.logs import PORTAL
from pipelines.extract.logs_node import headers_of
from pipelines.extract.venue import Page
from pipelines.sources.chain.evm.abi import LOG_COLUMNS
from pipelines.sources.records import LINE, from_seconds

SCHEMA: Final[dict[str, pl.DataType]] = {
    **dict.fromkeys(LOG_COLUMNS, pl.String()),
    "occurred_at": pl.Datetime("us"),
    LINE: pl.Int64(),
}
"""LOG_COLUMNS as evm.decode_logs takes them, the time of the block, and the number of the log in the landing."""


@dataclass
class _Columns:
    logs: list[Mapping[str, Any]] = field(default_factory=list)
    numbers: list[Any] = field(default_factory=list)
    seconds: list[int | None] = field(default_factory=list)


def read_logs(pages: Iterable[Page]) -> pl.DataFrame:
    """The logs of all pages with SCHEMA, in the order of the pages. Logs that a node marks as removed are none.

    Raises SourceFormatError naming the page and the missing field, and for a log whose block's time nobody told.
    """
    columns, times = _Columns(), dict[int, int]()
    answers: list[tuple[Page, Sequence[Mapping[str, Any]]]] = []
    for page in pages:
        try:
            if page.request.get("endpoint") == PORTAL:
                _read_stream(page, columns)
            elif (method := method_of(page)) == "eth_call":
                continue
            elif method == "eth_getBlockByNumber":
                times |= {int(one["number"], 16): int(one["timestamp"], 16) for one in headers_of(page)}
            else:
                answers.append((page, [log for log in page.json()["result"] if not log.get("removed")]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SourceFormatError(f"{page.where}: logs are not as documented ({error!r}): {page.excerpt}") from error
    for page, logs in answers:
        try:
            _read_answer(logs, times, columns)
        except (KeyError, TypeError, ValueError) as error:
            raise SourceFormatError(f"{page.where}: a log is not as documented ({error!r}): {page.excerpt}") from error
    return _frame(columns)


def _read_stream(page: Page, columns: _Columns) -> None:
    for line in page.body.splitlines():
        block = orjson.loads(line)
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
            # The portal tells numbers, nodes 0x-hex.
            "logIndex": [index if isinstance(index := log["logIndex"], str) else hex(index) for log in logs],
        }
    except (KeyError, TypeError) as error:
        raise SourceFormatError(f"a log has no {error}; the format of the source changed.") from error
    frame = pl.DataFrame(cells, schema={name: SCHEMA[name] for name in LOG_COLUMNS})
    return frame.with_columns(
        pl.Series("seconds", columns.seconds, dtype=pl.Int64),
        pl.int_range(1, len(logs) + 1, dtype=pl.Int64).alias(LINE),
    ).select(*LOG_COLUMNS, from_seconds("seconds").alias("occurred_at"), LINE)


def method_of(page: Page) -> str:
    """What a node was asked by the request of a page, or by the first of a batch; empty for the portal."""
    body = page.request["body"]
    return str((body[0] if isinstance(body, list) else body).get("method", ""))
