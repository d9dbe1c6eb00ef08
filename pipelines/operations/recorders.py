"""How the recorders of a home are doing: what status, doctor and Dagster say of them. Reads files, opens no database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.extract.listening import heard_of, seconds_heard
from pipelines.extract.stream import EVERY_INSTRUMENT
from pipelines.recorder.seal import open_spans
from pipelines.recorder.segment import SUFFIX, folder_of
from pipelines.recorder.state import State, states


@dataclass(frozen=True)
class RecorderReport:
    """A recorded stream: `listened_today` is the share of the UTC day so far; `faults` is what is wrong, in words."""

    source: str
    recorder: str
    is_running: bool
    last_frame_seconds: float | None
    listened_today: float
    topics: str
    faults: tuple[str, ...]

    @property
    def line(self) -> str:
        """The report as one sentence."""
        venue = self.source.partition(".")[0]
        last = "no frame yet" if self.last_frame_seconds is None else f"last frame {self.last_frame_seconds:.0f} s ago"
        heard = f"recorder of {venue}: {last}, listened {100 * self.listened_today:.2f}% today"
        return heard + "".join(f"; {fault}" for fault in self.faults)


def recorder_reports(settings: Settings, now: datetime) -> list[RecorderReport]:
    """A report per recorder that runs or ran in the last week; empty where nothing was ever recorded."""
    found = states(settings.root, now)
    if not found:
        return []
    store = LandingStore(settings.root)
    shares = {source: _listened(store, source, now) for source in {state.source for state in found}}
    return [_report(state, shares[state.source], now) for state in found]


def _report(state: State, listened: float, now: datetime) -> RecorderReport:
    last = state.last_frame_at
    heard, wanted = (sum(getattr(one, name) for one in state.connections) for name in ("heard", "wanted"))
    return RecorderReport(
        source=state.source,
        recorder=state.recorder,
        is_running=state.is_running(now),
        last_frame_seconds=None if last is None else max(0.0, (now - last).total_seconds()),
        listened_today=listened,
        topics=f"{heard} of {wanted}",
        faults=tuple(state.faults(now)),
    )


def _listened(store: LandingStore, source: str, now: datetime) -> float:
    """Share of the UTC day so far in which the stream was heard, by landed and open segments."""
    today = now.date()
    landed = [landing for landing in store.current(source) if landing.partition == f"{today:%Y-%m-%d}"]
    spans = list(heard_of(landed))
    for path in folder_of(store.home, source).glob(f"*{SUFFIX}"):
        spans += open_spans(path)
    elapsed = (now - datetime(today.year, today.month, today.day)).total_seconds()
    seconds = [one.seconds for one in seconds_heard(spans) if one.instrument == EVERY_INSTRUMENT and one.day == today]
    return min(1.0, seconds[0] / elapsed) if seconds and elapsed > 0 else 0.0
