"""Hyperliquid: parsing of recorded payloads, and history fetched over HTTP from an emulator with known data."""

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

from pipelines.contract.ddl import load_contract
from pipelines.core.errors import RequestRefusedError, SourceFormatError
from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.extract.venue import Context, Job, NotYetPublishedError, Page, Parsed, Span
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Fault, Request
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import hyperliquid as emulated
from pipelines.sources import registry
from pipelines.sources.dex.hyperliquid import history as hyperliquid_history
from pipelines.sources.dex.hyperliquid import venue as hyperliquid
from pipelines.sources.dex.hyperliquid import wire
from pipelines.sources.instruments import InstrumentHistory
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, quarantined
from tests.sources.in_process import InProcessApi, fetch_pages, rows

MARKET = AnalyticMarket()
NOW = datetime(2024, 3, 10, 6)
HOUR = timedelta(hours=1)


def known(span: Span | None = None) -> Context:
    return Context(
        "hyperliquid", NOW, span or Span.of_days(date(2024, 3, 9), date(2024, 3, 9)), InstrumentHistory.none()
    )


def info_page(body: Any, *, request_type: str = "", subject: str = "*", at: datetime = NOW) -> Page:
    request = {"method": "POST", "endpoint": "api", "path": "/info", "body": {"type": request_type}}
    return Page(subject, request, 200, at, body if isinstance(body, bytes) else orjson.dumps(body))


def parsed(feed: str, page: Page, span: Span | None = None) -> list[Parsed]:
    return list(hyperliquid.VENUE.feed(feed).parse([page], known(span)))


def recorded(samples_dir: Path, name: str) -> list[Any]:
    folder = samples_dir / "onchain" / "hyperliquid"
    return [one["response"] for one in orjson.loads((folder / name).read_bytes())["interactions"]]


# Payloads


def test_a_k_prefix_is_a_multiplier_of_1000(samples_dir: Path) -> None:
    [meta] = recorded(samples_dir, "meta_info.json")
    [instruments] = parsed("instruments", info_page(meta))
    assert instruments.rows.height == 28
    facts = instruments.rows.filter(pl.col("instrument").is_in(["kPEPE", "BTC"])).sort("instrument")
    columns = ("instrument", "asset", "quote", "contract_type", "contract_size", "multiplier")
    assert facts.select(columns).rows() == [
        ("BTC", "BTC", "USDC", "linear", None, 1.0),
        ("kPEPE", "PEPE", "USDC", "linear", None, 1000.0),
    ]


def test_funding_of_may_2023_settles_every_8_hours_and_states_no_interval(samples_dir: Path) -> None:
    _, history = recorded(samples_dir, "funding_history_2023_05.json")
    [settled] = parsed("funding", info_page(history, subject="BTC"))
    first = settled.rows.row(0, named=True)
    # 1683849600048 is 48 ms after midnight.
    assert (first["settled_at"], first["rate"]) == (datetime(2023, 5, 12), -0.00061334)
    assert first["available_at"] == datetime(2023, 5, 12, 0, 0, 0, 48_000)
    assert settled.rows["settled_at"].diff().drop_nulls().unique().to_list() == [timedelta(hours=8)]
    assert "interval_hours" not in settled.rows.columns


def test_recorded_hours_of_funding_are_complete_hours_even_where_a_block_came_late(recorded_dir: Path) -> None:
    path = recorded_dir / "cex" / "binance_hyperliquid_funding_raw" / "hl_BTC_funding_rates.json"
    collected = orjson.loads(path.read_bytes())
    # The collector renamed one field of the response.
    rows_of_api = [
        {"coin": r["coin"], "fundingRate": r["funding_rate"], "premium": r["premium"], "time": r["time"]}
        for r in collected
    ]
    [settled] = parsed("funding", info_page(rows_of_api, subject="BTC"))
    stamps = settled.rows["settled_at"]
    assert stamps.len() == len(collected) == stamps.n_unique()
    assert (stamps == stamps.dt.truncate("1h")).all()
    late = settled.rows.filter(pl.col("settled_at") == datetime(2025, 7, 27, 12))
    assert late["available_at"].to_list()[0] - datetime(2025, 7, 27, 12) > timedelta(seconds=110)


def test_a_candle_is_in_units_of_the_instrument(samples_dir: Path) -> None:
    _, snapshot = recorded(samples_dir, "candle_snapshot.json")
    [candles] = parsed("candles", info_page(snapshot, subject="kPEPE"))
    assert candles.rows.height == 24
    columns = ("instrument", "opened_at", "open", "high", "low", "close", "volume_base", "trades", "available_at")
    # 520 million thousands of PEPE at 0.0016 dollars a thousand: 0.83 million dollars in an hour.
    assert candles.rows.select(columns).row(0) == (
        "kPEPE", datetime(2023, 5, 21, 20), 0.001601, 0.001616, 0.001601, 0.001604, 520665683.0, 709,
        datetime(2023, 5, 21, 21),
    )  # fmt: skip


