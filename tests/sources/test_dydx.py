"""dYdX: parsing of recorded payloads, and history fetched over HTTP from an emulator with known data."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.core.errors import RequestRefusedError, SourceFormatError
from pipelines.core.settings import Settings
from pipelines.extract.venue import Context, Job, Page, Parsed, Span
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Fault, Request
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import dydx as emulated
from pipelines.sources.dex import dydx
from pipelines.sources.instruments import InstrumentHistory
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, quarantined
from tests.sources.in_process import InProcessApi, fetch_pages, page, rows

MARKET = AnalyticMarket()
NOW = datetime(2024, 3, 10, 6)
DAY = Span.of_days(date(2024, 3, 9), date(2024, 3, 9))
TRADES = "/trades/perpetualMarket/BTC-USD"


def known(span: Span = DAY) -> Context:
    return Context("dydx", NOW, span, InstrumentHistory.none())


def parsed(feed: str, content: dict[str, Any], span: Span = DAY) -> list[Parsed]:
    payload = page("/x", content, subject="BTC-USD", at=NOW)
    return list(dydx.VENUE.feed(feed).parse([payload], known(span)))


def recorded(samples_dir: Path) -> dict[str, Any]:
    path = samples_dir / "onchain" / "dydx" / "trades_liquidated_live_2026-09-17.json"
    answer: dict[str, Any] = orjson.loads(path.read_bytes())["response"]
    return answer


# Payloads


def test_recorded_trades_say_which_position_was_closed_and_how(samples_dir: Path) -> None:
    span = Span.of_days(date(2026, 9, 14), date(2026, 9, 15))
    [events] = parsed("liquidations", recorded(samples_dir), span)
    facts = events.rows.select("liquidation_id", "occurred_at", "side", "quantity_base", "price", "is_adl")
    # Three of four: one is an ordinary trade. A taker who sold was long.
    assert facts.rows() == [
        ("064aeb220000000200000005", datetime(2026, 9, 15, 20, 19, 50, 34_000), "long", 660.0, 1.276, False),
        ("064a1f5e0000000200000003", datetime(2026, 9, 14, 18, 45, 14, 924_000), "short", 14.7, 1.4731, False),
        ("064a1f5e0000000200000009", datetime(2026, 9, 14, 18, 45, 14, 924_000), "short", 2.5, 1.471, True),
    ]
    # 660 × 1.276; 14.7 × 1.4731; 2.5 × 1.471
    assert events.rows["notional_usd"].to_list() == pytest.approx([842.16, 21.65457, 3.6775])
    assert events.rows["completeness"].unique().to_list() == ["full"]


def test_trades_of_other_days_belong_to_other_landings(samples_dir: Path) -> None:
    [events] = parsed("liquidations", recorded(samples_dir), Span.of_days(date(2026, 9, 15), date(2026, 9, 15)))
    assert events.rows["liquidation_id"].to_list() == ["064aeb220000000200000005"]


def test_undecodable_trades_are_rejected(samples_dir: Path) -> None:
    answer = recorded(samples_dir)
    first, second = answer["trades"][0], answer["trades"][2]
    changed = {"trades": [first | {"type": "SEIZED"}, second | {"createdAt": "yesterday"}]}
    [events] = parsed("liquidations", changed, Span.of_days(date(2026, 9, 14), date(2026, 9, 15)))
    assert events.rows.is_empty()
    assert events.rejects is not None
    assert sorted(events.rejects["reason"]) == ["undecodable", "unparsable"]


def test_funding_is_a_rate_per_hour_at_the_oracles_price() -> None:
    row = {
        "ticker": "BTC-USD", "rate": "0.0000015", "price": "68123.4", "effectiveAt": "2024-03-09T05:00:01.109Z",
        "effectiveAtHeight": "11000000",
    }  # fmt: skip
    [settled] = parsed("funding", {"historicalFunding": [row]})
    facts = settled.rows.select("settled_at", "rate", "interval_hours", "mark_price", "available_at")
    assert facts.rows() == [(datetime(2024, 3, 9, 5), 0.0000015, 1.0, 68123.4, datetime(2024, 3, 9, 5, 0, 1, 109_000))]


def candle(at: str, interest: str) -> dict[str, Any]:
    return {
        "startedAt": at, "ticker": "BTC-USD", "resolution": "1HOUR", "low": "1", "high": "4", "open": "2", "close": "3",
        "baseTokenVolume": "10", "usdVolume": "25", "trades": 7, "startingOpenInterest": interest,
    }  # fmt: skip


def test_open_interest_at_midnight_ends_the_day_before() -> None:
    content = {
        "candles": [candle(f"2024-03-{day}T00:00:00.000Z", interest) for day, interest in (("10", "11"), ("09", "12"))]
    }
    candles, interest = parsed("candles", content)
    assert candles.rows.select("opened_at", "high", "volume_base", "volume_quote", "trades", "available_at").rows() == [
        (datetime(2024, 3, 9), 4.0, 10.0, 25.0, 7, datetime(2024, 3, 9, 1))
    ]
    assert interest.rows.select("event_at", "oi_base", "counting").rows() == [
        (datetime(2024, 3, 10), 11.0, "one_sided")
    ]


def test_a_candle_that_is_not_closed_is_rejected_and_its_open_interest_kept() -> None:
    today = Span.of_days(date(2024, 3, 10), date(2024, 3, 10))
    candles, interest = parsed("candles", {"candles": [candle("2024-03-10T06:00:00.000Z", "11")]}, today)
    assert candles.rows.is_empty()
    assert candles.rejects is not None
    assert candles.rejects["reason"].to_list() == ["undecodable"]
    assert interest.rows["oi_base"].to_list() == [11.0]


def test_a_market_named_after_a_tokens_address_is_rejected() -> None:
    content = {"markets": {name: {"ticker": name} for name in ("PEPE-USD", emulated.BY_ADDRESS)}}
    [instruments] = parsed("instruments", content)
    columns = ("instrument", "asset", "quote", "contract_type", "contract_size", "multiplier")
    assert instruments.rows.select(columns).rows() == [("PEPE-USD", "PEPE", "USD", "linear", None, 1.0)]
    assert instruments.rejects is not None
    assert instruments.rejects["instrument"].to_list() == [emulated.BY_ADDRESS]


# The emulator


def emulate(path: str, handler: Any, **params: str | int) -> Any:
    text = {name: str(value) for name, value in params.items()}
    return orjson.loads(handler(Request("GET", "api", path, text, b"", NOW), MARKET).body)


def test_the_emulator_has_the_indexers_bounds() -> None:
    at = "2024-03-09T05:00:00.316Z"
    requested: dict[str, str | int] = {"ticker": "BTC-USD", "limit": 2}
    funding = emulate("/f", emulated.historical_funding, effectiveBeforeOrAt=at, **requested)["historicalFunding"]
    assert [row["effectiveAt"] for row in funding] == [at, "2024-03-09T04:00:00.316Z"]
    bounds = {"fromISO": "2024-03-09T05:00:00.000Z", "toISO": "2024-03-09T07:00:00.000Z", "resolution": "1HOUR"}
    candles = emulate("/c", emulated.candles, **requested, **bounds)["candles"]
    assert [row["startedAt"][11:13] for row in candles] == ["06", "05"]
    assert "errors" in emulate(TRADES, emulated.trades, ticker="BTC-USD", limit=1001)


# Over HTTP


def test_days_over_http_match_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    start, end = datetime(2024, 3, 8), datetime(2024, 3, 10)
    throttled = Fault("trades", "status", status=429, headers={"Retry-After": "0"})
    with serve("dydx", settings=settings, faults=[throttled]) as (_, served):
        reports = fetch(
            served, "dydx", first=date(2024, 3, 8), last=date(2024, 3, 9), assets=["BTC", "SOL"], retry=FAST_RETRY,
            clock=clock,
        )  # fmt: skip
    assert {report.source: dict(report.failures) for report in reports if report.failures} == {}

    tables = {
        name: loaded(served, name, clock=clock)
        for name in ("liquidations", "funding_rates", "candles", "open_interest")
    }
    for name in ("BTC-USD", "SOL-USD"):
        listing = emulated.BY_NAME[name]
        matching = {table: frame.filter(instrument=name) for table, frame in tables.items()}
        events = MARKET.liquidations(listing, start, end).with_columns((pl.col("number") % 3 == 0).alias("is_adl"))
        columns = ("occurred_at", "side", "price", "quantity_base", "is_adl")
        assert_frame_equal(matching["liquidations"].select(columns).sort("occurred_at"), events.select(columns))
        hourly = MARKET.funding(listing, start, end)
        assert_frame_equal(matching["funding_rates"].select(hourly.columns).sort("settled_at"), hourly)
        traded = MARKET.candles(listing, "perp", 60, start, end).drop("taker_buy_base")
        assert_frame_equal(matching["candles"].select(traded.columns).sort("opened_at"), traded)
        hour = timedelta(hours=1)
        states = MARKET.open_interest(listing, 60, start + hour, end + hour).select("event_at", "oi_base")
        assert_frame_equal(matching["open_interest"].select(states.columns).sort("event_at"), states)
    rejects = quarantined(served)
    assert rejects["instrument"].unique().to_list() == [emulated.BY_ADDRESS]


# Any response behavior


def liquidations(limit: int, market: AnalyticMarket) -> tuple[pl.DataFrame, int]:
    feed, api = dydx.VENUE.feed("liquidations"), InProcessApi(emulated.ROUTES, market, NOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dydx, "LIMIT", limit)
        pages = fetch_pages(feed, api, Job("BTC-USD", DAY))
    return rows(list(feed.parse([*pages, *pages[:1]], known()))).sort("occurred_at"), len(pages)


@given(limit=st.integers(3, 300), minutes=st.integers(5, 90))
@hypothesis_settings(max_examples=8, deadline=None)
def test_every_liquidation_comes_once_whatever_the_pages(limit: int, minutes: int) -> None:
    """Each shares its block with another trade, and pages may end between the two."""
    market = AnalyticMarket(liquidation_minutes=minutes)
    got, _ = liquidations(limit, market)
    expected = market.liquidations(emulated.BY_NAME["BTC-USD"], DAY.start, DAY.end)
    assert_frame_equal(got.select("occurred_at", "side"), expected.select("occurred_at", "side"))


def test_a_block_that_fills_a_page_is_an_error_and_not_the_end() -> None:
    with pytest.raises(SourceFormatError, match="one block"):
        liquidations(2, AnalyticMarket(liquidation_minutes=5))


def test_trades_that_ignore_the_bound_are_an_error() -> None:
    class Newest(InProcessApi):
        async def get(self, path: str, **options: Any) -> Page:
            return await super().get(path, **options | {"params": {"limit": 1000}})

    with pytest.raises(SourceFormatError, match="outside the bound"):
        fetch_pages(dydx.VENUE.feed("liquidations"), Newest(emulated.ROUTES, MARKET, NOW), Job("BTC-USD", DAY))


def test_a_month_of_funding_is_one_page_and_a_day_no_more_than_it_needs() -> None:
    feed, month = dydx.VENUE.feed("funding"), Span.of_days(date(2024, 1, 1), date(2024, 1, 31))
    api = InProcessApi(emulated.ROUTES, MARKET, NOW)
    pages = fetch_pages(feed, api, Job("ETH-USD", month))
    expected = MARKET.funding(emulated.BY_NAME["ETH-USD"], month.start, month.end)
    assert rows(list(feed.parse(pages, known(month)))).height == expected.height == 744
    assert [requested["params"]["limit"] for requested in api.requests] == [746]


def test_a_refusal_has_the_indexers_message() -> None:
    answer = emulated.error("ticker must be a valid ticker (BTC-USD, etc)")
    with pytest.raises(RequestRefusedError, match="valid ticker"):
        dydx.check(page("/trades", answer.body, subject="X-USD", at=NOW))
