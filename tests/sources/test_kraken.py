"""Kraken Futures: parsing of recorded payloads, and history fetched over HTTP from an emulator with known data."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.core.errors import RequestRefusedError, SourceFormatError, ThrottledError
from pipelines.core.settings import Settings
from pipelines.extract.venue import Context, Job, Page, Span
from pipelines.operations.fetch import fetch
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import kraken as emulated
from pipelines.sources.cex.kraken import venue as kraken
from pipelines.sources.cex.kraken import wire
from pipelines.sources.instruments import SCHEMA
from pipelines.storage.warehouse import writer
from tests.sources.conftest import FAST_RETRY, NOW, Clock, Serve, loaded, parse_payloads, quarantined, sample
from tests.sources.in_process import InProcessApi, fetch_pages, rows

MARKET = AnalyticMarket()
CONTRACTS = pl.DataFrame(
    [
        {**dict.fromkeys(SCHEMA), "instrument": x.instrument, "contract_type": x.contract_type, "contract_size": 1.0}
        for x in emulated.LISTINGS
    ],
    schema=SCHEMA,
)


# Payloads


def test_perpetuals_are_distinguished_from_dated_contracts_and_xbt_is_bitcoin(samples_dir: Path) -> None:
    listed = orjson.loads(sample(samples_dir, "krakenfutures_instruments.json"))["data"]
    now = {"symbol": "PF_XBTUSD", "contractSize": 1, "openingDate": "2022-03-22T00:00:00.000Z"}
    body = orjson.dumps({"result": "success", "instruments": [*listed, now]})
    [parsed] = parse_payloads("kraken", "instruments", [body])
    assert parsed.rows.select("instrument", "asset", "contract_type", "contract_size_unit").rows() == [
        ("PI_XBTUSD", "BTC", "inverse", "usd"),
        ("PF_XBTUSD", "BTC", "linear", "base"),
    ]
    assert parsed.rows["listed_at"].to_list() == [None, datetime(2022, 3, 22)]


def test_funding_is_the_relative_rate_of_the_span(samples_dir: Path) -> None:
    [parsed] = parse_payloads(
        "kraken", "funding", [sample(samples_dir, "krakenfutures_historical_funding_rates.json")],
        subject="PF_XBTUSD", at=datetime(2025, 7, 11, 12),
    )  # fmt: skip
    # The span is the 24 hours from 2025-07-10 12:00; fundingRate, dollars per contract, would be half of these.
    assert parsed.rows.select("settled_at", "rate").rows() == [
        (datetime(2025, 7, 11, 8), 0.0001),
        (datetime(2025, 7, 11), -0.00005),
        (datetime(2025, 7, 10, 16), 0.00015),
    ]


def test_a_candle_of_the_inverse_contract_has_its_volume_in_dollars(samples_dir: Path) -> None:
    [parsed] = parse_payloads(
        "kraken", "candles", [sample(samples_dir, "krakenfutures_charts_candles_trade.json")],
        subject="PI_XBTUSD", instruments=CONTRACTS, at=datetime(2024, 11, 16, 6),
    )  # fmt: skip
    row = parsed.rows.row(0, named=True)
    # 1,731,715,200,000 is 2024-11-16 00:00; 319,499 contracts of a dollar.
    assert (row["opened_at"], row["open"], row["close"]) == (datetime(2024, 11, 16), 91_069.0, 91_045.5)
    assert (row["volume_quote"], row["volume_base"]) == (319_499.0, None)
    assert row["available_at"] == datetime(2024, 11, 16, 1)


def analytics(stamps: list[int], data: list[object], **result: object) -> bytes:
    return orjson.dumps({"result": {"timestamp": stamps, "data": data, "more": False} | result, "errors": []})


@pytest.mark.parametrize("unit", [1, 1000])
def test_open_interest_is_the_close_of_its_bucket_at_its_end(unit: int) -> None:
    # 1,709,683,200 is 2024-03-06 00:00.
    body = analytics([1_709_683_200 * unit], [["2192.1", "2193.8", "2192.0", "2193.7"]])
    [parsed] = parse_payloads(
        "kraken", "open_interest", [body], subject="PF_XBTUSD", instruments=CONTRACTS, at=datetime(2024, 3, 7)
    )
    row = parsed.rows.row(0, named=True)
    assert (row["oi_base"], row["oi_usd"], row["event_at"]) == (2193.7, None, datetime(2024, 3, 6, 0, 5))


def test_tickers_have_the_current_open_interest(samples_dir: Path) -> None:
    at = datetime(2025, 11, 17, 0, 34, 38)
    body = orjson.loads(sample(samples_dir, "krakenfutures_tickers.json"))
    body["tickers"] += [{"symbol": "in_xbtusd", "last": 91_468.4}, {"symbol": "PF_NEWUSD", "openInterest": 5.0}]
    [parsed] = parse_payloads("kraken", "current_open_interest", [orjson.dumps(body)], instruments=CONTRACTS, at=at)
    # 21,279,580 contracts of a dollar, a million of an ether; the index has none.
    columns = ("instrument", "period", "event_at", "oi_base", "oi_usd", "oi_raw_unit")
    assert parsed.rows.select(columns).rows() == [
        ("PI_XBTUSD", "snapshot", at, None, 21_279_580.0, "contracts"),
        ("PF_ETHUSD", "snapshot", at, 1_000_000.0, None, "contracts"),
    ]
    assert parsed.rejects is not None
    assert parsed.rejects.select("instrument", "reason").rows() == [("PF_NEWUSD", "unknown_instrument")]


def test_accounts_give_a_ratio_and_no_accounts_give_none() -> None:
    # 30 long and 20 short accounts (60%); 5 long and none short; no accounts.
    counted = {"longCount": [30, 5, 0], "shortCount": [20, 0, 0], "ratio": ["0.6", "1", "0"]}
    stamps = [1_709_683_200, 1_709_683_500, 1_709_683_800]
    [parsed] = parse_payloads(
        "kraken", "long_short_info", [analytics(stamps, counted)],  # type: ignore[arg-type]
        subject="PF_XBTUSD", at=datetime(2024, 3, 7),
    )  # fmt: skip
    assert parsed.rows.select("event_at", "ratio", "long_share").rows() == [
        (datetime(2024, 3, 6, 0, 5), 1.5, 0.6),
        (datetime(2024, 3, 6, 0, 10), None, 1.0),
    ]
    assert parsed.rejects is not None and parsed.rejects["reason"].to_list() == ["sentinel"]


@pytest.mark.parametrize(("stamps", "data"), [([1], []), ([1], ["5.5"]), ([1], [["1", "2"]])])
def test_another_shape_of_the_analytics_is_an_error(stamps: list[int], data: list[object]) -> None:
    with pytest.raises(SourceFormatError):
        parse_payloads("kraken", "open_interest", [analytics(stamps, data)], subject="PF_XBTUSD", instruments=CONTRACTS)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"result":"error","error":"apiLimitExceeded"}', ThrottledError),
        (b'{"result":"error","error":"contractNotFound"}', RequestRefusedError),
        (b'{"errors":[{"type":"Invalid arguments"}]}', RequestRefusedError),
    ],
)
def test_an_error_in_a_200_is_raised(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        wire.check(Page("*", {}, 200, NOW, body))
    wire.check(Page("*", {}, 200, NOW, analytics([], [])))


# Over HTTP


def test_a_day_over_http_matches_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("kraken", settings=settings) as (_, served):
        reports = fetch(
            served, "kraken", first=date(2024, 3, 8), last=date(2024, 3, 8), assets=["BTC", "PEPE"],
            retry=FAST_RETRY, clock=clock,
        )  # fmt: skip
    assert {report.source: dict(report.failures) for report in reports if report.failures} == {}
    start, end = datetime(2024, 3, 8), datetime(2024, 3, 9)
    five = timedelta(minutes=5)
    interest = loaded(served, "open_interest", clock=clock).filter(period="5m")
    for name, unit in (("PF_PEPEUSD", "oi_base"), ("PI_XBTUSD", "oi_usd")):
        expected = MARKET.open_interest(emulated.BY_NAME[name], 5, start + five, end + five)
        got = interest.filter(instrument=name).sort("event_at")
        assert_frame_equal(got.select("event_at", unit), expected.select("event_at", unit))
    accounts = loaded(served, "long_short_ratios", clock=clock).filter(instrument="PI_XBTUSD").sort("event_at")
    expected = MARKET.ratios(emulated.BY_NAME["PI_XBTUSD"], "account_global", 5, start + five, end + five)
    shares = expected.select("event_at", (emulated.longs() / 1000).alias("long_share"))
    assert_frame_equal(accounts.select("event_at", "long_share"), shares)
    funding = loaded(served, "funding_rates", clock=clock).filter(instrument="PI_XBTUSD").sort("settled_at")
    settled = MARKET.funding(emulated.BY_NAME["PI_XBTUSD"], start, end)
    assert_frame_equal(funding.select("settled_at", "rate"), settled.select("settled_at", "rate"))
    candles = loaded(served, "candles", clock=clock).sort("opened_at")
    for name, volume in (("PF_PEPEUSD", "volume_base"), ("PI_XBTUSD", "volume_quote")):
        columns = ("opened_at", "open", "high", "low", "close", volume)
        traded = MARKET.candles(emulated.BY_NAME[name], "perp", 60, start, end)
        assert_frame_equal(candles.filter(instrument=name).select(columns), traded.select(columns), rel_tol=1e-12)
    assert quarantined(served).is_empty()


def test_current_open_interest_over_http_matches_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("kraken", settings=settings) as (_, served):
        reports = fetch(served, "kraken", feeds=["instruments", "current_open_interest"], retry=FAST_RETRY, clock=clock)
    assert {report.source: dict(report.failures) for report in reports if report.failures} == {}
    got = loaded(served, "open_interest", clock=clock)
    assert set(got["instrument"]) == set(emulated.BY_NAME)
    for name, unit in (("PF_PEPEUSD", "oi_base"), ("PI_XBTUSD", "oi_usd")):
        expected = MARKET.open_interest(emulated.BY_NAME[name], 5, NOW, NOW + timedelta(minutes=5))
        [row] = got.filter(instrument=name).iter_rows(named=True)
        assert row[unit] == expected[unit][0]
    assert quarantined(served).is_empty()


def test_captures_are_compared_with_the_slots_of_the_day(settings: Settings, serve: Serve, clock: Clock) -> None:
    # Two versions of one slot; a day without; two of the first three slots of the newest.
    moments = (
        datetime(2024, 3, 8, 22, 5),
        datetime(2024, 3, 8, 22, 35),
        datetime(2024, 3, 10, 0, 5),
        datetime(2024, 3, 10, 2, 5),
    )
    with serve("kraken", settings=settings) as (_, served):
        for clock.now in moments:
            fetch(
                served, "kraken", feeds=["instruments", "current_open_interest"], again=True, retry=FAST_RETRY, clock=clock
            )  # fmt: skip
    loaded(served, "open_interest", clock=clock)
    with writer(served, what="test") as con:
        coverage = con.sql(
            "select distinct trade_date, expected, present, status, detail from ops.coverage order by 1"
        ).fetchall()
    assert coverage == [
        (date(2024, 3, 8), 24, 1, "partial", "captured 1 of 24 slots"),
        (date(2024, 3, 9), 24, 0, "missing", "captured 0 of 24 slots"),
        (date(2024, 3, 10), 3, 2, "partial", "captured 2 of 3 slots"),
    ]


def test_a_year_of_funding_is_one_request_per_contract(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("kraken", settings=settings) as (emulator, served):

        def fetch_feed(last: date) -> int:
            before = len(emulator.hits)
            fetch(
                served, "kraken", ["funding"], first=date(2023, 3, 1), last=last, assets=["BTC", "ETH"], retry=FAST_RETRY,
                clock=clock,
            )  # fmt: skip
            return sum("historicalfundingrates" in str(hit) for hit in emulator.hits[before:])

        # PF_XBTUSD, PI_XBTUSD and PF_ETHUSD.
        assert fetch_feed(date(2024, 2, 29)) == 3
        assert fetch_feed(date(2024, 2, 29)) == 0
        # Nine days later: eight in a row, and one that may still be restated.
        assert fetch_feed(date(2024, 3, 9)) == 6
        clock.now += timedelta(hours=7)
        assert fetch_feed(date(2024, 3, 9)) == 3


# Any response behavior


@given(
    behavior=st.builds(
        emulated.ResponseBehavior, rows=st.integers(5, 400), overlap=st.integers(0, 4), in_milliseconds=st.booleans()
    ),
    feed=st.sampled_from(["open_interest", "long_short_info", "candles"]),
)
@hypothesis_settings(max_examples=15, deadline=None)
def test_size_overlap_and_unit_of_pages_change_nothing(behavior: emulated.ResponseBehavior, feed: str) -> None:
    span = Span.of_days(date(2024, 3, 8), date(2024, 3, 8))
    venue_feed = kraken.VENUE.feed(feed)
    results = []
    for variant in (emulated.DEFAULT_BEHAVIOR, behavior):
        pages = fetch_pages(venue_feed, InProcessApi(emulated.routes(variant), MARKET, NOW), Job("PI_XBTUSD", span))
        known = Context("kraken", NOW, span, CONTRACTS)
        results.append(rows(list(venue_feed.parse([*pages[::-1], *pages[:1]], known))).sort("available_at"))
    assert results[0].height == (24 if feed == "candles" else 288)
    assert_frame_equal(results[0], results[1])


def test_a_more_flag_without_newer_rows_is_an_error_and_no_endless_loop() -> None:
    class Stuck(InProcessApi):
        async def get(self, path: str, **options: object) -> Page:
            return Page("PF_XBTUSD", {}, 200, NOW, analytics([1], [["1", "1", "1", "1"]], more=True))

    day = Span.of_days(date(2024, 3, 8), date(2024, 3, 8))
    with pytest.raises(SourceFormatError, match="no row is newer"):
        fetch_pages(kraken.VENUE.feed("open_interest"), Stuck((), MARKET, NOW), Job("PF_XBTUSD", day))
