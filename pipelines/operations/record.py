"""Recording: opens the recorders of the chosen venues in one event loop, with their instruments and addresses. Loads nothing."""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import aiohttp
import polars as pl

from pipelines.core.errors import ConfigError, LeverhouseError, MachineError
from pipelines.core.home_kind import check_endpoints_are_emulated
from pipelines.core.limits import in_force
from pipelines.core.settings import Settings
from pipelines.extract.landing import Landing, LandingStore
from pipelines.extract.stream import Stream
from pipelines.extract.venue import WHOLE_VENUE, Context, Job, Page, Span, Venue
from pipelines.operations.fetch import fetch_due
from pipelines.operations.venue_api import open_venue
from pipelines.recorder.session import Recorder
from pipelines.recorder.state import State, remove_old_states
from pipelines.recorder.times import Times
from pipelines.sources import registry
from pipelines.sources.instruments import INSTRUMENTS, InstrumentHistory
from pipelines.sources.records import FIRST_TIME

LONGEST_START: Final = 60.0


@dataclass(frozen=True)
class Recording:
    """What one recorder did: segments landed, its last state, and the error that ended it."""

    source: str
    landed: tuple[Landing, ...]
    state: State
    error: LeverhouseError | None = None


@dataclass
class Session:
    """Recorders of several streams, run together until `stop` or for a time."""

    settings: Settings
    streams: Sequence[tuple[Venue, Stream]]
    times: Times = field(default_factory=Times)
    seconds: float | None = None
    on_state: Callable[[Sequence[State]], None] = lambda states: None

    async def run(self) -> list[Recording]:
        """Record. A stream whose recorder fails does not stop the others."""
        store = LandingStore(self.settings.root)
        name = secrets.token_hex(4)
        remove_old_states(self.settings.root, self.times.now())
        loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession() as http:
            recorders = [self._recorder(store, venue, stream, name, http) for venue, stream in self.streams]

            def stop() -> None:
                for one in recorders:
                    one.stop()

            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop)
            shown = asyncio.create_task(self._show(recorders))
            timed = asyncio.create_task(self._stop_in_time(recorders, stop))
            try:
                results = await asyncio.gather(*(one.run() for one in recorders), return_exceptions=True)
            finally:
                shown.cancel()
                timed.cancel()
                for number in (signal.SIGTERM, signal.SIGINT):
                    loop.remove_signal_handler(number)
        found = []
        for one, result in zip(recorders, results, strict=True):
            error = _first_error(result)
            found.append(Recording(one.source, tuple(one.landed), one.state, error))
        return found

    async def _show(self, recorders: Sequence[Recorder]) -> None:
        while True:
            await asyncio.sleep(2.0)
            self.on_state([one.state for one in recorders])

    async def _stop_in_time(self, recorders: Sequence[Recorder], stop: Callable[[], None]) -> None:
        """Stop after `seconds` of listening: until every stream is heard, or says why not, no time is counted, up to a minute."""
        if self.seconds is None:
            return
        until = self.times.monotonic() + LONGEST_START
        while self.times.monotonic() < until and not all(_has_begun(one.state) for one in recorders):
            await asyncio.sleep(0.1)
        await asyncio.sleep(self.seconds)
        stop()

    def _recorder(
        self, store: LandingStore, venue: Venue, stream: Stream, name: str, http: aiohttp.ClientSession
    ) -> Recorder:
        endpoints = {**stream.endpoints, **self.settings.endpoints_of(venue.name)}
        check_endpoints_are_emulated(self.settings.root, venue.name, endpoints)
        return Recorder(
            store,
            venue.name,
            stream,
            Listed(self.settings, venue, store, self.times, stream.numbers),
            name,
            http,
            self.times,
            endpoints,
        )


