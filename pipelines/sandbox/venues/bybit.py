"""Emulates Bybit v5 as documented: newest first, inclusive bounds, numbers as text, two-sided open interest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Request, Response, Route, stamp_ms, utc
from pipelines.sandbox.market_model import Listing, Market, MarketModel
from pipelines.sandbox.risk_tiers import DOLLARS_PER_COIN, risk_tiers

LISTINGS: Final = (
    *(Listing("bybit", f"{asset}USDT", asset) for asset in ("BTC", "ETH", "SOL", "AVAX", "XRP", "DOGE")),
    Listing("bybit", "1000PEPEUSDT", "PEPE", multiplier=1000.0),
    Listing(
        "bybit", "BTCUSD", "BTC", quote="USD", contract_type="inverse", contract_size=1.0, contract_size_unit="usd"
    ),
    *(Listing("bybit", f"{asset}/USDT", asset, contract_type="spot") for asset in ("BTC", "ETH", "SOL")),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
SINGLE_SINCE_MS: Final = 1_781_136_000_000
"""2026-06-11, the first day with singleOpenInterest."""

RATIOS_SINCE_MS: Final = 1_595_203_200_000
"""2020-07-20: the first day with account ratios."""

OPTIONS: Final = ("BTC", "ETH")

FILLER_FIELDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("markPrice", "prevPrice24h", "highPrice24h", "lowPrice24h", "prevPrice1h", "openInterestValue", "bid1Price",
         "ask1Price", "bid1Size", "ask1Size"), "1"),
    **dict.fromkeys(
        ("predictedDeliveryPrice", "basis", "basisRate", "basisRateYear", "deliveryFeeRate", "preOpenPrice", "preQty",
         "curPreListingPhase"), ""),
    "price24hPcnt": "0.01", "nextFundingTime": "1760371200000", "deliveryTime": "0", "fundingIntervalHour": "8",
    "fundingCap": "0.005",
}  # fmt: skip
"""Further fields of a ticker."""
INSTRUMENTS_PAGE: Final = 40


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: rows per page (None: the documented limit), their order, and how many rows beyond the bound are
    repeated."""

    rows: int | None = None
    overlap: int = 0
    newest_first: bool = True

    def page(self, frame: pl.DataFrame, stamp: str, *, first: int, last: int, limit: int) -> pl.DataFrame:
        """The newest rows between the inclusive bounds, in milliseconds."""
        at = pl.col(stamp).dt.epoch("ms")
        inside = frame.filter(at >= first).sort(stamp, descending=True)
        fresh = inside.filter(at <= last).head(min(limit, self.rows or limit))
        repeated = inside.filter(at > last).tail(self.overlap if fresh.height else 0)
        page = pl.concat([repeated, fresh])
        return page if self.newest_first else page.reverse()


DEFAULT_BEHAVIOR: Final = ResponseBehavior()


