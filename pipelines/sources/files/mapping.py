"""The model of a mapping's TOML file, section by section.

Loading and checking a mapping is in check.py, reading files in reader.py, shaping rows in shape.py.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl
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

NAMED_FORMATS: Final = ("date", "iso", "epoch", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "typed")

_FIELD: Final = re.compile(r"\{([^{}]*)\}")

_DURATION: Final = re.compile(r"(?P<sign>-?)(?P<number>\d+)(?P<unit>[smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SQL_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")

Text = str
Scalar = bool | int | float | str


def fields_of(template: str) -> list[str]:
    """The columns named in a template, in their order."""
    return _FIELD.findall(template)


def whole_pattern(pattern: str) -> tuple[str, str]:
    """A time pattern that the parser can read, and what is added to each text for it: an hour alone is no time to it."""
    hours = "%H" in pattern or "%I" in pattern or "%k" in pattern or "%l" in pattern
    if hours and not any(x in pattern for x in ("%M", "%T", "%R", "%X", "%c")):
        return pattern + ":%M", ":00"
    return pattern, ""


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


def _encoding(value: str) -> str:
    try:
        return codecs.lookup(value).name
    except LookupError as error:
        raise ValueError("not an encoding, for example utf-8, cp1252 or utf-16") from error


Encoding = Annotated[str, AfterValidator(_encoding)]


class Part(BaseModel):
    """Base of every section: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _time_format(value: str) -> str:
    if value in NAMED_FORMATS or "%" not in value:
        if value not in NAMED_FORMATS:
            raise ValueError(f"a time format is one of {', '.join(NAMED_FORMATS)}, or a pattern such as %Y-%m-%d %H:%M")
        return value
    pattern, _ = whole_pattern(value)
    try:
        pl.Series(["2020-01-02"]).str.to_datetime(pattern, strict=False)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"not a time pattern: {str(error).splitlines()[0]}") from error
    return value


TimeFormats = Annotated[
    tuple[Annotated[str, AfterValidator(_time_format)], ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
]


class Time(Part):
    """How a time cell is read: `column`, or `template`, a text of several columns ("{Date} {Time}"); `extract` takes a part.

    `format`: date, iso, epoch_s, epoch_ms, epoch_us, epoch_ns, epoch (each cell's unit is told by its size), typed (Parquet,
    Feather), or strptime patterns tried in order. `zone` applies to texts without an offset. `ambiguous` resolves the hour that
    occurs twice when clocks go back; without it such a row is rejected, as is an hour that does not exist. `shift` moves the
    label to the actual instant; `round` removes jitter.
    """

    column: str | None = None
    template: str | None = None
    extract: LinearRegex | None = None
    format: TimeFormats
    zone: Zone | None = None
    ambiguous: Literal["earliest", "latest"] | None = None
    shift: Duration = timedelta()
    round: Duration | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.column is None) == (self.template is None):
            raise ValueError("give exactly one of column and template")
        return self

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The file's columns that the time is made of."""
        return (self.column,) if self.column is not None else tuple(fields_of(self.template or ""))

    @property
    def label(self) -> str:
        """The time's columns, as messages name them."""
        return " ".join(self.sources)


class TimeChange(Part):
    """Changes that one table makes to its file's time: a shift, a rounding, or another time altogether (`column` or `template`
    with `format`, as in [file.time])."""

    column: str | None = None
    template: str | None = None
    format: TimeFormats = ()
    zone: Zone | None = None
    ambiguous: Literal["earliest", "latest"] | None = None
    shift: Duration = timedelta()
    round: Duration | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.column is not None or self.template is not None) != bool(self.format):
            raise ValueError("another time needs column or template, and format")
        if self.format:
            _ = self.own
        return self

    @cached_property
    def own(self) -> Time | None:
        """The table's own time, if it does not take the file's."""
        if not self.format:
            return None
        return Time.model_validate(self.model_dump() | {"shift": "0s", "round": None})


Cleaning = Literal["currency", "percent", "thousands", "decimal_comma", "suffix"]


