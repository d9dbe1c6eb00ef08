"""Pages of another origin in a real browser, and everything that such a page can send to a server on this machine.

Names resolve to this machine or to nothing; no other address is reached.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from pipelines.report.browser import Browser, open_browser
from tests.browser import browser_or_skip

EVIL: Final = "evil.example"
REBOUND: Final = "rebound.example"
"""A name of another site that leads to this machine, as after DNS rebinding."""

NETWORK: Final = (
    f"--host-resolver-rules=MAP {EVIL} 127.0.0.1, MAP {REBOUND} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-proxy-server",
)

ATTACKS: Final = """
(async (target, body, query) => {
  const read = [];
  const url = `${target}/graphql?query=${encodeURIComponent(query)}`;
  const get = async (name, address, options) => {
    try { const text = await (await fetch(address, options)).text(); if (text) read.push(`${name}: ${text.slice(0, 200)}`); }
    catch (error) { /* refused by the browser: nothing was read */ }
  };
  await get('GET', url);
  await get('GET unread', url, {mode: 'no-cors'});
  await get('page', `${target}/runs`);
  await get('text/plain', `${target}/graphql`, {method: 'POST', body});
  await get('almost JSON', `${target}/graphql`,
    {method: 'POST', mode: 'no-cors', headers: {'content-type': 'text/plain;a=application/json'}, body});
  await get('JSON', `${target}/graphql`, {method: 'POST', headers: {'content-type': 'application/json'}, body});
  await get('report', `${target}/report_asset_materialization/clean/candles`, {method: 'POST', mode: 'no-cors'});
  navigator.sendBeacon(url, new Blob([body], {type: 'text/plain'}));
  const loaded = element => new Promise(done => {
    element.onload = element.onerror = () => done(); document.body.append(element); setTimeout(done, 2000);
  });
  await loaded(Object.assign(new Image(), {src: url}));
  await loaded(Object.assign(document.createElement('script'), {src: url}));
  const frame = Object.assign(document.createElement('iframe'), {name: 'inner', src: url});
  await loaded(frame);
  const form = Object.assign(document.createElement('form'),
    {method: 'post', action: `${target}/graphql`, target: 'inner', enctype: 'application/x-www-form-urlencoded'});
  form.append(Object.assign(document.createElement('input'), {name: 'query', value: query}));
  document.body.append(form);
  const sent = new Promise(done => { frame.onload = () => done(); setTimeout(done, 2000); });
  form.submit();
  await sent;
  try { if (frame.contentDocument && frame.contentDocument.body.innerText) read.push('frame'); } catch (error) { /* blocked */ }
  const heard = await new Promise(done => {
    const socket = new WebSocket(`${target.replace('http', 'ws')}/graphql`, 'graphql-ws');
    socket.onopen = () => { socket.send(JSON.stringify({type: 'connection_init'})); };
    socket.onmessage = event => done(event.data);
    socket.onclose = socket.onerror = () => done('');
    setTimeout(() => done(''), 3000);
  });
  if (heard) read.push(`socket: ${heard}`);
  return read;
})
"""
"""Sends a mutation in every way a page can, and returns what it could read. Arguments: address, JSON body, query."""


@contextlib.contextmanager
def networked_browser() -> Iterator[Browser]:
    """A browser that reaches this machine alone."""
    with open_browser(browser_or_skip(), network=NETWORK) as running:
        yield running


@contextlib.contextmanager
def foreign_page() -> Iterator[int]:
    """The port of a site that serves an empty page under any name."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<!doctype html><title>another site</title><body>"
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def visit(browser: Browser, address: str) -> None:
    """Open a page and wait until it is loaded, whatever the server answers."""
    # Otherwise an address that differs from the last in its fragment alone would not be loaded.
    browser.send("Page.navigate", {"url": "about:blank"})
    browser.send("Page.navigate", {"url": address})
    until = time.monotonic() + 60
    while browser.ask("location.href") == "about:blank" or browser.ask("document.readyState") != "complete":
        assert time.monotonic() < until, f"{address} did not load"
        time.sleep(0.05)


def attack(browser: Browser, site: str, target: str, *, query: str, body: str) -> list[str]:
    """Let a page of `site` send `query` to `target` in every way there is; return what the page could read."""
    visit(browser, site)
    assert browser.ask("location.host") == urlsplit(site).netloc
    found: list[str] = browser.ask(f"{ATTACKS}({target!r}, {body!r}, {query!r})")
    # Ways that leave the page: a link and a form that open the answer in its place.
    browser.ask(f"void (location.href = {target!r} + '/graphql?query=' + encodeURIComponent({query!r}))")
    time.sleep(0.5)
    visit(browser, site)
    browser.ask(
        "(() => { const f = document.createElement('form'); f.method = 'post'; "
        f"f.action = {target!r} + '/graphql?query=' + encodeURIComponent({query!r}); document.body.append(f); f.submit(); }})()"
    )
    time.sleep(0.5)
    return found
