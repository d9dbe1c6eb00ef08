"""What a parser returns to the loader: canonical rows, rejected rows, null cells, and the rules for coverage.

The only output types of sources. No parsing and no database here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

import polars as pl

from pipelines.core.gap_reasons import GapReason

REASONS: Final = (
    "unparsable",
    "sentinel",
    "contract",
    "conflicting_duplicate",
    "unknown_instrument",
    "undecodable",
)
"""Every value of ops.quarantine.reason."""

REJECT_SCHEMA: Final[dict[str, pl.DataType]] = {
    "trade_date": pl.Date(),
    "line": pl.Int64(),
    "field": pl.String(),
    "instrument": pl.String(),
    "reason": pl.String(),
    "detail": pl.String(),
    "raw": pl.String(),
}

NULL_CELLS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "trade_date": pl.Date(),
    "instrument": pl.String(),
    "cells": pl.Int64(),
}


def no_rejects() -> pl.DataFrame:
    """An empty frame of rejected rows."""
    return pl.DataFrame(schema=REJECT_SCHEMA)


def no_null_cells() -> pl.DataFrame:
    """An empty frame of null cells."""
    return pl.DataFrame(schema=NULL_CELLS_SCHEMA)


@dataclass(frozen=True)
class LeftOut:
    """Records of a landing that are no rows of it: outside of its span, or left out by a rule (by name)."""

    outside: int = 0
    ignored: Mapping[str, int] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """How many they are."""
        return self.outside + sum(self.ignored.values())

    def __add__(self, other: LeftOut) -> LeftOut:
        rules = sorted({*self.ignored, *other.ignored})
        ignored = {rule: self.ignored.get(rule, 0) + other.ignored.get(rule, 0) for rule in rules}
        return LeftOut(self.outside + other.outside, ignored)


@dataclass(frozen=True)
class ParsedBatch:
    """Part of one landing for one clean table; at most about a million rows, so that memory stays bounded.

    `rows` has the table's wire columns (Contract: all but trade_date, source, landing_id, loaded_at; nullable ones may be
    left out) plus `_line` (Int64: line number in the file, the CSV header being line 1, or record number from 1) and
    `_field` (String: the wide column the row came from, else null).
    `rejects` has REJECT_SCHEMA; `raw` is the row as received, as JSON. `null_cells` has NULL_CELLS_SCHEMA: cells that
    hold no value by the source's null rule. Rows received = rows + rejects. What was `left_out` is stated once per landing.
    """

    table: str
    landing_id: str
    rows: pl.DataFrame
    rejects: pl.DataFrame = field(default_factory=no_rejects)
    null_cells: pl.DataFrame = field(default_factory=no_null_cells)
    left_out: LeftOut = LeftOut()


@dataclass(frozen=True)
class KnownGap:
    """Days [first_day, last_day] that are known to be missing, incomplete or unreliable, the reason in words, and its kind."""

    table: str
    first_day: date
    last_day: date
    reason: str
    instrument: str | None = None
    kind: GapReason = "not in the source"


@dataclass(frozen=True)
class AcceptedException:
    """Correct rows of the days [first_day, last_day] that fail a check of the gate, and the reason to accept them.

    `check` is the name of a check of severity error of `table`. Without `instrument` the exception covers the whole table.
    """

    table: str
    check: str
    first_day: date
    last_day: date
    reason: str
    instrument: str | None = None


@dataclass(frozen=True)
class CoverageSpan:
    """Days [first_day, last_day] in which an event source is complete, so that a day without rows had no events.

    `venue` is the venue or protocol as in ops.coverage.
    """

    table: str
    venue: str
    first_day: date
    last_day: date
    series: str = ""


@dataclass(frozen=True)
class Captures:
    """Start times of the landed capture slots of a source; each slot is `every_hours` long.

    Several versions of a slot count once.
    """

    every_hours: int
    slots: frozenset[datetime]


@dataclass(frozen=True)
class SourceRules:
    """What a source declares about its completeness, and its accepted exceptions.

    `expected_per_day` overrides, per table, how many periods a complete day has. `captures` is for captured sources, whose
    days hold only what was captured in time; event tables use spans instead, because a capture of events may include events
    of earlier slots.
    """

    expected_per_day: Mapping[str, int] = field(default_factory=dict)
    spans: tuple[CoverageSpan, ...] = ()
    gaps: tuple[KnownGap, ...] = ()
    exceptions: tuple[AcceptedException, ...] = ()
    captures: Captures | None = None
