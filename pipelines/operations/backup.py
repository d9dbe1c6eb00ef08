"""Backups of a warehouse: the landing, its marks and journals, mappings, the record of what was published, and Dagster's
history, each file with its digest.

    <backup>/backup.json     every file with its size and digest; what is not listed there is not in the backup
    <backup>/raw/...         the files, under the names they have in the home

The working database and the published files are not in it: they follow from the landing. Opens no warehouse.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import orjson

from pipelines.core.errors import ConfigError, LandingError
from pipelines.core.files import write_atomically
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import Settings
from pipelines.extract.landing_files import copy_with_digest, file_digest
from pipelines.storage.vintages import covers

INDEX: Final = "backup.json"
FORMAT: Final = 1
"""Version of the index and of what lies where."""

HISTORY: Final = ("dagster_home/history", "dagster_home/schedules")
"""Folders of SQLite files: Dagster's runs and events, its schedules and sensors."""

_MANIFEST: Final = ".manifest.json"
_PAYLOAD: Final = re.compile(r"~[0-9a-f]{20}$")
_NO_PART: Final = re.compile(
    r"^(\.|leverhouse\.duckdb|leverhouse\.lock|leverhouse\.holder)|\.lock$|-(wal|shm|journal)$"
)
"""Files of the home itself that follow from others, or are of a running process."""

Kind = Literal["payload", "manifest", "mapping", "vintage", "history", "other"]


@dataclass(frozen=True)
class Entry:
    """A file of a backup: size and digest of the copy, and size and time that the original had when it was read."""

    bytes: int
    sha256: str
    seen: tuple[int, int]


@dataclass(frozen=True)
class BackupReport:
    """Files of the backup, those copied by this one and their bytes, files that only the backup has, and one line for each
    file that was not taken because its bytes are not those that were landed."""

    files: int
    copied: int
    copied_bytes: int
    only_in_backup: tuple[str, ...]
    faults: tuple[str, ...]
    seconds: float

    def raise_faults(self) -> None:
        """Raise LandingError naming the files that were not taken."""
        if self.faults:
            raise LandingError(
                f"{len(self.faults)} file(s) of the home are damaged and were not taken; what the backup had of them before "
                "is still there. See 'leverhouse restore'.\n" + "\n".join(self.faults[:20])
            )


@dataclass(frozen=True)
class RestoreReport:
    """Files written because the home lacked them, files written over damaged ones, files that were right already, and one line
    for each file whose copy in the backup is damaged."""

    restored: int
    repaired: tuple[str, ...]
    kept: int
    faults: tuple[str, ...]
    seconds: float

    def raise_faults(self) -> None:
        """Raise LandingError naming the files that the backup holds no good copy of."""
        if self.faults:
            raise LandingError(
                f"{len(self.faults)} file(s) of the backup are missing or damaged; everything else was restored.\n"
                + "\n".join(self.faults[:20])
            )


def backup(settings: Settings, folder: Path, *, now: datetime, progress: Progress = no_progress) -> BackupReport:
    """Bring the backup in `folder` up to date: copies what is new or has changed since the last one.

    Landed bytes are compared with the digest in their manifest while they are copied; damaged ones are not taken, and never
    replace what the backup has. Landed files and recorded publications that the home has lost stay in the backup. Fetching and
    loading may go on meanwhile. A killed backup is continued by the next. Raises ConfigError where `folder` is no backup of
    this home.
    """
    started = time.monotonic()
    folder = folder.expanduser().resolve()
    found = dict(_files(settings))
    _check_folder(settings, folder, found)
    known = read_index(folder) if (folder / INDEX).exists() else {}
    _check_same_home(known, found)
    work = _Backup(settings, folder, known, found)
    for done, name in enumerate(sorted(found, key=_order)):
        progress(f"back up {Path(name).name}", done, len(found))
        work.take(name)
    gone = work.drop_removed()
    os.sync()
    write_atomically(folder / INDEX, _index(work.entries, now))
    return BackupReport(
        files=len(work.entries),
        copied=work.copied,
        copied_bytes=work.copied_bytes,
        only_in_backup=gone,
        faults=tuple(work.faults),
        seconds=time.monotonic() - started,
    )


def restore(settings: Settings, folder: Path, *, progress: Progress = no_progress) -> RestoreReport:
    """Write every file of the backup that the home lacks, and landed ones that are damaged there. Removes nothing.

    Every copy is compared with its digest. What the home has and is not damaged stays as it is, newer marks too. History comes
    back into a home that has none. Raises ConfigError where `folder` is no backup, or one of another home.
    """
    started = time.monotonic()
    folder = folder.expanduser().resolve()
    entries = read_index(folder)
    _check_same_home(entries, dict(_files(settings)))
    has_history = any((settings.root / name).exists() for name in HISTORY)
    restored, kept = 0, 0
    repaired: list[str] = []
    faults: list[str] = []
    for done, name in enumerate(sorted(entries, key=_order)):
        progress(f"restore {Path(name).name}", done, len(entries))
        target, kind = settings.root / name, _kind(name)
        if target.exists() if kind != "history" else has_history:
            if not _is_damaged(target, kind, entries[name]):
                kept += 1
                continue
            repaired.append(name)
        else:
            restored += 1
        fault = _restore(folder / name, target, entries[name])
        if fault is not None:
            faults.append(fault)
    os.sync()
    return RestoreReport(restored, tuple(repaired), kept, tuple(faults), time.monotonic() - started)


