"""Emulates Phemex's linear perpetuals as documented: tickers stamped in nanoseconds, funding by offset, candles as cells."""

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
    *(Listing("phemex", f"{asset}USDT", asset) for asset in ("BTC", "ETH", "SOL", "AVAX", "XRP", "DOGE")),
    Listing("phemex", "1000PEPEUSDT", "PEPE", multiplier=1000.0),
    Listing("phemex", "BTCUSDC", "BTC", quote="USDC"),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: rows per page at most."""

    rows: int | None = None


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


def ok(data: Any, *, code: int | str = 0) -> Response:
    return Response({"code": code, "msg": "OK", "data": data})


def error(code: int, message: str, status: int = 200) -> Response:
    return Response({"code": code, "msg": message, "data": None}, status=status)


def products(request: Request, market: MarketModel) -> Response:
    """The listed products, and one that was delisted."""
    rows = [
        {
            "symbol": x.instrument, "code": number, "type": "PerpetualV2", "displaySymbol": f"{x.asset} / {x.quote}",
            "baseCurrency": x.asset, "quoteCurrency": x.quote, "settleCurrency": x.quote, "status": "Listed",
            "perpProductSubType": "Normal", "fundingInterval": x.interval_hours * 3600,
            "listTime": milliseconds(x.listed_at), "fundingRateSymbol": f".{x.instrument}FR",
            "fundingRate8hSymbol": f".{x.instrument}FR8H",
        }
        for number, x in enumerate(LISTINGS)
    ]  # fmt: skip
    gone = {**rows[0], "symbol": "GONEUSDT", "status": "Delisted"}
    return ok({"perpProductsV2": [*rows, gone], "products": []})


def ticker(request: Request, market: MarketModel) -> Response:
    at = milliseconds(request.now.replace(second=0, microsecond=0)) * 1_000_000
    rows = []
    for x in LISTINGS:
        base, usd = held_now(market, x, request.now)
        price = text(usd / base)
        rows.append(
            {
                **dict.fromkeys(("closeRp", "highRp", "indexPriceRp", "lowRp", "markPriceRp", "openRp"), price),
                "fundingRateRr": "0.0001", "openInterestRv": text(base), "predFundingRateRr": "0.0001",
                "symbol": x.instrument, "timestamp": str(at), "turnoverRv": "124835296.0538", "volumeRq": "7406.95",
            }
        )  # fmt: skip
    return Response({"error": None, "id": 0, "result": rows})


def funding(request: Request, market: MarketModel, *, behavior: ResponseBehavior) -> Response:
    """Settlements between the inclusive bounds, newest first, from an offset on."""
    name = request.params.get("symbol", "")
    listing = BY_NAME.get(name.removeprefix(".").removesuffix("FR8H"))
    limit = int(request.params.get("limit", 20))
    if listing is None or limit > 100:
        return error(6001, "invalid argument")
    inside = pl.col("ms").is_between(int(request.params["start"]), int(request.params["end"]))
    frame = settled(market, listing, request).filter(inside)
    page = frame.slice(int(request.params.get("offset", 0)), min(limit, behavior.rows or limit))
    rows = [
        {
            "symbol": name, "fundingRate": text(rate), "fundingTime": str(at),
            "intervalSeconds": str(listing.interval_hours * 3600),
        }
        for rate, at in page.select("rate", "ms").iter_rows()
    ]  # fmt: skip
    return ok({"rows": rows}, code="0")


def kline(request: Request, market: MarketModel, *, behavior: ResponseBehavior) -> Response:
    """Candles that open between the inclusive bounds, newest first, the newest of too many."""
    listing = BY_NAME.get(request.params.get("symbol", ""))
    if listing is None or request.params.get("resolution") != "3600":
        return error(6001, "invalid argument", status=500)
    first, last = (utc(int(request.params[name]) * 1000) for name in ("from", "to"))
    frame = finished_candles(market, listing, request, first, last).tail(behavior.rows or 2000).reverse()
    rows = [
        [
            row["ms"] // 1000, 3600, text(row["open"]),
            *(text(row[name]) for name in ("open", "high", "low", "close", "volume_base", "volume_quote")),
        ]
        for row in frame.iter_rows(named=True)
    ]  # fmt: skip
    return ok({"total": -1, "rows": rows})


def routes(behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Sequence[Route]:
    """All endpoints of Phemex with this response behavior."""
    return (
        Route("GET", "api", "/public/products", products),
        Route("GET", "api", "/md/v3/ticker/24hr/all", ticker),
        Route("GET", "api", "/api-data/public/data/funding-rate-history", partial(funding, behavior=behavior)),
        Route("GET", "api", "/exchange/public/md/v2/kline/list", partial(kline, behavior=behavior)),
    )


ROUTES: Final[Sequence[Route]] = routes()
