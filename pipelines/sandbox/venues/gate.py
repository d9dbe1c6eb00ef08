"""Emulates Gate v4 futures as documented: timestamps in seconds, amounts in contracts, mixed text and JSON numbers, a row of
statistics for every 5-minute period that has started."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import polars as pl

from pipelines.sandbox.emulator import Request, Response, Route
from pipelines.sandbox.market_model import Listing, MarketModel, Measure
from pipelines.sandbox.risk_tiers import DOLLARS_PER_COIN, risk_tiers

SIZES: Final = {"BTC": 0.0001, "ETH": 0.01, "SOL": 1.0, "AVAX": 1.0, "XRP": 10.0, "DOGE": 10.0, "PEPE": 10_000_000.0}
"""Coin per contract (quanto_multiplier). Gate has no 1000PEPE; its PEPE contract is ten million coins."""

LISTINGS: Final = (
    *(
        Listing("gate", f"{asset}_USDT", asset, contract_size=size, contract_size_unit="base")
        for asset, size in SIZES.items()
    ),
    Listing(
        "gate", "BTC_USD", "BTC", quote="USD", contract_type="inverse", contract_size=1.0, contract_size_unit="usd"
    ),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}

FILLER_FIELDS: Final[dict[str, Any]] = {
    **dict.fromkeys(
        ("funding_rate_indicative", "mark_price_round", "risk_limit_base", "interest_rate", "index_price",
         "order_price_round", "ref_rebate_rate", "ref_discount_rate", "order_price_deviate", "maintenance_rate",
         "risk_limit_step", "leverage_min", "funding_rate", "last_price", "funding_impact_value", "leverage_max",
         "risk_limit_max", "maker_fee_rate", "taker_fee_rate"), "0.01"),
    **dict.fromkeys(
        ("funding_offset", "order_size_min", "order_size_max", "funding_next_apply", "short_users", "long_users",
         "config_change_time", "trade_size", "orders_limit", "trade_id", "orderbook_id"), 1),
    "mark_type": "index", "enable_bonus": True, "enable_credit": True,
}  # fmt: skip
"""Further fields of a contract."""

MOST_STATISTICS: Final = 1000
MOST_ORDERS: Final = 1000
MOST_CANDLES: Final = 2000
WIDEST_WINDOW: Final = 3600
FIVE_MINUTES: Final = timedelta(minutes=5)
RATIOS: Final[dict[str, Measure]] = {
    "lsr_account": "account_global",
    "top_lsr_account": "account_top",
    "top_lsr_size": "position_top",
    "lsr_taker": "taker_volume",
}


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: rows per page of statistics, their order, how many rows before the bound are repeated, the start of
    the liquidation history, and how far back statistics, funding and candles are kept (None: everything)."""

    rows: int = MOST_STATISTICS
    overlap: int = 0
    newest_first: bool = False
    history_since: datetime = datetime(2020, 12, 16)
    keeps: timedelta | None = None

    def is_too_old(self, request: Request) -> bool:
        return self.keeps is not None and at(request.params["from"]) < request.now - self.keeps


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


def error(label: str, message: str, status: int = 400) -> Response:
    return Response({"label": label, "message": message}, status=status)


