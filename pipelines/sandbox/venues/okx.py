"""Emulates OKX v5 as documented: exclusive bounds, newest first, numbers as text, sizes in contracts, short retention."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Request, Response, Route, stamp_ms, utc
from pipelines.sandbox.market_model import Listing, MarketModel, Measure
from pipelines.sandbox.risk_tiers import DOLLARS_PER_CONTRACT, risk_tiers

SIZES: Final = {"BTC": 0.01, "ETH": 0.1, "SOL": 1.0, "AVAX": 1.0, "XRP": 100.0, "DOGE": 1000.0, "PEPE": 10_000_000.0}
"""Coin per contract. OKX has no 1000PEPE; its PEPE contract is ten million coins."""

LISTINGS: Final = (
    *(
        Listing("okx", f"{asset}-USDT-SWAP", asset, contract_size=size, contract_size_unit="base")
        for asset, size in SIZES.items()
    ),
    Listing(
        "okx",
        "BTC-USD-SWAP",
        "BTC",
        quote="USD",
        contract_type="inverse",
        contract_size=100.0,
        contract_size_unit="usd",
    ),
)
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
WHOLE_COINS: Final = {asset: Listing("okx", f"{asset}-CONTRACTS", asset) for asset in SIZES}
OPTION_SIZES: Final = {"BTC-USD": 0.01, "ETH-USD": 0.1}

BARS: Final = {"5m": 5, "1H": 60, "4H": 240}
KEPT_ENTRIES: Final = 1440
LIMIT: Final = 100
MOST_ROWS: Final = 1440
HONG_KONG_MS: Final = 8 * 3_600_000
KEPT_BY_COIN: Final = {"5m": timedelta(days=2), "1H": timedelta(days=30)}
FUNDING_KEPT: Final = timedelta(days=92)
LIQUIDATIONS_KEPT: Final = timedelta(days=1)


@dataclass(frozen=True)
class ResponseBehavior:
    """Undocumented behavior: rows per page (None: the documented limit), their order, and how many rows beyond the bound are
    repeated."""

    rows: int | None = None
    overlap: int = 0
    newest_first: bool = True

    def page(self, frame: pl.DataFrame, stamp: str, *, newer_than: int, older_than: int, limit: int) -> pl.DataFrame:
        """The newest rows between the exclusive bounds, in milliseconds."""
        at = pl.col(stamp).dt.epoch("ms")
        inside = frame.filter(at > newer_than).sort(stamp, descending=True)
        repeated = inside.filter(at >= older_than)
        fresh = inside.filter(at < older_than).head(min(limit, self.rows or limit))
        page = pl.concat([repeated.tail(self.overlap if fresh.height else 0), fresh])
        return page if self.newest_first else page.reverse()


DEFAULT_BEHAVIOR: Final = ResponseBehavior()

Endpoint = Callable[[Request, MarketModel, ResponseBehavior], Response]


def ok(data: Any) -> Response:
    return Response({"code": "0", "msg": "", "data": data})


def error(code: str, message: str, *, status: int = 200) -> Response:
    return Response({"code": code, "msg": message, "data": []}, status=status)


def missing(name: str) -> Response:
    return error("50014", f"Parameter {name} can not be empty.", status=400)


UNKNOWN: Final = error("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
FAR: Final = 1 << 53


def instruments(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    kind = request.params.get("instType")
    if kind == "OPTION":
        family = request.params.get("instFamily")
        if family is None:
            return error("50015", "Either parameter uly or instFamily is required.")
        return ok([_option(family, row) for row in _chain(family, request.now, market)])
    if kind != "SWAP":
        return missing("instType")
    return ok([_swap(listing) for listing in LISTINGS if _is_listed(listing, request.now)])


def underlyings(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    return ok([list(OPTION_SIZES)])


def supported_coins(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    return ok({"contract": list(WHOLE_COINS), "option": ["BTC", "ETH"], "spot": list(WHOLE_COINS)})


def open_interest_history(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    listing, minutes, refusal = _series(request)
    if listing is None:
        return refusal
    floor = request.now - timedelta(minutes=minutes * KEPT_ENTRIES)
    frame = _page(market.open_interest(listing, minutes, *_window(request, floor)), "event_at", request, behavior)
    return ok(
        [
            [str(at), _text(_contracts(listing, base, usd)), _text(base), _text(usd)]
            for at, base, usd in frame.select(pl.col("event_at").dt.epoch("ms"), "oi_base", "oi_usd").iter_rows()
        ]
    )


def account_ratio(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    listing, minutes, refusal = _series(request, by_coin=True)
    if listing is None:
        return refusal
    floor = request.now - KEPT_BY_COIN[request.params["period"]]
    return _ratio_rows(market, listing, "account_global", minutes, request, floor, behavior)


def taker_volume(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    listing, minutes, refusal = _series(request, by_coin=True)
    if listing is None:
        return refusal
    if request.params.get("instType") not in ("CONTRACTS", "SPOT"):
        return missing("instType")
    floor = request.now - KEPT_BY_COIN[request.params["period"]]
    first, end = _window(request, floor)
    period = timedelta(minutes=minutes)
    # The market model stamps the end of a period, OKX its start.
    flows = market.ratios(listing, "taker_volume", minutes, first + period, end + period)
    frame = _page(flows.with_columns(pl.col("event_at") - period), "event_at", request, behavior)
    return ok(
        [
            [str(at), "1000", _text(1000 * ratio)]
            for at, ratio in frame.select(pl.col("event_at").dt.epoch("ms"), "ratio").iter_rows()
        ]
    )


def top_accounts(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    return _top(request, market, behavior, "account_top")


def top_positions(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    return _top(request, market, behavior, "position_top")


def funding(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    listing = BY_NAME.get(request.params.get("instId", ""))
    if listing is None:
        return UNKNOWN if "instId" in request.params else missing("instId")
    first, end = _window(request, request.now - FUNDING_KEPT)
    frame = _page(market.funding(listing, first, end), "settled_at", request, behavior)
    return ok(
        [
            {
                "formulaType": "noRate",
                "fundingRate": _text(rate + 0.000001),
                "fundingTime": str(at),
                "instId": listing.instrument,
                "instType": "SWAP",
                "method": "next_period",
                "realizedRate": _text(rate),
            }
            for at, rate in frame.select(pl.col("settled_at").dt.epoch("ms"), "rate").iter_rows()
        ]
    )


def candles(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    listing = BY_NAME.get(request.params.get("instId", ""))
    if listing is None:
        return UNKNOWN if "instId" in request.params else missing("instId")
    if request.params.get("bar", "1m") != "1H":
        return error("51000", "Parameter bar error")
    first, end = _window(request, listing.listed_at)
    frame = _page(market.candles(listing, "perp", 60, first, end), "opened_at", request, behavior)
    columns = ("open", "high", "low", "close", "volume_base", "volume_quote")
    return ok(
        [
            [str(at), *map(_text, prices), _text(_contracts(listing, base, quote)), _text(base), _text(quote),
             "1" if at + 3_600_000 <= milliseconds(request.now) else "0"]
            for at, *prices, base, quote in frame.select(pl.col("opened_at").dt.epoch("ms"), *columns).iter_rows()
        ]
    )  # fmt: skip


def files(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    """Links to the files of Hong Kong months, published three days after the month ends, or of Hong Kong days."""
    kind = request.params.get("dateAggrType", "")
    if request.params.get("module") != "3" or kind not in ("daily", "monthly"):
        return error("51000", "Parameter module error", status=400)
    listing = BY_NAME.get(f"{request.params.get('instFamilyList')}-SWAP")
    first, last = (utc(int(request.params[name]) + HONG_KONG_MS) for name in ("begin", "end"))
    found = []
    start = first.replace(hour=0, minute=0, second=0, microsecond=0)
    start = start.replace(day=1) if kind == "monthly" else start
    while listing is not None and start <= last:
        after = (start + timedelta(days=32)).replace(day=1) if kind == "monthly" else start + timedelta(days=1)
        if after + timedelta(days=3) <= request.now:
            when, folder = (
                (f"{start:%Y-%m}", f"{start:%Y%m}") if kind == "monthly" else (f"{start:%Y-%m-%d}", f"{start:%Y%m%d}")
            )
            name = f"{listing.instrument}-fundingrates-{when}.zip"
            url = f"https://static.okx.com/cdn/okex/traderecords/swaprates/{kind}/{folder}/{name}?v=999"
            at = str(milliseconds(start) - HONG_KONG_MS)
            found.append({"dateTs": at, "filename": name, "sizeMB": "0.01", "url": url})
        start = after
    group = {
        "dateRangeEnd": request.params["end"], "dateRangeStart": request.params["begin"], "groupDetails": found,
        "groupSizeMB": "0.01", "instFamily": request.params.get("instFamilyList", ""), "instId": "", "instType": "SWAP",
    }  # fmt: skip
    at = str(milliseconds(request.now))
    return ok([{"dateAggrType": kind, "details": [group] if found else [], "totalSizeMB": "0.01", "ts": at}])


def funding_file(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    """A month or day of settlements, some stamped a second late."""
    listing = BY_NAME.get(request.params["name"].partition("-fundingrates-")[0])
    if listing is None:
        return Response(b"", status=404)
    when = request.params["when"]
    start = datetime.fromisoformat(when if len(when) == 8 else f"{when}01")
    after = start + timedelta(days=1) if len(when) == 8 else (start + timedelta(days=32)).replace(day=1)
    hong_kong = timedelta(milliseconds=HONG_KONG_MS)
    frame = market.funding(listing, start - hong_kong, after - hong_kong)
    late = 1000 * (pl.int_range(pl.len()) % 2)
    text = frame.select(
        pl.lit(listing.instrument).alias("instrument_name"),
        pl.col("rate").alias("funding_rate"),
        (pl.col("settled_at").dt.epoch("ms") + late).alias("funding_time"),
    ).write_csv()
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(request.params["name"].replace(".zip", ".csv"), text)
    return Response(packed.getvalue())


def liquidations(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    family = request.params.get("instFamily") or request.params.get("uly")
    if family is None:
        return error("50015", "Either parameter uly or instFamily is required.")
    listing = BY_NAME.get(f"{family}-SWAP")
    if listing is None or request.params.get("instType") != "SWAP":
        return UNKNOWN
    events = market.liquidations(listing, request.now - LIQUIDATIONS_KEPT, request.now)
    frame = _page(events, "occurred_at", request, behavior)
    details = [
        {
            "bkLoss": "0",
            "bkPx": _text(price),
            "ccy": "",
            "posSide": side,
            "side": "sell" if side == "long" else "buy",
            "sz": _text(_contracts(listing, quantity, quantity * price)),
            "ts": str(at),
        }
        for at, side, price, quantity in frame.select(
            pl.col("occurred_at").dt.epoch("ms"), "side", "price", "quantity_base"
        ).iter_rows()
    ]
    order = {"instFamily": family, "instId": listing.instrument, "instType": "SWAP", "totalLoss": "0", "uly": family}
    return ok([{"details": details, **order}] if details else [])


def open_interest_now(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    return _of_options(
        request, market,
        lambda family, row: {
            "oi": _text(row["oi_base"] / OPTION_SIZES[family]),
            "oiCcy": _text(row["oi_base"]),
            "oiUsd": _text(row["oi_base"] * row["index_price"]),
        },
    )  # fmt: skip


def option_summary(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    return _of_options(
        request, market,
        lambda family, row: {
            "askVol": _text(row["mark_iv"] + 0.005),
            "bidVol": _text(row["mark_iv"] - 0.005),
            "delta": _text(row["delta"] - row["mark_price_base"]),
            "deltaBS": _text(row["delta"]),
            "fwdPx": _text(row["underlying_price"]),
            "markVol": _text(row["mark_iv"]),
            "uly": family,
        },
    )  # fmt: skip


def mark_prices(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    return _of_options(request, market, lambda family, row: {"markPx": _text(row["mark_price_base"])})


def tickers(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    return _of_options(
        request, market,
        lambda family, row: {
            "vol24h": _text(row["volume_24h_base"] / OPTION_SIZES[family]), "volCcy24h": _text(row["volume_24h_base"]),
        },
    )  # fmt: skip


def index_tickers(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    family = request.params.get("instId", "")
    if family not in OPTION_SIZES:
        return UNKNOWN
    price = _chain(family, request.now, market)[0]["index_price"]
    return ok([{"instId": family, "idxPx": _text(price), "ts": str(milliseconds(request.now))}])


def _of_options(
    request: Request, market: MarketModel, cells: Callable[[str, Mapping[str, Any]], dict[str, str]]
) -> Response:
    family = request.params.get("instFamily") or request.params.get("uly")
    if family is None:
        return error("50015", "Either parameter uly or instFamily is required.")
    if family not in OPTION_SIZES:
        return UNKNOWN
    at = str(milliseconds(request.now))
    return ok(
        [
            {"instId": _option_name(family, row), "instType": "OPTION", "ts": at, **cells(family, row)}
            for row in _chain(family, request.now, market)
        ]
    )


def _chain(family: str, now: datetime, market: MarketModel) -> list[dict[str, Any]]:
    return market.option_chain(family.split("-")[0], now).to_dicts() if family in OPTION_SIZES else []


def _option_name(family: str, row: Mapping[str, Any]) -> str:
    return f"{family}-{row['expiry_date']:%y%m%d}-{row['strike']:g}-{row['option_type'][0].upper()}"


def _option(family: str, row: Mapping[str, Any]) -> dict[str, str]:
    expires = datetime.combine(row["expiry_date"], datetime.min.time()) + timedelta(hours=8)
    coin = family.split("-")[0]
    return {
        "ctMult": _text(OPTION_SIZES[family]), "ctType": "", "ctVal": "1", "ctValCcy": coin,
        "expTime": str(milliseconds(expires)), "instFamily": family, "instId": _option_name(family, row),
        "instType": "OPTION", "listTime": "1611916828000", "optType": row["option_type"][0].upper(), "quoteCcy": "",
        "settleCcy": coin, "state": "live", "stk": _text(row["strike"]), "uly": family,
    }  # fmt: skip


def _swap(listing: Listing) -> dict[str, str]:
    inverse = listing.contract_type == "inverse"
    family = listing.instrument.removesuffix("-SWAP")
    return {
        "alias": "", "baseCcy": "", "category": "1", "ctMult": "1", "ctType": listing.contract_type,
        "ctVal": _text(listing.contract_size or 0), "ctValCcy": "USD" if inverse else listing.asset,
        "expTime": str(milliseconds(listing.delisted_at)) if listing.delisted_at else "", "instFamily": family,
        "instId": listing.instrument, "instType": "SWAP", "lever": "125", "listTime": str(milliseconds(listing.listed_at)),
        "lotSz": "1", "maxIcebergSz": "100000000", "maxLmtSz": "100000000", "maxMktSz": "4000", "maxStopSz": "4000",
        "maxTriggerSz": "100000000", "maxTwapSz": "100000000", "minSz": "1", "optType": "", "quoteCcy": "",
        "settleCcy": listing.asset if inverse else "USDT", "state": "live", "stk": "", "tickSz": "0.1", "uly": family,
    }  # fmt: skip


def _is_listed(listing: Listing, now: datetime) -> bool:
    return listing.listed_at <= now and (listing.delisted_at is None or now < listing.delisted_at)


def _series(request: Request, *, by_coin: bool = False) -> tuple[Listing | None, int, Response]:
    """The listing and the period (in minutes) of a statistics request, or no listing and the refusal."""
    name = "ccy" if by_coin else "instId"
    if name not in request.params:
        return None, 0, missing(name)
    listing = (WHOLE_COINS if by_coin else BY_NAME).get(request.params[name])
    period = request.params.get("period", "5m")
    if listing is None:
        return None, 0, UNKNOWN
    if period not in (KEPT_BY_COIN if by_coin else BARS):
        return None, 0, error("51000", "Parameter period error")
    return listing, BARS[period], UNKNOWN


def _top(request: Request, market: MarketModel, behavior: ResponseBehavior, measure: Measure) -> Response:
    listing, minutes, refusal = _series(request)
    if listing is None:
        return refusal
    floor = request.now - timedelta(minutes=minutes * KEPT_ENTRIES)
    return _ratio_rows(market, listing, measure, minutes, request, floor, behavior)


def _ratio_rows(
    market: MarketModel,
    listing: Listing,
    measure: Measure,
    minutes: int,
    request: Request,
    floor: datetime,
    behavior: ResponseBehavior,
) -> Response:
    frame = _page(market.ratios(listing, measure, minutes, *_window(request, floor)), "event_at", request, behavior)
    return ok(
        [[str(at), _text(ratio)] for at, ratio in frame.select(pl.col("event_at").dt.epoch("ms"), "ratio").iter_rows()]
    )


def _window(request: Request, floor: datetime) -> tuple[datetime, datetime]:
    """The available range, from the retention `floor` to now; ResponseBehavior.page applies the requested bounds."""
    newer, older = _bounds(request)
    first = max(utc(max(newer, 0)), floor)
    # A day beyond the bound as well, for behaviors that repeat rows.
    last = min(utc(min(older, milliseconds(request.now))) + timedelta(days=1), request.now + timedelta(milliseconds=1))
    return first, last


def _bounds(request: Request) -> tuple[int, int]:
    """(newer than, older than): called `begin` and `end` or, in OKX's reversed sense, `before` and `after`."""
    newer = stamp_ms(request.params, "begin", stamp_ms(request.params, "before", -1))
    return newer, stamp_ms(request.params, "end", stamp_ms(request.params, "after", FAR))


