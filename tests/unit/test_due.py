"""What is due: the venue's own log is the truth, and what it did not answer is missing with the reason it gave."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, get_args
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.core.errors import (
    ChecksumError,
    ErrorStatusError,
    LeverhouseError,
    NoAnswerError,
    NoLongerAvailableError,
    RequestRefusedError,
    SourceFormatError,
)
from pipelines.core.gap_reasons import GAP_REASONS, GapReason
from pipelines.extract.due import (
    UNCOUNTED_AT_ONCE,
    Held,
    Life,
    Missing,
    Plan,
    due,
    first_planned_day,
    missing,
    partitions_to_ask,
)
from pipelines.extract.fetch import fetch_feed
from pipelines.extract.fetch_log import FetchLog, Question, read_journal
from pipelines.extract.landing import LandingStore
from pipelines.extract.plan_start import freeze_plan, planned_since
from pipelines.extract.venue import (
    Api,
    Capture,
    Daily,
    Feed,
    Job,
    NotYetPublishedError,
    Page,
    Partitioning,
    Retention,
    Span,
    Venue,
)
from pipelines.operations.due import landed_of
from pipelines.sources import registry
from tests.unit.test_fetch import DAILY, ReadsAll, UnusedApi

SUBJECTS: Final = ("A", "B", "C")
GIVEN_UP_AFTER: Final = timedelta(days=6)
"""Instead of a month, so that a few nights reach it."""
START: Final = date(2024, 3, 1)

FAILURES: Final[Mapping[GapReason, type[LeverhouseError]]] = {
    "refused: checksum": ChecksumError,
    "refused: status": RequestRefusedError,
    "unreadable answer": SourceFormatError,
    "no answer in time": NoAnswerError,
}

KINDS: Final[Mapping[str, Feed]] = {
    "days": DAILY,
    "late days": replace(DAILY, cadence=Daily(published_after=timedelta(hours=24), recheck_days=2)),
    "past months": replace(DAILY, partitioning=Partitioning(months="past")),
    "monthly files": replace(DAILY, partitioning=Partitioning(months="only")),
    "runs of days": replace(DAILY, partitioning=Partitioning(most_days=5), cadence=Daily(recheck_days=0)),
    "short memory": replace(DAILY, retention=Retention(since=date(2024, 1, 1), days=6)),
    "past months, short memory": replace(
        DAILY, partitioning=Partitioning(months="past"), retention=Retention(since=date(2024, 1, 1), days=20)
    ),
    "runs of days, short memory": replace(
        DAILY, partitioning=Partitioning(most_days=5), retention=Retention(since=date(2024, 1, 1), days=8)
    ),
    "captures": replace(DAILY, cadence=Capture(every_hours=24)),
}


def subjects_of(span: Span) -> tuple[str, ...]:
    return SUBJECTS


@dataclass
class VenueLog:
    """A venue that answers, fails or has not published yet as told, and writes down what it did: the truth."""

    home: Path
    feed: Feed
    fails: Mapping[str, GapReason] = field(default_factory=dict)
    now: datetime = datetime(2024, 3, 2, 3, 30)
    listed: Mapping[str, date] = field(default_factory=lambda: dict.fromkeys(SUBJECTS, date(2024, 1, 1)))
    delays: tuple[int, ...] = (0,)
    """After how many days the files of a day come, in turn."""
    answered: set[tuple[date, str]] = field(default_factory=set)
    said: dict[tuple[date, str], tuple[GapReason, datetime, datetime]] = field(default_factory=dict)
    """What it said last of a day that it did not answer, when, and the end of the span that was asked for."""

    def __post_init__(self) -> None:
        async def fetch(api: Api, job: Job) -> AsyncIterator[Page]:
            reason = self.fails.get(job.subject)
            if reason is None and any(self.now < self.arrives(day, job.subject) for day in job.span.days):
                reason = "not yet published"
            for day in job.span.days:
                if reason is not None:
                    self.said[day, job.subject] = reason, self.now, job.span.end
                else:
                    self.answered.add((day, job.subject))
            if reason == "not yet published":
                raise NotYetPublishedError(job.subject)
            if reason is not None:
                raise FAILURES[reason](f"{job.subject}: {reason}")
            yield Page(job.subject, {"path": "/x"}, 200, self.now, b"[1]")

        self.feed = replace(self.feed, fetch=fetch)
        self.venue = Venue(name="v", endpoints={}, limits=(), feeds=(self.feed,))
        self.store = LandingStore(self.home)

    @property
    def is_capture(self) -> bool:
        return isinstance(self.feed.cadence, Capture)

    def arrives(self, day: date, subject: str) -> datetime:
        if self.is_capture:
            return datetime(1970, 1, 1)
        delay = self.delays[(3 * day.toordinal() + SUBJECTS.index(subject)) % len(self.delays)]
        return datetime.combine(day, datetime.min.time()) + timedelta(days=1 + delay)

    def unit_end(self, day: date) -> datetime:
        """When what is published at once with a day is over."""
        if self.feed.partitioning.months == "only":
            day = (day.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
        return datetime.combine(day, datetime.min.time()) + timedelta(days=1)

    def subjects(self, span: Span) -> tuple[str, ...]:
        return tuple(name for name in SUBJECTS if datetime.combine(self.listed[name], datetime.min.time()) < span.end)

    def lives(self) -> Mapping[str, Life]:
        return {name: (datetime.combine(day, datetime.min.time()), None) for name, day in self.listed.items()}

    def reason(self, day: date, name: str) -> GapReason:
        """The true reason for which a day is missing, by this log alone."""
        end = self.unit_end(day)
        lag = timedelta(0) if self.is_capture else self.feed.published_after
        said, at, asked_to = self.said.get((day, name), (None, self.now, end))
        if said is None:
            said = "not yet published" if end + lag > self.now and not self.is_capture else "never asked"
        elif said == "not yet published" and at >= asked_to + lag + GIVEN_UP_AFTER:
            return "no file at the venue"
        kept = self.feed.retention.days
        if said == "not yet published" and kept is not None and self.now.date() > day + timedelta(days=kept):
            return "no longer available"
        return said

    @property
    def plan(self) -> Plan:
        return Plan(planned_since(self.store.raw_dir, "v.oi"), self.subjects, self.lives)

    def missing(self) -> list[Missing]:
        journal = read_journal(self.store.raw_dir, "v").get("v.oi", {})
        return missing(self.feed, landed_of(self.store, "v.oi"), journal, self.now, plan=self.plan)

    def due(self) -> list[Missing]:
        return [one for one in self.missing() if one.can_be_had]

    def run(self, fails: Mapping[str, GapReason] | None = None) -> None:
        """One scheduled run."""
        self.fails = fails or {}
        landed = landed_of(self.store, "v.oi")
        freeze_plan(self.store.raw_dir, "v.oi", first_planned_day(self.feed, set(), self.now))
        journal = read_journal(self.store.raw_dir, "v").get("v.oi", {})
        asks = partitions_to_ask(self.feed, landed, journal, self.now, plan=self.plan)
        with FetchLog(self.store.raw_dir, "v", lambda: self.now).recording():
            asyncio.run(
                fetch_feed(
                    self.store, self.venue, self.feed, UnusedApi(), partitions=[ask.partition for ask in asks],
                    now=self.now, reader=ReadsAll(),
                    jobs=lambda span: {name: Job(name, span) for name in self.subjects(span)}, clock=lambda: self.now,
                )
            )  # fmt: skip


nights = st.lists(
    st.tuples(
        st.sampled_from((1, 1, 1, 2, 8)),
        st.dictionaries(st.sampled_from(SUBJECTS), st.sampled_from(sorted(FAILURES)), max_size=3),
    ),
    min_size=2,
    max_size=4,
)
"""How many days after the one before a run is, and what fails in it."""


@pytest.mark.parametrize("kind", KINDS)
@patch("pipelines.extract.fetch.GIVE_UP_AFTER", GIVEN_UP_AFTER)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    nights=nights,
    pause=st.integers(0, 3),
    listed=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    delays=st.lists(st.sampled_from((0, 0, 1, 3, 7, 400)), min_size=1, max_size=5),
)
def test_what_was_planned_is_landed_or_missing_with_the_reason_the_venue_gave(
    kind: str, nights: list[tuple[int, Mapping[str, GapReason]]], pause: int, listed: tuple[int, int], delays: list[int]
) -> None:
    """A random plan (instruments are listed while it runs), random failures and pauses, files that come at random or never."""
    with tempfile.TemporaryDirectory() as folder:
        venue = VenueLog(
            Path(folder), KINDS[kind], delays=tuple(delays),
            listed={"A": date(2024, 1, 1), **{name: START + timedelta(days=n) for name, n in zip("BC", listed, strict=True)}},
        )  # fmt: skip
        venue.run()
        for days, fails in nights:
            venue.now += timedelta(days=days)
            venue.run(fails)
        venue.now += timedelta(days=pause)
        since = venue.plan.since
        assert since is not None
        last = venue.now.date() if venue.is_capture else venue.now.date() - timedelta(days=1)
        expected = {
            (day, name)
            for n in range((last - since.date()).days + 1)
            for day in (since.date() + timedelta(days=n),)
            for name in SUBJECTS
            if datetime.combine(venue.listed[name], datetime.min.time()) < venue.unit_end(day)
        }
        # What is published at once with a planned day was asked for with it.
        expected |= {(day, name) for day, name in (*venue.said, *venue.answered) if venue.listed[name] <= day <= last}
        found: dict[tuple[date, str], Missing] = {}
        for one in venue.missing():
            for name in SUBJECTS if one.subject == "*" else [one.subject]:
                if one.reason == "before listing" or (one.subject == "*" and (one.day, name) not in expected):
                    assert one.day < venue.listed[name]
                else:
                    found[one.day, name] = one
        before = {key for key in found if key not in expected}
        assert all(day < venue.listed[name] for day, name in before)
        assert set(found) - before == expected - venue.answered
        assert {key: one.reason for key, one in found.items()} == {key: venue.reason(*key) for key in found}


def test_the_kinds_are_those_of_all_feeds() -> None:
    def kind(feed: Feed) -> tuple[object, ...]:
        if isinstance(feed.cadence, Capture):
            return ("capture",)
        how = feed.partitioning
        return (how.months, how.most_days is not None, feed.retention.days is not None)

    tested = {kind(feed) for feed in KINDS.values()}
    feeds = {f"{name}.{feed.name}": kind(feed) for name in registry.VENUES for feed in registry.venue(name).feeds}
    assert {name: shape for name, shape in feeds.items() if shape not in tested} == {}


def test_ten_nights_with_failures_and_a_pause_leave_nothing_that_the_venue_still_has(tmp_path: Path) -> None:
    """Ten nights of which five fail, ten days without any run, one good run."""
    venue = VenueLog(tmp_path, KINDS["short memory"])
    venue.run()
    for night in range(10):
        venue.now += timedelta(days=1)
        venue.run({"A": "no answer in time", "B": "refused: status"} if night in (1, 2, 5, 7, 9) else None)
    venue.now += timedelta(days=11)
    venue.run()
    assert venue.due() == []
    kept_from = venue.now.date() - timedelta(days=6)
    assert {(kept_from + timedelta(days=n), name) for n in range(6) for name in SUBJECTS} <= venue.answered
    lost = venue.missing()
    assert {one.reason for one in lost if one.day == date(2024, 3, 11)} == {"no answer in time", "refused: status"}
    assert {one.reason for one in lost if one.day > date(2024, 3, 11)} == {"never asked"}
    assert {one.day for one in lost} == {date(2024, 3, 11) + timedelta(days=n) for n in range(6)}
    assert [one.forgotten_on for one in lost if one.day == date(2024, 3, 16)] == [date(2024, 3, 23)] * 3


def test_a_killed_fetch_leaves_what_it_asked_for(tmp_path: Path) -> None:
    span = Span.of_days(START, START)
    journal = {("2024-03-01", "all"): Question(span, {"A"})}
    [one] = due(DAILY, {}, journal, datetime(2024, 3, 2, 12), plan=Plan(None, subjects_of))
    assert (one.day, one.subject, one.reason) == (START, "A", "fetch failed")


def test_what_was_asked_for_outside_the_plan_is_asked_for_again_by_name() -> None:
    journal = {("2024-03-01", "all"): Question(Span.of_days(START, START), {"Z"})}
    [ask] = partitions_to_ask(DAILY, {}, journal, datetime(2024, 3, 9, 12), plan=Plan(None, subjects_of))
    assert (ask.partition.name, ask.is_planned, ask.named) == ("2024-03-01", False, frozenset({"Z"}))


def test_yesterday_is_judged_before_it_is_published() -> None:
    archive = KINDS["late days"]
    plan = Plan(datetime(2024, 3, 8), subjects_of)
    held = {("2024-03-08", "all"): Held(Span.of_days(date(2024, 3, 8), date(2024, 3, 8)), dict.fromkeys(SUBJECTS, "complete"),
                                        datetime(2024, 3, 10))}  # fmt: skip
    found = missing(archive, held, {}, datetime(2024, 3, 10, 12), plan=plan)
    assert {(one.day, one.reason, one.can_be_had) for one in found} == {(date(2024, 3, 9), "not yet published", False)}


def test_a_refused_landing_is_missing_and_not_asked_for_again() -> None:
    span = Span.of_days(START, START)
    held = {("2024-03-01", "all"): Held(span, {"A": "complete"}, datetime(2024, 3, 4), is_refused=True)}
    [one] = missing(DAILY, held, {}, datetime(2024, 3, 5), plan=Plan(None, subjects_of))
    assert (one.reason, one.can_be_had) == ("landing refused", False)


def test_a_file_that_never_came_is_given_up_after_thirty_days() -> None:
    span = Span.of_days(START, START)
    early, late = (
        missing(
            DAILY, {("2024-03-01", "all"): Held(span, {"A": "not_yet_published"}, asked)}, {}, datetime(2024, 4, 21),
            plan=Plan(None, subjects_of),
        )[0]
        for asked in (datetime(2024, 3, 20), datetime(2024, 4, 20))
    )  # fmt: skip
    assert (early.reason, early.can_be_had) == ("not yet published", True)
    assert (late.reason, late.can_be_had) == ("no file at the venue", False)


def test_what_was_asked_for_too_early_is_asked_for_once_more_after_a_pause(tmp_path: Path) -> None:
    """One night before the file came, forty days without any run: the next fetch asks, and what is still not there is given up."""

    async def fetch(api: Api, job: Job) -> AsyncIterator[Page]:
        asked.append((job.span.start.date(), job.subject))
        if job.subject == "C" or (job.subject == "B" and venue.now < datetime(2024, 3, 3)):
            raise NotYetPublishedError
        yield Page(job.subject, {"path": "/x"}, 200, venue.now, b"[1]")

    asked: list[tuple[date, str]] = []
    venue = VenueLog(tmp_path, DAILY)
    venue.feed = replace(venue.feed, fetch=fetch)
    venue.run()
    assert {(one.subject, one.reason) for one in venue.missing()} == {
        ("B", "not yet published"), ("C", "not yet published")
    }  # fmt: skip
    venue.now += timedelta(days=40)
    assert {(one.subject, one.reason) for one in venue.due() if one.day == START} == {
        ("B", "not yet published"), ("C", "not yet published")
    }  # fmt: skip
    asked.clear()
    venue.run()
    assert {name for day, name in asked if day == START} >= {"B", "C"}
    assert [(one.subject, one.reason, one.can_be_had) for one in venue.missing() if one.day == START] == [
        ("C", "no file at the venue", False)
    ]
    venue.now += timedelta(days=1)
    asked.clear()
    venue.run()
    assert START not in {day for day, _ in asked}


def test_months_whose_days_nobody_counted_are_asked_for_once_more_some_at_a_time() -> None:
    since = replace(KINDS["past months"], retention=Retention(since=date(2020, 1, 1)))
    counts = replace(since, lacks=lambda pages, job: False)
    months = {
        (f"{year}-{month:02}", "all"): Held(
            Span.of_days(first := date(year, month, 1), (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)),
            {"A": "complete"}, datetime(2024, 2, 20), days_counted=(year, month) == (2023, 12),
        )
        for year in (2022, 2023) for month in range(1, 13)
    }  # fmt: skip
    days = {
        ("2021-12-31", "all"): replace(
            next(iter(months.values())), span=Span.of_days(date(2021, 12, 31), date(2021, 12, 31))
        )
    }
    asks = partitions_to_ask(counts, months | days, {}, datetime(2024, 3, 1), plan=Plan(None, subjects_of))
    assert [(ask.partition.name, ask.named) for ask in asks] == [
        (f"2023-{month:02}", frozenset({"A"})) for month in range(12 - UNCOUNTED_AT_ONCE, 12)
    ]
    assert partitions_to_ask(since, months, {}, datetime(2024, 3, 1), plan=Plan(None, subjects_of)) == []


def test_a_day_without_the_instrument_is_missing_for_that_reason_and_not_asked_for() -> None:
    lives = {"A": (datetime(2024, 3, 2), datetime(2024, 3, 4))}
    plan = Plan(datetime(2024, 3, 1), lambda span: ["A", "B"], lambda: lives)
    found = missing(DAILY, {}, {}, datetime(2024, 3, 5, 12), plan=plan)
    of_a = {one.day.day: (one.reason, one.can_be_had) for one in found if one.subject == "A"}
    assert of_a == {
        1: ("before listing", False), 2: ("never asked", True), 3: ("never asked", True), 4: ("after delisting", False),
    }  # fmt: skip
    assert {one.reason for one in found if one.subject == "B"} == {"never asked"}


def test_an_answer_stands_under_a_day_that_was_asked_for_again_in_vain() -> None:
    month, day = Span.of_days(date(2024, 2, 1), date(2024, 2, 29)), Span.of_days(date(2024, 2, 5), date(2024, 2, 5))
    held = {
        ("2024-02", "all"): Held(month, {"A": "complete", "B": "complete"}, datetime(2024, 3, 5)),
        ("2024-02-05", "all"): Held(day, {"A": "not_yet_published", "B": "complete"}, datetime(2024, 3, 9)),
    }
    assert missing(DAILY, held, {}, datetime(2024, 3, 10), plan=Plan(None, subjects_of)) == []
    refused = {**held, ("2024-02-05", "all"): Held(day, {"B": "complete"}, datetime(2024, 3, 9), is_refused=True)}
    assert missing(DAILY, refused, {}, datetime(2024, 3, 10), plan=Plan(None, subjects_of)) == []


def test_the_plan_begins_where_a_home_was_fetching_until_lately() -> None:
    now = datetime(2024, 3, 10, 12)
    assert first_planned_day(DAILY, set(), now) == datetime(2024, 3, 9)
    assert first_planned_day(DAILY, {date(2024, 2, 20), date(2024, 3, 5), date(2023, 1, 1)}, now) == datetime(
        2024, 2, 20
    )
    assert first_planned_day(DAILY, {date(2023, 1, 1)}, now) == datetime(2024, 3, 9)


def test_the_plan_of_a_home_is_frozen(tmp_path: Path) -> None:
    first = freeze_plan(tmp_path, "v.oi", datetime(2024, 3, 1))
    assert freeze_plan(tmp_path, "v.oi", datetime(2024, 4, 1)) == first == planned_since(tmp_path, "v.oi")


def test_the_closed_list_is_one() -> None:
    assert tuple(GAP_REASONS) == get_args(GapReason)


async def _unpublished(api: Api, job: Job) -> AsyncIterator[Page]:
    if job.subject:
        raise NotYetPublishedError
    yield Page(job.subject, {}, 200, datetime(2024, 3, 1), b"")


async def _gone(api: Api, job: Job) -> AsyncIterator[Page]:
    if job.subject:
        raise NoLongerAvailableError("kept no more")
    yield Page(job.subject, {}, 200, datetime(2024, 3, 1), b"")


@pytest.mark.parametrize(
    ("fetch", "reason", "can_be_had"),
    [(_unpublished, "not yet published", True), (_gone, "no longer available", False)],
    ids=["unpublished", "gone"],
)
def test_a_landing_says_why_a_subject_has_no_answer(
    tmp_path: Path, fetch: object, reason: GapReason, can_be_had: bool
) -> None:
    venue = VenueLog(tmp_path, DAILY)
    venue.feed = replace(venue.feed, fetch=fetch)  # type: ignore[arg-type]
    venue.run()
    assert {(one.reason, one.can_be_had) for one in venue.missing()} == {(reason, can_be_had)}


def test_an_error_status_and_a_refusal_have_one_reason() -> None:
    from pipelines.extract.fetch_log import reason_of

    assert {reason_of(kind("x")) for kind in (ErrorStatusError, RequestRefusedError)} == {"refused: status"}
