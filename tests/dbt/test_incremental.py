"""Incremental models follow the loads: what was loaded is built again, the rest is left alone, failures change nothing.

One history is played through the real dbt: three days, a restatement, a build that fails at its very end, the build
that makes up for it, a full refresh. Rows are marked between builds, so that a row that was built again can be told
from one that was left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from .dbt_fixture import Dbt

MODEL = "int_open_interest_by_source"
MARK = 99
State = Mapping[str, tuple[float, int]]
"""Day → (open interest, observations)."""


@dataclass(frozen=True)
class History:
    """The model after each build; `refused` says whether dbt told that its last step failed."""

    first: State
    restated: State
    failed: State
    made_up: State
    idle_watermarks: Sequence[tuple[Any, ...]]
    refreshed: State
    watermarks: Sequence[tuple[Any, ...]]
    refused: bool


def load(dbt: Dbt, load_seq: int, days: Mapping[str, float | None]) -> None:
    """Replace days of clean.open_interest as the loader does; None empties a day."""
    with dbt.connection() as con:
        for day, value in days.items():
            con.execute("delete from clean.open_interest where trade_date = ?", [day])
            con.execute(
                "insert into ops.loads values (?, 'files.a', 'open_interest', ?, ?, ?, 0, 0, 0, 0, 0, 0, null, now()::timestamp, "
                "null, null, null)",
                [load_seq, day, 0 if value is None else 1, 0 if value is None else 1],
            )
            if value is not None:
                con.execute(
                    "insert into clean.open_interest values ('binance', 'BTCUSDT', '1d', "
                    "?::timestamp + interval 12 hour, ?, null, ?, 'base', 'one_sided', ?, 'files.a', 'l', ?, ?)",
                    [day, value, value, day, day, day],
                )


def state(dbt: Dbt) -> State:
    rows = dbt.rows(f"select trade_date::varchar, oi_base, observations from intermediate.{MODEL}")
    return {day: (oi, observations) for day, oi, observations in rows}


def mark(dbt: Dbt) -> None:
    with dbt.connection() as con:
        con.execute(f"update intermediate.{MODEL} set observations = {MARK}")


@pytest.fixture(scope="module")
def history(dbt: Dbt) -> History:
    run = ("run", "--select", f"+{MODEL}")
    load(dbt, 1, {"2024-01-01": 1, "2024-01-02": 2, "2024-01-03": 3})
    dbt.succeed(*run)
    first = state(dbt)

    mark(dbt)
    load(dbt, 2, {"2024-01-02": 20, "2024-01-03": None, "2024-01-04": 4})
    dbt.succeed(*run)
    restated = state(dbt)

    load(dbt, 3, {"2024-01-05": 5})
    with dbt.connection() as con:
        con.execute("create table ops.kept as from ops.model_watermarks")
        con.execute("drop table ops.model_watermarks")
        con.execute(
            "create table ops.model_watermarks "
            "(model varchar, load_seq bigint check (load_seq < 3), built_at timestamp, sql_version varchar)"
        )
        con.execute("insert into ops.model_watermarks from ops.kept")
    refused = not dbt(*run).success
    failed = state(dbt)
    with dbt.connection() as con:
        con.execute("drop table ops.model_watermarks")
        con.execute("alter table ops.kept rename to model_watermarks")
    dbt.succeed(*run)
    made_up = state(dbt)

    dbt.succeed(*run)
    query = f"select load_seq, count(*) from ops.model_watermarks where model = '{MODEL}' group by 1 order by 1"
    idle_watermarks = dbt.rows(query)
    dbt.succeed(*run, "--full-refresh")
    return History(first, restated, failed, made_up, idle_watermarks, state(dbt), dbt.rows(query), refused)


def test_the_first_build_takes_every_day(history: History) -> None:
    assert history.first == {"2024-01-01": (1, 1), "2024-01-02": (2, 1), "2024-01-03": (3, 1)}


def test_a_day_that_was_not_loaded_again_is_left_alone(history: History) -> None:
    assert history.restated["2024-01-01"] == (1, MARK)


def test_a_restated_day_and_a_new_one_are_built(history: History) -> None:
    assert history.restated["2024-01-02"] == (20, 1)
    assert history.restated["2024-01-04"] == (4, 1)


def test_a_day_that_lost_all_its_rows_is_gone(history: History) -> None:
    assert "2024-01-03" not in history.restated


def test_a_build_that_fails_at_its_last_step_changes_nothing(history: History) -> None:
    assert history.refused
    assert history.failed == history.restated


def test_the_next_build_makes_up_for_the_one_that_failed(history: History) -> None:
    assert history.made_up == {**history.restated, "2024-01-05": (5, 1)}


def test_a_build_with_nothing_loaded_writes_no_second_watermark(history: History) -> None:
    assert history.idle_watermarks == [(1, 1), (2, 1), (3, 1)]


def test_a_full_refresh_starts_from_nothing(history: History) -> None:
    days = {"2024-01-01": 1, "2024-01-02": 20, "2024-01-04": 4, "2024-01-05": 5}
    assert history.refreshed == {day: (value, 1) for day, value in days.items()}
    assert history.watermarks == history.idle_watermarks
