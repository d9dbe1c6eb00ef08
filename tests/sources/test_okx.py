"""OKX: parsing of recorded payloads, and history fetched over HTTP from an emulator with known data."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.core.errors import RequestRefusedError, SourceFormatError
from pipelines.core.settings import Settings
from pipelines.extract.venue import Job, Page, Parsed, Span, milliseconds
from pipelines.operations.due import feed_states
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Fault, Request
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import okx as emulated
from pipelines.sources.cex.okx import capture as okx_capture
from pipelines.sources.cex.okx import venue as okx
from pipelines.sources.cex.okx import wire
from pipelines.sources.instruments import SCHEMA
from pipelines.sources.records import read_records
from pipelines.storage.warehouse import writer
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, quarantined, sample
from tests.sources.in_process import InProcessApi, context, fetch_pages, page, rows

MARKET = AnalyticMarket()
NOW = datetime(2024, 3, 10, 6)
RETRY_AFTER_TWO_SECONDS = replace(FAST_RETRY, longest_wait=3.0)
"""OKX's rate-limit windows are 2 seconds long, so it asks to wait that long."""


def known(*listed: tuple[str, str, float, str]) -> pl.DataFrame:
    """Instruments by name, contract type, size and unit."""
    keys = ("instrument", "contract_type", "contract_size", "contract_size_unit")
    return pl.DataFrame(
        [{**dict.fromkeys(SCHEMA), "venue": "okx", **dict(zip(keys, one, strict=True))} for one in listed],
        schema=SCHEMA,
    )


SWAPS = known(
    ("BTC-USDT-SWAP", "linear", 0.01, "base"),
    ("ETH-USDT-SWAP", "linear", 0.1, "base"),
    ("BTC-USD-SWAP", "inverse", 100.0, "usd"),
    ("XRP-USD-230929", "inverse", 10.0, "usd"),
)


def parsed(feed: str, *pages: Page, instruments: pl.DataFrame = SWAPS) -> list[Parsed]:
    return list(okx.VENUE.feed(feed).parse(pages, context("okx", instruments, at=NOW)))


def recorded(folder: Path, name: str) -> Any:
    return orjson.loads(sample(folder, "okx_rubik_and_oi.json"))[name]


# Payloads


def test_contract_sizes_are_value_times_multiplier_in_coin_or_dollars(samples_dir: Path) -> None:
    body = sample(samples_dir, "okx_instruments_swap.json")
    [listed] = parsed("instruments", page(wire.INSTRUMENTS, body, subject="*", at=NOW))
    sizes = {r["instrument"]: (r["contract_size"], r["contract_size_unit"], r["contract_type"], r["asset"], r["quote"])
             for r in listed.rows.iter_rows(named=True)}  # fmt: skip
    assert sizes == {
        "BTC-USD-SWAP": (100.0, "usd", "inverse", "BTC", "USD"),
        "BTC-USDT-SWAP": (0.01, "base", "linear", "BTC", "USDT"),
        "ETH-USDT-SWAP": (0.1, "base", "linear", "ETH", "USDT"),
        "SOL-USDT-SWAP": (1.0, "base", "linear", "SOL", "USDT"),
        "AVAX-USDT-SWAP": (1.0, "base", "linear", "AVAX", "USDT"),
    }
    first = listed.rows.row(0, named=True)
    assert (first["listed_at"], first["delisted_at"]) == (datetime(2021, 1, 29, 10, 40, 28), None)


def test_a_swap_of_unknown_unit_is_rejected_by_name() -> None:
    swap = {"instId": "BTC-EUR-SWAP", "ctType": "linear", "ctVal": "5", "ctMult": "1", "ctValCcy": "GOLD"}
    [listed] = parsed("instruments", page(wire.INSTRUMENTS, {"code": "0", "data": [swap]}, subject="*", at=NOW))
    assert listed.rows.is_empty()
    assert listed.rejects is not None
    assert listed.rejects["instrument"].to_list() == ["BTC-EUR-SWAP"]


