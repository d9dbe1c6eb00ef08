"""Secrets planted in every setting that can hold one, and a run in which every request fails: no byte of it shows one.

Servers echo what they were sent, address and headers, as nodes and gateways do in their errors.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web

from pipelines.core import redaction
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.extract.client import RetryPolicy
from pipelines.operations.fetch import fetch
from pipelines.operations.load import load_pending
from pipelines.sources import registry
from pipelines.storage.warehouse import reader, writer

NO_PATIENCE = RetryPolicy(attempts=2, first_wait=0.0, longest_backoff=0.0, longest_wait=0.0, total_seconds=2.0)


@dataclass
class Planted:
    """Secrets by the setting they stand in."""

    host: str
    secrets: dict[str, str] = field(default_factory=dict)

    def plant(self, name: str) -> str:
        # Not of one alphabet: signs that addresses, JSON and HTML escape.
        number = len(self.secrets)
        self.secrets[name] = f"pL4nt{number:03d}&<{number * 7919:05x}'~%+zQ"
        return self.secrets[name]

    def address(self, name: str) -> str:
        user, password, path, key = (
            quote(self.plant(f"{name} {part}"), safe="") for part in ("user", "password", "path", "query")
        )
        return f"http://{user}:{password}@{self.host}/v2/{path}?apikey={key}"

    def hits(self, content: bytes) -> list[str]:
        """Names of the secrets that `content` shows, in any spelling."""
        found = []
        for name, secret in self.secrets.items():
            spellings = {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], secret[:12]}
            if any(one.encode() in content for one in spellings):
                found.append(name)
        for name in {name.rpartition(" ")[0] for name in self.secrets if name.endswith(" user")}:
            pair = f"{self.secrets[f'{name} user']}:{self.secrets[f'{name} password']}"
            if base64.b64encode(pair.encode()) in content:
                found.append(f"{name} basic")
        return found


@contextmanager
def echoing(statuses: tuple[int, ...]) -> Iterator[tuple[str, list[int]]]:
    """A server whose every answer is an error with what it was sent; yields its host and the statuses it sent."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    sent: list[int] = []
    port = [0]

    async def answer(request: web.Request) -> web.Response:
        status = statuses[len(sent) % len(statuses)]
        sent.append(status)
        echo = {"url": str(request.url), "raw": request.raw_path, "headers": dict(request.headers)}
        message = f"no access: {echo} {request.path_qs} {request.query.get('apikey')} {request.path}"
        return web.json_response({"id": 1, "error": {"code": -32000, "message": message}, "echo": echo}, status=status)

    async def main() -> web.AppRunner:
        application = web.Application()
        application.router.add_route("*", "/{any:.*}", answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port[0] = runner.addresses[0][1]
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(main())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield f"127.0.0.1:{port[0]}", sent
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def endpoints(planted: Planted) -> dict[str, str]:
    """An address with secrets for every endpoint of every venue, the optional ones too."""
    found: dict[str, str] = {}
    for name in registry.VENUES:
        venue = registry.venue(name)
        optional = [
            key
            for key in ("rpc", "rpc_2", "node")
            if venue.optional_endpoints and venue.optional_endpoints.fullmatch(key)
        ]
        found |= {f"{name}.{key}": planted.address(f"{name}.{key}") for key in (*venue.endpoints, *optional)}
    return found


def bytes_of(home: Path) -> Mapping[str, bytes]:
    """Every file below the home, and every member of a pack."""
    files = {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    for path in [path for path in files if zipfile.is_zipfile(path)]:
        with zipfile.ZipFile(path) as pack:
            files |= {f"{path}/{name}": pack.read(name) for name in pack.namelist()}
    return files


def rows_of(settings: Settings) -> bytes:
    """Every row of the loader's tables as text: the file holds them compressed."""
    with writer(settings, what="test") as con:
        names = con.sql("select table_name from information_schema.tables where table_schema = 'ops'").fetchall()
        return b"".join(repr(con.sql(f"from ops.{name}").fetchall()).encode() for (name,) in names)


@pytest.mark.parametrize("kind", ["echo", "closed port"])
def test_no_secret_is_kept_of_a_fetch_in_which_every_request_fails(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    def now() -> datetime:
        return datetime.now(tz=UTC).replace(tzinfo=None)

    redaction.install()
    with echoing((500, 400, 200, 403, 404, 451, 409)) as (host, sent):
        planted = Planted(host if kind == "echo" else "127.0.0.1:9")
        monkeypatch.setenv("COINALYZE_API_KEY", planted.plant("COINALYZE_API_KEY").replace("%", ""))
        planted.secrets["COINALYZE_API_KEY"] = os.environ["COINALYZE_API_KEY"]
        served = settings.model_copy(update={"endpoints": endpoints(planted)})
        failed, texts = set(), []
        # Published at every venue, at whatever hour this runs.
        day = (now() - timedelta(days=2)).date()
        asked = registry.VENUES if kind == "echo" else ("bybit", "coinalyze", "defillama", "evm_ethereum")
        for name in asked:
            for report in fetch(served, name, first=day, last=day, retry=NO_PATIENCE, clock=now):
                for error in report.failures.values():
                    failed.add(name)
                    logging.getLogger("any").error("failed: %s", error, exc_info=error)
                    texts += [repr(error), redaction.format_error(error)]
    # Of these two, one has nothing to ask, and one takes the error object under status 200 for its list of markets. A portal that
    # answers 404 says that a day is not published yet.
    portals = {name for name in asked if name == "kamino" or name.startswith("evm_")}
    assert failed >= set(asked) - {"hyperliquid_fills", "dydx"} - (portals if kind == "echo" else set())
    assert failed & portals
    assert bool(sent) == (kind == "echo")
    load_pending(served, clock=now)
    shown = {**bytes_of(settings.root), "ops": rows_of(settings), "errors": "\n".join(texts).encode()}
    shown["log"], shown["settings"] = caplog.text.encode(), repr(served).encode()
    assert len(shown["ops"]) > 1000
    assert {where: hits for where, content in shown.items() if (hits := planted.hits(content))} == {}


@pytest.mark.slow
def test_a_failing_run_of_the_command_line_shows_and_stores_no_secret(
    settings: Settings, spare_parsing: Callable[[Settings], None]
) -> None:
    """Through Dagster, which stores errors with all their causes, with --debug and --json, and a published file after it."""
    spare_parsing(settings)
    with echoing((400, 451, 401)) as (host, sent):
        planted = Planted(host)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEVERHOUSE_", "DAGSTER_", "DBT_"))}
        variables = {
            "LEVERHOUSE_HOME": str(settings.root),
            "LEVERHOUSE_ENDPOINTS": json.dumps(endpoints(planted)),
            "COINALYZE_API_KEY": planted.plant("COINALYZE_API_KEY"),
        }

        def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(
                [sys.executable, "-m", "pipelines.cli", "--debug", *arguments],
                cwd=PROJECT_ROOT, env=kept | variables, capture_output=True, check=False,
            )  # fmt: skip

        failed = run("fetch", "bybit", "coinalyze", "evm_ethereum", "--json")
    assert failed.returncode == 76
    assert len(sent) > 5
    assert [run["succeeded"] for run in json.loads(failed.stdout)["runs"]][:2] == [False, False]
    assert b"Traceback" in failed.stderr
    published = run("run")
    assert published.returncode == 0, published.stderr
    with reader(settings) as con:
        [(problems,)] = con.sql("select string_agg(detail, chr(10)) from ops.fetch_problems").fetchall()
    assert "the venue refuses all requests" in problems
    shown = {**bytes_of(settings.root), "ops": rows_of(settings), "published": problems.encode()}
    shown |= {"output": failed.stdout + failed.stderr + published.stdout + published.stderr}
    assert {where: hits for where, content in shown.items() if (hits := planted.hits(content))} == {}
