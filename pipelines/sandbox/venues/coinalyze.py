"""Emulates Coinalyze v1 as documented: an API key in a header, symbols of many exchanges, amounts in coin or dollars depending on
the market, daily rows with their start in seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import polars as pl

from pipelines.sandbox.emulator import Request, Response, Route
from pipelines.sandbox.market_model import Listing, MarketModel

CODES: Final = {"Binance": "A", "Bybit": "6", "OKX": "3", "Gate.io": "Y", "Hyperliquid": "H", "Huobi": "4"}

LISTED: Final[dict[str, tuple[str, Listing]]] = {
    "BTCUSDT_PERP.A": ("Binance", Listing("binance", "BTCUSDT", "BTC")),
    "1000PEPEUSDT_PERP.A": ("Binance", Listing("binance", "1000PEPEUSDT", "PEPE", multiplier=1000.0)),
    "BTCUSD_PERP.A": ("Binance", Listing("binance", "BTCUSD_PERP", "BTC", quote="USD", contract_type="inverse")),
    "BTCUSDT.6": ("Bybit", Listing("bybit", "BTCUSDT", "BTC")),
    "ETHUSDT.6": ("Bybit", Listing("bybit", "ETHUSDT", "ETH")),
    "BTCUSDT_PERP.3": ("OKX", Listing("okx", "BTC-USDT-SWAP", "BTC")),
    "BTC_USDT.Y": ("Gate.io", Listing("gate", "BTC_USDT", "BTC")),
    "BTC.H": ("Hyperliquid", Listing("hyperliquid", "BTC", "BTC", quote="USD", interval_hours=1)),
    # An unsupported exchange.
    "BTCUSDT_PERP.4": ("Huobi", Listing("huobi", "BTC-USDT", "BTC")),
}
TWO_SIDED_SINCE: Final = {"bybit": datetime(2018, 11, 14), "gate": datetime(2026, 3, 17, 6, 35)}
DATED: Final = "BTCUSDT_240628.A"
BY_NAME: Final = {f"{listing.venue}:{listing.instrument}": listing for _, listing in LISTED.values()}
MOST_SYMBOLS: Final = 20
DAY: Final = timedelta(days=1)


def error(message: str, status: int = 400) -> Response:
    return Response({"message": message}, status=status)


def with_key(handler: Callable[[Request, MarketModel], Response]) -> Callable[[Request, MarketModel], Response]:
    """`handler`, refusing requests without an API key."""

    def handle(request: Request, market: MarketModel) -> Response:
        return handler(request, market) if request.headers.get("api_key") else error("Invalid API key", 401)

    return handle


def exchanges(request: Request, market: MarketModel) -> Response:
    return Response([{"name": name, "code": code} for name, code in CODES.items()])


def future_markets(request: Request, market: MarketModel) -> Response:
    rows: list[dict[str, Any]] = [
        {
            "symbol": symbol,
            "exchange": CODES[exchange],
            "symbol_on_exchange": listing.instrument,
            "base_asset": listing.asset if listing.multiplier == 1.0 else f"1000{listing.asset}",
            "quote_asset": listing.quote,
            "expire_at": None,
            "has_buy_sell_data": True,
            "is_perpetual": True,
            "margined": "COIN" if listing.contract_type == "inverse" else "STABLE",
            "oi_lq_vol_denominated_in": "QUOTE_ASSET" if listing.contract_type == "inverse" else "BASE_ASSET",
            "has_long_short_ratio_data": True,
            "has_ohlcv_data": True,
        }
        for symbol, (exchange, listing) in LISTED.items()
    ]
    return Response([*rows, rows[0] | {"symbol": DATED, "symbol_on_exchange": "BTCUSDT_240628", "is_perpetual": False}])


Rows = Callable[[MarketModel, Listing, datetime, datetime], pl.DataFrame]
"""Daily rows with a start in [start, end): `at` and the vendor's one-letter columns."""


