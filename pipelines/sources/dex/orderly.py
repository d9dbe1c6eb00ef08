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
from pipelines.sources.records import LINE, Field, Record, at_path, from_ms, read_records, rejected

NAME: Final = "orderly"

# The server may return fewer rows per page than requested (?); `meta` states the page size.
PAGE_SIZE: Final = 100

SYMBOLS: Final = (Field("symbol", "instrument", str),)
LIQUIDATIONS: Final = (
    Field("liquidation_id", "number", int),
    Field("place", "place", int),
    Field("type", "kind", str),
    Field("timestamp", "at_ms", int),
    Field("symbol", "instrument", str),
    Field("position_qty", "signed_base", float),
)

SHARED: Final = ("liquidation_id", "timestamp", "type")
"""Fields of a liquidation that apply to all its positions."""

CLAIM: Final = "claim"
"""A liquidator takes over a position from the insurance fund (?). It was liquidated before, so it is not counted again."""

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
    """Liquidations of all accounts, in numbered pages of undocumented order.

    Whether the bounds are inclusive is undocumented too (?), so each is widened by a millisecond and the parser filters by the
    span. Paging ends when the total stated in `meta` is reached.
    """
    seen: set[bytes] = set()
    number = 1
    while True:
        page = await api.get(
            "/v1/public/liquidation",
            subject=job.subject,
            params={"start_t": job.span.start_ms - 1, "end_t": job.span.end_ms + 1, "page": number, "size": PAGE_SIZE},
        )
        before, total = len(seen), total_of(page)
        seen |= {orjson.dumps(row) for row in events(page)}
        yield page
        if len(seen) >= total:
            return
        if len(seen) == before:
            raise SourceFormatError(
                f"{page.where}: page {number} has no new rows, but only {len(seen)} of {total} liquidations were received; "
                "the venue's paging changed."
            )
        number += 1


def total_of(page: Page) -> int:
    """Number of liquidations on all pages."""
    try:
        return int(page.json()["data"]["meta"]["total"])
    except (KeyError, TypeError, ValueError) as error:
        raise SourceFormatError(f"{page.where}: expected an integer in data.meta.total: {page.excerpt}") from error


def positions(page: Page) -> Sequence[Record]:
    """The closed positions of a page, flattened: a liquidation closes and lists all positions of an account."""
    try:
        return [
            {**position, **{name: row[name] for name in SHARED}, "place": place}  # type: ignore[call-overload]
            for row in events(page)
            for place, position in enumerate(row["positions_by_perp"])  # type: ignore[call-overload]
        ]
    except (KeyError, TypeError) as error:
        raise SourceFormatError(
            f"{page.where}: a row is missing {', '.join(SHARED)} or positions_by_perp: {page.excerpt}"
        ) from error


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One row per closed position. position_qty is the liquidated position in coin; a negative one was short (by Orderly's rule for
    liquidators, who buy positive quantities). There is no price and so no notional; marts price it.

    Claims from the insurance fund stay in the landing, since those positions were liquidated before.
    """
    found = read_records(pages, positions, LIQUIDATIONS)
    frame = found.frame.with_columns(from_ms("at_ms").alias("occurred_at")).filter(
        pl.col("occurred_at").is_between(context.span.start, context.span.end, closed="left"), pl.col("kind") != CLAIM
    )
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
        pl.lit(None, pl.Float64).alias("price"),
        quantity.abs().alias("quantity_base"),
        pl.lit(None, pl.Float64).alias("notional_usd"),
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
    notes="An order book shared by several front ends. Liquidations have no price.",
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
            description="Closed positions of all liquidated accounts, in coin, without a price.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            retention=Retention(since=OPENED),
        ),
    ),
)
