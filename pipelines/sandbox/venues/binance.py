"""Emulates Binance's API as documented: inclusive bounds, numbers as text, 30 days of statistics, request weight in a header."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Handler, Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, Market, MarketModel, Measure
from pipelines.sandbox.venues.binance_archive import LISTINGS

BY_SYMBOL: Final = {
    ({"linear": "fapi", "inverse": "dapi", "spot": "spot"}[x.contract_type], x.instrument.replace("/", "")): x
    for x in LISTINGS
    if x.delisted_at is None
}
NEVER_MS: Final = 4_133_404_800_000
KEPT: Final = timedelta(days=30)
DATA_MOST: Final = 500
FUNDING_MOST: Final = 1000
KLINES_MOST: Final[Mapping[str, int]] = {"fapi": 1500, "dapi": 1500, "spot": 1000}
MEASURES: Final[Mapping[str, Measure]] = {
    "globalLongShortAccountRatio": "account_global",
    "topLongShortAccountRatio": "account_top",
    "topLongShortPositionRatio": "position_top",
    "takerlongshortRatio": "taker_volume",
}
UNDERLYINGS: Final = ("BTC", "ETH")
UNIT: Final = 1

FILLER_FIELDS: Final[Mapping[str, Any]] = {
    "maintMarginPercent": "2.5000", "requiredMarginPercent": "5.0000", "pricePrecision": 2, "quantityPrecision": 3,
    "baseAssetPrecision": 8, "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": [],
    "triggerProtect": "0.0500", "liquidationFee": "0.012000", "marketTakeBound": "0.30",
    "filters": [{"minPrice": "0.01", "maxPrice": "1000000", "filterType": "PRICE_FILTER", "tickSize": "0.01"}],
    "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"],
    "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
}  # fmt: skip
"""Further fields of a contract in exchangeInfo."""


def error(code: int, message: str) -> Response:
    return Response({"code": code, "msg": message}, status=400, headers=_weight_header())


def ok(content: Any) -> Response:
    return Response(content, headers=_weight_header())


def _weight_header() -> dict[str, str]:
    return {"X-MBX-USED-WEIGHT-1M": "1"}


def exchange_info(request: Request, market: MarketModel) -> Response:
    symbols = [_contract(x, request.endpoint) for (endpoint, _), x in BY_SYMBOL.items() if endpoint == request.endpoint]
    limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}]
    return ok({"timezone": "UTC", "serverTime": milliseconds(request.now), "rateLimits": limits, "symbols": symbols})


def _contract(listing: Listing, endpoint: str) -> dict[str, Any]:
    pair = listing.instrument.partition("_")[0]
    shared = {
        **FILLER_FIELDS,
        "symbol": listing.instrument,
        "pair": pair,
        "contractType": "PERPETUAL",
        "deliveryDate": NEVER_MS,
        "onboardDate": milliseconds(listing.listed_at),
        "baseAsset": pair.removesuffix(listing.quote),
        "quoteAsset": listing.quote,
    }
    if endpoint == "dapi":
        return {
            **shared,
            "contractStatus": "TRADING",
            "contractSize": int(listing.contract_size or 0),
            "marginAsset": listing.asset,
            "equalQtyPrecision": 4,
            "maxMoveOrderLimit": 10_000,
        }
    return {**shared, "status": "TRADING", "marginAsset": listing.quote, "settlePlan": 0}


def prices(request: Request, market: MarketModel) -> Response:
    """All spot pairs, plus one in an unsupported quote currency."""
    pairs = [symbol for endpoint, symbol in BY_SYMBOL if endpoint == "spot"]
    return ok([{"symbol": symbol, "price": "1.00000000"} for symbol in [*pairs, "BTCUAH"]])


def interest(request: Request, market: MarketModel) -> Response:
    found = _data_listing(request)
    if isinstance(found, Response):
        return found
    start, end = _bounds(request)
    if start < request.now - KEPT:
        return error(-1130, "parameter 'startTime' is invalid.")
    frame = market.open_interest(found, 5, start, end).tail(_limit(request, 30, DATA_MOST))
    inverse = found.contract_type == "inverse"
    name = (
        {"pair": found.instrument.partition("_")[0], "contractType": "PERPETUAL"}
        if inverse
        else {"symbol": found.instrument}
    )
    amount = pl.col("oi_usd") / (found.contract_size or 1) if inverse else pl.col("oi_base") / found.multiplier
    value = pl.col("oi_base") if inverse else pl.col("oi_usd")
    rows = frame.select(amount.alias("amount"), value.alias("value"), pl.col("event_at").dt.epoch("ms")).iter_rows()
    return ok(
        [
            {**name, "sumOpenInterest": f"{a:.8f}", "sumOpenInterestValue": f"{v:.8f}", "timestamp": str(at)}
            for a, v, at in rows
        ]
    )


def current_interest(request: Request, market: MarketModel) -> Response:
    """The current state, approximated by that of the last full 5-minute mark."""
    found = BY_SYMBOL.get((request.endpoint, request.params.get("symbol", "")))
    if found is None:
        return error(-1121, "Invalid symbol.")
    last = request.now.replace(minute=request.now.minute // 5 * 5, second=0, microsecond=0)
    state = market.open_interest(found, 5, last, last + timedelta(minutes=5))
    if state.is_empty():
        return Response({"code": -1001, "msg": "Internal error; unable to process your request."}, status=503)
    base, usd = state.select("oi_base", "oi_usd").row(0)
    reported = {"symbol": found.instrument, "time": milliseconds(request.now)}
    if found.contract_type == "inverse":
        amount = f"{usd / (found.contract_size or 1):.8f}"
        pair = found.instrument.partition("_")[0]
        return ok({**reported, "pair": pair, "contractType": "PERPETUAL", "openInterest": amount})
    return ok({**reported, "openInterest": f"{base / found.multiplier:.8f}"})


def ratio(request: Request, market: MarketModel) -> Response:
    found = _data_listing(request)
    if isinstance(found, Response):
        return found
    start, end = _bounds(request)
    if start < request.now - KEPT:
        return error(-1130, "parameter 'startTime' is invalid.")
    measure = MEASURES[request.path.rsplit("/", 1)[1]]
    frame = market.ratios(found, measure, 5, start, end).tail(_limit(request, 30, DATA_MOST))
    rows = frame.select("ratio", pl.col("event_at").dt.epoch("ms")).iter_rows()
    if measure == "taker_volume":
        return ok(
            [
                {"buySellRatio": f"{r:.4f}", "buyVol": f"{100 * r:.4f}", "sellVol": "100.0000", "timestamp": str(at)}
                for r, at in rows
            ]
        )
    return ok(
        [
            {
                **_name(found), "longShortRatio": f"{r:.4f}", "longAccount": f"{r / (1 + r):.4f}",
                "shortAccount": f"{1 / (1 + r):.4f}", "timestamp": str(at),
            }
            for r, at in rows
        ]
    )  # fmt: skip


RATE_TYPES_SINCE_MS: Final = 1_785_196_800_000
"""2026-07-28."""


def funding(request: Request, market: MarketModel) -> Response:
    found = BY_SYMBOL.get((request.endpoint, request.params.get("symbol", "")))
    if found is None:
        return error(-1121, "Invalid symbol.")
    frame = market.funding(found, *_bounds(request)).head(_limit(request, 100, FUNDING_MOST))
    rows = frame.select("rate", pl.col("settled_at").dt.epoch("ms"), "mark_price").iter_rows()
    return ok(
        [
            {
                "symbol": found.instrument,
                "fundingRate": f"{r:.8f}",
                "fundingTime": at + n % 7,
                "markPrice": f"{mark * found.multiplier:.8f}",
                **({"rateType": "Regular"} if at >= RATE_TYPES_SINCE_MS else {}),
            }
            for n, (r, at, mark) in enumerate(rows)
        ]
    )


def premium(request: Request, market: MarketModel) -> Response:
    found = BY_SYMBOL.get((request.endpoint, request.params.get("symbol", "")))
    if found is None:
        return error(-1121, "Invalid symbol.")
    after = request.now + timedelta(hours=found.interval_hours)
    [(rate, at, mark)] = (
        market.funding(found, request.now, after)
        .select("rate", pl.col("settled_at").dt.epoch("ms"), "mark_price")
        .iter_rows()
    )
    mark *= found.multiplier
    row = {
        "symbol": found.instrument, "markPrice": f"{mark:.8f}", "indexPrice": f"{mark:.8f}", "estimatedSettlePrice": f"{mark:.8f}",
        "lastFundingRate": f"{rate:.8f}", "nextFundingTime": at, "interestRate": "0.00010000", "time": milliseconds(request.now),
    }  # fmt: skip
    return ok([row] if request.endpoint == "dapi" else row)


def klines(request: Request, market: MarketModel) -> Response:
    found = BY_SYMBOL.get((request.endpoint, request.params.get("symbol", "")))
    if found is None:
        return error(-1121, "Invalid symbol.")
    if request.params.get("interval") != "1h":
        return error(-1120, "Invalid interval.")
    start, end = _bounds(request)
    candle_market: Market = "spot" if found.contract_type == "spot" else "perp"
    frame = market.candles(found, candle_market, 60, start, end).head(
        _limit(request, 500, KLINES_MOST[request.endpoint])
    )
    multiplier, size = found.multiplier, found.contract_size or 1.0
    rows = []
    for x in frame.iter_rows(named=True):
        opened = milliseconds(x["opened_at"])
        base, quote, taker = x["volume_base"] / multiplier, x["volume_quote"], x["taker_buy_base"] / multiplier
        volumes = (base, quote, taker, taker * x["open"])
        if found.contract_type == "inverse":
            volumes = (quote / size, base, taker * 7, taker)
        traded, other, taken, taken_other = (f"{v:.8f}" for v in volumes)
        ohlc = [f"{x[c] * multiplier:.10f}" for c in ("open", "high", "low", "close")]
        rows.append([opened, *ohlc, traded, opened + 3_599_999, other, x["trades"], taken, taken_other, "0"])
    return ok(rows)


# Options


def options(request: Request, market: MarketModel) -> Response:
    return ok(
        {
            "timezone": "UTC",
            "optionSymbols": [
                {
                    "symbol": name, "side": x["option_type"].upper(), "strikePrice": f"{x['strike']:.8f}",
                    "underlying": f"{asset}USDT", "unit": UNIT, "quoteAsset": "USDT",
                    "expiryDate": milliseconds(datetime(x["expiry_date"].year, x["expiry_date"].month, x["expiry_date"].day, 8)),
                }
                for asset, name, x in _chain(request, market)
            ],
        }
    )  # fmt: skip


def option_interest(request: Request, market: MarketModel) -> Response:
    if not request.params.get("underlyingAsset") or not request.params.get("expiration"):
        return error(-1102, "Mandatory parameter 'expiration' was not sent.")
    start = f"{request.params['underlyingAsset']}-{request.params['expiration']}-"
    at = str(milliseconds(request.now))
    return ok(
        [
            {"symbol": name, "sumOpenInterest": f"{x['oi_base']:.2f}",
             "sumOpenInterestUsd": f"{x['oi_base'] * x['index_price']:.10f}", "timestamp": at}
            for _, name, x in _chain(request, market) if name.startswith(start)
        ]
    )  # fmt: skip


def option_marks(request: Request, market: MarketModel) -> Response:
    return ok(
        [
            {"symbol": name, "markPrice": f"{x['mark_price_base'] * x['index_price']:.6f}", "bidIV": "-1.0", "askIV": "-1.0",
             "markIV": f"{x['mark_iv']:.8f}", "delta": f"{x['delta']:.8f}"}
            for _, name, x in _chain(request, market)
        ]
    )  # fmt: skip


def option_tickers(request: Request, market: MarketModel) -> Response:
    return ok([{"symbol": name, "volume": f"{x['volume_24h_base']:.2f}"} for _, name, x in _chain(request, market)])


def option_index(request: Request, market: MarketModel) -> Response:
    asset = request.params["underlying"].removesuffix("USDT")
    price = market.option_chain(asset, request.now)["index_price"][0]
    return ok({"time": milliseconds(request.now), "indexPrice": f"{price:.8f}"})


def _chain(request: Request, market: MarketModel) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (asset, f"{asset}-{x['expiry_date']:%y%m%d}-{x['strike']:g}-{x['option_type'][0].upper()}", x)
        for asset in UNDERLYINGS
        for x in market.option_chain(asset, request.now).iter_rows(named=True)
    ]


def _data_listing(request: Request) -> Listing | Response:
    """The instrument of a /futures/data request; dapi requests give the pair and the contract type."""
    if request.params.get("period") != "5m":
        return error(-1102, "Mandatory parameter 'period' was not sent, was empty/null, or malformed.")
    if int(request.params.get("limit", 30)) > DATA_MOST:
        return error(-1130, "parameter 'limit' is invalid.")
    symbol = request.params.get("symbol", "")
    if request.endpoint == "dapi":
        symbol = f"{request.params.get('pair')}_PERP"
        if request.path.endswith("openInterestHist") and request.params.get("contractType") != "PERPETUAL":
            return error(-1102, "Mandatory parameter 'contractType' was not sent, was empty/null, or malformed.")
    return BY_SYMBOL.get((request.endpoint, symbol)) or error(-1121, "Invalid symbol.")


def _name(listing: Listing) -> dict[str, str]:
    inverse = listing.contract_type == "inverse"
    return {"pair": listing.instrument.partition("_")[0]} if inverse else {"symbol": listing.instrument}


def _bounds(request: Request) -> tuple[datetime, datetime]:
    """[start, end) of the inclusive bounds, up to the venue's clock."""
    now = milliseconds(request.now)
    last = min(int(request.params.get("endTime", now)), now)
    return utc(int(request.params.get("startTime", now - 86_400_000))), utc(last) + timedelta(milliseconds=1)


