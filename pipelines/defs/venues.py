"""Landing assets of venues, one per feed; operations.fetch does the work.

One step fetches all daily feeds of a venue, another its captures: they share one client, which enforces the rate limits.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from pydantic import Field

from pipelines.core.settings import Settings
from pipelines.defs.common import DAYS, OWNERS, feed_key, step, table_metadata, venue_pool
from pipelines.extract.landing import Clock, utc_now
from pipelines.extract.venue import CadenceName, Capture, Daily, Feed, Venue
from pipelines.operations.observer import Observer

if TYPE_CHECKING:
    from pipelines.extract.fetch import FetchReport

CAPTURED_HOURLY: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=6), warn_window=timedelta(hours=2))
CAPTURED_DAILY: Final = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=50), warn_window=timedelta(hours=27))


CADENCES: Final[tuple[CadenceName, ...]] = ("daily", "capture")


class FetchConfig(dg.Config):
    """Days to fetch if the run has no partition, and the assets to fetch in any case."""

    first: str | None = Field(default=None, description="First day (YYYY-MM-DD, UTC).")
    last: str | None = Field(default=None, description="Last day, included.")
    assets: list[str] = Field(default=[], description="Assets to fetch; empty: those of the settings.")
    again: bool = Field(default=False, description="Fetch again what is landed and final.")


def build_venue_assets(
    settings: Settings, venues: Sequence[Venue], *, observer: Observer, clock: Clock = utc_now
) -> list[dg.AssetsDefinition]:
    """One step for the daily feeds of each venue and one for its captures, if it has such feeds."""
    steps = []
    for venue in venues:
        for cadence in CADENCES:
            feeds = [feed for feed in venue.feeds if feed.cadence.name == cadence]
            if feeds:
                steps.append(_step(settings, venue, cadence, feeds, observer, clock))
    return steps


def step_name(venue: str, cadence: CadenceName) -> str:
    """Name of the step that fetches a venue's feeds of a cadence. It differs from the job's: they share a namespace."""
    return f"{venue}_{'days' if cadence == 'daily' else 'captures'}"


def lookback(feeds: Sequence[Feed]) -> timedelta:
    """How many days before its own day a scheduled run fetches: days may be published late or restated."""
    return max(feed.published_after + feed.recheck_after + timedelta(days=1) for feed in feeds)


def _step(
    settings: Settings, venue: Venue, cadence: CadenceName, feeds: Sequence[Feed], observer: Observer, clock: Clock
) -> dg.AssetsDefinition:
    by_key = {feed_key(venue.name, feed.name): feed for feed in feeds}

    @dg.multi_asset(
        name=step_name(venue.name, cadence),
        specs=[_spec(venue, feed) for feed in feeds],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run() if cadence == "daily" else None,
        pool=venue_pool(venue.name),
    )
    def fetch_step(
        context: dg.AssetExecutionContext,
        config: FetchConfig,
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from pipelines.operations.fetch import fetch

        with step(context, settings, observer):
            chosen = [by_key[key] for key in context.selected_asset_keys]
            first, last = _days(context, config, chosen)
            reports = fetch(
                settings,
                venue.name,
                [feed.name for feed in chosen],
                first=first,
                last=last,
                assets=config.assets or None,
                again=config.again,
                clock=clock,
                progress=observer.progress,
            )
            observer.fetched(reports)
            for report in reports:
                key = feed_key(*report.source.split("."))
                if key in context.selected_asset_keys:
                    yield dg.MaterializeResult(asset_key=key, metadata=_metadata(report))
            for report in reports:
                report.raise_failures()

    return fetch_step


def _spec(venue: Venue, feed: Feed) -> dg.AssetSpec:
    return dg.AssetSpec(
        feed_key(venue.name, feed.name),
        group_name="landing",
        owners=OWNERS,
        kinds={"http"},
        description=f"{feed.description} Bytes as received, one pack per day, past month or capture.",
        partitions_def=DAYS if feed.cadence.name == "daily" else None,
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


def _days(
    context: dg.AssetExecutionContext, config: FetchConfig, feeds: Sequence[Feed]
) -> tuple[date | None, date | None]:
    """First and last day of a run. A run of one partition, as scheduled, starts as far back as days may change."""
    if context.has_partition_key:
        day = date.fromisoformat(context.partition_key)
        return day - lookback(feeds), day
    if context.has_partition_key_range:
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
