"""Instrument history of a venue, built from captured instrument lists, and the fetch jobs and coverage that follow from it.

Parsing of a venue's list is in the venue's module; mapping symbols to assets is in pipelines.core.universe.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

import polars as pl

from pipelines.contract.batch import CoverageSpan, KnownGap, SourceRules
from pipelines.core.universe import parse_symbol
from pipelines.extract.landing import Landing
from pipelines.extract.venue import Feed, Job, Span, Venue

INSTRUMENTS: Final = "instruments"
"""Name of the feed and of its table."""

TURNOVER: Final = "turnover"
"""Name of the feed that ranks assets by turnover for the universe."""

EVENT_TABLES: Final = ("liquidations", "liquidation_totals", "lending_liquidations", "lending_bad_debt")
"""Event tables: within coverage, no row means that nothing happened."""

SCHEMA: Final[dict[str, pl.DataType]] = {
    "venue": pl.String(),
    "instrument": pl.String(),
    "valid_from": pl.Datetime("us"),
    "asset": pl.String(),
    "asset_class": pl.String(),
    "quote": pl.String(),
    "contract_type": pl.String(),
    "contract_size": pl.Float64(),
    "contract_size_unit": pl.String(),
    "multiplier": pl.Float64(),
    "listed_at": pl.Datetime("us"),
    "delisted_at": pl.Datetime("us"),
    "available_at": pl.Datetime("us"),
}
"""Wire columns of clean.instruments; a test compares them with the contract."""


def parse_symbols(venue: str, instruments: pl.Series) -> pl.DataFrame:
    """Symbols parsed with universe.parse_symbol: instrument, asset, quote, contract_type, multiplier. One row per distinct
    symbol; symbols that match no rule of the venue are left out."""
    facts = [
        fact for name in instruments.unique(maintain_order=True) if (fact := parse_symbol(venue, name)) is not None
    ]
    texts = ("instrument", "asset", "quote", "contract_type")
    return pl.DataFrame(
        {name: [getattr(fact, name) for fact in facts] for name in (*texts, "multiplier")},
        schema=dict.fromkeys(texts, pl.String) | {"multiplier": pl.Float64},
    )


ReadCaptures = Callable[[], Iterable[tuple[Landing, pl.DataFrame]]]


@dataclass
class InstrumentHistory:
    """All captures of a venue's instruments, read once on first use."""

    read: ReadCaptures
    _frame: pl.DataFrame | None = field(default=None, repr=False)
    _times: list[datetime] = field(default_factory=list, repr=False)
    """When the captures were fetched, each once, oldest first."""
    _known: dict[int, pl.DataFrame] = field(default_factory=dict, repr=False)

    @staticmethod
    def none() -> pl.DataFrame:
        """An empty frame with the columns of `at`."""
        return pl.DataFrame(schema=SCHEMA)

    def at(self, span: Span) -> pl.DataFrame:
        """One row per instrument ever captured: from the newest capture before the span's end, else from the oldest capture.
        Venues publish only current instruments, so this is the best available approximation of the past."""
        frame = self._captures()
        # What is known changes with a capture only, and a fetch asks for many spans between two of them.
        captures = bisect_right(self._times, span.end)
        if captures not in self._known:
            self._known[captures] = self._at(frame, span)
        return self._known[captures]

    def _at(self, frame: pl.DataFrame, span: Span) -> pl.DataFrame:
        known = pl.col("captured_at") <= span.end
        return (
            frame.with_columns(known.alias("known"))
            .sort(
                "known",
                pl.when(known)
                .then(pl.col("captured_at").dt.epoch("us") * -1)
                .otherwise(pl.col("captured_at").dt.epoch("us")),
                descending=[True, False],
            )
            # A vendor's list covers many venues, whose symbols may coincide.
            .unique(["venue", "instrument"], keep="first", maintain_order=True)
            .sort("venue", "instrument")
            .select(*SCHEMA)
        )

    def lives(self) -> dict[str, tuple[datetime | None, datetime | None]]:
        """When each instrument was listed and when it ended, by its newest capture that says so; those with neither are left
        out. A symbol of several venues (a vendor's list) has the longest life."""
        known = self._captures().filter(pl.any_horizontal(pl.col("listed_at", "delisted_at").is_not_null()))
        newest = known.sort("captured_at").unique(["venue", "instrument"], keep="last")
        life = newest.group_by("instrument").agg(
            pl.when(pl.col("listed_at").null_count() == 0).then(pl.col("listed_at").min()),
            pl.when(pl.col("delisted_at").null_count() == 0).then(pl.col("delisted_at").max()),
        )
        return {name: (listed, ended) for name, listed, ended in life.iter_rows()}

    @property
    def assets(self) -> frozenset[str]:
        """Every asset that a captured instrument ever had."""
        return frozenset(self._captures()["asset"].drop_nulls())

    def _captures(self) -> pl.DataFrame:
        if self._frame is None:
            frames = [
                rows.select(
                    *(pl.col(c) if c in rows.columns else pl.lit(None, t).alias(c) for c, t in SCHEMA.items())
                ).with_columns(pl.lit(landing.fetched_at, pl.Datetime("us")).alias("captured_at"))
                for landing, rows in self.read()
            ]
            empty = pl.DataFrame(schema=SCHEMA | {"captured_at": pl.Datetime("us")})
            self._frame = pl.concat([empty, *frames])
            self._times = self._frame.get_column("captured_at").unique().sort().to_list()
        return self._frame


