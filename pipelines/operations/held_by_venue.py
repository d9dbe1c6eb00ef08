"""What can be done about landed bytes that are missing, altered or rotten: which they are, and whether their venue still has them.

Asks each venue one small question and lands nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from pipelines.core.errors import ConfigError, LandingError, LeverhouseError, NoLongerAvailableError
from pipelines.core.limits import in_force
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import Settings
from pipelines.extract.fetch import span_of
from pipelines.extract.landing import Clock, Landing, LandingStore, utc_now
from pipelines.extract.venue import Capture, Context, Feed, Job, NotYetPublishedError, Span, Venue
from pipelines.operations.venue_api import open_venue
from pipelines.sources import registry

if TYPE_CHECKING:
    from pipelines.extract.client import RetryPolicy

Held = Literal["yes", "no", "unknown"]


@dataclass(frozen=True)
class BadLanding:
    """Landed bytes that are not as received: `fault` is what is wrong, `held` whether the venue still has them and `why`, and
    `next_step` what to do."""

    where: str
    fault: str
    held: Held
    why: str
    next_step: str


def bad_landings(
    settings: Settings,
    *,
    retry: RetryPolicy | None = None,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> Iterator[BadLanding]:
    """Every landing whose bytes or manifest are not as they were written, and whether its venue still has it."""
    store = LandingStore(settings.root)
    for fault in store.damaged_manifests():
        yield BadLanding(
            "manifest", fault, "unknown", "what its manifest described counts as never landed",
            "restore it; or fetch its days again, or import its file again",
        )  # fmt: skip
    landings = store.all()
    for done, landing in enumerate(landings):
        progress(f"verify {landing.part}", done, len(landings))
        with in_force(settings.limits):
            for fault in store.verify([landing]):
                held, why, step = _ask(settings, store, landing, retry, clock)
                yield BadLanding(f"{landing.source} {landing.partition}", fault, held, why, step)


def _ask(
    settings: Settings, store: LandingStore, landing: Landing, retry: RetryPolicy | None, clock: Clock
) -> tuple[Held, str, str]:
    """Whether a landing can be had again, why, and how."""
    forget = f"leverhouse landing forget {landing.landing_id} --because 'its bytes are lost'"
    name, _, feed_name = landing.source.partition(".")
    if name == "files":
        return "unknown", "it was imported from a file", f"restore it, or import {landing.original_name} again"
    try:
        venue = registry.venue(name)
        feed = venue.feed(feed_name)
    except (ConfigError, KeyError):
        return "unknown", f"no module reads {landing.source}", f"restore it; otherwise {forget}"
    span = span_of(landing)
    if isinstance(feed.cadence, Capture):
        return "no", "it is a capture of a moment, which no venue keeps", f"restore it; otherwise {forget}"
    kept = feed.retention.days
    if kept is not None and span.end < clock() - timedelta(days=kept):
        return "no", f"{name} keeps {kept} days", f"restore it; otherwise {forget}"
    first, last = span.days[0], span.days[-1]
    again = f"{forget}; then leverhouse backfill {name} --feed {feed_name} --from {first} --to {last}"
    try:
        subject, rows = asyncio.run(_rows(settings, store, venue, feed, landing, retry, clock))
    except (NoLongerAvailableError, NotYetPublishedError) as error:
        return "no", str(error) or f"{name} has not published it", f"restore it; otherwise {forget}"
    except LeverhouseError as error:
        return "unknown", str(error), f"restore it, or ask again; then {again}"
    if not rows and landing.completeness != "empty":
        return "no", f"{name} has no rows of {subject} on {first} any more", f"restore it; otherwise {forget}"
    return "yes", f"{rows:,} rows of {subject} on {first}", again


async def _rows(
    settings: Settings,
    store: LandingStore,
    venue: Venue,
    feed: Feed,
    landing: Landing,
    retry: RetryPolicy | None,
    clock: Clock,
) -> tuple[str, int]:
    """A subject of the landing, and how many rows the venue has of it on the landing's first day now."""
    whole = span_of(landing)
    span = Span(whole.start, min(whole.end, whole.start + timedelta(days=1)))
    instruments = registry.instrument_history(store, venue).at(whole)
    covers: dict[str, str] = landing.request.get("covers", {})
    known = {"*": {}} if feed.subjects is None else feed.subjects(instruments)
    held = [name for name, outcome in sorted(covers.items()) if outcome == "complete"] or sorted(covers) or list(known)
    subject = next((name for name in held if name in known), None)
    if subject is None:
        raise LandingError(f"none of its instruments is known; 'leverhouse fetch {venue.name}' lists them again")
    job = Job(subject, span, known[subject])
    async with open_venue(settings, venue, retry=retry, clock=clock) as api:
        pages = [page async for page in feed.fetch(api, job)]
    parsed = list(feed.parse(pages, Context(venue.name, clock(), span, instruments)))
    return subject, sum(one.rows.height for one in parsed)
