"""Writing files so that a power cut does not undo it, and telling a fault of this machine from one of the bytes it reads."""

from __future__ import annotations

import errno
import os
import re
import resource
import secrets
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from pipelines.core.errors import LeverhouseError, MachineError, NotPermittedError, TransientError

OPEN_FILES: Final = 1024
"""Files that a process may have open, where the system lets it."""

FEWEST_OPEN_FILES: Final = 128
"""Fewer are refused at the start of a command."""

LEAST_FREE_BYTES: Final = 1 << 20
"""A disk with less free space than this is full."""

UMASK: Final = 0o077
"""What group and others may not do with a file that this project writes: anything, unless it is published."""

HOME_FOLDER: Final = 0o711
PUBLIC_FOLDER: Final = 0o755
PUBLIC_FILE: Final = 0o644


@contextmanager
def private_files() -> Iterator[None]:
    """Whatever is created inside the block, by libraries and child processes too, belongs to this user alone."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def make_home(root: Path) -> None:
    """Make the root folder of a warehouse if it is missing: others may pass through it to what is published, and list nothing."""
    if not root.exists():
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(HOME_FOLDER)


def show_folder(folder: Path) -> None:
    """Make a folder that others may list and read, or open one that is there."""
    folder.mkdir(exist_ok=True)
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & PUBLIC_FOLDER != PUBLIC_FOLDER:
        folder.chmod(mode | PUBLIC_FOLDER)


def show_tree(folder: Path) -> None:
    """Let others list and read everything below `folder`; what leads to it stays as it is."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(PUBLIC_FOLDER if path.is_dir() else PUBLIC_FILE)


def is_plain_file(path: Path) -> bool:
    """Whether a path is a regular file by itself: no link, folder, pipe, socket or device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def open_plain(path: Path, *, below: Path) -> BinaryIO:
    """Open a regular file to read it. One below the folder `below` must lie there: no part of its path from there on is a link.

    Raises OSError; a link, pipe, socket or device is one (EINVAL, ELOOP), and is never waited for.
    """
    inside = below in path.parents
    if inside and path.resolve() != below.resolve() / path.relative_to(below):
        raise OSError(errno.ELOOP, "a symbolic link", str(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if inside else 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return os.fdopen(descriptor, "rb")


def sync(path: Path) -> None:
    """Flush a file or folder to disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(target: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write, sync, rename, sync the folder: readers see the old bytes or the new ones, also after a power loss.

    Raises OSError; `target` is then unchanged.
    """
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as sink:
            os.fchmod(sink.fileno(), mode)
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync(target.parent)


Fault = Literal["full", "read_only", "denied", "open_files", "memory", "io", "records", "rotten"]

_BY_NUMBER: Final[Mapping[int, Fault]] = {
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "full",
    errno.EROFS: "read_only",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EMFILE: "open_files",
    errno.ENFILE: "open_files",
    errno.ENOMEM: "memory",
    errno.EIO: "io",
    errno.ESTALE: "io",
}
"""Errors of the operating system that are about this machine and not about the bytes that are read."""

_BY_TEXT: Final[Mapping[str, Fault]] = {
    **{os.strerror(number): fault for number, fault in _BY_NUMBER.items()},
    "max_temp_directory_size": "full",
    "Out of Memory Error": "memory",
    "Corrupt database file": "rotten",
    "Could not read enough bytes": "rotten",
}
"""The same in DuckDB's words, which carries no number."""

_OF_SQLITE: Final[Mapping[int, Fault]] = {
    sqlite3.SQLITE_FULL: "full",
    sqlite3.SQLITE_READONLY: "read_only",
    sqlite3.SQLITE_PERM: "denied",
    sqlite3.SQLITE_CANTOPEN: "denied",
    sqlite3.SQLITE_NOMEM: "memory",
    sqlite3.SQLITE_IOERR: "io",
    sqlite3.SQLITE_CORRUPT: "records",
    sqlite3.SQLITE_NOTADB: "records",
}
"""By SQLite's primary result code. Only Dagster's records of runs are SQLite."""

_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)$")
"""How an error of the system ends that came through Rust. A message that quotes received bytes goes on after them."""

_DUCKDB_FAULTS: Final = ("IO Error", "FATAL Error", "Out of Memory Error", "TransactionContext Error", "INTERNAL Error")
"""First words of DuckDB's errors that are no word about the data; others may quote it."""


@dataclass(frozen=True)
class MachineFault:
    """What is wrong with this machine or with a database on it: the kind, the path where the system names one, and its words."""

    kind: Fault
    path: str | None
    text: str


def is_fault_of_bytes(error: BaseException) -> bool:
    """Whether reading bytes from elsewhere failed because of what they are.

    Any error counts, typed or not, panics of polars too, but for an interrupt, an error that may pass, and a fault of this
    machine.
    """
    stopped = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | TransientError)
    return not stopped and not is_machine_fault(error)


def is_machine_fault(error: BaseException) -> bool:
    """Whether an error comes from this machine: see `machine_fault`."""
    return machine_fault(error) is not None


