"""The same rows from JSON, JSON lines and Parquet; landing files with their mapping."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from pipelines.core.errors import LandingError, MappingError, SourceFormatError
from pipelines.extract.landing import LandingStore
from pipelines.sources.files.source import land_matches, load_mapping, match_files, open_landings
from tests.unit import files_fixture as world
from tests.unit.files_fixture import GOOD_ROW, LONG, LONG_HEADER, put_through

JSON_DOCUMENT = LONG.replace('format = "csv"', 'format = "json"\nrecord_path = "data.list"').replace("*.csv", "*.json")
JSON_LINES = LONG.replace('format = "csv"', 'format = "jsonl"').replace("*.csv", "*.jsonl")
PARQUET = (
    LONG.replace('format = "csv"', 'format = "parquet"')
    .replace("*.csv", "*.parquet")
    .replace('format = "%Y-%m-%d %H:%M:%S", zone = "UTC"', 'format = "typed"')
)

RECORD = {"symbol": "BTCUSDT", "time": "2024-01-01 00:05:00", "oi": "1.5", "value": 60000}


def expected(folder: Path) -> pl.DataFrame:
    return put_through(folder, LONG_HEADER + GOOD_ROW).rows["open_interest"].drop("_line")


def test_a_json_document_is_read_at_its_record_path(tmp_path: Path) -> None:
    content = json.dumps({"data": {"list": [RECORD]}})
    rows = put_through(tmp_path, content, text=JSON_DOCUMENT, name="a.json").rows["open_interest"]
    assert rows.drop("_line").equals(expected(tmp_path))
    assert rows["_line"].to_list() == [1]


def test_json_lines_are_read_line_by_line(tmp_path: Path) -> None:
    content = json.dumps(RECORD) + "\n\n" + json.dumps(RECORD)
    rows = put_through(tmp_path, content, text=JSON_LINES, name="a.jsonl").rows["open_interest"]
    assert rows["_line"].to_list() == [1, 3]
    assert rows.head(1).drop("_line").equals(expected(tmp_path))


def test_the_record_of_a_json_line_lies_at_the_first_of_its_places_alone_or_in_a_list(tmp_path: Path) -> None:
    text = JSON_LINES.replace('format = "jsonl"', 'format = "jsonl"\nrecord_path = ["o", "data.o"]')
    told = [{"o": RECORD}, {"data": {"o": [RECORD, RECORD]}, "around": 1}, {"o": 5}, {"result": None}]
    parsed = put_through(tmp_path, "\n".join(map(json.dumps, told)), text=text, name="a.jsonl")
    true = expected(tmp_path)
    assert parsed.rows["open_interest"]["_line"].to_list() == [1, 2, 2]
    assert parsed.rows["open_interest"].head(1).select(true.columns).equals(true)
    assert parsed.only_rejects().select("line", "detail").rows() == [
        (3, "no record at o or data.o"), (4, "no record at o or data.o"),
    ]  # fmt: skip


def test_a_parquet_file_is_read_with_its_types(tmp_path: Path) -> None:
    path = tmp_path / "landed"
    frame = pl.DataFrame([{**RECORD, "oi": 1.5, "time": datetime(2024, 1, 1, 0, 5, tzinfo=UTC)}])
    frame.write_parquet(path)
    rows = world.parse_file(tmp_path, path, text=PARQUET, name="a.parquet").rows["open_interest"]
    assert rows.drop("_line").equals(expected(tmp_path))


def test_a_missing_and_an_unknown_key_are_errors_and_a_sometimes_missing_one_is_null(tmp_path: Path) -> None:
    some = {key: value for key, value in RECORD.items() if key != "value"}
    lines = json.dumps(RECORD) + "\n" + json.dumps(some)
    rows = put_through(tmp_path, lines, text=JSON_LINES, name="a.jsonl").rows["open_interest"]
    assert rows["oi_usd"].to_list() == [60000.0, None]
    with pytest.raises(SourceFormatError, match=r"a\.jsonl, record 1: column 'value' is missing"):
        put_through(tmp_path, json.dumps(some), text=JSON_LINES, name="a.jsonl")
    more = json.dumps(RECORD) + "\n" + json.dumps({**RECORD, "extra": 1})
    with pytest.raises(SourceFormatError, match=r"a\.jsonl, record 2: column 'extra' is not in the mapping"):
        put_through(tmp_path, more, text=JSON_LINES, name="a.jsonl")


def test_text_among_json_numbers_costs_its_record_only(tmp_path: Path) -> None:
    records = [RECORD, {**RECORD, "value": "n/a"}, {**RECORD, "value": {"x": 1}}, RECORD]
    content = json.dumps({"data": {"list": records}})
    parsed = put_through(tmp_path, content, text=JSON_DOCUMENT, name="a.json")
    assert parsed.rejects["open_interest"]["line"].to_list() == [2, 3]
    assert parsed.rows["open_interest"]["_line"].to_list() == [1, 4]


def test_a_record_that_is_no_object_is_rejected(tmp_path: Path) -> None:
    parsed = put_through(tmp_path, json.dumps({"data": {"list": [RECORD, 5]}}), text=JSON_DOCUMENT, name="a.json")
    assert parsed.rejects["open_interest"].select("line", "detail", "raw").rows() == [(2, "not a JSON object", "5")]


def test_a_line_that_is_no_json_is_rejected_in_the_middle_and_a_truncated_file_at_the_end(tmp_path: Path) -> None:
    good = json.dumps(RECORD)
    parsed = put_through(tmp_path, f"{good}\n{{oops\n{good}\n", text=JSON_LINES, name="a.jsonl")
    assert parsed.rejects["open_interest"]["line"].to_list() == [2]
    with pytest.raises(SourceFormatError, match=r"a\.jsonl, line 2: the file is truncated"):
        put_through(tmp_path, f"{good}\n{good[:30]}", text=JSON_LINES, name="a.jsonl")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"data": {"list": [', "not JSON"),
        ('{"data": []}', "expected an array of records at data.list"),
        ('{"data": {"list": {}}}', "expected an array of records at data.list"),
        ("", "not JSON"),
    ],
)
def test_a_json_document_of_another_shape_is_an_error(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(SourceFormatError, match=says):
        put_through(tmp_path, content, text=JSON_DOCUMENT, name="a.json")


def test_a_file_that_is_no_parquet_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match="not a readable Parquet file"):
        put_through(tmp_path, b"PAR1 but not really", text=PARQUET, name="a.parquet")


def folder_with(tmp_path: Path, *names: str) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(LONG_HEADER + GOOD_ROW)
    return folder


def mapping_file(tmp_path: Path, text: str = LONG) -> Path:
    path = tmp_path / "mapping.toml"
    path.write_text(text)
    return path


def test_landing_a_folder_twice_lands_every_file_once(tmp_path: Path) -> None:
    store = LandingStore(tmp_path / "home")
    folder, mapping = folder_with(tmp_path, "a.csv", "b.csv"), mapping_file(tmp_path)
    first = land_matches(store, mapping, root=folder)
    assert [landing.part for landing in first] == ["a.csv", "b.csv"]
    assert land_matches(store, mapping, root=folder) == first
    assert len(store.all()) == 2


def test_landings_are_parsed_with_the_mapping_they_were_landed_with(tmp_path: Path) -> None:
    store = LandingStore(tmp_path / "home")
    folder, mapping = folder_with(tmp_path, "a.csv"), mapping_file(tmp_path)
    land_matches(store, mapping, root=folder)
    mapping.unlink()
    landings = store.all("files.example")
    parse, rules = open_landings(store, world.contract(), landings)
    assert [batch.table for landing in landings for batch in parse(landing)] == ["open_interest", "instruments"]
    assert rules.gaps == ()


def test_a_changed_mapping_is_a_new_version_of_the_landing(tmp_path: Path) -> None:
    store = LandingStore(tmp_path / "home")
    folder = folder_with(tmp_path, "a.csv")
    land_matches(store, mapping_file(tmp_path), root=folder)
    [again] = land_matches(store, mapping_file(tmp_path, LONG.replace('lag = "5m"', 'lag = "6m"')), root=folder)
    assert again.version == 2


def test_progress_is_told_file_by_file(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    land_matches(
        LandingStore(tmp_path / "home"),
        mapping_file(tmp_path),
        root=folder_with(tmp_path, "a.csv"),
        progress=lambda what, done, of: told.append((what, done, of)),
    )
    assert told == [("land a.csv", 0, 1), ("land files", 1, 1)]


def test_nothing_is_landed_where_one_file_does_not_match(tmp_path: Path) -> None:
    store = LandingStore(tmp_path / "home")
    folder = folder_with(tmp_path, "a.csv", "b.txt")
    with pytest.raises(SourceFormatError, match=r"b\.txt matches no pattern"):
        land_matches(store, mapping_file(tmp_path), root=folder)
    with pytest.raises(SourceFormatError, match="no files to import"):
        land_matches(store, mapping_file(tmp_path))
    assert store.all() == []


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a.csv", "more/a.csv")
    with pytest.raises(SourceFormatError, match="have the same name"):
        match_files(load_mapping(mapping_file(tmp_path)), folder)


def test_an_ignored_file_is_passed_over(tmp_path: Path) -> None:
    text = LONG.replace(
        '[[file]]\npattern = "*.csv"', '[[ignore]]\npattern = "old*"\nbecause = "x"\n\n[[file]]\npattern = "a.csv"'
    )
    matches = match_files(load_mapping(mapping_file(tmp_path, text)), folder_with(tmp_path, "a.csv", "old.csv"))
    assert [match.part for match in matches] == ["a.csv"]


def test_a_file_two_patterns_match_is_an_error_of_the_mapping(tmp_path: Path) -> None:
    text = LONG + LONG[LONG.index("[[file]]") :].replace('pattern = "*.csv"', 'pattern = "a*"')
    with pytest.raises(MappingError, match=r"'a\.csv' matches '\*\.csv' and 'a\*'"):
        match_files(load_mapping(mapping_file(tmp_path, text)), folder_with(tmp_path, "a.csv"))


def test_a_landing_without_a_mapping_is_an_error(tmp_path: Path) -> None:
    store = LandingStore(tmp_path / "home")
    path = folder_with(tmp_path, "a.csv") / "a.csv"
    landing = store.land_file(path, source="files.example", partition="history", part="a.csv", request={})
    with pytest.raises(LandingError, match="names no mapping"):
        open_landings(store, world.contract(), [landing])
