"""Liquidations by contracts that are on no list are found by asking a chain for their events, whatever the address."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pipelines.cli.doctor import emitters_finding
from pipelines.core.settings import Settings
from pipelines.operations.emitters import Probed, probe
from pipelines.sandbox.venues.evm import ChainMarket
from pipelines.sources.chain.evm.chains import CHAINS
from pipelines.sources.chain.evm.emitters import LIQUIDATES, Emitter, listed_contracts
from pipelines.sources.chain.evm.venue import FAMILIES
from tests.sources.conftest import FAST_RETRY, Clock, Serve
from tests.sources.evm_events import address
from tests.sources.test_evm import DAY, FIRST, bring
from tests.sources.test_evm_events import absorb, liquidation_call

[ETHEREUM] = [chain for chain in CHAINS if chain.name == "ethereum"]
FORK = address(0xF0F0)


def test_every_family_has_an_event_that_is_asked_for() -> None:
    without = {
        protocol.name
        for family in FAMILIES.values()
        for protocol in family.protocols
        if not any(LIQUIDATES.search(event.name) for event in protocol.events)
    }
    assert without == set()


def test_an_emitter_that_is_on_no_list_is_reported_and_those_that_are_landed_are_not(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    listed = liquidation_call(1, 2, block=FIRST + 5)
    strange = [replace(listed, address=FORK, block=FIRST + 6 + n, index=n) for n in range(3)]
    # A listed contract of a family that nobody fetched.
    logs = [listed, *strange, replace(absorb(1, 100, 1, 100), block=FIRST + 9), replace(strange[0], block=FIRST - 1)]
    there, failures, _ = bring(settings, serve, clock, ChainMarket(logs=logs))
    assert failures == {}
    with serve("evm_ethereum", settings=there, market=ChainMarket(logs=logs)) as (_, served):
        told = probe(served, ETHEREUM, retry=FAST_RETRY, clock=clock)
    first = strange[0].transaction
    assert told == Probed(DAY, (Emitter(FORK, "aave_liquidation_call", 3, first),))
    found = emitters_finding("evm_ethereum", told)
    assert (found.verdict, found.found) == (
        "unknown", f"{DAY}: {FORK} (3 aave_liquidation_call, first {first})",
    )  # fmt: skip


def test_without_a_landing_the_newest_published_day_is_asked_for(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    with serve("evm_ethereum", settings=settings, market=ChainMarket()) as (_, served):
        told = probe(served, ETHEREUM, retry=FAST_RETRY, clock=clock)
    with serve("evm_ethereum", settings=settings, market=ChainMarket(behind=timedelta(hours=40))) as (_, served):
        late = probe(served, ETHEREUM, retry=FAST_RETRY, clock=clock)
    assert (told.day, told.found, emitters_finding("evm_ethereum", told).verdict) == (DAY + timedelta(days=1), (), "ok")
    assert (late.failure, emitters_finding("evm_ethereum", late).verdict) == ("its blocks are not final yet", "unknown")


def test_the_lists_are_in_lower_case() -> None:
    every = {name for chain in CHAINS for name in listed_contracts(chain, FAMILIES.values())}
    assert len(every) > 400
    assert all(name == name.lower() for name in every)
