"""Directly generated rows of a simulated market equal those loaded over HTTP, so the evaluation measures what the demo shows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.core.settings import Settings
from pipelines.extract.landing import Clock
from pipelines.operations.fetch import fetch
from pipelines.operations.load import load_pending
from pipelines.sandbox.emulator import Emulator
from pipelines.sandbox.market import SimulatedMarket
from pipelines.sandbox.market_frames import CAPTURED_AT, Scope, rows
from pipelines.sandbox.market_paths import CHARACTERS
from pipelines.sandbox.venues import evm

# Before 15 April, whose archive file has a sentinel row.
FIRST, LAST = date(2025, 3, 4), date(2025, 3, 5)
ASSETS = tuple(CHARACTERS)
FEEDS: Mapping[str, tuple[str, ...]] = {
    "bybit": ("open_interest", "funding", "long_short_ratios", "candles"),
    "binance_archive": ("um_metrics", "um_candles", "spot_candles", "funding"),
    "okx": ("funding",),
    "deribit": ("funding", "liquidations"),
    "evm_ethereum": ("aave",),
}
AFTER = datetime(2025, 4, 2, 12)

KEYS: Mapping[str, tuple[str, ...]] = {
    "open_interest": ("venue", "instrument", "period", "event_at"),
    "funding_rates": ("venue", "instrument", "settled_at"),
    "long_short_ratios": ("venue", "instrument", "measure", "event_at"),
    "candles": ("venue", "instrument", "market", "opened_at"),
    "liquidations": ("instrument", "occurred_at", "side", "price", "quantity_base"),
    "lending_liquidations": ("event_id",),
    "option_chain": ("underlying", "expiry_date", "strike", "option_type", "snapshot_at"),
    "instruments": ("venue", "instrument"),
}
LEFT_OUT: Mapping[str, tuple[str, ...]] = {
    # Values as received: two-sided amounts, trade ids, option names, capture times.
    "open_interest": ("oi_raw", "counting"),
    "liquidations": ("liquidation_id",),
    "option_chain": ("instrument", "available_at"),
    "instruments": ("valid_from", "available_at", "contract_size", "contract_size_unit"),
}
"""Columns that depend on fetching and are not generated directly; amounts are in coin already."""


@pytest.fixture(scope="module")
def market() -> SimulatedMarket:
    return SimulatedMarket(FIRST, LAST, seed=7, assets=ASSETS)


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory, market: SimulatedMarket) -> Settings:
    """A warehouse loaded over HTTP, like the demo, but without the gate, whose import takes longer than the rest."""
    moment = [AFTER]

    def clock() -> datetime:
        moment[0] += timedelta(microseconds=1)
        return moment[0]

    routes = {"evm_ethereum": [route for route in evm.ROUTES if route.endpoint == "portal"]}
    with Emulator(market, FEEDS, now=lambda: moment[0], routes=routes) as emulator:
        settings = Settings(home=tmp_path_factory.mktemp("fetched"), endpoints=dict(emulator.endpoints), assets=ASSETS)
        for day in (FIRST + timedelta(days=number) for number in range((LAST - FIRST).days + 1)):
            moment[0] = datetime.combine(day, CAPTURED_AT)
            fetch_feed(settings, "deribit", ("option_chain",), clock)
        moment[0] = AFTER
        for venue, feeds in FEEDS.items():
            fetch_feed(settings, venue, feeds, clock)
    load_pending(settings, gate=lambda _con, _inputs: [], clock=clock).raise_failures()
    return settings


def fetch_feed(settings: Settings, venue: str, feeds: tuple[str, ...], clock: Clock) -> None:
    for report in fetch(settings, venue, feeds, first=FIRST, last=LAST, assets=ASSETS, clock=clock):
        report.raise_failures()


def test_direct_rows_equal_the_rows_loaded_over_http(market: SimulatedMarket, fetched: Settings) -> None:
    compared = set()
    direct: dict[tuple[str, str], list[pl.DataFrame]] = {}
    for part in rows(market, Scope(minutes=5)):
        direct.setdefault((part.source, part.table), []).append(part.frame)
    with duckdb.connect(str(fetched.database), read_only=True) as con:
        for (source, table), frames in direct.items():
            expected = pl.concat(frames)
            columns = [name for name in expected.columns if name not in LEFT_OUT.get(table, ())]
            names = ", ".join(columns)
            # Lists also have instruments that the market does not; a funding file has the whole month.
            which = (
                "asset <> 'PEPE' and quote <> 'BUSD' and not ends_with(instrument, '-CONTRACTS')"
                if table == "instruments"
                else f"trade_date between '{FIRST}' and '{LAST}'"
            )
            found = con.sql(
                f"select distinct {names} from clean.{table} where source = ? and {which}", params=[source]
            ).pl()
            if table == "option_chain":
                found = found.with_columns(pl.col("snapshot_at").dt.truncate("1m")).filter(underlying="BTC")
            key = list(KEYS[table])
            assert_frame_equal(
                found.sort(key),
                expected.select(pl.col(name).cast(found.schema[name]) for name in columns).sort(key),
                check_dtypes=False,
                rel_tol=1e-9,
            )
            assert found.height > 0, source
            compared.add((source, table))
    assert {table for _, table in compared} == set(KEYS)
    assert {source.partition(".")[0] for source, _ in compared} == set(FEEDS)


def test_tagged_markets_share_no_names(market: SimulatedMarket) -> None:
    names = {
        (part.table, column): set(part.frame[column])
        for part in rows(market, Scope(tag="0007P"))
        for column in ("instrument", "underlying", "collateral_token")
        if column in part.frame.columns
    }
    assert names
    assert all(name.endswith("0007P") for found in names.values() for name in found)


def test_unsupported_periods_are_an_error(market: SimulatedMarket) -> None:
    with pytest.raises(ValueError, match="every 7 minutes"):
        list(rows(market, Scope(minutes=7)))
