"""A page of another origin in a real browser against the guard: it starts nothing and reads nothing; the owner's page does both.

The server behind the guard answers everybody everything, as Dagster's does; without the guard the same pages get through, which
is shown too, so that a browser that blocks by itself does not pass for the guard.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
import uvicorn

from pipelines.report.browser import Browser, BrowserError
from pipelines.service.guard import Guard, Receive, Scope, Send
from tests.service.browser_fixture import EVIL, REBOUND, attack, foreign_page, networked_browser, visit

MUTATION = "mutation{launchRun}"
BODY = json.dumps({"query": MUTATION})
LOG = "log of a run"
OWNER_S_PAGE = """<!doctype html><title>runs</title><body><script>
window.owner = async () => {
  const answer = await fetch('/graphql',
    {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify({query: 'mutation{launchRun}'})});
  const heard = await new Promise(done => {
    const socket = new WebSocket(`ws://${location.host}/graphql`, 'graphql-ws');
    socket.onopen = () => socket.send('{}');
    socket.onmessage = event => done(event.data);
    socket.onclose = () => done('closed');
  });
  return [answer.status, (await answer.json()).data.launchRun, heard];
};
</script>"""


REQUESTS = """
(async body => {
  const get = await fetch('/runs');
  const post = await fetch('/graphql', {method: 'POST', headers: {'content-type': 'application/json'}, body});
  const socket = await new Promise(done => {
    const one = new WebSocket(`ws://${location.host}/graphql`, 'graphql-ws');
    one.onopen = () => done('open');
    one.onclose = one.onerror = () => done('closed');
  });
  return [get.status, post.status, socket];
})
"""


@dataclass
class Open:
    """Stands for Dagster's server: runs a mutation that comes by GET, by a form or as JSON, whoever sends it, and tells logs."""

    started: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "subprotocol": "graphql-ws"})
            while (await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": LOG})
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        queries = parse_qs(scope["query_string"].decode()).get("query", []) + parse_qs(body.decode()).get("query", [])
        started = "mutation" in "".join(queries) + body.decode() or scope["path"].startswith("/report_asset")
        if started:
            self.started.append(f"{scope['method']} {scope['path']}")
        is_page = scope["path"] == "/"
        headers = [(b"content-type", b"text/html" if is_page else b"application/json")]
        answer = (
            OWNER_S_PAGE if is_page else json.dumps({"data": {"launchRun": "started" if started else None}, "log": LOG})
        )
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer.encode()})


@dataclass
class Served:
    """A server on a port of this machine, with the guard before it or without."""

    inner: Open
    address: str

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def serve(*, guarded: bool) -> Iterator[Served]:
    inner = Open()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app: Any = Guard(inner, origins=[address]) if guarded else inner
    config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1, ws="websockets-sansio")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < until, "the server does not start"
        time.sleep(0.02)
    try:
        yield Served(inner, address)
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listener.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with networked_browser() as running:
        yield running


@pytest.fixture(scope="module")
def other_site() -> Iterator[int]:
    with foreign_page() as port:
        yield port


@pytest.fixture(scope="module")
def guarded() -> Iterator[Served]:
    yield from serve(guarded=True)


@pytest.fixture(scope="module")
def unguarded() -> Iterator[Served]:
    yield from serve(guarded=False)


def test_without_the_guard_a_page_of_another_site_starts_runs_and_reads_logs(
    browser: Browser, other_site: int, unguarded: Served
) -> None:
    read = attack(browser, f"http://{EVIL}:{other_site}/", unguarded.address, query=MUTATION, body=BODY)
    assert read == [f"socket: {LOG}"]
    assert {"GET /graphql", "POST /graphql", "POST /report_asset_materialization/clean/candles"} == set(
        unguarded.inner.started
    )
    visit(browser, f"http://{REBOUND}:{unguarded.port}/")
    assert browser.ask("owner()") == [200, "started", LOG]


@pytest.mark.parametrize("host", [EVIL, "127.0.0.1"], ids=["another site", "another port of this machine"])
def test_a_page_of_another_origin_starts_nothing_and_reads_nothing(
    browser: Browser, other_site: int, guarded: Served, host: str
) -> None:
    guarded.inner.started.clear()
    assert attack(browser, f"http://{host}:{other_site}/", guarded.address, query=MUTATION, body=BODY) == []
    assert guarded.inner.started == []


def test_a_page_under_a_name_that_was_made_to_lead_here_is_refused(browser: Browser, guarded: Served) -> None:
    guarded.inner.started.clear()
    visit(browser, f"http://{REBOUND}:{guarded.port}/")
    assert browser.ask("document.body.innerText").startswith("refused: Host is not one of this server's addresses")
    read = browser.ask(f"{REQUESTS}({BODY!r})")
    assert read == [403, 403, "closed"]
    assert guarded.inner.started == []


def test_the_owner_s_page_starts_a_run_and_reads_its_log(browser: Browser, guarded: Served) -> None:
    guarded.inner.started.clear()
    visit(browser, f"{guarded.address}/")
    assert browser.ask("document.title") == "runs"
    assert browser.ask("owner()") == [200, "started", LOG]
    assert guarded.inner.started == ["POST /graphql"]


def test_a_link_of_another_site_may_open_a_page(browser: Browser, other_site: int, guarded: Served) -> None:
    visit(browser, f"http://{EVIL}:{other_site}/")
    browser.ask(f"void (location.href = '{guarded.address}/')")
    until = time.monotonic() + 30
    title = None
    while title != "runs":
        assert time.monotonic() < until, "the page did not open"
        time.sleep(0.05)
        # A page that is being left answers nothing.
        with contextlib.suppress(BrowserError):
            title = browser.ask("document.title")