def test_a_candle_that_is_not_closed_is_rejected(samples_dir: Path) -> None:
    _, snapshot = recorded(samples_dir, "candle_snapshot.json")
    [candles] = parsed("candles", info_page(snapshot, subject="kPEPE", at=datetime(2023, 5, 22, 19, 30)))
    assert candles.rows.height == 23
    assert candles.rejects is not None
    assert candles.rejects["reason"].to_list() == ["undecodable"]


def state(interest: str, rate: str) -> dict[str, Any]:
    return {"openInterest": interest, "funding": rate, "markPx": "60000.5"}


def test_the_state_of_the_hour_predicts_the_settlement_at_its_end() -> None:
    meta = {"universe": [{"name": "BTC"}, {"name": "MATIC", "isDelisted": True}]}
    at = datetime(2024, 3, 10, 6, 12, 30)
    interest, predicted = parsed(
        "contexts", info_page([meta, [state("31000.5", "0.0000125"), state("0.0", "0.0")]], at=at)
    )
    assert interest.rows.select("instrument", "event_at", "oi_base", "oi_raw_unit", "period").rows() == [
        ("BTC", at, 31000.5, "base", "snapshot")
    ]
    columns = ("kind", "settled_at", "rate", "interval_hours", "mark_price", "available_at")
    assert predicted.rows.select(columns).rows() == [
        ("predicted", datetime(2024, 3, 10, 7), 0.0000125, 1.0, 60000.5, at)
    ]


def test_states_that_do_not_match_the_list_are_an_error() -> None:
    with pytest.raises(SourceFormatError, match="do not match"):
        parsed("contexts", info_page([{"universe": [{"name": "BTC"}]}, []]))


def test_the_recorded_file_is_parsed_like_its_mapping(recorded_dir: Path) -> None:
    path = recorded_dir / "onchain" / "hyperliquid_daily" / "daily_notional_liquidated_by_coin.json"
    span = Span.of_days(date(2023, 6, 14), date(2025, 5, 2))
    [amounts] = parsed("liquidation_totals", info_page(path.read_bytes()), span)
    assert amounts.rejects is not None
    assert amounts.rejects.is_empty()
    # 35,608 records, one of them of 2023-06-13.
    assert amounts.rows.height == 35_607
    columns = ("measure", "period", "event_at", "total_usd", "completeness", "available_at")
    day = amounts.rows.filter(pl.col("event_at") == datetime(2023, 6, 14))
    assert day.filter(instrument="ETH").select(columns).rows() == [
        ("position_notional", "1d", datetime(2023, 6, 14), 59788.87760299999, "full", datetime(2023, 6, 16))
    ]
    missing = set(span.days) - set(amounts.rows["event_at"].dt.date())
    rules = hyperliquid.liquidation_total_rules([span])
    declared = {day for gap in rules.gaps for day in Span.of_days(gap.first_day, gap.last_day).days}
    assert len(missing) == 22
    assert declared == missing


def test_absence_is_zero_only_on_days_seen_in_the_file() -> None:
    month, day = Span.of_days(date(2025, 6, 1), date(2025, 6, 30)), Span.of_days(date(2025, 7, 1), date(2025, 7, 1))
    seen = Span.of_days(date(2025, 4, 1), date(2025, 4, 30))
    claimed = [
        (span.first_day, span.last_day) for span in hyperliquid.liquidation_total_rules([month, day, seen]).spans
    ]
    assert claimed == [(date(2025, 4, 1), date(2025, 4, 30)), (date(2025, 7, 1), date(2025, 7, 1))]


# The emulator


def emulate(**body: Any) -> Any:
    return orjson.loads(emulated.info(Request("POST", "api", "/info", {}, orjson.dumps(body), NOW), MARKET).body)


MORNING: dict[str, Any] = {"coin": "BTC", "startTime": 1_710_000_000_000, "endTime": 1_710_050_000_000}


def test_the_emulator_includes_the_candle_that_contains_a_bound(samples_dir: Path) -> None:
    """Like the sample: a request from 20:46:47 to 19:46:47 of the next day starts with the 20:00 candle and ends with 19:00."""
    start = 1_709_900_000_000 // 3_600_000 * 3_600_000 + 2_807_000
    request = {"coin": "kPEPE", "interval": "1h", "startTime": start, "endTime": start + 23 * 3_600_000}
    answer = emulate(type="candleSnapshot", req=request)
    _, sampled = recorded(samples_dir, "candle_snapshot.json")
    assert len(answer) == len(sampled) == 24
    assert start - answer[0]["t"] == 2_807_000
    assert 1_684_702_007_000 - sampled[0]["t"] == 2_807_000


# Over HTTP


