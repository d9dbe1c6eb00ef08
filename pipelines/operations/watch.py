"""Observing a home for alerts and metrics: marks of the landing, the published file, the disk. Opens no working database.

Reading every manifest or the published file takes longer than a look every minute may: both are read again when they changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.extract.venue import Capture
from pipelines.operations.alerts import FailedRun, MissingPart, SignalState, State
from pipelines.operations.diagnostics import IMPORTED, refused_landings
from pipelines.operations.due import feed_states
from pipelines.operations.load import refusal_line
from pipelines.storage.status import problem_counts, signals_on, source_counts, source_newest_days
from pipelines.storage.warehouse import reader

LOST_FOR: Final = timedelta(days=1)
"""How long a lost slot is told of."""
LOOK_EVERY: Final = timedelta(minutes=10)
"""What is due is worked out from every manifest: this often."""


def missing_parts(settings: Settings, now: datetime) -> Sequence[MissingPart]:
    """Days that can still be had and are about to be forgotten, and slots that were lost lately, once a source and moment."""
    found: dict[tuple[str, datetime], MissingPart] = {}
    for state in feed_states(settings):
        is_capture = isinstance(state.feed.cadence, Capture)
        for one in state.missing(now):
            until: datetime | None = None
            if one.can_be_had and one.forgotten_on is not None:
                until = datetime.combine(one.forgotten_on, time())
            elif one.can_be_had or not is_capture or now - one.at > LOST_FOR:
                continue
            part = f"{one.at:%Y-%m-%d %H:%M}" if is_capture else f"{one.day}"
            found.setdefault((state.source, one.at), MissingPart(state.source, part, one.reason, until))
    return tuple(found.values())


@dataclass(frozen=True)
class Published:
    """What the published file says, read once per snapshot."""

    newest_days: Mapping[str, date | None] = field(default_factory=dict)
    signals: Sequence[SignalState] = ()
    sources: Sequence[Mapping[str, Any]] = ()
    """Rows, quarantined rows and lag of every source and table."""
    problems: Sequence[Mapping[str, Any]] = ()
    """Answers that were not taken, counted by effect."""


@dataclass
class Watch:
    """Observes one home; keeps what it read."""

    settings: Settings
    _refused: tuple[object, Sequence[tuple[str, str]]] = (None, ())
    _missing: tuple[datetime | None, Sequence[MissingPart]] = (None, ())
    _published: tuple[Path | None, Published] = (None, Published())

    def state(self, now: datetime, *, failed_runs: Iterable[FailedRun] = ()) -> State:
        """The state of now."""
        settings, published = self.settings, self.published()
        return State(
            failed_runs=tuple(failed_runs),
            missing=self.missing(now),
            newest_days=tuple(published.newest_days.items()),
            refused=self.refused(),
            free_bytes=shutil.disk_usage(settings.root).free,
            database_bytes=settings.database.stat().st_size if settings.database.exists() else 0,
            signals=published.signals if settings.alert_signals else (),
        )

    def missing(self, now: datetime) -> Sequence[MissingPart]:
        """Days about to be forgotten and lost slots."""
        looked, _ = self._missing
        if looked is None or not timedelta() <= now - looked < LOOK_EVERY:
            self._missing = (now, missing_parts(self.settings, now))
        return self._missing[1]

    def refused(self) -> Sequence[tuple[str, str]]:
        """Refused landings: source and line."""
        store = LandingStore(self.settings.root)
        tokens = (store.tokens.landed(), store.tokens.loaded())
        if self._refused[0] != tokens:
            lines = tuple((refusal.source, refusal_line(refusal)) for refusal in refused_landings(self.settings))
            self._refused = (tokens, lines)
        return self._refused[1]

    def published(self) -> Published:
        """What the newest snapshot says; nothing if none is published."""
        path = self.settings.published_database
        if not path.exists():
            return Published()
        snapshot = path.resolve()
        if self._published[0] != snapshot:
            with reader(self.settings) as con:
                newest: dict[str, date | None] = {}
                for row in source_newest_days(con):
                    if not row["source"].startswith(IMPORTED):
                        newest[row["source"]] = max(
                            (day for day in (newest.get(row["source"]), row["newest_day"]) if day), default=None
                        )
                found = Published(
                    newest_days=newest,
                    signals=tuple(SignalState(**row) for row in signals_on(con)),
                    sources=tuple(source_counts(con)),
                    problems=tuple(problem_counts(con)),
                )
            self._published = (snapshot, found)
        return self._published[1]
