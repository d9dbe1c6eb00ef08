"""The types a venue's module declares its public websocket streams with, and how recorded frames are written as lines.

Modules in pipelines/sources create them, pipelines.recorder listens by them, parsers read the lines. No socket here.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

from pipelines.core.errors import SourceFormatError
from pipelines.extract.venue import Capture, Feed, Page, Parse, Retention

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import polars as pl

    from pipelines.extract.venue import Api, Job

EVERY_INSTRUMENT: Final = "*"
"""Instrument of a topic that carries all instruments of its channel."""

Kind = Literal["data", "alive", "acknowledged", "refused", "reconnect", "other"]
"""What a frame is to the recorder. data: it may hold events. alive: the control, which proves that the connection works.
acknowledged, refused: an answer to a subscription. reconnect: the venue will close. other: anything else, which proves nothing."""


@dataclass(frozen=True)
class Heard:
    """A frame as the recorder understands it; whatever it is, it is kept as received.

    `topics` are those acknowledged or refused; without any, the answer is about the oldest unanswered request. `request` is
    the number of the request that is answered, where the venue repeats it. `reply` is sent back at once.
    """

    kind: Kind
    topics: tuple[str, ...] = ()
    request: int | None = None
    message: str = ""
    reply: str | None = None
    is_alive: bool = False
    """Whether the frame also proves that the connection delivers; data and alive always do."""


DATA: Final = Heard("data", is_alive=True)
ALIVE: Final = Heard("alive", is_alive=True)
OTHER: Final = Heard("other")


@dataclass(frozen=True)
class KeepAlive:
    """What keeps a connection open and shows that it lives.

    `request` makes the text that is sent every `every` seconds, given the time; None sends a ping frame. A connection without any
    sign of life (the answer, the control, an event) for `stalled_after` seconds is closed as stalled. `pong_counts` says
    whether a pong frame is a sign of life: it is not where only a busy topic proves that the venue delivers.
    """

    every: float
    stalled_after: float
    request: Callable[[datetime], str] | None = None
    pong_counts: bool = True


@dataclass(frozen=True)
class Channel:
    """One address of a stream, and its topics.

    `topics` maps every topic to subscribe to the instrument it carries (EVERY_INSTRUMENT for all), given the venue's instruments.
    `control` are topics subscribed on every connection beside them, whose frames classify as alive. `subscribe` makes the frame
    for some topics, given the number of the request.
    """

    name: str
    endpoint: str
    path: str
    topics: Callable[[pl.DataFrame], Mapping[str, str]]
    subscribe: Callable[[Sequence[str], int], str]
    greeting: tuple[str, ...] = ()
    """Frames sent first, such as those that switch a heartbeat on."""
    control: tuple[str, ...] = ()
    topics_per_frame: int = 100
    topics_per_connection: int = 800
    pause: float = 0.35
    """Seconds between two frames of one connection."""
    headers: Mapping[str, str] = field(default_factory=dict)
    is_numbered: bool = False
    """Whether topics name markets by number: the segment then says which instrument each topic carries."""
    is_acknowledged: bool = True
    """Whether the venue answers a subscription; where not, a topic counts as heard once the connection lives."""


@dataclass(frozen=True)
class Rule:
    """How much of the real events a stream carries from an instant on, and how that is known."""

    completeness: Literal["full", "throttled", "sampled"]
    known_by: str
    since: datetime = datetime(1970, 1, 1)
    per_second: float | None = None
    """Most events per instrument and second that are pushed; None: no such rule."""


@dataclass(frozen=True)
class Stream:
    """A public stream of a venue: source `<venue>.<name>` feeding `tables`. Needs no key."""

    name: str
    tables: tuple[str, ...]
    description: str
    endpoints: Mapping[str, str]
    channels: tuple[Channel, ...]
    classify: Callable[[bytes], Heard]
    keep_alive: KeepAlive
    parse: Parse
    rules: tuple[Rule, ...]
    since: date
    side: str
    """What the field for the side names, and which position it means, for documentation."""
    unit: str
    identity: str
    """By what an event is told from another, for documentation."""
    is_counted: bool = False
    """Whether equal events are told apart by their count within a connection only, since the venue gives no id."""
    numbers: Callable[[Sequence[Page]], Mapping[str, str]] | None = None
    """The venue's numbers of instruments by name, read from its list; `topics` finds them in the column `number`."""
    forced_end: timedelta | None = None
    """When the venue closes every connection; the recorder opens the next one before."""
    connects: tuple[int, float] = (20, 60.0)
    """Most connections in so many seconds."""
    notes: str = ""
    parser_version: int = 1

    @property
    def feed(self) -> Feed:
        """The stream as what the load reads: nothing is fetched, recorded frames are parsed like a capture's."""
        return Feed(
            name=self.name,
            tables=self.tables,
            description=self.description,
            fetch=_fetch_nothing,
            parse=self.parse,
            retention=Retention(since=self.since),
            cadence=Capture(),
            completeness=self.completeness,
            parser_version=self.parser_version,
        )

    @property
    def completeness(self) -> str:
        """Completeness by the newest rule."""
        return self.rules[-1].completeness


