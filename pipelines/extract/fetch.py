"""Fetching: which parts of a feed's history are missing or may have changed, and bringing them into the landing.

One landing holds what one feed says of one span (a UTC day, days in a row, a past month, an hour's capture), for all its
subjects. What is landed and final is not asked for again; what failed is named and asked for next time. No parsing, no
database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from pipelines.core.errors import BlockedError, LeverhouseError
from pipelines.core.progress import Progress, no_progress
from pipelines.extract import fetch_log
from pipelines.extract.landing import Clock, Completeness, Landing, LandingStore, PackDraft, utc_now
from pipelines.extract.pack import Pack
from pipelines.extract.venue import Api, Capture, Daily, Feed, Job, NotYetPublishedError, Outcome, Page, Span, Venue

EVERYTHING: Final = "all"
"""The part of a partition that a daily feed's pack is."""

RECHECK_EVERY: Final = timedelta(hours=6)
"""Within recheck_days, a landed day is not asked for again sooner than this."""

GIVE_UP_AFTER: Final = timedelta(days=30)
"""What is not published this long after its span is taken for never published; it is fetched again only on request."""

PARTITIONS_AT_ONCE: Final = 16

WRITTEN_ASIDE: Final = 1 << 20
"""Bytes of answers from which on they are compressed and written in a thread."""

Result = TypeVar("Result")
Plan = Mapping[str, Job]
JobsOf = Callable[[Span], Plan]
"""The jobs of a span by subject: which instruments there were then."""


@dataclass(frozen=True)
class Partition:
    """One landing to be: `name` is its partition in the landing, `part` its part, `span` is the history it holds."""

    name: str
    part: str
    span: Span


@dataclass(frozen=True)
class FetchReport:
    """What one fetch of a feed did.

    `landings` are new versions, `unchanged` counts partitions that were asked for again and had not changed, `skipped` those
    that were final already. `failures` name what could not be had, by "<partition> <subject>". `forgotten` are days that
    were wanted and that the venue no longer has.
    """

    source: str
    landings: tuple[Landing, ...] = ()
    unchanged: int = 0
    skipped: int = 0
    not_yet_published: int = 0
    failures: Mapping[str, LeverhouseError] = field(default_factory=dict)
    forgotten: tuple[date, ...] = ()

    def raise_failures(self) -> None:
        """Raise the first failure, with the number of the others. Nothing that was had is lost by it."""
        for where, error in self.failures.items():
            others = f" ({len(self.failures) - 1} more failed)" if len(self.failures) > 1 else ""
            kind = type(error)
            raise kind(f"{self.source}: {where}: {error}{others} What was received is landed.") from error


def plan_days(feed: Feed, first: date, last: date, *, now: datetime, landed: Iterable[str]) -> list[Partition]:
    """The partitions that hold the published days from `first` through `last`, old to new.

    `landed` are the partitions the feed has already: a month that was begun by days is finished by days.
    """
    known = set(landed)
    final = now - feed.published_after
    first = max(first, feed.retention.since)
    last = last if feed.retention.until is None else min(last, feed.retention.until)
    days = (
        [day for day in Span.of_days(first, last).days if Span.of_days(day, day).end <= final] if last >= first else []
    )
    if feed.retention.days is not None:
        days = [day for day in days if day >= (now - timedelta(days=feed.retention.days)).date()]
    if feed.partitioning.most_days is not None:
        return _plan_runs(feed, days, final, known, feed.partitioning.most_days)
    by_month: dict[str, list[date]] = {}
    for day in days:
        by_month.setdefault(f"{day:%Y-%m}", []).append(day)
    partitions: list[Partition] = []
    for month, mine in by_month.items():
        if feed.partitioning.months == "only":
            if _month(mine[0]).end <= final:
                partitions.append(Partition(month, EVERYTHING, _month(mine[0])))
            continue
        whole = Span.of_days(mine[0], mine[-1])
        is_whole = mine[0].day == 1 and (mine[-1] + timedelta(days=1)).day == 1
        is_settled = whole.end + feed.recheck_after <= final
        begun = any(f"{day:%Y-%m-%d}" in known for day in mine)
        if feed.partitioning.months == "past" and (month in known or (is_whole and is_settled and not begun)):
            partitions.append(Partition(month, EVERYTHING, _month(mine[0])))
        else:
            partitions += [Partition(f"{day:%Y-%m-%d}", EVERYTHING, Span.of_days(day, day)) for day in mine]
    return partitions


