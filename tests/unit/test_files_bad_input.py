"""Bad files: a structural fault is an error that names file, line, column and value; a bad cell rejects only its row."""

from __future__ import annotations

import gzip
import io
import json
import stat
import tracemalloc
import zipfile
from pathlib import Path

import polars as pl
import pytest

from pipelines.core.errors import LimitError, SourceFormatError
from pipelines.sources.files.source import match_files
from tests.unit import files_fixture as fixture
from tests.unit.files_fixture import GOOD_ROW, LONG_HEADER, parse_content


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


GOOD_FILE = (LONG_HEADER + GOOD_ROW).encode()


def test_a_valid_file_gives_every_row_with_its_line(tmp_path: Path) -> None:
    parsed = parse_content(tmp_path, LONG_HEADER + GOOD_ROW + GOOD_ROW.replace("00:05", "00:10"))
    rows = parsed.rows["open_interest"]
    assert rows["_line"].to_list() == [2, 3]
    assert rows["oi_base"].to_list() == [1.5, 1.5]
    assert parsed.only_rejects().is_empty()


@pytest.mark.parametrize("row", ["ETHUSDT,2024-01-01 00:05:00,1", "ETHUSDT,2024", "ETHUSDT,2024-01-01 00:05:00,1\n"])
def test_a_last_line_with_too_few_cells_is_rejected_as_the_end_of_a_file_that_may_be_cut_off(
    tmp_path: Path, row: str
) -> None:
    parsed = parse_content(tmp_path, LONG_HEADER + GOOD_ROW + row)
    [reject] = parsed.rejects["open_interest"].to_dicts()
    assert (reject["line"], reject["reason"]) == (3, "unparsable")
    assert "the file may be cut off" in reject["detail"]
    assert parsed.rows["open_interest"]["_line"].to_list() == [2]


def test_a_short_row_in_the_middle_is_rejected_and_the_rest_is_kept(tmp_path: Path) -> None:
    parsed = parse_content(tmp_path, LONG_HEADER + "ETHUSDT,2024-01-01 00:05:00\n" + GOOD_ROW)
    [reject] = parsed.rejects["open_interest"].to_dicts()
    assert (reject["line"], reject["reason"]) == (2, "unparsable")
    assert reject["detail"] == "2 cells where the header has 4"
    assert json.loads(reject["raw"]) == ["ETHUSDT", "2024-01-01 00:05:00"]
    assert parsed.rows["open_interest"]["_line"].to_list() == [3]


def test_a_short_row_before_a_long_one_is_rejected_too(tmp_path: Path) -> None:
    bad = "ETHUSDT,2024-01-01 00:05:00,1\nETHUSDT,2024-01-01 00:05:00,1,2,3\n"
    parsed = parse_content(tmp_path, LONG_HEADER + bad + GOOD_ROW)
    assert parsed.rejects["open_interest"]["line"].to_list() == [2, 3]
    assert parsed.rows["open_interest"].height == 1


def test_all_rows_of_a_file_of_broken_rows_are_rejected(tmp_path: Path) -> None:
    parsed = parse_content(tmp_path, LONG_HEADER + "a,b,c,d,e\n" * 3)
    assert parsed.rejects["open_interest"]["line"].to_list() == [2, 3, 4]


def test_a_wrong_delimiter_is_an_error_that_suggests_it(tmp_path: Path) -> None:
    with pytest.raises(
        SourceFormatError, match=r"data\.csv, line 1: column 'oi' is missing.*semicolons: wrong delimiter"
    ):
        parse_content(tmp_path, (LONG_HEADER + GOOD_ROW).replace(",", ";"))


def test_an_extra_column_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match=r"data\.csv, line 1: column 'surprise' is not in the mapping"):
        parse_content(tmp_path, "symbol,time,oi,value,surprise\n" + GOOD_ROW.strip() + ",1\n")


def test_a_missing_column_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match=r"column 'value' is missing; found 'symbol', 'time', 'oi'"):
        parse_content(tmp_path, "symbol,time,oi\nBTCUSDT,2024-01-01 00:05:00,1\n")


def test_a_column_that_appears_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match="column 'oi' appears twice"):
        parse_content(tmp_path, "symbol,time,oi,oi,value\n")


