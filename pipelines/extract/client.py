"""The HTTP client: rate limits, retries, size limits, error classification, clocks. Only fetching imports it (and aiohttp).

Whatever a venue sends or does ends as a typed error of that request; no text of it shows a key or an address.

aiohttp, because venues serve many small pages: it reads 2.8 times as many rows per second as httpx from them, with one
connection pool and without sleeping threads. The meaning of a venue's error codes is defined in the venue's module.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import aiohttp
import orjson

from pipelines.core import redaction
from pipelines.core.errors import (
    BlockedError,
    ClockError,
    ConfigError,
    ErrorStatusError,
    LeverhouseError,
    MalformedAnswerError,
    NoAnswerError,
    PermanentError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    TransientError,
    VenueUnavailableError,
)
from pipelines.core.files import is_fault_of_bytes, is_machine_fault
from pipelines.core.limits import current, exceeded
from pipelines.extract import fetch_log, mirror
from pipelines.extract.clock import FAR_ANSWERS, LARGEST_SKEW, SteadyClock, VenueClock, number_of, skew_text, wait_of
from pipelines.extract.landing import Clock, utc_now
from pipelines.extract.rate_limits import RateLimiter, Sleep
from pipelines.extract.venue import WHOLE_VENUE, Page, Venue

NEVER: Final = datetime(1, 1, 1)
JSON_BODY: Final = {"Content-Type": "application/json"}
KEPT_HEADERS: Final = ("content-type", "date", "etag", "last-modified", "retry-after")


@dataclass(frozen=True)
class RetryPolicy:
    """Attempts, waits and timeouts in seconds; a venue that asks for more than `longest_wait` of waiting, all attempts together,
    ends the request."""

    attempts: int = 6
    first_wait: float = 0.5
    longest_backoff: float = 30.0
    longest_wait: float = 660.0
    connect_seconds: float = 15.0
    total_seconds: float = 60.0


DEFAULT_RETRY: Final = RetryPolicy()

UNANSWERED: Final = 8
"""Requests in a row that no attempt brought an answer to, after which a venue is not asked any more in this feed."""
SILENT_FEEDS: Final = 2
"""Feeds in a row that ended so, after which it is not asked any more at all: what hangs must not hold up the other venues."""


@dataclass(frozen=True)
class BaseUrl:
    """A base URL of an endpoint: paths are appended to `address`; `query`, which may hold a key, is sent with every request."""

    address: str
    query: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, address: str) -> BaseUrl:
        """Raises ValueError for text that is no URL."""
        parts = urlsplit(address.strip())
        bare = urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")).rstrip("/")
        return cls(bare, tuple(parse_qsl(parts.query, keep_blank_values=True)))

    @property
    def is_mirror(self) -> bool:
        return self.address.startswith("file:")


class HttpApi:
    """A venue over HTTP, or a file:// mirror of it. Created by open_api; implements venue.Api."""

    def __init__(
        self,
        venue: Venue,
        session: aiohttp.ClientSession,
        rate_limiter: RateLimiter,
        *,
        endpoints: Mapping[str, str],
        retry: RetryPolicy,
        clock: Clock,
        newest_stamp: datetime,
        sleep: Sleep,
        jitter: Callable[[], float],
        node_blocks: int | None = None,
    ) -> None:
        self.venue = venue
        self.node_blocks = node_blocks
        self.requests = 0
        self.retries = 0
        self._session = session
        self._rate_limiter = rate_limiter
        self._endpoints = _base_urls(venue, endpoints)
        self._venue_clock = VenueClock()
        self._stopped = ""
        self._unanswered = 0
        self._silent_feeds = 0
        self._skew_is_noted = False
        self._retry = retry
        self._clock = clock
        # A stamp from further ahead is of a clock that was plainly wrong, and no reason to put wrong times to answers of now.
        self.stamp = SteadyClock(clock, newest_stamp if newest_stamp <= clock() + 2 * LARGEST_SKEW else NEVER)
        self._sleep = sleep
        self._jitter = jitter
        self._headers = _secret_headers(venue)

    @property
    def endpoints(self) -> Collection[str]:
        return self._endpoints.keys()

    def now(self) -> datetime:
        """The time by the earlier of our clock and the venue's, as far as its answers have told it."""
        return self._venue_clock.earlier(self._clock())

    def begin_feed(self) -> None:
        """Note that another feed is asked now. After one that was given up, one request finds out whether the venue is back."""
        if self._unanswered >= UNANSWERED:
            self._silent_feeds += 1
            if self._silent_feeds < SILENT_FEEDS:
                self._unanswered = UNANSWERED - 1

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
        request = {"method": "GET", "endpoint": endpoint, "path": path, "params": dict(params or {})}
        return await self._request(request, subject, costs, accept, is_json=is_json)

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
        request = {"method": "POST", "endpoint": endpoint, "path": path, "body": _plain(body)}
        return await self._request(request, subject, costs, accept, is_json=is_json)

    async def _request(
        self,
        request: Mapping[str, Any],
        subject: str,
        costs: Mapping[str, float] | None,
        accept: Sequence[int],
        *,
        is_json: bool,
    ) -> Page:
        """Retry until there is an accepted response, a permanent error, or no attempt left."""
        attempt, asked_to_wait = 1, 0.0
        while True:
            if self._unanswered >= UNANSWERED:
                raise VenueUnavailableError(
                    f"{self.venue.name}: not asked: {self._unanswered} requests before got no answer. The next run asks again."
                )
            try:
                async with self._rate_limiter.acquire(costs):
                    page = await self._send(request, subject)
                self._raise_for_response(page, accept, is_json=is_json)
            except PermanentError as error:
                self._note_answer()
                redaction.redact_error(error)
                raise
            except TransientError as error:
                redaction.redact_error(error)
                asked_to_wait += (error.wait_seconds or 0.0) if isinstance(error, ThrottledError) else 0.0
                if asked_to_wait > self._retry.longest_wait or attempt >= self._retry.attempts:
                    # A page of HTML, or JSON that breaks off, came from somewhere, and is landed as it came.
                    self._unanswered += not isinstance(error, MalformedAnswerError)
                    raise
                fetch_log.record(fetch_log.problem_of(error), str(error), effect="asked_again")
            else:
                self._note_answer()
                return page
            await self._sleep(self._backoff(attempt))
            attempt += 1
            self.retries += 1

    def _note_answer(self) -> None:
        self._unanswered = self._silent_feeds = 0

    def _backoff(self, attempt: int) -> float:
        """Exponential backoff with full jitter. The rate limiter enforces the wait a venue asks for, for all requests."""
        doubled = self._retry.first_wait * float(2 ** (attempt - 1))
        return min(self._retry.longest_backoff, doubled) * self._jitter()

    async def _send(self, request: Mapping[str, Any], subject: str) -> Page:
        if self._stopped:
            raise ClockError(self._stopped)
        self.requests += 1
        base = self._endpoints[request["endpoint"]]
        if base.is_mirror:
            return self._from_mirror(base.address, request, subject)
        data = orjson.dumps(request["body"]) if "body" in request else None
        sent_at = self._clock()
        failure: VenueUnavailableError | None = None
        try:
            async with self._session.request(
                request["method"],
                base.address + request["path"],
                params=[*base.query, *(request.get("params") or {}).items()],
                data=data,
                headers={**self.venue.headers, **self._headers, **(JSON_BODY if "body" in request else {})},
                allow_redirects=False,
            ) as response:
                body = await self._read(response, request)
        except LeverhouseError:
            raise
        except Exception as error:  # noqa: BLE001 - the errors of a hostile answer are of many types, not all of aiohttp
            failure = _no_response(self._where(request), error)
        if failure is not None:
            # Raised out here, so that the error of the library is no context of it: its text may contain the URL.
            raise failure
        received_at = self._clock()
        stamp = self.stamp()
        headers = response.headers
        for budget, header in self.venue.weights.items():
            if (spent := number_of(headers.get(header))) is not None:
                self._rate_limiter.observe(budget, spent)
        self._compare_clocks(headers, sent_at, received_at, self._where(request))
        return Page(
            subject=subject,
            request=request,
            status=response.status,
            received_at=stamp,
            # A key or an address that the venue echoes must not reach the landing or an error message.
            body=redaction.redact_body(body),
            headers={name: redaction.redact(headers[name]) for name in KEPT_HEADERS if name in headers},
        )

    def _compare_clocks(self, headers: Mapping[str, str], sent_at: datetime, received_at: datetime, where: str) -> None:
        """Note a venue whose clock is more than a minute from ours; raise for one that is more than an hour away."""
        ahead = self._venue_clock.observe(headers, sent_at, received_at)
        if ahead is None:
            return
        text = f"{where}: {skew_text(ahead)} (Date: {headers['date'][:40]}; here it is {received_at:%Y-%m-%d %H:%M:%S} UTC)"
        if abs(ahead) > LARGEST_SKEW:
            if self._venue_clock.far < FAR_ANSWERS:
                raise VenueUnavailableError(f"{text}.")
            self._stopped = (
                f"{text}. Nothing more is fetched from {self.venue.name}: set the clock of this machine. "
                "If it is right, wait until the venue's is."
            )
            raise ClockError(self._stopped)
        if self._venue_clock.is_noted and not self._skew_is_noted:
            self._skew_is_noted = True
            fetch_log.record("clock", f"{text}.", effect="noted")

    def _where(self, request: Mapping[str, Any]) -> str:
        """The request without its parameters, for error messages."""
        return f"{self.venue.name}: {request['endpoint']}{request['path']}"

    async def _read(self, response: aiohttp.ClientResponse, request: Mapping[str, Any]) -> bytes:
        parts: list[bytes] = []
        size = 0
        most = current().answer_bytes
        async for part in response.content.iter_chunked(1 << 16):
            size += len(part)
            if size > most:
                raise exceeded(self._where(request), "answer_bytes", f"the response is larger than {most:,} bytes")
            parts.append(part)
        return b"".join(parts)

    def _from_mirror(self, base: str, request: Mapping[str, Any], subject: str) -> Page:
        status, body = mirror.answer(base, request, where=self._where(request))
        return Page(subject, request, status, self.stamp(), body)

    def _raise_for_response(self, page: Page, accept: Sequence[int], *, is_json: bool) -> None:
        """Raise for a response that is not a valid answer to the request."""
        status = page.status
        if status in accept and status != 200:
            return
        if status == 200:
            if is_json:
                try:
                    page.json()
                except SourceFormatError as error:
                    # An HTML page of a gateway or a truncated body: the next attempt may bring the answer.
                    raise MalformedAnswerError(f"{self.venue.name}: {error}", answer=page) from error
            self._check(page)
            return
        where = f"{self.venue.name}: {page.where}"
        if status in (418, 429) or (status == 403 and self.venue.forbidden_wait is not None):
            wait = wait_of(page.headers.get("retry-after"), self._venue_clock.theirs(self._clock()))
            if status == 403 and wait is None:
                wait = self.venue.forbidden_wait
            self._rate_limiter.pause(wait if wait is not None else self._retry.first_wait)
            retry_after = f"retry after {wait:g} s" if wait is not None else "no retry time given"
            raise ThrottledError(f"{where}: status {status}, rate limited, {retry_after}.", wait_seconds=wait)
        if status in (403, 451):
            raise BlockedError(
                f"{where}: status {status}, the venue refuses all requests from this address or region: {page.excerpt}. "
                "Fetch from a permitted region, set a mirror under endpoints in leverhouse.toml, or leave the venue out."
            )
        if status >= 500 or status in (408, 425):
            raise ErrorStatusError(f"{where}: status {status}: {page.excerpt}")
        if status == 400 and page.body.lstrip()[:1] == b"{":
            # Deribit and OKX send their error codes, including rate limiting, with this status.
            self._check(page)
        raise RequestRefusedError(
            f"{where}: status {status}: {page.excerpt}. The request is invalid or the venue's API changed."
        )

    def _check(self, page: Page) -> None:
        try:
            self.venue.check(page)
        except ThrottledError as error:
            self._rate_limiter.pause(error.wait_seconds or self._retry.first_wait)
            raise
        except LeverhouseError:
            raise
        except Exception as error:
            if not is_fault_of_bytes(error):
                raise
            # A shape the venue's module does not expect where it looks for an error code.
            raise SourceFormatError(
                f"{self.venue.name}: {page.where}: unexpected answer ({type(error).__name__}: {error}): {page.excerpt}"
            ) from error


