"""The processes of the service: one code server, one daemon, one web server, started together and ended together.

What each does is Dagster's business; here is only how they are started, so that nothing of the current folder is ever run: they
work in the home, import the package from where this one was imported, and read a workspace file made for this start.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from filelock import FileLock, Timeout

from pipelines.core.errors import ConfigError, PermanentError
from pipelines.core.settings import PACKAGE_ROOT, Settings

LOCATION: Final = "leverhouse"
DEFINITIONS: Final = "pipelines.definitions"
START_SECONDS: Final = 180.0
"""How long the code server may take to load the definitions."""
END_SECONDS: Final = 20.0
"""How long a process may take to end after SIGTERM before it is killed."""
POLL_SECONDS: Final = 0.2
LONGEST_SOCKET_PATH: Final = 107
"""Bytes, of Linux."""


@dataclass
class Service:
    """Where the service of one home listens."""

    settings: Settings
    port: int
    host: str = "127.0.0.1"
    origins: tuple[str, ...] = ()
    """Further addresses under which the pages are opened, as behind a reverse proxy."""
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every origin whose requests the guard lets pass."""
        names = ("127.0.0.1", "localhost")
        return (*(f"http://{name}:{self.port}" for name in names), *self.origins)

    def run(self) -> int:
        """Serve until a signal or until one of the processes ends; return the exit code.

        Raises ConfigError where another service runs on this home, PermanentError where a process ends by itself.
        """
        with _only_one(self.settings), _folder() as folder, _stopping() as stop:
            try:
                self._start(folder, stop)
                while not stop:
                    self._check()
                    time.sleep(POLL_SECONDS)
            finally:
                self._end()
        return 0

    def _start(self, folder: Path, stop: Sequence[int]) -> None:
        socket, workspace = folder / "code", folder / "workspace.yaml"
        if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH:
            raise ConfigError(f"TMPDIR {folder.parent} is too long a path for a socket; name a shorter one.")
        workspace.write_text(
            f'load_from:\n  - grpc_server: {{socket: "{socket}", location_name: {LOCATION}}}\n', encoding="utf-8"
        )
        self._spawn(
            *("-m", "dagster", "code-server", "start", "--socket", str(socket), "-m", DEFINITIONS),
            *("--working-directory", str(PACKAGE_ROOT), "--location-name", LOCATION, "--log-level", "warning"),
        )
        self._prepare()
        deadline = time.monotonic() + START_SECONDS
        while not socket.exists() and not stop:
            self._check()
            if time.monotonic() > deadline:
                raise PermanentError(f"the code server did not start within {START_SECONDS:.0f} s.")
            time.sleep(POLL_SECONDS)
        if stop:
            return
        self._spawn("-m", "dagster._daemon", "run", "--workspace", str(workspace))
        origins = [argument for origin in self.addresses for argument in ("--origin", origin)]
        self._spawn(
            *("-m", "pipelines.service.web", "--workspace", str(workspace)),
            *("--host", self.host, "--port", str(self.port), *origins),
        )

    def _prepare(self) -> None:
        """While the code server loads, in a process of its own: this one imports no Dagster and stays small."""
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.service.prepare"],
            cwd=self.settings.root, env=environment(self.settings), check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise PermanentError(
                f"the service could not be prepared (exit code {done.returncode}); what it printed says why."
            )

    def _spawn(self, *arguments: str) -> None:
        self._running.append(
            subprocess.Popen([sys.executable, *arguments], cwd=self.settings.root, env=environment(self.settings))
        )

    def _check(self) -> None:
        for process in self._running:
            if process.poll() is not None:
                name = " ".join(str(part) for part in process.args[1:4])  # type: ignore[index]
                raise PermanentError(f"'{name}' ended with {process.returncode}; what it printed says why.")

    def _end(self) -> None:
        """The web server and the daemon first, then the code server, whose runs end with it."""
        for process in reversed(self._running):
            process.terminate()
        deadline = time.monotonic() + END_SECONDS
        for process in reversed(self._running):
            try:
                process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment(settings: Settings) -> dict[str, str]:
    """The environment of every process of the service: the home, and a module path of this package alone."""
    return {
        **os.environ,
        "DAGSTER_HOME": str(settings.dagster_home),
        "LEVERHOUSE_HOME": str(settings.root),
        "LEVERHOUSE_MAPPINGS": str(settings.mappings_dir.resolve()),
        # Set, not added to: what stands on an inherited path could shadow a module of Dagster.
        "PYTHONPATH": str(PACKAGE_ROOT),
        "PYTHONSAFEPATH": "1",
        # The daemon's parts report every 30 s; without this, one that is stuck counts as alive for half an hour.
        "DAGSTER_DAEMON_HEARTBEAT_TOLERANCE": "90",
    }


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    lock = FileLock(settings.dagster_home / "service.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigError(f"another 'leverhouse ui' runs on {settings.root}; end it, or name another home.") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder of the owner's alone for the socket and the workspace file."""
    with tempfile.TemporaryDirectory(prefix="leverhouse-") as name:
        yield Path(name)


@contextmanager
def _stopping() -> Iterator[Sequence[int]]:
    """A list that SIGINT and SIGTERM put their numbers into, also where a shell started this with SIGINT ignored."""
    stop: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        stop.append(number)

    before: Mapping[signal.Signals, object] = {
        number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
