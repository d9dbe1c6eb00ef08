"""A venue that returns fewer rows than were asked for loses none of them: every paged feed, with a cap below the one that its
module assumes. A test compares the table of cases with the feeds of all venues."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import orjson
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.core.settings import PROJECT_ROOT
from pipelines.extract.venue import Context, Job, Span
from pipelines.sandbox.emulator import Handler, Request, Response
from pipelines.sandbox.market_model import AnalyticMarket, Listing, MarketModel
from pipelines.sandbox.venues import (
    aster,
    binance,
    bitfinex,
    bitget,
    bybit,
    deribit,
    dydx,
    edgex,
    gate,
    htx,
    hyperliquid,
    kucoin,
    lighter,
    mexc,
    okx,
    paradex,
    phemex,
)
from pipelines.sources import registry
from pipelines.sources.instruments import SCHEMA
from tests.sources.in_process import InProcessApi, fetch_pages

NOW = datetime(2024, 3, 10, 6)
DAY = date(2024, 3, 8)


class SpreadMarket(AnalyticMarket):
    """The orders of a second come seconds apart, so that a cap can cut between them."""

    def liquidations(self, listing: Listing, start: datetime, end: datetime) -> pl.DataFrame:
        most = timedelta(minutes=5)
        found = super().liquidations(listing, start - most, end)
        own = pl.concat_str(pl.lit(listing.instrument), pl.col("side", "price", "quantity_base").cast(pl.String))
        late = pl.duration(seconds=own.map_elements(lambda x: zlib.crc32(x.encode()) % 300, pl.Int64))
        return found.with_columns(pl.col("occurred_at") + late).filter(
            pl.col("occurred_at").is_between(start, end, closed="left")
        )


MARKET = SpreadMarket()
EMULATORS: dict[str, Any] = {
    "aster": aster, "binance": binance, "bitfinex": bitfinex, "bitget": bitget, "bybit": bybit, "deribit": deribit, "dydx": dydx,
    "edgex": edgex, "gate": gate, "htx": htx, "hyperliquid": hyperliquid, "kucoin": kucoin, "lighter": lighter, "mexc": mexc,
    "okx": okx, "paradex": paradex, "phemex": phemex,
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A feed and the cap on rows of a response. `path` is where the rows are in it, `stamp` how a row is dated."""

    venue: str
    feed: str
    subject: str
    path: tuple[str, ...]
    stamp: str | int
    cap: int
    days: int = 1
    keeps: str = "either"
    """Which rows the venue keeps of too many; either where its documentation does not say."""
    contract_type: str = "linear"
    size: str | None = None
    """Where pages are numbered or linked by a cursor: the parameter with their size. The venue takes the cap instead, and the
    next page begins there."""