def machine_fault(error: BaseException) -> MachineFault | None:
    """The full or read-only disk, missing permission, too many open files, too little memory, or rotten blocks of a database
    that an error comes from; None if it comes from none of them.

    Looks along the chain of causes, and at the text where a library keeps no error number.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        kind = _kind(cause)
        if kind is not None:
            path = cause.filename if isinstance(cause, OSError) else None
            words = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
            return MachineFault(kind, os.fsdecode(path) if isinstance(path, str | bytes) else None, _line(words))
        cause = cause.__cause__ or cause.__context__
    return None


def fault_in_text(text: str) -> MachineFault | None:
    """The fault that a message of DuckDB tells of, as dbt passes it on for a model."""
    said = next((kind for words, kind in _BY_TEXT.items() if words in text), None)
    told = any(words in text for words in _DUCKDB_FAULTS)
    return MachineFault(said, None, _line(text)) if said is not None and told else None


def _line(text: str) -> str:
    """The line of a message that says what happened; an error of DuckDB may tell of an earlier one, or include a stack trace."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if any(words in line for words in _BY_TEXT)), next(iter(lines), "no message"))


def _kind(error: BaseException) -> Fault | None:
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, OSError) and error.errno is not None:
        return _BY_NUMBER.get(error.errno)
    if isinstance(error, sqlite3.Error):
        # An extended code holds the primary one in its lowest byte.
        return _OF_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    text = str(error)
    module = type(error).__module__.partition(".")[0]
    if module.lstrip("_") == "duckdb" and text.startswith(_DUCKDB_FAULTS):
        found = fault_in_text(text)
        return found.kind if found else None
    number = _OS_ERROR.search(text.rstrip()) if isinstance(error, OSError) or module == "polars" else None
    return _BY_NUMBER.get(int(number[1])) if number else None


def explained(error: BaseException, *, home: Path) -> LeverhouseError | None:
    """A fault of this machine as the error of a command: a sentence of what is wrong and what to do.

    None where the error comes from something else.
    """
    fault = machine_fault(error)
    return None if fault is None else as_error(fault, home=home)


def as_error(fault: MachineFault, *, home: Path) -> LeverhouseError:
    """The error of a command for a fault of the machine; `home` is named where the system names no path."""
    what, next_step = described(fault, home=home)
    kind = NotPermittedError if fault.kind in {"read_only", "denied"} else MachineError
    return kind(f"{what}; {next_step}.")


def described(fault: MachineFault, *, home: Path) -> tuple[str, str]:
    """What is wrong with the machine, and what to do about it."""
    where, text = fault.path or home, fault.text.rstrip(".")
    match fault.kind:
        case "full":
            return (
                f"the disk of {where} is full ({text})",
                "free some space and run the command again, which continues the work",
            )
        case "read_only" | "denied":
            return (
                f"{where} may not be used by this user ({text})",
                "make it writable, or name another folder in LEVERHOUSE_HOME; 'leverhouse sql' and 'status' only read",
            )
        case "open_files":
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            return (
                f"this process may have no more than {soft} files open ({text})",
                f"raise the limit, as with 'ulimit -n {OPEN_FILES}', and run the command again",
            )
        case "memory":
            return (
                f"memory ran out ({text})",
                "end other programs, or change LEVERHOUSE_DUCKDB_MEMORY, and run the command again",
            )
        case "rotten":
            return (
                f"the working database of {home} is damaged ({text})",
                "no landed data is lost: run 'leverhouse rebuild' to recreate it from the landing",
            )
        case "records":
            return (
                f"Dagster's records of runs in {home / 'dagster_home'} are damaged ({text})",
                "move its folders history, storage and schedules away and run again: past runs and logs are lost, no data is",
            )
        case "io":
            return (
                f"the disk of {where} reports an error ({text})",
                "check the disk, then run 'leverhouse doctor', which compares every landed byte with its digest",
            )


def present_fault(home: Path) -> LeverhouseError | None:
    """What of this machine stands in the way of writing `home` now, for errors that say nothing of their cause."""
    if not os.access(home, os.W_OK | os.X_OK):
        return as_error(MachineFault("denied", str(home), "it is not writable"), home=home)
    free = shutil.disk_usage(home).free
    return (
        as_error(MachineFault("full", str(home), f"{free} bytes free"), home=home) if free < LEAST_FREE_BYTES else None
    )


def allow_open_files() -> int:
    """Raise the number of files this process may have open to what is needed, as far as allowed; return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        soft = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def require_open_files() -> None:
    """Raise MachineError where this process may have too few files open: DuckDB ends a process that runs out of them."""
    allowed = allow_open_files()
    if allowed < FEWEST_OPEN_FILES:
        raise MachineError(
            f"too few open files: this process may have {allowed}, and {FEWEST_OPEN_FILES} are needed; raise the limit, as with "
            f"'ulimit -n {OPEN_FILES}', and run the command again."
        )
