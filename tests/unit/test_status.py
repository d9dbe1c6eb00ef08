"""Status of a working database and of a published snapshot, on hand-written rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from pipelines.cli.doctor import recent_gaps
from pipelines.contract.ddl import Contract, load_contract
from pipelines.core.settings import Settings
from pipelines.storage import status
from pipelines.storage.warehouse import writer

DAY = date(2024, 1, 1)
AT = datetime(2024, 1, 2)


@pytest.fixture
def contract() -> Contract:
    return load_contract(Settings().schema_dir)


@pytest.fixture
def con(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with writer(Settings(home=tmp_path), what="test") as opened:
        yield opened


def add_price(con: duckdb.DuckDBPyConnection, token: str, *, source: str = "files.example") -> None:
    con.execute(
        "insert into clean.token_prices by name select 'ethereum' as chain, $token as token, $at as priced_at, "
        "1.0e0 as price_usd, 18 as decimals, 'stated' as price_source, $day as trade_date, $source as source, "
        "'landing' as landing_id, $at as available_at, $at as loaded_at",
        {"token": token, "at": AT, "day": DAY, "source": source},
    )


def add_load(
    con: duckdb.DuckDBPyConnection, seq: int, received: int, accepted: int, *, table: str = "token_prices"
) -> None:
    con.execute(
        "insert into ops.loads values (?, 'files.example', ?, ?, ?, ?, 0, 0, ?, 0, 0, 0, null, ?, null, null, null)",
        [seq, table, DAY, received, accepted, received - accepted, AT],
    )


def add_check(con: duckdb.DuckDBPyConnection, seq: int, *, passed: bool) -> None:
    con.execute(
        "insert into ops.check_results values (?, 'files.example', 'token_prices', 'price in range', 'error', ?, "
        "'{\"least\": -1}', '[-1]', ?)",
        [seq, passed, AT],
    )


def test_the_newest_load_of_a_partition_is_its_current_state(
    con: duckdb.DuckDBPyConnection, contract: Contract
) -> None:
    add_load(con, 1, received=5, accepted=5)
    add_load(con, 2, received=2, accepted=1)
    add_price(con, "0xa")
    state = status.clean_states(con, contract)["token_prices"]
    assert (state.received, state.accepted, state.quarantined, state.rows) == (2, 1, 1, 1)
    assert state.reconciles


def test_rows_that_no_load_accepted_do_not_reconcile(con: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    add_load(con, 1, received=1, accepted=1)
    add_price(con, "0xa")
    add_price(con, "0xb")
    assert not status.clean_states(con, contract)["token_prices"].reconciles


def test_a_table_merged_by_key_is_not_counted_against_its_loads(
    con: duckdb.DuckDBPyConnection, contract: Contract
) -> None:
    add_load(con, 1, received=3, accepted=3, table="instruments")
    assert status.clean_states(con, contract)["instruments"].reconciles


def test_an_empty_warehouse_has_every_table_without_rows(con: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    states = status.clean_states(con, contract)
    assert states.keys() == contract.clean.keys()
    assert {state.rows for state in states.values()} == {0}
    assert status.ledger_state(con) == status.LedgerState(0, 0, 0, 0, 0, {})


def test_only_the_checks_of_the_newest_batch_count(con: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    add_check(con, 1, passed=False)
    add_check(con, 2, passed=True)
    state = status.clean_states(con, contract)["token_prices"]
    assert (state.checks, state.failed_checks) == (1, ())


def test_a_failed_check_has_its_observed_values_and_a_sample(
    con: duckdb.DuckDBPyConnection, contract: Contract
) -> None:
    add_check(con, 1, passed=False)
    [failed] = status.clean_states(con, contract)["token_prices"].failed_checks
    assert (failed.observed, failed.sample) == ({"least": -1}, [-1])


def test_gaps_are_counted_by_status_with_their_reason(con: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    con.execute(
        "insert into ops.coverage values "
        "('files.example', 'candles', 'binance', 'BTCUSDT', '', ?, 24, 20, 0, 'partial', 'not in the source', null, null)",
        [DAY],
    )
    state = status.clean_states(con, contract)["candles"]
    assert state.gaps == {"complete": 0, "partial": 1, "missing": 0, "empty": 0}
    assert state.gap_sample[0]["reason"] == "not in the source"


def test_a_sample_of_a_query_is_short_and_plain(con: duckdb.DuckDBPyConnection) -> None:
    rows = status.sample_query(con, "select i, date '2024-01-01' as day from range(9) as t(i)", 2)
    assert rows == ({"i": 0, "day": "2024-01-01"}, {"i": 1, "day": "2024-01-01"})


@pytest.fixture
def snapshot(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """The tables that status reads from a published file; one source with gaps for two reasons."""
    con.execute("create schema marts")
    con.execute("create schema meta")
    con.execute("create table meta.publication as select timestamp '2024-01-03' as published_at, 7 as load_seq")
    con.execute(
        "create table marts.source_freshness as select 'files.example' as source, 'candles' as table_name, "
        "date '2024-01-01' as first_trade_date, date '2024-01-09' as last_trade_date, 7 as days, 2 as gap_days, "
        "0 as lag_days, 70 as rows_accepted, 3 as rows_quarantined, timestamp '2024-01-10' as last_loaded_at"
    )
    con.execute(
        "create table marts.data_coverage_daily as select 'files.example' as source, 'candles' as table_name, "
        "'binance' as venue, day as trade_date, state as status, reason as primary_reason, 3 as instruments_expected, "
        "present as instruments_present, 0 as instruments_partial from (values "
        "(date '2024-01-02', 'missing', 'not in the source', 0), (date '2024-01-04', 'missing', 'not in the source', 0), "
        "(date '2024-01-03', 'partial', '1 rows in quarantine', 2), (date '2024-01-05', 'complete', null, 3)"
        ") as v(day, state, reason, present)"
    )
    con.execute(
        "insert into ops.quarantine values ('files.example', 'candles', null, 'l', 4, 'close', 'BTCUSDT', 'unparsable', "
        "'close: ''x'' is no number', '{}', ?)",
        [AT],
    )
    con.execute("create table marts.fct_price_daily as select 'binance' as venue, date '2024-01-09' as trade_date")
    return con


def test_status_groups_missing_days_by_reason(snapshot: duckdb.DuckDBPyConnection) -> None:
    found = status.published_status(snapshot, "file").missing
    assert [(gap.status, gap.days, gap.first_day, gap.last_day, gap.instruments) for gap in found] == [
        ("missing", 2, date(2024, 1, 2), date(2024, 1, 4), 3),
        ("partial", 1, date(2024, 1, 3), date(2024, 1, 3), 1),
    ]


def test_status_reports_why_rows_are_in_quarantine(snapshot: duckdb.DuckDBPyConnection) -> None:
    [refused] = status.published_status(snapshot, "file").refused
    assert (refused.reason, refused.rows) == ("unparsable", 1)
    assert refused.example == "line 4 close BTCUSDT close: 'x' is no number"


def test_status_reports_the_newest_day_of_the_snapshot(snapshot: duckdb.DuckDBPyConnection) -> None:
    found = status.published_status(snapshot, "file")
    assert found.newest_day == date(2024, 1, 9)
    assert (found.load_seq, found.marts["fct_price_daily"]) == (7, 1)


def test_the_newest_day_of_every_venue_of_the_facts(snapshot: duckdb.DuckDBPyConnection) -> None:
    assert status.newest_days(snapshot) == [
        {"mart": "fct_price_daily", "venue": "binance", "newest_day": date(2024, 1, 9)}
    ]


@pytest.mark.parametrize(
    ("source", "last_day", "reason", "verdict"),
    [
        ("bybit.candles", date(2024, 3, 9), "refused: status", "wrong"),
        ("bybit.candles", date(2024, 3, 9), "not yet published", "ok"),
        ("bybit.candles", date(2024, 3, 1), "refused: status", "ok"),
        ("files.example", date(2024, 3, 9), "not in the source", "ok"),
    ],
)
def test_doctor_finds_recent_gaps_of_what_was_asked_for(source: str, last_day: date, reason: str, verdict: str) -> None:
    gap = status.Missing(source, "candles", "bybit", "missing", reason, 1, last_day, last_day, 1)
    assert recent_gaps([gap], today=date(2024, 3, 10)).verdict == verdict
