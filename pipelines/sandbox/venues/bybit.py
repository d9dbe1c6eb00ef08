"""Bybit v5 as its documentation describes it: newest first, inclusive bounds, text numbers, both sides of open interest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Answer, Asked, Route, utc
from pipelines.sandbox.world import Listing, World

LISTINGS: Final = (
    *(Listing("bybit", f"{asset}USDT", asset) for asset in ("BTC", "ETH", "SOL", "AVAX", "XRP", "DOGE")),
    Listing("bybit", "1000PEPEUSDT", "PEPE", multiplier=1000.0),
    Listing(
        "bybit", "BTCUSD", "BTC", quote="USD", contract_type="inverse", contract_size=1.0, contract_size_unit="usd"
    ),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
SINGLE_SINCE_MS: Final = 1_781_136_000_000
"""2026-06-11: the day singleOpenInterest appeared."""


def answered(result: Any, now_ms: int) -> Answer:
    return Answer({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now_ms})


def refused(code: int, message: str) -> Answer:
    return Answer({"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": 0})


def instruments(asked: Asked, world: World) -> Answer:
    wanted = "InversePerpetual" if asked.params["category"] == "inverse" else "LinearPerpetual"
    listed = [x for x in LISTINGS if (x.contract_type == "inverse") == (wanted == "InversePerpetual")]
    if asked.params.get("status") == "Closed":
        listed = [x for x in listed if x.delisted_at is not None and x.delisted_at <= asked.now]
    rows = [
        {
            "symbol": x.instrument,
            "contractType": wanted,
            "status": "Trading",
            "baseCoin": x.instrument.removesuffix(x.quote),
            "quoteCoin": x.quote,
            "launchTime": str(milliseconds(x.listed_at)),
            "deliveryTime": str(milliseconds(x.delisted_at)) if x.delisted_at else "0",
            "fundingInterval": x.interval_hours * 60,
        }
        for x in listed
    ]
    # Two to a page, so that the cursor is used.
    first = int(asked.params.get("cursor") or 0)
    after = str(first + 2) if first + 2 < len(rows) else ""
    return answered(
        {"category": asked.params["category"], "list": rows[first : first + 2], "nextPageCursor": after},
        milliseconds(asked.now),
    )


def tickers(asked: Asked, world: World) -> Answer:
    rows = [
        {"symbol": x.instrument, "lastPrice": "1", "turnover24h": f"{1e9 / (1 + place):.4f}", "volume24h": "1"}
        for place, x in enumerate(x for x in LISTINGS if x.contract_type == asked.params["category"])
    ]
    return answered({"category": asked.params["category"], "list": rows}, milliseconds(asked.now))


def open_interest(asked: Asked, world: World) -> Answer:
    listing = BY_NAME.get(asked.params["symbol"])
    if listing is None:
        return refused(10001, "params error: symbol invalid")
    frame = _newest(world.open_interest(listing, 5, *_bounds(asked)), "event_at", asked)
    both = pl.col("oi_usd" if listing.contract_type == "inverse" else "oi_base") * 2
    rows = [
        {"openInterest": f"{amount:.8f}", "timestamp": str(at)}
        | ({"singleOpenInterest": f"{amount / 2:.8f}"} if at >= SINGLE_SINCE_MS else {})
        for amount, at in frame.select(both.alias("both"), pl.col("event_at").dt.epoch("ms")).iter_rows()
    ]
    result = {"symbol": listing.instrument, "category": asked.params["category"], "list": rows, "nextPageCursor": ""}
    return answered(result, milliseconds(asked.now))


def funding(asked: Asked, world: World) -> Answer:
    listing = BY_NAME.get(asked.params["symbol"])
    if listing is None:
        return refused(10001, "params error: symbol invalid")
    if "startTime" in asked.params and "endTime" not in asked.params:
        return refused(10001, "endTime is required with startTime")
    frame = _newest(world.funding(listing, *_bounds(asked)), "settled_at", asked)
    rows = [
        {"symbol": listing.instrument, "fundingRate": f"{rate:.8f}", "fundingRateTimestamp": str(at)}
        for rate, at in frame.select("rate", pl.col("settled_at").dt.epoch("ms")).iter_rows()
    ]
    return answered({"category": asked.params["category"], "list": rows}, milliseconds(asked.now))


def _bounds(asked: Asked) -> tuple[Any, Any]:
    """[start, end) of the inclusive bounds, and nothing after the venue's now."""
    last = min(int(asked.params["endTime"]), milliseconds(asked.now))
    return utc(int(asked.params["startTime"])), utc(last) + timedelta(milliseconds=1)


def _newest(frame: pl.DataFrame, stamp: str, asked: Asked) -> pl.DataFrame:
    return frame.sort(stamp, descending=True).head(min(int(asked.params.get("limit", 50)), 200))


ROUTES: Final[Sequence[Route]] = (
    Route("GET", "api", "/v5/market/instruments-info", instruments),
    Route("GET", "api", "/v5/market/tickers", tickers),
    Route("GET", "api", "/v5/market/open-interest", open_interest),
    Route("GET", "api", "/v5/market/funding/history", funding),
)
