"""Kraken Futures: the venue, its feeds and instruments. Public endpoints of futures.kraken.com; no key.

Facts from Kraken's documentation and from public collectors; anything not verified live is marked "?".

The history of open interest comes from undocumented market analytics. The tickers, which are documented, are therefore also
captured every hour.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from typing import Final

import polars as pl

from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    ALL_DAYS,
    Api,
    Capture,
    Context,
    Feed,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Venue,
)
from pipelines.sources.asset_class import CRYPTO, OTHER, with_asset_class
from pipelines.sources.cex.kraken import capture, history, risk_tiers, streams
from pipelines.sources.cex.kraken.wire import NAME, PERPETUAL, check, iso_instant
from pipelines.sources.instruments import each_instrument, parse_symbols
from pipelines.sources.records import LINE, Field, at_path, having, kept, read_records, rejected
from pipelines.sources.risk_tiers import feed_of_risk_tiers

INSTRUMENTS: Final = (
    Field("symbol", "name", str),
    Field("contractSize", "size", float),
    Field("openingDate", "opened", str, optional=True),
    # Whether it is on a stock, commodity, currency or index; Kraken does not say which.
    Field("tradfi", "is_tradfi", bool, optional=True),
)


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All contracts listed now, in one response."""
    yield await api.get("/derivatives/api/v3/instruments")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals as rows of clean.instruments. PF contracts are sized in coin, PI contracts in dollars. Symbols were lower case
    until about 2022 and are normalized to upper case. Indices and dated contracts are left out: indices have no contractSize."""
    found = read_records(pages, at_path("instruments"), INSTRUMENTS, needed=having("symbol", PERPETUAL))
    frame = found.frame.with_columns(pl.col("name").str.to_uppercase().alias("instrument"))
    perpetuals = kept(frame, pl.col("instrument").str.contains(PERPETUAL), "other_kind")
    known = parse_symbols(NAME, perpetuals["instrument"])
    named = perpetuals.join(known, on="instrument", how="left", maintain_order="left")
    stated = pl.when("is_tradfi").then(pl.lit(OTHER)).when(~pl.col("is_tradfi")).then(pl.lit(CRYPTO))
    joined = with_asset_class(named, stated)
    rows = joined.filter(pl.col("asset").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "asset_class",
        "quote",
        "contract_type",
        pl.col("size").alias("contract_size"),
        pl.when(pl.col("contract_type") == "inverse")
        .then(pl.lit("usd"))
        .otherwise(pl.lit("base"))
        .alias("contract_size_unit"),
        "multiplier",
        iso_instant("opened").alias("listed_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    unknown = rejected(
        joined.filter(pl.col("asset").is_null()),
        reason="unknown_instrument",
        detail="the name follows no rule of Kraken's",
        instrument="instrument",
    )
    yield Parsed("instruments", rows, pl.concat([found.rejects, unknown]))


VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://futures.kraken.com"},
    # Kraken publishes no limit for its charts API and only asks clients to back off on errors; 2 requests per second is our choice.
    limits=(Limit(20, 10.0, share=1.0),),
    concurrency=4,
    check=check,
    ignored_in_digest=re.compile(rb'"serverTime":"[^"]*"'),
    notes="The liquidation volume of the market analytics is not read: it has no side and an undocumented unit.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals, linear (PF) and inverse (PI).",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest every 5 minutes; history depth unverified.",
            fetch=history.fetch_analytics("open-interest", history.open_interest_rows),
            parse=history.parse_open_interest,
            # Public collectors found rows in 2023; earlier data is unverified (?).
            retention=Retention(since=date(2022, 3, 22)),
            subjects=each_instrument(),
        ),
        Feed(
            name="current_open_interest",
            tables=("open_interest",),
            description="Current open interest of perpetuals, captured every hour.",
            fetch=capture.fetch_current_open_interest,
            parse=capture.parse_current_open_interest,
            retention=Retention(since=date(2018, 9, 1)),
            cadence=Capture(),
        ),
        Feed(
            name="long_short_info",
            tables=("long_short_ratios",),
            description="Long and short accounts every 5 minutes; history depth unverified.",
            fetch=history.fetch_analytics("long-short-info", history.account_rows),
            parse=history.parse_accounts,
            # The first day that a public collector found.
            retention=Retention(since=date(2024, 2, 28)),
            subjects=each_instrument(),
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Hourly settled funding rates; every response contains the whole history.",
            fetch=history.fetch_funding,
            parse=history.parse_funding,
            retention=Retention(since=date(2018, 9, 1)),
            partitioning=Partitioning(most_days=ALL_DAYS),
            subjects=each_instrument(),
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles of trades; history depth unverified.",
            fetch=history.fetch_candles,
            parse=history.parse_candles,
            retention=Retention(since=date(2018, 9, 1)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
        feed_of_risk_tiers(
            risk_tiers.fetch_risk_tiers, risk_tiers.parse_risk_tiers, what="of all perpetuals, of retail clients apart"
        ),
    ),
    streams=(streams.STREAM,),
)
