"""The vendor's files of a simulated market are read by their mapping to the last line, and say what the market says."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipelines.core.settings import Settings
from pipelines.operations.import_check import ImportReport, import_checked
from pipelines.sandbox.market import SimulatedMarket
from pipelines.sandbox.market_history import ENDED, ENDED_AFTER, MAPPING, OVERLAP_DAYS, write_history
from pipelines.sandbox.venues.hyperliquid import BY_NAME

FIRST, OWN_FROM, LAST = date(2025, 1, 1), date(2025, 2, 20), date(2025, 3, 31)
ASSETS = ("BTC", "AVAX")


@pytest.fixture(scope="module")
def market() -> SimulatedMarket:
    return SimulatedMarket(FIRST, LAST, seed=7, assets=ASSETS)


@pytest.fixture(scope="module")
def files(market: SimulatedMarket, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    written = write_history(market, tmp_path_factory.mktemp("vendor"), own_history_from=OWN_FROM)
    return {path.stem: path for path in written}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def imported(files: dict[str, Path], home: Settings) -> ImportReport:
    return import_checked(home, MAPPING, paths=list(files.values()))


@pytest.fixture
def clean(imported: ImportReport, home: Settings) -> duckdb.DuckDBPyConnection:
    assert imported.load.refused == ()
    return duckdb.connect(home.database, read_only=True)


def test_every_line_becomes_a_row_of_each_of_its_tables(files: dict[str, Path], imported: ImportReport) -> None:
    lines = {name: pl.read_csv(path).height for name, path in files.items()}
    tables = {load.table: load.accepted for load in imported.load.tables}
    assert tables == {
        "candles": lines["daily"] + lines["minutes"], "open_interest": lines["daily"],
        "long_short_ratios": lines["daily"], "liquidation_totals": lines["liquidations"], "funding_rates": lines["funding"],
        "liquidations": lines["events"],
        # Two assets at four venues, of which Binance has one in two quote currencies.
        "instruments": 8,
    }  # fmt: skip
    assert sum(load.quarantined for load in imported.load.tables) == 0


def test_the_vendor_ends_where_a_venues_own_history_has_begun(clean: duckdb.DuckDBPyConnection) -> None:
    last = dict(
        clean.execute(
            "select venue, max(trade_date) from clean.open_interest where instrument <> ? group by venue", [ENDED]
        ).fetchall()
    )
    assert (last["binance"] - OWN_FROM).days == (last["bybit"] - OWN_FROM).days == OVERLAP_DAYS - 1
    assert last["okx"] == last["hyperliquid"] == LAST


def test_a_state_is_that_of_the_days_end(clean: duckdb.DuckDBPyConnection, market: SimulatedMarket) -> None:
    path = market.paths("BTC").oi * 0.30 * 0.85
    at = (datetime(2025, 1, 11) - market.start).days * 288 - 1
    told = "select oi_base from clean.open_interest where venue = 'bybit' and instrument = 'BTCUSDT' and trade_date = ?"
    assert clean.execute(told, [date(2025, 1, 10)]).fetchall() == [(pytest.approx(path[at], abs=1e-5),)]


def test_liquidations_of_a_day_are_the_sum_of_its_events(
    clean: duckdb.DuckDBPyConnection, market: SimulatedMarket
) -> None:
    told = clean.execute(
        "select sum(long_base), sum(short_base), sum(long_usd + short_usd), count(*) from clean.liquidation_totals "
        "where venue = 'hyperliquid' and instrument = 'AVAX'"
    ).fetchone()
    assert told is not None
    events = market.liquidations(BY_NAME["AVAX"], datetime(2025, 1, 1), datetime(2025, 4, 1))
    by_side = dict(events.group_by("side").agg(pl.col("quantity_base").sum()).iter_rows())
    assert told[:2] == (pytest.approx(by_side["long"]), pytest.approx(by_side["short"]))
    assert told[2] == pytest.approx((events["price"] * events["quantity_base"]).sum())
    assert told[3] == (LAST - FIRST).days + 1


def test_a_contract_that_has_ended_stands_still(clean: duckdb.DuckDBPyConnection) -> None:
    days = clean.execute(
        "select close, volume_base from clean.candles where instrument = ? and period = '1d' order by opened_at",
        [ENDED],
    ).fetchall()
    assert len(days) == 2 * ENDED_AFTER
    assert {volume > 0 for _, volume in days[:ENDED_AFTER]} == {True}
    assert set(days[ENDED_AFTER:]) == {(days[ENDED_AFTER - 1][0], 0.0)}