def test_coins_with_statistics_are_listed_apart_from_contracts() -> None:
    coins = {"code": "0", "data": {"contract": ["BTC", "SATS"], "option": ["BTC"], "spot": ["BTC"]}}
    [whole] = parsed(
        "instruments",
        page(wire.INSTRUMENTS, {"code": "0", "data": []}, subject="*", at=NOW),
        page(wire.SUPPORTED_COINS, coins, subject="*", at=NOW),
    )
    assert whole.rows["instrument"].to_list() == ["BTC-CONTRACTS", "SATS-CONTRACTS"]
    assert whole.rows["contract_size"].to_list() == [None, None]


def test_open_interest_is_received_in_contracts_and_kept_in_coin_and_dollars(samples_dir: Path) -> None:
    body = recorded(samples_dir, "_open_interest_history")
    [states] = parsed("open_interest", page(wire.OPEN_INTEREST, body, subject="BTC-USDT-SWAP", at=NOW, period="1H"))
    row = states.rows.row(0, named=True)
    # 2,800,476.45 contracts of 0.01 BTC are 28,004.76 BTC (the venue has 28,006.54, a moment later): not 2.8 million BTC.
    assert (row["oi_raw"], row["oi_raw_unit"], row["oi_base"]) == (2_800_476.45, "contracts", 28_006.5419)
    assert row["oi_usd"] == 2_360_916_466.88
    assert abs(row["oi_raw"] * 0.01 / row["oi_base"] - 1) < 0.001
    assert (row["event_at"], row["available_at"]) == (datetime(2026, 9, 27, 23), datetime(2026, 9, 28))


def test_open_interest_of_now_is_read_in_coin(samples_dir: Path) -> None:
    body = recorded(samples_dir, "_public_open_interest")
    answer = page(wire.OPEN_INTEREST_NOW, body, subject="*", at=NOW)
    found = read_records([answer], wire.records, okx_capture.OPTION_INTEREST).frame
    # 2,125,419 contracts of 0.01 BTC.
    assert found.select("instrument", "oi_base").rows() == [("BTC-USDT-SWAP", 21_254.19)]


def test_funding_is_the_rate_that_was_paid_not_the_one_predicted(samples_dir: Path) -> None:
    body = sample(samples_dir, "okx_funding_rate_history.json")
    [linear] = parsed("funding", page(wire.FUNDING, body, subject="BTC-USDT-SWAP", at=NOW))
    # fundingRate says 0.0001515032 and -0.0000236017; the timestamps are 8 hours apart.
    assert linear.rows["rate"].to_list() == [0.00015, -0.00002]
    assert linear.rows["settled_at"].to_list() == [datetime(2024, 1, 1), datetime(2023, 12, 31, 16)]
    [inverse] = parsed(
        "funding", page(wire.FUNDING, recorded(samples_dir, "_funding_rate_history"), subject="BTC-USD-SWAP", at=NOW)
    )
    assert inverse.rows.row(0, named=True)["rate"] == 0.0000746572360545


def test_candles_take_volume_in_coin_not_in_contracts(samples_dir: Path) -> None:
    body = sample(samples_dir, "okx_candles.json")
    [candles] = parsed("candles", page(wire.CANDLES, body, subject="BTC-USDT-SWAP", at=NOW))
    first = candles.rows.row(0, named=True)
    # The sample's vol is 778.838 contracts; its volCcy and volCcyQuote are 0.
    assert (first["volume_base"], first["volume_quote"], first["close"]) == (0.0, 0.0, 33_783.9)
    assert first["opened_at"] == datetime(2021, 7, 1)


def test_a_candle_received_before_its_close_is_rejected() -> None:
    opened = int(NOW.replace(tzinfo=UTC).timestamp() * 1000)
    cells = [str(opened), "1", "1", "1", "1", "5", "5", "5", "0"]
    [candles] = parsed(
        "candles",
        page(wire.CANDLES, {"code": "0", "data": [cells]}, subject="BTC-USDT-SWAP", at=NOW + timedelta(minutes=5)),
    )
    assert candles.rows.is_empty()
    assert candles.rejects is not None
    assert candles.rejects["reason"].to_list() == ["undecodable"]


