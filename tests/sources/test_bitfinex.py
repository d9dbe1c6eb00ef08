"""Bitfinex: parsing of recorded payloads, and history fetched over HTTP from an emulator with known data."""

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
from pipelines.extract.venue import Job, Page, Span
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Request, Response
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import bitfinex as emulated
from pipelines.sources.cex import bitfinex
from pipelines.sources.instruments import SCHEMA
from tests.sources.conftest import FAST_RETRY, NOW, Clock, Serve, loaded, parse_payloads, quarantined, sample
from tests.sources.in_process import InProcessApi, context, fetch_pages, rows

MARKET = AnalyticMarket()
PAIRS = pl.DataFrame(
    [
        {**dict.fromkeys(SCHEMA), "instrument": name, "contract_type": "linear", "contract_size": 1.0}
        for name in emulated.BY_NAME
    ],
    schema=SCHEMA,
)


# Payloads


def test_a_negative_amount_is_a_short_closed_where_it_was_acquired(samples_dir: Path) -> None:
    [parsed] = parse_payloads(
        "bitfinex", "liquidations", [sample(samples_dir, "bitfinex_liquidations_hist.json")], instruments=PAIRS
    )
    row = parsed.rows.row(0, named=True)
    # A short of 8 AVAX opened at 32.868 and closed at 33.255: 266.04 dollars.
    assert (row["instrument"], row["side"], row["quantity_base"], row["price"]) == (
        "tAVAXF0:USTF0",
        "short",
        8.0,
        33.255,
    )
    assert row["notional_usd"] == pytest.approx(266.04, rel=1e-12)
    assert row["entry_price"] == 32.868
    assert row["occurred_at"] == datetime(2024, 1, 27, 22, 51, 59, 788_000)


def liquidated(*rows: tuple[int, float, int, float | None], symbol: str = "tBTCF0:USTF0") -> bytes:
    """(position, amount, is_match, price) as a response."""
    return orjson.dumps(
        [
            [["pos", position, 1_709_683_200_123, None, symbol, amount, 60_000, None, match, 1, None, price]]
            for position, amount, match, price in rows
        ]
    )


def test_the_trigger_is_not_counted_beside_its_executions() -> None:
    body = liquidated((1, 0.5, 0, None), (1, 0.2, 1, 59_000.0), (1, 0.3, 1, 58_900.0))
    [parsed] = parse_payloads("bitfinex", "liquidations", [body], instruments=PAIRS)
    assert parsed.rows["quantity_base"].to_list() == [0.2, 0.3]
    assert parsed.rows["side"].to_list() == ["long", "long"]
    assert parsed.rows["liquidation_id"].n_unique() == 2


def test_margin_positions_of_the_spot_market_are_no_perpetuals() -> None:
    [parsed] = parse_payloads(
        "bitfinex", "liquidations", [liquidated((1, 0.5, 1, 59_000.0), symbol="tBTCUSD")], instruments=PAIRS
    )
    assert parsed.rows.is_empty() and parsed.rejects is not None and parsed.rejects.is_empty()


def test_a_perpetual_that_was_never_listed_goes_to_quarantine() -> None:
    [parsed] = parse_payloads(
        "bitfinex", "liquidations", [liquidated((1, 0.5, 1, 1.0), symbol="tNEWF0:USTF0")], instruments=PAIRS
    )
    assert parsed.rejects is not None and parsed.rejects["reason"].to_list() == ["unknown_instrument"]


def test_open_interest_is_field_17_in_coins(samples_dir: Path) -> None:
    [parsed] = parse_payloads(
        "bitfinex", "open_interest", [sample(samples_dir, "bitfinex_status_deriv_hist.json")], subject="tBTCF0:USTF0"
    )
    row = parsed.rows.row(0, named=True)
    assert (row["oi_base"], row["oi_raw_unit"]) == (5775.20348804, "base")
    assert row["event_at"] == datetime(2024, 1, 26, 18, 53, 11)


def test_a_record_of_fewer_fields_is_an_error(samples_dir: Path) -> None:
    [[whole]] = orjson.loads(sample(samples_dir, "bitfinex_liquidations_hist.json"))
    with pytest.raises(SourceFormatError, match="expected 12 fields in a record, got 11"):
        parse_payloads("bitfinex", "liquidations", [orjson.dumps([[whole[:-1]]])], instruments=PAIRS)


def ask(path: str, **params: str) -> Response:
    route = next(route for route in emulated.ROUTES if route.path == path)
    return route.handler(Request("GET", "api", path, params, b"", NOW), MARKET)


def test_the_emulator_refuses_more_rows_than_bitfinex_gives() -> None:
    assert ask("/v2/liquidations/hist", limit="501").content[:2] == ["error", 10020]


@pytest.mark.parametrize(
    ("body", "error"),
    [(b'["error",11010,"ratelimit: error"]', ThrottledError), (b'["error",10020,"x"]', RequestRefusedError)],
)
def test_an_error_in_a_200_is_raised(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        bitfinex.check(Page("*", {}, 200, NOW, body))


# Over HTTP


def test_a_day_over_http_matches_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("bitfinex", settings=settings) as (emulator, served):
        reports = fetch(
            served, "bitfinex", first=date(2024, 3, 8), last=date(2024, 3, 8), assets=["BTC", "AVAX"],
            retry=FAST_RETRY, clock=clock,
        )  # fmt: skip
    assert {report.source: dict(report.failures) for report in reports if report.failures} == {}
    # A second request within 20 seconds would be blocked for minutes.
    assert emulator.most_in("bitfinex", 20.0, where="liquidations") == 1
    start, end = datetime(2024, 3, 8), datetime(2024, 3, 9)
    hour = timedelta(hours=1)
    interest = loaded(served, "open_interest", clock=clock)
    expected = MARKET.open_interest(emulated.BY_NAME["tAVAXF0:USTF0"], 60, start + hour, end + hour)
    got = interest.filter(instrument="tAVAXF0:USTF0").sort("event_at")
    assert_frame_equal(got.select("event_at", "oi_base"), expected.select("event_at", "oi_base"))
    assert got["trade_date"].unique().to_list() == [date(2024, 3, 8)]
    forced = loaded(served, "liquidations", clock=clock).filter(instrument="tBTCF0:USTF0").sort("occurred_at")
    events = MARKET.liquidations(emulated.BY_NAME["tBTCF0:USTF0"], start, end)
    columns = ("occurred_at", "side", "price", "quantity_base")
    assert_frame_equal(forced.select(columns), events.select(columns))
    assert quarantined(served).is_empty()


# Any response behavior


@given(minutes=st.integers(3, 60), nested=st.booleans())
@hypothesis_settings(max_examples=8, deadline=None)
def test_pages_that_share_their_edges_lose_and_double_nothing(minutes: int, nested: bool) -> None:
    day = date(2024, 3, 8)
    crowded = AnalyticMarket(liquidation_minutes=minutes)
    venue_feed = bitfinex.VENUE.feed("liquidations")
    api = InProcessApi(emulated.routes(emulated.ResponseBehavior(nested=nested)), crowded, NOW)
    pages = fetch_pages(venue_feed, api, Job("*", Span.of_days(day, day)))
    got = rows(list(venue_feed.parse([*pages[::-1], *pages[:1]], context("bitfinex", PAIRS, at=datetime(2024, 3, 9)))))
    start, end = datetime(2024, 3, 8), datetime(2024, 3, 9)
    assert got.height == sum(crowded.liquidations(x, start, end).height for x in emulated.LISTINGS)
