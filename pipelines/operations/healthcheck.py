"""Live check of a venue: one small request per feed, compared with what its module expects. Nothing is landed.

Run it first on a machine with network access: `leverhouse doctor --live`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

import polars as pl

from pipelines.contract.ddl import Contract, load_contract
from pipelines.core.errors import LeverhouseError
from pipelines.core.limits import in_force
from pipelines.core.settings import Settings
from pipelines.extract.fetch import plan_capture
from pipelines.extract.landing import Clock, utc_now
from pipelines.extract.venue import Api, Capture, Context, Feed, Job, NotYetPublishedError, Page, Span, Venue
from pipelines.operations.venue_api import open_venue
from pipelines.sources.instruments import INSTRUMENTS, SCHEMA, InstrumentHistory

if TYPE_CHECKING:
    from pipelines.extract.client import RetryPolicy
    from pipelines.sources.open_facts import OpenFact

CHECKED_ASSET = "BTC"
"""An asset that every venue lists."""


@dataclass(frozen=True)
class HealthCheck:
    """Result of one request to a feed. `asked` is recent (the newest published day) or oldest (the oldest day the module
    declares)."""

    source: str
    asked: Literal["recent", "oldest"]
    verdict: Literal["as expected", "differs", "failed"]
    found: str
    pages: int = 0
    rows: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Settled:
    """What the live answers say of an open fact. held: the answer shows it. not contradicted: everything was read as the module
    expects, which includes the fact. not settled: one answer cannot show it, or there was none."""

    outcome: Literal["held", "not contradicted", "did not hold", "not settled"]
    next_step: str = ""


def settle(fact: OpenFact, results: Sequence[HealthCheck]) -> Settled:
    """Judge an open fact by the answers of the feed that states it; by those of all feeds if it is of none."""
    of = [one for one in results if fact.feed is None or one.source == f"{fact.venue}.{fact.feed}"]
    if fact.kind == "counting":
        return Settled("not settled", "compare captures with traded volume, by the query in docs/metrics.md")
    if fact.kind == "depth":
        of = [one for one in of if one.asked == "oldest"]
    if not of or any(one.verdict == "failed" for one in of):
        return Settled("not settled", "ask again once the feed answers")
    if any(one.verdict == "differs" for one in of):
        return Settled(
            "did not hold" if fact.kind == "depth" else "not settled", "compare the answer with the marked text"
        )
    return Settled("held" if fact.kind == "depth" else "not contradicted")


def check_venue(
    settings: Settings, venue: Venue, *, retry: RetryPolicy | None = None, clock: Clock = utc_now
) -> tuple[HealthCheck, ...]:
    """Request one instrument and one day from every feed of `venue`. Errors are results and are not raised."""
    contract = load_contract(settings.schema_dir)

    async def check_feeds() -> list[HealthCheck]:
        results: list[HealthCheck] = []
        instruments = InstrumentHistory.none()
        async with open_venue(settings, venue, retry=retry, clock=clock) as api:
            for feed in sorted(venue.feeds, key=lambda feed: feed.name != INSTRUMENTS):
                for asked, span in _spans(feed, clock()):
                    result, rows = await _check_feed(venue, feed, api, asked, span, instruments, contract, clock)
                    results.append(result)
                    if feed.name == INSTRUMENTS and rows is not None:
                        instruments = _with_all_columns(rows)
        return results

    with in_force(settings.limits):
        return tuple(asyncio.run(check_feeds()))


def _spans(feed: Feed, now: datetime) -> Iterator[tuple[Literal["recent", "oldest"], Span]]:
    if isinstance(feed.cadence, Capture):
        yield "recent", plan_capture(feed, now=now)[0].span
        return
    newest = (now - feed.published_after).date() - timedelta(days=1)
    yield "recent", Span.of_days(newest, newest)
    kept = feed.retention.days
    oldest = (now - timedelta(days=kept - 1)).date() if kept is not None else feed.retention.since
    yield "oldest", Span.of_days(oldest, oldest)


async def _check_feed(
    venue: Venue,
    feed: Feed,
    api: Api,
    asked: Literal["recent", "oldest"],
    span: Span,
    instruments: pl.DataFrame,
    contract: Contract,
    clock: Clock,
) -> tuple[HealthCheck, pl.DataFrame | None]:
    source, started = venue.source(feed), time.monotonic()
    job = _job(feed, instruments, span)
    if job is None:
        return HealthCheck(source, asked, "differs", f"no {CHECKED_ASSET} instrument for this feed"), None
    pages: list[Page] = []
    try:
        pages = [page async for page in feed.fetch(api, job)]
        context = Context(venue.name, clock(), span, instruments)
        parsed = list(feed.parse(pages, context))
    except NotYetPublishedError:
        verdict: Literal["as expected", "differs"] = "as expected" if asked == "recent" else "differs"
        return HealthCheck(
            source, asked, verdict, f"{job.subject}: not published", seconds=time.monotonic() - started
        ), None
    except LeverhouseError as error:
        return HealthCheck(source, asked, "failed", str(error), len(pages), seconds=time.monotonic() - started), None
    rows = sum(one.rows.height for one in parsed)
    rejected = sum(one.rejects.height for one in parsed if one.rejects is not None)
    wrong = [
        f"{one.table}.{column} is {kind}"
        for one in parsed
        for column, kind in one.rows.schema.items()
        if column != "_line" and contract.table(one.table).polars_schema().get(column) != kind
    ]
    faults = [*wrong, *([f"{rejected} records rejected"] if rejected else [])]
    if feed.tables and not rows:
        faults.append(f"no rows on {span.start:%Y-%m-%d}")
    summary = f"{job.subject} {span.start:%Y-%m-%d}: {rows} rows in {len(pages)} responses"
    return (
        HealthCheck(
            source,
            asked,
            "differs" if faults else "as expected",
            "; ".join([summary, *faults]),
            len(pages),
            rows,
            round(time.monotonic() - started, 2),
        ),
        next((one.rows for one in parsed if one.table == INSTRUMENTS), None),
    )


def _job(feed: Feed, instruments: pl.DataFrame, span: Span) -> Job | None:
    if feed.subjects is None:
        return Job("*", span)
    subjects: Mapping[str, Mapping[str, object]] = feed.subjects(instruments.filter(pl.col("asset") == CHECKED_ASSET))
    name = next(iter(sorted(subjects)), None)
    return None if name is None else Job(name, span, subjects[name])


def _with_all_columns(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(*(pl.col(c) if c in rows.columns else pl.lit(None, t).alias(c) for c, t in SCHEMA.items()))
