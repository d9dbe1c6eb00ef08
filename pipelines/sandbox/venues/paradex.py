"""Emulates Paradex as documented and sampled: a funding index that accrues, past summaries, liquidations among all trades."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, MarketModel

LISTINGS: Final = tuple(
    Listing("paradex", f"{coin}-USD-PERP", coin, quote="USD", interval_hours=1)
    for coin in ("BTC", "ETH", "SOL", "AVAX")
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
HOUR: Final = timedelta(hours=1)
EVERY_MS: Final = 20_000
"""Time between two observations."""
CANDLES_MOST: Final = 500


def ok(rows: Sequence[Any], after: str = "") -> Response:
    return Response({"next": after, "prev": "", "results": list(rows)})


def error(code: str, message: str) -> Response:
    return Response({"error": code, "message": message}, status=400)


def markets(request: Request, market: MarketModel) -> Response:
    kinds = [*((name, "PERP") for name in BY_NAME), ("BTC-USD-25JUN27-86000-C", "PERP_OPTION")]
    return Response({"results": [_market(name, kind) for name, kind in kinds]})


def _market(name: str, kind: str) -> dict[str, Any]:
    return {
        "symbol": name, "base_currency": name.partition("-")[0], "quote_currency": "USD", "settlement_currency": "USDC",
        "open_at": 1_696_118_400_000, "expiry_at": 0, "asset_kind": kind, "tags": [],
    }  # fmt: skip


def _state(name: str, amount: float, at: int) -> dict[str, Any]:
    return {
        "symbol": name, "mark_price": "1.5", "underlying_price": "1.5", "open_interest": repr(amount), "funding_rate": "0.00001",
        "volume_24h": "1.5", "created_at": at,
    }  # fmt: skip


def summary(request: Request, market: MarketModel) -> Response:
    hour = request.now.replace(minute=0, second=0, microsecond=0)
    if request.params["market"] == "ALL":
        states = [
            _state(
                x.instrument, market.open_interest(x, 60, hour, hour + HOUR)["oi_base"][0], milliseconds(request.now)
            )
            for x in BY_NAME.values()
        ]
        return Response({"results": [*states, _state("BTC-USD-25JUN27-86000-C", 0.0, milliseconds(request.now))]})
    listing = BY_NAME.get(request.params["market"])
    if listing is None:
        return error("NOT_FOUND", "market not found")
    first, last = int(request.params["start"]), int(request.params["end"])
    found = []
    for at in _observed(first, min(last, milliseconds(request.now))):
        coming = -(-at // 3_600_000) * 3_600_000
        amount = market.open_interest(listing, 60, utc(coming), utc(coming + 1))["oi_base"][0]
        # Until the hour is full, it is another amount.
        found.append(_state(listing.instrument, amount if at == coming else amount * 1.01, at))
    return Response({"results": found})


def _observed(first: int, last: int) -> range:
    return range(-(-first // EVERY_MS) * EVERY_MS, last + 1, EVERY_MS)


def funding(request: Request, market: MarketModel) -> Response:
    """The index rises in an hour by what its rate makes of the mark price; newest first."""
    listing = BY_NAME.get(request.params["market"])
    if listing is None:
        return error("NOT_FOUND", "market not found")
    first, last = int(request.params["start_at"]), int(request.params["end_at"])
    rows = []
    for at in reversed(_observed(first, min(last, milliseconds(request.now)))):
        full = at // 3_600_000 * 3_600_000
        rows.append(
            {
                "market": listing.instrument, "funding_index": repr(_index(listing, market, utc(full)) + (at - full) * 1e-9),
                "funding_premium": "0.1", "funding_rate": "0.00001", "funding_rate_8h": "", "funding_period_hours": 8,
                "created_at": at,
            }
        )  # fmt: skip
    return ok(rows[: int(request.params.get("page_size", 100))], "more" if rows else "")


ACCRUES: Final = (datetime(2024, 3, 1), 24 * 950)
"""Since when the index accrues here, and for how many hours."""


_SUMS: Final[dict[str, tuple[MarketModel, list[float]]]] = {}


def _sums(listing: Listing, market: MarketModel) -> list[float]:
    known = _SUMS.get(listing.instrument)
    if known is None or known[0] is not market:
        paid = market.funding(listing, ACCRUES[0], ACCRUES[0] + ACCRUES[1] * HOUR)
        known = _SUMS[listing.instrument] = (market, (paid["rate"] * paid["mark_price"]).cum_sum().to_list())
    return known[1]


def _index(listing: Listing, market: MarketModel, hour: datetime) -> float:
    """The index at a full hour: the sum of what was paid up to it."""
    return _sums(listing, market)[(hour - ACCRUES[0]) // HOUR]


def klines(request: Request, market: MarketModel) -> Response:
    listing = BY_NAME.get(request.params["symbol"])
    if listing is None or request.params["resolution"] != "60":
        return error("NOT_FOUND", "market not found")
    first, last = utc(int(request.params["start_at"])), utc(int(request.params["end_at"]))
    end = min(last + timedelta(milliseconds=1), request.now)
    if request.params["price_kind"] == "mark":
        paid = market.funding(listing, first, end).head(CANDLES_MOST)
        prices = paid.select(pl.col("settled_at").dt.epoch("ms"), "mark_price").iter_rows()
        return Response({"results": [[at, mark, mark, mark, mark, 0] for at, mark in prices]})
    frame = market.candles(listing, "perp", 60, first, end).head(CANDLES_MOST)
    columns = ("open", "high", "low", "close", "volume_base")
    return Response(
        {"results": [list(row) for row in frame.select(pl.col("opened_at").dt.epoch("ms"), *columns).iter_rows()]}
    )


def trades(request: Request, market: MarketModel) -> Response:
    """Every liquidation and an ordinary trade beside it, newest first."""
    listing = BY_NAME.get(request.params["market"])
    if listing is None:
        return error("NOT_FOUND", "market not found")
    first, last = utc(int(request.params["start_at"])), utc(int(request.params["end_at"]))
    events = market.liquidations(listing, first, min(last + timedelta(milliseconds=1), request.now))
    columns = (pl.col("occurred_at").dt.epoch("ms"), "number", "side", "price", "quantity_base")
    index = list(BY_NAME).index(listing.instrument)
    rows = [
        {
            "id": f"{at}{index:03}{place}", "market": listing.instrument, "side": "SELL" if side == "long" else "BUY",
            "size": repr(size), "price": repr(price), "created_at": at, "trade_type": kind,
        }
        for at, number, side, price, size in events.select(*columns).reverse().iter_rows()
        for place, kind in enumerate(("FILL", "LIQUIDATION"))
    ]  # fmt: skip
    start, most = int(request.params.get("cursor") or 0), min(int(request.params["page_size"]), PAGE)
    return ok(rows[start : start + most], str(start + most) if start + most < len(rows) else "")


PAGE: Final = 12

ROUTES: Final[Sequence[Route]] = (
    Route("GET", "api", "/v1/markets", markets),
    Route("GET", "api", "/v1/markets/summary", summary),
    Route("GET", "api", "/v1/funding/data", funding),
    Route("GET", "api", "/v1/markets/klines", klines),
    Route("GET", "api", "/v1/trades", trades),
)
