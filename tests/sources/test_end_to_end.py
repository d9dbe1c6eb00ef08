"""The whole way of every exchange: over HTTP from an emulator that speaks its wire format, through Dagster's assets, to the
clean tables, row by row. A year of three assets, and a day of two hundred perpetuals; what the venues do is in ways.py."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Final

import dagster as dg
import duckdb
import polars as pl
import pytest
from polars import selectors
from polars.testing import assert_frame_equal

from pipelines.contract.ddl import load_contract
from pipelines.core.paths import environment
from pipelines.core.settings import Settings
from pipelines.defs.clean import build_clean_assets
from pipelines.defs.common import feed_key
from pipelines.defs.venues import CADENCES, build_venue_assets, step_name
from pipelines.extract import client
from pipelines.operations.observer import Observer
from pipelines.sandbox.emulator import Emulator, Fault
from pipelines.sandbox.market_model import AnalyticMarket, Listing
from pipelines.sources import registry
from tests.sources.conftest import FAST_RETRY, Clock
from tests.sources.venue_cases import WAYS, YEAR, Fact, Way

WORLD: Final = AnalyticMarket()
by_venue: Final = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.venue)
OPTION_COINS: Final = ("BTC", "ETH", "XRP")
NO_EXCHANGES: Final = {
    "defillama": "prices of tokens, which no listing has; its whole way is in test_defillama",
    "hyperliquid_fills": "one more source of Hyperliquid, of liquidations only; its whole way is in test_hyperliquid_fills",
}
"""Venues beside the chains that have no universe of listings, and why that is so."""


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No venue makes the test wait: that limits are kept, and what retries wait for, is tested in test_faults and test_limits."""
    monkeypatch.setattr(client, "DEFAULT_RETRY", FAST_RETRY)
    monkeypatch.setenv("COINALYZE_API_KEY", "any")
    for way in WAYS:
        module = importlib.import_module(registry.VENUES[way.venue])
        monkeypatch.setattr(module, "VENUE", replace(module.VENUE, limits=()))


def walk(
    settings: Settings, way: Way, facts: Sequence[Fact], listings: Sequence[Listing], *, first: date, last: date,
    assets: Sequence[str],
) -> None:  # fmt: skip
    """Fetch the feeds over HTTP and load them, as one run of Dagster's assets. Some of the requests meet trouble."""
    clock = Clock(way.now)
    troubles = [
        Fault(f"{way.venue}.", "status", first=2, status=429, headers={"Retry-After": "0"}),
        Fault(f"{way.venue}.", "reset", first=5),
        Fault(f"{way.venue}.", "status", first=8, status=503),
    ]
    venue = registry.venue(way.venue)
    wanted = [feed for feed in venue.feeds if feed.name in {fact.feed for fact in facts}]
    steps = {step_name(venue.name, cadence) for cadence in CADENCES if any(x.cadence.name == cadence for x in wanted)}
    config = {"first": str(first), "last": str(last), "assets": list(assets)}
    routes = {way.venue: way.routes(listings)} if way.routes else None
    with (
        Emulator(WORLD, [way.venue], now=lambda: clock.now, faults=troubles, routes=routes) as emulator,
        environment(DAGSTER_HOME=""),
        dg.DagsterInstance.ephemeral() as instance,
    ):
        there = settings.model_copy(update={"endpoints": dict(emulator.endpoints)})
        clean = build_clean_assets(there, load_contract(there.schema_dir), [], [venue], observer=Observer())
        result = dg.materialize(
            [*build_venue_assets(there, [venue], observer=Observer(), clock=clock), clean],
            instance=instance,
            selection=[*(feed_key(venue.name, feed.name) for feed in wanted), *clean.keys],
            run_config={"ops": {step: {"config": config} for step in sorted(steps)}, "loggers": QUIET},
        )
    assert result.success


QUIET: Final = {"console": {"config": {"log_level": "ERROR"}}}


def compare(
    settings: Settings, way: Way, facts: Sequence[Fact], listings: Sequence[Listing], *, first: date, last: date,
    assets: Sequence[str],
) -> None:  # fmt: skip
    """Every row of the clean tables is a truth, and every truth is there."""
    with duckdb.connect(str(settings.database), read_only=True) as con:
        told: dict[tuple[str, str], int] = {}
        for fact in facts:
            place = (fact.feed, fact.table)
            told.setdefault(place, 0)
            when = fact.when(first, last, way.now)
            chosen = [x for x in listings if fact.of(x) and (fact.whole or x.asset in assets)]
            if when is None or not chosen:
                continue
            subjects = fact.about(chosen) if fact.about else chosen
            names = [(pl.lit(x.venue).alias("venue"), pl.lit(x.instrument).alias(fact.key)) for x in subjects]
            true = pl.concat(
                fact.truth(WORLD, x, when).select(*name, pl.all()) for x, name in zip(subjects, names, strict=True)
            )
            held = con.sql(
                f"select {', '.join(true.columns)} from clean.{fact.table} where source = ? and {fact.key} in "
                "(select unnest(?))",
                params=[f"{way.venue}.{fact.feed}", [x.instrument for x in subjects]],
            ).pl()
            keys = true.select(~selectors.float()).columns
            assert held.height > 0, fact
            assert_frame_equal(held.sort(keys), true.sort(keys), rel_tol=fact.rel_tol, abs_tol=0.0)
            told[place] += true.height
        for (feed, table), rows in told.items():
            count = con.execute(f"select count(*) from clean.{table} where source = ?", [f"{way.venue}.{feed}"])
            assert count.fetchall() == [(rows,)], (feed, table)
        refused = con.sql("select distinct source, reason from ops.quarantine").fetchall()
        assert {(source.partition(".")[2], reason) for source, reason in refused} <= way.rejected_logs


def test_every_exchange_has_its_way() -> None:
    exchanges = {name for name in registry.VENUES if not name.startswith("evm_")} - NO_EXCHANGES.keys()
    assert {way.venue for way in WAYS} == exchanges


def year(way: Way) -> tuple[date, date]:
    return way.now.date() - timedelta(days=YEAR), way.now.date() - timedelta(days=1)


def a_year(settings: Settings, way: Way, facts: Sequence[Fact]) -> None:
    first, last = year(way)
    walk(settings, way, facts, way.listings, first=first, last=last, assets=way.assets)
    compare(settings, way, facts, way.listings, first=first, last=last, assets=way.assets)


@by_venue
def test_a_year_of_three_assets_is_what_the_market_did(way: Way, settings: Settings) -> None:
    a_year(settings, way, [fact for fact in way.facts if fact.feed not in way.long])


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in WAYS if way.long], ids=lambda way: way.venue)
def test_a_year_of_the_fullest_feeds_is_what_the_market_did(way: Way, settings: Settings) -> None:
    a_year(settings, way, [fact for fact in way.facts if fact.feed in way.long])


@by_venue
def test_a_day_of_two_hundred_perpetuals_is_what_the_market_did(
    way: Way, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (way.instead(way.crowd) if way.instead else {}).items():
        monkeypatch.setattr(way.emulated, name, value)
    for name, value in {"LISTINGS": way.crowd, "BY_NAME": {x.instrument: x for x in way.crowd}}.items():
        monkeypatch.setattr(way.emulated, name, value, raising=False)
    facts = [*way.facts, *way.captured]
    assets = [*dict.fromkeys(x.asset for x in way.crowd), *OPTION_COINS]
    walk(settings, way, facts, way.crowd, first=way.day, last=way.day, assets=assets)
    compare(settings, way, facts, way.crowd, first=way.day, last=way.day, assets=assets)
