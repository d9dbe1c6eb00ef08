"""Emulates Hyperliquid's info endpoint as documented and sampled (POST, oldest first, numbers as text) and its statistics file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Request, Response, Route, utc
from pipelines.sandbox.market_model import Listing, MarketModel
from pipelines.sandbox.risk_tiers import risk_tiers

LISTINGS: Final = (
    *(
        Listing("hyperliquid", coin, coin, quote="USDC", interval_hours=1, listed_at=datetime(2023, 5, 12))
        for coin in ("BTC", "ETH", "SOL", "AVAX", "DOGE")
    ),
    Listing(
        "hyperliquid", "kPEPE", "PEPE", quote="USDC", interval_hours=1, multiplier=1000.0,
        listed_at=datetime(2023, 5, 12),
    ),
    Listing("hyperliquid", "flx:BTC", "BTC", quote="USDH", interval_hours=1),
    Listing("hyperliquid", "xyz:TSLA", "TSLA.STOCK", quote="USDC", interval_hours=1),
)  # fmt: skip
BY_NAME: Final = {listing.instrument: listing for listing in LISTINGS}
GONE: Final = "MATIC"
"""Delisted, but still listed, with an empty state."""
TOKENS: Final = {"USDC": 0, "USDH": 360}
UNTOLD: Final = "xyz:NEW"
"""A perpetual of another exchange without a category, and delisted."""
FIRST_TABLE: Final = 51
"""Numbers of margin tables below 50 are leverages."""
FUNDING_MOST: Final = 500
CANDLES_MOST: Final = 5000
HOUR: Final = timedelta(hours=1)
JITTER_MS: Final = 111_000
"""Maximum delay of a settlement's block: the largest observed."""


def info(request: Request, market: MarketModel) -> Response:
    body = request.json
    handlers = {
        "meta": meta, "metaAndAssetCtxs": contexts, "fundingHistory": funding, "candleSnapshot": candles, "perpDexs": dexes,
        "allPerpMetas": all_metas, "perpCategories": categories, "spotMeta": tokens,
    }  # fmt: skip
    handler = handlers.get(body.get("type"))
    if handler is None:
        return _refused()
    try:
        return handler(body, request.now, market)
    except KeyError:
        return _refused()


def dex_of(instrument: str) -> str:
    """The exchange that deploys a perpetual; empty for the venue's own."""
    return instrument.rpartition(":")[0]


def deployed() -> list[str]:
    return [name for name in dict.fromkeys(dex_of(name) for name in BY_NAME) if name]


def meta(body: Mapping[str, Any], now: datetime, market: MarketModel) -> Response:
    return Response(_meta(body.get("dex", ""), now))


def dexes(body: Mapping[str, Any], now: datetime, market: MarketModel) -> Response:
    return Response(
        [None, *({"name": name, "fullName": name.upper(), "assetToFundingMultiplier": []} for name in deployed())]
    )


def all_metas(body: Mapping[str, Any], now: datetime, market: MarketModel) -> Response:
    return Response([_meta(name, now) for name in ("", *deployed())])


def categories(body: Mapping[str, Any], now: datetime, market: MarketModel) -> Response:
    return Response([[name, "stocks" if name == "xyz:TSLA" else "crypto"] for name in BY_NAME if dex_of(name)])


def tokens(body: Mapping[str, Any], now: datetime, market: MarketModel) -> Response:
    return Response({"universe": [], "tokens": [{"name": name, "index": index} for name, index in TOKENS.items()]})


def contexts(body: Mapping[str, Any], now: datetime, market: MarketModel) -> Response:
    dex = body.get("dex", "")
    if dex and dex not in deployed():
        return Response(None)
    hour = now.replace(minute=0, second=0, microsecond=0)
    states = []
    for listing in LISTINGS:
        if dex_of(listing.instrument) != dex:
            continue
        interest = market.open_interest(listing, 60, hour, hour + HOUR)["oi_base"][0] / listing.multiplier
        settled = market.funding(listing, hour + HOUR, hour + 2 * HOUR).row(0, named=True)
        states.append(
            _state(repr(interest), f"{settled['rate']:.8f}", repr(settled["mark_price"] * listing.multiplier))
        )
    return Response([_meta(dex, now), [*states, *([] if dex not in ("", "xyz") else [_state("0.0", "0.0", "0.5")])]])


