"""A headless Chromium driven through a pipe: opens pages of the report, asks them, takes pictures. Needs no network and no port.

Commands are those of the DevTools protocol, one JSON text each, ended by a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipelines.core.errors import ConfigError, TransientError

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS: Final = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio", "--metrics-recording-only", "--disable-default-apps",
    "--force-color-profile=srgb", "--allow-file-access-from-files=false",
)  # fmt: skip

OFFLINE: Final = (
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
)
"""Nothing is reached, whatever a page asks for: every name resolves to nothing, every address goes to a dead proxy."""

READ_BYTES: Final = 1 << 20


class BrowserError(TransientError):
    """The browser did not start, did not answer in time, or a page raised."""


def find_browser() -> str | None:
    """Path of a Chromium of this machine, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Browser:
    """A running browser with one page."""

    pid: int
    to_browser: int
    from_browser: int
    timeout: float
    session: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    _number: int = 0
    _buffer: bytearray = field(default_factory=bytearray)

    def send(self, method: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Run one command and return its answer. Raises BrowserError where it fails or takes too long."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": dict(parameters or {})}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to_browser, data) :]
        deadline = time.monotonic() + self.timeout
        while True:
            answer = self._receive(deadline, method)
            if answer.get("id") != self._number:
                self.events.append(answer)
                continue
            if "error" in answer:
                raise BrowserError(f"browser: {method}: {answer['error'].get('message')}")
            result: dict[str, Any] = answer["result"]
            return result

    def open(self, address: str, *, width: int, height: int, ratio: float = 1.0, phone: bool = False) -> None:
        """Load a page at this size and wait until it says that all is drawn."""
        self.resize(width, height, ratio=ratio, phone=phone)
        self.send("Page.navigate", {"url": "about:blank"})
        failed = self.send("Page.navigate", {"url": address}).get("errorText")
        if failed:
            raise BrowserError(f"browser: {address}: {failed}")
        deadline = time.monotonic() + self.timeout
        while self.ask("document.readyState") != "complete" or self.ask("typeof LH") != "object":
            if time.monotonic() > deadline:
                raise BrowserError(f"browser: {address} did not load in {self.timeout:g} s")
        self.ask("LH.ready")

    def resize(self, width: int, height: int, *, ratio: float = 1.0, phone: bool = False) -> None:
        """Set the size of the page in CSS pixels and the device pixels of each."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": phone},
        )

    def ask(self, expression: str) -> Any:
        """Value of an expression in the page; a promise is awaited. Raises BrowserError with what the page threw."""
        answer = self.send(
            "Runtime.evaluate",
            {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True},
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(f"browser: {details.get('exception', {}).get('description') or details.get('text')}")
        return answer["result"].get("value")

    def picture(self, target: Path, *, whole: bool = False) -> None:
        """Write what is seen, or the whole page, as PNG."""
        answer = self.send(
            "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole, **self._clip(whole=whole)}
        )
        target.write_bytes(base64.b64decode(answer["data"]))

    def _clip(self, *, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def _receive(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.from_browser], [], [], max(0.0, left))
            if not ready:
                raise BrowserError(f"browser: no answer to {method} in {self.timeout:g} s")
            data = os.read(self.from_browser, READ_BYTES)
            if not data:
                raise BrowserError(f"browser: ended during {method}")
            self._buffer += data
        end = self._buffer.index(b"\0")
        message: dict[str, Any] = json.loads(bytes(self._buffer[:end]))
        del self._buffer[: end + 1]
        return message


@contextmanager
def open_browser(program: str, *, timeout: float = 60.0, network: Sequence[str] = OFFLINE) -> Iterator[Browser]:
    """Start a browser with a profile of its own and end it with everything it started. `network` are the options that say what
    it may reach.

    Raises BrowserError where it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="leverhouse-browser-", ignore_cleanup_errors=True) as profile:
        browser = _start(program, Path(profile), timeout, network)
        try:
            target = browser.send("Target.createTarget", {"url": "about:blank"})["targetId"]
            attached = browser.send("Target.attachToTarget", {"targetId": target, "flatten": True})
            browser.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                browser.send(f"{domain}.enable")
            yield browser
        finally:
            _end(browser)


def _start(program: str, profile: Path, timeout: float, network: Sequence[str]) -> Browser:
    child_reads, parent_writes = (_high(end) for end in os.pipe())
    parent_reads, child_writes = (_high(end) for end in os.pipe())
    null = os.open(os.devnull, os.O_RDWR)
    arguments = [program, *FLAGS, *network, f"--user-data-dir={profile}", "about:blank"]
    if os.geteuid() == 0:
        # Chromium refuses its sandbox to root; the pages are our own, and nothing is reached from them.
        arguments.insert(1, "--no-sandbox")
    actions = [
        (os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2),
        (os.POSIX_SPAWN_DUP2, child_reads, 3), (os.POSIX_SPAWN_DUP2, child_writes, 4),
    ]  # fmt: skip
    try:
        pid = os.posix_spawn(program, arguments, dict(os.environ), file_actions=actions, setsid=True)
    except OSError as error:
        for end in (child_reads, parent_writes, parent_reads, child_writes):
            os.close(end)
        raise BrowserError(f"browser: {program} does not start: {error}") from error
    finally:
        os.close(null)
    os.close(child_reads)
    os.close(child_writes)
    return Browser(pid, parent_writes, parent_reads, timeout)


def _high(descriptor: int) -> int:
    """The same pipe end under a number that cannot be 3 or 4, closed on exec."""
    high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return high


def _end(browser: Browser) -> None:
    """The browser leads a session of its own, so its whole group can be ended by one number."""
    os.close(browser.to_browser)
    os.close(browser.from_browser)
    with suppress(ProcessLookupError):
        os.killpg(browser.pid, signal.SIGKILL)
    os.waitpid(browser.pid, 0)


def require_browser() -> str:
    """Path of a Chromium. Raises ConfigError that says what to install."""
    found = find_browser()
    if found is None:
        raise ConfigError(
            f"report: no Chromium found (looked for {', '.join(NAMES)}). Install one, such as Debian's package chromium; "
            "the pages themselves open in any browser."
        )
    return found
