"""The service as processes: it starts, answers the owner, runs nothing of the folder it was started in, and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.core.settings import PROJECT_ROOT

pytestmark = pytest.mark.slow

DECOYS = ("dagster", "dagster_webserver", "dbt", "duckdb", "filelock", "gql", "polars", "uvicorn", "pipelines/__init__")
WORKSPACE_QUERY = "{workspaceOrError{... on Workspace{locationEntries{name locationOrLoadError{__typename}}}}}"


@dataclass
class Running:
    """A service of an empty home that was started in a folder of decoys."""

    process: subprocess.Popen[bytes]
    address: str
    environment: dict[str, str]
    folder: Path

    def graphql(self, query: str, **headers: str) -> object:
        request = urllib.request.Request(  # noqa: S310 - the address is of this machine
            f"{self.address}/graphql",
            data=json.dumps({"query": query}).encode(),
            headers={"content-type": "application/json", **headers},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read())


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("decoys")
    for name in DECOYS:
        path = folder / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"open({str(folder / 'RAN')!r}, 'a').write(__name__)\n", encoding="utf-8")
    home = tmp_path_factory.mktemp("home")
    environment = {
        **os.environ,
        "LEVERHOUSE_HOME": str(home),
        "LEVERHOUSE_MAPPINGS": str(home / "mappings"),
        # No venue is asked: nothing listens on this port.
        "LEVERHOUSE_VENUES": "bybit",
        "LEVERHOUSE_ENDPOINTS": '{"bybit.api": "http://127.0.0.1:9"}',
    }
    command = Path(sys.executable).with_name("leverhouse")
    port = free_port()
    log = (folder / "log").open("wb")
    process = subprocess.Popen([command, "ui", "--port", str(port)], cwd=folder, env=environment, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(900):
            try:
                urllib.request.urlopen(f"{address}/server_info", timeout=5).close()  # noqa: S310
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.5)
        yield Running(process, address, environment, folder)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)
        log.close()


def test_the_definitions_are_loaded(running: Running) -> None:
    answer = running.graphql(WORKSPACE_QUERY)
    assert answer == {
        "data": {
            "workspaceOrError": {
                "locationEntries": [{"name": "leverhouse", "locationOrLoadError": {"__typename": "RepositoryLocation"}}]
            }
        }
    }


def test_another_site_is_refused(running: Running) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        running.graphql("{__typename}", origin="http://evil.example")


def test_a_second_service_of_the_home_is_refused(running: Running) -> None:
    command = Path(sys.executable).with_name("leverhouse")
    second = subprocess.run(
        [command, "ui", "--port", str(free_port())],
        cwd=PROJECT_ROOT, env=running.environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert second.returncode == 78
    assert "another 'leverhouse ui' runs on" in second.stderr


def test_nothing_of_the_current_folder_was_run(running: Running) -> None:
    assert not (running.folder / "RAN").exists()


def test_it_ends_with_all_of_its_processes(running: Running) -> None:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(running.process.pid)], capture_output=True, text=True, check=True
    )
    children = [int(pid) for pid in listed.stdout.split()]
    assert len(children) == 3
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=60) == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
