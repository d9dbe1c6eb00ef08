"""Binance's API: parsing of recorded payloads, and history fetched over HTTP from an emulator with known data."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.core.errors import (
    BlockedError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    VenueUnavailableError,
)
from pipelines.core.settings import Settings
from pipelines.extract.fetch import FetchReport, plan_days
from pipelines.extract.venue import Page, Span
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Fault, Request
from pipelines.sandbox.market_model import AnalyticMarket, Listing
from pipelines.sandbox.venues import binance as emulated
from pipelines.sources import registry
from pipelines.sources.cex.binance import history as binance_history
from pipelines.sources.cex.binance import wire
from tests.sources.binance_fixture import INVERSE, known, landed, parsed
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, quarantined, sample

MARKET = AnalyticMarket()
FIRST, LAST = date(2024, 3, 5), date(2024, 3, 7)
START, END = datetime(2024, 3, 5), datetime(2024, 3, 8)
FIVE = timedelta(minutes=5)
BY_NAME: dict[str, Listing] = {listing.instrument: listing for listing in emulated.BY_SYMBOL.values()}
LINEAR = known(BTCUSDT={"contract_type": "linear", "quote": "USDT"})


def page(body: Any, *, subject: str = "BTCUSDT", endpoint: str = "fapi", path: str = "", **params: str) -> Page:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    request = {"endpoint": endpoint, "path": path, "params": params}
    return Page(subject, request, 200, datetime(2024, 3, 10, 6), content)


def fetch_feed(settings: Settings, feed: str, clock: Clock, *, first: date = FIRST, last: date = LAST) -> FetchReport:
    reports = fetch(
        settings, "binance", [feed], first=first, last=last, assets=["BTC", "PEPE"], retry=FAST_RETRY, clock=clock
    )
    return reports[-1]


# Payloads


def test_open_interest_is_base_coin_and_tether(samples_dir: Path) -> None:
    body = sample(samples_dir, "binance_fapi_open_interest_historical.json")
    rows, _ = parsed("binance", "open_interest", [page(body)], LINEAR)["open_interest"]
    first = rows.row(0, named=True)
    # 20,403.637 bitcoin worth 150,570,784 tether, 7,380 each, on 2020-03-02 at 05:45.
    assert (first["oi_base"], first["oi_usd"], first["oi_raw_unit"]) == (20403.637, 150570784.07809979, "base")
    assert (first["event_at"], first["period"], first["counting"]) == (datetime(2020, 3, 2, 5, 45), "5m", "one_sided")


def test_coin_margined_open_interest_is_contracts_and_coin() -> None:
    body = [{"pair": "BTCUSD", "contractType": "PERPETUAL", "sumOpenInterest": "5578700", "sumOpenInterestValue": "18265.0091",
             "timestamp": 1687651200000}]  # fmt: skip
    pages = [page(body, subject="BTCUSD_PERP", endpoint="dapi"), page(body, subject="XUSD_PERP", endpoint="dapi")]
    rows, rejects = parsed("binance", "open_interest", pages, INVERSE)["open_interest"]
    assert rows.select("instrument", "oi_base", "oi_usd", "oi_raw", "oi_raw_unit").rows() == [
        ("BTCUSD_PERP", 18265.0091, 557_870_000.0, 5_578_700.0, "contracts")
    ]
    assert rejects.select("instrument", "reason").rows() == [("XUSD_PERP", "unknown_instrument")]


def test_current_open_interest_is_base_coin_or_contracts_of_dollars(samples_dir: Path) -> None:
    body = sample(samples_dir, "binance_fapi_open_interest.json")
    coin = {"symbol": "BTCUSD_PERP", "pair": "BTCUSD", "openInterest": "15004", "contractType": "PERPETUAL",
            "time": 1591261042378}  # fmt: skip
    instruments = pl.concat([LINEAR, INVERSE])
    pages = [page(body), page(coin, subject="BTCUSD_PERP", endpoint="dapi"), page(coin, subject="XUSD_PERP")]
    rows, rejects = parsed("binance", "current_open_interest", pages, instruments)["open_interest"]
    # 1589437530011 is 06:25:30.011 of 2020-05-14; 15,004 contracts are of 100 dollars.
    assert rows.select("instrument", "period", "event_at", "oi_base", "oi_usd", "oi_raw", "oi_raw_unit").rows() == [
        ("BTCUSDT", "snapshot", datetime(2020, 5, 14, 6, 25, 30, 11000), 10_659.509, None, 10_659.509, "base"),
        ("BTCUSD_PERP", "snapshot", datetime(2020, 6, 4, 8, 57, 22, 378000), None, 1_500_400.0, 15_004.0, "contracts"),
    ]
    assert rejects.select("instrument", "reason").rows() == [("XUSD_PERP", "unknown_instrument")]


@pytest.mark.parametrize(
    ("name", "path", "measure", "first"),
    [
        # Stamps: 1583139600000 is 09:00 of 2020-03-02, 1585614900000 is 00:35 of 2020-03-31.
        (
            "global_long_short_account_ratio",
            "globalLongShortAccountRatio",
            "account_global",
            (datetime(2020, 3, 2, 9), 0.1960),
        ),
        ("top_long_short_account_ratio", "topLongShortAccountRatio", "account_top", (datetime(2020, 3, 2, 9), 1.8105)),
        (
            "top_long_short_position_ratio",
            "topLongShortPositionRatio",
            "position_top",
            (datetime(2020, 3, 2, 9), 1.4342),
        ),
        ("taker_long_short_ratio", "takerlongshortRatio", "taker_volume", (datetime(2020, 3, 31, 0, 35), 1.5586)),
    ],
)
def test_the_endpoint_determines_the_measure_of_a_ratio(
    samples_dir: Path, name: str, path: str, measure: str, first: tuple[datetime, float]
) -> None:
    body = sample(samples_dir, f"binance_fapi_{name}.json")
    rows, _ = parsed("binance", "long_short_ratios", [page(body, path=f"/futures/data/{path}")])["long_short_ratios"]
    assert rows.select("measure", "event_at", "ratio").row(0) == (measure, *first)
    # 1.5586 longs to a short are 60.9% of all.
    assert rows["long_share"][0] == pytest.approx(first[1] / (1 + first[1]))


def test_settled_funding_is_a_fraction_and_may_lack_its_mark_price(samples_dir: Path) -> None:
    body = sample(samples_dir, "binance_fapi_funding_rate.json")
    rows, _ = parsed("binance", "funding", [page(body)])["funding_rates"]
    assert rows.select("kind", "settled_at", "rate", "mark_price").rows() == [
        ("settled", datetime(2019, 10, 9, 8), -0.0375, None), ("settled", datetime(2019, 10, 9, 16), 0.0001, None),
    ]  # fmt: skip


def test_the_premium_index_predicts_the_next_settlement(samples_dir: Path) -> None:
    body = sample(samples_dir, "binance_fapi_premium_index.json")
    rows, _ = parsed("binance", "predicted_funding", [page(body)])["funding_rates"]
    assert rows.select("kind", "settled_at", "rate", "mark_price", "available_at").rows() == [
        ("predicted", datetime(2020, 8, 14, 8), 0.00038246, 11793.63104562, datetime(2020, 8, 14, 2, 1, 35, 2000))
    ]


def test_a_contract_without_funding_has_no_prediction() -> None:
    dated = [
        {
            "symbol": "BTCUSD_240628",
            "markPrice": "60000",
            "lastFundingRate": "",
            "nextFundingTime": 0,
            "time": 1700000000000,
        }
    ]
    rows, rejects = parsed("binance", "predicted_funding", [page(dated, endpoint="dapi")])["funding_rates"]
    assert (rows.height, rejects.height) == (0, 0)


def test_candles_are_read_by_position_and_by_market(samples_dir: Path) -> None:
    body = sample(samples_dir, "binance_fapi_klines.json")
    inverse = [[1704067200000, "42305.5", "42585.1", "42282.7", "42494.9", "501936", 1704070799999, "1182.37349595", 12750,
                "258259", "608.40983273", "0"]]  # fmt: skip
    pages = [
        page(body),
        page(inverse, subject="BTCUSD_PERP", endpoint="dapi"),
        page(body, subject="BTC/USDT", endpoint="spot"),
    ]
    rows, _ = parsed("binance", "candles", pages, INVERSE)["candles"]
    linear, coin, spot = rows.iter_rows(named=True)
    assert (linear["open"], linear["high"], linear["low"], linear["close"]) == (0.0163479, 0.8, 0.015758, 0.015771)
    assert (linear["volume_base"], linear["volume_quote"], linear["taker_buy_base"]) == (
        148976.11427815,
        2434.19055334,
        1756.87402397,
    )
    assert (linear["trades"], linear["opened_at"]) == (308, datetime(2017, 7, 3))
    assert linear["available_at"] == datetime(2017, 7, 3, 1)
    assert (coin["volume_base"], coin["volume_quote"]) == (1182.37349595, 50_193_600.0)
    assert (linear["market"], coin["market"], spot["market"], spot["instrument"]) == (
        "perp",
        "perp",
        "spot",
        "BTC/USDT",
    )


def test_instruments_have_sizes_and_multipliers(samples_dir: Path) -> None:
    pages = [
        page(sample(samples_dir, "binance_fapi_exchangeInfo_excerpt.json"), subject="*", endpoint="fapi"),
        page(sample(samples_dir, "binance_dapi_exchangeInfo_excerpt.json"), subject="*", endpoint="dapi"),
        page([{"symbol": "BTCUSDT", "price": "1"}, {"symbol": "BTCUAH", "price": "1"}], subject="*", endpoint="spot"),
    ]
    rows, rejects = parsed("binance", "instruments", pages)["instruments"]
    columns = ["instrument", "asset", "quote", "contract_type", "contract_size", "multiplier", "listed_at"]
    assert rows.select(columns).rows() == [
        ("BTCUSDT", "BTC", "USDT", "linear", None, 1.0, datetime(2019, 9, 25, 8)),
        ("1000SHIBUSDT", "SHIB", "USDT", "linear", None, 1000.0, datetime(2021, 5, 10, 7)),
        ("BTCUSD_PERP", "BTC", "USD", "inverse", 100.0, 1.0, datetime(2020, 8, 10, 7)),
        ("ETHUSD_PERP", "ETH", "USD", "inverse", 10.0, 1.0, datetime(2020, 8, 18, 7)),
        ("BTC/USDT", "BTC", "USDT", "spot", None, 1.0, None),
    ]
    assert rows["delisted_at"].null_count() == rows.height  # 2100-12-25 is never
    assert rejects.height == 0


def chain_pages(interest: bytes, **changes: Any) -> list[Page]:
    name = "ETH-221119-1175-P"
    option = {
        "symbol": name,
        "side": "PUT",
        "strikePrice": "1175",
        "underlying": "ETHUSDT",
        "unit": 1,
        "expiryDate": 1668844800000,
    }
    mark = {"symbol": name, "markPrice": "12.17", "markIV": "0.85", "delta": "-0.35"} | changes
    return [
        page({"optionSymbols": [option]}, path="/eapi/v1/exchangeInfo"),
        page(interest, path="/eapi/v1/openInterest"),
        page([mark], path="/eapi/v1/mark"),
        page([{"symbol": name, "volume": "2.5"}], path="/eapi/v1/ticker"),
        page({"time": 1, "indexPrice": "1217"}, path="/eapi/v1/index", underlying="ETHUSDT"),
    ]


def test_an_option_is_joined_from_four_responses(samples_dir: Path) -> None:
    pages = chain_pages(sample(samples_dir, "binance_eapi_openInterest.json"))
    rows, _ = parsed("binance", "option_chain", pages)["option_chain"]
    [row] = rows.iter_rows(named=True)
    # 4.01 contracts of one ether, worth 4,880 dollars at 1,217; a mark of 12.17 tether is a hundredth of an ether.
    assert (row["instrument"], row["underlying"], row["option_type"]) == ("ETH-221119-1175-P", "ETH", "put")
    assert (row["expiry_date"], row["strike"], row["oi_base"]) == (date(2022, 11, 19), 1175.0, 4.01)
    assert (row["mark_price_base"], row["mark_iv"], row["delta"]) == (pytest.approx(0.01), 0.85, -0.35)
    assert (row["volume_24h_base"], row["index_price"], row["snapshot_at"]) == (2.5, 1217.0, datetime(2024, 3, 10, 6))


def test_a_volatility_below_zero_is_none(samples_dir: Path) -> None:
    pages = chain_pages(sample(samples_dir, "binance_eapi_openInterest.json"), markIV="-1.0")
    assert parsed("binance", "option_chain", pages)["option_chain"][0]["mark_iv"].to_list() == [None]


def test_a_missing_field_is_an_error_that_names_it() -> None:
    with pytest.raises(SourceFormatError, match="missing field 'sumOpenInterestValue'"):
        parsed("binance", "open_interest", [page([{"sumOpenInterest": "1", "timestamp": 1}])], LINEAR)


# Over HTTP


def test_open_interest_over_http_matches_the_market_after_loading(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    with serve("binance", settings=settings) as (_, served):
        assert dict(fetch_feed(served, "open_interest", clock).failures) == {}
        got = loaded(served, "open_interest", clock=clock).sort("event_at")
        assert quarantined(served).height == 0
    assert set(got["trade_date"]) == {FIRST, date(2024, 3, 6), LAST}
    for name in ("BTCUSDT", "1000PEPEUSDT", "BTCUSD_PERP"):
        expected = MARKET.open_interest(BY_NAME[name], 5, START + FIVE, END + FIVE)
        expected = expected.with_columns(pl.col("oi_base") / BY_NAME[name].multiplier)
        assert_frame_equal(got.filter(instrument=name).select("event_at", "oi_base", "oi_usd"), expected)


def test_ratios_funding_and_candles_over_http_match_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("binance", settings=settings) as (_, served):
        for feed in ("long_short_ratios", "funding", "candles"):
            assert dict(fetch_feed(served, feed, clock).failures) == {}
    ratios = landed(served, "binance.long_short_ratios")["long_short_ratios"].sort("event_at")
    for measure in emulated.MEASURES.values():
        matching = ratios.filter(instrument="BTCUSDT", measure=measure).select("event_at", "ratio")
        assert_frame_equal(matching, MARKET.ratios(BY_NAME["BTCUSDT"], measure, 5, START + FIVE, END + FIVE))
    coin = ratios.filter(instrument="BTCUSD_PERP")
    assert set(coin["measure"]) == {"account_global", "account_top", "position_top"}
    expected = MARKET.ratios(BY_NAME["BTCUSD_PERP"], "account_top", 5, START + FIVE, END + FIVE)
    assert_frame_equal(coin.filter(measure="account_top").select("event_at", "ratio"), expected)
    funding = landed(served, "binance.funding")["funding_rates"].sort("settled_at")
    candles = landed(served, "binance.candles")["candles"].sort("opened_at")
    for name in ("1000PEPEUSDT", "BTCUSD_PERP", "BTC/USDT"):
        listing = BY_NAME[name]
        if listing.contract_type != "spot":
            columns = ["settled_at", "rate", "mark_price"]
            settled = MARKET.funding(listing, START, END).with_columns(pl.col("mark_price") * listing.multiplier)
            assert_frame_equal(funding.filter(instrument=name).select(columns), settled.select(columns))
        multiplier = listing.multiplier
        expected = MARKET.candles(
            listing, "spot" if listing.contract_type == "spot" else "perp", 60, START, END
        ).with_columns(
            *(pl.col(c) * multiplier for c in ("open", "high", "low", "close")),
            *(pl.col(c) / multiplier for c in ("volume_base", "taker_buy_base")),
        )
        assert_frame_equal(candles.filter(instrument=name).select(expected.columns), expected)


def test_the_option_chain_over_http_matches_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("binance", settings=settings) as (_, served):
        assert dict(fetch_feed(served, "option_chain", clock).failures) == {}
    got = landed(served, "binance.option_chain")["option_chain"]
    expected = pl.concat(
        [MARKET.option_chain(asset, clock.now).with_columns(underlying=pl.lit(asset)) for asset in ("BTC", "ETH")]
    )
    columns = ["underlying", "expiry_date", "strike", "option_type"]
    measures = ["oi_base", "volume_24h_base", "mark_iv", "mark_price_base", "index_price", "delta"]
    assert_frame_equal(got.sort(columns).select(columns + measures), expected.sort(columns).select(columns + measures))
    assert got["snapshot_at"].n_unique() == 1


def test_current_open_interest_over_http_is_that_of_the_capture_time(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    with serve("binance", settings=settings) as (_, served):
        assert dict(fetch_feed(served, "current_open_interest", clock).failures) == {}
    got = landed(served, "binance.current_open_interest")["open_interest"]
    now = datetime(2024, 3, 10, 6)
    for name, unit in (("BTCUSDT", "oi_base"), ("1000PEPEUSDT", "oi_base"), ("BTCUSD_PERP", "oi_usd")):
        expected = MARKET.open_interest(BY_NAME[name], 5, now, now + FIVE)
        multiplier = BY_NAME[name].multiplier if unit == "oi_base" else 1
        [row] = got.filter(instrument=name).iter_rows(named=True)
        assert row[unit] == pytest.approx(expected[unit][0] / multiplier, abs=1e-6)
        # The clock of the tests ticks by the microsecond; the venue's is in milliseconds.
        assert row["event_at"] == row["available_at"] == now


@pytest.mark.parametrize("margin", ["linear", "inverse"])
def test_a_prediction_is_of_the_next_settlement(settings: Settings, serve: Serve, clock: Clock, margin: str) -> None:
    with serve("binance", settings=settings) as (_, served):
        fetch_feed(served, "predicted_funding", clock)
    name = {"linear": "BTCUSDT", "inverse": "BTCUSD_PERP"}[margin]
    [row] = landed(served, "binance.predicted_funding")["funding_rates"].filter(instrument=name).iter_rows(named=True)
    expected = MARKET.funding(BY_NAME[name], datetime(2024, 3, 10, 8), datetime(2024, 3, 10, 9))
    assert (row["kind"], row["settled_at"], row["rate"]) == ("predicted", datetime(2024, 3, 10, 8), expected["rate"][0])


# At least 60 rows per page, so that the client's rate limits do not delay the test.
@hypothesis_settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(3, 40), data_limit=st.integers(60, 400), minutes=st.integers(60, 1440), newest_first=st.booleans()
)  # fmt: skip
def test_size_and_order_of_pages_change_nothing(
    serve: Serve,
    clock: Clock,
    tmp_path_factory: pytest.TempPathFactory,
    limit: int,
    data_limit: int,
    minutes: int,
    newest_first: bool,
) -> None:
    def reverse(body: bytes) -> bytes:
        found = orjson.loads(body)
        return orjson.dumps(found[::-1]) if newest_first and isinstance(found, list) else body

    settings = Settings(home=tmp_path_factory.mktemp("home"))
    faults = [Fault("openInterestHist", "rewrite", times=10**6, change=reverse)]
    with pytest.MonkeyPatch.context() as patch, serve("binance", settings=settings, faults=faults) as (_, served):
        patch.setattr(binance_history, "DATA_LIMIT", data_limit)
        patch.setattr(binance_history, "DAY_MS", minutes * 60_000)
        patch.setattr(binance_history, "FUNDING_LIMIT", limit)
        patch.setattr(binance_history, "KLINES_LIMIT", limit)
        for feed in ("open_interest", "funding", "candles"):
            assert dict(fetch_feed(served, feed, clock, first=LAST).failures) == {}
    stamps = {"open_interest": "event_at", "funding": "settled_at", "candles": "opened_at"}
    day, after = datetime(2024, 3, 7), datetime(2024, 3, 8)
    expected = {
        "open_interest": MARKET.open_interest(BY_NAME["BTCUSDT"], 5, day + FIVE, after + FIVE)["event_at"],
        "funding": MARKET.funding(BY_NAME["BTCUSDT"], day, after)["settled_at"],
        "candles": MARKET.candles(BY_NAME["BTCUSDT"], "perp", 60, day, after)["opened_at"],
    }
    for feed, stamp in stamps.items():
        [rows] = landed(served, f"binance.{feed}").values()
        matching = rows.filter(instrument="BTCUSDT").unique().sort(stamp)
        assert matching[stamp].to_list() == expected[feed].to_list()


# Limits and refusals


def test_days_beyond_binances_retention_are_not_requested() -> None:
    feed = registry.venue("binance").feed("open_interest")
    for hour in (1, 6, 23):
        now = datetime(2024, 3, 31, hour)
        first = plan_days(feed, date(2024, 1, 1), date(2024, 3, 30), now=now, landed=())[0]
        assert now - timedelta(days=30) <= first.span.start < now - timedelta(days=28)


def test_days_that_binance_keeps_no_longer_are_settled_and_no_failure(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    with serve("binance", settings=settings) as (_, served), pytest.MonkeyPatch.context() as patch:
        patch.setattr(emulated, "KEPT", timedelta(days=1))
        report = fetch_feed(served, "open_interest", clock)
    assert not report.failures
    assert report.gone["BTCUSDT"][0] == date(2024, 3, 5)


def test_a_delisted_instrument_is_empty_and_not_a_failure(settings: Settings, serve: Serve, clock: Clock) -> None:
    gone = Fault("fundingRate", "status", status=400, body=b'{"code":-1121,"msg":"Invalid symbol."}', times=99)
    with serve("binance", settings=settings, faults=[gone]) as (_, served):
        report = fetch_feed(served, "funding", clock, first=LAST)
    assert dict(report.failures) == {}
    assert set(report.landings[0].request["covers"].values()) == {"empty"}


@pytest.mark.parametrize(
    ("code", "kind"), [(-1003, ThrottledError), (-1001, VenueUnavailableError), (-1102, RequestRefusedError)]
)
def test_an_error_code_with_status_200_is_classified(code: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=str(code)):
        wire.check(page({"code": code, "msg": "no"}))
    wire.check(page({"code": 200, "msg": "fine"}))


def test_a_restricted_region_is_a_permanent_error_that_names_it(settings: Settings, serve: Serve, clock: Clock) -> None:
    blocked = Fault("exchangeInfo", "status", status=451, times=9)
    with serve("binance", settings=settings, faults=[blocked]) as (_, served):
        reports = fetch(served, "binance", ["instruments"], retry=FAST_RETRY, clock=clock)
    error = next(iter(reports[0].failures.values()))
    assert isinstance(error, BlockedError)
    assert "region" in str(error)


def test_a_candle_request_has_the_limit_and_weight_of_a_day(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("binance", settings=settings) as (emulator, served):
        fetch_feed(served, "candles", clock, first=LAST)
        requested = [hit.params["limit"] for hit in emulator.hits if hit.where.endswith("/klines")]
    assert requested == ["25"] * 5  # below 100, a page costs 1; one request per instrument and day


# The emulator matches the samples


def emulate(endpoint: str, path: str, **params: str) -> Any:
    route = next(r for r in emulated.ROUTES if (r.endpoint, r.path) == (endpoint, path))
    now = datetime(2024, 3, 10, 6)
    bounds = {"startTime": str(Span.of_days(LAST, LAST).start_ms), "endTime": str(Span.of_days(LAST, LAST).end_ms)}
    answer = route.handler(Request("GET", endpoint, path, {**bounds, **params}, b"", now), MARKET)
    assert answer.status == 200
    return orjson.loads(answer.body)


SHAPES = [
    ("open_interest_historical", "/futures/data/openInterestHist", {"symbol": "BTCUSDT", "period": "5m"}, set()),
    (
        "global_long_short_account_ratio",
        "/futures/data/globalLongShortAccountRatio",
        {"symbol": "BTCUSDT", "period": "5m"},
        set(),
    ),
    ("taker_long_short_ratio", "/futures/data/takerlongshortRatio", {"symbol": "BTCUSDT", "period": "5m"}, set()),
    ("funding_rate", "/fapi/v1/fundingRate", {"symbol": "BTCUSDT"}, {"markPrice"}),  # newer than the sample
    ("premium_index", "/fapi/v1/premiumIndex", {"symbol": "BTCUSDT"}, set()),
    ("open_interest", "/fapi/v1/openInterest", {"symbol": "BTCUSDT"}, set()),
    ("klines", "/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1h"}, set()),
]


@pytest.mark.parametrize(("name", "path", "params", "newer"), SHAPES, ids=[shape[0] for shape in SHAPES])
def test_emulated_responses_have_the_fields_and_types_of_real_ones(
    samples_dir: Path, name: str, path: str, params: dict[str, str], newer: set[str]
) -> None:
    def shape(answer: Any) -> Any:
        record = answer[0] if isinstance(answer, list) else answer
        if isinstance(record, list):
            return [type(cell).__name__ for cell in record]
        return {key: type(cell).__name__ for key, cell in record.items() if key not in newer}

    real = orjson.loads(sample(samples_dir, f"binance_fapi_{name}.json"))
    assert shape(emulate("fapi", path, **params)) == shape(real)


@pytest.mark.parametrize("endpoint", ["fapi", "dapi"])
def test_emulated_contracts_have_fields_of_real_ones(samples_dir: Path, endpoint: str) -> None:
    real = orjson.loads(sample(samples_dir, f"binance_{endpoint}_exchangeInfo_excerpt.json"))["symbols"][0]
    response = emulate(endpoint, f"/{endpoint}/v1/exchangeInfo")["symbols"][0]
    assert {key: type(cell).__name__ for key, cell in response.items()} == {
        key: type(real[key]).__name__ for key in response
    }


def test_emulated_option_interest_has_the_fields_of_real_ones(samples_dir: Path) -> None:
    [real] = orjson.loads(sample(samples_dir, "binance_eapi_openInterest.json"))
    response = emulate("eapi", "/eapi/v1/openInterest", underlyingAsset="ETH", expiration="240311")[0]
    assert {key: type(cell).__name__ for key, cell in response.items()} == {
        key: type(cell).__name__ for key, cell in real.items()
    }
