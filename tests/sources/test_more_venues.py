"""Venues added in 2026: samples and evidence give the right values, refusals have their types, and what is gone is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from pipelines.core.errors import (
    LeverhouseError,
    NoLongerAvailableError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    VenueUnavailableError,
)
from pipelines.extract.venue import Context, Job, Page, Parsed, Span
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import bingx as bingx_emulator
from pipelines.sandbox.venues import bitget as bitget_emulator
from pipelines.sandbox.venues import htx as htx_emulator
from pipelines.sandbox.venues import kucoin as kucoin_emulator
from pipelines.sandbox.venues import mexc as mexc_emulator
from pipelines.sandbox.venues import phemex as phemex_emulator
from pipelines.sources import registry
from pipelines.sources.cex.bitget import is_in_quote
from pipelines.sources.counting import FACTS
from pipelines.sources.instruments import SCHEMA
from tests.sources.in_process import InProcessApi, fetch_pages
from tests.sources.test_evidence import AT, EVER, contract, evidence, parsed

MARKET = AnalyticMarket()
NOW = datetime(2026, 7, 3, 6)


def sampled(
    folder: Path, name: str, *, feed: str, subject: str = "*", known: pl.DataFrame | None = None, path: str = "/x",
    params: Mapping[str, Any] | None = None, at: datetime = AT, wrap: bool = False,
) -> list[Parsed]:  # fmt: skip
    """A recorded answer, read in place, as its feed reads it; `wrap` puts a bare sample of Bitget's rows into the envelope."""
    venue = name.partition("/")[0]
    body = (folder / "cex_more" / name).read_bytes()
    if wrap:
        body = orjson.dumps({"code": "00000", "data": orjson.loads(body)})
    page = Page(subject, {"endpoint": "api", "path": path, "params": dict(params or {})}, 200, at, body)
    registry.venue(venue).check(page)
    instruments = pl.DataFrame(schema=SCHEMA) if known is None else known
    return list(registry.venue(venue).feed(feed).parse([page], Context(venue, at, EVER, instruments)))


def linear(venue: str, instrument: str, size: float = 1.0, **more: Any) -> pl.DataFrame:
    facts = {"contract_type": "linear", "contract_size": size, "contract_size_unit": "base", "multiplier": 1.0}
    return contract(venue, instrument, **facts | more)


def rejects(found: Parsed) -> list[str]:
    assert found.rejects is not None
    return found.rejects["reason"].to_list()


def fetched(venue: str, feed: str, routes: Sequence[Any], subject: str, span: Span, **facts: Any) -> list[Page]:
    """The pages of an emulated venue whose behavior is `routes`."""
    api = InProcessApi(routes, MARKET, NOW)
    row = {**dict.fromkeys(SCHEMA), "instrument": subject, "quote": "USDT", "contract_type": "linear"} | facts
    return fetch_pages(registry.venue(venue).feed(feed), api, Job(subject, span, row))


@pytest.mark.parametrize(
    ("venue", "body", "error"),
    [
        ("bitget", {"code": "429", "msg": "too many requests"}, ThrottledError),
        ("bitget", {"code": "40725", "msg": "service return an error"}, VenueUnavailableError),
        ("bitget", {"code": "40034", "msg": "no such parameter"}, RequestRefusedError),
        ("htx", {"status": "error", "err_code": 1032, "err_msg": "too many"}, ThrottledError),
        ("htx", {"status": "error", "err_code": 1004, "err_msg": "busy"}, VenueUnavailableError),
        ("kucoin", {"code": "429000", "msg": "too many"}, ThrottledError),
        ("kucoin", {"code": "400100", "msg": "no"}, RequestRefusedError),
        ("mexc", {"success": False, "code": 510, "message": "too frequent"}, ThrottledError),
        ("bingx", {"code": 100410, "msg": "too frequent"}, ThrottledError),
        ("bingx", {"code": 100500, "msg": "internal"}, VenueUnavailableError),
        ("phemex", {"code": 10500, "msg": "missing server"}, VenueUnavailableError),
        ("phemex", {"error": {"code": 6001, "message": "no"}, "result": None}, RequestRefusedError),
    ],
)
def test_an_error_in_a_200_is_raised(venue: str, body: Mapping[str, Any], error: type[LeverhouseError]) -> None:
    with pytest.raises(error):
        registry.venue(venue).check(Page("*", {}, 200, AT, orjson.dumps(body)))


