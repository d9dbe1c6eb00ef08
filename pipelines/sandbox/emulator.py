"""A loopback HTTP server that emulates venues, with injected faults and a log of the requests. Their websockets are served by
stream_server.py.

Each venue's responses are in sandbox/venues. To the pipeline only the base URLs differ from the real venues.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Literal, Self

import orjson
from aiohttp import web

from pipelines.sandbox.market_model import MarketModel
from pipelines.sandbox.stream_server import STREAMING, EventsOf, StreamFault, StreamServer

FaultKind = Literal["status", "reset", "slow", "truncated", "html", "body", "rewrite"]
"""status: `status` with `headers` and `body`; reset: the connection breaks in the middle of the body; slow: the body pauses for
`seconds` halfway; truncated: half the body as if complete; html: an HTML page; body: `body` with status 200; rewrite: `change`
applied to the real body."""


@dataclass(frozen=True)
class Request:
    """One request as an emulated venue sees it."""

    method: str
    endpoint: str
    path: str
    params: Mapping[str, str]
    body: bytes
    now: datetime
    """The venue's clock, naive UTC."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name; an API key is one of them."""

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass(frozen=True)
class Response:
    """A venue's response. `content` other than bytes is sent as JSON."""

    content: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else orjson.dumps(self.content)


Handler = Callable[[Request, MarketModel], Response]


@dataclass(frozen=True)
class Route:
    """`path` may contain {names}, which handlers find in Request.params."""

    method: str
    endpoint: str
    path: str
    handler: Handler


@dataclass(frozen=True)
class Fault:
    """A fault of requests whose "<venue>.<endpoint><path>" contains `where`: of `times` of them, starting with number `first`
    (counted from 1)."""

    where: str
    kind: FaultKind
    first: int = 1
    times: int = 1
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"oops"
    seconds: float = 0.0
    change: Callable[[bytes], bytes] = bytes


@dataclass(frozen=True)
class Hit:
    """One received request; `at` is on the monotonic clock."""

    venue: str
    where: str
    params: Mapping[str, str]
    at: float


class Emulator:
    """Serves the given venues on 127.0.0.1 in its own thread, for the duration of a with block, with `now` as their clock.

    `endpoints` has the base URLs by <venue>.<endpoint>, as the settings expect them. `routes` replace those of a venue's module,
    to change its response behavior or its listings.
    """

    def __init__(
        self,
        market: MarketModel,
        venues: Iterable[str],
        *,
        now: Callable[[], datetime],
        faults: Sequence[Fault] = (),
        latency: float = 0.0,
        routes: Mapping[str, Sequence[Route]] | None = None,
        stream_faults: Sequence[StreamFault] = (),
        stream_events: EventsOf | None = None,
    ) -> None:
        self.market = market
        self.now = now
        self.faults = list(faults)
        self.latency = latency
        self.hits: list[Hit] = []
        self.endpoints: dict[str, str] = {}
        self._routes = {venue: (routes or {}).get(venue) or _routes(venue) for venue in venues}
        self.streams = StreamServer(market, now, stream_faults, stream_events)
        self._seen: dict[int, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), name="emulator", daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def most_in(self, venue: str, seconds: float, *, where: str = "") -> int:
        """The largest number of requests to `venue` received within any `seconds`."""
        arrivals = sorted(hit.at for hit in self.hits if hit.venue == venue and where in hit.where)
        most, first = 0, 0
        for last, at in enumerate(arrivals):
            while at - arrivals[first] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def _serve(self, ready: threading.Event) -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self._loop = loop
        runner = web.AppRunner(self._application(), access_log=None)
        loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        loop.run_until_complete(site.start())
        port = runner.addresses[0][1]
        self.endpoints.update(
            {
                f"{venue}.{route.endpoint}": f"http://127.0.0.1:{port}/{venue}/{route.endpoint}"
                for venue, routes in self._routes.items()
                for route in routes
            }
        )
        self.endpoints.update(
            {f"{venue}.stream": f"http://127.0.0.1:{port}/{venue}/stream" for venue in STREAMING & set(self._routes)}
        )
        ready.set()
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(runner.cleanup())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=1 << 24)
        for venue, routes in self._routes.items():
            if venue in STREAMING:
                self.streams.add_routes(application, venue)
            for route in routes:
                application.router.add_route(
                    route.method, f"/{venue}/{route.endpoint}{route.path}", self._handler(venue, route)
                )
        return application

    def _handler(self, venue: str, route: Route) -> Callable[[web.Request], Any]:
        async def handle(received: web.Request) -> web.StreamResponse:
            path = received.path.removeprefix(f"/{venue}/{route.endpoint}")
            where = f"{venue}.{route.endpoint}{path}"
            params = {**received.query, **received.match_info}
            self.hits.append(Hit(venue, where, params, time.monotonic()))
            body = await received.read()
            if self.latency:
                await asyncio.sleep(self.latency)
            fault, now = self._fault(where), self.now()
            date = {"Date": format_datetime(now.replace(tzinfo=UTC), usegmt=True)}
            if fault is not None and fault.kind == "status":
                return web.Response(status=fault.status, headers={**date, **fault.headers}, body=fault.body)
            if fault is not None and fault.kind == "body":
                return web.Response(body=fault.body, content_type="application/json", headers={**date, **fault.headers})
            if fault is not None and fault.kind == "html":
                text = "<html><body>Just a moment...</body></html>"
                return web.Response(text=text, content_type="text/html", headers=date)
            headers = {name.lower(): value for name, value in received.headers.items()}
            request = Request(received.method, route.endpoint, path, params, body, now, headers)
            response = route.handler(request, self.market)
            response = replace(response, headers={**date, **response.headers})
            if fault is None:
                return web.Response(status=response.status, headers=dict(response.headers), body=response.body)
            return await _faulty_response(received, response, fault)

        return handle

    def _fault(self, where: str) -> Fault | None:
        found: Fault | None = None
        for number, fault in enumerate(self.faults):
            if fault.where in where:
                self._seen[number] = seen = self._seen.get(number, 0) + 1
                if found is None and fault.first <= seen < fault.first + fault.times:
                    found = fault
        return found


def stamp_ms(params: Mapping[str, str], name: str, default: int) -> int:
    """Parameter `name` in milliseconds, or `default`."""
    return int(params[name]) if params.get(name) else default


def utc(ms: int) -> datetime:
    """Milliseconds since the epoch as naive UTC."""
    return datetime(1970, 1, 1) + timedelta(milliseconds=ms)


async def _faulty_response(received: web.Request, response: Response, fault: Fault) -> web.StreamResponse:
    body = response.body
    if fault.kind == "rewrite":
        return web.Response(status=response.status, headers=dict(response.headers), body=fault.change(body))
    if fault.kind == "truncated":
        return web.Response(status=response.status, headers=dict(response.headers), body=body[: len(body) // 2])
    stream = web.StreamResponse(status=response.status, headers=dict(response.headers))
    stream.content_length = len(body)
    await stream.prepare(received)
    await stream.write(body[: len(body) // 2])
    if fault.kind == "reset":
        if received.transport is not None:
            received.transport.abort()
        return stream
    await asyncio.sleep(fault.seconds)
    await stream.write(body[len(body) // 2 :])
    return stream


def module_of(venue: str) -> str:
    """The module in sandbox/venues that emulates `venue`: the venue's name, or evm for every EVM chain."""
    return "evm" if venue.startswith("evm_") else venue


def _routes(venue: str) -> Sequence[Route]:
    routes: Sequence[Route] = importlib.import_module(f"pipelines.sandbox.venues.{module_of(venue)}").ROUTES
    return routes
