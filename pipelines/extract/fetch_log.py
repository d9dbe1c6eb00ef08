"""The fetch log: what was asked, and failed and retried requests, one JSON line each, written as they occur.

    raw/_problems/<venue>/<YYYY-MM-DD>.jsonl       UTC day of the entry

Only landed data has a manifest, so without this log a failed or retried request would leave no trace, and neither would a
fetch that is killed: what it asks for is written before it asks. Extraction writes files only; the load copies the problems
into ops.fetch_problems (clean/fetch_problems.py), and `read_journal` reads the questions back for extract.due. Some callers of
`record` know neither venue nor feed (the checks in paging), so the log and the subject are context variables, not arguments.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from pipelines.core.errors import (
    BlockedError,
    ChecksumError,
    ClockError,
    ErrorStatusError,
    NoAnswerError,
    NoLongerAvailableError,
    RequestRefusedError,
    SourceFormatError,
    ThrottledError,
    VenueUnavailableError,
)
from pipelines.core.gap_reasons import GapReason
from pipelines.core.redaction import redact_values
from pipelines.extract.landing import Clock
from pipelines.extract.venue import Span

FOLDER: Final = "_problems"

ASKED: Final = "asked"
"""Effect of a line that says what is about to be asked for. It is no problem, and not in ops.fetch_problems."""

DECLARED: Final = "declared"
"""Part of a question that nobody asked, because the venue declares that it has nothing."""

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

_GAP_REASONS: Final[tuple[tuple[type[BaseException], GapReason], ...]] = (
    (ChecksumError, "refused: checksum"),
    (NoAnswerError, "no answer in time"),
    (NoLongerAvailableError, "no longer available"),
    (RequestRefusedError, "refused: status"),
    (ThrottledError, "refused: status"),
    (ErrorStatusError, "refused: status"),
    (SourceFormatError, "unreadable answer"),
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


def record(
    problem: str, detail: str, *, effect: Effect, subject: Subject | None = None, reason: GapReason | None = None
) -> None:
    """Record a problem in the active log; without one, as in tests of a single part, do nothing. `reason` is why what was asked
    for is missing, if the run ends without it."""
    fetch_log = _ACTIVE.get()
    if fetch_log is not None:
        entry = {
            **asdict(subject or _CONTEXT.get() or Subject()),
            "problem": problem,
            "effect": effect,
            "detail": detail,
        }
        fetch_log.write(entry | ({"reason": reason} if reason else {}))


def record_question(source: str, partition: str, part: str, span: Span, subjects: Collection[str]) -> None:
    """Record what is about to be asked for, before it is asked: a fetch that is killed leaves this line."""
    fetch_log = _ACTIVE.get()
    if fetch_log is not None:
        bounds = [span.start.isoformat(), span.end.isoformat()]
        fetch_log.write(
            {"source": source, "partition": partition, "part": part, "span": bounds, "subjects": sorted(subjects),
             "effect": ASKED}
        )  # fmt: skip


def declared(span: Span) -> tuple[str, str]:
    """The partition and part under which the journal has a span that was not asked for."""
    return f"{span.days[0]}_{span.days[-1]}", DECLARED


def record_forgotten(source: str, span: Span, subjects: Collection[str], detail: str) -> None:
    """Record in one line that the venue keeps nothing of a span any more, which is therefore not asked for."""
    fetch_log = _ACTIVE.get()
    if fetch_log is not None:
        bounds = [span.start.isoformat(), span.end.isoformat()]
        fetch_log.write(
            {"source": source, "partition": declared(span)[0], "part": DECLARED, "span": bounds,
             "subjects": sorted(subjects), "problem": "no_longer_available", "effect": "settled", "detail": detail,
             "reason": "no longer available"}
        )  # fmt: skip


def problem_of(error: BaseException) -> str:
    """The problem kind of an error: throttled, unavailable, blocked, refused, malformed, clock or other."""
    return next((problem for kind, problem in _PROBLEMS if isinstance(error, kind)), "other")


def reason_of(error: BaseException) -> GapReason:
    """Why data is missing whose fetch ended with `error`."""
    if isinstance(error.__cause__, SourceFormatError | zipfile.BadZipFile):
        return "unreadable answer"
    return next((reason for kind, reason in _GAP_REASONS if isinstance(error, kind)), "fetch failed")


@dataclass
class Question:
    """What was asked for in one partition of a source, and why subjects are missing whose last question failed.

    A subject of `subjects` that is not in `failures` was answered and is in the landing, or its fetch was killed.
    """

    span: Span
    subjects: set[str] = field(default_factory=set)
    failures: dict[str, tuple[GapReason, str]] = field(default_factory=dict)


Journal = Mapping[tuple[str, str], Question]
"""The questions of one source by partition and part."""


def read_journal(raw_dir: Path, venue: str) -> dict[str, dict[tuple[str, str], Question]]:
    """The questions of a venue by source, read from its logs in the order written."""
    found: dict[str, dict[tuple[str, str], Question]] = {}
    newest: dict[tuple[str, str], Question] = {}
    for path in sorted((raw_dir / FOLDER / venue).glob("*.jsonl")):
        for line in path.read_bytes().splitlines():
            if b'"asked"' in line or b'"given_up"' in line or b'"declared"' in line:
                _add(_read(line, date.fromisoformat(path.stem)), found, newest)
    return found


def _add(
    entry: Mapping[str, Any],
    found: dict[str, dict[tuple[str, str], Question]],
    newest: dict[tuple[str, str], Question],
) -> None:
    source, partition = entry.get("source"), entry.get("partition")
    if source is None or partition is None:
        return
    if entry["effect"] == ASKED:
        start, end = entry["span"]
        span = Span(datetime.fromisoformat(start), datetime.fromisoformat(end))
        question = found.setdefault(source, {}).setdefault((partition, entry["part"]), Question(span))
        question.subjects |= set(entry["subjects"])
        for subject in entry["subjects"]:
            question.failures.pop(subject, None)
        newest[source, partition] = question
    elif entry.get("part") == DECLARED:
        start, end = entry["span"]
        span = Span(datetime.fromisoformat(start), datetime.fromisoformat(end))
        question = found.setdefault(source, {}).setdefault((partition, DECLARED), Question(span))
        question.subjects |= set(entry["subjects"])
        question.failures |= dict.fromkeys(entry["subjects"], (entry["reason"], entry["detail"]))
    elif (source, partition) in newest and entry["effect"] == "given_up" and entry.get("subject"):
        # Lines of older versions have no reason.
        reason: GapReason = entry.get("reason") or _OLD_REASONS.get(entry["problem"], "fetch failed")
        newest[source, partition].failures[entry["subject"]] = (reason, entry["detail"])


_OLD_REASONS: Final[Mapping[str, GapReason]] = {
    "blocked": "refused: status", "refused": "refused: status", "throttled": "refused: status",
    "malformed": "unreadable answer", "checksum": "refused: checksum",
}  # fmt: skip


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
