"""Orderly: perpetuals and the liquidations of the whole network. Public endpoints of api.orderly.org; no key.

Facts from Orderly's documentation; what was not seen live is marked "?". Its funding and candles are not read.
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
from pipelines.sources.dex.perpetuals import listed
from pipelines.sources.records import LINE, Field, Record, at_path, from_ms, read_records, rejected

NAME: Final = "orderly"

# The server may give fewer to a page than it is asked for (?); `meta` says how many it gave.
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
"""What a liquidation says once for all its positions."""

CLAIM: Final = "claim"
"""A position that the insurance fund took over before, and that a liquidator now takes from it (?): no second liquidation."""

events = at_path("data", "rows")


def check(page: Page) -> None:
    """Errors are {"success": false, "code", "message"}, with a status of their own or 200."""
    answer = page.json()
    if answer.get("success") is True:
        return
    code = answer.get("code")
    said = f"{NAME}: {page.where}: code {code}: {answer.get('message')}"
    if code == -1003:  # rate limit exceeded; the next second is free again
        raise ThrottledError(said, wait_seconds=1.0)
    if code in (-1000, -1010, -1011):  # unknown error, internal time-outs (?)
        raise VenueUnavailableError(said)
    raise RequestRefusedError(f"{said}. Compare the request with Orderly's documentation.")


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All symbols that are traded now."""
    yield await api.get("/v1/public/info")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """PERP_<coin>_USDC; quantities are in coin."""
    yield listed(NAME, read_records(pages, events, SYMBOLS))


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """Liquidations of all accounts in numbered pages, in an order that is not documented.

    Whether the bounds are inclusive is not documented either (?), so a millisecond more is asked for at each end; the parser
    keeps what is of the span. The end is where as many were had as `meta` says there are.
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
                f"{page.where}: page {number} brought nothing new, and {len(seen)} of {total} liquidations are there; "
                "the paging changed."
            )
        number += 1


def total_of(page: Page) -> int:
    """How many liquidations there are on all pages."""
    try:
        return int(page.json()["data"]["meta"]["total"])
    except (KeyError, TypeError, ValueError) as error:
        raise SourceFormatError(f"{page.where}: no total in data.meta: {page.excerpt}") from error


def positions(page: Page) -> Sequence[Record]:
    """The closed positions of a page, flat: a liquidation closes all of an account's, each listed under it."""
    try:
        return [
            {**position, **{name: row[name] for name in SHARED}, "place": place}  # type: ignore[call-overload]
            for row in events(page)
            for place, position in enumerate(row["positions_by_perp"])  # type: ignore[call-overload]
        ]
    except (KeyError, TypeError) as error:
        raise SourceFormatError(
            f"{page.where}: a row without {', '.join(SHARED)} or positions_by_perp: {page.excerpt}"
        ) from error


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One row per closed position. position_qty is the liquidated position's own, in coin: below zero it was short (Orderly's
    rule for liquidators reads it so: above zero they buy). There is no price, hence no notional: marts price it.

    What liquidators claim from the insurance fund stays in the landing, having been liquidated before.
    """
    found = read_records(pages, positions, LIQUIDATIONS)
    frame = found.frame.with_columns(from_ms("at_ms").alias("occurred_at")).filter(
        pl.col("occurred_at").is_between(context.span.start, context.span.end, closed="left"), pl.col("kind") != CLAIM
    )
    quantity = pl.col("signed_base")
    understood = (pl.col("kind") == "liquidated") & (quantity != 0)
    rows = frame.filter(understood).select(
        pl.lit(NAME).alias("venue"),
        # Whether one liquidation can come in several parts is not documented (?): its number alone is not trusted.
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
    unfit = rejected(
        frame.filter(~understood), reason="undecodable", stamp="occurred_at", field="position_qty", instrument="instrument",
        detail="type is none that is documented, or the quantity is zero",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([found.rejects, unfit]))


OPENED: Final = date(2023, 10, 1)
"""The order book's mainnet opened in that month (?)."""

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.orderly.org"},
    # 10 requests a second per address.
    limits=(Limit(10, 1.0),),
    concurrency=4,
    check=check,
    # The server's clock, last or second field of every answer; rows begin with their own stamp and are left as they are.
    ignored_in_digest=re.compile(rb'(?<="success":true),"timestamp":\d+|,"timestamp":\d+(?=\}\s*$)'),
    notes="An order book that several front ends share. Liquidations come without a price.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals that are traded now.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=OPENED),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="liquidations",
            tables=("liquidations",),
            description="Closed positions of all liquidated accounts, in coin and without a price.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            retention=Retention(since=OPENED),
        ),
    ),
)
