"""Emulates dYdX's indexer as in its source: newest first, inclusive upper bounds, numbers as text, ISO times, errors with 400."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Request, Response, Route
from pipelines.sandbox.market_model import Listing, MarketModel

LISTINGS: Final = tuple(
    Listing("dydx", f"{coin}-USD", coin, quote="USD", interval_hours=1, listed_at=datetime(2023, 10, 26))
    for coin in ("BTC", "ETH", "SOL", "AVAX", "DOGE")
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
BY_ADDRESS: Final = "BUFFI,UNISWAP_V3,0X4C1B1302220D7DE5C22B495E78B72F2DD2457D45-USD"
MOST: Final = 1000
BLOCK_LATE: Final = timedelta(milliseconds=316)
"""Delay of the first block after the full hour."""
FILLER_MS: Final = 7 * 60_000


def error(message: str, *, status: int = 400, **more: str) -> Response:
    return Response({"errors": [{"msg": message, **more}]}, status=status)


def perpetual_markets(request: Request, market: MarketModel) -> Response:
    names = [*BY_NAME, BY_ADDRESS]
    return Response({"markets": {name: _market(name, number) for number, name in enumerate(names)}})


def _market(name: str, number: int) -> dict[str, Any]:
    return {
        "clobPairId": str(number), "ticker": name, "status": "ACTIVE", "oraclePrice": "1", "priceChange24H": "0",
        "volume24H": "1000000", "trades24H": 10, "nextFundingRate": "0", "initialMarginFraction": "0.05",
        "maintenanceMarginFraction": "0.03", "openInterest": "1", "atomicResolution": -10,
        "quantumConversionExponent": -9, "tickSize": "1", "stepSize": "0.0001", "stepBaseQuantums": 1000000,
        "subticksPerTick": 100000, "marketType": "CROSS", "baseOpenInterest": "1",
    }  # fmt: skip


def trades(request: Request, market: MarketModel) -> Response:
    """Every liquidation, each with an ordinary trade in its block, and further ordinary trades; every third one is deleveraging."""
    listing, limit = BY_NAME.get(request.params["ticker"]), _limit(request)
    if listing is None:
        return error("ticker must be a valid ticker (BTC-USD, etc)", param="ticker", location="params")
    if isinstance(limit, Response):
        return limit
    until = min(_instant(request, "createdBeforeOrAt"), request.now)
    height = request.params.get("createdBeforeOrAtHeight")
    if height is not None:
        until = min(until, datetime(1970, 1, 1) + timedelta(seconds=int(height) + EPOCH_HEIGHT + 1, milliseconds=-1))
    found = _trades(
        listing, market, until - timedelta(milliseconds=(limit + 1) * FILLER_MS), until + timedelta(milliseconds=1)
    )
    return Response({"trades": [row for _, row in sorted(found, key=lambda one: one[0], reverse=True)[:limit]]})


EPOCH_HEIGHT: Final = 1_690_000_000
"""One block per second since this time."""


def _trades(listing: Listing, market: MarketModel, start: datetime, end: datetime) -> list[tuple[int, dict[str, str]]]:
    rows: list[tuple[int, dict[str, str]]] = []
    # Event indices are unique within a block across all markets.
    index = 10 * LISTINGS.index(listing)
    columns = ("number", "side", "price", "quantity_base")
    for at, number, side, price, base in (
        market.liquidations(listing, start, end).select(pl.col("occurred_at").dt.epoch("ms"), *columns).iter_rows()
    ):
        forced = "SELL" if side == "long" else "BUY"
        rows.append(_trade(at, index + 1, forced, base, price, "LIQUIDATED" if number % 3 else "DELEVERAGED"))
        rows.append(_trade(at, index + 2, forced, base / 2, price, "LIMIT"))
    first, last = -(-milliseconds(start) // FILLER_MS), milliseconds(end) // FILLER_MS
    rows += [
        _trade(count * FILLER_MS, index + 3, "BUY", 1.0, 100.0, "TWAP_SUBORDER" if count % 5 == 0 else "LIMIT")
        for count in range(first, last + 1)
        if count * FILLER_MS < milliseconds(end)
    ]
    return rows


def _trade(at: int, event: int, side: str, size: float, price: float, kind: str) -> tuple[int, dict[str, str]]:
    height = at // 1000 - EPOCH_HEIGHT
    return height * 100 + event, {
        "id": f"{height:08x}{2:08x}{event:08x}", "side": side, "size": f"{size:g}", "price": repr(price), "type": kind,
        "createdAt": _iso(at), "createdAtHeight": str(height),
    }  # fmt: skip


def historical_funding(request: Request, market: MarketModel) -> Response:
    listing, limit = BY_NAME.get(request.params["ticker"]), _limit(request)
    if listing is None:
        return error(f"{request.params['ticker']} not found in markets of type PERPETUAL", status=404)
    if isinstance(limit, Response):
        return limit
    until = min(_instant(request, "effectiveBeforeOrAt"), request.now)
    hourly = market.funding(listing, until - timedelta(hours=limit + 1), until + timedelta(hours=1))
    late = hourly.with_columns(pl.col("settled_at") + BLOCK_LATE).filter(pl.col("settled_at") <= until)
    rows = late.sort("settled_at", descending=True).head(limit)
    return Response(
        {
            "historicalFunding": [
                {
                    "ticker": listing.instrument, "rate": f"{rate:.8f}", "price": repr(price), "effectiveAt": _iso(at),
                    "effectiveAtHeight": str(at // 1000 - EPOCH_HEIGHT),
                }
                for at, rate, price in rows.select(pl.col("settled_at").dt.epoch("ms"), "rate", "mark_price").iter_rows()
            ]
        }
    )  # fmt: skip


def candles(request: Request, market: MarketModel) -> Response:
    listing, limit = BY_NAME.get(request.params["ticker"]), _limit(request)
    if request.params.get("resolution") != "1HOUR":
        return error("resolution must be a valid Candle Resolution", param="resolution", location="query")
    if isinstance(limit, Response):
        return limit
    if listing is None:
        return Response({"candles": []})
    start, end = _instant(request, "fromISO"), min(_instant(request, "toISO"), request.now)
    frame = market.candles(listing, "perp", 60, start, end).join(
        market.open_interest(listing, 60, start, end), left_on="opened_at", right_on="event_at"
    )
    rows = frame.sort("opened_at", descending=True).head(limit)
    return Response({"candles": [_candle(listing, row) for row in rows.iter_rows(named=True)]})


def _candle(listing: Listing, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "startedAt": _iso(milliseconds(row["opened_at"])), "ticker": listing.instrument, "resolution": "1HOUR",
        **{name: repr(row[name]) for name in ("low", "high", "open", "close")},
        "baseTokenVolume": repr(row["volume_base"]), "usdVolume": repr(row["volume_quote"]), "trades": row["trades"],
        "startingOpenInterest": repr(row["oi_base"]), "orderbookMidPriceOpen": repr(row["open"]),
        "orderbookMidPriceClose": repr(row["close"]),
    }  # fmt: skip


def _limit(request: Request) -> int | Response:
    limit = int(request.params.get("limit", MOST))
    if not 0 < limit <= MOST:
        return error(
            f"limit must be a positive integer that is not greater than max: {MOST}", param="limit", location="query"
        )
    return limit


def _instant(request: Request, name: str) -> datetime:
    text = request.params.get(name)
    return datetime.fromisoformat(text).replace(tzinfo=None) if text else datetime(2100, 1, 1)


def _iso(ms: int) -> str:
    moment = datetime(1970, 1, 1) + timedelta(milliseconds=ms)
    return f"{moment.isoformat(timespec='milliseconds')}Z"


ROUTES: Final[Sequence[Route]] = (
    Route("GET", "api", "/perpetualMarkets", perpetual_markets),
    Route("GET", "api", "/trades/perpetualMarket/{ticker}", trades),
    Route("GET", "api", "/historicalFunding/{ticker}", historical_funding),
    Route("GET", "api", "/candles/perpetualMarkets/{ticker}", candles),
)
