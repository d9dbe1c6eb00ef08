"""Thirty days of scheduled operation on emulated venues with injected faults: the market, the schedule, the faults.

test_soak.py has the expectations. The clock does not advance within a round, so that two runs with requests at the same
instants get and land identical data, including timestamps.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from pipelines.core.settings import Settings
from pipelines.extract.client import RetryPolicy
from pipelines.extract.fetch import FetchReport
from pipelines.operations.fetch import fetch
from pipelines.operations.load import load_pending
from pipelines.sandbox.emulator import Emulator, Fault
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.venues.evm import ChainMarket, Log, block_of
from pipelines.sources import registry
from tests.sources.test_evm_events import liquidation_call
from tests.sources.test_faults import replaced, without_rows

ASSETS: Final = ("BTC", "ETH")
START: Final = date(2024, 3, 1)
CAPTURED: Final = ("okx", ("liquidations", "option_chain"))
"""Feeds without history: a chain is available for an hour, liquidations for a day."""

DAILY: Final = {
    "bybit": ("funding", "long_short_ratios", "candles"),
    "binance_archive": ("um_metrics",),
    "binance": ("long_short_ratios",),
    "evm_ethereum": ("aave",),
}
CAPTURE_MINUTE: Final = 5
LISTING: Final = "instruments"
LISTED: Final = ("bybit", "binance_archive", "binance")
LISTED_AT: Final = time(3, CAPTURE_MINUTE)
"""When the instruments of the venues of DAILY are captured; CAPTURED captures its own with its first capture of the day."""

DROPPED: Final = ("binance", "ETHUSDT")
"""Venue of the listing, and instrument, of which its archive has nothing any more."""

SHORT_RETENTION: Final = "binance"
"""Keeps the last 29 days only."""

VENUES: Final = (CAPTURED[0], *DAILY)
DAILY_AT: Final = time(3, 30)
CLOSED_AFTER: Final = timedelta(days=9, hours=6)
"""Time after the last day at which everything is published and final."""

TOO_SLOW: Final = 10.0
"""Timeout in seconds, long enough that a busy machine does not look like a fault of the venue."""

FAST_RETRY: Final = RetryPolicy(
    attempts=4, first_wait=0.01, longest_backoff=0.02, longest_wait=1.0, total_seconds=TOO_SLOW
)


@dataclass
class FixedClock:
    """A clock that does not advance by itself."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True)
class SoakMarket(ChainMarket):
    """`wrong` are days whose open interest is 3% too high until they are restated. From the day `dropped` on, Binance's archive has
    nothing of DROPPED."""

    wrong: set[date] = field(default_factory=set)
    dropped: date = date.max
    chains: dict[tuple[str, datetime], pl.DataFrame] = field(default_factory=dict)
    """Cache: one capture requests the same chain several times."""

    def option_chain(self, underlying: str, at: datetime) -> pl.DataFrame:
        if (underlying, at) not in self.chains:
            self.chains[underlying, at] = super().option_chain(underlying, at)
        return self.chains[underlying, at]

    def open_interest(self, listing: Listing, minutes: int, start: datetime, end: datetime) -> pl.DataFrame:
        frame = super().open_interest(listing, minutes, start, end)
        day = (pl.col("event_at") - timedelta(microseconds=1)).dt.date()
        if (listing.venue, listing.instrument) == DROPPED:
            frame = frame.filter(day < self.dropped)
        share = pl.when(day.is_in(list(self.wrong))).then(1.03).otherwise(1.0)
        return frame.with_columns(pl.col("oi_base", "oi_usd") * share) if self.wrong else frame


def chain_of(days: int) -> list[Log]:
    """Four liquidations a day, before the reorganization."""
    first = block_of(datetime.combine(START, time()))
    return [liquidation_call(n + 1, n + 1, block=first + 40 + 1800 * n, index=n % 7) for n in range(4 * days)]


@dataclass(frozen=True)
class Injected:
    """A kind of fault, with the `problem` and `effect` that ops.fetch_problems must have for it."""

    kind: str
    fault: Fault
    problem: str
    effect: str = "asked_again"