def at(seconds: str | int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(seconds=int(seconds))


def listed(request: Request, settled_in: str) -> Listing | None:
    """The requested contract, if it is settled in `settled_in`."""
    found = BY_NAME.get(request.params.get("contract", ""))
    return found if found is not None and (found.contract_type == "inverse") == (settled_in == "btc") else None


UNKNOWN: Final = error("CONTRACT_NOT_FOUND", "contract not found")


def contracts(request: Request, market: MarketModel, *, settled_in: str) -> Response:
    return Response(
        [
            {
                **FILLER_FIELDS,
                "name": x.instrument,
                "contract_type": "",
                "type": "inverse" if settled_in == "btc" else "direct",
                "quanto_multiplier": "0" if settled_in == "btc" else f"{x.contract_size:.10f}".rstrip("0").rstrip("."),
                "funding_interval": x.interval_hours * 3600,
                "create_time": int((x.listed_at - datetime(1970, 1, 1)).total_seconds()),
                "in_delisting": False,
                "mark_price": "1",
                "position_size": positions(x, market, request.now),
                "long_users": 10,
                "short_users": 8,
            }
            for x in LISTINGS
            if (x.contract_type == "inverse") == (settled_in == "btc")
        ]
    )


def positions(listing: Listing, market: MarketModel, now: datetime) -> float:
    """Contracts held now, counted one-sided, unlike the open interest of contract_stats."""
    states = market.open_interest(listing, 5, now - timedelta(minutes=10), now + timedelta(minutes=5))
    if states.is_empty():
        return 0
    row = states.sort("event_at").row(-1, named=True)
    amount = row["oi_usd" if listing.contract_type == "inverse" else "oi_base"]
    held = float(amount) / (listing.contract_size or 1.0)
    return round(held) if held >= 1 else held


def sides(moment: datetime) -> int:
    """Open interest of contract_stats counts both sides since a day before this one."""
    return 2 if moment >= datetime(2026, 3, 17, 6, 35) else 1


def contract_stats(
    request: Request, market: MarketModel, *, settled_in: str, behavior: ResponseBehavior = DEFAULT_BEHAVIOR
) -> Response:
    """Rows from `from` on, at most `limit`: each has the states at the end of its 5-minute period and the flows within it."""
    listing = listed(request, settled_in)
    if listing is None:
        return UNKNOWN
    if request.params.get("interval") != "5m" or "from" not in request.params:
        return error("INVALID_PARAM_VALUE", "invalid interval or from")
    if behavior.is_too_old(request):
        return TOO_OLD
    wanted = min(int(request.params.get("limit", 30)), MOST_STATISTICS, behavior.rows)
    first = at(request.params["from"])
    if wanted > behavior.overlap:
        first -= behavior.overlap * FIVE_MINUTES
    last = min(first + wanted * FIVE_MINUTES, request.now)
    states = market.open_interest(listing, 5, first + FIVE_MINUTES, last + FIVE_MINUTES).with_columns(
        pl.col("event_at") - FIVE_MINUTES
    )
    forced = (
        market.liquidations(listing, first, last)
        .with_columns((pl.col("price") * pl.col("quantity_base")).alias("usd"))
        .group_by(pl.col("occurred_at").dt.truncate("5m").alias("event_at"))
        .agg(
            pl.col(value).filter(side=side).sum().alias(f"{side}_{value}")
            for side in ("long", "short")
            for value in ("quantity_base", "usd")
        )
    )
    frame = states.join(forced, on="event_at", how="left").fill_null(0.0)
    for name, measure in RATIOS.items():
        ratio = market.ratios(listing, measure, 5, first + FIVE_MINUTES, last + FIVE_MINUTES)
        frame = frame.join(
            ratio.select(pl.col("event_at") - FIVE_MINUTES, pl.col("ratio").alias(name)), on="event_at", how="left"
        )
    frame = frame.sort("event_at", descending=behavior.newest_first)
    inverse = listing.contract_type == "inverse"
    size = listing.contract_size or 1.0
    return Response(
        [
            {
                "time": str(int((row["event_at"] - datetime(1970, 1, 1)).total_seconds())),
                "open_interest": f"{row['oi_usd' if inverse else 'oi_base'] / size * sides(row['event_at']):.12g}",
                "open_interest_usd": f"{row['oi_usd'] * sides(row['event_at']):.14g}",
                "mark_price": "1",
                **{name: f"{row[name]:.4f}" for name in RATIOS},
                **{
                    key: text
                    for side in ("long", "short")
                    for key, text in {
                        f"{side}_liq_size": f"{row[f'{side}_quantity_base'] / size:.12g}",
                        f"{side}_liq_amount": f"{row[f'{side}_quantity_base']:.12g}",
                        f"{side}_liq_usd": f"{row[f'{side}_usd']:.14g}",
                    }.items()
                },
            }
            for row in frame.iter_rows(named=True)
        ]
    )


def liq_orders(
    request: Request, market: MarketModel, *, settled_in: str, behavior: ResponseBehavior = DEFAULT_BEHAVIOR
) -> Response:
    """Orders of all contracts settled in `settled_in`, newest first; both bounds are inclusive, timestamps are whole seconds."""
    if not {"from", "to"} <= set(request.params):
        return error("MISSING_REQUIRED_PARAM", "from and to")
    if int(request.params["to"]) - int(request.params["from"]) > WIDEST_WINDOW:
        return error("INVALID_PARAM_VALUE", "the range of from and to is more than 3600 seconds")
    first = max(at(request.params["from"]), behavior.history_since)
    last = min(at(request.params["to"]) + timedelta(seconds=1), request.now)
    rows: list[dict[str, Any]] = []
    for listing in LISTINGS:
        inverse = listing.contract_type == "inverse"
        if inverse != (settled_in == "btc"):
            continue
        for row in market.liquidations(listing, first, last).iter_rows(named=True):
            amount = row["quantity_base"] * (row["price"] if inverse else 1.0)
            exact = round(amount / (listing.contract_size or 1.0), 9)
            contracts_held = int(exact) if exact.is_integer() else exact
            rows.append(
                {
                    "time": int((row["occurred_at"] - datetime(1970, 1, 1)).total_seconds()),
                    "contract": listing.instrument,
                    "size": contracts_held if row["side"] == "long" else -contracts_held,
                    "order_price": f"{row['price'] * (0.99 if row['side'] == 'long' else 1.01):.8g}",
                    "fill_price": f"{row['price']:.10g}",
                    "order_size": -contracts_held if row["side"] == "long" else contracts_held,
                    "left": 0,
                }
            )
    rows.sort(key=lambda row: row["time"], reverse=True)
    return Response(rows[: min(int(request.params.get("limit", 100)), MOST_ORDERS)])


TOO_OLD: Final = error("INVALID_PARAM_VALUE", "from time exceeds 180-day limit")
TOO_MANY_POINTS_AGO: Final = error(
    "INVALID_PARAM_VALUE", "Candlestick too long ago. Maximum 10000 points ago are allowed"
)
"""Refusals recorded in 2026."""


def funding_rate(
    request: Request, market: MarketModel, *, settled_in: str, behavior: ResponseBehavior = DEFAULT_BEHAVIOR
) -> Response:
    """Settlements, newest first, stamped one to three seconds late."""
    listing = listed(request, settled_in)
    if listing is None:
        return UNKNOWN
    if behavior.is_too_old(request):
        return TOO_OLD
    last = min(at(request.params["to"]) + timedelta(seconds=1), request.now)
    frame = market.funding(listing, at(request.params["from"]), last).sort("settled_at", descending=True)
    first, end = int(request.params["from"]), int(request.params["to"])
    late = pl.col("settled_at").dt.epoch("s") + 1 + pl.col("settled_at").dt.hour() // 8
    return Response(
        [
            {"t": stamp, "r": f"{rate:.8f}"}
            for stamp, rate in frame.select(late, "rate").iter_rows()
            if first <= stamp <= end
        ][: min(int(request.params.get("limit", 100)), 1000)]
    )


def candlesticks(
    request: Request, market: MarketModel, *, settled_in: str, behavior: ResponseBehavior = DEFAULT_BEHAVIOR
) -> Response:
    listing = listed(request, settled_in)
    if listing is None:
        return UNKNOWN
    if behavior.is_too_old(request):
        return TOO_MANY_POINTS_AGO
    if request.params.get("interval") != "1h" or "limit" in request.params:
        return error("INVALID_PARAM_VALUE", "limit conflicts with from and to")
    first, last = at(request.params["from"]), at(request.params["to"])
    if (last - first) // timedelta(hours=1) >= MOST_CANDLES:
        return error("INVALID_PARAM_VALUE", "Candlestick too long ago. Maximum 2000 points")
    frame = market.candles(listing, "perp", 60, first, min(last + timedelta(seconds=1), request.now))
    inverse = listing.contract_type == "inverse"
    size = listing.contract_size or 1.0
    return Response(
        [
            {
                "t": int((row["opened_at"] - datetime(1970, 1, 1)).total_seconds()),
                "o": f"{row['open']:.12g}",
                "h": f"{row['high']:.12g}",
                "l": f"{row['low']:.12g}",
                "c": f"{row['close']:.12g}",
                "v": float(f"{row['volume_quote' if inverse else 'volume_base'] / size:.15g}"),
                "sum": f"{row['volume_quote']:.15g}",
            }
            for row in frame.iter_rows(named=True)
        ]
    )


def risk_limit_tiers(request: Request, market: MarketModel, *, settled_in: str) -> Response:
    listing = listed(request, settled_in)
    if listing is None:
        return UNKNOWN
    size = DOLLARS_PER_COIN if settled_in == "btc" else 1.0
    return Response(
        [
            {
                "tier": tier.number, "contract": listing.instrument, "risk_limit": f"{tier.upper / size:g}",
                "initial_rate": f"{tier.initial:g}", "maintenance_rate": f"{tier.maintenance:g}",
                "leverage_max": str(tier.leverage), "deduction": f"{tier.deduction / size:.10g}",
            }
            for tier in risk_tiers(listing, request.now)
        ]
    )  # fmt: skip


def routes(behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Sequence[Route]:
    """All endpoints of Gate with this response behavior."""

    def of(
        settled_in: str, handler: Callable[..., Response], **more: Any
    ) -> Callable[[Request, MarketModel], Response]:
        return partial(handler, settled_in=settled_in, **more)

    return (
        *(
            route
            for settled_in in ("usdt", "btc")
            for route in (
                Route("GET", "api", f"/futures/{settled_in}/contracts", of(settled_in, contracts)),
                Route(
                    "GET",
                    "api",
                    f"/futures/{settled_in}/contract_stats",
                    of(settled_in, contract_stats, behavior=behavior),
                ),
                Route(
                    "GET", "api", f"/futures/{settled_in}/funding_rate", of(settled_in, funding_rate, behavior=behavior)
                ),
                Route("GET", "api", f"/futures/{settled_in}/risk_limit_tiers", of(settled_in, risk_limit_tiers)),
                Route("GET", "api", f"/futures/{settled_in}/liq_orders", of(settled_in, liq_orders, behavior=behavior)),
                Route(
                    "GET", "api", f"/futures/{settled_in}/candlesticks", of(settled_in, candlesticks, behavior=behavior)
                ),
            )
        ),
    )


ROUTES: Final[Sequence[Route]] = routes()