def test_the_account_ratio_is_of_a_coin_and_longs_over_shorts(samples_dir: Path) -> None:
    body = recorded(samples_dir, "_long_short_account_ratio")
    accounts, _ = parsed("positioning", page(wire.ACCOUNT_RATIO, body, subject="BTC-CONTRACTS", at=NOW, period="5m"))
    first = accounts.rows.row(0, named=True)
    assert (first["instrument"], first["measure"], first["ratio"]) == ("BTC-CONTRACTS", "account_global", 0.4614)
    assert first["long_share"] == pytest.approx(0.4614 / 1.4614)
    assert first["event_at"] == datetime(2021, 9, 1, 10, 40)


def test_an_hourly_pull_keeps_its_hours(samples_dir: Path) -> None:
    pulled = list(csv.DictReader(sample(samples_dir, "okx_lsratio_1h_2026-08.csv").decode().splitlines()))
    cells = [[str(int(datetime.fromisoformat(row["ts"]).timestamp() * 1000)), row["ratio"]] for row in pulled][::-1]
    accounts, _ = parsed(
        "positioning",
        page(wire.ACCOUNT_RATIO, {"code": "0", "data": cells}, subject="BTC-CONTRACTS", at=NOW, period="1H"),
    )
    states = accounts.rows.sort("event_at")
    assert states["event_at"].to_list()[::9] == [datetime(2026, 8, 6, 15), datetime(2026, 8, 7)]
    assert states["ratio"].to_list()[:2] == [1.27, 1.24]
    assert states["period"].unique().to_list() == ["1h"]


def test_taker_volume_is_sold_then_bought_and_stamped_at_the_end_of_its_period() -> None:
    body = {"code": "0", "data": [["1630425600000", "7596.2651", "7149.4855"], ["1630425300000", "0", "12"]]}
    _, takers = parsed("positioning", page(wire.TAKER_VOLUME, body, subject="BTC-CONTRACTS", at=NOW, period="5m"))
    first, second = takers.rows.iter_rows(named=True)
    assert first["long_share"] == pytest.approx(7149.4855 / (7596.2651 + 7149.4855))
    assert first["event_at"] == datetime(2021, 8, 31, 16, 5)
    assert (second["ratio"], second["long_share"]) == (None, 1.0)


def liquidated(*details: dict[str, str], name: str = "BTC-USDT-SWAP", after: int | None = None) -> Page:
    body = {"code": "0", "data": [{"instId": name, "instType": "SWAP", "details": list(details)}]}
    bound = {} if after is None else {"after": after}
    return page(wire.LIQUIDATIONS, body, subject=name, at=NOW, **bound)


def detail(position: str, order: str, price: str, size: str, ts: int = 1_775_209_684_665) -> dict[str, str]:
    return {"bkLoss": "0", "bkPx": price, "ccy": "", "posSide": position, "side": order, "sz": size, "ts": str(ts)}


def test_a_recorded_liquidation_is_a_short_bought_back(samples_dir: Path) -> None:
    body = sample(samples_dir, "okx_liquidation_orders.json")
    [events] = parsed("liquidations", page(wire.LIQUIDATIONS, body, subject="XRP-USD-SWAP", at=NOW))
    row = events.rows.row(0, named=True)
    # 39 contracts of 10 dollars at 0.55205 dollars are 390 dollars, 706.46 XRP.
    assert (row["side"], row["notional_usd"], row["price"]) == ("short", 390.0, 0.55205)
    assert row["quantity_base"] == pytest.approx(706.457749)
    assert row["occurred_at"] == datetime(2023, 3, 30, 10, 47, 27, 614_000)


def test_a_captured_liquidation_of_ether_is_in_contracts_of_a_tenth(recorded_dir: Path) -> None:
    captured = recorded_dir / "cex" / "liquidation_capture_2026_04" / "eth_liquidations.csv"
    [row] = [row for row in csv.DictReader(captured.read_text().splitlines()) if row["exchange"] == "okx"]
    position, order = row["raw_side"].split(":")
    [events] = parsed(
        "liquidations",
        liquidated(detail(position, order, row["price"], row["qty"], int(row["event_ts"])), name="ETH-USDT-SWAP"),
    )
    got = events.rows.row(0, named=True)
    assert (got["side"], got["quantity_base"]) == (row["side"], pytest.approx(0.001))
    # The capture's 2.05829 dollars are at a fill price 0.04% below the bankruptcy price.
    assert got["notional_usd"] == pytest.approx(float(row["notional_usd"]), rel=0.001)


