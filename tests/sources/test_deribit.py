"""Deribit: parsing of recorded payloads, and history fetched over HTTP from an emulator with known data."""

from __future__ import annotations

import csv
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

from pipelines.core.errors import SourceFormatError
from pipelines.core.settings import Settings
from pipelines.core.universe import parse_symbol
from pipelines.extract.venue import Job, Page, Parsed, Span, milliseconds
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Fault, Request
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import deribit as emulated
from pipelines.sources.cex.deribit import venue as deribit
from pipelines.sources.cex.deribit import wire
from pipelines.sources.instruments import InstrumentHistory
from tests.sources.conftest import FAST_RETRY, Clock, Serve, loaded, quarantined, sample
from tests.sources.in_process import InProcessApi, context, fetch_pages, page, rows

MARKET = AnalyticMarket()
NOW = datetime(2024, 3, 10, 6)
NONE = InstrumentHistory.none()


def parsed(feed: str, *pages: Page) -> Parsed:
    [one] = deribit.VENUE.feed(feed).parse(pages, context("deribit", NONE, at=NOW))
    return one


def envelope(result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "result": result}


def trade(name: str, taker: str, flag: str | None, *, price: float, amount: float, number: str = "1") -> dict[str, Any]:
    flagged = {"liquidation": flag} if flag else {}
    return {
        "trade_id": number, "instrument_name": name, "timestamp": 1_766_332_040_636, "direction": taker, "price": price,
        "amount": amount, **flagged,
    }  # fmt: skip


def traded(*trades: dict[str, Any]) -> Page:
    return page(wire.TRADES, envelope({"trades": list(trades), "has_more": False}), subject="ETH", at=NOW)


# Payloads


def test_perpetuals_are_listed_with_their_sizes_and_dated_futures_are_not(samples_dir: Path) -> None:
    recorded = orjson.loads(sample(samples_dir, "deribit_get_instruments.json"))
    dated = parsed("instruments", page(wire.INSTRUMENTS, recorded, subject="*", at=NOW))
    assert dated.rows.is_empty()
    future = next(row for row in recorded["result"] if row["kind"] == "future")
    perpetual = future | {"instrument_name": "BTC-PERPETUAL", "expiration_timestamp": 32_503_708_800_000}
    linear = perpetual | {
        "instrument_name": "SOL_USDC-PERPETUAL",
        "contract_size": 0.1,
        "expiration_timestamp": 1_710_144_000_000,
    }
    listed = parsed("instruments", page(wire.INSTRUMENTS, envelope([perpetual, linear]), subject="*", at=NOW)).rows
    facts = listed.select(
        "instrument", "asset", "quote", "contract_type", "contract_size", "contract_size_unit", "delisted_at"
    )
    assert facts.rows() == [
        ("BTC-PERPETUAL", "BTC", "USD", "inverse", 10.0, "usd", None),
        ("SOL_USDC-PERPETUAL", "SOL", "USDC", "linear", 0.1, "base", datetime(2024, 3, 11, 8)),
    ]


def test_trades_without_a_flag_are_no_liquidations(samples_dir: Path) -> None:
    body = sample(samples_dir, "deribit_get_last_trades.json")
    events = parsed("liquidations", page(wire.TRADES, body, subject="ETH", at=NOW))
    assert events.rows.is_empty()
    assert events.rejects is not None
    assert events.rejects.is_empty()


def test_a_recorded_trade_is_in_dollars_and_the_flag_tells_who_was_liquidated(samples_dir: Path) -> None:
    recorded = orjson.loads(sample(samples_dir, "deribit_get_last_trades.json"))
    recorded["result"]["trades"][-1]["liquidation"] = "T"
    row = parsed("liquidations", page(wire.TRADES, recorded, subject="ETH", at=NOW)).rows.row(0, named=True)
    # A taker bought 106 dollars of ether at 2,968.30: a short was closed, of 0.0357 ether.
    assert (row["side"], row["notional_usd"], row["price"]) == ("short", 106.0, 2968.3)
    assert row["quantity_base"] == pytest.approx(0.0357107, abs=1e-7)
    assert row["occurred_at"] == datetime(2025, 12, 21, 15, 47, 59, 917_000)
    assert row["liquidation_id"] == "ETH-PERPETUAL:ETH-284830854:T"


