"""The command doctor: checks the installation and the warehouse for problems. Changes nothing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from pipelines.cli.screen import Bar, Screen
from pipelines.core.errors import (
    ClockError,
    ConfigError,
    LeverhouseError,
    NotPermittedError,
    TransientError,
    WarehouseDamagedError,
)
from pipelines.core.files import (
    FEWEST_OPEN_FILES,
    OPEN_FILES,
    allow_open_files,
    described,
    is_machine_fault,
    machine_fault,
)
from pipelines.core.paths import dagster_yaml_is_current, environment, open_to_others, require_writable
from pipelines.core.settings import Settings
from pipelines.extract.clock import check_clock
from pipelines.extract.landing import utc_now

if TYPE_CHECKING:
    from pipelines.operations.emitters import Probed
    from pipelines.storage.status import Missing

OLDEST_PYTHON: Final = (3, 11)
OLDEST_DUCKDB: Final = (1, 5)
SPARE_BYTES: Final = 1_000_000_000
"""Free space required besides room for a second copy of the database, which rebuild and publish write."""

RECENT_DAYS: Final = 7
"""Days whose gaps are worth a finding: older ones are in the coverage, and nothing can be done about most of them."""

Verdict = Literal["ok", "wrong", "unknown"]

OUTCOMES: Final[Mapping[str, Verdict]] = {
    "held": "ok", "not contradicted": "ok", "did not hold": "wrong", "not settled": "unknown",
}  # fmt: skip
"""Verdicts on facts that only a live call can settle."""


@dataclass(frozen=True)
class Finding:
    """Result of one check, and what to do if it is wrong."""

    check: str
    verdict: Verdict
    found: str
    next_step: str = ""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    *,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Check the venues instead: a small request to every feed, seconds of every stream."
        ),
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Say of every landing that is lost or altered whether its venue still has it."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")] = False,
) -> None:
    """Check versions, home, permissions, disk, lock, mappings, landings, database, runs and snapshot for problems.

    With --live, check whether the venues respond as their modules expect: reachable, format, newest day, oldest day; and listen to
    each stream for some seconds; on each followed chain, look for liquidations by contracts that are on no list. With
    --repair, ask the venues of lost and altered landings whether they still have them. Changes nothing. The exit code is 1 if
    something is wrong.
    """
    if live and repair:
        raise ConfigError("doctor: give --live or --repair, not both.")
    settings = Settings.load()
    screen = Screen()
    check = check_live if live else check_repair if repair else check_local
    with Bar(screen) as bar:
        findings = list(check(settings, bar.show))
    if as_json:
        screen.json([asdict(finding) for finding in findings])
    else:
        screen.table(f"Warehouse {settings.root}", [asdict(finding) for finding in findings])
    screen.close()
    if any(finding.verdict == "wrong" for finding in findings):
        raise typer.Exit(1)


def check_live(settings: Settings, progress: Callable[[str, int, int], None]) -> Iterator[Finding]:
    """Results of one small request to every feed of the followed venues."""
    from pipelines.operations.emitters import probe
    from pipelines.operations.healthcheck import check_venue, settle
    from pipelines.operations.record import try_stream
    from pipelines.sources.chain.evm.chains import CHAINS
    from pipelines.sources.open_facts import open_facts
    from pipelines.sources.registry import VENUES, followed_venues

    venues = followed_venues(settings)
    for done, venue in enumerate(venues):
        progress(f"check {venue.name}", done, len(venues))
        module = VENUES[venue.name].partition(":")[0]
        results = check_venue(settings, venue)
        for result in results:
            verdict: Verdict = "ok" if result.verdict == "as expected" else "wrong"
            step = "" if verdict == "ok" else f"compare {module} with the venue's documentation"
            yield Finding(f"{result.source} {result.asked}", verdict, result.found, step)
        for fact in open_facts(venue.name):
            settled = settle(fact, results)
            where = f"{fact.venue}.{fact.feed}" if fact.feed else fact.venue
            marked = f" ({fact.place})" if fact.place else ""
            found = f"{settled.outcome}: {fact.text}{marked}"
            yield Finding(f"{where} open fact", OUTCOMES[settled.outcome], found, settled.next_step)
        for stream in venue.streams:
            heard = try_stream(settings, venue, stream)
            step = f"compare {module} with the venue's documentation" if heard.faults else ""
            yield Finding(f"{heard.source} stream", "wrong" if heard.faults else "ok", heard.words, step)
    for chain in CHAINS:
        if any(venue.name == chain.venue for venue in venues):
            yield emitters_finding(chain.venue, probe(settings, chain))


MOST_EMITTERS: Final = 10
"""Unlisted contracts that are named, those with most events first."""


def emitters_finding(venue: str, probed: Probed) -> Finding:
    """Liquidations of a day by contracts that are on no list. Forks of a protocol emit them too, so none is wrong by itself."""
    where = f"{venue} unlisted emitters"
    if probed.failure:
        return Finding(where, "unknown", f"{probed.day}: {probed.failure}", "ask again later")
    if not probed.found:
        return Finding(where, "ok", f"{probed.day}: every liquidation is of a contract that is listened to")
    named = [
        f"{one.address} ({one.logs} {one.event}, first {one.first_transaction})" for one in probed.found[:MOST_EMITTERS]
    ]
    more = f" and {len(probed.found) - MOST_EMITTERS} more" if len(probed.found) > MOST_EMITTERS else ""
    return Finding(
        where, "unknown", f"{probed.day}: {', '.join(named)}{more}",
        "look the contracts up; one of a protocol that is read belongs on its list in pipelines/sources/chain/evm",
    )  # fmt: skip


def check_repair(settings: Settings, progress: Callable[[str, int, int], None]) -> Iterator[Finding]:
    """What is wrong with landed bytes, and whether their venue still has them."""
    from pipelines.operations.held_by_venue import bad_landings

    found = False
    for bad in bad_landings(settings, progress=progress):
        found = True
        yield Finding(bad.where, "wrong", f"{bad.fault} The venue still has it: {bad.held} ({bad.why}).", bad.next_step)
    if not found:
        yield Finding("landings", "ok", "all as received")


def check_local(settings: Settings, progress: Callable[[str, int, int], None]) -> Iterator[Finding]:
    """Results of all local checks, from the Python version to the published snapshot."""
    checks: dict[str, Callable[[], Iterable[Finding]]] = {
        "python": lambda: [_python()],
        "duckdb": lambda: [_duckdb()],
        "clock": lambda: [_clock()],
        "open files": lambda: [_open_files()],
        "home": lambda: [_home(settings)],
        "permissions": lambda: [_permissions(settings)],
        "disk": lambda: [_disk(settings)],
        "sizes": lambda: [_sizes(settings)],
        "writer lock": lambda: [_lock(settings)],
        "mappings": lambda: _mappings(settings),
        "inbox": lambda: [_inbox(settings)],
        "imports": lambda: _refused_imports(settings),
        "landings": lambda: [_landings(settings, progress)],
        "refused landings": lambda: [_refused(settings)],
        "database": lambda: [_database(settings)],
        "runs": lambda: [_runs(settings)],
        "recorders": lambda: _recorders(settings),
        "snapshot": lambda: check_published(settings),
    }
    for name, check in checks.items():
        yield from _whatever_happens(name, check, settings)


def _recorders(settings: Settings) -> Iterator[Finding]:
    """A result per recorder that runs or ran in the last week; none where nothing is recorded."""
    from pipelines.operations.recorders import recorder_reports

    for report in recorder_reports(settings, utc_now()):
        step = "see docs/recorder.md; start it again if it is to run" if report.faults else ""
        yield Finding("recorder", "wrong" if report.faults else "ok", report.line, step)


def _whatever_happens(name: str, check: Callable[[], Iterable[Finding]], settings: Settings) -> Iterator[Finding]:
    """The results of a check. What it cannot look at is a result too: the machine that fails is what doctor is run on."""
    try:
        yield from check()
    except LeverhouseError as error:
        what, _, next_step = str(error).partition("; ")
        yield Finding(name, "wrong", what, next_step)
    except Exception as error:  # noqa: BLE001 - every other check must go on
        fault = machine_fault(error)
        if fault is not None:
            yield Finding(name, "wrong", *described(fault, home=settings.root))
            return
        text = next(iter(str(error).splitlines()), "")
        yield Finding(
            name, "wrong", f"cannot be checked: {type(error).__name__}: {text}", "see 'leverhouse --debug doctor'"
        )


def _open_files() -> Finding:
    allowed = allow_open_files()
    found = f"this process may have {allowed}"
    if allowed < FEWEST_OPEN_FILES:
        return Finding("open files", "wrong", found, f"raise the limit, as with 'ulimit -n {OPEN_FILES}'")
    return Finding("open files", "ok", found)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("python", "wrong", found, "install Python 3.11 or newer and run make setup")
    return Finding("python", "ok", found)


def _clock() -> Finding:
    now = utc_now()
    try:
        check_clock(now)
    except ClockError as error:
        return Finding("clock", "wrong", str(error), "set the clock of this machine")
    return Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M} UTC")


def _duckdb() -> Finding:
    found = version("duckdb")
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST_DUCKDB:
        return Finding("duckdb", "wrong", found, "run make setup to get the locked version")
    return Finding("duckdb", "ok", found)


def _home(settings: Settings) -> Finding:
    try:
        require_writable(settings)
    except NotPermittedError as error:
        what, _, next_step = str(error).partition("; ")
        return Finding("home", "wrong", what, next_step)
    if not settings.dagster_home.is_dir():
        return Finding("home", "ok", f"{settings.root} is new; the first command that writes creates it")
    if not dagster_yaml_is_current(settings):
        return Finding(
            "home", "wrong", f"{settings.dagster_home / 'dagster.yaml'} is missing or differs from the project's",
            "run any leverhouse command that changes the warehouse; it rewrites the file",
        )  # fmt: skip
    return Finding("home", "ok", str(settings.root))


def _permissions(settings: Settings) -> Finding:
    found = open_to_others(settings)
    if found and settings.dagster_home.is_dir():
        names = ", ".join(str(path.relative_to(settings.root)) for path in found)
        return Finding(
            "permissions", "wrong", f"other users may read or write {names} in {settings.root}",
            "run any leverhouse command that changes the warehouse; it closes them",
        )  # fmt: skip
    return Finding("permissions", "ok", "others may use what is published")


def _disk(settings: Settings) -> Finding:
    place = next(folder for folder in (settings.root, *settings.root.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    size = settings.database.stat().st_size if settings.database.exists() else 0
    found = f"{free / 1e9:.1f} GB free, database {size / 1e9:.2f} GB"
    if free < size + SPARE_BYTES:
        return Finding("disk", "wrong", found, "free disk space: rebuild and publish write a second copy")
    return Finding("disk", "ok", found)


def _sizes(settings: Settings) -> Finding:
    from pipelines.extract.landing import utc_now
    from pipelines.operations.sizes import size_lines

    return Finding("sizes", "ok", "; ".join(size_lines(settings, utc_now())) or "nothing yet")


def _lock(settings: Settings) -> Finding:
    from filelock import FileLock, Timeout

    if not settings.lock_file.exists():
        return Finding("writer lock", "ok", "free")
    if not os.access(settings.lock_file, os.W_OK):
        return Finding("writer lock", "unknown", "cannot be tried: it is not writable")
    lock = FileLock(settings.lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return Finding("writer lock", "ok", "held: another process is writing; the database was not checked")
    lock.release()
    return Finding("writer lock", "ok", "free")


def _mappings(settings: Settings) -> Iterator[Finding]:
    from pipelines.contract.ddl import load_contract
    from pipelines.operations.datasets import find_datasets
    from pipelines.sources.files.source import load_mapping

    contract = load_contract(settings.schema_dir)
    datasets = find_datasets(settings)
    faults = 0
    for dataset in datasets:
        try:
            load_mapping(dataset.mapping, contract=contract)
        except LeverhouseError as error:
            faults += 1
            yield Finding("mapping", "wrong", str(error), "correct the mapping")
    if not faults:
        yield Finding("mappings", "ok", f"{len(datasets)} valid")


def _inbox(settings: Settings) -> Finding:
    from pipelines.operations.datasets import find_datasets, refused_in_inbox, uncovered_in_inbox

    refused = refused_in_inbox(settings)
    if refused:
        found = f"{len(refused)} links or special files are not imported: {refused[0]}"
        return Finding("inbox", "wrong", found, "put the files themselves there")
    uncovered = uncovered_in_inbox(settings, find_datasets(settings))
    if uncovered:
        found = f"{len(uncovered)} file(s) are not imported because no mapping covers them: {uncovered[0]}"
        return Finding("inbox", "wrong", found, "write a mapping, add an [[ignore]], or take them out of the inbox")
    return Finding("inbox", "ok", "nothing that cannot be imported")


def _refused_imports(settings: Settings) -> Iterator[Finding]:
    from pipelines.operations.import_check import refused_imports

    found = refused_imports(settings)
    for one in found:
        sample = f" Sample: {'; '.join(one.sample[:3])}" if one.sample else ""
        yield Finding(
            "import", "wrong", f"{one.source} {one.part} was refused ({one.reason}): {one.detail}{sample}",
            f"correct it and import it again, or 'leverhouse forget {one.source.removeprefix('files.')}'",
        )  # fmt: skip
    if not found:
        yield Finding("imports", "ok", "none refused")


def _landings(settings: Settings, progress: Callable[[str, int, int], None]) -> Finding:
    from pipelines.extract.landing import LandingStore

    store = LandingStore(settings.root)
    landings = store.all()
    faults = store.damaged_manifests()
    for done, landing in enumerate(landings):
        progress(f"verify {landing.part}", done, len(landings))
        faults += store.verify([landing])
    if faults:
        return Finding(
            "landings",
            "wrong",
            f"{len(faults)} of {len(landings)}: {faults[0]}",
            "leverhouse restore DIR, or leverhouse landing repair",
        )
    return Finding("landings", "ok", f"{len(landings)} as received, {sum(x.bytes for x in landings) / 1e6:,.1f} MB")


def _refused(settings: Settings) -> Finding:
    from pipelines.operations.diagnostics import refused_landings
    from pipelines.operations.load import refusal_line

    refused = refused_landings(settings)
    if not refused:
        return Finding("refused landings", "ok", "none")
    return Finding(
        "refused landings", "wrong", f"{len(refused)}: {refusal_line(refused[0])}",
        "leverhouse landing show ID; then accept it, forget it, or correct the mapping",
    )  # fmt: skip


def _database(settings: Settings) -> Finding:
    import duckdb

    from pipelines.operations.diagnostics import look_at_clean

    if not settings.database.exists():
        return Finding("database", "ok", "none yet; the first load creates it")
    try:
        states, ledger = look_at_clean(settings)
    except WarehouseDamagedError as error:
        return Finding("database", "wrong", str(error), "run leverhouse rebuild")
    except TransientError as error:
        return Finding("database", "unknown", str(error), "check again when the other process has finished")
    except duckdb.Error as error:
        if is_machine_fault(error):
            raise
        return Finding("database", "wrong", f"cannot be read: {error}", "run leverhouse rebuild")
    wrong = [state.table for state in states.values() if not state.reconciles]
    if wrong:
        return Finding(
            "database", "wrong", f"{', '.join(wrong)}: row counts differ from ops.loads", "run leverhouse rebuild"
        )
    rows = sum(state.rows for state in states.values())
    return Finding("database", "ok", f"{rows:,} clean rows of {ledger.sources} sources, reconciled")


def _runs(settings: Settings) -> Finding:
    if not (settings.dagster_home / "history").exists():
        return Finding("runs", "ok", "none yet")
    if not os.access(settings.dagster_home, os.W_OK):
        return Finding("runs", "unknown", "not checked: Dagster opens its records only where it may write")
    with environment(DAGSTER_HOME=str(settings.dagster_home)):
        import dagster as dg

        from pipelines.defs.runs import orphaned_runs

        with dg.DagsterInstance.get() as instance:
            orphans = orphaned_runs(instance, settings)
            newest = instance.get_runs(limit=1)
    if orphans:
        found = f"{len(orphans)} run(s) of killed processes are still recorded as running: {orphans[0].run_id}"
        return Finding("runs", "wrong", found, "run leverhouse run: it marks them as failed and continues their work")
    return Finding(
        "runs", "ok", f"newest: {newest[0].job_name} {newest[0].status.value.lower()}" if newest else "none yet"
    )


def check_published(settings: Settings) -> Iterator[Finding]:
    """Whether the published file is what was published, whether it can be read, and what clients did beside it."""
    import duckdb

    from pipelines.extract.landing import utc_now
    from pipelines.storage.snapshots import inspect_snapshots
    from pipelines.storage.status import published_status
    from pipelines.storage.warehouse import reader

    if not settings.published_database.exists():
        yield Finding("snapshot", "ok", "nothing published yet")
        return
    for fault in inspect_snapshots(settings, full=True):
        yield Finding("snapshot", "wrong" if fault.reaches_readers else "ok", fault.what, fault.next_step)
    try:
        with reader(settings) as con:
            found = published_status(con, str(settings.published_database))
    except LeverhouseError as error:
        yield Finding("snapshot", "wrong", str(error), "close the client, then run leverhouse publish")
    except duckdb.Error as error:
        yield Finding("snapshot", "wrong", f"cannot be read: {error}", "run leverhouse publish")
    else:
        text = f"{len(found.marts)} marts, published {found.published_at:%Y-%m-%d %H:%M} UTC, newest day {found.newest_day}"
        yield Finding("snapshot", "ok", text)
        yield recent_gaps(found.missing, today=utc_now().date())


def recent_gaps(missing: Iterable[Missing], *, today: date) -> Finding:
    """Whether what was asked for came on the last RECENT_DAYS days. Imported files are history."""
    from pipelines.operations.diagnostics import IMPORTED

    recent = [
        one
        for one in missing
        if one.last_day >= today - timedelta(days=RECENT_DAYS)
        and one.reason != "not yet published"
        and not one.source.startswith(IMPORTED)
    ]
    if not recent:
        return Finding(
            "coverage", "ok", f"nothing missing of the last {RECENT_DAYS} days but what is not yet published"
        )
    newest = max(recent, key=lambda one: one.last_day)
    found = f"{len(recent)} gap(s): {newest.source} {newest.table} through {newest.last_day}: {newest.reason}"
    return Finding("coverage", "wrong", found, "leverhouse status; leverhouse fetch asks for what can still be had")
