"""Emulates HTX's swaps as documented: open interest and volumes of both sides, the newest 200 hours of open interest, numbered
pages of funding, candles between bounds in seconds, liquidation orders in windows of two hours, errors with status 200."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.answers import finished_candles, numbered, settled, text
from pipelines.sandbox.emulator import Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, MarketModel, Measure

SIZES: Final = {"BTC": 0.001, "ETH": 0.01, "SOL": 1.0, "AVAX": 1.0, "XRP": 10.0, "DOGE": 100.0, "PEPE": 1_000_000.0}
LISTINGS: Final = (
    *(
        Listing("htx", f"{asset}-USDT", asset, contract_size=size, contract_size_unit="base")
        for asset, size in SIZES.items()
    ),
    Listing(
        "htx", "BTC-USD", "BTC", quote="USD", contract_type="inverse", contract_size=100.0, contract_size_unit="usd"
    ),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
HOUR: Final = timedelta(hours=1)
POINTS: Final = 200
KEPT: Final = timedelta(days=90)
WIDEST: Final = timedelta(hours=2)
RATIO_HOURS: Final = 30


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: rows per page of liquidations at most."""

    liquidations: int = 50


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


def ok(request: Request, data: Any) -> Response:
    return Response({"status": "ok", "data": data, "ts": milliseconds(request.now)})


def error(request: Request, code: int, message: str) -> Response:
    return Response({"status": "error", "err_code": code, "err_msg": message, "ts": milliseconds(request.now)})


def listed(request: Request, kind: str, key: str = "contract_code") -> Listing | None:
    found = BY_NAME.get(request.params.get(key, ""))
    return found if found is not None and found.contract_type == kind else None


def unknown(request: Request) -> Response:
    return error(request, 1332, "The contract doesn't exist.")


def contract_info(request: Request, market: MarketModel, *, kind: str) -> Response:
    rows = [
        {
            "symbol": x.asset, "contract_code": x.instrument, "contract_size": x.contract_size, "delivery_date": "",
            "delivery_time": "", "create_date": f"{x.listed_at:%Y%m%d}", "contract_status": 1,
            "settlement_date": "1789344000000", "settlement_period": str(x.interval_hours), "labels": ["hot", "common"],
            "tradfi_labels": [], "business_type": "swap", "pair": x.instrument, "contract_type": "swap",
            "trade_partition": x.quote,
        }
        for x in LISTINGS if x.contract_type == kind
    ]  # fmt: skip
    return ok(request, rows)


def his_open_interest(request: Request, market: MarketModel, *, kind: str) -> Response:
    """The newest hours, newest first, in coin (amount_type 2) or contracts (1); both sides."""
    listing = listed(request, kind)
    if listing is None:
        return unknown(request)
    size = int(request.params.get("size", 48))
    if request.params.get("period") != "60min" or not 1 <= size <= POINTS:
        return error(request, 1067, "The period or size field is invalid.")
    hour = request.now.replace(minute=0, second=0, microsecond=0)
    frame = market.open_interest(listing, 60, max(hour - (size - 1) * HOUR, listing.listed_at), hour + HOUR)
    in_coin = request.params.get("amount_type") == "2"
    contracts = listing.contract_size or 1.0
    rows = []
    for base, usd, at in (
        frame.sort("event_at", descending=True)
        .select("oi_base", "oi_usd", pl.col("event_at").dt.epoch("ms"))
        .iter_rows()
    ):
        amount = base / listing.multiplier if in_coin else (usd if kind == "inverse" else base) / contracts
        row: dict[str, Any] = {
            "volume": text(2 * amount),
            "amount_type": request.params.get("amount_type"),
            "ts": str(at),
        }
        if kind == "linear":
            row["value"] = text(2 * usd)
        else:
            row |= {"volume": 2 * amount, "amount_type": int(row["amount_type"]), "ts": at}
        rows.append(row)
    facts: dict[str, Any] = {"symbol": listing.asset, "tick": rows, "contract_code": listing.instrument}
    if kind == "linear":
        facts |= {
            "business_type": "swap", "pair": listing.instrument, "contract_type": "swap", "trade_partition": "USDT",
        }  # fmt: skip
    return ok(request, facts)


