"""Opening, publishing and comparing warehouses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from pipelines.core.errors import ConfigError, PublishError, TransientError, WarehouseBusyError, WarehouseDamagedError
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.storage.fingerprint import compare, fingerprint_schemas
from pipelines.storage.publish import publish
from pipelines.storage.warehouse import reader, writer

NOW = datetime(2024, 1, 1)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", lock_timeout_seconds=0.2)


def build(settings: Settings, rows: int = 3) -> None:
    """A stand-in for the dbt build: one mart with comments."""
    with writer(settings, what="test") as con:
        con.execute("create schema if not exists marts")
        con.execute(
            "create or replace table marts.fct_example as "
            f"select date '2024-01-01' + cast(i as int) as trade_date, i * 0.1e0 as oi_usd from range(0, {rows}) as t(i)"
        )
        con.execute("comment on table marts.fct_example is 'One row per day. It''s an example.'")
        con.execute("comment on column marts.fct_example.oi_usd is 'US dollars'")


_HOLD = """
import sys
from pathlib import Path
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.storage.warehouse import writer

with writer(Settings(home=Path(sys.argv[1])), what="a long load"):
    print("held", flush=True)
    sys.stdin.readline()
"""

_COUNT = """
import sys
from pathlib import Path
from pipelines.storage.warehouse import open_snapshot

print(open_snapshot(Path(sys.argv[1])).execute("select count(*) from marts.fct_example").fetchone()[0])
"""


_KILLED_WRITERS = """
import os, random, signal, sys, time
from pathlib import Path
from pipelines.contract.ddl import load_contract
from pipelines.core.settings import Settings
from pipelines.storage.warehouse import writer

folder, old, chance = Path(sys.argv[1]), Path(sys.argv[2]), random.Random(4)
# Read in the parent, so that a kill hits the writing and not the start of Python.
contract = load_contract(Settings().schema_dir)
wanted = len(contract.tables)
early, seconds = 0, None
for number in range(21):
    settings = Settings(home=folder / str(number))
    if old.exists():
        settings.home.mkdir(parents=True)
        settings.database.write_bytes(old.read_bytes())
    child = os.fork()
    if child == 0:
        with writer(settings, what="test"):
            (settings.home / "written").touch()
            signal.pause()
    if seconds is None:  # the first one is not killed early, to measure how long it takes
        started = time.monotonic()
        while not (settings.home / "written").exists():
            time.sleep(0.001)
        seconds = time.monotonic() - started
    else:
        time.sleep(chance.uniform(0, 1.2 * seconds))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    early += not (settings.home / "written").exists()
    with writer(settings, what="test") as con:
        tables = con.execute("select count(*) from duckdb_tables() where schema_name in ('clean', 'ops', 'stats')").fetchall()
        comments = con.execute(
            "select count(*) from duckdb_columns() where schema_name in ('clean', 'ops', 'stats') and comment is null"
        )
        print(number, tables[0][0] - wanted, comments.fetchall()[0][0])
print("early", early)
"""


@pytest.fixture
def other_writer(home: Settings) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(home.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT_ROOT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.stdin.write("\n")
        process.stdin.flush()


def count_in_another_process(path: Path) -> int:
    """DuckDB shares one instance per path within a process, so a second reader must be another process."""
    command = [sys.executable, "-c", _COUNT, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT_ROOT).stdout)


@pytest.mark.usefixtures("other_writer")
def test_a_second_writer_is_refused_with_a_description_of_the_first(home: Settings) -> None:
    with pytest.raises(WarehouseBusyError, match=r"process \d+ \(a long load\)"), writer(home, what="mine"):
        pass


def test_an_error_while_writing_releases_the_lock(home: Settings) -> None:
    with pytest.raises(RuntimeError, match="boom"), writer(home, what="first"):
        raise RuntimeError("boom")
    with writer(home, what="second") as con:
        assert con.execute("select count(*) from ops.loads").fetchone() == (0,)


def test_the_contract_is_in_place_for_every_writer(home: Settings) -> None:
    with writer(home, what="test") as con:
        tables = con.execute(
            "select count(*) from duckdb_tables() where schema_name in ('clean', 'ops', 'stats')"
        ).fetchone()
    assert tables == (len(list((PROJECT_ROOT / "warehouse" / "schema").glob("*.sql"))),)


def test_a_database_that_has_the_contract_is_opened_as_it_is(home: Settings) -> None:
    """No table of a new database counts as an older contract's, for which the whole file would be copied."""
    with writer(home, what="test"):
        pass
    before = home.database.stat().st_ino
    with writer(home, what="test"):
        pass
    assert home.database.stat().st_ino == before


