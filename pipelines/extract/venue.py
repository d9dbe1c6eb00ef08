"""What a venue's module declares: where it is reached, how fast it may be asked, and which feeds it has.

The types only; a module in pipelines/sources fills them, extract.fetch acts on them. No HTTP, no parsing.
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
from pipelines.extract.rate_limits import Limit

if TYPE_CHECKING:
    import polars as pl


CadenceName = Literal["daily", "capture"]

Outcome = Literal["complete", "empty", "not_yet_published"]

WHOLE_VENUE: Final = "*"
"""Subject of a page that is about a venue and not about one of its instruments."""


@dataclass(frozen=True)
class Page:
    """One answer as received. `subject` is the instrument (or family of them) that was asked for.

    `request` names the endpoint by its place in Venue.endpoints and holds no secret; `received_at` is naive UTC.
    """

    subject: str
    request: Mapping[str, Any]
    status: int
    received_at: datetime
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def json(self) -> Any:
        """The body as JSON, read once. Raises SourceFormatError naming the request where it is none."""
        return self._content

    @cached_property
    def _content(self) -> Any:
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise SourceFormatError(f"{self.where}: the answer is not JSON ({error}): {self.excerpt}") from error

    def clear_cache(self) -> None:
        """Let go of the JSON, which takes many times the room of the body; `json` reads it again."""
        self.__dict__.pop("_content", None)

    @property
    def where(self) -> str:
        """The request in words, for errors."""
        params = ", ".join(f"{key}={value}" for key, value in (self.request.get("params") or {}).items())
        return f"{self.request.get('endpoint', '')}{self.request.get('path', '')}" + (f" ({params})" if params else "")

    @property
    def excerpt(self) -> str:
        """The beginning of the body, for errors."""
        return repr(self.body[:200].decode("utf-8", "replace"))


@dataclass(frozen=True)
class Span:
    """Instants [start, end), naive UTC: the part of history one landing holds."""

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
        """The UTC days the span touches."""
        count = (self.end - timedelta(microseconds=1)).date() - self.start.date()
        return [self.start.date() + timedelta(days=i) for i in range(count.days + 1)]


@dataclass(frozen=True)
class Job:
    """What one fetch has to bring: pages about `subject` that hold everything in `span`."""

    subject: str
    span: Span
    instrument: Mapping[str, Any] = field(default_factory=dict)
    """The row of clean.instruments that held in `span`; empty where the subject is no instrument."""
    held: Callable[[], Iterable[Page]] = field(default=tuple, compare=False, repr=False)
    """The subject's pages as they were landed before; none on the first fetch. Where the venue says that one of them has not
    changed, a feed may hand on the held page instead of fetching it again."""


class Api(Protocol):
    """How a feed asks its venue. Limits, retries and errors are behind it."""

    @property
    def endpoints(self) -> Collection[str]:
        """Names of the base addresses there are: those the venue declares and those the settings add to them."""
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
        """One answer whose status is in `accept`. Raises TransientError when retries are used up, else PermanentError."""
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
        """The same with a JSON body, an object or a batch of them."""
        ...


class NotYetPublishedError(Exception):
    """Raised by a feed's fetch: the venue has not published this yet, and may do so later. Not an error of anybody."""


@dataclass(frozen=True)
class Parsed:
    """Canonical rows of one table from the pages of a landing.

    `rows` has the table's wire columns and `_line` (Int64), the number of the record in the landing; `rejects` has
    batch.REJECT_SCHEMA.
    """

    table: str
    rows: pl.DataFrame
    rejects: pl.DataFrame | None = None


@dataclass(frozen=True)
class Context:
    """What a parser may know besides the pages: instruments as they were, and when the landing was fetched.

    `instruments` has the wire columns of clean.instruments, one row per instrument: as published at the landing's span, or
    the oldest that is known where the span lies before the first capture.
    """

    venue: str
    fetched_at: datetime
    span: Span
    instruments: pl.DataFrame


Fetch = Callable[[Api, Job], AsyncIterator[Page]]
"""Brings the pages of a job. Reads what they are linked by before it yields them: the JSON of a page that is handed on is let go,
for a page parsed takes many times its room, and the collector's time."""

Parse = Callable[[Sequence[Page], Context], Iterator[Parsed]]
Subjects = Callable[["pl.DataFrame"], Mapping[str, Mapping[str, Any]]]
"""Names of what a feed asks for, each with the row of clean.instruments behind it (empty where there is none)."""

