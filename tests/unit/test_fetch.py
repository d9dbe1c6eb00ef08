"""Planning and resuming: which days are fetched, when they are fetched again, and what a failed fetch leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.errors import (
    BlockedError,
    LeverhouseError,
    NoLongerAvailableError,
    SourceFormatError,
    VenueUnavailableError,
)
from pipelines.extract.answers import THREAD_BYTES
from pipelines.extract.fetch import (
    GIVE_UP_AFTER,
    RECHECK_EVERY,
    FetchReport,
    Partition,
    fetch_feed,
    plan_capture,
    plan_days,
    span_of,
)
from pipelines.extract.landing import LandingStore
from pipelines.extract.pack import Pack
from pipelines.extract.venue import (
    Api,
    Capture,
    Context,
    Daily,
    Feed,
    Job,
    NotYetPublishedError,
    Page,
    Parsed,
    Partitioning,
    Pulse,
    Retention,
    Span,
    Venue,
)

NOON = datetime(2024, 3, 10, 12)


async def nothing(api: Api, job: Job) -> AsyncIterator[Page]:
    return
    yield


def no_rows(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    yield from ()


DAILY = Feed(
    name="oi",
    tables=(),
    description="A feed.",
    fetch=nothing,
    parse=no_rows,
    retention=Retention(since=date(2024, 1, 1)),
)
MONTHLY = replace(DAILY, partitioning=Partitioning(months="past"))


def planned(feed: Feed, first: date, last: date, *, now: datetime = NOON, landed: Sequence[str] = ()) -> list[str]:
    return [partition.name for partition in plan_days(feed, first, last, now=now, landed=landed)]


# Planning


def test_a_day_is_planned_once_it_is_over_and_published() -> None:
    slow = replace(DAILY, cadence=Daily(published_after=timedelta(hours=13)))
    assert planned(DAILY, date(2024, 3, 8), date(2024, 3, 12)) == ["2024-03-08", "2024-03-09"]
    assert planned(slow, date(2024, 3, 8), date(2024, 3, 12)) == ["2024-03-08"]
    assert planned(slow, date(2024, 3, 8), date(2024, 3, 12), now=NOON + timedelta(hours=1)) == [
        "2024-03-08", "2024-03-09",
    ]  # fmt: skip


def test_days_before_the_first_and_after_the_last_of_a_feed_are_not_planned() -> None:
    ended = replace(DAILY, retention=Retention(since=date(2024, 2, 2), until=date(2024, 2, 3)))
    assert planned(ended, date(2024, 1, 1), date(2024, 3, 1)) == ["2024-02-02", "2024-02-03"]
    assert planned(ended, date(2023, 1, 1), date(2023, 3, 1)) == []
    assert planned(ended, date(2024, 2, 4), date(2024, 3, 1)) == []


def test_days_beyond_the_retention_of_a_venue_are_not_planned() -> None:
    short = replace(DAILY, retention=Retention(since=date(2024, 1, 1), days=2))
    assert planned(short, date(2024, 1, 1), date(2024, 3, 10)) == ["2024-03-08", "2024-03-09"]


def test_a_past_month_that_is_final_is_one_partition() -> None:
    partitions = plan_days(MONTHLY, date(2024, 1, 30), date(2024, 3, 2), now=NOON, landed=[])
    assert [partition.name for partition in partitions] == [
        "2024-01-30", "2024-01-31", "2024-02", "2024-03-01", "2024-03-02",
    ]  # fmt: skip
    assert partitions[2].span == Span(datetime(2024, 2, 1), datetime(2024, 3, 1))
    # With recheck_days=10, February may be restated until March 11.
    restated = replace(MONTHLY, cadence=Daily(recheck_days=10))
    assert len(planned(restated, date(2024, 2, 1), date(2024, 2, 29))) == 29


def test_a_month_with_landed_days_is_completed_by_day() -> None:
    february = (date(2024, 2, 1), date(2024, 2, 29))
    assert planned(MONTHLY, *february) == ["2024-02"]
    assert len(planned(MONTHLY, *february, landed=["2024-02-14"])) == 29
    assert planned(MONTHLY, date(2024, 2, 5), date(2024, 2, 6), landed=["2024-02"]) == ["2024-02"]


def test_days_of_a_landed_month_are_asked_for_again_as_days_and_the_whole_month_as_one() -> None:
    def again(first: date, last: date) -> list[str]:
        return [one.name for one in plan_days(MONTHLY, first, last, now=NOON, landed=["2024-02"], again=True)]

    assert again(date(2024, 2, 5), date(2024, 2, 6)) == ["2024-02-05", "2024-02-06"]
    assert again(date(2024, 2, 1), date(2024, 2, 29)) == ["2024-02"]


def test_with_monthly_files_only_a_month_is_planned_when_it_is_published() -> None:
    months = replace(MONTHLY, partitioning=Partitioning(months="only"))
    assert planned(months, date(2024, 2, 5), date(2024, 3, 9)) == ["2024-02"]
    assert planned(months, date(2024, 2, 5), date(2024, 2, 6), now=datetime(2024, 2, 29)) == []


def test_consecutive_days_are_one_partition_up_to_the_maximum() -> None:
    runs = replace(DAILY, partitioning=Partitioning(most_days=31), cadence=Daily(recheck_days=0))
    assert planned(runs, date(2024, 1, 20), date(2024, 3, 9)) == ["2024-01-20_2024-02-19", "2024-02-20_2024-03-09"]
    [partition] = plan_days(runs, date(2024, 2, 28), date(2024, 3, 1), now=NOON, landed=[])
    assert partition == Partition("2024-02-28_2024-03-01", "all", Span(datetime(2024, 2, 28), datetime(2024, 3, 2)))
    assert planned(runs, date(2024, 3, 9), date(2024, 3, 9)) == ["2024-03-09"]
    # The last two days may be restated and are single partitions.
    restated = replace(runs, cadence=Daily(recheck_days=2))
    assert planned(restated, date(2024, 3, 4), date(2024, 3, 9)) == [
        "2024-03-04_2024-03-07", "2024-03-08", "2024-03-09",
    ]  # fmt: skip


def test_landed_ranges_of_days_keep_their_bounds() -> None:
    runs = replace(DAILY, partitioning=Partitioning(most_days=366), cadence=Daily(recheck_days=0))
    landed = ["2024-01-30_2024-02-02", "2024-02-06", "2024-03"]
    assert planned(runs, date(2024, 2, 1), date(2024, 3, 9), landed=landed) == [
        "2024-01-30_2024-02-02", "2024-02-03_2024-02-05", "2024-02-06", "2024-02-07_2024-02-29", "2024-03",
    ]  # fmt: skip


days = st.dates(date(2023, 12, 1), date(2024, 4, 1))


@given(
    first=days,
    last=days,
    by_month=st.booleans(),
    most=st.none() | st.integers(1, 40),
    keeps_days=st.none() | st.integers(1, 40),
    landed_days=st.lists(days, max_size=3),
)
def test_every_published_day_is_in_one_partition(
    first: date, last: date, by_month: bool, most: int | None, keeps_days: int | None, landed_days: list[date]
) -> None:
    feed = replace(
        DAILY,
        retention=Retention(since=date(2024, 1, 1), days=keeps_days),
        partitioning=Partitioning(months="past" if by_month else "never", most_days=most),
    )
    partitions = plan_days(feed, first, last, now=NOON, landed=[f"{day:%Y-%m-%d}" for day in landed_days])
    oldest = max(
        first, feed.retention.since, NOON.date() - timedelta(days=keeps_days if keeps_days is not None else 10_000)
    )
    wanted = [oldest + timedelta(days=n) for n in range((min(last, date(2024, 3, 9)) - oldest).days + 1)]
    assert [day for partition in partitions for day in partition.span.days] == wanted


def test_a_capture_is_of_the_current_hour_or_slot() -> None:
    at = datetime(2024, 3, 10, 17, 42, 3)
    hourly, daily = (replace(DAILY, cadence=Capture(every_hours=hours)) for hours in (1, 24))
    third = replace(DAILY, cadence=Capture(every_hours=8))
    assert plan_capture(hourly, now=at) == [
        Partition("2024-03-10", "1700", Span(datetime(2024, 3, 10, 17), datetime(2024, 3, 10, 18)))
    ]
    assert plan_capture(third, now=at)[0].part == "1600"
    assert plan_capture(daily, now=at) == [
        Partition("2024-03-10", "0000", Span(datetime(2024, 3, 10), datetime(2024, 3, 11)))
    ]


# Fetching again


@dataclass
class ReadsAll:
    """A reader that can read every answer, but for those about `unreadable`."""

    unreadable_subjects: set[str] = field(default_factory=set)
    version: str = "1"

    def unreadable(self, pages: Sequence[Page], span: Span, fetched_at: datetime) -> Mapping[str, SourceFormatError]:
        found = {page.subject for page in pages} & self.unreadable_subjects
        return {subject: SourceFormatError("no list in it") for subject in found}

    def pulse(self, span: Span) -> Pulse | None:
        return None


@dataclass
class FeedRunner:
    """A landing, and a feed whose venue sends `responses`: bytes, an error, or not published yet."""

    home: Path
    feed: Feed = DAILY
    now: datetime = NOON
    responses: dict[str, bytes | Exception] = field(default_factory=lambda: {"A": b"[1]", "B": b"[2]"})
    requested: list[str] = field(default_factory=list)
    reader: ReadsAll = field(default_factory=ReadsAll)

    def __post_init__(self) -> None:
        async def fetch(api: Api, job: Job) -> AsyncIterator[Page]:
            self.requested.append(f"{job.span.start:%m-%d} {job.subject}")
            response = self.responses[job.subject]
            for position, body in enumerate((b"first of two", response)):
                if isinstance(body, Exception):
                    raise body
                if body:
                    yield Page(job.subject, {"path": "/x", "n": position}, 200, self.now, body)

        self.feed = replace(self.feed, fetch=fetch)
        self.venue = Venue(name="v", endpoints={}, limits=(), feeds=(self.feed,))
        self.store = LandingStore(self.home)

    def fetch(self, first: date = date(2024, 3, 5), last: date | None = None, *, again: bool = False) -> FetchReport:
        partitions = plan_days(self.feed, first, last or first, now=self.now, landed=[])
        return asyncio.run(
            fetch_feed(
                self.store, self.venue, self.feed, UnusedApi(), partitions=partitions, now=self.now, again=again,
                jobs=lambda span: {name: Job(name, span) for name in self.responses}, clock=lambda: self.now,
                reader=self.reader,
            )
        )  # fmt: skip

    def requests(self) -> list[str]:
        requested, self.requested[:] = sorted(self.requested), []
        return requested

    def bodies(self) -> dict[str, list[bytes]]:
        [landing] = [x for x in self.store.current("v.oi") if x.completeness != "unreadable"]
        found: dict[str, list[bytes]] = {}
        for page in Pack(landing.path).pages():
            found.setdefault(page.subject, []).append(page.body)
        return found


class UnusedApi:
    """An Api that the feed of these tests does not use."""

    endpoints: Collection[str] = ()
    node_blocks: int | None = None
    get: Callable[..., Any]
    post: Callable[..., Any]


@pytest.fixture
def runner(tmp_path: Path) -> FeedRunner:
    return FeedRunner(tmp_path)


def test_final_partitions_are_skipped_and_fetched_again_only_on_request(runner: FeedRunner) -> None:
    report = runner.fetch()
    assert [(x.partition, x.completeness) for x in report.landings] == [("2024-03-05", "complete")]
    assert runner.requests() == ["03-05 A", "03-05 B"]
    assert span_of(report.landings[0]) == Span(datetime(2024, 3, 5), datetime(2024, 3, 6))
    assert (runner.fetch().skipped, runner.requests()) == (1, [])
    assert (runner.fetch(again=True).unchanged, len(runner.requests())) == (1, 2)


def test_a_day_that_may_still_change_is_fetched_again_after_the_recheck_interval(runner: FeedRunner) -> None:
    yesterday = date(2024, 3, 9)
    runner.fetch(yesterday)
    runner.now += RECHECK_EVERY - timedelta(minutes=1)
    assert runner.fetch(yesterday).skipped == 1
    runner.now += timedelta(minutes=1)
    runner.responses["A"] = b"[1, 1]"
    [second] = runner.fetch(yesterday).landings
    assert (second.version, runner.bodies()["A"][1]) == (2, b"[1, 1]")
    # Fetched a day and an hour after its end, it is final.
    runner.now = datetime(2024, 3, 11, 1)
    runner.fetch(yesterday)
    runner.requests()
    runner.now += timedelta(days=3)
    assert (runner.fetch(yesterday).skipped, runner.requests()) == (1, [])


def test_a_subject_that_fails_when_it_is_checked_again_keeps_its_answer_and_is_checked_again(
    runner: FeedRunner,
) -> None:
    yesterday = date(2024, 3, 9)
    runner.fetch(yesterday)
    runner.now += RECHECK_EVERY
    runner.responses |= {"A": VenueUnavailableError("down"), "B": b"[2, 2]"}
    [second] = runner.fetch(yesterday).landings
    assert (second.completeness, second.request.get("unchecked")) == ("complete", ["A"])
    assert runner.bodies() == {"A": [b"first of two", b"[1]"], "B": [b"first of two", b"[2, 2]"]}
    runner.requests()
    runner.responses["A"] = b"[1, 1]"
    [third] = runner.fetch(yesterday).landings
    assert runner.requests() == ["03-09 A"]
    assert "unchecked" not in third.request
    assert runner.bodies()["A"][1] == b"[1, 1]"


def test_what_the_venue_forgot_stands_as_it_was_read(runner: FeedRunner) -> None:
    """Asked again for all, the venue still has B and keeps nothing of A."""
    runner.fetch()
    runner.responses |= {"A": NoLongerAvailableError("from time exceeds 180-day limit"), "B": b"[2, 2]"}
    report = runner.fetch(again=True)
    [second] = report.landings
    assert (second.completeness, second.request["covers"]) == ("complete", {"A": "complete", "B": "complete"})
    assert runner.bodies() == {"A": [b"first of two", b"[1]"], "B": [b"first of two", b"[2, 2]"]}
    runner.responses["B"] = NoLongerAvailableError("gone as well")
    assert runner.fetch(again=True).landings == ()
    assert runner.bodies()["B"] == [b"first of two", b"[2, 2]"]


def test_only_a_new_instrument_is_fetched_and_the_others_are_kept(runner: FeedRunner) -> None:
    runner.fetch()
    runner.requests()
    runner.responses["C"] = b"[3]"
    [second] = runner.fetch().landings
    assert runner.requests() == ["03-05 C"]
    assert second.request["covers"] == {"A": "complete", "B": "complete", "C": "complete"}
    assert runner.bodies() == {name: [b"first of two", body] for name, body in runner.responses.items()}


def test_a_partially_fetched_instrument_is_not_landed(runner: FeedRunner) -> None:
    runner.responses["B"] = VenueUnavailableError("down")
    report = runner.fetch()
    assert list(report.failures) == ["2024-03-05 B"]
    assert [x.completeness for x in report.landings] == ["partial"]
    assert list(runner.bodies()) == ["A"]
    with pytest.raises(VenueUnavailableError, match=r"v\.oi: 2024-03-05 B: down Everything else was landed"):
        report.raise_failures()
    runner.requests()
    runner.responses["B"] = b"[2]"
    assert runner.fetch().failures == {}
    assert runner.requests() == ["03-05 B"]
    assert list(runner.bodies()) == ["A", "B"]


def test_an_unreadable_answer_is_landed_apart_and_asked_for_again(runner: FeedRunner) -> None:
    runner.reader.unreadable_subjects.add("B")
    report = runner.fetch()
    assert {where: str(error) for where, error in report.failures.items()} == {"2024-03-05 B": "no list in it"}
    assert ([x.part for x in report.landings], [x.completeness for x in report.landings]) == (["all"], ["partial"])
    [kept] = report.unreadable
    assert (kept.part, kept.completeness, kept.request["unreadable"]) == (
        "all-unreadable", "unreadable", {"B": "no list in it"},
    )  # fmt: skip
    assert [page.body for page in Pack(kept.path).pages()] == [b"first of two", b"[2]"]
    refusal = runner.store.refusal(kept)
    assert refusal is not None
    assert (refusal.reason, refusal.detail, refusal.reader_version) == ("unreadable", "B: no list in it", "1")
    assert list(runner.bodies()) == ["A"]
    runner.requests()
    # The same unreadable answer again is no new version.
    assert (runner.fetch().unreadable, runner.requests()) == ((), ["03-05 B"])
    runner.reader.unreadable_subjects.clear()
    healed = runner.fetch()
    assert (healed.failures, [x.completeness for x in healed.landings]) == ({}, ["complete"])
    assert [x.part for x in runner.store.all()] == ["all", "all"]
    assert runner.fetch().skipped == 1


def test_an_unreadable_answer_leaves_what_was_read_before(runner: FeedRunner) -> None:
    yesterday = date(2024, 3, 9)
    runner.fetch(yesterday)
    runner.now += RECHECK_EVERY
    runner.responses = {"A": b"[1, 1]", "B": b"garbage"}
    runner.reader.unreadable_subjects.add("B")
    [second] = runner.fetch(yesterday).landings
    assert (second.completeness, second.request.get("unchecked")) == ("complete", ["B"])
    assert runner.bodies() == {"A": [b"first of two", b"[1, 1]"], "B": [b"first of two", b"[2]"]}
    runner.requests()
    runner.reader.unreadable_subjects.clear()
    runner.fetch(yesterday)
    assert runner.requests() == ["03-09 B"]
    assert runner.bodies()["B"] == [b"first of two", b"garbage"]


def test_unreadable_answers_of_two_fetches_are_kept_until_each_was_read(runner: FeedRunner) -> None:
    runner.reader.unreadable_subjects |= {"A", "B"}
    assert (runner.fetch().landings, len(runner.store.all())) == ((), 1)
    runner.responses["A"] = VenueUnavailableError("down")
    runner.reader.unreadable_subjects.remove("B")
    [kept] = runner.fetch().unreadable
    assert list(kept.request["unreadable"]) == ["A"]
    assert [page.subject for page in Pack(kept.path).pages()] == ["A", "A"]


@dataclass
class OneAnswer:
    """An Api that gives one answer."""

    now: datetime
    endpoints: Collection[str] = ("api",)
    node_blocks: int | None = None
    post: Callable[..., Any] = no_rows

    async def get(self, path: str, *, subject: str = "*", **_: Any) -> Page:
        return Page(subject, {"path": path}, 200, self.now, b'{"odd": 1}')


@pytest.mark.parametrize("error", [SourceFormatError("no list"), KeyError("list"), RecursionError("deep")])
def test_an_answer_that_the_fetch_itself_stumbles_over_is_landed_as_it_came(tmp_path: Path, error: Exception) -> None:
    async def stumble(api: Api, job: Job) -> AsyncIterator[Page]:
        page = await api.get("/x", subject=job.subject)
        if job.subject == "B":
            raise error
        yield page

    runner = FeedRunner(tmp_path)
    feed = replace(DAILY, fetch=stumble)
    partitions = plan_days(feed, date(2024, 3, 5), date(2024, 3, 5), now=NOON, landed=[])
    report = asyncio.run(
        fetch_feed(
            runner.store, runner.venue, feed, OneAnswer(NOON), partitions=partitions, reader=runner.reader, now=NOON,
            jobs=lambda span: {name: Job(name, span) for name in "AB"},
        )
    )  # fmt: skip
    assert [type(failure) for failure in report.failures.values()] == [SourceFormatError]
    [kept] = report.unreadable
    assert [page.body for page in Pack(kept.path).pages()] == [b'{"odd": 1}']
    assert [x.request["covers"] for x in report.landings] == [{"A": "complete"}]


def test_small_and_large_responses_are_all_landed(runner: FeedRunner) -> None:
    """Large pages are written in a thread, small ones in the event loop: they must not interleave within a subject."""
    runner.responses = {f"{n:02d}": f"{n:02d}".encode() * (n % 4 * THREAD_BYTES // 4 + 1) for n in range(24)}
    assert runner.fetch().failures == {}
    assert runner.bodies() == {name: [b"first of two", body] for name, body in runner.responses.items()}


def test_nothing_is_landed_when_everything_fails(runner: FeedRunner) -> None:
    runner.responses = {"A": VenueUnavailableError("down")}
    assert (runner.fetch().landings, runner.store.all()) == ((), [])
    assert [path for path in runner.home.rglob("*") if path.is_file()] == []


def test_a_block_ends_the_fetch_after_landing_what_was_received(runner: FeedRunner) -> None:
    runner.responses["B"] = BlockedError("not from here")
    report = runner.fetch(date(2024, 1, 1), date(2024, 3, 9))
    assert isinstance(report.failures["everything"], BlockedError)
    assert report.landings
    assert len(report.landings) < 60


def test_a_programming_error_is_not_reported_as_a_venue_failure(runner: FeedRunner) -> None:
    runner.responses["B"] = ZeroDivisionError("a mistake")
    with pytest.raises(ExceptionGroup) as raised:
        runner.fetch()
    assert raised.group_contains(ZeroDivisionError)
    assert not isinstance(raised.value.exceptions[0], LeverhouseError)


def test_unpublished_data_is_retried_until_it_is_given_up(runner: FeedRunner) -> None:
    runner.responses["B"] = NotYetPublishedError()
    report = runner.fetch()
    assert (report.failures, report.not_yet_published) == ({}, 1)
    assert [x.completeness for x in report.landings] == ["partial"]
    runner.requests()
    runner.fetch()
    assert runner.requests() == []
    runner.now += RECHECK_EVERY
    runner.fetch()
    assert runner.requests() == ["03-05 B"]
    # However long nobody asked, it is asked for once more.
    runner.now = datetime(2024, 3, 6, 1) + GIVE_UP_AFTER
    runner.fetch()
    assert runner.requests() == ["03-05 B"]
    runner.now += RECHECK_EVERY
    runner.fetch()
    assert runner.requests() == []


def test_unpublished_data_is_landed_as_not_yet_published_and_no_rows_as_empty(runner: FeedRunner) -> None:
    async def no_pages(api: Api, job: Job) -> AsyncIterator[Page]:
        return
        yield

    runner.responses = {"A": NotYetPublishedError()}
    assert [x.completeness for x in runner.fetch().landings] == ["not_yet_published"]
    empty = replace(runner.feed, fetch=no_pages)
    runner.feed = empty
    assert [x.completeness for x in runner.fetch(date(2024, 3, 4)).landings] == ["empty"]


def test_a_feed_may_yield_its_held_pages(runner: FeedRunner) -> None:
    runner.fetch()
    seen: list[tuple[str, list[bytes]]] = []

    async def yield_held(api: Api, job: Job) -> AsyncIterator[Page]:
        held = list(job.held())
        seen.append((job.subject, [page.body for page in held]))
        for page in held:
            yield page

    runner.feed = replace(runner.feed, fetch=yield_held)
    assert runner.fetch(again=True).unchanged == 1
    assert sorted(seen) == [("A", [b"first of two", b"[1]"]), ("B", [b"first of two", b"[2]"])]


def test_a_fetch_reports_progress(runner: FeedRunner) -> None:
    reported: list[tuple[int, int]] = []
    partitions = plan_days(runner.feed, date(2024, 3, 1), date(2024, 3, 3), now=NOON, landed=[])
    plan: Mapping[str, Job] = {}
    asyncio.run(
        fetch_feed(
            runner.store, runner.venue, runner.feed, UnusedApi(), partitions=partitions, jobs=lambda span: plan, now=NOON,
            reader=ReadsAll(),
            progress=lambda what, done, of: reported.append((done, of)),
        )
    )  # fmt: skip
    assert reported == [(1, 3), (2, 3), (3, 3)]
