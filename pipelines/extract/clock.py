"""Two clocks: this machine's, which must not run backwards, and a venue's, as its answers state it in their header Date.

A day is over when both say so. A difference of more than a minute is noted, one of more than an hour ends the fetch: stamps,
bounds of days and what counts as final would be wrong, and nobody here can say which of the two clocks is right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from pipelines.core.errors import ClockError
from pipelines.extract.landing import Clock

OLDEST_NOW: Final = datetime(2020, 1, 1)
"""No clock shows less: one that does was never set."""

NOTED_SKEW: Final = timedelta(minutes=1)
LARGEST_SKEW: Final = timedelta(hours=1)

FAR_ANSWERS: Final = 3
"""Answers in a row more than LARGEST_SKEW away that end the fetch. A single one is one server of many, or a stale cache."""

_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")


def check_clock(now: datetime) -> None:
    """Raise ClockError for a clock that was never set."""
    if now < OLDEST_NOW:
        raise ClockError(
            f"the clock of this machine shows {now:%Y-%m-%d %H:%M} UTC, which is before {OLDEST_NOW:%Y}. Set it, then run again."
        )


@dataclass
class SteadyClock:
    """A clock that never goes back: where the one below it does, it stands still until that has caught up with `newest`."""

    clock: Clock
    newest: datetime = datetime(1, 1, 1)

    def __call__(self) -> datetime:
        self.newest = max(self.newest, self.clock())
        return self.newest


@dataclass
class VenueClock:
    """A venue's clock as far as its answers tell: how far it is ahead of ours (`ahead`; None before any answer told).

    The header Date has whole seconds and is written between request and answer, so a difference within those bounds is none.
    Of several answers the one furthest ahead counts: a cache sends the Date of an earlier answer, never of a later one.
    """

    ahead: timedelta | None = None
    far: int = 0
    """Answers in a row that were more than LARGEST_SKEW away."""

    def observe(self, headers: Mapping[str, str], sent_at: datetime, received_at: datetime) -> timedelta | None:
        """How far the venue was ahead of us in this answer, None if it does not say."""
        stated = date_of(headers.get("date"))
        if stated is None:
            return None
        try:
            stated += timedelta(seconds=number_of(headers.get("age")) or 0.0)
        except OverflowError:
            return None
        earliest, latest = stated - received_at, stated + timedelta(seconds=1) - sent_at
        ahead = timedelta(0) if earliest <= timedelta(0) <= latest else min(earliest, latest, key=abs)
        if abs(ahead) > LARGEST_SKEW:
            self.far += 1
            return ahead
        self.far = 0
        self.ahead = ahead if self.ahead is None else max(self.ahead, ahead)
        return ahead

    @property
    def is_noted(self) -> bool:
        return self.ahead is not None and abs(self.ahead) > NOTED_SKEW

    def theirs(self, now: datetime) -> datetime:
        """The venue's time at our `now`."""
        return now if self.ahead is None else now + self.ahead

    def earlier(self, now: datetime) -> datetime:
        """The earlier of our time and the venue's: what is over by it is over by both."""
        return min(now, self.theirs(now))


def skew_text(ahead: timedelta) -> str:
    """A difference of clocks in words."""
    seconds = round(abs(ahead).total_seconds())
    amount = (
        f"{seconds} s"
        if seconds < 600
        else f"{round(seconds / 60)} min"
        if seconds < 7200
        else f"{round(seconds / 3600)} h"
    )
    return f"the venue's clock is {amount} {'ahead of' if ahead > timedelta(0) else 'behind'} this machine's"


def number_of(text: str | None) -> float | None:
    """A number in a header as a venue should write it: plain digits, not negative. None for anything else."""
    return float(text) if text is not None and _NUMBER.fullmatch(text := text.strip()) else None


def date_of(text: str | None) -> datetime | None:
    """A date in a header, naive UTC; None if there is none or it is no date."""
    if not text or len(text) > 100:
        return None
    try:
        moment = parsedate_to_datetime(text)
        # Without a zone, or with -0000, it is in UTC.
        return (moment if moment.tzinfo is None else moment.astimezone(UTC)).replace(tzinfo=None)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def wait_of(text: str | None, now: datetime) -> float | None:
    """Seconds that a header Retry-After asks for, as a number or a date; None if it is missing or says neither."""
    seconds = number_of(text)
    if seconds is not None:
        return seconds
    moment = date_of(text)
    return None if moment is None else max(0.0, (moment - now).total_seconds())
