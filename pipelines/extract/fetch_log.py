"""The fetch log: failed and retried requests, one JSON line each, written as they occur.

    raw/_problems/<venue>/<YYYY-MM-DD>.jsonl       UTC day of the entry

Only landed data has a manifest, so without this log a failed or retried request would leave no trace. Extraction writes
files only; the load copies the lines into ops.fetch_problems (clean/fetch_problems.py). Some callers of `record` know
neither venue nor feed (the checks in paging), so the log and the subject are context variables, not arguments.
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
    ClockError,
    NoLongerAvailableError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    VenueUnavailableError,
)
from pipelines.core.redaction import redact_values
from pipelines.extract.landing import Clock

FOLDER: Final = "_problems"

Effect = Literal["asked_again", "given_up", "settled", "noted"]
"""asked_again: the same run retried the request. given_up: the run ended without it; the next run retries.
settled: it is final, and no run asks for it again. noted: a warning; the answer was taken."""

_PROBLEMS: Final = (
    (ThrottledError, "throttled"),
    (VenueUnavailableError, "unavailable"),
    (BlockedError, "blocked"),
    (NoLongerAvailableError, "no_longer_available"),
    (RequestRefusedError, "refused"),
    (SourceFormatError, "malformed"),
    (ClockError, "clock"),
)


@dataclass(frozen=True)
class Subject:
    """What is being fetched: a source, a partition of it, a subject in that partition."""

    source: str | None = None
    partition: str | None = None
    subject: str | None = None


@dataclass(frozen=True)
class FetchLog:
    """The fetch log of one venue, active inside a `recording` block."""

    raw_dir: Path
    venue: str
    clock: Clock

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Write what is recorded inside the block, including by its tasks and threads, to this log."""
        token = _ACTIVE.set(self)
        try:
            yield
        finally:
            _ACTIVE.reset(token)

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line in a single system call, so that concurrent or killed processes leave whole lines."""
        now = self.clock()
        path = self.raw_dir / FOLDER / self.venue / f"{now:%Y-%m-%d}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        entry = redact_values({"noted_at": now.isoformat(timespec="microseconds"), **entry})
        line = orjson.dumps(entry) + b"\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


_ACTIVE: Final[ContextVar[FetchLog | None]] = ContextVar("fetch_log", default=None)
_CONTEXT: Final[ContextVar[Subject | None]] = ContextVar("subject", default=None)


def set_context(subject: Subject) -> None:
    """Set the subject of everything recorded from now on in this task."""
    _CONTEXT.set(subject)


def record(problem: str, detail: str, *, effect: Effect, subject: Subject | None = None) -> None:
    """Record a problem in the active log; without one, as in tests of a single part, do nothing."""
    fetch_log = _ACTIVE.get()
    if fetch_log is not None:
        fetch_log.write(
            {**asdict(subject or _CONTEXT.get() or Subject()), "problem": problem, "effect": effect, "detail": detail}
        )


def problem_of(error: BaseException) -> str:
    """The problem kind of an error: throttled, unavailable, blocked, refused, malformed, clock or other."""
    return next((problem for kind, problem in _PROBLEMS if isinstance(error, kind)), "other")


@dataclass(frozen=True)
class LoggedDay:
    """The entries of one venue and day, in the order written."""

    venue: str
    noted_on: date
    lines: tuple[dict[str, Any], ...]


def read_fetch_logs(raw_dir: Path, *, since: dict[str, date]) -> Iterator[LoggedDay]:
    """Entries by venue and day, from the day in `since` on; all entries of a venue that is not in `since`."""
    for path in sorted((raw_dir / FOLDER).glob("*/*.jsonl")):
        venue, day = path.parent.name, date.fromisoformat(path.stem)
        if day >= since.get(venue, day):
            yield LoggedDay(venue, day, tuple(_read(line, day) for line in path.read_bytes().splitlines()))


def _read(line: bytes, day: date) -> dict[str, Any]:
    """The entry of a line; a line truncated by a power loss becomes an entry of kind other."""
    try:
        entry: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError:
        damaged = f"damaged line: {line.decode('utf-8', 'replace')}"
        return {"noted_at": f"{day}T00:00:00", "problem": "other", "effect": "given_up", "detail": damaged}
    return entry