@pytest.mark.parametrize("venue", ["bingx", "bitget", "kucoin", "mexc", "phemex"])
def test_open_interest_of_unsettled_counting_is_shown_and_marked(venue: str) -> None:
    assert [fact.sides for fact in FACTS[venue]] == ["unknown"]
    assert registry.venue(venue).feed("open_interest").counting == FACTS[venue]


# Bitget


def test_bitget_samples(samples_dir: Path) -> None:
    [listed] = sampled(samples_dir, "bitget/instruments_v3.json", feed="instruments")
    classes = dict(listed.rows.select("asset", "asset_class").rows())
    assert (classes["BTC"], classes["PKX.STOCK"], classes["EURUSD.OTHER"]) == ("crypto", "stock", "other")
    first = listed.rows.row(by_predicate=pl.col("asset") == "BTC", named=True)
    assert (first["listed_at"], first["delisted_at"], first["contract_size"]) == (None, None, 1.0)
    [held] = sampled(samples_dir, "bitget/tickers_v3.json", feed="open_interest")
    bitcoin = held.rows.row(by_predicate=pl.col("instrument") == "BTCUSDT", named=True)
    assert (bitcoin["oi_base"], bitcoin["counting"], bitcoin["period"]) == (35917.05359999992, "unknown", "snapshot")
    assert bitcoin["event_at"] == datetime(2026, 9, 13, 22, 6, 20, 512_000)
    [paid] = sampled(samples_dir, "bitget/history_fund_rate.json", feed="funding", subject="BTCUSDT")
    assert paid.rows.select("rate", "settled_at").row(0) == (0.000076, datetime(2026, 9, 13, 16))
    # The sample is of minutes; the columns are those of the hours.
    [candle] = sampled(
        samples_dir,
        "bitget/candles.json",
        feed="candles",
        subject="BTCUSDT",
        known=linear("bitget", "BTCUSDT"),
        wrap=True,
    )
    assert candle.rows.select("close", "volume_base", "volume_quote").row(0) == (39379.0, 35.526, 1399132.341)
    [accounts] = sampled(samples_dir, "bitget/account_long_short.json", feed="account_ratio", subject="BTCUSDT")
    # The published ratio of 0.0138 contradicts the shares.
    assert accounts.rows.select("ratio", "long_share").row(0) == pytest.approx((0.58 / 0.42, 0.58))


def test_bitget_mixed_list() -> None:
    [found] = parsed("bitget", "instruments", evidence("bitget", "instruments", "mixed_list"))
    assert dict(found.rows.select("asset", "asset_class").rows()) == {
        "BTC": "crypto", "NET.STOCK": "stock", "XAU.COMMODITY": "commodity", "EURUSD.OTHER": "other", "龙": "crypto",
    }  # fmt: skip
    assert found.rows["listed_at"][0] is None
    assert found.rows["delisted_at"].drop_nulls().to_list() == [datetime(2026, 10, 2)]
    assert found.rejects is not None and found.rejects.select("line", "field").rows() == [(7, "type")]


def test_bitget_liquidations_are_of_positions_and_equal_rows_are_two() -> None:
    [found] = parsed("bitget", "liquidations", evidence("bitget", "liquidations", "longs"))
    assert found.rows.select("side", "quantity_base").rows() == [("long", 0.25), ("long", 0.25), ("short", 1.5)]
    assert found.rows["liquidation_id"].n_unique() == 3
    assert set(found.rows["completeness"]) == {"throttled"}
    assert rejects(found) == ["undecodable"]
    with pytest.raises(RequestRefusedError, match="NOUSDT"):
        registry.venue("bitget").check(evidence("bitget", "funding", "refused"))


def test_the_numbers_of_bitget_tell_whether_an_amount_is_in_the_quote_coin() -> None:
    """The websocket's frame of 2026-04-28 has amounts in dollars: 83.1 APE at 0.1649, 286.5 IP at 0.500280739469."""
    told = [("APEUSDT", "0.1649", "13.70319"), ("IPUSDT", "0.500280739469", "143.330431857868")]
    listed = [
        {"symbol": symbol, "side": "buy", "price": price, "amount": amount, "ts": "1790810000456"}
        for symbol, price, amount in told
    ]
    answer = {"code": "00000", "msg": "success", "requestTime": 1, "data": {"list": listed, "cursor": ""}}
    request = {"endpoint": "api", "path": "/api/v3/market/liquidations", "params": {}}
    [found] = parsed("bitget", "liquidations", Page("*", request, 200, NOW, orjson.dumps(answer)))
    assert found.rows["quantity_base"].to_list() == pytest.approx([83.1, 286.5])
    assert found.rows["notional_usd"].to_list() == pytest.approx([13.70319, 143.330431857868])
    # Coins at the same prices, which are long numbers only once they are multiplied.
    assert not is_in_quote([83.1, 286.5], [0.1649, 0.500280739469])