async def _fetch_nothing(api: Api, job: Job) -> AsyncIterator[Page]:
    """A stream keeps no past: what was not recorded cannot be fetched."""
    pages: tuple[Page, ...] = ()
    for page in pages:
        yield page


FrameKind = Literal["T", "B", "P", "E"]
"""T: text as received. B: bytes in base64 (binary messages, and texts with a line break). P: a pong, without payload. E: what
happened to the connection, as JSON."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One recorded frame: `wall_us` is the receive time (microseconds since the epoch, UTC), `monotonic_us` the same moment by a
    clock that never jumps, `number` counts up within a connection."""

    connection: str
    wall_us: int
    monotonic_us: int
    number: int
    kind: FrameKind
    payload: bytes

    @property
    def at(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.wall_us)


EPOCH: Final = datetime(1970, 1, 1)


def microseconds(moment: datetime) -> int:
    """Microseconds since the epoch of a naive UTC instant."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def epoch_seconds(moment: datetime) -> float:
    """Seconds since the epoch of a naive UTC instant."""
    return moment.replace(tzinfo=UTC).timestamp()


def frame_line(wall_us: int, monotonic_us: int, number: int, kind: FrameKind, payload: bytes) -> bytes:
    """A frame as a line without its end. What a line cannot hold is written in base64, so that every byte comes back."""
    if kind == "B" or (kind == "T" and (b"\n" in payload or b"\r" in payload)):
        return b"%d %d %d B %s" % (wall_us, monotonic_us, number, base64.b64encode(payload))
    return b"%d %d %d %s %s" % (wall_us, monotonic_us, number, kind.encode(), payload)


LARGEST_INFLATED: Final = 64 << 20
"""Bytes that one compressed frame may become."""

_GZIP: Final = b"\x1f\x8b"


def inflated(payload: bytes) -> bytes:
    """The text of a frame that a venue compressed itself with gzip; any other frame as it is. Raises ValueError."""
    if not payload.startswith(_GZIP):
        return payload
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        text = reader.decompress(payload, LARGEST_INFLATED)
    except zlib.error as error:
        raise ValueError(f"no gzip: {error}") from error
    if not reader.eof:
        raise ValueError("the gzip frame is cut off or too large")
    return text


def read_line(connection: str, line: bytes) -> Frame:
    """The frame of a line. Raises ValueError for a line that is none."""
    wall_us, monotonic_us, number, kind, payload = line.split(b" ", 4)
    match kind:
        case b"T" | b"P" | b"E":
            read = payload
        case b"B":
            read = base64.b64decode(payload, validate=True)
        case _:
            raise ValueError(f"no kind of a frame: {kind!r}")
    return Frame(connection, int(wall_us), int(monotonic_us), int(number), kind.decode(), read)  # type: ignore[arg-type]


def frames_of(page: Page) -> Iterator[Frame]:
    """The frames in a page of a landed segment; the page's subject is the connection. Raises SourceFormatError."""
    for line_number, line in enumerate(page.body.split(b"\n"), start=1):
        if line:
            try:
                yield read_line(page.subject, line)
            except (ValueError, binascii.Error) as error:
                raise SourceFormatError(
                    f"{page.where}: line {line_number} of connection {page.subject} is no recorded frame ({error}): "
                    f"{line[:120]!r}"
                ) from error