def verify(folder: Path, *, progress: Progress = no_progress) -> tuple[int, tuple[str, ...]]:
    """Compare every file of a backup with its digest; return how many there are, and a line for each that is not right."""
    folder = folder.expanduser().resolve()
    entries = read_index(folder)
    faults = []
    for done, (name, entry) in enumerate(sorted(entries.items())):
        progress(f"verify {Path(name).name}", done, len(entries))
        if not (folder / name).exists():
            faults.append(f"{name} is missing")
        elif file_digest(folder / name)[0] != entry.sha256:
            faults.append(f"{name} was altered")
    return len(entries), tuple(faults)


def read_index(folder: Path) -> dict[str, Entry]:
    """The files of a backup by name. Raises ConfigError where there is no index, or one of another version."""
    path = folder / INDEX
    try:
        data = orjson.loads(path.read_bytes())
        if data["format"] != FORMAT:
            raise ConfigError(
                f"{folder} is a backup of format {data['format']}, and this version of leverhouse reads {FORMAT}; use the "
                "version that made it."
            )
        return {
            name: Entry(entry["bytes"], entry["sha256"], (entry["seen"][0], entry["seen"][1]))
            for name, entry in data["files"].items()
        }
    except FileNotFoundError as error:
        raise ConfigError(f"{folder} holds no backup: there is no {INDEX} in it.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Begin a new backup in another folder.") from error


@dataclass
class _Backup:
    settings: Settings
    folder: Path
    known: Mapping[str, Entry]
    found: Mapping[str, tuple[int, int]]
    entries: dict[str, Entry] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    copied: int = 0
    copied_bytes: int = 0

    def take(self, name: str) -> None:
        """Copy a file unless the backup has it already as it is."""
        before, seen = self.known.get(name), self.found[name]
        if before is not None and before.seen == seen and _size(self.folder / name) == before.bytes:
            self.entries[name] = before
            return
        source, kind = self.settings.root / name, _kind(name)
        try:
            wanted = self._landed_digest(source) if kind == "payload" else None
            if kind == "vintage" and before is not None:
                # Written once: another digest is damage.
                wanted = before.sha256
            if kind == "manifest":
                orjson.loads(source.read_bytes())
            sha256, size = _copy(source, self.folder / name, kind, wanted=wanted)
        except FileNotFoundError:
            # Removed since the list was made, as a mark is: the next backup sees it.
            return
        except (_OtherBytesError, ValueError) as error:
            self.faults.append(f"{name}: {error}")
            if before is not None:
                self.entries[name] = before
            return
        self.entries[name] = Entry(size, sha256, seen)
        self.copied += 1
        self.copied_bytes += size

    def _landed_digest(self, payload: Path) -> str:
        manifest = payload.with_name(payload.name + _MANIFEST)
        try:
            return str(orjson.loads(manifest.read_bytes())["sha256"])
        except (ValueError, KeyError, TypeError) as error:
            raise _OtherBytesError(
                f"its manifest cannot be read ({error}), so nobody knows whether it is right"
            ) from error

    def drop_removed(self) -> tuple[str, ...]:
        """Remove from the backup what the home has removed, but never anything landed; return what only the backup has."""
        only_here = []
        for name, entry in self.known.items():
            if name in self.entries or name in self.found:
                continue
            if _kind(name) in ("payload", "manifest", "mapping") or (
                _kind(name) == "vintage" and not self._is_merged(name)
            ):
                self.entries[name] = entry
                only_here.append(name)
            else:
                (self.folder / name).unlink(missing_ok=True)
        return tuple(sorted(only_here))

    def _is_merged(self, name: str) -> bool:
        """Whether a file of the record of publications is gone because one of a longer period holds its rows."""
        folder, _, file = name.rpartition("/")
        return any(
            other.rpartition("/")[0] == folder and covers(other.rpartition("/")[2], file) for other in self.found
        )


class _OtherBytesError(Exception):
    """Bytes are not those of the manifest."""


