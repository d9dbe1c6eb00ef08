"""Bybit: parsing of recorded payloads, and history fetched over HTTP from an emulator with known data."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.core.errors import RequestRefusedError
from pipelines.core.settings import Settings
from pipelines.extract.venue import Context, Job, Page, Span
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Fault, Request
from pipelines.sandbox.market_model import AnalyticMarket, Market
from pipelines.sandbox.venues import bybit as emulated
from pipelines.sources.cex.bybit import venue as bybit
from pipelines.sources.cex.bybit import wire
from pipelines.sources.instruments import SCHEMA
from tests.sources.conftest import FAST_RETRY, NOW, Clock, Serve, loaded, parse_payloads, quarantined, sample
from tests.sources.in_process import InProcessApi, fetch_pages, rows

MARKET = AnalyticMarket()
# bybit_ws_liquidations.jsonl is from the websocket, which is not read; recordings of it are imported (test_recordings).


def known_as(instrument: str, contract_type: str) -> pl.DataFrame:
    row = {"venue": "bybit", "instrument": instrument, "contract_type": contract_type}
    return pl.DataFrame([{**dict.fromkeys(SCHEMA), **row}], schema=SCHEMA)


def test_inverse_open_interest_is_in_dollars_and_one_sided_if_published_so(samples_dir: Path) -> None:
    [parsed] = parse_payloads(
        "bybit", "open_interest", [sample(samples_dir, "bybit_v5_open_interest.json")],
        subject="BTCUSD", instruments=known_as("BTCUSD", "inverse"),
    )  # fmt: skip
    first = parsed.rows.row(0, named=True)
    # 63,910,691 counts both sides; the payload's own singleOpenInterest is 31,955,346 contracts of one dollar.
    assert (first["oi_usd"], first["oi_base"], first["counting"]) == (31_955_346.0, None, "one_sided")
    assert first["event_at"] == datetime(2026, 6, 9)


def test_both_sides_are_halved_where_one_side_is_not_given() -> None:
    body = b'{"retCode":0,"result":{"list":[{"openInterest":"461134384.00","timestamp":"1669571400000"}]}}'
    [parsed] = parse_payloads(
        "bybit", "open_interest", [body], subject="BTCUSDT", instruments=known_as("BTCUSDT", "linear")
    )
    row = parsed.rows.row(0, named=True)
    assert (row["oi_base"], row["oi_raw"], row["counting"]) == (230_567_192.0, 461_134_384.0, "halved")


@pytest.mark.parametrize("name", ["bybit_funding_history.json", "bybit_v5_history_fund_rate.json"])
def test_funding_is_a_fraction_of_the_interval(samples_dir: Path, name: str) -> None:
    [parsed] = parse_payloads("bybit", "funding", [sample(samples_dir, name)], subject="BTCUSDT")
    assert parsed.rows["rate"][0] == 0.0001
    expected = datetime(2024, 3, 8, 8) if "history.json" in name else datetime(2022, 12, 26, 8)
    assert parsed.rows["settled_at"][0] == expected


def test_the_account_ratio_is_the_share_of_longs_over_that_of_shorts(samples_dir: Path) -> None:
    body = sample(samples_dir, "bybit_v5_long_short_ratio.json")
    [parsed] = parse_payloads("bybit", "long_short_ratios", [body], subject="BTCUSDT")
    newest, oldest = parsed.rows.iter_rows(named=True)
    # 0.49 / 0.51 and 0.4927 / 0.5073; 1696262400 is 2023-10-02 16:00 UTC.
    assert (newest["ratio"], newest["long_share"]) == (pytest.approx(0.960784, abs=1e-6), 0.49)
    assert (oldest["ratio"], oldest["long_share"]) == (pytest.approx(0.971220, abs=1e-6), 0.4927)
    assert (newest["measure"], newest["period"]) == ("account_global", "1h")
    assert (newest["event_at"], newest["available_at"]) == (datetime(2023, 10, 2, 16), datetime(2023, 10, 2, 17))


def test_volume_of_an_inverse_contract_is_in_dollars_and_its_turnover_in_coin(samples_dir: Path) -> None:
    body = sample(samples_dir, "bybit_v5_kline.json")
    [parsed] = parse_payloads("bybit", "candles", [body], subject="BTCUSD", instruments=known_as("BTCUSD", "inverse"))
    newest = parsed.rows.row(0, named=True)
    # 268,611 dollars at about 17,060 are 15.745 bitcoin. Newest first: 1670608800 is 2022-12-09 18:00 UTC.
    assert (newest["volume_base"], newest["volume_quote"]) == (15.74462667, 268_611.0)
    assert [newest[c] for c in ("open", "high", "low", "close")] == [17_071.0, 17_073.0, 17_027.0, 17_055.5]
    assert (newest["opened_at"], newest["available_at"]) == (datetime(2022, 12, 9, 18), datetime(2022, 12, 9, 19))
    assert parsed.rows["opened_at"].to_list() == [datetime(2022, 12, 9, hour) for hour in (18, 17, 16)]


def test_volume_of_linear_contracts_and_spot_pairs_is_in_coin() -> None:
    body = b'{"retCode":0,"result":{"list":[["1670608800000","10","12","9","11","5","55"]]}}'
    for name, kind, market in (("SOLUSDT", "linear", "perp"), ("SOL/USDT", "spot", "spot")):
        [parsed] = parse_payloads("bybit", "candles", [body], subject=name, instruments=known_as(name, kind))
        row = parsed.rows.row(0, named=True)
        assert (row["market"], row["volume_base"], row["volume_quote"]) == (market, 5.0, 55.0)


def test_an_open_candle_and_one_of_an_unknown_contract_are_rejected() -> None:
    body = b'{"retCode":0,"result":{"list":[["1670608800000","10","12","9","11","5","55"]]}}'
    known = known_as("SOLUSDT", "linear")
    [early] = parse_payloads(
        "bybit", "candles", [body], subject="SOLUSDT", instruments=known, at=datetime(2022, 12, 9, 18, 59)
    )
    [unknown] = parse_payloads("bybit", "candles", [body], subject="OLDUSDT", instruments=known)
    assert early.rejects is not None
    assert unknown.rejects is not None
    assert early.rows.height + unknown.rows.height == 0
    assert early.rejects.select("trade_date", "reason").row(0) == (date(2022, 12, 9), "undecodable")
    assert unknown.rejects["reason"].to_list() == ["unknown_instrument"]


def test_turnover_of_inverse_contracts_is_in_coin_and_does_not_rank_assets(samples_dir: Path) -> None:
    """BTCUSD's 115.69 is in bitcoin; read as dollars it would be the smallest market."""
    page = Page("*", {}, 200, NOW, sample(samples_dir, "bybit_v5_tickers.json"))
    assert bybit.turnover([page]) == {}


