"""The standing check of open interest: its level against a second source of the same venue, by the rows of two feeds."""

from __future__ import annotations

from datetime import date, datetime

import orjson
import pytest

from pipelines.core.settings import Settings
from pipelines.operations.fetch import fetch
from pipelines.operations.load import load_pending
from pipelines.quality.second_source import CHECK, MOST_APART
from pipelines.sandbox.market_model import AnalyticMarket, MarketModel
from pipelines.sources import counting
from pipelines.storage.warehouse import writer
from tests.sources.conftest import FAST_RETRY, Clock, Serve
from tests.sources.test_disagreement import InflatedMarket

DAY = date(2026, 10, 5)
"""Gate counts both sides."""


def levels(settings: Settings) -> list[tuple[str, str, bool, str, str]]:
    """Source, severity, whether it passed, observed and sample of the check, in the order of the loads."""
    with writer(settings, what="test") as con:
        return con.sql(
            "select source, severity, passed, observed, sample from ops.check_results "
            f"where check_name = '{CHECK}' order by load_seq, source"
        ).fetchall()


def rows(settings: Settings) -> dict[str, int]:
    with writer(settings, what="test") as con:
        return dict(con.sql("select source, count(*) from clean.open_interest group by all").fetchall())


def land_gate(settings: Settings, serve: Serve, clock: Clock) -> None:
    """Two captures of a day and, when it is over, its statistics; loaded as they come."""
    with serve("gate", settings=settings) as (_, served):
        for clock.now, feed in (
            (datetime(2026, 10, 5, 10, 5), "current_open_interest"),
            (datetime(2026, 10, 5, 11, 5), "current_open_interest"),
            (datetime(2026, 10, 6, 6), "contract_stats"),
        ):
            reports = fetch(
                served,
                "gate",
                ["instruments", feed],
                first=DAY,
                last=DAY,
                assets=["BTC"],
                retry=FAST_RETRY,
                clock=clock,
            )
            assert {report.source: report.failures for report in reports if report.failures} == {}
            load_pending(served, clock=clock).raise_failures()


def test_gates_statistics_have_the_level_of_its_positions(settings: Settings, serve: Serve, clock: Clock) -> None:
    land_gate(settings, serve, clock)
    [(source, severity, passed, observed, sample)] = levels(settings)
    assert (source, severity, passed, sample) == ("gate.contract_stats", "error", True, "[]")
    assert orjson.loads(observed)["days_compared"] == 2
    assert orjson.loads(observed)["most_apart"] == pytest.approx(1.0, abs=0.02)


def test_statistics_that_are_not_halved_show_on_every_load_and_refuse_nothing(
    settings: Settings, serve: Serve, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(counting.FACTS, "gate", counting.DOCUMENTED)
    land_gate(settings, serve, clock)
    [(source, severity, passed, observed, sample)] = levels(settings)
    assert (source, severity, passed) == ("gate.contract_stats", "error", False)
    assert orjson.loads(observed)["days_off"] == 2
    assert orjson.loads(sample)[0].startswith("BTC_USD")
    assert orjson.loads(sample)[0].endswith("times apart, gate.current_open_interest")
    assert orjson.loads(observed)["most_apart"] == pytest.approx(2.0, abs=0.04)
    assert rows(settings)["gate.contract_stats"] == 2 * 288


@pytest.mark.parametrize("factor", [0.9 * MOST_APART, 1.1 * MOST_APART])
def test_a_vendors_level_is_held_against_the_venues(
    settings: Settings, serve: Serve, clock: Clock, factor: float
) -> None:
    day = date(2024, 3, 5)
    market: MarketModel
    for venue, feed, market in (
        ("binance_archive", "um_metrics", AnalyticMarket()),
        ("binance", "open_interest", InflatedMarket(factor=factor)),
    ):
        with serve(venue, settings=settings, market=market) as (_, served):
            fetch(served, venue, [feed], first=day, last=day, assets=["BTC"], retry=FAST_RETRY, clock=clock)
            load_pending(served, clock=clock).raise_failures()
    assert [(source, passed) for source, _, passed, _, _ in levels(settings)] == [
        ("binance.open_interest", factor < MOST_APART)
    ]
