"""Hyperliquid's liquidations among the fills of its chain: from SQD's portal without a key, or from the files of a node.

Each trade is two fills, one per side, and each of them may tell of the liquidation. The venue's own API is read in hyperliquid.
Facts from SQD's documentation and from recorded fills; what was not seen live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import orjson
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
from pipelines.sources.chain.portal import PORTAL, PORTAL_REQUESTS, BlockRange, Portal
from pipelines.sources.instruments import parse_symbols
from pipelines.sources.records import LINE, Field, Record, from_ms, read_records, rejected

NAME: Final = "hyperliquid_fills"
EXCHANGE: Final = "hyperliquid"
"""The venue of the rows; its instruments are described by its own module."""

NODE: Final = "node"
"""Endpoint of a node's files. There is none but where the settings name it."""

ADL: Final = "Auto-Deleveraging"
TAKEN_OVER: Final = {
    f"Liquidated {margin} {side.title()}": side for margin in ("Cross", "Isolated") for side in ("long", "short")
}
"""`dir` of a fill by which the backstop takes a position over, on both sides of the trade, and the position's side."""

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
"""The last three are not the fill's own: two are of its `liquidation`, the last says what its source leaves out."""


def query(blocks: BlockRange) -> dict[str, Any]:
    """The portal's fills have no `liquidation`, so that only what `dir` tells can be asked for."""
    return {
        "type": "hyperliquidFills", "fromBlock": blocks.first, "toBlock": blocks.last, "fields": FIELDS,
        "fills": [{"dir": [*TAKEN_OVER, ADL]}],
    }  # fmt: skip


async def fetch_liquidations(api: Api, job: Job) -> AsyncIterator[Page]:
    """The files of the node where one is named, hour by hour of the time of their blocks; else the portal's stream.

    A node names its files by the hour without a zero before it (?); an hour that is missing is not written yet.
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
    """The fills of a page that tell of a forced close, with what they say of it in their own fields. Others are passed over and
    stay in the landing. Raises SourceFormatError for lines that are none of a block."""
    told = _of_portal if page.request["endpoint"] == PORTAL else _of_node
    try:
        return [fill for line in page.body.splitlines() for fill in told(orjson.loads(line))]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SourceFormatError(f"{page.where}: a block is not as documented ({error!r}): {page.excerpt}") from error


def _of_portal(block: Mapping[str, Any]) -> Iterator[Record]:
    """{"header": …, "fills": […]}: those that were asked for. Liquidations into the book are ordinary fills here: sampled."""
    for fill in block.get("fills", ()):
        if fill["dir"] == ADL or fill["dir"] in TAKEN_OVER:
            yield {**fill, "completeness": "sampled"}


def _of_node(block: Mapping[str, Any]) -> Iterator[Record]:
    """{"block_time": …, "block_number": …, "events": [[user, fill], …]}, as a node writes node_fills_by_block."""
    for user, fill in block["events"]:
        liquidation = fill.get("liquidation")
        if liquidation or fill["dir"] == ADL or fill["dir"] in TAKEN_OVER:
            yield {**fill, **(liquidation or {}), "user": user, "completeness": "full"}


def parse_liquidations(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """One row per trade that closed a position by force, whichever of its two fills are there: `tid` is the same on both.

    The fill of the liquidated user counts; where only the other side is there, it is read the other way round. A liquidation into
    the book takes as many trades as it takes orders out of it, and each is a row.

    Auto-deleveraging is what a trade is where a trader in profit is closed by it; the row is that of the bankrupt position, as
    dYdX's are. Sizes are in units of the instrument.
    """
    found = read_records(pages, forced_fills, FILLS)
    key = ("at_ms", "instrument", "trade_id")
    is_own = (pl.col("user").str.to_lowercase() == pl.col("liquidated_user").str.to_lowercase()).fill_null(value=False)
    is_sale = pl.col("fill_side") == "A"
    by_dir = pl.col("dir").replace_strict(TAKEN_OVER, default=None, return_dtype=pl.String)
    # A sale by the liquidated user closes a long; a sale to him closes a short.
    by_trade = pl.when(is_own == is_sale).then(pl.lit("long")).otherwise(pl.lit("short"))
    frame = found.frame.with_columns(
        is_own=is_own,
        is_adl=(pl.col("dir") == ADL).any().over(key),
        dir_side=by_dir,
        # Without a liquidated user both sides may be named alike: the one that gained is the one in profit. ?
        side=pl.coalesce(pl.when(pl.col("liquidated_user").is_null()).then(by_dir), by_trade),
    )
    understood = pl.col("fill_side").is_in(["A", "B"]) & (
        pl.col("dir_side").is_null() | (pl.col("dir_side") == pl.col("side"))
    )
    odd = rejected(
        frame.filter(~understood).with_columns(from_ms("at_ms").alias("at")),
        reason="undecodable", stamp="at", field="dir", instrument="instrument",
        detail="side and direction of the fill contradict one another, or are none that is documented",
    )  # fmt: skip
    trades = (
        frame.filter(understood)
        .sort("is_own", pl.col("dir_side").is_not_null(), "closed_pnl", descending=True, maintain_order=True)
        .unique(key, keep="first", maintain_order=True)
        .sort(LINE)
    )
    known = pl.col("instrument").is_in(parse_symbols(EXCHANGE, trades["instrument"])["instrument"].implode())
    rows = trades.filter(known).select(
        pl.lit(EXCHANGE).alias("venue"),
        # A trade's id is unique among those of its instrument and instant.
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
        # A block is final when it is there.
        from_ms("at_ms").alias("available_at"),
        LINE,
    )
    # Perpetuals that others deploy (xyz:TSLA) and spot pairs (@107) follow no rule of the venue's own.
    unknown = rejected(
        trades.filter(~known).with_columns(from_ms("at_ms").alias("at")), reason="unknown_instrument", stamp="at",
        instrument="instrument", detail="the name follows no rule of Hyperliquid's",
    )  # fmt: skip
    yield Parsed("liquidations", rows, pl.concat([found.rejects, odd, unknown]))


def rules(spans: Sequence[Span]) -> SourceRules:
    """Nothing is claimed of days without a row: what the portal leaves out may have happened."""
    return SourceRules()


VENUE: Final = Venue(
    name=NAME,
    endpoints={PORTAL: "https://portal.sqd.dev/datasets/hyperliquid-fills"},
    limits=(Limit(20, 10, PORTAL_REQUESTS, share=1.0),),
    concurrency=2,
    notes=(
        "Liquidations of Hyperliquid, fill by fill. SQD's portal tells of those that the backstop took over and of "
        "auto-deleveraging; liquidations into the order book look like any trade there, so that it is a sample, and the daily "
        "totals of `hyperliquid` stand where there are any. Where the settings name the files that a node writes "
        "(`node_fills_by_block/hourly`, unpacked; lines without `liquidatedUser` may be left out) as `hyperliquid_fills.node`, "
        "those are read instead: every liquidation with its side, which then stands before the totals."
    ),
    feeds=(
        Feed(
            name="liquidations",
            tables=("liquidations",),
            description="Trades that closed a position by force, once each though both sides tell of them; ADL kept apart.",
            fetch=fetch_liquidations,
            parse=parse_liquidations,
            # The dataset begins with block 750,000,000, on the day before by the pace of its blocks. ?
            retention=Retention(since=date(2025, 10, 3)),
            cadence=Daily(published_after=timedelta(hours=6), recheck_days=1),
            completeness="sampled",
            rules=rules,
        ),
    ),
)
