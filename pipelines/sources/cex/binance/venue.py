"""Binance's public API: the venue, its feeds and instruments. USDT-M (fapi), COIN-M (dapi), spot and options (eapi); no key.

It supplies the recent days that the archives lack, the full funding history, and captures of the current state. Facts from
Binance's documentation; anything not verified live is marked "?".

Binance keeps 5-minute open interest for 30 days, the archives publish it a day late, and they have permanent gaps (three
months of COIN-M in 2024). Current open interest is therefore also captured every hour.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from typing import Final

import polars as pl

from pipelines.core.universe import split_quote, spot_symbol
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import Api, Capture, Context, Feed, Job, Page, Parsed, Partitioning, Retention, Venue
from pipelines.sources.asset_class import CRYPTO, OTHER, asset_class, with_asset_class
from pipelines.sources.cex.binance import capture, history, streams
from pipelines.sources.cex.binance.wire import (
    CASH,
    CM,
    DATA,
    EAPI,
    FUNDING_REQUESTS,
    IS_PERPETUAL,
    IS_SPOT,
    OPTIONS_WEIGHT,
    SPOT_QUOTES,
    UM,
    VENUE_ID,
    WEIGHT,
    check,
    perpetuals,
)
from pipelines.sources.instruments import each_instrument, parse_symbols
from pipelines.sources.records import LINE, Field, at_path, from_ms, kept, read_records, rejected

NAME: Final = VENUE_ID

NEVER_MS: Final = 4_133_404_800_000
"""2100-12-25: the delivery date of perpetuals."""

CONTRACTS: Final = (
    Field("symbol", "instrument", str),
    Field("deliveryDate", "delivery_ms", int),
    Field("onboardDate", "onboard_ms", int),
    Field("contractSize", "contract_size", float, optional=True),
    Field("underlyingType", "underlying_type", str, optional=True),
    Field("contractType", "kind", str, optional=True),
)
TRADIFI: Final = "TRADIFI_PERPETUAL"
CLASSES: Final = {
    "COIN": "crypto", "PREMARKET": "crypto", "INDEX": "crypto", "EQUITY": "stock", "KR_EQUITY": "stock", "HK_EQUITY": "stock",
    "COMMODITY": "commodity", "FOREX": "forex",
}  # fmt: skip
"""Asset classes by Binance's underlyingType. Its indices are of coins (BTCDOM)."""
PAIRS: Final = (Field("symbol", "symbol", str),)


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """Instruments traded now. Spot pairs come from the price list, 0.1 MB instead of the 10 MB of spot exchangeInfo."""
    yield await api.get("/fapi/v1/exchangeInfo", endpoint=UM, costs={WEIGHT: 1})
    yield await api.get("/dapi/v1/exchangeInfo", endpoint=CM, costs={WEIGHT: 1})
    yield await api.get("/api/v3/ticker/price", endpoint=CASH, costs={WEIGHT: 4})


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """USDT-M and COIN-M futures as published; spot pairs parsed from their symbols."""
    futures = read_records([p for p in pages if p.request["endpoint"] != CASH], at_path("symbols"), CONTRACTS)
    pairs = read_records([p for p in pages if p.request["endpoint"] == CASH], at_path(), PAIRS)
    slashed = pl.Series("instrument", [_spot_name(symbol) for symbol in pairs.frame["symbol"]], dtype=pl.String)
    spot = kept(pairs.frame.select(slashed, "received_at", LINE), pl.col("instrument").is_not_null(), "not_followed")
    listed = pl.concat([futures.frame, spot], how="diagonal")
    named = listed.join(
        parse_symbols(VENUE_ID, listed["instrument"]), on="instrument", how="left", maintain_order="left"
    )
    stated = asset_class("underlying_type", CLASSES)
    is_coin = stated.is_null() | (stated == CRYPTO)
    # A TRADIFI_PERPETUAL is on no coin, whatever its underlyingType.
    joined = with_asset_class(
        named, pl.when((pl.col("kind") == TRADIFI) & is_coin).then(pl.lit(OTHER)).otherwise(stated)
    )
    unknown = joined.filter(pl.col("asset").is_null())
    size = pl.when(pl.col("contract_type") == "inverse").then(pl.col("contract_size"))
    rows = joined.filter(pl.col("asset").is_not_null()).select(
        pl.lit(VENUE_ID).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "asset_class",
        "quote",
        "contract_type",
        size.alias("contract_size"),
        pl.when(size.is_not_null()).then(pl.lit("usd")).alias("contract_size_unit"),
        "multiplier",
        pl.when(pl.col("onboard_ms") > 0).then(from_ms("onboard_ms")).alias("listed_at"),
        pl.when(pl.col("delivery_ms") < NEVER_MS).then(from_ms("delivery_ms")).alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    unparsed = rejected(
        unknown, reason="unknown_instrument", detail="the name follows no rule of Binance's", instrument="instrument"
    )
    yield Parsed("instruments", rows, pl.concat([futures.rejects, pairs.rejects, unparsed]))


def _spot_name(symbol: str) -> str | None:
    """BTCUSDT as BTC/USDT; None if the quote currency is not supported."""
    pair = split_quote(symbol, SPOT_QUOTES)
    return spot_symbol(VENUE_ID, *pair) if pair else None


VENUE: Final = Venue(
    name=NAME,
    endpoints={
        UM: "https://fapi.binance.com",
        CM: "https://dapi.binance.com",
        EAPI: "https://eapi.binance.com",
        CASH: "https://api.binance.com",
    },
    # Each host has its own limit (2400 per minute; spot 6000) and reports usage in the same header. One shared budget stays
    # within all of them.
    limits=(
        Limit(2400, 60.0, WEIGHT),
        Limit(1000, 300.0, DATA),
        Limit(500, 300.0, FUNDING_REQUESTS),
        Limit(400, 60.0, OPTIONS_WEIGHT),
    ),
    weights={WEIGHT: "X-MBX-USED-WEIGHT-1M"},
    concurrency=8,
    check=check,
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="USDT-M and COIN-M contracts with their sizes, and spot pairs, as listed now.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2019, 9, 8)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest of perpetuals every 5 minutes, for the last 30 days.",
            fetch=history.fetch_open_interest,
            parse=history.parse_open_interest,
            # 29, since a request that starts more than 30 days ago is refused (code -1130).
            retention=Retention(since=date(2020, 5, 1), days=29),
            subjects=perpetuals,
        ),
        Feed(
            name="current_open_interest",
            tables=("open_interest",),
            description="Current open interest of perpetuals, captured every hour.",
            fetch=capture.fetch_current_open_interest,
            parse=capture.parse_current_open_interest,
            retention=Retention(since=date(2019, 9, 8)),
            cadence=Capture(),
            subjects=perpetuals,
        ),
        Feed(
            name="long_short_ratios",
            tables=("long_short_ratios",),
            description="Four long/short ratios of USDT-M perpetuals and three of COIN-M every 5 minutes, for the last 30 days.",
            fetch=history.fetch_ratios,
            parse=history.parse_ratios,
            retention=Retention(since=date(2020, 5, 1), days=29),
            subjects=perpetuals,
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates of perpetuals since launch, with the mark price.",
            fetch=history.fetch_funding,
            parse=history.parse_funding,
            retention=Retention(since=date(2019, 9, 10)),
            partitioning=Partitioning(months="past"),
            subjects=perpetuals,
        ),
        Feed(
            name="predicted_funding",
            tables=("funding_rates",),
            description="Current estimate of the next funding rate, captured every hour.",
            fetch=capture.fetch_predicted_funding,
            parse=capture.parse_predicted_funding,
            retention=Retention(since=date(2019, 9, 10)),
            cadence=Capture(),
            subjects=perpetuals,
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles of perpetuals and of spot pairs quoted in dollar stablecoins.",
            fetch=history.fetch_candles,
            parse=history.parse_candles,
            retention=Retention(since=date(2017, 8, 17)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_PERPETUAL | IS_SPOT),
        ),
        Feed(
            name="option_chain",
            tables=("option_chain",),
            description="Open interest, volume and implied volatility of every option, captured every hour.",
            fetch=capture.fetch_option_chain,
            parse=capture.parse_option_chain,
            retention=Retention(since=date(2022, 11, 1)),
            cadence=Capture(),
        ),
    ),
    streams=(streams.STREAM,),
)
