"""Files on their way into the landing: they are read where they are, and landed once they were judged.

A candidate is the Landing that a file would become, with the path of the file itself. Its id is that of the later landing, so
that rows parsed from it need not be parsed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.core.errors import LandingError
from pipelines.core.files import open_plain
from pipelines.core.limits import current, exceeded
from pipelines.extract.landing import Clock, Landing, LandingStore, utc_now
from pipelines.extract.landing_files import copy_with_digest, stream_digest, temporary_file


def candidate(
    store: LandingStore,
    path: Path,
    *,
    source: str,
    partition: str,
    part: str,
    request: Mapping[str, Any],
    clock: Clock = utc_now,
) -> Landing:
    """What `path` would be landed as; if bytes and request equal the current version, which is not damaged, that version.

    Raises LandingError if the file cannot be read, LimitError if it is too large. Writes nothing.
    """
    try:
        file = open_plain(path, below=store.home / "inbox")
    except OSError as error:
        raise LandingError(
            f"{source}: cannot read {path}: {error.strerror}. Check the path and its permissions."
        ) from error
    with file:
        size = path.stat().st_size
        if size > current().landing_bytes:
            raise exceeded(path.name, "landing_bytes", f"it has {size:,} bytes")
        sha256, size = stream_digest(file)
    marked = store._marked(request)  # noqa: SLF001 - candidates are a part of the store
    newest = store.newest(source, partition, part)
    if newest and newest.sha256 == sha256 and newest.request == marked and not any(store.verify([newest])):
        return newest
    planned = store._next_version(  # noqa: SLF001
        (source, partition, part), content=sha256, sha256=sha256, size=size,
        original_name=path.name, completeness="complete", request=marked, fetched_at=clock(),
    )  # fmt: skip
    return replace(planned, path=path)


def is_candidate(store: LandingStore, landing: Landing) -> bool:
    """Whether this is a file that is not landed yet."""
    return not landing.path.is_relative_to(store.raw_dir)


def land_candidate(store: LandingStore, one: Landing) -> Landing:
    """Copy the bytes of a candidate into the landing, and return it as it is landed.

    Raises LandingError if the file has changed since it was read, or if the same file was landed meanwhile.
    """
    again = f"{one.source}: {one.path} was changed while it was imported. Nothing of it was loaded; import it again."
    planned = store._next_version(  # noqa: SLF001
        one.identity, content=one.sha256, sha256=one.sha256, size=one.bytes, original_name=one.original_name,
        completeness=one.completeness, request=one.request, fetched_at=one.fetched_at,
    )  # fmt: skip
    if planned.landing_id != one.landing_id:
        raise LandingError(again)
    planned = replace(planned, fetched_at=one.fetched_at)
    planned.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        file = open_plain(one.path, below=store.home / "inbox")
    except OSError as error:
        raise LandingError(again) from error
    with file, temporary_file(planned.path.parent) as (temporary, sink):
        if copy_with_digest(file, sink) != (one.sha256, one.bytes):
            raise LandingError(again)
        store._keep(planned, temporary, sink)  # noqa: SLF001
    return planned