def _limit(request: Request, default: int, most: int) -> int:
    return min(int(request.params.get("limit", default)), most)


def _both(path: str, handler: Handler) -> list[Route]:
    return [Route("GET", endpoint, path.replace("*", endpoint), handler) for endpoint in ("fapi", "dapi")]


OPTION_ROUTES: Final[Mapping[str, Callable[[Request, MarketModel], Response]]] = {
    "exchangeInfo": options,
    "openInterest": option_interest,
    "mark": option_marks,
    "ticker": option_tickers,
    "index": option_index,
}

ROUTES: Final[Sequence[Route]] = (
    *_both("/*/v1/exchangeInfo", exchange_info),
    *_both("/*/v1/fundingRate", funding),
    *_both("/*/v1/openInterest", current_interest),
    *_both("/*/v1/premiumIndex", premium),
    *_both("/*/v1/klines", klines),
    *_both("/futures/data/openInterestHist", interest),
    *(Route("GET", "fapi", f"/futures/data/{name}", ratio) for name in MEASURES),
    *(Route("GET", "dapi", f"/futures/data/{name}", ratio) for name in MEASURES if name != "takerlongshortRatio"),
    Route("GET", "spot", "/api/v3/ticker/price", prices),
    Route("GET", "spot", "/api/v3/klines", klines),
    *(Route("GET", "eapi", f"/eapi/v1/{name}", handler) for name, handler in OPTION_ROUTES.items()),
)
