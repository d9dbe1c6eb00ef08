"""Planning and resuming: which days are asked for, when again, and what stays of a fetch that failed half-way."""

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

from pipelines.core.errors import BlockedError, LeverhouseError, VenueUnavailableError
from pipelines.extract.fetch import (
    GIVE_UP_AFTER,
    RECHECK_EVERY,
    WRITTEN_ASIDE,
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


# Which days


def test_a_day_is_asked_for_once_it_is_over_and_published() -> None:
    slow = replace(DAILY, cadence=Daily(published_after=timedelta(hours=13)))
    assert planned(DAILY, date(2024, 3, 8), date(2024, 3, 12)) == ["2024-03-08", "2024-03-09"]
    assert planned(slow, date(2024, 3, 8), date(2024, 3, 12)) == ["2024-03-08"]
    assert planned(slow, date(2024, 3, 8), date(2024, 3, 12), now=NOON + timedelta(hours=1)) == [
        "2024-03-08", "2024-03-09",
    ]  # fmt: skip


def test_days_before_the_first_and_after_the_last_of_a_feed_are_not_asked_for() -> None:
    ended = replace(DAILY, retention=Retention(since=date(2024, 2, 2), until=date(2024, 2, 3)))
    assert planned(ended, date(2024, 1, 1), date(2024, 3, 1)) == ["2024-02-02", "2024-02-03"]
    assert planned(ended, date(2023, 1, 1), date(2023, 3, 1)) == []
    assert planned(ended, date(2024, 2, 4), date(2024, 3, 1)) == []


def test_what_a_venue_has_forgotten_is_not_asked_for() -> None:
    short = replace(DAILY, retention=Retention(since=date(2024, 1, 1), days=2))
    assert planned(short, date(2024, 1, 1), date(2024, 3, 10)) == ["2024-03-08", "2024-03-09"]


def test_a_past_month_that_can_no_longer_change_is_asked_for_as_one() -> None:
    partitions = plan_days(MONTHLY, date(2024, 1, 30), date(2024, 3, 2), now=NOON, landed=[])
    assert [partition.name for partition in partitions] == [
        "2024-01-30", "2024-01-31", "2024-02", "2024-03-01", "2024-03-02",
    ]  # fmt: skip
    assert partitions[2].span == Span(datetime(2024, 2, 1), datetime(2024, 3, 1))
    # February may be restated until 11 March where a feed says so.
    restated = replace(MONTHLY, cadence=Daily(recheck_days=10))
    assert len(planned(restated, date(2024, 2, 1), date(2024, 2, 29))) == 29


def test_a_month_that_was_begun_by_days_is_finished_by_days() -> None:
    february = (date(2024, 2, 1), date(2024, 2, 29))
    assert planned(MONTHLY, *february) == ["2024-02"]
    assert len(planned(MONTHLY, *february, landed=["2024-02-14"])) == 29
    assert planned(MONTHLY, date(2024, 2, 5), date(2024, 2, 6), landed=["2024-02"]) == ["2024-02"]


def test_where_there_are_only_files_of_months_a_month_is_waited_for() -> None:
    months = replace(MONTHLY, partitioning=Partitioning(months="only"))
    assert planned(months, date(2024, 2, 5), date(2024, 3, 9)) == ["2024-02"]
    assert planned(months, date(2024, 2, 5), date(2024, 2, 6), now=datetime(2024, 2, 29)) == []


def test_days_in_a_row_are_asked_for_as_one_where_requests_are_counted() -> None:
    runs = replace(DAILY, partitioning=Partitioning(most_days=31), cadence=Daily(recheck_days=0))
    assert planned(runs, date(2024, 1, 20), date(2024, 3, 9)) == ["2024-01-20_2024-02-19", "2024-02-20_2024-03-09"]
    [partition] = plan_days(runs, date(2024, 2, 28), date(2024, 3, 1), now=NOON, landed=[])
    assert partition == Partition("2024-02-28_2024-03-01", "all", Span(datetime(2024, 2, 28), datetime(2024, 3, 2)))
    assert planned(runs, date(2024, 3, 9), date(2024, 3, 9)) == ["2024-03-09"]
    # The last two days may be restated, each for itself.
    restated = replace(runs, cadence=Daily(recheck_days=2))
    assert planned(restated, date(2024, 3, 4), date(2024, 3, 9)) == [
        "2024-03-04_2024-03-07", "2024-03-08", "2024-03-09",
    ]  # fmt: skip


def test_what_is_landed_of_a_run_keeps_its_bounds() -> None:
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
    keeps=st.none() | st.integers(1, 40),
    begun=st.lists(days, max_size=3),
)
def test_every_published_day_is_in_one_partition(
    first: date, last: date, by_month: bool, most: int | None, keeps: int | None, begun: list[date]
) -> None:
    feed = replace(
        DAILY,
        retention=Retention(since=date(2024, 1, 1), days=keeps),
        partitioning=Partitioning(months="past" if by_month else "never", most_days=most),
    )
    partitions = plan_days(feed, first, last, now=NOON, landed=[f"{day:%Y-%m-%d}" for day in begun])
    oldest = max(first, feed.retention.since, NOON.date() - timedelta(days=keeps if keeps is not None else 10_000))
    wanted = [oldest + timedelta(days=n) for n in range((min(last, date(2024, 3, 9)) - oldest).days + 1)]
    assert [day for partition in partitions for day in partition.span.days] == wanted


