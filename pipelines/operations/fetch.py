"""Fetching from a venue into the landing: selects feeds, their order and their instruments. Loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final

from pipelines.contract.ddl import load_contract
from pipelines.core.errors import ConfigError
from pipelines.core.home_kind import check_endpoints_are_emulated
from pipelines.core.limits import in_force
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import Settings
from pipelines.extract.answers import HeardApi
from pipelines.extract.clock import check_clock
from pipelines.extract.due import Ask, first_planned_day, newest_published, partitions_to_ask, runs_of
from pipelines.extract.fetch import FetchReport, JobsOf, Partition, fetch_feed, forgotten_days, plan_capture, plan_days
from pipelines.extract.fetch_log import FetchLog, Journal, declared, read_journal, record_forgotten
from pipelines.extract.landing import Clock, LandingStore, utc_now
from pipelines.extract.plan_start import freeze_plan
from pipelines.extract.venue import CadenceName, Feed, Job, Span, Venue
from pipelines.operations.due import all_jobs_of, landed_of, plan_of
from pipelines.operations.venue_api import open_venue
from pipelines.sources import registry
from pipelines.sources.instruments import INSTRUMENTS, TURNOVER, InstrumentHistory

if TYPE_CHECKING:
    from pipelines.extract.client import HttpApi, RetryPolicy

ALWAYS_FIRST: Final = (TURNOVER, INSTRUMENTS)
"""Feeds that the others take their subjects from."""


def fetch(
    settings: Settings,
    venue_name: str,
    feeds: Collection[str] | None = None,
    *,
    first: date | None = None,
    last: date | None = None,
    assets: Collection[str] | None = None,
    again: bool = False,
    retry: RetryPolicy | None = None,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> tuple[FetchReport, ...]:
    """Land what is missing of a venue's feeds: the days from `first` through `last` (UTC) of daily feeds, and the current
    slot of captures. The venue's instruments are captured before the feeds that need them.

    `feeds` None means all; without `first` only captures are made. Failures are in the reports.
    Raises ConfigError for an unknown venue, feed or asset, or a missing key, and ClockError for a clock that was never set.
    """
    run = _Fetch(settings, registry.venue(venue_name), assets, again, clock, progress)

    def choose(feed: Feed, now: datetime) -> _Chosen | None:
        jobs = run.jobs(feed)
        if feed.cadence.name == "capture":
            return _Chosen(plan_capture(feed, now=now), jobs)
        if first is None:
            return None
        landed = [landing.partition for landing in run.store.current(run.venue.source(feed))]
        return _Chosen(
            plan_days(feed, first, last or first, now=now, landed=landed, again=again),
            jobs,
            [Span.of_days(*run) for run in runs_of(forgotten_days(feed, first, last or first, now=now, landed=landed))],
        )

    return run.fetch(run.selected(feeds), choose, retry)


def fetch_due(
    settings: Settings,
    venue_name: str,
    feeds: Collection[str] | None = None,
    *,
    cadence: CadenceName | None = None,
    assets: Collection[str] | None = None,
    again: bool = False,
    retry: RetryPolicy | None = None,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> tuple[FetchReport, ...]:
    """Land what is due of a venue's feeds: everything since the beginning of their plan, or asked for before, that is not landed
    and that the venue still has, days that may have been restated, and the current slot of captures.

    The plan of a feed begins with its first fetch of this kind. `again` fetches the newest published day although it is final.
    Otherwise as `fetch`.
    """
    run = _Fetch(settings, registry.venue(venue_name), assets, again, clock, progress)
    journals = read_journal(settings.raw_dir, venue_name)

    def choose(feed: Feed, now: datetime) -> _Chosen | None:
        jobs = run.jobs(feed)
        source = run.venue.source(feed)
        landed = landed_of(run.store, source)
        days = {day for held in landed.values() for day in held.span.days}
        freeze_plan(run.store.raw_dir, source, first_planned_day(feed, days, now))
        plan = plan_of(run.store, run.venue, feed, jobs, run.history)
        asks = partitions_to_ask(feed, landed, journals.get(source, {}), now, plan=plan)
        if again and feed.cadence.name == "daily":
            newest = newest_published(feed, now)
            known = {ask.partition.name for ask in asks}
            asks += [
                Ask(partition, is_planned=True, named=frozenset())
                for partition in plan_days(
                    feed, newest, newest, now=now, landed=[name for name, _ in landed], again=True
                )
                if partition.name not in known
            ]
        return _Chosen([ask.partition for ask in asks], _jobs_of_asks(asks, jobs, run.jobs_of_everything(feed)))

    return run.fetch(run.selected(feeds, cadence), choose, retry)


@dataclass(frozen=True)
class _Chosen:
    partitions: Sequence[Partition]
    jobs: JobsOf
    forgotten: Sequence[Span] = ()
    """What was asked for, is not landed, and the venue does not keep any more by its declared retention."""


Choose = Callable[[Feed, datetime], _Chosen | None]


def _jobs_of_asks(asks: Sequence[Ask], jobs: JobsOf, everything: JobsOf) -> JobsOf:
    """The jobs of each ask: those of the plan, and those of subjects asked for before, whether they are followed or not."""
    by_span = {ask.partition.span: ask for ask in asks}

    def chosen(span: Span) -> Mapping[str, Job]:
        ask = by_span[span]
        planned = jobs(span) if ask.is_planned else {}
        rest = ask.named - set(planned)
        others = everything(span) if rest else {}
        return {**{name: others[name] for name in sorted(rest & set(others))}, **planned}

    return chosen


@dataclass
class _Fetch:
    """One fetch of a venue: its store, its instruments and the followed assets, read when the first feed needs them, after this
    run has captured the instruments."""

    settings: Settings
    venue: Venue
    assets: Collection[str] | None
    again: bool
    clock: Clock
    progress: Progress

    def __post_init__(self) -> None:
        registry.check_endpoints(self.settings)
        check_clock(self.clock())
        endpoints = {**self.venue.endpoints, **self.settings.endpoints_of(self.venue.name)}
        check_endpoints_are_emulated(self.settings.root, self.venue.name, endpoints)
        self.store = LandingStore(self.settings.root)

    def selected(self, names: Collection[str] | None, cadence: CadenceName | None = None) -> list[Feed]:
        """The feeds `names` (None: all) of a cadence, after those that the others need. Raises ConfigError for an unknown one."""
        known = [feed.name for feed in self.venue.feeds]
        unknown = set(names or ()) - set(known)
        if unknown:
            raise ConfigError(f"{self.venue.name} has no feed {', '.join(sorted(unknown))}; it has {', '.join(known)}.")
        ordered = sorted(self.venue.feeds, key=lambda feed: feed.name not in ALWAYS_FIRST)
        return [
            feed
            for feed in ordered
            if feed.name in ALWAYS_FIRST
            or ((names is None or feed.name in names) and cadence in (None, feed.cadence.name))
        ]

    @cached_property
    def history(self) -> InstrumentHistory:
        """The venue's instruments, read once this run has captured them."""
        return registry.instrument_history(self.store, self.venue)

    @cached_property
    def _followed(self) -> tuple[str, ...]:
        return tuple(self.assets) if self.assets else registry.followed_assets(self.store, self.settings)

    def jobs(self, feed: Feed) -> JobsOf:
        """The jobs of a feed by span, of the followed assets."""
        return all_jobs_of(self.store, feed, lambda: (self.history, self._followed))

    def jobs_of_everything(self, feed: Feed) -> JobsOf:
        """The same of all assets."""

        def every(span: Span) -> Mapping[str, Job]:
            assets = self.history.at(span)["asset"].unique().to_list()
            return all_jobs_of(self.store, feed, lambda: (self.history, assets))(span)

        return every

    def _with_forgotten(self, report: FetchReport, feed: Feed, forgotten: Sequence[Span], jobs: JobsOf) -> FetchReport:
        """`report` with the days that were not asked for, because the venue declares that it does not keep them; each span of them
        is noted in the fetch log once."""
        gone = dict(report.gone)
        for span in forgotten:
            subjects, bounds = set(jobs(span)), (span.days[0], span.days[-1])
            noted = self._journal.get(report.source, {}).get(declared(span))
            if noted is None or not subjects <= noted.subjects:
                detail = (
                    f"{report.source} keeps {feed.retention.days} days: {bounds[0]} to {bounds[1]} were not asked for"
                )
                record_forgotten(report.source, span, subjects, detail)
            for name in subjects:
                before = gone.get(name, bounds)
                gone[name] = (min(before[0], bounds[0]), max(before[1], bounds[1]))
        return replace(report, gone=dict(sorted(gone.items())))

    @cached_property
    def _journal(self) -> Mapping[str, Journal]:
        return read_journal(self.settings.raw_dir, self.venue.name)

    def fetch(self, feeds: Sequence[Feed], choose: Choose, retry: RetryPolicy | None) -> tuple[FetchReport, ...]:
        """Fetch what `choose` chooses of each feed, in order."""
        import asyncio

        async def run_feed(feed: Feed, api: HttpApi, heard: HeardApi) -> FetchReport:
            # By both clocks: a day that is not over at the venue yet is not asked for.
            now = api.now()
            api.begin_feed()
            chosen = choose(feed, now)
            if chosen is None:
                return FetchReport(self.venue.source(feed))
            report = await fetch_feed(
                self.store,
                self.venue,
                feed,
                heard,
                partitions=chosen.partitions,
                jobs=chosen.jobs,
                reader=registry.answer_reader(self.store, load_contract(self.settings.schema_dir), self.venue, feed),
                now=now,
                again=self.again,
                clock=api.stamp,
                checked=api.now,
                progress=self.progress,
            )
            return self._with_forgotten(report, feed, chosen.forgotten, chosen.jobs) if chosen.forgotten else report

        async def run_feeds() -> list[FetchReport]:
            newest = max(self.store.newest_stamp(self.venue.source(feed)) for feed in self.venue.feeds)
            async with open_venue(self.settings, self.venue, retry=retry, clock=self.clock, newest_stamp=newest) as api:
                heard = HeardApi(api)
                first = [await run_feed(feed, api, heard) for feed in feeds if feed.name in ALWAYS_FIRST]
                if self.assets or self.settings.assets:
                    registry.check_assets(self.store, self.venue, self.history, self._followed)
                return first + [await run_feed(feed, api, heard) for feed in feeds if feed.name not in ALWAYS_FIRST]

        with (
            in_force(self.settings.limits),
            FetchLog(self.settings.raw_dir, self.venue.name, self.clock).recording(),
        ):
            return tuple(asyncio.run(run_feeds()))
