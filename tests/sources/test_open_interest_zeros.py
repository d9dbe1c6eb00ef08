"""Open interest of zero beside living values of its record is a gap in recording, at every venue whose records tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl
import pytest

from pipelines.extract.venue import Context, Page, Span
from pipelines.sandbox.venues.binance_archive import METRICS_COLUMNS, zipped
from pipelines.sources import registry
from pipelines.sources.instruments import SCHEMA

AT = datetime(2024, 3, 5, 12)
MS = 1_709_640_000_000
METRICS = dict.fromkeys(("lsr_account", "top_lsr_account", "top_lsr_size", "lsr_taker"), 1.5)


@dataclass(frozen=True)
class Case:
    """A feed and its instrument. `record` makes an answer of a state's amount and of whether the rest of the record is alive."""

    venue: str
    feed: str
    instrument: str
    endpoint: str = "api"
    path: str = "/x"
    zero_alone: bool = True
    """Whether a record in which all is zero is a state; in Binance's files it is a gap in recording."""

    def body(self, amount: float, rest: float) -> bytes:
        records: Mapping[str, Any] = {
            "binance": [{"sumOpenInterest": amount, "sumOpenInterestValue": rest, "timestamp": MS}],
            "gate": [
                {"time": MS // 1000, "open_interest": amount, "open_interest_usd": 0, "long_liq_amount": 0, "short_liq_amount": 0,
                 "long_liq_usd": 0, "short_liq_usd": 0, **{name: rest * ratio for name, ratio in METRICS.items()}}
            ],
            "okx": {"code": "0", "data": [[str(MS), str(amount), str(rest), str(rest)]]},
            "kraken": {"result": "success", "tickers": [{"symbol": self.instrument, "openInterest": amount, "vol24h": rest}]},
            "deribit": {"result": [
                {"instrument_name": self.instrument, "open_interest": amount, "volume": rest, "creation_timestamp": MS}
            ]},
            "bitget": {"data": [{"symbol": self.instrument, "ts": MS, "openInterest": amount, "volume24h": rest}]},
            "htx": {"data": {"tick": [{"ts": MS, "volume": amount, "value": rest}]}},
            "mexc": {"data": [{"symbol": self.instrument, "timestamp": MS, "holdVol": amount, "volume24": rest, "lastPrice": 9}]},
            "phemex": {"result": [
                {"symbol": self.instrument, "timestamp": MS * 1_000_000, "openInterestRv": amount, "volumeRq": rest}
            ]},
            "edgex": {"data": [{"contractName": self.instrument, "openInterest": str(amount), "size": str(rest)}]},
            "lighter": {"order_book_details": [
                {"symbol": self.instrument, "market_type": "perp", "status": "active", "open_interest": amount,
                 "daily_base_token_volume": rest}
            ]},
            "paradex": {"results": [
                {"symbol": self.instrument, "open_interest": str(amount), "volume_24h": str(rest), "created_at": MS}
            ]},
            "gate.current_open_interest": [
                {"name": self.instrument, "position_size": amount, "long_users": rest, "short_users": rest}
            ],
            "hyperliquid": [{"universe": [{"name": "BTC"}]},
                            [{"openInterest": amount, "funding": 0, "markPx": 9, "dayNtlVlm": rest}]],
        }  # fmt: skip
        if self.venue == "binance_archive":
            line = f"2024-03-05 12:00:00,{self.instrument},{amount},{rest},{rest},{rest},{rest},{rest}\n"
            return zipped("x.csv", f"{METRICS_COLUMNS}\n{line}".encode())
        return orjson.dumps(records.get(f"{self.venue}.{self.feed}", records[self.venue]))


