"""Kraken Futures' wire format: error codes, paging, timestamps, symbols, and joins to contract sizes.

Facts from Kraken's documentation and from public collectors; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import polars as pl

from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError, VenueUnavailableError
from pipelines.extract.venue import Context, Page
from pipelines.sources.records import SUBJECT, rejected

NAME: Final = "kraken"

PERPETUAL: Final = r"^P[FI]_"
"""PF is linear and settled in dollars, PI inverse. Dated contracts (FF, FI) and old ratios (PV) are skipped."""


FIRST_MILLISECONDS: Final = 100_000_000_000
"""Timestamps at or above this are milliseconds. The analytics are documented in seconds, but some series use milliseconds."""


def check(page: Page) -> None:
    """Raise for an error: a non-empty `error` or `errors`, depending on the API, possibly with status 200."""
    response = page.json()
    if not isinstance(response, dict):
        return
    error = response.get("error") or response.get("errors")
    if not error and response.get("result") != "error":
        return
    message = f"{NAME}: {page.where}: {error}"
    if "apiLimitExceeded" in str(error):
        raise ThrottledError(message, wait_seconds=10.0)
    if any(text in str(error) for text in ("Unavailable", "Server Error", "marketUnavailable", "overload")):
        raise VenueUnavailableError(message)
    raise RequestRefusedError(f"{message}. Compare the request with Kraken's documentation.")


GetRange = Callable[[int, int], Awaitable[Page]]


async def pages_while_more(
    get: GetRange, stamps: Callable[[Page], Sequence[int]], has_more: Callable[[Page], bool], *, start: int, end: int
) -> AsyncIterator[Page]:
    """Pages of rows from `start` on, oldest first, each starting after the newest row so far, while `has_more` is true. All in
    seconds. Raises SourceFormatError if `has_more` is true but no newer row came."""
    first = start
    while first < end:
        page = await get(first, end)
        if not (seen := stamps(page)):
            # An empty response is requested twice: a failing venue may return no rows.
            page = await get(first, end)
            seen = stamps(page)
        more = has_more(page)
        yield page
        if not more:
            return
        newest = max(map(to_seconds, seen), default=first - 1)
        if newest < first:
            raise SourceFormatError(f"{page.where}: more rows are announced, but no row is newer; the paging changed.")
        first = newest + 1


def to_seconds(stamp: int) -> int:
    """A timestamp in seconds or milliseconds, in seconds."""
    return stamp // 1000 if stamp >= FIRST_MILLISECONDS else stamp


def instant(column: str) -> pl.Expr:
    """A timestamp in seconds or milliseconds as naive UTC."""
    stamp = pl.col(column)
    micros = pl.when(stamp >= FIRST_MILLISECONDS).then(stamp * 1000).otherwise(stamp * 1_000_000)
    return micros.cast(pl.Datetime("us"))


def iso_instant(column: str) -> pl.Expr:
    """An ISO 8601 text ending in Z as naive UTC; null if it cannot be parsed."""
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)


def open_interest(period: str, event_at: pl.Expr) -> tuple[pl.Expr, ...]:
    """The columns of open interest, from contracts of known size."""
    inverse = pl.col("type") == "inverse"
    amount = pl.col("contracts") * pl.col("size")
    return (
        pl.lit(NAME).alias("venue"),
        pl.col(SUBJECT).alias("instrument"),
        pl.lit(period).alias("period"),
        event_at.alias("event_at"),
        pl.when(~inverse).then(amount).alias("oi_base"),
        pl.when(inverse).then(amount).alias("oi_usd"),
        pl.col("contracts").alias("oi_raw"),
        pl.lit("contracts").alias("oi_raw_unit"),
        pl.lit("one_sided").alias("counting"),
        event_at.alias("available_at"),
    )


def with_contracts(frame: pl.DataFrame, context: Context) -> pl.DataFrame:
    """`frame` joined with `type` and `size` of each row's contract; null if the contract is unknown."""
    sizes = context.instruments.select(
        pl.col("instrument").alias(SUBJECT),
        pl.col("contract_type").alias("type"),
        pl.col("contract_size").alias("size"),
    )
    return frame.join(sizes, on=SUBJECT, how="left", maintain_order="left")


def unknown_contracts(frame: pl.DataFrame, stamp: str) -> pl.DataFrame:
    """Rejects of `with_contracts`: the rows of unknown contracts."""
    return rejected(
        frame.filter(pl.col("type").is_null()),
        reason="unknown_instrument",
        detail="in no capture of Kraken's contracts",
        stamp=stamp,
    )
