"""Names, digests, copies and temporary files of the landing. Knows no manifest and no landing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

_CHUNK: Final = 1 << 20
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


def safe_name(name: str) -> str:
    """A safe file name for any `name`: no separators, no leading dot, bounded length."""
    cleaned = _UNSAFE.sub("_", name).lstrip(".") or "_"
    if cleaned == name and len(name) <= 120:
        return name
    return f"{cleaned[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def canonical(request: Mapping[str, Any]) -> str:
    """A request as text that is the same however its keys are ordered."""
    return json.dumps(dict(request), sort_keys=True, ensure_ascii=False)


def file_digest(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file."""
    with path.open("rb") as file:
        return stream_digest(file)[0], path.stat().st_size


def stream_digest(file: BinaryIO) -> tuple[str, int]:
    """SHA-256 and size of what is left of an open file."""
    digest = hashlib.sha256()
    size = 0
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def copy_with_digest(source: BinaryIO, sink: BinaryIO) -> tuple[str, int]:
    """Copy to the end of `source`; SHA-256 and size of what was copied."""
    digest = hashlib.sha256()
    size = 0
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        sink.write(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


@contextmanager
def temporary_file(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A temporary file in `folder`, removed at the end of the block unless it was renamed."""
    temporary = folder / f".{secrets.token_hex(8)}.part"
    try:
        with temporary.open("xb") as sink:
            yield temporary, sink
    finally:
        temporary.unlink(missing_ok=True)


class ChangeTokens:
    """What was landed last and what the last load found, as two small files in the home that are compared, never read as times.

    Not synced: after a power cut a load looks once more.
    """

    def __init__(self, home: Path) -> None:
        self._landed = home / ".landed"
        self._loaded = home / ".loaded"

    def landed(self) -> str | None:
        """Changes with every landing and every decision of a person; None before the first."""
        return _read(self._landed)

    def loaded(self) -> str | None:
        """The `landed` that the last load of everything found."""
        return _read(self._loaded)

    def note_change(self) -> None:
        """Something was landed or decided."""
        replace_text(self._landed, secrets.token_hex(8))

    def note_loaded(self, landed: str | None) -> None:
        """Everything was loaded that was there when `landed` was the token."""
        if landed is not None:
            replace_text(self._loaded, landed)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return None


def replace_text(path: Path, text: str) -> None:
    """Replace a small file as a whole, for its owner alone. Not synced."""
    with temporary_file(path.parent) as (temporary, sink):
        os.fchmod(sink.fileno(), 0o600)
        sink.write(text.encode("ascii"))
        sink.flush()
        temporary.replace(path)
