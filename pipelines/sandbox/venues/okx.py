"""OKX v5 as its documentation describes it: exclusive bounds, newest first, text numbers, sizes in contracts, short memories."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, Final

import polars as pl

from pipelines.extract.venue import milliseconds
from pipelines.sandbox.emulator import Answer, Asked, Route, stamp_ms, utc
from pipelines.sandbox.world import Listing, Measure, World

SIZES: Final = {"BTC": 0.01, "ETH": 0.1, "SOL": 1.0, "AVAX": 1.0, "XRP": 100.0, "DOGE": 1000.0, "PEPE": 10_000_000.0}
"""Coins in a contract. OKX has no 1000PEPE: its contract holds ten million of the coin instead."""

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
class Manners:
    """What OKX does not promise: rows of a page (None: as many as it documents), their order, and how many rows behind the bound
    it repeats."""

    rows: int | None = None
    overlap: int = 0
    newest_first: bool = True

    def page(self, frame: pl.DataFrame, stamp: str, *, newer_than: int, older_than: int, limit: int) -> pl.DataFrame:
        """The newest rows between the bounds, both exclusive, in milliseconds."""
        at = pl.col(stamp).dt.epoch("ms")
        inside = frame.filter(at > newer_than).sort(stamp, descending=True)
        behind = inside.filter(at >= older_than)
        fresh = inside.filter(at < older_than).head(min(limit, self.rows or limit))
        page = pl.concat([behind.tail(self.overlap if fresh.height else 0), fresh])
        return page if self.newest_first else page.reverse()


POLITE: Final = Manners()

Answering = Callable[[Asked, World, Manners], Answer]


def answered(data: Any) -> Answer:
    return Answer({"code": "0", "msg": "", "data": data})


def refused(code: str, message: str, *, status: int = 200) -> Answer:
    return Answer({"code": code, "msg": message, "data": []}, status=status)


def missing(name: str) -> Answer:
    return refused("50014", f"Parameter {name} can not be empty.", status=400)


UNKNOWN: Final = refused("51001", "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")
FAR: Final = 1 << 53


def instruments(asked: Asked, world: World, manners: Manners) -> Answer:
    kind = asked.params.get("instType")
    if kind == "OPTION":
        family = asked.params.get("instFamily")
        if family is None:
            return refused("50015", "Either parameter uly or instFamily is required.")
        return answered([_option(family, row) for row in _chain(family, asked.now, world)])
    if kind != "SWAP":
        return missing("instType")
    return answered([_swap(listing) for listing in LISTINGS if _is_listed(listing, asked.now)])


def underlyings(asked: Asked, world: World, manners: Manners) -> Answer:
    return answered([list(OPTION_SIZES)])


def supported_coins(asked: Asked, world: World, manners: Manners) -> Answer:
    return answered({"contract": list(WHOLE_COINS), "option": ["BTC", "ETH"], "spot": list(WHOLE_COINS)})


def open_interest_history(asked: Asked, world: World, manners: Manners) -> Answer:
    listing, minutes, refusal = _series(asked)
    if listing is None:
        return refusal
    floor = asked.now - timedelta(minutes=minutes * KEPT_ENTRIES)
    frame = _page(world.open_interest(listing, minutes, *_window(asked, floor)), "event_at", asked, manners)
    return answered(
        [
            [str(at), _text(_contracts(listing, base, usd)), _text(base), _text(usd)]
            for at, base, usd in frame.select(pl.col("event_at").dt.epoch("ms"), "oi_base", "oi_usd").iter_rows()
        ]
    )


def account_ratio(asked: Asked, world: World, manners: Manners) -> Answer:
    listing, minutes, refusal = _series(asked, by_coin=True)
    if listing is None:
        return refusal
    floor = asked.now - KEPT_BY_COIN[asked.params["period"]]
    return _ratio_rows(world, listing, "account_global", minutes, asked, floor, manners)


def taker_volume(asked: Asked, world: World, manners: Manners) -> Answer:
    listing, minutes, refusal = _series(asked, by_coin=True)
    if listing is None:
        return refusal
    if asked.params.get("instType") not in ("CONTRACTS", "SPOT"):
        return missing("instType")
    floor = asked.now - KEPT_BY_COIN[asked.params["period"]]
    first, end = _window(asked, floor)
    period = timedelta(minutes=minutes)
    # The world tells of the end of a period, OKX stamps its start.
    flows = world.ratios(listing, "taker_volume", minutes, first + period, end + period)
    frame = _page(flows.with_columns(pl.col("event_at") - period), "event_at", asked, manners)
    return answered(
        [
            [str(at), "1000", _text(1000 * ratio)]
            for at, ratio in frame.select(pl.col("event_at").dt.epoch("ms"), "ratio").iter_rows()
        ]
    )


def top_accounts(asked: Asked, world: World, manners: Manners) -> Answer:
    return _top(asked, world, manners, "account_top")


def top_positions(asked: Asked, world: World, manners: Manners) -> Answer:
    return _top(asked, world, manners, "position_top")


def funding(asked: Asked, world: World, manners: Manners) -> Answer:
    listing = BY_NAME.get(asked.params.get("instId", ""))
    if listing is None:
        return UNKNOWN if "instId" in asked.params else missing("instId")
    first, end = _window(asked, asked.now - FUNDING_KEPT)
    frame = _page(world.funding(listing, first, end), "settled_at", asked, manners)
    return answered(
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


def candles(asked: Asked, world: World, manners: Manners) -> Answer:
    listing = BY_NAME.get(asked.params.get("instId", ""))
    if listing is None:
        return UNKNOWN if "instId" in asked.params else missing("instId")
    if asked.params.get("bar", "1m") != "1H":
        return refused("51000", "Parameter bar error")
    first, end = _window(asked, listing.listed_at)
    frame = _page(world.candles(listing, "perp", 60, first, end), "opened_at", asked, manners)
    columns = ("open", "high", "low", "close", "volume_base", "volume_quote")
    return answered(
        [
            [str(at), *map(_text, prices), _text(_contracts(listing, base, quote)), _text(base), _text(quote),
             "1" if at + 3_600_000 <= milliseconds(asked.now) else "0"]
            for at, *prices, base, quote in frame.select(pl.col("opened_at").dt.epoch("ms"), *columns).iter_rows()
        ]
    )  # fmt: skip


def files(asked: Asked, world: World, manners: Manners) -> Answer:
    """Links to files of whole Hong Kong months, which appear three days after their end."""
    if asked.params.get("module") != "3" or asked.params.get("dateAggrType") != "monthly":
        return refused("51000", "Parameter module error", status=400)
    listing = BY_NAME.get(f"{asked.params.get('instFamilyList')}-SWAP")
    first, last = (utc(int(asked.params[name]) + HONG_KONG_MS) for name in ("begin", "end"))
    found = []
    month = first.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while listing is not None and month <= last:
        after = (month + timedelta(days=32)).replace(day=1)
        if after + timedelta(days=3) <= asked.now:
            name = f"{listing.instrument}-fundingrates-{month:%Y-%m}.zip"
            url = f"https://static.okx.com/cdn/okex/traderecords/swaprates/monthly/{month:%Y%m}/{name}?v=999"
            at = str(milliseconds(month) - HONG_KONG_MS)
            found.append({"dateTs": at, "filename": name, "sizeMB": "0.01", "url": url})
        month = after
    group = {
        "dateRangeEnd": asked.params["end"], "dateRangeStart": asked.params["begin"], "groupDetails": found,
        "groupSizeMB": "0.01", "instFamily": asked.params.get("instFamilyList", ""), "instId": "", "instType": "SWAP",
    }  # fmt: skip
    at = str(milliseconds(asked.now))
    return answered([{"dateAggrType": "monthly", "details": [group] if found else [], "totalSizeMB": "0.01", "ts": at}])


def funding_file(asked: Asked, world: World, manners: Manners) -> Answer:
    """A month of settlements, some stamped a second late."""
    listing = BY_NAME.get(asked.params["name"].partition("-fundingrates-")[0])
    if listing is None:
        return Answer(b"", status=404)
    month = datetime.fromisoformat(f"{asked.params['month']}01")
    hong_kong = timedelta(milliseconds=HONG_KONG_MS)
    frame = world.funding(listing, month - hong_kong, (month + timedelta(days=32)).replace(day=1) - hong_kong)
    late = 1000 * (pl.int_range(pl.len()) % 2)
    text = frame.select(
        pl.lit(listing.instrument).alias("instrument_name"),
        pl.col("rate").alias("funding_rate"),
        (pl.col("settled_at").dt.epoch("ms") + late).alias("funding_time"),
    ).write_csv()
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(asked.params["name"].replace(".zip", ".csv"), text)
    return Answer(packed.getvalue())


def liquidations(asked: Asked, world: World, manners: Manners) -> Answer:
    family = asked.params.get("instFamily") or asked.params.get("uly")
    if family is None:
        return refused("50015", "Either parameter uly or instFamily is required.")
    listing = BY_NAME.get(f"{family}-SWAP")
    if listing is None or asked.params.get("instType") != "SWAP":
        return UNKNOWN
    events = world.liquidations(listing, asked.now - LIQUIDATIONS_KEPT, asked.now)
    frame = _page(events, "occurred_at", asked, manners)
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
    return answered([{"details": details, **order}] if details else [])


def open_interest_now(asked: Asked, world: World, manners: Manners) -> Answer:
    return _of_options(
        asked, world,
        lambda family, row: {
            "oi": _text(row["oi_base"] / OPTION_SIZES[family]),
            "oiCcy": _text(row["oi_base"]),
            "oiUsd": _text(row["oi_base"] * row["index_price"]),
        },
    )  # fmt: skip


def option_summary(asked: Asked, world: World, manners: Manners) -> Answer:
    return _of_options(
        asked, world,
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


def mark_prices(asked: Asked, world: World, manners: Manners) -> Answer:
    return _of_options(asked, world, lambda family, row: {"markPx": _text(row["mark_price_base"])})


def tickers(asked: Asked, world: World, manners: Manners) -> Answer:
    return _of_options(
        asked, world,
        lambda family, row: {
            "vol24h": _text(row["volume_24h_base"] / OPTION_SIZES[family]), "volCcy24h": _text(row["volume_24h_base"]),
        },
    )  # fmt: skip


def index_tickers(asked: Asked, world: World, manners: Manners) -> Answer:
    family = asked.params.get("instId", "")
    if family not in OPTION_SIZES:
        return UNKNOWN
    price = _chain(family, asked.now, world)[0]["index_price"]
    return answered([{"instId": family, "idxPx": _text(price), "ts": str(milliseconds(asked.now))}])


def _of_options(asked: Asked, world: World, cells: Callable[[str, Mapping[str, Any]], dict[str, str]]) -> Answer:
    family = asked.params.get("instFamily") or asked.params.get("uly")
    if family is None:
        return refused("50015", "Either parameter uly or instFamily is required.")
    if family not in OPTION_SIZES:
        return UNKNOWN
    at = str(milliseconds(asked.now))
    return answered(
        [
            {"instId": _option_name(family, row), "instType": "OPTION", "ts": at, **cells(family, row)}
            for row in _chain(family, asked.now, world)
        ]
    )


def _chain(family: str, now: datetime, world: World) -> list[dict[str, Any]]:
    return world.option_chain(family.split("-")[0], now).to_dicts() if family in OPTION_SIZES else []


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


def _series(asked: Asked, *, by_coin: bool = False) -> tuple[Listing | None, int, Answer]:
    """What a statistic is asked of, with the minutes of its period, or why not."""
    name = "ccy" if by_coin else "instId"
    if name not in asked.params:
        return None, 0, missing(name)
    listing = (WHOLE_COINS if by_coin else BY_NAME).get(asked.params[name])
    period = asked.params.get("period", "5m")
    if listing is None:
        return None, 0, UNKNOWN
    if period not in (KEPT_BY_COIN if by_coin else BARS):
        return None, 0, refused("51000", "Parameter period error")
    return listing, BARS[period], UNKNOWN


def _top(asked: Asked, world: World, manners: Manners, measure: Measure) -> Answer:
    listing, minutes, refusal = _series(asked)
    if listing is None:
        return refusal
    floor = asked.now - timedelta(minutes=minutes * KEPT_ENTRIES)
    return _ratio_rows(world, listing, measure, minutes, asked, floor, manners)


def _ratio_rows(
    world: World, listing: Listing, measure: Measure, minutes: int, asked: Asked, floor: datetime, manners: Manners
) -> Answer:
    frame = _page(world.ratios(listing, measure, minutes, *_window(asked, floor)), "event_at", asked, manners)
    return answered(
        [[str(at), _text(ratio)] for at, ratio in frame.select(pl.col("event_at").dt.epoch("ms"), "ratio").iter_rows()]
    )


def _window(asked: Asked, floor: datetime) -> tuple[datetime, datetime]:
    """All that OKX can say between its memory's floor and now; Manners.page applies the bounds that were asked for."""
    newer, older = _bounds(asked)
    first = max(utc(max(newer, 0)), floor)
    # Some rows behind the bound, for those who repeat them.
    last = min(utc(min(older, milliseconds(asked.now))) + timedelta(days=1), asked.now + timedelta(milliseconds=1))
    return first, last


