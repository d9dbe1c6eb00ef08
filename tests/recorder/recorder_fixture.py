"""Events for the emulated streams, and what a warehouse has of them after a load."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl

from pipelines.core.settings import Settings
from pipelines.operations.load import load_pending
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.stream_server import Event
from pipelines.storage.warehouse import writer

EPOCH = datetime(1970, 1, 1)


def real_now() -> datetime:
    return datetime.now(tz=UTC).replace(tzinfo=None)


def every(seconds: float, *, copies: int = 1):  # type: ignore[no-untyped-def]
    """Events of each listing, one (or several equal ones) in so many seconds, with alternating sides."""
    step = timedelta(seconds=seconds)

    def events(venue: str, listing: Listing, start: datetime, end: datetime) -> Iterator[Event]:
        number = -((EPOCH - start) // step)
        while (at := EPOCH + number * step) < end:
            if at >= start:
                side = "long" if number % 2 else "short"
                for _ in range(copies):
                    yield Event(listing, at, number, side, 100.0, 2.0 + number % 7)
            number += 1

    return events


def query(settings: Settings, sql: str) -> pl.DataFrame:
    with writer(settings, what="test") as con:
        return con.sql(sql).pl()


def load(settings: Settings) -> None:
    load_pending(settings).raise_failures()
