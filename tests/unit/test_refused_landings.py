"""A landing is the unit of damage: one that is bad is refused by itself, the others load, and it can be tried again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipelines.clean.load import LoadReport
from pipelines.contract.batch import ParsedBatch
from pipelines.core.errors import LimitError, SourceFormatError
from pipelines.extract.landing import Landing
from tests.unit.test_load import LoaderFixture, clean_rows, oi


class Panic(BaseException):
    """A panic of a compiled library is no Exception."""


class Faulty(LoaderFixture):
    """A loader whose parser raises what `faults` names for a part."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.faults: dict[str, BaseException] = {}
        self.parsed: list[str] = []

    def _parse(self, landing: Landing) -> Iterator[ParsedBatch]:
        self.parsed.append(landing.part)
        if landing.part in self.faults:
            raise self.faults[landing.part]
        yield from super()._parse(landing)


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[Faulty]:
    loader = Faulty(tmp_path)
    yield loader
    loader.con.close()


def day(number: int, value: float) -> dict[str, object]:
    return oi(("BTCUSDT", f"2024-01-{number:02d} 12:00", value))


def parts(report: LoadReport) -> dict[str, str]:
    return {refusal.part: refusal.reason for refusal in report.refused}


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (SourceFormatError("line 3: no number"), "unreadable", "SourceFormatError: line 3: no number"),
        (KeyError("symbol"), "unreadable", "KeyError: 'symbol'"),
        (OverflowError("date value out of range"), "unreadable", "OverflowError"),
        (RecursionError("maximum depth"), "unreadable", "RecursionError"),
        (pl.exceptions.ComputeError("strict conversion"), "unreadable", "ComputeError: strict conversion"),
        (Panic("not yet implemented"), "unreadable", "Panic"),
        (LimitError("more than 1,000 columns"), "limit", "more than 1,000 columns"),
    ],
)
def test_whatever_a_parser_raises_ends_that_landing_alone(
    loader: Faulty, fault: BaseException, reason: str, words: str
) -> None:
    loader.land("good.csv", day(1, 1.0))
    loader.land("bad.csv", day(2, 2.0))
    loader.land("better.csv", day(3, 3.0))
    loader.faults["bad.csv"] = fault
    report = loader.load()
    assert parts(report) == {"bad.csv": reason}
    assert words in report.refused[0].detail
    assert [value for _, _, value in clean_rows(loader)] == [1.0, 3.0]


