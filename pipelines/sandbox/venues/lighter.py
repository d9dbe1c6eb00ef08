"""Emulates Lighter as documented and sampled: numbered markets, funding in percent without a sign, daily open interest of both
sides in dollars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.sandbox.emulator import Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, MarketModel

LISTINGS: Final = (
    *(Listing("lighter", coin, coin, quote="USDC", interval_hours=1) for coin in ("BTC", "ETH", "SOL", "DOGE")),
    Listing("lighter", "1000PEPE", "PEPE", quote="USDC", interval_hours=1, multiplier=1000.0),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
SPOT: Final = 2048
MOST: Final = 500
HOUR: Final = timedelta(hours=1)
FIRST_DAY: Final = datetime(2025, 1, 17)


def error(code: int, message: str) -> Response:
    return Response({"code": code, "message": message}, status=400)


def details(request: Request, market: MarketModel) -> Response:
    hour = request.now.replace(minute=0, second=0, microsecond=0)
    found: list[dict[str, Any]] = []
    for number, listing in enumerate(BY_NAME.values()):
        amount = market.open_interest(listing, 60, hour, hour + HOUR)["oi_base"][0] / listing.multiplier
        found.append(_market(number, listing.instrument, "perp", "active", amount))
    found.append(_market(135, "PIPPIN", "perp", "inactive", 1_407_378.2))
    found.append(_market(SPOT, "ETH/USDC", "spot", "active", 0.0))
    return Response({"code": 200, "order_book_details": found})


def _market(number: int, symbol: str, kind: str, status: str, amount: float) -> dict[str, Any]:
    return {
        "symbol": symbol, "market_id": number, "market_type": kind, "status": status, "mark_price": "1.0", "index_price": "1.0",
        "open_interest": amount, "daily_quote_token_volume": 1.5, "daily_base_token_volume": 1.5,
    }  # fmt: skip


def _asked(request: Request, unit: int) -> tuple[Listing, datetime, datetime, int] | None:
    """The market, [start, end) of the inclusive bounds, and the number of rows, of which the newest are served."""
    names = list(BY_NAME)
    number = int(request.params["market_id"])
    if number >= len(names):
        return None
    first, last = (int(request.params[name]) * unit for name in ("start_timestamp", "end_timestamp"))
    end = min(utc(last) + timedelta(milliseconds=1), request.now)
    return BY_NAME[names[number]], utc(first), end, min(int(request.params["count_back"]) or MOST, MOST)


def fundings(request: Request, market: MarketModel) -> Response:
    asked = _asked(request, 1000)
    if asked is None:
        return error(21500, "invalid market")
    listing, first, end, most = asked
    frame = market.funding(listing, first, end).tail(most)
    opens = market.candles(listing, "perp", 60, first, end).select(pl.col("opened_at").alias("settled_at"), "open")
    rows = frame.join(opens, on="settled_at", how="left").select(pl.col("settled_at").dt.epoch("s"), "rate", "open")
    return Response(
        {
            "code": 200,
            "resolution": "1h",
            "fundings": [
                {
                    "timestamp": at,
                    "value": f"{abs(rate) * price * listing.multiplier:.18f}",
                    "rate": f"{abs(rate) * 100:.4f}",
                    "direction": "long" if rate >= 0 else "short",
                }
                for at, rate, price in rows.iter_rows()
            ],
        }
    )


def candles(request: Request, market: MarketModel) -> Response:
    asked = _asked(request, 1)
    if asked is None:
        return error(21500, "invalid market")
    listing, first, end, most = asked
    scale = listing.multiplier
    return Response(
        {
            "code": 200,
            "r": "1h",
            "c": [
                {
                    "t": at, "o": o * scale, "h": h * scale, "l": low * scale, "c": c * scale, "v": volume / scale,
                    "V": quote, "i": at // 3_600_000,
                }
                for at, o, h, low, c, volume, quote in market.candles(listing, "perp", 60, first, end)
                .tail(most)
                .select(pl.col("opened_at").dt.epoch("ms"), "open", "high", "low", "close", "volume_base", "volume_quote")
                .iter_rows()
            ],
        }
    )  # fmt: skip


def metrics(request: Request, market: MarketModel) -> Response:
    listing = BY_NAME.get(request.params["value"])
    if listing is None or request.params["kind"] != "open_interest" or request.params["filter"] != "byMarket":
        return error(21500, "invalid value")
    midnight = request.now.replace(hour=0, minute=0, second=0, microsecond=0)
    frame = market.open_interest(listing, 1440, FIRST_DAY, midnight + HOUR)
    return Response(
        {
            "code": 200,
            "metrics": [
                {"timestamp": at, "data": usd * 2}
                for at, usd in frame.select(pl.col("event_at").dt.epoch("s"), "oi_usd").iter_rows()
            ],
        }
    )


ROUTES: Final[Sequence[Route]] = (
    Route("GET", "api", "/api/v1/orderBookDetails", details),
    Route("GET", "api", "/api/v1/fundings", fundings),
    Route("GET", "api", "/api/v1/candles", candles),
    Route("GET", "api", "/api/v1/exchangeMetrics", metrics),
)
