"""The record of what was published: it tells what each snapshot said, and neither a kill nor a rebuild nor time changes it."""

from __future__ import annotations

import json
import random
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.core.errors import PublishError
from pipelines.core.settings import Settings
from pipelines.operations.backup import backup, restore
from pipelines.storage import publish as publishing
from pipelines.storage import vintages
from pipelines.storage.dictionary import MartDictionary
from pipelines.storage.publish import Edition, publish
from pipelines.storage.snapshots import current_snapshot
from pipelines.storage.vintages import VINTAGES, uncovered
from pipelines.storage.warehouse import reader, writer

START = datetime(2024, 1, 1, 12)
KEYS = {"signals_daily": ("asset", "trade_date"), "oi_trends_daily": ("asset", "trade_date")}
Row = tuple[Any, ...]


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", kept_snapshots=50)


def publish_rows(home: Settings, now: datetime, rows: list[Row], *, code: str = "1") -> None:
    """Publish a recorded mart with `rows` of asset, trade_date, state and value, and one that is not recorded."""
    with writer(home, what="test") as con:
        con.execute("create schema if not exists marts")
        con.execute(
            "create or replace table marts.signals_daily (asset varchar, trade_date date, state varchar, value double)"
        )
        con.execute("create or replace table marts.dim_asset as select 'BTC' as asset")
        if rows:
            con.executemany("insert into marts.signals_daily values (?, ?, ?, ?)", rows)
    publish(home, now=now, edition=Edition(MartDictionary(keys=KEYS), code_version=code))


def said(home: Settings, at: datetime) -> list[Row]:
    with reader(home) as con:
        return con.execute("select * from as_of_signals(?) order by 1, 2", [at]).fetchall()


def history(home: Settings) -> list[Row]:
    with reader(home) as con:
        return con.execute(
            "select asset, day(trade_date), state, value, day(published_from), day(published_to), code_version "
            "from history.signals_daily order by 1, 2, published_from"
        ).fetchall()


def digits(rows: list[Row]) -> list[Row]:
    """Doubles in nine digits; a zero has no sign, as for the record."""
    return [tuple(f"{x + 0.0:.8e}" if isinstance(x, float) else x for x in row) for row in rows]


def test_a_row_is_recorded_when_it_is_new_changed_or_withdrawn_and_not_otherwise(home: Settings) -> None:
    day = datetime(2024, 1, 1).date()
    publish_rows(home, START, [("BTC", day, "on", 1.0), ("ETH", day, "off", 0.1)])
    publish_rows(home, START + timedelta(days=1), [("BTC", day, "on", 1.0 + 1e-12), ("ETH", day, "off", 0.2)], code="2")
    publish_rows(home, START + timedelta(days=2), [("BTC", day, "on", 1.0)])
    publish_rows(home, START + timedelta(days=3), [("BTC", day, "on", None), ("ETH", day, "off", 0.2)], code="3")
    assert history(home) == [
        ("BTC", 1, "on", 1.0, 1, 4, "1"),
        ("BTC", 1, "on", None, 4, None, "3"),
        ("ETH", 1, "off", 0.1, 1, 2, "1"),
        ("ETH", 1, "off", 0.2, 2, 3, "2"),
        ("ETH", 1, "off", 0.2, 4, None, "3"),
    ]
    assert said(home, START - timedelta(hours=1)) == []
    assert [row[0] for row in said(home, START + timedelta(days=2, hours=5))] == ["BTC"]


