"""The home folder of a warehouse: subfolders and Dagster's settings file. Which processes use it is in lease.py.

Imports no Dagster and opens no database.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from pipelines.core.errors import ConfigError, NotPermittedError
from pipelines.core.files import explained, make_home, require_open_files, write_atomically
from pipelines.core.home_kind import home_kind, mark_home
from pipelines.core.settings import PROJECT_ROOT, Settings

DAGSTER_YAML: Final = PROJECT_ROOT / "warehouse" / "dagster_home" / "dagster.yaml"
"""Dagster settings of every warehouse."""

OVERRIDES: Final = "dagster_overrides.yaml"
"""File in the home with Dagster settings of this warehouse alone, such as `storage:`."""

FOLDER_MODE: Final = 0o700

OTHERS: Final = 0o007


def prepare_home(settings: Settings) -> None:
    """Create the folders of the warehouse, write down its kind, and renew dagster.yaml if it differs from what it should be.

    A new home is 0711, its folders 0700; what is there already is closed to others. Raises NotPermittedError if the home
    belongs to another user or is not writable, ConfigError if its overrides are not valid.
    """
    require_open_files()
    require_writable(settings)
    try:
        make_home(settings.root)
        for folder in (*private_folders(settings), settings.dagster_home / "logs"):
            folder.mkdir(exist_ok=True, mode=FOLDER_MODE)
        _close_to_others(settings)
        mark_home(settings.root, home_kind(settings.root))
        if not dagster_yaml_is_current(settings):
            write_atomically(settings.dagster_home / "dagster.yaml", dagster_yaml(settings))
    except OSError as error:
        raise explained(error, home=settings.root) or ConfigError(
            f"LEVERHOUSE_HOME {settings.root}: {error.strerror} ({error.filename}). Use a writable folder."
        ) from error


def require_writable(settings: Settings) -> None:
    """Raise NotPermittedError if the home belongs to another user, or if it or a folder of it may not be written.

    For commands that write: they say so before they begin.
    """
    root = settings.root
    if root.exists() and root.stat().st_uid != os.geteuid():
        raise NotPermittedError(
            f"LEVERHOUSE_HOME {root} belongs to {_user(root.stat().st_uid)} and this is {_user(os.geteuid())}; run the command as "
            "its owner, or name another folder."
        )
    for folder in (root, *private_folders(settings), settings.published_dir):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            which = "" if folder == root else f" below {folder.name}"
            raise NotPermittedError(
                f"LEVERHOUSE_HOME {root} is not writable for this user{which}; change its permissions, or name another folder: "
                "only 'leverhouse sql', 'status' and 'doctor' need none."
            )


def private_folders(settings: Settings) -> tuple[Path, ...]:
    """The folders of the home that nobody else needs."""
    return (
        settings.raw_dir, settings.history_dir, settings.inbox_dir, settings.scratch_dir, settings.dbt_target_dir,
        settings.dagster_home,
    )  # fmt: skip


def open_to_others(settings: Settings) -> list[Path]:
    """What of the home other users may list, read or write although nobody but its owner, or its group, needs to."""
    found = [path for path in _private(settings) if path.lstat().st_mode & OTHERS]
    found += [path for path in (settings.root,) if path.exists() and path.stat().st_mode & (OTHERS & ~0o001)]
    return found + [path for path in (settings.published_dir,) if path.exists() and path.stat().st_mode & 0o002]


def _private(settings: Settings) -> list[Path]:
    """Private folders, and the files of the home itself."""
    files = [path for path in settings.root.iterdir() if path.is_file()] if settings.root.is_dir() else []
    return [path for path in (*private_folders(settings), *files) if path.exists() and not path.is_symlink()]


def _close_to_others(settings: Settings) -> None:
    """Take from others what `open_to_others` finds; what the owner gave to a group stays."""
    for path in open_to_others(settings):
        status = path.stat()
        if status.st_uid == os.geteuid():
            kept = 0o001 if path == settings.root else 0o005 if path == settings.published_dir else 0
            path.chmod(stat.S_IMODE(status.st_mode) & ~(OTHERS & ~kept))


def _user(number: int) -> str:
    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"


def plain_path(folder: Path) -> Path:
    """`folder`, or another name of it where dbt-duckdb would take a part of its name, from a `#` on, for something else.

    The other name is a link in the folder for temporary files, made once for each folder and owned by this user. Raises
    NotPermittedError if something else has that name.
    """
    if "#" not in str(folder):
        return folder
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:20]
    link = Path(tempfile.gettempdir()) / f"leverhouse-{os.geteuid()}-{digest}"
    try:
        link.symlink_to(folder, target_is_directory=True)
    except FileExistsError:
        if link.lstat().st_uid != os.geteuid() or not link.is_symlink() or link.readlink() != folder:
            raise NotPermittedError(
                f"{link} is not the link to {folder} that it was made as; remove it, or name another folder in TMPDIR."
            ) from None
    return link


def dagster_yaml_is_current(settings: Settings) -> bool:
    """Whether the warehouse's dagster.yaml is the project's settings with the overrides of the home."""
    target = settings.dagster_home / "dagster.yaml"
    return target.exists() and target.read_bytes() == dagster_yaml(settings)


def dagster_yaml(settings: Settings) -> bytes:
    """The project's Dagster settings, with those of `dagster_overrides.yaml` in the home over them.

    Mappings are merged key by key, a null removes a setting, any other value takes the place of the project's. Raises
    ConfigError where the overrides cannot be read.
    """
    try:
        defaults = DAGSTER_YAML.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{DAGSTER_YAML}: {error.strerror}; the installation is incomplete, install it again."
        ) from error
    path = settings.root / OVERRIDES
    if not path.exists():
        return defaults
    try:
        written = path.read_bytes()
        overrides = yaml.safe_load(written)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if overrides is None:
        return defaults
    if not isinstance(overrides, dict):
        raise ConfigError(f"{path} holds no settings by name; write them as in dagster.yaml, such as 'storage:'.")
    merged = _merged(yaml.safe_load(defaults), overrides)
    head = f"# Made from leverhouse's settings and {OVERRIDES} ({hashlib.sha256(written).hexdigest()[:12]}); change that file.\n"
    return (head + yaml.safe_dump(merged, sort_keys=False)).encode()


def _merged(defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for name, value in overrides.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _merged(merged[name], value)
        else:
            merged[name] = value
    return merged


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables inside the block and restore them after it."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