def test_inverse_liquidations_are_dollars_first() -> None:
    [events] = parsed("liquidations", liquidated(detail("long", "sell", "50000", "25"), name="BTC-USD-SWAP"))
    row = events.rows.row(0, named=True)
    assert (row["side"], row["notional_usd"], row["quantity_base"]) == ("long", 2_500.0, 0.05)


def test_a_netted_position_is_known_by_its_forced_order_and_a_contradiction_is_rejected() -> None:
    [events] = parsed(
        "liquidations", liquidated(detail("net", "sell", "50000", "1"), detail("long", "buy", "50000", "2"))
    )
    assert events.rows["side"].to_list() == ["long"]
    assert events.rejects is not None
    assert events.rejects.select("reason", "field").rows() == [("undecodable", "posSide")]


def test_identical_events_stay_two_and_a_row_on_two_pages_stays_one() -> None:
    twin, other = detail("long", "sell", "50000", "1"), detail("short", "buy", "50000", "1")
    first, second = liquidated(other, twin), liquidated(twin, twin, after=1_775_209_684_666)
    [events] = parsed("liquidations", first, second, first)
    assert events.rows["liquidation_id"].n_unique() == 3
    assert events.rows.height == 6


def test_a_liquidation_of_unknown_size_is_kept_for_later() -> None:
    [events] = parsed("liquidations", liquidated(detail("long", "sell", "1", "1"), name="NEW-USDT-SWAP"))
    assert events.rejects is not None
    assert events.rejects["reason"].to_list() == ["unknown_instrument"]


def test_only_days_fully_reached_by_captures_are_covered() -> None:
    slots = [datetime(2024, 3, 8, 6) + timedelta(hours=h) for h in (0, 12, 24, 30)] + [datetime(2024, 3, 12, 6)]
    rules = okx_capture.liquidation_rules([Span(slot, slot + timedelta(hours=1)) for slot in slots])
    # Captures of 8 and 9 March reach from 7 March 10:00 to 9 March 12:00: the 8th is complete.
    assert [(span.first_day, span.last_day) for span in rules.spans] == [(date(2024, 3, 8), date(2024, 3, 8))]
    assert [gap.first_day.day for gap in rules.gaps] == [7, 9, 11, 12]


def option_pages(samples_dir: Path) -> list[Page]:
    summary = sample(samples_dir, "okx_opt_summary.json")
    names = [row["instId"] for row in orjson.loads(summary)["data"]]
    listed = [
        {"instId": name, "uly": "BTC-USD", "optType": name[-1], "stk": name.split("-")[3], "expTime": "1734422400000"}
        for name in names[:3]
    ]
    interest = [{"instId": name, "instType": "OPTION", "oi": "250", "oiCcy": "2.5", "ts": "1"} for name in names]
    return [
        page(path, body if isinstance(body, bytes) else {"code": "0", "data": body}, subject="*", at=NOW)
        for path, body in (
            (wire.UNDERLYINGS, [["BTC-USD"]]),
            (wire.INSTRUMENTS, listed),
            (wire.OPEN_INTEREST_NOW, interest),
            (wire.OPTION_SUMMARY, summary),
            (wire.MARK_PRICES, [{"instId": names[0], "markPx": "0.055"}]),
            (wire.TICKERS, [{"instId": names[0], "volCcy24h": "0.3"}]),
            (wire.INDEX_TICKERS, [{"instId": "BTC-USD", "idxPx": "96900.1"}]),
        )
    ]


