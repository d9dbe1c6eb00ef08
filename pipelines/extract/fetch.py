"""Fetching: finds the parts of a feed's history that are missing or may have changed, and lands them.

One landing contains one span of one feed (a UTC day, consecutive days, a past month, an hourly capture), for all its
subjects. A landed, final span is not fetched again; a failure is reported and retried by the next fetch. An answer counts once
its feed's parser has read it (answers.py); one that it cannot read is landed apart, and the next fetch asks again. No database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Final

from pipelines.core.errors import BlockedError, ClockError, DeadVenueError, LeverhouseError, NoLongerAvailableError
from pipelines.core.progress import Progress, no_progress
from pipelines.extract import fetch_log
from pipelines.extract.answers import (
    Answers,
    HeardApi,
    MisreadError,
    UnreadableParts,
    in_thread,
    is_about_answer,
    misread,
    note_unreadable,
)
from pipelines.extract.landing import Clock, Completeness, Landing, LandingStore, PackDraft, utc_now
from pipelines.extract.liveness import STATE, cause_of_death
from pipelines.extract.pack import Pack
from pipelines.extract.venue import (
    ANSWERED,
    Api,
    Capture,
    Daily,
    Feed,
    Job,
    NotYetPublishedError,
    Outcome,
    Page,
    Reader,
    Span,
    Venue,
)

EVERYTHING: Final = "all"
"""Part name of a daily feed's pack."""

RECHECK_EVERY: Final = timedelta(hours=6)
"""Minimum time between two fetches of a landed day within recheck_days."""

GIVE_UP_AFTER: Final = timedelta(days=30)
"""Data that a venue had not published this long after its span, when it was last asked, counts as never published and is fetched
again only on request."""

DAYS_COUNTED: Final = "days_counted"
"""Key in the manifest of landings whose feed told missing days (Feed.lacks)."""

PARTITIONS_AT_ONCE: Final = 16

KEPT_PARSED_BYTES: Final = 256 << 10
"""Pages of one subject whose parsed JSON is kept until they are read; that of more takes too much memory."""

Plan = Mapping[str, Job]
JobsOf = Callable[[Span], Plan]
"""The jobs of a span by subject: the instruments listed in it."""


@dataclass(frozen=True)
class Partition:
    """A landing to fetch: `name` is its partition in the landing, `part` its part, `span` the history it contains."""

    name: str
    part: str
    span: Span


@dataclass(frozen=True)
class FetchReport:
    """Result of one fetch of a feed.

    `landings` are new versions, `unchanged` counts partitions that were fetched again and had not changed, `skipped` those
    that were already final. `gone` are the days, by subject, that the venue does not keep any more. `failures` are the errors
    by "<partition> <subject>"; what was received and could not be read is one of them, and lies in `unreadable`.
    """

    source: str
    landings: tuple[Landing, ...] = ()
    unreadable: tuple[Landing, ...] = ()
    unchanged: int = 0
    skipped: int = 0
    not_yet_published: int = 0
    gone: Mapping[str, tuple[date, date]] = field(default_factory=dict)
    failures: Mapping[str, LeverhouseError] = field(default_factory=dict)

    def raise_failures(self) -> None:
        """Raise the first failure, with the number of the others. What was fetched is already landed."""
        for where, error in self.failures.items():
            others = f" ({len(self.failures) - 1} more failed)" if len(self.failures) > 1 else ""
            kind = type(error)
            raise kind(f"{self.source}: {where}: {error}{others} Everything else was landed.") from error


def forgotten_days(feed: Feed, first: date, last: date, *, now: datetime, landed: Iterable[str]) -> list[date]:
    """The days from `first` through `last` that the venue does not keep any more, by its declared retention, and that no partition
    of `landed` has: plan_days leaves them out. Nothing before the feed begins is among them."""
    kept = feed.retention.days
    if kept is None or feed.partitioning.months == "only":
        return []
    first = max(first, feed.retention.since)
    last = min(last, (now - timedelta(days=kept)).date() - timedelta(days=1))
    held = {day for partition in landed for day in days_of(partition)}
    return [day for day in (Span.of_days(first, last).days if first <= last else ()) if day not in held]


