"""Faults while fetching: each is retried, or reported and recovered by the next run; nothing is lost or duplicated."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta

import orjson
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.contract.ddl import load_contract
from pipelines.core.errors import (
    BlockedError,
    ClockError,
    LeverhouseError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    TransientError,
)
from pipelines.core.settings import Settings
from pipelines.extract.fetch import FetchReport
from pipelines.extract.fetch_log import read_fetch_logs
from pipelines.extract.landing import LandingStore
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Fault
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.venues import bybit as emulated
from pipelines.sources import registry
from tests.sources.conftest import FAST_RETRY, Clock, Serve

DAY = date(2024, 3, 5)
OI = "open-interest"


def fetch_feed(settings: Settings, clock: Clock, first: date = DAY, last: date = DAY) -> FetchReport:
    reports = fetch_all(settings, clock, first, last)
    return next(report for report in reports if report.source == "bybit.open_interest")


def fetch_all(settings: Settings, clock: Clock, first: date = DAY, last: date = DAY) -> Sequence[FetchReport]:
    return fetch(
        settings,
        "bybit",
        ["open_interest"],
        first=first,
        last=last,
        assets=["ETH", "SOL"],
        retry=FAST_RETRY,
        clock=clock,
    )


def landed(settings: Settings) -> pl.DataFrame:
    """The rows of all current landings, including duplicates."""
    store = LandingStore(settings.root)
    landings = store.current("bybit.open_interest")
    source = registry.open_source(store, load_contract(settings.schema_dir), "bybit.open_interest", landings)
    frames = [batch.rows for landing in landings for batch in source.parse(landing)]
    return pl.concat(frames).select("instrument", "event_at", "oi_base").sort("instrument", "event_at")


def expected_rows(first: date = DAY, last: date = DAY) -> pl.DataFrame:
    start = datetime(first.year, first.month, first.day) + timedelta(minutes=5)
    end = datetime(last.year, last.month, last.day) + timedelta(days=1, minutes=5)
    market = AnalyticMarket()
    return pl.concat(
        market.open_interest(emulated.BY_NAME[name], 5, start, end).select(
            pl.lit(name).alias("instrument"), "event_at", "oi_base"
        )
        for name in ("ETHUSDT", "SOLUSDT")
    )


def replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body.replace(old, new)


def without_rows(body: bytes) -> bytes:
    return re.sub(rb'"list":\[.*?\](?=,|})', b'"list":[]', body)


RETRIED = {
    "429 with Retry-After": Fault(OI, "status", status=429, headers={"Retry-After": "0"}),
    "429 without Retry-After": Fault(OI, "status", status=429),
    "418 with a short wait": Fault(OI, "status", status=418, headers={"Retry-After": "1"}),
    "500": Fault(OI, "status", status=500, times=2),
    "502": Fault(OI, "status", status=502),
    "503": Fault(OI, "status", status=503, times=3),
    "408": Fault(OI, "status", status=408),
    "connection reset in the middle of the body": Fault(OI, "reset", times=2),
    "a body that stalls": Fault(OI, "slow", seconds=3.0),
    "a truncated body": Fault(OI, "truncated"),
    "an HTML page": Fault(OI, "html"),
    "too many visits, in a 200": Fault(OI, "body", body=b'{"retCode":10016,"retMsg":"server error"}'),
    "a response without rows": Fault(OI, "rewrite", change=without_rows),
}


@pytest.mark.parametrize("fault", RETRIED.values(), ids=RETRIED.keys())
def test_transient_faults_cause_no_loss_and_no_duplicates(
    settings: Settings, serve: Serve, clock: Clock, fault: Fault
) -> None:
    with serve("bybit", settings=settings, faults=[fault]) as (emulator, served):
        report = fetch_feed(served, clock)
        assert report.failures == {}
        assert_frame_equal(landed(served), expected_rows())
        requested = sum(OI in hit.where for hit in emulator.hits)
    # Two instruments of two pages each, plus retries.
    assert requested > 4


STOPPED = {
    "403, blocked for ten minutes": (Fault(OI, "status", times=99, status=403), ThrottledError, "retry after 600 s"),
    "a ban of a day": (
        Fault(OI, "status", times=99, status=418, headers={"Retry-After": "86400"}), ThrottledError, "retry after 86400 s",
    ),
    "451, a restricted region": (Fault(OI, "status", times=99, status=451), BlockedError, "permitted region"),
    "a refused request": (Fault(OI, "status", times=99, status=400, body=b"bad"), RequestRefusedError, "400"),
    "a refusal in a 200": (
        Fault(OI, "body", times=99, body=b'{"retCode":10001,"retMsg":"params error"}'), RequestRefusedError, "10001",
    ),
    "persistent failure": (Fault(OI, "status", times=99, status=503), TransientError, "503"),
    "an HTML page at every attempt": (Fault(OI, "html", times=99), SourceFormatError, "JSON"),
    "a truncated body at every attempt": (Fault(OI, "truncated", times=99), SourceFormatError, "JSON"),
    "a missing field": (
        Fault(OI, "rewrite", times=99, change=replaced(b'"timestamp":"', b'"time":"')), SourceFormatError, "'timestamp'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("fault", "error", "message"), STOPPED.values(), ids=STOPPED.keys())
def test_permanent_faults_are_reported_and_the_next_run_recovers(
    settings: Settings, serve: Serve, clock: Clock, fault: Fault, error: type[LeverhouseError], message: str
) -> None:
    with serve("bybit", settings=settings, faults=[fault]) as (_, served):
        report = fetch_feed(served, clock)
        assert report.failures
        assert all(isinstance(one, error) and message in str(one) for one in report.failures.values()), report.failures
        with pytest.raises(error, match=re.escape(message)):
            report.raise_failures()
        kept = LandingStore(served.root).all("bybit.open_interest")
        assert {landing.completeness for landing in kept} == ({"unreadable"} if error is SourceFormatError else set())
    with serve("bybit", settings=settings) as (_, served):
        assert fetch_feed(served, clock).failures == {}
        assert_frame_equal(landed(served), expected_rows())


def test_one_failing_instrument_does_not_affect_others_and_is_refetched_alone(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    def refuse_sol(body: bytes) -> bytes:
        return b'{"retCode":10001,"retMsg":"no"}' if b'"SOLUSDT"' in body else body

    with serve("bybit", settings=settings, faults=[Fault(OI, "rewrite", times=99, change=refuse_sol)]) as (_, served):
        report = fetch_feed(served, clock)
    assert list(report.failures) == ["2024-03-05 SOLUSDT"]
    [landing] = report.landings
    assert landing.completeness == "partial"
    with serve("bybit", settings=settings) as (emulator, served):
        fetch_feed(served, clock)
        assert {hit.params.get("symbol") for hit in emulator.hits if OI in hit.where} == {"SOLUSDT"}
        assert_frame_equal(landed(served), expected_rows())
    [second] = LandingStore(settings.root).current("bybit.open_interest")
    assert (second.version, second.completeness) == (2, "complete")


def test_a_new_field_is_kept_in_the_landing_and_changes_nothing(settings: Settings, serve: Serve, clock: Clock) -> None:
    fault = Fault(OI, "rewrite", times=99, change=replaced(b'{"openInterest"', b'{"brandNew":1,"openInterest"'))
    with serve("bybit", settings=settings, faults=[fault]) as (_, served):
        fetch_feed(served, clock)
        assert_frame_equal(landed(served), expected_rows())
    from pipelines.extract.pack import Pack

    [landing] = LandingStore(settings.root).current("bybit.open_interest")
    assert all(b"brandNew" in page.body for page in Pack(landing.path).pages())


def test_a_retyped_field_is_an_error_that_names_it(settings: Settings, serve: Serve, clock: Clock) -> None:
    fault = Fault(
        OI, "rewrite", times=99, change=lambda body: re.sub(rb'"openInterest":"[0-9.]+"', b'"openInterest":"n/a"', body)
    )
    with serve("bybit", settings=settings, faults=[fault]) as (_, served):
        fetch_feed(served, clock)
        with pytest.raises(SourceFormatError, match=r"expected float in field 'openInterest', but no record has one"):
            landed(served)


def test_a_day_is_over_and_final_by_the_venues_clock_as_much_as_by_ours(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    """The venue's clock is 50 minutes slow. The day is asked for and final by its time, and it is noted once a run."""
    slow = timedelta(minutes=50)
    with serve("bybit", settings=settings) as (emulator, served):
        emulator.now = lambda: clock.now - slow
        clock.now = datetime(2024, 3, 6, 1, 30)
        assert fetch_feed(served, clock).landings == ()
        clock.now = datetime(2024, 3, 6, 2)
        assert len(fetch_feed(served, clock).landings) == 1
        # Final a day and an hour after its end: by our clock, not by the venue's.
        clock.now = datetime(2024, 3, 7, 1, 30)
        assert fetch_feed(served, clock).unchanged == 1
        clock.now = datetime(2024, 3, 7, 8)
        assert fetch_feed(served, clock).unchanged == 1
        clock.now = datetime(2024, 3, 7, 15)
        assert fetch_feed(served, clock).skipped == 1
        assert_frame_equal(landed(served), expected_rows())
    noted = [
        line for day in read_fetch_logs(settings.raw_dir, since={}) for line in day.lines if line["effect"] != "asked"
    ]
    assert {(line["problem"], line["effect"]) for line in noted} == {("clock", "noted")}
    assert "the venue's clock is 50 min behind this machine's" in noted[0]["detail"]


