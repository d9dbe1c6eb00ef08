"""Faults of this machine told from those of bytes, files that belong to their owner alone, and what may be read of an inbox."""

from __future__ import annotations

import errno
import os
import resource
import socket
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipelines.core.errors import LeverhouseError, MachineError
from pipelines.core.files import (
    FEWEST_OPEN_FILES,
    explained,
    fault_in_text,
    is_fault_of_bytes,
    machine_fault,
    make_home,
    open_plain,
    private_files,
    show_folder,
    write_atomically,
)
from pipelines.core.settings import PROJECT_ROOT

HOME = Path("/data/warehouse")
FULL = "No space left on device"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, FULL, "/disk/file"), 74, "the disk of /disk/file is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 74, f"the disk of {HOME} is full"),
        (OSError(errno.EROFS, "Read-only file system", "/disk/file"), 78, "/disk/file may not be used"),
        (PermissionError(errno.EACCES, "Permission denied", "/disk/file"), 78, "make it writable"),
        (OSError(errno.EMFILE, "Too many open files"), 74, "ulimit -n"),
        (OSError(errno.EIO, "Input/output error", "/disk/file"), 74, "leverhouse doctor"),
        (MemoryError(), 74, "memory ran out"),
        (
            duckdb.OutOfMemoryException("Out of Memory Error: failed to pin block of size 256.0 KiB"),
            74,
            "DUCKDB_MEMORY",
        ),
        (duckdb.IOException(f'IO Error: Could not write file "/disk/file": {FULL}'), 74, "is full"),
        (
            duckdb.IOException("IO Error: Corrupt database file: computed checksum 1 does not match"),
            74,
            "leverhouse rebuild",
        ),
        (pl.exceptions.ComputeError(f"parquet: underlying IO error: {FULL} (os error 28)"), 74, "is full"),
    ],
)
def test_a_fault_of_the_machine_is_one_sentence_with_what_to_do(error: Exception, code: int, said: str) -> None:
    found = explained(error, home=HOME)
    assert found is not None
    assert found.exit_code == code
    assert said in str(found)
    assert "\n" not in str(found)
    assert not is_fault_of_bytes(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError(f"the venue answered: {FULL}"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/disk/file"),
        duckdb.ConversionException(f"Conversion Error: Could not convert string '{FULL}' to INT32"),
        duckdb.IOException('IO Error: Cannot open file "/disk/file": No such file or directory'),
        pl.exceptions.ComputeError("could not parse `(os error 28)` as dtype `i64` at column 'a'"),
    ],
)
def test_bytes_that_tell_of_a_fault_are_none(error: Exception) -> None:
    assert machine_fault(error) is None
    assert is_fault_of_bytes(error)


def test_the_fault_is_found_behind_the_error_that_it_led_to() -> None:
    error = LeverhouseError("the landing was not written")
    error.__cause__ = OSError(errno.ENOSPC, FULL, "/disk/file")
    assert isinstance(explained(error, home=HOME), MachineError)


def test_records_of_runs_that_are_no_database_are_named(tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_bytes(b"x" * 8192)
    with sqlite3.connect(tmp_path / "runs.db") as con, pytest.raises(sqlite3.DatabaseError) as raised:
        con.execute("select * from runs")
    con.close()
    assert "past runs and logs are lost, no data is" in str(explained(raised.value, home=HOME))


def test_dbt_passes_on_what_duckdb_said() -> None:
    told = fault_in_text(f'Runtime Error in model fct_price_daily  IO Error: Could not write file "/disk/file": {FULL}')
    assert told is not None
    assert told.kind == "full"
    assert fault_in_text("Conversion Error: Could not convert string 'Permission denied' to INT32") is None


def test_files_are_the_owner_s_whatever_the_library_that_writes_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with private_files():
            duckdb.connect(str(tmp_path / "database")).close()
            (tmp_path / "folder").mkdir()
        write_atomically(tmp_path / "file", b"x")
        write_atomically(tmp_path / "published", b"x", mode=0o644)
        with private_files():
            make_home(tmp_path / "home")
            show_folder(tmp_path / "home" / "published")
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    modes = {path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {
        "database": 0o600, "folder": 0o700, "file": 0o600, "published": 0o644, "home": 0o711, "home/published": 0o755,
    }  # fmt: skip


def test_of_an_inbox_only_the_files_that_lie_in_it_are_opened(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    (inbox / "data").mkdir(parents=True)
    (inbox / "data" / "good.csv").write_text("good")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key.csv").write_text("secret")
    (inbox / "data" / "link.csv").symlink_to(tmp_path / "secret" / "key.csv")
    (inbox / "linked").symlink_to(tmp_path / "secret", target_is_directory=True)
    os.mkfifo(inbox / "data" / "pipe.csv")
    with open_plain(inbox / "data" / "good.csv", below=inbox) as found:
        assert found.read() == b"good"
    with pytest.raises(OSError, match="symbolic link"):
        open_plain(inbox / "data" / "link.csv", below=inbox)
    with pytest.raises(OSError, match="symbolic link"):
        open_plain(inbox / "linked" / "key.csv", below=inbox)
    with pytest.raises(OSError, match="no regular file"):
        open_plain(inbox / "data" / "pipe.csv", below=inbox)
    # A file that somebody names may be a link.
    with open_plain(inbox / "data" / "link.csv", below=tmp_path / "other") as found:
        assert found.read() == b"secret"


def test_a_socket_is_no_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError):
            open_plain(tmp_path / "socket", below=tmp_path)


def test_too_few_open_files_are_refused_before_duckdb_needs_one() -> None:
    code = (
        "import resource; from pipelines.core.files import require_open_files\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({FEWEST_OPEN_FILES - 1},) * 2)\n"
        "try:\n    require_open_files()\nexcept Exception as error:\n    print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MachineError too few open files: this process may have 127, and 128 are needed")


def test_the_limit_of_open_files_is_raised_where_it_may_be() -> None:
    code = (
        "import resource; from pipelines.core.files import allow_open_files\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)); print(allow_open_files())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert int(done.stdout) == (1024 if hard == resource.RLIM_INFINITY else min(1024, hard))