def test_a_chain_has_volatility_as_fraction_and_open_interest_in_coin(samples_dir: Path) -> None:
    [chain] = parsed("option_chain", *option_pages(samples_dir))
    first, second, _ = chain.rows.iter_rows(named=True)
    assert {**first, "_line": None} == {
        "venue": "okx", "instrument": "BTC-USD-241217-92000-C", "snapshot_at": NOW, "underlying": "BTC",
        "expiry_date": date(2024, 12, 17), "strike": 92_000.0, "option_type": "call", "oi_base": 2.5,
        "volume_24h_base": 0.3, "mark_iv": 0.455, "mark_price_base": 0.055, "underlying_price": 97_000.0,
        "index_price": 96_900.1, "delta": None, "available_at": NOW, "_line": None,
    }  # fmt: skip
    assert (second["option_type"], second["volume_24h_base"], second["mark_price_base"]) == ("put", None, None)
    assert chain.rejects is not None
    assert chain.rejects["instrument"].to_list() == ["BTC-USD-241217-94000-P"]


def test_a_missing_cell_is_an_error_that_names_it() -> None:
    body = {"code": "0", "data": [["1790550000000", "2800476.45", "28006.5419"]]}
    with pytest.raises(SourceFormatError, match="oiUsd"):
        parsed("open_interest", page(wire.OPEN_INTEREST, body, subject="BTC-USDT-SWAP", at=NOW, period="1H"))


def emulate(path: str, **params: str | int) -> Any:
    route = next(route for route in emulated.ROUTES if route.path == path)
    text = {name: str(value) for name, value in params.items()}
    return orjson.loads(route.handler(Request("GET", "api", path, text, b"", NOW), MARKET).body)


def test_the_emulator_excludes_both_bounds_and_refuses_what_okx_refuses() -> None:
    end = milliseconds(NOW)
    requested = {"instId": "BTC-USDT-SWAP", "period": "5m"}
    cells = emulate(wire.OPEN_INTEREST, **requested, begin=end - 900_000, end=end)["data"]
    assert [int(row[0]) for row in cells] == [end - 300_000, end - 600_000]
    assert len(emulate(wire.OPEN_INTEREST, **requested, limit=500)["data"]) == 100
    assert emulate(wire.OPEN_INTEREST, period="5m")["code"] == "50014"
    assert emulate(wire.FUNDING, instId="OLD-USDT-SWAP")["code"] == "51001"
    assert emulate(wire.LIQUIDATIONS, instType="SWAP")["code"] == "50015"
    assert emulate(wire.CANDLES, instId="BTC-USDT-SWAP", bar="1D")["code"] == "51000"


# Over HTTP


