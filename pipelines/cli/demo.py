"""The command demo: the whole pipeline on a simulated market, without network and without a key; with --live, on real venues.

Venues are emulated on loopback; everything else runs as in production. pipelines/sandbox/market_episodes.py defines what is
planted in the market, demo_report.py prints the report.
"""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from pipelines.cli.demo_report import print_demo
from pipelines.cli.screen import Bar, Screen
from pipelines.cli.session import Session, open_session
from pipelines.core.errors import ConfigError, VenueUnavailableError
from pipelines.core.files import make_home, write_atomically
from pipelines.core.home_kind import DEMO_MARKER, is_marked, mark_home
from pipelines.core.paths import require_writable
from pipelines.core.settings import Settings
from pipelines.operations.build import ensure_manifest

if TYPE_CHECKING:
    from pipelines.sandbox.market import SimulatedMarket

ASSETS: Final = ("BTC", "ETH", "SOL", "XRP", "DOGE", "AVAX")
LAST_DAY: Final = date(2025, 5, 31)
"""The last simulated day, fixed so that equal seeds give equal numbers. The 120 days up to it are four whole months, which
venues serve in the fewest pages."""

PAST_DAYS: Final = 310
"""Days before the first fetched one that a vendor's files tell of, by day: with them the windows of a year are full."""

PUBLISHED_AFTER: Final = timedelta(days=9, hours=6)
"""Time of the simulated fetch, after the start of the last day: all archive files are published and final."""

CAPTURED_AT: Final = time(8, 30)
CAPTURED_DAYS: Final = 100
"""Option chains are captured once a day for this many days: the 90-day windows before the last of them are full."""
CAPTURED_HOURLY: Final = 2
"""Last days of which every hour is captured, as a schedule would."""
CAPTURED: Final[Mapping[str, Sequence[str]]] = {"deribit": ("option_chain",)}
CAPTURED_ONCE: Final[Mapping[str, Sequence[str]]] = {"bybit": ("risk_tiers",)}
"""Feeds by venue: captured with each of those instants, and on the first of those days only."""

FETCHED: Final[Sequence[tuple[str, Sequence[str], int | None]]] = (
    ("bybit", ("open_interest", "funding", "long_short_ratios", "candles"), 0),
    ("binance_archive", ("um_metrics", "um_candles", "spot_candles", "funding"), 0),
    ("okx", ("funding",), 61),
    ("evm_ethereum", ("aave",), 0),
    ("evm_ethereum", ("comet",), 31),
    ("deribit", ("funding", "volatility_index"), 0),
    ("deribit", ("liquidations",), CAPTURED_DAYS),
)
"""Venue, feeds, and number of last days (0: those of the plan, None: the past as well): feeds that keep that much history and can
be fetched within the demo's time under the venue's rate limits. OKX serves three months only, and Deribit allows twenty requests
per second."""

EARLY: Final = ("binance_archive", ("um_metrics",), 4)
"""Venue, feeds and days of an early fetch: the file of one day is not yet published, another is replaced later."""
EARLY_AFTER: Final = timedelta(days=2, hours=6)
"""Time of the early fetch, after the start of the last day."""

CONNECT_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Plan:
    """Parameters of a demo; equal plans give the same landing."""

    days: int
    seed: int | None
    last: date

    @property
    def first(self) -> date:
        return self.last - timedelta(days=self.days - 1)

    @property
    def live(self) -> bool:
        return self.seed is None

    @property
    def begin(self) -> date:
        """The first day of the past, which a live demo has none of."""
        return self.first if self.live else self.first - timedelta(days=PAST_DAYS)


@dataclass
class SteppedClock:
    """A clock that stays at `now` until it is set; successive readings differ by a microsecond to keep landings ordered."""

    now: datetime
    reads: int = field(default=0, init=False)

    def __call__(self) -> datetime:
        self.reads += 1
        return self.now + timedelta(microseconds=self.reads % 1_000_000)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    *,
    days: Annotated[int, typer.Option("--days", min=7, max=365, help="Days of history.")] = 120,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same market.")] = 70,
    keep: Annotated[
        bool, typer.Option("--keep/--fresh", help="Continue with the data of an earlier demo, or start over.")
    ] = True,
    live: Annotated[bool, typer.Option("--live", help="Use the real venues; needs network access.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")] = False,
) -> None:
    """Run the whole pipeline on simulated venues: fetch, load, check, build, publish, compare with what was planted.

    Needs no network and no key. Data is stored in a separate home, <home>/demo (--live: <home>/demo-live).
    """
    from pipelines.extract.landing import utc_now

    last = (utc_now() - timedelta(days=1)).date() if live else LAST_DAY
    plan = Plan(days, None if live else seed, last)
    screen = Screen()
    settings = Settings.load()
    require_writable(settings)
    settings = settings.model_copy(
        update={
            "home": settings.root / ("demo-live" if live else "demo"),
            "mappings": None,
            "assets": ASSETS,
            "venues": tuple(dict.fromkeys(venue for venue, _, _ in FETCHED)),
        }
    )
    if live:
        settings = settings.model_copy(update={"venues": reachable(settings, screen)})
    _prepare(settings, plan, screen, fresh=not keep)
    if live:
        with open_session(settings, screen) as session:
            _fetch(session, plan)
            if "deribit" in settings.venues:
                _capture_now(session, plan)
            _load_and_build(session)
        print_demo(screen, session, None, first=plan.first, last=plan.last, as_json=as_json)
    else:
        screen.note(
            f"simulated market, seed {seed}: {days} days through {last}, {len(ASSETS)} assets, venues on 127.0.0.1"
        )
        clock = SteppedClock(datetime.combine(last, time()) + PUBLISHED_AFTER)
        from pipelines.sandbox.market_history import MAPPING

        with _parsing_dbt(settings), _emulated(settings, plan, clock) as (market, emulated):
            _capture(emulated, screen, plan, clock)
            with open_session(emulated, screen, clock=clock, mappings=[MAPPING]) as session:
                _fetch_early(session, plan, clock)
                _fetch(session, plan)
                _import_past(session, plan, market)
                _build(session)
        print_demo(screen, session, market, first=plan.first, last=plan.last, as_json=as_json)
    session.raise_errors()


