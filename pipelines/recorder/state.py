"""What a running recorder says of itself, every few seconds, in a file beside its segments; status, doctor and Dagster read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from pipelines.extract.landing_files import replace_text
from pipelines.recorder.segment import FOLDER, folder_of

SUFFIX: Final = ".state.json"
STALE_AFTER: Final = timedelta(seconds=30)
"""A recorder that has not written for so long does not run."""

KEPT: Final = timedelta(days=7)
CHURN: Final = 5
"""So many reconnections in ten minutes are a fault by themselves: each looks like a calm market."""


@dataclass(frozen=True)
class ConnectionState:
    """A connection: its state, topics heard of those wanted, the refused ones, its last frame and its last sign of life."""

    name: str
    channel: str
    state: str
    heard: int
    wanted: int
    refused: tuple[str, ...]
    last_frame_at: datetime | None
    alive_at: datetime | None


@dataclass(frozen=True)
class State:
    """A recorder of one stream. `reconnects` are those of the last ten minutes."""

    source: str
    recorder: str
    started_at: datetime
    written_at: datetime
    frames: int
    reconnects: int
    problem: str | None
    connections: tuple[ConnectionState, ...]

    def is_running(self, now: datetime) -> bool:
        return now - self.written_at <= STALE_AFTER

    @property
    def last_frame_at(self) -> datetime | None:
        return max((one.last_frame_at for one in self.connections if one.last_frame_at), default=None)

    def faults(self, now: datetime) -> list[str]:
        """What is wrong with it, in words; nothing if all is well."""
        if not self.is_running(now):
            return [f"not running since {self.written_at:%Y-%m-%d %H:%M:%S}"]
        found = [self.problem] if self.problem else []
        listening = [one for one in self.connections if one.state == "listening"]
        if not listening:
            states = ", ".join(sorted({one.state for one in self.connections})) or "no connection"
            found.append(f"not listening: {states}")
        if self.reconnects >= CHURN:
            found.append(f"{self.reconnects} reconnections in ten minutes")
        if refused := sorted({topic for one in self.connections for topic in one.refused}):
            found.append(f"refused: {', '.join(refused[:5])}{' …' if len(refused) > 5 else ''}")
        return found


def write_state(home: Path, state: State) -> None:
    """Replace the state of a recorder."""
    path = folder_of(home, state.source) / f"{state.recorder}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, orjson.dumps(asdict(state)).decode())


def states(home: Path, now: datetime) -> list[State]:
    """The newest state of every source, running recorders before others; states older than a week are left out."""
    found = [state for path in sorted((home / FOLDER).glob(f"*/*{SUFFIX}")) if (state := _read(path)) is not None]
    newest: dict[str, State] = {}
    for state in sorted(found, key=lambda state: (state.is_running(now), state.written_at)):
        if now - state.written_at <= KEPT:
            newest[state.source] = state
    running = [state for state in found if state.is_running(now) and newest.get(state.source) is not state]
    return sorted((*newest.values(), *running), key=lambda state: (state.source, state.recorder))


def remove_old_states(home: Path, now: datetime) -> None:
    """Remove the states of recorders that ended more than a week ago."""
    for path in (home / FOLDER).glob(f"*/*{SUFFIX}"):
        state = _read(path)
        if state is None or now - state.written_at > KEPT:
            path.unlink(missing_ok=True)


def _read(path: Path) -> State | None:
    try:
        data: dict[str, Any] = orjson.loads(path.read_bytes())
        connections = tuple(_connection(one) for one in data.pop("connections"))
        data |= {name: datetime.fromisoformat(data[name]) for name in ("started_at", "written_at")}
        return State(**data, connections=connections)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _connection(data: dict[str, Any]) -> ConnectionState:
    moments = {
        name: None if data[name] is None else datetime.fromisoformat(data[name])
        for name in ("last_frame_at", "alive_at")
    }
    return ConnectionState(**{**data, **moments, "refused": tuple(data["refused"])})


def followed(home: Path) -> Iterator[str]:
    """Sources that were ever recorded in this home."""
    yield from sorted(path.name for path in (home / FOLDER).glob("*") if path.is_dir())