CASES = (
    Case("aster", "funding", "BTCUSDT", (), "fundingTime", 2, keeps="oldest"),
    Case("aster", "candles", "BTCUSDT", (), 0, 10, keeps="oldest"),
    Case("binance", "open_interest", "BTCUSDT", (), "timestamp", 50),
    Case("binance", "long_short_ratios", "BTCUSDT", (), "timestamp", 50),
    Case("binance", "funding", "BTCUSDT", (), "fundingTime", 2, keeps="oldest"),
    Case("binance", "candles", "BTCUSDT", (), 0, 10, keeps="oldest"),
    Case("bitfinex", "open_interest", "tBTCF0:USTF0", (), 0, 50, keeps="oldest"),
    Case("bitfinex", "liquidations", "*", (), 2, 30, keeps="oldest"),
    Case("bitget", "funding", "BTCUSDT", ("data",), "fundingTime", 2, size="pageSize"),
    Case("bitget", "candles", "BTCUSDT", ("data",), 0, 5, keeps="newest"),
    Case("bitget", "liquidations", "*", ("data", "list"), "ts", 30, size="limit"),
    Case("bybit", "open_interest", "BTCUSDT", ("result", "list"), "timestamp", 50, keeps="newest"),
    Case("bybit", "funding", "BTCUSDT", ("result", "list"), "fundingRateTimestamp", 2, keeps="newest"),
    Case("bybit", "long_short_ratios", "BTCUSDT", ("result", "list"), "timestamp", 5, keeps="newest"),
    Case("bybit", "candles", "BTCUSDT", ("result", "list"), 0, 5, keeps="newest"),
    Case("deribit", "funding", "BTC-PERPETUAL", ("result",), "timestamp", 5, contract_type="inverse"),
    Case("deribit", "candles", "BTC-PERPETUAL", ("result",), "ticks", 5, contract_type="inverse"),
    Case("dydx", "funding", "BTC-USD", ("historicalFunding",), "effectiveAt", 5, keeps="newest"),
    Case("dydx", "candles", "BTC-USD", ("candles",), "startedAt", 5, keeps="newest"),
    Case("edgex", "funding", "BTCUSDC", ("data", "dataList"), "fundingTime", 2, size="size"),
    Case("edgex", "candles", "BTCUSDC", ("data", "dataList"), "klineTime", 5, size="size"),
    Case("gate", "contract_stats", "BTC_USDT", (), "time", 40, keeps="oldest"),
    # A cap must be above the two orders of one second: less than a second cannot be asked for.
    Case("gate", "liq_orders", "*", (), "time", 3),
    Case("gate", "funding_rate", "BTC_USDT", (), "t", 2, keeps="newest"),
    Case("gate", "candlesticks", "BTC_USDT", (), "t", 5),
    Case("htx", "funding", "BTC-USDT", ("data", "data"), "funding_time", 2, size="page_size"),
    Case("htx", "candles", "BTC-USDT", ("data",), "id", 5),
    Case("hyperliquid", "funding", "BTC", (), "time", 5, keeps="oldest"),
    Case("hyperliquid", "candles", "BTC", (), "t", 5, keeps="oldest"),
    Case("kucoin", "open_interest", "XBTUSDTM", ("data",), "ts", 5, keeps="newest"),
    Case("kucoin", "funding", "XBTUSDTM", ("data",), "timepoint", 2, keeps="newest"),
    Case("kucoin", "candles", "XBTUSDTM", ("data",), 0, 5),
    Case("lighter", "funding", "BTC", ("fundings",), "timestamp", 5),
    Case("lighter", "candles", "BTC", ("c",), "t", 5),
    Case("mexc", "funding", "BTC_USDT", ("data", "resultList"), "settleTime", 2, size="page_size"),
    Case("mexc", "candles", "BTC_USDT", ("data",), "time", 5),
    Case("paradex", "liquidations", "BTC-USD-PERP", ("results",), "created_at", 3, size="page_size"),
    Case("paradex", "candles", "BTC-USD-PERP", ("results",), 0, 5, keeps="oldest"),
    Case("okx", "open_interest", "BTC-USDT-SWAP", ("data",), 0, 30, keeps="newest"),
    Case("okx", "funding", "BTC-USDT-SWAP", ("data",), "fundingTime", 2, keeps="newest"),
    Case("okx", "candles", "BTC-USDT-SWAP", ("data",), 0, 5, keeps="newest"),
    Case("okx", "positioning", "BTC-CONTRACTS", ("data",), 0, 30, keeps="newest"),
    Case("okx", "top_traders", "BTC-USDT-SWAP", ("data",), 0, 30, keeps="newest"),
    Case("phemex", "funding", "BTCUSDT", ("data", "rows"), "fundingTime", 2, size="limit"),
    Case("phemex", "candles", "BTCUSDT", ("data", "rows"), 0, 5),
)

ELSEWHERE = {
    "bingx.funding": "test_more_venues", "bingx.candles": "test_more_venues", "htx.liquidations": "test_more_venues",
    "deribit.liquidations": "test_deribit", "deribit.volatility_index": "test_deribit", "dydx.liquidations": "test_dydx",
    "kraken.candles": "test_kraken", "kraken.funding": "test_kraken", "kraken.long_short_info": "test_kraken",
    "kraken.open_interest": "test_kraken", "orderly.liquidations": "test_orderly",
}  # fmt: skip
"""Paged feeds whose caps are tested beside their venue."""

ONE_ANSWER = (
    "cftc.open_interest", "coinalyze.funding_rate", "coinalyze.liquidations", "coinalyze.long_short_ratio", "coinalyze.ohlcv",
    "coinalyze.open_interest", "defillama.prices", "htx.open_interest", "hyperliquid.liquidation_totals",
    "lighter.daily_open_interest", "paradex.funding", "paradex.open_interest",
)  # fmt: skip
"""Feeds whose rows are one answer each, or one for every state: there is no page to continue from."""

FILES = ("binance_archive", "hyperliquid_fills", "okx.funding_archive")
CHAINS = ("evm_", "kamino")
"""Blocks are bounded by what a node answers (test_evm)."""


