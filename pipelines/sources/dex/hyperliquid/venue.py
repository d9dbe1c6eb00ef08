"""Hyperliquid: the venue, its feeds and instruments. No key.

Facts from Hyperliquid's documentation; anything not verified live is marked "?". The API has no list of liquidations: it shows
fills with a liquidation per account only. fills.py reads them from another source.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Final

import polars as pl

from pipelines.contract.batch import KnownGap, SourceRules
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import (
    Api,
    Capture,
    Context,
    Daily,
    Feed,
    Job,
    Page,
    Parsed,
    Partitioning,
    Retention,
    Span,
    Venue,
)
from pipelines.sources.counting import FACTS
from pipelines.sources.dex.hyperliquid import capture, dexes, history, risk_tiers
from pipelines.sources.dex.hyperliquid.wire import NAME, WEIGHT, check, info, request_type
from pipelines.sources.dex.perpetuals import linear_perpetuals
from pipelines.sources.instruments import each_instrument, event_rules
from pipelines.sources.records import Field, Records, at_path, read_records
from pipelines.sources.risk_tiers import feed_of_risk_tiers

META: Final = "meta"
UNIVERSE: Final = (Field("name", "instrument", str),)


async def fetch_instruments(api: Api, job: Job) -> AsyncIterator[Page]:
    """All perpetuals ever listed, those that others deploy too; delisted ones stay in the list."""
    yield await info(api, {"type": META})
    async for page in dexes.fetch_lists(api):
        yield page


def parse_instruments(pages: Sequence[Page], context: Context) -> Iterator[Parsed]:
    """Perpetuals named by coin; kPEPE is 1000 PEPE. Sizes are in units of the instrument. The venue's own are coins."""
    own = [page for page in pages if request_type(page) not in (dexes.METAS, dexes.CATEGORIES, dexes.TOKENS)]
    found = read_records(own, at_path("universe"), UNIVERSE)
    deployed = dexes.deployed_perpetuals(pages)
    both = Records(
        pl.concat([found.frame, deployed.frame], how="diagonal"), pl.concat([found.rejects, deployed.rejects])
    )
    yield linear_perpetuals(NAME, both, stated=pl.col("stated"))


def _days(first: str, last: str | None = None) -> tuple[date, date]:
    return date.fromisoformat(first), date.fromisoformat(last or first)


HOLES: Final = (
    _days("2023-06-18"), _days("2023-06-29"), _days("2023-07-09"), _days("2023-07-21"), _days("2023-07-23"),
    _days("2023-07-28"), _days("2023-08-12", "2023-08-13"), _days("2023-09-09"), _days("2023-09-13"),
    _days("2023-09-21", "2023-10-02"),
)  # fmt: skip
"""Days without rows of any coin in a copy of the file that ends on HOLES_KNOWN_TO."""
HOLES_KNOWN_TO: Final = date(2025, 5, 2)


def liquidation_total_rules(spans: Sequence[Span]) -> SourceRules:
    """Coverage: the days on which an absent coin had no liquidations. These are days fetched individually, which were in the file
    then, and days of the copy with known holes. Later months fetched as one are not covered."""
    claimed = [
        Span.of_days(day, day) for span in spans for day in span.days if len(span.days) == 1 or day <= HOLES_KNOWN_TO
    ]
    feed = VENUE.feed("liquidation_totals")
    gaps = (KnownGap("liquidation_totals", first, last, "missing in the file, for every coin") for first, last in HOLES)
    return replace(event_rules(VENUE, feed, claimed), gaps=tuple(gaps))


OPENED: Final = date(2023, 5, 12)
"""Day of the first settlement in fundingHistory."""
DEPLOYED: Final = date(2025, 10, 13)
"""About when the first exchange was deployed (?)."""

VENUE: Final = Venue(
    name=NAME,
    endpoints={"api": "https://api.hyperliquid.xyz", "stats": "https://d2v1fiwobg9w6.cloudfront.net"},
    limits=(Limit(1200, 60.0, name=WEIGHT),),
    concurrency=4,
    check=check,
    notes=(
        "The API publishes single liquidations per account only; `hyperliquid_fills` reads them from another source. `stats` is "
        "the unofficial backend of the venue's statistics page: it may move or end without notice."
    ),
    feeds=(
        Feed(
            name="instruments",
            tables=("instruments",),
            description="Perpetuals of the venue and of the exchanges that others deploy on it (HIP-3), with asset class and "
            "settlement; delisted ones included.",
            fetch=fetch_instruments,
            parse=parse_instruments,
            retention=Retention(since=OPENED),
            cadence=Capture(every_hours=24),
        ),
        Feed(
            name="funding",
            tables=("funding_rates",),
            description="Settled funding rates, hourly (every 8 hours in May 2023).",
            fetch=history.fetch_funding,
            parse=history.parse_funding,
            retention=Retention(since=OPENED),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
        Feed(
            name="candles",
            tables=("candles",),
            description="Hourly candles; the venue keeps the newest 5,000.",
            fetch=history.fetch_candles,
            parse=history.parse_candles,
            retention=Retention(since=OPENED, days=history.CANDLES_KEPT_DAYS),
            partitioning=Partitioning(months="past"),
            subjects=each_instrument(),
        ),
        Feed(
            name="contexts",
            tables=("open_interest", "funding_rates"),
            description="Current open interest and predicted funding rate of all perpetuals, captured every hour.",
            fetch=capture.fetch_contexts,
            parse=capture.parse_contexts,
            counting=FACTS[NAME],
            retention=Retention(since=OPENED),
            cadence=Capture(),
            parser_version=2,
        ),
        Feed(
            name="dex_contexts",
            tables=("open_interest", "funding_rates"),
            description="The same of the exchanges that others deploy on it (HIP-3), one request an exchange.",
            fetch=dexes.fetch_contexts,
            parse=dexes.parse_deployed_contexts,
            counting=FACTS[NAME],
            retention=Retention(since=DEPLOYED),
            cadence=Capture(),
            parser_version=2,
        ),
        Feed(
            name="liquidation_totals",
            tables=("liquidation_totals",),
            description="Liquidated notional per coin and day, without sides; unofficial, and possibly two-sided.",
            fetch=history.fetch_liquidation_totals,
            parse=history.parse_liquidation_totals,
            # The file's first day, 2023-06-13, is incomplete: it has one coin only.
            retention=Retention(since=date(2023, 6, 14)),
            cadence=Daily(published_after=timedelta(days=1), recheck_days=2),
            partitioning=Partitioning(months="past"),
            rules=liquidation_total_rules,
        ),
        feed_of_risk_tiers(
            risk_tiers.fetch_risk_tiers,
            risk_tiers.parse_risk_tiers,
            what="of all perpetuals, deployed ones included",
            # 2: one odd record refuses no list.
            parser_version=2,
        ),
    ),
)