@pytest.mark.parametrize("cap", [100, 7])
def test_bitget_history_survives_a_lower_cap_and_ends_where_it_is_kept(cap: int) -> None:
    behavior = bitget_emulator.ResponseBehavior(rows=cap, keeps_funding=timedelta(days=20))
    routes = bitget_emulator.routes(behavior)
    day = Span(datetime(2026, 6, 20), datetime(2026, 6, 21))
    for feed, expected in (("funding", 3), ("candles", 24)):
        pages = fetched("bitget", feed, routes, "BTCUSDT", day)
        context = Context("bitget", NOW, day, linear("bitget", "BTCUSDT"))
        [found] = registry.venue("bitget").feed(feed).parse(pages, context)
        assert found.rows.drop("_line").unique().height == expected
    month = Span(datetime(2026, 6, 1), datetime(2026, 7, 1))
    with pytest.raises(NoLongerAvailableError, match="begins at 2026-06-13 08:00"):
        fetched("bitget", "funding", routes, "BTCUSDT", month)
    # A contract that was listed then has no more to give.
    assert fetched("bitget", "funding", routes, "BTCUSDT", month, listed_at=datetime(2026, 6, 13))


def test_bitget_liquidations_of_a_day_that_begins_before_what_is_kept_are_gone() -> None:
    routes = bitget_emulator.ROUTES
    with pytest.raises(NoLongerAvailableError, match="begin at 2026-06-30"):
        fetched("bitget", "liquidations", routes, "*", Span(datetime(2026, 6, 30), datetime(2026, 7, 1)))
    assert fetched("bitget", "liquidations", routes, "*", Span(datetime(2026, 7, 1), datetime(2026, 7, 2)))


def test_a_page_that_repeats_the_one_before_is_an_error() -> None:
    [fixed] = [r for r in bitget_emulator.ROUTES if r.path.endswith("history-fund-rate")]

    def first_page(request: Any, market: Any) -> Any:
        return fixed.handler(type(request)(**{**vars(request), "params": {**request.params, "pageNo": "1"}}), market)

    routes = [type(fixed)("GET", "api", fixed.path, first_page)]
    with pytest.raises(SourceFormatError, match="repeats the one before"):
        fetched("bitget", "funding", routes, "BTCUSDT", Span(datetime(2026, 1, 1), datetime(2026, 2, 1)))


# HTX

HTX_BITCOIN = linear("htx", "BTC-USDT", 0.001)
HTX_COIN = contract(
    "htx", "BTC-USD", contract_type="inverse", contract_size=100.0, contract_size_unit="usd", multiplier=1.0
)


def test_htx_samples(samples_dir: Path) -> None:
    [listed] = sampled(samples_dir, "htx/swap_contract_info.json", feed="instruments")
    classes = dict(listed.rows.select("asset", "asset_class").rows())
    assert (classes["BTC"], classes["XAU.COMMODITY"], classes["TQQQ.INDEX"]) == ("crypto", "commodity", "index")
    pepe = listed.rows.row(by_predicate=pl.col("asset") == "PEPE", named=True)
    assert (pepe["contract_size"], pepe["listed_at"]) == (1_000_000.0, datetime(2023, 4, 26))
    [held] = sampled(
        samples_dir,
        "htx/swap_his_open_interest_linear.json",
        feed="open_interest",
        subject="BTC-USDT",
        known=HTX_BITCOIN,
    )
    row = held.rows.row(0, named=True)
    assert (row["oi_base"], row["oi_usd"]) == pytest.approx((4385.435 / 2, 194059884.185 / 2))
    assert (row["oi_raw"], row["counting"], row["event_at"]) == (4385.435, "halved", datetime(2022, 3, 25, 15))
    coin = contract("htx", "CRV-USD", contract_type="inverse", contract_size=10.0, contract_size_unit="usd")
    [held] = sampled(
        samples_dir, "htx/swap_his_open_interest_coin.json", feed="open_interest", subject="CRV-USD", known=coin
    )
    assert held.rows.select("oi_base", "oi_usd", "oi_raw_unit").row(0) == (None, 95_870.0, "contracts")
    [paid] = sampled(samples_dir, "htx/swap_historical_funding_rate_hourly.json", feed="funding", subject="JP225-USDT")
    assert [at.hour for at in paid.rows["settled_at"]] == [22, 21, 20]
    [paid] = sampled(samples_dir, "htx/swap_historical_funding_rate_coin.json", feed="funding", subject="BTC-USD")
    assert paid.rows.select("rate", "settled_at").row(0) == (0.0001, datetime(2026, 6, 12, 8))
    # The documented order is of a dated future, which is not followed.
    [forced] = sampled(samples_dir, "htx/swap_liquidation_orders_v3.json", feed="liquidations")
    assert rejects(forced) == ["unknown_instrument"]


