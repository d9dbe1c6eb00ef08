"""Landing assets of venues, one per feed, and the jobs that fetch them; operations.fetch does the work.

A job fetches what is due of all daily feeds of a venue, another its captures, each in one run without partitions: which days it
lands is known only afterwards. The assets are for days that somebody picks in the UI, one feed at a time.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import Field

from pipelines.core.settings import Settings
from pipelines.defs.common import CAPTURE_TAGS, FETCH_TAGS, OWNERS, feed_key, step, table_metadata, venue_pool
from pipelines.defs.jobs import capture_job, fetch_job
from pipelines.defs.landed import LANDED, report_planned, report_states
from pipelines.defs.partitions import first_days, partitions_from
from pipelines.extract.due import Missing
from pipelines.extract.landing import Clock, utc_now
from pipelines.extract.venue import CadenceName, Capture, Daily, Feed, Venue
from pipelines.operations.observer import Observer

if TYPE_CHECKING:
    from pipelines.extract.fetch import FetchReport

CAPTURED_HOURLY: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=6), warn_window=timedelta(hours=2))
CAPTURED_DAILY: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=50), warn_window=timedelta(hours=27))


CADENCES: Final[tuple[CadenceName, ...]] = ("daily", "capture")


class FetchConfig(dg.Config):
    """What a run fetches: by default everything that is due."""

    feeds: list[str] = Field(default=[], description="Feeds to fetch; empty: all of the job.")
    first: str | None = Field(default=None, description="First day (YYYY-MM-DD, UTC); none: what is due.")
    last: str | None = Field(default=None, description="Last day, included.")
    assets: list[str] = Field(default=[], description="Assets to fetch; empty: those of the settings.")
    again: bool = Field(default=False, description="Fetch again what is landed and final.")


def build_venue_assets(
    settings: Settings, venues: Sequence[Venue], *, observer: Observer, clock: Clock = utc_now
) -> list[dg.AssetsDefinition]:
    """One asset per feed, for fetching days of it from the UI. Each daily feed has partitions of its own."""
    starts = first_days(settings, venues, today=clock().date())
    return [
        _asset(settings, venue, feed, starts.get(venue.source(feed)), observer, clock)
        for venue in venues
        for feed in venue.feeds
    ]


def build_venue_jobs(
    settings: Settings, venues: Sequence[Venue], *, observer: Observer, clock: Clock = utc_now
) -> list[dg.JobDefinition]:
    """The job that fetches the daily feeds of each venue, and the one that captures its current state."""
    return [
        _job(settings, venue, cadence, observer, clock)
        for venue in venues
        for cadence in CADENCES
        if any(feed.cadence.name == cadence for feed in venue.feeds)
    ]


def step_name(venue: str, cadence: CadenceName) -> str:
    """Name of the step that fetches a venue's feeds of a cadence. It differs from the job's: they share a namespace."""
    return f"{venue}_{'days' if cadence == 'daily' else 'captures'}"


def _job(settings: Settings, venue: Venue, cadence: CadenceName, observer: Observer, clock: Clock) -> dg.JobDefinition:
    feeds = [feed for feed in venue.feeds if feed.cadence.name == cadence]

    @dg.op(
        name=step_name(venue.name, cadence),
        pool=venue_pool(venue.name),
        description=f"Lands what is due of {venue.name}, or the given days of it.",
    )
    def fetch_step(context: dg.OpExecutionContext, config: FetchConfig) -> None:
        from pipelines.operations.fetch import fetch, fetch_due

        with step(context, settings, observer):
            chosen = [feed for feed in feeds if not config.feeds or feed.name in config.feeds]
            names = [feed.name for feed in chosen]
            assets = config.assets or None
            if config.first is None:
                planned = _plan(context, settings, venue, chosen, clock)
                reports = fetch_due(
                    settings, venue.name, names, cadence=cadence, assets=assets, again=config.again, clock=clock,
                    progress=observer.progress,
                )  # fmt: skip
            else:
                planned = {}
                first, last = date.fromisoformat(config.first), date.fromisoformat(config.last or config.first)
                reports = fetch(
                    settings, venue.name, names, first=first, last=last, assets=assets, again=config.again, clock=clock,
                    progress=observer.progress,
                )  # fmt: skip
            observer.fetched(reports)
            _report_landed(context, settings, venue, chosen, reports, planned, clock)
            report_states(context.instance, settings, now=clock(), venues=[venue.name])
            for report in reports:
                report.raise_failures()

    name = fetch_job(venue.name) if cadence == "daily" else capture_job(venue.name)
    what = "Lands what is due of the daily feeds of" if cadence == "daily" else "Captures the current state of"

    @dg.job(
        name=name,
        run_tags=FETCH_TAGS if cadence == "daily" else CAPTURE_TAGS,
        description=f"{what} {venue.name}. A sensor starts the load afterwards.",
    )
    def job() -> None:
        fetch_step()

    return job


Days = Mapping[str, set[str]]
"""Days by source."""


def _missing(settings: Settings, venue: Venue, clock: Clock) -> dict[str, list[Missing]]:
    from pipelines.operations.due import feed_states

    now = clock()
    return {state.source: state.missing(now) for state in feed_states(settings, venues=[venue.name])}


def _plan(
    context: dg.OpExecutionContext, settings: Settings, venue: Venue, feeds: Sequence[Feed], clock: Clock
) -> dict[str, set[str]]:
    """Report the days that are due as planned by this run."""
    missing = _missing(settings, venue, clock)
    planned = {}
    for feed in feeds:
        if feed.cadence.name == "daily":
            days = {f"{one.day}" for one in missing.get(venue.source(feed), ()) if one.can_be_had}
            report_planned(context.instance, context.run, feed_key(venue.name, feed.name), sorted(days))
            planned[venue.source(feed)] = days
    return planned


def _report_landed(
    context: dg.OpExecutionContext,
    settings: Settings,
    venue: Venue,
    feeds: Sequence[Feed],
    reports: Iterable["FetchReport"],
    planned: Days,
    clock: Clock,
) -> None:
    """Materialize the days and slots that are landed whole now, and report as planned those that failed."""
    missing = _missing(settings, venue, clock)
    by_source = {report.source: report for report in reports}
    for feed in feeds:
        source, key = venue.source(feed), feed_key(venue.name, feed.name)
        report, found = by_source[source], missing.get(source, [])
        if feed.cadence.name == "capture":
            if not report.failures:
                context.log_event(dg.AssetMaterialization(key, metadata=_metadata(report)))
            continue
        landed, lacking = _days_of(report), {f"{one.day}" for one in found}
        for day in sorted(landed - lacking):
            context.log_event(dg.AssetMaterialization(key, partition=day, metadata={"landed": len(report.landings)}))
        failed = {f"{one.day}" for one in found if one.can_be_had and one.reason not in WAITING}
        report_planned(
            context.instance, context.run, key, sorted((failed & _asked_days(report)) - planned.get(source, set()))
        )


WAITING: Final = ("never asked", "not yet published")
"""Reasons of days that no run has failed on."""


def _days_of(report: "FetchReport") -> set[str]:
    from pipelines.extract.fetch import span_of

    return {f"{day}" for landing in report.landings for day in span_of(landing).days}


def _asked_days(report: "FetchReport") -> set[str]:
    from pipelines.extract.fetch import days_of

    names = {what.partition(" ")[0] for what in report.failures} - {"everything"}
    return {f"{day}" for name in names for day in days_of(name)}


def _asset(
    settings: Settings, venue: Venue, feed: Feed, start: date | None, observer: Observer, clock: Clock
) -> dg.AssetsDefinition:
    key = feed_key(venue.name, feed.name)
    partitions = None if start is None else partitions_from(start)

    @dg.multi_asset(
        name=f"{venue.name}__{feed.name}",
        specs=[_spec(venue, feed, partitions)],
        check_specs=[
            dg.AssetCheckSpec(LANDED, asset=key, description="Everything that is due is landed; reported on change.")
        ],
        backfill_policy=dg.BackfillPolicy.single_run() if partitions else None,
        pool=venue_pool(venue.name),
    )
    def fetch_days(
        context: dg.AssetExecutionContext, config: FetchConfig
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        from pipelines.operations.fetch import fetch

        with step(context, settings, observer):
            first, last = _days(context, config)
            reports = fetch(
                settings, venue.name, [feed.name], first=first, last=last, assets=config.assets or None, again=config.again,
                clock=clock, progress=observer.progress,
            )  # fmt: skip
            observer.fetched(reports)
            [report] = [report for report in reports if report.source == venue.source(feed)]
            lacking = _lacking(settings, venue, feed, first, last, clock)
            report_states(context.instance, settings, now=clock(), venues=[venue.name])
            passed = not report.failures and not lacking
            yield dg.AssetCheckResult(
                asset_key=key, check_name=LANDED, passed=passed, severity=dg.AssetCheckSeverity.WARN,
                metadata={"missing": table_metadata([{"day": day, "why": why} for day, why in sorted(lacking.items())][:100])},
            )  # fmt: skip
            for other in reports:
                other.raise_failures()
            if lacking:
                for day in sorted(_between(first, last) - set(lacking)):
                    context.log_event(dg.AssetMaterialization(key, partition=day))
                raise dg.Failure(
                    f"{report.source}: {len(lacking)} of the days are not landed: "
                    + ", ".join(f"{day} {why}" for day, why in sorted(lacking.items())[:10]),
                    allow_retries=False,
                )
            yield dg.MaterializeResult(asset_key=key, metadata=_metadata(report))

    return fetch_days


def _lacking(
    settings: Settings, venue: Venue, feed: Feed, first: date | None, last: date | None, clock: Clock
) -> dict[str, str]:
    """The days from `first` through `last` that are not landed whole, and why."""
    wanted = _between(first, last) if feed.cadence.name == "daily" else set()
    found = _missing(settings, venue, clock).get(venue.source(feed), [])
    lacking = {f"{one.day}": one.reason for one in found if f"{one.day}" in wanted}
    from pipelines.extract.landing import LandingStore
    from pipelines.operations.due import landed_of

    held = {
        f"{day}" for one in landed_of(LandingStore(settings.root), venue.source(feed)).values() for day in one.span.days
    }
    return {**dict.fromkeys(sorted(wanted - held), "never asked"), **lacking}


def _between(first: date | None, last: date | None) -> set[str]:
    if first is None or last is None:
        return set()
    return {f"{first + timedelta(days=number)}" for number in range((last - first).days + 1)}


def _spec(venue: Venue, feed: Feed, partitions: dg.PartitionsDefinition[Any] | None) -> dg.AssetSpec:
    return dg.AssetSpec(
        feed_key(venue.name, feed.name),
        group_name="landing",
        owners=OWNERS,
        kinds={"http"},
        description=f"{feed.description} Bytes as received, one pack per day, past month or capture.",
        partitions_def=partitions,
        freshness_policy=CAPTURED_HOURLY if feed.cadence == Capture() else CAPTURED_DAILY,
        metadata={
            "source": venue.source(feed),
            "since": str(feed.retention.since),
            "venue_keeps_days": "everything" if feed.retention.days is None else feed.retention.days,
            "completeness": feed.completeness,
            "cadence": _cadence(feed.cadence),
        },
    )


def _cadence(cadence: Daily | Capture) -> str:
    return "daily" if isinstance(cadence, Daily) else f"captured every {cadence.every_hours} h"


def _days(context: dg.AssetExecutionContext, config: FetchConfig) -> tuple[date | None, date | None]:
    """First and last day of a run: its partitions, or those of the configuration; none for a capture."""
    if context.has_partition_key or context.has_partition_key_range:
        days = context.partition_key_range
        return date.fromisoformat(days.start), date.fromisoformat(days.end)
    first = date.fromisoformat(config.first) if config.first else None
    return first, date.fromisoformat(config.last) if config.last else first


def _metadata(report: "FetchReport") -> dict[str, Any]:
    return {
        "landed": len(report.landings),
        "unchanged": report.unchanged,
        "final_already": report.skipped,
        "not_yet_published": report.not_yet_published,
        "bytes": sum(landing.bytes for landing in report.landings),
        "packs": table_metadata(
            [
                {"partition": x.partition, "part": x.part, "version": x.version, "completeness": x.completeness,
                 "bytes": x.bytes, "sha256": x.sha256[:12]}
                for x in report.landings[:50]
            ]
        ),
        "failures": table_metadata([{"what": what, "error": str(e)} for what, e in report.failures.items()]),
    }  # fmt: skip
