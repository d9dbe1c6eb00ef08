"""Two sources of one venue that disagree: the published file shows the series and the gap."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import orjson
import polars as pl
import pytest

from pipelines.core.settings import Settings
from pipelines.operations.fetch import fetch
from pipelines.operations.load import load_pending
from pipelines.quality.bounds import AGREE_STATE
from pipelines.sandbox.market_model import AnalyticMarket, Listing
from pipelines.storage.publish import OPS_TABLES
from pipelines.storage.warehouse import writer
from tests.sources.conftest import FAST_RETRY, Clock, Serve

DAY = date(2024, 3, 5)


@dataclass(frozen=True)
class InflatedMarket(AnalyticMarket):
    """A market with open interest multiplied by `factor`."""

    factor: float = 1.0

    def open_interest(self, listing: Listing, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        exact = super().open_interest(listing, minutes, start, end)
        return exact.with_columns(pl.col("oi_base", "oi_usd") * self.factor)


@pytest.mark.parametrize("factor", [1.0 + 0.8 * AGREE_STATE, 1.0 + 1.5 * AGREE_STATE])
def test_a_source_beyond_the_tolerance_is_a_failed_check_that_names_the_series(
    settings: Settings, serve: Serve, clock: Clock, factor: float
) -> None:
    """Binance's archive against its API of the last 30 days, which is higher."""
    for venue, feed, market in (
        ("binance_archive", "um_metrics", AnalyticMarket()),
        ("binance", "open_interest", InflatedMarket(factor=factor)),
    ):
        with serve(venue, settings=settings, market=market) as (_, served):
            reports = fetch(served, venue, [feed], first=DAY, last=DAY, assets=["BTC"], retry=FAST_RETRY, clock=clock)
            assert {report.source: report.failures for report in reports if report.failures} == {}
            load_pending(served, clock=clock).raise_failures()
    with writer(settings, what="test") as con:
        results = con.sql(
            "select source, passed, severity, sample from ops.check_results where check_name = 'other_sources_agree' "
            "and table_name = 'open_interest' order by load_seq"
        ).fetchall()
        kept = con.sql(
            "select source, count(*) from clean.open_interest where instrument = 'BTCUSDT' group by all"
        ).fetchall()
    # Both stay in the clean table, whatever the check's result; precedence decides which one the marts use.
    assert dict(kept) == {"binance_archive.um_metrics": 288, "binance.open_interest": 288}
    assert [source for source, *_ in results] == ["binance_archive.um_metrics", "binance.open_interest"]
    [_, (_, passed, severity, sample)] = results
    beyond = 1 - 1 / factor > AGREE_STATE
    assert (passed, severity) == (not beyond, "warn")
    gaps = {row["instrument"]: row["other_source_gap"] for row in orjson.loads(sample)}
    assert gaps == ({"BTCUSDT": pytest.approx(1 - 1 / factor, rel=1e-6)} if beyond else {})
    # The published file has the check results as well.
    assert "check_results" in OPS_TABLES