def _page(frame: pl.DataFrame, stamp: str, request: Request, behavior: ResponseBehavior) -> pl.DataFrame:
    newer, older = _bounds(request)
    # Statistics by coin have no documented limit.
    limit = MOST_ROWS if "ccy" in request.params else min(int(request.params.get("limit", LIMIT)), LIMIT)
    return behavior.page(frame, stamp, newer_than=newer, older_than=older, limit=limit)


def _contracts(listing: Listing, base: float, usd: float) -> float:
    size = listing.contract_size or 1.0
    return (usd if listing.contract_size_unit == "usd" else base) / size


def _text(number: float) -> str:
    return repr(float(number)).removesuffix(".0")


def position_tiers(request: Request, market: MarketModel, behavior: ResponseBehavior) -> Response:
    if request.params.get("tdMode") not in ("cross", "isolated"):
        return missing("tdMode")
    family = request.params.get("instFamily")
    listing = BY_NAME.get(f"{family}-SWAP")
    if family is None or listing is None:
        return error("50015", "Either parameter uly or instFamily is required.") if family is None else UNKNOWN
    return ok(
        [
            {
                "baseMaxLoan": "", "imr": f"{tier.initial:g}", "instFamily": family, "instId": "",
                "maxLever": str(tier.leverage), "maxSz": f"{tier.upper / DOLLARS_PER_CONTRACT:.0f}",
                "minSz": f"{tier.lower / DOLLARS_PER_CONTRACT:.0f}", "mmr": f"{tier.maintenance:g}", "optMgnFactor": "0",
                "quoteMaxLoan": "", "tier": str(tier.number), "uly": family,
            }
            for tier in risk_tiers(listing, request.now)
        ]
    )  # fmt: skip


_ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "/api/v5/public/instruments": instruments,
    "/api/v5/public/underlying": underlyings,
    "/api/v5/public/funding-rate-history": funding,
    "/api/v5/public/liquidation-orders": liquidations,
    "/api/v5/public/market-data-history": files,
    "/api/v5/public/open-interest": open_interest_now,
    "/api/v5/public/position-tiers": position_tiers,
    "/api/v5/public/opt-summary": option_summary,
    "/api/v5/public/mark-price": mark_prices,
    "/api/v5/market/tickers": tickers,
    "/api/v5/market/index-tickers": index_tickers,
    "/api/v5/market/history-candles": candles,
    "/api/v5/rubik/stat/trading-data/support-coin": supported_coins,
    "/api/v5/rubik/stat/contracts/open-interest-history": open_interest_history,
    "/api/v5/rubik/stat/contracts/long-short-account-ratio": account_ratio,
    "/api/v5/rubik/stat/taker-volume": taker_volume,
    "/api/v5/rubik/stat/contracts/long-short-account-ratio-contract-top-trader": top_accounts,
    "/api/v5/rubik/stat/contracts/long-short-position-ratio-contract-top-trader": top_positions,
}


def routes(behavior: ResponseBehavior = DEFAULT_BEHAVIOR) -> Sequence[Route]:
    """All endpoints of OKX with this response behavior."""

    def bound(endpoint: Endpoint) -> Callable[[Request, MarketModel], Response]:
        return lambda request, market: endpoint(request, market, behavior)

    return [
        *(Route("GET", "api", path, bound(endpoint)) for path, endpoint in _ENDPOINTS.items()),
        Route("GET", "files", "/cdn/okex/traderecords/swaprates/monthly/{when}/{name}", bound(funding_file)),
        Route("GET", "files", "/cdn/okex/traderecords/swaprates/daily/{when}/{name}", bound(funding_file)),
    ]


ROUTES: Final[Sequence[Route]] = routes()
