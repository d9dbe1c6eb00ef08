"""A machine that fails, for real: a disk of few bytes, a home that may not be written. Runs in a mount namespace of its own.

`python -m tests.e2e.failing_machine <case> …` prints one JSON document; machine_fixture.py starts it where the disk is made.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.cli.doctor import check_local
from pipelines.core.errors import LeverhouseError
from pipelines.core.files import explained
from pipelines.core.paths import prepare_home
from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.operations.load import import_files, load_pending
from pipelines.operations.rebuild import rebuild
from pipelines.storage.fingerprint import fingerprint_schemas
from pipelines.storage.publish import publish
from pipelines.storage.warehouse import onlooker, reader, writer
from tests.unit.test_storage import NOW

PAGE: Final = 4096
COMMANDS_THAT_WRITE: Final = (
    ("run",), ("import", "--mapping", "{mapping}", "--root", "{files}"), ("fetch", "bybit"),
    ("backfill", "bybit", "--from", "2024-01-01", "--to", "2024-01-01"), ("rebuild",), ("publish",), ("report",), ("ui",),
    ("landing", "accept", "{landing}", "--because", "test"), ("landing", "forget", "{landing}", "--because", "test"),
    ("forget", "example", "--because", "test"), ("demo",), ("evaluate",),
)  # fmt: skip
MARTS: Final[Mapping[str, str]] = {
    "fct_price_daily": "select trade_date, close from clean.candles",
    "source_freshness": """
        select 'files.example' as source, 'candles' as table_name, min(trade_date) as first_trade_date,
        max(trade_date) as last_trade_date, 20 as days, 0 as gap_days, 0 as lag_days, count(*) as rows_accepted,
        0 as rows_quarantined, timestamp '2024-01-03' as last_loaded_at from clean.candles
    """,
    "data_coverage_daily": """
        select 'files.example' as source, 'candles' as table_name, 'binance' as venue, date '2023-02-01' as trade_date,
        'missing' as status, 'not in the source' as primary_reason, 1 as instruments_expected, 0 as instruments_present,
        0 as instruments_partial
    """,
}
"""What status reads, made without dbt."""

COMMANDS_THAT_READ: Final = (
    ("sql", "select count(*) from ops.landings"),
    ("status",),
    ("doctor",),
    ("landing", "show"),
)


def steps(home: Path, history: Path) -> tuple[Callable[[], object], ...]:
    """What a run does, without Dagster and dbt: make the home, land files, load them, make marts, publish."""
    settings = Settings(home=home)

    def marts() -> None:
        with writer(settings, what="test") as con:
            con.execute("create schema if not exists marts")
            for name, query in MARTS.items():
                con.execute(f"create or replace table marts.{name} as {query}")

    return (
        lambda: prepare_home(settings),
        lambda: import_files(settings, history / "mappings" / "example.toml", root=history / "example"),
        lambda: load_pending(settings, gate=lambda con, inputs: [], clock=lambda: NOW).raise_failures(),
        marts,
        lambda: publish(settings, now=NOW),
    )


def tables(home: Path) -> Mapping[str, Any]:
    """Fingerprints of the clean tables, and of what is published."""
    settings = Settings(home=home)
    with onlooker(settings) as con:
        clean = fingerprint_schemas(con, "clean")
    with reader(settings) as con:
        return {**clean, **fingerprint_schemas(con, "marts")}


def filled(folder: Path, free: int) -> Path:
    """Fill the disk of `folder` until `free` bytes are left; return the file that does."""
    ballast = folder / "ballast"
    size = shutil.disk_usage(folder).free - free
    with ballast.open("wb") as sink:
        os.posix_fallocate(sink.fileno(), 0, max(PAGE, size))
    return ballast


def full_disk(folder: Path, history: Path, points: int, seed: int) -> list[dict[str, Any]]:
    """Run out of space at random places of random steps; afterwards free the space and finish the work."""
    chance = random.Random(seed)
    before = shutil.disk_usage(folder).used
    needs, used = [], before
    whole = folder / "whole"
    for step in steps(whole, history):
        step()
        needs.append(max(shutil.disk_usage(folder).used - used, 64 * PAGE))
        used = shutil.disk_usage(folder).used
    expected = tables(whole)
    shutil.rmtree(whole)
    return [_full_at(folder, history, chance, needs, expected) for _ in range(points)]


def _full_at(
    folder: Path, history: Path, chance: random.Random, needs: Sequence[int], expected: Mapping[str, Any]
) -> dict[str, Any]:
    home = folder / "home"
    planned = steps(home, history)
    # Making the home and importing write little; every step is met often enough all the same.
    at = chance.choice(range(len(planned)))
    for step in planned[:at]:
        step()
    free = chance.randrange(0, needs[at], PAGE)
    ballast = filled(folder, free)
    error: LeverhouseError | None = None
    said = "the step fitted"
    try:
        for step in planned[at:]:
            step()
    except LeverhouseError as raised:
        error, said = raised, str(raised)
    except Exception as raised:  # noqa: BLE001 - what a command would call a defect is told as one
        error = explained(raised, home=home)
        said = str(error) if error else f"DEFECT {type(raised).__name__}: {raised}"
    half = _half_written(home)
    # Doctor must work where there is no space, and say it.
    findings = {finding.check: finding for finding in check_local(Settings(home=home), lambda *_: None)}
    ballast.unlink()
    for step in planned:
        step()
    same = tables(home) == expected
    shutil.rmtree(home)
    return {
        "step": at, "free": free, "exit": error.exit_code if error else 0, "said": said, "half": half,
        "disk": findings["disk"].verdict,
        "unlooked": [f.found for f in findings.values() if "cannot be checked" in f.found],
        "same": same,
    }  # fmt: skip


def _half_written(home: Path) -> list[str]:
    """What a reader could take for whole and is not."""
    store, settings = LandingStore(home), Settings(home=home)
    found = [*store.damaged_manifests(), *store.verify(store.all())]
    if settings.database.exists():
        with onlooker(settings) as con:
            loaded, rows = con.execute(
                "select (select coalesce(sum(accepted), 0) from ops.loads where table_name = 'candles'), "
                "(select count(*) from clean.candles)"
            ).fetchall()[0]
            found += [f"{rows} rows of {loaded}"] if loaded != rows else []
    if settings.published_database.exists():
        with reader(settings) as con:
            con.execute("from marts.fct_price_daily").fetchall()
    return found


def commands(home: Path, history: Path, *lines: Sequence[str]) -> list[dict[str, Any]]:
    """What each of these commands says on a home, every command without `lines`."""
    os.environ["LEVERHOUSE_HOME"] = str(home)
    os.environ["LEVERHOUSE_MAPPINGS"] = str(history / "mappings")
    known = {
        "mapping": str(history / "mappings" / "example.toml"),
        "files": str(history / "example"),
        "landing": LandingStore(home).all()[0].landing_id,
    }
    return [
        command(*(word.format(**known) for word in line))
        for line in lines or (*COMMANDS_THAT_WRITE, *COMMANDS_THAT_READ)
    ]


def command(*line: str) -> dict[str, Any]:
    """What a command line does, as a person sees it."""
    done = CliRunner().invoke(app, list(line))
    raised = None if isinstance(done.exception, SystemExit | None) else repr(done.exception)
    return {"command": line, "exit": done.exit_code, "out": done.stdout, "err": done.stderr, "raised": raised}


Damage = Callable[[Settings], object]
Repair = Callable[[Settings, Path], object]


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip(path: Path) -> None:
    """Another byte in every 4 KB but those of the header, as a failing disk leaves it."""
    content = bytearray(path.read_bytes())
    for place in range(3 * PAGE + 100, len(content), PAGE):
        content[place] ^= 0xFF
    path.write_bytes(content)


def _overwrite(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"\0" * 8192)


def _rebuild(settings: Settings, history: Path) -> None:
    rebuild(settings, gate=lambda con, inputs: [], clock=lambda: NOW)
    # The marts, which dbt makes otherwise.
    steps(settings.root, history)[3]()


def _put_away(settings: Settings, history: Path) -> None:
    for name in ("history", "storage", "schedules"):
        shutil.rmtree(settings.dagster_home / name, ignore_errors=True)


def _land_again(settings: Settings, history: Path) -> None:
    steps(settings.root, history)[1]()


def _publish(settings: Settings, history: Path) -> None:
    steps(settings.root, history)[4]()


def _nothing(settings: Settings, history: Path) -> None:
    """The next command repairs it."""


CORRUPTIONS: Final[Mapping[str, tuple[str, Damage, Repair]]] = {
    "warehouse cut short": ("publish", lambda s: _cut(s.database), _rebuild),
    "warehouse with rotten blocks": ("publish", lambda s: _flip(s.database), _rebuild),
    "warehouse overwritten": ("publish", lambda s: _overwrite(s.database), _rebuild),
    "snapshot overwritten": ("status", lambda s: _overwrite(s.published_database.resolve()), _publish),
    "records of runs overwritten": ("import", lambda s: _overwrite(s.dagster_home / "history" / "runs.db"), _put_away),
    "records of runs cut short": ("import", lambda s: _cut(s.dagster_home / "history" / "runs.db"), _put_away),
    "dagster.yaml overwritten": ("import", lambda s: _overwrite(s.dagster_home / "dagster.yaml"), _nothing),
    "landing altered": ("rebuild", lambda s: _overwrite(LandingStore(s.root).all()[0].path), _land_again),
}
"""What a crash or a disk does to a file of the home, and how doctor's advice repairs it."""


