"""Emulates edgeX V2 as sampled: contracts by number, numbers as text, newest first, a cursor, success for what is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, MarketModel
from pipelines.sandbox.risk_tiers import risk_tiers

LISTINGS: Final = (
    *(Listing("edgex", f"{coin}USDC", coin, quote="USDC", interval_hours=4) for coin in ("BTC", "ETH", "SOL", "DOGE")),
    Listing("edgex", "1000PEPEUSDC", "PEPE", quote="USDC", interval_hours=4, multiplier=1000.0),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
FIRST_ID: Final = 30_000_001
MOST: Final = 1000


def ok(data: Any) -> Response:
    return Response({"code": "SUCCESS", "data": data, "msg": None, "errorParam": None})


def tiers(listing: Listing, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "tier": tier.number, "positionValueUpperBound": f"{tier.upper:.0f}", "maxLeverage": str(tier.leverage),
            "maintenanceMarginRate": f"{tier.maintenance:g}", "starkExRisk": "", "starkExUpperBound": "",
        }
        for tier in risk_tiers(listing, now)
    ]  # fmt: skip


def meta(request: Request, market: MarketModel) -> Response:
    names = [*BY_NAME, "TSLAUSDC"]
    return ok(
        {
            "coinList": [],
            "contractList": [
                {
                    "contractId": str(FIRST_ID + place), "contractName": name, "enableTrade": True, "enableDisplay": True,
                    "fundingRateIntervalMin": "240", "isStock": name == "TSLAUSDC", "isFx": False,
                    "riskTierList": tiers(BY_NAME[name], request.now) if name in BY_NAME else [],
                }
                for place, name in enumerate(names)
            ],
        }
    )  # fmt: skip


def _listing(request: Request) -> Listing | None:
    place, names = int(request.params["contractId"]) - FIRST_ID, list(BY_NAME)
    return BY_NAME[names[place]] if 0 <= place < len(names) else None


def ticker(request: Request, market: MarketModel) -> Response:
    listing = _listing(request)
    if listing is None:
        return ok([])
    hour = request.now.replace(minute=0, second=0, microsecond=0)
    amount = market.open_interest(listing, 60, hour, hour + timedelta(hours=1))["oi_base"][0] / listing.multiplier
    now = str(milliseconds(request.now))
    texts = (
        "priceChange", "priceChangePercent", "trades", "size", "value", "high", "low", "open", "close", "startTime", "endTime",
        "lastPrice", "indexPrice", "oraclePrice", "markPrice", "fundingRate", "fundingTime", "nextFundingTime",
    )  # fmt: skip
    state = {
        "contractId": request.params["contractId"],
        "contractName": listing.instrument,
        "openInterest": repr(amount),
    }
    return ok([state | dict.fromkeys(texts, now)])


def _page(request: Request, rows: list[dict[str, Any]]) -> Response:
    """A part of `rows`, whose cursor is the place of the next."""
    first = int(request.params.get("offsetData") or 0)
    most = min(int(request.params["size"]), MOST)
    after = str(first + most) if first + most < len(rows) else ""
    return ok({"dataList": rows[first : first + most], "nextPageOffsetData": after})


def funding(request: Request, market: MarketModel) -> Response:
    listing = _listing(request)
    if listing is None:
        return _page(request, [])
    first, end = (utc(int(request.params[name])) for name in ("filterBeginTimeInclusive", "filterEndTimeExclusive"))
    frame = market.funding(listing, first, min(end, request.now)).sort("settled_at", descending=True)
    return _page(
        request,
        [
            {
                "contractId": request.params["contractId"], "fundingTime": str(at), "fundingTimestamp": str(at),
                "oraclePrice": repr(mark * listing.multiplier), "markPrice": repr(mark * listing.multiplier),
                "indexPrice": repr(mark * listing.multiplier), "fundingRate": f"{rate:.8f}", "isSettlement": True,
                "forecastFundingRate": "", "interestRate": "0.0003", "fundingRateIntervalMin": str(listing.interval_hours * 60),
            }
            for at, rate, mark in frame.select(pl.col("settled_at").dt.epoch("ms"), "rate", "mark_price").iter_rows()
        ],
    )  # fmt: skip


def klines(request: Request, market: MarketModel) -> Response:
    listing = _listing(request)
    if listing is None or request.params["klineType"] != "HOUR_1" or request.params["priceType"] != "LAST_PRICE":
        return _page(request, [])
    bounds = (request.params[name] for name in ("filterBeginKlineTimeInclusive", "filterEndKlineTimeExclusive"))
    first, end = (utc(int(bound)) for bound in bounds)
    frame = market.candles(listing, "perp", 60, first, min(end, request.now)).sort("opened_at", descending=True)
    scale = listing.multiplier
    return _page(
        request,
        [
            {
                "contractId": request.params["contractId"], "klineType": "HOUR_1", "priceType": "LAST_PRICE",
                "klineTime": str(at), "open": repr(o * scale), "high": repr(h * scale), "low": repr(low * scale),
                "close": repr(c * scale), "size": repr(volume / scale), "value": repr(quote), "trades": str(trades),
            }
            for at, o, h, low, c, volume, quote, trades in frame.select(
                pl.col("opened_at").dt.epoch("ms"), "open", "high", "low", "close", "volume_base", "volume_quote", "trades",
            ).iter_rows()
        ],
    )  # fmt: skip


ROUTES: Final[Sequence[Route]] = (
    Route("GET", "api", "/api/v2/public/meta/getMetaData", meta),
    Route("GET", "api", "/api/v2/public/quote/getTicker", ticker),
    Route("GET", "api", "/api/v2/public/funding/getFundingRatePage", funding),
    Route("GET", "api", "/api/v2/public/quote/getKline", klines),
)
