"""Emulates Deribit v2 as documented: inclusive bounds, JSON numbers, percent, errors with status 400."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, MarketModel

INVERSE: Final = {"BTC": 10.0, "ETH": 1.0}
LINEAR: Final = {"SOL": 0.1, "AVAX": 1.0, "XRP": 1.0, "DOGE": 10.0}
LISTINGS: Final = (
    *(
        Listing(
            "deribit", f"{coin}-PERPETUAL", coin, quote="USD", contract_type="inverse", contract_size=size,
            contract_size_unit="usd", interval_hours=1,
        )
        for coin, size in INVERSE.items()
    ),
    *(
        Listing(
            "deribit", f"{coin}_USDC-PERPETUAL", coin, quote="USDC", contract_size=size, contract_size_unit="base",
            interval_hours=1,
        )
        for coin, size in LINEAR.items()
    ),
)  # fmt: skip
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
OPTION_COINS: Final = {"BTC": "BTC", "ETH": "ETH", "XRP": "USDC"}
"""Coins with options and the currency they are listed under."""

NEVER_MS: Final = 32_503_708_800_000
FILLER: Final = timedelta(minutes=11)


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: trades and index candles per page, and whether pages of the index overlap by a row."""

    trades: int = 1000
    index_candles: int = 1000
    index_overlap: bool = False


DEFAULT_BEHAVIOR: Final = ResponseBehavior()

Endpoint = Callable[[Request, MarketModel, ResponseBehavior], Response]


def ok(result: Any) -> Response:
    return Response({"jsonrpc": "2.0", "result": result, "usIn": 0, "usOut": 1, "usDiff": 1, "testnet": False})


def error(code: int, message: str, **data: str) -> Response:
    body = {"code": code, "message": message, "data": data}
    return Response({"jsonrpc": "2.0", "error": body, "usIn": 0, "usOut": 1, "usDiff": 1, "testnet": False}, status=400)


def invalid_param(name: str) -> Response:
    return error(-32602, "Invalid params", reason="value required or not allowed", param=name)


def throttled() -> Response:
    return error(10028, "too_many_requests")


