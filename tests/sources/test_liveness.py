"""A venue that answers success with empty lists, or with what it said a day ago, is dead, not quiet: at every exchange."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import orjson
import polars as pl
import pytest

from pipelines.core.errors import DeadVenueError
from pipelines.core.settings import Settings
from pipelines.extract import client
from pipelines.extract.fetch import FetchReport
from pipelines.extract.landing import LandingStore
from pipelines.extract.liveness import STATES
from pipelines.extract.venue import Capture, Feed
from pipelines.operations.fetch import fetch
from pipelines.sandbox.emulator import Emulator, Handler, Request, Response
from pipelines.sandbox.market_model import AnalyticMarket, Listing, Market, MarketModel
from pipelines.sources import registry
from pipelines.sources.instruments import INSTRUMENTS
from tests.sources.conftest import FAST_RETRY, Clock
from tests.sources.fuzz_fixture import emptied
from tests.sources.venue_case import VenueCase
from tests.sources.venue_cases import VENUE_CASES

MARKET = AnalyticMarket()
CASES = {case.venue: case for case in VENUE_CASES}


VENDORS = ("binance_archive", "cftc", "coinalyze")
"""Files, a weekly report and a vendor: they name what they lack."""


SAID_OTHERWISE = {
    "htx.open_interest": "an answer without its list cannot be read, and is not landed as empty for that reason",
    "kucoin.open_interest": "an empty list is how it says that it keeps a day no more",
}
"""Daily feeds at which an answer without rows means something else, and what."""


def feeds_of(case: VenueCase, *, captured: bool) -> list[Feed]:
    """The feeds of a venue that tell states, captured or by day."""
    return [
        feed
        for feed in registry.venue(case.venue).feeds
        if set(feed.tables) & STATES
        and isinstance(feed.cadence, Capture) == captured
        and feed.sample is None
        and feed.partitioning.months != "only"
    ]


CAPTURES = {
    f"{case.venue}.{feed.name}": feed.name
    for case in VENUE_CASES
    for feed in feeds_of(case, captured=True)
    if "option_chain" not in feed.tables
}
DAILY = {
    f"{case.venue}.{feed.name}": feed.name
    for case in VENUE_CASES
    for feed in feeds_of(case, captured=False)
    if case.venue not in VENDORS
    and (case.venue != "okx" or feed.name == "candles")
    and f"{case.venue}.{feed.name}" not in SAID_OTHERWISE
}


@pytest.fixture(autouse=True)
def no_rate_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "DEFAULT_RETRY", FAST_RETRY)
    monkeypatch.setenv("COINALYZE_API_KEY", "any")


def asked(
    settings: Settings, case: VenueCase, feed: str, clock: Clock, *, change: Callable[[Handler], Handler] = lambda one: one,
    market: MarketModel = MARKET, day: datetime | None = None,
) -> FetchReport:  # fmt: skip
    """One fetch of a feed from a venue of whose answers `change` makes others."""
    changed = [replace(route, handler=change(route.handler)) for route in case.emulated.ROUTES]
    with Emulator(market, [case.venue], now=lambda: clock.now, routes={case.venue: changed}) as emulator:
        served = settings.model_copy(update={"endpoints": dict(emulator.endpoints)})
        first = day.date() if day else None
        reports = fetch(served, case.venue, [feed], first=first, assets=case.assets, retry=FAST_RETRY, clock=clock)
    return next(one for one in reports if one.source == f"{case.venue}.{feed}")


def is_dead(report: FetchReport) -> bool:
    return bool(report.failures) and all(isinstance(one, DeadVenueError) for one in report.failures.values())


def frozen_at(moment: datetime) -> Callable[[Handler], Handler]:
    """The venue says what it said at a moment, by a clock that goes on."""

    def change(handler: Handler) -> Handler:
        return lambda request, market: handler(replace(request, now=moment), market)

    return change


def without_rows(handler: Handler) -> Handler:
    """The venue answers success with empty lists, whatever is asked."""

    def handle(request: Request, market: MarketModel) -> Response:
        answer = handler(request, market)
        return replace(answer, content=emptied(orjson.loads(answer.body)))

    return handle


@pytest.mark.parametrize("source", CAPTURES)
def test_a_state_of_a_day_ago_is_not_landed(source: str, settings: Settings) -> None:
    case, feed = CASES[source.partition(".")[0]], CAPTURES[source]
    clock = Clock(case.now)
    frozen = frozen_at(case.now)
    for _ in range(2):
        assert asked(settings, case, feed, clock, change=frozen).failures == {}
        clock.now += timedelta(hours=12)
    report = asked(settings, case, feed, clock, change=frozen)
    assert is_dead(report) and report.landings == ()
    # It lives again: what it says is landed.
    assert asked(settings, case, feed, clock).failures == {}
    assert len(LandingStore(settings.root).current(source)) == 3


def emptied_but_for_instruments(case: VenueCase, settings: Settings, feed: str, clock: Clock) -> FetchReport:
    """What is listed is asked for once; then the venue answers with nothing."""
    asked(settings, case, INSTRUMENTS, clock)
    return asked(settings, case, feed, clock, change=without_rows, day=clock.now - timedelta(days=2))


@pytest.mark.parametrize("source", DAILY)
def test_a_day_of_which_a_venue_says_nothing_at_all_is_not_empty(source: str, settings: Settings) -> None:
    case, feed = CASES[source.partition(".")[0]], DAILY[source]
    report = emptied_but_for_instruments(case, settings, feed, Clock(case.now))
    assert is_dead(report), report.failures
    assert report.landings == ()


# The list of dYdX is an object.
@pytest.mark.parametrize("venue", [name for name in CASES if name not in (*VENDORS, "dydx")])
def test_a_list_of_instruments_without_any_is_not_landed(venue: str, settings: Settings) -> None:
    clock = Clock(CASES[venue].now)
    report = asked(settings, CASES[venue], INSTRUMENTS, clock, change=without_rows)
    assert is_dead(report), report.failures
    assert LandingStore(settings.root).current(f"{venue}.{INSTRUMENTS}") == []


class StandingMarket(AnalyticMarket):
    """Index and open interest stand still, and nothing is traded, as at CoinEx since 2026-09-22."""

    def candles(self, listing: Listing, market: Market, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        still = dict.fromkeys(("open", "high", "low", "close"), 5.0)
        zero = dict.fromkeys(("volume_base", "volume_quote", "taker_buy_base"), 0.0)
        frame = super().candles(listing, market, minutes, start, end)
        return frame.with_columns(**{name: pl.lit(value) for name, value in (still | zero).items()})

    def open_interest(self, listing: Listing, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        return super().open_interest(listing, minutes, start, end).with_columns(oi_base=7.0, oi_usd=35.0)


@pytest.mark.parametrize("source", ["bybit.candles", "bybit.open_interest", "gate.candlesticks", "hyperliquid.candles"])
def test_a_day_on_which_no_value_of_any_instrument_moves_is_not_landed(source: str, settings: Settings) -> None:
    case, feed = CASES[source.partition(".")[0]], DAILY[source]
    clock = Clock(case.now)
    report = asked(settings, case, feed, clock, market=StandingMarket(), day=clock.now - timedelta(days=2))
    assert is_dead(report) and report.landings == ()
    assert asked(settings, case, feed, clock, day=clock.now - timedelta(days=2)).failures == {}
