"""Emulates BingX's perpetuals as documented: open interest in dollars, funding newest first, candles after an exclusive start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.answers import finished_candles, held_now, settled, text
from pipelines.sandbox.emulator import Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, MarketModel

LISTINGS: Final = (
    *(Listing("bingx", f"{asset}-USDT", asset) for asset in ("BTC", "ETH", "SOL", "AVAX", "XRP", "DOGE")),
    Listing("bingx", "1000PEPE-USDT", "PEPE", multiplier=1000.0),
    Listing("bingx", "BTC-USDC", "BTC", quote="USDC"),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: rows per page at most."""

    rows: int | None = None


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


def ok(data: Any) -> Response:
    return Response({"code": 0, "msg": "", "data": data})


def error(code: int, message: str) -> Response:
    return Response({"code": code, "msg": message, "data": {}})


UNKNOWN: Final = error(109425, "this symbol is not exist")


def contracts(request: Request, market: MarketModel) -> Response:
    rows = [
        {
            "symbol": x.instrument, "size": "0.0001", "currency": x.quote, "asset": x.instrument.partition("-")[0],
            "status": 1, "apiStateOpen": "true", "apiStateClose": "true", "launchTime": milliseconds(x.listed_at),
            "maintainTime": 0, "offTime": 0, "displayName": x.instrument,
        }
        for x in LISTINGS
    ]  # fmt: skip
    return ok(rows)


def open_interest(request: Request, market: MarketModel) -> Response:
    listing = BY_NAME.get(request.params.get("symbol", ""))
    if listing is None:
        return UNKNOWN
    _, usd = held_now(market, listing, request.now)
    at = milliseconds(request.now.replace(second=0, microsecond=0))
    return ok({"openInterest": text(usd), "symbol": listing.instrument, "time": at})


def funding_rate(request: Request, market: MarketModel, *, behavior: ResponseBehavior) -> Response:
    """The newest settlements between the inclusive bounds, newest first."""
    listing = BY_NAME.get(request.params.get("symbol", ""))
    if listing is None:
        return UNKNOWN
    limit = min(int(request.params.get("limit", 100)), 1000, behavior.rows or 1000)
    inside = pl.col("ms").is_between(int(request.params["startTime"]), int(request.params["endTime"]))
    rows = [
        {
            "symbol": listing.instrument, "fundingRate": f"{rate:.8f}", "fundingTime": at,
            "markPrice": text(mark * listing.multiplier),
        }
        for rate, at, mark in settled(market, listing, request).filter(inside).head(limit)
        .select("rate", "ms", "mark_price").iter_rows()
    ]  # fmt: skip
    return ok(rows)


def klines(request: Request, market: MarketModel, *, behavior: ResponseBehavior) -> Response:
    """Candles that open after startTime and not after endTime, newest first, the newest of too many."""
    listing = BY_NAME.get(request.params.get("symbol", ""))
    if listing is None:
        return UNKNOWN
    if request.params.get("interval") != "1h":
        return error(109400, "interval is invalid")
    limit = min(int(request.params.get("limit", 500)), 1440, behavior.rows or 1440)
    first, last = utc(int(request.params["startTime"]) + 1), utc(int(request.params["endTime"]))
    frame = finished_candles(market, listing, request, first, last).tail(limit).reverse()
    rows = [
        {
            **{name: text(row[name]) for name in ("open", "close", "high", "low")}, "volume": text(row["volume_base"]),
            "time": row["ms"],
        }
        for row in frame.iter_rows(named=True)
    ]  # fmt: skip
    return ok(rows)


def routes(behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Sequence[Route]:
    """All endpoints of BingX with this response behavior."""
    return (
        Route("GET", "api", "/openApi/swap/v2/quote/contracts", contracts),
        Route("GET", "api", "/openApi/swap/v2/quote/openInterest", open_interest),
        Route("GET", "api", "/openApi/swap/v2/quote/fundingRate", partial(funding_rate, behavior=behavior)),
        Route("GET", "api", "/openApi/swap/v3/quote/klines", partial(klines, behavior=behavior)),
    )


ROUTES: Final[Sequence[Route]] = routes()