def test_days_over_http_match_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    start, end = datetime(2024, 3, 7), datetime(2024, 3, 9)
    throttled = Fault("info", "status", first=3, status=429)
    with serve("hyperliquid", settings=settings, faults=[throttled]) as (_, served):
        reports = fetch(
            served, "hyperliquid", first=date(2024, 3, 7), last=date(2024, 3, 8), assets=["BTC", "PEPE"],
            retry=FAST_RETRY, clock=clock,
        )  # fmt: skip
    assert {report.source: dict(report.failures) for report in reports if report.failures} == {}

    names = ("funding_rates", "candles", "open_interest", "liquidation_totals")
    tables = {name: loaded(served, name, clock=clock) for name in names}
    for name in ("BTC", "kPEPE"):
        listing = emulated.BY_NAME[name]
        matching = {table: frame.filter(instrument=name) for table, frame in tables.items()}
        hourly = MARKET.funding(listing, start, end).select("settled_at", "rate")
        settled = matching["funding_rates"].filter(kind="settled")
        assert_frame_equal(settled.select(hourly.columns).sort("settled_at"), hourly)
        [coming] = matching["funding_rates"].filter(kind="predicted").select("settled_at", "rate").rows()
        assert coming == MARKET.funding(listing, NOW + HOUR, NOW + 2 * HOUR).select("settled_at", "rate").row(0)
        multiplier = listing.multiplier
        traded = MARKET.candles(listing, "perp", 60, start, end).select(
            "opened_at", *(pl.col(price) * multiplier for price in ("open", "high", "low", "close")),
            pl.col("volume_base") / multiplier, "trades",
        )  # fmt: skip
        assert_frame_equal(matching["candles"].select(traded.columns).sort("opened_at"), traded)
        interest = MARKET.open_interest(listing, 60, NOW, NOW + HOUR)["oi_base"][0] / multiplier
        assert matching["open_interest"]["oi_base"].to_list() == [interest]
        days = [day for day in (start, start + timedelta(days=1)) if (list(emulated.BY_NAME).index(name) + day.day) % 2]
        amounts = [(day, emulated.liquidated_usd(MARKET, name, day)) for day in days]
        assert matching["liquidation_totals"].select("event_at", "total_usd").rows() == amounts
    assert quarantined(served).is_empty()


# Any response behavior


@given(funding=st.integers(2, 40))
@hypothesis_settings(max_examples=10, deadline=None)
def test_funding_is_complete_whatever_the_pages(funding: int) -> None:
    feed, span = hyperliquid.VENUE.feed("funding"), Span.of_days(date(2024, 3, 7), date(2024, 3, 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hyperliquid_history, "FUNDING_LIMIT", funding)
        patch.setattr(emulated, "FUNDING_MOST", funding)
        pages = fetch_pages(feed, InProcessApi(emulated.ROUTES, MARKET, NOW), Job("BTC", span))
    expected = MARKET.funding(emulated.BY_NAME["BTC"], span.start, span.end).select("settled_at", "rate")
    got = rows(list(feed.parse([*pages, *pages[:1]], known(span))))
    assert_frame_equal(got.select(expected.columns).sort("settled_at"), expected)


def test_a_month_of_funding_takes_two_responses() -> None:
    feed, month = hyperliquid.VENUE.feed("funding"), Span.of_days(date(2024, 1, 1), date(2024, 1, 31))
    pages = fetch_pages(feed, InProcessApi(emulated.ROUTES, MARKET, NOW), Job("ETH", month))
    assert [len(page.json()) for page in pages] == [500, 244]


def test_a_day_missing_from_the_file_is_not_published_yet() -> None:
    feed, today = hyperliquid.VENUE.feed("liquidation_totals"), Span.of_days(date(2024, 3, 10), date(2024, 3, 10))
    with pytest.raises(NotYetPublishedError):
        fetch_pages(feed, InProcessApi(emulated.ROUTES, MARKET, NOW), Job("*", today))


def test_a_day_that_is_not_published_yet_covers_nothing(settings: Settings, serve: Serve, clock: Clock) -> None:
    def without_the_8th(body: bytes) -> bytes:
        history = orjson.loads(body)["chart_data"]
        return orjson.dumps({"chart_data": [row for row in history if not row["time"].startswith("2024-03-08")]})

    stalled = Fault("stats", "rewrite", times=9, change=without_the_8th)
    with serve("hyperliquid", settings=settings, faults=[stalled]) as (_, served):
        fetch(
            served, "hyperliquid", ["liquidation_totals"], first=date(2024, 3, 7), last=date(2024, 3, 8),
            retry=FAST_RETRY, clock=clock,
        )  # fmt: skip
    source, store = "hyperliquid.liquidation_totals", LandingStore(settings.root)
    landings = sorted(store.all(source), key=lambda landing: landing.partition)
    assert [one.completeness for one in landings] == ["complete", "not_yet_published"]
    rules = registry.open_source(store, load_contract(settings.schema_dir), source, landings).rules
    assert [(span.first_day, span.last_day) for span in rules.spans] == [(date(2024, 3, 7), date(2024, 3, 7))]


def test_an_unknown_coin_is_refused() -> None:
    with pytest.raises(RequestRefusedError, match="unknown coin"):
        wire.check(info_page(None, request_type="fundingHistory"))
