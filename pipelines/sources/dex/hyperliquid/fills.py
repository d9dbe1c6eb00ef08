"""Hyperliquid's liquidations, selected from the fills of its chain: from SQD's portal (no key) or from a node's files.

Each trade has two fills, one per side, and either may carry the liquidation. The venue's own API is in venue.py.
Facts from SQD's documentation and from recorded fills; anything not verified live is marked "?".
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import polars as pl

from pipelines.contract.batch import SourceRules
from pipelines.core.errors import SourceFormatError
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    Api,
    Context,
    Daily,
    Feed,
    Job,
    NotYetPublishedError,
    Page,
    Parsed,
    Retention,
    Span,
    Venue,
)
from pipelines.sources.account import leave_out
from pipelines.sources.chain.portal import PORTAL, PORTAL_REQUESTS, BlockRange, Portal, blocks_of
from pipelines.sources.instruments import parse_symbols
from pipelines.sources.records import LINE, Field, Record, from_ms, read_records, rejected

NAME: Final = "hyperliquid_fills"
EXCHANGE: Final = "hyperliquid"
"""The venue of the rows; its instruments come from its own module."""

NODE: Final = "node"
"""Endpoint of a node's files. It exists only if the settings define it."""

ADL: Final = "Auto-Deleveraging"
TAKEN_OVER: Final = {
    f"Liquidated {margin} {side.title()}": side for margin in ("Cross", "Isolated") for side in ("long", "short")
}
"""`dir` of fills in which the backstop takes over a position, on both sides of the trade, and the position's side."""

FIELDS: Final = {
    "block": {"number": True, "timestamp": True},
    "fill": dict.fromkeys(
        ("fillIndex", "user", "coin", "px", "sz", "side", "time", "startPosition", "dir", "closedPnl", "hash", "tid"), True
    ),
}  # fmt: skip

FILLS: Final = (
    Field("user", "user", str),
    Field("coin", "instrument", str),
    Field("px", "price", float),
    Field("sz", "quantity_base", float),
    Field("side", "fill_side", str),
    Field("time", "at_ms", int),
    Field("dir", "dir", str),
    Field("closedPnl", "closed_pnl", float),
    Field("tid", "trade_id", int),
    Field("liquidatedUser", "liquidated_user", str, optional=True),
    Field("method", "method", str, optional=True),
    Field("completeness", "completeness", str),
)
"""The last three are not fields of the fill itself: two are from its `liquidation`, the last depends on the source."""


def query(blocks: BlockRange) -> dict[str, Any]:
    """The portal's query. Its fills have no `liquidation`, so they can only be filtered by `dir`."""
    return {
        "type": "hyperliquidFills", "fromBlock": blocks.first, "toBlock": blocks.last, "fields": FIELDS,
        "fills": [{"dir": [*TAKEN_OVER, ADL]}],
    }  # fmt: skip


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """The node's files if that endpoint is set, one per hour of block time; otherwise the portal's stream.

    A node names its files by hour without a leading zero (?); a missing hour is not written yet.
    """
    if NODE not in api.endpoints:
        portal = Portal(api)
        async for page in portal.stream(await portal.blocks(job.span), query):
            yield page
        return
    for day in job.span.days:
        for hour in range(24):
            page = await api.get(f"/{day:%Y%m%d}/{hour}", endpoint=NODE, accept=(200, 404), is_json=False)
            if page.status == 404:
                raise NotYetPublishedError
            yield page


