"""Whether a venue lives: a host that answers success with empty lists, or with what it said a day ago, is dead, not quiet.

The reader of a feed takes the pulse of what it reads (sources/reading.py); the fetch judges it before anything is landed. Only
states are judged: an hour without liquidations is quiet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Final

from pipelines.extract.landing import LandingStore
from pipelines.extract.venue import WHOLE_VENUE, Capture, Daily, Feed, Pulse, Span

STATES: Final = frozenset({"open_interest", "funding_rates", "candles", "option_chain"})
"""Tables that a living venue has rows of at any time."""

STATE: Final = "state"
"""Key in the manifest of captures: the digest of the values in it."""

LISTS: Final = frozenset({"instruments"})
"""Tables that may stay as they are, but are never empty."""

FROZEN_AFTER: Final = timedelta(hours=24)
RECENT: Final = timedelta(days=3)
"""Of older days a living venue may keep nothing."""

SUBJECTS: Final = 2
"""An instrument by itself may be new, or be gone."""


def cause_of_death(
    store: LandingStore,
    source: str,
    feed: Feed,
    span: Span,
    subjects: Collection[str],
    pulse: Pulse | None,
    *,
    now: datetime,
) -> str | None:
    """Why the venue of a feed is dead by what it answered about all of `subjects` in a span; None if it lives, or if this does not
    tell."""
    judged = (STATES | LISTS) & set(feed.tables)
    of_venue = feed.subjects is None and not feed.follows
    if (
        pulse is None
        or not judged
        or not subjects
        or (len(subjects) < SUBJECTS and not of_venue)
        or span.end < now - RECENT
    ):
        return None
    asked = "the whole venue" if set(subjects) == {WHOLE_VENUE} else f"{len(subjects)} instruments"
    if pulse.rows == 0:
        return f"it answers with nothing about {asked}"
    if not judged & STATES:
        return None
    if isinstance(feed.cadence, Daily):
        return None if pulse.moves else f"no value about {asked} moves all day"
    since = _unchanged_since(store, source, feed.cadence, span, pulse.digest)
    return None if since is None else f"nothing about {asked} has changed since {since:%Y-%m-%d %H:%M}"


def _unchanged_since(store: LandingStore, source: str, cadence: Capture, span: Span, digest: str) -> datetime | None:
    """The slot since which every capture has had the same values, if that is long ago."""
    for slot in _slots_before(span.start, cadence):
        held = store.newest(source, f"{slot:%Y-%m-%d}", f"{slot:%H%M}")
        if held is None:
            continue
        if held.request.get(STATE) != digest:
            return None
        if span.start - slot >= FROZEN_AFTER:
            return slot
    return None


def _slots_before(start: datetime, cadence: Capture) -> Iterator[datetime]:
    """The slots of the two days before, newest first."""
    length = timedelta(hours=cadence.every_hours)
    slot = start - length
    while start - slot <= 2 * FROZEN_AFTER:
        yield slot
        slot -= length
