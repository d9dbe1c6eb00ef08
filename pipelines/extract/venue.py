"""The types a venue's module declares itself with: endpoints, rate limits and feeds.

Modules in pipelines/sources create them, extract.fetch uses them. No HTTP, no parsing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol

import orjson

from pipelines.core.errors import SourceFormatError
from pipelines.core.limits import MIB, current, exceeded
from pipelines.extract.rate_limits import Limit

if TYPE_CHECKING:
    import polars as pl

    from pipelines.extract.stream import Stream


CadenceName = Literal["daily", "capture"]

Outcome = Literal["complete", "empty", "partial", "not_yet_published", "gone"]
"""What an answer about a subject said. partial: pages that lack days which may still come (Feed.lacks). One that could not be
read says nothing and has none."""

ANSWERED: Final = frozenset({"complete", "empty"})
"""Outcomes of a subject whose answer is landed."""

COUNTED_BYTES: Final = 4 * MIB
"""Answers of more than this are counted before they are parsed: what is smaller cannot take much."""

WHOLE_VENUE: Final = "*"
"""Subject of a page about the venue as a whole."""


@dataclass(frozen=True)
class Page:
    """One response as received. `subject` is the requested instrument or instrument family.

    `request` names the endpoint by its key in Venue.endpoints and contains no secret; `received_at` is naive UTC.
    """

    subject: str
    request: Mapping[str, Any]
    status: int
    received_at: datetime
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def json(self) -> Any:
        """The body as JSON, parsed once. Raises SourceFormatError naming the request if it is not JSON, LimitError if it has
        more values than memory should hold."""
        return self._content

    def json_lines(self) -> Iterator[Any]:
        """Each line of the body as JSON. Raises as `json` does."""
        self._check_values()
        for number, line in enumerate(self.body.splitlines(), start=1):
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise SourceFormatError(f"{self.where}: line {number} is not JSON ({error}): {self.excerpt}") from error

    @cached_property
    def _content(self) -> Any:
        self._check_values()
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise SourceFormatError(f"{self.where}: the response is not JSON ({error}): {self.excerpt}") from error

    def _check_values(self) -> None:
        """Count what becomes an object of its own: a list of empty lists takes thirty times its text."""
        if len(self.body) > COUNTED_BYTES:
            values = sum(self.body.count(mark) for mark in (b",", b"[", b"{"))
            if values > current().answer_values:
                raise exceeded(
                    self.where, "answer_values", f"the answer of {len(self.body):,} bytes has {values:,} values"
                )

    def clear_cache(self) -> None:
        """Drop the parsed JSON, which takes many times the memory of the body; `json` parses it again."""
        self.__dict__.pop("_content", None)

    @property
    def where(self) -> str:
        """The request as text, for error messages."""
        params = ", ".join(f"{key}={value}" for key, value in (self.request.get("params") or {}).items())
        return f"{self.request.get('endpoint', '')}{self.request.get('path', '')}" + (f" ({params})" if params else "")

    @property
    def excerpt(self) -> str:
        """The beginning of the body, for error messages."""
        return repr(self.body[:200].decode("utf-8", "replace"))


@dataclass(frozen=True)
class Span:
    """Instants [start, end), naive UTC: the part of history in one landing."""

    start: datetime
    end: datetime

    @classmethod
    def of_days(cls, first: date, last: date) -> Span:
        """The UTC days from `first` through `last`."""
        midnight = datetime(last.year, last.month, last.day) + timedelta(days=1)
        return cls(datetime(first.year, first.month, first.day), midnight)

    @property
    def start_ms(self) -> int:
        return milliseconds(self.start)

    @property
    def end_ms(self) -> int:
        return milliseconds(self.end)

    @property
    def days(self) -> list[date]:
        """The UTC days that overlap the span."""
        count = (self.end - timedelta(microseconds=1)).date() - self.start.date()
        return [self.start.date() + timedelta(days=i) for i in range(count.days + 1)]


@dataclass(frozen=True)
class Job:
    """One fetch: all pages about `subject` in `span`."""

    subject: str
    span: Span
    instrument: Mapping[str, Any] = field(default_factory=dict)
    """The row of clean.instruments valid in `span`; empty if the subject is not an instrument."""
    held: Callable[[], Iterable[Page]] = field(default=tuple, compare=False, repr=False)
    """The subject's previously landed pages; none on the first fetch. If the venue reports a page as unchanged, a feed may
    yield the held page instead of fetching it again."""


class Api(Protocol):
    """How a feed sends requests to its venue. Implementations handle rate limits, retries and errors."""

    @property
    def endpoints(self) -> Collection[str]:
        """Names of the base URLs: those the venue declares and those added in the settings."""
        ...

    @property
    def node_blocks(self) -> int | None:
        """Most blocks in one request for logs to a node, by the settings; None: no bound."""
        ...

    async def get(
        self,
        path: str,
        *,
        subject: str = WHOLE_VENUE,
        endpoint: str = "api",
        params: Mapping[str, str | int] | None = None,
        costs: Mapping[str, float] | None = None,
        accept: Sequence[int] = (200,),
        is_json: bool = True,
    ) -> Page:
        """A response with a status in `accept`. Raises TransientError when retries are exhausted, else PermanentError."""
        ...

    async def post(
        self,
        path: str,
        *,
        body: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        subject: str = WHOLE_VENUE,
        endpoint: str = "api",
        costs: Mapping[str, float] | None = None,
        accept: Sequence[int] = (200,),
        is_json: bool = True,
    ) -> Page:
        """The same with a JSON body: an object or a list of objects."""
        ...


class NotYetPublishedError(Exception):
    """Raised by a feed's fetch: the venue has not published this yet. Expected, not a failure."""