@dataclass(frozen=True)
class Bybit:
    """The venue with these listings and this response behavior. Instruments are identified by `category` and `symbol`."""

    listings: Sequence[Listing] = LISTINGS
    behavior: ResponseBehavior = DEFAULT_BEHAVIOR
    places: Mapping[tuple[str, str], Listing] = field(init=False)

    def __post_init__(self) -> None:
        places = {(_category(x), x.instrument.replace("/", "")): x for x in self.listings}
        object.__setattr__(self, "places", places)

    def routes(self) -> Sequence[Route]:
        return [
            Route("GET", "api", f"/v5/market/{path}", handler)
            for path, handler in (
                ("instruments-info", self.instruments),
                ("tickers", self.tickers),
                ("option-base-coins", self.option_base_coins),
                ("open-interest", self._of_instrument(self.open_interest)),
                ("funding/history", self._of_instrument(self.funding)),
                ("account-ratio", self._of_instrument(self.account_ratio)),
                ("kline", self._of_instrument(self.kline)),
                ("risk-limit", self._of_instrument(self.risk_limit)),
            )
        ]

    def instruments(self, request: Request, market: MarketModel) -> Response:
        category = request.params.get("category", "")
        if category not in ("linear", "inverse", "spot"):
            return error(10001, "params error: category invalid")
        listed = [x for x in self.listings if _category(x) == category]
        if category == "spot":
            return listed_as(category, [_pair(x) for x in listed], request)
        if request.params.get("status") == "Closed":
            listed = [x for x in listed if x.delisted_at is not None and x.delisted_at <= request.now]
        rows = [_contract(x) for x in listed]
        # Small pages, so that the cursor is used: two rows per page, or INSTRUMENTS_PAGE for long lists.
        size = 2 if len(rows) < INSTRUMENTS_PAGE else INSTRUMENTS_PAGE
        first = int(request.params.get("cursor") or 0)
        after = str(first + size) if first + size < len(rows) else ""
        return listed_as(category, rows[first : first + size], request, nextPageCursor=after)

    def option_base_coins(self, request: Request, market: MarketModel) -> Response:
        rows = [
            {
                "baseCoin": coin, "quoteCoin": quote, "settleCoin": quote, "optionShowName": f"{coin}-Options",
                "optionOnlineTime": 1739952000000, "hasSymbol": int(coin in OPTIONS), "underlyingType": kind,
            }
            for coin, quote, kind in (
                *((x, y, 0) for x in OPTIONS for y in ("USDT", "USDC")), ("XRP", "USDT", 0), ("NVDA", "USDT", 2),
            )
        ]  # fmt: skip
        wanted = request.params.get("underlyingType", "").split(",")
        return Response(
            {
                "retCode": 0,
                "retMsg": "success",
                "result": {"list": [row for row in rows if wanted == [""] or str(row["underlyingType"]) in wanted]},
            }
        )

    def tickers(self, request: Request, market: MarketModel) -> Response:
        category = request.params.get("category", "")
        if category == "option":
            if "baseCoin" not in request.params and "symbol" not in request.params:
                return error(10001, "params error: baseCoin or symbol is required")
            coin = request.params["baseCoin"]
            return listed_as(category, _options(coin, request, market) if coin in OPTIONS else [], request)
        rows = [
            {
                **FILLER_FIELDS, "symbol": x.instrument, "lastPrice": "1", "indexPrice": "1", "openInterest": "1",
                "turnover24h": f"{1e9 / (1 + index):.4f}", "volume24h": "1", "fundingRate": "0.0001",
            }
            for index, x in enumerate(x for x in self.listings if _category(x) == category)
        ]  # fmt: skip
        return listed_as(category, rows, request)

    def open_interest(self, listing: Listing, request: Request, market: MarketModel) -> Response:
        if request.params.get("intervalTime") != "5min":
            return error(10001, "params error: intervalTime invalid")
        frame = self._page(
            lambda first, end: market.open_interest(listing, 5, first, end), "event_at", request, most=200
        )
        inverse = listing.contract_type == "inverse"
        both = 2 * (pl.col("oi_usd") if inverse else pl.col("oi_base") / listing.multiplier)
        rows = [
            {"openInterest": f"{amount:.8f}", "timestamp": str(at)}
            | ({"singleOpenInterest": f"{amount / 2:.8f}"} if at >= SINGLE_SINCE_MS else {})
            for amount, at in frame.select(both.alias("both"), pl.col("event_at").dt.epoch("ms")).iter_rows()
        ]
        return listed_as(
            _category(listing), rows, request, symbol=request.params["symbol"], nextPageCursor=_cursor(rows)
        )

    def funding(self, listing: Listing, request: Request, market: MarketModel) -> Response:
        if "startTime" in request.params and "endTime" not in request.params:
            return error(10001, "endTime is required with startTime")
        frame = self._page(lambda first, end: market.funding(listing, first, end), "settled_at", request, most=200)
        rows = [
            {"symbol": listing.instrument, "fundingRate": f"{rate:.8f}", "fundingRateTimestamp": str(at)}
            for rate, at in frame.select("rate", pl.col("settled_at").dt.epoch("ms")).iter_rows()
        ]
        return listed_as(_category(listing), rows, request)

    def account_ratio(self, listing: Listing, request: Request, market: MarketModel) -> Response:
        if request.params.get("period") != "1h":
            return error(10001, "params error: period invalid")
        frame = self._page(
            lambda first, end: market.ratios(listing, "account_global", 60, max(first, utc(RATIOS_SINCE_MS)), end),
            "event_at", request, most=500,
        )  # fmt: skip
        share = (pl.col("ratio") / (1 + pl.col("ratio"))).round(4)
        rows = [
            {
                "symbol": listing.instrument, "buyRatio": f"{long:.4f}", "sellRatio": f"{1 - long:.4f}",
                "timestamp": str(at),
            }
            for long, at in frame.select(share, pl.col("event_at").dt.epoch("ms")).iter_rows()
        ]  # fmt: skip
        return ok({"list": rows, "nextPageCursor": _cursor(rows)}, milliseconds(request.now))

    def kline(self, listing: Listing, request: Request, market: MarketModel) -> Response:
        if request.params.get("interval") != "60":
            return error(10001, "params error: interval invalid")
        candle_market: Market = "spot" if listing.contract_type == "spot" else "perp"
        frame = self._page(
            lambda first, end: market.candles(listing, candle_market, 60, first, end), "opened_at", request,
            most=1000, few=200, names=("start", "end"),
        )  # fmt: skip
        multiplier = listing.multiplier
        rows = []
        for x in frame.iter_rows(named=True):
            base, quote = f"{x['volume_base'] / multiplier:.8f}", f"{x['volume_quote']:.8f}"
            volumes = (quote, base) if listing.contract_type == "inverse" else (base, quote)
            ohlc = [f"{x[c] * multiplier:.10f}" for c in ("open", "high", "low", "close")]
            rows.append([str(milliseconds(x["opened_at"])), *ohlc, *volumes])
        return listed_as(_category(listing), rows, request, symbol=request.params["symbol"])

    def risk_limit(self, listing: Listing, request: Request, market: MarketModel) -> Response:
        inverse = listing.contract_type == "inverse"
        # The example of an inverse contract has limits in coin and rates in percent.
        size, percent = (DOLLARS_PER_COIN, 100) if inverse else (1.0, 1)
        tiers = risk_tiers(listing, request.now)
        rows = [
            {
                "id": 100 + tier.number, "symbol": request.params["symbol"], "riskLimitValue": f"{tier.upper / size:g}",
                "maintenanceMargin": f"{tier.maintenance * percent:g}", "initialMargin": f"{tier.initial * percent:g}",
                "isLowestRisk": int(tier.number == 1), "maxLeverage": f"{tier.leverage:.2f}",
                "mmDeduction": f"{tier.deduction / size:.10g}" if tier.deduction else "",
            }
            for tier in tiers
        ]  # fmt: skip
        # Two pages, so that the cursor is used.
        first = int(request.params.get("cursor") or 0)
        after = "2" if first == 0 and len(rows) > 2 else ""
        return listed_as(
            _category(listing), rows[first:2] if first == 0 else rows[first:], request, nextPageCursor=after
        )

    def _of_instrument(
        self, handler: Callable[[Listing, Request, MarketModel], Response]
    ) -> Callable[[Request, MarketModel], Response]:
        def response(request: Request, market: MarketModel) -> Response:
            found = self.places.get((request.params.get("category", ""), request.params.get("symbol", "")))
            return error(10001, "params error: symbol invalid") if found is None else handler(found, request, market)

        return response

    def _page(
        self,
        frame: Callable[[Any, Any], pl.DataFrame],
        stamp: str,
        request: Request,
        *,
        most: int,
        few: int = 50,
        names: tuple[str, str] = ("startTime", "endTime"),
    ) -> pl.DataFrame:
        """A page of the rows up to the venue's clock, newest first; `few` rows if no limit is given."""
        now = milliseconds(request.now)
        first, last = stamp_ms(request.params, names[0], 0), min(stamp_ms(request.params, names[1], now), now)
        # A day beyond the bound as well, for behaviors that repeat rows.
        end = min(utc(last) + timedelta(days=1), request.now) + timedelta(milliseconds=1)
        limit = min(int(request.params.get("limit", few)), most)
        return self.behavior.page(frame(utc(first), end), stamp, first=first, last=last, limit=limit)


