"""The command demo: the whole product on a simulated market, without network and without a key; or, with --live, on real venues.

Venues are emulated on loopback; everything behind their addresses is what runs every day. What is planted in the market is
pipelines/sandbox/market_episodes.py; what is printed at the end, demo_report.py.
"""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator, Sequence
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
from pipelines.core.settings import Settings
from pipelines.operations.build import ensure_manifest

if TYPE_CHECKING:
    from pipelines.sandbox.market import SimulatedMarket

ASSETS: Final = ("BTC", "ETH", "SOL", "XRP", "DOGE", "AVAX")
LAST_DAY: Final = date(2025, 5, 31)
"""The last simulated day, always the same: two people with the same seed talk about the same numbers. 120 days back are four
whole months, which venues answer in the fewest pages."""

PUBLISHED_AFTER: Final = timedelta(days=9, hours=6)
"""How long after the last day's beginning the simulated fetch is made: every file of the archives is there, and final."""

CAPTURED_AT: Final = time(8, 30)
CAPTURED_DAYS: Final = 100
"""Option chains are captured once a day for so many days: the windows of 90 days before the last of them are full."""

FETCHED: Final[Sequence[tuple[str, Sequence[str], int]]] = (
    ("bybit", ("open_interest", "funding", "long_short_ratios", "candles"), 0),
    ("binance_archive", ("um_metrics", "um_candles", "spot_candles", "funding"), 0),
    ("okx", ("funding",), 61),
    ("evm_ethereum", ("aave",), 0),
    ("deribit", ("funding", "volatility_index"), 0),
    ("deribit", ("liquidations",), CAPTURED_DAYS),
)
"""Venue, feeds, and for how many of the last days (0: all): what remembers the window, and answers within the demo's time under
the venue's own limits. OKX tells of three months only, and Deribit lets twenty questions be asked in a second."""

EARLY: Final = ("binance_archive", ("um_metrics",), 4)
"""Venue, feeds and days of a first fetch that comes too early: one day's file is missing then, another is replaced later."""
EARLY_AFTER: Final = timedelta(days=2, hours=6)
"""How long after the last day's beginning the early fetch is made."""

CONNECT_SECONDS: Final = 5.0
MARKER: Final = "demo.json"


@dataclass(frozen=True)
class Plan:
    """What one demo is about; two homes with equal plans hold the same landing."""

    days: int
    seed: int | None
    last: date

    @property
    def first(self) -> date:
        return self.last - timedelta(days=self.days - 1)

    @property
    def live(self) -> bool:
        return self.seed is None


@dataclass
class SteppedClock:
    """Stands at `now` until it is set; readings differ by a microsecond, so that landings have an order."""

    now: datetime
    reads: int = field(default=0, init=False)

    def __call__(self) -> datetime:
        self.reads += 1
        return self.now + timedelta(microseconds=self.reads % 1_000_000)


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("demo")(demo)


def demo(
    *,
    days: Annotated[int, typer.Option("--days", min=7, max=365, help="Days of history.")] = 120,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same market.")] = 7,
    keep: Annotated[bool, typer.Option("--keep/--fresh", help="Go on with what an earlier demo landed.")] = True,
    live: Annotated[bool, typer.Option("--live", help="Ask the real venues instead; needs the network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")] = False,
) -> None:
    """Show the whole way on simulated venues: fetch, load, check, build, publish, and compare with what was planted.

    Needs no network and no key. All data lies in a home of its own, <home>/demo (--live: <home>/demo-live).
    """
    from pipelines.extract.landing import utc_now

    last = (utc_now() - timedelta(days=1)).date() if live else LAST_DAY
    plan = Plan(days, None if live else seed, last)
    screen = Screen()
    settings = Settings.load()
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
                _capture_now(session)
            _load_and_build(session)
        print_demo(screen, session, None, first=plan.first, last=plan.last, as_json=as_json)
    else:
        screen.note(
            f"simulated market, seed {seed}: {days} days through {last}, {len(ASSETS)} assets, venues on 127.0.0.1"
        )
        clock = SteppedClock(datetime.combine(last, time()) + PUBLISHED_AFTER)
        with _parsed_ahead(settings), _emulated(settings, plan, clock) as (market, there):
            _capture_stepwise(there, screen, plan, clock)
            with open_session(there, screen, clock=clock) as session:
                _fetch_early(session, plan, clock)
                _fetch(session, plan)
                _load_and_build(session)
        print_demo(screen, session, market, first=plan.first, last=plan.last, as_json=as_json)
    session.raise_errors()


def reachable(settings: Settings, screen: Screen) -> tuple[str, ...]:
    """The followed venues that take a connection at one of their addresses or more; a note on every address that does not.

    Retrying inside requests would take minutes to say so. Raises VenueUnavailableError, which names every address, where there
    is none.
    """
    from pipelines.sources.registry import followed_venues

    dead: dict[str, str] = {}
    names = []
    for venue in followed_venues(settings):
        addresses = {
            f"{venue.name}.{name}": settings.endpoints.get(f"{venue.name}.{name}", base)
            for name, base in venue.endpoints.items()
        }
        silent = {name: f"{base} ({why})" for name, base in addresses.items() if (why := _no_connection(base))}
        dead |= silent
        if len(silent) < len(addresses):
            names.append(venue.name)
    told = "; ".join(f"{name}: {base}" for name, base in dead.items())
    if not names:
        raise VenueUnavailableError(
            f"demo --live: no venue can be reached from here. {told}. Connect this machine to the network, name other "
            "addresses with LEVERHOUSE_ENDPOINTS, or leave --live out: the simulated demo needs no network."
        )
    if dead:
        screen.note(f"going on without what cannot be reached: {told}")
    return tuple(names)