@pytest.mark.parametrize(
    ("cell", "detail"),
    [
        ("abc", "column 'oi': abc is not a finite number"),
        ("inf", "column 'oi': inf is not a finite number"),
        ("-inf", "column 'oi': -inf is not a finite number"),
        ("NaN", "column 'oi': NaN is not a finite number"),
        ("1e999", "column 'oi': 1e999 is not a finite number"),
        ("1 000", "column 'oi': 1 000 is not a finite number"),
        ("0x10", "column 'oi': 0x10 is not a finite number"),
        ("", "column 'oi': (empty) is not a finite number"),
    ],
)
def test_a_row_with_an_invalid_number_is_rejected_with_the_reason(tmp_path: Path, cell: str, detail: str) -> None:
    bad = f"ETHUSDT,2024-01-01 00:05:00,{cell},60000\n"
    parsed = parse_content(tmp_path, LONG_HEADER + GOOD_ROW + bad + GOOD_ROW.replace("00:05", "00:10"))
    [reject] = parsed.rejects["open_interest"].to_dicts()
    assert (reject["line"], reject["field"], reject["reason"]) == (3, "oi", "unparsable")
    assert reject["detail"] == detail
    assert json.loads(reject["raw"]) == {
        "symbol": "ETHUSDT",
        "time": "2024-01-01 00:05:00",
        "oi": cell,
        "value": "60000",
    }
    assert str(reject["trade_date"]) == "2024-01-01"
    assert parsed.rows["open_interest"].height == 2


def test_an_absent_cell_of_a_nullable_column_is_null_and_not_rejected(tmp_path: Path) -> None:
    parsed = parse_content(tmp_path, LONG_HEADER + "BTCUSDT,2024-01-01 00:05:00,1.5,\n")
    assert parsed.rows["open_interest"]["oi_usd"].to_list() == [None]
    assert parsed.only_rejects().is_empty()


def test_without_a_null_rule_an_empty_cell_is_rejected_even_in_a_nullable_column(tmp_path: Path) -> None:
    text = fixture.LONG.replace('absent = [""]', "")
    parsed = parse_content(tmp_path, LONG_HEADER + "BTCUSDT,2024-01-01 00:05:00,1.5,\n", text=text)
    assert parsed.rows["open_interest"].is_empty()
    assert parsed.rejects["open_interest"]["field"].to_list() == ["value"]


def test_a_number_can_be_declared_absent(tmp_path: Path) -> None:
    text = fixture.LONG.replace('absent = [""]', 'absent = ["-1"]')
    parsed = parse_content(tmp_path, LONG_HEADER + "BTCUSDT,2024-01-01 00:05:00,1.5,-1\n", text=text)
    assert parsed.rows["open_interest"]["oi_usd"].to_list() == [None]


def test_a_negative_value_passes_the_parser_and_is_left_to_the_contract(tmp_path: Path) -> None:
    parsed = parse_content(tmp_path, LONG_HEADER + "BTCUSDT,2024-01-01 00:05:00,-1.5,1\n")
    assert parsed.rows["open_interest"]["oi_base"].to_list() == [-1.5]


@pytest.mark.parametrize("time", ["yesterday", "2024-13-01 00:00:00", "1969-01-01 00:00:00", "2150-01-01 00:00:00", ""])
def test_an_unparsable_or_impossible_time_is_rejected_without_a_day(tmp_path: Path, time: str) -> None:
    parsed = parse_content(tmp_path, LONG_HEADER + f"BTCUSDT,{time},1,1\n" + GOOD_ROW)
    [reject] = parsed.rejects["open_interest"].to_dicts()
    assert (reject["field"], reject["reason"], reject["trade_date"]) == ("time", "unparsable", None)


@pytest.mark.parametrize(
    "name", ["../../x", "'; drop table clean.candles; --", "BTCUSDT\tX", "", "btcusdt", "BTC/../USDT"]
)
def test_a_name_that_matches_no_rule_is_an_unknown_instrument(tmp_path: Path, name: str) -> None:
    parsed = parse_content(tmp_path, LONG_HEADER + f"{name},2024-01-01 00:05:00,1,1\n" + GOOD_ROW)
    [reject] = parsed.rejects["open_interest"].to_dicts()
    assert reject["reason"] == "unknown_instrument"
    assert json.loads(reject["raw"])["symbol"] == name
    assert parsed.rows["instruments"]["instrument"].to_list() == ["BTCUSDT"]


@pytest.mark.parametrize("name", ["../../x", "a//b", "'; drop table x", "a b"])
def test_an_unsafe_name_is_rejected_even_by_a_rule_that_matches_any_name(tmp_path: Path, name: str) -> None:
    text = fixture.LONG.replace("'(?P<base>[A-Z0-9]+)USDT'", "'(?P<base>.*)'").replace('"{base}USDT"', '"{base}"')
    parsed = parse_content(tmp_path, LONG_HEADER + f"{name},2024-01-01 00:05:00,1,1\n", text=text)
    assert parsed.rejects["open_interest"]["reason"].to_list() == ["unknown_instrument"]


