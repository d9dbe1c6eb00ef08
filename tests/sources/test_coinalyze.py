"""Coinalyze: parsing of a vendor's rows, their venues, daily history over HTTP, and secrecy of its API key."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.core.errors import ConfigError, RequestRefusedError, SourceFormatError
from pipelines.core.paths import environment
from pipelines.core.settings import Settings
from pipelines.defs.common import feed_key
from pipelines.defs.venues import build_venue_assets
from pipelines.extract import client
from pipelines.extract.landing import LandingStore
from pipelines.extract.venue import Context, Page, Span
from pipelines.operations.fetch import fetch
from pipelines.operations.observer import Observer
from pipelines.sandbox.emulator import Emulator, Fault, Request
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import coinalyze as emulated
from pipelines.sources import registry
from pipelines.sources.cex import coinalyze
from pipelines.sources.instruments import SCHEMA, InstrumentHistory
from tests.sources.conftest import FAST_RETRY, NOW, Clock, Serve, loaded, parse_payloads, quarantined, sample

MARKET = AnalyticMarket()
KEY = "planted-3f9a7c51-never-to-be-seen"
UNITS = pl.DataFrame(
    [
        {**dict.fromkeys(SCHEMA), "venue": "okx", "instrument": "BTC-USDT-SWAP", "contract_size_unit": "base"},
        {**dict.fromkeys(SCHEMA), "venue": "binance", "instrument": "BTCUSD_PERP", "contract_size_unit": "usd"},
    ],
    schema=SCHEMA,
)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COINALYZE_API_KEY", KEY)
    return KEY


# Payloads


def series(*rows: dict[str, Any], symbol: str = "BTCUSDT_PERP.3") -> bytes:
    return orjson.dumps([{"symbol": symbol, "history": rows}])


def parsed_rows(feed: str, body: bytes, subject: str = "okx:BTC-USDT-SWAP") -> pl.DataFrame:
    [parsed] = parse_payloads("coinalyze", feed, [body], subject=subject, instruments=UNITS)
    assert parsed.rejects is not None and parsed.rejects.is_empty()
    return parsed.rows


def test_l_is_liquidated_longs_in_coins_under_the_exchange_s_own_name(samples_dir: Path) -> None:
    text = sample(samples_dir, "coinalyze_liquidation_history_1min.csv").decode()
    rows = [
        {"t": int(row["t"]), "l": float(row["l"]), "s": float(row["s"])} for row in csv.DictReader(io.StringIO(text))
    ]
    got = parsed_rows("liquidations", series(*rows))
    # 1,789,419,660 is 2026-09-14 21:01; the sixth row is 56.7001 bitcoin of longs and 0.4678 of shorts.
    assert got["event_at"][0] == datetime(2026, 9, 14, 21, 1)
    assert got.select("venue", "instrument").unique().rows() == [("okx", "BTC-USDT-SWAP")]
    assert got.select("long_base", "short_base", "total_usd").row(5) == (56.7001, 0.4678, None)
    assert set(got["completeness"]) == {"throttled"}


# 1,709,683,200 is 2024-03-06 00:00.
MIDNIGHT = 1_709_683_200
OHLC = {"o": 1.0, "h": 4.0, "l": 0.5}


def test_open_interest_of_a_day_is_its_close_at_the_day_s_end_in_the_unit_of_the_market() -> None:
    body = series({"t": MIDNIGHT, **OHLC, "c": 2.0})
    row = parsed_rows("open_interest", body).row(0, named=True)
    assert (row["event_at"], row["oi_base"], row["oi_usd"], row["oi_raw_unit"]) == (
        datetime(2024, 3, 7),
        2.0,
        None,
        "base",
    )
    row = parsed_rows("open_interest", body, "binance:BTCUSD_PERP").row(0, named=True)
    assert (row["oi_base"], row["oi_usd"], row["oi_raw_unit"]) == (None, 2.0, "usd")


def test_funding_is_in_percent_and_settled_at_16() -> None:
    row = parsed_rows("funding_rate", series({"t": MIDNIGHT, **OHLC, "c": 0.01})).row(0, named=True)
    assert (row["rate"], row["settled_at"], row["interval_hours"]) == (0.0001, datetime(2024, 3, 6, 16), 8.0)


def test_the_ratio_of_a_day_is_the_state_at_its_start() -> None:
    row = parsed_rows("long_short_ratio", series({"t": MIDNIGHT, "r": 3.0, "l": 75.0, "s": 25.0})).row(0, named=True)
    assert (row["event_at"], row["ratio"], row["long_share"]) == (datetime(2024, 3, 6), 3.0, 0.75)
    assert row["available_at"] == datetime(2024, 3, 6, 1)


def test_markets_are_known_by_exchange_and_read_only_where_their_unit_is() -> None:
    market = {
        "symbol": "X", "exchange": "A", "symbol_on_exchange": "BTCUSDT", "quote_asset": "USDT", "is_perpetual": True,
        "oi_lq_vol_denominated_in": "BASE_ASSET",
    }  # fmt: skip
    listed = [
        market,
        market | {"symbol_on_exchange": "BTCUSD_PERP", "quote_asset": "USD", "oi_lq_vol_denominated_in": "QUOTE_ASSET"},
        market | {"exchange": "6"},
        market | {"symbol_on_exchange": "ETHBTC", "quote_asset": "BTC", "oi_lq_vol_denominated_in": "QUOTE_ASSET"},
        market | {"symbol_on_exchange": "ETHUSDT", "oi_lq_vol_denominated_in": None},
        market | {"exchange": "4"},
        market | {"symbol_on_exchange": "BTCUSDT_240628", "is_perpetual": False},
    ]
    codes = [{"name": "Binance", "code": "A"}, {"name": "Bybit", "code": "6"}, {"name": "Huobi", "code": "4"}]
    pages = [
        Page("*", {"path": path}, 200, NOW, orjson.dumps(content))
        for path, content in (("/exchanges", codes), ("/future-markets", listed))
    ]
    context = Context("coinalyze", NOW, Span(NOW - timedelta(days=1), NOW), InstrumentHistory.none())
    [parsed] = coinalyze.parse_instruments(pages, context)
    assert parsed.rows.select("venue", "instrument", "contract_size_unit").rows() == [
        ("binance", "BTCUSDT", "base"),
        ("binance", "BTCUSD_PERP", "usd"),
        ("bybit", "BTCUSDT", "base"),
    ]
    assert parsed.rejects is not None
    assert parsed.rejects["instrument"].to_list() == ["ETHBTC", "ETHUSDT"]


def test_a_series_without_history_and_an_object_are_errors() -> None:
    with pytest.raises(SourceFormatError, match="no record has a list in 'history'"):
        parse_payloads("coinalyze", "open_interest", [b'[{"symbol":"X"}]'], subject="okx:BTC-USDT-SWAP")
    with pytest.raises(RequestRefusedError, match="Invalid"):
        coinalyze.check(Page("*", {}, 200, NOW, b'{"message":"Invalid API key"}'))


def test_the_emulator_refuses_requests_without_a_key() -> None:
    route = next(route for route in emulated.ROUTES if route.path == "/liquidation-history")
    params = {"symbols": "BTCUSDT_PERP.3", "interval": "daily", "from": str(MIDNIGHT), "to": str(MIDNIGHT)}
    assert route.handler(Request("GET", "api", route.path, params, b"", NOW), MARKET).status == 401


# Over HTTP


def test_without_a_key_the_venue_is_left_out(monkeypatch: pytest.MonkeyPatch, settings: Settings, clock: Clock) -> None:
    monkeypatch.delenv("COINALYZE_API_KEY", raising=False)
    assert "coinalyze" not in {venue.name for venue in registry.followed_venues(settings)}
    with pytest.raises(ConfigError, match="COINALYZE_API_KEY"):
        fetch(settings, "coinalyze", first=date(2024, 3, 8), clock=clock)


def test_days_over_http_match_the_markets(key: str, settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("coinalyze", settings=settings) as (emulator, served):
        reports = fetch(
            served, "coinalyze", first=date(2024, 3, 8), last=date(2024, 3, 8), assets=["BTC", "PEPE"],
            retry=FAST_RETRY, clock=clock,
        )  # fmt: skip
    assert {report.source: dict(report.failures) for report in reports if report.failures} == {}
    # Fetched once as a capture and once for the symbols.
    assert sum("future-markets" in hit.where for hit in emulator.hits) == 2
    start, end = datetime(2024, 3, 8), datetime(2024, 3, 9)
    linear, scaled = emulated.BY_NAME["bybit:BTCUSDT"], emulated.BY_NAME["binance:1000PEPEUSDT"]
    inverse = emulated.BY_NAME["binance:BTCUSD_PERP"]

    interest = loaded(served, "open_interest", clock=clock)
    for listing, unit in ((linear, "oi_base"), (scaled, "oi_base"), (inverse, "oi_usd")):
        expected = MARKET.open_interest(listing, 1440, end, end + timedelta(days=1))
        expected = expected.select("event_at", pl.col(unit) / listing.multiplier)
        matching = interest.filter(venue=listing.venue, instrument=listing.instrument)
        assert_frame_equal(matching.select("event_at", unit), expected)
        assert matching["trade_date"].to_list() == [date(2024, 3, 8)]
    assert set(interest["source"]) == {"coinalyze.open_interest"}
    assert set(interest["venue"]) == {"binance", "bybit", "okx", "gate", "hyperliquid"}

    funding = loaded(served, "funding_rates", clock=clock).filter(venue="bybit")
    settled = MARKET.funding(linear, datetime(2024, 3, 8, 16), end).select("settled_at", "rate")
    assert_frame_equal(funding.select("settled_at", "rate"), settled)

    totals = loaded(served, "liquidation_totals", clock=clock).filter(venue="binance", instrument="BTCUSD_PERP")
    events = MARKET.liquidations(inverse, start, end)
    dollars = (events["quantity_base"] * events["price"]).sum()
    assert totals["total_usd"].to_list() == [pytest.approx(dollars)]

    ratios = loaded(served, "long_short_ratios", clock=clock).filter(venue="bybit", instrument="BTCUSDT")
    expected = MARKET.ratios(linear, "account_global", 1440, end, end + timedelta(days=1))
    assert_frame_equal(ratios.select("event_at", "ratio"), expected)
    assert ratios["trade_date"].to_list() == [date(2024, 3, 8)]

    candles = loaded(served, "candles", clock=clock).filter(venue="binance", instrument="1000PEPEUSDT")
    traded = MARKET.candles(scaled, "perp", 1440, start, end).with_columns(
        *(pl.col(price) * scaled.multiplier for price in ("open", "high", "low", "close")),
        *(pl.col(amount) / scaled.multiplier for amount in ("volume_base", "taker_buy_base")),
    )
    columns = ("opened_at", "open", "high", "low", "close", "volume_base", "taker_buy_base", "trades")
    assert_frame_equal(candles.select(columns), traded.select(columns))
    assert quarantined(served).is_empty()


def test_a_backfill_sends_one_request_per_year_with_the_same_result_as_by_day(
    key: str, tmp_path: Path, serve: Serve, clock: Clock
) -> None:
    def fetch_feed(served: Settings, first: date, last: date) -> None:
        reports = fetch(
            served, "coinalyze", feeds=["liquidations"], first=first, last=last, assets=["PEPE"],
            retry=FAST_RETRY, clock=clock,
        )  # fmt: skip
        assert {report.source: dict(report.failures) for report in reports if report.failures} == {}

    def count_requests(emulator: Emulator) -> int:
        return sum("liquidation-history" in hit.where for hit in emulator.hits)

    days = [date(2024, 2, 19) + timedelta(days=n) for n in range(20)]
    with serve("coinalyze", settings=Settings(home=tmp_path / "days")) as (emulator, by_days):
        for day in days:
            fetch_feed(by_days, day, day)
        assert count_requests(emulator) == len(days)
    with serve("coinalyze", settings=Settings(home=tmp_path / "run")) as (emulator, at_once):
        fetch_feed(at_once, days[0], days[-1])
        assert count_requests(emulator) == 1
        # Of two years only what is not landed yet: one request per year or part of one.
        fetch_feed(at_once, date(2022, 3, 10), days[-1])
        assert count_requests(emulator) == 1 + 2
        fetch_feed(at_once, date(2022, 3, 10), days[-1])
        assert count_requests(emulator) == 1 + 2
    rows = loaded(at_once, "liquidation_totals", clock=clock)
    assert (rows["trade_date"].min(), rows["trade_date"].max()) == (date(2022, 3, 10), days[-1])
    same = pl.exclude("landing_id", "loaded_at")
    assert_frame_equal(
        rows.filter(pl.col("trade_date") >= days[0]).sort("event_at").select(same),
        loaded(by_days, "liquidation_totals", clock=clock).sort("event_at").select(same),
    )


# The key


def everything_written(home: Path) -> str:
    """All bytes below `home`, packs unpacked."""
    texts = []
    for path in sorted(home.rglob("*")):
        if path.is_file() and not path.is_symlink():
            texts.append(path.read_bytes())
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    texts += [archive.read(name) for name in archive.namelist()]
    return b"\n".join(texts).decode("utf-8", "replace")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("liquidation-history", "html", first=99),
        Fault("liquidation-history", "status", times=99, status=401, body=b'{"message":"Invalid API key"}'),
        Fault("liquidation-history", "reset", times=99),
        Fault("liquidation-history", "status", times=99, status=429, headers={"Retry-After": "0"}),
    ],
    ids=["no fault", "key refused", "connection reset", "throttled"],
)
def test_the_key_is_in_no_log_manifest_pack_error_or_metadata(
    key: str,
    settings: Settings,
    serve: Serve,
    clock: Clock,
    fault: Fault,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "DEFAULT_RETRY", FAST_RETRY)
    monkeypatch.setattr(coinalyze, "VENUE", replace(coinalyze.VENUE, limits=()))
    caplog.set_level("DEBUG")
    received_keys: list[str] = []

    def recording(handler: Any) -> Any:
        def handle(requested: Request, model: Any) -> Any:
            received_keys.append(requested.headers.get("api_key", ""))
            return handler(requested, model)

        return handle

    recorded_routes = [replace(route, handler=recording(route.handler)) for route in emulated.ROUTES]
    monkeypatch.setattr(emulated, "ROUTES", recorded_routes)
    home = settings.root / "dagster"
    home.mkdir(parents=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    with (
        serve("coinalyze", settings=settings, faults=[fault]) as (_, served),
        environment(DAGSTER_HOME=str(home)),
        dg.DagsterInstance.get() as instance,
    ):
        steps = build_venue_assets(
            served.model_copy(update={"assets": ("PEPE",)}),
            [registry.venue("coinalyze")],
            observer=Observer(),
            clock=clock,
        )
        wanted = [feed_key("coinalyze", "liquidations")]
        result = dg.materialize(
            steps,
            instance=instance,
            selection=wanted,
            partition_key="2024-03-08",
            raise_on_error=False,
        )
        events = "\n".join(str(entry) for entry in instance.all_logs(result.run_id))
    assert set(received_keys) == {KEY}
    shown = capfd.readouterr()
    for where, text in {
        "files": everything_written(settings.root),
        "events": events,
        "output": shown.out + shown.err,
        "log": caplog.text,
    }.items():
        assert "planted" not in text, where
    assert result.success == (fault.kind == "html")
    assert "liquidation" in events
    assert bool(LandingStore(settings.root).all("coinalyze.liquidations")) == result.success
