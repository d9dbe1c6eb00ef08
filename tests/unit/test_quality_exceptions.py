"""Accepted exceptions: a declared move becomes a warning with its reason, everything else is still refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from pipelines.contract.batch import AcceptedException
from pipelines.contract.ddl import Contract, apply_ddl, load_contract
from pipelines.core.errors import MappingError, PermanentError
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.operations.load import import_files, load_pending
from pipelines.quality.batch import CheckResult
from pipelines.quality.exceptions import run_gate_with_exceptions
from pipelines.quality.gate import run_gate
from pipelines.storage.warehouse import writer
from tests.unit import quality_fixture as fixture
from tests.unit.files_fixture import LONG, LONG_HEADER

MOVE = "update {rows} set oi_base = oi_base * 100, oi_raw = oi_raw * 100 where instrument = '%s'"
REDENOMINATED = AcceptedException(
    table="open_interest",
    check="oi_base_unit_jump",
    first_day=fixture.BATCH_START,
    last_day=fixture.BATCH_START + timedelta(days=fixture.BATCH_DAYS - 1),
    reason="the token was split 100 for 1",
    instrument="COIN1USDT",
)


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(PROJECT_ROOT / "warehouse" / "schema")


@pytest.fixture(scope="module")
def warehouse(contract: Contract) -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'")
    apply_ddl(con, contract)
    fixture.load_neighbors(con, "open_interest")
    yield con
    con.close()


def unit_jump(
    con: duckdb.DuckDBPyConnection, contract: Contract, moved: tuple[str, ...], *exceptions: AcceptedException
) -> CheckResult:
    """The result of oi_base_unit_jump for a batch in which the open interest of `moved` is multiplied by 100."""
    batch = fixture.stage(con, "open_interest", *(MOVE % name for name in moved))
    results = run_gate_with_exceptions(con, contract, [batch], exceptions, gate=run_gate)
    return next(result for result in results if result.check_name == "oi_base_unit_jump")


def test_a_declared_move_is_a_warning_with_its_reason(warehouse: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    # Of two moves one is declared; the other alone is no fifth of the venue.
    result = unit_jump(warehouse, contract, ("COIN1USDT", "COIN2USDT"), REDENOMINATED)
    assert (result.passed, result.severity) == (False, "warn")
    assert result.observed["accepted_because"] == ["the token was split 100 for 1"]
    assert result.observed["accepted_rows"] == 24 * fixture.BATCH_DAYS
    assert "COIN1USDT" in [row["instrument"] for row in result.sample]


@pytest.mark.parametrize(
    "exception",
    [
        replace(REDENOMINATED, last_day=fixture.BATCH_START),
        replace(REDENOMINATED, instrument="COIN3USDT"),
        replace(REDENOMINATED, check="oi_usd_unit_jump"),
    ],
    ids=["on other days", "of another instrument", "of another check"],
)
def test_a_move_that_was_not_declared_stays_an_error(
    warehouse: duckdb.DuckDBPyConnection, contract: Contract, exception: AcceptedException
) -> None:
    assert unit_jump(warehouse, contract, ("COIN1USDT", "COIN2USDT"), exception).severity == "error"


def test_a_declared_move_does_not_hide_another_one(warehouse: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    assert unit_jump(warehouse, contract, ("COIN1USDT", "COIN2USDT", "COIN3USDT"), REDENOMINATED).severity == "error"


def test_two_declared_moves_are_accepted_together(warehouse: duckdb.DuckDBPyConnection, contract: Contract) -> None:
    second = replace(REDENOMINATED, instrument="COIN2USDT", reason="so was this one")
    result = unit_jump(warehouse, contract, ("COIN1USDT", "COIN2USDT"), REDENOMINATED, second)
    assert result.severity == "warn"
    assert result.observed["accepted_because"] == ["the token was split 100 for 1", "so was this one"]


def test_a_batch_that_is_entirely_an_exception_is_accepted(
    warehouse: duckdb.DuckDBPyConnection, contract: Contract
) -> None:
    everything = replace(REDENOMINATED, instrument=None)
    names = tuple(f"COIN{number}USDT" for number in range(6))
    assert unit_jump(warehouse, contract, names, everything).severity == "warn"


def test_a_valid_batch_passes_with_an_unused_exception(
    warehouse: duckdb.DuckDBPyConnection, contract: Contract
) -> None:
    assert unit_jump(warehouse, contract, (), REDENOMINATED).passed


@pytest.mark.parametrize(
    ("exception", "message"),
    [
        (
            replace(REDENOMINATED, check="oi_base_unit_jmup"),
            r"open_interest\.oi_base_unit_jmup, .*oi_base_unit_jump",
        ),
        (replace(REDENOMINATED, check="oi_base_level_shift"), "but its checks of severity error are"),
        (replace(REDENOMINATED, table="open_intrest"), "but there is no such table"),
    ],
)
def test_an_exception_of_an_unknown_check_or_table_is_an_error(
    warehouse: duckdb.DuckDBPyConnection, contract: Contract, exception: AcceptedException, message: str
) -> None:
    with pytest.raises(MappingError, match=message):
        unit_jump(warehouse, contract, (), exception)


def hours(first: date, days: int, *, factor: float) -> str:
    """Hourly open interest of two perpetuals as a file; BTCUSDT is multiplied by `factor`."""
    stamps = [datetime.combine(first, datetime.min.time()) + timedelta(hours=h + 1) for h in range(24 * days)]
    rows = [
        f"{symbol},{stamp},{oi * (1 + 0.01 * (number % 7))},{oi * 40_000}"
        for symbol, oi in (("BTCUSDT", 1000 * factor), ("ETHUSDT", 500.0 * factor))
        for number, stamp in enumerate(stamps)
    ]
    return LONG_HEADER + "\n".join(rows) + "\n"


def test_a_refused_move_loads_once_the_mapping_declares_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(LONG.replace('period = "5m"', 'period = "1h"'), encoding="utf-8")
    (tmp_path / "calm.csv").write_text(hours(date(2024, 1, 1), 30, factor=1), encoding="utf-8")
    (tmp_path / "move.csv").write_text(hours(date(2024, 1, 31), 1, factor=100), encoding="utf-8")
    import_files(settings, mapping, files=[tmp_path / "calm.csv"])
    load_pending(settings).raise_failures()
    import_files(settings, mapping, files=[tmp_path / "move.csv"])
    with pytest.raises(PermanentError, match=r"(?s)oi_base_unit_jump.*\[\[accept\]\] in the mapping"):
        load_pending(settings).raise_failures()
    declared = "\n".join(
        f'[[accept]]\ntable = "open_interest"\ncheck = "{level}_unit_jump"\ndays = [2024-01-31, 2024-01-31]\n'
        'instrument = ["BTCUSDT", "ETHUSDT"]\nbecause = "a fund opened on this day"\n'
        for level in ("oi_base", "oi_usd")
    )
    mapping.write_text(mapping.read_text(encoding="utf-8") + declared, encoding="utf-8")
    # In a home of its own: a changed mapping has all files of its data set read again, and judged together.
    settings = Settings(home=tmp_path / "declared")
    for name in ("calm.csv", "move.csv"):
        import_files(settings, mapping, files=[tmp_path / name])
        load_pending(settings).raise_failures()
    with writer(settings, what="test") as con:
        loaded = con.execute("select count(*) from clean.open_interest where trade_date = date '2024-01-31'").fetchall()
        accepted = con.execute(
            "select check_name, severity, passed, json_extract_string(observed, '$.accepted_because[0]') "
            "from ops.check_results where load_seq = 2 and check_name like '%_unit_jump' and not passed order by 1"
        ).fetchall()
    assert loaded == [(48,)]
    assert accepted == [
        ("oi_base_unit_jump", "warn", False, "a fund opened on this day"),
        ("oi_usd_unit_jump", "warn", False, "a fund opened on this day"),
    ]