@pytest.mark.parametrize("ahead", [timedelta(days=10), timedelta(hours=-3)])
def test_a_clock_that_is_far_off_settles_nothing(
    settings: Settings, serve: Serve, clock: Clock, ahead: timedelta
) -> None:
    """Ours is ahead: days that are not over yet would be empty, and never asked for again."""
    true = datetime(2024, 3, 6, 9)
    clock.now = true + ahead
    with serve("bybit", settings=settings) as (emulator, served):
        emulator.now = lambda: true
        instruments, *_ = fetch_all(served, clock, last=max(DAY, (true + ahead).date()))
        assert {type(error) for error in instruments.failures.values()} == {ClockError}
        with pytest.raises(ClockError, match="set the clock of this machine"):
            instruments.raise_failures()
        assert LandingStore(served.root).all() == []
        asked = len(emulator.hits)
    assert asked < 20
    with serve("bybit", settings=settings) as (_, served):
        clock.now = true
        assert fetch_feed(served, clock).failures == {}
        assert_frame_equal(landed(served), expected_rows())


def test_final_landings_are_not_fetched_again(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("bybit", settings=settings) as (emulator, served):
        fetch_feed(served, clock)
        requested = len(emulator.hits)
        clock.now += timedelta(days=1)
        report = fetch_feed(served, clock, last=DAY + timedelta(days=1))
        again = [hit.params for hit in emulator.hits[requested:] if OI in hit.where]
    assert (report.skipped, len(report.landings)) == (1, 1)
    assert {orjson.dumps(params["startTime"]) for params in again} and all(
        int(params["startTime"]) > 1_709_683_200_000 for params in again
    )


def test_an_unchanged_response_is_no_new_version(settings: Settings, serve: Serve, clock: Clock) -> None:
    clock.now = datetime(2024, 3, 6, 2)
    with serve("bybit", settings=settings) as (_, served):
        fetch_feed(served, clock)
        clock.now += timedelta(hours=7)
        report = fetch_feed(served, clock)
    assert (report.unchanged, report.landings) == (1, ())
    [landing] = LandingStore(settings.root).all("bybit.open_interest")
    assert landing.version == 1
