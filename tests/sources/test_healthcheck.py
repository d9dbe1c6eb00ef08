"""`doctor --live` reports differences from what a venue's module expects, and lands nothing."""

from __future__ import annotations

import orjson

from pipelines.core.settings import Settings
from pipelines.operations.healthcheck import check_venue
from pipelines.sandbox.emulator import Fault
from pipelines.sources import registry
from tests.sources.conftest import FAST_RETRY, Clock, Serve


def test_a_venue_that_responds_as_expected(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("bybit", settings=settings) as (_, served):
        probes = check_venue(served, registry.venue("bybit"), retry=FAST_RETRY, clock=clock)
    assert {(p.source, p.asked): (p.verdict, p.rows > 0) for p in probes if p.source == "bybit.funding"} == {
        ("bybit.funding", "recent"): ("as expected", True),
        ("bybit.funding", "oldest"): ("as expected", True),
    }
    assert not settings.raw_dir.exists()


def test_a_renamed_field_and_a_refusal_are_distinguished(settings: Settings, serve: Serve, clock: Clock) -> None:
    def renamed(body: bytes) -> bytes:
        return body.replace(b'"fundingRate"', b'"rate"')

    faults = [
        Fault("funding", "rewrite", times=100, change=renamed),
        Fault("open-interest", "status", times=100, status=451, body=orjson.dumps({"msg": "restricted"})),
    ]
    with serve("bybit", settings=settings, faults=faults) as (_, served):
        probes = check_venue(served, registry.venue("bybit"), retry=FAST_RETRY, clock=clock)
    found = {(p.source, p.asked): p for p in probes}
    assert found["bybit.funding", "recent"].verdict == "failed"
    assert "'fundingRate'" in found["bybit.funding", "recent"].found
    assert "region" in found["bybit.open_interest", "recent"].found
    assert found["bybit.instruments", "recent"].verdict == "as expected"
