"""The home folder of a warehouse: subfolders, Dagster's settings file, and which processes using it are alive.

Imports no Dagster and opens no database.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml
from filelock import FileLock, Timeout

from pipelines.core.errors import ConfigError
from pipelines.core.settings import PROJECT_ROOT, Settings

DAGSTER_YAML: Final = PROJECT_ROOT / "warehouse" / "dagster_home" / "dagster.yaml"
"""Dagster settings of every warehouse."""

OVERRIDES: Final = "dagster_overrides.yaml"
"""File in the home with Dagster settings of this warehouse alone, such as `storage:`."""

_process_locks: dict[Path, tuple[str, FileLock]] = {}


def prepare_home(settings: Settings) -> None:
    """Create the folders of the warehouse and write dagster.yaml if it is missing or differs from what it should be.

    Raises ConfigError if the home is not writable, or if its overrides are not valid.
    """
    try:
        for folder in (settings.root, settings.dagster_home, settings.dagster_home / "logs", settings.inbox_dir):
            folder.mkdir(parents=True, exist_ok=True)
        if not dagster_yaml_is_current(settings):
            target = settings.dagster_home / "dagster.yaml"
            temporary = target.with_name(f".{secrets.token_hex(4)}.yaml")
            temporary.write_bytes(dagster_yaml(settings))
            temporary.replace(target)
    except OSError as error:
        raise ConfigError(
            f"LEVERHOUSE_HOME {settings.root}: {error.strerror} ({error.filename}). Use a writable folder."
        ) from error


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


def claim_process(settings: Settings) -> str:
    """A token that lets other processes check whether this one is alive. Every call in a process returns the same token.

    It is backed by a file lock, which the operating system releases however the process ends; a process id would not do
    because ids are reused.
    """
    folder = settings.dagster_home / "processes"
    held = _process_locks.get(folder)
    if held is not None and held[1].is_locked and held[0].split("~")[1] == str(os.getpid()):
        return held[0]
    folder.mkdir(parents=True, exist_ok=True)
    token = f"{socket.gethostname()}~{os.getpid()}~{secrets.token_hex(6)}"
    lock = FileLock(folder / f"{token}.lock")
    lock.acquire(timeout=0)
    _process_locks[folder] = (token, lock)
    return token


def process_is_alive(settings: Settings, token: str) -> bool:
    """Whether the process that claimed `token` is running. Processes of other hosts count as alive."""
    if token.split("~")[0] != socket.gethostname():
        return True
    path = settings.dagster_home / "processes" / f"{token}.lock"
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def remove_dead_process_locks(settings: Settings) -> None:
    """Remove the lock files of processes of this host that have ended."""
    for path in (settings.dagster_home / "processes").glob("*.lock"):
        if not process_is_alive(settings, path.stem):
            path.unlink(missing_ok=True)


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