def reachable(settings: Settings, screen: Screen) -> tuple[str, ...]:
    """The followed venues that accept a connection at one of their base URLs; prints a note for each URL that does not.

    Finding this out by retried requests would take minutes. Raises VenueUnavailableError naming every URL if no venue can be
    reached.
    """
    from pipelines.sources.registry import followed_venues

    unreachable: dict[str, str] = {}
    names = []
    for venue in followed_venues(settings):
        addresses = {
            f"{venue.name}.{name}": settings.endpoints.get(f"{venue.name}.{name}", base)
            for name, base in venue.endpoints.items()
        }
        failed = {name: f"{base} ({reason})" for name, base in addresses.items() if (reason := _connect_error(base))}
        unreachable |= failed
        if len(failed) < len(addresses):
            names.append(venue.name)
    message = "; ".join(f"{name}: {base}" for name, base in unreachable.items())
    if not names:
        raise VenueUnavailableError(
            f"demo --live: no venue can be reached. {message}. Connect this machine to the network, set other "
            "addresses with LEVERHOUSE_ENDPOINTS, or omit --live: the simulated demo needs no network."
        )
    if unreachable:
        screen.note(f"continuing without unreachable endpoints: {message}")
    return tuple(names)


def _connect_error(base: str) -> str | None:
    """Why no connection to the base URL is possible, or None. For a file:// mirror, whether the folder exists."""
    parts = urlsplit(base)
    if parts.scheme == "file":
        return None if Path(parts.path).is_dir() else "no such folder"
    port = parts.port or {"http": 80}.get(parts.scheme, 443)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS):
            return None
    except OSError as error:
        return " ".join(str(error).split())


def _prepare(settings: Settings, plan: Plan, screen: Screen, *, fresh: bool) -> None:
    """Create the demo's home; empty it if it contains a demo of another plan. Only a demo is ever removed.

    Raises ConfigError if the home contains anything else.
    """
    home = settings.root
    marker = home / DEMO_MARKER
    # A live demo can be continued on later days; a simulated one belongs to one market.
    mark: dict[str, object] = (
        {"live": True} if plan.live else {"simulated": True, **asdict(plan), "last": str(plan.last)}
    )
    if home.is_dir() and any(home.iterdir()):
        if not marker.is_file():
            raise ConfigError(
                f"demo: {home} is not empty and contains no demo. Move it away, or set another LEVERHOUSE_HOME."
            )
        # What a demo of an older version landed does not say that it is simulated.
        is_old = not plan.live and not is_marked(home)
        if fresh or is_old or _mark(marker) != mark:
            screen.note(f"starting over in {home}")
            _empty(home, marker)
    make_home(home.parent)
    make_home(home)
    write_atomically(marker, f"{json.dumps(mark)}\n".encode())
    mark_home(home, "real" if plan.live else "simulated")


def _mark(marker: Path) -> object:
    """What a home was made for; None where that can no longer be read, which is the plan of no demo."""
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        return None


def _empty(home: Path, marker: Path) -> None:
    """Remove everything but the marker, so that a demo killed here is still recognized as one."""
    for path in home.iterdir():
        if path != marker:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def _emulated(settings: Settings, plan: Plan, clock: SteppedClock) -> Iterator[tuple[SimulatedMarket, Settings]]:
    """The simulated market served by emulated venues, and settings with the endpoints of the emulators."""
    from pipelines.sandbox import market_archive
    from pipelines.sandbox.emulator import Emulator
    from pipelines.sandbox.market import SimulatedMarket
    from pipelines.sandbox.venues import evm

    market = SimulatedMarket(plan.begin, plan.last, seed=plan.seed or 0, assets=ASSETS)
    routes = {
        market_archive.NAME: market_archive.routes(market),
        # Only the portal is emulated; settings that name their own nodes would use those instead.
        **{
            venue: [r for r in evm.ROUTES if r.endpoint == "portal"]
            for venue in settings.venues
            if venue.startswith("evm_")
        },
    }
    with Emulator(market, settings.venues, now=lambda: clock.now, routes=routes) as emulator:
        yield market, settings.model_copy(update={"endpoints": dict(emulator.endpoints)})


