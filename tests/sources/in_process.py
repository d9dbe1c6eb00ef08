"""An emulator's handlers behind venue.Api, in-process, for tests with too many requests for HTTP.

The real client over HTTP is tested with conftest.serve; this is for paging and parsing under many response behaviors.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl

from pipelines.extract.venue import WHOLE_VENUE, Context, Feed, Job, Page, Parsed, Span
from pipelines.sandbox.emulator import Request, Route
from pipelines.sandbox.market_model import MarketModel


@dataclass(eq=False)
class InProcessApi:
    """Implements venue.Api. `requests` records the requests."""

    routes: Sequence[Route]
    market: MarketModel
    now: datetime
    requests: list[Mapping[str, Any]] = field(default_factory=list)
    node_blocks: int | None = None

    @property
    def endpoints(self) -> Collection[str]:
        return {route.endpoint for route in self.routes}

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
        self.requests.append(request)
        route, named = next(
            (route, found.groupdict())
            for route in self.routes
            if route.endpoint == endpoint and (found := _pattern(route).fullmatch(path))
        )
        text = {name: str(value) for name, value in (params or {}).items()} | named
        answer = route.handler(Request("GET", endpoint, path, text, b"", self.now, {"api_key": "any"}), self.market)
        assert answer.status in accept, answer
        return Page(subject, request, answer.status, self.now, answer.body)

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
        request = {"method": "POST", "endpoint": endpoint, "path": path, "body": body}
        self.requests.append(request)
        route = next(r for r in self.routes if (r.method, r.endpoint, r.path) == ("POST", endpoint, path))
        answer = route.handler(Request("POST", endpoint, path, {}, orjson.dumps(body), self.now), self.market)
        assert answer.status in accept, answer
        return Page(subject, request, answer.status, self.now, answer.body)


def _pattern(route: Route) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path))


def fetch_pages(feed: Feed, api: InProcessApi, job: Job) -> list[Page]:
    """All pages that the feed fetches for the job."""

    async def every() -> list[Page]:
        return [page async for page in feed.fetch(api, job)]

    return asyncio.run(every())


def context(venue: str, instruments: pl.DataFrame, *, at: datetime) -> Context:
    return Context(venue, at, Span(at - timedelta(days=1), at), instruments)


def rows(parsed: Sequence[Parsed]) -> pl.DataFrame:
    """Accepted rows as the loader keeps them: distinct, without line numbers."""
    return pl.concat([one.rows.drop("_line") for one in parsed]).unique()


def page(path: str, body: bytes | Mapping[str, Any], *, subject: str, at: datetime, **params: str | int) -> Page:
    """A response of the endpoint `path`."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return Page(subject, {"endpoint": "api", "path": path, "params": params}, 200, at, content)