def transient_faults(venue: str, chance: random.Random) -> list[Injected]:
    """Faults that a retry resolves; each affects one response among the first few."""
    nth = chance.randint(1, 3)
    common = [
        Injected("429", Fault(f"{venue}.", "status", first=nth, status=429, headers={"Retry-After": "0"}), "throttled"),
        Injected("500", Fault(f"{venue}.", "status", first=nth, status=500), "unavailable"),
        Injected("503", Fault(f"{venue}.", "status", first=nth, status=503), "unavailable"),
        Injected("reset", Fault(f"{venue}.", "reset", first=nth), "unavailable"),
    ]
    in_json = [
        Injected("html", Fault(f"{venue}.api", "html", first=nth), "unavailable"),
        Injected("truncated", Fault(f"{venue}.api", "truncated", first=nth), "unavailable"),
    ]
    busy = b'{"code":"50001","msg":"Service temporarily unavailable","data":[]}'
    wrong = b"0" * 64 + b"  file.zip\n"
    by_venue = {
        "okx": [*in_json, Injected("error in a 200", Fault("okx.api", "body", first=nth, body=busy), "unavailable")],
        "bybit": [
            *in_json,
            Injected("empty page", Fault("account-ratio", "rewrite", change=without_rows), "empty_answer"),
            Injected("slow", Fault("account-ratio", "slow", seconds=TOO_SLOW + 1), "unavailable"),
        ],
        "binance_archive": [
            Injected("truncated zip", Fault("-metrics-", "truncated", first=nth), "unavailable"),
            Injected("wrong checksum", Fault(".CHECKSUM", "body", body=wrong), "checksum"),
        ],
        "evm_ethereum": [Injected("stream broken off", Fault("finalized-stream", "truncated"), "broken_off")],
    }
    return [*common, *by_venue.get(venue, [])]


def permanent_faults(venue: str) -> list[Injected]:
    """Faults that last for the whole run: the next run fetches what is missing."""
    down = Fault(f"{venue}.", "status", times=999, status=503)
    found = [
        Injected("down", down, "unavailable", "given_up"),
        Injected("451", Fault(f"{venue}.", "status", times=999, status=451), "blocked", "given_up"),
    ]
    if venue == "bybit":
        again = replaced(b'"nextPageCursor":""', b'"nextPageCursor":"1"')
        renamed = replaced(b'"timestamp":"', b'"time":"')
        found += [
            Injected(
                "repeated cursor",
                Fault("instruments-info", "rewrite", times=999, change=again),
                "malformed",
                "given_up",
            ),
            Injected(
                "renamed field", Fault("account-ratio", "rewrite", times=999, change=renamed), "malformed", "given_up"
            ),
            Injected("400", Fault("market/", "status", times=999, status=400, body=b"bad"), "refused", "given_up"),
        ]
    return found


@dataclass(frozen=True)
class Seen:
    """A fault that affected at least one request: when, at which venue, and what must be recorded."""

    at: datetime
    venue: str
    injected: Injected


@dataclass
class Deployment:
    """A warehouse and its emulated venues."""

    settings: Settings
    emulator: Emulator
    clock: FixedClock
    market: SoakMarket
    days: int

    @property
    def last(self) -> date:
        return START + timedelta(days=self.days - 1)

    @property
    def short_retention_from(self) -> date:
        """The first day that a venue with 29 days of history still serves after the last day."""
        return max(START, self.last - timedelta(days=26))

    def captures(self) -> Iterator[datetime]:
        for hour in range(24 * self.days):
            yield datetime.combine(START, time()) + timedelta(hours=hour, minutes=CAPTURE_MINUTE)

    def capture(self, at: datetime) -> Sequence[FetchReport]:
        self.clock.now = at
        venue, feeds = CAPTURED
        return fetch(self.settings, venue, feeds, assets=ASSETS, retry=FAST_RETRY, clock=self.clock)

    def capture_listing(self, venue: str, at: datetime) -> Sequence[FetchReport]:
        """Capture the instruments, once a day, because the first capture of a day is used."""
        self.clock.now = at
        return fetch(self.settings, venue, [LISTING], retry=FAST_RETRY, clock=self.clock)

    def fetch_days(self, venue: str, at: datetime, *, first: date, last: date) -> Sequence[FetchReport]:
        self.clock.now = at
        first = max(first, self.short_retention_from) if venue == SHORT_RETENTION else max(first, START)
        return fetch(
            self.settings, venue, DAILY[venue], first=first, last=min(last, self.last), assets=ASSETS,
            retry=FAST_RETRY, clock=self.clock,
        )  # fmt: skip

    def fetch_night(self, venue: str, day: date) -> Sequence[FetchReport]:
        """Fetch in the night after `day`: that day, and earlier ones that may have changed."""
        definition = registry.venue(venue)
        daily = [feed for feed in definition.feeds if feed.cadence.name == "daily"]
        back = max(feed.published_after + feed.recheck_after + timedelta(days=1) for feed in daily)
        at = datetime.combine(day + timedelta(days=1), DAILY_AT)
        return self.fetch_days(venue, at, first=day - back, last=day)

    def load(self) -> None:
        load_pending(self.settings, clock=self.clock).raise_failures()