def test_htx_mixed_list() -> None:
    [found] = parsed("htx", "instruments", evidence("htx", "instruments", "mixed_list"))
    assert dict(found.rows.select("asset", "asset_class").rows()) == {
        "BTC": "crypto", "XAU.COMMODITY": "commodity", "TQQQ.INDEX": "index", "XOM.STOCK": "stock",
    }  # fmt: skip
    assert found.rejects is not None and found.rejects.select("line", "field").rows() == [(7, "contract_size")]


def test_htx_liquidations_are_of_the_turnover() -> None:
    [found] = parsed("htx", "liquidations", evidence("htx", "liquidations", "two_kinds"), instruments=HTX_BITCOIN)
    assert found.rows.select("side", "notional_usd").rows() == [("long", 125.957), ("short", 6300.0)]
    assert found.rows["quantity_base"].to_list() == pytest.approx([0.002, 0.1])
    with pytest.raises(RequestRefusedError, match="1332"):
        registry.venue("htx").check(evidence("htx", "open_interest", "refused"))


def test_htx_open_interest_ends_where_its_200_points_end() -> None:
    routes = htx_emulator.ROUTES
    for days in (1, 8):
        start = datetime(2026, 7, 3) - timedelta(days=days)
        span = Span(start, start + timedelta(days=1))
        pages = fetched("htx", "open_interest", routes, "BTC-USDT", span)
        [found] = registry.venue("htx").feed("open_interest").parse(pages, Context("htx", NOW, span, HTX_BITCOIN))
        assert found.rows.height == 24
    with pytest.raises(NoLongerAvailableError, match="begins at 2026-06-24 23:00"):
        fetched("htx", "open_interest", routes, "BTC-USDT", Span(datetime(2026, 6, 24), datetime(2026, 6, 25)))


@pytest.mark.parametrize("cap", [50, 2])
def test_htx_liquidations_survive_a_lower_cap_and_are_gone_after_90_days(cap: int) -> None:
    crowded = AnalyticMarket(liquidation_minutes=11)
    feed = registry.venue("htx").feed("liquidations")
    routes = htx_emulator.routes(htx_emulator.ResponseBehavior(liquidations=cap))
    span = Span(datetime(2026, 7, 1), datetime(2026, 7, 2))
    row = {**dict.fromkeys(SCHEMA), "instrument": "BTC-USD", "contract_type": "inverse"}
    pages = fetch_pages(feed, InProcessApi(routes, crowded, NOW), Job("BTC-USD", span, row))
    [found] = feed.parse(pages, Context("htx", NOW, span, HTX_COIN))
    events = crowded.liquidations(htx_emulator.BY_NAME["BTC-USD"], span.start, span.end)
    got = found.rows.drop("_line").unique()
    assert got.height == events.height
    assert got["quantity_base"].sum() == pytest.approx(events["quantity_base"].sum())
    with pytest.raises(NoLongerAvailableError, match="90 days"):
        fetched("htx", "liquidations", routes, "BTC-USDT", Span(datetime(2026, 3, 1), datetime(2026, 3, 2)))


# KuCoin


