"""Ingestion as plain functions: land files, load what is pending, rebuild. Dagster's assets call them.

No Dagster here, no parsing, no SQL.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.clean.contract import load_contract
from pipelines.clean.load import Gate, LoadReport, Progress, find_work, load_source, no_progress
from pipelines.clean.problems import record_fetch_problems
from pipelines.errors import ConfigError, LandingError, LeverhouseError, PermanentError, TransientError
from pipelines.extract.fetch import FetchReport, fetch_feed, plan_capture, plan_days
from pipelines.extract.journal import Journal
from pipelines.extract.landing import Clock, Landing, LandingStore, utc_now
from pipelines.extract.venue import Api, Feed
from pipelines.quality.gate import run_gate
from pipelines.settings import Settings
from pipelines.sources import registry
from pipelines.sources.files import land_matches
from pipelines.sources.instruments import INSTRUMENTS, TURNOVER, InstrumentHistory, jobs_of
from pipelines.storage.database import replace_database
from pipelines.storage.warehouse import writer, writer_lock

if TYPE_CHECKING:
    from pipelines.extract.client import Patience


@dataclass(frozen=True)
class LoadOutcome:
    """Reports of the sources that loaded, and the error of every source that did not."""

    reports: tuple[LoadReport, ...]
    failures: Mapping[str, LeverhouseError]

    def raise_failures(self) -> None:
        """Raise one error that names every source that failed; transient only where all of them are."""
        if not self.failures:
            return
        text = "\n".join(f"{source}: {error}" for source, error in self.failures.items())
        kind = TransientError if all(isinstance(e, TransientError) for e in self.failures.values()) else PermanentError
        error = kind(f"{len(self.failures)} source(s) were not loaded, the others were.\n{text}")
        error.exit_code = next(iter(self.failures.values())).exit_code
        raise error


def import_files(
    settings: Settings,
    mapping: Path,
    *,
    files: Sequence[Path] | None = None,
    root: Path | None = None,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> tuple[Landing, ...]:
    """Land the named files, or all files below `root` that the mapping matches. Nothing is parsed yet.

    Raises MappingError, SourceFormatError (a file the mapping does not match) or LandingError.
    """
    return land_matches(LandingStore(settings.root), mapping, files=files, root=root, clock=clock, progress=progress)


def load_pending(
    settings: Settings,
    *,
    sources: Collection[str] | None = None,
    gate: Gate = run_gate,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> LoadOutcome:
    """Load every source that has landings the clean tables do not show yet, each in its own transaction.

    A source that fails leaves its clean rows as they were and does not stop the others.
    """
    contract = load_contract(settings.schema_dir)
    store = LandingStore(settings.root)
    landings = store.all()
    by_source: dict[str, list[Landing]] = {}
    for landing in landings:
        if sources is None or landing.source in sources:
            by_source.setdefault(landing.source, []).append(landing)
    reports: list[LoadReport] = []
    failures: dict[str, LeverhouseError] = {}
    with writer(settings, what="load") as con:
        record_fetch_problems(con, settings.raw_dir)
        for source, mine in by_source.items():
            if find_work(con, source, mine).is_empty:
                continue
            try:
                opened = registry.open_source(store, contract, source, mine)
                report = load_source(
                    con,
                    contract=contract,
                    source=source,
                    landings=mine,
                    parse=opened.parse,
                    rules=opened.rules,
                    gate=gate,
                    now=clock(),
                    home=settings.root,
                    progress=progress,
                )
            except LeverhouseError as error:
                failures[source] = error
            else:
                reports.append(report)
    return LoadOutcome(reports=tuple(reports), failures=failures)


def rebuild(
    settings: Settings, *, gate: Gate = run_gate, clock: Clock = utc_now, progress: Progress = no_progress
) -> LoadOutcome:
    """Make the working database anew from the landing alone. The published snapshot stays until the next publish.

    The new database is made beside the old one and renamed over it when every source is in it, so that a kill at any
    moment leaves a whole one. Raises LandingError where landed bytes were lost or altered, and the error of a source
    that cannot be loaded; the old database is then as before.
    """
    store = LandingStore(settings.root)
    progress("verify landings", 0, 0)
    faults = list(store.verify(store.all()))
    if faults:
        raise LandingError(
            f"{len(faults)} landing(s) are not as received, nothing was rebuilt.\n" + "\n".join(faults[:20])
        )
    side = settings.model_copy(update={"home": settings.root / "rebuild"})
    with writer_lock(settings, what="rebuild"):
        shutil.rmtree(side.home, ignore_errors=True)
        side.home.mkdir(parents=True)
        (side.home / "raw").symlink_to(settings.raw_dir, target_is_directory=True)
        outcome = load_pending(side, gate=gate, clock=clock, progress=progress)
        outcome.raise_failures()
        replace_database(settings, side.database)
        shutil.rmtree(side.home)
    return outcome


def fetch(
    settings: Settings,
    venue: str,
    feeds: Collection[str] | None = None,
    *,
    first: date | None = None,
    last: date | None = None,
    assets: Collection[str] | None = None,
    again: bool = False,
    patience: Patience | None = None,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> tuple[FetchReport, ...]:
    """Bring what is missing of the feeds of a venue into the landing: the days from `first` through `last` (UTC) of daily
    feeds, this hour of captures. The venue's instruments are captured before anything that needs them.

    `feeds` None means all; without `first` only captures are made. Failures are in the reports; nothing is loaded here.
    Raises ConfigError for an unknown venue or feed, or a missing key.
    """
    import asyncio

    from pipelines.extract.client import PATIENT, open_api

    there = registry.venue(venue)
    known = [feed.name for feed in there.feeds]
    unknown = set(feeds or ()) - set(known)
    if unknown:
        raise ConfigError(f"{venue} has no feed {', '.join(sorted(unknown))}; it has {', '.join(known)}.")
    store = LandingStore(settings.root)
    own = {key.partition(".")[2]: base for key, base in settings.endpoints.items() if key.partition(".")[0] == venue}

    @cache
    def listed() -> tuple[InstrumentHistory, tuple[str, ...]]:
        """Read once, when the first feed needs them, which is after this run's captures of them."""
        followed = tuple(assets) if assets else registry.followed_assets(store, settings)
        return registry.instrument_history(store, there), followed

    async def bring(feed: Feed, api: Api) -> FetchReport:
        now = clock()
        if feed.cadence == "capture":
            chunks = plan_capture(feed, now=now)
        elif first is None:
            return FetchReport(there.source(feed))
        else:
            landed = [landing.partition for landing in store.current(there.source(feed))]
            chunks = plan_days(feed, first, last or first, now=now, landed=landed)
        jobs = jobs_of(feed, listed)
        return await fetch_feed(
            store, there, feed, api, chunks=chunks, jobs=jobs, now=now, again=again, clock=clock, progress=progress
        )

    async def everything() -> list[FetchReport]:
        async with open_api(
            there, endpoints=own, contact=settings.contact, patience=patience or PATIENT, clock=clock
        ) as api:
            first_of_all = (TURNOVER, INSTRUMENTS)
            ordered = sorted(there.feeds, key=lambda feed: feed.name not in first_of_all)
            wanted = [feed for feed in ordered if feeds is None or feed.name in {*feeds, *first_of_all}]
            return [await bring(feed, api) for feed in wanted]

    with Journal(settings.raw_dir, venue, clock).keeping():
        return tuple(asyncio.run(everything()))
