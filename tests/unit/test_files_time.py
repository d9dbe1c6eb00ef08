"""Conversion of time cells to naive UTC instants."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest

from pipelines.sources.files.mapping import Time
from pipelines.sources.files.times import to_instants


def read(cells: list[Any], **settings: Any) -> list[datetime | None]:
    series = pl.Series("t", cells, strict=False)
    return to_instants(series, Time.model_validate({"column": "t", **settings})).to_list()


def utc(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cell", "format_name"),
    [("1700000000", "epoch_s"), ("1700000000000", "epoch_ms"), ("1700000000000000", "epoch_us")],
)
def test_epochs_are_read_in_the_given_unit(cell: str, format_name: str) -> None:
    assert read([cell], format=format_name) == [utc(2023, 11, 14, 22, 13, 20)]


@pytest.mark.parametrize(
    ("cell", "format_name"),
    [
        ("1700000000", "epoch_ms"),  # 1970
        ("1700000000000", "epoch_s"),  # the year 55,840
        ("1.5", "epoch_s"),
        ("-1", "epoch_s"),
        ("99999999999999999999", "epoch_s"),
        (str(2**62), "epoch_s"),
        ("", "epoch_s"),
    ],
)
def test_an_epoch_in_the_wrong_unit_or_not_an_integer_is_invalid(cell: str, format_name: str) -> None:
    assert read([cell], format=format_name) == [None]


def test_iso_texts_with_offsets_are_converted() -> None:
    cells = [
        "2026-01-01T09:18:35.173006+00:00",
        "2026-01-01T09:18:35+02:00",
        "2026-01-01 09:18:35Z",
        "2026-01-01 09:18:35 UTC",
    ]
    assert read(cells, format="iso") == [
        utc(2026, 1, 1, 9, 18, 35, 173006),
        utc(2026, 1, 1, 7, 18, 35),
        utc(2026, 1, 1, 9, 18, 35),
        utc(2026, 1, 1, 9, 18, 35),
    ]


def test_an_iso_text_without_offset_needs_a_zone() -> None:
    assert read(["2026-07-01T09:00:00"], format="iso") == [None]
    assert read(["2026-07-01T09:00:00"], format="iso", zone="Europe/London") == [utc(2026, 7, 1, 8)]


def test_local_times_follow_daylight_saving_time() -> None:
    cells = ["2024-01-15 08:00:00", "2024-07-15 09:00:00"]
    assert read(cells, format="%Y-%m-%d %H:%M:%S", zone="Europe/London") == [utc(2024, 1, 15, 8), utc(2024, 7, 15, 8)]


@pytest.mark.parametrize(
    ("ambiguous", "expected"),
    [("earliest", utc(2023, 10, 29, 0, 30)), ("latest", utc(2023, 10, 29, 1, 30)), (None, None)],
)
def test_an_ambiguous_hour_is_resolved_by_the_mapping_or_rejected(
    ambiguous: str | None, expected: datetime | None
) -> None:
    assert read(["2023-10-29 01:30:00"], format="iso", zone="Europe/London", ambiguous=ambiguous) == [expected]


def test_a_nonexistent_hour_is_invalid() -> None:
    assert read(["2023-03-26 01:30:00"], format="iso", zone="Europe/London", ambiguous="earliest") == [None]


def test_a_date_is_midnight_in_its_zone() -> None:
    assert read(["2022-06-01"], format="date", zone="UTC") == [utc(2022, 6, 1)]
    assert read(["2022-06-01"], format="date", zone="Asia/Hong_Kong") == [utc(2022, 5, 31, 16)]
    assert read(["2022-06-31", "01/06/2022"], format="date", zone="UTC") == [None, None]


def test_patterns_are_tried_in_order() -> None:
    cells = ["2018-01-30", "2018-01-30 00:05:11 UTC", "30.1.2018"]
    expected = [utc(2018, 1, 30), utc(2018, 1, 30, 0, 5, 11), None]
    assert read(cells, format=["date", "%Y-%m-%d %H:%M:%S UTC"], zone="UTC") == expected


def test_a_label_is_shifted_to_its_instant_and_jitter_is_rounded() -> None:
    assert read(["2022-01-02"], format="date", zone="UTC", shift="16h") == [utc(2022, 1, 2, 16)]
    assert read(["2022-01-02"], format="date", zone="UTC", shift="1d") == [utc(2022, 1, 3)]
    assert read(["1640995200006", "1640995199969"], format="epoch_ms", round="1m") == [utc(2022, 1, 1)] * 2
    assert read(["1753617710963"], format="epoch_ms", round="1h") == [utc(2025, 7, 27, 12)]


def test_typed_columns_are_used_as_they_are() -> None:
    aware = datetime(2024, 1, 1, 8, tzinfo=timezone(timedelta(hours=8)))
    assert read([aware], format="typed") == [utc(2024, 1, 1)]
    assert read([utc(2024, 7, 1)], format="typed", zone="UTC") == [utc(2024, 7, 1)]
    assert read([utc(2024, 7, 1)], format="typed") == [None]
    assert read([date(2024, 7, 1)], format="typed", zone="UTC") == [utc(2024, 7, 1)]
    assert read([1.5], format="typed") == [None]


def test_no_cells_give_no_instants() -> None:
    assert to_instants(pl.Series("t", [], dtype=pl.String), Time(column="t", format=("iso",))).dtype == pl.Datetime(
        "us"
    )