def test_an_option_is_named_by_its_expiry_and_its_mark_becomes_coin() -> None:
    # The documentation's own example, and one settled in tether.
    option = {
        "symbol": "BTC-30DEC22-18000-C", "markPrice": "1659.042", "indexPrice": "16600.55", "markIv": "0.7567",
        "underlyingPrice": "16590.42", "openInterest": "6.3", "volume24h": "0.15", "delta": "0.25",
    }  # fmt: skip
    tether = option | {"symbol": "ETH-6JAN23-1250-P-USDT", "delta": "-0.5", "underlyingPrice": "0"}
    nonsense = option | {"symbol": "BTC-18000-C"}
    body = orjson.dumps({"retCode": 0, "result": {"list": [option, tether, nonsense]}})
    at = datetime(2022, 12, 20, 6)
    [parsed] = parse_payloads("bybit", "option_chain", [body], at=at)
    first, second = parsed.rows.drop("_line").iter_rows(named=True)
    assert first == {
        "venue": "bybit", "instrument": "BTC-30DEC22-18000-C", "snapshot_at": at, "underlying": "BTC",
        "expiry_date": date(2022, 12, 30), "strike": 18_000.0, "option_type": "call", "oi_base": 6.3,
        "volume_24h_base": 0.15, "mark_iv": 0.7567, "mark_price_base": pytest.approx(0.1), "underlying_price": 16_590.42,
        "index_price": 16_600.55, "delta": 0.25, "available_at": at,
    }  # fmt: skip
    assert (second["underlying"], second["expiry_date"], second["option_type"]) == ("ETH", date(2023, 1, 6), "put")
    assert (second["underlying_price"], second["mark_price_base"]) == (None, None)
    assert parsed.rejects is not None
    assert parsed.rejects["instrument"].to_list() == ["BTC-18000-C"]


