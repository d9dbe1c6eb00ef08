"""Alerts: what is wrong now, as a pure function of observed state, and a book of what was told, so that each is told once.

An alert is told when it opens, daily while it stays open, and when it closes. A message that could not be sent is sent by the
next pass. Who sends is in alert_channels.py; what is observed is gathered by whoever calls. No Dagster.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, Literal

Event = Literal["opened", "still open", "closed"]

REMIND_AFTER: Final = timedelta(days=1)
BEHIND_DAYS: Final = 3
"""A source whose newest day is older than this is told of, as the check newest_day does."""
FORGOTTEN_WITHIN: Final = timedelta(days=2)
"""A day or slot that is not landed is told of when its venue will have forgotten it within this time."""
DEAF_AFTER: Final = timedelta(minutes=5)
"""A recorder that has not reported for this long is deaf."""
SPARE_BYTES: Final = 1_000_000_000


@dataclass(frozen=True)
class FailedRun:
    """The newest run of a job, if it failed."""

    job: str
    run_id: str
    message: str


@dataclass(frozen=True)
class MissingPart:
    """A day or slot of a feed that should be landed and is not; `until` is when its venue forgets it, None for a slot that is
    lost already."""

    source: str
    part: str
    reason: str
    until: datetime | None


@dataclass(frozen=True)
class SignalState:
    """A signal that is on in the newest published day, with the verdict of its hypothesis."""

    asset: str
    signal: str
    day: date
    verdict: str


@dataclass(frozen=True)
class State:
    """What was observed of a home. What is not observed is left empty."""

    failed_runs: Sequence[FailedRun] = ()
    missing: Sequence[MissingPart] = ()
    newest_days: Sequence[tuple[str, date | None]] = ()
    """Newest day by scheduled source."""
    refused: Sequence[tuple[str, str]] = ()
    """Refused landings: source, and a line that says what and why."""
    free_bytes: int | None = None
    database_bytes: int = 0
    recorder_heard: datetime | None = None
    """When the recorder last reported; None if there is none."""
    signals: Sequence[SignalState] = ()


@dataclass(frozen=True)
class Alert:
    """Something that is wrong, or a signal that is on. `kind` and `subject` identify it for as long as it stays."""

    kind: str
    subject: str
    text: str
    next_step: str


@dataclass(frozen=True)
class Message:
    """What is to be told of an alert."""

    event: Event
    alert: Alert
    opened_at: datetime

    @property
    def line(self) -> str:
        what = "" if self.event == "opened" else f"{self.event}: "
        then = f" Next: {self.alert.next_step}." if self.alert.next_step and self.event != "closed" else ""
        return f"{what}{self.alert.kind} {self.alert.subject}: {self.alert.text}.{then}"


def alerts(state: State, now: datetime) -> list[Alert]:
    """Everything that is wrong at `now` (naive UTC), worst first by the order of the kinds here."""
    return [
        *_machine(state, now),
        *(
            Alert(
                "run failed",
                run.job,
                f"{run.message or 'no message'} (run {run.run_id})",
                "leverhouse doctor, then the run's page",
            )
            for run in state.failed_runs
        ),
        *_missing(state, now),
        *_behind(state, now),
        *_refused(state),
        *(
            Alert(
                "signal on", f"{one.asset} {one.signal}", f"on {one.day}; verdict of its hypothesis: {one.verdict}", ""
            )
            for one in state.signals
        ),
    ]


def _machine(state: State, now: datetime) -> Iterator[Alert]:
    needed = state.database_bytes + SPARE_BYTES
    if state.free_bytes is not None and state.free_bytes < needed:
        yield Alert(
            "disk low", "home",
            f"{state.free_bytes / 1e9:.1f} GB free, {needed / 1e9:.1f} GB needed for a rebuild or a publication",
            "free disk space, or move the home",
        )  # fmt: skip
    if state.recorder_heard is not None and now - state.recorder_heard >= DEAF_AFTER:
        yield Alert(
            "recorder deaf", "recorder", f"last heard of at {state.recorder_heard:%Y-%m-%d %H:%M} UTC",
            "restart the recorder; what it does not hear is lost",
        )  # fmt: skip


def _missing(state: State, now: datetime) -> Iterator[Alert]:
    """One alert a source and kind: a venue that is down loses a slot of every feed in every hour."""
    lost: dict[str, list[MissingPart]] = {}
    soon: dict[str, list[MissingPart]] = {}
    for part in state.missing:
        if part.until is None:
            lost.setdefault(part.source, []).append(part)
        elif part.until - now <= FORGOTTEN_WITHIN:
            soon.setdefault(part.source, []).append(part)
    for source, parts in sorted(lost.items()):
        yield Alert("slot lost", source, _listed(parts), 'look why: leverhouse sql "from ops.fetch_problems"')
    for source, parts in sorted(soon.items()):
        until = min(part.until for part in parts if part.until is not None)
        yield Alert(
            "about to be forgotten", source, f"{_listed(parts)}; the first is gone on {until:%Y-%m-%d %H:%M} UTC",
            f"leverhouse fetch {source.partition('.')[0]}",
        )  # fmt: skip


def _listed(parts: Sequence[MissingPart]) -> str:
    named = ", ".join(f"{part.part} ({part.reason})" for part in parts[:3])
    return f"{named} and {len(parts) - 3} more" if len(parts) > 3 else named


def _behind(state: State, now: datetime) -> Iterator[Alert]:
    oldest = now.date() - timedelta(days=BEHIND_DAYS)
    for source, newest in sorted(state.newest_days, key=lambda row: row[0]):
        if newest is None or newest < oldest:
            yield Alert(
                "newest day too old",
                source,
                f"newest day is {newest or 'none'}",
                "leverhouse status, then the venue's runs",
            )


def _refused(state: State) -> Iterator[Alert]:
    by_source: dict[str, list[str]] = {}
    for source, line in state.refused:
        by_source.setdefault(source, []).append(line)
    for source, lines in sorted(by_source.items()):
        more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
        yield Alert(
            "landing refused", source, f"{lines[0]}{more}", "leverhouse landing show ID, then accept or forget it"
        )


@dataclass
class AlertBook:
    """What was told over one channel, in a small file of its own: when something is wrong a writer may hold the warehouse."""

    path: Path
    channel: str
    _delete: str = field(default="delete from alerts where channel = ? and kind = ? and subject = ?", repr=False)
    _schema: str = field(
        default="create table if not exists alerts (channel text, kind text, subject text, text text, next_step text, "
        "opened_at text, told_at text, primary key (channel, kind, subject))",
        repr=False,
    )

    def messages(self, current: Iterable[Alert], now: datetime) -> list[Message]:
        """What is to be told at `now`. Nothing counts as told before `told` says so; what closes before it was told is dropped."""
        found = {(alert.kind, alert.subject): alert for alert in current}
        due: list[Message] = []
        with self._open() as con:
            rows = con.execute(
                "select kind, subject, text, next_step, opened_at, told_at from alerts where channel = ?",
                [self.channel],
            ).fetchall()
            known = {(kind, subject) for kind, subject, *_ in rows}
            for key, alert in found.items():
                if key not in known:
                    con.execute(
                        "insert into alerts values (?, ?, ?, ?, ?, ?, null)",
                        [self.channel, alert.kind, alert.subject, alert.text, alert.next_step, now.isoformat()],
                    )
                    due.append(Message("opened", alert, now))
            for kind, subject, text, next_step, opened, told in rows:
                opened_at = datetime.fromisoformat(opened)
                current_alert = found.get((kind, subject))
                if current_alert is None:
                    if told is None:
                        con.execute(self._delete, [self.channel, kind, subject])
                    else:
                        due.append(Message("closed", Alert(kind, subject, text, next_step), opened_at))
                elif told is None:
                    due.append(Message("opened", current_alert, opened_at))
                elif now - datetime.fromisoformat(told) >= REMIND_AFTER:
                    due.append(Message("still open", current_alert, opened_at))
        return due

    def told(self, messages: Iterable[Message], now: datetime) -> None:
        """Record that these were sent."""
        with self._open() as con:
            for message in messages:
                key = [self.channel, message.alert.kind, message.alert.subject]
                if message.event == "closed":
                    con.execute(self._delete, key)
                else:
                    con.execute(
                        "update alerts set told_at = ?, text = ? where channel = ? and kind = ? and subject = ?",
                        [now.isoformat(), message.alert.text, *key],
                    )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.path, timeout=10.0)) as con, con:
            con.execute(self._schema)
            yield con
