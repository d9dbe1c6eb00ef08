"""Bybit's options: the whole chain as it stands. No history is published: what is not captured is lost.

Sized in coins, quoted in USDC or USDT. Facts from Bybit's v5 documentation; what was not seen live is marked "?".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import polars as pl

from pipelines.core.universe import canonical_asset
from pipelines.extract.venue import Api, Context, Job, Page, Parsed
from pipelines.sources.records import LINE, Field, at_path, read_records, rejected

NAME: Final = "bybit"

COINS: Final = ("BTC", "ETH", "SOL")
"""Coins with options; one without any has an empty list (?)."""

NAMED: Final = r"^(?<coin>[A-Z0-9]+)-(?<expiry>\d{1,2}[A-Z]{3}\d{2})-(?<strike>\d+(?:\.\d+)?)-(?<kind>[CP])(?:-USDT)?$"
"""BTC-30DEC22-18000-C is in USDC, BTC-27MAR26-90000-C-USDT in USDT."""

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
    """Tickers of all options of every coin, in one answer each."""
    for coin in COINS:
        yield await api.get("/v5/market/tickers", params={"category": "option", "baseCoin": coin})


def parse_option_chain(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """All options of the capture, stamped with the moment its last page came, so that a chain is one instant.

    Open interest and volume are in coin and counted once (?), volatility is a fraction. The mark is in dollars and becomes coin
    at the forward, as Deribit quotes it. A price of zero stands for none.
    """
    records = read_records(pages, at_path("result", "list"), OPTIONS)
    captured = max((page.received_at for page in pages), default=context.fetched_at)
    named = pl.col("instrument").str.extract_groups(NAMED).struct
    frame = records.frame.with_columns(
        named.field("coin"),
        named.field("expiry").str.to_date("%d%b%y", strict=False).alias("expiry_date"),
        named.field("strike").cast(pl.Float64),
        named.field("kind"),
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
