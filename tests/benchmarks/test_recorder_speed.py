"""How many frames a second a recorder takes, how much of a core and of memory that costs, and what it costs when nothing comes."""

from __future__ import annotations

import asyncio
import resource
import time
from pathlib import Path

import aiohttp
import orjson
import polars as pl
import pytest

from pipelines.extract.landing import LandingStore, utc_now
from pipelines.extract.pack import Pack
from pipelines.extract.stream import frames_of
from pipelines.recorder.session import Recorder
from pipelines.sandbox.emulator import Emulator
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.stream_server import StreamFault
from pipelines.sources import registry
from pipelines.sources.instruments import SCHEMA

SECONDS = 20.0
FRAMES_PER_SECOND = 5_000


def processor_seconds() -> float:
    return time.thread_time()


@pytest.mark.benchmark
def test_five_thousand_frames_a_second(tmp_path: Path) -> None:
    """The recorder's own thread; its disk writes and seals are other threads of the process, and the emulator another yet."""
    venue = registry.venue("kraken")
    frame = pl.DataFrame(
        [("kraken", "PF_XBTUSD", "linear", 1.0, "base")],
        schema={
            name: SCHEMA[name]
            for name in ("venue", "instrument", "contract_type", "contract_size", "contract_size_unit")
        },
        orient="row",
    )
    listed = frame.select(*(pl.col(c) if c in frame.columns else pl.lit(None, t).alias(c) for c, t in SCHEMA.items()))

    async def instruments() -> pl.DataFrame:
        return listed

    async def run(emulator: Emulator) -> tuple[int, float]:
        async with aiohttp.ClientSession() as http:
            endpoints = {"stream": emulator.endpoints["kraken.stream"]}
            one = Recorder(
                LandingStore(tmp_path), "kraken", venue.streams[0], instruments, "bench", http, endpoints=endpoints
            )
            task = asyncio.create_task(one.run())
            while not any(x.state == "listening" for x in one.state.connections):
                await asyncio.sleep(0.05)
            before, frames = processor_seconds(), one.frames
            await asyncio.sleep(SECONDS)
            used, taken = processor_seconds() - before, one.frames - frames
            one.stop()
            await task
        return taken, used

    fault = StreamFault("kraken", "burst", times=9, count=FRAMES_PER_SECOND)
    with Emulator(
        AnalyticMarket(), ["kraken"], now=utc_now, stream_faults=[fault], stream_events=lambda *_: ()
    ) as emulator:
        taken, used = asyncio.run(run(emulator))
    numbers = [
        int(orjson.loads(line.payload)["seq"])
        for landing in LandingStore(tmp_path).all("kraken.liquidation_stream")
        for page in Pack(landing.path).pages()
        for line in frames_of(page)
        if b'"type":"liquidation"' in line.payload
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{taken / SECONDS:,.0f} frames/s, {used / SECONDS:.0%} of a core, peak {peak:,.0f} MB with the emulator")
    # What was on its way when the recorder stopped is the only thing missing.
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert len(numbers) >= taken
    assert used / SECONDS < 1.0
