"""Query results as text: nothing is left out unmarked, and asset and date are always visible."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cli.grid import CUT, cell, printable, records, spreadsheet_safe, table

NAMES = ["trade_date", "asset", *(f"measure_{number}" for number in range(30))]
ROWS = [[date(2025, 5, 1), asset, *(number * 1e-7 for number in range(30))] for asset in ("BTC", "ETH")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0000037, "0.0000037"),
        (-1.5e-09, "-0.0000000015"),
        (98765.4321, "98765.4321"),
        (1e21, "1000000000000000000000"),
        (1 / 3, f"0.333333333333{CUT}"),
        (0.1 + 0.2, f"0.3{CUT}"),
        (100.0, "100"),
        (float("nan"), "nan"),
        (12_345_678_901_234_567, "12345678901234567"),
        (None, ""),
        (True, "true"),
        (datetime(2025, 5, 1, 12), "2025-05-01 12:00:00"),
    ],
)
def test_a_number_has_its_digits_and_a_mark_where_some_are_cut(value: object, text: str) -> None:
    assert cell(value) == text


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_a_wide_result_is_printed_in_blocks_that_fit_with_every_column_in_one(width: int) -> None:
    lines = list(table(NAMES, ROWS, width=width))
    assert max(map(len, lines)) <= width
    headers = [line.split() for line in lines if "asset" in line]
    assert all(header[:2] == ["trade_date", "asset"] for header in headers)
    assert [name for header in headers for name in header[2:]] == NAMES[2:]
    assert sum("BTC" in line for line in lines) == len(headers)


def test_into_a_pipe_every_row_is_one_line() -> None:
    lines = list(table(NAMES, ROWS, width=None))
    assert len(lines) == 3
    assert lines[0].split() == NAMES


def test_a_text_that_does_not_fit_is_marked() -> None:
    [_, line] = table(["asset", "note"], [["BTC", "x" * 500]], width=60)
    assert len(line) <= 60
    assert line.endswith(f"x{CUT}")


def test_a_record_has_a_line_for_every_column() -> None:
    lines = list(records(NAMES, ROWS))
    assert len(lines) == 2 * (1 + len(NAMES))
    assert lines[1].split() == ["trade_date", "2025-05-01"]


@given(st.text())
def test_no_value_reaches_the_terminal_with_a_control_character(text: str) -> None:
    assert printable(text).isprintable() or all(ord(c) > 0x9F for c in printable(text) if not c.isprintable())


def test_an_escape_sequence_is_shown_and_not_sent() -> None:
    assert printable("\x1b[31mBTC\u202e") == "\\x1b[31mBTC\\u202e"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@cmd", "\t=1", " =1", '"=1', "\n=1", "\uff1d1"])
def test_a_formula_is_neutralized_for_spreadsheets(text: str) -> None:
    assert spreadsheet_safe(text) == f"'{text}"


@pytest.mark.parametrize("value", ["BTC", -1.5, None, ""])
def test_other_values_are_written_as_they_are(value: object) -> None:
    assert spreadsheet_safe(value) == value