CASES = (
    Case("binance", "open_interest", "BTCUSDT"),
    Case("binance_archive", "um_metrics", "BTCUSDT", path="/x/BTCUSDT-metrics-2024-03-05.zip", zero_alone=False),
    Case(
        "binance_archive", "cm_metrics", "BTCUSD_PERP", path="/x/BTCUSD_PERP-metrics-2024-03-05.zip", zero_alone=False
    ),
    Case("bitget", "open_interest", "BTCUSDT"),
    Case("htx", "open_interest", "BTC-USDT"),
    Case("mexc", "open_interest", "BTC_USDT"),
    Case("phemex", "open_interest", "BTCUSDT"),
    Case("deribit", "open_interest", "BTC-PERPETUAL"),
    Case("edgex", "ticker", "BTCUSDC"),
    Case("gate", "current_open_interest", "BTC_USDT"),
    Case("lighter", "details", "BTC"),
    Case("paradex", "open_interest", "BTC-USD-PERP"),
    Case("paradex", "summary", "BTC-USD-PERP"),
    Case("gate", "contract_stats", "BTC_USDT"),
    Case("hyperliquid", "contexts", "BTC"),
    Case("kraken", "current_open_interest", "PF_XBTUSD"),
    Case("okx", "open_interest", "BTC-USDT-SWAP"),
)
"""Every feed whose records state open interest beside an amount, a volume or a ratio."""

ALONE = (
    "aster.open_interest", "binance.current_open_interest", "bingx.open_interest", "bitfinex.open_interest", "bybit.open_interest",
    "cftc.open_interest", "coinalyze.open_interest", "dydx.candles", "kraken.open_interest", "kucoin.open_interest",
    "lighter.daily_open_interest",
)  # fmt: skip
"""Feeds that state it alone: their zeros are judged by the candles of the day (int_open_interest_daily). A candle of dYdX states
it at its beginning, before its volume."""
SHARED = {"hyperliquid.dex_contexts": "hyperliquid.contexts"}
"""Feeds with the parser of another."""


def test_every_feed_of_open_interest_has_a_case_or_states_it_alone() -> None:
    feeds = {
        f"{name}.{feed.name}"
        for name in registry.VENUES
        for feed in registry.venue(name).feeds
        if "open_interest" in feed.tables
    }
    cases = {f"{case.venue}.{case.feed}" for case in CASES}
    assert not cases & set(ALONE)
    assert feeds == cases | {*ALONE, *SHARED}
    assert set(SHARED.values()) <= cases


def states(case: Case, answers: Sequence[bytes]) -> tuple[int, list[str]]:
    """Rows of open interest and reasons of rejects in the landing of `answers`."""
    known = {
        "venue": case.venue, "instrument": case.instrument, "asset": "BTC", "quote": "USDT",
        "contract_type": "inverse" if case.feed == "cm_metrics" else "linear", "contract_size": 100.0,
        "contract_size_unit": "usd" if case.feed == "cm_metrics" else "base", "multiplier": 1.0,
    }  # fmt: skip
    instruments = pl.DataFrame([{**dict.fromkeys(SCHEMA), **known}], schema=SCHEMA)
    request = {"endpoint": case.endpoint, "path": case.path, "params": {"period": "5m"}}
    pages = [Page(case.instrument, request, 200, AT, body) for body in answers]
    span = Span(AT - timedelta(hours=12), AT + timedelta(hours=12))
    feed = registry.venue(case.venue).feed(case.feed)
    found = [x for x in feed.parse(pages, Context(case.venue, AT, span, instruments)) if x.table == "open_interest"]
    rejects = [reason for x in found if x.rejects is not None for reason in x.rejects["reason"]]
    return sum(x.rows.height for x in found), rejects


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.venue}.{case.feed}")
def test_zero_beside_living_values_is_a_sentinel(case: Case) -> None:
    assert states(case, [case.body(5, 7)]) == (1, [])
    assert states(case, [case.body(0, 7)]) == (0, ["sentinel"])
    assert states(case, [case.body(0, 0)]) == ((1, []) if case.zero_alone else (0, ["sentinel"]))
