"""Gate: parsing of recorded payloads, and history fetched over HTTP from an emulator with known data."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.core.errors import RequestRefusedError, ThrottledError
from pipelines.core.settings import Settings
from pipelines.extract.fetch import FetchReport
from pipelines.extract.venue import Job, Page, Span
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Request, Response
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import gate as emulated
from pipelines.sources.cex.gate import history as gate_history
from pipelines.sources.cex.gate import venue as gate
from pipelines.sources.cex.gate import wire
from pipelines.sources.instruments import SCHEMA
from pipelines.storage.warehouse import writer
from tests.sources.conftest import FAST_RETRY, NOW, Clock, Serve, loaded, parse_payloads, quarantined, sample
from tests.sources.in_process import InProcessApi, context, fetch_pages, rows

MARKET = AnalyticMarket()


def known_as(instrument: str, size: float, contract_type: str = "linear") -> pl.DataFrame:
    row = {"venue": "gate", "instrument": instrument, "contract_type": contract_type, "contract_size": size}
    return pl.DataFrame([{**dict.fromkeys(SCHEMA), **row}], schema=SCHEMA)


CONTRACTS = pl.concat(known_as(x.instrument, x.contract_size or 1.0, x.contract_type) for x in emulated.LISTINGS)


# Payloads


def test_statistics_are_contracts_and_an_empty_ratio_is_none(samples_dir: Path) -> None:
    # 1,674,057,000 is 2023-01-18 15:50:00. 2,851,725 contracts of 10 coins at 0.34619 are the 9,872,386.7775 dollars it states.
    interest, totals, accounts, top_accounts, top_positions, takers = parse_payloads(
        "gate", "contract_stats", [sample(samples_dir, "gate_contract_stats.json")],
        subject="ADA_USDT", instruments=known_as("ADA_USDT", 10.0), at=datetime(2023, 1, 19),
    )  # fmt: skip
    row = interest.rows.row(0, named=True)
    assert (row["oi_raw"], row["oi_raw_unit"], row["oi_base"]) == (2_851_725.0, "contracts", 28_517_250.0)
    assert row["oi_usd"] == pytest.approx(row["oi_base"] * 0.34619, rel=1e-12)
    assert row["event_at"] == row["available_at"] == datetime(2023, 1, 18, 15, 55)
    total = totals.rows.row(0, named=True)
    assert (total["event_at"], total["total_usd"], total["long_base"]) == (datetime(2023, 1, 18, 15, 50), 0.0, 0.0)
    assert accounts.rows["measure"][0] == "account_global"
    assert accounts.rows["ratio"][0] == 3.2808988764045
    # 3.2809 longs to a short: 76.6% of accounts.
    assert accounts.rows["long_share"][0] == pytest.approx(0.7664, abs=1e-4)
    assert (takers.rows["measure"][0], takers.rows["ratio"][0]) == ("taker_volume", 9.3765153315902)
    assert top_accounts.rows.is_empty() and top_positions.rows.is_empty()
    assert top_positions.rejects is not None and top_positions.rejects["reason"].to_list() == ["sentinel"]


def test_dollars_by_the_newer_rule_are_preferred() -> None:
    [row] = orjson.loads(
        b'[{"time":1777300000,"open_interest":"1","open_interest_usd":"1","long_liq_amount":"2","short_liq_amount":"0",'
        b'"long_liq_usd":"99","short_liq_usd":"0","lsr_account":"1","top_lsr_account":"1","top_lsr_size":"1","lsr_taker":"1"}]'
    )
    newer = row | {"long_liq_usd_new": "120.5", "short_liq_usd_new": "0"}
    for body, dollars in (([row], 99.0), ([newer], 120.5)):
        totals = parse_payloads(
            "gate", "contract_stats", [orjson.dumps(body)],
            subject="BTC_USDT", instruments=CONTRACTS, at=datetime(2026, 4, 28),
        )[1]  # fmt: skip
        assert totals.rows["total_usd"].to_list() == [dollars]


def test_a_negative_size_is_a_liquidated_short_in_contracts(samples_dir: Path) -> None:
    [parsed] = parse_payloads(
        "gate", "liq_orders", [sample(samples_dir, "gate_liq_orders.json")], instruments=CONTRACTS
    )
    row = parsed.rows.row(0, named=True)
    # −165 contracts of 0.0001 bitcoin filled at 28,070: 0.0165 coins, 463.155 dollars.
    assert (row["side"], row["price"], row["is_adl"]) == ("short", 28_070.0, False)
    assert row["quantity_base"] == pytest.approx(0.0165, rel=1e-12)
    assert row["notional_usd"] == pytest.approx(463.155, rel=1e-12)
    assert row["occurred_at"] == datetime(2023, 10, 8, 3, 35, 32)


def test_identical_orders_are_two_and_a_repeated_page_adds_none() -> None:
    order = {"contract": "BTC_USDT", "left": 0, "size": 7, "fill_price": "1", "order_price": "1", "time": 1_709_683_200}
    body = orjson.dumps([order, order])
    [parsed] = parse_payloads("gate", "liq_orders", [body, body], instruments=CONTRACTS)
    assert parsed.rows["liquidation_id"].n_unique() == 2
    assert parsed.rows.height == 4


def test_contract_sizes_are_read_and_the_inverse_contract_is_a_dollar(samples_dir: Path) -> None:
    linear = orjson.dumps(orjson.loads(sample(samples_dir, "gate_futures_usdt_contracts.json"))["data"])
    inverse = b'[{"name":"BTC_USD","quanto_multiplier":"0"},{"name":"ETH_USD","quanto_multiplier":"0.000001"}]'
    [parsed] = parse_payloads("gate", "instruments", [linear, inverse])
    sizes = {row["instrument"]: row["contract_size"] for row in parsed.rows.iter_rows(named=True)}
    assert sizes == {"ETH_USDT": 0.01, "SOL_USDT": 1.0, "BTC_USDT": 0.0001, "AVAX_USDT": 1.0, "BTC_USD": 1.0}
    btc = parsed.rows.row(by_predicate=pl.col("instrument") == "BTC_USD", named=True)
    assert (btc["contract_type"], btc["contract_size_unit"]) == ("inverse", "usd")
    # create_time is 0 in this response of 2023: unknown.
    assert parsed.rows["listed_at"].null_count() == 5
    assert parsed.rejects is not None and parsed.rejects["instrument"].to_list() == ["ETH_USD"]


def ask(path: str, **params: str) -> Response:
    route = next(route for route in emulated.ROUTES if route.path == path)
    return route.handler(Request("GET", "api", path, params, b"", NOW), MARKET)


def test_an_order_window_of_more_than_an_hour_and_a_candle_limit_are_refused() -> None:
    assert ask("/futures/usdt/liq_orders", **{"from": "0", "to": "3601"}).status == 400
    refused = ask(
        "/futures/usdt/candlesticks", contract="BTC_USDT", interval="1h", limit="5", **{"from": "0", "to": "1"}
    )
    assert refused.content["label"] == "INVALID_PARAM_VALUE"


@pytest.mark.parametrize(
    ("label", "error", "message"),
    [
        ("TOO_MANY_REQUESTS", ThrottledError, "TOO_MANY"),
        ("CONTRACT_NOT_FOUND", RequestRefusedError, "no longer lists"),
        ("INVALID_PARAM_VALUE", RequestRefusedError, "documentation"),
    ],
)
def test_labels_classify_errors(label: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        wire.check(Page("*", {}, 400, NOW, orjson.dumps({"label": label, "message": "m"})))


# Over HTTP


def test_a_day_over_http_matches_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("gate", settings=settings) as (_, served):
        reports = fetch(
            served, "gate", first=date(2024, 3, 8), last=date(2024, 3, 8), assets=["BTC", "PEPE"],
            retry=FAST_RETRY, clock=clock,
        )  # fmt: skip
    assert {report.source: dict(report.failures) for report in reports if report.failures} == {}
    start, end = datetime(2024, 3, 8), datetime(2024, 3, 9)
    five = timedelta(minutes=5)

    stated = loaded(served, "open_interest", clock=clock)
    assert set(stated.filter(period="snapshot")["instrument"]) == set(emulated.BY_NAME)
    interest = stated.filter(period="5m")
    for name in ("BTC_USDT", "PEPE_USDT"):
        expected = MARKET.open_interest(emulated.BY_NAME[name], 5, start + five, end + five)
        got = interest.filter(instrument=name).select(expected.columns).sort("event_at")
        assert_frame_equal(got, expected, rel_tol=1e-9)
    inverse = interest.filter(instrument="BTC_USD").sort("event_at")
    expected = MARKET.open_interest(emulated.BY_NAME["BTC_USD"], 5, start + five, end + five)
    assert_frame_equal(inverse.select("oi_usd"), expected.select("oi_usd"), rel_tol=1e-9)
    assert inverse["oi_base"].null_count() == inverse.height
    # The day's last state is stamped with the midnight that ends it.
    assert inverse.filter(event_at=end)["trade_date"].to_list() == [date(2024, 3, 8)]

    totals = loaded(served, "liquidation_totals", clock=clock).filter(instrument="PEPE_USDT")
    events = MARKET.liquidations(emulated.BY_NAME["PEPE_USDT"], start, end)
    for side in ("long", "short"):
        matching = events.filter(side=side)
        assert totals[f"{side}_base"].sum() == pytest.approx(matching["quantity_base"].sum())
        assert totals[f"{side}_usd"].sum() == pytest.approx((matching["quantity_base"] * matching["price"]).sum())

    ratios = loaded(served, "long_short_ratios", clock=clock).filter(instrument="BTC_USD")
    for measure in gate_history.MEASURES:
        expected = MARKET.ratios(emulated.BY_NAME["BTC_USD"], measure, 5, start + five, end + five)
        assert_frame_equal(ratios.filter(measure=measure).select("event_at", "ratio").sort("event_at"), expected)

    forced = loaded(served, "liquidations", clock=clock).sort("occurred_at")
    columns = ("occurred_at", "side", "price", "quantity_base")
    for name in ("BTC_USDT", "BTC_USD", "PEPE_USDT"):
        events = MARKET.liquidations(emulated.BY_NAME[name], start, end).with_columns(
            pl.col("occurred_at").dt.truncate("1s")
        )
        matching = forced.filter(instrument=name)
        assert_frame_equal(matching.select(columns), events.select(columns), rel_tol=1e-9)
        assert matching["notional_usd"].to_list() == pytest.approx(
            (events["price"] * events["quantity_base"]).to_list()
        )

    funding = loaded(served, "funding_rates", clock=clock).filter(instrument="BTC_USD").sort("settled_at")
    settled = MARKET.funding(emulated.BY_NAME["BTC_USD"], start, end)
    assert_frame_equal(funding.select("settled_at", "rate"), settled.select("settled_at", "rate"))

    candles = loaded(served, "candles", clock=clock).sort("opened_at")
    prices = ("opened_at", "open", "high", "low", "close", "volume_quote")
    for name in ("PEPE_USDT", "BTC_USD"):
        traded = MARKET.candles(emulated.BY_NAME[name], "perp", 60, start, end)
        matching = candles.filter(instrument=name)
        assert_frame_equal(matching.select(prices), traded.select(prices), rel_tol=1e-12)
        if name == "PEPE_USDT":
            assert_frame_equal(matching.select("volume_base"), traded.select("volume_base"), rel_tol=1e-12)
        else:
            assert matching["volume_base"].null_count() == matching.height
    assert quarantined(served).is_empty()


def test_a_day_beyond_gates_retention_is_unknown_and_not_quiet(
    settings: Settings, serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetful = emulated.ResponseBehavior(history_since=datetime(2024, 3, 8))
    monkeypatch.setattr(emulated, "ROUTES", emulated.routes(forgetful))
    with serve("gate", settings=settings) as (_, served):
        reports = fetch(
            served, "gate", ["liq_orders"], first=date(2024, 3, 7), last=date(2024, 3, 8), assets=["BTC"],
            retry=FAST_RETRY, clock=clock,
        )  # fmt: skip
    assert sum(report.not_yet_published for report in reports) == 1
    loaded(served, "liquidations", clock=clock)
    with writer(served, what="test") as con:
        days = con.sql("select trade_date, status from ops.coverage where table_name = 'liquidations'").fetchall()
    assert days == [(date(2024, 3, 8), "complete")]


def test_a_backfill_lands_what_is_kept_and_settles_the_rest(
    settings: Settings, serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 39 days before 2024-03-10 06:00 are kept, so January 31 is refused and February 1 is the first kept day.
    monkeypatch.setattr(emulated, "ROUTES", emulated.routes(emulated.ResponseBehavior(keeps=timedelta(days=39))))

    def backfill(served: Settings) -> Sequence[FetchReport]:
        return fetch(
            served, "gate", ["funding_rate", "candlesticks"], first=date(2023, 12, 1), last=date(2024, 2, 29), assets=["BTC"],
            retry=FAST_RETRY, clock=clock,
        )  # fmt: skip

    with serve("gate", settings=settings) as (emulator, served):
        reports = backfill(served)
        asked = len(emulator.hits)
        second = backfill(served)
        assert [hit.where for hit in emulator.hits[asked:] if "contracts" not in hit.where] == []
    assert [dict(report.failures) for report in (*reports, *second) if report.failures] == []
    gone = {report.source: report.gone.get("BTC_USDT") for report in reports}
    assert gone["gate.funding_rate"] == gone["gate.candlesticks"] == (date(2023, 12, 1), date(2024, 1, 31))
    funding = loaded(served, "funding_rates", clock=clock).filter(instrument="BTC_USDT")
    assert (funding["settled_at"].min(), funding.height) == (datetime(2024, 2, 1), 29 * 3)


def test_a_month_that_straddles_the_edge_brings_its_kept_days(
    settings: Settings, serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulated, "ROUTES", emulated.routes(emulated.ResponseBehavior(keeps=timedelta(days=55))))
    with serve("gate", settings=settings) as (_, served):
        reports = fetch(
            served, "gate", ["funding_rate"], first=date(2024, 1, 1), last=date(2024, 1, 31), assets=["BTC"],
            retry=FAST_RETRY, clock=clock,
        )  # fmt: skip
    assert [report.gone["BTC_USDT"] for report in reports if report.gone] == [(date(2024, 1, 1), date(2024, 1, 15))]
    funding = loaded(served, "funding_rates", clock=clock).filter(instrument="BTC_USDT")
    assert (funding["settled_at"].min(), funding.height) == (datetime(2024, 1, 16), 16 * 3)


# Any response behavior


def job(subject: str, day: date) -> Job:
    return Job(subject, Span.of_days(day, day), {"contract_type": emulated.BY_NAME[subject].contract_type})


@given(
    behavior=st.builds(
        emulated.ResponseBehavior, rows=st.integers(5, 400), overlap=st.integers(0, 4), newest_first=st.booleans()
    )
)
@hypothesis_settings(max_examples=15, deadline=None)
def test_size_order_and_overlap_of_pages_change_nothing(behavior: emulated.ResponseBehavior) -> None:
    day = date(2024, 3, 8)
    venue_feed = gate.VENUE.feed("contract_stats")
    results = []
    for variant in (emulated.DEFAULT_BEHAVIOR, behavior):
        pages = fetch_pages(venue_feed, InProcessApi(emulated.routes(variant), MARKET, NOW), job("BTC_USD", day))
        known = context("gate", CONTRACTS, at=datetime(2024, 3, 9))
        parsed = venue_feed.parse([*pages, *pages[:1]], known)
        results.append(rows([one for one in parsed if one.table == "open_interest"]).sort("event_at"))
    assert results[0].height == 288
    assert_frame_equal(results[0], results[1])


@given(minutes=st.integers(1, 30))
@hypothesis_settings(max_examples=5, deadline=None)
def test_every_liquidation_comes_once_however_full_the_hours_are(minutes: int) -> None:
    day = date(2024, 3, 8)
    crowded = AnalyticMarket(liquidation_minutes=minutes)
    venue_feed = gate.VENUE.feed("liq_orders")
    api = InProcessApi(emulated.ROUTES, crowded, NOW)
    pages = fetch_pages(venue_feed, api, Job("*", Span.of_days(day, day)))
    got = rows(list(venue_feed.parse([*pages, *pages[:1]], context("gate", CONTRACTS, at=datetime(2024, 3, 9)))))
    start, end = datetime(2024, 3, 8), datetime(2024, 3, 9)
    assert got.height == sum(crowded.liquidations(x, start, end).height for x in emulated.LISTINGS)