class Cell(Part):
    """The source of a value (one cell, text built from several, or the `sum` of several) and its transformations, applied in
    this order:

    `extract` (a regular expression: its first group, or the whole match), `lower`, `upper`, `translate` (other texts are
    rejected); for numbers `clean` (below), `scale` (-1 turns the sign), `times` and `over` (multiply and divide by other columns
    of the row), `contracts` (multiply by the instrument's contract size in base), `as = "long_share"` (ratio / (1 + ratio)).
    `absent_as` is the number of a cell that `absent` names: 0 says that nothing happened; without it nothing is known.

    `clean` names how numbers are written for people: currency ($, €, USD before or behind), percent (cells end in % and are
    divided by 100), thousands (1,234,567.8), decimal_comma (1234,5; with thousands 1.234,5), suffix (1.5K, 2M, 3B, 4T).
    """

    column: str | None = None
    template: str | None = None
    sum: tuple[str, ...] | None = None
    digest: tuple[str, ...] | None = None
    time: Time | None = None
    extract: LinearRegex | None = None
    lower: bool = False
    upper: bool = False
    translate: dict[str, str] | None = None
    clean: Annotated[tuple[Cleaning, ...], BeforeValidator(lambda x: [x] if isinstance(x, str) else x)] = ()
    absent_as: float | None = None
    scale: float = 1.0
    times: str | None = None
    over: str | None = None
    contracts: bool = False
    as_: Literal["long_share"] | None = Field(default=None, alias="as")

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        origins = [x for x in ("column", "template", "sum", "digest", "time") if getattr(self, x) is not None]
        if len(origins) != 1:
            raise ValueError("give exactly one of column, template, sum, digest, time")
        if self.sum is not None and len(self.sum) < 2:
            raise ValueError("a sum needs two columns or more")
        if self.scale == 0:
            raise ValueError("scale 0 would erase the value")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether the value is its own cell's, but for its scale and how the number is written."""
        return self.times is None and self.over is None and not self.contracts and self.as_ is None and not self.extract

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The file's columns that the rule reads."""
        named = [self.column, self.times, self.over, *(self.time.sources if self.time else ()), *(self.sum or ())]
        named += fields_of(self.template or "")
        return tuple(x for x in (*named, *(self.digest or ())) if x is not None)


