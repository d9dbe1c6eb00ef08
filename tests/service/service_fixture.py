"""A service as an operator starts it, for tests that watch it from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.core.settings import Settings
from pipelines.defs.common import CAPTURE_TAGS

LAUNCH = """
mutation($params: ExecutionParams!) {launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}
"""
SELECTOR = {"repositoryLocationName": "leverhouse", "repositoryName": "__repository__", "jobName": "capture_bybit"}


@dataclass
class Service:
    """A running service, and the address of its pages."""

    process: subprocess.Popen[bytes]
    address: str

    def kill(self) -> None:
        """SIGKILL of everything at once, as a power cut."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def launch_capture(self) -> str:
        # As the pages do: Dagster gives a job's tags to scheduled runs only.
        tags = [{"key": name, "value": value} for name, value in CAPTURE_TAGS.items()]
        params = {
            "selector": SELECTOR, "runConfigData": {}, "mode": "default", "executionMetadata": {"tags": tags},
        }  # fmt: skip
        request = urllib.request.Request(  # noqa: S310 - the address is of this machine
            f"{self.address}/graphql",
            data=json.dumps({"query": LAUNCH, "variables": {"params": params}}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            found = json.loads(answer.read())
        run_id: str = found["data"]["launchRun"]["run"]["runId"]
        return run_id


@contextmanager
def served(home: Settings, venue: str, before: tuple[str, ...] = ()) -> Iterator[Service]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    variables = {
        **os.environ,
        "LEVERHOUSE_HOME": str(home.root),
        "LEVERHOUSE_MAPPINGS": str(home.mappings_dir),
        "LEVERHOUSE_VENUES": "bybit",
        "LEVERHOUSE_ENDPOINTS": json.dumps({"bybit.api": venue}),
    }
    command = Path(sys.executable).with_name("leverhouse")
    with (home.root / "service.log").open("ab") as log:
        process = subprocess.Popen(
            [*before, str(command), "ui", "--port", str(port)],
            env=variables,
            stderr=log,
            stdout=log,
            start_new_session=True,
        )
    service = Service(process, f"http://127.0.0.1:{port}")
    try:
        until(lambda: _answers(service.address, process, home), 240)
        yield service
    finally:
        if process.poll() is None:
            service.kill()


def _answers(address: str, process: subprocess.Popen[bytes], home: Settings) -> bool:
    assert process.poll() is None, (home.root / "service.log").read_text()
    try:
        urllib.request.urlopen(f"{address}/server_info", timeout=5).close()  # noqa: S310
    except OSError:
        return False
    return True


def until(is_so: Callable[[], bool], seconds: float) -> float:
    """Seconds until something is so."""
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < seconds, "not within the time allowed"
        time.sleep(0.5)
    return time.monotonic() - started