@dataclass
class Listed:
    """The instruments of a venue that are listed now. What it lists no more, and what has ended, is not among them."""

    settings: Settings
    venue: Venue
    store: LandingStore
    times: Times
    numbers: Callable[[Sequence[Page]], Mapping[str, str]] | None = None

    async def __call__(self) -> pl.DataFrame:
        return await asyncio.to_thread(self._listed)

    def _listed(self) -> pl.DataFrame:
        """Lands the list once a day, as fetching does, and again as soon as it has an instrument that no landed list has, since the
        load reads the landed ones."""
        now = self.times.now()
        error: LeverhouseError | None = None
        numbers: Mapping[str, str] = {}
        with in_force(self.settings.limits):
            try:
                self._land(again=False)
                listed, numbers = asyncio.run(self._ask(now))
            except LeverhouseError as failed:
                if self.numbers is not None:
                    raise
                error, listed = failed, frozenset()
            found = self._landed(now)
            if listed - set(found["instrument"]):
                self._land(again=True)
                found = self._landed(now)
        if found.is_empty() and error is not None:
            raise error
        ended = pl.col("delisted_at").is_not_null() & (pl.col("delisted_at") <= now)
        gone = pl.lit(value=False) if not listed else ~pl.col("instrument").is_in(list(listed))
        current = found.filter(~ended, ~gone)
        if self.numbers is None:
            return current
        number = pl.col("instrument").replace_strict(numbers, default=None, return_dtype=pl.String)
        return current.with_columns(number.alias("number"))

    def _land(self, *, again: bool) -> None:
        """Capture the list into the landing. Raises LeverhouseError."""
        reports = fetch_due(
            self.settings, self.venue.name, [INSTRUMENTS], cadence="capture", again=again, clock=self.times.now
        )
        for report in reports:
            if report.source == f"{self.venue.name}.{INSTRUMENTS}":
                report.raise_failures()

    def _landed(self, now: datetime) -> pl.DataFrame:
        history = registry.instrument_history(self.store, self.venue)
        return history.at(Span(FIRST_TIME, now + timedelta(days=1)))

    async def _ask(self, now: datetime) -> tuple[frozenset[str], Mapping[str, str]]:
        """Names of the instruments that the venue lists now, and their numbers where topics have some; nothing is landed."""
        feed = self.venue.feed(INSTRUMENTS)
        span = Span(now, now + timedelta(hours=1))
        newest = self.store.newest_stamp(self.venue.source(feed))
        async with open_venue(self.settings, self.venue, retry=None, clock=self.times.now, newest_stamp=newest) as api:
            pages = [page async for page in feed.fetch(api, Job(WHOLE_VENUE, span))]
        context = Context(self.venue.name, now, span, InstrumentHistory.none())
        rows = [parsed.rows for parsed in feed.parse(pages, context) if parsed.table == INSTRUMENTS]
        names = frozenset(name for frame in rows for name in frame["instrument"])
        return names, self.numbers(pages) if self.numbers is not None else {}


def record(
    settings: Settings,
    names: Sequence[str] = (),
    *,
    seconds: float | None = None,
    times: Times | None = None,
    on_state: Callable[[Sequence[State]], None] = lambda states: None,
) -> list[Recording]:
    """Record the streams of the venues `names` (all that have one by default) until a signal, or for some seconds.

    Raises ConfigError for a venue that is unknown or has no stream.
    """
    registry.check_endpoints(settings)
    session = Session(settings, chosen_streams(names), times or Times(), seconds, on_state)
    with in_force(settings.limits):
        return asyncio.run(session.run())


@dataclass(frozen=True)
class Trial:
    """What some seconds of a stream brought: `words` says it in a line, `faults` what is wrong."""

    source: str
    words: str
    faults: tuple[str, ...]


def try_stream(settings: Settings, venue: Venue, stream: Stream, *, seconds: float = 5.0) -> Trial:
    """Listen to a stream for some seconds in a home of its own, which is removed: nothing of the real one changes."""
    with tempfile.TemporaryDirectory(prefix="leverhouse-trial-") as folder:
        states: dict[str, State] = {}

        def keep(found: Sequence[State]) -> None:
            # A recorder that has stopped has no connections left to tell of.
            states.update({one.source: one for one in found if one.connections})

        trial = settings.model_copy(update={"home": Path(folder)})
        with in_force(settings.limits):
            (done,) = asyncio.run(Session(trial, [(venue, stream)], Times(), seconds, keep).run())
        state = states.get(done.source, done.state)
    faults = [*state.faults(state.written_at), *([str(done.error)] if done.error else [])]
    heard, wanted = (sum(getattr(one, name) for one in state.connections) for name in ("heard", "wanted"))
    words = "; ".join(faults) or f"listens to {heard} of {wanted} topics, {state.frames} frames in {seconds:.0f} s"
    return Trial(done.source, words, tuple(faults))


def chosen_streams(names: Sequence[str]) -> list[tuple[Venue, Stream]]:
    """The streams of the venues `names`; all of them without names."""
    every = list(registry.recorded_streams())
    known = sorted({venue.name for venue, _ in every})
    for name in names:
        if name not in known:
            registry.venue(name)
            raise ConfigError(
                f"{name} has no public stream of liquidations that is recorded; those that have: {', '.join(known)}."
            )
    return [(venue, stream) for venue, stream in every if not names or venue.name in names]


def _has_begun(state: State) -> bool:
    """Whether a recorder listens, or has said what keeps it from it."""
    return state.problem is not None or any(one.state == "listening" for one in state.connections)


def _first_error(result: BaseException | None) -> LeverhouseError | None:
    """The error of a recorder; what is no error of this project's is raised."""
    if result is None:
        return None
    if isinstance(result, BaseExceptionGroup):
        found = result.subgroup(lambda one: isinstance(one, LeverhouseError))
        if found is not None:
            return _first_error(next(iter(found.exceptions)))
        raise result
    if isinstance(result, LeverhouseError):
        return result
    if isinstance(result, OSError):
        return MachineError(f"the recorder could not work: {result}")
    raise result
