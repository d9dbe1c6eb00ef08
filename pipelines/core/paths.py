"""The home folder of a warehouse: subfolders and Dagster's settings file. Which processes use it is in lease.py.

Imports no Dagster and opens no database.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pipelines.core.errors import ConfigError
from pipelines.core.home_kind import home_kind, mark_home
from pipelines.core.settings import PROJECT_ROOT, Settings

DAGSTER_YAML: Final = PROJECT_ROOT / "warehouse" / "dagster_home" / "dagster.yaml"
"""Dagster settings, copied into every warehouse."""


def prepare_home(settings: Settings) -> None:
    """Create the folders of the warehouse, write down its kind, and renew dagster.yaml if it differs from the project's.

    Raises ConfigError if the home is not writable.
    """
    try:
        for folder in (settings.root, settings.dagster_home, settings.dagster_home / "logs", settings.inbox_dir):
            folder.mkdir(parents=True, exist_ok=True)
        mark_home(settings.root, home_kind(settings.root))
        if not dagster_yaml_is_current(settings):
            target = settings.dagster_home / "dagster.yaml"
            temporary = target.with_name(f".{secrets.token_hex(4)}.yaml")
            temporary.write_bytes(DAGSTER_YAML.read_bytes())
            temporary.replace(target)
    except OSError as error:
        raise ConfigError(
            f"LEVERHOUSE_HOME {settings.root}: {error.strerror} ({error.filename}). Use a writable folder."
        ) from error


def dagster_yaml_is_current(settings: Settings) -> bool:
    """Whether the warehouse's dagster.yaml equals the project's."""
    target = settings.dagster_home / "dagster.yaml"
    return target.exists() and target.read_bytes() == DAGSTER_YAML.read_bytes()


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
