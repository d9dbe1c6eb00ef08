"""Putting a finished database in the place of the working one: a kill at any moment leaves one of the two, whole."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb

from pipelines.settings import Settings
from pipelines.storage.warehouse import open_database


def replace_database(settings: Settings, finished: Path) -> None:
    """Rename `finished` over the working database. The caller holds the writer's lock, and nobody has `finished` open.

    The write-ahead log of the old database goes first: left behind, it would be replayed into the new one.
    """
    log = settings.database.with_name(settings.database.name + ".wal")
    if log.exists():
        try:
            open_database(settings).close()
        except duckdb.Error:
            # A database that cannot be opened is what a rebuild repairs.
            log.unlink()
    _fsync(finished)
    finished.replace(settings.database)
    _fsync(settings.database.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
