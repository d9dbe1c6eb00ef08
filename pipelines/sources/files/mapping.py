"""The model of a mapping's TOML file, section by section.

Loading and checking a mapping is in check.py, reading files in reader.py, shaping rows in shape.py.
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
from pipelines.core.limits import current
from pipelines.sources.chain.evm import aave
from pipelines.sources.chain.evm.abi import LOG_COLUMNS, decoded_columns
from pipelines.sources.files.patterns import is_linear

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
"""The contract's periods and their lengths."""

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
    if len(value) > current().pattern_characters:
        raise ValueError(f"longer than {current().pattern_characters} characters, the limit pattern_characters")
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


def _linear(value: str) -> str:
    if not is_linear(_regex(value)):
        raise ValueError("cells are read without look-around, back-references and counted repetitions of repetitions")
    return value


Regex = Annotated[str, AfterValidator(_regex)]
LinearRegex = Annotated[str, AfterValidator(_linear)]
Zone = Annotated[str, AfterValidator(_zone)]
Name = Annotated[str, AfterValidator(_name)]
Days = tuple[date, date]
Texts = Annotated[tuple[str, ...], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class Part(BaseModel):
    """Base of every section: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Time(Part):
    """How a time cell is read.

    `format`: date, iso, epoch_s, epoch_ms, epoch_us, typed (Parquet), or strptime patterns tried in order. `zone` applies to
    texts without an offset. `ambiguous` resolves the hour that occurs twice when clocks go back; without it such a row is
    rejected, as is an hour that does not exist. `shift` moves the label to the actual instant; `round` removes jitter.
    """

    column: str
    format: Texts
    zone: Zone | None = None
    ambiguous: Literal["earliest", "latest"] | None = None
    shift: Duration = timedelta()
    round: Duration | None = None


class TimeChange(Part):
    """Changes that one table makes to its file's time."""

    shift: Duration = timedelta()
    round: Duration | None = None


class Cell(Part):
    """The source of a value (one cell, or text built from several) and its transformations, applied in this order:

    `extract` (a regular expression: its first group, or the whole match), `lower`, `translate` (other texts are rejected); for
    numbers `scale`, `times` and `over` (multiply and divide by other columns of the row), `contracts` (multiply by the
    instrument's contract size in base), `as = "long_share"` (ratio / (1 + ratio)).
    """

    column: str | None = None
    template: str | None = None
    digest: tuple[str, ...] | None = None
    time: Time | None = None
    extract: LinearRegex | None = None
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
        """The file's columns that the rule reads."""
        named = [self.column, self.times, self.over, self.time.column if self.time else None]
        if self.template is not None:
            named += re.findall(r"\{([^{}]*)\}", self.template)
        return tuple(x for x in (*named, *(self.digest or ())) if x is not None)


def _cell(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


Cells = dict[str, Annotated[Cell, BeforeValidator(_cell)]]


class Where(Part):
    """A row condition: every column in `cells` has one of the given texts, `instrument` is one of the venue's symbols, and the
    time (UTC, after shifting) is in [from, before)."""

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
    """Constants and scales for some rows of a table, e.g. an interval that changed on a day. Later entries win."""

    where: Where
    set: dict[str, Scalar] = Field(default_factory=dict)
    scale: dict[str, float] = Field(default_factory=dict)


class Available(Part):
    """When a row becomes available: `lag` after its event or after the end of its period."""

    after: Literal["event", "period"]
    lag: Duration


class Rows(Part):
    """One table that a file feeds. Rows that do not meet `where` are left to other rules."""

    table: str
    where: Where | None = None
    time: TimeChange = TimeChange()
    available: Available
    set: dict[str, Scalar] = Field(default_factory=dict)
    columns: Cells
    adjust: tuple[Adjust, ...] = ()


class Distrust(Part):
    """Rows rejected on purpose (quarantine reason sentinel): placeholders, partial days."""

    where: Where
    because: str


class Wide(Part):
    """One column per instrument and metric: `columns` is a regular expression with the named groups instrument and metric."""

    columns: Regex
    metrics: tuple[str, ...]

    @model_validator(mode="after")
    def _groups(self) -> Self:
        if not {"instrument", "metric"} <= set(re.compile(self.columns).groupindex):
            raise ValueError("columns needs the named groups (?P<instrument>…) and (?P<metric>…)")
        return self


class File(Part):
    """Files with the same structure. `pattern` and `member` (inside a zip) are shell patterns for names.

    `record_path` locates the records of a JSON document, or the record or records of a JSON line; the first existing path is
    used, and data outside it is not read. `absent` lists the cell texts that mean null (the empty string covers null cells too).
    Every column must be used or listed in `ignore`, so that a new column is an error instead of silently lost.
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
        """The file's columns that any rule reads."""
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
    """Files of the data set that are not imported, with the reason."""

    pattern: str
    because: str


class Instrument(Part):
    """Maps names to instruments of `venue`. `name` must match the whole name given by the file (or [file.instrument]). `symbol`
    (the venue's symbol), `base` and `quote` are templates: {group} is a group of `name`, {name} the whole name."""

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


class DeclaredVenue(Part):
    """A venue or protocol that the project does not know: its id in the tables, and what it is, in words."""

    name: Name
    because: Annotated[str, Field(min_length=1)]


class Gap(Part):
    """Days known to be missing or unreliable."""

    table: str
    days: Days
    because: str
    instrument: Texts | None = None


class Span(Part):
    """Days on which a source of events is complete: a day without rows is a day without events."""

    table: str
    venue: str
    days: Days
    series: str = ""


class Accept(Part):
    """Days on which a gate check may fail although the rows are right."""

    table: str
    check: str
    days: Days
    because: Annotated[str, Field(min_length=1)]
    instrument: Texts | None = None


class Mapping(Part):
    """One data set. `path` and `text` are the mapping's file and its content."""

    path: Path
    text: bytes = Field(repr=False)
    dataset: Name
    description: str
    file: tuple[File, ...]
    ignore: tuple[Ignored, ...] = ()
    instrument: tuple[Instrument, ...] = ()
    venue: tuple[DeclaredVenue, ...] = ()
    gap: tuple[Gap, ...] = ()
    span: tuple[Span, ...] = ()
    accept: tuple[Accept, ...] = ()
    expected_per_day: dict[str, int] = Field(default_factory=dict)

    @property
    def source(self) -> str:
        """Source id of the rows in every table: files.<dataset>."""
        return f"files.{self.dataset}"

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """Clean tables that the data set feeds."""
        named = {rows.table: None for file in self.file for rows in file.rows}
        return (*named, *(("instruments",) if self.instrument else ()))

    @cached_property
    def rules(self) -> SourceRules:
        """The data set's completeness rules and accepted exceptions."""
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
