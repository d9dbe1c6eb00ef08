"""Captures of Bybit's option chain, which has no history. Options are sized in coin and quoted in USDC or USDT.

Facts from Bybit's v5 documentation; anything not verified live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import polars as pl

from pipelines.core.universe import canonical_asset
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.cex.bybit.wire import NAME, result_list
from pipelines.sources.records import LINE, Field, read_records, rejected

BASE_COINS: Final = "/v5/market/option-base-coins"
CRYPTO: Final = 0
"""underlyingType of coins; options on stocks, commodities, currencies and oil are listed too."""

SYMBOL: Final = r"^(?<coin>[A-Z0-9]+)-(?<expiry>\d{1,2}[A-Z]{3}\d{2})-(?<strike>\d+(?:\.\d+)?)-(?<kind>[CP])(?:-USDT)?$"
"""BTC-30DEC22-18000-C is quoted in USDC, BTC-27MAR26-90000-C-USDT in USDT."""

COINS: Final = (
    Field("baseCoin", "coin", str),
    Field("hasSymbol", "has_symbol", int),
    Field("underlyingType", "underlying_type", int),
)
OPTIONS: Final = (
    Field("symbol", "instrument", str),
    Field("openInterest", "oi_base", float),
    Field("volume24h", "volume_24h_base", float, optional=True),
    Field("markIv", "mark_iv", float, optional=True),
    Field("markPrice", "mark_price", float, optional=True),
    Field("underlyingPrice", "underlying_price", float, optional=True),
    Field("indexPrice", "index_price", float, optional=True),
    Field("delta", "delta", float, optional=True),
)


async def fetch_option_chain(api: Api, job: Job) -> AsyncIterator[Page]:
    """The coins with options, and the tickers of all options, one response per coin."""
    listed = await api.get(BASE_COINS, params={"underlyingType": CRYPTO})
    coins = base_coins(listed)
    yield listed
    for coin in coins:
        yield await api.get("/v5/market/tickers", params={"category": "option", "baseCoin": coin})


def base_coins(page: Page) -> list[str]:
    """Coins with tradable options, each once: a coin is listed per settlement currency."""
    found = read_records([page], result_list, COINS).frame.filter(
        pl.col("has_symbol") == 1, pl.col("underlying_type") == CRYPTO
    )
    return found["coin"].unique(maintain_order=True).to_list()


def parse_option_chain(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """All options of the capture, stamped with the time of its last page, so that the chain is one snapshot.

    Open interest and volume are in coin, one-sided (?); volatility is a fraction. The mark price is in dollars and is converted
    to coin at the forward, as Deribit quotes it. A price of zero means none.
    """
    pages = [page for page in pages if page.request.get("path") != BASE_COINS]
    records = read_records(pages, result_list, OPTIONS)
    captured = max((page.received_at for page in pages), default=context.fetched_at)
    parts = pl.col("instrument").str.extract_groups(SYMBOL).struct
    frame = records.frame.with_columns(
        parts.field("coin"),
        parts.field("expiry").str.to_date("%d%b%y", strict=False).alias("expiry_date"),
        parts.field("strike").cast(pl.Float64),
        parts.field("kind"),
        *(pl.when(pl.col(c) > 0).then(c).alias(c) for c in ("underlying_price", "index_price")),
    )
    known = pl.col("expiry_date").is_not_null() & pl.col("strike").is_not_null()
    assets = {coin: canonical_asset(coin) for coin in frame["coin"].drop_nulls().unique()}
    rows = frame.filter(known).select(
        pl.lit(NAME).alias("venue"),
        "instrument",
        pl.lit(captured, pl.Datetime("us")).alias("snapshot_at"),
        pl.col("coin").replace_strict(assets, return_dtype=pl.String).alias("underlying"),
        "expiry_date",
        "strike",
        pl.col("kind").replace_strict({"C": "call", "P": "put"}, return_dtype=pl.String).alias("option_type"),
        "oi_base",
        "volume_24h_base",
        "mark_iv",
        (pl.col("mark_price") / pl.col("underlying_price")).alias("mark_price_base"),
        "underlying_price",
        "index_price",
        "delta",
        pl.lit(captured, pl.Datetime("us")).alias("available_at"),
        LINE,
    )
    unknown = rejected(
        frame.filter(~known), reason="unknown_instrument", instrument="instrument",
        detail="the name follows no rule of Bybit's options",
    )  # fmt: skip
    yield Parsed("option_chain", rows, pl.concat([records.rejects, unknown]))
