"""The file data sets of a warehouse, and the files waiting in their inboxes.

Reads only the name, tables and file patterns of a mapping, so that an invalid mapping does not affect the others;
sources.files validates the whole mapping before it reads a file.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from pipelines.core.files import is_plain_file
from pipelines.core.settings import Settings

DOCUMENTS: Final = frozenset({".md", ".pdf", ".html", ".rst", ".docx"})
"""Suffixes of files that describe data and hold none."""

SETTLED_SECONDS: Final = 10.0
"""A file modified less than this ago may still be being written."""

Seen = Mapping[str, tuple[int, int]]
"""Size and modification time (ns) of files by path."""


@dataclass(frozen=True)
class Dataset:
    """A data set of files: source `files.<name>`, read with `mapping` into `tables`.

    `required`, `optional` and `ignored` are shell patterns on file names. `fault` is the error of an invalid mapping; landing
    that data set fails, the others are not affected.
    """

    name: str
    mapping: Path
    tables: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    description: str = ""
    fault: str | None = None

    @property
    def source(self) -> str:
        return f"files.{self.name}"

    def names(self, file: str) -> bool:
        """Whether the mapping says what to do with a file of this name: import it, or ignore it."""
        return any(fnmatchcase(file, pattern) for pattern in (*self.required, *self.optional, *self.ignored))

    def imports(self, file: str) -> bool:
        """Whether the mapping imports a file of this name."""
        return any(fnmatchcase(file, pattern) for pattern in (*self.required, *self.optional))


def find_datasets(settings: Settings, *, extra: Iterable[Path] = ()) -> tuple[Dataset, ...]:
    """Data sets sorted by name.

    Of mappings with the same name, one in `extra` has precedence over one in settings.mappings_dir, and that over the newest
    one stored in the landing by an earlier import.
    """
    found: dict[str, Dataset] = {}
    for path in _kept_mappings(settings.raw_dir):
        dataset = read_dataset(path)
        if dataset.fault is None:
            found[dataset.name] = dataset
    for path in (*_toml_files(settings.mappings_dir), *extra):
        dataset = read_dataset(path)
        found[dataset.name] = dataset
    return tuple(found[name] for name in sorted(found))


def read_dataset(path: Path) -> Dataset:
    """The data set of a mapping file; named after the file if the mapping cannot be read."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        tables = {str(rows["table"]): None for file in data["file"] for rows in file["rows"]}
        if data.get("instrument"):
            tables["instruments"] = None
        return Dataset(
            name=str(data["dataset"]),
            mapping=path,
            tables=tuple(tables),
            required=tuple(str(file["pattern"]) for file in data["file"] if file.get("required", True)),
            optional=tuple(str(file["pattern"]) for file in data["file"] if not file.get("required", True)),
            ignored=tuple(str(ignore["pattern"]) for ignore in data.get("ignore", ())),
            description=str(data.get("description", "")),
        )
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        return Dataset(name=_name_from(path), mapping=path, fault=f"mapping {path}: {reason}. Correct the mapping.")


@dataclass(frozen=True)
class Claims:
    """The folders below a root by data set, and the folders with files that belong to none."""

    folders: Mapping[str, tuple[Path, ...]]
    unclaimed: tuple[Path, ...]


def claim_folders(datasets: Iterable[Dataset], root: Path) -> Claims:
    """Assign the folders below `root` to data sets.

    File names such as open_interest.csv occur in many data sets, so whole folders are matched: a folder belongs to a data
    set if its mapping matches every file in it and all required files are present.
    """
    folders: dict[Path, list[str]] = {}
    for path in _files(root):
        folders.setdefault(path.parent, []).append(path.name)
    claimed: dict[str, list[Path]] = {}
    for dataset in datasets:
        for folder, names in folders.items():
            if _matches_folder(dataset, names):
                claimed.setdefault(dataset.name, []).append(folder)
    assigned = {folder for matching in claimed.values() for folder in matching}
    return Claims(
        folders={name: tuple(matching) for name, matching in claimed.items()},
        unclaimed=tuple(folder for folder in folders if folder not in assigned),
    )