def test_the_record_says_what_each_snapshot_said(home: Settings) -> None:
    chance = random.Random(5)
    days = [datetime(2024, 1, 1).date() + timedelta(days=n) for n in range(4)]
    told: dict[datetime, list[Row]] = {}
    for hour in range(0, 24 * 5, 10):
        rows = [
            (
                asset,
                day,
                chance.choice(["on", "off", None]),
                chance.choice([None, 0.0, -0.0, 1 / 3, 1e-200, chance.random()]),
            )
            for asset in ("BTC", "ETH", "O'X")
            for day in days
            if chance.random() < 0.8
        ]
        now = START + timedelta(hours=hour)
        publish_rows(home, now, rows)
        snapshot = current_snapshot(home)
        assert snapshot is not None
        with duckdb.connect(str(snapshot), read_only=True) as con:
            told[now] = con.execute("select * from marts.signals_daily order by 1, 2").fetchall()
    assert len(uncovered(home.history_dir / "signals_daily")) <= 7, "days that are over are one file each"
    for now, rows in told.items():
        assert digits(said(home, now)) == digits(rows)
    publish_rows(home, START + timedelta(days=40), [])
    publish_rows(home, START + timedelta(days=80), [])
    assert [x.stem for x in uncovered(home.history_dir / "signals_daily")] == ["202401", "20240210T120000000000Z"]
    for now, rows in told.items():
        assert digits(said(home, now)) == digits(rows)


@pytest.mark.parametrize("shown", [True, False])
def test_a_publication_counts_if_its_snapshot_was_shown(
    home: Settings, monkeypatch: pytest.MonkeyPatch, shown: bool
) -> None:
    day = datetime(2024, 1, 1).date()
    publish_rows(home, START, [("BTC", day, "on", 1.0)])

    def killed(*_: Any) -> None:
        # As a power cut: nothing is cleaned up, so the folder is put back as it was.
        shutil.copytree(home.history_dir, home.root / "left")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if shown:
            patched.setattr(vintages, "keep", killed)
        else:
            patched.setattr(publishing, "_show", killed)
        with pytest.raises(KeyboardInterrupt):
            publish_rows(home, START + timedelta(hours=1), [("BTC", day, "off", 2.0)])
    shutil.rmtree(home.history_dir)
    (home.root / "left").rename(home.history_dir)
    assert len(list(home.history_dir.glob("pending-*"))) == 1
    publish_rows(home, START + timedelta(hours=2), [("BTC", day, "on", 3.0)])
    assert list(home.history_dir.glob("pending-*")) == []
    [then] = said(home, START + timedelta(hours=1))
    assert then[2] == ("off" if shown else "on")