@contextmanager
def _parsing_dbt(settings: Settings) -> Iterator[None]:
    """Parse the dbt project in the background (nine seconds in a subprocess), because the definitions need it later.

    If parsing fails, the session parses again and reports the error.
    """
    with ThreadPoolExecutor(1) as executor:
        executor.submit(ensure_manifest, settings)
        yield


def _capture(settings: Settings, screen: Screen, plan: Plan, clock: SteppedClock) -> None:
    """Capture what has no history at every instant of _capture_times: captures are of the current state, so the clock is advanced.

    A scheduler would start a run for each; this calls the same function, because a hundred runs would mostly be overhead of
    Dagster.
    """
    from pipelines.operations.fetch import fetch

    before = clock.now
    times = _capture_times(plan)
    with Bar(screen) as bar:
        for number, clock.now in enumerate(times):
            bar.show("captures", number, len(times))
            captured = CAPTURED if number else {**CAPTURED, **CAPTURED_ONCE}
            for venue, feeds in captured.items():
                for report in fetch(settings, venue, feeds, clock=clock):
                    report.raise_failures()
        names = ", ".join(f"{venue}.{name}" for venue, feeds in CAPTURED.items() for name in feeds)
        bar.line(f"captured {names}: {len(times)} times, of the last {CAPTURED_HOURLY} days every hour")
    clock.now = before


def _capture_times(plan: Plan) -> list[datetime]:
    """CAPTURED_AT of every day, and of the last days the same minute of every hour."""
    days = [plan.last - timedelta(days=back) for back in reversed(range(min(plan.days, CAPTURED_DAYS)))]
    daily, hourly = days[:-CAPTURED_HOURLY], days[-CAPTURED_HOURLY:]
    return [
        *(datetime.combine(day, CAPTURED_AT) for day in daily),
        *(datetime.combine(day, time(hour, CAPTURED_AT.minute)) for day in hourly for hour in range(24)),
    ]


def _fetch_early(session: Session, plan: Plan, clock: SteppedClock) -> None:
    """Fetch EARLY as a daily schedule would; the later fetch lands what the archive has corrected since."""
    before = clock.now
    clock.now = datetime.combine(plan.last, time()) + EARLY_AFTER
    _run(session, plan, *EARLY)
    clock.now = before


def _capture_now(session: Session, plan: Plan) -> None:
    from pipelines.defs.jobs import capture_job
    from pipelines.defs.venues import step_name

    # With a day, nothing is planned: a home of simulated venues waits for no later hour.
    config = {"feeds": ["option_chain"], "first": str(plan.last)}
    session.run(capture_job("deribit"), config={"ops": {step_name("deribit", "capture"): {"config": config}}})


def _fetch(session: Session, plan: Plan) -> None:
    """Run the fetch jobs of FETCHED."""
    for venue, feeds, newest in (entry for entry in FETCHED if entry[0] in session.settings.venues):
        _run(session, plan, venue, feeds, newest)


def _run(session: Session, plan: Plan, venue: str, feeds: Sequence[str], newest: int | None) -> None:
    from pipelines.defs.jobs import fetch_job
    from pipelines.defs.venues import step_name

    first = plan.begin if newest is None else plan.first
    if newest:
        first = max(first, plan.last - timedelta(days=newest - 1))
    config = {
        "feeds": list(feeds), "first": str(first), "last": str(plan.last), "assets": list(ASSETS), "again": False,
    }  # fmt: skip
    session.run(fetch_job(venue), config={"ops": {step_name(venue, "daily"): {"config": config}}})


def _import_past(session: Session, plan: Plan, market: SimulatedMarket) -> None:
    """Import the vendor's files as a user would, and load everything that was fetched."""
    import tempfile

    from pipelines.defs.common import raw_key
    from pipelines.defs.jobs import INGEST_FILES
    from pipelines.sandbox.market_history import DATA_SET, write_history

    with tempfile.TemporaryDirectory(dir=session.settings.scratch_dir) as folder:
        files = write_history(market, Path(folder), own_history_from=plan.first)
        key = raw_key(DATA_SET)
        config = {"ops": {key.to_python_identifier(): {"config": {"files": [str(path) for path in files]}}}}
        session.run(INGEST_FILES, assets=[key, *session.clean_keys()], config=config)


def _load_and_build(session: Session) -> None:
    from pipelines.defs.jobs import LOAD

    session.run(LOAD)
    _build(session)


def _build(session: Session) -> None:
    from pipelines.defs.jobs import BUILD

    session.run(BUILD)