def test_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    plain = parse_content(tmp_path, LONG_HEADER + GOOD_ROW)
    windows = parse_content(tmp_path, b"\xef\xbb\xbf" + (LONG_HEADER + GOOD_ROW).replace("\n", "\r\n").encode())
    assert windows.rows["open_interest"].equals(plain.rows["open_interest"])


def test_blank_lines_at_the_end_and_a_missing_last_line_end_change_nothing(tmp_path: Path) -> None:
    plain = parse_content(tmp_path, LONG_HEADER + GOOD_ROW).rows["open_interest"]
    assert parse_content(tmp_path, LONG_HEADER + GOOD_ROW + "\n\r\n\n").rows["open_interest"].equals(plain)
    assert parse_content(tmp_path, LONG_HEADER + GOOD_ROW.strip()).rows["open_interest"].equals(plain)


def test_quoted_cells_may_contain_delimiters_and_line_ends_without_shifting_line_numbers(tmp_path: Path) -> None:
    content = '"symbol","time","oi","value"\n"BTCUSDT","2024-01-01 00:05:00","1.5","x\ny,z"\n' + GOOD_ROW
    parsed = parse_content(tmp_path, content)
    [reject] = parsed.rejects["open_interest"].to_dicts()
    assert (reject["line"], reject["field"]) == (2, "value")
    assert parsed.rows["open_interest"]["_line"].to_list() == [4]


@pytest.mark.parametrize("behind", [0, 1, 2_000])
def test_a_quote_that_never_ends_costs_its_line_and_no_other(tmp_path: Path, behind: int) -> None:
    bad = '"BTCUSDT,2024-01-01 00:10:00,1,1\n'
    parsed = parse_content(tmp_path, LONG_HEADER + GOOD_ROW + bad + GOOD_ROW * behind)
    [reject] = parsed.rejects["open_interest"].to_dicts()
    assert (reject["line"], reject["detail"]) == (3, "not CSV: a quoted cell does not end")
    assert parsed.rows["open_interest"]["_line"].to_list() == [2, *range(4, 4 + behind)]


@pytest.mark.parametrize("bad", [b"BTCU\x81DT,2024-01-01 00:10:00,1,1\n", b"BTCUSDT,2024-01-01 00:10:00,1\0,1\n"])
def test_bytes_that_are_no_text_cost_their_line_and_no_other(tmp_path: Path, bad: bytes) -> None:
    parsed = parse_content(tmp_path, (LONG_HEADER + GOOD_ROW).encode() + bad + GOOD_ROW.encode())
    [reject] = parsed.rejects["open_interest"].to_dicts()
    assert (reject["line"], reject["reason"]) == (3, "unparsable")
    assert reject["detail"].startswith("holds bytes that are no text")
    assert parsed.rows["open_interest"]["_line"].to_list() == [2, 4]


def test_text_of_windows_is_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = b"BTCU\xffDT,2024-01-01 00:10:00,1,1\n"
    parsed = parse_content(tmp_path, (LONG_HEADER + GOOD_ROW).encode() + bad + GOOD_ROW.replace(":05", ":15").encode())
    assert parsed.rows["open_interest"]["_line"].to_list() == [2, 4]
    assert "BTCU\u00ffDT" in parsed.only_rejects()["raw"].item()
    assert "line 3: the text is not UTF-8; it is read as cp1252" in caplog.text


def test_after_text_of_utf_8_a_byte_that_is_none_costs_its_line(tmp_path: Path) -> None:
    first = LONG_HEADER.encode() + "\u00e9,2024-01-01 00:05:00,1,1\n".encode()
    parsed = parse_content(tmp_path, first + b"\xff,a,b,c\n" + GOOD_ROW.encode())
    assert sorted(parsed.rejects["open_interest"]["line"].to_list()) == [2, 3]
    assert parsed.rows["open_interest"]["_line"].to_list() == [4]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_file_in_utf_16_is_told_by_its_mark(tmp_path: Path, encoding: str) -> None:
    mark = b"" if encoding == "utf-16" else b"\xfe\xff"
    parsed = parse_content(tmp_path, mark + (LONG_HEADER + GOOD_ROW).encode(encoding))
    assert parsed.rows["open_interest"]["oi_base"].to_list() == [1.5]


def test_bytes_of_no_text_at_all_lack_the_columns(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match=r"data\.csv, line 1: column 'oi' is missing"):
        parse_content(tmp_path, bytes(range(1, 256)) * 9)


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match=r"data\.csv: the file is empty"):
        parse_content(tmp_path, b"")


