"""End-to-end test of every exchange: over HTTP from its emulator, through Dagster's assets, to the clean tables, row by row.

A year of three assets and a day of two hundred perpetuals; the cases are in venue_cases.py.
"""

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
from pipelines.defs.venues import build_venue_jobs, step_name
from pipelines.extract import client
from pipelines.operations.observer import Observer
from pipelines.sandbox.emulator import Emulator, Fault
from pipelines.sandbox.market_model import AnalyticMarket, Listing
from pipelines.sources import registry
from tests.sources.conftest import FAST_RETRY, Clock
from tests.sources.venue_case import YEAR, FeedCase, VenueCase, fewer
from tests.sources.venue_cases import VENUE_CASES

MARKET: Final = AnalyticMarket()
OPTION_COINS: Final = ("BTC", "ETH", "XRP")
NO_EXCHANGES: Final = {
    "defillama": "token prices, which belong to no listing; tested end to end in test_defillama",
    "kamino": "a chain's lender without listings; tested end to end in test_kamino",
    "hyperliquid_fills": "a second source of Hyperliquid, liquidations only; tested end to end in test_hyperliquid_fills",
}
"""Venues other than chains without listings, and the reason."""
OWN_DAY: Final = {"aster", "bingx", "bitget", "cftc", "edgex", "kucoin", "mexc", "paradex", "phemex"}
"""Venues whose day fails only with their own module, built of parts that the days of the others try; `make test-slow` runs it."""

YEAR_WITH_EVERY_CHANGE: Final = {"binance_archive", "bybit", "okx"}
"""Venues whose year runs with every change, because it takes what venues share through its paces: files by day and month, cursors,
pages that go backward. A year of another venue fails only with that venue's module; `make test-slow` runs it."""