@contextmanager
def deploy(settings: Settings, market: SoakMarket, days: int) -> Iterator[Deployment]:
    """The emulated venues of `market`, for the block; chain data comes from the portal only."""
    clock = FixedClock(datetime.combine(START, time()))
    with Emulator(market, VENUES, now=lambda: clock.now) as emulator:
        endpoints = {k: v for k, v in emulator.endpoints.items() if not k.startswith("evm_ethereum.rpc")}
        known = settings.model_copy(update={"endpoints": endpoints, "assets": ASSETS, "venues": VENUES})
        yield Deployment(known, emulator, clock, market, days)


NIGHTS_TO_HOURS: Final = 4
"""How many times likelier a fault is in a nightly fetch than in an hourly capture, of which there are many more."""


@dataclass
class Chaos:
    """Injects random faults into rounds and records those that affected a request. No faults on the first day."""

    deploy: Deployment
    chance: random.Random
    share: float
    seen: list[Seen] = field(default_factory=list)

    @contextmanager
    def round(self, venue: str, *, at: datetime, may_last: bool, certain: Injected | None = None) -> Iterator[None]:
        """Inject at most one kind of fault at a time, so that its records can be attributed to it."""
        chosen = certain or self._choose(venue, at, may_last=may_last)
        faults = self.deploy.emulator.faults
        faults[:] = [chosen.fault] if chosen else []
        self.deploy.emulator._seen.clear()
        try:
            yield
        finally:
            met = self.deploy.emulator._seen.get(0, 0)
            faults.clear()
            if chosen and met >= chosen.fault.first:
                self.seen.append(Seen(at, venue, chosen))

    def _choose(self, venue: str, at: datetime, *, may_last: bool) -> Injected | None:
        is_first = at < datetime.combine(START, DAILY_AT) + timedelta(days=1, hours=1)
        often = 1 if venue == CAPTURED[0] else NIGHTS_TO_HOURS
        if is_first or self.chance.random() > often * self.share:
            return None
        menu = transient_faults(venue, self.chance) + (permanent_faults(venue) if may_last else [])
        # Kinds that have not occurred yet are preferred, so that a month has all of them.
        new = [x for x in menu if (venue, x.kind) not in {(s.venue, s.injected.kind) for s in self.seen}]
        return self.chance.choice(new or menu)


def by_dagster(deployment: Deployment, night: date) -> None:
    """Run a night with the scheduler's jobs: fetch by venue, load, build and publish."""
    from pipelines.cli.screen import Screen
    from pipelines.cli.session import open_session
    from pipelines.defs.jobs import BUILD, LOAD, fetch_job
    from pipelines.defs.venues import step_name

    with open_session(deployment.settings, Screen(), clock=deployment.clock) as session:
        for venue, feeds in DAILY.items():
            first = (
                deployment.short_retention_from if venue == SHORT_RETENTION else max(START, night - timedelta(days=3))
            )
            days = {"feeds": list(feeds), "first": str(min(first, night)), "last": str(night)}
            session.run(fetch_job(venue), config={"ops": {step_name(venue, "daily"): {"config": days}}})
        session.run(LOAD)
        session.run(BUILD)
    session.raise_errors()


def child(arguments: Sequence[str]) -> None:
    """Entry point of a subprocess, which may be killed: a night's fetches and load, or a build."""
    what, home, endpoints, day, days = arguments
    settings = Settings(home=Path(home), endpoints=json.loads(endpoints), assets=ASSETS, venues=VENUES)
    night = date.fromisoformat(day)
    if what == "build":
        from pipelines.operations.build import build_marts

        build_marts(settings).raise_faults()
        return
    clock = FixedClock(datetime.combine(night + timedelta(days=1), DAILY_AT))
    deployment = Deployment(settings, None, clock, None, int(days))  # type: ignore[arg-type]
    if what == "dagster":
        by_dagster(deployment, night)
        return
    for venue in DAILY:
        deployment.fetch_night(venue, night)
    deployment.load()


if __name__ == "__main__":
    child(sys.argv[1:])
