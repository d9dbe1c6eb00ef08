"""The landing: received bytes, unchanged, each with a manifest. Append-only; payloads are not parsed here.

    raw/<source>/<partition>/<part>~<landing_id>            the bytes
    raw/<source>/<partition>/<part>~<landing_id>.manifest.json
    raw/<source>/<partition>/<part>~<landing_id>.<mark>.json   what was decided about it: refused, accepted, forgotten
    raw/<source>/_mappings/<sha256>.toml                    the mapping an imported file is read with
    raw/<source>/_newest                                    the newest time of a landing, so that none is older than one before
    raw/format.json                                         version of all this; without it, 1

Bytes are written to a temporary file, synced and renamed, then the manifest in the same way; a payload without a manifest
is not landed. A process killed in between leaves such a payload; the next landing of the same bytes overwrites it.

Whatever changes what a load would read also changes <home>/.landed, so that one look tells whether a load is due.

A mark is the decision of a load (refused: it could not be read, or the gate refused it) or of a person (accepted: load it
although the gate refused it; forgotten: treat it as never landed). Marks lie beside the bytes, so that a rebuild agrees.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, get_args

import orjson

from pipelines.contract.versions import LANDING_FORMAT
from pipelines.core.errors import ConfigError, LandingError
from pipelines.core.files import open_plain, write_atomically
from pipelines.core.home_kind import SIMULATED, is_simulated
from pipelines.core.limits import current
from pipelines.extract.landing_files import (
    ChangeTokens,
    canonical,
    copy_with_digest,
    file_digest,
    replace_text,
    safe_name,
    temporary_file,
)
from pipelines.extract.manifests import ManifestCache, beside, manifest_text, state_of
from pipelines.extract.pack import PackWriter
from pipelines.extract.venue import Page

if TYPE_CHECKING:
    from pipelines.contract.batch import ParsedBatch

Completeness = Literal["complete", "empty", "partial", "not_yet_published", "unreadable"]
Mark = Literal["refused", "accepted", "forgotten"]
Clock = Callable[[], datetime]

_FORMAT_FILE: Final = "format.json"
_MANIFEST_SUFFIX: Final = ".manifest.json"
_CHECKED_SUFFIX: Final = ".checked"
_LANDING_ID: Final = re.compile(r"[0-9a-f]{20}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def utc_now() -> datetime:
    """Naive UTC with microseconds: the pipeline's only clock outside tests."""
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
        """Shared by all versions of a part."""
        return (self.source, self.partition, self.part)


@dataclass(frozen=True)
class Refusal:
    """Why a landing is not loaded: `reason` is a kind of refusal (REFUSALS), `detail` the message, `sample` offending values.

    `page` names the member or file it was found in, where known. `reader_version` is that of the code that read it: the
    landing is read again once that has changed.
    """

    landing_id: str
    source: str
    partition: str
    part: str
    reason: str
    detail: str
    page: str | None
    sample: tuple[str, ...]
    reader_version: str
    refused_at: datetime


REFUSALS: Final[Mapping[str, str]] = {
    "altered": "its bytes are missing or do not match the digest in its manifest",
    "unreadable": "the parser of its source failed on it",
    "limit": "it exceeds a limit of docs/limits.md",
    "contract": "the parsed rows do not fit the clean table",
    "gate": "a check of severity error failed on it",
}
"""Every reason a landing can be refused for."""


Parser = Callable[[Landing], "Iterator[ParsedBatch]"]
"""Reads a landing into batches of clean rows and rejected ones."""


