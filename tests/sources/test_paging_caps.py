"""A venue that returns fewer rows than were asked for loses none of them: every paged feed, with a cap below the one that its
module assumes. Kraken and Deribit's trades say themselves whether there is more, and Orderly counts (their own tests)."""

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

from pipelines.extract.venue import Context, Job, Span
from pipelines.sandbox.emulator import Handler, Request, Response
from pipelines.sandbox.market_model import AnalyticMarket, Listing, MarketModel
from pipelines.sandbox.venues import (
    aster,
    binance,
    bitfinex,
    bybit,
    deribit,
    dydx,
    gate,
    hyperliquid,
    lighter,
    okx,
    paradex,
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
    "aster": aster, "binance": binance, "bitfinex": bitfinex, "bybit": bybit, "deribit": deribit, "dydx": dydx, "gate": gate,
    "hyperliquid": hyperliquid, "lighter": lighter, "okx": okx, "paradex": paradex,
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


CASES = (
    Case("aster", "funding", "BTCUSDT", (), "fundingTime", 2, keeps="oldest"),
    Case("aster", "candles", "BTCUSDT", (), 0, 10, keeps="oldest"),
    Case("binance", "open_interest", "BTCUSDT", (), "timestamp", 50),
    Case("binance", "long_short_ratios", "BTCUSDT", (), "timestamp", 50),
    Case("binance", "funding", "BTCUSDT", (), "fundingTime", 2, keeps="oldest"),
    Case("binance", "candles", "BTCUSDT", (), 0, 10, keeps="oldest"),
    Case("bitfinex", "open_interest", "tBTCF0:USTF0", (), 0, 50, keeps="oldest"),
    Case("bitfinex", "liquidations", "*", (), 2, 30, keeps="oldest"),
    Case("bybit", "open_interest", "BTCUSDT", ("result", "list"), "timestamp", 50, keeps="newest"),
    Case("bybit", "funding", "BTCUSDT", ("result", "list"), "fundingRateTimestamp", 2, keeps="newest"),
    Case("bybit", "long_short_ratios", "BTCUSDT", ("result", "list"), "timestamp", 5, keeps="newest"),
    Case("bybit", "candles", "BTCUSDT", ("result", "list"), 0, 5, keeps="newest"),
    Case("deribit", "funding", "BTC-PERPETUAL", ("result",), "timestamp", 5, contract_type="inverse"),
    Case("dydx", "funding", "BTC-USD", ("historicalFunding",), "effectiveAt", 5, keeps="newest"),
    Case("dydx", "candles", "BTC-USD", ("candles",), "startedAt", 5, keeps="newest"),
    Case("gate", "contract_stats", "BTC_USDT", (), "time", 40, keeps="oldest"),
    # A cap must be above the two orders of one second: less than a second cannot be asked for.
    Case("gate", "liq_orders", "*", (), "time", 3),
    Case("gate", "funding_rate", "BTC_USDT", (), "t", 2, keeps="newest"),
    Case("gate", "candlesticks", "BTC_USDT", (), "t", 5),
    Case("hyperliquid", "funding", "BTC", (), "time", 5, keeps="oldest"),
    Case("hyperliquid", "candles", "BTC", (), "t", 5, keeps="oldest"),
    Case("lighter", "funding", "BTC", ("fundings",), "timestamp", 5),
    Case("lighter", "candles", "BTC", ("c",), "t", 5),
    Case("paradex", "candles", "BTC-USD-PERP", ("results",), 0, 5, keeps="oldest"),
    Case("okx", "open_interest", "BTC-USDT-SWAP", ("data",), 0, 30, keeps="newest"),
    Case("okx", "funding", "BTC-USDT-SWAP", ("data",), "fundingTime", 2, keeps="newest"),
    Case("okx", "candles", "BTC-USDT-SWAP", ("data",), 0, 5, keeps="newest"),
    Case("okx", "positioning", "BTC-CONTRACTS", ("data",), 0, 30, keeps="newest"),
    Case("okx", "top_traders", "BTC-USDT-SWAP", ("data",), 0, 30, keeps="newest"),
)


def capped(case: Case, keeps: str, handler: Handler, caught: list[int]) -> Handler:
    def handle(request: Request, market: MarketModel) -> Response:
        answer = handler(request, market)
        content: Any = orjson.loads(answer.body)
        rows, outer = content, None
        for key in case.path:
            if not isinstance(rows, dict) or key not in rows:
                return answer
            rows, outer = rows[key], rows
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

    return handle


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