def test_a_line_of_a_gigabyte_is_an_error_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "landed"
    with path.open("wb") as file:
        file.write(GOOD_FILE + b"BTCUSDT,")
        file.truncate(1 << 30)  # sparse: takes no disk space
    tracemalloc.start()
    try:
        with pytest.raises(
            LimitError, match=r"data\.csv, line 3: it is longer than 1048576 bytes.*limit record_bytes is 1,048,576"
        ):
            fixture.parse_file(tmp_path, path)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


def test_gzip_and_zip_are_read_like_the_file_they_contain(tmp_path: Path) -> None:
    plain = parse_content(tmp_path, GOOD_FILE).rows["open_interest"]
    assert parse_content(tmp_path, gzip.compress(GOOD_FILE)).rows["open_interest"].equals(plain)
    assert parse_content(tmp_path, zipped({"a.csv": GOOD_FILE})).rows["open_interest"].equals(plain)


def test_line_numbers_continue_across_the_members_of_an_archive(tmp_path: Path) -> None:
    second = LONG_HEADER + GOOD_ROW.replace("00:05", "00:10")
    parsed = parse_content(tmp_path, zipped({"b.csv": second.encode(), "a.csv": GOOD_FILE}))
    assert parsed.rows["open_interest"]["_line"].to_list() == [2, 4]


@pytest.mark.parametrize("name", ["../../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "..\\evil.csv", "c:/evil.csv"])
def test_an_archive_with_a_member_outside_it_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceFormatError, match="leaves the archive; the archive is refused"):
        parse_content(tmp_path, zipped({"good.csv": GOOD_FILE, name: GOOD_FILE}))
    assert {path.name for path in tmp_path.iterdir()} == {"landed", "mapping.toml"}


def test_an_archive_with_a_link_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link.csv")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(SourceFormatError, match="is a link"):
        parse_content(tmp_path, buffer.getvalue())


def test_a_decompression_bomb_is_refused_before_it_uses_memory(tmp_path: Path) -> None:
    bomb = (LONG_HEADER + GOOD_ROW * 2_000_000).encode()
    for packed in (zipped({"bomb.csv": bomb}), gzip.compress(bomb)):
        assert len(bomb) > 200 * len(packed)
        with pytest.raises(LimitError, match=r"decompression bomb.*limit unpacked_ratio is 200"):
            parse_content(tmp_path, packed)


def test_a_damaged_archive_is_an_error(tmp_path: Path) -> None:
    noise = GOOD_FILE + "".join(f"BTCUSDT,2024-01-01 00:05:00,{n * 7919 % 10007},1\n" for n in range(5000)).encode()
    for packed in (zipped({"a.csv": noise})[:-40], gzip.compress(noise)[:-200]):
        with pytest.raises(SourceFormatError, match=r"damaged"):
            parse_content(tmp_path, packed)


def test_an_archive_member_that_the_mapping_does_not_match_is_an_error(tmp_path: Path) -> None:
    text = fixture.LONG.replace('format = "csv"', 'format = "csv"\nmember = "oi-*.csv"')
    with pytest.raises(SourceFormatError, match=r"member 'other\.csv' does not match 'oi-\*\.csv'"):
        parse_content(tmp_path, zipped({"oi-1.csv": GOOD_FILE, "other.csv": GOOD_FILE}), text=text)


def test_a_file_that_matches_no_pattern_is_an_error_that_lists_the_patterns(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").write_bytes(GOOD_FILE)
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(SourceFormatError, match=r"notes\.txt matches no pattern of mapping\.toml \(\*\.csv\)"):
        match_files(fixture.mapping(tmp_path, fixture.LONG), folder)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    mapping = fixture.mapping(tmp_path, fixture.LONG)
    with pytest.raises(SourceFormatError, match=r"nowhere\.csv does not exist"):
        match_files(mapping, tmp_path / "nowhere.csv")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SourceFormatError, match=r"no file in .*empty matches '\*\.csv'"):
        match_files(mapping, empty)


def test_bad_rows_after_the_first_block_have_the_right_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.sources.files.text_blocks.BLOCK_BYTES", 256)
    rows = [GOOD_ROW] * 40
    rows[30] = GOOD_ROW.replace("1.5", "x")
    parsed = parse_content(tmp_path, LONG_HEADER + "".join(rows))
    assert parsed.rejects["open_interest"]["line"].to_list() == [32]
    assert parsed.rows["open_interest"]["_line"].to_list() == [n for n in range(2, 42) if n != 32]


def test_a_row_with_several_faults_is_rejected_once(tmp_path: Path) -> None:
    parsed = parse_content(tmp_path, LONG_HEADER + "../x,never,abc,inf\n")
    assert parsed.only_rejects().select(pl.len()).item() == 1
    assert parsed.only_rejects()["reason"].to_list() == ["unparsable"]