def test_a_spot_pair_has_a_slash_unlike_its_perpetual() -> None:
    pairs = [
        {"symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT"},
        {"symbol": "BTCPLN", "baseCoin": "BTC", "quoteCoin": "PLN"},
    ]
    body = orjson.dumps({"retCode": 0, "result": {"list": pairs}})
    [parsed] = parse_payloads("bybit", "instruments", [body], request={"params": {"category": "spot"}})
    [pair] = parsed.rows.iter_rows(named=True)
    assert (pair["instrument"], pair["contract_type"], pair["asset"], pair["quote"]) == (
        "BTC/USDT", "spot", "BTC", "USDT",
    )  # fmt: skip
    assert (pair["contract_size"], pair["listed_at"]) == (None, None)


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("open-interest", {"category": "linear", "symbol": "NOSUCHUSDT", "intervalTime": "5min"}),
        ("open-interest", {"category": "inverse", "symbol": "BTCUSDT", "intervalTime": "5min"}),
        ("funding/history", {"category": "linear", "symbol": "BTCUSDT", "startTime": "1"}),
        ("tickers", {"category": "option"}),
    ],
)
def test_a_refusal_in_a_200_is_an_error_with_its_reason(path: str, params: dict[str, str]) -> None:
    route = next(route for route in emulated.ROUTES if route.path == f"/v5/market/{path}")
    body = route.handler(Request("GET", "api", route.path, params, b"", NOW), MARKET).body
    with pytest.raises(RequestRefusedError, match="retCode 10001"):
        wire.check(Page("*", {"path": route.path}, 200, NOW, body))


