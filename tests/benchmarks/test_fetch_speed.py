"""Fetching Bybit's open interest: against what its limit allows, and against a plain parallel download of the same bytes.

The venue runs in a process of its own, so that its work is not taken for ours, and answers in three ways: as the emulator
does, making up each answer; after 20 ms, as no venue is nearer; and at once from memory, which no venue can and which makes
the comparison one of processor time with pages of nine kilobytes: there the share is about a half, and what is held is that
it does not fall far below. The plain download asks with the same library and as many connections, and saves each answer in
a file, without looking at it and without syncing: it is a download, and no more. Both are measured in turn, so that what
else the machine does falls on both, and the median of the rounds counts.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pipelines.contract.ddl import load_contract
from pipelines.core.settings import PROJECT_ROOT
from pipelines.extract.client import open_api
from pipelines.extract.fetch import fetch_feed, plan_days
from pipelines.extract.landing import LandingStore
from pipelines.extract.pack import Pack
from pipelines.extract.rate_limits import Limit
from pipelines.extract.venue import Job, Span, Venue
from pipelines.sandbox.venues import bybit as emulated
from pipelines.sources.cex.bybit.venue import VENUE
from pipelines.sources.registry import answer_reader

FIRST, LAST = date(2025, 1, 1), date(2025, 4, 30)
DAYS = 120
NOW = datetime(2025, 6, 1)
PERPETUALS = [x for x in emulated.LISTINGS if x.contract_type != "spot"]
REQUESTS = DAYS * len(PERPETUALS) * 2
"""A day of five minutes is two pages."""

LIMIT = Limit(150, 1.0)
LATENCY = 0.02
SHARE_OF_LIMIT = 0.8
SHARES_OF_PLAIN = {("fresh", 0.0): 0.5, ("kept", LATENCY): 0.5, ("kept", 0.0): 0.35}
"""Of each way of answering: where from, and after how many seconds."""

ROUNDS = 5

_SERVER = """
import json, sys
from datetime import datetime
from pipelines.sandbox.emulator import Emulator, Response, Route
from pipelines.sandbox.venues import bybit
from pipelines.sandbox.market_model import AnalyticMarket

answers = {}
ways = {"kept": True}

def kept(handler):
    def answer(asked, world):
        if not ways["kept"]:
            return handler(asked, world)
        key = (asked.path, tuple(sorted(asked.params.items())))
        if key not in answers:
            answers[key] = Response(handler(asked, world).body, headers={"Content-Type": "application/json"})
        return answers[key]
    return answer

routes = [Route(r.method, r.endpoint, r.path, kept(r.handler)) for r in bybit.ROUTES]
now = datetime.fromisoformat(sys.argv[1])
with Emulator(AnalyticMarket(), ["bybit"], now=lambda: now, routes={"bybit": routes}) as there:
    print(json.dumps(there.endpoints), flush=True)
    for line in sys.stdin:
        command, number = json.loads(line)
        if command != "count":
            ways["kept"] = command == "kept"
            there.latency = number
            there.hits.clear()
        print(json.dumps([len(there.hits), there.most_in("bybit", number)]), flush=True)
"""


@dataclass
class Server:
    """The venue in its own process: base address, and what it counted."""

    process: subprocess.Popen[str]
    base: str

    def ask(self, command: str, number: float) -> tuple[int, int]:
        """`fresh` or `kept`: answer in this way after `number` seconds. `count`: requests since then, and the most of them
        within `number` seconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([command, number]) + "\n")
        self.process.stdin.flush()
        hits, most = json.loads(self.process.stdout.readline())
        return hits, most


@contextmanager
def served() -> Iterator[Server]:
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, NOW.isoformat()],
        cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield Server(process, json.loads(process.stdout.readline())["bybit.api"])
        finally:
            process.kill()


