"""Emulates Bitget as documented: v3 lists, tickers and liquidations, v2 history in numbered pages without time bounds, candles of
which a window may have one too many, three days of liquidations linked by a cursor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.answers import finished_candles, held_now, numbered, settled, text
from pipelines.sandbox.emulator import Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, MarketModel
from pipelines.sandbox.risk_tiers import risk_tiers

LISTINGS: Final = (
    *(Listing("bitget", f"{asset}USDT", asset) for asset in ("BTC", "ETH", "SOL", "AVAX", "XRP", "DOGE", "PEPE")),
    Listing("bitget", "BTCPERP", "BTC", quote="USDC"),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
KEPT: Final = timedelta(days=3)
RATIO_HOURS: Final = 30
WIDEST: Final = timedelta(days=90)


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: rows per page at most (None: the documented limit), and how far back funding goes (None: all)."""

    rows: int | None = None
    keeps_funding: timedelta | None = None


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


def ok(request: Request, data: Any) -> Response:
    return Response({"code": "00000", "msg": "success", "requestTime": milliseconds(request.now), "data": data})


def error(request: Request, code: str, message: str, status: int = 400) -> Response:
    return Response(
        {"code": code, "msg": message, "requestTime": milliseconds(request.now), "data": None}, status=status
    )


def category_of(listing: Listing) -> str:
    return f"{listing.quote}-FUTURES"


def instruments(request: Request, market: MarketModel) -> Response:
    wanted = request.params.get("category", "")
    rows = [
        {
            "symbol": x.instrument, "category": wanted, "baseCoin": x.asset, "quoteCoin": x.quote, "symbolType": "crypto",
            "isRwa": "NO", "minOrderQty": "0.0001", "quantityMultiplier": "0.0001", "type": "perpetual", "status": "online",
            "offTime": "-1", "limitOpenTime": "-1", "deliveryTime": "", "launchTime": str(milliseconds(x.listed_at)),
            "fundInterval": str(x.interval_hours), "maintainTime": "",
        }
        for x in LISTINGS if category_of(x) == wanted
    ]  # fmt: skip
    return ok(request, rows)


def tickers(request: Request, market: MarketModel) -> Response:
    wanted = request.params.get("category", "")
    at = request.now.replace(second=0, microsecond=0)
    rows = []
    for x in LISTINGS:
        if category_of(x) == wanted:
            base, usd = held_now(market, x, request.now)
            price = text(usd / base)
            rows.append(
                {
                    "category": wanted, "symbol": x.instrument, "ts": str(milliseconds(at)),
                    **dict.fromkeys(
                        ("lastPrice", "openPrice24h", "highPrice24h", "lowPrice24h", "ask1Price", "bid1Price", "indexPrice",
                         "markPrice"), price),
                    "bid1Size": "1.5", "ask1Size": "1.5", "price24hPcnt": "-0.0035", "volume24h": "13655.8797",
                    "turnover24h": "1051194916.75318", "fundingRate": "0.00005", "openInterest": text(base),
                    "deliveryStartTime": "", "deliveryTime": "", "deliveryStatus": "",
                }
            )  # fmt: skip
    return ok(request, rows)


def listed(request: Request) -> Listing | None:
    found = BY_NAME.get(request.params.get("symbol", ""))
    return found if found is not None and category_of(found) == request.params.get("productType") else None


def history_fund_rate(request: Request, market: MarketModel, *, behavior: ResponseBehavior) -> Response:
    """Settlements in numbered pages, newest first. Times are ignored."""
    listing = listed(request)
    size = int(request.params.get("pageSize", 20))
    if listing is None:
        return error(request, "40034", "Parameter does not exist")
    if size > 100:
        return error(request, "40020", "Parameter pageSize error")
    since = listing.listed_at if behavior.keeps_funding is None else request.now - behavior.keeps_funding
    page = numbered(
        settled(market, listing, request, since), int(request.params.get("pageNo", 1)), min(size, behavior.rows or size)
    )
    return ok(
        request,
        [
            {"symbol": listing.instrument, "fundingRate": text(rate), "fundingTime": str(at)}
            for rate, at in page.select("rate", "ms").iter_rows()
        ],
    )


def history_candles(request: Request, market: MarketModel, *, behavior: ResponseBehavior) -> Response:
    """The newest finished candles of the window, oldest first; one that opens at endTime is among them."""
    listing = listed(request)
    if listing is None or request.params.get("granularity") != "1H":
        return error(request, "40034", "Parameter does not exist")
    first, last = utc(int(request.params["startTime"])), utc(int(request.params["endTime"]))
    if last - first > WIDEST:
        return error(request, "00001", "startTime and endTime interval cannot be greater than 90 days")
    limit = min(int(request.params.get("limit", 100)), 200, behavior.rows or 200)
    frame = finished_candles(market, listing, request, first, last + timedelta(milliseconds=1)).tail(limit)
    columns = ("ms", "open", "high", "low", "close", "volume_base", "volume_quote")
    return ok(request, [[str(at), *map(text, cells)] for at, *cells in frame.select(columns).iter_rows()])


