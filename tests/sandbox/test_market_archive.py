"""The archive of the simulated market: one daily file is published days late, another is restated."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime, timedelta

import polars as pl
import pytest

from pipelines.sandbox.emulator import Request, Response
from pipelines.sandbox.market import SimulatedMarket
from pipelines.sandbox.market_archive import routes
from pipelines.sandbox.market_episodes import UNRESTATED_FACTOR, Episode

FIRST, LAST = date(2025, 5, 1), date(2025, 5, 31)


@pytest.fixture(scope="module")
def market() -> SimulatedMarket:
    return SimulatedMarket(FIRST, LAST, seed=7, assets=("BTC", "ETH"))


def get_file(market: SimulatedMarket, symbol: str, day: date, now: datetime) -> Response:
    path = f"/data/futures/um/daily/metrics/{symbol}/{symbol}-metrics-{day}.zip"
    [route] = [r for r in routes(market) if r.path == "/data/futures/um/daily/metrics/{symbol}/{file}"]
    params = {"symbol": symbol, "file": path.rpartition("/")[2]}
    return route.handler(Request("GET", "archive", path, params, b"", now), market)


def open_interest(answer: Response) -> float:
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        frame = pl.read_csv(archive.read(archive.namelist()[0]))
    return float(frame["sum_open_interest"][-1])


def planted(market: SimulatedMarket, kind: str) -> Episode:
    [episode] = [e for e in market.episodes if e.kind == kind]
    return episode


def test_a_late_file_is_missing_while_others_of_its_day_exist(market: SimulatedMarket) -> None:
    late = planted(market, "late")
    soon, then = late.end + timedelta(days=1), late.end + timedelta(days=7)
    assert get_file(market, "BTCUSDT", late.first_day, soon).status == 404
    assert get_file(market, "ETHUSDT", late.first_day, soon).status == 200
    assert get_file(market, "BTCUSDT", late.first_day, then).status == 200


def test_a_restated_file_first_has_a_lower_value(market: SimulatedMarket) -> None:
    restated = planted(market, "restated")
    soon, then = restated.end + timedelta(days=1), restated.end + timedelta(days=6)
    first, second = (open_interest(get_file(market, "ETHUSDT", restated.first_day, now)) for now in (soon, then))
    assert first / second == pytest.approx(UNRESTATED_FACTOR, rel=1e-6)
    before, after = (open_interest(get_file(market, "BTCUSDT", restated.first_day, now)) for now in (soon, then))
    assert before == after