def test_kucoin_samples(samples_dir: Path) -> None:
    [listed] = sampled(samples_dir, "kucoin/contracts_active.json", feed="instruments")
    classes = dict(listed.rows.select("asset", "asset_class").rows())
    assert (classes["BB"], classes["QNTX.STOCK"]) == ("crypto", "stock")
    bb = listed.rows.row(by_predicate=pl.col("asset") == "BB", named=True)
    assert (bb["contract_size"], bb["quote"], bb["listed_at"]) == (10.0, "USDT", None)
    ether = linear("kucoin", "ETHUSDTM", 0.01)
    [held] = sampled(
        samples_dir, "kucoin/open_interest_ua.json", feed="open_interest", subject="ETHUSDTM", known=ether,
        params={"interval": "1hour"},
    )  # fmt: skip
    assert held.rows.select("oi_base", "oi_raw", "counting").row(0) == (80_539.6, 8_053_960.0, "unknown")
    [paid] = sampled(samples_dir, "kucoin/funding_rates.json", feed="funding", subject="XBTUSDTM")
    assert paid.rows.select("rate", "settled_at").row(0) == (0.000044, datetime(2026, 9, 11, 16))
    [candles] = sampled(samples_dir, "kucoin/kline_query.json", feed="candles", subject="ETHUSDTM", known=ether)
    # Answers of 2021 have no turnover.
    assert candles.rows.select("close", "volume_base", "volume_quote").row(0) == (4770.3, 780.51, None)


def test_kucoin_mixed_list_and_an_empty_window() -> None:
    [found] = parsed("kucoin", "instruments", evidence("kucoin", "instruments", "mixed_list"))
    facts = found.rows.select("instrument", "asset", "contract_type", "contract_size").rows()
    assert facts == [
        ("XBTUSDTM", "BTC", "linear", 0.001), ("XBTUSDM", "BTC", "inverse", 1.0), ("NETUSDTM", "NET.STOCK", "linear", 0.01),
        ("XAUUSDTM", "XAU.COMMODITY", "linear", 0.001),
    ]  # fmt: skip
    assert found.rejects is not None and found.rejects.select("line", "field").rows() == [(6, "multiplier")]
    [paid] = parsed("kucoin", "funding", evidence("kucoin", "funding", "empty_window", subject="XBTUSDTM"))
    assert paid.rows.is_empty() and rejects(paid) == []
    with pytest.raises(RequestRefusedError, match="no longer lists"):
        registry.venue("kucoin").check(evidence("kucoin", "funding", "refused"))


def test_kucoin_open_interest_falls_to_days_and_then_is_gone() -> None:
    feed = registry.venue("kucoin").feed("open_interest")
    known = linear("kucoin", "XBTUSDTM", 0.001)
    periods = {}
    for day in (1, 6, 26):
        span = Span.of_days(datetime(2026, 7 - (day > 20), day).date(), datetime(2026, 7 - (day > 20), day).date())
        pages = fetched("kucoin", "open_interest", kucoin_emulator.ROUTES, "XBTUSDTM", span)
        [found] = feed.parse(pages, Context("kucoin", NOW, span, known))
        periods[day] = dict(found.rows.group_by("period").len().rows())
    # The sixth is to come; hours before 06:00 of the 26th are gone.
    assert periods == {1: {"1h": 24}, 6: {}, 26: {"1h": 19, "1d": 1}}
    with pytest.raises(NoLongerAvailableError, match="that old"):
        fetched(
            "kucoin",
            "open_interest",
            kucoin_emulator.ROUTES,
            "XBTUSDTM",
            Span(datetime(2026, 4, 1), datetime(2026, 4, 2)),
        )


def test_kucoin_funding_learns_that_only_the_newest_are_given() -> None:
    routes = kucoin_emulator.routes(kucoin_emulator.ResponseBehavior(newest_funding_only=True))
    assert fetched("kucoin", "funding", routes, "XBTUSDTM", Span(datetime(2026, 6, 10), datetime(2026, 7, 3)))
    with pytest.raises(NoLongerAvailableError, match="oldest settlement that KuCoin gives is of 2026-05-31"):
        fetched("kucoin", "funding", routes, "XBTUSDTM", Span(datetime(2026, 4, 1), datetime(2026, 5, 1)))
    for cap, feed, rows in ((7, "funding", 31 * 3), (40, "candles", 31 * 24)):
        capped = kucoin_emulator.routes(kucoin_emulator.ResponseBehavior(rows=cap))
        month = Span(datetime(2026, 5, 1), datetime(2026, 6, 1))
        pages = fetched("kucoin", feed, capped, "XBTUSDTM", month)
        context = Context("kucoin", NOW, month, linear("kucoin", "XBTUSDTM", 0.001))
        [found] = registry.venue("kucoin").feed(feed).parse(pages, context)
        assert found.rows.drop("_line").unique().height == rows