def _bounds(asked: Asked) -> tuple[int, int]:
    """(newer than, older than), whatever the endpoint calls them: `before` and `after` are the venue's own words."""
    newer = stamp_ms(asked.params, "begin", stamp_ms(asked.params, "before", -1))
    return newer, stamp_ms(asked.params, "end", stamp_ms(asked.params, "after", FAR))


def _page(frame: pl.DataFrame, stamp: str, asked: Asked, manners: Manners) -> pl.DataFrame:
    newer, older = _bounds(asked)
    # The statistics of coins have no limit in their documentation.
    limit = MOST_ROWS if "ccy" in asked.params else min(int(asked.params.get("limit", LIMIT)), LIMIT)
    return manners.page(frame, stamp, newer_than=newer, older_than=older, limit=limit)


def _contracts(listing: Listing, base: float, usd: float) -> float:
    size = listing.contract_size or 1.0
    return (usd if listing.contract_size_unit == "usd" else base) / size


def _text(number: float) -> str:
    return repr(float(number)).removesuffix(".0")


_ANSWERS: Final[Mapping[str, Answering]] = {
    "/api/v5/public/instruments": instruments,
    "/api/v5/public/underlying": underlyings,
    "/api/v5/public/funding-rate-history": funding,
    "/api/v5/public/liquidation-orders": liquidations,
    "/api/v5/public/market-data-history": files,
    "/api/v5/public/open-interest": open_interest_now,
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


def routes(manners: Manners = POLITE) -> Sequence[Route]:
    """OKX with these manners."""

    def mannered(answer: Answering) -> Callable[[Asked, World], Answer]:
        return lambda asked, world: answer(asked, world, manners)

    return [
        *(Route("GET", "api", path, mannered(answer)) for path, answer in _ANSWERS.items()),
        Route("GET", "files", "/cdn/okex/traderecords/swaprates/monthly/{month}/{name}", mannered(funding_file)),
    ]


ROUTES: Final[Sequence[Route]] = routes()
