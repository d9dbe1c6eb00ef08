"""The published folder: what clients that open the file for writing can do, and what they cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from pipelines.cli.doctor import Finding, check_published
from pipelines.core.errors import PublishError, SnapshotDamagedError, TransientError
from pipelines.core.settings import Settings
from pipelines.operations.rebuild import published_fingerprints
from pipelines.storage.publish import publish
from pipelines.storage.snapshots import current_snapshot, inspect_snapshots, log_of, snapshots_dir, swap_link
from pipelines.storage.warehouse import open_snapshot, reader, writer

NOW = datetime(2024, 1, 1)


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", lock_timeout_seconds=0.2)


def publish_rows(settings: Settings, rows: int) -> None:
    """Publish one mart in which every value is the number of rows."""
    with writer(settings, what="test") as con:
        con.execute("create schema if not exists marts")
        con.execute(f"create or replace table marts.fct_example as select {rows} as close_usd from range({rows})")
        # What status reads of every snapshot.
        con.execute(
            "create or replace table marts.source_freshness as select '' as source, '' as table_name, "
            "date '2024-01-01' as first_trade_date, date '2024-01-01' as last_trade_date, 1 as days, 0 as gap_days, "
            "0 as lag_days, 1 as rows_accepted, 0 as rows_quarantined, timestamp '2024-01-01' as last_loaded_at"
        )
        con.execute(
            "create or replace table marts.data_coverage_daily as select '' as source, '' as table_name, '' as venue, "
            "'complete' as status, '' as primary_reason, date '2024-01-01' as trade_date, 1 as instruments_expected, "
            "1 as instruments_present, 0 as instruments_partial"
        )
    publish(settings, now=NOW)


def client(settings: Settings, *statements: str, then: str = "os._exit(9)", read_only: bool = False) -> list[str]:
    """What a client of its own process does with the stable name; by default it is killed with its log unwritten."""
    code = (
        f"import duckdb, os, sys\ncon = duckdb.connect({str(settings.published_database)!r}, read_only={read_only})\n"
        + "".join(f"con.execute({statement!r})\n" for statement in statements)
        + then
    )
    return [sys.executable, "-c", code]


def killed(settings: Settings, *statements: str) -> None:
    done = subprocess.run(client(settings, *statements), check=False, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr


def seen(settings: Settings) -> list[tuple[int, int]]:
    with reader(settings) as con:
        return con.execute("select count(*), any_value(close_usd) from marts.fct_example").fetchall()


def faults(settings: Settings) -> str:
    return "\n".join(fault.what for fault in inspect_snapshots(settings, full=True))


def findings(settings: Settings) -> list[Finding]:
    return [finding for finding in check_published(settings) if finding.check != "coverage"]


def test_a_client_killed_while_writing_cannot_reach_the_next_snapshot(home: Settings) -> None:
    publish_rows(home, 3)
    killed(home, "update marts.fct_example set close_usd = 1", "delete from marts.fct_example where rowid = 0")
    assert seen(home) == [(2, 1)], "the log is replayed into its own snapshot"
    assert [x.verdict for x in findings(home)] == ["wrong", "ok"]
    assert "opened the published file for writing" in faults(home)
    for rows in (4, 5):
        publish_rows(home, rows)
        assert seen(home) == [(rows, rows)]
        assert not log_of(home.published_database).exists()
    # Two are kept: that of the client is gone by now, with its log.
    assert faults(home) == ""
    assert [x.verdict for x in findings(home)] == ["ok"]


def test_a_log_that_asks_for_a_table_of_its_own_does_not_lock_out_readers_of_the_next_snapshot(home: Settings) -> None:
    publish_rows(home, 3)
    subprocess.run(client(home, "create table main.mine as select 1 as a", then="con.close()"), check=True)
    killed(home, "insert into main.mine values (2)")
    publish_rows(home, 4)
    assert seen(home) == [(4, 4)]
    [named, sound] = findings(home)
    assert (named.verdict, sound.verdict) == ("ok", "ok")
    assert "earlier snapshot" in named.found


def test_a_client_that_keeps_the_file_open_for_writing_reaches_only_its_own_snapshot(home: Settings) -> None:
    publish_rows(home, 3)
    held = client(
        home, "create view main.mine as select * from marts.fct_example",
        then="print('held', flush=True); sys.stdin.readline(); con.execute('drop table marts.fct_example cascade'); con.close()",
    )  # fmt: skip
    with subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(TransientError, match=r"PID .*read-only"), reader(home):
            pass
        assert any("locks all others out" in x.found and x.verdict == "wrong" for x in findings(home))
        assert published_fingerprints(home) is None
        publish_rows(home, 4)
        assert seen(home) == [(4, 4)]
        process.communicate("\n")
    publish_rows(home, 5)
    assert seen(home) == [(5, 5)]
    assert faults(home) == ""


def test_a_snapshot_that_was_written_to_is_told_from_the_published_one(home: Settings) -> None:
    publish_rows(home, 3)
    current = current_snapshot(home)
    assert current is not None
    content = bytearray(current.read_bytes())
    content[-1] ^= 1
    written = current.stat().st_mtime_ns
    current.chmod(0o644)
    current.write_bytes(content)
    assert "not what was published" in faults(home)
    os.utime(current, ns=(written, written))
    assert list(inspect_snapshots(home, full=False)) == []
    assert "not what was published" in faults(home)


def test_the_log_of_a_client_that_does_not_resolve_links_is_named_and_put_away(home: Settings) -> None:
    publish_rows(home, 3)
    killed(home, "update marts.fct_example set close_usd = 1")
    before = current_snapshot(home)
    assert before is not None
    log_of(before).rename(log_of(home.published_database))
    assert "does not resolve links" in faults(home)
    publish_rows(home, 4)
    assert not log_of(home.published_database).exists()
    assert log_of(before).exists(), "with the snapshot that it belongs to"
    assert seen(home) == [(4, 4)]


def test_a_snapshot_that_readers_could_not_read_is_not_shown(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_rows(home, 3)

    def swap_and_damage(link: Path, target: Path) -> None:
        swap(link, target)
        if target.name != before:
            target.chmod(0o644)
            target.write_bytes(b"no database")

    before, swap = (current_snapshot(home) or Path()).name, swap_link
    monkeypatch.setattr("pipelines.storage.publish.swap_link", swap_and_damage)
    with pytest.raises(PublishError, match="cannot be read back"):
        publish_rows(home, 4)
    assert seen(home) == [(3, 3)]
    assert [x.name for x in snapshots_dir(home).glob("*.duckdb")] == [before]


def test_a_published_file_that_cannot_be_opened_names_the_next_step(home: Settings) -> None:
    publish_rows(home, 3)
    broken = current_snapshot(home)
    assert broken is not None
    broken.chmod(0o644)
    broken.write_bytes(b"no database")
    with pytest.raises(SnapshotDamagedError, match="leverhouse publish"), reader(home):
        pass
    assert [x.verdict for x in findings(home)] == ["wrong", "wrong"]


def test_snapshots_are_kept_as_long_as_the_setting_says_and_an_open_reader_keeps_its_own(tmp_path: Path) -> None:
    home = Settings(home=tmp_path / "home", kept_snapshots=3)
    publish_rows(home, 1)
    first = current_snapshot(home)
    assert first is not None
    with reader(home) as old:
        for rows in (2, 3, 4, 5):
            publish_rows(home, rows)
        assert old.execute("select count(*) from marts.fct_example").fetchall() == [(1,)]
    kept = sorted(snapshots_dir(home).glob("*.duckdb"))
    assert len(kept) == 3
    assert kept[-1] == current_snapshot(home)
    assert first not in kept
    assert sorted(x.stem for x in snapshots_dir(home).glob("*.json")) == [x.stem for x in kept]
    con = open_snapshot(kept[0])
    assert con.execute("select count(*) from marts.fct_example").fetchall() == [(3,)]
    con.close()


def test_a_published_file_of_the_former_layout_becomes_a_link(home: Settings) -> None:
    publish_rows(home, 3)
    current = current_snapshot(home)
    assert current is not None
    home.published_database.unlink()
    shutil.copy(current, home.published_database)
    assert "a file and not a link" in faults(home)
    log_of(home.published_database).write_bytes(b"of a client")
    publish_rows(home, 4)
    assert home.published_database.is_symlink()
    assert seen(home) == [(4, 4)]
    assert faults(home) == ""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, as the folder of a warehouse is; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_user_without_rights_reads_but_cannot_open_for_writing(open_folder: Path) -> None:
    home = Settings(home=open_folder / "home")
    publish_rows(home, 3)
    code = (
        "import duckdb, os, sys\n"
        "os.setuid(65534) if os.geteuid() == 0 else None\n"
        "try:\n    duckdb.connect(sys.argv[1])\nexcept duckdb.IOException as error:\n    print(error)\n"
        "con = duckdb.connect(sys.argv[1], read_only=True)\n"
        "print(con.execute('select count(*) from marts.fct_example').fetchall())"
    )
    command = [sys.executable, "-c", code, str(home.published_database)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    refusal, count = done.stdout.strip().splitlines()
    assert "Permission denied" in refusal
    assert count == "[(3,)]"
    parquet = home.published_dir / "parquet" / "fct_example.parquet"
    assert {parquet.stat().st_mode & 0o222, (current_snapshot(home) or parquet).stat().st_mode & 0o222} == {0}
    assert duckdb.sql("select count(*) from read_parquet(?)", params=[str(parquet)]).fetchall() == [(3,)]