def historical_funding_rate(request: Request, market: MarketModel, *, kind: str) -> Response:
    listing = listed(request, kind)
    if listing is None:
        return unknown(request)
    size = int(request.params.get("page_size", 20))
    if size > 100:
        return error(request, 1067, "The page_size field is invalid.")
    number = int(request.params.get("page_index", 1))
    every = settled(market, listing, request)
    partition = {"trade_partition": "USDT"} if kind == "linear" else {}
    rows = [
        {
            "avg_premium_index": "0.000149696771643437", **partition, "funding_rate": f"{rate:.18f}", "realized_rate": None,
            "funding_time": str(at), "contract_code": listing.instrument, "symbol": listing.asset,
            "fee_asset": listing.quote,
        }
        for rate, at in numbered(every, number, size).select("rate", "ms").iter_rows()
    ]  # fmt: skip
    total = {"total_page": -(-every.height // size), "current_page": number, "total_size": every.height}
    return ok(request, {**total, "data": rows})


def kline(request: Request, market: MarketModel, *, kind: str) -> Response:
    """Candles that open between the inclusive bounds, oldest first, with volumes of both sides."""
    listing = listed(request, kind)
    if listing is None or request.params.get("period") != "60min":
        return error(request, 1067, "invalid symbol or period")
    first, last = (utc(int(request.params[name]) * 1000) for name in ("from", "to"))
    frame = finished_candles(market, listing, request, first, last).head(2000)
    size = listing.contract_size or 1.0
    rows = []
    for row in frame.iter_rows(named=True):
        amount, turnover = 2 * row["volume_base"], 2 * row["volume_quote"]
        candle = {name: row[name] for name in ("open", "close", "low", "high")}
        candle |= {
            "id": row["ms"] // 1000, "amount": amount, "vol": (turnover if kind == "inverse" else amount) / size,
            "count": 2 * row["trades"],
        }  # fmt: skip
        rows.append(candle | ({"trade_turnover": turnover} if kind == "linear" else {}))
    content = {"ch": "market.kline", "ts": milliseconds(request.now), "status": "ok", "data": rows}
    return Response(content)


def liquidation_orders(request: Request, market: MarketModel, *, kind: str, behavior: ResponseBehavior) -> Response:
    """Orders of the last 90 days between the bounds, oldest first; of older days there are none."""
    listing = listed(request, kind, "contract")
    if listing is None:
        return unknown(request)
    first, last = utc(int(request.params["start_time"])), utc(int(request.params["end_time"]))
    if last - first > WIDEST:
        return error(request, 1067, "The window of start_time and end_time is more than 2 hours.")
    first, last = max(first, request.now - KEPT), min(last + timedelta(milliseconds=1), request.now)
    frame = market.liquidations(listing, first, max(first, last)).head(behavior.liquidations)
    size = listing.contract_size or 1.0
    rows = []
    for row in frame.iter_rows(named=True):
        amount, price = row["quantity_base"] / listing.multiplier, row["price"] * listing.multiplier
        turnover = amount * price
        order = {
            "query_id": row["number"], "contract_code": listing.instrument, "symbol": listing.quote,
            "direction": "sell" if row["side"] == "long" else "buy", "offset": "close",
            "volume": (turnover if kind == "inverse" else amount) / size, "price": price,
            "created_at": milliseconds(row["occurred_at"]), "amount": amount,
        }  # fmt: skip
        swap = {"trade_turnover": turnover, "business_type": "swap", "pair": listing.instrument}
        rows.append(order | (swap if kind == "linear" else {}))
    return Response({"code": 200, "msg": "", "data": rows, "ts": milliseconds(request.now)})


def elite_ratio(request: Request, market: MarketModel, *, kind: str, measure: Measure) -> Response:
    listing = listed(request, kind)
    if listing is None or request.params.get("period") != "60min":
        return unknown(request)
    hour = request.now.replace(minute=0, second=0, microsecond=0)
    frame = market.ratios(listing, measure, 60, hour - (RATIO_HOURS - 1) * HOUR, hour + HOUR)
    share = (pl.col("ratio") / (1 + pl.col("ratio"))).round(4)
    locked = {"locked_ratio": 0} if measure == "account_top" else {}
    rows = [
        {"buy_ratio": long, "sell_ratio": round(1 - long, 4), **locked, "ts": at}
        for long, at in frame.select(share, pl.col("event_at").dt.epoch("ms")).iter_rows()
    ]
    return ok(request, {"list": rows, "symbol": listing.asset, "contract_code": listing.instrument})


def routes(behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Sequence[Route]:
    """All endpoints of HTX with this response behavior."""
    found: list[Route] = []
    for kind, prefix in (("linear", "/linear-swap"), ("inverse", "/swap")):
        handlers: dict[str, Callable[..., Response]] = {
            "-api/v1/swap_contract_info": contract_info,
            "-api/v1/swap_his_open_interest": his_open_interest,
            "-api/v1/swap_historical_funding_rate": historical_funding_rate,
            "-ex/market/history/kline": kline,
            "-api/v3/swap_liquidation_orders": partial(liquidation_orders, behavior=behavior),
            "-api/v1/swap_elite_account_ratio": partial(elite_ratio, measure="account_top"),
            "-api/v1/swap_elite_position_ratio": partial(elite_ratio, measure="position_top"),
        }
        found += [Route("GET", "api", f"{prefix}{path}", partial(one, kind=kind)) for path, one in handlers.items()]
    return tuple(found)


ROUTES: Final[Sequence[Route]] = routes()