Rules = Callable[[Sequence[Span]], Any]
"""What a source says of its completeness (clean.batch.SourceRules), given the spans that are landed."""


ALL_DAYS: Final = 36_525
"""Partitioning.most_days of an endpoint that answers with all of history whatever is asked: days in a row are one question."""


@dataclass(frozen=True)
class Daily:
    """History by UTC day, which can be asked for later."""

    name: ClassVar[CadenceName] = "daily"
    published_after: timedelta = timedelta(hours=1)
    """How long after a day's end the venue has all of it."""
    recheck_days: int = 1
    """For how many days after that a day may be restated and is asked for again."""


@dataclass(frozen=True)
class Capture:
    """The state of this moment, which the venue forgets: what is not captured is lost."""

    name: ClassVar[CadenceName] = "capture"
    every_hours: int = 1
    """Length of a slot; one capture a slot. Divides 24."""


@dataclass(frozen=True)
class Retention:
    """Which days a venue has."""

    since: date
    """The first day there is."""
    until: date | None = None
    """The last day, where the venue stopped."""
    days: int | None = None
    """How many days back the venue remembers; None: everything since `since`."""


@dataclass(frozen=True)
class Partitioning:
    """Which days are fetched, and landed, as one. A day stands for itself unless something else is said."""

    months: Literal["never", "past", "only"] = "never"
    """past: a past month is fetched as one (fewer, fuller pages). only: a month is one or nothing, there are no files of days."""
    most_days: int | None = None
    """Past days in a row are fetched as one, so many at most: for venues that count requests and not rows."""


@dataclass(frozen=True)
class Feed:
    """One data set of a venue: source `<venue>.<name>` feeding `tables`."""

    name: str
    tables: tuple[str, ...]
    description: str
    fetch: Fetch
    parse: Parse
    retention: Retention
    subjects: Subjects | None = None
    """Picks, from the instruments of the universe, what the feed asks for; None: one question for the whole venue."""
    cadence: Daily | Capture = Daily()
    partitioning: Partitioning = Partitioning()
    completeness: str = "full"
    """How much of the truth the venue reports, for people and for the coverage of event tables."""
    rules: Rules | None = None
    """What the source says of its completeness, where that does not follow from the above."""

    @property
    def published_after(self) -> timedelta:
        """How long after a span's end the venue has all of it. A capture is complete when it is made."""
        return self.cadence.published_after if isinstance(self.cadence, Daily) else timedelta(0)

    @property
    def recheck_after(self) -> timedelta:
        """How long after that a span is final."""
        return timedelta(days=self.cadence.recheck_days) if isinstance(self.cadence, Daily) else timedelta(0)


@dataclass(frozen=True)
class Secret:
    """A header whose value comes from the environment and is never recorded."""

    header: str
    variable: str
    required: bool = True


@dataclass(frozen=True)
class Venue:
    """A venue: `name` is the module and the first part of its sources' ids.

    `endpoints` are base addresses by name; settings may replace each (`endpoints` in leverhouse.toml, key
    `<venue>.<name>`), also by a file:// address of a local mirror. `check` looks at every answer, raises for error codes in
    it and does nothing else; `weights` names the response header in which the venue counts each budget; `forbidden_wait`
    is for venues that answer 403 to too many requests: how long they want to be left alone.
    `volatile` matches what every answer holds and means nothing by, such as the venue's clock, so that the same answer can
    be told from a restated one. The feed `instruments`, where there is one, is fetched first and tells the others what
    there is. The feed `turnover` feeds no table: `turnover` reads dollars traded in 24 hours by asset from its pages, which
    decides the universe.
    """

    name: str
    endpoints: Mapping[str, str]
    limits: tuple[Limit, ...]
    feeds: tuple[Feed, ...]
    check: Callable[[Page], None] = lambda page: None
    weights: Mapping[str, str] = field(default_factory=dict)
    concurrency: int = 8
    forbidden_wait: float | None = None
    secrets: tuple[Secret, ...] = ()
    ignored_in_digest: re.Pattern[bytes] | None = None
    turnover: Callable[[Sequence[Page]], Mapping[str, float]] | None = None
    notes: str = ""

    def feed(self, name: str) -> Feed:
        """The feed `name`. Raises KeyError."""
        return {feed.name: feed for feed in self.feeds}[name]

    def source(self, feed: Feed) -> str:
        return f"{self.name}.{feed.name}"


def milliseconds(moment: datetime) -> int:
    """Milliseconds since the epoch of a naive UTC instant."""
    return (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1)