_newest: dict[tuple[int, int, datetime, str], pl.DataFrame] = {}
"""The list of liquidations that was asked for last: each page of it would take as long as all of it."""


def newest_liquidations(request: Request, market: MarketModel, category: str) -> pl.DataFrame:
    """The liquidations that are kept, newest first."""
    minute = request.now.replace(second=0, microsecond=0)
    key = (id(market), id(LISTINGS), minute, category)
    if key not in _newest:
        frames = [
            market.liquidations(x, minute - KEPT, minute).select(
                pl.lit(x.instrument).alias("symbol"),
                "side",
                pl.col("price") * x.multiplier,
                pl.col("quantity_base") / x.multiplier,
                pl.col("occurred_at").dt.epoch("ms").alias("ms"),
            )
            for x in LISTINGS
            if category_of(x) == category
        ]
        _newest.clear()
        _newest[key] = pl.concat(frames).sort("ms", "symbol", descending=True) if frames else pl.DataFrame()
    return _newest[key]


def liquidations(request: Request, market: MarketModel, *, behavior: ResponseBehavior) -> Response:
    """Rows of all contracts of a category, newest first; the cursor is a position."""
    limit = int(request.params.get("limit", 20))
    if limit > 100:
        return error(request, "40020", "Parameter limit error")
    rows = newest_liquidations(request, market, request.params.get("category", ""))
    first = int(request.params.get("cursor", 0))
    size = min(limit, behavior.rows or limit)
    found = [
        {
            "symbol": row["symbol"],
            "side": "buy" if row["side"] == "long" else "sell",
            "price": text(row["price"]),
            "amount": text(row["quantity_base"]),
            "ts": str(row["ms"]),
        }
        for row in rows.slice(first, size).iter_rows(named=True)
    ]
    return ok(request, {"list": found, "cursor": str(first + size) if first + size < rows.height else ""})


def account_long_short(request: Request, market: MarketModel) -> Response:
    """The newest hours, oldest first, with a ratio that contradicts the shares, as in the documented example."""
    listing = listed(request)
    if listing is None or request.params.get("period") != "1h":
        return error(request, "40034", "Parameter does not exist")
    hour = request.now.replace(minute=0, second=0, microsecond=0)
    frame = market.ratios(
        listing, "account_global", 60, hour - timedelta(hours=RATIO_HOURS - 1), hour + timedelta(hours=1)
    )
    share = (pl.col("ratio") / (1 + pl.col("ratio"))).round(4)
    return ok(
        request,
        [
            {
                "longAccountRatio": f"{long:.4f}", "shortAccountRatio": f"{1 - long:.4f}", "longShortAccountRatio": "0.0138",
                "ts": str(at),
            }
            for long, at in frame.select(share, pl.col("event_at").dt.epoch("ms")).iter_rows()
        ],
    )  # fmt: skip


def query_position_lever(request: Request, market: MarketModel) -> Response:
    listing = listed(request)
    if listing is None:
        return error(request, "40034", "Parameter does not exist")
    rows = [
        {
            "symbol": listing.instrument, "level": str(tier.number), "startUnit": f"{tier.lower:.0f}",
            "endUnit": f"{tier.upper:.0f}", "leverage": str(tier.leverage), "keepMarginRate": f"{tier.maintenance:g}",
        }
        for tier in risk_tiers(listing, request.now)
    ]  # fmt: skip
    return ok(request, rows)


def routes(behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Sequence[Route]:
    """All endpoints of Bitget with this response behavior."""
    return (
        Route("GET", "api", "/api/v3/market/instruments", instruments),
        Route("GET", "api", "/api/v3/market/tickers", tickers),
        Route("GET", "api", "/api/v3/market/liquidations", partial(liquidations, behavior=behavior)),
        Route("GET", "api", "/api/v2/mix/market/history-fund-rate", partial(history_fund_rate, behavior=behavior)),
        Route("GET", "api", "/api/v2/mix/market/history-candles", partial(history_candles, behavior=behavior)),
        Route("GET", "api", "/api/v2/mix/market/account-long-short", account_long_short),
        Route("GET", "api", "/api/v2/mix/market/query-position-lever", query_position_lever),
    )


ROUTES: Final[Sequence[Route]] = routes()