def test_every_feed_with_history_has_a_case_or_a_reason_for_none() -> None:
    feeds = {
        f"{name}.{feed.name}"
        for name in registry.VENUES
        for feed in registry.venue(name).feeds
        if feed.cadence.name == "daily" and not name.startswith(CHAINS)
    }
    cases = {f"{case.venue}.{case.feed}" for case in CASES}
    assert {feed for feed in feeds - cases if not feed.startswith(FILES)} == {*ELSEWHERE, *ONE_ANSWER}
    assert cases <= feeds
    folder = PROJECT_ROOT / "tests" / "sources"
    assert all((folder / f"{file}.py").is_file() for file in ELSEWHERE.values())


def capped(case: Case, keeps: str, handler: Handler, caught: list[int]) -> Handler:
    def sized(request: Request, market: MarketModel) -> Response:
        if case.size is None or case.size not in request.params:
            return handler(request, market)
        answer = handler(replace(request, params={**request.params, case.size: str(case.cap)}), market)
        rows: Any = orjson.loads(answer.body)
        for key in case.path:
            rows = rows[key]
        if len(rows) == case.cap:
            caught.append(len(rows))
        return answer

    def handle(request: Request, market: MarketModel) -> Response:
        answer = handler(request, market)
        content: Any = orjson.loads(answer.body)
        rows, outer = content, None
        for key in case.path:
            if not isinstance(rows, dict) or key not in rows:
                return answer
            rows, outer = rows[key], rows
        if isinstance(rows, dict) and isinstance(rows.get(case.stamp), list):
            places = sorted(range(len(rows[case.stamp])), key=lambda place: float(rows[case.stamp][place]))
            if len(places) > case.cap:
                caught.append(len(places))
                chosen = sorted(places[: case.cap] if keeps == "oldest" else places[-case.cap :])
                for name, cells in rows.items():
                    if isinstance(cells, list):
                        rows[name] = [cells[place] for place in chosen]
            return Response(content)
        if not isinstance(rows, list) or len(rows) <= case.cap:
            return answer
        caught.append(len(rows))
        ordered = sorted(rows, key=lambda row: _instant(row, case.stamp))
        kept = ordered[: case.cap] if keeps == "oldest" else ordered[-case.cap :]
        kept = [row for row in rows if row in kept]
        if outer is None:
            return Response(kept)
        outer[case.path[-1]] = kept
        return Response(content)

    return handle if case.size is None else sized


def _instant(row: Any, key: str | int) -> float:
    """When a row is: Bitfinex's liquidations are lists of one list, and dYdX writes dates."""
    cells: Any = row[0] if isinstance(row, list) and isinstance(row[0], list) else row
    stamp = cells[key]
    return float(stamp) if not (isinstance(stamp, str) and "T" in stamp) else datetime.fromisoformat(stamp).timestamp()


def fetched(case: Case, wrap: Callable[[Handler], Handler]) -> list[pl.DataFrame]:
    feed = registry.venue(case.venue).feed(case.feed)
    emulator = EMULATORS[case.venue]
    routes = [replace(route, handler=wrap(route.handler)) for route in emulator.ROUTES]
    span = Span.of_days(DAY, DAY + timedelta(days=case.days - 1))
    row: dict[str, Any] = {
        **dict.fromkeys(SCHEMA), "venue": case.venue, "instrument": case.subject, "asset": "BTC", "quote": "USDT",
        "contract_type": case.contract_type, "contract_size": 0.01, "contract_size_unit": "base", "multiplier": 1.0,
    }  # fmt: skip
    pages = fetch_pages(feed, InProcessApi(routes, MARKET, NOW), Job(case.subject, span, row))
    listed = [row] if case.subject != "*" else [{**row, "instrument": x.instrument} for x in emulator.LISTINGS]
    context = Context(case.venue, NOW, span, pl.DataFrame(listed, schema=SCHEMA))
    # Equal rows of two pages are one row to the loader.
    return [one.rows.drop("_line").unique().sort(pl.all()) for one in feed.parse(pages, context)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.venue}.{case.feed}")
def test_a_cap_below_the_assumed_one_loses_no_rows(case: Case) -> None:
    whole = fetched(case, lambda handler: handler)
    assert sum(frame.height for frame in whole) > 0
    for keeps in ("oldest", "newest") if case.keeps == "either" else (case.keeps,):
        caught: list[int] = []
        got = fetched(case, lambda handler, keeps=keeps, caught=caught: capped(case, keeps, handler, caught))  # type: ignore[misc]
        assert caught, "the cap was never reached"
        assert_frame_equal(pl.concat(got, how="diagonal"), pl.concat(whole, how="diagonal"))
