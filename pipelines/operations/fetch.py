"""Fetching from a venue into the landing: which feeds, in which order, for which instruments. Nothing is loaded here."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

from pipelines.core.errors import ConfigError
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
    venue: str,
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
    """Bring what is missing of the feeds of a venue into the landing: the days from `first` through `last` (UTC) of daily
    feeds, this hour of captures. The venue's instruments are captured before anything that needs them.

    `feeds` None means all; without `first` only captures are made. Failures are in the reports; nothing is loaded here.
    Raises ConfigError for an unknown venue or feed, or a missing key.
    """
    import asyncio

    from pipelines.extract.client import DEFAULT_RETRY, open_api

    there = registry.venue(venue)
    known = [feed.name for feed in there.feeds]
    unknown = set(feeds or ()) - set(known)
    if unknown:
        raise ConfigError(f"{venue} has no feed {', '.join(sorted(unknown))}; it has {', '.join(known)}.")
    store = LandingStore(settings.root)

    @cache
    def listed() -> tuple[InstrumentHistory, tuple[str, ...]]:
        """Read once, when the first feed needs them, which is after this run's captures of them."""
        followed = tuple(assets) if assets else registry.followed_assets(store, settings)
        return registry.instrument_history(store, there), followed

    async def bring(feed: Feed, api: Api) -> FetchReport:
        now = clock()
        if feed.cadence.name == "capture":
            partitions = plan_capture(feed, now=now)
        elif first is None:
            return FetchReport(there.source(feed))
        else:
            landed = [landing.partition for landing in store.current(there.source(feed))]
            partitions = plan_days(feed, first, last or first, now=now, landed=landed)
        jobs = jobs_of(feed, listed)
        return await fetch_feed(
            store,
            there,
            feed,
            api,
            partitions=partitions,
            jobs=jobs,
            now=now,
            again=again,
            clock=clock,
            progress=progress,
        )

    async def everything() -> list[FetchReport]:
        async with open_api(
            there,
            endpoints=settings.endpoints_of(venue),
            contact=settings.contact,
            retry=retry or DEFAULT_RETRY,
            clock=clock,
        ) as api:
            first_of_all = (TURNOVER, INSTRUMENTS)
            ordered = sorted(there.feeds, key=lambda feed: feed.name not in first_of_all)
            wanted = [feed for feed in ordered if feeds is None or feed.name in {*feeds, *first_of_all}]
            return [await bring(feed, api) for feed in wanted]

    with FetchLog(settings.raw_dir, venue, clock).recording():
        return tuple(asyncio.run(everything()))
