"""Fixtures for fetching with the real client over loopback HTTP from emulated venues with known data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.contract.ddl import load_contract
from pipelines.core.settings import Settings
from pipelines.extract.client import RetryPolicy
from pipelines.extract.landing import LandingStore
from pipelines.extract.venue import Context, Page, Parsed, Span
from pipelines.operations.load import load_pending
from pipelines.sandbox.emulator import Emulator, Fault
from pipelines.sandbox.market_model import AnalyticMarket, MarketModel
from pipelines.sources import registry
from pipelines.storage.warehouse import writer

NOW = datetime(2024, 3, 10, 6)
FAST_RETRY = RetryPolicy(attempts=4, first_wait=0.01, longest_backoff=0.02, longest_wait=1.0, total_seconds=2.0)


@dataclass
class Clock:
    """A manual clock; each reading advances it by a microsecond, so that landings are ordered."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Serve = Callable[..., Any]


@pytest.fixture
def serve(clock: Clock) -> Serve:
    """`with serve("bybit", settings=settings, faults=[...]) as (emulator, served)`; `served` are settings with its endpoints."""

    @contextmanager
    def serving(
        *venues: str,
        settings: Settings,
        market: MarketModel | None = None,
        faults: Sequence[Fault] = (),
        latency: float = 0.0,
    ) -> Iterator[tuple[Emulator, Settings]]:
        with Emulator(
            market or AnalyticMarket(), venues, now=lambda: clock.now, faults=faults, latency=latency
        ) as emulator:
            yield emulator, settings.model_copy(update={"endpoints": dict(emulator.endpoints)})

    return serving


def loaded(settings: Settings, table: str, *, clock: Clock) -> pl.DataFrame:
    """Load pending landings and return the clean table without the loader's columns."""
    load_pending(settings, clock=clock).raise_failures()
    with writer(settings, what="test") as con:
        return con.sql(f"select * exclude (landing_id, loaded_at) from clean.{table} order by all").pl()


def quarantined(settings: Settings) -> pl.DataFrame:
    with writer(settings, what="test") as con:
        return con.sql("select * from ops.quarantine").pl()


def parse_payloads(
    venue: str,
    feed: str,
    bodies: Sequence[bytes],
    *,
    subject: str = "*",
    instruments: pl.DataFrame | None = None,
    at: datetime = NOW,
    request: dict[str, Any] | None = None,
) -> list[Parsed]:
    """The feed's parsed payloads, checked against the contract's columns and types."""
    from pipelines.sources.instruments import InstrumentHistory

    pages = [Page(subject, request or {}, 200, at, body) for body in bodies]
    span = Span(at - timedelta(days=1), at)
    known = InstrumentHistory.none() if instruments is None else instruments
    parsed = list(registry.venue(venue).feed(feed).parse(pages, Context(venue, at, span, known)))
    contract = load_contract(Settings.load().schema_dir)
    for one in parsed:
        types = contract.table(one.table).polars_schema()
        wrong = {c: t for c, t in one.rows.schema.items() if c != "_line" and types.get(c) != t}
        assert not wrong, f"{one.table}: {wrong} against {types}"
    return parsed


def landings(settings: Settings, source: str | None = None) -> list[Any]:
    return LandingStore(settings.root).all(source)


def sample(folder: Path, name: str) -> bytes:
    return (folder / "cex" / name).read_bytes()
