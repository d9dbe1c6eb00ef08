"""Opens the contents of a landed file one after the other: the file itself, a gzip stream, or the members of a zip.

Archives are untrusted: path traversal, encrypted members and decompression bombs are refused before they use memory or disk.
Nothing is written; members are read as streams.
"""

from __future__ import annotations

import gzip
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

import pyarrow as pa

from pipelines.core.archives import check_members
from pipelines.core.errors import SourceFormatError
from pipelines.core.limits import MIB, current, exceeded

RATIO_FLOOR_BYTES: Final = 16 * MIB
"""Below this a high ratio is harmless (a short file of one repeated row). 5-minute CSV data of an exchange compresses 5 to 20
times, zeros 1,000 times."""

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_EMPTY_ZIP: Final = b"PK\x05\x06"
_CODECS: Final = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_SYSTEM_FILES: Final = ("._*", ".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers put into archives beside the files."""


class ByteStream(Protocol):
    """A stream that can be read in pieces and closed."""

    def read(self, size: int = -1, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Member:
    """A readable stream and its name in error messages."""

    name: str
    stream: ByteStream


def open_members(path: Path, *, name: str, pattern: str, ignored: Sequence[str] = ()) -> Iterator[Member]:
    """The streams in `path`, originally named `name`, ordered by name. The container is detected from its first bytes: gzip, zip,
    Zstandard, LZ4 frames, or none. Members that match one of `ignored`, and what systems add to archives, are left out.

    Raises SourceFormatError for an archive that is damaged or unsafe, or has a member that does not match `pattern`.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise SourceFormatError(f"{name}: cannot be read ({error.strerror}). Land the file again.") from error
    if magic.startswith(_GZIP):
        with path.open("rb") as packed:
            stream = _Guarded(gzip.GzipFile(fileobj=packed), name=name, packed=path.stat().st_size)
            yield Member(name, stream)
    elif magic in {_ZIP, _EMPTY_ZIP}:
        yield from _zip_members(path, name, pattern, ignored)
    elif magic in _CODECS:
        # Neither engine takes these for JSON lines, and only one of them for CSV.
        try:
            packed_stream = pa.CompressedInputStream(pa.OSFile(str(path)), _CODECS[magic])
        except (OSError, pa.ArrowException) as error:
            raise SourceFormatError(f"{name}: cannot be unpacked ({error}). Obtain it again.") from error
        yield Member(name, _Guarded(packed_stream, name=name, packed=path.stat().st_size))
    else:
        yield Member(name, path.open("rb"))


def _zip_members(path: Path, name: str, pattern: str, ignored: Sequence[str]) -> Iterator[Member]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise SourceFormatError(f"{name}: a damaged zip archive ({error}). Obtain it again.") from error
    with archive:
        entries = sorted(
            (entry for entry in archive.infolist() if not entry.is_dir()), key=lambda entry: entry.filename
        )
        check_members(archive, entries, name=name, members="archive_members", unpacked="unpacked_bytes")
        for entry in entries:
            _check_safe(entry, name)
        entries = [x for x in entries if not _is_left_out(x.filename, ignored)]
        wrong = [entry.filename for entry in entries if not fnmatchcase(PurePosixPath(entry.filename).name, pattern)]
        if wrong or not entries:
            raise SourceFormatError(
                f"{name}: "
                + (f"member {wrong[0]!r} does not match {pattern!r}." if wrong else "the archive is empty.")
                + " Correct the archive or member in the mapping."
            )
        for entry in entries:
            try:
                stream = archive.open(entry)
            except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
                raise SourceFormatError(f"{name}, member {entry.filename!r}: cannot be opened ({error}).") from error
            label = f"{name}, member {entry.filename!r}"
            yield Member(label, _Guarded(stream, name=label, packed=max(entry.compress_size, 1)))


def _is_left_out(member: str, ignored: Sequence[str]) -> bool:
    path = PurePosixPath(member)
    is_system = "__MACOSX" in path.parts or any(fnmatchcase(path.name, x) for x in _SYSTEM_FILES)
    return is_system or any(fnmatchcase(path.name, x) or fnmatchcase(member, x) for x in ignored)


def _check_safe(entry: zipfile.ZipInfo, name: str) -> None:
    parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
    leaves = ".." in parts or (parts and (parts[0] == "/" or ":" in parts[0]))
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if leaves or is_link or not parts:
        kind = "is a link" if is_link else "leaves the archive"
        raise SourceFormatError(
            f"{name}: member {entry.filename!r} {kind}; the archive is refused. Its origin is not trustworthy."
        )
    if entry.flag_bits & 0x1:
        raise SourceFormatError(
            f"{name}: member {entry.filename!r} is encrypted. Unpack it yourself and import the result."
        )


class _Guarded:
    """A decompressing stream that counts its output, since the declared sizes of a decompression bomb are false."""

    def __init__(self, inner: ByteStream, *, name: str, packed: int) -> None:
        self._inner = inner
        self._name = name
        self._packed = packed
        self._count = 0

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._inner.read(size)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise SourceFormatError(f"{self._name}: damaged or truncated ({error}). Obtain it again.") from error
        self._count += len(data)
        limits = current()
        what = f"{self._packed:,} bytes unpack to {self._count:,} or more, as a decompression bomb does"
        if self._count > limits.unpacked_bytes:
            raise exceeded(self._name, "unpacked_bytes", what, advice="Unpack and split it yourself if it is genuine.")
        if self._count > RATIO_FLOOR_BYTES and self._count > limits.unpacked_ratio * self._packed:
            raise exceeded(self._name, "unpacked_ratio", what, advice="Unpack it yourself if it is genuine.")
        return data

    def close(self) -> None:
        self._inner.close()