def plan_days(
    feed: Feed, first: date, last: date, *, now: datetime, landed: Iterable[str], again: bool = False
) -> list[Partition]:
    """The partitions with the published days from `first` through `last`, oldest first.

    `landed` are the feed's existing partitions: a month with landed days is completed day by day, and asked for `again` day by
    day unless all of it is.
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
    for month, month_days in by_month.items():
        if feed.partitioning.months == "only":
            if _month(month_days[0]).end <= final:
                partitions.append(Partition(month, EVERYTHING, _month(month_days[0])))
            continue
        whole = Span.of_days(month_days[0], month_days[-1])
        is_whole = month_days[0].day == 1 and (month_days[-1] + timedelta(days=1)).day == 1
        is_settled = whole.end + feed.recheck_after <= final
        has_days = any(f"{day:%Y-%m-%d}" in known for day in month_days)
        is_month = is_whole and is_settled and not has_days
        if feed.partitioning.months == "past" and ((month in known and (is_whole or not again)) or is_month):
            partitions.append(Partition(month, EVERYTHING, _month(month_days[0])))
        else:
            partitions += [Partition(f"{day:%Y-%m-%d}", EVERYTHING, Span.of_days(day, day)) for day in month_days]
    return partitions


def _plan_runs(feed: Feed, days: Sequence[date], final: datetime, known: Iterable[str], most: int) -> list[Partition]:
    """Consecutive days as partitions of at most `most` days, named by first and last day. Landed partitions keep their bounds,
    so that they are found again; days that may still be restated are partitions of one day."""
    held = {day: partition for partition in sorted(known) for day in days_of(partition)}
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
    partitions = [Partition(name, EVERYTHING, Span.of_days(*_bounds_of(name))) for name in names]
    return sorted(partitions, key=lambda partition: partition.span.start)


def days_of(partition: str) -> list[date]:
    """The days of a partition of a daily feed, by its name."""
    return Span.of_days(*_bounds_of(partition)).days


def _bounds_of(partition: str) -> tuple[date, date]:
    """First and last day of a partition: a day, a month, or a range of days."""
    first, _, last = partition.partition("_")
    if len(first) == len("2024-01"):
        days = _month(date.fromisoformat(f"{first}-01")).days
        return days[0], days[-1]
    return date.fromisoformat(first), date.fromisoformat(last or first)


def plan_capture(feed: Feed, *, now: datetime) -> list[Partition]:
    """The capture of the current slot, as long as the feed's cadence; empty for a daily feed."""
    if not isinstance(feed.cadence, Capture):
        return []
    length = timedelta(hours=feed.cadence.every_hours)
    slot = now.replace(minute=0, second=0, microsecond=0)
    slot -= timedelta(hours=slot.hour % feed.cadence.every_hours)
    return [Partition(f"{slot:%Y-%m-%d}", f"{slot:%H%M}", Span(slot, slot + length))]


def is_settled(feed: Feed, span: Span, *, checked: datetime) -> bool:
    """Whether a span that was last fetched at `checked` is final: the venue no longer restates it by then."""
    return not isinstance(feed.cadence, Daily) or checked >= span.end + feed.published_after + feed.recheck_after


def is_awaited(feed: Feed, span: Span, *, at: datetime) -> bool:
    """Whether what a venue had not published of a span `at` an instant may still have come after it."""
    return at < span.end + feed.published_after + GIVE_UP_AFTER


def subjects_to_ask(
    feed: Feed, wanted: Collection[str], span: Span, *, covers: Mapping[str, Outcome], checked: datetime, now: datetime
) -> set[str]:
    """The subjects of a landed span that are fetched (again): all of them while the span may be restated, else those that the
    landing lacks, and those that may still be published. Asks for nothing twice within RECHECK_EVERY."""
    may_recheck = now - checked >= RECHECK_EVERY
    if not is_settled(feed, span, checked=checked) and may_recheck:
        return set(wanted)
    again = {
        "not_yet_published": is_awaited(feed, span, at=checked) and may_recheck,
        "partial": may_recheck or not is_awaited(feed, span, at=now),
    }
    return {name for name in wanted if name not in covers or again.get(covers[name], False)}


