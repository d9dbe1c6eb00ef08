"""Observing a home for alerts and metrics: marks of the landing, the published file, the disk. Opens no working database.

Reading every manifest or the published file takes longer than a look every minute may: both are read again when they changed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.operations.alerts import FailedRun, MissingPart, SignalState, State
from pipelines.operations.diagnostics import IMPORTED, refused_landings
from pipelines.operations.load import refusal_line
from pipelines.storage.status import problem_counts, signals_on, source_counts, source_newest_days
from pipelines.storage.warehouse import reader

MissingParts = Callable[[Settings, datetime], Sequence[MissingPart]]
"""What should be landed and is not."""


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
    missing: MissingParts = lambda settings, now: ()
    _refused: tuple[object, Sequence[tuple[str, str]]] = (None, ())
    _published: tuple[Path | None, Published] = (None, Published())

    def state(self, now: datetime, *, failed_runs: Iterable[FailedRun] = ()) -> State:
        """The state of now."""
        settings, published = self.settings, self.published()
        return State(
            failed_runs=tuple(failed_runs),
            missing=self.missing(settings, now),
            newest_days=tuple(published.newest_days.items()),
            refused=self.refused(),
            free_bytes=shutil.disk_usage(settings.root).free,
            database_bytes=settings.database.stat().st_size if settings.database.exists() else 0,
            signals=published.signals if settings.alert_signals else (),
        )

    def refused(self) -> Sequence[tuple[str, str]]:
        """Refused landings: source and line."""
        store = LandingStore(self.settings.root)
        tokens = (store.landed_token(), store.loaded_token())
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
