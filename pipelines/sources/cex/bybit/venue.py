"""Bybit v5: the venue, its feeds, its instruments and their turnover ranking. Public endpoints of api.bybit.com; no key.

Facts from Bybit's v5 documentation; anything not verified live is marked "?". Liquidations are published on the websocket only
(streams.py).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.core.universe import QUOTES, parse_symbol, spot_symbol
from pipelines.extract.paging import pages_by_cursor
from pipelines.extract.rate_limits import Limit
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
from pipelines.sources.asset_class import CRYPTO, asset_class, with_asset_class
from pipelines.sources.cex.bybit import capture, history, risk_tiers, streams
from pipelines.sources.cex.bybit.wire import NAME, check, result_list
from pipelines.sources.counting import FACTS
from pipelines.sources.instruments import each_instrument, parse_symbols
from pipelines.sources.records import LINE, Field, from_ms, having, kept, read_records, rejected
from pipelines.sources.risk_tiers import feed_of_risk_tiers

INSTRUMENTS: Final = (
    Field("symbol", "instrument", str),
    Field("baseCoin", "base", str),
    Field("quoteCoin", "quote", str),
    Field("contractType", "kind", str),
    Field("status", "status", str),
    Field("launchTime", "launch_ms", int),
    Field("deliveryTime", "delivery_ms", int, optional=True),
    Field("symbolType", "symbol_type", str, optional=True),
)
PAIRS: Final = (
    Field("symbol", "symbol", str),
    Field("baseCoin", "base", str),
    Field("quoteCoin", "quote_coin", str),
    Field("symbolType", "symbol_type", str, optional=True),
)
CLASSES: Final = {
    "": "crypto", "innovation": "crypto", "adventure": "crypto", "stock": "stock", "xstocks": "stock",
    "commodity": "commodity", "forex": "forex", "index": "index",
}  # fmt: skip
"""Asset classes by Bybit's symbolType."""
CLASS_FIELDS: Final = (Field("symbol", "instrument", str), Field("symbolType", "symbol_type", str, optional=True))
LISTED: Final = "/v5/market/instruments-info"
TICKERS: Final = (Field("symbol", "instrument", str), Field("turnover24h", "turnover_usd", float))
PERPETUALS: Final = ("LinearPerpetual", "InversePerpetual")
STABLE_QUOTES: Final = ("USDT", "USDC")
INSTRUMENTS_LIMIT: Final = 1000


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All linear and inverse contracts, including closed ones that Bybit still lists, and all spot pairs in one response."""
    for kind in ("linear", "inverse"):
        for status in ("Trading", "Closed"):
            async for page in _contracts(api, kind, status):
                yield page
    yield await api.get(LISTED, params={"category": "spot"})


async def _contracts(api: Api, kind: str, status: str) -> AsyncIterator[Page]:
    async def get(cursor: str | None) -> Page:
        params: dict[str, str | int] = {"category": kind, "status": status, "limit": INSTRUMENTS_LIMIT}
        return await api.get(LISTED, params=params | ({"cursor": cursor} if cursor else {}))

    async for page in pages_by_cursor(get, lambda page: page.json()["result"].get("nextPageCursor")):
        yield page


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals and spot pairs as rows of clean.instruments. Linear contracts are sized in base coin (contract_size 1) and
    inverse ones in dollars (1); a spot pair has neither a contract size nor a listing date."""
    is_spot = [page.request.get("params", {}).get("category") == "spot" for page in pages]
    records = read_records(
        [page for page, spot in zip(pages, is_spot, strict=True) if not spot],
        result_list,
        INSTRUMENTS,
        needed=having("contractType", "Perpetual$"),
    )
    pairs = read_records([page for page, spot in zip(pages, is_spot, strict=True) if spot], result_list, PAIRS)
    perpetuals = kept(records.frame, pl.col("kind").is_in(PERPETUALS), "other_kind").drop("quote")
    # Pairs in unsupported quote currencies (BRZ, PLN and the like) are skipped.
    followed = kept(pairs.frame, pl.col("quote_coin").is_in(QUOTES), "not_followed")
    names = [spot_symbol(NAME, base, quote) for base, quote in followed.select("base", "quote_coin").iter_rows()]
    spot = followed.select(pl.Series("instrument", names, dtype=pl.String), "symbol_type", "received_at", LINE)
    listed = pl.concat([perpetuals, spot], how="diagonal")
    named = listed.join(parse_symbols(NAME, listed["instrument"]), on="instrument", how="left", maintain_order="left")
    joined = with_asset_class(named, asset_class("symbol_type", CLASSES))
    unknown = joined.filter(pl.col("asset").is_null())
    linear, inverse = pl.col("contract_type") == "linear", pl.col("contract_type") == "inverse"
    rows = joined.filter(pl.col("asset").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "asset_class",
        "quote",
        "contract_type",
        pl.when(linear | inverse).then(1.0).alias("contract_size"),
        pl.when(linear).then(pl.lit("base")).when(inverse).then(pl.lit("usd")).alias("contract_size_unit"),
        "multiplier",
        pl.when(pl.col("launch_ms") > 0).then(from_ms("launch_ms")).alias("listed_at"),
        pl.when(pl.col("delivery_ms") > 0).then(from_ms("delivery_ms")).alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    unparsed = rejected(
        unknown, reason="unknown_instrument", detail="the name follows no rule of Bybit's", instrument="instrument"
    )
    yield Parsed("instruments", rows, pl.concat([records.rejects, pairs.rejects, unparsed]))


async def fetch_turnover(api: Api, job: Job) -> AsyncIterator[Page]:
    """Tickers of all linear contracts in one response, with their turnover of the last 24 hours, and the list of contracts, which
    states their asset classes."""
    yield await api.get("/v5/market/tickers", params={"category": "linear"})
    async for page in _contracts(api, "linear", "Trading"):
        yield page


def parse_turnover(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """No rows: the pages only rank assets (see `turnover`)."""
    yield from ()


def turnover(pages: Sequence[Page]) -> Mapping[str, float]:
    """Turnover of the last 24 hours by coin in dollars. USDT and USDC count as one dollar, which suffices for a ranking. Contracts
    on anything but coins, by the list of contracts, are left out; captures before 2026-11 have no list."""
    lists = [page for page in pages if page.request.get("path") == LISTED]
    listed = read_records(lists, result_list, CLASS_FIELDS).frame
    coins = pl.col("asset_class").is_null() | (pl.col("asset_class") == CRYPTO)
    others = listed.select("instrument", asset_class("symbol_type", CLASSES).alias("asset_class")).filter(~coins)
    tickers = read_records([page for page in pages if page not in lists], result_list, TICKERS).frame
    frame = tickers.filter(~pl.col("instrument").is_in(others["instrument"].implode()))
    facts = ((name, parse_symbol(NAME, name)) for name in frame["instrument"])
    assets = {name: fact.asset for name, fact in facts if fact is not None and fact.contract_type == "linear"}
    ranked = (
        frame.with_columns(
            pl.col("instrument").replace_strict(assets, default=None, return_dtype=pl.String).alias("asset")
        )
        .drop_nulls("asset")
        .group_by("asset")
        .agg(pl.col("turnover_usd").sum())
    )
    return dict(ranked.iter_rows())


IS_PERPETUAL: Final = pl.col("contract_type").is_in(["linear", "inverse"])
IS_SPOT: Final = (pl.col("contract_type") == "spot") & pl.col("quote").is_in(STABLE_QUOTES)

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.bybit.com"},
    # 600 requests in 5 seconds per address; beyond that HTTP 403 for ten minutes.
    limits=(Limit(600, 5.0),),
    concurrency=16,
    forbidden_wait=600.0,
    check=check,
    # The server clock at the end of every response.
    ignored_in_digest=re.compile(rb',"time":\d+'),
    turnover=turnover,
    feeds=(
        Feed(
            name="turnover",
            tables=(),
            description="24-hour turnover by contract, used to rank assets for the universe; feeds no table.",
            fetch=fetch_turnover,
            parse=parse_turnover,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Linear and inverse perpetuals, trading and closed, and spot pairs.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="One-sided open interest of perpetuals every 5 minutes since launch.",
            fetch=history.fetch_open_interest,
            parse=history.parse_open_interest,
            counting=FACTS[NAME],
            retention=Retention(since=date(2020, 1, 1)),
            subjects=each_instrument(IS_PERPETUAL),
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates of perpetuals since launch.",
            fetch=history.fetch_funding,
            parse=history.parse_funding,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Daily(published_after=timedelta(hours=1)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_PERPETUAL),
        ),
        Feed(
            name="long_short_ratios",
            tables=("long_short_ratios",),
            description="Ratio of long to short accounts of perpetuals every hour.",
            fetch=history.fetch_ratios,
            parse=history.parse_ratios,
            retention=Retention(since=date(2020, 7, 20)),
            # A row is available an hour after its timestamp, and a day's last timestamp is its end.
            cadence=Daily(published_after=timedelta(hours=2)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_PERPETUAL),
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles of perpetuals and of spot pairs quoted in dollar stablecoins, since launch.",
            fetch=history.fetch_candles,
            parse=history.parse_candles,
            retention=Retention(since=date(2018, 11, 14)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_PERPETUAL | IS_SPOT),
        ),
        Feed(
            name="option_chain",
            tables=("option_chain",),
            description="Open interest, volume, implied volatility and delta of every option, captured every hour.",
            fetch=capture.fetch_option_chain,
            parse=capture.parse_option_chain,
            retention=Retention(since=date(2022, 1, 1)),
            cadence=Capture(),
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