def test_days_over_http_match_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    visits = Fault("account-ratio", "body", body=b'{"retCode":10006,"retMsg":"Too many visits!"}')
    with serve("bybit", settings=settings, faults=[visits]) as (_, served):
        reports = fetch(
            served, "bybit", first=date(2024, 2, 28), last=date(2024, 3, 5), assets=["BTC", "PEPE"],
            retry=replace(FAST_RETRY, longest_wait=6.0), clock=clock,
        )  # fmt: skip
    assert {report.source: report.failures for report in reports if report.failures} == {}
    start, end = datetime(2024, 2, 28), datetime(2024, 3, 6)
    states = (start + timedelta(minutes=5), end + timedelta(minutes=5))

    interest = loaded(served, "open_interest", clock=clock).sort("event_at")
    for name, amount in (("1000PEPEUSDT", "oi_base"), ("BTCUSD", "oi_usd")):
        listing = emulated.BY_NAME[name]
        expected = MARKET.open_interest(listing, 5, *states).select("event_at", pl.col(amount) / listing.multiplier)
        assert_frame_equal(interest.filter(instrument=name).select("event_at", amount), expected)

    funding = loaded(served, "funding_rates", clock=clock).sort("settled_at")
    settled = MARKET.funding(emulated.BY_NAME["BTCUSD"], start, end).select("settled_at", "rate")
    assert_frame_equal(funding.filter(instrument="BTCUSD").select("settled_at", "rate"), settled)

    ratios = loaded(served, "long_short_ratios", clock=clock).sort("event_at")
    hours = (start + timedelta(hours=1), end + timedelta(hours=1))
    # Bybit prints shares with four decimals.
    share = (pl.col("ratio") / (1 + pl.col("ratio"))).round(4).alias("long_share")
    expected = MARKET.ratios(emulated.BY_NAME["BTCUSD"], "account_global", 60, *hours).select("event_at", share)
    assert_frame_equal(ratios.filter(instrument="BTCUSD").select("event_at", "long_share"), expected)

    candles = loaded(served, "candles", clock=clock).sort("opened_at")
    assert set(candles["instrument"]) == {"BTCUSDT", "BTCUSD", "BTC/USDT", "1000PEPEUSDT"}
    columns = ("opened_at", "open", "high", "low", "close", "volume_base", "volume_quote")
    markets: list[tuple[str, Market, int]] = [
        ("BTC/USDT", "spot", 1),
        ("BTCUSD", "perp", 1),
        ("1000PEPEUSDT", "perp", 1000),
    ]
    for name, market, multiplier in markets:
        traded = MARKET.candles(emulated.BY_NAME[name], market, 60, start, end).select(
            "opened_at",
            *(pl.col(c) * multiplier for c in columns[1:5]),
            pl.col("volume_base") / multiplier,
            "volume_quote",
        )
        assert_frame_equal(candles.filter(instrument=name, market=market).select(columns), traded)

    chain = loaded(served, "option_chain", clock=clock)
    assert chain["snapshot_at"].n_unique() == 1
    keys = ("expiry_date", "strike", "option_type")
    expected = MARKET.option_chain("ETH", NOW).sort(keys)
    assert_frame_equal(chain.filter(underlying="ETH").sort(keys).select(expected.columns), expected)
    assert quarantined(served).is_empty()


# Any response behavior


BEHAVIORS = st.builds(
    emulated.ResponseBehavior, rows=st.integers(5, 300), overlap=st.integers(0, 4), newest_first=st.booleans()
)
KNOWN = pl.concat([known_as("BTCUSD", "inverse"), known_as("1000PEPEUSDT", "linear"), known_as("SOL/USDT", "spot")])
DAYS = Span.of_days(date(2024, 2, 1), date(2024, 2, 2))


@given(
    behavior=BEHAVIORS,
    feed=st.sampled_from(["open_interest", "funding", "long_short_ratios", "candles"]),
    data=st.data(),
)
@hypothesis_settings(max_examples=40, deadline=None)
def test_size_order_overlap_and_repetition_of_pages_change_nothing(
    behavior: emulated.ResponseBehavior, feed: str, data: st.DataObject
) -> None:
    venue_feed = bybit.VENUE.feed(feed)
    name = data.draw(st.sampled_from(["BTCUSD", "SOL/USDT"] if feed == "candles" else ["BTCUSD", "1000PEPEUSDT"]))
    job = Job(name, DAYS, KNOWN.row(by_predicate=pl.col("instrument") == name, named=True))
    results = []
    for variant in (emulated.DEFAULT_BEHAVIOR, behavior):
        pages = fetch_pages(venue_feed, InProcessApi(emulated.routes(variant), MARKET, NOW), job)
        repeated = data.draw(st.lists(st.sampled_from(pages), max_size=2))
        shuffled = data.draw(st.permutations([*pages, *repeated]))
        got = rows(list(venue_feed.parse(shuffled, Context("bybit", NOW, DAYS, KNOWN))))
        stamp = next(c for c in ("event_at", "settled_at", "opened_at") if c in got.columns)
        # Rows repeated beyond the bound are correct but belong to the next day.
        closed: Literal["left", "right"] = "right" if stamp == "event_at" else "left"
        results.append(got.filter(pl.col(stamp).is_between(DAYS.start, DAYS.end, closed=closed)).sort(stamp))
    assert_frame_equal(*results)
    assert results[0].height == {"open_interest": 576, "funding": 6, "long_short_ratios": 48, "candles": 48}[feed]