def _plan_runs(feed: Feed, days: Sequence[date], final: datetime, known: Iterable[str], most: int) -> list[Partition]:
    """Days in a row as one partition of at most `most`, named by the first and the last. What is landed keeps its bounds, so that
    it is found again; days that may still be restated stay single."""
    held = {day: partition for partition in sorted(known) for day in _days_named(partition)}
    runs: list[list[date]] = []
    joined: set[date] = set()
    names: dict[str, None] = {}
    for day in days:
        if day in held:
            names[held[day]] = None
            continue
        settled = Span.of_days(day, day).end + feed.recheck_after <= final
        follows = settled and day - timedelta(days=1) in joined and len(runs[-1]) < most
        if follows:
            runs[-1].append(day)
        else:
            runs.append([day])
        if settled:
            joined.add(day)
    names |= {f"{run[0]}" if len(run) == 1 else f"{run[0]}_{run[-1]}": None for run in runs}
    partitions = [Partition(name, EVERYTHING, Span.of_days(*_bounds_named(name))) for name in names]
    return sorted(partitions, key=lambda partition: partition.span.start)


def _days_named(partition: str) -> list[date]:
    return Span.of_days(*_bounds_named(partition)).days


def _bounds_named(partition: str) -> tuple[date, date]:
    """First and last day of a partition: a day, a month, or a run of days."""
    first, _, last = partition.partition("_")
    if len(first) == len("2024-01"):
        days = _month(date.fromisoformat(f"{first}-01")).days
        return days[0], days[-1]
    return date.fromisoformat(first), date.fromisoformat(last or first)


def plan_capture(feed: Feed, *, now: datetime) -> list[Partition]:
    """The capture of the present slot: an hour, or as many as its cadence says. None of a feed that is fetched by day."""
    if not isinstance(feed.cadence, Capture):
        return []
    length = timedelta(hours=feed.cadence.every_hours)
    slot = now.replace(minute=0, second=0, microsecond=0)
    slot -= timedelta(hours=slot.hour % feed.cadence.every_hours)
    return [Partition(f"{slot:%Y-%m-%d}", f"{slot:%H%M}", Span(slot, slot + length))]