def test_trades_of_combos_are_not_read_as_liquidations(samples_dir: Path) -> None:
    body = sample(samples_dir, "deribit_get_last_trades_historical.json")
    assert parsed("liquidations", page(wire.TRADES, body, subject="BTC", at=NOW)).rows.is_empty()


@pytest.mark.parametrize(
    ("flag", "taker", "sides"),
    [
        ("T", "sell", ["long"]),
        ("T", "buy", ["short"]),
        ("M", "buy", ["long"]),
        ("M", "sell", ["short"]),
        ("MT", "sell", ["short", "long"]),
    ],
)
def test_the_flag_distinguishes_taker_and_maker(flag: str, taker: str, sides: list[str]) -> None:
    events = parsed("liquidations", traded(trade("BTC-PERPETUAL", taker, flag, price=50_000.0, amount=1_000.0))).rows
    assert events["side"].to_list() == sides
    assert events["liquidation_id"].n_unique() == len(sides)
    assert events["quantity_base"].to_list() == [0.02] * len(sides)


def test_linear_amounts_are_coin() -> None:
    events = parsed("liquidations", traded(trade("SOL_USDC-PERPETUAL", "sell", "T", price=150.0, amount=20.0))).rows
    assert events.select("quantity_base", "notional_usd").rows() == [(20.0, 3_000.0)]


def test_an_undocumented_flag_is_rejected() -> None:
    events = parsed("liquidations", traded(trade("BTC-PERPETUAL", "sell", "X", price=1.0, amount=1.0)))
    assert events.rejects is not None
    assert events.rejects["reason"].to_list() == ["undecodable"]


def test_hourly_funding_is_not_the_trailing_sum() -> None:
    hour = {
        "index_price": 50_000.0, "interest_1h": 0.00001, "interest_8h": 0.00007, "prev_index_price": 49_990.0,
        "timestamp": 1_709_276_400_000,
    }  # fmt: skip
    funding = parsed("funding", page(wire.FUNDING, envelope([hour]), subject="BTC-PERPETUAL", at=NOW)).rows
    assert funding.select("settled_at", "rate", "interval_hours").rows() == [(datetime(2024, 3, 1, 7), 0.00001, 1.0)]


def test_the_volatility_index_becomes_a_fraction() -> None:
    body = envelope({"continuation": None, "data": [[1_598_019_300_000, 69.21, 69.32, 69.12, 69.26]]})
    index = parsed("volatility_index", page(wire.VOLATILITY_INDEX, body, subject="BTC", at=NOW)).rows
    assert index.select("index_name", "period", "opened_at").rows() == [
        ("DVOL-BTC", "1h", datetime(2020, 8, 21, 14, 15))
    ]
    assert index.select("open", "high", "low", "close").row(0) == pytest.approx((0.6921, 0.6932, 0.6912, 0.6926))


def test_columns_of_a_chart_that_do_not_match_are_an_error() -> None:
    columns = {name: [1.0] for name in ("open", "high", "low", "close", "volume", "cost")} | {"ticks": [1, 2]}
    with pytest.raises(SourceFormatError, match="differ in length"):
        parsed("candles", page(wire.CHART, envelope({**columns, "status": "ok"}), subject="BTC-PERPETUAL", at=NOW))


