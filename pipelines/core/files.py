"""Durable file writes, safe against power loss. Standard library only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


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
