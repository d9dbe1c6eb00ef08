"""A run with nothing to do: what has to be as it was, and that it ends before anything heavy is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.extract.due import LATE_AFTER, changes_at
from pipelines.operations import current
from pipelines.operations.current import landing_state, note, nothing_new_since, seen_now
from pipelines.sources import registry

NOW = datetime(2024, 5, 1, 10, 30)
LATER = NOW + timedelta(minutes=10)
HEAVY = ("dagster", "dbt", "duckdb", "great_expectations", "numpy", "pandas", "polars", "pyarrow", "aiohttp")
PART = "a.candles/2024-04-30/all~0123"


@pytest.fixture
def home(settings: Settings) -> Path:
    """A home in which a faultless run has ended."""
    root = settings.root
    for name in (
        "leverhouse.duckdb", "published/snapshots/1.duckdb", "published/parquet-1/fct_price_daily.parquet",
        "published/report-1/index.html", f"raw/{PART}", f"raw/{PART}.manifest.json", f"raw/{PART}.checked",
        "raw/_problems/a/2024-04-30.jsonl", "raw/_plan/a.candles.json", "mappings/one.toml", "inbox/one/old.csv",
    ):  # fmt: skip
        put(root / name, "as it was")
    for link, target in (("leverhouse.duckdb", "snapshots/1.duckdb"), ("parquet", "parquet-1"), ("report", "report-1")):
        (root / "published" / link).symlink_to(target)
    record(settings)
    return root


def record(settings: Settings, *, until: datetime | None = None) -> None:
    note(settings, seen_now(settings), landing=landing_state(settings), until=until, now=NOW)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def older_notes(home: Path) -> None:
    notes = json.loads((home / current.NOTES_FILE).read_bytes())
    put(home / current.NOTES_FILE, json.dumps({**notes, "format": 0}))


def test_nothing_is_new_where_all_is_as_it_was(home: Path, settings: Settings) -> None:
    assert nothing_new_since(settings, LATER) == NOW


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda home: put(home / "raw/a.candles/2024-05-01/all~4567.manifest.json", "{}"), id="a landing"),
        pytest.param(lambda home: put(home / f"raw/{PART}.forgotten.json", "{}"), id="a landing that was forgotten"),
        pytest.param(lambda home: put(home / f"raw/{PART}.refused.json", "{}"), id="a landing that was refused"),
        pytest.param(lambda home: put(home / f"raw/{PART}.checked", "checked again"), id="a landing that was checked again"),
        pytest.param(lambda home: (home / f"raw/{PART}.manifest.json").unlink(), id="a landing that is gone"),
        pytest.param(lambda home: put(home / "raw/_problems/a/2024-04-30.jsonl", "a line more"), id="a line of the journal"),
        pytest.param(lambda home: put(home / "raw/_plan/b.candles.json", "{}"), id="a plan"),
        pytest.param(lambda home: put(home / "mappings/one.toml", "as it is"), id="a mapping"),
        pytest.param(lambda home: put(home / "mappings/two.toml", "as it was"), id="another mapping"),
        pytest.param(lambda home: put(home / "inbox/one/new.csv", "rows"), id="a file in the inbox"),
        pytest.param(lambda home: put(home / "inbox/one/old.csv", "other rows"), id="a changed file in the inbox"),
        pytest.param(lambda home: (home / "inbox/one/link.csv").symlink_to("old.csv"), id="a link in the inbox"),
        pytest.param(lambda home: put(home / "leverhouse.duckdb", "written"), id="the working database"),
        pytest.param(lambda home: put(home / "leverhouse.duckdb.wal", "log"), id="a log of the working database"),
        pytest.param(lambda home: (home / "published/parquet-1/fct_price_daily.parquet").unlink(), id="a lost Parquet file"),
        pytest.param(lambda home: (home / "published/report-1/index.html").unlink(), id="a lost report"),
        pytest.param(lambda home: (home / "published/leverhouse.duckdb").unlink(), id="a lost snapshot"),
        pytest.param(lambda home: put(home / "published/snapshots/1.duckdb", "altered"), id="an altered snapshot"),
        pytest.param(lambda home: put(home / current.NOTES_FILE, "{"), id="damaged notes"),
        pytest.param(lambda home: put(home / current.NOTES_FILE, "[]"), id="notes of another shape"),
        pytest.param(lambda home: (home / current.NOTES_FILE).unlink(), id="no notes"),
        pytest.param(lambda home: older_notes(home), id="notes of another version"),
    ],
)  # fmt: skip
def test_whatever_differs_is_a_reason_to_run(home: Path, settings: Settings, change: Callable[[Path], None]) -> None:
    change(home)
    assert nothing_new_since(settings, LATER) is None


@pytest.mark.usefixtures("home")
def test_other_settings_code_and_libraries_are_reasons_to_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert nothing_new_since(settings.model_copy(update={"venues": ("okx",)}), LATER) is None
    with monkeypatch.context() as patch:
        patch.setattr(current, "code_version", lambda _: "other")
        assert nothing_new_since(settings, LATER) is None
    with monkeypatch.context() as patch:
        patch.setattr(current, "version", lambda _: "0")
        assert nothing_new_since(settings, LATER) is None
    assert nothing_new_since(settings, LATER) == NOW


@pytest.mark.usefixtures("home")
def test_time_alone_is_a_reason_once_it_changes_what_is_expected(settings: Settings) -> None:
    record(settings, until=LATER)
    assert nothing_new_since(settings, LATER - timedelta(seconds=1)) == NOW
    assert nothing_new_since(settings, LATER) is None
    assert nothing_new_since(settings, NOW - timedelta(days=1)) is None, "the clock was set back"


def test_what_is_expected_of_a_feed_changes_with_its_days_slots_and_hours_of_publication() -> None:
    for venue in map(registry.venue, registry.VENUES):
        for feed in venue.feeds:
            at = changes_at(feed, NOW)
            length = timedelta(days=1) if feed.cadence.name == "daily" else timedelta(hours=24)
            assert NOW < at <= NOW + length, (venue.name, feed.name)
            if feed.cadence.name == "daily":
                since = (at, at - feed.published_after, at - feed.published_after - LATE_AFTER)
                assert any(one.time() == datetime.min.time() for one in since)


def test_a_run_that_finds_nothing_new_imports_nothing_heavy_and_says_since_when(home: Path) -> None:
    script = (
        "import sys\nsys.argv = ['leverhouse', 'run']\nfrom pipelines.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
        f"print(sorted({{name.partition('.')[0] for name in sys.modules}} & set({HEAVY})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=PROJECT_ROOT, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    said, imported = done.stdout.rsplit("\n", 2)[0], done.stdout.splitlines()[-1]
    assert " ".join(said.split()).startswith("nothing new since 2024-05-01 10:30:00 UTC")
    assert imported == "[]"
    assert (home / "dagster_home" / "current_marts").exists()