def test_open_interest_is_dollars_of_inverse_and_coin_of_linear_perpetuals() -> None:
    summaries = [
        {"instrument_name": name, "open_interest": amount, "creation_timestamp": milliseconds(NOW)}
        for name, amount in (("BTC-PERPETUAL", 5e8), ("XRP_USDC-PERPETUAL", 7e6), ("BTC-27DEC24", 1.0))
    ]
    states = parsed("open_interest", page(wire.BOOK_SUMMARY, envelope(summaries), subject="*", at=NOW)).rows
    assert states.select("instrument", "oi_base", "oi_usd", "oi_raw_unit", "period").rows() == [
        ("BTC-PERPETUAL", None, 5e8, "usd", "snapshot"),
        ("XRP_USDC-PERPETUAL", 7e6, None, "base", "snapshot"),
    ]


def chain(summaries: list[dict[str, Any]], options: list[dict[str, Any]], **prices: float) -> Parsed:
    return parsed(
        "option_chain",
        page(wire.BOOK_SUMMARY, envelope(summaries), subject="*", at=NOW, kind="option"),
        page(wire.INSTRUMENTS, envelope(options), subject="*", at=NOW, kind="option"),
        *(
            page(wire.INDEX_PRICE, envelope({"index_price": price}), subject="*", at=NOW, index_name=name)
            for name, price in prices.items()
        ),
    )


def test_a_decimal_strike_is_read_from_the_list_and_a_linear_mark_becomes_coin() -> None:
    name = "XRP_USDC-30JUN23-0d625-C"
    option = {
        "instrument_name": name, "option_type": "call", "strike": 0.625, "expiration_timestamp": 1_688_112_000_000,
        "base_currency": "XRP", "quote_currency": "USDC",
    }  # fmt: skip
    summary = {
        "instrument_name": name, "open_interest": 12_000.0, "volume": 1000.0, "mark_iv": 81.5, "mark_price": 0.03,
        "underlying_price": 0.6,
    }  # fmt: skip
    row = chain([summary], [option], xrp_usdc=0.598).rows.row(0, named=True)
    assert (row["strike"], row["underlying"], row["expiry_date"], row["index_price"]) == (
        0.625,
        "XRP",
        date(2023, 6, 30),
        0.598,
    )
    assert (row["mark_iv"], row["mark_price_base"]) == (pytest.approx(0.815), pytest.approx(0.05))
    assert row["delta"] is None
    facts = parse_symbol("deribit", name)
    assert facts is not None
    assert (facts.asset, facts.quote, facts.contract_type) == ("XRP", "USDC", "option")


def test_options_of_the_recorded_list_carry_strike_and_expiry(samples_dir: Path) -> None:
    options = [
        row
        for row in orjson.loads(sample(samples_dir, "deribit_get_instruments.json"))["result"]
        if row["kind"] == "option"
    ]
    summaries = [{"instrument_name": row["instrument_name"], "open_interest": 1.0, "mark_iv": 60.0} for row in options]
    found = chain([*summaries, summaries[0] | {"instrument_name": "BTC-1JAN30-1-C"}], options, btc_usd=32_000.0)
    assert found.rows.select("instrument", "strike", "option_type", "expiry_date").rows() == [
        ("BTC-24SEP21-40000-P", 40_000.0, "put", date(2021, 9, 24)),
        ("BTC-24JUN22-30000-C", 30_000.0, "call", date(2022, 6, 24)),
    ]
    assert found.rejects is not None
    assert found.rejects["instrument"].to_list() == ["BTC-1JAN30-1-C"]


def as_wire(
    rows_of: list[dict[str, str]], names: dict[str, str], *, percent: float
) -> tuple[list[dict[str, Any]], ...]:
    """Rows of a recorded table in Deribit's wire format; `names` are the table's column names."""

    def number(row: dict[str, str], key: str, factor: float = 1.0) -> float | None:
        return float(row[names[key]]) * factor if row[names[key]] else None

    summaries = [
        {
            "instrument_name": row[names["name"]], "open_interest": number(row, "oi"), "mark_price": number(row, "mark"),
            "mark_iv": number(row, "iv", percent), "underlying_price": number(row, "forward"),
        }
        for row in rows_of
    ]  # fmt: skip
    options = [
        {
            "instrument_name": row[names["name"]], "option_type": row[names["type"]], "strike": number(row, "strike"),
            "expiration_timestamp": int(row["expires_ms"]), "base_currency": row[names["name"]].split("-")[0],
            "quote_currency": row[names["name"]].split("-")[0],
        }
        for row in rows_of
    ]  # fmt: skip
    return summaries, options


