"""What the mapping of a data set of files can say: the model of its TOML file, section by section.

Reading and checking a mapping is files_check, reading files files_read, shaping rows files_shape.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipelines.contract.batch import AcceptedException, CoverageSpan, KnownGap, SourceRules
from pipelines.sources.chain.evm import aave
from pipelines.sources.chain.evm.abi import LOG_COLUMNS, decoded_columns

PERIODS: Final = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "8h": timedelta(hours=8),
    "1d": timedelta(days=1),
}
"""Periods of the contract and how long they are."""

EVENTS: Final = {event.name: event for event in (aave.LIQUIDATION_CALL,)}
"""Events of EVM chains that `decode` can name."""

_DURATION: Final = re.compile(r"(?P<sign>-?)(?P<number>\d+)(?P<unit>[smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SQL_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")

Text = str
Scalar = bool | int | float | str


def _duration(value: object) -> timedelta:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("a duration is a number and one of s, m, h, d: 16h, -1d, 30s")
    length = timedelta(**{_UNITS[match["unit"]]: int(match["number"])})
    return -length if match["sign"] else length


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError("not an IANA time zone, for example UTC or Europe/London") from error
    return value


def _name(value: str) -> str:
    if _SQL_NAME.fullmatch(value) is None:
        raise ValueError("lower-case letters, digits and underscores, beginning with a letter")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Regex = Annotated[str, AfterValidator(_regex)]
Zone = Annotated[str, AfterValidator(_zone)]
Name = Annotated[str, AfterValidator(_name)]
Days = tuple[date, date]
Texts = Annotated[tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class Part(BaseModel):
    """Base of every section: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Time(Part):
    """How a time cell is read.

    `format`: date, iso, epoch_s, epoch_ms, epoch_us, typed (Parquet), or strptime patterns tried in turn. `zone` is
    that of texts without an offset. `ambiguous` decides the hour that exists twice when clocks go back; without it, and
    for an hour that does not exist, the row is rejected. `shift` moves the label to the instant meant; `round` removes
    jitter.
    """

    column: str
    format: Texts
    zone: Zone | None = None
    ambiguous: Literal["earliest", "latest"] | None = None
    shift: Duration = timedelta()
    round: Duration | None = None


class TimeChange(Part):
    """What one table changes in the time of its file."""

    shift: Duration = timedelta()
    round: Duration | None = None


class Cell(Part):
    """Where a value comes from: one cell, or text made of several, and what is done to it in this order.

    `extract` (a regular expression; its first group, else the whole match), `lower`, `translate` (all other texts are
    rejected); for numbers `scale`, `times` and `over` (other columns of the row), `contracts` (times the contract size
    of the instrument, in base), `as = "long_share"` (ratio / (1 + ratio)).
    """

    column: str | None = None
    template: str | None = None
    digest: tuple[str, ...] | None = None
    time: Time | None = None
    extract: Regex | None = None
    lower: bool = False
    translate: dict[str, str] | None = None
    scale: float = 1.0
    times: str | None = None
    over: str | None = None
    contracts: bool = False
    as_: Literal["long_share"] | None = Field(default=None, alias="as")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = [x for x in ("column", "template", "digest", "time") if getattr(self, x) is not None]
        if len(origins) != 1:
            raise ValueError("give exactly one of column, template, digest, time")
        if self.scale == 0:
            raise ValueError("scale 0 would erase the value")
        return self

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Columns of the file that are read."""
        named = [self.column, self.times, self.over, self.time.column if self.time else None]
        if self.template is not None:
            named += re.findall(r"\{([^{}]*)\}", self.template)
        return tuple(x for x in (*named, *(self.digest or ())) if x is not None)


def _cell(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


Cells = dict[str, Annotated[Cell, BeforeValidator(_cell)]]


class Where(Part):
    """Which rows are meant: every entry of `cells` holds (one of the given texts), `instrument` is one of the venue's
    symbols, and the time (UTC, after shifting) lies in [from, before)."""

    cells: dict[str, Texts] = Field(default_factory=dict)
    instrument: Texts | None = None
    from_: date | None = Field(default=None, alias="from")
    before: date | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.cells and self.instrument is None and self.from_ is None and self.before is None:
            raise ValueError("a condition needs cells, instrument, from or before")
        return self


class Adjust(Part):
    """Constants and scales of some rows of a table, for example an interval that changed on a day. Later ones win."""

    where: Where
    set: dict[str, Scalar] = Field(default_factory=dict)
    scale: dict[str, float] = Field(default_factory=dict)


class Available(Part):
    """When a row could be known: `lag` after its event or after the end of its period."""

    after: Literal["event", "period"]
    lag: Duration


class Rows(Part):
    """One table that a file feeds. Rows of the file that `where` does not meet are another rule's."""

    table: str
    where: Where | None = None
    time: TimeChange = TimeChange()
    available: Available
    set: dict[str, Scalar] = Field(default_factory=dict)
    columns: Cells
    adjust: tuple[Adjust, ...] = ()


class Distrust(Part):
    """Rows that are kept out on purpose, in quarantine with reason sentinel: placeholders, partial days."""

    where: Where
    because: str


class Wide(Part):
    """One column per instrument and metric: a regular expression with the named groups instrument and metric."""

    columns: Regex
    metrics: tuple[str, ...]

    @model_validator(mode="after")
    def _groups(self) -> Self:
        if not {"instrument", "metric"} <= set(re.compile(self.columns).groupindex):
            raise ValueError("columns needs the named groups (?P<instrument>…) and (?P<metric>…)")
        return self