def _files(settings: Settings) -> Iterator[tuple[str, tuple[int, int]]]:
    """Every file that belongs to a backup, by its name below the home, with its size and time of the last change.

    Landed bytes without a manifest are not landed and are left out.
    """
    root = settings.root
    for folder in ("raw", "mappings"):
        for path, names in _walk(root / folder):
            for name in names:
                if _PAYLOAD.search(name) and name + _MANIFEST not in names:
                    continue
                yield from _stated(root, path / name)
    for mart in sorted((root / "history").glob("[!.]*")):
        if not mart.name.startswith("pending-"):
            for path, names in _walk(mart):
                for name in names:
                    yield from _stated(root, path / name)
    for folder in HISTORY:
        for path, names in _walk(root / folder):
            for name in names:
                if name.endswith(".db"):
                    yield from _stated(root, path / name, path / f"{name}-wal")
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.is_file() and not _NO_PART.search(path.name):
            yield from _stated(root, path)


def _walk(folder: Path) -> Iterator[tuple[Path, set[str]]]:
    for path, _, names in os.walk(folder):
        yield Path(path), {name for name in names if not name.startswith(".")}


def _stated(root: Path, path: Path, log: Path | None = None) -> Iterator[tuple[str, tuple[int, int]]]:
    """Name, size and time of a file, with those of the log that belongs to it; nothing if it has just been removed."""
    try:
        stats = [one.stat() for one in (path, log) if one is not None and (one is path or one.exists())]
    except FileNotFoundError:
        return
    yield path.relative_to(root).as_posix(), (sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats))


def _kind(name: str) -> Kind:
    if name.startswith("raw/"):
        if name.endswith(_MANIFEST):
            return "manifest"
        if _PAYLOAD.search(name):
            return "payload"
        return "mapping" if "/_mappings/" in name else "other"
    if name.startswith("history/"):
        return "vintage"
    return "history" if name.startswith(HISTORY) else "other"


def _order(name: str) -> tuple[int, str]:
    """Bytes before their manifest, so that what is cut off half-way is not landed."""
    return (("payload", "mapping", "vintage", "other", "history", "manifest").index(_kind(name)), name)


def _copy(source: Path, target: Path, kind: Kind, *, wanted: str | None) -> tuple[str, int]:
    """Copy by a temporary name; return digest and size. Raises _OtherBytesError if the digest is not the one `wanted`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        if kind == "history" or source.suffix in {".sqlite", ".db"}:
            # A file that others write to is copied by SQLite itself, as of one instant.
            with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(temporary)) as copy:
                original.backup(copy)
            sha256 = file_digest(temporary)[0]
        else:
            sha256 = _copy_bytes(source, temporary)
        if wanted is not None and sha256 != wanted:
            raise _OtherBytesError("it was altered since it was written")
        size = temporary.stat().st_size
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return sha256, size


def _copy_bytes(source: Path, target: Path) -> str:
    with source.open("rb") as file, target.open("wb") as sink:
        sha256, _ = copy_with_digest(file, sink)
    shutil.copystat(source, target)
    return sha256


def _restore(source: Path, target: Path, entry: Entry) -> str | None:
    """Copy a file of the backup into the home; return what is wrong with it, if anything."""
    try:
        _copy(source, target, "payload", wanted=entry.sha256)
    except FileNotFoundError:
        return f"{source} is missing"
    except _OtherBytesError:
        return f"{source} was altered"
    return None


def _is_damaged(path: Path, kind: Kind, entry: Entry) -> bool:
    if kind in ("payload", "mapping", "vintage"):
        return file_digest(path)[0] != entry.sha256
    if kind == "manifest":
        try:
            orjson.loads(path.read_bytes())
        except ValueError:
            return True
    return False


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.exists() else None


def _index(entries: Mapping[str, Entry], now: datetime) -> bytes:
    files = {name: asdict(entry) for name, entry in sorted(entries.items())}
    return orjson.dumps({"format": FORMAT, "made_at": now.isoformat(timespec="seconds"), "files": files})


def _check_folder(settings: Settings, folder: Path, found: Mapping[str, tuple[int, int]]) -> None:
    if folder.is_relative_to(settings.root) or settings.root.is_relative_to(folder):
        raise ConfigError(
            f"{folder} lies in the home {settings.root}, or around it; name another folder, best on another disk."
        )
    if folder.is_dir() and any(folder.iterdir()) and not (folder / INDEX).exists():
        # What a killed first backup left has no index; it holds files of the home's names and nothing else.
        strangers = {path.name for path in folder.iterdir()} - {name.split("/")[0] for name in found}
        if strangers:
            raise ConfigError(
                f"{folder} holds something else ({min(strangers)}); name an empty folder, or one with a backup."
            )
    folder.mkdir(parents=True, exist_ok=True)


def _check_same_home(entries: Mapping[str, Entry], found: Mapping[str, tuple[int, int]]) -> None:
    """Landing ids follow from what is landed: two homes without a common one are no backup of each other."""
    there = {name for name in entries if _kind(name) == "manifest"}
    here = {name for name in found if _kind(name) == "manifest"}
    if there and here and not there & here:
        raise ConfigError(
            "the backup is one of another warehouse: no landing is in both. Name another folder or another home."
        )
