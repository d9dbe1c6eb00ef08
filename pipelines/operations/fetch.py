"""Fetching from a venue into the landing: selects feeds, their order and their instruments. Loads nothing."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

from pipelines.core.errors import ConfigError
from pipelines.core.home_kind import check_endpoints_are_emulated
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import Settings
from pipelines.extract.fetch import FetchReport, fetch_feed, plan_capture, plan_days
from pipelines.extract.fetch_log import FetchLog
from pipelines.extract.landing import Clock, LandingStore, utc_now
from pipelines.extract.venue import Api, Feed
from pipelines.sources import registry
from pipelines.sources.instruments import INSTRUMENTS, TURNOVER, InstrumentHistory, jobs_of

if TYPE_CHECKING:
    from pipelines.extract.client import RetryPolicy


def fetch(
    settings: Settings,
    venue_name: str,
    feeds: Collection[str] | None = None,
    *,
    first: date | None = None,
    last: date | None = None,
    assets: Collection[str] | None = None,
    again: bool = False,
    retry: RetryPolicy | None = None,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> tuple[FetchReport, ...]:
    """Land what is missing of a venue's feeds: the days from `first` through `last` (UTC) of daily feeds, and the current
    slot of captures. The venue's instruments are captured before the feeds that need them.

    `feeds` None means all; without `first` only captures are made. Failures are in the reports.
    Raises ConfigError for an unknown venue or feed, or a missing key.
    """
    import asyncio

    from pipelines.extract.client import DEFAULT_RETRY, open_api

    venue = registry.venue(venue_name)
    known = [feed.name for feed in venue.feeds]
    unknown = set(feeds or ()) - set(known)
    if unknown:
        raise ConfigError(f"{venue_name} has no feed {', '.join(sorted(unknown))}; it has {', '.join(known)}.")
    registry.check_endpoints(settings)
    check_endpoints_are_emulated(settings.root, venue_name, {**venue.endpoints, **settings.endpoints_of(venue_name)})
    store = LandingStore(settings.root)

    @cache
    def listed() -> tuple[InstrumentHistory, tuple[str, ...]]:
        """Instruments and assets, read when the first feed needs them: after this run has captured the instruments."""
        followed = tuple(assets) if assets else registry.followed_assets(store, settings)
        return registry.instrument_history(store, venue), followed

    async def run_feed(feed: Feed, api: Api) -> FetchReport:
        now = clock()
        if feed.cadence.name == "capture":
            partitions = plan_capture(feed, now=now)
        elif first is None:
            return FetchReport(venue.source(feed))
        else:
            landed = [landing.partition for landing in store.current(venue.source(feed))]
            partitions = plan_days(feed, first, last or first, now=now, landed=landed)
        jobs = jobs_of(feed, listed)
        if feed.named:
            jobs = registry.with_named(store, feed, jobs)
        return await fetch_feed(
            store,
            venue,
            feed,
            api,
            partitions=partitions,
            jobs=jobs,
            now=now,
            again=again,
            clock=clock,
            progress=progress,
        )

    async def run_feeds() -> list[FetchReport]:
        async with open_api(
            venue,
            endpoints=settings.endpoints_of(venue_name),
            contact=settings.contact,
            retry=retry or DEFAULT_RETRY,
            clock=clock,
        ) as api:
            always_first = (TURNOVER, INSTRUMENTS)
            ordered = sorted(venue.feeds, key=lambda feed: feed.name not in always_first)
            selected = [feed for feed in ordered if feeds is None or feed.name in {*feeds, *always_first}]
            return [await run_feed(feed, api) for feed in selected]

    with FetchLog(settings.raw_dir, venue_name, clock).recording():
        return tuple(asyncio.run(run_feeds()))
