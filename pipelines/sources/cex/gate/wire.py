"""Gate v4 futures' wire format: error labels, paths, and joins to contract sizes.

Facts from Gate's v4 documentation and from public collectors; anything not verified live is marked "?".
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

from pipelines.core.errors import NoLongerAvailableError, RequestRefusedError, ThrottledError, VenueUnavailableError
from pipelines.extract.venue import Context, Job, Page, Span
from pipelines.sources.records import RecordsOf, at_path

NAME: Final = "gate"
SETTLEMENTS: Final = ("usdt", "btc")
"""Settlement currencies, which are part of every path: USDT for linear contracts, BTC for the inverse BTC_USD."""

root_array: Final[RecordsOf] = at_path()


_TOO_OLD: Final = re.compile(r"exceeds \d+-day limit|points ago are allowed")
"""Refusals of 2026: from time exceeds 180-day limit; Candlestick too long ago. Maximum 10000 points ago are allowed."""


def check(page: Page) -> None:
    """Raise for an error object, which has a label and a status of 400 or above; other responses are arrays."""
    response = page.json()
    label = response.get("label") if isinstance(response, dict) else None
    if label is None:
        return
    message = f"{NAME}: {page.where}: {label}: {response.get('message', '')}"
    if label == "TOO_MANY_REQUESTS":
        raise ThrottledError(message, wait_seconds=10.0)
    if label in ("SERVER_ERROR", "INTERNAL", "TOO_BUSY"):
        raise VenueUnavailableError(message)
    if label == "CONTRACT_NOT_FOUND":
        raise RequestRefusedError(f"{message}. Gate no longer lists this contract; its history cannot be fetched.")
    if _TOO_OLD.search(str(response.get("message", ""))):
        raise NoLongerAvailableError(f"{message}. Gate does not keep this past any more.")
    raise RequestRefusedError(f"{message}. Compare the request with Gate's documentation.")


def base_path(job: Job) -> str:
    """The base path of the job's contract."""
    return "/futures/usdt" if job.instrument["contract_type"] == "linear" else "/futures/btc"


def seconds(span: Span) -> tuple[int, int]:
    """Start and end of `span` in seconds since the epoch."""
    return span.start_ms // 1000, span.end_ms // 1000


def with_contracts(frame: pl.DataFrame, context: Context, instrument: str) -> pl.DataFrame:
    """`frame` joined with `type` and `size` of each row's contract; null if the contract is unknown."""
    sizes = context.instruments.select(
        pl.col("instrument").alias(instrument),
        pl.col("contract_type").alias("type"),
        pl.col("contract_size").alias("size"),
    )
    return frame.join(sizes, on=instrument, how="left", maintain_order="left")
