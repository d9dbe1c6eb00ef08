"""One websocket connection: connects, subscribes, keeps alive, notices silence, and hands every frame to the sink as received.

What frames mean to the recorder is the stream's `classify`; when to reconnect is decided in session.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import aiohttp

from pipelines.extract.stream import Channel, FrameKind, Heard, Stream
from pipelines.recorder.times import Times

CONNECT_SECONDS: Final = 15.0
CLOSE_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 30.0
"""A subscription unanswered for so long is a fault of the connection."""

LARGEST_FRAME: Final = 16 << 20
"""Bytes of one frame; the largest known have some hundred kilobytes."""

ALIVE_NOTE_US: Final = 1_000_000
"""How often a sign of life is written down, at most."""


if TYPE_CHECKING:
    # Generic for the type checker only.
    Socket = aiohttp.ClientWebSocketResponse[Literal[False]]


class Sink(Protocol):
    """Where frames go. `is_full` says that the writer is behind: the connection then stops reading until `drained`."""

    is_full: bool

    def frame(self, connection: str, wall_us: int, number: int, kind: FrameKind, payload: bytes) -> None: ...

    def note(self, connection: str, event: Mapping[str, Any]) -> None: ...

    async def drained(self) -> None: ...


@dataclass
class _Request:
    number: int
    topics: tuple[str, ...]
    sent: float


@dataclass
class Connection:
    """A connection to one channel for some topics. `run` returns why it ended and raises nothing but what the sink raises.

    `heard` are the topics acknowledged by a connection that lives. `on_change` is called when the state changes.
    """

    name: str
    stream: Stream
    channel: Channel
    address: str
    topics: dict[str, str]
    sink: Sink
    http: aiohttp.ClientSession
    times: Times
    on_change: Callable[[], None] = lambda: None
    state: str = "connecting"
    heard: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    alive_us: int = 0
    listening_us: int = 0
    """When the newest of its topics began to be heard."""
    last_frame_us: int = 0
    opened_at: float = 0.0
    frames: int = 0
    asked_to_leave: str | None = None
    """The venue's words when it announced that it will close the connection."""

    def __post_init__(self) -> None:
        self._number = 0
        self._requests: list[_Request] = []
        self._request_number = 0
        self._alive_noted = 0
        self._alive_at = 0.0
        self._why: str | None = None
        self._to_ask: list[tuple[str, ...]] = []
        self._acknowledged: dict[str, str] = {}
        self._socket: Socket | None = None
        self._has_life = False
        self._wake = asyncio.Event()

    async def run(self) -> str:
        """Listen until the connection ends. Returns the reason."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await self.http.ws_connect(
                    self.address + self.channel.path,
                    headers=dict(self.channel.headers),
                    autoping=False,
                    autoclose=False,
                    max_msg_size=LARGEST_FRAME,
                    compress=15,
                    # As received: text stays bytes.
                    decode_text=False,
                )
        except aiohttp.WSServerHandshakeError as error:
            return f"handshake refused: status {error.status}"
        except TimeoutError:
            return "handshake unanswered"
        except (aiohttp.ClientError, OSError) as error:
            return f"not connected: {type(error).__name__}: {error}"
        self._socket = socket
        self.opened_at = self._alive_at = self.times.monotonic()
        self.state = "subscribing"
        self.sink.note(
            self.name, {"event": "opened", "channel": self.channel.name, "address": self.address, **self._markets()}
        )
        self._ask(tuple(self.topics))
        tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._watch())]
        try:
            await self._receive(socket)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            why = self._why or "closed"
            self.state = f"closed: {why}"
            self.sink.note(self.name, {"event": "closed", "why": why, "alive_us": self.alive_us})
            self.on_change()
            with contextlib.suppress(TimeoutError, OSError, aiohttp.ClientError, RuntimeError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await socket.close()
        for task in tasks:
            if not task.cancelled() and isinstance(fault := task.exception(), OSError | RuntimeError):
                self._why = self._why or f"not sent: {fault}"
        return self._why or "closed"

    def add(self, topics: Mapping[str, str]) -> None:
        """Subscribe to further topics on the open connection."""
        self.topics |= topics
        if self.channel.is_numbered:
            self.sink.note(self.name, {"event": "asked", **self._markets()})
        self._ask(tuple(topics))

    def drop(self, topics: Sequence[str]) -> None:
        """Listen no more to topics of instruments that have ended. Nothing is sent: nothing comes of them."""
        for topic in topics:
            for known in (self.topics, self.heard, self.refused, self._acknowledged):
                known.pop(topic, None)
        self.note_listening()

    async def leave(self, why: str) -> None:
        """Close the connection in order."""
        self._why = self._why or why
        if self._socket is not None and not self._socket.closed:
            with contextlib.suppress(TimeoutError, OSError, aiohttp.ClientError, RuntimeError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._socket.close()

    @property
    def is_listening(self) -> bool:
        return self.state == "listening"

    @property
    def is_settled(self) -> bool:
        """Whether every topic was answered, and the connection listens."""
        return self.is_listening and not self._requests and not self._to_ask

    def note_listening(self) -> None:
        """Write down to what is listened from the last sign of life on, as at the start of a segment."""
        if self.is_listening:
            since = self.alive_us or self.times.wall_us()
            self.sink.note(
                self.name,
                {
                    "event": "listening", "channel": self.channel.name, "address": self.address,
                    "instruments": sorted(set(self.heard.values())), "since_us": since, **self._markets(),
                },
            )  # fmt: skip

    def _markets(self) -> dict[str, Any]:
        """Which market each topic is, where topics are numbers; frames are read by it."""
        return {"topics": self.topics} if self.channel.is_numbered else {}

    def note_alive(self) -> None:
        """Write down the last sign of life."""
        if self.alive_us > self._alive_noted and self.is_listening:
            self._alive_noted = self.alive_us
            self.sink.note(self.name, {"event": "alive", "at_us": self.alive_us})

    # What is received ------------------------------------------------------------------------------------------------

    async def _receive(self, socket: Socket) -> None:
        sink, name, classify, wall = self.sink, self.name, self.stream.classify, self.times.wall_us
        while True:
            message = await socket.receive()
            now = wall()
            kind = message.type
            if kind is aiohttp.WSMsgType.TEXT or kind is aiohttp.WSMsgType.BINARY:
                is_text = kind is aiohttp.WSMsgType.TEXT
                payload: bytes = message.data
                self._number += 1
                self.frames += 1
                self.last_frame_us = now
                sink.frame(name, now, self._number, "T" if is_text else "B", payload)
                try:
                    heard = classify(payload)
                except (ValueError, KeyError, TypeError, AttributeError, IndexError):
                    # It is kept, and the load will say what is wrong with it.
                    continue
                if heard.is_alive:
                    self._live(now)
                if heard.kind not in ("data", "alive"):
                    await self._take(heard, now)
                if heard.reply is not None:
                    await self._send_text(heard.reply)
                if sink.is_full:
                    await sink.drained()
            elif kind is aiohttp.WSMsgType.PING:
                await socket.pong(message.data)
            elif kind is aiohttp.WSMsgType.PONG:
                self._number += 1
                sink.frame(name, now, self._number, "P", b"")
                if self.stream.keep_alive.pong_counts:
                    self._live(now)
            else:
                self._why = self._why or _end_of(kind, message.data, message.extra)
                return

    def _live(self, now_us: int) -> None:
        self.alive_us = now_us
        self._alive_at = self.times.monotonic()
        if not self._has_life:
            self._has_life = True
            self._listen(now_us)
        elif now_us - self._alive_noted >= ALIVE_NOTE_US and self.is_listening:
            self.note_alive()

    async def _take(self, heard: Heard, now_us: int) -> None:
        if heard.kind == "reconnect":
            self.asked_to_leave = heard.message or "asked to reconnect"
            self.on_change()
            return
        if heard.kind not in ("acknowledged", "refused"):
            return
        request = self._answered(heard)
        topics = heard.topics or (request.topics if request else ())
        if heard.kind == "acknowledged" or "already" in heard.message.lower():
            self._acknowledged |= {topic: self.topics[topic] for topic in topics if topic in self.topics}
            # The answer shows that the connection works; where only the control proves delivery, it is waited for.
            if self.stream.keep_alive.pong_counts:
                self.alive_us, self._alive_at, self._has_life = now_us, self.times.monotonic(), True
            self._listen(now_us)
            return
        wanted = [topic for topic in topics if topic in self.topics]
        if len(wanted) > 1:
            # One refused topic sinks its whole frame: halve until it is found.
            half = len(wanted) // 2
            self._ask(tuple(wanted[:half]))
            self._ask(tuple(wanted[half:]))
        elif wanted:
            self.refused[wanted[0]] = heard.message
            instruments = [self.topics[wanted[0]]]
            self.sink.note(self.name, {"event": "refused", "instruments": instruments, "message": heard.message[:300]})
        self.on_change()

    def _answered(self, heard: Heard) -> _Request | None:
        """The request that an answer belongs to, which is then no longer waited for."""
        found: _Request | None = None
        if heard.request is not None:
            found = next((one for one in self._requests if one.number == heard.request), None)
        elif heard.topics:
            found = next((one for one in self._requests if set(heard.topics) & set(one.topics)), None)
        elif self._requests:
            found = self._requests[0]
        if found is None:
            return None
        left = tuple(topic for topic in found.topics if topic not in heard.topics) if heard.topics else ()
        place = self._requests.index(found)
        # Venues that answer each topic by itself leave the others open.
        self._requests[place : place + 1] = [_Request(found.number, left, found.sent)] if left else []
        return found

    def _listen(self, now_us: int) -> None:
        """Count as heard what was acknowledged, once the connection is known to deliver."""
        if not self._has_life:
            return
        fresh = {topic: name for topic, name in self._acknowledged.items() if topic not in self.heard}
        if not fresh:
            return
        if self.is_listening:
            self.note_alive()
        self.heard |= fresh
        self.state = "listening"
        self.alive_us = self.listening_us = max(self.alive_us, now_us)
        self.note_listening()
        self.on_change()

    # What is sent ----------------------------------------------------------------------------------------------------

    def _ask(self, topics: Sequence[str]) -> None:
        most = self.channel.topics_per_frame
        self._to_ask += [tuple(topics[i : i + most]) for i in range(0, len(topics), most)]
        self._wake.set()

    async def _send(self) -> None:
        for text in self.channel.greeting:
            await self._send_text(text)
        if self.channel.control:
            self._request_number += 1
            await self._send_text(self.channel.subscribe(self.channel.control, self._request_number))
        if not self.channel.is_acknowledged:
            self._acknowledged = dict(self.topics)
        await self._send_ping()
        while True:
            while self._to_ask:
                topics = self._to_ask.pop(0)
                self._request_number += 1
                text = self.channel.subscribe(topics, self._request_number)
                if self.channel.is_acknowledged:
                    self._requests.append(_Request(self._request_number, topics, self.times.monotonic()))
                await self._send_text(text)
                await asyncio.sleep(self.channel.pause)
            self._wake.clear()
            await self._wake.wait()

    async def _watch(self) -> None:
        """Send what keeps the connection alive, and close it when it is silent."""
        keep = self.stream.keep_alive
        sent = self.times.monotonic()
        while True:
            now = self.times.monotonic()
            silent = now - self._alive_at
            late = [one for one in self._requests if now - one.sent > ANSWER_SECONDS]
            if silent >= keep.stalled_after or late:
                self._why = "stalled: no sign of life" if silent >= keep.stalled_after else "subscription unanswered"
                self.state = self._why
                self.on_change()
                await self._abort()
                return
            if now - sent >= keep.every:
                sent = now
                await self._send_ping()
            wait = min(keep.every - (now - sent), keep.stalled_after - silent)
            await asyncio.sleep(max(0.01, min(wait, ANSWER_SECONDS if self._requests else wait)))

    async def _abort(self) -> None:
        """End a connection whose other side does not answer: a closing handshake would wait for it."""
        socket = self._socket
        if socket is not None and socket._conn is not None and socket._conn.transport is not None:  # noqa: SLF001 - aiohttp has no public way
            socket._conn.transport.abort()  # noqa: SLF001

    async def _send_ping(self) -> None:
        request = self.stream.keep_alive.request
        if request is not None:
            await self._send_text(request(self.times.now()))
        elif self._socket is not None:
            with contextlib.suppress(ConnectionError, RuntimeError):
                await self._socket.ping()

    async def _send_text(self, text: str) -> None:
        if self._socket is not None:
            # A connection that breaks while something is sent is noticed by the receiver.
            with contextlib.suppress(ConnectionError, RuntimeError):
                await self._socket.send_str(text)


def _end_of(kind: aiohttp.WSMsgType, data: Any, extra: str | None) -> str:
    """Why a connection ended, from the last message that aiohttp gives."""
    match kind:
        case aiohttp.WSMsgType.CLOSE:
            return f"closed by the venue: {data} {extra or ''}".strip()
        case aiohttp.WSMsgType.ERROR:
            return f"broken: {type(data).__name__}: {data}"
        case _:
            return "connection lost"