class File(Part):
    """Files of one shape. `pattern` and `member` (inside a zip) are shell patterns on names.

    `record_path` is where the records of a JSON document lie, or the record of a JSON line: an object or a list of them; of
    several places the first that is there. What lies around them is not read.
    `absent` lists the cell texts that mean "no value" (an empty text stands for null too). Every column is used or
    listed in `ignore`: a new one is an error and not a silent loss.
    """

    pattern: str
    required: bool = True
    format: Literal["csv", "parquet", "json", "jsonl"]
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    member: str = "*"
    record_path: Texts = ()
    decode: str | None = None
    wide: Wide | None = None
    time: Time
    instrument: Annotated[Cell, BeforeValidator(_cell)] | None = None
    absent: Texts = ()
    ignore: Texts = ()
    rows: tuple[Rows, ...]
    distrust: tuple[Distrust, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.rows:
            raise ValueError("a file needs at least one [[file.rows]]")
        if self.record_path and self.format not in {"json", "jsonl"}:
            raise ValueError("record_path belongs to formats json and jsonl")
        if self.decode is not None and self.decode not in EVENTS:
            raise ValueError(f"decode is one of {', '.join(EVENTS)}")
        if self.wide and self.instrument:
            raise ValueError("a wide file takes its instruments from column names; leave out instrument")
        if "typed" in self.time.format and self.format != "parquet":
            raise ValueError("time format typed belongs to format parquet")
        return self

    @cached_property
    def used(self) -> frozenset[str]:
        """Columns of the file that some rule reads."""
        names = {self.time.column}
        cells = [cell for rows in self.rows for cell in rows.columns.values()]
        if self.instrument:
            cells.append(self.instrument)
        wheres = [rows.where for rows in self.rows] + [x.where for rows in self.rows for x in rows.adjust]
        wheres += [distrust.where for distrust in self.distrust]
        names.update(name for cell in cells for name in cell.sources)
        names.update(name for where in wheres if where for name in where.cells)
        if self.decode:
            return frozenset((names - set(decoded_columns(EVENTS[self.decode]))) | set(LOG_COLUMNS))
        return frozenset(names - {"instrument", *self.wide.metrics} if self.wide else names)


class Ignored(Part):
    """Files of the data set that are not imported, and why."""

    pattern: str
    because: str


class Instrument(Part):
    """Names of `venue` that become an instrument. `name` matches the whole name as the file (or [file.instrument])
    gives it; `symbol` (the venue's own), `base`, `quote` are texts in which {group} stands for a group of `name`
    and {name} for all of it."""

    venue: str
    name: Regex
    symbol: str
    base: str
    quote: str
    contract_type: Literal["linear", "inverse", "quanto", "spot", "option"]
    contract_size: float | None = Field(default=None, gt=0)
    contract_size_unit: Literal["base", "quote", "usd"] | None = None

    @model_validator(mode="after")
    def _size_has_unit(self) -> Self:
        if (self.contract_size is None) != (self.contract_size_unit is None):
            raise ValueError("contract_size and contract_size_unit go together")
        return self


class Gap(Part):
    """Days known to be missing or not to be trusted."""

    table: str
    days: Days
    because: str
    instrument: Texts | None = None


class Span(Part):
    """Days in which a source of events is complete, so that a day without rows is a day on which nothing happened."""

    table: str
    venue: str
    days: Days
    series: str = ""


class Accept(Part):
    """Days on which a check of the gate may fail because the rows are right."""

    table: str
    check: str
    days: Days
    because: Annotated[str, Field(min_length=1)]
    instrument: Texts | None = None


class Mapping(Part):
    """One data set. `path` and `text` are where and what it was read from."""

    path: Path
    text: bytes = Field(repr=False)
    dataset: Name
    description: str
    file: tuple[File, ...]
    ignore: tuple[Ignored, ...] = ()
    instrument: tuple[Instrument, ...] = ()
    gap: tuple[Gap, ...] = ()
    span: tuple[Span, ...] = ()
    accept: tuple[Accept, ...] = ()
    expected_per_day: dict[str, int] = Field(default_factory=dict)

    @property
    def source(self) -> str:
        """Id of the source in every table: files.<dataset>."""
        return f"files.{self.dataset}"

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """Clean tables the data set feeds."""
        named = {rows.table: None for file in self.file for rows in file.rows}
        return (*named, *(("instruments",) if self.instrument else ()))

    @cached_property
    def rules(self) -> SourceRules:
        """What the data set says about its own completeness, and what in it is unlikely and true."""
        gaps = tuple(
            KnownGap(table=gap.table, first_day=gap.days[0], last_day=gap.days[1], reason=gap.because, instrument=name)
            for gap in self.gap
            for name in (gap.instrument or (None,))
        )
        spans = tuple(
            CoverageSpan(table=x.table, venue=x.venue, first_day=x.days[0], last_day=x.days[1], series=x.series)
            for x in self.span
        )
        exceptions = tuple(
            AcceptedException(x.table, x.check, x.days[0], x.days[1], reason=x.because, instrument=name)
            for x in self.accept
            for name in (x.instrument or (None,))
        )
        return SourceRules(expected_per_day=dict(self.expected_per_day), spans=spans, gaps=gaps, exceptions=exceptions)
