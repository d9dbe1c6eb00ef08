"""What is due of the followed venues: reads plan, landing and journal of a home and asks extract.due. Opens no database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from pipelines.core.settings import Settings
from pipelines.extract.due import Held, Landed, Missing, Plan, missing
from pipelines.extract.fetch import DAYS_COUNTED, JobsOf, span_of
from pipelines.extract.fetch_log import FOLDER, Journal, read_journal
from pipelines.extract.landing import Landing, LandingStore
from pipelines.extract.plan_start import planned_since, planned_sources
from pipelines.extract.venue import Feed, Span, Venue
from pipelines.sources import registry
from pipelines.sources.instruments import InstrumentHistory, jobs_of

Listed = Callable[[], tuple[InstrumentHistory, Collection[str]]]


@dataclass(frozen=True)
class FeedState:
    """What is known of a feed without asking its venue: the landing, the journal, and the plan."""

    source: str
    venue: Venue
    feed: Feed
    landed: Landed
    journal: Journal
    plan: Plan

    def missing(self, now: datetime) -> list[Missing]:
        """Everything planned or asked for up to `now` that is not landed."""
        return missing(self.feed, self.landed, self.journal, now, plan=self.plan)


def landed_of(store: LandingStore, source: str) -> dict[tuple[str, str], Held]:
    """The newest landing of every partition of a source. It counts as refused if no version of it is loaded."""
    versions: dict[tuple[str, str], list[Landing]] = {}
    landings = store.all(source)
    refused, checked = store.refusals(landings), store.checked(landings)
    for landing in landings:
        # Answers that could not be read are landed apart, and cover nothing.
        if "covers" in landing.request:
            versions.setdefault((landing.partition, landing.part), []).append(landing)
    found = {}
    for key, of_part in versions.items():
        newest = max(of_part, key=lambda landing: landing.version)
        is_refused = all(landing.landing_id in refused for landing in of_part)
        covers = newest.request.get("covers", {})
        unchecked = frozenset(newest.request.get("unchecked", ()))
        counted = DAYS_COUNTED in newest.request
        checked_at = checked.get(newest.landing_id, newest.fetched_at)
        found[key] = Held(span_of(newest), covers, checked_at, is_refused, unchecked, counted)
    return found


def all_jobs_of(store: LandingStore, feed: Feed, listed: Listed) -> JobsOf:
    """The jobs of a feed by span, with the subjects that landings of other venues name."""
    jobs = jobs_of(feed, listed)
    return registry.with_named(store, feed, jobs) if feed.named else jobs


def plan_of(store: LandingStore, venue: Venue, feed: Feed, jobs: JobsOf, history: InstrumentHistory) -> Plan:
    """The plan of a feed in this home. `history` tells when instruments were listed and when they ended."""

    def subjects(span: Span) -> Collection[str]:
        return list(jobs(span))

    return Plan(planned_since(store.raw_dir, venue.source(feed)), subjects, history.lives)


def feed_states(settings: Settings, *, venues: Collection[str] | None = None) -> Iterator[FeedState]:
    """The state of every feed that was ever planned or asked for, or only of those of `venues`."""
    store = LandingStore(settings.root)
    planned = planned_sources(store.raw_dir)
    logged = {path.name for path in (store.raw_dir / FOLDER).glob("*") if path.is_dir()}
    for name in registry.VENUES:
        if venues is not None and name not in venues:
            continue
        if name in logged or any(source.startswith(f"{name}.") for source in planned):
            yield from _states_of(settings, store, registry.venue(name))


def _states_of(settings: Settings, store: LandingStore, venue: Venue) -> Iterator[FeedState]:
    journals: Mapping[str, Journal] = read_journal(store.raw_dir, venue.name)
    history = registry.instrument_history(store, venue)
    followed: list[tuple[str, ...]] = []

    def listed() -> tuple[InstrumentHistory, Collection[str]]:
        if not followed:
            followed.append(registry.followed_assets(store, settings))
        return history, followed[0]

    for feed in venue.feeds:
        source = venue.source(feed)
        plan = plan_of(store, venue, feed, all_jobs_of(store, feed, listed), history)
        journal = journals.get(source, {})
        if plan.since is not None or journal:
            yield FeedState(source, venue, feed, landed_of(store, source), journal, plan)
