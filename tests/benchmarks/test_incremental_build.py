"""Adding a day must cost about the same after three years of history as after a month: at most half as much again."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.storage.warehouse import writer

INSTRUMENTS = 50
FIRST = date(2022, 1, 1)
RATIO = 1.5
ADDED_DAYS = 3

_BUILD = """
import sys
from pathlib import Path
from pipelines.operations.build import build_marts
from pipelines.core.settings import Settings

build_marts(Settings(home=Path(sys.argv[1]))).raise_faults()
"""


def add_days(con: duckdb.DuckDBPyConnection, first: date, days: int) -> None:
    """Hourly open interest and candles and eight-hourly funding of INSTRUMENTS perpetuals, as one load per call."""
    common = "'files.synthetic' as source, 'synthetic' as landing_id, {at} as available_at, timestamp '2030-01-01' as loaded_at"
    hours = (
        f"with hours as (select i, timestamp '{first}' + h * interval '1' hour as ts "
        f"from range({INSTRUMENTS}) as t(i), range({days * 24}) as s(h)), "
        "named as (select *, 'S' || i || 'USDT' as instrument, 100 + i + 10 * sin(epoch(ts) / 864000e0 + i) as price from hours) "
    )
    con.execute(
        "insert into clean.candles by name "
        + hours
        + "select 'binance' as venue, instrument, 'perp' as market, '1h' as period, "
        "ts as opened_at, price as close, 1000e0 + i as volume_base, cast(ts as date) as trade_date, "
        + common.format(at="ts + interval '2' hour")
        + " from named"
    )
    con.execute(
        "insert into clean.open_interest by name " + hours + "select 'binance' as venue, instrument, '1h' as period, "
        "ts + interval '1' hour as event_at, 5000e0 + 50 * cos(epoch(ts) / 86400e0 + i) as oi_base, 5000e0 as oi_raw, "
        "'base' as oi_raw_unit, 'one_sided' as counting, cast(ts as date) as trade_date, "
        + common.format(at="ts + interval '2' hour")
        + " from named"
    )
    con.execute(
        "insert into clean.funding_rates by name "
        + hours
        + "select 'binance' as venue, instrument, 'settled' as kind, "
        "ts as settled_at, 0.0001 * (1 + sin(epoch(ts) / 864000e0 + i)) as rate, 8e0 as interval_hours, "
        "cast(ts as date) as trade_date, " + common.format(at="ts") + " from named where hour(ts) % 8 = 0"
    )
    con.execute(
        "insert into ops.loads select (select coalesce(max(load_seq), 0) + 1 from ops.loads), 'files.synthetic', t.name, "
        "cast(? as date) + cast(d as int), t.rows, t.rows, 0, 0, 0, 0, 0, 0, null, timestamp '2030-01-01', "
        "null, null, null from range(?) as r(d), "
        f"(values ('candles', {24 * INSTRUMENTS}), ('open_interest', {24 * INSTRUMENTS}), ('funding_rates', {3 * INSTRUMENTS})) "
        "as t(name, rows)",
        [first, days],
    )
    con.execute(
        "insert into ops.coverage select 'files.synthetic', t.name, 'binance', 'S' || i || 'USDT', t.series, "
        "cast(? as date) + cast(d as int), t.per_day, t.per_day, 0, 'complete', null, null, null from range(?) as r(d), "
        "range(?) as s(i), "
        "(values ('candles', 'perp 1h', 24), ('open_interest', '1h', 24), ('funding_rates', 'settled', 3)) "
        "as t(name, series, per_day)",
        [first, days, INSTRUMENTS],
    )


def build(home: Path) -> float:
    """Build the marts in a process of their own, as a scheduled build is; its seconds, dbt's start included."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", _BUILD, str(home)], check=True, cwd=PROJECT_ROOT)
    return time.perf_counter() - started


def seconds_to_add_a_day(home: Path, history_days: int) -> float:
    """Build `history_days`, then add days one by one: the fastest build of one more day."""
    settings = Settings(home=home)
    with writer(settings, what="benchmark") as con:
        con.execute(
            "insert into clean.instruments by name select 'binance' as venue, 'S' || i || 'USDT' as instrument, "
            "timestamp '1970-01-01' as valid_from, 'S' || i as asset, 'USDT' as quote, 'linear' as contract_type, "
            "1e0 as multiplier, date '1970-01-01' as trade_date, 'files.synthetic' as source, 'synthetic' as landing_id, "
            "timestamp '1970-01-01' as available_at, timestamp '2030-01-01' as loaded_at from range(?) as t(i)",
            [INSTRUMENTS],
        )
        add_days(con, FIRST, history_days)
    build(home)
    measured = []
    for number in range(ADDED_DAYS):
        with writer(settings, what="benchmark") as con:
            add_days(con, FIRST + timedelta(days=history_days + number), 1)
        measured.append(build(home))
    return min(measured)


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
def test_a_day_costs_the_same_after_three_years_as_after_a_month(tmp_path: Path) -> None:
    month = seconds_to_add_a_day(tmp_path / "month", 30)
    three_years = seconds_to_add_a_day(tmp_path / "years", 3 * 365)
    print(
        f"one more day: {month:.1f} s after 30 days, {three_years:.1f} s after three years, ratio {three_years / month:.2f}"
    )
    assert three_years / month <= RATIO
