"""Bybit v5: the venue, its instruments and their ranking. Public endpoints of api.bybit.com; no key.

History stands in bybit_history, the option chain in bybit_options. Facts from Bybit's v5 documentation; what was not seen live
is marked "?". Liquidations are only on its websocket, which is not listened to.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.core.errors import RequestRefusedError, ThrottledError, VenueUnavailableError
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
from pipelines.sources.cex.bybit.capture import fetch_option_chain, parse_option_chain
from pipelines.sources.cex.bybit.history import (
    fetch_candles,
    fetch_funding,
    fetch_open_interest,
    fetch_ratios,
    parse_candles,
    parse_funding,
    parse_open_interest,
    parse_ratios,
)
from pipelines.sources.instruments import each_instrument, parse_symbols
from pipelines.sources.records import LINE, Field, at_path, from_ms, read_records, rejected

NAME: Final = "bybit"

INSTRUMENTS: Final = (
    Field("symbol", "instrument", str),
    Field("baseCoin", "base", str),
    Field("quoteCoin", "quote", str),
    Field("contractType", "kind", str),
    Field("status", "status", str),
    Field("launchTime", "launch_ms", int),
    Field("deliveryTime", "delivery_ms", int, optional=True),
)
PAIRS: Final = (
    Field("symbol", "symbol", str),
    Field("baseCoin", "base", str),
    Field("quoteCoin", "quote_coin", str),
)
TICKERS: Final = (Field("symbol", "instrument", str), Field("turnover24h", "turnover_usd", float))
PERPETUALS: Final = ("LinearPerpetual", "InversePerpetual")
STABLE_QUOTES: Final = ("USDT", "USDC")
INSTRUMENTS_LIMIT: Final = 1000


def check(page: Page) -> None:
    """Bybit answers 200 to almost everything; retCode says what it means."""
    answer = page.json()
    code = answer.get("retCode")
    if code == 0:
        return
    said = f"{NAME}: {page.where}: retCode {code}: {answer.get('retMsg')}"
    if code == 10006:  # "Too many visits": the next window of 5 seconds is free again
        raise ThrottledError(said, wait_seconds=5.0)
    if code in (10000, 10016, 10018):  # server time-out, internal error, IP-level overload
        raise VenueUnavailableError(said)
    raise RequestRefusedError(f"{said}. Compare the request with Bybit's documentation.")


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All linear and inverse contracts, those that are no longer traded included where Bybit still lists them, and all spot
    pairs, which come in one answer."""
    for kind in ("linear", "inverse"):
        for status in ("Trading", "Closed"):

            async def get(cursor: str | None, kind: str = kind, status: str = status) -> Page:
                params: dict[str, str | int] = {"category": kind, "status": status, "limit": INSTRUMENTS_LIMIT}
                return await api.get(
                    "/v5/market/instruments-info", params=params | ({"cursor": cursor} if cursor else {})
                )

            async for page in pages_by_cursor(get, lambda page: page.json()["result"].get("nextPageCursor")):
                yield page
    yield await api.get("/v5/market/instruments-info", params={"category": "spot"})


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals and spot pairs as clean.instruments. Linear sizes are in base coin already (contract_size 1); inverse ones
    are one dollar; a spot pair has none, and no word on when it was listed."""
    is_spot = [page.request.get("params", {}).get("category") == "spot" for page in pages]
    records = read_records(
        [page for page, spot in zip(pages, is_spot, strict=True) if not spot], at_path("result", "list"), INSTRUMENTS
    )
    pairs = read_records(
        [page for page, spot in zip(pages, is_spot, strict=True) if spot], at_path("result", "list"), PAIRS
    )
    perpetuals = records.frame.filter(pl.col("kind").is_in(PERPETUALS)).drop("quote")
    # Pairs in other currencies than the warehouse knows (BRZ, PLN and the like) are none of its.
    followed = pairs.frame.filter(pl.col("quote_coin").is_in(QUOTES))
    names = [spot_symbol(NAME, base, quote) for base, quote in followed.select("base", "quote_coin").iter_rows()]
    spot = followed.select(pl.Series("instrument", names, dtype=pl.String), "received_at", LINE)
    listed = pl.concat([perpetuals, spot], how="diagonal")
    joined = listed.join(parse_symbols(NAME, listed["instrument"]), on="instrument", how="left", maintain_order="left")
    unknown = joined.filter(pl.col("asset").is_null())
    linear, inverse = pl.col("contract_type") == "linear", pl.col("contract_type") == "inverse"
    rows = joined.filter(pl.col("asset").is_not_null()).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.col("received_at").dt.truncate("1d").alias("valid_from"),
        "asset",
        "quote",
        "contract_type",
        pl.when(linear | inverse).then(1.0).alias("contract_size"),
        pl.when(linear).then(pl.lit("base")).when(inverse).then(pl.lit("usd")).alias("contract_size_unit"),
        "multiplier",
        from_ms("launch_ms").alias("listed_at"),
        pl.when(pl.col("delivery_ms") > 0).then(from_ms("delivery_ms")).alias("delisted_at"),
        pl.col("received_at").alias("available_at"),
        LINE,
    )
    rejected_logs = rejected(
        unknown, reason="unknown_instrument", detail="the name follows no rule of Bybit's", instrument="instrument"
    )
    yield Parsed("instruments", rows, pl.concat([records.rejects, pairs.rejects, rejected_logs]))


async def fetch_turnover(api: Api, job: Job) -> AsyncIterator[Page]:
    """Tickers of all linear contracts in one answer: what was traded in the last 24 hours."""
    yield await api.get("/v5/market/tickers", params={"category": "linear"})


def parse_turnover(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Nothing for the clean tables: the pages rank assets (turnover)."""
    yield from ()