def without_some_tables(path: Path) -> None:
    """A warehouse from before some tables were added to the contract."""
    with writer(Settings(home=path.parent), what="test") as con:
        for table in ("clean.open_interest", "clean.candles", "ops.coverage"):
            con.execute(f"drop table {table}")
        con.execute(
            "insert into ops.quarantine by name select 'kept' as source, 'x' as table_name, 'x' as landing_id, 1 as line, "
            "'unparsable' as reason, '' as detail, '{}' as raw, timestamp '2024-01-01' as loaded_at"
        )


@pytest.mark.parametrize("is_old", [False, True], ids=["new database", "database with missing tables"])
def test_a_writer_killed_while_creating_tables_leaves_a_database_that_opens(tmp_path: Path, is_old: bool) -> None:
    old = tmp_path / "old" / "leverhouse.duckdb"
    if is_old:
        without_some_tables(old)
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_WRITERS, str(tmp_path / "homes"), str(old)],
        check=False, capture_output=True, text=True, cwd=PROJECT_ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *opened, early = done.stdout.splitlines()
    assert [line.split(" ", 1)[1] for line in opened] == ["0 0"] * 21
    assert int(early.split()[1]) >= 1


def test_tables_added_to_an_old_database_are_those_of_a_new_one(tmp_path: Path) -> None:
    old = tmp_path / "old" / "leverhouse.duckdb"
    without_some_tables(old)
    columns = (
        "select schema_name, table_name, column_name, column_index, data_type, is_nullable, comment from duckdb_columns() "
        "where schema_name in ('clean', 'ops', 'stats') order by all"
    )
    rules = (
        "select schema_name, table_name, constraint_type, count(*) from duckdb_constraints() group by all order by all"
    )
    with (
        writer(Settings(home=old.parent), what="test") as completed,
        writer(Settings(home=tmp_path / "new"), what="test") as new,
    ):
        assert completed.execute(columns).fetchall() == new.execute(columns).fetchall()
        assert completed.execute(rules).fetchall() == new.execute(rules).fetchall()
        assert completed.execute("select count(*) from ops.quarantine where source = 'kept'").fetchall() == [(1,)]


def test_the_error_of_a_damaged_database_names_the_next_step(home: Settings) -> None:
    home.root.mkdir()
    home.database.write_bytes(b"no database")
    with pytest.raises(WarehouseDamagedError, match="leverhouse rebuild"), writer(home, what="test"):
        pass


def test_the_error_of_a_database_of_another_version_names_the_next_step(home: Settings) -> None:
    with writer(home, what="test") as con:
        con.execute("alter table clean.candles add column invented integer")
    with (
        pytest.raises(WarehouseDamagedError, match=r"the columns of clean\.candles differ.*rebuild"),
        writer(home, what="test"),
    ):
        pass