def fetched(server: Server, home: Path, venue: Venue) -> float:
    """Seconds to land all days of all perpetuals in an empty landing."""
    feed = venue.feed("open_interest")

    def jobs(span: Span) -> dict[str, Job]:
        return {x.instrument: Job(x.instrument, span, {"contract_type": x.contract_type}) for x in PERPETUALS}

    async def bring() -> float:
        async with open_api(venue, endpoints={"api": server.base}, clock=lambda: NOW) as api:
            started = time.perf_counter()
            partitions = plan_days(feed, FIRST, LAST, now=NOW, landed=[])
            store = LandingStore(home)
            reader = answer_reader(store, load_contract(PROJECT_ROOT / "warehouse" / "schema"), venue, feed)
            report = await fetch_feed(store, venue, feed, api, partitions=partitions, jobs=jobs, reader=reader, now=NOW)
            seconds = time.perf_counter() - started
        assert report.failures == {}
        assert len(report.landings) == DAYS
        return seconds

    return asyncio.run(bring())


def landed_requests(home: Path) -> list[tuple[str, dict[str, Any], int]]:
    """Path, parameters and size of every answer in the landing."""
    return [
        (page.request["path"], page.request["params"], len(page.body))
        for landing in LandingStore(home).current("bybit.open_interest")
        for page in Pack(landing.path).pages()
    ]


def downloaded(server: Server, requests: Sequence[tuple[str, dict[str, Any], int]], folder: Path) -> tuple[float, int]:
    """Seconds and bytes of the same questions, asked in parallel by aiohttp and saved, with nothing around it."""
    folder.mkdir()

    async def download() -> tuple[float, int]:
        connector = aiohttp.TCPConnector(limit=VENUE.concurrency)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def one(number: int, path: str, params: dict[str, Any]) -> int:
                async with session.get(server.base + path, params=params) as response:
                    return (folder / str(number)).write_bytes(await response.read())

            started = time.perf_counter()
            sizes = await asyncio.gather(
                *(one(number, path, params) for number, (path, params, _) in enumerate(requests))
            )
            return time.perf_counter() - started, sum(sizes)

    return asyncio.run(download())


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_fetching_uses_most_of_a_limit_and_half_of_the_wire(tmp_path: Path) -> None:
    free = replace(VENUE, limits=())
    with served() as server:
        fetched(server, tmp_path / "first", free)
        requests = landed_requests(tmp_path / "first")
        size = sum(size for _, _, size in requests)
        assert len(requests) == REQUESTS

        shares = {}
        for way, latency in SHARES_OF_PLAIN:
            server.ask(way, latency)
            plain, ours = [], []
            for number in range(ROUNDS):
                seconds, received = downloaded(server, requests, tmp_path / f"plain-{way}-{latency}-{number}")
                assert received == size
                plain.append(seconds)
                ours.append(fetched(server, tmp_path / f"{way}-{latency}-{number}", free))
            shares[way, latency] = statistics.median(plain) / statistics.median(ours)
            print(
                f"\n{way} after {latency * 1000:g} ms: plain {statistics.median(plain):.2f} s, "
                f"ours {statistics.median(ours):.2f} s: {shares[way, latency]:.0%}",
                end="",
            )

        server.ask("kept", LATENCY)
        seconds = fetched(server, tmp_path / "limited", replace(VENUE, limits=(LIMIT,)))
        hits, most = server.ask("count", LIMIT.seconds)
        # A limit allows its amount at once, and as much again in every window that follows.
        allowed = LIMIT.seconds * (hits / LIMIT.amount - 1)
        of_limit = allowed / seconds

    print(
        f"\n{REQUESTS} answers, {size / 1e6:.1f} MB. Limit {LIMIT.amount:g} in {LIMIT.seconds:g} s: "
        f"{of_limit:.0%} of it, at most {most} in a window."
    )
    assert hits == REQUESTS
    assert most <= LIMIT.amount
    assert of_limit >= SHARE_OF_LIMIT
    assert {way: share for way, share in shares.items() if share < SHARES_OF_PLAIN[way]} == {}