@pytest.fixture(autouse=True)
def no_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes rate limits and retry delays, which test_faults and test_rate_limits cover."""
    monkeypatch.setattr(client, "DEFAULT_RETRY", FAST_RETRY)
    monkeypatch.setenv("COINALYZE_API_KEY", "any")
    for case in VENUE_CASES:
        module = importlib.import_module(registry.VENUES[case.venue])
        monkeypatch.setattr(module, "VENUE", replace(module.VENUE, limits=()))


def run_pipeline(
    settings: Settings, case: VenueCase, feed_cases: Sequence[FeedCase], listings: Sequence[Listing], *, first: date, last: date,
    assets: Sequence[str],
) -> None:  # fmt: skip
    """Fetch the feeds over HTTP by the jobs of their venue, and load them. Some requests fail at first."""
    clock = Clock(case.now)
    faults = [
        Fault(f"{case.venue}.", "status", first=2, status=429, headers={"Retry-After": "0"}),
        Fault(f"{case.venue}.", "reset", first=5),
        Fault(f"{case.venue}.", "status", first=8, status=503),
    ]
    venue = registry.venue(case.venue)
    wanted = [feed for feed in venue.feeds if feed.name in {feed_case.feed for feed_case in feed_cases}]
    names = [feed.name for feed in wanted]
    config = {"first": str(first), "last": str(last), "assets": list(assets), "feeds": names}
    routes = {case.venue: case.routes(listings)} if case.routes else None
    with (
        Emulator(MARKET, [case.venue], now=lambda: clock.now, faults=faults, routes=routes) as emulator,
        environment(DAGSTER_HOME=""),
        dg.DagsterInstance.ephemeral() as instance,
    ):
        served = settings.model_copy(update={"endpoints": dict(emulator.endpoints)})
        clean = build_clean_assets(served, load_contract(served.schema_dir), [], [venue], observer=Observer())
        for job in build_venue_jobs(served, [venue], observer=Observer(), clock=clock):
            [step] = [node.name for node in job.nodes]
            if any(step == step_name(venue.name, feed.cadence.name) for feed in wanted):
                ops = {"ops": {step: {"config": config}}, "loggers": QUIET}
                assert job.execute_in_process(instance=instance, run_config=ops).success
        result = dg.materialize([clean], instance=instance, run_config={"loggers": QUIET})
    assert result.success


QUIET: Final = {"console": {"config": {"log_level": "ERROR"}}}


def compare(
    settings: Settings, case: VenueCase, feed_cases: Sequence[FeedCase], listings: Sequence[Listing], *, first: date, last: date,
    assets: Sequence[str],
) -> None:  # fmt: skip
    """The clean tables contain exactly the expected rows."""
    with duckdb.connect(str(settings.database), read_only=True) as con:
        expected_counts: dict[tuple[str, str], int] = {}
        for feed_case in feed_cases:
            place = (feed_case.feed, feed_case.table)
            expected_counts.setdefault(place, 0)
            window = feed_case.window(first, last, case.now)
            chosen = [x for x in listings if feed_case.of(x) and (feed_case.whole or x.asset in assets)]
            if window is None or not chosen:
                continue
            subjects = feed_case.about(chosen) if feed_case.about else chosen
            names = [(pl.lit(x.venue).alias("venue"), pl.lit(x.instrument).alias(feed_case.key)) for x in subjects]
            expected = pl.concat(
                feed_case.rows(MARKET, x, window).select(*name, pl.all())
                for x, name in zip(subjects, names, strict=True)
            )
            actual = con.sql(
                f"select {', '.join(expected.columns)} from clean.{feed_case.table} where source = ? and {feed_case.key} in "
                "(select unnest(?))",
                params=[f"{case.venue}.{feed_case.feed}", [x.instrument for x in subjects]],
            ).pl()
            keys = expected.select(~selectors.float()).columns
            assert actual.height > 0, feed_case
            assert_frame_equal(
                actual.sort(keys), expected.sort(keys), rel_tol=feed_case.rel_tol, abs_tol=feed_case.abs_tol
            )
            expected_counts[place] += expected.height
        for (feed, table), rows in expected_counts.items():
            count = con.execute(f"select count(*) from clean.{table} where source = ?", [f"{case.venue}.{feed}"])
            assert count.fetchall() == [(rows,)], (feed, table)
        refused = con.sql("select distinct source, reason from ops.quarantine").fetchall()
        assert {(source.partition(".")[2], reason) for source, reason in refused} <= case.allowed_rejects


def test_every_exchange_has_a_case() -> None:
    exchanges = {name for name in registry.VENUES if not name.startswith("evm_")} - NO_EXCHANGES.keys()
    assert {case.venue for case in VENUE_CASES} == exchanges


def year(case: VenueCase) -> tuple[date, date]:
    return case.now.date() - timedelta(days=YEAR), case.now.date() - timedelta(days=1)


def check_year(settings: Settings, case: VenueCase, feed_cases: Sequence[FeedCase]) -> None:
    first, last = year(case)
    run_pipeline(settings, case, feed_cases, case.listings, first=first, last=last, assets=case.assets)
    compare(settings, case, feed_cases, case.listings, first=first, last=last, assets=case.assets)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case.venue in YEAR_WITH_EVERY_CHANGE else pytest.mark.slow, id=case.venue)
        for case in VENUE_CASES
    ],
)
def test_a_year_of_three_assets_matches_the_market(case: VenueCase, settings: Settings) -> None:
    check_year(settings, case, [feed_case for feed_case in case.feed_cases if feed_case.feed not in case.slow_feeds])


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in VENUE_CASES if case.slow_feeds], ids=lambda case: case.venue)
def test_a_year_of_the_largest_feeds_matches_the_market(case: VenueCase, settings: Settings) -> None:
    check_year(settings, case, [feed_case for feed_case in case.feed_cases if feed_case.feed in case.slow_feeds])


def check_day(case: VenueCase, crowd: Sequence[Listing], settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (case.overrides(crowd) if case.overrides else {}).items():
        monkeypatch.setattr(case.emulated, name, value)
    for name, value in {"LISTINGS": crowd, "BY_NAME": {x.instrument: x for x in crowd}}.items():
        monkeypatch.setattr(case.emulated, name, value, raising=False)
    feed_cases = [*case.feed_cases, *case.captured]
    assets = [*dict.fromkeys(x.asset for x in crowd), *OPTION_COINS]
    run_pipeline(settings, case, feed_cases, crowd, first=case.day, last=case.day, assets=assets)
    compare(settings, case, feed_cases, crowd, first=case.day, last=case.day, assets=assets)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case.venue, marks=[pytest.mark.slow] if case.venue in OWN_DAY else [])
        for case in VENUE_CASES
    ],
)
def test_a_day_of_forty_perpetuals_matches_the_market(
    case: VenueCase, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = fewer(case.crowd, 40)
    assert {x.contract_type for x in crowd} == {x.contract_type for x in case.crowd}
    check_day(case, crowd, settings, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [case for case in VENUE_CASES if len(fewer(case.crowd, 40)) < len(case.crowd)], ids=lambda case: case.venue
)
def test_a_day_of_two_hundred_perpetuals_matches_the_market(
    case: VenueCase, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_day(case, case.crowd, settings, monkeypatch)
