"""The websocket side of the emulator: serves venues' streams from the simulated market, with injected faults and a log.

What the venues' frames look like is in sandbox/venues (<venue>_stream.py). The log says what was sent to whom and when, so that a
test can compare it with what a recorder landed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import importlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

from aiohttp import WSMsgType, web

from pipelines.sandbox.market_model import Listing, MarketModel

STREAMING: Final = frozenset(
    {
        "aster", "binance", "bitfinex", "bitget", "bybit", "deribit", "dydx", "gate", "htx", "kraken", "lighter", "okx",
    }
)  # fmt: skip
"""Venues with a module <venue>_stream in sandbox/venues."""

COMPRESSED: Final = frozenset({"htx"})
"""Venues that send every frame as gzip in a binary message."""

STEP_SECONDS: Final = 0.2
"""How often a connection looks for new events, as venues push in batches."""

StreamFaultKind = Literal[
    "refused", "closed", "silent", "no_pong", "split", "duplicate", "disorder", "malformed", "binary", "topic_refused",
    "skew", "burst",
]  # fmt: skip
"""refused: the handshake gets `status`. closed: close code `code` after `after` seconds. silent: nothing is sent any more, and
the connection stays open. no_pong: pings and requests for a pong are not answered. split: each frame in fragments. duplicate:
every push twice. disorder: the events of a push in reverse. malformed: a frame that is no JSON before every push. binary: text in
binary messages. topic_refused: topics that contain `topic` are refused. skew: the venue's clock is `seconds` ahead. burst: `count`
made-up events a second."""


@dataclass(frozen=True)
class StreamFault:
    """A fault of `times` connections to `venue`, beginning with number `first` (from 1), from `after` seconds on."""

    venue: str
    kind: StreamFaultKind
    first: int = 1
    times: int = 1
    after: float = 0.0
    status: int = 429
    code: int = 1001
    topic: str = ""
    seconds: float = 0.0
    count: int = 0


@dataclass(frozen=True)
class Event:
    """A liquidation that a venue pushes: amounts per unit of the asset, `side` of the position."""

    listing: Listing
    at: datetime
    number: int
    side: str
    price: float
    quantity_base: float


@dataclass
class Client:
    """One connected recorder, as the venue sees it. `state` is the venue's own."""

    number: int
    path: str
    opened_at: datetime
    topics: set[str] = field(default_factory=set)
    state: dict[str, Any] = field(default_factory=dict)


class Speaker(Protocol):
    """How a venue's stream talks. Frames are texts; those of `frames` carry events."""

    paths: Sequence[str]
    ping_every: float | None
    """Seconds between the venue's ping frames; None: it sends none."""
    tick_every: float | None
    """Seconds between its heartbeats or pushes of a busy topic."""
    listings: Sequence[Listing]

    def receive(self, client: Client, text: str, now: datetime, refused: Callable[[str], bool]) -> Sequence[str]:
        """Answers to a message; changes the client's topics."""
        ...

    def tick(self, client: Client, now: datetime) -> Sequence[str]: ...

    def frames(self, client: Client, events: Sequence[Event], now: datetime) -> Sequence[tuple[str, Sequence[Event]]]:
        """Pushes of the events that the client subscribed to, each with what it carries."""
        ...


@dataclass(frozen=True)
class Sent:
    """An event that was pushed to a connection."""

    venue: str
    connection: int
    event: Event
    at: datetime


@dataclass
class ConnectionLog:
    """One connection as the venue saw it: from the handshake to its end."""

    venue: str
    number: int
    path: str
    opened_at: datetime
    closed_at: datetime | None = None
    received: list[str] = field(default_factory=list)


EventsOf = Callable[[str, Listing, datetime, datetime], Iterable[Event]]
"""Events of a listing in [start, end)."""


@dataclass
class StreamServer:
    """Serves the streams of venues. `events` replaces the market's liquidations."""

    market: MarketModel
    now: Callable[[], datetime]
    faults: Sequence[StreamFault] = ()
    events: EventsOf | None = None
    step: float = STEP_SECONDS
    sent: list[Sent] = field(default_factory=list)
    connections: list[ConnectionLog] = field(default_factory=list)
    monotonic: Callable[[], float] = time.monotonic

    def add_routes(self, application: web.Application, venue: str) -> None:
        """Serve a venue's stream below /<venue>/stream."""
        speaker = speaker_of(venue)
        for path in speaker.paths:
            application.router.add_route("GET", f"/{venue}/stream{path}", self._handler(venue, speaker, path))

    def _handler(self, venue: str, speaker: Speaker, path: str) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            number = 1 + sum(one.venue == venue for one in self.connections)
            log = ConnectionLog(venue, number, path, self.now())
            self.connections.append(log)
            faults = [f for f in self.faults if f.venue == venue and f.first <= number < f.first + f.times]
            if refused := next((fault for fault in faults if fault.kind == "refused"), None):
                log.closed_at = self.now()
                return web.Response(status=refused.status)
            socket = web.WebSocketResponse(autoping=False, autoclose=False)
            await socket.prepare(request)
            visit = _Visit(self, venue, speaker, socket, request, Client(number, path, self.now()), faults, log)
            try:
                await visit.serve()
            finally:
                log.closed_at = self.now()
            return socket

        return handle

    def events_of(self, venue: str, listing: Listing, start: datetime, end: datetime) -> Iterable[Event]:
        if self.events is not None:
            return self.events(venue, listing, start, end)
        frame = self.market.liquidations(listing, start, end)
        return [
            Event(listing, x["occurred_at"], x["number"], x["side"], x["price"], x["quantity_base"])
            for x in frame.iter_rows(named=True)
        ]


