"""How large the parts of a home are, and how fast they grow: measured once a day, kept as one line a day. No Dagster."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pipelines.core.files import write_atomically
from pipelines.core.settings import Settings

KEPT_LINES: Final = 400
GROWTH_DAYS: Final = 30
DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True)
class Measured:
    """Bytes of every part of a home at a moment (UTC)."""

    at: datetime
    parts: Mapping[str, int]


def measure(settings: Settings, now: datetime) -> Measured:
    """The sizes of now. Files that vanish meanwhile do not count."""
    dagster = settings.dagster_home
    parts = {
        "landing": settings.raw_dir,
        "working database": settings.database,
        "published": settings.published_dir,
        "record of published rows": settings.history_dir,
        "scratch": settings.scratch_dir,
        "dbt": settings.dbt_target_dir,
        "runs and events": dagster / "history",
        "logs of runs": dagster / "storage",
        "ticks": dagster / "schedules",
        "logs": dagster / "logs",
    }
    return Measured(now, {name: size(path) for name, path in parts.items()})


def size(path: Path) -> int:
    """Bytes of a file or of everything below a folder; 0 if it is not there. Follows no link."""
    if not path.is_dir():
        return path.lstat().st_size if path.exists() else 0
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += (Path(folder) / name).lstat().st_size
            except FileNotFoundError:
                continue
    return total


def record_sizes(settings: Settings, now: datetime) -> Measured:
    """Measure and keep the result; of a day, the last measure is kept."""
    measured = measure(settings, now)
    kept = [one for one in recorded_sizes(settings) if one.at.date() != now.date()][-KEPT_LINES + 1 :]
    lines = [json.dumps({"at": one.at.isoformat(timespec="seconds"), **one.parts}) for one in (*kept, measured)]
    write_atomically(_file(settings), ("\n".join(lines) + "\n").encode())
    return measured


def recorded_sizes(settings: Settings) -> Sequence[Measured]:
    """The measures that are kept, oldest first."""
    try:
        lines = _file(settings).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    found = []
    for line in lines:
        parts = json.loads(line)
        found.append(Measured(datetime.fromisoformat(parts.pop("at")), parts))
    return tuple(found)


def growth_per_day(before: Measured, after: Measured) -> dict[str, float]:
    """Bytes a day by part between two measures; empty if they are less than a day apart."""
    days = (after.at - before.at).total_seconds() / DAY_SECONDS
    if days < 1:
        return {}
    return {name: (size - before.parts.get(name, 0)) / days for name, size in after.parts.items()}


def size_lines(settings: Settings, now: datetime) -> Sequence[str]:
    """A line per part that holds anything: its size, and its growth since the oldest measure of the last thirty days."""
    measured = measure(settings, now)
    earlier = [one for one in recorded_sizes(settings) if (now - one.at).days <= GROWTH_DAYS]
    growth = growth_per_day(earlier[0], measured) if earlier else {}
    return [
        f"{name} {size / 1e6:,.1f} MB" + (f" ({growth[name] / 1e6:+,.1f} MB a day)" if name in growth else "")
        for name, size in measured.parts.items()
        if size
    ]


def _file(settings: Settings) -> Path:
    return settings.dagster_home / "sizes.jsonl"