def test_a_recorded_chain_in_deribits_wire_format_is_parsed_back(recorded_dir: Path) -> None:
    folder = recorded_dir / "cex" / "deribit_option_snapshots"
    lines = (folder / "deribit_options_snapshot_20260101T091835Z.csv").read_text().splitlines()
    recorded = [
        row | {"expires_ms": str(int(datetime.fromisoformat(row["expiry_datetime"]).timestamp() * 1000))}
        for row in csv.DictReader(lines)
    ]
    names = {"name": "instrument_name", "type": "option_type", "strike": "strike", "oi": "open_interest",
             "mark": "mark_price", "iv": "implied_volatility", "forward": "underlying"}  # fmt: skip
    found = chain(*as_wire(recorded, names, percent=100.0), btc_usd=87_799.1, eth_usd=2_976.0).rows
    # One morning's chain of bitcoin and ether.
    assert found.height == len(recorded) == 1328
    pairs = zip(found.iter_rows(named=True), recorded, strict=True)
    assert all(
        f"{got['strike']:g}" == row["instrument_name"].split("-")[2]
        and got["option_type"][0].upper() == row["instrument_name"][-1]
        and f"{got['expiry_date'].day}{got['expiry_date']:%b%y}".upper() == row["instrument_name"].split("-")[1]
        for got, row in pairs
    )
    # Annualized fractions, and open interest in coin: about 300 thousand bitcoin, not dollars or contracts.
    assert found["mark_iv"].median() == pytest.approx(0.6, abs=0.3)
    assert 1e5 < found.filter(underlying="BTC")["oi_base"].sum() < 1e6


def test_a_vendors_chain_has_volatility_in_percent_and_an_option_without_open_interest_is_rejected(
    samples_dir: Path,
) -> None:
    """The CSV is in a vendor's format (microseconds, other column names) that no parser here reads; its values are converted to
    Deribit's wire format."""
    recorded = [
        row | {"expires_ms": row["expiration"][:-3]}
        for row in csv.DictReader(sample(samples_dir, "deribit_options_chain_tardis.csv").decode().splitlines())
    ]
    names = {"name": "symbol", "type": "type", "strike": "strike_price", "oi": "open_interest", "mark": "mark_price",
             "iv": "mark_iv", "forward": "underlying_price"}  # fmt: skip
    found = chain(*as_wire(recorded, names, percent=1.0), btc_usd=9_750.0, eth_usd=245.0)
    first = found.rows.row(0, named=True)
    assert (first["strike"], first["option_type"], first["expiry_date"]) == (9_875.0, "put", date(2020, 6, 9))
    assert (first["mark_iv"], first["oi_base"]) == (pytest.approx(0.6289), 0.1)
    assert found.rejects is not None
    assert found.rejects.select("field", "reason").rows() == [("open_interest", "unparsable")]


def emulate(path: str, **params: str | int) -> Any:
    route = next(route for route in emulated.ROUTES if route.path == path)
    text = {name: str(value) for name, value in params.items()}
    return orjson.loads(route.handler(Request("GET", route.endpoint, path, text, b"", NOW), MARKET).body)


