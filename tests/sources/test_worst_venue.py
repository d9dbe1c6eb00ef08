"""The worst venue decides nothing: half of the venues refuse, limit, hang or answer nonsense, and the rest is landed and loaded."""

from __future__ import annotations

import time
from typing import Final

import pytest

from pipelines.core.settings import Settings
from pipelines.extract import client
from pipelines.extract.client import RetryPolicy
from pipelines.extract.landing import LandingStore
from pipelines.operations.fetch import fetch
from pipelines.operations.load import load_pending
from pipelines.sandbox.emulator import Fault
from pipelines.storage.warehouse import writer
from tests.sources.conftest import Clock, Serve

HURRIED: Final = RetryPolicy(attempts=3, first_wait=0.01, longest_backoff=0.02, longest_wait=0.5, total_seconds=0.5)
GOOD: Final = ("bitget", "gate", "hyperliquid", "kraken")
BAD: Final = {
    "bybit": Fault("bybit.", "status", times=9999, status=451),
    "okx": Fault("okx.", "status", times=9999, status=429, headers={"Retry-After": "600"}),
    "aster": Fault("aster.", "slow", times=9999, seconds=30.0),
    "kucoin": Fault("kucoin.", "html", times=9999),
}
"""Refuses the region, limits the rate, hangs, answers nonsense."""


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "DEFAULT_RETRY", HURRIED)


@pytest.mark.slow
def test_half_of_the_venues_fail_and_everything_else_is_landed_and_loaded_in_bounded_time(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    began = time.monotonic()
    failed: dict[str, int] = {}
    # The bad ones first, so that whatever they hold up is seen.
    with serve(*BAD, *GOOD, settings=settings, faults=list(BAD.values())) as (_, served):
        for venue in (*BAD, *GOOD):
            reports = fetch(served, venue, assets=("BTC",), retry=HURRIED, clock=clock)
            failed[venue] = sum(len(report.failures) for report in reports)
    took = time.monotonic() - began
    load_pending(settings, clock=clock).raise_failures()
    assert {venue for venue, failures in failed.items() if failures} == set(BAD)
    landed = {
        landing.source.partition(".")[0]
        for landing in LandingStore(settings.root).all()
        if landing.completeness != "unreadable"
    }
    assert landed == set(GOOD)
    with writer(settings, what="test") as con:
        loaded = con.sql("select distinct venue from clean.risk_tiers order by venue").fetchall()
    assert [venue for (venue,) in loaded] == sorted(GOOD)
    # A hanging venue costs its attempts, not its attempts times its feeds.
    assert took < 60, took
