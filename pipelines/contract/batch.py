"""What a parser hands to the loader: canonical rows, rejected rows, null cells, and the rules coverage is judged by.

Every source produces these and nothing else; no parsing and no database here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

import polars as pl

REASONS: Final = (
    "unparsable",
    "sentinel",
    "contract",
    "conflicting_duplicate",
    "unknown_instrument",
    "undecodable",
)
"""Every reason a row can be in ops.quarantine for."""

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
class ParsedBatch:
    """Part of one landing for one clean table; at most about a million rows, so that memory stays bounded.

    `rows` has the table's wire columns (Contract: all but trade_date, source, landing_id, loaded_at; nullable ones may be
    left out) plus `_line` (Int64: line of the file, the header of a CSV being line 1, or record number from 1) and
    `_field` (String: the wide column the row came from, else null).
    `rejects` has REJECT_SCHEMA, with `raw` the row as received, as JSON. `null_cells` has NULL_CELLS_SCHEMA: cells that
    the source's null rule says hold no value. Rows received = rows + rejects.
    """

    table: str
    landing_id: str
    rows: pl.DataFrame
    rejects: pl.DataFrame = field(default_factory=no_rejects)
    null_cells: pl.DataFrame = field(default_factory=no_null_cells)


@dataclass(frozen=True)
class KnownGap:
    """Days [first_day, last_day] that are known to be missing, incomplete or not to be trusted, and why."""

    table: str
    first_day: date
    last_day: date
    reason: str
    instrument: str | None = None


@dataclass(frozen=True)
class AcceptedException:
    """Rows of the days [first_day, last_day] that may fail a check of the gate because they are right, and why.

    `check` is the name of a check that refuses loads of `table`. Without `instrument` all of the table is meant.
    """

    table: str
    check: str
    first_day: date
    last_day: date
    reason: str
    instrument: str | None = None


@dataclass(frozen=True)
class CoverageSpan:
    """Days [first_day, last_day] in which an event source is complete enough that no row means that nothing happened.

    `venue` is the venue or protocol as ops.coverage shows it.
    """

    table: str
    venue: str
    first_day: date
    last_day: date
    series: str = ""


@dataclass(frozen=True)
class Captures:
    """When a source that is captured was captured: the beginnings of the slots that are landed, each `every_hours` long.

    A version of the same slot is no other slot.
    """

    every_hours: int
    slots: frozenset[datetime]


@dataclass(frozen=True)
class SourceRules:
    """What a source says about its own completeness, and what in it is unlikely and true.

    `expected_per_day` overrides, per table, how many periods a complete day holds. `captures` is for sources whose days hold
    what was captured in time; event tables have spans instead, for a capture of events may reach back over others.
    """

    expected_per_day: Mapping[str, int] = field(default_factory=dict)
    spans: tuple[CoverageSpan, ...] = ()
    gaps: tuple[KnownGap, ...] = ()
    exceptions: tuple[AcceptedException, ...] = ()
    captures: Captures | None = None
