"""The recorder of one stream: which connections there are, when they are opened again, and the segments their frames go to.

Drops nothing: while the disk is slower than the venue, connections are read no further. A disk that cannot be written ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import aiohttp
import polars as pl

from pipelines.core.errors import LeverhouseError, MachineError
from pipelines.extract.landing import Landing, LandingStore
from pipelines.extract.stream import EPOCH, Channel, FrameKind, Stream
from pipelines.recorder.connection import Connection
from pipelines.recorder.seal import seal, seal_abandoned
from pipelines.recorder.segment import Carried, Segment
from pipelines.recorder.state import ConnectionState, State, write_state
from pipelines.recorder.times import Times

FLUSH_SECONDS: Final = 0.5
SEGMENT_BYTES: Final = 64 << 20
MOST_PENDING: Final = 16 << 20
"""Bytes waiting to be written beyond which no connection is read."""

REFRESH: Final = timedelta(minutes=30)
"""How often the venue's instruments are read again: a new one is followed within the hour."""

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
STEADY_SECONDS: Final = 60.0
"""A connection that lasted so long was none of a churn: the next wait begins anew."""

OVERLAP: Final = timedelta(minutes=5)
"""How long before a forced end the next connection is opened."""

HANDOVER_SECONDS: Final = 30.0
STATE_SECONDS: Final = 5.0
CHURN_WINDOW: Final = 600.0

Instruments = Callable[[], Awaitable[pl.DataFrame]]
"""The venue's instruments as listed now, with the columns of clean.instruments."""