@dataclass
class _Visit:
    server: StreamServer
    venue: str
    speaker: Speaker
    socket: web.WebSocketResponse
    request: web.Request
    client: Client
    faults: Sequence[StreamFault]
    log: ConnectionLog

    def __post_init__(self) -> None:
        self.began = self.server.monotonic()
        self.numbers = 0

    def fault(self, kind: StreamFaultKind) -> StreamFault | None:
        """The fault of this kind that acts now."""
        lasted = self.server.monotonic() - self.began
        return next((fault for fault in self.faults if fault.kind == kind and lasted >= fault.after), None)

    def now(self) -> datetime:
        skew = self.fault("skew")
        return self.server.now() + timedelta(seconds=skew.seconds if skew else 0.0)

    async def serve(self) -> None:
        pushing = asyncio.create_task(self._push())
        receiving = asyncio.create_task(self._receive())
        try:
            await asyncio.wait({pushing, receiving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (pushing, receiving):
                task.cancel()
            results = await asyncio.gather(pushing, receiving, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, ConnectionError):
                raise result

    async def _receive(self) -> None:
        async for message in self.socket:
            if message.type is WSMsgType.PING:
                if self.fault("no_pong") is None and self.fault("silent") is None:
                    await self.socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                self.log.received.append(message.data)
                await self._answer(message.data)

    async def _answer(self, text: str) -> None:
        refused = self.fault("topic_refused")

        def is_refused(topic: str) -> bool:
            return refused is not None and refused.topic in topic

        is_ping = "ping" in text or "public/test" in text
        answers = self.speaker.receive(self.client, text, self.now(), is_refused)
        if is_ping and self.fault("no_pong") is not None:
            return
        for answer in answers:
            await self._send(answer)

    async def _push(self) -> None:
        since = self.server.now()
        ticked = pinged = self.server.monotonic()
        while True:
            await asyncio.sleep(self.server.step)
            if (closing := self.fault("closed")) is not None:
                await self.socket.close(code=closing.code)
                return
            now, moment = self.server.now(), self.server.monotonic()
            if self.speaker.tick_every is not None and moment - ticked >= self.speaker.tick_every:
                ticked = moment
                for text in self.speaker.tick(self.client, self.now()):
                    await self._send(text)
            if self.speaker.ping_every is not None and moment - pinged >= self.speaker.ping_every:
                pinged = moment
                if self.fault("silent") is None:
                    with contextlib.suppress(ConnectionError):
                        await self.socket.ping()
            happened = [
                event
                for listing in self.speaker.listings
                for event in self.server.events_of(self.venue, listing, since, now)
            ]
            since = now
            if (burst := self.fault("burst")) is not None:
                happened += self._burst(burst, now)
            await self._push_events(sorted(happened, key=lambda event: event.at))

    async def _push_events(self, events: Sequence[Event]) -> None:
        if self.fault("disorder") is not None:
            events = list(reversed(events))
        if not events or self.fault("silent") is not None:
            return
        if self.fault("malformed") is not None:
            await self._send('{"topic":"all')
        for text, carried in self.speaker.frames(self.client, events, self.now()):
            for _ in range(2 if self.fault("duplicate") is not None else 1):
                await self._send(text)
            at = self.server.now()
            self.server.sent += [Sent(self.venue, self.client.number, event, at) for event in carried]

    def _burst(self, fault: StreamFault, now: datetime) -> list[Event]:
        count = round(fault.count * self.server.step)
        listing = self.speaker.listings[0]
        events = []
        for _ in range(count):
            self.numbers += 1
            at = now - timedelta(milliseconds=self.numbers % 200)
            events.append(Event(listing, at, self.numbers, "long", 100.0, float(self.numbers)))
        return events

    async def _send(self, text: str) -> None:
        if self.socket.closed or self.fault("silent") is not None:
            return
        with contextlib.suppress(ConnectionError):
            is_compressed = self.venue in COMPRESSED
            payload = gzip.compress(text.encode(), 1) if is_compressed else text.encode()
            if self.fault("split") is not None and self.request.transport is not None:
                self.request.transport.write(_fragments(payload, is_text=not is_compressed))
            elif is_compressed or self.fault("binary") is not None:
                await self.socket.send_bytes(payload)
            else:
                await self.socket.send_str(text)


def _fragments(payload: bytes, *, is_text: bool) -> bytes:
    """A message as three fragments, with a ping frame between them."""
    size = max(1, len(payload) // 3)
    parts = [payload[:size], payload[size : 2 * size], payload[2 * size :]]
    frames = [
        _frame(0x01 if is_text else 0x02, parts[0]),
        _frame(0x00, parts[1]),
        _frame(0x89, b"x"),
        _frame(0x80, parts[2]),
    ]
    return b"".join(frames)


def _frame(head: int, payload: bytes) -> bytes:
    if len(payload) < 126:
        return bytes([head, len(payload)]) + payload
    return bytes([head, 126]) + len(payload).to_bytes(2, "big") + payload


def speaker_of(venue: str) -> Speaker:
    """The stream of an emulated venue."""
    speaker: Speaker = importlib.import_module(f"pipelines.sandbox.venues.{venue}_stream").SPEAKER
    return speaker


def events_by_instrument(sent: Iterable[Sent], venue: str) -> Mapping[str, set[int]]:
    """The numbers of the events that were pushed to anybody, by instrument."""
    found: dict[str, set[int]] = {}
    for one in sent:
        if one.venue == venue:
            found.setdefault(one.event.listing.instrument, set()).add(one.event.number)
    return found
