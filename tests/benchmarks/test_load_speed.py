"""Clean-and-load of ten million five-minute rows of open interest against a bare DuckDB insert of the same values.

Both run in processes of their own, in turn, so that memory is that of the work and not of the test.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from pipelines.core.settings import PROJECT_ROOT
from tests.unit.files_fixture import LONG, LONG_HEADER

SYMBOLS = 100
STAMPS = 100_000
ROWS = SYMBOLS * STAMPS
TIMES_SLOWER = 3.0
PEAK_BYTES = 1_000_000_000

MAPPING = LONG.replace('dataset = "example"', 'dataset = "synthetic_oi"')

_REPORT = """
import json, resource, sys, time
from pathlib import Path

def report(rows, seconds):
    # ru_maxrss is in KiB on Linux
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu": time.process_time() - cpu, "peak": peak}))
"""

_BARE = (
    _REPORT
    + """
import duckdb
csv, home = sys.argv[1:]
started, cpu = time.perf_counter(), time.process_time()
con = duckdb.connect(f"{home}/bare.duckdb", config={"threads": 2, "memory_limit": "512MB", "preserve_insertion_order": False})
con.execute('''create table t as select 'binance' as venue, '' as instrument, '5m' as period, timestamp '2024-01-01' as event_at,
    0e0 as oi_base, 0e0 as oi_usd, 0e0 as oi_raw, 'base' as oi_raw_unit, 'one_sided' as counting, date '2024-01-01' as trade_date,
    'files.synthetic_oi' as source, '' as landing_id, timestamp '2024-01-01' as available_at, timestamp '2024-01-01' as loaded_at
    limit 0''')
con.execute(f'''insert into t select 'binance', symbol, '5m', time, oi, value, oi, 'base', 'one_sided',
    cast(time - interval 1 microsecond as date), 'files.synthetic_oi', 'ffffffffffffffffffff', time + interval 5 minute,
    timestamp '2024-06-01' from read_csv('{csv}', header = true, columns = {{
    'symbol': 'varchar', 'time': 'timestamp', 'oi': 'double', 'value': 'double'}})''')
rows = con.execute("select count(*) from t").fetchone()[0]
con.execute("checkpoint")
report(rows, time.perf_counter() - started)
"""
)

_LEVERHOUSE = (
    _REPORT
    + """
import great_expectations  # 8 s of import that a load pays once per process, whatever its size: not part of the rate
from pipelines.operations.load import import_files, load_pending
from pipelines.core.settings import Settings
csv, home = sys.argv[1:]
settings = Settings(home=Path(home))
started, cpu = time.perf_counter(), time.process_time()
import_files(settings, Path(home) / "mapping.toml", files=[Path(csv)])
outcome = load_pending(settings)
outcome.raise_failures()
table = next(t for t in outcome.reports[0].tables if t.table == "open_interest")
assert table.received == table.accepted, table
report(table.accepted, time.perf_counter() - started)
"""
)


@pytest.fixture(scope="module")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ROWS rows, symbol after symbol, as an archive of history comes."""
    path = tmp_path_factory.mktemp("speed") / "oi.csv"
    stamps = pl.datetime_range(datetime(2023, 1, 1, 0, 5), datetime(2024, 1, 1), "5m", eager=True).head(STAMPS)
    with path.open("wb") as file:
        file.write(LONG_HEADER.encode())
        for number in range(SYMBOLS):
            oi = pl.int_range(STAMPS, eager=True) * 1.37 + 1000 * number + 1
            frame = pl.DataFrame(
                {
                    "symbol": [f"S{number}USDT"] * STAMPS,
                    "time": stamps.dt.strftime("%Y-%m-%d %H:%M:%S"),
                    "oi": oi,
                    "value": oi * 27.5,
                }
            )
            file.write(frame.write_csv(include_header=False).encode())
    return path


def _measure(script: str, csv: Path, home: Path) -> dict[str, float]:
    home.mkdir()
    (home / "mapping.toml").write_text(MAPPING, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-c", script, str(csv), str(home)],
        check=True,
        capture_output=True,
        text=True,
        cwd=PROJECT_ROOT,
    )
    measured: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
    return measured


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
def test_clean_and_load_is_at_most_three_times_slower_than_a_bare_insert(csv: Path, tmp_path: Path) -> None:
    rounds = [
        (_measure(_BARE, csv, tmp_path / f"bare{i}"), _measure(_LEVERHOUSE, csv, tmp_path / f"leverhouse{i}"))
        for i in range(3)
    ]
    for bare, ours in rounds:
        for name, run in (("bare", bare), ("leverhouse", ours)):
            print(
                f"{name}: {run['rows'] / run['seconds']:,.0f} rows/s, {run['seconds']:.1f} s, "
                f"{run['cpu']:.1f} s of CPU, {run['peak'] / 1e6:,.0f} MB"
            )
        print(f"ratio {ours['seconds'] / bare['seconds']:.2f}, of CPU {ours['cpu'] / bare['cpu']:.2f}")
    assert all(bare["rows"] == ours["rows"] == ROWS for bare, ours in rounds)
    ratio = sorted(ours["seconds"] / bare["seconds"] for bare, ours in rounds)[1]
    assert ratio <= TIMES_SLOWER
    assert max(ours["peak"] for _, ours in rounds) < PEAK_BYTES