def test_the_emulator_includes_both_bounds_and_refuses_what_deribit_refuses() -> None:
    hour, later = milliseconds(NOW - timedelta(hours=9)), milliseconds(NOW - timedelta(hours=8))
    requested: dict[str, str | int] = {
        "instrument_name": "BTC-PERPETUAL",
        "start_timestamp": hour,
        "end_timestamp": later,
    }
    assert [row["timestamp"] for row in emulate(wire.FUNDING, **requested)["result"]] == [hour, later]
    assert emulate(wire.FUNDING, instrument_name="BTC-PERPETUAL")["error"]["code"] == -32602
    bounds = {"start_timestamp": hour, "end_timestamp": later}
    assert emulate(wire.TRADES, currency="BTC", count=1001, **bounds)["error"]["data"]["param"] == "count"
    newest = emulate(wire.TRADES, currency="BTC", count=1, **bounds)["result"]["trades"][0]["timestamp"]
    oldest = emulate(wire.TRADES, currency="BTC", count=1, sorting="asc", **bounds)["result"]["trades"][0]["timestamp"]
    assert hour <= oldest < newest <= later


# Over HTTP


def test_days_over_http_match_the_market(settings: Settings, serve: Serve, clock: Clock) -> None:
    start, end = datetime(2024, 3, 5), datetime(2024, 3, 8)
    with serve("deribit", settings=settings, faults=[
        Fault("trades", "status", status=400, body=emulated.throttled().body),
        Fault("funding", "status", status=400, body=emulated.error(11051, "system_maintenance").body),
        Fault("get_index_price", "status", first=3, status=400, body=emulated.invalid_param("index_name").body),
    ]) as (_, served):  # fmt: skip
        reports = fetch(
            served, "deribit", first=date(2024, 3, 5), last=date(2024, 3, 7), assets=["BTC", "SOL"],
            retry=FAST_RETRY, clock=clock,
        )  # fmt: skip
    assert {report.source: dict(report.failures) for report in reports if report.failures} == {}

    funding = loaded(served, "funding_rates", clock=clock)
    candles = loaded(served, "candles", clock=clock)
    forced = loaded(served, "liquidations", clock=clock)
    interest = loaded(served, "open_interest", clock=clock)
    prices = ("opened_at", "open", "high", "low", "close", "volume_base", "volume_quote")
    for name in ("BTC-PERPETUAL", "SOL_USDC-PERPETUAL"):
        listing = emulated.BY_NAME[name]
        hourly = MARKET.funding(listing, start, end).select("settled_at", "rate", "interval_hours")
        assert_frame_equal(funding.filter(instrument=name).select(hourly.columns).sort("settled_at"), hourly)
        traded = MARKET.candles(listing, "perp", 60, start, end).select(prices)
        assert_frame_equal(candles.filter(instrument=name).select(prices).sort("opened_at"), traded)
        events = MARKET.liquidations(listing, start, end).select("occurred_at", "side", "price", "quantity_base")
        assert_frame_equal(forced.filter(instrument=name).select(events.columns).sort("occurred_at"), events)
        state = MARKET.open_interest(listing, 1, NOW, NOW + timedelta(minutes=1)).row(0, named=True)
        unit = "oi_usd" if listing.contract_type == "inverse" else "oi_base"
        assert interest.filter(instrument=name).select("event_at", unit).rows() == [(NOW, state[unit])]

    index = loaded(served, "volatility_index", clock=clock).filter(index_name="DVOL-BTC")
    expected = MARKET.volatility_index("BTC", 60, start, end)
    assert_frame_equal(index.select(expected.columns).sort("opened_at"), expected)

    options = loaded(served, "option_chain", clock=clock)
    assert options["snapshot_at"].n_unique() == 1
    # The third index, that of XRP, was refused: the chain is loaded without it.
    for coin, unknown in (("BTC", ["delta"]), ("XRP", ["delta", "index_price"])):
        keys = ("expiry_date", "strike", "option_type")
        quoted = MARKET.option_chain(coin, NOW).drop(unknown).sort(keys)
        matching = options.filter(underlying=coin)
        assert_frame_equal(matching.select(quoted.columns).sort(keys), quoted)
        assert [matching[column].null_count() for column in unknown] == [matching.height] * len(unknown)
    assert quarantined(served).is_empty()


