"""The landing: what was received, byte for byte, with a manifest beside it. Append-only; nothing here parses a payload.

    raw/<source>/<partition>/<part>~<landing_id>            the bytes
    raw/<source>/<partition>/<part>~<landing_id>.manifest.json
    raw/<source>/_mappings/<sha256>.toml                    the mapping an imported file is read with

Bytes go to a temporary name, are fsynced and renamed; the manifest follows in the same way, and only a manifest makes a
landing exist. A kill in between leaves bytes without a manifest, which the next landing of the same bytes adopts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from pipelines.errors import LandingError

Completeness = Literal["complete", "empty", "partial", "not_yet_published"]
Clock = Callable[[], datetime]

_CHUNK: Final = 1 << 20
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_MANIFEST_SUFFIX: Final = ".manifest.json"


def utc_now() -> datetime:
    """Naive UTC, microseconds: the only clock of the pipeline outside tests."""
    return datetime.now(tz=UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class Landing:
    """One landed version of a part. `path` is absolute; times are naive UTC; `request` holds no secret."""

    landing_id: str
    source: str
    partition: str
    part: str
    version: int
    path: Path
    original_name: str
    sha256: str
    bytes: int
    fetched_at: datetime
    completeness: Completeness
    request: Mapping[str, Any]

    @property
    def identity(self) -> tuple[str, str, str]:
        """What versions of one another share."""
        return (self.source, self.partition, self.part)


class LandingStore:
    """All landings of one warehouse. Reads the manifests on disk, which are the truth; ops.landings is their copy."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.raw_dir = home / "raw"

    def all(self, source: str | None = None) -> list[Landing]:
        """Every landing, oldest first. Raises LandingError for a manifest that cannot be read."""
        root = self.raw_dir / _safe(source) if source else self.raw_dir
        if not root.exists():
            return []
        found = [self._read(file) for file in sorted(root.rglob(f"*{_MANIFEST_SUFFIX}"))]
        return sorted((x for x in found if source in (None, x.source)), key=lambda x: (x.fetched_at, x.landing_id))

    def current(self, source: str | None = None) -> list[Landing]:
        """The newest version of every part, oldest fetch first."""
        return current_versions(self.all(source))

    def land_file(
        self,
        path: Path,
        *,
        source: str,
        partition: str,
        part: str,
        request: Mapping[str, Any],
        completeness: Completeness = "complete",
        clock: Clock = utc_now,
    ) -> Landing:
        """Copy the bytes of `path` into the landing as a new version of (source, partition, part).

        Where bytes and request equal the current version nothing is written and that version is returned.
        Raises LandingError where the file cannot be read.
        """
        folder = self.raw_dir / _safe(source) / _safe(partition)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            source_file = path.open("rb")
        except OSError as error:
            raise LandingError(
                f"{source}: cannot read {path}: {error.strerror}. Check the path and its permissions."
            ) from error
        with source_file, _temporary(folder) as (temporary, sink):
            sha256, size = _copy(source_file, sink)
            versions = [x for x in self.all(source) if x.identity == (source, partition, part)]
            newest = max(versions, key=lambda x: x.version, default=None)
            request_text = _canonical(request)
            if newest and newest.sha256 == sha256 and _canonical(newest.request) == request_text:
                return newest
            version = newest.version + 1 if newest else 1
            landing_id = hashlib.sha256(
                "\0".join((source, partition, part, str(version), sha256, request_text)).encode()
            ).hexdigest()[:20]
            target = folder / f"{_safe(part)}~{landing_id}"
            landing = Landing(
                landing_id=landing_id,
                source=source,
                partition=partition,
                part=part,
                version=version,
                path=target,
                original_name=path.name,
                sha256=sha256,
                bytes=size,
                fetched_at=clock(),
                completeness=completeness,
                request=json.loads(request_text),
            )
            sink.flush()
            os.fsync(sink.fileno())
            temporary.replace(target)
        _write_atomically(target.with_name(target.name + _MANIFEST_SUFFIX), self._manifest(landing).encode())
        return landing

    def keep_mapping(self, source: str, text: bytes) -> str:
        """Keep the text of a mapping beside the landings of `source`; returns its sha256, its name there."""
        digest = hashlib.sha256(text).hexdigest()
        target = self.mapping_path(source, digest)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_atomically(target, text)
        return digest

    def mapping_path(self, source: str, digest: str) -> Path:
        """Where `keep_mapping` put the mapping with this digest."""
        return self.raw_dir / _safe(source) / "_mappings" / f"{digest}.toml"

    def verify(self, landings: Iterable[Landing]) -> Iterator[str]:
        """One line for every landing whose bytes are missing or no longer have the digest of their manifest."""
        for landing in landings:
            if not landing.path.exists():
                yield f"{landing.source}/{landing.part}: {landing.path} is missing; land the file again."
                continue
            digest = hashlib.sha256()
            with landing.path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
            if digest.hexdigest() != landing.sha256:
                yield f"{landing.source}/{landing.part}: {landing.path} was altered after landing; land the file again."

    def _manifest(self, landing: Landing) -> str:
        return json.dumps(
            {
                "landing_id": landing.landing_id,
                "source": landing.source,
                "partition": landing.partition,
                "part": landing.part,
                "version": landing.version,
                "path": landing.path.relative_to(self.home).as_posix(),
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

    def _read(self, manifest: Path) -> Landing:
        try:
            data = json.loads(manifest.read_bytes())
            return Landing(
                **{
                    **data,
                    "path": self.home / data["path"],
                    "fetched_at": datetime.fromisoformat(data["fetched_at"]),
                }
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LandingError(
                f"manifest {manifest} cannot be read ({error}); restore it or remove it and land again."
            ) from error


def current_versions(landings: Iterable[Landing]) -> list[Landing]:
    """The highest version of every (source, partition, part), oldest fetch first."""
    newest: dict[tuple[str, str, str], Landing] = {}
    for landing in landings:
        held = newest.get(landing.identity)
        if held is None or landing.version > held.version:
            newest[landing.identity] = landing
    return sorted(newest.values(), key=lambda x: (x.fetched_at, x.landing_id))


def _safe(name: str) -> str:
    """A file name that stays inside its folder whatever `name` is: no separators, no leading dot, bounded length."""
    cleaned = _UNSAFE.sub("_", name).lstrip(".") or "_"
    if cleaned == name and len(name) <= 120:
        return name
    return f"{cleaned[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _canonical(request: Mapping[str, Any]) -> str:
    return json.dumps(dict(request), sort_keys=True, ensure_ascii=False)


def _copy(source: BinaryIO, sink: BinaryIO) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    while chunk := source.read(_CHUNK):
        digest.update(chunk)
        sink.write(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


@contextmanager
def _temporary(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A file to write in `folder`, removed at the end of the block unless it was renamed by then."""
    temporary = folder / f".{secrets.token_hex(8)}.part"
    try:
        with temporary.open("wb") as sink:
            yield temporary, sink
    finally:
        temporary.unlink(missing_ok=True)


def _write_atomically(target: Path, content: bytes) -> None:
    """Write, fsync, rename, fsync the folder: after this returns a power cut does not take it back."""
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    with temporary.open("wb") as sink:
        sink.write(content)
        sink.flush()
        os.fsync(sink.fileno())
    temporary.replace(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
