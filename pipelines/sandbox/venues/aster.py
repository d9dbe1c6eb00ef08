"""Emulates Aster as documented and sampled: Binance's format, inclusive bounds, oldest first, classes as tags, no history of open
interest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Request, Response, Route, stamp_ms, utc
from pipelines.sandbox.market_model import Listing, MarketModel

LISTINGS: Final = (
    *(Listing("aster", f"{coin}USDT", coin, listed_at=datetime(2024, 1, 1)) for coin in ("BTC", "ETH", "SOL", "DOGE")),
    Listing("aster", "1000PEPEUSDT", "PEPE", multiplier=1000.0, listed_at=datetime(2024, 1, 1)),
)  # fmt: skip
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
OTHERS: Final = (
    ("XAU", "USDT", ("Commodities",), 1),
    ("CL", "USD1", ("Commodities", "AOS2", "USD1-RWA"), 1),
    ("TSLA", "USDT", ("STOCK",), 1),
)
"""Perpetuals of what is no coin: base, quote, tags, symbolType. They are listed and never asked for."""
FUNDING_MOST: Final = 1000
CANDLES_MOST: Final = 1500


def error(code: int, message: str) -> Response:
    return Response({"code": code, "msg": message}, status=400)


UNKNOWN: Final = error(-1121, "Invalid symbol.")


def exchange_info(request: Request, market: MarketModel) -> Response:
    coins = [
        _symbol(x.instrument, x.instrument.removesuffix(x.quote), x.quote, (), 0, x.listed_at) for x in BY_NAME.values()
    ]
    others = [
        _symbol(f"{base}{quote}", base, quote, tags, kind, datetime(2025, 1, 1)) for base, quote, tags, kind in OTHERS
    ]
    return Response({"timezone": "UTC", "serverTime": milliseconds(request.now), "symbols": [*coins, *others]})


def _symbol(name: str, base: str, quote: str, tags: Sequence[str], kind: int, listed_at: datetime) -> dict[str, Any]:
    return {
        "symbol": name, "status": "TRADING", "contractType": "PERPETUAL", "onboardDate": milliseconds(listed_at),
        "baseAsset": base, "quoteAsset": quote, "marginAsset": quote, "underlyingType": "COIN", "underlyingSubType": list(tags),
        "symbolType": kind,
    }  # fmt: skip


def open_interest(request: Request, market: MarketModel) -> Response:
    listing = BY_NAME.get(request.params["symbol"])
    if listing is None:
        return UNKNOWN
    hour = request.now.replace(minute=0, second=0, microsecond=0)
    amount = market.open_interest(listing, 60, hour, hour + timedelta(hours=1))["oi_base"][0] / listing.multiplier
    return Response({"symbol": listing.instrument, "openInterest": repr(amount), "time": milliseconds(request.now)})


def _bounds(request: Request) -> tuple[datetime, datetime]:
    """[start, end) of the inclusive bounds."""
    now = milliseconds(request.now)
    first, last = stamp_ms(request.params, "startTime", 0), stamp_ms(request.params, "endTime", now)
    return utc(first), utc(min(last, now) + 1)


def funding(request: Request, market: MarketModel) -> Response:
    listing = BY_NAME.get(request.params["symbol"])
    if listing is None:
        return UNKNOWN
    limit = min(int(request.params.get("limit", 100)), FUNDING_MOST)
    frame = market.funding(listing, *_bounds(request)).head(limit)
    return Response(
        [
            {"symbol": listing.instrument, "fundingTime": at, "fundingRate": f"{rate:.8f}"}
            for at, rate in frame.select(pl.col("settled_at").dt.epoch("ms"), "rate").iter_rows()
        ]
    )


def klines(request: Request, market: MarketModel) -> Response:
    listing = BY_NAME.get(request.params["symbol"])
    if listing is None:
        return UNKNOWN
    limit = min(int(request.params.get("limit", 500)), CANDLES_MOST)
    frame = market.candles(listing, "perp", 60, *_bounds(request)).head(limit)
    scale = listing.multiplier
    return Response(
        [
            [
                at, *(repr(price * scale) for price in (o, h, low, c)), repr(volume / scale), at + 3_599_999, repr(quote), trades,
                repr(bought / scale), "0", "0",
            ]
            for at, o, h, low, c, volume, quote, bought, trades in frame.select(
                pl.col("opened_at").dt.epoch("ms"), "open", "high", "low", "close", "volume_base", "volume_quote",
                "taker_buy_base", "trades",
            ).iter_rows()
        ]
    )  # fmt: skip


ROUTES: Final[Sequence[Route]] = (
    Route("GET", "api", "/fapi/v3/exchangeInfo", exchange_info),
    Route("GET", "api", "/fapi/v1/openInterest", open_interest),
    Route("GET", "api", "/fapi/v3/fundingRate", funding),
    Route("GET", "api", "/fapi/v3/klines", klines),
)
