"""Expected rows beside those that were counted: lost slots, subjects that are no instruments, days of events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from pipelines.clean.expected import Expected, write_expected
from pipelines.contract.ddl import Contract, apply_ddl, load_contract
from pipelines.core.settings import PROJECT_ROOT
from pipelines.extract.due import Held, Missing
from pipelines.extract.venue import Span

DAY = date(2024, 3, 5)
MIDNIGHT = datetime(2024, 3, 5)


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(PROJECT_ROOT / "warehouse" / "schema")


@pytest.fixture
def con(contract: Contract) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        apply_ddl(connection, contract)
        yield connection


def hour(number: int, subject: str, reason: Any = "refused: status") -> Missing:
    return Missing(MIDNIGHT + timedelta(hours=number), subject, reason)


def slots(*numbers: int) -> list[Held]:
    starts = [MIDNIGHT + timedelta(hours=number) for number in numbers]
    return [Held(Span(start, start + timedelta(hours=1)), {"BTC-USD": "complete"}, start) for start in starts]


def add(con: duckdb.DuckDBPyConnection, *values: Any) -> None:
    con.execute("insert into ops.coverage values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [*values])


def rows(con: duckdb.DuckDBPyConnection) -> Sequence[tuple[Any, ...]]:
    return con.execute(
        "select instrument, trade_date, expected, present, status, reason, detail from ops.coverage order by all"
    ).fetchall()


def test_slots_after_the_newest_landed_one_are_counted_once_they_are_over(
    con: duckdb.DuckDBPyConnection, contract: Contract
) -> None:
    """Twenty slots are landed, two were asked for in vain, nobody asked for one, and the slot of now is open."""
    add(con, "v.chain", "option_chain", "v", "BTC", "snapshot", DAY, 20, 20, 0, "complete", None, None, None)
    now = Missing(MIDNIGHT + timedelta(hours=23), "*", "never asked", can_be_had=True)
    missing = [hour(20, "BTC-USD"), hour(21, "BTC-USD"), hour(22, "*", "never asked"), now]
    expected = Expected("v.chain", "v", ["option_chain"], missing, slots(*range(20)), slots_per_day=24)
    for _ in range(2):
        write_expected(con, contract, [expected])
        assert rows(con) == [("BTC", DAY, 23, 20, "partial", "refused: status", "captured 20 of 23 slots")]


def test_a_subject_that_is_no_instrument_is_missing_when_it_lacks_a_whole_day(
    con: duckdb.DuckDBPyConnection, contract: Contract
) -> None:
    add(con, "v.chain", "option_chain", "v", "BTC", "snapshot", DAY, 24, 24, 0, "complete", None, None, None)
    few, all_day = [hour(3, "ETH-USD")], [hour(number, "ETH-USD") for number in range(24)]
    write_expected(
        con, contract, [Expected("v.chain", "v", ["option_chain"], few, slots(*range(24)), slots_per_day=24)]
    )
    assert [row[0] for row in rows(con)] == ["BTC"]
    write_expected(
        con, contract, [Expected("v.chain", "v", ["option_chain"], all_day, slots(*range(24)), slots_per_day=24)]
    )
    assert rows(con)[1] == ("ETH-USD", DAY, None, 0, "missing", "refused: status", None)


def test_a_day_of_events_that_did_not_come_is_missing_as_a_whole(
    con: duckdb.DuckDBPyConnection, contract: Contract
) -> None:
    next_day = Missing(
        MIDNIGHT + timedelta(days=1), "BTCUSDT", "no answer in time", "no complete response", date(2024, 4, 1)
    )
    add(con, "v.forced", "liquidations", "v", "*", "", DAY, None, 0, 0, "empty", None, None, None)
    write_expected(con, contract, [Expected("v.forced", "v", ["liquidations"], [next_day], [])])
    found = con.execute(
        "select trade_date, status, reason, detail, forgotten_on from ops.coverage order by 1"
    ).fetchall()
    assert found == [
        (DAY, "empty", None, None, None),
        (DAY + timedelta(days=1), "missing", "no answer in time", "no complete response", date(2024, 4, 1)),
    ]


def test_a_lost_slot_of_a_capture_of_events_loses_nothing(con: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    """The captures after it reach back."""
    add(
        con,
        "v.forced",
        "liquidations",
        "v",
        "*",
        "",
        DAY,
        None,
        4,
        0,
        "partial",
        "never asked",
        "a part of the day",
        None,
    )
    expected = Expected("v.forced", "v", ["liquidations"], [hour(3, "BTC-USD")], slots(*range(24)), slots_per_day=24)
    write_expected(con, contract, [expected])
    assert rows(con) == [("*", DAY, None, 4, "partial", "never asked", "a part of the day")]


def test_a_gap_that_the_load_could_not_explain_gets_the_reason_of_the_fetch(
    con: duckdb.DuckDBPyConnection, contract: Contract
) -> None:
    for reason, instrument in (("not in the source", "A"), ("quarantined", "B")):
        add(con, "v.oi", "open_interest", "v", instrument, "1h", DAY, 24, 20, 0, "partial", reason, None, None)
    missing = [Missing(MIDNIGHT, name, "refused: checksum") for name in ("A", "B")]
    write_expected(con, contract, [Expected("v.oi", "v", ["open_interest"], missing, [])])
    assert [(row[0], row[5]) for row in rows(con)] == [("A", "refused: checksum"), ("B", "quarantined")]


def test_a_day_beside_the_life_of_an_instrument_is_missing_for_that_reason(
    con: duckdb.DuckDBPyConnection, contract: Contract
) -> None:
    """A refusal is named before it: the venue said so."""
    days = [DAY + timedelta(days=n) for n in range(4)]
    add(con, "v.oi", "open_interest", "v", "X", "5m", days[0], 288, 288, 0, "complete", None, None, None)
    missing = [
        Missing(datetime.combine(days[1], datetime.min.time()), "X", "never asked"),
        Missing(datetime.combine(days[2], datetime.min.time()), "X", "never asked"),
        Missing(datetime.combine(days[3], datetime.min.time()), "X", "refused: status"),
    ]
    lives = {"X": (None, datetime.combine(days[1], datetime.min.time()) + timedelta(hours=8))}
    write_expected(con, contract, [Expected("v.oi", "v", ["open_interest"], missing, [], lives=lives)])
    assert [(row[1], row[5]) for row in rows(con) if row[4] == "missing"] == [
        (days[1], "never asked"), (days[2], "after delisting"), (days[3], "refused: status"),
    ]  # fmt: skip