def test_an_interrupt_is_no_fault_of_a_landing(loader: Faulty) -> None:
    loader.land("a.csv", day(1, 1.0))
    loader.faults["a.csv"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        loader.load()
    assert loader.store.refusals(loader.store.all()) == {}


def test_a_full_disk_is_no_fault_of_a_landing(loader: Faulty) -> None:
    loader.land("a.csv", day(1, 1.0))
    loader.faults["a.csv"] = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space left"):
        loader.load()
    assert loader.store.refusals(loader.store.all()) == {}


def test_the_gate_refuses_only_the_landings_at_fault(loader: Faulty) -> None:
    for number in range(1, 31):
        loader.land(f"{number:02d}.csv", day(number, float(number)))
    loader.refuse = {7.0, 8.0, 23.0}
    report = loader.load()
    assert parts(report) == {"07.csv": "gate", "08.csv": "gate", "23.csv": "gate"}
    assert report.landings == 27
    assert [value for _, _, value in clean_rows(loader)] == [float(n) for n in range(1, 31) if n not in (7, 8, 23)]


def test_a_refused_landing_is_not_tried_again_before_its_reader_changes(loader: Faulty) -> None:
    loader.land("a.csv", day(1, 1.0))
    loader.faults["a.csv"] = KeyError("symbol")
    loader.load()
    loader.parsed.clear()
    assert (loader.load(), loader.parsed) == (LoadReport("files.example"), [])
    loader.reader_version = "2"
    assert (parts(loader.load()), loader.parsed) == ({"a.csv": "unreadable"}, ["a.csv"])
    loader.faults.clear()
    loader.reader_version = "3"
    assert loader.load().landings == 1
    assert loader.store.refusals(loader.store.all()) == {}


def test_a_refused_version_leaves_the_one_before_it_in_force(loader: Faulty) -> None:
    loader.land("a.csv", day(1, 1.0))
    loader.load()
    loader.land("a.csv", day(1, 2.0))
    loader.refuse = {2.0}
    assert parts(loader.load()) == {"a.csv": "gate"}
    assert [value for _, _, value in clean_rows(loader)] == [1.0]
    assert loader.rows("select version, is_current from ops.landings") == [(1, True)]


def test_where_the_newest_version_is_refused_an_older_one_that_was_never_loaded_is(loader: Faulty) -> None:
    loader.land("a.csv", day(1, 1.0))
    loader.land("a.csv", day(1, 2.0))
    loader.refuse = {2.0}
    report = loader.load()
    assert (parts(report), report.landings) == ({"a.csv": "gate"}, 1)
    assert [value for _, _, value in clean_rows(loader)] == [1.0]


def test_a_version_that_was_never_loaded_is_on_record(loader: Faulty) -> None:
    loader.land("a.csv", day(1, 1.0))
    loader.land("a.csv", day(1, 2.0))
    loader.load()
    assert loader.rows("select version, is_current from ops.landings order by 1") == [(1, False), (2, True)]


def test_an_accepted_landing_is_loaded_with_its_failed_checks_as_warnings(loader: Faulty) -> None:
    landing = loader.land("a.csv", day(1, 1.0))
    loader.refuse = {1.0}
    loader.load()
    loader.store.accept(landing, reason="the exchange really did that")
    report = loader.load()
    assert (report.landings, report.refused) == (1, ())
    assert [value for _, _, value in clean_rows(loader)] == [1.0]
    assert {(check.severity, check.passed) for check in report.checks} == {("warn", False)}


def test_a_forgotten_landing_leaves_the_clean_tables_and_the_version_before_comes_back(loader: Faulty) -> None:
    first, second = loader.land("a.csv", day(1, 1.0)), loader.land("a.csv", day(1, 2.0))
    loader.load()
    loader.store.forget(second, reason="the wrong file")
    loader.load()
    assert [value for _, _, value in clean_rows(loader)] == [1.0]
    loader.store.forget(first, reason="that one too")
    loader.load()
    assert clean_rows(loader) == []
    assert loader.rows("select count(*) from ops.landings where is_current") == [(0,)]
    again = loader.land("a.csv", day(1, 3.0))
    assert again.version == 3
    loader.load()
    assert [value for _, _, value in clean_rows(loader)] == [3.0]


def test_bytes_that_were_altered_after_landing_are_refused(loader: Faulty) -> None:
    landing = loader.land("a.csv", day(1, 1.0))
    loader.land("b.csv", day(2, 2.0))
    landing.path.write_bytes(b"something else")
    report = loader.load()
    assert parts(report) == {"a.csv": "altered"}
    assert [value for _, _, value in clean_rows(loader)] == [2.0]


def test_a_landing_that_shares_days_with_one_that_can_no_longer_be_read_waits(loader: Faulty) -> None:
    rotten = loader.land("a.csv", day(1, 1.0))
    loader.load()
    rotten.path.unlink()
    loader.land("b.csv", oi(("ETHUSDT", "2024-01-01 12:00", 2.0)))
    loader.land("c.csv", day(3, 3.0))
    report = loader.load()
    assert parts(report) == {"b.csv": "altered"}
    assert "a.csv" in report.refused[0].detail
    # What the rotten landing gave stays in the clean tables.
    assert [value for _, _, value in clean_rows(loader)] == [1.0, 3.0]


def test_a_damaged_manifest_costs_its_landing_alone(loader: Faulty) -> None:
    bad = loader.land("a.csv", day(1, 1.0))
    loader.land("b.csv", day(2, 2.0))
    manifest = bad.path.with_name(f"{bad.path.name}.manifest.json")
    manifest.write_text("{", encoding="utf-8")
    loader.load()
    assert [value for _, _, value in clean_rows(loader)] == [2.0]
    [line] = loader.store.damaged_manifests()
    assert manifest.name in line


def test_a_manifest_that_names_another_file_is_damaged(loader: Faulty) -> None:
    landing = loader.land("a.csv", day(1, 1.0))
    manifest = landing.path.with_name(f"{landing.path.name}.manifest.json")
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace(landing.path.name, "../../../etc/passwd"), encoding="utf-8")
    assert loader.store.all() == []
    assert len(loader.store.damaged_manifests()) == 1


def test_the_database_is_free_while_a_landing_is_parsed(tmp_path: Path) -> None:
    """The connection that the loader uses is closed whenever the parser runs."""
    loader = Faulty(tmp_path)
    open_now: list[bool] = []

    class Counting:
        def __enter__(self) -> duckdb.DuckDBPyConnection:
            open_now.append(True)
            return loader.con

        def __exit__(self, *_: object) -> None:
            open_now.clear()

    original = loader._parse

    def parse(landing: Landing) -> Iterator[ParsedBatch]:
        assert not open_now
        yield from original(landing)

    from pipelines.clean.load import load_source

    loader.land("a.csv", day(1, 1.0))
    loader.land("b.csv", oi(("ETHUSDT", "2024-01-01 12:00", 2.0)))
    for _ in range(2):
        load_source(
            Counting, contract=loader.contract, source="files.example", store=loader.store, landings=loader.store.all(),
            parse=parse, rules=loader.rules, gate=loader._gate, now=loader.clock,
        )  # fmt: skip
        loader.land("c.csv", oi(("SOLUSDT", "2024-01-01 12:00", 3.0)))
    assert len(clean_rows(loader)) == 3
    loader.con.close()
