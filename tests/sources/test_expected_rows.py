"""Coverage follows from what was asked: a day that did not come is missing with the true reason, whoever never answered."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from pipelines.core.gap_reasons import GAP_REASONS
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.extract.fetch import FetchReport
from pipelines.operations.fetch import fetch, fetch_due
from pipelines.operations.load import load_pending
from pipelines.operations.rebuild import rebuild
from pipelines.storage.warehouse import writer

HEADER: Final = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
)
ASSETS: Final = ("BTC", "ETH", "XRP")
FIRST: Final = date(2026, 7, 1)


@dataclass
class Mirror:
    """A folder with archives of five-minute metrics, a home that fetches from it, and a clock."""

    folder: Path
    settings: Settings
    now: datetime = datetime(2026, 7, 9, 12)

    def put(self, asset: str, day: date, *, is_sound: bool = True, periods: int = 288) -> None:
        symbol = f"{asset}USDT"
        start = datetime(day.year, day.month, day.day)
        lines = "".join(
            f"{start + timedelta(minutes=5 * n):%Y-%m-%d %H:%M:%S},{symbol},{1000 + n},{(1000 + n) * 40},1.1,1.2,1.3,"
            f"{0.9 + n % 7 / 10}\n"
            for n in range(1, periods + 1)
        )
        path = self.folder / "data/futures/um/daily/metrics" / symbol / f"{symbol}-metrics-{day}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{path.stem}.csv", HEADER + lines)
        path.write_bytes(body.getvalue())
        digest = hashlib.sha256(body.getvalue()).hexdigest() if is_sound else "0" * 64
        path.with_name(path.name + ".CHECKSUM").write_text(f"{digest}  {path.name}\n")

    def fetch(self, first: date, last: date) -> tuple[FetchReport, ...]:
        return fetch(
            self.settings,
            "binance_archive",
            ["um_metrics"],
            first=first,
            last=last,
            assets=ASSETS,
            clock=lambda: self.now,
        )

    def fetch_due(self) -> tuple[FetchReport, ...]:
        return fetch_due(
            self.settings, "binance_archive", ["um_metrics"], cadence="daily", assets=ASSETS, clock=lambda: self.now
        )

    def coverage(self, columns: str = "instrument, trade_date, status, reason") -> list[tuple[Any, ...]]:
        load_pending(self.settings, clock=lambda: self.now).raise_source_failures()
        return self.rows(f"select distinct {columns} from ops.coverage where table_name = 'open_interest' order by all")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with writer(self.settings, what="test") as con:
            return con.execute(query).fetchall()


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    folder = tmp_path / "mirror"
    endpoint = f"file://{folder}"
    endpoints = {"binance_archive.archive": endpoint, "binance_archive.listing": endpoint}
    return Mirror(folder, Settings(home=tmp_path / "home", endpoints=endpoints, assets=ASSETS))


def test_a_symbol_that_never_answered_and_one_that_stopped_are_missing_with_their_reason(mirror: Mirror) -> None:
    for number in range(7):
        day = FIRST + timedelta(days=number)
        mirror.put("BTC", day)
        mirror.put("ETH", day, is_sound=False)
        mirror.put("XRP", day, is_sound=number < 3)
    mirror.fetch(FIRST, FIRST + timedelta(days=6))
    found = mirror.coverage()
    last = FIRST + timedelta(days=6)
    assert [row for row in found if row[1] == last] == [
        ("BTCUSDT", last, "complete", None),
        ("ETHUSDT", last, "missing", "refused: checksum"),
        ("XRPUSDT", last, "missing", "refused: checksum"),
    ]
    assert sum(row[0] == "ETHUSDT" for row in found) == 7
    assert {row[1].day for row in found if row[0] == "XRPUSDT" and row[2] == "missing"} == {4, 5, 6, 7}
    assert mirror.coverage() == found
    rebuild(mirror.settings, clock=lambda: mirror.now).outcome.raise_source_failures()
    assert mirror.coverage() == found


def test_what_comes_later_is_no_longer_missing(mirror: Mirror) -> None:
    for asset in ASSETS:
        mirror.put(asset, FIRST, is_sound=asset != "ETH")
    mirror.fetch(FIRST, FIRST)
    assert ("ETHUSDT", FIRST, "missing", "refused: checksum") in mirror.coverage()
    mirror.put("ETH", FIRST)
    mirror.fetch_due()
    of_first = [row for row in mirror.coverage() if row[1] == FIRST]
    assert of_first == [(f"{asset}USDT", FIRST, "complete", None) for asset in ASSETS]


def test_yesterday_is_judged_before_it_is_published_and_a_pause_is_caught_up(mirror: Mirror) -> None:
    """Files come a day after their day. A fetch a day, then five days without any."""
    for number in range(12):
        for asset in ASSETS:
            mirror.put(asset, FIRST + timedelta(days=number))
    mirror.now = datetime(2026, 7, 4, 3, 30)
    mirror.fetch_due()
    assert [(row[1].day, row[2], row[3]) for row in mirror.coverage() if row[0] == "BTCUSDT"] == [
        (2, "complete", None),
        (3, "missing", "not yet published"),
    ]
    mirror.now += timedelta(days=6)
    assert {(row[1].day, row[3]) for row in mirror.coverage() if row[2] == "missing"} == {
        *((day, "never asked") for day in range(3, 9)),
        (9, "not yet published"),
    }
    mirror.fetch_due()
    assert {row[1].day for row in mirror.coverage() if row[2] == "complete"} == set(range(2, 9))


def test_a_symbol_that_the_source_answers_without_is_not_in_the_source(mirror: Mirror) -> None:
    """A file that is not there, and none of the symbol since: asked, and answered without it."""
    for number in range(4):
        mirror.put("BTC", FIRST + timedelta(days=number))
    mirror.put("ETH", FIRST)
    mirror.now = datetime(2026, 9, 1)
    mirror.fetch(FIRST, FIRST + timedelta(days=3))
    assert [row for row in mirror.coverage() if row[0] == "ETHUSDT"] == [
        ("ETHUSDT", FIRST, "complete", None),
        *(("ETHUSDT", FIRST + timedelta(days=n), "missing", "not in the source") for n in (1, 2, 3)),
    ]


def test_what_a_later_version_lacks_is_withdrawn_by_the_venue(mirror: Mirror) -> None:
    """The last day of ETH loses its second half, the last of XRP all of its rows; a later load and a rebuild say the same."""
    for number in range(3):
        for asset in ASSETS:
            mirror.put(asset, FIRST + timedelta(days=number))
    last = FIRST + timedelta(days=2)
    mirror.now = datetime(2026, 7, 5, 12)
    mirror.fetch(FIRST, last)
    assert {row[2] for row in mirror.coverage()} == {"complete"}
    mirror.put("ETH", last, periods=144)
    mirror.put("XRP", last, periods=0)
    mirror.now += timedelta(hours=7)
    again = fetch(
        mirror.settings, "binance_archive", ["um_metrics"], first=last, last=last, assets=ASSETS, again=True,
        clock=lambda: mirror.now,
    )  # fmt: skip
    assert {report.source: report.failures for report in again if report.failures} == {}
    columns = "instrument, trade_date, status, reason, present, detail"
    expected = [
        ("ETHUSDT", last, "partial", "withdrawn by the venue", 144, "144 rows taken back"),
        ("XRPUSDT", last, "missing", "withdrawn by the venue", 0, "288 rows taken back"),
    ]
    for _ in range(2):
        assert [row for row in mirror.coverage(columns) if row[2] != "complete"] == expected
    rebuild(mirror.settings, clock=lambda: mirror.now).outcome.raise_source_failures()
    assert [row for row in mirror.coverage(columns) if row[2] != "complete"] == expected


def test_the_ddl_the_mart_and_the_documentation_have_the_closed_list() -> None:
    ddl = (PROJECT_ROOT / "warehouse/schema/ops.coverage.sql").read_text(encoding="utf-8")
    [check] = re.findall(r"check \(reason in \(([^()]*(?:\([^()]*\)[^()]*)*)\)\)", ddl)
    assert re.findall(r"'([^']+)'", check) == list(GAP_REASONS)
    mart = (PROJECT_ROOT / "dbt_project/models/marts/operations/data_coverage_daily.yml").read_text(encoding="utf-8")
    [line] = [line for line in mart.splitlines() if line.strip().startswith("primary_reason: [")]
    assert re.findall(r'"([^"]+)"', line) == list(GAP_REASONS)
    page = (PROJECT_ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| ([^|`]+) \| ([^|]+) \|$", page, re.MULTILINE)[-len(GAP_REASONS) :] == list(
        GAP_REASONS.items()
    )
