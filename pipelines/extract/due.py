"""What should be landed and is not: days and slots of a feed, by subject, with the reason, and what can still be had of it.

Pure functions of the plan, the landing, the journal and the time. The scheduler, `leverhouse fetch`, coverage and the marks in
Dagster all come from here. Nothing is fetched here, and no file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Final, Literal

from pipelines.core.gap_reasons import GapReason
from pipelines.extract.fetch import (
    RECHECK_EVERY,
    Partition,
    is_awaited,
    is_settled,
    plan_capture,
    plan_days,
)
from pipelines.extract.fetch_log import Journal, Question
from pipelines.extract.venue import ANSWERED, WHOLE_VENUE, Capture, Feed, Outcome, Span

ONE_DAY: Final = timedelta(days=1)

INCOMPLETE: Final = frozenset({"not_yet_published", "partial"})
"""Outcomes of a subject that the venue has not published, or not all of it."""

OUTCOME_REASONS: Final[Mapping[str, GapReason]] = {
    "gone": "no longer available",
    "unreadable": "unreadable answer",
}
"""Reasons of subjects that a landing covers without an answer that can be used."""


@dataclass(frozen=True)
class Held:
    """The newest landing of a partition: its span, the outcome by subject, when it was last checked, whether a load refused it,
    and the subjects that could not be checked again."""

    span: Span
    covers: Mapping[str, Outcome]
    checked: datetime
    is_refused: bool = False
    unchecked: frozenset[str] = frozenset()
    days_counted: bool = True
    """Whether its feed told days that it lacks; False of landings made before feeds could."""


Landed = Mapping[tuple[str, str], Held]
"""The newest landings of a feed by partition and part."""


Life = tuple[datetime | None, datetime | None]
"""When an instrument was listed and when it ended, None where that is not known."""


@dataclass(frozen=True)
class Plan:
    """What a home wants of a feed: everything from `since` on (None: only what was asked for), of the subjects in a span."""

    since: datetime | None
    subjects: Callable[[Span], Collection[str]]
    lives: Callable[[], Mapping[str, Life]] = dict
    """First and last instant of the instruments of which the venue states one; called when a day of one is missing."""


@dataclass(frozen=True)
class Missing:
    """A day, or a slot of a capture, of one subject that is not landed, and why. `*` stands for all subjects of a slot.

    `forgotten_on` is the day from which the venue keeps it no more; None if that is not known. `can_be_had` says whether a
    fetch of now may bring it: it is published, kept, and not given up.
    """

    at: datetime
    subject: str
    reason: GapReason
    detail: str | None = None
    forgotten_on: date | None = None
    can_be_had: bool = False

    @property
    def day(self) -> date:
        return self.at.date()


def due(feed: Feed, landed: Landed, journal: Journal, now: datetime, *, plan: Plan) -> list[Missing]:
    """What should be landed, is not, and can still be had, oldest first."""
    return [one for one in missing(feed, landed, journal, now, plan=plan) if one.can_be_had]


def missing(feed: Feed, landed: Landed, journal: Journal, now: datetime, *, plan: Plan) -> list[Missing]:
    """Everything that was planned or asked for up to `now` and is not landed, oldest first, with the true reason.

    Of daily feeds these are all days that have ended, published or not; of captures all slots that have begun.
    """
    state = _State(feed, landed, journal, now, plan)
    found = state.slots() if isinstance(feed.cadence, Capture) else state.days()
    return sorted(found, key=lambda one: (one.at, one.subject))


@dataclass(frozen=True)
class Ask:
    """A partition that a fetch asks for: the subjects of the plan if it `is_planned`, and the subjects `named`, which were asked
    for before, whoever follows them now."""

    partition: Partition
    is_planned: bool
    named: frozenset[str]


def changes_at(feed: Feed, now: datetime) -> datetime:
    """The first instant after `now` at which time alone may change what `missing` and `health` say of a feed: a day ends, is
    published, is late or is forgotten, or a slot ends."""
    if isinstance(feed.cadence, Capture):
        return plan_capture(feed, now=now)[0].span.end
    midnight = datetime.combine(now.date(), time())
    after = (timedelta(0), feed.published_after, feed.published_after + LATE_AFTER)
    today = [midnight + some % ONE_DAY for some in after]
    return min(at if at > now else at + ONE_DAY for at in today)


def partitions_to_ask(feed: Feed, landed: Landed, journal: Journal, now: datetime, *, plan: Plan) -> list[Ask]:
    """What a fetch of now asks for, oldest first: the partitions with something due, and landed ones that may have been
    restated."""
    if isinstance(feed.cadence, Capture):
        return [Ask(partition, is_planned=True, named=frozenset()) for partition in plan_capture(feed, now=now)]
    days = {one.day for one in due(feed, landed, journal, now, plan=plan)} | _restated_days(feed, landed, now)
    days |= _uncounted_days(feed, landed)
    names = {partition for partition, _ in landed}
    partitions: dict[str, Partition] = {}
    for first, last in runs_of(days):
        for partition in plan_days(feed, first, last, now=now, landed=names):
            partitions.setdefault(partition.name, partition)
    return [
        Ask(partition, plan.since is not None and partition.span.end > plan.since, _asked(partition, landed, journal))
        for partition in sorted(partitions.values(), key=lambda partition: partition.span.start)
    ]


def runs_of(days: Iterable[date]) -> Iterator[tuple[date, date]]:
    """First and last day of every run of consecutive days."""
    first = last = None
    for day in sorted(days):
        if last is None or first is None:
            first = last = day
        elif day == last + ONE_DAY:
            last = day
        else:
            yield first, last
            first = last = day
    if first is not None and last is not None:
        yield first, last


def first_planned_day(feed: Feed, landed_days: Collection[date], now: datetime) -> datetime:
    """Where the plan of a feed begins in a home that had none: with the newest day that is published; in a home that was
    fetching until lately, with the first day that follows no longer pause than STILL_FETCHING."""
    if isinstance(feed.cadence, Capture):
        return plan_capture(feed, now=now)[0].span.start
    newest = newest_published(feed, now)
    start = newest
    for day in sorted((day for day in landed_days if day <= newest), reverse=True):
        if start - day > STILL_FETCHING:
            break
        start = day
    return datetime.combine(start, time())


STILL_FETCHING: Final = timedelta(days=31)


def newest_published(feed: Feed, now: datetime) -> date:
    """The newest day that is published: of monthly files the last day of the newest month."""
    day = (now - feed.published_after).date() - ONE_DAY
    return day if feed.partitioning.months != "only" else day.replace(day=1) - ONE_DAY


def _restated_days(feed: Feed, landed: Landed, now: datetime) -> set[date]:
    """Days of landings that may have been restated since they were last checked, or that could not be checked."""
    return {
        day
        for held in landed.values()
        if held.unchecked
        or (not is_settled(feed, held.span, checked=held.checked) and now - held.checked >= RECHECK_EVERY)
        for day in held.span.days
    }


UNCOUNTED_AT_ONCE: Final = 6
"""Months landed before their feed could tell missing days that one fetch asks for once more."""


def _uncounted_days(feed: Feed, landed: Landed) -> set[date]:
    """Days of the newest months of which nobody knows whether they lack days: asked for once more, some at a time."""
    if feed.lacks is None:
        return set()
    uncounted = [
        held for held in landed.values() if not held.days_counted and not held.is_refused and len(held.span.days) > 1
    ]
    newest = sorted(uncounted, key=lambda held: held.span.start, reverse=True)[:UNCOUNTED_AT_ONCE]
    return {day for held in newest for day in held.span.days}


def _asked(partition: Partition, landed: Landed, journal: Journal) -> frozenset[str]:
    """The subjects that were asked for, or are landed, in the days of a partition."""
    days = set(partition.span.days)
    asked = {name for question in journal.values() if days & set(question.span.days) for name in question.subjects}
    return frozenset(asked | {name for held in landed.values() if days & set(held.span.days) for name in held.covers})


@dataclass
class _State:
    feed: Feed
    landed: Landed
    journal: Journal
    now: datetime
    plan: Plan
    _subjects: dict[Span, Collection[str]] = field(default_factory=dict)
    _lives: Mapping[str, Life] | None = None

    def days(self) -> Iterator[Missing]:
        asked = _by_day(self.journal)
        held: dict[date, Held] = {}
        for one in self._oldest_first():
            for day in one.span.days:
                held[day] = _laid_over(held.get(day), one)
        yesterday = self.now.date() - ONE_DAY
        known = {day for day in (*asked, *held) if day <= yesterday}
        for day in sorted(known | set(self._planned_days(yesterday))):
            yield from self._day(day, held.get(day), asked.get(day, ()))

    def _planned_days(self, yesterday: date) -> Iterator[date]:
        if self.plan.since is None:
            return
        retention = self.feed.retention
        first = max(self.plan.since.date(), retention.since)
        last = yesterday if retention.until is None else min(yesterday, retention.until)
        for number in range((last - first).days + 1):
            yield first + timedelta(days=number)

    def _day(self, day: date, held: Held | None, asked: Sequence[Question]) -> Iterator[Missing]:
        at = datetime.combine(day, time())
        covers = held.covers if held else {}
        if held is not None and held.is_refused:
            for subject in sorted(covers):
                yield Missing(at, subject, "landing refused")
            return
        is_whole = held is not None and set(covers.values()) <= ANSWERED
        names = {name for question in asked for name in question.subjects} | set(covers)
        is_final = held is not None and is_settled(self.feed, held.span, checked=held.checked)
        if self._is_planned(day) and not (is_whole and is_final):
            # Whoever is listed later than a final landing was not asked for then.
            names |= set(self._wanted(held.span if held else self._unit(day)))
        for name in sorted(name for name in names if covers.get(name) not in ANSWERED):
            yield self._missing_day(at, name, covers.get(name), asked, held)

    def _missing_day(
        self, at: datetime, subject: str, outcome: Outcome | None, asked: Sequence[Question], held: Held | None
    ) -> Missing:
        unit = self._unit(at.date())
        listed, ended = self._life(subject)
        if outcome is None and ((listed and unit.end <= listed) or (ended and unit.start >= ended)):
            return Missing(at, subject, "before listing" if listed and unit.end <= listed else "after delisting")
        reason, detail = self._reason(subject, outcome, asked, unit, held)
        is_published = unit.end + self.feed.published_after <= self.now
        kept = self._forgotten_on(at.date())
        if kept is not None and self.now.date() >= kept and reason in ("never asked", "not yet published"):
            detail = f"{reason} while the venue kept it"
            reason = "no longer available" if reason == "not yet published" else reason
        can_be_had = (
            is_published
            and (kept is None or self.now.date() < kept)
            and outcome != "gone"
            and reason not in ("no longer available", "no file at the venue")
            and self.feed.retention.since <= at.date()
            and (self.feed.retention.until is None or at.date() <= self.feed.retention.until)
        )
        return Missing(at, subject, reason, detail, kept, can_be_had)

    def _reason(
        self, subject: str, outcome: Outcome | None, asked: Sequence[Question], unit: Span, held: Held | None
    ) -> tuple[GapReason, str | None]:
        if outcome in INCOMPLETE:
            # Given up is what was asked for late enough, not what nobody has asked for since.
            asked_for, at = (unit, self.now) if held is None else (held.span, held.checked)
            if not is_awaited(self.feed, asked_for, at=at):
                return "no file at the venue", None
            # A failure of the same question came after what is landed; others may be older.
            same = (question for question in asked if question.span == asked_for and subject in question.failures)
            return next((question.failures[subject] for question in same), ("not yet published", None))
        if outcome is not None:
            return OUTCOME_REASONS.get(outcome, "fetch failed"), None
        for question in reversed(asked):
            if subject in question.failures:
                return question.failures[subject]
            if subject in question.subjects:
                return "fetch failed", "the fetch ended before an answer"
        if unit.end + self.feed.published_after > self.now:
            return "not yet published", None
        return "never asked", None

    def slots(self) -> Iterator[Missing]:
        current = plan_capture(self.feed, now=self.now)[0]
        by_start = {question.span.start: question for question in self.journal.values()}
        held = {one.span.start: one for one in self._oldest_first()}
        starts = {*by_start, *held, *self._planned_slots(current.span.end)}
        for start in sorted(start for start in starts if start <= current.span.start):
            yield from self._slot(start, held.get(start), by_start.get(start), is_open=start == current.span.start)

    def _planned_slots(self, end: datetime) -> Iterator[datetime]:
        start = self.plan.since
        if start is None or not isinstance(self.feed.cadence, Capture):
            return
        while start < end:
            yield start
            start += timedelta(hours=self.feed.cadence.every_hours)

    def _slot(self, start: datetime, held: Held | None, asked: Question | None, *, is_open: bool) -> Iterator[Missing]:
        if held is not None and held.is_refused:
            yield Missing(start, WHOLE_VENUE, "landing refused")
            return
        if held is None and asked is None:
            yield Missing(start, WHOLE_VENUE, "never asked", None, self._slot_forgotten_on(start), is_open)
            return
        covers = held.covers if held else {}
        names = {*covers, *(asked.subjects if asked else ())}
        for name in sorted(name for name in names if covers.get(name) not in ANSWERED):
            questions = [asked] if asked else []
            reason, detail = self._reason(name, covers.get(name), questions, Span(start, start), held)
            yield Missing(start, name, reason, detail, self._slot_forgotten_on(start), is_open)

    def _slot_forgotten_on(self, start: datetime) -> date:
        hours = self.feed.cadence.every_hours if isinstance(self.feed.cadence, Capture) else 0
        return (start + timedelta(hours=hours)).date()

    def _oldest_first(self) -> list[Held]:
        return sorted(self.landed.values(), key=lambda held: held.checked)

    def _is_planned(self, day: date) -> bool:
        since, until = self.plan.since, self.feed.retention.until
        return since is not None and day >= since.date() and (until is None or day <= until)

    def _unit(self, day: date) -> Span:
        """What is published at once: the day, or its month where there are monthly files only."""
        if self.feed.partitioning.months != "only":
            return Span.of_days(day, day)
        following = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        return Span.of_days(day.replace(day=1), following - ONE_DAY)

    def _life(self, subject: str) -> Life:
        if self._lives is None:
            self._lives = self.plan.lives()
        return self._lives.get(subject, (None, None))

    def _wanted(self, span: Span) -> Collection[str]:
        if span not in self._subjects:
            self._subjects[span] = self.plan.subjects(span)
        return self._subjects[span]

    def _forgotten_on(self, day: date) -> date | None:
        kept = self.feed.retention.days
        return None if kept is None else day + timedelta(days=kept + 1)


def _laid_over(before: Held | None, one: Held) -> Held:
    """What is held of a day that two partitions cover, a month and a day of it that was asked for again: an answer of the older one
    stands where the newer has none."""
    if before is None or before.is_refused:
        return one
    if one.is_refused:
        return before
    stands = {
        name: outcome
        for name, outcome in before.covers.items()
        if outcome in ANSWERED and one.covers.get(name) not in ANSWERED
    }
    return replace(one, covers={**one.covers, **stands}) if stands else one


def _by_day(journal: Journal) -> dict[date, list[Question]]:
    found: dict[date, list[Question]] = {}
    for question in journal.values():
        for day in question.span.days:
            found.setdefault(day, []).append(question)
    return found


Health = Literal["good", "late", "failed"]
"""good: nothing is due that a run should have brought. late: the venue publishes later than it uses to, or one slot was missed.
failed: a run asked in vain, or none has asked for a day or for two slots."""

LATE_AFTER: Final = timedelta(hours=26)
"""A daily run asks once a day: what is due for longer was not asked for."""


def health(feed: Feed, found: Iterable[Missing], now: datetime) -> Health:
    """The state of a feed from what is missing of it. What is lost for good is no longer a matter of its health."""
    states: set[Health] = {"good"}
    for one in found:
        if isinstance(feed.cadence, Capture):
            states.add(_health_of_slot(one, now, timedelta(hours=feed.cadence.every_hours)))
        elif one.can_be_had:
            is_late = now - one.at > ONE_DAY + feed.published_after + LATE_AFTER
            if one.reason == "not yet published":
                states.add("late" if is_late else "good")
            elif one.reason != "never asked" or is_late:
                states.add("failed")
    return "failed" if "failed" in states else "late" if "late" in states else "good"


def _health_of_slot(one: Missing, now: datetime, length: timedelta) -> Health:
    """Of captures the current slot and the two before it count."""
    age = (now - one.at) // length
    if age > 2 or (age == 0 and one.reason == "never asked"):
        return "good"
    if one.reason != "never asked" or age == 2:
        return "failed" if age < 2 or one.reason == "never asked" else "good"
    return "late"
