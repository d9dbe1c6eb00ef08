"""The command that records public websocket streams: `leverhouse record`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipelines.cli.screen import Screen
from pipelines.core.errors import ConfigError
from pipelines.core.settings import Settings

if TYPE_CHECKING:
    from pipelines.operations.record import Recording
    from pipelines.recorder.state import State

Venues = Annotated[list[str] | None, typer.Argument(metavar="VENUE...", help="Venues; default: all with a stream.")]
For = Annotated[str | None, typer.Option("--for", metavar="TIME", help="Stop after this time: 60s, 10m, 24h.")]

Verify = Annotated[
    str | None,
    typer.Option("--verify", metavar="VENUE", help="Record nothing; match what was recorded with fetched REST rows."),
]

_TIME: Final = re.compile(r"(?P<count>\d+(?:\.\d+)?)(?P<unit>[smhd])")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("record")(record)


def record(venues: Venues = None, *, duration: For = None, check: Verify = None) -> None:
    """Record liquidations that venues publish on websockets only, until stopped (Ctrl-C, SIGTERM). Needs no key.

    Every frame is kept as received and landed each hour; load it with `leverhouse run`. What was listened to is landed too, so that
    a quiet hour and an unheard one differ. Two recorders, on one machine or two, give every event once.
    """
    from pipelines.operations.record import record as run
    from pipelines.operations.verify_stream import verdict, verify

    settings = Settings.load()
    if check is not None:
        if venues or duration:
            raise ConfigError("record: --verify compares what is landed; give it without other arguments.")
        Screen().text(f"{check}: {verdict(verify(settings, check))}")
        return
    seconds = None if duration is None else seconds_of(duration)
    screen = Screen()
    shown: dict[str, str] = {}

    def show(states: Sequence[State]) -> None:
        for state in states:
            line = state_line(state, state.written_at)
            # Only what changed, without the counters: this runs for months.
            key = line.partition(":")[2].partition(",")[0]
            if shown.get(state.source) != key:
                shown[state.source] = key
                screen.note(line)

    found = run(settings, venues or (), seconds=seconds, on_state=show)
    for one in found:
        screen.text(result_line(one))
    errors = [one.error for one in found if one.error is not None]
    if errors:
        raise errors[0]


def seconds_of(text: str) -> float:
    """Seconds of a time such as 60s, 10m or 24h. Raises ConfigError."""
    match = _TIME.fullmatch(text.strip())
    if match is None or not float(match["count"]):
        raise ConfigError(f"record: {text!r} is no time; write a number and a unit, such as 60s, 10m or 24h.")
    return float(match["count"]) * _SECONDS[match["unit"]]


def state_line(state: State, now: datetime) -> str:
    """A recorder in one line: what it does, its newest frame, what is wrong."""
    faults = state.faults(now)
    heard, wanted = sum(one.heard for one in state.connections), sum(one.wanted for one in state.connections)
    what = "; ".join(faults) if faults else f"listening to {heard} of {wanted} topics"
    last = state.last_frame_at
    age = f", last frame {(now - last).total_seconds():.0f} s ago" if last is not None else ", no frame yet"
    return f"{state.source}: {what}{age}"


def result_line(one: Recording) -> str:
    """What a recorder has landed, in one line."""
    kept = sum(landing.bytes for landing in one.landed)
    return f"recorded {one.source}: {one.state.frames:,} frames, {len(one.landed)} segments landed, {kept:,} bytes"