def open_interest(market: MarketModel, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
    frame = market.open_interest(listing, 1440, start + DAY, end + DAY)
    amount = pl.col("oi_usd") if listing.contract_type == "inverse" else pl.col("oi_base") / listing.multiplier
    # Passed on as the exchange states it: Bybit both sides, Gate both since March 2026.
    since_both = TWO_SIDED_SINCE.get(listing.venue)
    if since_both is not None:
        amount = amount * pl.when(pl.col("event_at") >= since_both).then(2).otherwise(1)
    return frame.select(
        (pl.col("event_at") - DAY).alias("at"),
        amount.alias("o"),
        (amount * 1.1).alias("h"),
        (amount * 0.9).alias("l"),
        amount.alias("c"),
    )


def funding(market: MarketModel, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
    """In percent; a day closes with its last settlement."""
    return (
        market.funding(listing, start, end)
        .group_by(pl.col("settled_at").dt.truncate("1d").alias("at"))
        .agg((pl.col("rate").sort_by("settled_at").last() * 100).alias("c"))
        .select("at", *(pl.col("c").alias(letter) for letter in "ohlc"))
    )


def liquidations(market: MarketModel, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
    inverse = listing.contract_type == "inverse"
    amount = pl.col("quantity_base") * (pl.col("price") if inverse else 1 / listing.multiplier)
    return (
        market.liquidations(listing, start, end)
        .group_by(pl.col("occurred_at").dt.truncate("1d").alias("at"))
        .agg(amount.filter(side=side).sum().alias(side[0]) for side in ("long", "short"))
    )


def ratios(market: MarketModel, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
    """The value of a day is the state at its start."""
    ratio = pl.col("ratio")
    return market.ratios(listing, "account_global", 1440, start, end).select(
        pl.col("event_at").alias("at"),
        ratio.alias("r"),
        (ratio / (1 + ratio) * 100).round(2).alias("l"),
        (100 / (1 + ratio)).round(2).alias("s"),
    )


def candles(market: MarketModel, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
    frame = market.candles(listing, "perp", 1440, start, end)
    inverse, multiplier = listing.contract_type == "inverse", listing.multiplier
    return frame.select(
        pl.col("opened_at").alias("at"),
        *((pl.col(name) * multiplier).alias(name[0]) for name in ("open", "high", "low", "close")),
        (pl.col("volume_quote") if inverse else pl.col("volume_base") / multiplier).alias("v"),
        (pl.col("taker_buy_base") / multiplier).alias("bv"),
        pl.col("trades").alias("tx"),
        (pl.col("trades") // 2).alias("btx"),
    )


def history(request: Request, market: MarketModel, *, rows: Rows) -> Response:
    """Daily rows from `from` through `to` for up to 20 symbols; unknown symbols are left out."""
    if not {"symbols", "interval", "from", "to"} <= set(request.params):
        return error("symbols, interval, from and to are required")
    symbols = request.params["symbols"].split(",")
    if request.params["interval"] != "daily" or len(symbols) > MOST_SYMBOLS:
        return error("interval or symbols")
    epoch = datetime(1970, 1, 1)
    first = epoch + timedelta(seconds=int(request.params["from"]))
    last = min(epoch + timedelta(seconds=int(request.params["to"])), request.now)
    start = epoch + -((epoch - first) // DAY) * DAY
    found: list[dict[str, Any]] = []
    for symbol in symbols:
        if symbol in LISTED:
            frame = rows(
                market, LISTED[symbol][1], start, (last.replace(hour=0, minute=0, second=0, microsecond=0) + DAY)
            )
            series = frame.sort("at").select(pl.col("at").dt.epoch("s").alias("t"), pl.exclude("at"))
            if not series.is_empty():
                found.append({"symbol": symbol, "history": series.to_dicts()})
    return Response(found)


HISTORIES: Final[dict[str, Rows]] = {
    "/open-interest-history": open_interest,
    "/funding-rate-history": funding,
    "/liquidation-history": liquidations,
    "/long-short-ratio-history": ratios,
    "/ohlcv-history": candles,
}

ROUTES: Final[Sequence[Route]] = (
    Route("GET", "api", "/exchanges", with_key(exchanges)),
    Route("GET", "api", "/future-markets", with_key(future_markets)),
    *(Route("GET", "api", path, with_key(partial(history, rows=rows))) for path, rows in HISTORIES.items()),
)