def corrupt(folder: Path, history: Path) -> list[dict[str, Any]]:
    """For every kind of corruption: what a command that writes says, what doctor finds, and whether the repair gives the same."""
    home = folder / "home"
    os.environ["LEVERHOUSE_HOME"] = str(home)
    os.environ["LEVERHOUSE_MAPPINGS"] = str(history / "mappings")
    for step in steps(home, history):
        step()
    lines = {
        "import": ("import", "--mapping", str(history / "mappings" / "example.toml"), "--root", str(history / "example")),
        "publish": ("publish",), "status": ("status",), "rebuild": ("rebuild",),
    }  # fmt: skip
    # Makes Dagster's records, and finds everything landed and loaded.
    command(*lines["import"])
    expected = tables(home)
    kept = folder / "kept"
    shutil.copytree(home, kept, symlinks=True)
    found = []
    for name, (line, damage, repair) in CORRUPTIONS.items():
        shutil.rmtree(home)
        shutil.copytree(kept, home, symlinks=True)
        settings = Settings.load()
        damage(settings)
        said = command(*lines[line])
        doctor = json.loads(command("doctor", "--json")["out"])
        repair(settings, history)
        again = command(*lines["import"])
        found.append(
            said | {"what": name, "doctor": [f for f in doctor if f["verdict"] != "ok"], "again": again["exit"],
                    "same": tables(home) == expected}
        )  # fmt: skip
    return found


def main(case: str, *arguments: str) -> None:
    if case == "full_disk":
        folder, history, points, seed = arguments
        found = full_disk(Path(folder), Path(history), int(points), int(seed))
    elif case == "corrupt":
        folder, history = arguments
        found = corrupt(Path(folder), Path(history))
    elif case == "commands":
        home, history = arguments
        found = commands(Path(home), Path(history))
    else:
        home, history = arguments
        first = {"read": (), "run_and_read": (("run",), ("publish",))}[case]
        found = commands(Path(home), Path(history), *first, *COMMANDS_THAT_READ)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
