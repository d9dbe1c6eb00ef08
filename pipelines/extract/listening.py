"""Spans of listening, as the manifests of recorded segments state them, and the seconds heard of each instrument and day.

Pure functions of landings and time. The recorder writes the spans, clean.listening puts the seconds into ops.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from pipelines.extract.landing import Landing
from pipelines.extract.stream import EVERY_INSTRUMENT
from pipelines.extract.venue import Span

LISTENED: Final = "listened"
"""Key of the manifest of a recorded segment."""

DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True)
class HeardSpan:
    """Instruments that a connection listened to in [start, end), and why the span ended; None: it goes on in the next segment."""

    connection: str
    instruments: frozenset[str]
    start: datetime
    end: datetime
    ended_by: str | None = None

    @property
    def days(self) -> list[date]:
        return Span(self.start, self.end).days if self.end > self.start else []


@dataclass(frozen=True)
class Heard:
    """Seconds listened to an instrument on a day, by any connection. `spans` counts what is left once overlaps are joined: more
    than one means that there were pauses."""

    instrument: str
    day: date
    seconds: float
    spans: int

    @property
    def share(self) -> float:
        return self.seconds / DAY_SECONDS


def manifest_of(spans: Sequence[HeardSpan], refused: Mapping[str, str]) -> dict[str, Any]:
    """The spans of a segment as its manifest keeps them: instruments once per group, since a connection may have hundreds."""
    groups = {group: number for number, group in enumerate(dict.fromkeys(span.instruments for span in spans))}
    return {
        "groups": [sorted(group) for group in groups],
        "spans": [
            [span.connection, groups[span.instruments], span.start.isoformat(), span.end.isoformat(), span.ended_by]
            for span in spans
        ],
        "refused": dict(sorted(refused.items())),
    }


def heard_of(landings: Iterable[Landing]) -> Iterator[HeardSpan]:
    """The spans of listening in `landings`."""
    for landing in landings:
        listened = landing.request.get(LISTENED)
        if listened is None:
            continue
        groups = [frozenset(group) for group in listened["groups"]]
        for connection, group, start, end, ended_by in listened["spans"]:
            first, last = datetime.fromisoformat(start), datetime.fromisoformat(end)
            yield HeardSpan(connection, groups[group], first, last, ended_by)


def refused_of(landings: Iterable[Landing]) -> Mapping[tuple[str, date], str]:
    """Instruments whose subscription was refused, by day, with the venue's words."""
    found: dict[tuple[str, date], str] = {}
    for landing in landings:
        listened = landing.request.get(LISTENED)
        if listened is not None:
            day = datetime.fromisoformat(landing.request["span"][0]).date()
            found |= {(name, day): message for name, message in listened["refused"].items()}
    return found


def seconds_heard(spans: Sequence[HeardSpan], refused: Iterable[tuple[str, date]] = ()) -> list[Heard]:
    """Seconds listened by instrument and day, overlapping connections counted once, and the mean over all instruments of the day
    as EVERY_INSTRUMENT. A refused instrument was heard for no second unless a connection did hear it."""
    by_instrument: dict[str, list[int]] = {}
    for number, span in enumerate(spans):
        for name in span.instruments:
            by_instrument.setdefault(name, []).append(number)
    # Instruments of one connection share their spans: each group of spans is joined once.
    joined: dict[tuple[int, ...], list[tuple[date, float, int]]] = {}
    found: dict[tuple[str, date], Heard] = {}
    for name, numbers in by_instrument.items():
        group = tuple(numbers)
        if group not in joined:
            joined[group] = list(_by_day([spans[number] for number in group]))
        for day, seconds, pieces in joined[group]:
            found[name, day] = Heard(name, day, seconds, pieces)
    for name, day in refused:
        found.setdefault((name, day), Heard(name, day, 0.0, 0))
    rows = sorted(found.values(), key=lambda one: (one.day, one.instrument))
    return rows + list(_means(rows))


def _by_day(spans: Sequence[HeardSpan]) -> Iterator[tuple[date, float, int]]:
    bounds = sorted((span.start, span.end) for span in spans if span.end > span.start)
    union: list[tuple[datetime, datetime]] = []
    for start, end in bounds:
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(end, union[-1][1]))
        else:
            union.append((start, end))
    days: dict[date, tuple[float, int]] = {}
    for start, end in union:
        for day in Span(start, end).days:
            first = datetime(day.year, day.month, day.day)
            inside = min(end, first + timedelta(days=1)) - max(start, first)
            seconds, pieces = days.get(day, (0.0, 0))
            days[day] = (seconds + inside.total_seconds(), pieces + 1)
    yield from ((day, seconds, pieces) for day, (seconds, pieces) in sorted(days.items()))


def _means(rows: Sequence[Heard]) -> Iterator[Heard]:
    days: dict[date, list[Heard]] = {}
    for one in rows:
        if one.instrument == EVERY_INSTRUMENT:
            days.pop(one.day, None)
        days.setdefault(one.day, []).append(one)
    for day, several in sorted(days.items()):
        if not any(one.instrument == EVERY_INSTRUMENT for one in several):
            mean = sum(one.seconds for one in several) / len(several)
            yield Heard(EVERY_INSTRUMENT, day, mean, max(one.spans for one in several))
