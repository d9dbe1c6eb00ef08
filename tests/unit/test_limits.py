"""Whatever exceeds a limit is refused by itself, with words that name the limit; what is within it is read as before."""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import hypothesis
import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core import limits
from pipelines.core.errors import ConfigError, LandingError, LimitError, MappingError, SourceFormatError
from pipelines.core.limits import DEFAULTS, Limits, in_force
from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.extract.landing import LandingStore
from pipelines.extract.pack import Pack, PackWriter
from pipelines.extract.venue import Page
from pipelines.operations.load import LoadOutcome, import_files, load_pending
from pipelines.operations.rebuild import rebuild
from pipelines.sources.files import json_arrays
from pipelines.sources.files.patterns import full_matches, is_linear
from pipelines.storage.warehouse import reader, writer_lock
from tests.unit import files_fixture as fixture
from tests.unit.files_fixture import GOOD_ROW, LONG, LONG_HEADER, WIDE, parse_content
from tests.unit.test_pack import AT, page_of

GOOD = LONG_HEADER + GOOD_ROW
JSON = LONG.replace('format = "csv"', 'format = "json"').replace('pattern = "*.csv"', 'pattern = "*"')
RECORD = {"symbol": "BTCUSDT", "time": "2024-01-01 00:05:00", "oi": "1.5", "value": "60000"}


# The list of limits


