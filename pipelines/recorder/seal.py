"""Sealing: a closed segment becomes a landing, like any other capture, with its spans of listening in the manifest.

A pure function of the segment's file, whoever wrote it and however its recorder ended. The file is removed once it is landed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from pipelines.extract.landing import Clock, Landing, LandingStore, utc_now
from pipelines.extract.listening import LISTENED, HeardSpan, manifest_of
from pipelines.extract.stream import EPOCH, Frame, frame_line
from pipelines.extract.venue import Page
from pipelines.recorder.segment import Header, abandoned, read_segment

PAGE_BYTES: Final = 1 << 20
"""Lines of one connection are landed in pages of about this size."""


@dataclass
class _Connection:
    """What a segment says of one connection, read line by line."""

    name: str
    channel: str = ""
    address: str = ""
    instruments: frozenset[str] = frozenset()
    since_us: int | None = None
    alive_us: int = 0
    closed: str | None = None
    spans: list[tuple[frozenset[str], int, int, str | None]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def take(self, event: dict[str, Any], wall_us: int) -> None:
        """An event of the connection."""
        match event["event"]:
            case "opened":
                self.channel, self.address = event["channel"], event["address"]
            case "listening":
                # Other instruments from here on; those that stay are joined again when seconds are counted.
                self._end(max(self.alive_us, self.since_us or 0), None)
                self.channel, self.address = event["channel"], event["address"]
                self.instruments = frozenset(event["instruments"])
                self.since_us = self.alive_us = event["since_us"]
            case "alive":
                self.alive_us = max(self.alive_us, event["at_us"])
            case "refused":
                self.refused |= dict.fromkeys(event["instruments"], event["message"])
            case "closed":
                self._end(max(self.alive_us, event["alive_us"]), event["why"])
                self.closed = event["why"]

    def _end(self, at_us: int, why: str | None) -> None:
        if self.since_us is not None and self.instruments:
            self.spans.append((self.instruments, self.since_us, max(at_us, self.since_us), why))
        self.since_us = None

    def finish(self) -> None:
        """The segment ends and says nothing of the connection's end."""
        self._end(self.alive_us, None)


def seal(store: LandingStore, path: Path, *, clock: Clock = utc_now) -> Landing | None:
    """Land a closed segment and remove its file; None if it holds nothing. Raises OSError or LandingError, and keeps the file.

    A segment that was landed by a process killed before it removed the file gives the same landing again.
    """
    header, frames = read_segment(path)
    if header is None:
        path.unlink(missing_ok=True)
        return None
    connections: dict[str, _Connection] = {}
    count, newest = 0, header.started_us
    start = EPOCH + timedelta(microseconds=header.started_us)
    part = f"{start:%H%M%S%f}-{header.recorder}"
    with store.draft(header.source, f"{start:%Y-%m-%d}", part) as draft:
        for page, inside in _pages(header, frames, connections):
            newest = max([newest, *inside])
            count += len(inside)
            draft.add(page)
        spans, refused = _listening(header, connections)
        if not count and not spans:
            path.unlink(missing_ok=True)
            return None
        ends = [span.end for span in spans]
        end = max((EPOCH + timedelta(microseconds=newest + 1), *ends, start + timedelta(microseconds=1)))
        landing = draft.land(
            completeness="complete" if count else "empty",
            request={
                "span": [start.isoformat(), end.isoformat()],
                "covers": {},
                "recorder": header.recorder,
                "frames": count,
                LISTENED: manifest_of(spans, refused),
            },
            original_name=path.name,
            clock=clock,
        )
    path.unlink(missing_ok=True)
    return landing


def seal_abandoned(store: LandingStore, source: str, *, clock: Clock = utc_now) -> list[Landing]:
    """Seal the segments of recorders that were killed."""
    return [
        landing for path in abandoned(store.home, source) if (landing := seal(store, path, clock=clock)) is not None
    ]


def _pages(
    header: Header, frames: Iterator[Frame], connections: dict[str, _Connection]
) -> Iterator[tuple[Page, list[int]]]:
    """Pages with the lines of each connection in order, and the receive times of the frames that this segment is the first to have;
    events fill `connections`."""
    lines: dict[str, list[bytes]] = {}
    sizes: dict[str, int] = {}
    times: dict[str, list[int]] = {}

    def page(name: str) -> tuple[Page, list[int]]:
        one = connections[name]
        request = {"endpoint": one.address, "path": "", "params": {"channel": one.channel}}
        last = max(times[name], default=header.started_us)
        received = EPOCH + timedelta(microseconds=last)
        body = b"\n".join(lines.pop(name)) + b"\n"
        sizes[name] = 0
        return Page(f"{header.recorder}-{name}", request, 101, received, body), times.pop(name)

    for frame in frames:
        one = connections.get(frame.connection)
        if one is None:
            one = connections[frame.connection] = _Connection(frame.connection)
        if frame.kind == "E":
            one.take(orjson.loads(frame.payload), frame.wall_us)
        line = frame_line(frame.wall_us, frame.monotonic_us, frame.number, frame.kind, frame.payload)
        lines.setdefault(frame.connection, []).append(line)
        inside = times.setdefault(frame.connection, [])
        if frame.kind in ("T", "B") and frame.wall_us >= header.started_us:
            inside.append(frame.wall_us)
        sizes[frame.connection] = sizes.get(frame.connection, 0) + len(line) + 1
        if sizes[frame.connection] >= PAGE_BYTES:
            yield page(frame.connection)
    for name in sorted(lines):
        yield page(name)


def _listening(header: Header, connections: dict[str, _Connection]) -> tuple[list[HeardSpan], dict[str, str]]:
    spans: list[HeardSpan] = []
    refused: dict[str, str] = {}
    for one in connections.values():
        one.finish()
        refused |= one.refused
        for instruments, start_us, end_us, why in one.spans:
            start, end = (EPOCH + timedelta(microseconds=at) for at in (start_us, end_us))
            spans.append(HeardSpan(f"{header.recorder}-{one.name}", instruments, start, end, why))
    return sorted(spans, key=lambda span: (span.start, span.connection)), refused


def open_spans(path: Path) -> list[HeardSpan]:
    """The spans of listening that a segment holds so far; its recorder may be writing it."""
    header, frames = read_segment(path)
    if header is None:
        return []
    connections: dict[str, _Connection] = {}
    for frame in frames:
        if frame.kind == "E":
            one = connections.setdefault(frame.connection, _Connection(frame.connection))
            one.take(orjson.loads(frame.payload), frame.wall_us)
    return _listening(header, connections)[0]
