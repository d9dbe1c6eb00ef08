"""When the rows of a restated landing could be known: changed and added ones since the version that brought them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.clean.parsed import stage_schema
from pipelines.clean.versions import Version, changes, versions_of
from pipelines.contract.ddl import Table, load_contract
from pipelines.core.settings import PROJECT_ROOT
from pipelines.extract.landing import Landing

from .test_load import LoaderFixture, oi

CLEAN = load_contract(PROJECT_ROOT / "warehouse" / "schema").clean
OWN = datetime(2024, 1, 2)
"""When the parser says that a row was public: before any of the fetches."""
FETCHED = [datetime(2024, 1, 10 + number) for number in range(4)]


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[LoaderFixture]:
    loader = LoaderFixture(tmp_path)
    yield loader
    loader.con.close()


def landing(number: int, *, sha256: str | None = None, covers: Sequence[str] | None = None) -> Landing:
    request = {} if covers is None else {"covers": dict.fromkeys(covers, "complete")}
    return Landing(
        landing_id=f"id{number}", source="s", partition="p", part="x", version=number + 1, path=Path(f"x{number}"),
        original_name="x", sha256=sha256 or str(number), bytes=1, fetched_at=FETCHED[number], completeness="complete",
        request=request,
    )  # fmt: skip


def staged(folder: Path, table: Table, rows: dict[str, float], *, own: datetime = OWN) -> list[Path]:
    """A staged file of rows named by their key; the number is in a column that is no part of it."""
    value = next(c for c in table.value_columns if table.polars_schema()[c] in {pl.Float64(), pl.Int64(), pl.String()})
    named = next(c for c in table.key if c != "source" and table.polars_schema()[c] == pl.String())
    subject = table.instrument_column or named
    columns: dict[str, list[Any]] = {}
    for column, kind in stage_schema(table).items():
        filler = {pl.String(): "x", pl.Date(): OWN.date()}.get(kind, OWN if isinstance(kind, pl.Datetime) else 1)
        columns[column] = [filler] * len(rows)
    columns |= {
        "available_at": [own] * len(rows),
        "_rid": list(range(len(rows))),
        subject: list(rows),
        named: list(rows),
    }
    numbers = list(rows.values())
    columns[value] = [str(x) for x in numbers] if table.polars_schema()[value] == pl.String() else numbers
    path = folder / f"{len(list(folder.iterdir()))}.parquet"
    pl.DataFrame(columns, strict=False).cast(pl.Schema(stage_schema(table))).write_parquet(path)
    return [path]


def moved(table: Table, *versions: tuple[Landing, list[Path]]) -> dict[int, datetime]:
    found = changes(table, [(Version(one, one.fetched_at), files) for one, files in versions])
    return dict(found.moved.select("_rid", "available_at").iter_rows())


@pytest.mark.parametrize("name", CLEAN)
def test_changed_and_added_rows_of_every_table_count_from_the_version_that_brought_them(
    tmp_path: Path, name: str
) -> None:
    table = CLEAN[name]
    versions = [
        (landing(0), staged(tmp_path, table, {"same": 1, "changed": 1, "gone": 1})),
        (landing(1), staged(tmp_path, table, {"same": 1, "changed": 2, "added": 1})),
        (landing(2), staged(tmp_path, table, {"same": 1, "changed": 2, "added": 1, "gone": 1, "newest": 1})),
    ]
    assert moved(table, *versions) == {1: FETCHED[1], 2: FETCHED[1], 3: FETCHED[2], 4: FETCHED[2]}
    assert moved(table, *versions[:1]) == {}


def test_a_value_that_was_taken_back_counts_from_its_return(tmp_path: Path) -> None:
    table = CLEAN["open_interest"]
    versions = [(landing(n), staged(tmp_path, table, {"a": value})) for n, value in enumerate((1, 2, 1, 1))]
    assert moved(table, *versions) == {0: FETCHED[2]}


def test_a_row_that_is_public_later_than_its_fetch_keeps_its_own_time(tmp_path: Path) -> None:
    table, late = CLEAN["open_interest"], datetime(2025, 1, 1)
    versions = [(landing(n), staged(tmp_path, table, {"a": n}, own=late)) for n in range(2)]
    assert moved(table, *versions) == {}


def test_an_unchanged_row_keeps_the_time_of_the_version_that_said_it_first(tmp_path: Path) -> None:
    table, again = CLEAN["open_interest"], datetime(2024, 1, 11)
    versions = [
        (landing(0), staged(tmp_path, table, {"a": 1})),
        (landing(1), staged(tmp_path, table, {"a": 1}, own=again)),
    ]
    assert moved(table, *versions) == {0: OWN}


def test_a_subject_that_was_not_asked_for_is_neither_missing_nor_new(tmp_path: Path) -> None:
    table = CLEAN["open_interest"]
    versions = [
        (landing(0, covers=["a"]), staged(tmp_path, table, {"a": 1})),
        (landing(1, covers=["a", "b"]), staged(tmp_path, table, {"a": 1, "b": 1})),
        (landing(2, covers=["a"]), staged(tmp_path, table, {"a": 1})),
        (landing(3, covers=["a", "b", "c"]), staged(tmp_path, table, {"a": 1, "b": 1, "c": 1})),
    ]
    assert moved(table, *versions) == {}
    # One that was asked for and had no answer yet is new when it comes.
    waited = [(landing(0, covers=["a", "b"]), staged(tmp_path, table, {"a": 1})), versions[1]]
    assert moved(table, *waited) == {1: FETCHED[1]}


def test_versions_with_the_same_bytes_are_one_and_refused_ones_none() -> None:
    chain = [landing(0), landing(1, sha256="b"), landing(2, sha256="b"), landing(3)]
    found = versions_of(chain[3], chain, refused={"id0"})
    assert [(x.landing.landing_id, x.fetched_at) for x in found] == [("id2", FETCHED[1]), ("id3", FETCHED[3])]
    # Read anew, by another mapping: known since the bytes were there.
    assert [x.fetched_at for x in versions_of(chain[2], chain, refused=())] == [FETCHED[0], FETCHED[1]]
    other = replace(chain[0], part="y")
    assert len(versions_of(chain[1], [other, *chain[1:]], refused=())) == 1


def test_a_restated_file_is_loaded_with_the_time_of_each_row(loader: LoaderFixture) -> None:
    known = "select instrument, available_at from clean.open_interest order by all"
    loader.land("a.csv", oi(("BTC", "2023-12-01", 5.0), ("ETH", "2023-12-01", 6.0)))
    loader.load()
    event = datetime(2023, 12, 1)
    assert loader.rows(known) == [("BTC", event), ("ETH", event)]
    second = loader.land(
        "a.csv", oi(("BTC", "2023-12-01", 5.0), ("ETH", "2023-12-01", 7.0), ("SOL", "2023-12-01", 1.0))
    )
    loader.load()
    expected = [("BTC", event), ("ETH", second.fetched_at), ("SOL", second.fetched_at)]
    assert loader.rows(known) == expected
    # A file of the same day makes the partition be built again.
    loader.land("b.csv", oi(("XRP", "2023-12-01", 5.0)))
    loader.load()
    assert loader.rows(known) == [*expected, ("XRP", event)]
    loader.land("a.csv", oi(("BTC", "2023-12-01", 5.0), ("ETH", "2023-12-01", 7.0)))
    loader.load()
    assert loader.rows(known) == [*expected[:2], ("XRP", event)]
    # From the landing alone, as a rebuild does.
    loader.con.execute(
        "delete from ops.landings; delete from ops.lineage; delete from ops.loads; delete from clean.open_interest"
    )
    loader.load()
    assert loader.rows(known) == [*expected[:2], ("XRP", event)]
    assert second.fetched_at - loader.store.all()[0].fetched_at >= timedelta(minutes=1)


def withdrawn(table: Table, *versions: tuple[Landing, list[Path]]) -> dict[str, int]:
    found = changes(table, [(Version(one, one.fetched_at), files) for one, files in versions])
    return dict(found.withdrawn.select("instrument", "rows").iter_rows())


def test_rows_that_a_version_was_asked_for_and_lacks_are_withdrawn_until_they_return(tmp_path: Path) -> None:
    table = CLEAN["open_interest"]
    said: list[dict[str, float]] = [{"a": 1, "b": 1}, {"a": 2}, {"c": 1}, {"a": 2}]
    versions = [(landing(n), staged(tmp_path, table, rows)) for n, rows in enumerate(said)]
    assert withdrawn(table, *versions[:2]) == {"b": 1}
    assert withdrawn(table, *versions[:3]) == {"a": 1, "b": 1}
    assert withdrawn(table, *versions) == {"b": 1, "c": 1}


def test_a_subject_that_was_not_asked_for_and_events_are_not_withdrawn(tmp_path: Path) -> None:
    table = CLEAN["open_interest"]
    versions = [
        (landing(0, covers=["a", "b"]), staged(tmp_path, table, {"a": 1, "b": 1})),
        (landing(1, covers=["a"]), staged(tmp_path, table, {"a": 1})),
    ]
    assert withdrawn(table, *versions) == {}
    events = CLEAN["liquidations"]
    of_events = [
        (landing(0), staged(tmp_path, events, {"a": 1, "b": 1})),
        (landing(1), staged(tmp_path, events, {"a": 1})),
    ]
    assert withdrawn(events, *of_events) == {}