Listed = Callable[[], tuple["InstrumentHistory", Collection[str]]]
"""Returns a venue's instruments and the followed assets; called when a feed first needs them."""


def jobs_of(feed: Feed, listed: Listed) -> Callable[[Span], Mapping[str, Job]]:
    """Jobs of a span: the subjects that `feed.subjects` selects from instruments on followed assets listed during the span."""

    def jobs(span: Span) -> Mapping[str, Job]:
        if feed.subjects is None:
            return {"*": Job("*", span)}
        history, assets = listed()
        instruments = history.at(span).filter(
            pl.col("asset").is_in(list(assets)),
            pl.col("listed_at").is_null() | (pl.col("listed_at") < span.end),
            pl.col("delisted_at").is_null() | (pl.col("delisted_at") > span.start),
        )
        return {name: Job(name, span, row) for name, row in feed.subjects(instruments).items()}

    return jobs


def each_instrument(condition: pl.Expr | None = None) -> Callable[[pl.DataFrame], Mapping[str, Mapping[str, Any]]]:
    """Every instrument that meets `condition`, by symbol."""

    def subjects(instruments: pl.DataFrame) -> Mapping[str, Mapping[str, Any]]:
        chosen = instruments if condition is None else instruments.filter(condition)
        return {row["instrument"]: row for row in chosen.iter_rows(named=True)}

    return subjects


def event_rules(venue: Venue, feed: Feed, spans: Sequence[Span]) -> SourceRules:
    """Coverage of the event tables: the landed days, on which no row means that nothing happened."""
    tables = [table for table in feed.tables if table in EVENT_TABLES]
    if not tables:
        return SourceRules()
    return SourceRules(
        spans=tuple(
            CoverageSpan(table, venue.name, first, last) for table in tables for first, last in runs_of_days(spans)
        )
    )


def partial_gaps(feed: Feed, spans: Sequence[Span]) -> tuple[KnownGap, ...]:
    """Days on which some instruments are missing, as gaps of the event tables, where row counts cannot reveal a gap."""
    reason = "some instruments could not be fetched, or are not published yet"
    return tuple(
        KnownGap(table, span.days[0], span.days[-1], reason, kind="fetch failed")
        for table in feed.tables
        if table in EVENT_TABLES
        for span in spans
    )


def runs_of_days(spans: Iterable[Span]) -> Iterator[tuple[date, date]]:
    """First and last day of every run of consecutive days."""
    days = sorted({day for span in spans for day in span.days})
    for start in (day for day in days if day - timedelta(days=1) not in set(days)):
        last = start
        while last + timedelta(days=1) in set(days):
            last += timedelta(days=1)
        yield start, last