class PackDraft:
    """A pack being written, before it is landed. Created by LandingStore.draft."""

    def __init__(
        self,
        store: LandingStore,
        identity: tuple[str, str, str],
        temporary: Path,
        sink: BinaryIO,
        ignored_in_digest: re.Pattern[bytes] | None,
    ) -> None:
        self._store = store
        self._identity = identity
        self._temporary = temporary
        self._sink = sink
        self._writer = PackWriter(sink, ignored_in_digest)

    def add(self, page: Page) -> None:
        """Write a page immediately: a month of pages does not fit into memory."""
        self._writer.add(page)

    def abandon(self) -> None:
        """Discard the pages if they were not landed; does nothing after `land`."""
        self._writer.abandon()

    def land(
        self,
        *,
        completeness: Completeness,
        request: Mapping[str, Any],
        original_name: str,
        clock: Clock = utc_now,
        checked_at: datetime | None = None,
    ) -> Landing:
        """Land the pages as a new version of the part.

        If the venue's responses equal those of the current version, no new version is written: the current one is returned and
        its LandingStore.checked_at updated: to `checked_at` where that is earlier than our clock, as a venue's may be.
        """
        content = self._writer.close()
        newest = self._store.newest(*self._identity)
        request = self._store._marked({**request, "content": content})  # noqa: SLF001
        now = clock()
        checked_at = now if checked_at is None else min(now, checked_at)
        if newest and newest.request == request and newest.completeness == completeness:
            write_atomically(_checked_path(newest), checked_at.isoformat().encode("ascii"))
            return newest
        sha256, size = file_digest(self._temporary)
        landing = self._store._next_version(  # noqa: SLF001 - the draft is part of the store
            self._identity, content=content, sha256=sha256, size=size, original_name=original_name,
            completeness=completeness, request=request, fetched_at=now,
        )  # fmt: skip
        self._store._keep(landing, self._temporary, self._sink)  # noqa: SLF001
        if checked_at < landing.fetched_at:
            write_atomically(_checked_path(landing), checked_at.isoformat().encode("ascii"))
        return landing


