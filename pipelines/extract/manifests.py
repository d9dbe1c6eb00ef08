"""The text of a manifest, and manifests as they were read before: a load reads the manifests that are new, not all of them.

    <home>/.manifests/<source>.jsonl      {"key": folder/name, "state": [inode, bytes, mtime_ns], "manifest": {…}}

An entry counts only while the manifest has the inode, size and time that it was read with, so that one that was altered, put back
or removed is noticed as without this. Whoever only reads writes nothing here; the folder may be removed at any time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipelines.core.files import write_atomically
from pipelines.extract.landing_files import safe_name

if TYPE_CHECKING:
    from pipelines.extract.landing import Landing

FOLDER: Final = ".manifests"

State = tuple[int, int, int]
_Entry = tuple[State, dict[str, Any]]


def manifest_text(landing: Landing, home: Path) -> str:
    """The manifest of a landing."""
    return json.dumps(
        {
            "landing_id": landing.landing_id,
            "source": landing.source,
            "partition": landing.partition,
            "part": landing.part,
            "version": landing.version,
            "path": landing.path.relative_to(home).as_posix(),
            "original_name": landing.original_name,
            "sha256": landing.sha256,
            "bytes": landing.bytes,
            "fetched_at": landing.fetched_at.isoformat(timespec="microseconds"),
            "completeness": landing.completeness,
            "request": landing.request,
        },
        indent=1,
        ensure_ascii=False,
    )


def state_of(found: os.stat_result) -> State:
    """What tells one content of a manifest from another: a manifest is renamed into place and never written again."""
    return (found.st_ino, found.st_size, found.st_mtime_ns)


class ManifestCache:
    """What was read before of the manifests of one folder of the landing."""

    def __init__(self, home: Path, folder: str) -> None:
        self._path = home / FOLDER / f"{safe_name(folder)}.jsonl"
        self._lines = 0
        self._known = self._read()
        self._kept: dict[str, _Entry] = {}
        self._new: dict[str, _Entry] = {}

    def find(self, folder: str, name: str, state: State) -> dict[str, Any] | None:
        """What is known of a manifest in this state; None if it is to be read."""
        key = f"{folder}/{name}"
        entry = self._known.get(key)
        if entry is None or entry[0] != state:
            return None
        self._kept[key] = entry
        return entry[1]

    def note(self, folder: str, name: str, state: State, manifest: dict[str, Any]) -> None:
        """A manifest was read that was in this state before."""
        self._new[f"{folder}/{name}"] = (state, manifest)

    def keep(self) -> None:
        """Append what was read anew; write the file again once half of it is of manifests that are gone or have changed."""
        standing = len(self._kept) + len(self._new)
        is_bloated = self._lines + len(self._new) > 2 * standing
        if not self._new and not is_bloated:
            return
        self._path.parent.mkdir(mode=0o700, exist_ok=True)
        if is_bloated:
            lines = b"".join(_line(key, entry) for key, entry in (self._kept | self._new).items())
            write_atomically(self._path, lines)
            return
        # The line break first: a line that was cut short takes no other with it.
        text = b"\n" + b"".join(_line(key, entry) for key, entry in self._new.items())
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, text)
        finally:
            os.close(descriptor)

    def _read(self) -> dict[str, _Entry]:
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            # Without it every manifest is read, which is only slower; a disk that fails is told of by the reading of these.
            return {}
        known: dict[str, _Entry] = {}
        for line in filter(None, lines):
            self._lines += 1
            try:
                entry = orjson.loads(line)
                inode, size, changed = entry["state"]
                known[entry["key"]] = ((inode, size, changed), entry["manifest"])
            except (ValueError, KeyError, TypeError):
                # A line that a killed process cut short; its manifest is read again.
                continue
        return known


def _line(key: str, entry: _Entry) -> bytes:
    state, manifest = entry
    return orjson.dumps({"key": key, "state": state, "manifest": manifest}) + b"\n"


def beside(landings: Iterable[Landing], suffix: str) -> Iterator[Landing]:
    """The landings beside which there is a file with this suffix. Lists each folder once, which costs less than to look for each
    file."""
    folders: dict[str, frozenset[str]] = {}
    for landing in landings:
        folder, name = os.path.split(landing.path)
        if folder not in folders:
            names = os.listdir(folder) if os.path.isdir(folder) else ()  # noqa: PTH208, PTH112 - names only, and many folders
            folders[folder] = frozenset(found for found in names if found.endswith(suffix))
        if name + suffix in folders[folder]:
            yield landing