@asynccontextmanager
async def open_api(
    venue: Venue,
    *,
    endpoints: Mapping[str, str] | None = None,
    contact: str = "",
    retry: RetryPolicy = DEFAULT_RETRY,
    clock: Clock = utc_now,
    newest_stamp: datetime = NEVER,
    sleep: Sleep = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
    node_blocks: int | None = None,
) -> AsyncIterator[HttpApi]:
    """A client of `venue`, closed at the end of the block. `endpoints` override those of the venue, by name. No answer is
    stamped earlier than `newest_stamp`, that of the newest landing, so that a clock set back does not turn the order around.
    `node_blocks` bounds requests for logs.

    Raises ConfigError if a key that the venue requires is not in the environment or cannot be sent.
    """
    agent = f"leverhouse/{version('leverhouse')}" + (f" ({contact})" if contact else "")
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=venue.concurrency, ssl=_ssl_context()),
        timeout=aiohttp.ClientTimeout(total=retry.total_seconds, sock_connect=retry.connect_seconds),
        headers={"User-Agent": agent, "Accept-Encoding": "gzip, deflate"},
    ) as session:
        yield HttpApi(
            venue,
            session,
            RateLimiter(venue.limits, longest_pause=retry.longest_wait, sleep=sleep),
            endpoints={**venue.endpoints, **(endpoints or {})},
            retry=retry,
            clock=clock,
            newest_stamp=newest_stamp,
            sleep=sleep,
            jitter=jitter,
            node_blocks=node_blocks,
        )


