"""The guard before Dagster's web server: who may talk to it. Pure ASGI, so that it sees web sockets too. No Dagster here.

Dagster's server has no login. It executes GraphQL mutations that arrive by GET or by a form, and looks at neither Host nor
Origin: any page that the owner opens in a browser could start and cancel runs (cross-site request forgery), or read them under
a name that resolves to this machine (DNS rebinding). A browser states where a request comes from; the guard reads that.
It is no login: a program on this machine may send whatever headers it likes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from pipelines.core.errors import ConfigError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

METHODS: Final = frozenset({"GET", "HEAD", "POST"})
SAME_SITE: Final = frozenset({"same-origin", "none"})
"""Values of Sec-Fetch-Site that the owner's own pages and address bar send."""

POLICY_VIOLATION: Final = 1008
_UNFRAMED: Final = ((b"x-frame-options", b"DENY"),)


class Guard:
    """Passes a request on to `app`, or answers 403 with the reason; a refused socket is closed before it is accepted.

    `origins` are the addresses under which the owner opens the pages, scheme and port included.
    """

    def __init__(self, app: App, *, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origin_of(origin) for origin in origins)
        self._hosts = frozenset(urlsplit(origin).netloc for origin in self._origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        reason = self.refusal(scope)
        if reason is None:
            await self._app(scope, receive, _unframed(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": reason})
        else:
            body = f"refused: {reason}\n".encode()
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 403, "headers": [*headers, *_UNFRAMED]})
            await send({"type": "http.response.body", "body": body})

    def refusal(self, scope: Scope) -> str | None:
        """Why a request or a socket is refused; None where it may pass."""
        headers = _headers(scope)
        hosts = headers.get("host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return "Host is not one of this server's addresses"
        origins = headers.get("origin", [])
        if any(origin.lower() not in self._origins for origin in origins) or len(origins) > 1:
            return "Origin is another site"
        if scope["type"] == "websocket":
            return None if origins else "a web socket without Origin"
        return self._http_refusal(scope, headers)

    def _http_refusal(self, scope: Scope, headers: Mapping[str, list[str]]) -> str | None:
        method, is_graphql = scope["method"], _is_graphql(scope["path"])
        if method not in METHODS:
            return f"method {method}"
        is_page = method == "GET" and headers.get("sec-fetch-mode") == ["navigate"]
        # A link from elsewhere may open a page; it may not be framed, and it may not carry a query to GraphQL.
        is_link = is_page and not is_graphql and headers.get("sec-fetch-dest", ["document"]) == ["document"]
        sites = headers.get("sec-fetch-site", [])
        if any(site not in SAME_SITE for site in sites) and not is_link:
            return "the request comes from another site"
        if is_graphql and method != "POST" and not _accepts_html(headers):
            return "GraphQL by GET"
        if method == "POST":
            if scope.get("query_string"):
                return "POST with a query string"
            types = headers.get("content-type", [])
            if len(types) != 1 or types[0].split(";")[0].strip().lower() != "application/json":
                return "POST of something else than application/json"
        return None


def origin_of(address: str) -> str:
    """Scheme, host and port of `address`, lower case, as a browser writes them in Origin. Raises ConfigError."""
    parts = urlsplit(address.strip().lower())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"} or parts.query:
        raise ConfigError(f"{address!r} is not the origin of a page; write it as https://dagster.example.org.")
    return f"{parts.scheme}://{parts.netloc}"


def _headers(scope: Scope) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1").strip())
    return headers


def _is_graphql(path: str) -> bool:
    return "/graphql" in f"/{path.lower()}"


def _accepts_html(headers: Mapping[str, list[str]]) -> bool:
    return any("text/html" in value.lower() for value in headers.get("accept", []))


def _unframed(send: Send) -> Send:
    """`send`, with the header that keeps other sites from showing the pages in a frame."""

    async def framed(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_UNFRAMED]}
        await send(message)

    return framed