# MEXC


def test_mexc_samples(samples_dir: Path) -> None:
    [listed] = sampled(samples_dir, "mexc/detail.json", feed="instruments")
    # The sample has neither of the fields that tell the class.
    assert listed.rows.select("asset", "contract_size", "asset_class").rows() == [
        ("BTC", 0.0001, None), ("ETH", 0.01, None), ("XAU", 0.001, None),
    ]  # fmt: skip
    known = pl.concat([linear("mexc", "BTC_USDT", 0.0001), linear("mexc", "XAU_USDT", 0.001)])
    [held] = sampled(samples_dir, "mexc/ticker.json", feed="open_interest", known=known)
    # TON is dead: its last price is zero.
    assert held.rows.select("instrument", "oi_base", "counting").rows() == [
        ("BTC_USDT", 41_758.3841, "unknown"), ("XAU_USDT", 63_412_274 * 0.001, "unknown"),
    ]  # fmt: skip
    [paid] = sampled(samples_dir, "mexc/funding_rate_history.json", feed="funding", subject="BTC_USDT")
    assert paid.rows.select("rate", "interval_hours", "settled_at").row(0) == (0.000036, 8.0, datetime(2026, 9, 11, 16))
    [candles] = sampled(
        samples_dir, "mexc/kline.json", feed="candles", subject="ETH_USDT", known=linear("mexc", "ETH_USDT", 0.01)
    )
    assert candles.rows.select("open", "close", "volume_base", "volume_quote").row(0) == (
        3492.2, 3491.3, 1740 * 0.01, 60793.623,
    )  # fmt: skip


def test_mexc_mixed_list() -> None:
    [found] = parsed("mexc", "instruments", evidence("mexc", "instruments", "mixed_list"))
    assert found.rows.select("instrument", "asset", "contract_size_unit").rows() == [
        ("BTC_USDT", "BTC", "base"), ("BTC_USD", "BTC", "usd"), ("NET_USDT", "NET.STOCK", "base"),
        ("XAU_USDT", "XAU.COMMODITY", "base"), ("ODD_USDT", "ODD.OTHER", "base"),
    ]  # fmt: skip
    assert found.rows["listed_at"].to_list()[:2] == [datetime(2020, 6, 4, 3, 51, 24)] * 2
    assert found.rejects is not None and found.rejects.select("line", "field").rows() == [(7, "contractSize")]
    with pytest.raises(RequestRefusedError, match="no longer lists"):
        registry.venue("mexc").check(evidence("mexc", "funding", "refused"))


def test_mexc_candles_of_unequal_columns_are_an_error() -> None:
    columns = {"time": [1], "open": [1], "high": [1], "low": [1], "close": [1], "vol": [1], "amount": []}
    page = Page("BTC_USDT", {"path": "/x"}, 200, AT, orjson.dumps({"success": True, "code": 0, "data": columns}))
    with pytest.raises(SourceFormatError, match="different lengths"):
        parsed("mexc", "candles", page)


# BingX and Phemex


def test_bingx_samples(samples_dir: Path) -> None:
    [listed] = sampled(samples_dir, "bingx/contracts.json", feed="instruments")
    classes = dict(listed.rows.select("asset", "asset_class").rows())
    assert classes.items() >= {
        "BTC": "crypto", "TSLA.STOCK": "stock", "GOLD.COMMODITY": "commodity", "EUR.FOREX": "forex", "SP500.INDEX": "index",
    }.items()  # fmt: skip
    [held] = sampled(samples_dir, "bingx/open_interest.json", feed="open_interest", subject="BTC-USDT")
    assert held.rows.select("oi_base", "oi_usd", "oi_raw_unit", "counting").row(0) == (
        None, 287_039_550.4, "quote", "unknown",
    )  # fmt: skip
    [paid] = sampled(samples_dir, "bingx/funding_rate.json", feed="funding", subject="BTC-USDT")
    assert paid.rows.select("rate", "mark_price", "settled_at").row(0) == (0.000078, 77100.3, datetime(2026, 9, 13, 16))
    [candle] = sampled(
        samples_dir, "bingx/klines.json", feed="candles", subject="BTC-USDT", known=linear("bingx", "BTC-USDT")
    )
    assert candle.rows.select("close", "volume_base", "volume_quote").row(0) == (19394.4, 110.05, None)