@dataclass(frozen=True)
class Parsed:
    """Canonical rows of one table from the pages of a landing.

    `rows` has the table's wire columns and `_line` (Int64), the record number in the landing; `rejects` has
    contract.batch.REJECT_SCHEMA.
    """

    table: str
    rows: pl.DataFrame
    rejects: pl.DataFrame | None = None


@dataclass(frozen=True)
class Context:
    """What a parser may use besides the pages: the instruments of the span, and when the landing was fetched.

    `instruments` has the wire columns of clean.instruments, one row per instrument: as published at the landing's span, or
    the oldest known if the span is before the first capture.
    """

    venue: str
    fetched_at: datetime
    span: Span
    instruments: pl.DataFrame


Fetch = Callable[[Api, Job], AsyncIterator[Page]]
"""Yields the pages of a job. It must read cursors and timestamps before yielding a page, because the consumer may then drop the
page's parsed JSON, which takes many times the memory of the body."""

Lacks = Callable[[Sequence[Page], Job], bool]
"""Whether the pages of a job lack days that may still come. They are landed, and the next fetch of the span asks again."""

Parse = Callable[[Sequence[Page], Context], Iterator[Parsed]]
Subjects = Callable[["pl.DataFrame"], Mapping[str, Mapping[str, Any]]]
"""The subjects a feed fetches, by name, each with its row of clean.instruments (empty if it has none)."""

Rules = Callable[[Sequence[Span]], Any]
"""The completeness rules of a source (contract.batch.SourceRules), given the landed spans."""


ALL_DAYS: Final = 36_525
"""Partitioning.most_days of an endpoint that always returns its whole history: consecutive days take one request."""


@dataclass(frozen=True)
class Daily:
    """History by UTC day that can be fetched later."""

    name: ClassVar[CadenceName] = "daily"
    published_after: timedelta = timedelta(hours=1)
    """How long after a day's end the venue has published all of it."""
    recheck_days: int = 1
    """For how many days after that a day may be restated and is fetched again."""


@dataclass(frozen=True)
class Capture:
    """Current state, which the venue does not keep: what is not captured is lost."""

    name: ClassVar[CadenceName] = "capture"
    every_hours: int = 1
    """Length of a slot in hours, a divisor of 24; one capture per slot."""


@dataclass(frozen=True)
class Retention:
    """Which days a venue serves."""

    since: date
    """The first available day."""
    until: date | None = None
    """The last day, if the venue has stopped publishing."""
    days: int | None = None
    """How many days of history the venue keeps; None: everything since `since`."""


@dataclass(frozen=True)
class Partitioning:
    """Which days are fetched and landed together. By default every day is a partition."""

    months: Literal["never", "past", "only"] = "never"
    """past: a past month is one partition (fewer, fuller pages). only: the venue publishes whole months and no single days."""
    most_days: int | None = None
    """Maximum number of consecutive past days in one partition, for venues that limit requests rather than rows."""


CountingName = Literal["one_sided", "two_sided", "unknown"]


