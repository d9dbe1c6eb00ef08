"""Writing files so that a power cut does not undo it, and telling a fault of this machine from one of the bytes it reads."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path
from typing import Final

from pipelines.core.errors import TransientError


def sync(path: Path) -> None:
    """Flush a file or folder to disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(target: Path, content: bytes) -> None:
    """Write, sync, rename, sync the folder: readers see the old bytes or the new ones, also after a power loss.

    Raises OSError; `target` is then unchanged.
    """
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with temporary.open("wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync(target.parent)


MACHINE_FAULTS: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EMFILE,
        errno.ENFILE,
        errno.EIO,
        errno.ENOMEM,
    }
)
"""Errors of the operating system that are about this machine and not about the bytes that are read."""


def is_fault_of_bytes(error: BaseException) -> bool:
    """Whether reading bytes from elsewhere failed because of what they are.

    Any error counts, typed or not, panics of polars too, but for an interrupt, an error that may pass, and a fault of this
    machine.
    """
    stopped = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | TransientError)
    return not stopped and not is_machine_fault(error)


def is_machine_fault(error: BaseException) -> bool:
    """Whether an error comes from a full or read-only disk, missing permissions, too many open files or too little memory.

    Looks along the chain of causes, and at the text where a library keeps no error number.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno in MACHINE_FAULTS):
            return True
        if "No space left on device" in str(cause) or "(os error 28)" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