def test_bingx_mixed_list() -> None:
    [found] = parsed("bingx", "instruments", evidence("bingx", "instruments", "mixed_list"))
    assert found.rows["asset"].to_list() == ["BTC", "TSLA.STOCK", "EUR.FOREX", "SP500.INDEX"]
    assert found.rows["listed_at"][3] is None
    assert found.rows["delisted_at"].drop_nulls().to_list() == [datetime(2026, 10, 2)]
    assert found.rejects is not None and found.rejects.select("line", "field").rows() == [(6, "status")]
    with pytest.raises(RequestRefusedError, match="109425"):
        registry.venue("bingx").check(evidence("bingx", "funding", "refused"))


def test_phemex_samples(samples_dir: Path) -> None:
    body = orjson.loads((samples_dir / "cex_more" / "phemex" / "ticker_usdt.json").read_bytes())
    page = Page("*", {"path": "/x"}, 200, AT, orjson.dumps({"error": None, "id": 0, "result": [body]}))
    registry.venue("phemex").check(page)
    [held] = parsed("phemex", "open_interest", page)
    assert held.rows.select("oi_base", "counting", "event_at").row(0) == (
        1323.596, "unknown", datetime(2022, 12, 27, 12, 6, 29, 65593),
    )  # fmt: skip
    [paid] = sampled(samples_dir, "phemex/funding_rate_history.json", feed="funding", subject="BTCUSDT")
    assert paid.rows.select("rate", "interval_hours", "settled_at").row(0) == (0.0001, 8.0, datetime(2023, 4, 21, 8))


def test_phemex_mixed_list_and_an_hour() -> None:
    [found] = parsed("phemex", "instruments", evidence("phemex", "instruments", "mixed_list"))
    assert found.rows.select("instrument", "asset", "quote").rows() == [
        ("BTCUSDT", "BTC", "USDT"), ("BTCUSDC", "BTC", "USDC"), ("TSLAUSDT", "TSLA.OTHER", "USDT"),
        ("OPENAIUSDT", "OPENAI.STOCK", "USDT"),
    ]  # fmt: skip
    assert found.rejects is not None and found.rejects.select("line", "field").rows() == [(6, "status")]
    hour = evidence("phemex", "candles", "hour", subject="BTCUSDT")
    [candle] = parsed("phemex", "candles", hour, instruments=linear("phemex", "BTCUSDT"))
    assert candle.rows.select("open", "high", "low", "close", "volume_base", "volume_quote").row(0) == (
        76110.5, 76200.0, 76050.2, 76150.3, 12.5, 951878.75,
    )  # fmt: skip
    with pytest.raises(RequestRefusedError, match="6001"):
        registry.venue("phemex").check(evidence("phemex", "candles", "refused"))


@pytest.mark.parametrize(
    ("venue", "feed", "rows"),
    [
        ("mexc", "funding", 93), ("mexc", "candles", 744), ("bingx", "funding", 93), ("bingx", "candles", 744),
        ("phemex", "funding", 93), ("phemex", "candles", 744),
    ],
)  # fmt: skip
def test_a_lower_cap_loses_no_rows(venue: str, feed: str, rows: int) -> None:
    emulators: Mapping[str, Any] = {"mexc": mexc_emulator, "bingx": bingx_emulator, "phemex": phemex_emulator}
    emulator = emulators[venue]
    cap = 31 if feed == "funding" else 100
    month = Span(datetime(2026, 5, 1), datetime(2026, 6, 1))
    listing = emulator.LISTINGS[0]
    pages = fetched(venue, feed, emulator.routes(emulator.ResponseBehavior(rows=cap)), listing.instrument, month)
    known = linear(venue, listing.instrument, listing.contract_size or 1.0)
    [found] = registry.venue(venue).feed(feed).parse(pages, Context(venue, NOW, month, known))
    assert found.rows.drop("_line").unique().height == rows


def test_mexc_funding_that_is_no_longer_kept_is_learned() -> None:
    routes = mexc_emulator.routes(mexc_emulator.ResponseBehavior(keeps_funding=timedelta(days=539)))
    with pytest.raises(NoLongerAvailableError, match="begins at 2025-01-10 08:00"):
        fetched("mexc", "funding", routes, "BTC_USDT", Span(datetime(2025, 1, 1), datetime(2025, 2, 1)))
    assert fetched("mexc", "funding", routes, "BTC_USDT", Span(datetime(2025, 1, 11), datetime(2025, 2, 1)))
