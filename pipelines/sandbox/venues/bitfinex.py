"""Emulates Bitfinex v2 as documented: arrays without field names, inclusive bounds, a trigger and an execution row per
liquidation, including margin positions of spot pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, MarketModel

LISTINGS: Final = tuple(
    Listing("bitfinex", f"t{asset}F0:USTF0", asset) for asset in ("BTC", "ETH", "SOL", "AVAX", "XRP", "DOGE")
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
MARGIN: Final = Listing("bitfinex", "tBTCUSD", "BTC", quote="USD", contract_type="spot")
STATUS_MINUTES: Final = 15
MOST_LIQUIDATIONS: Final = 500
MOST_STATUS: Final = 5000


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: whether each liquidation is in an array of its own."""

    nested: bool = True


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


def error(code: int, message: str, status: int = 500) -> Response:
    return Response(["error", code, message], status=status)


def pairs(request: Request, market: MarketModel) -> Response:
    return Response([[listing.instrument.removeprefix("t") for listing in LISTINGS]])


def codes(request: Request, market: MarketModel) -> Response:
    return Response([[["ALG", "ALGO"], ["ATO", "ATOM"], ["IOT", "IOTA"], ["UST", "USDt"]]])


def bounded(request: Request, most: int) -> tuple[Any, Any, int, bool] | None:
    """[start, end) of the inclusive bounds, the row limit, and whether the oldest rows come first; None for an invalid limit."""
    limit = int(request.params.get("limit", most))
    if limit > most:
        return None
    last = min(int(request.params.get("end", milliseconds(request.now))), milliseconds(request.now))
    first = int(request.params.get("start", 0))
    return utc(first), utc(last) + timedelta(milliseconds=1), limit, request.params.get("sort") == "1"


def liquidations(request: Request, market: MarketModel, *, behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Response:
    bounds = bounded(request, MOST_LIQUIDATIONS)
    if bounds is None:
        return error(10020, "limit: invalid")
    first, last, limit, old_first = bounds
    rows: list[list[Any]] = []
    for listing in (*LISTINGS, MARGIN):
        for event in market.liquidations(listing, first, last).iter_rows(named=True):
            amount = event["quantity_base"] if event["side"] == "long" else -event["quantity_base"]
            opened = event["price"] * (1.03 if event["side"] == "long" else 0.97)
            common = ["pos", event["number"], milliseconds(event["occurred_at"]), None, listing.instrument, amount]
            rows.append([*common, opened, None, 0, 1, None, None])
            rows.append([*common, opened, None, 1, 1, None, event["price"]])
    rows.sort(key=lambda row: row[2], reverse=not old_first)
    rows = rows[:limit]
    return Response([[row] for row in rows] if behavior.nested or not rows else [rows])


def derivative_status(request: Request, market: MarketModel, *, name: str) -> Response:
    bounds = bounded(request, MOST_STATUS)
    if bounds is None:
        return error(10020, "limit: invalid")
    first, last, limit, old_first = bounds
    frame = market.open_interest(BY_NAME[name], STATUS_MINUTES, first, last).sort("event_at", descending=not old_first)
    return Response(
        [
            [
                at, None, 1.5, 1, None, 37671589.7853521, None, at - at % 28_800_000 + 28_800_000, 0.00018734, 3343, None,
                0.00007587, None, None, 1.5, None, None, held, None, None, None, 0.0005, 0.0025,
            ]
            for at, held in frame.select(pl.col("event_at").dt.epoch("ms"), "oi_base").head(limit).iter_rows()
        ]
    )  # fmt: skip


def routes(behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Sequence[Route]:
    """All endpoints of Bitfinex with this response behavior."""
    return (
        Route("GET", "api", "/v2/conf/pub:list:pair:futures", pairs),
        Route("GET", "api", "/v2/conf/pub:map:currency:sym", codes),
        Route("GET", "api", "/v2/liquidations/hist", partial(liquidations, behavior=behavior)),
        *(
            Route("GET", "api", f"/v2/status/deriv/{name}/hist", partial(derivative_status, name=name))
            for name in BY_NAME
        ),
    )


ROUTES: Final[Sequence[Route]] = routes()
