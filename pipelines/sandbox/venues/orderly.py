"""Emulates Orderly as documented: numbered pages, a total that saturates, signed quantities, the server clock in all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, MarketModel

LISTINGS: Final = (
    *(
        Listing("orderly", f"PERP_{coin}_USDC", coin, quote="USDC", listed_at=datetime(2023, 10, 1))
        for coin in ("BTC", "ETH", "SOL")
    ),
    Listing(
        "orderly", "PERP_1000PEPE_USDC", "PEPE", quote="USDC", multiplier=1000.0, listed_at=datetime(2023, 10, 1)
    ),
)  # fmt: skip
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: maximum rows per page, their order, whether bounds are inclusive, rows served of a window."""

    most: int = 25
    newest_first: bool = True
    inclusive: bool = True
    reach: int = 1_000_000


DEFAULT_BEHAVIOR: Final = ResponseBehavior()

MOST_COUNTED: Final = 500
"""meta.total of any larger number of rows."""


def ok(data: Any, now: datetime) -> Response:
    return Response({"success": True, "data": data, "timestamp": milliseconds(now)})


def error(code: int, message: str, *, status: int = 400) -> Response:
    return Response({"success": False, "code": code, "message": message}, status=status)


def public_info(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    return ok({"rows": [{"symbol": name, "base_mmr": 0.012, "base_imr": 0.02} for name in BY_NAME]}, request.now)


def liquidation(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    """One account per liquidation, with a position in every perpetual; every fourth is followed by a claim from the fund."""
    try:
        number, size = int(request.params.get("page", 1)), int(request.params.get("size", 25))
        start, end = utc(int(request.params["start_t"])), utc(int(request.params["end_t"]))
    except (KeyError, ValueError):
        return error(-1104, "start_t, end_t, page and size are numbers")
    step = timedelta(milliseconds=1)
    bounds = (start, end + step) if behavior.inclusive else (start + step, end)
    rows = _rows(market, *bounds)
    rows = rows[::-1] if behavior.newest_first else rows
    most = min(size, behavior.most)
    rows_served = rows[: behavior.reach]
    first = (number - 1) * most
    meta = {"total": min(MOST_COUNTED, len(rows)), "records_per_page": most, "current_page": number}
    return ok({"rows": rows_served[first : first + most], "meta": meta}, request.now)


def _rows(market: MarketModel, start: datetime, end: datetime) -> list[dict[str, Any]]:
    events = pl.concat(
        market.liquidations(listing, start, end).select(
            pl.col("occurred_at").dt.epoch("ms").alias("at"),
            "number",
            pl.lit(listing.instrument).alias("symbol"),
            (
                pl.when(pl.col("side") == "long").then(1).otherwise(-1) * pl.col("quantity_base") / listing.multiplier
            ).alias("position_qty"),
            (pl.col("price") * listing.multiplier).alias("transfer_price"),
            (pl.col("price") * pl.col("quantity_base")).alias("cost_position_transfer"),
        )
        for listing in LISTINGS
    )
    accounts = (
        events.group_by("at", "number", maintain_order=True)
        .agg(pl.struct("symbol", "position_qty", "transfer_price", "cost_position_transfer").alias("positions"))
        .sort("at")
    )
    return [
        {
            "timestamp": at, "type": kind, "liquidation_id": 2 * number + index,
            "positions_by_perp": [
                {**position, "liquidator_fee": 0.015}
                for position in positions
            ],
        }
        for at, number, positions in accounts.iter_rows()
        for index, kind in enumerate(("liquidated", "claim") if number % 4 == 0 else ("liquidated",))
    ]  # fmt: skip


Endpoint = Callable[[Request, MarketModel, ResponseBehavior], Response]


def routes(behavior: ResponseBehavior) -> Sequence[Route]:
    """All endpoints of Orderly with this response behavior."""

    def bound(endpoint: Endpoint) -> Callable[[Request, MarketModel], Response]:
        return lambda request, market: endpoint(request, market, behavior)

    return (
        Route("GET", "api", "/v1/public/info", bound(public_info)),
        Route("GET", "api", "/v1/public/liquidated_positions", bound(liquidation)),
    )


ROUTES: Final[Sequence[Route]] = routes(DEFAULT_BEHAVIOR)
