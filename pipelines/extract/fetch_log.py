"""The journal of fetching: what went wrong between us and a venue, written down as it happens, one line each.

    raw/_problems/<venue>/<YYYY-MM-DD>.jsonl       the day on which it was noted, UTC

Only what is landed has a manifest, so without this a failed or repeated request would leave no trace. Extraction writes files
only: the load copies these lines into ops.fetch_problems (clean/problems.py). Who notes a problem knows neither venue nor
feed at times (the guards of paging), so journal and subject are found in the context and are not passed along.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from pipelines.core.errors import (
    BlockedError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    VenueUnavailableError,
)
from pipelines.extract.landing import Clock

FOLDER: Final = "_problems"

Effect = Literal["asked_again", "given_up"]
"""asked_again: the same run repeated the request. given_up: the run ended without it; the next one asks again."""

_PROBLEMS: Final = (
    (ThrottledError, "throttled"),
    (VenueUnavailableError, "unavailable"),
    (BlockedError, "blocked"),
    (RequestRefusedError, "refused"),
    (SourceFormatError, "malformed"),
)


@dataclass(frozen=True)
class Subject:
    """What is being fetched: a source, one partition of it, and a subject in that."""

    source: str | None = None
    partition: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class FetchLog:
    """The journal of one venue, kept for the length of a `keeping` block."""

    raw_dir: Path
    venue: str
    clock: Clock

    @contextmanager
    def recording(self) -> Iterator[None]:
        """What is noted inside the block, also by the tasks and threads it starts, goes into this journal."""
        token = _ACTIVE.set(self)
        try:
            yield
        finally:
            _ACTIVE.reset(token)

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line in one call of the system: processes that write at once, or are killed, leave whole lines."""
        now = self.clock()
        path = self.raw_dir / FOLDER / self.venue / f"{now:%Y-%m-%d}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        line = orjson.dumps({"noted_at": now.isoformat(timespec="microseconds"), **entry}) + b"\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


_ACTIVE: Final[ContextVar[FetchLog | None]] = ContextVar("fetch_log", default=None)
_CONTEXT: Final[ContextVar[Subject | None]] = ContextVar("subject", default=None)


def set_context(subject: Subject) -> None:
    """What is noted from here on in this task is about `subject`."""
    _CONTEXT.set(subject)


def record(problem: str, detail: str, *, effect: Effect, subject: Subject | None = None) -> None:
    """Write down a problem. Without a journal, as in tests of a single part, nothing is kept."""
    fetch_log = _ACTIVE.get()
    if fetch_log is not None:
        fetch_log.write(
            {**asdict(subject or _CONTEXT.get() or Subject()), "problem": problem, "effect": effect, "detail": detail}
        )


def problem_of(error: BaseException) -> str:
    """The kind of problem an error is: throttled, unavailable, blocked, refused, malformed or other."""
    return next((problem for kind, problem in _PROBLEMS if isinstance(error, kind)), "other")


@dataclass(frozen=True)
class Noted:
    """The lines of one venue and day, in the order in which they were written."""

    venue: str
    noted_on: date
    lines: tuple[dict[str, Any], ...]


def noted(raw_dir: Path, *, since: dict[str, date]) -> Iterator[Noted]:
    """What was noted, by venue and day, from the day that `since` names for the venue; everything where it names none."""
    for path in sorted((raw_dir / FOLDER).glob("*/*.jsonl")):
        venue, day = path.parent.name, date.fromisoformat(path.stem)
        if day >= since.get(venue, day):
            yield Noted(venue, day, tuple(_read(line, day) for line in path.read_bytes().splitlines()))


def _read(line: bytes, day: date) -> dict[str, Any]:
    """A line that a power cut tore is a problem too: kept as it stands, and in nobody's way."""
    try:
        entry: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        damaged = f"damaged line: {line.decode('utf-8', 'replace')}"
        return {"noted_at": f"{day}T00:00:00", "problem": "other", "effect": "given_up", "detail": damaged}
    return entry