def test_days_over_http_match_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("okx", settings=settings, faults=[
        Fault("rubik", "body", body=b'{"code":"50011","msg":"Rate limit reached","data":[]}'),
        Fault("funding", "status", status=429, body=b'{"code":"50011","msg":"Rate limit reached","data":[]}'),
        Fault("candles", "body", body=b'{"code":"50001","msg":"Service temporarily unavailable","data":[]}'),
    ]) as (emulator, served):  # fmt: skip
        reports = [
            report
            # Statistics have a low rate limit, so one day of one coin is enough.
            for first, last, assets, feeds in (
                (date(2024, 1, 10), date(2024, 1, 10), ["BTC"], ["funding_archive"]),
                (date(2024, 3, 8), date(2024, 3, 8), ["PEPE"], ["positioning", "top_traders"]),
                (date(2024, 3, 7), date(2024, 3, 8), ["BTC", "PEPE"],
                 ["open_interest", "funding", "candles", "liquidations", "option_chain"]),
            )
            for report in fetch(
                served, "okx", feeds, first=first, last=last, assets=assets,
                retry=RETRY_AFTER_TWO_SECONDS, clock=clock,
            )
        ]  # fmt: skip
        assert {report.source: dict(report.failures) for report in reports if report.failures} == {}
        assert emulator.most_in("okx", 2.0, where="taker-volume") <= 5
    start, end = datetime(2024, 3, 7), datetime(2024, 3, 9)

    got = loaded(served, "open_interest", clock=clock).filter(period="5m")
    for name in ("BTC-USDT-SWAP", "BTC-USD-SWAP", "PEPE-USDT-SWAP"):
        expected = MARKET.open_interest(
            emulated.BY_NAME[name], 5, start + timedelta(minutes=5), end + timedelta(minutes=5)
        )
        assert_frame_equal(got.filter(instrument=name).select(expected.columns).sort("event_at"), expected)
    inverse = got.filter(instrument="BTC-USD-SWAP")
    assert inverse.filter((pl.col("oi_raw") * 100 - pl.col("oi_usd")).abs() > 1e-3).is_empty()

    funding = loaded(served, "funding_rates", clock=clock).filter(instrument="BTC-USD-SWAP")
    settled = MARKET.funding(emulated.BY_NAME["BTC-USD-SWAP"], start, end).select("settled_at", "rate")
    from_api, from_files = (funding.filter(source=f"okx.{feed}") for feed in ("funding", "funding_archive"))
    assert_frame_equal(from_api.select("settled_at", "rate").sort("settled_at"), settled)
    january = MARKET.funding(emulated.BY_NAME["BTC-USD-SWAP"], datetime(2024, 1, 1), datetime(2024, 2, 1))
    january = january.select("settled_at", "rate")
    assert_frame_equal(from_files.select("settled_at", "rate").sort("settled_at"), january)

    candles = loaded(served, "candles", clock=clock)
    prices = ("opened_at", "open", "high", "low", "close", "volume_base", "volume_quote")
    for name in ("PEPE-USDT-SWAP", "BTC-USD-SWAP"):
        traded = MARKET.candles(emulated.BY_NAME[name], "perp", 60, start, end).select(prices)
        assert_frame_equal(candles.filter(instrument=name).select(prices).sort("opened_at"), traded)

    ratios = loaded(served, "long_short_ratios", clock=clock)
    start = datetime(2024, 3, 8)
    shares = ratios.filter(period="1h", measure="account_global", instrument="PEPE-CONTRACTS")
    expected = MARKET.ratios(
        emulated.WHOLE_COINS["PEPE"], "account_global", 60, start + timedelta(hours=1), end + timedelta(hours=1)
    )
    assert_frame_equal(shares.select("event_at", "ratio").sort("event_at"), expected)
    flows = ratios.filter(period="1h", measure="taker_volume", instrument="PEPE-CONTRACTS")
    expected = MARKET.ratios(
        emulated.WHOLE_COINS["PEPE"], "taker_volume", 60, start + timedelta(hours=1), end + timedelta(hours=1)
    )
    assert_frame_equal(flows.select("event_at", "ratio").sort("event_at"), expected)
    assert set(ratios["measure"]) == {"account_global", "taker_volume", "account_top", "position_top"}

    forced = loaded(served, "liquidations", clock=clock)
    for name in ("BTC-USDT-SWAP", "BTC-USD-SWAP", "PEPE-USDT-SWAP"):
        events = MARKET.liquidations(emulated.BY_NAME[name], NOW - timedelta(days=1), NOW)
        matching = forced.filter(instrument=name).sort("occurred_at")
        assert_frame_equal(
            matching.select("occurred_at", "side", "price"), events.select("occurred_at", "side", "price")
        )
        assert_frame_equal(matching.select("quantity_base"), events.select("quantity_base"))

    chain = (
        loaded(served, "option_chain", clock=clock)
        .filter(underlying="ETH")
        .sort("expiry_date", "strike", "option_type")
    )
    expected = MARKET.option_chain("ETH", NOW).sort("expiry_date", "strike", "option_type")
    assert_frame_equal(chain.select(expected.columns), expected)
    assert quarantined(served).is_empty()


