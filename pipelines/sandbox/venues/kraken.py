"""Emulates Kraken Futures as documented and as seen by public collectors: two APIs, requests in seconds and responses in
milliseconds, pages with a flag for more rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import polars as pl

from pipelines.sandbox.emulator import Request, Response, Route
from pipelines.sandbox.market_model import Listing, MarketModel
from pipelines.sandbox.risk_tiers import DOLLARS_PER_CONTRACT, risk_tiers

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
}  # fmt: skip
"""Further fields of a contract."""

INTERVALS: Final = (60, 300, 900, 1800, 3600, 14400, 43200, 86400, 604800)


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: rows per page, how many rows before the bound are repeated, the unit of the analytics' timestamps, and
    the days of funding history."""

    rows: int = 1000
    overlap: int = 0
    in_milliseconds: bool = False
    funding_days: int = 60


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


def at(seconds: str) -> datetime:
    return datetime(1970, 1, 1) + timedelta(seconds=int(seconds))


def margin_levels(listing: Listing, now: datetime) -> dict[str, object]:
    """Two tables; sizes of inverse contracts are contracts, of the others a value."""
    inverse = listing.contract_type == "inverse"
    key, size = ("contracts", DOLLARS_PER_CONTRACT) if inverse else ("numNonContractUnits", 1.0)
    levels = [
        {key: int(tier.lower / size), "initialMargin": tier.initial, "maintenanceMargin": tier.maintenance}
        for tier in risk_tiers(listing, now)
    ]
    return {
        "marginLevels": levels,
        "retailMarginLevels": [{key: 0, "initialMargin": 0.5, "maintenanceMargin": 0.25}],
    }


def instruments(request: Request, market: MarketModel) -> Response:
    rows: list[dict[str, object]] = [
        {
            **FILLER_FIELDS,
            **margin_levels(x, request.now),
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
    """All contracts at the current moment, approximated by the last full 5-minute mark, and an index without open interest."""
    last = request.now.replace(minute=request.now.minute // 5 * 5, second=0, microsecond=0)
    last_time = f"{last:%Y-%m-%dT%H:%M:%S}.000Z"
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
                "symbol": x.instrument, "pair": f"{BASES[x.asset]}:USD", "tag": "perpetual", "lastTime": last_time,
                "openInterest": held, "suspended": False, "postOnly": False, **prices, **amounts, **rates,
            }
        )  # fmt: skip
    index: dict[str, object] = {"symbol": "in_xbtusd", "last": 60_000.0, "lastTime": last_time}
    return Response(
        {"result": "success", "serverTime": f"{request.now:%Y-%m-%dT%H:%M:%S}.000Z", "tickers": [*rows, index]}
    )


def failed(error: str) -> Response:
    """An error of the derivatives API, with status 200."""
    return Response({"result": "error", "error": error})


def paged(
    frame: pl.DataFrame, stamp: str, first: datetime, step: timedelta, behavior: ResponseBehavior
) -> tuple[pl.DataFrame, bool]:
    """The oldest rows from `first` on (plus repeated ones), and whether more follow."""
    wanted = frame.filter(pl.col(stamp) >= first - step * min(behavior.overlap, behavior.rows - 1))
    return wanted.head(behavior.rows), wanted.height > behavior.rows


def open_interest(
    request: Request, market: MarketModel, *, name: str, behavior: ResponseBehavior = DEFAULT_BEHAVIOR
) -> Response:
    """Buckets from `since` through `to`; a bucket closes with the state at its end, and the last one may be incomplete."""
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
    """Long and short accounts out of a thousand at the end of each bucket, with the same bounds."""
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
    """Number of long accounts out of a thousand for the market's `ratio`."""
    return (pl.col("ratio") / (1 + pl.col("ratio")) * 1000).round().cast(pl.Int64)


def funding(request: Request, market: MarketModel, *, behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Response:
    listing = BY_NAME.get(request.params.get("symbol", ""))
    if listing is None:
        return failed("contractNotFound")
    # The whole history, whatever was requested; some weeks stand for years.
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
    """All endpoints of Kraken with this response behavior."""
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