def test_a_program_that_ignores_the_lock_is_reported(home: Settings) -> None:
    with writer(home, what="test"):
        pass
    hold = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(home.database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(TransientError, match="other than leverhouse"), writer(home, what="mine"):
            pass
        process.communicate("\n")


def test_reading_before_the_first_publish_names_the_next_step(home: Settings) -> None:
    with pytest.raises(ConfigError, match="leverhouse run"), reader(home):
        pass


def test_publishing_nothing_is_an_error_and_leaves_no_file(home: Settings) -> None:
    with pytest.raises(PublishError, match="marts is empty"):
        publish(home, now=NOW)
    assert [x for x in home.published_dir.rglob("*") if not x.is_dir()] == []


def test_the_snapshot_contains_marts_ops_and_comments(home: Settings) -> None:
    build(home)
    publication = publish(home, now=NOW)
    assert (publication.tables, publication.rows) == (1, 3)
    with reader(home) as con:
        assert con.execute("select count(*) from marts.fct_example").fetchone() == (3,)
        assert con.execute("select count(*) from ops.lineage").fetchone() == (0,)
        assert con.execute("select published_at from meta.publication").fetchone() == (NOW,)
        assert con.execute("select comment from duckdb_tables() where table_name = 'fct_example'").fetchone() == (
            "One row per day. It's an example.",
        )
        assert con.execute("select comment from duckdb_columns() where column_name = 'oi_usd'").fetchone() == (
            "US dollars",
        )
    parquet = str(home.published_dir / "parquet" / "fct_example.parquet")
    assert duckdb.sql("select count(*) from read_parquet(?)", params=[parquet]).fetchall() == [(3,)]


def test_the_snapshot_is_written_in_the_storage_format_of_duckdb_1_2(home: Settings) -> None:
    build(home)
    publish(home, now=NOW)
    header = home.published_database.read_bytes()[:64]
    assert header[8:12] == b"DUCK"
    # Storage version 65 is DuckDB 1.2, 64 all versions before it.
    assert int.from_bytes(header[12:20], "little") <= 65


def test_a_reader_keeps_its_snapshot_while_the_next_one_is_published(home: Settings) -> None:
    build(home, rows=3)
    publish(home, now=NOW)
    with reader(home) as old:
        build(home, rows=5)
        publish(home, now=NOW)
        assert old.execute("select count(*) from marts.fct_example").fetchone() == (3,)
        assert count_in_another_process(home.published_database) == 5


def test_readers_can_neither_write_nor_reach_other_files(home: Settings) -> None:
    build(home)
    publish(home, now=NOW)
    with reader(home) as con:
        with pytest.raises(duckdb.Error):
            con.execute("create table marts.x (a int)")
        with pytest.raises(duckdb.Error):
            con.execute("select * from read_csv('/etc/passwd')")
        with pytest.raises(duckdb.Error):
            con.execute("set enable_external_access = true")


def test_leftovers_of_a_killed_publish_are_removed_by_the_next(home: Settings) -> None:
    build(home)
    home.published_dir.mkdir(parents=True)
    (home.published_dir / ".abc.duckdb.part").write_bytes(b"half")
    for name in ("parquet-1", "parquet-2", "parquet-3"):
        (home.published_dir / name).mkdir()
    publish(home, now=NOW)
    names = sorted(p.name for p in home.published_dir.iterdir() if not p.name.startswith("parquet-"))
    assert names == ["leverhouse.duckdb", "parquet", "snapshots"]
    assert len(list(home.published_dir.glob("parquet-*"))) == 2


def test_fingerprints_do_not_depend_on_row_order_and_detect_every_change(tmp_path: Path) -> None:
    con = duckdb.connect(":memory:")
    con.execute("create schema clean; create schema marts")
    for schema in ("clean", "marts"):
        con.execute(
            f"create table {schema}.t as "
            "select i as id, i * 0.1e0 as x, timestamp '2024-01-01' as loaded_at from range(100) as t(i)"
        )
    first = fingerprint_schemas(con, "clean", "marts")
    con.execute(
        "create or replace table marts.t as select id, x, timestamp '2025-01-01' as loaded_at from marts.t order by id desc"
    )
    con.execute("update marts.t set x = x * (1 + 1e-13)")
    assert compare(first, fingerprint_schemas(con, "clean", "marts")) == []
    con.execute("update clean.t set x = x * (1 + 1e-13) where id = 50")
    assert compare(first, fingerprint_schemas(con, "clean", "marts")) == [
        "clean.t: the columns that are not double differ"
    ]
    con.execute("update marts.t set x = case id when 1 then 0.2 when 2 then 0.1 else x end")
    assert any(
        "marts.t.x" in line
        for line in compare(first, fingerprint_schemas(con, "marts") | {"clean.t": first["clean.t"]})
    )
    con.close()
