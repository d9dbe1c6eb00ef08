"""Validation of mappings: an invalid one is an error that names the file, the key and the allowed values."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from pipelines.core.errors import MappingError
from pipelines.sources.files.source import load_mapping
from pipelines.sources.files.toml_lines import places
from tests.unit import files_fixture as fixture
from tests.unit.files_fixture import LONG, WIDE


def broken(folder: Path, old: str, new: str, text: str = LONG) -> str:
    """The message of the error that `text` with `old` replaced by `new` raises."""
    assert old in text
    with pytest.raises(MappingError) as raised:
        fixture.mapping(folder, text.replace(old, new))
    message = str(raised.value)
    assert str(folder / "mapping.toml") in message
    return message


def test_a_mapping_names_its_source_and_the_tables_it_feeds(tmp_path: Path) -> None:
    mapping = fixture.mapping(tmp_path, LONG)
    assert mapping.source == "files.example"
    assert mapping.tables == ("open_interest", "instruments")
    assert mapping.text == LONG.encode()


def test_a_missing_mapping_or_one_that_is_not_toml_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="cannot be read"):
        load_mapping(tmp_path / "nowhere.toml")
    (tmp_path / "bad.toml").write_text("dataset = ")
    with pytest.raises(MappingError, match="not TOML"):
        load_mapping(tmp_path / "bad.toml")


def test_an_unknown_key_is_named_with_its_path(tmp_path: Path) -> None:
    assert "file.0.patern: Extra inputs are not permitted" in broken(
        tmp_path, 'pattern = "*.csv"', 'pattern = "*.csv"\npatern = "x"'
    )


def test_a_missing_key_is_named_with_its_path(tmp_path: Path) -> None:
    assert "file.0.pattern: Field required" in broken(tmp_path, 'pattern = "*.csv"', "")


def test_an_invalid_choice_lists_the_allowed_values(tmp_path: Path) -> None:
    message = broken(tmp_path, 'format = "csv"', 'format = "docx"')
    assert "file.0.format" in message
    assert "'csv', 'parquet', 'feather', 'xlsx', 'json' or 'jsonl'" in message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('dataset = "example"', 'dataset = "../x"', "dataset: lower-case letters, digits and underscores"),
        ('zone = "UTC"', 'zone = "Mars/Olympus"', "file.0.time.zone: not an IANA time zone"),
        ('lag = "5m"', 'lag = "5 minutes"', "rows.0.available.lag: a duration is a number and one of s, m, h, d"),
        ("(?P<base>[A-Z0-9]+)USDT", "(?P<base>[A-Z0-9]+USDT", "instrument.0.name: not a regular expression"),
        ('oi_base = "oi"', "oi_base = { scale = 2.0 }", "give exactly one of column, template, sum, digest, time"),
        ('oi_base = "oi"', 'oi_base = { column = "oi", scale = 0.0 }', "scale 0 would erase the value"),
        ('contract_type = "linear"', 'contract_type = "linear"\ncontract_size = 1.0', "go together"),
        ('format = "csv"', 'format = "csv"\nrecord_path = "x"', "record_path belongs to formats json and jsonl"),
        ('format = "csv"', 'format = "csv"\ndecode = "x"', "decode is one of aave_liquidation_call"),
        (
            'format = "%Y-%m-%d %H:%M:%S"',
            'format = "typed"',
            "time format typed belongs to formats parquet and feather",
        ),
        ('lag = "5m" }', 'lag = "5m" }\nwhere = {}', "a condition needs cells, like, unlike, empty, instrument"),
    ],
)
def test_an_invalid_value_is_refused_with_the_reason(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in broken(tmp_path, old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('table = "open_interest"', 'table = "open_intrest"', "no clean table 'open_intrest'"),
        ('oi_base = "oi"', 'oi_bas = "oi"', "columns.oi_bas: open_interest takes counting, oi_base"),
        ('oi_base = "oi"', 'event_at = "oi"', "columns.event_at: open_interest takes"),
        ('oi_base = "oi"', 'available_at = "oi"', "columns.available_at: open_interest takes"),
        (', oi_raw_unit = "base"', "", "open_interest needs oi_raw_unit (one of base, usd, quote, contracts) as"),
        ('counting = "one_sided"', "counting = 1", "set.counting: 1 is not a constant of type VARCHAR"),
        (
            'counting = "one_sided"',
            'counting = "one_sided", oi_raw = 1.0',
            "oi_raw: given as a column and as a constant",
        ),
        ('instrument = "symbol"', "", "open_interest needs [file.instrument] or a wide file"),
        (
            'oi_base = "oi"',
            'oi_base = { column = "oi", lower = true }',
            "columns.oi_base: lower does not fit type DOUBLE",
        ),
        ('oi_base = "oi"', 'oi_base = { template = "{oi}" }', "columns.oi_base: template does not fit type DOUBLE"),
        ('oi_base = "oi"', 'oi_base = { digest = ["oi"] }', "columns.oi_base: digest does not fit type DOUBLE"),
        (
            'oi_usd = "value" }\n',
            'oi_usd = "value", counting = { column = "oi", scale = 2.0 } }\n',
            "columns.counting: scale does not fit type VARCHAR",
        ),
        (
            'lag = "5m" }',
            'lag = "5m" }\nwhere = { instrument = "X" }',
            "where.instrument: a symbol is known only inside",
        ),
        ('symbol = "{base}USDT"', 'symbol = "{bse}USDT"', "instrument.0.symbol: name has no group 'bse'"),
        (
            'after = "event"',
            'after = "period"',
            "line 22: file.0.rows.0.available.after: open_interest holds states of an",
        ),
        (
            'period = "5m"',
            'period = "5min"',
            "'5min' is none of 5m, 15m, 30m, 1h, 4h, 8h, 1d, snapshot. Did you mean 5m?",
        ),
        (
            'lag = "5m" }',
            'lag = "5m" }\nadjust = [{ where = { instrument = "X" }, set = { oi = 1.0 } }]',
            "adjust.oi: not a",
        ),
    ],
)
def test_a_mapping_is_checked_against_the_contract(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert message in broken(tmp_path, old, new)


def test_a_fault_is_named_with_its_line(tmp_path: Path) -> None:
    number = LONG.split("\n").index('table = "open_interest"') + 1
    message = broken(tmp_path, 'table = "open_interest"', 'table = "funding"')
    assert f"line {number}: file.0.rows.0.table: no clean table 'funding'" in message


def test_lines_of_a_mapping_are_found_whatever_its_layout() -> None:
    text = (
        'dataset = "x" # a = 1\n[[file]]\nadjust = [\n  { where = { cells = { a = "]" } } },\n  { set = { kind = "b" } },\n]\n'
        '[[file]]\n"odd key" = """\nb = 2\n"""\n[[file.rows]]\n[[file.rows]]\nset = { kind = "a" }\n'
    )
    found = places(text)
    assert found["file", 0, "adjust", 1, "set", "kind"] == 5
    assert found["file", 1, "odd key"] == 8
    assert found["file", 1, "rows", 1, "set", "kind"] == 13
    assert ("file", 1, "b") not in found and ("a",) not in found


def test_availability_after_a_period_needs_a_period_of_the_contract(tmp_path: Path) -> None:
    text = WIDE.replace('period = "1d", ', "")
    with pytest.raises(MappingError, match=r"available\.after: period needs set\.period, one of 1m, 5m"):
        fixture.mapping(tmp_path, text)


def test_a_wide_pattern_needs_both_groups(tmp_path: Path) -> None:
    assert "needs the named groups (?P<instrument>…) and (?P<metric>…)" in broken(
        tmp_path, "(?P<metric>long|short)", "(long|short)", WIDE
    )


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    text = LONG.replace('zone = "UTC"', 'zone = "Nowhere"').replace('format = "csv"', 'format = "xls"')
    with pytest.raises(MappingError, match=r"format.*zone|zone.*format"):
        fixture.mapping(tmp_path, text)


def test_gaps_spans_and_expectations_are_the_rules_of_the_source(tmp_path: Path) -> None:
    text = (
        "expected_per_day = { open_interest = 12 }\n"
        + LONG
        + """