def ok(result: Any, now_ms: int) -> Response:
    return Response({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now_ms})


def listed_as(category: str, rows: Sequence[Any], request: Request, **more: str) -> Response:
    return ok({"category": category, "list": rows, **more}, milliseconds(request.now))


def error(code: int, message: str) -> Response:
    return Response({"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": 0})


def _category(listing: Listing) -> str:
    return listing.contract_type


def _cursor(rows: Sequence[Mapping[str, str]]) -> str:
    return f"lastid%3D0%26lasttime%3D{int(rows[-1]['timestamp']) // 1000}" if rows else ""


def _contract(listing: Listing) -> dict[str, Any]:
    return {
        "symbol": listing.instrument,
        "contractType": "InversePerpetual" if listing.contract_type == "inverse" else "LinearPerpetual",
        "status": "Trading",
        "baseCoin": listing.instrument.removesuffix(listing.quote),
        "quoteCoin": listing.quote,
        "launchTime": str(milliseconds(listing.listed_at)),
        "deliveryTime": str(milliseconds(listing.delisted_at)) if listing.delisted_at else "0",
        "fundingInterval": listing.interval_hours * 60,
        "symbolType": "",
    }


def _pair(listing: Listing) -> dict[str, str]:
    base, _, quote = listing.instrument.partition("/")
    return {"symbol": f"{base}{quote}", "baseCoin": base, "quoteCoin": quote, "status": "Trading", "innovation": "0"}


def _options(coin: str, request: Request, market: MarketModel) -> list[dict[str, str]]:
    return [
        {
            "symbol": f"{coin}-{x['expiry_date']:%-d%b%y}".upper()
            + f"-{x['strike']:g}-{x['option_type'][0].upper()}-USDT",
            "markPrice": f"{x['mark_price_base'] * x['underlying_price']:.10f}",
            "indexPrice": f"{x['index_price']}",
            "markIv": f"{x['mark_iv']}",
            "underlyingPrice": f"{x['underlying_price']}",
            "openInterest": f"{x['oi_base']}",
            "volume24h": f"{x['volume_24h_base']}",
            "turnover24h": "1",
            "delta": f"{x['delta']:.8f}",
        }
        for x in market.option_chain(coin, request.now).iter_rows(named=True)
    ]


def routes(behavior: ResponseBehavior = DEFAULT_BEHAVIOR, *, listings: Sequence[Listing] = LISTINGS) -> Sequence[Route]:
    """All endpoints of Bybit with this response behavior and these listings."""
    return Bybit(listings, behavior).routes()


ROUTES: Final[Sequence[Route]] = routes()
