"""The HTTP client: rate limits, retries, size limits, error classification. Only fetching imports it (and aiohttp).

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
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import version
from typing import Any, Final

import aiohttp
import orjson

from pipelines.core.errors import (
    BlockedError,
    ConfigError,
    ErrorStatusError,
    NoAnswerError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    TransientError,
    VenueUnavailableError,
)
from pipelines.extract import fetch_log, mirror
from pipelines.extract.landing import Clock, utc_now
from pipelines.extract.rate_limits import RateLimiter, Sleep
from pipelines.extract.venue import WHOLE_VENUE, Page, Venue

JSON_BODY: Final = {"Content-Type": "application/json"}
KEPT_HEADERS: Final = ("content-type", "date", "etag", "last-modified", "retry-after")


@dataclass(frozen=True)
class RetryPolicy:
    """Attempts, waits and timeouts in seconds; a ban longer than `longest_wait` ends the request."""

    attempts: int = 6
    first_wait: float = 0.5
    longest_backoff: float = 30.0
    longest_wait: float = 660.0
    connect_seconds: float = 15.0
    total_seconds: float = 60.0
    largest_body: int = 64 << 20


DEFAULT_RETRY: Final = RetryPolicy()


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
        sleep: Sleep,
        jitter: Callable[[], float],
    ) -> None:
        self.venue = venue
        self.requests = 0
        self.retries = 0
        self._session = session
        self._rate_limiter = rate_limiter
        self._endpoints = endpoints
        self._retry = retry
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._headers = _secret_headers(venue)

    @property
    def endpoints(self) -> Collection[str]:
        return self._endpoints.keys()

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
        attempt = 1
        while True:
            try:
                async with self._rate_limiter.acquire(costs):
                    page = await self._send(request, subject)
                self._raise_for_response(page, accept, is_json=is_json)
            except TransientError as error:
                too_long = isinstance(error, ThrottledError) and (error.wait_seconds or 0) > self._retry.longest_wait
                if too_long or attempt >= self._retry.attempts:
                    raise
                fetch_log.record(fetch_log.problem_of(error), str(error), effect="asked_again")
            else:
                return page
            await self._sleep(self._backoff(attempt))
            attempt += 1
            self.retries += 1

    def _backoff(self, attempt: int) -> float:
        """Exponential backoff with full jitter. The rate limiter enforces the wait a venue asks for, for all requests."""
        doubled = self._retry.first_wait * float(2 ** (attempt - 1))
        return min(self._retry.longest_backoff, doubled) * self._jitter()

    async def _send(self, request: Mapping[str, Any], subject: str) -> Page:
        self.requests += 1
        base = self._endpoints[request["endpoint"]]
        if base.startswith("file:"):
            return self._from_mirror(base, request, subject)
        try:
            async with self._session.request(
                request["method"],
                base.rstrip("/") + request["path"],
                params=request.get("params"),
                data=orjson.dumps(request["body"]) if "body" in request else None,
                headers={**self.venue.headers, **self._headers, **(JSON_BODY if "body" in request else {})},
                allow_redirects=False,
            ) as response:
                body = await self._read(response, request)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Only the type: the message of some of these contains the URL, and a URL may contain a token.
            raise NoAnswerError(f"{self._where(request)}: no complete response ({type(error).__name__}).") from error
        for secret in self._headers.values():
            # A key that the venue echoes must not reach the landing or an error message.
            body = body.replace(secret.encode(), b"[key]")
        headers = response.headers
        for budget, header in self.venue.weights.items():
            if (spent := headers.get(header, "")).isdigit():
                self._rate_limiter.observe(budget, float(spent))
        return Page(
            subject=subject,
            request=request,
            status=response.status,
            received_at=self._clock(),
            body=body,
            headers={name: headers[name] for name in KEPT_HEADERS if name in headers},
        )

    def _where(self, request: Mapping[str, Any]) -> str:
        """The request without its parameters, for error messages."""
        return f"{self.venue.name}: {request['endpoint']}{request['path']}"

    async def _read(self, response: aiohttp.ClientResponse, request: Mapping[str, Any]) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_chunked(1 << 16):
            size += len(part)
            if size > self._retry.largest_body:
                limit = self._retry.largest_body >> 20
                raise SourceFormatError(f"{self._where(request)}: the response is larger than {limit} MiB.")
            parts.append(part)
        return b"".join(parts)

    def _from_mirror(self, base: str, request: Mapping[str, Any], subject: str) -> Page:
        status, body = mirror.answer(base, request)
        return Page(subject, request, status, self._clock(), body)

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
                    # An HTML page of a gateway or a truncated body: both are transient.
                    raise VenueUnavailableError(f"{self.venue.name}: {error}") from error
            self._check(page)
            return
        where = f"{self.venue.name}: {page.where}"
        if status in (418, 429) or (status == 403 and self.venue.forbidden_wait is not None):
            wait = _retry_after(page.headers.get("retry-after"), self._clock())
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


@asynccontextmanager
async def open_api(
    venue: Venue,
    *,
    endpoints: Mapping[str, str] | None = None,
    contact: str = "",
    retry: RetryPolicy = DEFAULT_RETRY,
    clock: Clock = utc_now,
    sleep: Sleep = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
) -> AsyncIterator[HttpApi]:
    """A client of `venue`, closed at the end of the block. `endpoints` override those of the venue, by name.

    Raises ConfigError if a key that the venue requires is not in the environment.
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
            sleep=sleep,
            jitter=jitter,
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
    return {s.header: os.environ[s.variable] for s in venue.secrets if os.environ.get(s.variable)}


def _retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds of a Retry-After header (a number of seconds or a date); None if it is missing or invalid."""
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text).astimezone(UTC).replace(tzinfo=None)
    except ValueError:
        return None
    return max(0.0, (moment - now).total_seconds())