def _plain(body: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> dict[str, Any] | list[dict[str, Any]]:
    return dict(body) if isinstance(body, Mapping) else [dict(part) for part in body]


@cache
def _ssl_context() -> ssl.SSLContext:
    """The system's CA certificates, loaded once: loading takes 40 ms, and a demo opens a hundred clients."""
    return ssl.create_default_context()


def _secret_headers(venue: Venue) -> dict[str, str]:
    missing = [s.variable for s in venue.secrets if s.required and not os.environ.get(s.variable)]
    if missing:
        raise ConfigError(f"{venue.name}: set {', '.join(missing)} in the environment, or leave the venue out.")
    found = {s: os.environ[s.variable].strip() for s in venue.secrets if os.environ.get(s.variable)}
    for secret, value in found.items():
        redaction.protect(secret.variable, value)
        if not value.isascii() or not value.isprintable():
            raise ConfigError(f"{venue.name}: {secret.variable} has characters that no key has; copy it again.")
    return {secret.header: value for secret, value in found.items()}


def _base_urls(venue: Venue, endpoints: Mapping[str, str]) -> dict[str, BaseUrl]:
    found: dict[str, BaseUrl] = {}
    for name, address in endpoints.items():
        own = venue.endpoints.get(name)
        if address != own:
            redaction.protect_address(f"{venue.name}.{name}", address, public=urlsplit(own or "").path.split("/"))
        try:
            found[name] = BaseUrl.of(address)
        except ValueError:
            raise ConfigError(f"settings: {venue.name}.{name} under endpoints is no address.") from None
    return found


def _no_response(where: str, error: Exception) -> NoAnswerError:
    """A failed request in our words: only the type, since the message of many errors contains the URL, which may hold a token."""
    failure = NoAnswerError(f"{where}: no complete response ({type(error).__name__}).")
    if is_machine_fault(error):
        # Callers tell a machine out of files or memory from a venue by the cause.
        number = error.errno if isinstance(error, OSError) else None
        failure.__cause__ = MemoryError() if number is None else OSError(number, os.strerror(number))
    return failure
