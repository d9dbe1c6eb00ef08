"""Deribit v2: the venue, its feeds, and instruments (perpetuals). Public endpoints; no key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import (
    Api,
    Capture,
    Context,
    Daily,
    Feed,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Venue,
)
from pipelines.sources.cex.deribit import capture, history, streams, wire
from pipelines.sources.instruments import each_instrument, parse_symbols
from pipelines.sources.records import LINE, Field, from_ms, having, kept, read_records, rejected

NAME: Final = wire.NAME

FUTURES: Final = (
    Field("instrument_name", "instrument", str),
    Field("contract_size", "contract_size", float),
    Field("creation_timestamp", "listed_ms", int),
    Field("expiration_timestamp", "expires_ms", int),
)
NEVER: Final = datetime(2500, 1, 1)
"""Perpetuals have an expiration in the year 3000."""


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """Futures and perpetuals listed now."""
    for currency in wire.CURRENCIES:
        yield await wire.get(api, wire.INSTRUMENTS, currency=currency, kind="future", expired="false")


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals. A contract is 10 dollars (bitcoin), 1 dollar (ether) or an amount of coin (linear); amounts in other responses
    are in dollars or coin, not contracts. Options are read with their chains: they live for days and would add a thousand rows
    a day here.
    """
    found = read_records(pages, wire.results, FUTURES, needed=having("instrument_name", f"{wire.PERPETUAL}$"))
    perpetuals = kept(found.frame, pl.col("instrument").str.ends_with(wire.PERPETUAL), "other_kind")
    known = parse_symbols(NAME, perpetuals["instrument"])
    frame = perpetuals.join(known, on="instrument", how="left", maintain_order="left")
    inverse = pl.col("contract_type") == "inverse"
    expires = from_ms("expires_ms")
    rows = frame.filter(pl.col("asset").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "quote",
        "contract_type",
        "contract_size",
        pl.when(inverse).then(pl.lit("usd")).otherwise(pl.lit("base")).alias("contract_size_unit"),
        "multiplier",
        from_ms("listed_ms").alias("listed_at"),
        pl.when(expires < NEVER).then(expires).alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    unknown = rejected(
        frame.filter(pl.col("asset").is_null()), reason="unknown_instrument", instrument="instrument",
        detail="the name follows no rule of Deribit's",
    )  # fmt: skip
    yield Parsed("instruments", rows, pl.concat([found.rejects, unknown]))


def each_currency(instruments: pl.DataFrame) -> Mapping[str, Mapping[str, Any]]:
    """Currencies that trades are requested by: BTC and ETH, and USDC for all linear instruments."""
    inverse = pl.col("contract_type") == "inverse"
    names = instruments.select(pl.when(inverse).then("asset").otherwise("quote").alias("currency")).to_series()
    return {name: {} for name in names.unique(maintain_order=True)}


def each_indexed_coin(instruments: pl.DataFrame) -> Mapping[str, Mapping[str, Any]]:
    """Coins with a volatility index."""
    return {coin: {} for coin in ("BTC", "ETH") if coin in instruments["asset"]}


VENUE: Final = Venue(
    name=NAME,
    endpoints=wire.ENDPOINTS,
    limits=wire.LIMITS,
    concurrency=8,
    check=wire.check,
    notes="Open interest and option chains have no history; everything else goes back to launch.",
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Inverse and linear perpetuals with their contract sizes.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2018, 8, 14)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Hourly funding of perpetuals.",
            fetch=history.fetch_funding,
            parse=history.parse_funding,
            retention=Retention(since=date(2018, 8, 14)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
        Feed(
            name="volatility_index",
            tables=("volatility_index",),
            description="DVOL of bitcoin and ether, hourly.",
            fetch=history.fetch_volatility_index,
            parse=history.parse_volatility_index,
            retention=Retention(since=date(2021, 3, 24)),
            partitioning=Partitioning(months="past"),
            subjects=each_indexed_coin,
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles of perpetuals since listing.",
            fetch=history.fetch_candles,
            parse=history.parse_candles,
            retention=Retention(since=date(2018, 8, 14)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
        Feed(
            name="liquidations",
            tables=("liquidations",),
            description="Trades of perpetuals flagged as liquidations, selected from all trades.",
            fetch=history.fetch_liquidations,
            parse=history.parse_liquidations,
            retention=Retention(since=date(2018, 8, 14)),
            # The delay of the history host is not documented (?).
            cadence=Daily(published_after=timedelta(hours=24)),
            subjects=each_currency,
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Current open interest of perpetuals, captured every hour.",
            fetch=capture.fetch_open_interest,
            parse=capture.parse_open_interest,
            retention=Retention(since=date(2018, 8, 14)),
            cadence=Capture(),
        ),
        Feed(
            name="option_chain",
            tables=("option_chain",),
            description="Option chains: open interest, volume and implied volatility, captured every hour.",
            fetch=capture.fetch_option_chain,
            parse=capture.parse_option_chain,
            retention=Retention(since=date(2018, 8, 14)),
            cadence=Capture(),
        ),
    ),
    streams=(streams.STREAM,),
)