async def fetch_feed(
    store: LandingStore,
    venue: Venue,
    feed: Feed,
    api: Api,
    *,
    partitions: Sequence[Partition],
    jobs: JobsOf,
    reader: Reader,
    now: datetime,
    again: bool = False,
    clock: Clock = utc_now,
    checked: Clock | None = None,
    progress: Progress = no_progress,
) -> FetchReport:
    """Fetch and land every one of `partitions` that is missing, incomplete or not final.

    `again` fetches all of them, final or not. A failed subject does not affect the others; BlockedError and ClockError end the
    fetch after landing what was received. `checked` is the time by the earlier of our clock and the venue's. Failures are
    in the report, not raised.
    """
    heard = api if isinstance(api, HeardApi) else HeardApi(api)
    run = _Run(
        store, venue, feed, heard, jobs, reader, now, again, clock, checked or clock, progress, of=len(partitions)
    )
    try:
        async with asyncio.TaskGroup() as group:
            # Newest first: what is older than a refused span is known to be gone without asking.
            for partition in reversed(partitions):
                group.create_task(run.fetch_partition(partition))
    except* (BlockedError, ClockError) as blocked:
        run.failures["everything"] = _first(blocked)
    return FetchReport(
        source=venue.source(feed),
        landings=tuple(sorted(run.landings, key=lambda x: (x.partition, x.part))),
        unreadable=tuple(sorted(run.unreadable, key=lambda x: (x.partition, x.part))),
        unchanged=run.unchanged,
        skipped=run.skipped,
        not_yet_published=run.not_yet_published,
        gone=dict(sorted(run.gone.items())),
        failures=dict(sorted(run.failures.items())),
    )