def test_a_capture_is_of_the_present_hour_or_of_a_slot_of_hours() -> None:
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


# What is asked again


@dataclass
class House:
    """A landing, and a feed whose venue answers as `says` has it: bytes, an error, or that it is not there yet."""

    home: Path
    feed: Feed = DAILY
    now: datetime = NOON
    says: dict[str, bytes | Exception] = field(default_factory=lambda: {"A": b"[1]", "B": b"[2]"})
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        async def fetch(api: Api, job: Job) -> AsyncIterator[Page]:
            self.asked.append(f"{job.span.start:%m-%d} {job.subject}")
            answer = self.says[job.subject]
            for place, body in enumerate((b"first of two", answer)):
                if isinstance(body, Exception):
                    raise body
                if body:
                    yield Page(job.subject, {"path": "/x", "n": place}, 200, self.now, body)

        self.feed = replace(self.feed, fetch=fetch)
        self.venue = Venue(name="v", endpoints={}, limits=(), feeds=(self.feed,))
        self.store = LandingStore(self.home)

    def bring(self, first: date = date(2024, 3, 5), last: date | None = None, *, again: bool = False) -> FetchReport:
        partitions = plan_days(self.feed, first, last or first, now=self.now, landed=[])
        return asyncio.run(
            fetch_feed(
                self.store, self.venue, self.feed, Nobody(), partitions=partitions, now=self.now, again=again,
                jobs=lambda span: {name: Job(name, span) for name in self.says}, clock=lambda: self.now,
            )
        )  # fmt: skip

    def questions(self) -> list[str]:
        asked, self.asked[:] = sorted(self.asked), []
        return asked

    def bodies(self) -> dict[str, list[bytes]]:
        [landing] = self.store.current("v.oi")
        found: dict[str, list[bytes]] = {}
        for page in Pack(landing.path).pages():
            found.setdefault(page.subject, []).append(page.body)
        return found


class Nobody:
    """An Api that a feed of these tests has no need of."""

    endpoints: Collection[str] = ()
    get: Callable[..., Any]
    post: Callable[..., Any]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_what_is_final_is_skipped_and_fetched_again_only_on_request(house: House) -> None:
    report = house.bring()
    assert [(x.partition, x.completeness) for x in report.landings] == [("2024-03-05", "complete")]
    assert house.questions() == ["03-05 A", "03-05 B"]
    assert span_of(report.landings[0]) == Span(datetime(2024, 3, 5), datetime(2024, 3, 6))
    assert (house.bring().skipped, house.questions()) == (1, [])
    assert (house.bring(again=True).unchanged, len(house.questions())) == (1, 2)


def test_a_day_that_may_still_change_is_asked_again_after_a_rest(house: House) -> None:
    yesterday = date(2024, 3, 9)
    house.bring(yesterday)
    house.now += RECHECK_EVERY - timedelta(minutes=1)
    assert house.bring(yesterday).skipped == 1
    house.now += timedelta(minutes=1)
    house.says["A"] = b"[1, 1]"
    [second] = house.bring(yesterday).landings
    assert (second.version, house.bodies()["A"][1]) == (2, b"[1, 1]")
    # Asked a day after its end and an hour, it is final.
    house.now = datetime(2024, 3, 11, 1)
    house.bring(yesterday)
    house.questions()
    house.now += timedelta(days=3)
    assert (house.bring(yesterday).skipped, house.questions()) == (1, [])


def test_a_new_instrument_is_fetched_alone_and_the_others_are_kept(house: House) -> None:
    house.bring()
    house.questions()
    house.says["C"] = b"[3]"
    [second] = house.bring().landings
    assert house.questions() == ["03-05 C"]
    assert second.request["covers"] == {"A": "complete", "B": "complete", "C": "complete"}
    assert house.bodies() == {name: [b"first of two", body] for name, body in house.says.items()}