# Any response behavior

BEHAVIORS = st.builds(
    emulated.ResponseBehavior,
    trades=st.integers(3, 200),
    index_candles=st.integers(1, 10),
    index_overlap=st.booleans(),
)


HOURS = Span(datetime(2024, 3, 9), datetime(2024, 3, 9, 8))


def fetched(
    feed: str, subject: str, behavior: emulated.ResponseBehavior, market: AnalyticMarket = MARKET
) -> pl.DataFrame:
    venue_feed = deribit.VENUE.feed(feed)
    pages = fetch_pages(venue_feed, InProcessApi(emulated.routes(behavior), market, NOW), Job(subject, HOURS))
    return rows(list(venue_feed.parse([*pages, *pages[:1]], context("deribit", NONE, at=NOW))))


@given(behavior=BEHAVIORS, minutes=st.integers(2, 40))
@hypothesis_settings(max_examples=15)
def test_every_flagged_trade_comes_once_whatever_the_pages(behavior: emulated.ResponseBehavior, minutes: int) -> None:
    """Each shares its millisecond with another trade, and pages may end between the two."""
    market = AnalyticMarket(liquidation_minutes=minutes)
    got = fetched("liquidations", "BTC", behavior, market).sort("occurred_at")
    expected = market.liquidations(emulated.BY_NAME["BTC-PERPETUAL"], HOURS.start, HOURS.end)
    assert_frame_equal(got.select("occurred_at", "side"), expected.select("occurred_at", "side"))


@given(behavior=BEHAVIORS.filter(lambda m: m.index_candles > 1 or not m.index_overlap))
@hypothesis_settings(max_examples=15)
def test_the_index_is_complete_whatever_the_pages(behavior: emulated.ResponseBehavior) -> None:
    expected = MARKET.volatility_index("ETH", 60, HOURS.start, HOURS.end)
    assert_frame_equal(
        fetched("volatility_index", "ETH", behavior).select(expected.columns).sort("opened_at"), expected
    )


def test_responses_that_ignore_the_sorting_are_an_error_and_not_a_short_day() -> None:
    class Newest(InProcessApi):
        async def get(self, path: str, **options: Any) -> Page:
            return await super().get(path, **options | {"params": {**options["params"], "sorting": "default"}})

    market = AnalyticMarket(liquidation_minutes=1)
    with pytest.raises(SourceFormatError, match="sorting"):
        fetch_pages(
            deribit.VENUE.feed("liquidations"), Newest(emulated.ROUTES, market, NOW),
            Job("BTC", Span.of_days(date(2024, 3, 8), date(2024, 3, 8))),
        )  # fmt: skip


def test_a_millisecond_that_fills_a_page_is_an_error_and_not_the_end() -> None:
    with pytest.raises(SourceFormatError, match="one millisecond"):
        fetched("liquidations", "BTC", emulated.ResponseBehavior(trades=1), AnalyticMarket(liquidation_minutes=1))


@pytest.mark.parametrize(
    ("feed", "result", "named"),
    [
        ("liquidations", {"trades": [{"time": 1}], "has_more": False}, "'timestamp'"),
        ("liquidations", {"trades": []}, "has_more"),
        ("liquidations", {"trades": [], "has_more": True}, "has_more is true but there are no trades"),
        ("volatility_index", {"data": []}, "continuation"),
        ("funding", [{"time": 1}], "'timestamp'"),
        ("candles", {"status": "ok"}, "ticks"),
    ],
)
def test_a_renamed_field_is_named_while_paging(feed: str, result: Any, named: str) -> None:
    class Renamed(InProcessApi):
        async def get(self, path: str, **options: Any) -> Page:
            return page(path, envelope(result), subject="BTC", at=NOW)

    with pytest.raises(SourceFormatError, match=named):
        fetch_pages(deribit.VENUE.feed(feed), Renamed((), MARKET, NOW), Job("BTC", HOURS))