async def fetch_feed(
    store: LandingStore,
    venue: Venue,
    feed: Feed,
    api: Api,
    *,
    partitions: Sequence[Partition],
    jobs: JobsOf,
    now: datetime,
    again: bool = False,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> FetchReport:
    """Bring every one of `partitions` that is missing, incomplete or not final yet into the landing.

    `again` asks for everything again, final or not. A subject that fails leaves the others as they are; a venue that
    blocks us ends the fetch, after landing what was had. Failures are in the report and not raised.
    """
    run = _Run(store, venue, feed, api, jobs, now, again, clock, progress, of=len(partitions))
    try:
        async with asyncio.TaskGroup() as group:
            for partition in partitions:
                group.create_task(run.fetch_partition(partition))
    except* BlockedError as blocked:
        run.failures["everything"] = _first(blocked)
    return FetchReport(
        source=venue.source(feed),
        landings=tuple(sorted(run.landings, key=lambda x: (x.partition, x.part))),
        unchanged=run.unchanged,
        skipped=run.skipped,
        not_yet_published=run.not_yet_published,
        failures=dict(sorted(run.failures.items())),
    )


@dataclass
class _Writer:
    """Pages on their way into a pack."""

    draft: PackDraft
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def add(self, pages: Collection[Page]) -> None:
        """Write the pages of one subject.

        Small ones at once: 45 us a page, and a thread that is given them takes three times as long over taking turns with
        the one that waits for answers.
        """
        async with self.turn:
            if sum(len(page.body) for page in pages) < WRITTEN_ASIDE:
                self._write(pages)
            else:
                await _aside(partial(self._write, pages))

    def _write(self, pages: Iterable[Page]) -> None:
        for page in pages:
            self.draft.add(page)


@dataclass
class _Run:
    store: LandingStore
    venue: Venue
    feed: Feed
    api: Api
    jobs: JobsOf
    now: datetime
    again: bool
    clock: Clock
    progress: Progress
    of: int
    landings: list[Landing] = field(default_factory=list)
    failures: dict[str, LeverhouseError] = field(default_factory=dict)
    unchanged: int = 0
    skipped: int = 0
    not_yet_published: int = 0
    done: int = 0

    def __post_init__(self) -> None:
        self.source = self.venue.source(self.feed)
        self.partition_turns = asyncio.Semaphore(PARTITIONS_AT_ONCE)
        self.job_turns = asyncio.Semaphore(self.venue.concurrency)

    async def fetch_partition(self, partition: Partition) -> None:
        """Ask for what is due of one partition and land it."""
        async with self.partition_turns:
            plan = self.jobs(partition.span)
            held = self.store.newest(self.source, partition.name, partition.part)
            due = self._due(plan, held, partition.span)
            if due:
                await self._fetch(partition, plan, due, held)
            else:
                self.skipped += 1
            self.done += 1
            self.progress(f"{self.source}: {partition.name}", self.done, self.of)

    def _due(self, plan: Plan, held: Landing | None, span: Span) -> set[str]:
        if held is None or self.again:
            return set(plan)
        covers: Mapping[str, Outcome] = held.request.get("covers", {})
        checked = self.store.checked_at(held)
        waiting = self.now < span.end + self.feed.published_after + GIVE_UP_AFTER
        settled = checked >= span.end + self.feed.published_after + self.feed.recheck_after
        if isinstance(self.feed.cadence, Daily) and not settled and self.now - checked >= RECHECK_EVERY:
            return set(plan)
        unpublished = {name for name, outcome in covers.items() if outcome == "not_yet_published" and waiting}
        rested = self.now - checked >= RECHECK_EVERY
        return {name for name in plan if name not in covers or (name in unpublished and rested)}

    async def _fetch(self, partition: Partition, plan: Plan, due: set[str], held: Landing | None) -> None:
        identity = (self.source, partition.name, partition.part)
        with self.store.draft(*identity, ignored_in_digest=self.venue.ignored_in_digest) as draft:
            covers: dict[str, Outcome] = {}
            if held is not None:
                kept = {s: o for s, o in held.request.get("covers", {}).items() if s not in due}
                for page in Pack(held.path).pages(kept):
                    draft.add(page)
                covers |= kept
            writer = _Writer(draft)
            blocked: BlockedError | None = None
            fetched: dict[str, Outcome] = {}
            outcomes = await asyncio.gather(
                *(self._job(partition, _with_held(plan[name], held), writer) for name in sorted(due)),
                return_exceptions=True,
            )
            for name, outcome in zip(sorted(due), outcomes, strict=True):
                if isinstance(outcome, LeverhouseError):
                    self.failures[f"{partition.name} {name}"] = outcome
                    problem, lost = fetch_log.problem_of(outcome), fetch_log.Subject(self.source, partition.name, name)
                    fetch_log.record(problem, str(outcome), effect="given_up", subject=lost)
                    blocked = outcome if isinstance(outcome, BlockedError) else blocked
                elif isinstance(outcome, BaseException):
                    raise outcome
                else:
                    fetched[name] = outcome
            if fetched:
                await self._land(partition, writer, covers | fetched, len(plan), held)
        if blocked is not None:
            raise blocked

    async def _job(self, partition: Partition, job: Job, writer: _Writer) -> Outcome:
        """Fetch one subject. Its pages are written only when all of them are there, so that a landing never holds half."""
        fetch_log.set_context(fetch_log.Subject(self.source, partition.name, job.subject))
        async with self.job_turns:
            try:
                pages = []
                async for page in self.feed.fetch(self.api, job):
                    # What pages are linked by was read before they came here.
                    page.clear_cache()
                    pages.append(page)
            except NotYetPublishedError:
                self.not_yet_published += 1
                return "not_yet_published"
            await writer.add(pages)
            return "complete" if pages else "empty"

    async def _land(
        self, partition: Partition, writer: _Writer, covers: Mapping[str, Outcome], wanted: int, held: Landing | None
    ) -> None:
        request: dict[str, Any] = {
            "span": [partition.span.start.isoformat(), partition.span.end.isoformat()],
            "covers": dict(sorted(covers.items())),
        }
        now = self.clock()
        landing = await _aside(
            partial(
                writer.draft.land,
                completeness=_completeness(covers, wanted),
                request=request,
                original_name=f"{self.source} {partition.name} {partition.part}.zip",
                clock=lambda: now,
            )
        )
        if held is not None and landing.landing_id == held.landing_id:
            self.unchanged += 1
        else:
            self.landings.append(landing)


def span_of(landing: Landing) -> Span:
    """The history a fetched landing holds."""
    start, end = landing.request["span"]
    return Span(datetime.fromisoformat(start), datetime.fromisoformat(end))


def _completeness(covers: Mapping[str, Outcome], wanted: int) -> Completeness:
    outcomes = set(covers.values())
    if outcomes == {"not_yet_published"}:
        return "not_yet_published"
    if len(covers) < wanted or "not_yet_published" in outcomes:
        return "partial"
    return "empty" if outcomes == {"empty"} else "complete"


def _with_held(job: Job, held: Landing | None) -> Job:
    return job if held is None else replace(job, held=partial(Pack(held.path).pages, (job.subject,)))


async def _aside(work: Callable[[], Result]) -> Result:
    """`work` done in a thread: compressing and syncing must not hold up those who wait for answers.

    A cancelled fetch waits for it all the same: a thread cannot be stopped, and the files it writes are about to be removed.
    """
    task = asyncio.create_task(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


def _month(day: date) -> Span:
    first = day.replace(day=1)
    after = (first + timedelta(days=32)).replace(day=1)
    return Span.of_days(first, after - timedelta(days=1))


def _first(group: BaseExceptionGroup[BlockedError]) -> BlockedError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