def _no_connection(base: str) -> str | None:
    """Why nothing listens at an address; None where something does. A file:// mirror is looked for on the disk."""
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
    """Make the demo's home; begin anew where it holds a demo of another plan. Nothing but a demo is ever removed.

    Raises ConfigError where the home holds something else.
    """
    home = settings.root
    marker = home / MARKER
    # A live demo goes on day after day; a simulated one is of one market.
    mark: dict[str, object] = (
        {"live": True} if plan.live else {"simulated": True, **asdict(plan), "last": str(plan.last)}
    )
    if home.is_dir() and any(home.iterdir()):
        if not marker.is_file():
            raise ConfigError(
                f"demo: {home} is not empty and holds no demo. Move it away, or set another LEVERHOUSE_HOME."
            )
        if fresh or json.loads(marker.read_text(encoding="utf-8")) != mark:
            screen.note(f"beginning anew in {home}")
            _empty(home, marker)
    home.mkdir(parents=True, exist_ok=True)
    marker.write_text(json.dumps(mark) + "\n", encoding="utf-8")


def _empty(home: Path, marker: Path) -> None:
    """The marker goes last: a demo that is killed here is still known as one."""
    for path in home.iterdir():
        if path != marker:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def _emulated(settings: Settings, plan: Plan, clock: SteppedClock) -> Iterator[tuple[SimulatedMarket, Settings]]:
    """The simulated market behind the venues' addresses, and settings with those addresses."""
    from pipelines.sandbox import market_archive
    from pipelines.sandbox.emulator import Emulator
    from pipelines.sandbox.market import SimulatedMarket
    from pipelines.sandbox.venues import evm

    market = SimulatedMarket(plan.first, plan.last, seed=plan.seed or 0, assets=ASSETS)
    routes = {
        market_archive.NAME: market_archive.routes(market),
        # Where nodes of one's own are named, they are asked instead of the portal.
        **{
            venue: [r for r in evm.ROUTES if r.endpoint == "portal"]
            for venue in settings.venues
            if venue.startswith("evm_")
        },
    }
    with Emulator(market, settings.venues, now=lambda: clock.now, routes=routes) as emulator:
        yield market, settings.model_copy(update={"endpoints": dict(emulator.endpoints)})


@contextmanager
def _parsed_ahead(settings: Settings) -> Iterator[None]:
    """dbt parses the project beside what comes before the definitions, which need it: nine seconds in a process of its own.

    Where it fails, the session tries it again and says why.
    """
    with ThreadPoolExecutor(1) as beside:
        beside.submit(ensure_manifest, settings)
        yield


def _capture_stepwise(settings: Settings, screen: Screen, plan: Plan, clock: SteppedClock) -> None:
    """Capture Deribit's chains as if once a day: venues tell of the present only, so the clock is what moves.

    A scheduler makes one run of each; here the same function is called, since a hundred runs would be mostly Dagster's.
    """
    from pipelines.operations.fetch import fetch

    after = clock.now
    days = min(plan.days, CAPTURED_DAYS)
    with Bar(screen) as bar:
        for number in range(days):
            clock.now = datetime.combine(plan.last - timedelta(days=days - 1 - number), CAPTURED_AT)
            bar.show("deribit.option_chain", number, days)
            for report in fetch(settings, "deribit", ["option_chain"], clock=clock):
                report.raise_failures()
        bar.line(f"captured deribit.option_chain: {days} days at {CAPTURED_AT:%H:%M}")
    clock.now = after


def _fetch_early(session: Session, plan: Plan, clock: SteppedClock) -> None:
    """Fetch EARLY as a scheduler does day by day; what the archive corrects since then is what a later fetch brings."""
    after = clock.now
    clock.now = datetime.combine(plan.last, time()) + EARLY_AFTER
    _run(session, plan, *EARLY)
    clock.now = after


def _capture_now(session: Session) -> None:
    from pipelines.defs.common import feed_key
    from pipelines.defs.jobs import capture_job

    session.run(capture_job("deribit"), assets=[feed_key("deribit", "option_chain")])


def _fetch(session: Session, plan: Plan) -> None:
    """Run the fetch jobs of FETCHED."""
    for venue, feeds, newest in (one for one in FETCHED if one[0] in session.settings.venues):
        _run(session, plan, venue, feeds, newest)


def _run(session: Session, plan: Plan, venue: str, feeds: Sequence[str], newest: int) -> None:
    from pipelines.defs.common import feed_key
    from pipelines.defs.jobs import fetch_job
    from pipelines.defs.venues import step_name

    first = max(plan.first, plan.last - timedelta(days=newest - 1)) if newest else plan.first
    config = {"first": str(first), "last": str(plan.last), "assets": list(ASSETS), "again": False}
    session.run(
        fetch_job(venue),
        assets=[feed_key(venue, feed) for feed in feeds],
        config={"ops": {step_name(venue, "daily"): {"config": config}}},
    )


def _load_and_build(session: Session) -> None:
    from pipelines.defs.jobs import BUILD, LOAD

    session.run(LOAD)
    session.run(BUILD)
