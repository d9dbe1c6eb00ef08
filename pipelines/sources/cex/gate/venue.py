"""Gate v4 futures: the venue, its feeds and instruments. Public endpoints; no key.

Facts from Gate's v4 documentation and from public collectors; anything not verified live is marked "?".

Contract statistics have 5-minute open interest; the current state is captured beside it, because it tells how they count.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from typing import Final

import polars as pl

from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import Api, Capture, Context, Feed, Job, Page, Parsed, Partitioning, Retention, Venue
from pipelines.sources.asset_class import asset_class, with_asset_class
from pipelines.sources.cex.gate import capture, history, risk_tiers, streams
from pipelines.sources.cex.gate.wire import NAME, SETTLEMENTS, check, root_array
from pipelines.sources.counting import FACTS
from pipelines.sources.instruments import each_instrument, parse_symbols
from pipelines.sources.records import LINE, Field, from_seconds, read_records, rejected
from pipelines.sources.risk_tiers import feed_of_risk_tiers

CONTRACTS: Final = (
    Field("name", "instrument", str),
    Field("quanto_multiplier", "size", float),
    # 0 for contracts older than the field.
    Field("create_time", "created_s", int, optional=True),
    Field("contract_type", "category", str, optional=True),
)
CLASSES: Final = {
    "": "crypto", "stocks": "stock", "metals": "commodity", "commodities": "commodity", "indices": "index", "forex": "forex",
    "pre_ipo": "stock",
}  # fmt: skip
"""Asset classes by Gate's contract_type, which is empty for coins."""


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All contracts listed now, one response per settlement currency. Delisted contracts are not included."""
    for settled_in in SETTLEMENTS:
        yield await api.get(f"/futures/{settled_in}/contracts")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Contracts as rows of clean.instruments. quanto_multiplier is coin per contract; it is 0 for inverse contracts, which are one
    dollar."""
    found = read_records(pages, root_array, CONTRACTS)
    known = parse_symbols(NAME, found.frame["instrument"])
    named = found.frame.join(known, on="instrument", how="left", maintain_order="left")
    frame = with_asset_class(named, asset_class("category", CLASSES))
    inverse = pl.col("contract_type") == "inverse"
    # ETH_USD and others settled in BTC have a multiplier in bitcoin: quanto contracts, which are not supported.
    followed = pl.col("asset").is_not_null() & (inverse == (pl.col("size") == 0))
    rows = frame.filter(followed).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "asset_class",
        "quote",
        "contract_type",
        pl.when(inverse).then(1.0).otherwise("size").alias("contract_size"),
        pl.when(inverse).then(pl.lit("usd")).otherwise(pl.lit("base")).alias("contract_size_unit"),
        "multiplier",
        pl.when(pl.col("created_s") > 0).then(from_seconds("created_s")).alias("listed_at"),
        pl.lit(None, pl.Datetime("us")).alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    unsupported = rejected(
        frame.filter(~followed.fill_null(value=False)),
        reason="unknown_instrument",
        detail="neither linear with a multiplier nor inverse without one",
        instrument="instrument",
    )
    yield Parsed("instruments", rows, pl.concat([found.rejects, unsupported]))


IS_PERPETUAL: Final = pl.col("contract_type").is_in(["linear", "inverse"])

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.gateio.ws/api/v4"},
    limits=(Limit(200, 10.0),),
    concurrency=8,
    check=check,
    # Without it sizes are whole numbers of contracts: below one contract 0.
    headers={"X-Gate-Size-Decimal": "1"},
    notes="The retention of statistics and liquidation orders is undocumented; days without data count as missing, not quiet.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetual contracts settled in USDT or BTC, with their contract sizes.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="contract_stats",
            tables=("open_interest", "liquidation_totals", "long_short_ratios"),
            description="Every 5 minutes: open interest, liquidated longs and shorts, and long/short ratios of accounts, top "
            "accounts, top positions and takers; history depth unverified.",
            fetch=history.fetch_statistics,
            parse=history.parse_statistics,
            # The endpoint exists since 2020-11 (v4.15.5), its ratios of top traders since 2020-12 (v4.18.0).
            retention=Retention(since=date(2020, 12, 21)),
            subjects=each_instrument(IS_PERPETUAL),
            counting=FACTS[NAME],
            rules=history.no_coverage_claims,
        ),
        Feed(
            name="current_open_interest",
            tables=("open_interest",),
            description="Current open interest of all contracts, counted one-sided, captured every hour: the second source of "
            "contract_stats.",
            fetch=capture.fetch_current_open_interest,
            parse=capture.parse_current_open_interest,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(),
        ),
        Feed(
            name="liq_orders",
            tables=("liquidations",),
            description="All liquidation orders of all contracts, with timestamps in seconds; history depth unverified.",
            fetch=history.fetch_liquidations,
            parse=history.parse_liquidations,
            retention=Retention(since=date(2020, 12, 16)),
            parser_version=2,
        ),
        Feed(
            name="funding_rate",
            tables=("funding_rates",),
            description="Settled funding rates.",
            fetch=history.fetch_funding,
            parse=history.parse_funding,
            retention=Retention(since=date(2020, 1, 1)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_PERPETUAL),
        ),
        Feed(
            name="candlesticks",
            tables=("candles",),
            description="Hourly candles.",
            fetch=history.fetch_candles,
            parse=history.parse_candles,
            retention=Retention(since=date(2020, 1, 1)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_PERPETUAL),
        ),
        feed_of_risk_tiers(
            risk_tiers.fetch_risk_tiers,
            risk_tiers.parse_risk_tiers,
            what="of perpetuals",
            subjects=each_instrument(IS_PERPETUAL),
        ),
    ),
    streams=(streams.STREAM,),
)
