"""Emulates KuCoin's futures as documented: lots, null for an empty window, open interest by hour for 7 days and by day for 70,
newest first; hundred settlements and 500 candles at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.answers import finished_candles, settled
from pipelines.sandbox.emulator import Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, MarketModel

SIZES: Final = {"XBT": 0.001, "ETH": 0.01, "SOL": 0.1, "AVAX": 0.1, "XRP": 10.0, "DOGE": 100.0, "PEPE": 1_000_000.0}
LISTINGS: Final = (
    *(
        Listing("kucoin", f"{coin}USDTM", coin.replace("XBT", "BTC"), contract_size=size, contract_size_unit="base")
        for coin, size in SIZES.items()
    ),
    Listing(
        "kucoin", "XBTUSDM", "BTC", quote="USD", contract_type="inverse", contract_size=1.0, contract_size_unit="usd"
    ),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
KEPT: Final = {"1hour": timedelta(days=7), "1day": timedelta(days=70)}
MINUTES: Final = {"1hour": 60, "1day": 1440}


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: whether funding ignores its bounds and answers the newest hundred, and rows per page at most."""

    newest_funding_only: bool = False
    rows: int | None = None


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


def ok(data: Any) -> Response:
    return Response({"code": "200000", "data": data})


def error(code: str, message: str) -> Response:
    return Response({"code": code, "msg": message})


UNKNOWN: Final = error("200003", "symbol not exists")


def active(request: Request, market: MarketModel) -> Response:
    rows = [
        {
            "symbol": x.instrument, "type": "FFWCSX", "status": "Open", "isInverse": x.contract_type == "inverse",
            "baseCurrency": x.instrument[: -len(x.quote) - 1], "fundingFeeRate": 5e-05,
            "currentFundingRateGranularity": x.interval_hours * 3_600_000,
            "fundingRateGranularity": x.interval_hours * 3_600_000, "nextFundingRateDateTime": 1789344000000,
            "lastTimeFundingRate": 5e-05, "markPrice": 0.00807, "indexPrice": 0.00807, "openInterest": "5698215",
            "multiplier": -1.0 if x.contract_type == "inverse" else x.contract_size, "turnoverOf24h": 35215.742,
            "assetClass": "CRYPTO", "marketType": "CRYPTO", "firstOpenDate": milliseconds(x.listed_at), "expireDate": None,
        }
        for x in LISTINGS
    ]  # fmt: skip
    return ok(rows)


def bounds(request: Request, first: str, last: str) -> tuple[Any, Any]:
    """[start, end) of the inclusive bounds in milliseconds, not later than now."""
    end = min(utc(int(request.params[last])), request.now)
    return utc(int(request.params[first])), end + timedelta(milliseconds=1)


def open_interest(request: Request, market: MarketModel, *, behavior: ResponseBehavior) -> Response:
    """States of an interval between the bounds, newest first. Older than what is kept there are none."""
    listing = BY_NAME.get(request.params.get("symbol", ""))
    interval = request.params.get("interval", "")
    if listing is None:
        return UNKNOWN
    if interval not in MINUTES:
        return error("400100", "interval is invalid")
    first, last = bounds(request, "startAt", "endAt")
    first = max(first, request.now - KEPT[interval])
    size = min(int(request.params.get("pageSize", 30)), 200, behavior.rows or 200)
    frame = market.open_interest(listing, MINUTES[interval], first, max(first, last)).sort("event_at", descending=True)
    inverse = listing.contract_type == "inverse"
    lots = pl.col("oi_usd") if inverse else pl.col("oi_base") / listing.multiplier
    rows = frame.head(size).select(lots / (listing.contract_size or 1.0), pl.col("event_at").dt.epoch("ms"))
    return ok([{"openInterest": f"{held:.15g}", "ts": at} for held, at in rows.iter_rows()])


def funding_rates(request: Request, market: MarketModel, *, behavior: ResponseBehavior) -> Response:
    listing = BY_NAME.get(request.params.get("symbol", ""))
    if listing is None:
        return UNKNOWN
    if not {"from", "to"} <= set(request.params):
        return error("400100", "from and to are required")
    frame = settled(market, listing, request)
    if not behavior.newest_funding_only:
        frame = frame.filter(pl.col("ms").is_between(int(request.params["from"]), int(request.params["to"])))
    rows = [
        {"symbol": listing.instrument, "fundingRate": rate, "timepoint": at}
        for rate, at in frame.head(behavior.rows or 100).select("rate", "ms").iter_rows()
    ]
    return ok(rows or None)


def kline(request: Request, market: MarketModel, *, behavior: ResponseBehavior) -> Response:
    listing = BY_NAME.get(request.params.get("symbol", ""))
    if listing is None:
        return UNKNOWN
    if request.params.get("granularity") != "60":
        return error("400100", "granularity is invalid")
    first, last = bounds(request, "from", "to")
    frame = finished_candles(market, listing, request, first, last - timedelta(milliseconds=1))
    inverse, size = listing.contract_type == "inverse", listing.contract_size or 1.0
    return ok(
        [
            [
                row["ms"], row["open"], row["high"], row["low"], row["close"],
                row["volume_quote"] if inverse else row["volume_base"] / size,
                row["volume_base"] if inverse else row["volume_quote"],
            ]
            for row in frame.head(behavior.rows or 500).iter_rows(named=True)
        ]
    )  # fmt: skip


def routes(behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Sequence[Route]:
    """All endpoints of KuCoin with this response behavior."""
    return (
        Route("GET", "api", "/api/v1/contracts/active", active),
        Route("GET", "unified", "/api/ua/v1/market/open-interest", partial(open_interest, behavior=behavior)),
        Route("GET", "api", "/api/v1/contract/funding-rates", partial(funding_rates, behavior=behavior)),
        Route("GET", "api", "/api/v1/kline/query", partial(kline, behavior=behavior)),
    )


ROUTES: Final[Sequence[Route]] = routes()
