"""Problems while fetching are logged as they happen and loaded into ops.fetch_problems, whatever the outcome of the fetch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from pipelines.clean.fetch_problems import record_fetch_problems
from pipelines.core.settings import Settings
from pipelines.extract.fetch_log import FOLDER
from pipelines.operations.fetch import fetch
from pipelines.operations.load import load_pending
from pipelines.operations.rebuild import rebuild
from pipelines.sandbox.emulator import Fault
from pipelines.storage.warehouse import writer
from tests.sources.conftest import FAST_RETRY, Clock, Serve
from tests.sources.test_faults import OI, without_rows

DAY = date(2024, 3, 5)
FEED = "bybit.open_interest"


def fetch_feed(settings: Settings, clock: Clock) -> None:
    fetch(settings, "bybit", ["open_interest"], first=DAY, assets=["SOL"], retry=FAST_RETRY, clock=clock)


def problems(settings: Settings, columns: str) -> Sequence[tuple[Any, ...]]:
    with writer(settings, what="test") as con:
        return con.execute(f"select {columns} from ops.fetch_problems order by venue, noted_on, line").fetchall()


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (Fault(OI, "status", status=429), "throttled"),
        (Fault(OI, "reset"), "unavailable"),
        (Fault(OI, "html"), "unavailable"),
        (Fault(OI, "rewrite", change=without_rows), "empty_answer"),
    ],
    ids=["429", "reset", "html", "empty"],
)
def test_retried_problems_are_recorded(
    settings: Settings, serve: Serve, clock: Clock, fault: Fault, problem: str
) -> None:
    with serve("bybit", settings=settings, faults=[fault]) as (_, served):
        fetch_feed(served, clock)
    load_pending(settings, clock=clock).raise_failures()
    assert problems(settings, "venue, source, partition, subject, problem, effect") == [
        ("bybit", FEED, "2024-03-05", "SOLUSDT", problem, "asked_again")
    ]


@pytest.mark.parametrize(
    ("status", "problem"), [(503, "unavailable"), (451, "blocked"), (400, "refused")], ids=["503", "451", "400"]
)
def test_failed_fetches_are_recorded_although_nothing_was_landed(
    settings: Settings, serve: Serve, clock: Clock, status: int, problem: str
) -> None:
    with serve("bybit", settings=settings, faults=[Fault(OI, "status", times=99, status=status)]) as (_, served):
        fetch_feed(served, clock)
    load_pending(settings, clock=clock).raise_failures()
    given_up = [row for row in problems(settings, "source, partition, subject, problem, effect") if "given_up" in row]
    assert given_up == [(FEED, "2024-03-05", "SOLUSDT", problem, "given_up")]


def test_loading_again_and_rebuilding_give_the_same_problems(settings: Settings, serve: Serve, clock: Clock) -> None:
    with serve("bybit", settings=settings, faults=[Fault(OI, "status", times=2)]) as (_, served):
        fetch_feed(served, clock)
        load_pending(settings, clock=clock)
        first = problems(settings, "*")
        load_pending(settings, clock=clock)
        assert problems(settings, "*") == first
        rebuild(settings, clock=clock).outcome.raise_failures()
        assert problems(settings, "*") == first
    assert len(first) == 2


def test_a_torn_line_is_kept_and_does_not_stop_the_load(settings: Settings) -> None:
    file = settings.raw_dir / FOLDER / "bybit" / "2024-03-05.jsonl"
    file.parent.mkdir(parents=True)
    file.write_bytes(b'{"noted_at": "2024-03-05T0')
    with writer(settings, what="test") as con:
        assert record_fetch_problems(con, settings.raw_dir) == 1
    assert problems(settings, "problem, detail") == [("other", 'damaged line: {"noted_at": "2024-03-05T0')]
