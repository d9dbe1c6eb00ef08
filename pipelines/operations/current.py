"""Whether a run would find anything new: compares what it would read, and what it wrote, with the notes of the last faultless run.

A few thousand file names and states are all that is looked at: this module imports neither DuckDB nor Dagster nor dbt, so that a
process that has nothing to do ends before they are loaded. Whatever is missing, unknown or different means: run.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from pipelines.core.files import write_atomically
from pipelines.core.settings import Settings
from pipelines.operations.build import code_version

NOTES_FILE: Final = ".current.json"
"""In the home: what the last faultless run read and wrote."""

CLEAN: Final = "clean"
MARTS: Final = "marts"
LAYERS: Final = (CLEAN, MARTS)
"""What is noted to be current as a whole: the clean tables after a load, the marts and what follows after a build."""

FORMAT: Final = 1

_LIBRARIES: Final = ("dagster", "dbt-core", "dbt-duckdb", "duckdb", "great-expectations", "numpy", "polars", "scipy")
"""Libraries whose version may change what a run writes."""

_STATED: Final = (".checked", ".jsonl", ".toml", ".json")
"""Ends of names in the landing whose content may change under the same name; manifests and payloads never do."""

_REFUSED: Final = ".refused.json"
_MANIFEST: Final = ".manifest.json"
_INBOX: Final = "inbox"
_OUTPUTS: Final = ("database", "published", "parquet", "report")


def seen_now(settings: Settings) -> dict[str, str]:
    """The state of everything that a run reads beside the landing; taken when it begins."""
    return {
        "code": code_version(settings),
        "libraries": json.dumps({name: _version(name) for name in _LIBRARIES}),
        "settings": _digest(settings.model_dump_json(exclude={"lock_timeout_seconds", "log_format"}).encode()),
        "mappings": _digest(*_contents(settings.mappings_dir, "*.toml")),
        _INBOX: _digest(*_states(settings.inbox_dir)),
    }


def landing_state(settings: Settings) -> str:
    """Digest of what a load reads: names in the landing, and the states of files that are written more than once.

    The refusals are left out, since a load writes them itself; `note` adds them.
    """
    return _digest(*(line for line in _landing(settings.raw_dir) if not _is_refusal(line)))


def note(settings: Settings, seen: Mapping[str, str], *, landing: str, until: datetime | None, now: datetime) -> None:
    """Write down what a faultless run read and wrote: `seen` when it began, `landing` when its load began.

    `until` is the instant from which the passing of time alone may change what a load writes; None: never.
    """
    notes = {
        **seen,
        "format": FORMAT,
        "landing": landing,
        "refusals": _refusals(settings),
        **_outputs(settings),
        "at": now.isoformat(),
        "until": until.isoformat() if until else None,
    }
    write_atomically(settings.root / NOTES_FILE, json.dumps(notes, indent=1).encode())


def nothing_new_since(settings: Settings, now: datetime) -> datetime | None:
    """The instant of the last faultless run if one of now would read the same and finds in place what that one wrote, else None."""
    try:
        notes = json.loads((settings.root / NOTES_FILE).read_bytes())
        at, until = datetime.fromisoformat(notes["at"]), notes["until"]
        is_in_time = at <= now and (until is None or now < datetime.fromisoformat(until))
        if notes["format"] != FORMAT or not is_in_time:
            return None
        # The cheap and the likely first.
        found: dict[str, str] = {**_outputs(settings), "landing": landing_state(settings)}
        found |= {"refusals": _refusals(settings), **seen_now(settings)}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return at if all(notes.get(name) == state for name, state in found.items()) else None


def note_built(settings: Settings, layer: str, now: datetime) -> None:
    """Note that everything of a layer was found or made current at `now`."""
    path = _built_file(settings, layer)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, now.isoformat().encode("ascii"))


def built_at(settings: Settings, layer: str) -> datetime | None:
    """When everything of a layer was last found or made current; None if that is not known."""
    try:
        return datetime.fromisoformat(_built_file(settings, layer).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None


def _built_file(settings: Settings, layer: str) -> Path:
    return settings.dagster_home / f"current_{layer}"


def _landing(raw_dir: Path) -> Iterator[str]:
    """One line for every file below the landing: its name, with its state where it may be written again."""
    for folder, names, files in os.walk(raw_dir):
        names.sort()
        place = os.path.relpath(folder, raw_dir)
        for name in sorted(files):
            if name.startswith("."):
                # A temporary file of a fetch that goes on, or was killed.
                continue
            is_stated = name == "_newest" or (name.endswith(_STATED) and not name.endswith(_MANIFEST))
            yield f"{place}/{name}{_state(Path(folder, name)) if is_stated else ''}"


def _is_refusal(line: str) -> bool:
    return _REFUSED in line


def _refusals(settings: Settings) -> str:
    return _digest(*(line for line in _landing(settings.raw_dir) if _is_refusal(line)))


def _outputs(settings: Settings) -> dict[str, str]:
    """What a run writes: the working database, and what readers open."""
    log = settings.database.with_name(f"{settings.database.name}.wal")
    published = settings.published_dir
    parquet = sorted(path for path in (published / "parquet").glob("*") if path.is_file())
    states = (
        _state(settings.database) + (_state(log) if log.exists() else ""),
        f"{settings.published_database.readlink()}{_state(settings.published_database)}",
        f"{(published / 'parquet').readlink()}" + "".join(f"{path.name}{_state(path)}" for path in parquet),
        f"{(published / 'report').readlink()}{_state(published / 'report' / 'index.html')}",
    )
    return {name: _digest(state) for name, state in zip(_OUTPUTS, states, strict=True)}


def _states(folder: Path) -> Iterator[str]:
    """Every entry below a folder with its state; a file that is still being written differs the next time."""
    for place, names, files in os.walk(folder):
        names.sort()
        for name in sorted((*files, *(name for name in names if Path(place, name).is_symlink()))):
            yield f"{place}/{name}{_state(Path(place, name), follow=False)}"


def _contents(folder: Path, pattern: str) -> Iterator[str | bytes]:
    for path in sorted(folder.glob(pattern)) if folder.is_dir() else ():
        yield path.name
        yield path.read_bytes()


def _state(path: Path, *, follow: bool = True) -> str:
    found = path.stat() if follow else path.lstat()
    return f" {stat.S_IFMT(found.st_mode)} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        digest.update(f"{len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()
