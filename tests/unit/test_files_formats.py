"""Equal rows from JSON, JSON lines and Parquet; landing files with their mapping."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from pipelines.core.errors import LandingError, MappingError, SourceFormatError
from pipelines.extract.landing import LandingStore
from pipelines.sources.files.source import (
    land_matches,
    load_mapping,
    match_files,
    open_landings,
    reading_version,
)
from tests.unit import files_fixture as fixture
from tests.unit.files_fixture import GOOD_ROW, LONG, LONG_HEADER, parse_content

JSON_DOCUMENT = LONG.replace('format = "csv"', 'format = "json"\nrecord_path = "data.list"').replace("*.csv", "*.json")
JSON_LINES = LONG.replace('format = "csv"', 'format = "jsonl"').replace("*.csv", "*.jsonl")
PARQUET = (
    LONG.replace('format = "csv"', 'format = "parquet"')
    .replace("*.csv", "*.parquet")
    .replace('format = "%Y-%m-%d %H:%M:%S", zone = "UTC"', 'format = "typed"')
)

RECORD = {"symbol": "BTCUSDT", "time": "2024-01-01 00:05:00", "oi": "1.5", "value": 60000}


def expected(folder: Path) -> pl.DataFrame:
    return parse_content(folder, LONG_HEADER + GOOD_ROW).rows["open_interest"].drop("_line")


def test_a_json_document_is_read_at_its_record_path(tmp_path: Path) -> None:
    content = json.dumps({"data": {"list": [RECORD]}})
    rows = parse_content(tmp_path, content, text=JSON_DOCUMENT, name="a.json").rows["open_interest"]
    assert rows.drop("_line").equals(expected(tmp_path))
    assert rows["_line"].to_list() == [1]


def test_json_lines_are_read_line_by_line(tmp_path: Path) -> None:
    content = json.dumps(RECORD) + "\n\n" + json.dumps(RECORD)
    rows = parse_content(tmp_path, content, text=JSON_LINES, name="a.jsonl").rows["open_interest"]
    assert rows["_line"].to_list() == [1, 3]
    assert rows.head(1).drop("_line").equals(expected(tmp_path))


def test_the_record_of_a_json_line_is_at_the_first_matching_path_alone_or_in_a_list(tmp_path: Path) -> None:
    text = JSON_LINES.replace('format = "jsonl"', 'format = "jsonl"\nrecord_path = ["o", "data.o"]')
    records = [{"o": RECORD}, {"data": {"o": [RECORD, RECORD]}, "around": 1}, {"o": 5}, {"result": None}]
    parsed = parse_content(tmp_path, "\n".join(map(json.dumps, records)), text=text, name="a.jsonl")
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
    rows = fixture.parse_file(tmp_path, path, text=PARQUET, name="a.parquet").rows["open_interest"]
    assert rows.drop("_line").equals(expected(tmp_path))


def test_missing_and_unknown_keys_are_errors_and_a_sometimes_missing_key_is_null(tmp_path: Path) -> None:
    some = {key: value for key, value in RECORD.items() if key != "value"}
    lines = json.dumps(RECORD) + "\n" + json.dumps(some)
    rows = parse_content(tmp_path, lines, text=JSON_LINES, name="a.jsonl").rows["open_interest"]
    assert rows["oi_usd"].to_list() == [60000.0, None]
    with pytest.raises(SourceFormatError, match=r"a\.jsonl, record 1: column 'value' is missing"):
        parse_content(tmp_path, json.dumps(some), text=JSON_LINES, name="a.jsonl")
    more = json.dumps(RECORD) + "\n" + json.dumps({**RECORD, "extra": 1})
    with pytest.raises(SourceFormatError, match=r"a\.jsonl, record 2: column 'extra' is not in the mapping"):
        parse_content(tmp_path, more, text=JSON_LINES, name="a.jsonl")


def test_text_instead_of_a_json_number_rejects_only_its_record(tmp_path: Path) -> None:
    records = [RECORD, {**RECORD, "value": "n/a"}, {**RECORD, "value": {"x": 1}}, RECORD]
    content = json.dumps({"data": {"list": records}})
    parsed = parse_content(tmp_path, content, text=JSON_DOCUMENT, name="a.json")
    assert parsed.rejects["open_interest"]["line"].to_list() == [2, 3]
    assert parsed.rows["open_interest"]["_line"].to_list() == [1, 4]


def test_a_record_that_is_not_an_object_is_rejected(tmp_path: Path) -> None:
    parsed = parse_content(tmp_path, json.dumps({"data": {"list": [RECORD, 5]}}), text=JSON_DOCUMENT, name="a.json")
    assert parsed.rejects["open_interest"].select("line", "detail", "raw").rows() == [(2, "not a JSON object", "5")]


def test_an_invalid_json_line_is_rejected_wherever_it_stands(tmp_path: Path) -> None:
    good = json.dumps(RECORD)
    parsed = parse_content(tmp_path, f"{good}\n{{oops\n{good}\n", text=JSON_LINES, name="a.jsonl")
    assert parsed.rejects["open_interest"]["line"].to_list() == [2]
    cut = parse_content(tmp_path, f"{good}\n{good[:30]}", text=JSON_LINES, name="a.jsonl")
    [detail] = cut.rejects["open_interest"]["detail"]
    assert "the file may be cut off" in detail
    assert cut.rows["open_interest"].height == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"data": {"list": [', "not JSON"),
        ('{"data": []}', "expected an array of records at data.list"),
        ('{"data": {"list": {}}}', "expected an array of records at data.list"),
        ("", "not JSON"),
    ],
)
def test_a_json_document_with_the_wrong_structure_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(SourceFormatError, match=message):
        parse_content(tmp_path, content, text=JSON_DOCUMENT, name="a.json")


def test_a_file_that_is_not_parquet_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match="not a readable Parquet file"):
        parse_content(tmp_path, b"PAR1 but not really", text=PARQUET, name="a.parquet")


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
    parse, rules = open_landings(store, fixture.contract(), landings)
    assert [batch.table for landing in landings for batch in parse(landing)] == ["open_interest", "instruments"]
    assert rules.gaps == ()


def test_a_changed_mapping_is_a_new_version_of_the_landing(tmp_path: Path) -> None:
    store = LandingStore(tmp_path / "home")
    folder = folder_with(tmp_path, "a.csv")
    land_matches(store, mapping_file(tmp_path), root=folder)
    [again] = land_matches(store, mapping_file(tmp_path, LONG.replace('lag = "5m"', 'lag = "6m"')), root=folder)
    assert again.version == 2


def test_progress_is_reported_file_by_file(tmp_path: Path) -> None:
    records: list[tuple[str, int, int]] = []
    land_matches(
        LandingStore(tmp_path / "home"),
        mapping_file(tmp_path),
        root=folder_with(tmp_path, "a.csv"),
        progress=lambda what, done, of: records.append((what, done, of)),
    )
    assert records == [("land a.csv", 0, 1), ("land files", 1, 1)]


def test_nothing_is_landed_if_one_file_does_not_match(tmp_path: Path) -> None:
    store = LandingStore(tmp_path / "home")
    folder = folder_with(tmp_path, "a.csv", "b.txt")
    with pytest.raises(SourceFormatError, match=r"b\.txt matches no pattern"):
        land_matches(store, mapping_file(tmp_path), root=folder)
    with pytest.raises(SourceFormatError, match="no files to import"):
        land_matches(store, mapping_file(tmp_path))
    assert store.all() == []


def test_two_files_with_the_same_name_are_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "a.csv", "more/a.csv")
    with pytest.raises(SourceFormatError, match="have the same name"):
        match_files(load_mapping(mapping_file(tmp_path)), folder)


def test_an_ignored_file_is_skipped(tmp_path: Path) -> None:
    text = LONG.replace(
        '[[file]]\npattern = "*.csv"', '[[ignore]]\npattern = "old*"\nbecause = "x"\n\n[[file]]\npattern = "a.csv"'
    )
    matches = match_files(load_mapping(mapping_file(tmp_path, text)), folder_with(tmp_path, "a.csv", "old.csv"))
    assert [match.part for match in matches] == ["a.csv"]


def test_a_file_that_matches_two_patterns_is_a_mapping_error(tmp_path: Path) -> None:
    text = LONG + LONG[LONG.index("[[file]]") :].replace('pattern = "*.csv"', 'pattern = "a*"')
    with pytest.raises(MappingError, match=r"'a\.csv' matches '\*\.csv' and 'a\*'"):
        match_files(load_mapping(mapping_file(tmp_path, text)), folder_with(tmp_path, "a.csv"))


def test_a_landing_without_a_mapping_is_an_error(tmp_path: Path) -> None:
    store = LandingStore(tmp_path / "home")
    path = folder_with(tmp_path, "a.csv") / "a.csv"
    landing = store.land_file(path, source="files.example", partition="history", part="a.csv", request={})
    with pytest.raises(LandingError, match="names no mapping"):
        open_landings(store, fixture.contract(), [landing])


def test_a_file_is_read_with_the_newest_mapping_that_has_a_pattern_for_it(tmp_path: Path) -> None:
    store = LandingStore(tmp_path / "home")
    folder = folder_with(tmp_path, "a.csv", "b.csv")
    wrong = LONG.replace('table = "open_interest"', 'table = "nothing"')
    land_matches(store, mapping_file(tmp_path, wrong), root=folder)
    landings = store.all()
    parse, rules = open_landings(store, fixture.contract(), landings)
    assert rules.gaps == ()
    with pytest.raises(MappingError, match="no clean table 'nothing'"):
        list(parse(landings[0]))
    # The right mapping comes with another file: it reads those that it has a pattern for.
    right = LONG.replace('pattern = "*.csv"', 'pattern = "[ac].csv"')
    land_matches(store, mapping_file(tmp_path, right), files=[folder_with(tmp_path, "c.csv") / "c.csv"])
    landings = store.all()
    parse, _ = open_landings(store, fixture.contract(), landings)
    tables = {x.part: [batch.table for batch in parse(x)] for x in landings if x.part != "b.csv"}
    assert tables == {name: ["open_interest", "instruments"] for name in ("a.csv", "c.csv")}
    with pytest.raises(MappingError, match="no clean table 'nothing'"):
        list(parse(next(x for x in landings if x.part == "b.csv")))
    assert reading_version(landings[:2]) == reading_version(landings[2:]) != reading_version(landings)
