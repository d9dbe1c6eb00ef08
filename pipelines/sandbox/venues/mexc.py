"""Emulates MEXC's contracts as documented: amounts in contracts, numbered pages of funding, candles in columns between bounds in
seconds, errors with status 200."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.answers import finished_candles, held_now, numbered, settled
from pipelines.sandbox.emulator import Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, MarketModel

SIZES: Final = {"BTC": 0.0001, "ETH": 0.01, "SOL": 0.1, "AVAX": 0.1, "XRP": 1.0, "DOGE": 100.0, "PEPE": 10_000_000.0}
LISTINGS: Final = (
    *(
        Listing("mexc", f"{asset}_USDT", asset, contract_size=size, contract_size_unit="base")
        for asset, size in SIZES.items()
    ),
    Listing(
        "mexc", "BTC_USD", "BTC", quote="USD", contract_type="inverse", contract_size=100.0, contract_size_unit="usd"
    ),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: rows per page at most, and how far back funding goes (None: all)."""

    rows: int | None = None
    keeps_funding: timedelta | None = None


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


def ok(data: Any) -> Response:
    return Response({"success": True, "code": 0, "data": data})


def error(code: int, message: str) -> Response:
    return Response({"success": False, "code": code, "message": message})


UNKNOWN: Final = error(1001, "Contract does not exist!")


def is_inverse(listing: Listing) -> bool:
    return listing.contract_type == "inverse"


def detail(request: Request, market: MarketModel) -> Response:
    rows = [
        {
            "symbol": x.instrument, "baseCoin": x.asset, "quoteCoin": x.quote,
            "settleCoin": x.asset if is_inverse(x) else x.quote, "contractSize": x.contract_size, "state": 0,
            "isHidden": False, "apiAllowed": True, "futureType": 1, "type": 1, "conceptPlate": ["mc-trade-zone-main"],
            "createTime": milliseconds(x.listed_at), "openingTime": milliseconds(x.listed_at),
        }
        for x in LISTINGS
    ]  # fmt: skip
    return ok(rows)


def ticker(request: Request, market: MarketModel) -> Response:
    """The state of every contract, and of one that is no longer traded."""
    at = milliseconds(request.now.replace(second=0, microsecond=0))
    rows = []
    for x in LISTINGS:
        base, usd = held_now(market, x, request.now)
        price = usd / base
        contracts = (usd if is_inverse(x) else base) / (x.contract_size or 1.0)
        rows.append(
            {
                "symbol": x.instrument, "lastPrice": price, "fundingRate": 2.9e-05, "fairPrice": price, "indexPrice": price,
                "holdVol": contracts, "volume24": 612996672, "amount24": 4750304885.22576, "timestamp": at,
            }
        )  # fmt: skip
    dead = {"lastPrice": 0, "holdVol": 0, "volume24": 0, "amount24": 0}
    return ok([*rows, {**rows[0], "symbol": "GONE_USDT", **dead}])


def funding_history(request: Request, market: MarketModel, *, behavior: ResponseBehavior) -> Response:
    listing = BY_NAME.get(request.params.get("symbol", ""))
    if listing is None:
        return UNKNOWN
    size = int(request.params.get("page_size", 20))
    if size > 100:
        return error(600, "Parameter error!")
    size, number = min(size, behavior.rows or size), int(request.params.get("page_num", 1))
    since = listing.listed_at if behavior.keeps_funding is None else request.now - behavior.keeps_funding
    every = settled(market, listing, request, since)
    rows = [
        {"symbol": listing.instrument, "fundingRate": rate, "settleTime": at, "collectCycle": listing.interval_hours}
        for rate, at in numbered(every, number, size).select("rate", "ms").iter_rows()
    ]
    total = {"pageSize": size, "totalCount": every.height, "totalPage": -(-every.height // size), "currentPage": number}
    return ok({**total, "resultList": rows})


def kline(request: Request, market: MarketModel, *, behavior: ResponseBehavior) -> Response:
    """Candles that open between the inclusive bounds, the oldest of too many."""
    listing = BY_NAME.get(request.params.get("name", ""))
    if listing is None:
        return UNKNOWN
    if request.params.get("interval") != "Min60":
        return error(600, "Parameter error!")
    first, last = (utc(int(request.params[name]) * 1000) for name in ("start", "end"))
    frame = finished_candles(market, listing, request, first, last).head(behavior.rows or 2000)
    size = listing.contract_size or 1.0
    inverse = is_inverse(listing)
    columns = {name: frame[name].to_list() for name in ("open", "close", "high", "low")}
    columns |= {
        "time": (frame["ms"] // 1000).to_list(),
        "vol": (frame["volume_quote" if inverse else "volume_base"] / size).to_list(),
        "amount": frame["volume_base" if inverse else "volume_quote"].to_list(),
    }
    return ok(columns)


def routes(behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Sequence[Route]:
    """All endpoints of MEXC with this response behavior."""
    return (
        Route("GET", "api", "/api/v1/contract/detail", detail),
        Route("GET", "api", "/api/v1/contract/ticker", ticker),
        Route("GET", "api", "/api/v1/contract/funding_rate/history", partial(funding_history, behavior=behavior)),
        Route("GET", "api", "/api/v1/contract/kline/{name}", partial(kline, behavior=behavior)),
    )


ROUTES: Final[Sequence[Route]] = routes()