def _meta(dex: str, now: datetime) -> dict[str, Any]:
    listed = [listing for name, listing in BY_NAME.items() if dex_of(name) == dex]
    tiers = {listing.instrument: risk_tiers(listing, now) for listing in listed}
    tables: dict[tuple[int, ...], int] = {}
    for several in tiers.values():
        tables.setdefault(tuple(tier.leverage for tier in several), FIRST_TABLE + len(tables))
    traded: list[dict[str, Any]] = [
        {
            "szDecimals": 2, "name": name, "maxLeverage": several[0].leverage,
            "marginTableId": tables[tuple(tier.leverage for tier in several)],
        }
        for name, several in tiers.items()
    ]  # fmt: skip
    lists = {tables[tuple(tier.leverage for tier in several)]: several for several in tiers.values()}
    margin_tables = [
        [number, {"description": "tiered", "marginTiers": [
            {"lowerBound": f"{tier.lower:.1f}", "maxLeverage": tier.leverage} for tier in several
        ]}]
        for number, several in lists.items()
    ]  # fmt: skip
    gone = {"": GONE, "xyz": UNTOLD}.get(dex)
    if gone is not None:
        traded.append({"szDecimals": 1, "name": gone, "maxLeverage": 20, "isDelisted": True})
    token = TOKENS[listed[0].quote] if listed else 0
    return {"universe": traded, "marginTables": margin_tables, "collateralToken": token}


def _state(interest: str, rate: str, mark: str) -> dict[str, Any]:
    return {
        "funding": rate, "openInterest": interest, "prevDayPx": mark, "dayNtlVlm": "1.0", "premium": "0.0", "oraclePx": mark,
        "markPx": mark, "midPx": None, "impactPxs": None, "dayBaseVlm": "1.0",
    }  # fmt: skip


def funding(body: Mapping[str, Any], now: datetime, market: MarketModel) -> Response:
    """Both bounds are inclusive and apply to the slightly late timestamps."""
    listing, start, end = (
        BY_NAME.get(body["coin"]),
        utc(body["startTime"]),
        utc(min(body["endTime"], milliseconds(now))),
    )
    if listing is None:
        return Response(None)
    frame = market.funding(listing, start - HOUR, end + HOUR).with_columns(
        (pl.col("settled_at").dt.epoch("ms") + pl.col("settled_at").dt.epoch("s") // 3600 * 7919 % JITTER_MS).alias(
            "time"
        )
    )
    rows = frame.filter(pl.col("time").is_between(milliseconds(start), milliseconds(end))).head(FUNDING_MOST)
    return Response(
        [
            {"coin": listing.instrument, "fundingRate": f"{rate:.8f}", "premium": "0.0", "time": at}
            for rate, at in rows.select("rate", "time").iter_rows()
        ]
    )


def candles(body: Mapping[str, Any], now: datetime, market: MarketModel) -> Response:
    """The candles that overlap the bounds, among the newest 5,000."""
    request = body["req"]
    listing, start, end = (
        BY_NAME.get(request["coin"]),
        utc(request["startTime"]),
        utc(min(request["endTime"], milliseconds(now))),
    )
    if request["interval"] != "1h":
        return _refused()
    if listing is None:
        return Response(None)
    oldest = now - CANDLES_MOST * HOUR
    first = max(start - HOUR + timedelta(milliseconds=1), oldest)
    multiplier = listing.multiplier
    return Response([
        {
            "t": at, "T": at + 3_599_999, "s": listing.instrument, "i": "1h",
            "o": repr(o * multiplier), "c": repr(c * multiplier), "h": repr(h * multiplier), "l": repr(low * multiplier),
            "v": repr(volume / multiplier), "n": count,
        }
        for at, o, h, low, c, volume, count in market.candles(listing, "perp", 60, first, end + timedelta(milliseconds=1))
        .select(pl.col("opened_at").dt.epoch("ms"), "open", "high", "low", "close", "volume_base", "trades")
        .iter_rows()
    ])  # fmt: skip


def _refused() -> Response:
    return Response(b"Failed to deserialize the JSON body into the target type", status=422)


def liquidated(request: Request, market: MarketModel) -> Response:
    """The file as of last midnight, covering 400 days; every second coin is absent on every second day."""
    midnight = request.now.replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight - FILE_DAYS
    days = pl.concat(
        market.liquidations(listing, first, midnight)
        .group_by(pl.col("occurred_at").dt.truncate("1d").alias("day"))
        .agg(NOTIONAL.alias("usd"))
        .filter((index + pl.col("day").dt.day()) % 2 == 1)
        .select("day", pl.lit(listing.instrument).alias("coin"), "usd", pl.lit(index).alias("place"))
        for index, listing in enumerate(LISTINGS)
        if not dex_of(listing.instrument)
    ).sort("day", "place")
    return Response(
        {
            "chart_data": [
                {"time": day.isoformat(), "coin": name, "daily_notional_liquidated": usd}
                for day, name, usd, _ in days.iter_rows()
            ]
        }
    )


NOTIONAL: Final = (pl.col("price") * pl.col("quantity_base")).sum().round(6)
FILE_DAYS: Final = timedelta(days=400)


def liquidated_usd(market: MarketModel, name: str, day: datetime) -> float:
    """The file's value for a coin and day."""
    return float(market.liquidations(BY_NAME[name], day, day + timedelta(days=1)).select(NOTIONAL).item())


ROUTES: Final[Sequence[Route]] = (
    Route("POST", "api", "/info", info),
    Route("GET", "stats", "/daily_notional_liquidated_by_coin", liquidated),
)