def test_an_instrument_that_fails_half_way_leaves_nothing_of_itself(house: House) -> None:
    house.says["B"] = VenueUnavailableError("down")
    report = house.bring()
    assert list(report.failures) == ["2024-03-05 B"]
    assert [x.completeness for x in report.landings] == ["partial"]
    assert list(house.bodies()) == ["A"]
    with pytest.raises(VenueUnavailableError, match=r"v\.oi: 2024-03-05 B: down What was received is landed"):
        report.raise_failures()
    house.questions()
    house.says["B"] = b"[2]"
    assert house.bring().failures == {}
    assert house.questions() == ["03-05 B"]
    assert list(house.bodies()) == ["A", "B"]


def test_small_answers_and_large_ones_are_all_kept(house: House) -> None:
    """Large ones are written in a thread while small ones arrive, which are not: they may not get in between."""
    house.says = {f"{n:02d}": f"{n:02d}".encode() * (n % 4 * WRITTEN_ASIDE // 4 + 1) for n in range(24)}
    assert house.bring().failures == {}
    assert house.bodies() == {name: [b"first of two", body] for name, body in house.says.items()}


def test_where_everything_fails_nothing_is_landed(house: House) -> None:
    house.says = {"A": VenueUnavailableError("down")}
    assert (house.bring().landings, house.store.all()) == ((), [])
    assert [path for path in house.home.rglob("*") if path.is_file()] == []


def test_a_block_ends_the_fetch_after_landing_what_was_had(house: House) -> None:
    house.says["B"] = BlockedError("not from here")
    report = house.bring(date(2024, 1, 1), date(2024, 3, 9))
    assert isinstance(report.failures["everything"], BlockedError)
    assert report.landings
    assert len(report.landings) < 60


def test_an_error_of_ours_is_not_taken_for_the_venues(house: House) -> None:
    house.says["B"] = ZeroDivisionError("a mistake")
    with pytest.raises(ExceptionGroup) as raised:
        house.bring()
    assert raised.group_contains(ZeroDivisionError)
    assert not isinstance(raised.value.exceptions[0], LeverhouseError)


def test_what_is_not_published_yet_is_asked_for_until_it_is_given_up(house: House) -> None:
    house.says["B"] = NotYetPublishedError()
    report = house.bring()
    assert (report.failures, report.not_yet_published) == ({}, 1)
    assert [x.completeness for x in report.landings] == ["partial"]
    house.questions()
    house.bring()
    assert house.questions() == []
    house.now += RECHECK_EVERY
    house.bring()
    assert house.questions() == ["03-05 B"]
    house.now = datetime(2024, 3, 6, 1) + GIVE_UP_AFTER
    house.bring()
    assert house.questions() == []


def test_nothing_published_at_all_is_landed_as_that_and_no_rows_as_empty(house: House) -> None:
    async def silence(api: Api, job: Job) -> AsyncIterator[Page]:
        return
        yield

    house.says = {"A": NotYetPublishedError()}
    assert [x.completeness for x in house.bring().landings] == ["not_yet_published"]
    quiet = replace(house.feed, fetch=silence)
    house.feed = quiet
    assert [x.completeness for x in house.bring(date(2024, 3, 4)).landings] == ["empty"]


def test_a_feed_may_hand_on_what_it_held(house: House) -> None:
    house.bring()
    seen: list[tuple[str, list[bytes]]] = []

    async def remember(api: Api, job: Job) -> AsyncIterator[Page]:
        held = list(job.held())
        seen.append((job.subject, [page.body for page in held]))
        for page in held:
            yield page

    house.feed = replace(house.feed, fetch=remember)
    assert house.bring(again=True).unchanged == 1
    assert sorted(seen) == [("A", [b"first of two", b"[1]"]), ("B", [b"first of two", b"[2]"])]


def test_a_fetch_says_how_far_it_is(house: House) -> None:
    said: list[tuple[int, int]] = []
    partitions = plan_days(house.feed, date(2024, 3, 1), date(2024, 3, 3), now=NOON, landed=[])
    plan: Mapping[str, Job] = {}
    asyncio.run(
        fetch_feed(
            house.store, house.venue, house.feed, Nobody(), partitions=partitions, jobs=lambda span: plan, now=NOON,
            progress=lambda what, done, of: said.append((done, of)),
        )
    )  # fmt: skip
    assert said == [(1, 3), (2, 3), (3, 3)]
