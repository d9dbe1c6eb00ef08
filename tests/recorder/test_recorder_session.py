"""The recorder in this process, against every emulated stream and every fault: what was sent while listening is landed, once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import polars as pl
import pytest

from pipelines.core.errors import MachineError
from pipelines.extract.fetch import span_of
from pipelines.extract.landing import LandingStore
from pipelines.extract.listening import heard_of, seconds_heard
from pipelines.extract.pack import Pack
from pipelines.extract.stream import KeepAlive, Stream, frames_of
from pipelines.extract.venue import Context, Parsed
from pipelines.recorder.session import Recorder
from pipelines.sandbox.emulator import Emulator
from pipelines.sandbox.market_model import AnalyticMarket
from pipelines.sandbox.stream_server import STREAMING, StreamFault, speaker_of
from pipelines.sources import registry
from pipelines.sources.instruments import SCHEMA
from tests.recorder.recorder_fixture import every, real_now

pytestmark = pytest.mark.slow
"""Heartbeats and overlaps on a real clock: on a busy machine frames come late, and a test says so that proves nothing. What a
recording becomes is in test_record.py, what frames mean in test_stream_payloads.py."""

FAST = KeepAlive(every=0.4, stalled_after=1.2)


def listed(venue: str) -> pl.DataFrame:
    rows = [
        (venue, x.instrument, x.contract_type, x.contract_size, x.contract_size_unit)
        for x in speaker_of(venue).listings
    ]
    columns = ["venue", "instrument", "contract_type", "contract_size", "contract_size_unit"]
    known = pl.DataFrame(rows, schema={name: SCHEMA[name] for name in columns}, orient="row")
    every = known.select(*(pl.col(c) if c in columns else pl.lit(None, t).alias(c) for c, t in SCHEMA.items()))
    return every.with_columns(pl.int_range(pl.len()).cast(pl.String).alias("number"))


@contextlib.asynccontextmanager
async def recording(
    home: Path, emulator: Emulator, venue: str, stream: Stream, name: str = "r1", **more: Any
) -> AsyncIterator[Recorder]:
    async def instruments() -> pl.DataFrame:
        return listed(venue)

    async with aiohttp.ClientSession() as http:
        endpoints = {"stream": emulator.endpoints[f"{venue}.stream"]}
        one = Recorder(LandingStore(home), venue, stream, instruments, name, http, endpoints=endpoints, **more)
        task = asyncio.create_task(one.run())
        try:
            yield one
        finally:
            one.stop()
            await task


async def until_listening(one: Recorder, count: int = 1) -> None:
    async with asyncio.timeout(30):
        while sum(x.state == "listening" for x in one.state.connections) < count:
            await asyncio.sleep(0.02)


def rows_of(home: Path, venue: str) -> pl.DataFrame:
    """Rows of every landed segment, one per identity, as a load would have them."""
    found: list[Parsed] = []
    for landing in LandingStore(home).all(f"{venue}.liquidation_stream"):
        context = Context(venue, landing.fetched_at, span_of(landing), listed(venue))
        found += registry.venue(venue).streams[0].parse(list(Pack(landing.path).pages()), context)
    rows = [one.rows for one in found]
    return pl.concat(rows).unique("liquidation_id") if rows else pl.DataFrame()


def sent_of(emulator: Emulator, venue: str) -> set[tuple[str, object]]:
    return {(x.event.listing.instrument, x.event.at) for x in emulator.streams.sent if x.venue == venue}


def keys(rows: pl.DataFrame) -> list[tuple[str, object]]:
    return sorted(rows.select("instrument", "occurred_at").rows())


def record_for(
    home: Path, venue: str, seconds: float, faults: Sequence[StreamFault] = (), *, channels: int = 1, **more: Any
) -> Emulator:
    stream = registry.venue(venue).streams[0]

    async def run(emulator: Emulator) -> None:
        async with recording(home, emulator, venue, stream, **more) as one:
            await until_listening(one, channels)
            await asyncio.sleep(seconds)

    with Emulator(AnalyticMarket(), [venue], now=real_now, stream_events=every(0.5), stream_faults=faults) as emulator:
        asyncio.run(run(emulator))
    return emulator


@pytest.mark.parametrize("venue", sorted(STREAMING - {"gate", "binance"}))
def test_every_venue_lands_what_it_sent_once(tmp_path: Path, venue: str) -> None:
    emulator = record_for(tmp_path, venue, 1.5)
    assert len(sent_of(emulator, venue)) > 3
    assert keys(rows_of(tmp_path, venue)) == sorted(sent_of(emulator, venue))


def test_binance_listens_once_the_control_speaks(tmp_path: Path) -> None:
    emulator = record_for(tmp_path, "binance", 1.5)
    assert keys(rows_of(tmp_path, "binance")) == sorted(sent_of(emulator, "binance"))


def test_gate_lands_frames_without_a_side(tmp_path: Path) -> None:
    emulator = record_for(tmp_path, "gate", 1.0)
    landed = LandingStore(tmp_path).all("gate.liquidation_stream")
    texts = [frame.payload for x in landed for page in Pack(x.path).pages() for frame in frames_of(page)]
    assert sum(text.count(b'"contract"') for text in texts) == len(sent_of(emulator, "gate"))
    assert rows_of(tmp_path, "gate").is_empty()


@pytest.mark.parametrize("kind", ["split", "duplicate", "disorder", "malformed", "binary", "skew"])
def test_odd_frames_lose_nothing(tmp_path: Path, kind: str) -> None:
    fault = StreamFault("kraken", kind, times=9, seconds=7.0)  # type: ignore[arg-type]
    emulator = record_for(tmp_path, "kraken", 1.2, [fault])
    assert sent_of(emulator, "kraken")
    assert keys(rows_of(tmp_path, "kraken")) == sorted(sent_of(emulator, "kraken"))


@pytest.mark.parametrize("kind", ["refused", "closed"])
def test_it_connects_again(tmp_path: Path, kind: str) -> None:
    fault = StreamFault("kraken", kind, times=1, after=1.0)  # type: ignore[arg-type]
    emulator = record_for(tmp_path, "kraken", 3.0, [fault], jitter=lambda: 0.0)
    assert len(emulator.streams.connections) >= 2
    assert keys(rows_of(tmp_path, "kraken")) == sorted(sent_of(emulator, "kraken"))


@pytest.mark.parametrize("kind", ["silent", "no_pong"])
def test_a_stall_is_noticed_and_not_counted_as_heard(tmp_path: Path, kind: str) -> None:
    fault = StreamFault("bybit", kind, times=2, after=0.6)  # type: ignore[arg-type]
    keep = replace(registry.venue("bybit").streams[0].keep_alive, every=0.4, stalled_after=1.2)

    async def run(emulator: Emulator) -> None:
        stream = replace(registry.venue("bybit").streams[0], keep_alive=keep)
        async with recording(tmp_path, emulator, "bybit", stream, jitter=lambda: 0.0) as one:
            await until_listening(one, 2)
            async with asyncio.timeout(20):
                while len(emulator.streams.connections) < 4:
                    await asyncio.sleep(0.05)
            await until_listening(one, 2)

    # No events: only the control says whether the connection lives.
    with Emulator(
        AnalyticMarket(), ["bybit"], now=real_now, stream_events=every(86_400.0), stream_faults=[fault]
    ) as emulator:
        asyncio.run(run(emulator))
    spans = list(heard_of(LandingStore(tmp_path).all("bybit.liquidation_stream")))
    stalled = [span for span in spans if span.ended_by and span.ended_by.startswith("stalled")]
    assert len(stalled) == 2
    for span in stalled:
        assert span.end - span.start < timedelta(seconds=1.1)
    first, second = emulator.streams.connections[0], emulator.streams.connections[2]
    assert (second.opened_at - first.opened_at) < timedelta(seconds=6)


def test_two_recorders_give_every_event_once(tmp_path: Path) -> None:
    stream = registry.venue("bybit").streams[0]

    async def run(emulator: Emulator) -> None:
        async with recording(tmp_path, emulator, "bybit", stream, "r1") as first:
            await until_listening(first, 2)
            async with recording(tmp_path, emulator, "bybit", stream, "r2") as second:
                await until_listening(second, 2)
                await asyncio.sleep(1.0)
            await asyncio.sleep(0.5)

    # Two equal events at a time: the union has both, and not four.
    with Emulator(AnalyticMarket(), ["bybit"], now=real_now, stream_events=every(0.5, copies=2)) as emulator:
        asyncio.run(run(emulator))
    assert keys(rows_of(tmp_path, "bybit")) == sorted([*sent_of(emulator, "bybit"), *sent_of(emulator, "bybit")])


def test_segments_are_sealed_by_size_and_nothing_is_lost_or_doubled_between_them(tmp_path: Path) -> None:
    emulator = record_for(tmp_path, "bybit", 3.0, segment_bytes=4000)
    landed = LandingStore(tmp_path).all("bybit.liquidation_stream")
    assert len(landed) > 2
    assert keys(rows_of(tmp_path, "bybit")) == sorted(sent_of(emulator, "bybit"))
    heard = {one.instrument: one for one in seconds_heard(list(heard_of(landed)))}
    # One span, although it lies in several segments.
    assert heard["BTCUSDT"].spans == 1


def test_the_next_connection_is_there_before_a_forced_end(tmp_path: Path) -> None:
    stream = replace(registry.venue("kraken").streams[0], forced_end=timedelta(seconds=2))

    async def run(emulator: Emulator) -> None:
        async with recording(tmp_path, emulator, "kraken", stream, overlap=timedelta(seconds=1)) as one:
            await until_listening(one)
            await asyncio.sleep(3.0)

    with Emulator(AnalyticMarket(), ["kraken"], now=real_now, stream_events=every(0.25)) as emulator:
        asyncio.run(run(emulator))
    assert len(emulator.streams.connections) >= 3
    heard = seconds_heard(list(heard_of(LandingStore(tmp_path).all("kraken.liquidation_stream"))))
    assert {one.spans for one in heard} == {1}
    assert keys(rows_of(tmp_path, "kraken")) == sorted(sent_of(emulator, "kraken"))


def test_a_full_disk_ends_it_and_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.recorder.segment import Segment

    written = Segment.flush
    calls = []

    def flush(segment: Segment) -> None:
        calls.append(1)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        written(segment)

    monkeypatch.setattr(Segment, "flush", flush)
    with pytest.raises(MachineError, match="cannot be written"):
        record_for(tmp_path, "kraken", 5.0)
    monkeypatch.setattr(Segment, "flush", written)
    record_for(tmp_path, "kraken", 0.2)
    assert len(LandingStore(tmp_path).all("kraken.liquidation_stream")) == 2
