"""The open segment: frames appended to a file as received, synced at least each second, and read back after a crash.

    <home>/recorder/<source>/<recorder>-<start>.segment      first line: a header in JSON; then a line per frame
    <crc32> <connection> <receive time> <monotonic> <number> <kind> <payload>

A line that was cut off by a power cut, or whose checksum is wrong, ends the file: everything before it counts. The file is locked
while its recorder lives; whoever finds it unlocked may seal it (seal.py).
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from pipelines.extract.landing_files import safe_name
from pipelines.extract.stream import Frame, FrameKind, frame_line, read_line

FOLDER: Final = "recorder"
SUFFIX: Final = ".segment"
LONGEST_LINE: Final = 64 << 20
"""Bytes of a line that are read back; frames are at most a quarter of it."""

CARRIED_US: Final = 10_000_000
"""Of streams whose events have no id, frames of the last seconds are repeated in the next segment, so that equal events on both
sides of its start are counted on."""


@dataclass(frozen=True)
class Header:
    """What a segment says about itself."""

    source: str
    recorder: str
    started_us: int

    def line(self) -> bytes:
        return orjson.dumps({"source": self.source, "recorder": self.recorder, "started_us": self.started_us})


def folder_of(home: Path, source: str) -> Path:
    """Where the open segments of a source lie."""
    return home / FOLDER / safe_name(source)


@dataclass
class Segment:
    """A segment being written by this process. `append` only remembers; `flush` writes and syncs, in whichever thread."""

    path: Path
    header: Header
    file: FileIO
    size: int = 0
    frames: int = 0
    _pending: list[bytes] = field(default_factory=list)
    _pending_bytes: int = 0

    @classmethod
    def create(cls, home: Path, source: str, recorder: str, started_us: int) -> Segment:
        """Open a new segment and lock it. Raises OSError if the disk cannot be written."""
        folder = folder_of(home, source)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{recorder}-{started_us}{SUFFIX}"
        header = Header(source, recorder, started_us)
        # Unbuffered: what a failed write left in a buffer would be written again when the file is closed.
        file = path.open("xb", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        segment = cls(path, header, file)
        segment._pending.append(header.line() + b"\n")
        segment._pending_bytes = len(segment._pending[0])
        segment.flush()
        _sync_folder(folder)
        return segment

    @property
    def pending_bytes(self) -> int:
        return self._pending_bytes

    def append(
        self, connection: str, wall_us: int, monotonic_us: int, number: int, kind: FrameKind, payload: bytes
    ) -> bytes:
        """Remember a frame for the next flush; returns its line, which `append_line` takes."""
        rest = b"%s %s" % (connection.encode(), frame_line(wall_us, monotonic_us, number, kind, payload))
        line = b"%08x %s\n" % (zlib.crc32(rest), rest)
        self.append_line(line)
        return line

    def append_line(self, line: bytes) -> None:
        self._pending.append(line)
        self._pending_bytes += len(line)
        self.size += len(line)
        self.frames += 1

    def note(self, connection: str, wall_us: int, monotonic_us: int, event: Mapping[str, Any]) -> None:
        """Remember what happened to a connection."""
        self.append(connection, wall_us, monotonic_us, 0, "E", orjson.dumps(event))

    def flush(self) -> None:
        """Write and sync everything that was appended. Raises OSError; what was not written stays remembered."""
        count = len(self._pending)
        if not count:
            return
        # Frames that come meanwhile, in the thread of the loop, are appended behind these.
        lines = self._pending[:count]
        joined = b"".join(lines)
        before, content = self.file.tell(), memoryview(joined)
        try:
            while content:
                content = content[self.file.write(content) :]
            os.fsync(self.file.fileno())
        except OSError:
            # A full disk takes part of a line: it is taken back, so that the next flush does not repeat it.
            self.file.truncate(before)
            self.file.seek(before)
            raise
        del self._pending[:count]
        self._pending_bytes -= len(joined)

    def close(self) -> None:
        """Close the file, which frees its lock; what was not flushed is lost."""
        self.file.close()


@dataclass
class Carried:
    """The lines of the last seconds, for the next segment."""

    _lines: deque[tuple[int, bytes]] = field(default_factory=deque)

    def add(self, wall_us: int, line: bytes) -> None:
        lines = self._lines
        lines.append((wall_us, line))
        while lines[0][0] < wall_us - CARRIED_US:
            lines.popleft()

    def lines(self, now_us: int) -> Iterator[bytes]:
        yield from (line for wall_us, line in self._lines if wall_us >= now_us - CARRIED_US)


def read_segment(path: Path) -> tuple[Header | None, Iterator[Frame]]:
    """Header and frames of a segment up to the first damaged line; no header if the file was cut off within it."""
    file = path.open("rb")
    try:
        head = orjson.loads(file.readline(LONGEST_LINE))
        header = Header(head["source"], head["recorder"], int(head["started_us"]))
    except (ValueError, KeyError, TypeError):
        file.close()
        return None, iter(())
    return header, _frames(file)


def _frames(file: BinaryIO) -> Iterator[Frame]:
    with file:
        while line := file.readline(LONGEST_LINE):
            if not line.endswith(b"\n"):
                return
            checksum, _, rest = line[:-1].partition(b" ")
            try:
                if int(checksum, 16) != zlib.crc32(rest):
                    return
                connection, _, recorded = rest.partition(b" ")
                yield read_line(connection.decode(), recorded)
            except ValueError:
                return


def abandoned(home: Path, source: str) -> list[Path]:
    """Segments of a source whose recorder lives no more, oldest first."""
    folder = folder_of(home, source)
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.glob(f"*{SUFFIX}") if _is_unlocked(path)), key=lambda path: path.name)


def _is_unlocked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return False
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
