"""The guard before Dagster's pages: what a browser of the owner's may send, and what another site's page may not."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from pipelines.core.errors import ConfigError
from pipelines.service.guard import Guard, origin_of

ADDRESS = "http://127.0.0.1:3000"
HOST = ("host", "127.0.0.1:3000")
JSON = ("content-type", "application/json")
Headers = tuple[tuple[str, str], ...]


class Inner:
    """Stands for Dagster's server: counts what reaches it."""

    def __init__(self) -> None:
        self.seen: list[MutableMapping[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"page"})


def ask(
    *headers: tuple[str, str], method: str = "GET", path: str = "/", query: str = "", kind: str = "http"
) -> tuple[bool, list[MutableMapping[str, Any]]]:
    """Whether the request reached the server, and what came back."""
    inner, sent = Inner(), []
    scope = {
        "type": kind, "method": method, "path": path, "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }  # fmt: skip

    async def receive() -> MutableMapping[str, Any]:
        return {"type": f"{kind}.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(Guard(inner, origins=[ADDRESS, "http://localhost:3000"])(scope, receive, send))
    return bool(inner.seen), sent


@pytest.mark.parametrize(
    ("headers", "method", "path"),
    [
        ((HOST,), "GET", "/"),
        ((("host", "localhost:3000"),), "GET", "/runs"),
        ((HOST, ("origin", ADDRESS), JSON), "POST", "/graphql"),
        ((HOST, ("origin", ADDRESS), ("content-type", "application/json; charset=utf-8")), "POST", "/graphql"),
        ((HOST, ("sec-fetch-site", "same-origin"), ("origin", ADDRESS), JSON), "POST", "/graphql"),
        ((HOST, ("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")), "GET", "/assets"),
        ((HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")), "GET", "/runs"),
        ((HOST, ("accept", "text/html,application/xhtml+xml")), "GET", "/graphql"),
        ((HOST, JSON), "POST", "/report_asset_materialization/clean/candles"),
    ],
)  # fmt: skip
def test_the_owner_s_requests_pass(headers: Headers, method: str, path: str) -> None:
    passed, sent = ask(*headers, method=method, path=path)
    assert passed
    assert sent[0]["status"] == 200
    assert (b"x-frame-options", b"DENY") in sent[0]["headers"]


@pytest.mark.parametrize(
    ("headers", "method", "path", "query", "reason"),
    [
        ((), "GET", "/", "", "Host"),
        ((("host", "evil.example:3000"),), "GET", "/", "", "Host"),
        ((("host", "127.0.0.1"),), "GET", "/", "", "Host"),
        ((HOST, HOST), "GET", "/", "", "Host"),
        ((HOST, ("origin", "http://evil.example")), "GET", "/", "", "Origin"),
        ((HOST, ("origin", "null")), "GET", "/", "", "Origin"),
        ((HOST, ("origin", "http://127.0.0.1:3001"), JSON), "POST", "/graphql", "", "Origin"),
        ((HOST, ("origin", ADDRESS), ("origin", ADDRESS), JSON), "POST", "/graphql", "", "Origin"),
        ((HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")), "GET", "/runs", "", "another site"),
        ((HOST, ("sec-fetch-site", "same-site"), JSON), "POST", "/graphql", "", "another site"),
        ((HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")),
         "GET", "/runs", "", "another site"),
        ((HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("accept", "text/html")),
         "GET", "/graphql", "query=mutation", "another site"),
        ((HOST,), "GET", "/graphql", "query=mutation", "GraphQL by GET"),
        ((HOST, ("accept", "*/*")), "HEAD", "/graphql", "query=mutation", "GraphQL by GET"),
        ((HOST,), "GET", "/prefix/GraphQL/", "query=mutation", "GraphQL by GET"),
        ((HOST, JSON), "POST", "/graphql", "query=mutation", "query string"),
        ((HOST,), "POST", "/graphql", "", "application/json"),
        ((HOST, ("content-type", "text/plain;a=application/json")), "POST", "/graphql", "", "application/json"),
        ((HOST, ("content-type", "application/graphql")), "POST", "/graphql", "", "application/json"),
        ((HOST, ("content-type", "application/x-www-form-urlencoded")), "POST", "/graphql", "", "application/json"),
        ((HOST,), "POST", "/report_asset_materialization/clean/candles", "", "application/json"),
        ((HOST, JSON), "POST", "/report_asset_check/clean/candles", "passed=true", "query string"),
        ((HOST,), "OPTIONS", "/graphql", "", "method"),
        ((HOST, JSON), "PUT", "/graphql", "", "method"),
    ],
)  # fmt: skip
def test_what_another_site_can_make_a_browser_send_is_refused(
    headers: Headers, method: str, path: str, query: str, reason: str
) -> None:
    passed, sent = ask(*headers, method=method, path=path, query=query)
    assert not passed
    assert sent[0]["status"] == 403
    assert reason in sent[1]["body"].decode()


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:3001"])
def test_a_socket_without_a_listed_origin_is_closed_before_it_is_accepted(origin: str | None) -> None:
    passed, sent = ask(HOST, *([("origin", origin)] if origin else []), path="/graphql", kind="websocket")
    assert not passed
    assert [message["type"] for message in sent] == ["websocket.close"]


def test_a_socket_of_the_owner_s_page_is_opened() -> None:
    passed, sent = ask(HOST, ("origin", ADDRESS), path="/graphql", kind="websocket")
    assert passed
    assert [message["type"] for message in sent] == ["websocket.accept"]


@pytest.mark.parametrize(
    "address", ["dagster.example.org", "https://", "https://host/path", "ftp://host", "https://host?x=1"]
)
def test_an_origin_that_is_none_is_refused_at_the_start(address: str) -> None:
    with pytest.raises(ConfigError, match="not the origin of a page"):
        origin_of(address)


def test_a_further_origin_is_that_of_a_proxy() -> None:
    assert origin_of("HTTPS://Dagster.Example.org/") == "https://dagster.example.org"
