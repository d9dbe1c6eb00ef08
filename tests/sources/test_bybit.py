"""Bybit: what its payloads mean, and its history over HTTP against an emulator that says what is true."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.ingest import fetch
from pipelines.sandbox.venues import bybit as emulated
from pipelines.sandbox.world import FormulaWorld
from pipelines.settings import Settings
from pipelines.sources.instruments import SCHEMA
from tests.sources.conftest import HURRIED, Clock, Serve, loaded, parse_payloads, sample

WORLD = FormulaWorld()


def known_as(instrument: str, contract_type: str) -> pl.DataFrame:
    row = {"venue": "bybit", "instrument": instrument, "contract_type": contract_type}
    return pl.DataFrame([{**dict.fromkeys(SCHEMA), **row}], schema=SCHEMA)


def test_inverse_open_interest_is_in_dollars_and_one_sided_where_bybit_says_so(samples_dir: Path) -> None:
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


def test_a_week_over_http_is_what_the_market_did(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("bybit", settings=settings) as (_, there):
        reports = fetch(
            there, "bybit", first=date(2024, 2, 28), last=date(2024, 3, 5), assets=["BTC", "PEPE"],
            patience=HURRIED, clock=clock,
        )  # fmt: skip
    assert all(not report.failures for report in reports)
    got = loaded(there, "open_interest", clock=clock).filter(instrument="1000PEPEUSDT")
    start, end = datetime(2024, 2, 28), datetime(2024, 3, 6)
    true = WORLD.open_interest(
        emulated.BY_NAME["1000PEPEUSDT"], 5, start + timedelta(minutes=5), end + timedelta(minutes=5)
    )
    assert_frame_equal(got.select("event_at", "oi_base").sort("event_at"), true.select("event_at", "oi_base"))
    funding = loaded(there, "funding_rates", clock=clock).filter(instrument="BTCUSD")
    settled = WORLD.funding(emulated.BY_NAME["BTCUSD"], start, end)
    assert_frame_equal(funding.select("settled_at", "rate").sort("settled_at"), settled.select("settled_at", "rate"))