def _matches_folder(dataset: Dataset, names: Sequence[str]) -> bool:
    all_match = all(dataset.names(name) or _is_document(name) for name in names)
    complete = all(any(fnmatchcase(name, pattern) for name in names) for pattern in dataset.required)
    return all_match and complete and any(dataset.imports(name) for name in names)


def _is_document(name: str) -> bool:
    """Whether a file is one that lies beside data, and no data."""
    return Path(name).suffix.lower() in DOCUMENTS or Path(name).stem.upper() in {"README", "LICENSE"}


def waiting_files(settings: Settings, dataset: Dataset, *, now: float) -> tuple[Path, ...]:
    """Files in the inbox of `dataset` that its mapping imports and that are no longer being written, sorted by name.

    `now` is in seconds since the epoch. Hidden files are skipped as temporary files, and so is what `refused_in_inbox` and
    `uncovered_in_inbox` name. Of a data set whose mapping cannot be read, all files wait.
    """
    folder = settings.inbox_dir / dataset.name
    if not folder.is_dir() or folder.is_symlink():
        return ()
    imported = (path for path in _files(folder) if dataset.fault is not None or dataset.imports(path.name))
    found = (path for path in imported if is_plain_file(path))
    return tuple(path for path in found if now - path.stat().st_mtime > SETTLED_SECONDS)


def uncovered_in_inbox(settings: Settings, datasets: Iterable[Dataset]) -> tuple[Path, ...]:
    """Files of the inbox that no mapping covers: in the folder of a data set those without a pattern, and all of every other
    folder. They are left alone. Of a data set whose mapping cannot be read nothing is known, and nothing is named."""
    if not settings.inbox_dir.is_dir():
        return ()
    known = {dataset.name: dataset for dataset in datasets}
    found = []
    for path in _files(settings.inbox_dir):
        dataset = known.get(path.relative_to(settings.inbox_dir).parts[0])
        if dataset is None or (dataset.fault is None and not dataset.names(path.name)):
            found.append(path)
    return tuple(found)


def refused_in_inbox(settings: Settings) -> tuple[Path, ...]:
    """Links, pipes, sockets and devices in the inboxes. They are not imported: a link may lead to any file that this user can
    read, and a pipe to none at all."""
    if not settings.inbox_dir.is_dir():
        return ()
    entries = sorted(settings.inbox_dir.rglob("*"))
    return tuple(path for path in entries if path.is_symlink() or not (path.is_dir() or is_plain_file(path)))


def changed_files(files: Iterable[Path], seen: Seen) -> dict[Path, tuple[int, int]]:
    """The files that are new or whose size or modification time differs from `seen`."""
    states = {path: _state(path) for path in files}
    return {path: state for path, state in states.items() if seen.get(str(path)) != state}


def files_key(dataset: str, files: Mapping[Path, tuple[int, int]]) -> str:
    """A key that is equal for the same files in the same state, to identify one delivery of files."""
    text = "\0".join(f"{path}\0{size}\0{time}" for path, (size, time) in sorted(files.items()))
    return f"{dataset}:{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return (stat.st_size, stat.st_mtime_ns)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.is_file():
            yield path


def _toml_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.toml")) if folder.is_dir() else []


def _kept_mappings(raw_dir: Path) -> list[Path]:
    """Mappings stored with the landings of imported files, oldest first."""
    if not raw_dir.is_dir():
        return []
    return sorted(raw_dir.glob("files.*/_mappings/*.toml"), key=lambda path: path.stat().st_mtime)


def _name_from(path: Path) -> str:
    return "".join(c if c.isalnum() else "_" for c in path.stem.lower()) or "unnamed"