def turnover(pages: Sequence[Page]) -> Mapping[str, float]:
    """Dollars traded in 24 hours by asset. Linear turnover is in USDT or USDC, taken at one dollar for a ranking."""
    frame = read_records(pages, at_path("result", "list"), TICKERS).frame
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
    # 600 requests in 5 seconds per address, else HTTP 403 and ten minutes of silence.
    limits=(Limit(600, 5.0),),
    concurrency=16,
    forbidden_wait=600.0,
    check=check,
    # The end of every answer: retExtInfo and the server's clock.
    ignored_in_digest=re.compile(rb',"time":\d+'),
    turnover=turnover,
    feeds=(
        Feed(
            name="turnover",
            tables=(),
            description="Turnover of 24 hours by contract, which ranks assets for the universe; feeds no table.",
            fetch=fetch_turnover,
            parse=parse_turnover,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Linear and inverse perpetuals, traded and closed, and spot pairs.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="open_interest",
            tables=("open_interest",),
            description="Open interest every 5 minutes, one-sided, back to an instrument's launch.",
            fetch=fetch_open_interest,
            parse=parse_open_interest,
            retention=Retention(since=date(2020, 1, 1)),
            subjects=each_instrument(IS_PERPETUAL),
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates, back to an instrument's launch.",
            fetch=fetch_funding,
            parse=parse_funding,
            retention=Retention(since=date(2020, 1, 1)),
            cadence=Daily(published_after=timedelta(hours=1)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_PERPETUAL),
        ),
        Feed(
            name="long_short_ratios",
            tables=("long_short_ratios",),
            description="Accounts long against accounts short, of perpetuals, every hour.",
            fetch=fetch_ratios,
            parse=parse_ratios,
            retention=Retention(since=date(2020, 7, 20)),
            cadence=Daily(published_after=timedelta(hours=2)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_PERPETUAL),
            # Hours are known an hour after their stamp, and the last stamp of a day is its end.
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles of perpetuals, back to their launch, and of spot pairs in dollar coins.",
            fetch=fetch_candles,
            parse=parse_candles,
            retention=Retention(since=date(2018, 11, 14)),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(IS_PERPETUAL | IS_SPOT),
        ),
        Feed(
            name="option_chain",
            tables=("option_chain",),
            description="Open interest, volume, implied volatility and delta of every option, captured every hour.",
            fetch=fetch_option_chain,
            parse=parse_option_chain,
            retention=Retention(since=date(2022, 1, 1)),
            cadence=Capture(),
        ),
    ),
)