class LandingStore:
    """All landings of one warehouse, read from the manifests on disk; ops.landings is a copy of them. One that `remembers`, as
    that of a load, notes for all what it has read."""

    def __init__(self, home: Path, *, remembers: bool = False) -> None:
        self.home = home
        self.remembers = remembers
        self.raw_dir = home / "raw"
        self.tokens = ChangeTokens(home)

    def _marked(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The request as a manifest keeps it, with the mark of a simulated home."""
        mark = {SIMULATED: True} if is_simulated(self.home) else {}
        marked: dict[str, Any] = json.loads(canonical({**request, **mark}))
        return marked

    def all(self, source: str | None = None) -> list[Landing]:
        """Every landing that is not forgotten, oldest first. Manifests that cannot be read are in `damaged_manifests`."""
        found, forgotten, _ = self._scan(source)
        kept = (x for x in found if x.landing_id not in forgotten and source in (None, x.source))
        return sorted(kept, key=lambda x: (x.fetched_at, x.landing_id))

    def damaged_manifests(self) -> list[str]:
        """One line for every manifest that cannot be read. What it described counts as not landed."""
        return self._scan(None)[2]

    def check_format(self) -> None:
        """Raise ConfigError if a later version of leverhouse wrote the landing, in a format that this one does not read."""
        path = self.raw_dir / _FORMAT_FILE
        try:
            found = orjson.loads(path.read_bytes())["landing_format"]
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LandingError(f"{path} cannot be read ({error}); restore it from a backup.") from error
        if not isinstance(found, int) or found > LANDING_FORMAT:
            raise ConfigError(
                f"{self.raw_dir} has format {found}, and this version of leverhouse reads up to {LANDING_FORMAT}. Install the "
                "version that wrote it, or a newer one."
            )

    def _scan(self, source: str | None) -> tuple[list[Landing], set[str], list[str]]:
        self.check_format()
        found: list[Landing] = []
        forgotten: set[str] = set()
        damaged: list[str] = []
        roots = [self.raw_dir / safe_name(source)] if source else sorted(self.raw_dir.glob("*"))
        for root in roots:
            cache = ManifestCache(self.home, root.name)
            for place, _, names in os.walk(root):
                folder = Path(place)
                for name in names:
                    if name.endswith(_MANIFEST_SUFFIX):
                        try:
                            found.append(self._read(folder / name, cache))
                        except LandingError as error:
                            damaged.append(str(error))
                    elif name.endswith(_mark_suffix("forgotten")):
                        forgotten.add(_id_of(name))
            if self.remembers:
                cache.keep()
        return found, forgotten, damaged

    def newest(self, source: str, partition: str, part: str) -> Landing | None:
        """The newest version of a part that is not forgotten; reads only the manifests of that part."""
        kept = (x for x in self._versions(source, partition, part) if not self.mark_path(x, "forgotten").exists())
        return max(kept, key=lambda x: x.version, default=None)

    def _versions(self, source: str, partition: str, part: str) -> list[Landing]:
        """All versions of a part, forgotten ones too."""
        folder = self.raw_dir / safe_name(source) / safe_name(partition)
        if not folder.is_dir():
            return []
        start = f"{safe_name(part)}~"
        manifests = [p for p in folder.iterdir() if p.name.startswith(start) and p.name.endswith(_MANIFEST_SUFFIX)]
        return [x for x in map(self._read, manifests) if x.identity == (source, partition, part)]

    def mark_path(self, landing: Landing, mark: Mark) -> Path:
        """Where a mark of a landing lies."""
        return landing.path.with_name(landing.path.name + _mark_suffix(mark))

    def refuse(self, landing: Landing, refusal: Refusal) -> None:
        """Record why a landing is not loaded."""
        data = {name: value for name, value in asdict(refusal).items() if name != "refused_at"}
        data["refused_at"] = refusal.refused_at.isoformat(timespec="microseconds")
        write_atomically(self.mark_path(landing, "refused"), orjson.dumps(data, option=orjson.OPT_INDENT_2))

    def clear_refusal(self, landing: Landing) -> None:
        """Forget that a landing was refused: it was loaded, or is to be read again."""
        self.mark_path(landing, "refused").unlink(missing_ok=True)

    def refusal(self, landing: Landing) -> Refusal | None:
        """Why a landing was refused; None if it was not, or if the mark cannot be read (it is then read again)."""
        try:
            data = orjson.loads(self.mark_path(landing, "refused").read_bytes())
            data |= {"refused_at": datetime.fromisoformat(data["refused_at"]), "sample": tuple(data["sample"])}
            return Refusal(**data)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def refusals(self, landings: Iterable[Landing]) -> dict[str, Refusal]:
        """The refusals among `landings`, by landing id."""
        found = ((landing.landing_id, self.refusal(landing)) for landing in beside(landings, _mark_suffix("refused")))
        return {landing_id: refusal for landing_id, refusal in found if refusal is not None}

    def checked(self, landings: Iterable[Landing]) -> dict[str, datetime]:
        """`checked_at` of those among `landings` that were checked again, by landing id."""
        return {landing.landing_id: self.checked_at(landing) for landing in beside(landings, _CHECKED_SUFFIX)}

    def accept(self, landing: Landing, *, reason: str, clock: Clock = utc_now) -> None:
        """Load a landing although the gate refuses it: `reason` is why its data is right."""
        self._decide(landing, "accepted", reason, clock)
        self.clear_refusal(landing)

    def is_accepted(self, landing: Landing) -> bool:
        """Whether a person accepted this landing."""
        return self.mark_path(landing, "accepted").exists()

    def forget(self, landing: Landing, *, reason: str, clock: Clock = utc_now) -> None:
        """Treat a landing as never landed. Its bytes stay; its rows leave the clean tables with the next load."""
        self._decide(landing, "forgotten", reason, clock)
        self.clear_refusal(landing)

    def _decide(self, landing: Landing, mark: Mark, reason: str, clock: Clock) -> None:
        text = {"reason": reason, "decided_at": clock().isoformat(timespec="microseconds")}
        write_atomically(self.mark_path(landing, mark), orjson.dumps(text, option=orjson.OPT_INDENT_2))
        self.tokens.note_change()

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

        If bytes and request equal the current version, that version is returned, and written again only if it was damaged.
        Raises LandingError if the file cannot be read.
        """
        folder = self.raw_dir / safe_name(source) / safe_name(partition)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            source_file = open_plain(path, below=self.home / "inbox")
        except OSError as error:
            raise LandingError(
                f"{source}: cannot read {path}: {error.strerror}. Check the path and its permissions."
            ) from error
        with source_file, temporary_file(folder) as (temporary, sink):
            sha256, size = copy_with_digest(source_file, sink)
            newest = self.newest(source, partition, part)
            request = self._marked(request)
            if newest and newest.sha256 == sha256 and newest.request == request:
                if any(self.verify([newest])):
                    # The bytes came again: they take the place of those that were lost or altered.
                    self._keep(newest, temporary, sink)
                    self.clear_refusal(newest)
                return newest
            landing = self._next_version(
                (source, partition, part), content=sha256, sha256=sha256, size=size,
                original_name=path.name, completeness=completeness, request=request, fetched_at=clock(),
            )  # fmt: skip
            self._keep(landing, temporary, sink)
        return landing

    @contextmanager
    def draft(
        self, source: str, partition: str, part: str, *, ignored_in_digest: re.Pattern[bytes] | None = None
    ) -> Iterator[PackDraft]:
        """A pack to write pages to; leaving the block without calling its `land` discards it. Matches of `ignored_in_digest`
        are ignored when responses are compared.

        Raises OSError if the disk cannot be written.
        """
        folder = self.raw_dir / safe_name(source) / safe_name(partition)
        folder.mkdir(parents=True, exist_ok=True)
        with temporary_file(folder) as (temporary, sink):
            draft = PackDraft(self, (source, partition, part), temporary, sink, ignored_in_digest)
            try:
                yield draft
            finally:
                draft.abandon()

    def checked_at(self, landing: Landing) -> datetime:
        """When this landing was last fetched with this content: its own fetch, or a later one with the same responses.

        By the earlier of our clock and the venue's, and not pushed forward as `fetched_at` is where a clock ran back.
        """
        try:
            return datetime.fromisoformat(_checked_path(landing).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return landing.fetched_at

    def _next_version(
        self,
        identity: tuple[str, str, str],
        *,
        content: str,
        sha256: str,
        size: int,
        original_name: str,
        completeness: Completeness,
        request: Mapping[str, Any],
        fetched_at: datetime,
    ) -> Landing:
        """The next version of the part. Its id depends on its content, not on the time of the fetch.

        It is never older than what the source has landed already, also where the clock has run back since.
        """
        source, partition, part = identity
        versions = self._versions(*identity)
        version = max((x.version for x in versions), default=0) + 1
        newest = max((self.newest_stamp(source), *(x.fetched_at for x in versions)))
        if fetched_at < newest:
            fetched_at = newest + timedelta(microseconds=1)
        landing_id = hashlib.sha256(
            "\0".join((*identity, str(version), content, canonical(request))).encode()
        ).hexdigest()[:20]
        return Landing(
            landing_id=landing_id,
            source=source,
            partition=partition,
            part=part,
            version=version,
            path=self.raw_dir / safe_name(source) / safe_name(partition) / f"{safe_name(part)}~{landing_id}",
            original_name=original_name,
            sha256=sha256,
            bytes=size,
            fetched_at=fetched_at,
            completeness=completeness,
            request=request,
        )

    def _keep(self, landing: Landing, temporary: Path, sink: BinaryIO) -> None:
        """Write the payload first and the manifest last: a payload without a manifest is not landed."""
        if not (self.raw_dir / _FORMAT_FILE).exists():
            text = orjson.dumps({"landing_format": LANDING_FORMAT})
            write_atomically(self.raw_dir / _FORMAT_FILE, text)
        self.check_format()
        sink.flush()
        os.fsync(sink.fileno())
        temporary.replace(landing.path)
        # Before, so that a process killed in between leaves a load due; after, so that a load in between leaves one due.
        self.tokens.note_change()
        self.write_manifest(landing)
        self.tokens.note_change()
        self._note_stamp(landing)

    def newest_stamp(self, source: str) -> datetime:
        """The newest `fetched_at` that a source has landed with, as noted beside its landings; the oldest date if there is none."""
        try:
            return datetime.fromisoformat(self._stamp_path(source).read_text(encoding="ascii")).replace(tzinfo=None)
        except (FileNotFoundError, ValueError):
            return datetime(1, 1, 1)

    def _note_stamp(self, landing: Landing) -> None:
        """Note the newest `fetched_at` of a source. Not synced: where the note is lost, the order within a part still holds."""
        if landing.fetched_at > self.newest_stamp(landing.source):
            replace_text(self._stamp_path(landing.source), landing.fetched_at.isoformat(timespec="microseconds"))

    def _stamp_path(self, source: str) -> Path:
        return self.raw_dir / safe_name(source) / "_newest"

    def from_record(self, record: Mapping[str, Any]) -> Landing:
        """A landing from its row in ops.landings."""
        names = (
            "landing_id",
            "source",
            "partition",
            "part",
            "version",
            "original_name",
            "sha256",
            "bytes",
            "fetched_at",
        )
        return Landing(
            **{name: record[name] for name in names},
            path=self.home / record["path"],
            completeness=record["completeness"],
            request=json.loads(record["request"]),
        )

    def has_manifest(self, landing: Landing) -> bool:
        """Whether the manifest of a landing is there and can be read."""
        try:
            self._read(_manifest_path(landing))
        except LandingError:
            return False
        return True

    def write_manifest(self, landing: Landing) -> None:
        """Write the manifest of landed bytes that have lost theirs."""
        write_atomically(_manifest_path(landing), manifest_text(landing, self.home).encode())

    def is_forgotten(self, landing: Landing) -> bool:
        """Whether a person decided that this landing counts as never landed."""
        return self.mark_path(landing, "forgotten").exists()

    def keep_mapping(self, source: str, text: bytes) -> str:
        """Store the text of a mapping with the landings of `source`; returns its sha256, which is also its file name."""
        digest = hashlib.sha256(text).hexdigest()
        target = self.mapping_path(source, digest)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, text)
        return digest

    def mapping_path(self, source: str, digest: str) -> Path:
        """Path of the mapping with this digest, as stored by `keep_mapping`. Raises LandingError for what is no digest."""
        if digest and _SHA256.fullmatch(digest) is None:
            raise LandingError(f"{source}: {digest[:80]!r} is no digest of a mapping; import the file again.")
        return self.raw_dir / safe_name(source) / "_mappings" / f"{digest}.toml"

    def verify(self, landings: Iterable[Landing]) -> Iterator[str]:
        """One line for every landing whose bytes are missing or are not those of its manifest, by size and digest."""
        for landing in landings:
            what = f"{landing.source}/{landing.part}: {landing.path}"
            if not landing.path.is_file():
                kind = "is no file" if landing.path.exists() else "is missing"
                yield f"{what} {kind}; land the file again."
                continue
            size = landing.path.stat().st_size
            if size != landing.bytes:
                yield f"{what} was altered after landing: it has {size} of {landing.bytes} bytes; land the file again."
                continue
            if file_digest(landing.path)[0] != landing.sha256:
                yield f"{what} was altered after landing; land the file again."

    def _read(self, manifest: Path, cache: ManifestCache | None = None) -> Landing:
        try:
            state = state_of(manifest.stat())
            if state[1] > current().manifest_bytes:
                raise ValueError(f"it is larger than {current().manifest_bytes:,} bytes")  # noqa: TRY301 - one message for all
            # The payload lies beside its manifest, whatever a manifest from elsewhere says.
            path = manifest.with_name(manifest.name.removesuffix(_MANIFEST_SUFFIX))
            data = cache.find(manifest.parent.name, manifest.name, state) if cache is not None else None
            if data is not None:
                return Landing(**{**data, "path": path, "fetched_at": datetime.fromisoformat(data["fetched_at"])})
            data = orjson.loads(manifest.read_bytes())
            if Path(data["path"]).name != path.name:
                raise ValueError(f"it names the payload {data['path']!r}")  # noqa: TRY301
            landing = Landing(**{**data, "path": path, "fetched_at": datetime.fromisoformat(data["fetched_at"])})
            _check_manifest(landing)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LandingError(
                f"manifest {manifest} cannot be read ({error}); restore it, or remove it and land the file again."
            ) from error
        if cache is not None:
            cache.note(manifest.parent.name, manifest.name, state, data)
        return landing


def _check_manifest(landing: Landing) -> None:
    """Raise ValueError for a manifest that says what this program never writes: a name that leads elsewhere, or another type."""
    folder = (safe_name(landing.source), safe_name(landing.partition))
    if (
        landing.path.parent.parts[-2:] != folder
        or landing.path.name != f"{safe_name(landing.part)}~{landing.landing_id}"
    ):
        raise ValueError(
            f"it is that of {landing.source!r}, {landing.partition!r}, {landing.part!r}, {landing.landing_id!r}"
        )
    if _LANDING_ID.fullmatch(landing.landing_id) is None or _SHA256.fullmatch(landing.sha256) is None:
        raise ValueError("its id or its digest is none")
    whole = (
        isinstance(landing.version, int) and isinstance(landing.bytes, int) and min(landing.version, landing.bytes) >= 0
    )
    if not whole or not isinstance(landing.request, dict) or not isinstance(landing.original_name, str):
        raise ValueError("its version, size, request or name is of another type")
    if landing.completeness not in get_args(Completeness) or landing.fetched_at.tzinfo is not None:
        raise ValueError("its completeness or its time is none")


def current_versions(landings: Iterable[Landing]) -> list[Landing]:
    """The highest version of every (source, partition, part), oldest fetch first."""
    newest: dict[tuple[str, str, str], Landing] = {}
    for landing in landings:
        held = newest.get(landing.identity)
        if held is None or landing.version > held.version:
            newest[landing.identity] = landing
    return sorted(newest.values(), key=lambda x: (x.fetched_at, x.landing_id))


def _mark_suffix(mark: Mark) -> str:
    return f".{mark}.json"


def _id_of(name: str) -> str:
    """The landing id in the name of a file beside a landing."""
    return name.rpartition("~")[2].partition(".")[0]


def _manifest_path(landing: Landing) -> Path:
    return landing.path.with_name(landing.path.name + _MANIFEST_SUFFIX)


def _checked_path(landing: Landing) -> Path:
    return landing.path.with_name(landing.path.name + _CHECKED_SUFFIX)