def _cell(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


Cells = dict[str, Annotated[Cell, BeforeValidator(_cell)]]


class Where(Part):
    """A row condition: every column in `cells` has one of the given texts, those in `like` match their regular expression, those
    in `unlike` do not, those of `empty` hold nothing, `instrument` is one of the venue's symbols, and the time (UTC, after
    shifting) is in [from, before)."""

    cells: dict[str, Texts] = Field(default_factory=dict)
    like: dict[str, LinearRegex] = Field(default_factory=dict)
    unlike: dict[str, LinearRegex] = Field(default_factory=dict)
    empty: Texts = ()
    instrument: Texts | None = None
    from_: date | None = Field(default=None, alias="from")
    before: date | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.columns and self.instrument is None and self.from_ is None and self.before is None:
            raise ValueError("a condition needs cells, like, unlike, empty, instrument, from or before")
        return self

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The file's columns that the condition reads."""
        return tuple(dict.fromkeys((*self.cells, *self.like, *self.unlike, *self.empty)))


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
    """One table that a file feeds. Rows that do not meet `where` are left to other rules. With `optional` a file that lacks one
    of the rule's columns does not feed the table."""

    table: str
    optional: bool = False
    where: Where | None = None
    time: TimeChange = TimeChange()
    available: Available
    set: dict[str, Scalar] = Field(default_factory=dict)
    columns: Cells
    adjust: tuple[Adjust, ...] = ()


class Skip(Part):
    """Rows left out on purpose and counted as ignored, not as faults: filler before a listing, sums over the other rows."""

    where: Where
    because: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _of_cells(self) -> Self:
        if self.where.instrument is not None:
            raise ValueError("a symbol is known only inside a rule; use the cells it is made of")
        return self


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

    `folders` says how many of its folders belong to a file's name; `from_name` is a regular expression that matches the name
    (with those folders), and its named groups are columns of every row, for example (?P<symbol>.+)-1h\\.csv.

    CSV: `delimiter`; `header` is first (line 1, or the first behind `skip_lines`), find (the first line with the columns that
    the mapping needs; those before it are ignored), none, or auto (there is none if the first cell is a number); without a header
    `names` names the columns in order. `comment` begins lines that are ignored. `encoding` is that of the text; without it
    UTF-8 is read, else Windows' cp1252 with a warning. `skip_line` is a regular expression for lines of CSV and JSON lines that
    are ignored, `prefix` one for what stands before the JSON of a line; its named groups are columns.

    `record_path` locates the records of a JSON document, or the record or records of a JSON line; the first existing path is
    used, and lists on the way are gone through. Data outside it is not read, but for columns that the mapping uses and a record
    lacks: those are taken from the objects around it. A record may be an array: its columns are 0, 1, 2 …. With `columnar` the
    records are the rows of an object of lists: those of an object inside are columns such as data_map.Binance.

    `absent` lists the cell texts that mean null (the empty string covers null cells too). Every column must be used or listed
    in `ignore`, so that a new column is an error instead of silently lost; `ignore = ["*"]` gives that up. `optional` columns
    may be missing, and are empty then. `rename` gives columns that match a regular expression a name. `last = "drop"` ignores
    the rows of the newest time: an API's newest period is still forming when it is asked.
    """

    pattern: str
    required: bool = True
    format: Literal["csv", "parquet", "feather", "xlsx", "json", "jsonl"]
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    header: Literal["first", "find", "none", "auto"] = "first"
    skip_lines: Annotated[int, Field(ge=0, le=1_000)] = 0
    names: Texts = ()
    comment: str | None = None
    encoding: Encoding | None = None
    skip_line: LinearRegex | None = None
    prefix: LinearRegex | None = None
    sheet: str | None = None
    member: str = "*"
    ignore_members: Texts = ()
    folders: Annotated[int, Field(ge=0, le=5)] = 0
    from_name: LinearRegex | None = None
    record_path: Texts = ()
    columnar: bool = False
    decode: str | None = None
    wide: Wide | None = None
    time: Time
    instrument: Annotated[Cell, BeforeValidator(_cell)] | None = None
    absent: Texts = ()
    ignore: Texts = ()
    optional: Texts = ()
    rename: dict[LinearRegex, str] = Field(default_factory=dict)
    last: Literal["keep", "drop"] = "keep"
    skip: tuple[Skip, ...] = ()
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
        if "typed" in self.time.format and self.format not in {"parquet", "feather"}:
            raise ValueError("time format typed belongs to formats parquet and feather")
        if (self.header in {"none", "auto"}) != bool(self.names):
            raise ValueError("names belong to header none or auto, which need them")
        if self.columnar and self.format != "json":
            raise ValueError("columnar belongs to format json")
        if self.prefix is not None and self.format != "jsonl":
            raise ValueError("prefix belongs to format jsonl")
        if self.sheet is not None and self.format != "xlsx":
            raise ValueError("sheet belongs to format xlsx")
        csv = {"header": self.header != "first", "skip_lines": self.skip_lines > 0, "comment": self.comment is not None}
        if self.format != "csv" and any(csv.values()):
            raise ValueError(f"{next(key for key, given in csv.items() if given)} belongs to format csv")
        if self.format not in {"csv", "jsonl", "json"} and (self.skip_line is not None or self.encoding is not None):
            raise ValueError("skip_line and encoding belong to formats of text")
        return self

    @cached_property
    def prefixed(self) -> frozenset[str]:
        """Columns that the prefix of a line gives."""
        return frozenset(re.compile(self.prefix).groupindex) if self.prefix else frozenset()

    @cached_property
    def derived(self) -> frozenset[str]:
        """Columns that do not stand in the records: groups of `from_name` and `prefix`."""
        patterns = [pattern for pattern in (self.from_name, self.prefix) if pattern is not None]
        return frozenset(name for pattern in patterns for name in re.compile(pattern).groupindex)

    @cached_property
    def used(self) -> frozenset[str]:
        """The file's columns that any rule reads."""
        return self._plain(self._read(self.rows))

    @cached_property
    def needed(self) -> frozenset[str]:
        """Those that every file must have."""
        always = [rows for rows in self.rows if not rows.optional]
        return self._plain(self._read(always)) - set(self.optional)

    def _read(self, rules: Sequence[Rows]) -> set[str]:
        names = set(self.time.sources)
        if self.instrument:
            names.update(self.instrument.sources)
        for rows in rules:
            names.update(columns_of(rows))
        wheres = [*(skip.where for skip in self.skip), *(distrust.where for distrust in self.distrust)]
        names.update(name for where in wheres for name in where.columns)
        return names

    def _plain(self, names: set[str]) -> frozenset[str]:
        names = names - self.derived
        if self.decode:
            return frozenset((names - set(decoded_columns(EVENTS[self.decode]))) | set(LOG_COLUMNS))
        return frozenset(names - {"instrument", *self.wide.metrics} if self.wide else names)


def columns_of(rows: Rows) -> set[str]:
    """The file's columns that one rule reads."""
    names = {name for cell in rows.columns.values() for name in cell.sources}
    wheres = [rows.where, *(x.where for x in rows.adjust)]
    names.update(name for where in wheres if where for name in where.columns)
    names.update(rows.time.own.sources if rows.time.own else ())
    return names


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