@dataclass
class _Run:
    store: LandingStore
    venue: Venue
    feed: Feed
    api: HeardApi
    jobs: JobsOf
    reader: Reader
    now: datetime
    again: bool
    clock: Clock
    checked: Clock
    progress: Progress
    of: int
    landings: list[Landing] = field(default_factory=list)
    unreadable: list[Landing] = field(default_factory=list)
    failures: dict[str, LeverhouseError] = field(default_factory=dict)
    unchanged: int = 0
    skipped: int = 0
    not_yet_published: int = 0
    gone: dict[str, tuple[date, date]] = field(default_factory=dict)
    edges: dict[str, datetime] = field(default_factory=dict)
    """By subject, the instant before which the venue keeps nothing, as learned in this run."""
    done: int = 0

    def __post_init__(self) -> None:
        self.source = self.venue.source(self.feed)
        self.partition_slots = asyncio.Semaphore(PARTITIONS_AT_ONCE)
        self.job_slots = asyncio.Semaphore(self.venue.concurrency)

    async def fetch_partition(self, partition: Partition) -> None:
        """Fetch the due subjects of one partition and land them."""
        async with self.partition_slots:
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
        # What was landed before its feed could tell missing days is asked for once more.
        if held is None or self.again or (self.feed.lacks is not None and DAYS_COUNTED not in held.request):
            return set(plan)
        covers: Mapping[str, Outcome] = held.request.get("covers", {})
        due = subjects_to_ask(self.feed, plan, span, covers=covers, checked=self.store.checked_at(held), now=self.now)
        return due | (set(held.request.get("unchecked", ())) & set(plan))

    async def _fetch(self, partition: Partition, plan: Plan, due: set[str], held: Landing | None) -> None:
        identity = (self.source, partition.name, partition.part)
        fetch_log.record_question(*identity, partition.span, due)
        with self.store.draft(*identity, ignored_in_digest=self.venue.ignored_in_digest) as draft:
            covers: dict[str, Outcome] = {}
            if held is not None:
                kept = {s: o for s, o in held.request.get("covers", {}).items() if s not in due}
                for page in Pack(held.path).pages(kept):
                    draft.add(page)
                covers |= kept
            answers = Answers(self.reader, partition.span, self.clock, draft)
            blocked: BlockedError | ClockError | None = None
            fetched: dict[str, Outcome] = {}
            outcomes = await asyncio.gather(
                *(self._job(partition, _with_held_pages(plan[name], held), answers) for name in sorted(due)),
                return_exceptions=True,
            )
            await answers.finish()
            for name, outcome in zip(sorted(due), outcomes, strict=True):
                subject = fetch_log.Subject(self.source, partition.name, name)
                if isinstance(outcome, MisreadError):
                    answers.unreadable[name] = (outcome.pages, outcome.reason)
                elif isinstance(outcome, LeverhouseError):
                    self.failures[f"{partition.name} {name}"] = outcome
                    why = fetch_log.reason_of(outcome)
                    fetch_log.record(
                        fetch_log.problem_of(outcome), str(outcome), effect="given_up", subject=subject, reason=why
                    )
                    blocked = outcome if isinstance(outcome, BlockedError | ClockError) else blocked
                elif isinstance(outcome, BaseException):
                    raise outcome
                elif name not in answers.unreadable:
                    fetched[name] = outcome
                if name in answers.unreadable:
                    reason = answers.unreadable[name][1]
                    self.failures[f"{partition.name} {name}"] = reason
                    note_unreadable(subject, reason)
            if fetched and set(fetched) == set(plan):
                fetched = self._of_the_living(partition, fetched)
            # What the venue does not keep any more stands as it was read while it did.
            forgotten = _answered_before(held, {name for name, outcome in fetched.items() if outcome == "gone"})
            if set(fetched) - set(forgotten):
                lost = due - set(fetched)
                # What was read before stands, and is asked for again.
                standing = lost | set(forgotten)
                for page in Pack(held.path).pages(standing) if held is not None and standing else ():
                    draft.add(page)
                unchecked = _answered_before(held, lost)
                known = covers | fetched | forgotten | unchecked
                await self._land(partition, draft, known, len(plan), held, sorted(unchecked))
        parts = UnreadableParts(self.store, self.venue, self.source, self.reader, self.clock)
        unreadable = await in_thread(
            partial(
                parts.settle, partition.name, partition.part, partition.span,
                unreadable=answers.unreadable, read=fetched,
            )
        )  # fmt: skip
        if unreadable is not None:
            self.unreadable.append(unreadable)
        if blocked is not None:
            raise blocked

    def _of_the_living(self, partition: Partition, fetched: dict[str, Outcome]) -> dict[str, Outcome]:
        """`fetched`; nothing of it, and failures, if the answers show that the venue is dead."""
        if not set(fetched.values()) <= ANSWERED:
            return fetched
        # What a feed calls empty, without an answer that is landed, its venue said of the subject itself.
        answered = [name for name, outcome in fetched.items() if outcome == "complete"]
        pulse = self.reader.pulse(partition.span)
        cause = cause_of_death(self.store, self.source, self.feed, partition.span, answered, pulse, now=self.now)
        if cause is None:
            return fetched
        error = DeadVenueError(
            f"{self.source}: {cause}. The host answers but is dead: nothing of it is landed. Look whether the venue has moved "
            "or closed."
        )
        for name in fetched:
            self.failures[f"{partition.name} {name}"] = error
            subject = fetch_log.Subject(self.source, partition.name, name)
            why = fetch_log.reason_of(error)
            fetch_log.record(fetch_log.problem_of(error), str(error), effect="given_up", subject=subject, reason=why)
        return {}

    async def _job(self, partition: Partition, job: Job, answers: Answers) -> Outcome:
        """Fetch one subject. Its pages are written once all have been received and read, so that a subject is landed whole or not
        at all. Raises MisreadError if its fetch failed on what was received."""
        fetch_log.set_context(fetch_log.Subject(self.source, partition.name, job.subject))
        async with self.job_slots:
            try:
                pages = await self._kept_pages(job)
            except NotYetPublishedError:
                self.not_yet_published += 1
                return "not_yet_published"
            except NoLongerAvailableError:
                return "gone"
            await answers.add(job.subject, pages)
            if self.feed.lacks is not None and self.feed.lacks(pages, job):
                return "partial"
            return "complete" if pages else "empty"

    async def _kept_pages(self, job: Job) -> list[Page]:
        """The pages of the job's days that the venue still keeps. Raises NoLongerAvailableError if it keeps none of them."""
        edge = self.edges.get(job.subject, job.span.start)
        if edge >= job.span.end:
            self._note_gone(job, job.span.end)
            raise NoLongerAvailableError(f"{self.source}: nothing before {edge:%Y-%m-%d} is kept.")
        try:
            return await self._pages(job)
        except NoLongerAvailableError as error:
            refused = error
        # The first kept day is between two bounds; every span that starts before it is refused.
        days = job.span.days if isinstance(self.feed.cadence, Daily) else job.span.days[:1]
        low, high = 1, len(days)
        kept: list[Page] | None = None
        while low < high:
            middle = (low + high) // 2
            start = datetime(days[middle].year, days[middle].month, days[middle].day)
            try:
                kept = await self._pages(replace(job, span=replace(job.span, start=start)))
            except NoLongerAvailableError:
                low = middle + 1
            else:
                high = middle
        ends = job.span.end if kept is None else datetime(days[high].year, days[high].month, days[high].day)
        self._note_gone(job, ends)
        fetch_log.record(fetch_log.problem_of(refused), f"before {ends:%Y-%m-%d}: {refused}", effect="settled")
        if kept is None:
            raise refused
        return kept

    async def _pages(self, job: Job) -> list[Page]:
        pages: list[Page] = []
        self.api.forget()
        size = 0
        try:
            async for page in self.feed.fetch(self.api, job):
                size += len(page.body)
                if size > KEPT_PARSED_BYTES:
                    # The feed has already read the cursor or timestamps it pages by.
                    page.clear_cache()
                pages.append(page)
        # A feed reads bounds and cursors in what the world sends; a panic of polars is no Exception.
        except BaseException as error:
            last = self.api.last
            if last is None or not is_about_answer(error):
                raise
            raise misread(error, pages, last) from error
        return pages

    def _note_gone(self, job: Job, end: datetime) -> None:
        """The venue keeps nothing of the job's subject from the job's start to `end`, nor before."""
        self.edges[job.subject] = max(end, self.edges.get(job.subject, end))
        last = (end - timedelta(microseconds=1)).date()
        first = job.span.start.date()
        before = self.gone.get(job.subject, (first, last))
        self.gone[job.subject] = (min(first, before[0]), max(last, before[1]))

    async def _land(
        self,
        partition: Partition,
        draft: PackDraft,
        covers: Mapping[str, Outcome],
        wanted: int,
        held: Landing | None,
        unchecked: Sequence[str],
    ) -> None:
        request: dict[str, Any] = {
            "span": [partition.span.start.isoformat(), partition.span.end.isoformat()],
            "covers": dict(sorted(covers.items())),
        } | ({DAYS_COUNTED: True} if self.feed.lacks is not None else {})
        if unchecked:
            request["unchecked"] = list(unchecked)
        if isinstance(self.feed.cadence, Capture) and (pulse := self.reader.pulse(partition.span)) is not None:
            request[STATE] = pulse.digest
        now, checked_at = self.clock(), self.checked()
        landing = await in_thread(
            partial(
                draft.land,
                completeness=_completeness(covers, wanted),
                request=request,
                original_name=f"{self.source} {partition.name} {partition.part}.zip",
                clock=lambda: now,
                checked_at=checked_at,
            )
        )
        if held is not None and landing.landing_id == held.landing_id:
            self.unchanged += 1
        else:
            self.landings.append(landing)