def test_what_okx_declares_not_to_keep_is_said_to_be_gone_and_noted_once(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    """Of 2024-03-10 funding is kept for 89 days: the days before 2023-12-12 are not asked for."""
    first, edge = date(2023, 10, 1), date(2023, 12, 12)
    with serve("okx", settings=settings) as (_, served):
        for _ in range(2):
            reports = fetch(
                served, "okx", ["funding"], first=first, last=date(2023, 12, 13), assets=["BTC"], retry=FAST_RETRY,
                clock=clock,
            )  # fmt: skip
            assert {report.source: dict(report.failures) for report in reports if report.failures} == {}
            assert [report.gone["BTC-USDT-SWAP"] for report in reports if report.gone] == [(first, date(2023, 12, 11))]
    assert loaded(served, "funding_rates", clock=clock)["trade_date"].min() == edge
    with writer(served, what="test") as con:
        noted = con.sql("select source, problem, effect, detail from ops.fetch_problems").fetchall()
    assert noted == [
        (
            "okx.funding", "no_longer_available", "settled",
            "okx.funding keeps 89 days: 2023-10-01 to 2023-12-11 were not asked for",
        )
    ]  # fmt: skip
    [state] = [one for one in feed_states(served, venues=["okx"]) if one.source == "okx.funding"]
    missing = [one for one in state.missing(clock.now) if one.subject == "BTC-USDT-SWAP"]
    told = {(one.at.date(), one.reason, one.can_be_had) for one in missing}
    assert {(first, "no longer available", False), (date(2023, 12, 11), "no longer available", False)} <= told
    assert not {day for day, _, _ in told if day >= edge}


def test_captures_an_hour_apart_have_every_liquidation_once(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("okx", settings=settings, market=AnalyticMarket(liquidation_minutes=10)) as (_, served):
        for hour in (0, 1):
            clock.now = NOW + timedelta(hours=hour)
            [*_, report] = fetch(served, "okx", ["liquidations"], assets=["PEPE"], retry=FAST_RETRY, clock=clock)
            assert not report.failures
            forced = loaded(served, "liquidations", clock=clock).sort("occurred_at")
    events = AnalyticMarket(liquidation_minutes=10).liquidations(
        emulated.BY_NAME["PEPE-USDT-SWAP"], NOW - timedelta(days=1), NOW + timedelta(hours=1)
    )
    assert_frame_equal(forced.select("occurred_at", "side"), events.select("occurred_at", "side"))
    with writer(served, what="test") as con:
        status = con.sql(
            "select trade_date, status, detail from ops.coverage where table_name = 'liquidations' order by all"
        )
        # A capture is trusted for 20 hours back, so neither day is complete.
        assert status.fetchall() == [
            (date(2024, 3, 9), "partial", "captured for a part of the day only"),
            (date(2024, 3, 10), "partial", "captured for a part of the day only"),
        ]


def job(subject: str, first: date, last: date) -> Job:
    return Job(subject, Span.of_days(first, last))


BEHAVIORS = st.builds(
    emulated.ResponseBehavior,
    rows=st.integers(5, 120),
    overlap=st.integers(0, 4),
    newest_first=st.booleans(),
)


@given(behavior=BEHAVIORS, feed=st.sampled_from(["open_interest", "candles", "positioning"]))
@hypothesis_settings(max_examples=30)
def test_size_order_and_overlap_of_pages_change_nothing(behavior: emulated.ResponseBehavior, feed: str) -> None:
    day = date(2024, 3, 9)
    subject = "BTC-CONTRACTS" if feed == "positioning" else "BTC-USD-SWAP"
    venue_feed = okx.VENUE.feed(feed)
    results = []
    for variant in (emulated.DEFAULT_BEHAVIOR, behavior):
        api = InProcessApi(emulated.routes(variant), MARKET, NOW)
        pages = fetch_pages(venue_feed, api, job(subject, day, day))
        results.append(rows(list(venue_feed.parse([*pages, *pages[:1]], context("okx", SWAPS, at=NOW)))))
    keys = [c for c in ("instrument", "measure", "period", "event_at", "opened_at") if c in results[0].columns]
    # Rows repeated beyond the bound are correct but belong to the next day.
    start, end = datetime(2024, 3, 9), datetime(2024, 3, 10)
    closed: Literal["left", "right"] = "left" if feed == "candles" else "right"
    of_day = [r.filter(pl.col(keys[-1]).is_between(start, end, closed=closed)) for r in results]
    assert_frame_equal(of_day[0].sort(keys), of_day[1].sort(keys))


def test_a_day_of_funding_holds_its_first_settlement() -> None:
    feed, day = okx.VENUE.feed("funding"), date(2024, 3, 9)
    pages = fetch_pages(
        feed, InProcessApi(emulated.routes(emulated.DEFAULT_BEHAVIOR), MARKET, NOW), job("BTC-USD-SWAP", day, day)
    )
    found = rows(list(feed.parse(pages, context("okx", SWAPS, at=NOW))))
    assert sorted(found["settled_at"].dt.hour()) == [0, 8, 16]


@given(rows_of_page=st.integers(5, 100), minutes=st.integers(1, 30))
@hypothesis_settings(max_examples=15)
def test_every_liquidation_comes_once_whatever_the_pages(rows_of_page: int, minutes: int) -> None:
    market = AnalyticMarket(liquidation_minutes=minutes)
    api = InProcessApi(emulated.routes(emulated.ResponseBehavior(rows=rows_of_page)), market, NOW)
    venue_feed = okx.VENUE.feed("liquidations")
    pages = fetch_pages(venue_feed, api, job("BTC-USDT-SWAP", NOW.date(), NOW.date()))
    got = rows(list(venue_feed.parse(pages, context("okx", SWAPS, at=NOW)))).sort("occurred_at")
    expected = market.liquidations(emulated.BY_NAME["BTC-USDT-SWAP"], NOW - timedelta(days=1), NOW)
    assert_frame_equal(got.select("occurred_at", "side"), expected.select("occurred_at", "side"))


@pytest.mark.parametrize(("age_days", "periods"), [(1, {"5m"}), (20, {"1h"}), (100, {"4h"}), (5, {"5m", "1h"})])
def test_the_period_is_the_finest_that_okx_still_has(age_days: int, periods: set[str]) -> None:
    venue_feed = okx.VENUE.feed("open_interest")
    day = NOW.date() - timedelta(days=age_days)
    pages = fetch_pages(venue_feed, InProcessApi(emulated.ROUTES, MARKET, NOW), job("BTC-USDT-SWAP", day, day))
    got = rows(list(venue_feed.parse(pages, context("okx", SWAPS, at=NOW))))
    assert set(got["period"]) == periods
    coarsest = {"5m": 288, "1h": 24, "4h": 6}[max(periods, key=["5m", "1h", "4h"].index)]
    assert got.filter(period=max(periods, key=["5m", "1h", "4h"].index)).height == coarsest


def test_a_millisecond_that_fills_a_page_is_an_error_and_not_the_end() -> None:
    crowd = liquidated(*[detail("long", "sell", "50000", str(n)) for n in range(1, 101)])

    class Stuck(InProcessApi):
        async def get(self, path: str, **options: Any) -> Page:
            return crowd

    with pytest.raises(SourceFormatError, match="rows may be missing"):
        fetch_pages(
            okx.VENUE.feed("liquidations"), Stuck((), MARKET, NOW), job("BTC-USDT-SWAP", NOW.date(), NOW.date())
        )


@pytest.mark.parametrize(
    ("feed", "body", "named"),
    [
        ("liquidations", {"data": [{"instId": "BTC-USDT-SWAP", "details": [{"time": "1"}]}]}, "'ts'"),
        ("liquidations", {"data": [{"instId": "BTC-USDT-SWAP"}]}, "details"),
        ("funding", {"data": [{"fundingTimestamp": "1"}]}, "'fundingTime'"),
        ("candles", {"data": {}}, "expected an array in data"),
    ],
)
def test_a_renamed_field_is_named_while_paging(feed: str, body: dict[str, Any], named: str) -> None:
    class Renamed(InProcessApi):
        async def get(self, path: str, **options: Any) -> Page:
            return page(path, body, subject="BTC-USDT-SWAP", at=NOW)

    with pytest.raises(SourceFormatError, match=named):
        fetch_pages(okx.VENUE.feed(feed), Renamed((), MARKET, NOW), job("BTC-USDT-SWAP", NOW.date(), NOW.date()))


def test_an_instrument_unlisted_by_okx_is_refused_with_the_reason() -> None:
    refusal = page(wire.FUNDING, emulated.UNKNOWN.body, subject="OLD-USDT-SWAP", at=NOW)
    with pytest.raises(RequestRefusedError, match="no longer lists"):
        wire.check(refusal)
