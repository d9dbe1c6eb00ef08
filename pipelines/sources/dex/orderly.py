"""Orderly: perpetuals, and liquidations of the whole network. Public endpoints of api.orderly.org; no key.

Facts from Orderly's documentation; anything not verified live is marked "?". Funding and candles are not read.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from typing import Final

import orjson
import polars as pl

from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError, VenueUnavailableError
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import Api, Capture, Context, Feed, Job, Page, Parsed, Retention, Venue
from pipelines.sources.dex.perpetuals import linear_perpetuals
from pipelines.sources.records import (
    LINE,
    Field,
    Record,
    at_path,
    flattened,
    from_ms,
    kept,
    read_records,
    rejected,
    within,
)

NAME: Final = "orderly"

# The server may return fewer rows per page than requested (?).
PAGE_SIZE: Final = 100

SYMBOLS: Final = (Field("symbol", "instrument", str),)
LIQUIDATIONS: Final = (
    Field("liquidation_id", "number", int),
    Field("place", "place", int),
    Field("type", "kind", str),
    Field("timestamp", "at_ms", int),
    Field("symbol", "instrument", str),
    Field("position_qty", "signed_base", float),
    Field("transfer_price", "price", float, optional=True),
    Field("cost_position_transfer", "cost", float, optional=True),
)

SHARED: Final = ("liquidation_id", "timestamp", "type")
"""Fields of a liquidation that apply to all its positions."""

MOST_COUNTED: Final = 500
"""`meta.total` says 500 for any larger number."""

CLAIM: Final = "claim"
"""A liquidator takes over a position from the insurance fund (?). It was liquidated before, so it is not counted again."""

LIQUIDATED: Final = "/v1/public/liquidated_positions"
"""What was liquidated. /v1/public/liquidation, which was read before, lists positions that are under liquidation and claimable."""

events = at_path("data", "rows")


def check(page: Page) -> None:
    """Raise for an error, {"success": false, "code", "message"}, sent with an error status or 200."""
    response = page.json()
    if response.get("success") is True:
        return
    code = response.get("code")
    message = f"{NAME}: {page.where}: code {code}: {response.get('message')}"
    if code == -1003:  # rate limit exceeded; it resets every second
        raise ThrottledError(message, wait_seconds=1.0)
    if code in (-1000, -1010, -1011):  # unknown error, internal timeouts (?)
        raise VenueUnavailableError(message)
    raise RequestRefusedError(f"{message}. Compare the request with Orderly's documentation.")


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All symbols listed now."""
    yield await api.get("/v1/public/info")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """PERP_<coin>_USDC; quantities are in coin."""
    yield linear_perpetuals(NAME, read_records(pages, events, SYMBOLS))


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """Liquidated positions of all accounts, in numbered pages of undocumented order.

    Whether the bounds are inclusive is undocumented too (?), so each is widened by a millisecond and the parser filters by the
    span. Pages are read until one is empty: the total in `meta` saturates. If they end exactly at a saturated total, the server
    may serve no more, and both halves of the window are read too; repeated rows have the same ids.
    """
    pending = [(job.span.start_ms, job.span.end_ms)]
    while pending:
        start, end = pending.pop()
        seen: set[bytes] = set()
        total = 0
        async for page in _numbered_pages(api, job.subject, start - 1, end + 1):
            found = events(page)
            before, total = len(seen), max(total, total_of(page))
            seen |= {orjson.dumps(row) for row in found}
            if found and len(seen) == before:
                raise SourceFormatError(
                    f"{page.where}: a page has no new rows after {before} of {total} liquidations; the venue's paging changed."
                )
            if not found and len(seen) < total:
                raise SourceFormatError(
                    f"{page.where}: an empty page, but only {len(seen)} of {total} liquidations were received; the venue's "
                    "paging changed."
                )
            yield page
        if len(seen) == total >= MOST_COUNTED and end - start > 1:
            middle = (start + end) // 2
            pending += [(middle, end), (start, middle)]


async def _numbered_pages(api: Api, subject: str, start: int, end: int) -> AsyncIterator[Page]:
    """Pages of a window through the first empty one; an empty first page is requested twice."""
    number, asked_again = 1, False
    while True:
        page = await api.get(
            LIQUIDATED,
            subject=subject,
            params={"start_t": start, "end_t": end, "page": number, "size": PAGE_SIZE},
        )
        has_rows = bool(events(page))
        if number == 1 and not has_rows and not asked_again:
            asked_again = True
            continue
        yield page
        if not has_rows:
            return
        number += 1


def total_of(page: Page) -> int:
    """Number of liquidations on all pages, at most MOST_COUNTED."""
    try:
        return int(page.json()["data"]["meta"]["total"])
    except (KeyError, TypeError, ValueError) as error:
        raise SourceFormatError(f"{page.where}: expected an integer in data.meta.total: {page.excerpt}") from error


def positions(page: Page) -> Sequence[Record]:
    """The closed positions of a page, flattened: a liquidation closes and lists all positions of an account."""
    return flattened(page, events(page), "positions_by_perp", SHARED)


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One row per closed position. position_qty is the liquidated position in coin; a negative one was short (by Orderly's rule for
    liquidators, who buy positive quantities). transfer_price is the price at which the position was taken over and
    cost_position_transfer its notional; without them marts price the row.

    Claims from the insurance fund stay in the landing, since those positions were liquidated before.
    """
    found = read_records(pages, positions, LIQUIDATIONS)
    timed = found.frame.with_columns(from_ms("at_ms").alias("occurred_at"))
    frame = kept(within(timed, "occurred_at", context), pl.col("kind") != CLAIM, "counted_before")
    quantity = pl.col("signed_base")
    is_decodable = (pl.col("kind") == "liquidated") & (quantity != 0)
    rows = frame.filter(is_decodable).select(
        pl.lit(NAME).alias("venue"),
        # Whether a liquidation can have several parts is undocumented (?), so its number alone may not be unique.
        pl.concat_str("number", "at_ms", "instrument", "place", separator=":").alias("liquidation_id"),
        pl.lit("perp_dex").alias("venue_kind"),
        "instrument",
        "occurred_at",
        pl.when(quantity > 0).then(pl.lit("long")).otherwise(pl.lit("short")).alias("side"),
        pl.when(pl.col("price") > 0).then("price").alias("price"),
        quantity.abs().alias("quantity_base"),
        pl.when(pl.col("cost").abs() > 0).then(pl.col("cost").abs()).alias("notional_usd"),
        pl.lit("full").alias("completeness"),
        pl.lit(value=False).alias("is_adl"),
        pl.col("occurred_at").alias("available_at"),
        LINE,
    )
    undecodable = rejected(
        frame.filter(~is_decodable), reason="undecodable", stamp="occurred_at", field="position_qty", instrument="instrument",
        detail="type is none that is documented, or the quantity is zero",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([found.rejects, undecodable]))


OPENED: Final = date(2023, 10, 1)
"""Month in which the order book's mainnet opened (?)."""

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.orderly.org"},
    # 10 requests per second and address.
    limits=(Limit(10, 1.0),),
    concurrency=4,
    check=check,
    # The server clock, the last or second field of every response; the timestamps of rows are not matched.
    ignored_in_digest=re.compile(rb'(?<="success":true),"timestamp":\d+|,"timestamp":\d+(?=\}\s*$)'),
    notes="An order book shared by several front ends.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals listed now.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=OPENED),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="liquidations",
            tables=("liquidations",),
            description="Closed positions of all liquidated accounts, with the price at which they were taken over.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            retention=Retention(since=OPENED),
        ),
    ),
)