def forced_fills(page: Page) -> Sequence[Record]:
    """The fills of a page with a forced close, flattened with their liquidation. Other fills stay in the landing. Raises
    SourceFormatError for lines that are not blocks."""
    try:
        if page.request["endpoint"] == PORTAL:
            return [fill for block in blocks_of(page, "fills") for fill in _portal_fills(block)]
        if not page.body:
            # No hour is without a block.
            raise SourceFormatError(f"{page.where}: the file is empty")
        return [fill for block in page.json_lines() for fill in _node_fills(block)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceFormatError(f"{page.where}: a block is not as documented ({error!r}): {page.excerpt}") from error


def _portal_fills(block: Mapping[str, Any]) -> Iterator[Record]:
    """{"header": …, "fills": […]}. Liquidations into the order book look like ordinary fills, so the result is a sample."""
    for fill in block.get("fills", ()):
        if fill["dir"] == ADL or fill["dir"] in TAKEN_OVER:
            yield {**fill, "completeness": "sampled"}


def _node_fills(block: Mapping[str, Any]) -> Iterator[Record]:
    """{"block_time": …, "block_number": …, "events": [[user, fill], …]}, the format of node_fills_by_block."""
    for user, fill in block["events"]:
        liquidation = fill.get("liquidation")
        if liquidation or fill["dir"] == ADL or fill["dir"] in TAKEN_OVER:
            yield {**fill, **(liquidation or {}), "user": user, "completeness": "full"}


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One row per trade with a forced close, whichever of its two fills are present; both have the same `tid`.

    The liquidated user's fill is preferred; if only the counterparty's fill is present, its side is inverted. A liquidation into
    the order book is one trade, and so one row, per matched order.

    A trade that closes a trader in profit is auto-deleveraging; its row is the bankrupt position, as with dYdX. Sizes are in units
    of the instrument.
    """
    found = read_records(pages, forced_fills, FILLS)
    key = ("at_ms", "instrument", "trade_id")
    is_liquidated_user = (pl.col("user").str.to_lowercase() == pl.col("liquidated_user").str.to_lowercase()).fill_null(
        value=False
    )
    is_sale = pl.col("fill_side") == "A"
    by_dir = pl.col("dir").replace_strict(TAKEN_OVER, default=None, return_dtype=pl.String)
    # A sale by the liquidated user closes a long; a sale to that user closes a short.
    by_trade = pl.when(is_liquidated_user == is_sale).then(pl.lit("long")).otherwise(pl.lit("short"))
    frame = found.frame.with_columns(
        is_liquidated_user=is_liquidated_user,
        is_adl=(pl.col("dir") == ADL).any().over(key),
        dir_side=by_dir,
        # Without a liquidated user both fills may have the same `dir`; the one with a gain is the trader in profit (?).
        side=pl.coalesce(pl.when(pl.col("liquidated_user").is_null()).then(by_dir), by_trade),
    )
    is_decodable = pl.col("fill_side").is_in(["A", "B"]) & (
        pl.col("dir_side").is_null() | (pl.col("dir_side") == pl.col("side"))
    )
    undecodable = rejected(
        frame.filter(~is_decodable).with_columns(from_ms("at_ms").alias("at")),
        reason="undecodable", stamp="at", field="dir", instrument="instrument",
        detail="side and direction of the fill contradict one another, or are none that is documented",
    )  # fmt: skip
    leave_out(frame.filter(is_decodable), "part_of_row")
    trades = (
        frame.filter(is_decodable)
        .sort(
            "is_liquidated_user", pl.col("dir_side").is_not_null(), "closed_pnl", descending=True, maintain_order=True
        )
        .unique(key, keep="first", maintain_order=True)
        .sort(LINE)
    )
    known = pl.col("instrument").is_in(parse_symbols(EXCHANGE, trades["instrument"])["instrument"].implode())
    rows = trades.filter(known).select(
        pl.lit(EXCHANGE).alias("venue"),
        # A trade id is unique per instrument and timestamp.
        pl.format("{}:{}:{}", "at_ms", "instrument", "trade_id").alias("liquidation_id"),
        pl.lit("perp_dex").alias("venue_kind"),
        "instrument",
        from_ms("at_ms").alias("occurred_at"),
        "side",
        "price",
        "quantity_base",
        (pl.col("price") * pl.col("quantity_base")).alias("notional_usd"),
        "completeness",
        "is_adl",
        # A block is final once it exists.
        from_ms("at_ms").alias("available_at"),
        LINE,
    )
    # Perpetuals deployed by third parties (xyz:TSLA) and spot pairs (@107) match no rule of the venue.
    unknown = rejected(
        trades.filter(~known).with_columns(from_ms("at_ms").alias("at")), reason="unknown_instrument", stamp="at",
        instrument="instrument", detail="the name follows no rule of Hyperliquid's",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([found.rejects, undecodable, unknown]))


def no_coverage_claims(spans: Sequence[Span]) -> SourceRules:
    """No coverage spans: on a day without rows, liquidations missing from the portal may have happened."""
    return SourceRules()


VENUE: Final = Venue(
    name=NAME,
    endpoints={PORTAL: "https://portal.sqd.dev/datasets/hyperliquid-fills"},
    optional_endpoints=re.compile(NODE),
    limits=(Limit(20, 10, PORTAL_REQUESTS, share=1.0),),
    concurrency=2,
    notes=(
        "Single liquidations of Hyperliquid, from fills. SQD's portal has backstop takeovers and auto-deleveraging; liquidations "
        "into the order book look like ordinary trades there, so the result is a sample, and the daily totals of `hyperliquid` "
        "take precedence. If the settings define a node's files (`node_fills_by_block/hourly`, unpacked; lines without "
        "`liquidatedUser` may be left out) as `hyperliquid_fills.node`, those are read instead: they have every liquidation with "
        "its side and take precedence over the totals."
    ),
    feeds=(
        Feed(
            name="liquidations",
            tables=("liquidations",),
            description="Trades that closed a position by force, one row per trade; ADL is flagged.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            # The dataset starts with block 750,000,000, on the day before, judging by the block rate (?).
            retention=Retention(since=date(2025, 10, 3)),
            cadence=Daily(published_after=timedelta(hours=6), recheck_days=1),
            completeness="sampled",
            rules=no_coverage_claims,
        ),
    ),
)