def test_the_page_lists_every_limit_with_its_default() -> None:
    text = (PROJECT_ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| ([^|]*?)(?: \(\d+ [MG]iB\))? \|", text, re.MULTILINE))
    assert listed == {
        name: f"{value:,}" if isinstance(value, int) else str(value) for name, value in DEFAULTS.model_dump().items()
    }
    for field in Limits.model_fields.values():
        assert f"| {field.description} |" in text


def test_a_limit_is_a_setting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.limits == DEFAULTS
    monkeypatch.setenv("LEVERHOUSE_LIMITS", '{"columns": 20}')
    assert Settings.load().limits == Limits(columns=20)


@pytest.mark.parametrize("text", ['{"colums": 20}', '{"columns": 0}', '{"reader_memory": "much"}'])
def test_a_limit_that_does_not_exist_or_bounds_nothing_is_refused(
    text: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVERHOUSE_LIMITS", text)
    with pytest.raises(ConfigError, match="LEVERHOUSE_LIMITS_"):
        Settings.load()


# Files


@pytest.mark.parametrize(
    ("bound", "content", "text", "words"),
    [
        (Limits(columns=3), GOOD, LONG, r"data\.csv, line 1: 4 columns; the limit columns is 3"),
        (Limits(record_bytes=30), GOOD, LONG, r"line 2: it is longer than 30 bytes.*limit record_bytes is 30"),
        (Limits(document_bytes=10), json.dumps([RECORD]), JSON, "the limit document_bytes is 10"),
        (
            Limits(nesting=3),
            '[{"symbol": [[[1]]]}]',
            JSON,
            "line 1: values nested more than 3 deep; the limit nesting is 3",
        ),
        (
            Limits(columns=4),
            json.dumps([RECORD, {"a": 1}]),
            JSON,
            "record 2: 5 different keys so far; the limit columns is 4",
        ),
        (Limits(landing_names=1), GOOD + GOOD_ROW.replace("BTC", "ETH"), LONG, "2 different names so far"),
    ],
)
def test_a_file_beyond_a_limit_is_refused_and_the_limit_named(
    bound: Limits, content: str, text: str, words: str, tmp_path: Path
) -> None:
    with in_force(bound), pytest.raises(LimitError, match=words) as refused:
        parse_content(tmp_path, content, text=text)
    assert "in leverhouse.toml (docs/limits.md)" in str(refused.value)


def overlapping(content: bytes, times: int) -> bytes:
    """A zip whose directory lists one member several times."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(content) + packer.flush()
    sizes = (zlib.crc32(content), len(packed), len(content))
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 33, *sizes, 5, 0) + b"a.csv" + packed
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, 8, 0, 33, *sizes, 5, 0, 0, 0, 0, 0, 0) + b"a.csv"
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, times, times, len(entry) * times, len(local), 0)
    return local + entry * times + end


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    assert parse_content(tmp_path, overlapping(GOOD.encode(), 1)).rows["open_interest"].height == 1
    with pytest.raises(SourceFormatError, match="lies in the bytes of another one"):
        parse_content(tmp_path, overlapping(GOOD.encode(), 2))


def test_an_archive_of_too_many_members_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.csv", GOOD)
    with (
        in_force(Limits(archive_members=2)),
        pytest.raises(LimitError, match="it has 3 members; the limit archive_members"),
    ):
        parse_content(tmp_path, buffer.getvalue())


def test_a_column_of_lists_is_refused_where_a_rule_reads_it_and_kept_as_json_where_none_does(tmp_path: Path) -> None:
    text = LONG.replace('format = "csv"', 'format = "parquet"\nignore = ["more"]').replace(
        'pattern = "*.csv"', 'pattern = "*"'
    )
    buffer = io.BytesIO()
    pl.DataFrame([{**RECORD, "oi": "x", "more": [1, 2]}]).write_parquet(buffer)
    assert (
        '"more":"{\\"more\\":[1,2]}"' in parse_content(tmp_path, buffer.getvalue(), text=text).only_rejects()["raw"][0]
    )
    pl.DataFrame([{**RECORD, "value": [1], "more": "1"}]).write_parquet(buffer := io.BytesIO())
    with pytest.raises(SourceFormatError, match="column 'value' holds lists or structs"):
        parse_content(tmp_path, buffer.getvalue(), text=text)


def test_a_wide_file_of_thousands_of_columns_takes_one_pass(tmp_path: Path) -> None:
    names = [f"A{n}USDT_{side}" for n in range(3_000) for side in ("long", "short")]
    rows = "".join(f"2024-01-{day:02d}{',1' * len(names)}\n" for day in (1, 2))
    parsed = parse_content(tmp_path, f"t,{','.join(names)}\n{rows}", text=WIDE)
    assert parsed.rows["liquidation_totals"].height == 6_000
    assert parsed.rows["liquidation_totals"]["instrument"].n_unique() == 3_000


# JSON in parts

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 10**9)
    | st.text(max_size=5)
    | st.sampled_from(['a\\"],[{', "\\", "\\\\", '"']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@hypothesis.settings(max_examples=50)
@given(records=st.lists(VALUES, max_size=12), before=VALUES, size=st.integers(8, 40), indent=st.booleans())
def test_an_array_in_parts_is_the_array(records: list[Any], before: Any, size: int, indent: bool) -> None:
    document = {"before": before, 'k"ey': {"list": records}, "after": [before]}
    option = orjson.OPT_INDENT_2 if indent else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_arrays, "PART_BYTES", size)
        patch.setattr(json_arrays, "_SCAN_BYTES", size)
        text = orjson.dumps(document, option=option)
        place = json_arrays.array_on(text, ["none.list", 'k"ey.list'], (), name="x")
        assert place is not None and place.rest == ()
        assert [one for part in json_arrays.elements(text, place.start, place.end, name="x") for one in part] == records
        text = orjson.dumps(records, option=option)
        assert json_arrays.array_on(text, [], (), name="x") == json_arrays.ArrayPlace(0, len(text))


@pytest.mark.parametrize("text", ["[1,2", "[1,2]]", "[1,,2]", "[1,]", '[{"a":1]', "[1 2]", '["a]'])
def test_what_is_not_json_is_an_error_in_parts_too(text: str) -> None:
    def read() -> None:
        place = json_arrays.array_on(text.encode(), [], (), name="x")
        assert place is not None
        list(json_arrays.elements(text.encode(), place.start, place.end, name="x"))

    with pytest.raises(SourceFormatError, match=r"x, line 1, byte \d+: not JSON"):
        read()


def test_a_column_that_comes_late_is_no_missing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_arrays, "PART_BYTES", 10)
    first = {key: value for key, value in RECORD.items() if key != "value"}
    parsed = parse_content(tmp_path, json.dumps([first, RECORD | {"time": "2024-01-01 00:10:00"}]), text=JSON)
    assert parsed.rows["open_interest"]["oi_usd"].to_list() == [None, 60000.0]
    with pytest.raises(SourceFormatError, match="record 1: column 'value' is missing"):
        parse_content(tmp_path, json.dumps([first, first]), text=JSON)


# Regular expressions


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        (r"(?P<base>[A-Z0-9]+?)(?P<quote>USDT|USDC)?", ["BTCUSDT", "BTC", "btc", "", "BTCUSDT\n"]),
        (r"(?P<instrument>.+)_PERP\.A_(?P<metric>close|volume)", ["BTC_PERP.A_close", "x_PERP_A_close"]),
        (r"a|ab", ["a", "ab", "abc"]),
        (r"(?i)(?P<x>k?)é\d", ["kÉ1", "É٣"]),
        (r"(?P<x>a)(?=b)b", ["ab", "aa"]),
        (r"(?P<x>.)(?P=x)", ["aa", "ab"]),
    ],
)
def test_a_pattern_matches_as_in_python(pattern: str, texts: list[str]) -> None:
    expected = [None if (found := re.fullmatch(pattern, text)) is None else found.groupdict() for text in texts]
    assert full_matches(pattern, texts, place="x") == expected


def test_a_pattern_that_backtracks_without_end_ends() -> None:
    texts = ["A" * 40 + str(n) for n in range(50)]
    assert is_linear("(?P<base>(A+)+)USDT")
    assert full_matches("(?P<base>(A+)+)USDT", texts, place="x") == [None] * 50
    with (
        in_force(Limits(pattern_seconds=0.3)),
        pytest.raises(LimitError, match=r"did not end; the limit pattern_seconds is 0\.3"),
    ):
        full_matches("(?=A)(A+)+USDT", texts, place="x")


def test_a_pattern_that_reads_cells_has_no_look_around(tmp_path: Path) -> None:
    text = LONG.replace('instrument = "symbol"', "instrument = { column = \"symbol\", extract = '(?=B).*' }")
    with pytest.raises(MappingError, match="cells are read without look-around"):
        fixture.mapping(tmp_path, text)
    with in_force(Limits(pattern_characters=5)), pytest.raises(MappingError, match="longer than 5 characters"):
        fixture.mapping(tmp_path, LONG)


# Answers and packs


def test_an_answer_of_too_many_values_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.extract.venue.COUNTED_BYTES", 10)
    page = page_of("BTC", b"[" + b"{}," * 10 + b"{}]")
    with (
        in_force(Limits(answer_values=20)),
        pytest.raises(LimitError, match="22 values; the limit answer_values is 20"),
    ):
        page.json()
    with in_force(Limits(answer_values=22)):
        assert page.json() == [{}] * 11
    assert list(page_of("BTC", b'{"a":1}\n{"a":2}\n').json_lines()) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("bound", [Limits(answer_bytes=4), Limits(pack_pages=2), Limits(pack_bytes=100)])
def test_a_pack_beyond_a_limit_is_refused(bound: Limits, tmp_path: Path) -> None:
    with (tmp_path / "pack").open("wb") as sink:
        pack = PackWriter(sink)
        for number in range(2):
            pack.add(page_of("BTC", b"[1,2,3]", n=str(number)))
        pack.close()
    assert len(list(Pack(tmp_path / "pack").pages())) == 2
    with in_force(bound), pytest.raises(LimitError, match=f"the limit {next(iter(bound.model_fields_set))} is"):
        list(Pack(tmp_path / "pack").pages())


# The load


def load(settings: Settings, folder: Path, **files: str) -> LoadOutcome:
    mapping = folder / "mapping.toml"
    mapping.write_text(LONG, encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
    import_files(settings, mapping, files=[folder / f"{name}.csv" for name in files])
    return load_pending(settings, gate=lambda con, inputs: [])


def bounded(settings: Settings, **bounds: int) -> Settings:
    return settings.model_copy(update={"limits": Limits.model_validate(bounds)})


def test_a_landing_beyond_a_limit_is_refused_by_itself_and_read_once_the_limit_is_raised(
    settings: Settings, tmp_path: Path
) -> None:
    two = GOOD + GOOD_ROW.replace("00:05", "00:10")
    # The row of the instrument counts too.
    outcome = load(bounded(settings, landing_rows=2), tmp_path, one=GOOD.replace("01-01", "01-02"), two=two)
    [refusal] = outcome.refused
    assert (refusal.part, refusal.reason, outcome.reports[0].landings) == ("two.csv", "limit", 1)
    assert "two.csv: 3 rows so far; the limit landing_rows is 2" in refusal.detail
    again = load_pending(bounded(settings, landing_rows=3), gate=lambda con, inputs: [])
    assert (again.refused, again.reports[0].landings) == ((), 1)


def test_rows_that_cannot_be_read_are_bounded(settings: Settings, tmp_path: Path) -> None:
    content = GOOD + "BTCUSDT\n" * 3 + GOOD_ROW.replace("00:05", "00:10")
    [refusal] = load(bounded(settings, unreadable_rows=2), tmp_path, broken=content).refused
    assert "3 of the first 3 rows cannot be read; the limit unreadable_rows is 2" in refusal.detail
    assert load(bounded(settings, unreadable_rows=3), tmp_path, broken=content).refused == ()


def test_a_rebuild_parses_without_the_writer_lock(settings: Settings, tmp_path: Path) -> None:
    load(settings, tmp_path, one=GOOD)
    held: list[str] = []

    def gate(con: Any, inputs: Any) -> list[Any]:
        with writer_lock(settings.model_copy(update={"lock_timeout_seconds": 0.0}), what="second command"):
            held.append("free")
        return []

    assert rebuild(settings, gate=gate).comparison is not None
    assert held == ["free"]


# The landing


@pytest.mark.parametrize(
    "change",
    [
        {"landing_id": "../../../../outside"}, {"landing_id": "0" * 20}, {"source": "files.other"}, {"part": "other.csv"},
        {"sha256": "x"}, {"bytes": -1}, {"version": "1"}, {"request": []}, {"completeness": "whole"},
    ],
)  # fmt: skip
def test_a_manifest_that_was_tampered_with_counts_as_damaged(change: dict[str, Any], tmp_path: Path) -> None:
    store = LandingStore(tmp_path)
    (tmp_path / "a.csv").write_text(GOOD, encoding="utf-8")
    landed = store.land_file(tmp_path / "a.csv", source="files.x", partition="history", part="a.csv", request={})
    manifest = landed.path.with_name(f"{landed.path.name}.manifest.json")
    assert len(store.all()) == 1
    manifest.write_bytes(orjson.dumps(orjson.loads(manifest.read_bytes()) | change))
    assert (store.all(), len(store.damaged_manifests())) == ([], 1)


def test_a_mapping_outside_the_landing_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(LandingError, match="is no digest of a mapping"):
        LandingStore(tmp_path).mapping_path("files.x", "../../../mapping")


def test_a_landing_of_another_size_is_found_without_reading_it(tmp_path: Path) -> None:
    store = LandingStore(tmp_path)
    (tmp_path / "a.csv").write_text(GOOD, encoding="utf-8")
    landed = store.land_file(tmp_path / "a.csv", source="files.x", partition="history", part="a.csv", request={})
    with landed.path.open("r+b") as file:
        file.truncate(1 << 40)
    assert ["altered after landing: it has 1099511627776 of" in line for line in store.verify([landed])] == [True]


# Readers


def test_readers_leave_memory_to_others(settings: Settings) -> None:
    import duckdb

    settings.published_dir.mkdir(parents=True)
    duckdb.connect(str(settings.published_database)).close()
    with reader(settings) as con:
        assert con.execute("select current_setting('memory_limit')").fetchall() == [("953.6 MiB",)]
    assert limits.current() == DEFAULTS
    assert Page("x", {}, 200, AT, b"[]").json() == []
