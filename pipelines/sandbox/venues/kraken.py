"""Kraken Futures as its documentation and public collectors describe it: two APIs under one roof, seconds asked and milliseconds
answered, pages that say whether there is more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import polars as pl

from pipelines.sandbox.emulator import Request, Response, Route
from pipelines.sandbox.market_model import Listing, MarketModel

BASES: Final = {"BTC": "XBT", "ETH": "ETH", "SOL": "SOL", "AVAX": "AVAX", "XRP": "XRP", "DOGE": "DOGE", "PEPE": "PEPE"}

LISTINGS: Final = (
    *(
        Listing(
            "kraken",
            f"PF_{base}USD",
            asset,
            quote="USD",
            contract_size=1.0,
            contract_size_unit="base",
            interval_hours=1,
        )
        for asset, base in BASES.items()
    ),
    Listing(
        "kraken",
        "PI_XBTUSD",
        "BTC",
        quote="USD",
        contract_type="inverse",
        contract_size=1.0,
        contract_size_unit="usd",
        interval_hours=1,
    ),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}

FILLER_FIELDS: Final[dict[str, object]] = {
    "underlying": "rr_xbtusd", "fundingRateCoefficient": 8, "maxRelativeFundingRate": 0.001, "isin": "GB00J62YGL67",
    "marginLevels": [{"contracts": 0, "initialMargin": 0.02, "maintenanceMargin": 0.01}],
    "retailMarginLevels": [{"contracts": 0, "initialMargin": 0.5, "maintenanceMargin": 0.25}],
}  # fmt: skip
"""What the description of a contract says besides."""

INTERVALS: Final = (60, 300, 900, 1800, 3600, 14400, 43200, 86400, 604800)


@dataclass(frozen=True)
class ResponseBehavior:
    """What Kraken does not promise: rows of a page, how many before the bound it repeats, the unit of the analytics' stamps, and
    how many days of funding it tells of."""

    rows: int = 1000
    overlap: int = 0
    in_milliseconds: bool = False
    funding_days: int = 60


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


def at(seconds: str) -> datetime:
    return datetime(1970, 1, 1) + timedelta(seconds=int(seconds))


def instruments(request: Request, market: MarketModel) -> Response:
    rows: list[dict[str, object]] = [
        {
            **FILLER_FIELDS,
            "symbol": x.instrument,
            "type": "futures_inverse" if x.contract_type == "inverse" else "flexible_futures",
            "tickSize": 0.5,
            "contractSize": 1,
            "tradeable": True,
            "openingDate": f"{x.listed_at:%Y-%m-%dT%H:%M:%S}.000Z",
        }
        for x in LISTINGS
    ]
    dated: dict[str, object] = {"symbol": "FF_XBTUSD_240628", "type": "flexible_futures", "contractSize": 1}
    return Response(
        {"result": "success", "instruments": [*rows, dated], "serverTime": f"{request.now:%Y-%m-%dT%H:%M:%S}Z"}
    )


def tickers(request: Request, market: MarketModel) -> Response:
    """All contracts at the moment, for which stands the last whole five minutes; an index, which has no open interest, too."""
    last = request.now.replace(minute=request.now.minute // 5 * 5, second=0, microsecond=0)
    said_at = f"{last:%Y-%m-%dT%H:%M:%S}.000Z"
    rows: list[dict[str, object]] = []
    for x in LISTINGS:
        [held] = market.open_interest(x, 5, last, last + timedelta(minutes=5))[
            "oi_usd" if x.contract_type == "inverse" else "oi_base"
        ]
        [price] = market.candles(x, "perp", 5, last - timedelta(minutes=5), last)["close"]
        prices = dict.fromkeys(("last", "markPrice", "bid", "ask", "open24h", "high24h", "low24h", "indexPrice"), price)
        amounts = dict.fromkeys(("bidSize", "askSize", "lastSize", "vol24h", "volumeQuote"), 10.0)
        rates = {"fundingRate": -4.0e-09, "fundingRatePrediction": 6.0e-08, "change24h": 1.5}
        rows.append(
            {
                "symbol": x.instrument, "pair": f"{BASES[x.asset]}:USD", "tag": "perpetual", "lastTime": said_at,
                "openInterest": held, "suspended": False, "postOnly": False, **prices, **amounts, **rates,
            }
        )  # fmt: skip
    index: dict[str, object] = {"symbol": "in_xbtusd", "last": 60_000.0, "lastTime": said_at}
    return Response(
        {"result": "success", "serverTime": f"{request.now:%Y-%m-%dT%H:%M:%S}.000Z", "tickers": [*rows, index]}
    )


def failed(error: str) -> Response:
    """Of the derivatives API, with status 200."""
    return Response({"result": "error", "error": error})


def paged(
    frame: pl.DataFrame, stamp: str, first: datetime, step: timedelta, behavior: ResponseBehavior
) -> tuple[pl.DataFrame, bool]:
    """The oldest rows from `first` on (and those it repeats), and whether there are more."""
    wanted = frame.filter(pl.col(stamp) >= first - step * min(behavior.overlap, behavior.rows - 1))
    return wanted.head(behavior.rows), wanted.height > behavior.rows


def open_interest(
    request: Request, market: MarketModel, *, name: str, behavior: ResponseBehavior = DEFAULT_BEHAVIOR
) -> Response:
    """Buckets from `since` to `to`, both included; a bucket closes with the state at its end, and the last is still filling."""
    if "since" not in request.params or int(request.params.get("interval", 0)) not in INTERVALS:
        return Response(
            {"errors": [{"severity": "E", "error_class": "General", "type": "Invalid arguments"}]}, status=400
        )
    step = timedelta(seconds=int(request.params["interval"]))
    minutes = int(step.total_seconds()) // 60
    first = at(request.params["since"])
    last = min(at(request.params["to"]) if "to" in request.params else request.now, request.now)
    early = first - 10 * step
    states = market.open_interest(BY_NAME[name], minutes, early + step, last + step + timedelta(microseconds=1))
    buckets = states.with_columns((pl.col("event_at") - step).alias("opened_at"))
    page, more = paged(buckets, "opened_at", first, step, behavior)
    held = page["oi_usd" if BY_NAME[name].contract_type == "inverse" else "oi_base"].to_list()
    stamps = page["opened_at"].dt.epoch("ms") if behavior.in_milliseconds else page["opened_at"].dt.epoch("s")
    return Response(
        {
            "result": {
                "timestamp": stamps.to_list(),
                "data": [[f"{x * 0.99:.6f}", f"{x * 1.01:.6f}", f"{x * 0.98:.6f}", f"{x:.8f}"] for x in held],
                "more": more,
            },
            "errors": [],
        }
    )


def long_short_info(
    request: Request, market: MarketModel, *, name: str, behavior: ResponseBehavior = DEFAULT_BEHAVIOR
) -> Response:
    """Of a thousand accounts at the end of each bucket, with the same bounds; shares are whole per mille."""
    step = timedelta(seconds=int(request.params["interval"]))
    first = at(request.params["since"])
    last = min(at(request.params["to"]), request.now)
    minutes = int(step.total_seconds()) // 60
    states = market.ratios(
        BY_NAME[name], "account_global", minutes, first - 9 * step, last + step + timedelta(microseconds=1)
    )
    buckets = states.select((pl.col("event_at") - step).alias("opened_at"), longs().alias("longs"))
    page, more = paged(buckets, "opened_at", first, step, behavior)
    held = page["longs"].to_list()
    return Response(
        {
            "result": {
                "timestamp": page["opened_at"].dt.epoch("s").to_list(),
                "data": {
                    "longCount": held,
                    "shortCount": [1000 - x for x in held],
                    "longPercent": [f"{x / 10}" for x in held],
                    "shortPercent": [f"{100 - x / 10}" for x in held],
                    "ratio": [f"{x / 1000}" for x in held],
                },
                "more": more,
            },
            "errors": [],
        }
    )


def longs() -> pl.Expr:
    """How many of a thousand accounts are long where the world says `ratio`."""
    return (pl.col("ratio") / (1 + pl.col("ratio")) * 1000).round().cast(pl.Int64)


def funding(request: Request, market: MarketModel, *, behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Response:
    listing = BY_NAME.get(request.params.get("symbol", ""))
    if listing is None:
        return failed("contractNotFound")
    # All there is, whatever was asked: some weeks of it stand for years.
    first = request.now - timedelta(days=behavior.funding_days)
    frame = market.funding(listing, first, request.now).sort("settled_at", descending=True)
    rows = [
        {
            "timestamp": f"{settled_at:%Y-%m-%dT%H:%M:%S}.000Z",
            "relativeFundingRate": rate,
            "fundingRate": round(rate * 60_000, 8),
        }
        for settled_at, rate in frame.select("settled_at", "rate").iter_rows()
    ]
    return Response({"result": "success", "rates": rows})


def candles(
    request: Request, market: MarketModel, *, name: str, behavior: ResponseBehavior = DEFAULT_BEHAVIOR
) -> Response:
    first, last = at(request.params["from"]), min(at(request.params["to"]), request.now)
    hour = timedelta(hours=1)
    listing = BY_NAME[name]
    every = market.candles(listing, "perp", 60, first - 10 * hour, last + timedelta(microseconds=1))
    page, more = paged(every, "opened_at", first, hour, behavior)
    volume = "volume_quote" if listing.contract_type == "inverse" else "volume_base"
    rows = [
        {
            "time": int((row["opened_at"] - datetime(1970, 1, 1)).total_seconds() * 1000),
            **{key: f"{row[key]:.12g}" for key in ("open", "high", "low", "close")},
            "volume": f"{row[volume]:.15g}",
        }
        for row in page.iter_rows(named=True)
    ]
    return Response({"candles": rows, "more_candles": more})


def routes(behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Sequence[Route]:
    """All endpoints of a Kraken with these manners."""
    return (
        Route("GET", "api", "/derivatives/api/v3/instruments", instruments),
        Route("GET", "api", "/derivatives/api/v3/tickers", tickers),
        Route("GET", "api", "/derivatives/api/v4/historicalfundingrates", partial(funding, behavior=behavior)),
        *(
            route
            for name in BY_NAME
            for route in (
                Route(
                    "GET",
                    "api",
                    f"/api/charts/v1/analytics/{name}/open-interest",
                    partial(open_interest, name=name, behavior=behavior),
                ),
                Route(
                    "GET",
                    "api",
                    f"/api/charts/v1/analytics/{name}/long-short-info",
                    partial(long_short_info, name=name, behavior=behavior),
                ),
                Route("GET", "api", f"/api/charts/v1/trade/{name}/1h", partial(candles, name=name, behavior=behavior)),
            )
        ),
    )


ROUTES: Final[Sequence[Route]] = routes()