@dataclass(frozen=True)
class Counting:
    """What a venue's open interest counts from an instant on: one side of every contract, both sides, or unknown."""

    sides: CountingName
    known_by: str
    """How this is known, for documentation."""
    since: datetime = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Feed:
    """One data set of a venue: source `<venue>.<name>` feeding `tables`."""

    name: str
    tables: tuple[str, ...]
    description: str
    fetch: Fetch
    parse: Parse
    retention: Retention
    lacks: Lacks | None = None
    """For archives of files: tells a span that lacks days. None: an answer is whole."""
    subjects: Subjects | None = None
    """Selects the feed's subjects from the instruments of the universe; None: one subject, the whole venue."""
    follows: tuple[str, ...] = ()
    """Tables of other venues whose landed rows in a span name further subjects, by `named`."""
    named: Callable[[pl.DataFrame], Iterable[str]] | None = None
    cadence: Daily | Capture = Daily()
    partitioning: Partitioning = Partitioning()
    completeness: str = "full"
    """How much of the real events the venue reports, for documentation and for the coverage of event tables."""
    counting: tuple[Counting, ...] = ()
    """What open interest counts, oldest first; empty: one-sided, by the venue's documentation."""
    rules: Rules | None = None
    """Completeness rules of the source, if they do not follow from the other fields."""
    rules_of_subjects: Callable[[Sequence[tuple[Span, frozenset[str]]]], Any] | None = None
    """The same, given the landed spans with the subjects that each holds."""
    sample: Callable[[Page], Page] | None = None
    """What of a page is read when it is fetched, for files whose checksum vouches for the rest; None: all of it."""
    parser_version: int = 1
    """Raised by one when `parse` makes other rows of the same bytes, or reads bytes it refused: the next load then reads every
    landing of the feed again."""

    @property
    def published_after(self) -> timedelta:
        """How long after a span's end the venue has published all of it. Zero for captures."""
        return self.cadence.published_after if isinstance(self.cadence, Daily) else timedelta(0)

    @property
    def recheck_after(self) -> timedelta:
        """How long after that a span is final."""
        return timedelta(days=self.cadence.recheck_days) if isinstance(self.cadence, Daily) else timedelta(0)


@dataclass(frozen=True)
class Pulse:
    """What the answers about a span say of the market: rows of states, a digest of their values without times, and whether any
    value moves within the span, or may have moved."""

    rows: int
    digest: str
    moves: bool


class Reader(Protocol):
    """Reads the answers of a feed as a load will, when they are fetched. Implemented by sources.reading."""

    @property
    def version(self) -> str:
        """Version of the code that reads; what it could not read is read again once that has changed."""
        ...

    def unreadable(self, pages: Sequence[Page], span: Span, fetched_at: datetime) -> Mapping[str, SourceFormatError]:
        """Why the answers about a subject cannot be read, by subject; empty if all can be."""
        ...

    def pulse(self, span: Span) -> Pulse | None:
        """What the answers about a span that were read say of the market's state; None if that was not noted."""
        ...


@dataclass(frozen=True)
class Secret:
    """A header whose value comes from the environment and is never recorded."""

    header: str
    variable: str
    required: bool = True


@dataclass(frozen=True)
class Venue:
    """A venue: `name` is its key in sources.registry and the first part of its source ids.

    `endpoints` are base URLs by name; settings may override each (`endpoints` in leverhouse.toml, key `<venue>.<name>`),
    also with a file:// URL of a local mirror. `optional_endpoints` matches names of endpoints that have no default and exist
    only if the settings define them. `check` raises for error codes in a response and does nothing else; `weights`
    is the response header with the used weight of each budget; `forbidden_wait` is for venues that send 403 to too many
    requests: the seconds to wait. `ignored_in_digest` matches irrelevant content that differs in every response, such as the
    venue's clock, so that an unchanged response can be distinguished from a restated one. The feed `instruments`, if there
    is one, is fetched first, because other feeds take their subjects from it. The feed `turnover` has no table: `turnover`
    reads the 24-hour turnover in dollars by asset from its pages, which determines the universe.
    """

    name: str
    endpoints: Mapping[str, str]
    limits: tuple[Limit, ...]
    feeds: tuple[Feed, ...]
    optional_endpoints: re.Pattern[str] | None = None
    check: Callable[[Page], None] = lambda page: None
    weights: Mapping[str, str] = field(default_factory=dict)
    concurrency: int = 8
    forbidden_wait: float | None = None
    secrets: tuple[Secret, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request."""
    ignored_in_digest: re.Pattern[bytes] | None = None
    turnover: Callable[[Sequence[Page]], Mapping[str, float]] | None = None
    notes: str = ""
    streams: tuple[Stream, ...] = ()
    """Public websocket streams, which pipelines.recorder listens to; nothing of them can be fetched."""

    def feed(self, name: str) -> Feed:
        """The feed `name`. Raises KeyError."""
        return {feed.name: feed for feed in self.feeds}[name]

    def source(self, feed: Feed | Stream) -> str:
        return f"{self.name}.{feed.name}"


def milliseconds(moment: datetime) -> int:
    """Milliseconds since the epoch of a naive UTC instant."""
    return (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