[[gap]]
table = "open_interest"
days = [2024-01-02, 2024-01-03]
instrument = ["BTCUSDT", "ETHUSDT"]
because = "the vendor migrated its servers"

[[span]]
table = "liquidations"
venue = "binance"
days = [2024-01-01, 2024-02-01]
"""
    )
    rules = fixture.mapping(tmp_path, text).rules
    assert rules.expected_per_day == {"open_interest": 12}
    assert [(gap.instrument, gap.first_day, gap.last_day, gap.reason) for gap in rules.gaps] == [
        ("BTCUSDT", date(2024, 1, 2), date(2024, 1, 3), "the vendor migrated its servers"),
        ("ETHUSDT", date(2024, 1, 2), date(2024, 1, 3), "the vendor migrated its servers"),
    ]
    assert [(span.venue, span.last_day) for span in rules.spans] == [("binance", date(2024, 2, 1))]


def test_accepted_exceptions_are_the_rules_of_the_source(tmp_path: Path) -> None:
    text = """
[[accept]]
table = "open_interest"
check = "oi_base_unit_jump"
days = [2024-01-02, 2024-02-15]
instrument = ["BTCUSDT"]
because = "the contract was split"
"""
    (exception,) = fixture.mapping(tmp_path, LONG + text).rules.exceptions
    assert (exception.table, exception.check, exception.instrument, exception.reason) == (
        "open_interest", "oi_base_unit_jump", "BTCUSDT", "the contract was split",
    )  # fmt: skip
    assert (exception.first_day, exception.last_day) == (date(2024, 1, 2), date(2024, 2, 15))


def test_an_accepted_exception_needs_a_reason(tmp_path: Path) -> None:
    text = '\n[[accept]]\ntable = "open_interest"\ncheck = "x"\ndays = [2024-01-02, 2024-01-03]\nbecause = ""\n'
    with pytest.raises(MappingError, match=r"accept.*because"):
        fixture.mapping(tmp_path, LONG + text)


def test_a_gap_of_a_table_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    gap = '\n[[gap]]\ntable = "nothing"\ndays = [2024-01-02, 2024-01-03]\nbecause = "x"\n'
    with pytest.raises(MappingError, match="gap: no clean table 'nothing'"):
        fixture.mapping(tmp_path, LONG + gap)