def test_a_failed_publication_leaves_no_trace(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    day = datetime(2024, 1, 1).date()
    publish_rows(home, START, [("BTC", day, "on", 1.0)])
    before = sorted(home.history_dir.rglob("*"))

    def refuse(*_: Any) -> None:
        raise PublishError("readers would not get it")

    with monkeypatch.context() as patched:
        patched.setattr(publishing, "_show", refuse)
        with pytest.raises(PublishError):
            publish_rows(home, START + timedelta(hours=1), [("BTC", day, "off", 2.0)])
    assert sorted(home.history_dir.rglob("*")) == before


def test_columns_and_types_may_change(home: Settings) -> None:
    day = datetime(2024, 1, 1).date()
    publish_rows(home, START, [("BTC", day, "on", 1.0), ("ETH", day, "off", 2.0)])
    with writer(home, what="test") as con:
        con.execute(
            "create or replace table marts.signals_daily as select 'BTC' as asset, date '2024-01-01' as trade_date, "
            "'1' as value, true as is_new union all select 'ETH', date '2024-01-01', 'x', null"
        )
    publish(home, now=START + timedelta(days=1), edition=Edition(MartDictionary(keys=KEYS)))
    with reader(home) as con:
        rows = con.execute(
            "select asset, value, is_new, state, published_to is null from history.signals_daily order by all"
        )
        assert rows.fetchall() == [
            ("BTC", "1", True, None, True),
            ("BTC", "1.0", None, "on", False),
            ("ETH", "2.0", None, "off", False),
            ("ETH", "x", None, None, True),
        ]
        now = con.execute("select * from as_of_signals(timestamp '2024-01-03') order by 1").fetchall()
        assert now == con.execute("from marts.signals_daily order by 1").fetchall()
        described = (
            "select column_name, description, key_position from meta.columns "
            "where schema_name = 'history' order by position"
        )
        assert con.execute(described).fetchall()[3:6] == [
            ("is_new", None, None),
            ("state", "A column that marts.signals_daily had before.", None),
            ("published_from", vintages.BOOKKEEPING["published_from"], 3),
        ]


def test_an_instant_is_utc_in_every_time_zone(home: Settings) -> None:
    day = datetime(2024, 1, 1).date()
    publish_rows(home, START, [("BTC", day, "on", 1.0)])
    publish_rows(home, START + timedelta(minutes=1), [("BTC", day, "off", 1.0)])
    before = ("timestamp '2024-01-01 12:00:30'", "'2024-01-01 12:00:30'", "timestamptz '2024-01-01 17:45:30+05:45'")
    after = ("timestamp '2024-01-01 12:01'", "date '2024-01-02'", "'2024-01-01 17:46:00+05:45'", "now()")
    with duckdb.connect(str(home.published_database.resolve()), read_only=True) as con:

        def state(instant: str) -> list[Row]:
            return con.execute(f"select state from as_of_signals({instant})").fetchall()

        for zone in ("UTC", "Asia/Tokyo", "America/New_York", "Asia/Kathmandu", "Pacific/Auckland"):
            con.execute(f"set TimeZone = '{zone}'")
            assert {tuple(state(instant)) for instant in before} == {(("on",),)}
            assert {tuple(state(instant)) for instant in after} == {(("off",),)}
            assert state("timestamp '2024-01-01 11:59:59'") == []


def test_the_record_is_in_the_backup_and_comes_back(home: Settings, tmp_path: Path) -> None:
    day = datetime(2024, 1, 1).date()
    publish_rows(home, START, [("BTC", day, "on", 1.0)])
    backup(home, tmp_path / "backup", now=START)
    publish_rows(home, START + timedelta(hours=1), [("BTC", day, "off", 1.0)])
    publish_rows(home, START + timedelta(days=1), [("BTC", day, "on", 1.0)])
    report = backup(home, tmp_path / "backup", now=START)
    assert report.only_in_backup == (), "the parts of a day are in the file of the day"
    held = sorted(x.name for x in (tmp_path / "backup" / "history" / "signals_daily").iterdir())
    assert held == ["20240101.parquet", "20240102T120000000000Z.parquet"]

    [damaged] = (home.history_dir / "signals_daily").glob("*T*.parquet")
    damaged.write_bytes(b"damaged")
    (home.history_dir / "signals_daily" / "20240101.parquet").unlink()
    with pytest.raises(PublishError, match="leverhouse restore"):
        publish_rows(home, START + timedelta(days=2), [("BTC", day, "on", 1.0)])
    lost = backup(home, tmp_path / "backup", now=START)
    assert lost.only_in_backup == ("history/signals_daily/20240101.parquet",)
    assert len(lost.faults) == 1
    restored = restore(home, tmp_path / "backup")
    assert (restored.restored, len(restored.repaired)) == (1, 1)
    publish_rows(home, START + timedelta(days=2), [("BTC", day, "on", 1.0)])
    states = [said(home, START + timedelta(hours=hours))[0][2] for hours in (0, 1, 24)]
    assert states == ["on", "off", "on"]


def test_what_is_built_as_of_an_instant_is_no_publication(home: Settings) -> None:
    day = datetime(2024, 1, 1).date()
    publish_rows(home, START, [("BTC", day, "on", 1.0)])
    before = sorted(home.history_dir.rglob("*"))
    publish(home, now=START, edition=Edition(MartDictionary(keys=KEYS), as_of=START, clock="fetched"))
    assert sorted(home.history_dir.rglob("*")) == before
    with reader(home) as con:
        assert con.execute("select count(*) from duckdb_tables() where schema_name = 'history'").fetchall() == [(0,)]


def test_every_recorded_mart_has_a_key_that_is_never_null(parsed: Path) -> None:
    dictionary = MartDictionary.of(json.loads(parsed.read_bytes()))
    for mart in VINTAGES:
        assert {(mart, column) for column in dictionary.keys[mart]} <= dictionary.required
        assert not {column for name, column in dictionary.columns if name == mart} & {
            *vintages.BOOKKEEPING,
            "withdrawn",
        }