def span_of(landing: Landing) -> Span:
    """The span of history in a fetched landing."""
    start, end = landing.request["span"]
    return Span(datetime.fromisoformat(start), datetime.fromisoformat(end))


def _answered_before(held: Landing | None, failed: Collection[str]) -> dict[str, Outcome]:
    """Subjects that failed when they were asked for again, and whose earlier answer is landed: it stays, to be checked again."""
    covers: Mapping[str, Outcome] = held.request.get("covers", {}) if held is not None else {}
    return {name: covers[name] for name in sorted(failed) if covers.get(name) in ANSWERED}


def _completeness(covers: Mapping[str, Outcome], wanted: int) -> Completeness:
    outcomes = set(covers.values())
    if outcomes <= {"not_yet_published", "gone"}:
        return "not_yet_published"
    if len(covers) < wanted or outcomes & {"partial", "not_yet_published", "gone"}:
        return "partial"
    return "empty" if outcomes == {"empty"} else "complete"


def _with_held_pages(job: Job, held: Landing | None) -> Job:
    return job if held is None else replace(job, held=partial(Pack(held.path).pages, (job.subject,)))


def _month(day: date) -> Span:
    first = day.replace(day=1)
    after = (first + timedelta(days=32)).replace(day=1)
    return Span.of_days(first, after - timedelta(days=1))


def _first(group: BaseExceptionGroup[BlockedError | ClockError]) -> BlockedError | ClockError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