def instruments(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    currency = request.params.get("currency", "")
    if currency not in (*INVERSE, "USDC"):
        return invalid_param("currency")
    if request.params.get("kind") == "option":
        return ok([_option(row) for row in _chain(currency, request.now, market)])
    return ok([*(_perpetual(x) for x in _listed(currency)), _dated(currency, request.now)])


def book_summary(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    currency = request.params.get("currency", "")
    if currency not in (*INVERSE, "USDC"):
        return invalid_param("currency")
    if request.params.get("kind") == "option":
        return ok([_option_summary(row, request.now) for row in _chain(currency, request.now, market)])
    at = request.now.replace(second=0, microsecond=0)
    rows = []
    for listing in _listed(currency):
        base, usd = market.open_interest(listing, 1, at, at + timedelta(minutes=1)).select("oi_base", "oi_usd").row(0)
        amount = usd if listing.contract_type == "inverse" else base
        rows.append(_summary(listing.instrument, amount, usd / base, at))
    return ok([*rows, _summary(_dated_name(currency, request.now), 1000.0, 1.0, at)])


def index_price(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    coin, _, quote = request.params.get("index_name", "").upper().partition("_")
    if coin not in OPTION_COINS or quote != ("USD" if OPTION_COINS[coin] == coin else "USDC"):
        return invalid_param("index_name")
    price = market.option_chain(coin, request.now)["index_price"][0]
    return ok({"index_price": price, "estimated_delivery_price": price})


def volatility_index(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    currency, resolution = request.params.get("currency", ""), request.params.get("resolution", "")
    if currency not in INVERSE:
        return invalid_param("currency")
    if resolution not in ("60", "3600", "43200"):
        return invalid_param("resolution")
    frame = market.volatility_index(currency, int(resolution) // 60, *_bounds(request))
    page = frame.tail(behavior.index_candles)
    rows = [
        [at, *(round(value * 100, 2) for value in values)]
        for at, *values in page.select(pl.col("opened_at").dt.epoch("ms"), "open", "high", "low", "close").iter_rows()
    ]
    step = 0 if behavior.index_overlap else int(resolution) * 1000
    return ok({"continuation": rows[0][0] - step if page.height < frame.height else None, "data": rows})


def funding(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    listing = BY_NAME.get(request.params.get("instrument_name", ""))
    if listing is None:
        return invalid_param("instrument_name")
    frame = market.funding(listing, *_bounds(request)).tail(744)
    return ok(
        [
            {
                "index_price": price, "interest_1h": rate, "interest_8h": rate * 8, "prev_index_price": price,
                "timestamp": at,
            }
            for at, rate, price in frame.select(pl.col("settled_at").dt.epoch("ms"), "rate", "mark_price").iter_rows()
        ]
    )  # fmt: skip


def chart(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    listing = BY_NAME.get(request.params.get("instrument_name", ""))
    if listing is None:
        return invalid_param("instrument_name")
    if request.params.get("resolution") != "60":
        return invalid_param("resolution")
    frame = market.candles(listing, "perp", 60, *_bounds(request))
    columns = {name: frame[name].to_list() for name in ("open", "high", "low", "close")}
    return ok(
        {
            **columns,
            "cost": frame["volume_quote"].to_list(),
            "status": "ok" if frame.height else "no_data",
            "ticks": frame["opened_at"].dt.epoch("ms").to_list(),
            "volume": frame["volume_base"].to_list(),
        }
    )


def trades(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    """Every liquidation, each with an ordinary trade in the same millisecond, and further ordinary trades."""
    currency = request.params.get("currency", "")
    count = int(request.params.get("count", 10))
    if currency not in (*INVERSE, "USDC"):
        return invalid_param("currency")
    if count > 1000:
        return invalid_param("count")
    start, end = _bounds(request)
    limit = min(count, behavior.trades)
    oldest_first = request.params.get("sorting") == "asc"
    found: list[dict[str, Any]] = []
    has_more = False
    # Trades are generated six hours at a time until the page is full, since days of many instruments are expensive.
    for first, last in _parts(start, end, oldest_first=oldest_first):
        found += sorted(
            (
                trade
                for number, listing in enumerate(_listed(currency))
                for trade in _trades(listing, number, market, first, last)
            ),
            key=lambda trade: (trade["timestamp"], trade["trade_id"]),
            reverse=not oldest_first,
        )
        if has_more := len(found) > limit:
            break
    page = found[:limit]
    return ok({"has_more": has_more, "trades": page if oldest_first else page[::-1]})


def _parts(start: datetime, end: datetime, *, oldest_first: bool) -> Iterator[tuple[datetime, datetime]]:
    """[start, end) in parts of six hours."""
    step, done = timedelta(hours=6), timedelta(0)
    while done < end - start:
        done, before = min(done + step, end - start), done
        yield (start + before, start + done) if oldest_first else (end - done, end - before)


def _trades(listing: Listing, number: int, market: MarketModel, start: datetime, end: datetime) -> list[dict[str, Any]]:
    inverse = listing.contract_type == "inverse"
    rows = []
    columns = ("number", "side", "price", "quantity_base")
    for at, event, side, price, base in (
        market.liquidations(listing, start, end).select(pl.col("occurred_at").dt.epoch("ms"), *columns).iter_rows()
    ):
        flag = "T" if event % 3 else "M"
        forced = "sell" if side == "long" else "buy"
        taker = forced if flag == "T" else {"sell": "buy", "buy": "sell"}[forced]
        rows.append(_trade(listing, f"{event}{number}1", at, taker, price, base * price if inverse else base, flag))
        rows.append(_trade(listing, f"{event}{number}2", at, taker, price, 1.0, None))
    first = milliseconds(start) // (FILLER // timedelta(milliseconds=1))
    last = milliseconds(end) // (FILLER // timedelta(milliseconds=1))
    for count in range(first, last + 1):
        at = count * (FILLER // timedelta(milliseconds=1))
        if milliseconds(start) <= at < milliseconds(end):
            rows.append(_trade(listing, f"{count}{number}3", at, "buy", 100.0, 10.0, None))
    return rows


def _trade(
    listing: Listing, number: str, at: int, taker: str, price: float, amount: float, flag: str | None
) -> dict[str, Any]:
    return {
        "amount": amount, "contracts": amount / (listing.contract_size or 1), "direction": taker, "index_price": price,
        "instrument_name": listing.instrument, "mark_price": price, "price": price, "tick_direction": 0, "timestamp": at,
        "trade_id": number if listing.asset == "BTC" else f"{listing.asset}-{number}", "trade_seq": int(number),
    } | ({"liquidation": flag} if flag else {})  # fmt: skip


def _listed(currency: str) -> list[Listing]:
    return [x for x in LISTINGS if currency == (x.asset if x.contract_type == "inverse" else x.quote)]


def _perpetual(listing: Listing) -> dict[str, Any]:
    return _future(listing.instrument, listing.asset, listing.quote, listing.contract_size or 1.0, "perpetual") | {
        "creation_timestamp": milliseconds(listing.listed_at),
        "expiration_timestamp": NEVER_MS,
    }


def _dated_name(currency: str, now: datetime) -> str:
    coin = "SOL_USDC" if currency == "USDC" else currency
    return f"{coin}-{_day(now.date() + timedelta(days=20))}"


def _dated(currency: str, now: datetime) -> dict[str, Any]:
    coin, quote = ("SOL", "USDC") if currency == "USDC" else (currency, "USD")
    return _future(_dated_name(currency, now), coin, quote, 10.0, "month") | {
        "creation_timestamp": milliseconds(now),
        "expiration_timestamp": milliseconds(now + timedelta(days=20)),
    }


def _future(name: str, base: str, quote: str, size: float, period: str) -> dict[str, Any]:
    return {
        "base_currency": base, "block_trade_commission": 0.0001, "contract_size": size, "instrument_name": name,
        "is_active": True, "kind": "future", "maker_commission": 0.0, "max_leverage": 100,
        "max_liquidation_commission": 0.005, "min_trade_amount": size, "quote_currency": quote,
        "settlement_period": period, "taker_commission": 0.0005, "tick_size": 0.5,
    }  # fmt: skip


def _summary(name: str, open_interest: float, price: float, at: datetime) -> dict[str, Any]:
    return {
        "ask_price": price, "base_currency": name.split("-")[0].split("_")[0], "bid_price": price,
        "creation_timestamp": milliseconds(at), "current_funding": 0.0, "estimated_delivery_price": price,
        "funding_8h": 0.0, "high": price, "instrument_name": name, "last": price, "low": price, "mark_price": price,
        "mid_price": price, "open_interest": open_interest, "price_change": 0.0, "quote_currency": "USD", "volume": 1.0,
        "volume_notional": price, "volume_usd": price,
    }  # fmt: skip


def _chain(currency: str, now: datetime, market: MarketModel) -> list[dict[str, Any]]:
    return [
        {**row, "coin": coin}
        for coin, listed_under in OPTION_COINS.items()
        if listed_under == currency
        for row in market.option_chain(coin, now).to_dicts()
    ]


def _option_name(row: Mapping[str, Any]) -> str:
    pair = row["coin"] if row["coin"] in INVERSE else f"{row['coin']}_USDC"
    strike = f"{row['strike']:g}".replace(".", "d")
    return f"{pair}-{_day(row['expiry_date'])}-{strike}-{row['option_type'][0].upper()}"


def _option(row: Mapping[str, Any]) -> dict[str, Any]:
    expires = datetime.combine(row["expiry_date"], datetime.min.time()) + timedelta(hours=8)
    quote = row["coin"] if row["coin"] in INVERSE else "USDC"
    return {
        "base_currency": row["coin"], "block_trade_commission": 0.00015, "contract_size": 1.0,
        "creation_timestamp": milliseconds(expires - timedelta(days=120)), "expiration_timestamp": milliseconds(expires),
        "instrument_name": _option_name(row), "is_active": True, "kind": "option", "maker_commission": 0.0003,
        "min_trade_amount": 0.1, "option_type": row["option_type"], "quote_currency": quote, "settlement_period": "week",
        "strike": row["strike"], "taker_commission": 0.0003, "tick_size": 0.0005,
    }  # fmt: skip


def _option_summary(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    mark = row["mark_price_base"] * (1.0 if row["coin"] in INVERSE else row["underlying_price"])
    return {
        "ask_price": None, "base_currency": row["coin"], "bid_price": None, "creation_timestamp": milliseconds(now),
        "estimated_delivery_price": row["index_price"], "high": None, "instrument_name": _option_name(row),
        "interest_rate": 0.0, "last": None, "low": None, "mark_iv": round(row["mark_iv"] * 100, 2), "mark_price": mark,
        "mid_price": None, "open_interest": row["oi_base"], "price_change": None,
        "quote_currency": row["coin"] if row["coin"] in INVERSE else "USDC", "underlying_index": "SYN.EXPIRY",
        "underlying_price": row["underlying_price"], "volume": row["volume_24h_base"], "volume_usd": 0.0,
    }  # fmt: skip


def _day(day: date) -> str:
    """9JUN20: no leading zero."""
    return f"{day.day}{day:%b%y}".upper()


def _bounds(request: Request) -> tuple[datetime, datetime]:
    """[start, end) of the inclusive bounds, up to the venue's clock."""
    last = min(int(request.params["end_timestamp"]), milliseconds(request.now))
    return utc(int(request.params["start_timestamp"])), utc(last) + timedelta(milliseconds=1)


_ENDPOINTS: Final[Sequence[tuple[str, str, Endpoint]]] = (
    ("api", "get_instruments", instruments),
    ("api", "get_book_summary_by_currency", book_summary),
    ("api", "get_index_price", index_price),
    ("api", "get_volatility_index_data", volatility_index),
    ("api", "get_funding_rate_history", funding),
    ("api", "get_tradingview_chart_data", chart),
    ("history", "get_last_trades_by_currency_and_time", trades),
)


BOUNDS: Final = ("start_timestamp", "end_timestamp")
REQUIRED: Final[Mapping[str, Sequence[str]]] = {
    "volatility_index": ("currency", "resolution", *BOUNDS), "funding": ("instrument_name", *BOUNDS),
    "chart": ("instrument_name", "resolution", *BOUNDS), "trades": ("currency", *BOUNDS),
}  # fmt: skip


def routes(behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Sequence[Route]:
    """All endpoints of Deribit with this response behavior."""

    def bound(endpoint: Endpoint) -> Callable[[Request, MarketModel], Response]:
        def handler(request: Request, market: MarketModel) -> Response:
            absent = [name for name in REQUIRED.get(endpoint.__name__, ()) if name not in request.params]
            return invalid_param(absent[0]) if absent else endpoint(request, market, behavior)

        return handler

    return [Route("GET", host, f"/api/v2/public/{name}", bound(endpoint)) for host, name, endpoint in _ENDPOINTS]


ROUTES: Final[Sequence[Route]] = routes()