@dataclass
class Writer:
    """Takes the frames of all connections; see connection.Sink. `write` runs in a thread unless `in_thread` is off."""

    store: LandingStore
    source: str
    recorder: str
    times: Times
    is_counted: bool
    segment_bytes: int = SEGMENT_BYTES
    in_thread: bool = True
    landed: list[Landing] = field(default_factory=list)
    frames: int = 0
    is_full: bool = False

    def __post_init__(self) -> None:
        self._carried = Carried()
        self._drained = asyncio.Event()
        self._segment = Segment.create(self.store.home, self.source, self.recorder, self.times.wall_us())

    def frame(self, connection: str, wall_us: int, number: int, kind: FrameKind, payload: bytes) -> None:
        """Keep a frame; it is written by the next flush."""
        line = self._segment.append(connection, wall_us, self.times.monotonic_us(), number, kind, payload)
        if kind != "P":
            self.frames += 1
            if self.is_counted:
                self._carried.add(wall_us, line)
        if self._segment.pending_bytes > MOST_PENDING and not self.is_full:
            self.is_full = True
            self._drained.clear()

    def note(self, connection: str, event: Mapping[str, Any]) -> None:
        """Keep what happened to a connection."""
        self._segment.note(connection, self.times.wall_us(), self.times.monotonic_us(), event)

    async def drained(self) -> None:
        """Wait until there is room again."""
        await self._drained.wait()

    async def flush(self) -> None:
        """Write and sync. Raises OSError."""
        await self._run(self._segment.flush)
        if self._segment.pending_bytes <= MOST_PENDING:
            self.is_full = False
            self._drained.set()

    @property
    def is_due(self) -> bool:
        """Whether the segment is to be sealed: it is large, or a new hour has begun."""
        hour = 3_600_000_000
        started = self._segment.header.started_us
        return self._segment.size >= self.segment_bytes or self.times.wall_us() // hour != started // hour

    async def roll(self, connections: list[Connection]) -> None:
        """Begin a new segment and seal the one before."""
        for one in connections:
            one.note_alive()
        old = self._segment
        now = max(self.times.wall_us(), old.header.started_us + 1)
        self._segment = Segment.create(self.store.home, self.source, self.recorder, now)
        for line in self._carried.lines(now):
            self._segment.append_line(line)
        for one in connections:
            one.note_listening()
        await self._seal(old)

    def abandon(self) -> None:
        """Close the segment as it is; the next start seals it."""
        self._segment.close()

    async def close(self) -> None:
        """Seal the last segment."""
        await self._seal(self._segment)

    async def _seal(self, segment: Segment) -> None:
        def work() -> Landing | None:
            segment.flush()
            segment.close()
            return seal(self.store, segment.path, clock=self.times.now)

        landing = await self._run(work)
        if landing is not None:
            self.landed.append(landing)

    async def _run(self, work: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(work) if self.in_thread else work()


@dataclass
class Slot:
    """A place for one connection and its successor: the topics it carries, and what became of the connections before."""

    channel: Channel
    topics: dict[str, str]
    current: Connection | None = None
    failures: int = 0
    last_end: str = ""

    @property
    def asking_seconds(self) -> float:
        """How long it takes to ask for all topics, frame by frame."""
        return self.channel.pause * math.ceil(len(self.topics) / self.channel.topics_per_frame)


@dataclass
class Recorder:
    """Listens to one stream until it is stopped. `endpoints` are base addresses by name, those of the stream by default."""

    store: LandingStore
    venue: str
    stream: Stream
    instruments: Instruments
    recorder: str
    http: aiohttp.ClientSession
    times: Times = field(default_factory=Times)
    endpoints: Mapping[str, str] = field(default_factory=dict)
    segment_bytes: int = SEGMENT_BYTES
    in_thread: bool = True
    jitter: Callable[[], float] = random.random
    reconnects: deque[float] = field(default_factory=deque)
    overlap: timedelta = OVERLAP

    def __post_init__(self) -> None:
        self.source = f"{self.venue}.{self.stream.name}"
        self.slots: list[Slot] = []
        self.problem: str | None = None
        self._live: list[Connection] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._numbers = 0
        self._connects: deque[float] = deque()
        self._started = self.times.now()
        self._stopping = asyncio.Event()
        self._writer: Writer | None = None
        self._group: asyncio.TaskGroup | None = None

    @property
    def landed(self) -> list[Landing]:
        return self._writer.landed if self._writer else []

    @property
    def frames(self) -> int:
        return self._writer.frames if self._writer else 0

    def stop(self) -> None:
        """Ask the recorder to end in order: connections are closed, and the segment is sealed."""
        self._stopping.set()

    async def run(self) -> None:
        """Record until `stop`. Raises MachineError if the disk cannot be written; what was written before stays."""
        try:
            await self._run_work(lambda: seal_abandoned(self.store, self.source, clock=self.times.now))
            self._writer = writer = Writer(
                self.store, self.source, self.recorder, self.times, self.stream.is_counted, self.segment_bytes, self.in_thread
            )  # fmt: skip
            async with asyncio.TaskGroup() as group:
                self._group = group
                tasks = [group.create_task(work()) for work in (self._follow, self._report)]
                group.create_task(self._write(writer))
                await self._stopping.wait()
                for task in (*tasks, *self._keepers):
                    task.cancel()
            await asyncio.gather(*(one.leave("stopped") for one in self._live))
            await writer.close()
            self._write_state()
        except* OSError as errors:
            await asyncio.gather(*(one.leave("disk cannot be written") for one in self._live), return_exceptions=True)
            if self._writer is not None:
                self._writer.abandon()
            error = next(iter(errors.exceptions))
            self.problem = f"cannot write: {error}"
            with contextlib.suppress(OSError):
                self._write_state()
            raise MachineError(
                f"{self.source}: the recorder stopped listening because its segment cannot be written ({error}). What was "
                "written stays and is landed by the next start; free space, then start it again."
            ) from error

    async def _run_work(self, work: Callable[[], Any]) -> Any:
        return await asyncio.to_thread(work) if self.in_thread else work()

    # Writing ---------------------------------------------------------------------------------------------------------

    async def _write(self, writer: Writer) -> None:
        """Ends by itself: a write in a thread goes on when its task is cancelled."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._stopping.wait()
            await writer.flush()
            if writer.is_due:
                await writer.roll(self._live)

    async def _report(self) -> None:
        while True:
            self._write_state()
            await asyncio.sleep(STATE_SECONDS)

    # Which connections there are -------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Connect to what is listed now, and keep up with listings."""
        while True:
            try:
                listed = await self.instruments()
            except LeverhouseError as error:
                self.problem = f"instruments unknown: {error}"
            else:
                self.problem = None
                for channel in self.stream.channels:
                    self._assign(channel, dict(channel.topics(listed)))
            wait = REFRESH.total_seconds() if self.problem is None else LONGEST_WAIT
            await asyncio.sleep(wait)

    def _assign(self, channel: Channel, wanted: dict[str, str]) -> None:
        """Bring the slots of a channel to the topics that are wanted."""
        slots = [slot for slot in self.slots if slot.channel.name == channel.name]
        known: set[str] = set()
        for slot in slots:
            gone = [topic for topic in slot.topics if topic not in wanted]
            for topic in gone:
                del slot.topics[topic]
            if gone and slot.current is not None:
                slot.current.drop(gone)
            known |= set(slot.topics)
        fresh = [topic for topic in wanted if topic not in known]
        for slot in slots:
            room = channel.topics_per_connection - len(slot.topics)
            added = {topic: wanted[topic] for topic in fresh[:room]} if room > 0 else {}
            fresh = fresh[len(added) :]
            if added:
                slot.topics |= added
                if slot.current is not None and slot.current.heard:
                    slot.current.add(added)
        most = channel.topics_per_connection
        for first in range(0, len(fresh), most):
            slot = Slot(channel, {topic: wanted[topic] for topic in fresh[first : first + most]})
            self.slots.append(slot)
            if self._group is not None:
                self._keepers.append(self._group.create_task(self._keep(slot)))

    async def _keep(self, slot: Slot) -> None:
        """Keep a slot connected: again after every end, with growing waits, and before every announced end."""
        while True:
            await self._may_connect()
            one = self._connection(slot)
            slot.current = one
            began = self.times.monotonic()
            why = await self._until_replaced(slot, one)
            slot.last_end = why
            if why == "replaced":
                slot.failures = 0
                continue
            self.reconnects.append(self.times.monotonic())
            if self.times.monotonic() - began >= STEADY_SECONDS:
                slot.failures = 0
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2**slot.failures)
            slot.failures = min(slot.failures + 1, 10)
            # Between half and all of it, so that what was cut off at one moment does not come back at one moment.
            await asyncio.sleep(wait * (0.5 + 0.5 * self.jitter()))

    async def _until_replaced(self, slot: Slot, one: Connection) -> str:
        """Run a connection to its end; before the venue ends it, another is opened, and closed is the old one once that listens."""
        running = self._start(one)
        try:
            while True:
                # Looked at each second: a venue may ask to leave at any time.
                done, _ = await asyncio.wait({running}, timeout=min(1.0, self._lasts(one)))
                if done:
                    return running.result()
                if self._lasts(one) > 0:
                    continue
                await self._may_connect()
                successor = self._connection(slot)
                taking_over = self._start(successor)
                until = self.times.monotonic() + HANDOVER_SECONDS + slot.asking_seconds
                # The old one shows a sign of life after the new one listens, so that there is no pause between their spans.
                while (
                    not (successor.is_settled and one.alive_us >= successor.listening_us)
                    and not taking_over.done()
                    and not running.done()
                    and self.times.monotonic() < until
                ):
                    await asyncio.sleep(0.05)
                if successor.is_settled or running.done():
                    await one.leave("replaced")
                    await asyncio.wait({running})
                    slot.current, one, running = successor, successor, taking_over
                    continue
                await successor.leave("not in time")
                await asyncio.wait({taking_over})
                if one.asked_to_leave is not None:
                    done, _ = await asyncio.wait({running}, timeout=HANDOVER_SECONDS)
        finally:
            for task in (running,):
                if not task.done():
                    await one.leave("stopped")
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    def _lasts(self, one: Connection) -> float:
        """Seconds until the next connection is to be opened."""
        if one.asked_to_leave is not None:
            return 0.0
        if self.stream.forced_end is None:
            return math.inf
        end = self.stream.forced_end.total_seconds() - self.overlap.total_seconds()
        left = one.opened_at + end - self.times.monotonic() if one.opened_at else end
        return max(0.0, left)

    def _start(self, one: Connection) -> asyncio.Task[str]:
        self._live.append(one)

        async def run() -> str:
            try:
                return await one.run()
            finally:
                self._live.remove(one)

        return asyncio.create_task(run())

    def _connection(self, slot: Slot) -> Connection:
        self._numbers += 1
        base = self.endpoints.get(slot.channel.endpoint) or self.stream.endpoints[slot.channel.endpoint]
        writer = self._writer
        if writer is None:
            raise RuntimeError("a connection needs a segment")
        return Connection(
            f"c{self._numbers}", self.stream, slot.channel, base, dict(slot.topics), writer, self.http, self.times
        )

    async def _may_connect(self) -> None:
        """Wait for a place among the connections that the venue allows."""
        most, seconds = self.stream.connects
        while True:
            now = self.times.monotonic()
            while self._connects and now - self._connects[0] >= seconds:
                self._connects.popleft()
            if len(self._connects) < most:
                self._connects.append(now)
                return
            await asyncio.sleep(self._connects[0] + seconds - now)

    # What is known of it ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        now = self.times.monotonic()
        while self.reconnects and now - self.reconnects[0] > CHURN_WINDOW:
            self.reconnects.popleft()
        return State(
            source=self.source,
            recorder=self.recorder,
            started_at=self._started,
            written_at=self.times.now(),
            frames=self.frames,
            reconnects=len(self.reconnects),
            problem=self.problem,
            connections=tuple(
                ConnectionState(
                    one.name, one.channel.name, one.state, len(one.heard), len(one.topics), tuple(sorted(one.refused)),
                    _moment(one.last_frame_us), _moment(one.alive_us),
                )
                for one in self._live
            ),
        )  # fmt: skip

    def _write_state(self) -> None:
        write_state(self.store.home, self.state)


def _moment(at_us: int) -> Any:
    return EPOCH + timedelta(microseconds=at_us) if at_us else None
