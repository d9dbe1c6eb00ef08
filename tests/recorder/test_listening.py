"""Seconds of listening from spans, and what a capped stream lets expect."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import duckdb
import pytest

from pipelines.clean.listening import write_listening
from pipelines.contract.ddl import apply_ddl, load_contract
from pipelines.core.settings import Settings
from pipelines.extract.landing import Landing
from pipelines.extract.listening import HeardSpan, manifest_of, seconds_heard

DAY = datetime(2026, 10, 1)


def span(first: float, last: float, *names: str, connection: str = "c1") -> HeardSpan:
    hours = [DAY + timedelta(hours=hour) for hour in (first, last)]
    return HeardSpan(connection, frozenset(names), hours[0], hours[1])


def test_overlaps_count_once_and_days_are_split() -> None:
    heard = seconds_heard([span(1, 3, "A"), span(2, 4, "A", connection="c2"), span(22, 26, "A")])
    of_a = [(one.day.day, one.seconds, one.spans) for one in heard if one.instrument == "A"]
    assert of_a == [(1, 5 * 3600.0, 2), (2, 2 * 3600.0, 1)]


def test_a_refused_instrument_was_not_heard_and_lowers_the_mean() -> None:
    heard = {one.instrument: one.share for one in seconds_heard([span(0, 24, "A")], [("B", DAY.date())])}
    assert heard == {"A": 1.0, "B": 0.0, "*": 0.5}


def test_a_topic_for_all_speaks_for_the_stream() -> None:
    heard = {one.instrument: one.share for one in seconds_heard([span(0, 12, "*"), span(0, 24, "FUTURES")])}
    assert heard == {"*": 0.5, "FUTURES": 1.0}


def landing(settings: Settings, *spans: HeardSpan) -> Landing:
    request = {"span": [DAY.isoformat(), (DAY + timedelta(days=1)).isoformat()], "listened": manifest_of(spans, {})}
    return Landing(
        "0" * 20, "binance.liquidation_stream", "2026-10-01", "p", 1, settings.root / "x", "x", "0" * 64, 0, DAY,
        "complete", request,
    )  # fmt: skip


@pytest.mark.parametrize(("hours", "status"), [(24.0, "empty"), (19.2, "missing")])
def test_a_quiet_day_is_empty_only_where_it_was_heard(settings: Settings, hours: float, status: str) -> None:
    source = "binance.liquidation_stream"
    con = duckdb.connect()
    apply_ddl(con, load_contract(settings.schema_dir))
    con.execute(
        "insert into ops.coverage values (?, 'liquidations', 'binance', '*', '', ?, null, 0, 0, 'empty', null, null, null)",
        [source, DAY.date()],
    )
    con.execute(
        f"""
        insert into clean.liquidations by name
        select 'binance' as venue, 'x' || i as liquidation_id, 'cex' as venue_kind, 'BTCUSDT' as instrument,
            timestamp '2026-10-01' + to_seconds(i * 2) as occurred_at, 'long' as side, 1.0 as price, 1.0 as quantity_base,
            1.0 as notional_usd, 'throttled' as completeness, false as is_adl, date '2026-10-01' as trade_date,
            '{source}' as source, 'l' as landing_id, timestamp '2026-10-02' as available_at, timestamp '2026-10-02' as loaded_at
        from range(1800) as t(i)
        """
    )
    write_listening(con, source, "binance", ["liquidations"], [landing(settings, span(0, hours, "*"))], is_capped=True)
    share, at_cap, expected = con.sql(
        "select listened_share, seconds_at_cap, expected_events from ops.listening where instrument = '*'"
    ).fetchall()[0]
    assert share == pytest.approx(hours / 24)
    assert at_cap == 1800
    assert expected == pytest.approx(3600 * math.log(2))
    assert con.sql("select status from ops.coverage").fetchall() == [(status,)]
