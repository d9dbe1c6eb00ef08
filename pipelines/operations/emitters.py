"""Looks for liquidations on a chain that no list of contracts covers. Lands nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from pipelines.core.errors import LeverhouseError
from pipelines.core.limits import in_force
from pipelines.core.settings import Settings
from pipelines.extract.fetch import span_of
from pipelines.extract.landing import Clock, LandingStore, utc_now
from pipelines.extract.pack import Pack
from pipelines.extract.venue import Daily, NotYetPublishedError, Span
from pipelines.operations.venue_api import open_venue
from pipelines.sources import registry
from pipelines.sources.chain.evm import emitters
from pipelines.sources.chain.evm.chains import Chain
from pipelines.sources.chain.evm.venue import FAMILIES

if TYPE_CHECKING:
    from pipelines.extract.client import RetryPolicy


@dataclass(frozen=True)
class Probed:
    """The unlisted emitters of a day, or why the chain could not be asked."""

    day: date
    found: tuple[emitters.Emitter, ...] = ()
    failure: str = ""


def probe(settings: Settings, chain: Chain, *, retry: RetryPolicy | None = None, clock: Clock = utc_now) -> Probed:
    """Ask for a day of all liquidation events of the chain: the newest that is landed, else the newest that is published. What
    the landing has of that day is known, and so is every listed contract."""
    venue = registry.venue(chain.venue)
    store = LandingStore(settings.root)
    feeds = [feed for feed in venue.feeds if feed.name in FAMILIES]
    landings = [
        landing for feed in feeds for landing in store.current(venue.source(feed)) if "covers" in landing.request
    ]
    published = max(feed.published_after for feed in feeds if isinstance(feed.cadence, Daily))
    newest = (clock() - published).date() - timedelta(days=1)
    day = max((span_of(landing).days[-1] for landing in landings), default=newest)
    span = Span.of_days(day, day)
    known = emitters.listed_contracts(chain, FAMILIES.values())
    for landing in landings:
        landed = span_of(landing)
        if landed.start < span.end and span.start < landed.end:
            known |= emitters.emitters(Pack(landing.path).pages())

    async def ask() -> tuple[emitters.Emitter, ...]:
        async with open_venue(settings, venue, retry=retry, clock=clock) as api:
            return await emitters.unlisted_emitters(api, span, emitters.liquidation_events(FAMILIES.values()), known)

    try:
        with in_force(settings.limits):
            return Probed(day, asyncio.run(ask()))
    except NotYetPublishedError:
        return Probed(day, failure="its blocks are not final yet")
    except LeverhouseError as error:
        return Probed(day, failure=str(error))
