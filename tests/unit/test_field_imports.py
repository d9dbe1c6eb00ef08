"""Files that went wrong in the field, each through the command line: it ends as shared/field/README.md says, and adds up.

What a file holds is read in place. The wrong units are files written here, with the right candles beside them.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from pipelines.core.settings import Settings
from pipelines.operations.datasets import find_datasets, uncovered_in_inbox
from pipelines.operations.import_check import import_checked
from pipelines.operations.rebuild import rebuild
from pipelines.storage.warehouse import writer
from tests.unit.test_cli import Result
from tests.unit.test_units import BITCOINS, PRICE, VOLUME, files_of

pytestmark = pytest.mark.usefixtures("settings")

UNCOVERED: Final = 1
DATA: Final = 65
CONFIG: Final = 78


@dataclass(frozen=True)
class Trial:
    """What `import --dry-run --json` says."""

    code: int
    found: dict[str, Any]
    err: str

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        return [tuple(row[name] for name in columns) for row in self.found["rows"][table]]

    def counts(self, table: str) -> tuple[int, int, int]:
        """Accepted, rejected and ignored."""
        [row] = [row for row in self.found["counts"] if row["table"] == table]
        return row["accepted"], row["quarantined"], row["ignored"]

    @property
    def refusals(self) -> str:
        return "\n".join(refusal["detail"] for refusal in self.found["refused"])


def trial(*arguments: str | Path) -> Trial:
    result = Result("import", "--dry-run", "--json", *map(str, arguments))
    if not result.out:
        return Trial(result.code, {}, result.err)
    found = result.json
    for row in found["counts"]:
        assert row["received"] == row["accepted"] + row["duplicates"] + row["quarantined"] + row["ignored"], row
    return Trial(result.code, found, result.err)


def proposed(folder: Path, *arguments: str | Path) -> Path:
    out = folder / "proposed.toml"
    result = Result("mapping", "propose", *map(str, arguments), "--out", str(out))
    assert result.code == 0, result.err
    return out


@pytest.fixture
def cases(field_dir: Path) -> Path:
    return field_dir / "import"


def test_01_long_and_short_without_a_total_are_added(cases: Path) -> None:
    case = cases / "01_cg_long_short_without_total"
    tried = trial("-m", case / "mapping.toml", case / "liquidation_agg_1d.csv")
    assert tried.code == 0
    assert tried.counts("liquidation_totals") == (9, 0, 0)
    assert tried.rows("liquidation_totals", "total_usd")[0] == (pytest.approx(3274676.78173 + 32289100.51134),)


def test_02_a_venue_nobody_knows_is_refused_with_how_to_declare_it(cases: Path) -> None:
    case = cases / "02_unknown_venue"
    tried = trial("-m", case / "mapping.toml", case / "funding.csv")
    assert tried.code == CONFIG
    assert "line 4" in tried.err
    assert "Did you mean binance?" in tried.err
    assert "[[venue]]" in tried.err


def test_03_a_corrected_mapping_is_used_and_a_rebuild_agrees(cases: Path, settings: Settings, tmp_path: Path) -> None:
    """The wrong mapping is refused before anything is landed. One that is landed and wrong is repaired by the next."""
    case = cases / "03_mapping_poisoned"
    file = case / "in" / "liquidations.csv"
    wrong = trial("-m", case / "mapping_wrong.toml", file)
    assert (wrong.code, "needs collateral_token" in wrong.err) == (CONFIG, True)
    landed_wrong = tmp_path / "wrong.toml"
    right = (case / "mapping_right.toml").read_text(encoding="utf-8")
    landed_wrong.write_text(right.replace('collateral_token = "usd"', 'collateral_token = "eur"'), encoding="utf-8")
    for mapping in (landed_wrong, case / "mapping_right.toml"):
        import_checked(settings, mapping, paths=[file], gate=lambda con, inputs: [])
    query = "select collateral_token, collateral_usd from clean.lending_liquidations order by all"
    expected = [("usd", 0.16), ("usd", 0.26), ("usd", 1.08)]
    with writer(settings, what="test") as con:
        assert con.execute(query).fetchall() == expected
    rebuild(settings, gate=lambda con, inputs: [])
    with writer(settings, what="test") as con:
        assert con.execute(query).fetchall() == expected


def test_04_dollars_in_wei_are_refused_with_the_factor_and_split_ones_imported(cases: Path) -> None:
    case = cases / "04_aave_unit_change"
    naive = trial("-m", case / "mapping_naive.toml", case / "liquidations.csv")
    assert naive.code == DATA
    assert "looks like raw units of a token, divide by 1e18" in naive.refusals
    split = trial("-m", case / "mapping_split.toml", case / "liquidations.csv")
    assert split.code == 0
    assert split.counts("lending_liquidations")[1:] == (0, 0)


def test_05_times_of_two_formats_and_a_good_file_beside_them(cases: Path) -> None:
    case = cases / "05_strptime_crash"
    mixed = trial("-m", case / "mapping.toml", case / "Binance_BTCUSDT_1h_noline.csv")
    assert (mixed.code, mixed.counts("candles")) == (0, (11, 0, 0))
    assert mixed.rows("candles", "opened_at")[-1] == ("2017-08-17T04:00:00",)
    assert trial("-m", case / "good.toml", case / "funding.csv").counts("funding_rates") == (3, 0, 0)


def test_06_a_short_line_and_an_acknowledgement_cost_themselves(cases: Path) -> None:
    case = cases / "06_broken_line"
    files = (case / "um_short_line.csv", case / "um_subscription_ack.jsonl")
    tried = trial("-m", case / "binance_force_orders.toml", *files)
    assert (tried.code, tried.counts("liquidations")) == (0, (5, 2, 0))
    assert trial("--vendor", "binance_recordings", *files).counts("liquidations") == (5, 1, 1)


def test_06_a_short_line_at_the_end_costs_itself(cases: Path, tmp_path: Path) -> None:
    case = cases / "06_broken_line"
    header, short, *rows = (case / "um_short_line.csv").read_text().splitlines()
    (tmp_path / "um_a.csv").write_text("\n".join([header, *rows, short]))
    tried = trial("-m", case / "binance_force_orders.toml", tmp_path / "um_a.csv")
    assert (tried.code, tried.counts("liquidations")) == (0, (2, 1, 0))
    assert "cut off" in tried.found["rejects"][0]["detail"]


def test_07_a_row_no_rule_covers_is_one_reject(cases: Path) -> None:
    case = cases / "07_uncovered_row"
    tried = trial("-m", case / "mapping.toml", case / "f.csv")
    assert (tried.code, tried.counts("funding_rates")) == (0, (2, 1, 0))
    [reject] = tried.found["rejects"]
    assert (reject["file"], reject["line"], reject["detail"]) == ("f.csv", 3, "no rule of the mapping covers this row")


def test_08_a_blank_wide_cell_is_absent(cases: Path) -> None:
    case = cases / "08_wide_absent"
    tried = trial("-m", case / "mapping.toml", case / "wide.csv")
    assert (tried.code, tried.counts("open_interest")) == (0, (3, 0, 0))
    assert ("ETHUSDT", "2026-03-10T00:00:00") not in tried.rows("open_interest", "instrument", "event_at")
    # An end-of-day date lands a day early unless the mapping says what it is.
    assert any("have no time of day" in str(note) for note in tried.found["warnings"])


def test_11_rows_to_skip_are_ignored_and_counted(cases: Path, tmp_path: Path) -> None:
    case = cases / "11_skip_empty_rows"
    distrusted = trial("-m", case / "mapping.toml", case / "futures_oi_agg_1d.csv")
    assert distrusted.code == 0
    accepted, rejected, _ = distrusted.counts("open_interest")
    skipping = tmp_path / "skip.toml"
    text = (case / "mapping.toml").read_text().replace("[[file.distrust]]", "[[file.skip]]")
    skipping.write_text(text)
    assert rejected > 0
    skipped = trial("-m", skipping, case / "futures_oi_agg_1d.csv")
    assert (skipped.code, skipped.counts("open_interest")) == (0, (accepted, 0, rejected))


def test_12_a_readme_in_a_folder_is_named_and_the_rest_imported(cases: Path, settings: Settings) -> None:
    case = cases / "12_inbox_silent"
    folder = case / "inbox" / "zz_good"
    tried = trial("-m", case / "mappings" / "anyname.toml", "--root", folder)
    assert tried.code == UNCOVERED
    assert [Path(x).name for x in tried.found["uncovered"]] == ["README.md"]
    assert tried.counts("funding_rates") == (1, 0, 0)
    shutil.copytree(case / "inbox", settings.inbox_dir, dirs_exist_ok=True)
    shutil.copytree(case / "mappings", settings.root / "mappings", dirs_exist_ok=True)
    named = uncovered_in_inbox(settings, find_datasets(settings))
    assert sorted(str(x.relative_to(settings.inbox_dir)) for x in named) == [
        "no_mapping_yet/funding.csv", "zz_good/README.md",
    ]  # fmt: skip


SLIPS: Final = {
    "col_typo": ("line 19: file.0.rows.0.columns.funding", "takes interval_hours, kind, mark_price, rate, venue"),
    "dataset_caps": ("line 1: dataset", "lower-case letters, digits and underscores"),
    "group": ("line 7: instrument.0.base", "a template can use base, name"),
    "int_hours": ("line 18: file.0.rows.0.set.interval_hours", "DOUBLE"),
    "kind_bad": ("line 18: file.0.rows.0.set.kind", "none of settled, predicted, special"),
    "lag": ("line 17: file.0.rows.0.available.lag", "a number and one of s, m, h, d"),
    "no_avail": ("line 15: file.0.rows.0.available", "after is event or period"),
    "no_kind": ("line 19: file.0.rows.0.columns", "kind (one of settled, predicted, special)"),
    "period": ("line 18: file.0.rows.0.set.kind", "counting (one of one_sided, halved, unknown)"),
    "table_typo": ("line 16: file.0.rows.0.table", "funding_rates"),
    "unknown_key": ("line 13: file.0.sep", "delimiter"),
}


def test_13_every_slip_of_a_mapping_names_key_values_and_line(cases: Path) -> None:
    case = cases / "13_mapping_errors"
    assert {path.stem for path in case.glob("*.toml")} == set(SLIPS)
    for name, texts in SLIPS.items():
        tried = trial("-m", case / f"{name}.toml", case / "funding.csv")
        assert tried.code == CONFIG
        for text in texts:
            assert text in tried.err, f"{name}: {tried.err}"


@pytest.mark.parametrize(
    ("kind", "table", "options"),
    [
        ("1d", "candles", ()),
        ("oi_4h", "open_interest", ("--unit", "base", "--label", "start")),
    ],
)
def test_15_two_coins_with_one_ticker_are_reported(
    cases: Path, tmp_path: Path, kind: str, table: str, options: tuple[str, ...]
) -> None:
    files = sorted((cases / "15_same_ticker" / kind).glob("*.csv"))
    mapping = proposed(tmp_path, *files, "--table", table, "--venue", "binance", *options)
    if table == "open_interest":  # the price of a coin is told by its dollars
        text = mapping.read_text().replace('"sum_open_interest_value", ', "").replace('"sum_open_interest_value"', "")
        mapping.write_text(text + 'oi_usd = "sum_open_interest_value"\n')
    tried = trial("-m", mapping, *files)
    said = tried.refusals + str(tried.found["warnings"])
    assert "two coins with one ticker" in said or "another coin with the same ticker" in said, tried


def test_15_rates_of_two_coins_with_one_ticker_stay_apart(cases: Path, tmp_path: Path) -> None:
    files = sorted((cases / "15_same_ticker" / "funding").glob("*.csv"))
    mapping = proposed(tmp_path, *files, "--venue", "binance", "--unit", "fraction", "--interval-hours", "4")
    tried = trial("-m", mapping, *files)
    assert (tried.code, tried.counts("funding_rates")) == (0, (10, 0, 0))
    assert {x for (x,) in tried.rows("instruments", "instrument")} == {"BOBUSDT", "1000000BOBUSDT"}


WRONG_UNITS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "dollars as coins": ({"interest": BITCOINS * PRICE}, "looks like dollars, not coins: implied price 1.0"),
    "thousands of coins": ({"interest": BITCOINS * 1e-3}, "another scale read as coins"),
    "more coins than there are": ({"interest": 3e8}, "more BTC than there are"),
    "liquidations times a thousand": ({"forced": 1e10}, "another scale, such as thousands"),
    "volume in dollars": ({"volume": VOLUME * PRICE}, "looks like dollars, not coins"),
    "dates a day early": ({"late": 1}, "rows land a day early"),
}


@pytest.mark.parametrize("wrong", WRONG_UNITS)
def test_a_wrong_unit_is_refused_with_its_likely_cause(tmp_path: Path, wrong: str) -> None:
    amounts, cause = WRONG_UNITS[wrong]
    mapping, files = files_of(tmp_path, **amounts)
    tried = trial("-m", mapping, *files)
    assert (tried.code, cause in tried.refusals) == (DATA, True), tried.refusals or tried.found["warnings"]


def test_an_asset_spelled_like_a_pair_is_refused(tmp_path: Path) -> None:
    mapping, files = files_of(tmp_path)
    mapping.write_text(mapping.read_text().replace('base = "{base}"', 'base = "{name}"'))
    assert "asset 'BTCUSDT' is spelled like a pair" in trial("-m", mapping, *files).refusals


def test_a_table_of_states_is_not_known_after_a_period(tmp_path: Path) -> None:
    mapping, files = files_of(tmp_path)
    mapping.write_text(mapping.read_text().replace('after = "event"', 'after = "period"'))
    tried = trial("-m", mapping, *files)
    assert tried.code == CONFIG
    assert "available" in tried.err


@pytest.mark.slow
def test_imports_that_are_landed_end_so_too(
    cases: Path, settings: Settings, spare_parsing: Callable[[Settings], None]
) -> None:
    """Through Dagster: with the dry runs above, the whole way of a file."""
    spare_parsing(settings)
    inbox = cases / "12_inbox_silent"
    result = Result(
        "import", "-m", str(inbox / "mappings" / "anyname.toml"), "--root", str(inbox / "inbox" / "zz_good")
    )
    assert result.code == UNCOVERED
    assert "zz_good/README.md: the mapping has no pattern for it" in result.err
    naive = cases / "04_aave_unit_change"
    refused = Result("import", "-m", str(naive / "mapping_naive.toml"), str(naive / "liquidations.csv"))
    assert refused.code == DATA
    assert "Nothing of them was landed" in refused.err
    with writer(settings, what="test") as con:
        assert con.execute("select count(*) from clean.funding_rates").fetchall() == [(1,)]
        assert con.execute("select count(*) from clean.lending_liquidations").fetchall() == [(0,)]


DAYS_OF_MARCH: Final = [5419496040.0, 5539832489.0]
KAGGLE: Final[dict[str, list[float]]] = {
    "bom": DAYS_OF_MARCH, "comment": [5419496040.0], "decimalcomma": [5419496040.19, 5539832489.30], "dollar": DAYS_OF_MARCH,
    "epochfloat": [*DAYS_OF_MARCH, 5539832489.0], "epochns": DAYS_OF_MARCH, "latin1": [5419496040.0], "lower": DAYS_OF_MARCH,
    "noheader": DAYS_OF_MARCH, "nozone": [5419496040.0], "pandasindex": DAYS_OF_MARCH, "spaces": DAYS_OF_MARCH,
    "splitdt": DAYS_OF_MARCH, "suffix": [5.42e9, 5.54e9], "thousands": [5419496040.19, 5539832489.30],
}  # fmt: skip
STATED: Final = ("--table", "open_interest", "--venue", "binance", "--unit", "usd", "--label", "end", "--period", "1d",
                 "--zone", "UTC")  # fmt: skip


@pytest.mark.parametrize("defect", [*KAGGLE, "nan"])
def test_a_file_made_by_hand_gives_its_values(cases: Path, tmp_path: Path, defect: str) -> None:
    file = cases / "vendor_formats" / "kaggle" / defect / "f.csv"
    tried = trial("-m", proposed(tmp_path, file, *STATED), file)
    assert tried.code == 0, tried
    if defect == "nan":
        assert tried.counts("open_interest") == (13, 0, 3)
    else:
        assert [x for (x,) in tried.rows("open_interest", "oi_usd")] == pytest.approx(KAGGLE[defect])


@pytest.mark.parametrize("defect", ["percent", "percent2"])
def test_rates_in_percent_signs_become_fractions(cases: Path, tmp_path: Path, defect: str) -> None:
    file = cases / "vendor_formats" / "kaggle" / defect / "f.csv"
    mapping = proposed(tmp_path, file, "--venue", "binance", "--zone", "UTC", "--interval-hours", "8")
    assert [x for (x,) in trial("-m", mapping, file).rows("funding_rates", "rate")] == pytest.approx([1e-4, 5e-5])


@pytest.mark.parametrize(
    ("defect", "hint"), [("decimalcomma", '"decimal_comma"'), ("thousands", '"thousands"'), ("dollar", '"currency"')]
)
def test_numbers_written_for_people_are_refused_with_what_to_give(cases: Path, defect: str, hint: str) -> None:
    folder = cases / "vendor_formats" / "kaggle" / defect
    tried = trial("-m", folder / "m.toml", folder / "f.csv")
    assert tried.code == DATA
    assert f"give clean = [{hint}]" in tried.refusals
    assert tried.found["rejects"]


VENDORS: Final[dict[str, tuple[str, tuple[str, ...], str, dict[str, Any]]]] = {
    "binance_vision": (
        "binvis", ("BTCUSDT-1h-2024-01-01.zip", "BTCUSDT-fundingRate-2024-01.zip", "BTCUSDT-metrics-2024-01-01.zip"),
        "candles", {"instrument": "BTCUSDT", "market": "perp", "open": 42000.0, "close": 42050.5, "volume_base": 1000.5},
    ),
    "cryptodatadownload": (
        "cdd", ("Binance_BTCUSDT_1h.csv", "Binance_BTCUSDT_1h_noline.csv"),
        "candles", {"opened_at": "2021-03-19T00:00:00", "close": 57682.62, "volume_base": 284.398797},
    ),
    "laevitas": (
        "laevitas", ("oi.csv",),
        "option_chain", {"strike": 100000.0, "option_type": "call", "oi_base": 1234.5, "mark_iv": 0.563},
    ),
    "tardis": (
        "tardis", (
            "binance-futures_derivative_ticker_2023-10-01_BTCUSDT.csv.gz",
            "binance-futures_liquidations_2023-10-01_PERPETUALS.csv.gz",
        ),
        "liquidations", {"venue": "binance", "side": "long", "price": 26950.1, "quantity_base": 0.512},
    ),
    "velo": ("velo", ("f.csv",), "open_interest", {"venue": "binance", "oi_base": 80589.9, "oi_usd": 5512000000.5}),
    "okx_recordings": ("ws", ("okx.jsonl",), "liquidations", {"side": "short", "quantity_base": 0.13, "notional_usd": 8840.013}),
    "bybit_recordings": (
        "ws", ("allLiquidation.BTCUSDT.jsonl",), "liquidations", {"side": "short", "price": 43511.7, "quantity_base": 0.003},
    ),
    "binance_recordings": (
        "ws", ("um_2026-03-10.jsonl", "um_wrapped.jsonl", "b/um_a.jsonl"),
        "liquidations", {"instrument": "BTCUSDT", "side": "long", "price": 68100.0, "quantity_base": 0.014},
    ),
}  # fmt: skip


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendors_files_give_their_values(cases: Path, vendor: str) -> None:
    folder, names, table, expected = VENDORS[vendor]
    tried = trial("--vendor", vendor, *(cases / "vendor_formats" / folder / name for name in names))
    assert tried.code == 0, tried
    assert any(
        all(
            row[key] == (pytest.approx(value) if isinstance(value, float) else value) for key, value in expected.items()
        )
        for row in tried.found["rows"][table]
    ), tried.found["rows"][table][:3]


def test_files_of_tardis_under_other_names_are_proposed(cases: Path, tmp_path: Path) -> None:
    folder = cases / "vendor_formats" / "tardis"
    for number, (name, table, rows) in enumerate(
        [("liq.csv.zst", "liquidations", 6), ("oc.csv", "option_chain", 2), ("dt.csv", "funding_rates", 3)]
    ):
        (tmp_path / str(number)).mkdir()
        asked = ("--vendor", "tardis") if table == "liquidations" else ()
        tried = trial("-m", proposed(tmp_path / str(number), folder / name, *asked), folder / name)
        assert (tried.code, tried.counts(table)[0]) == (0, rows)


@pytest.mark.parametrize("name", ["utc", "ns", "ny", "cat", "dec", "date", "int", "list"])
def test_parquet_files_of_any_types_give_their_values(cases: Path, tmp_path: Path, name: str) -> None:
    file = cases / "vendor_formats" / "parquet" / f"f_{name}.parquet"
    tried = trial("-m", proposed(tmp_path, file, *STATED), file)
    assert tried.code == 0
    assert tried.counts("open_interest")[:2] == (1 if name == "cat" else 2, 0)


def test_answers_of_an_api_are_estimates_and_arrays_candles(cases: Path, tmp_path: Path) -> None:
    folder = cases / "vendor_formats" / "cgjson"
    rates = proposed(
        tmp_path, folder / "fr.json", "--table", "funding_rates", "--venue", "binance", "--symbol", "BTCUSDT", "--unit", "percent",
        "--interval-hours", "8",
    )  # fmt: skip
    tried = trial("-m", rates, folder / "fr.json")
    assert tried.rows("funding_rates", "kind", "rate") == [("predicted", pytest.approx(0.00009229))]
    klines = trial("-m", folder / "klines.toml", folder / "klines.json")
    assert klines.rows("candles", "close") == [(0.015771,)]


def test_a_column_for_every_venue_is_imported(cases: Path) -> None:
    folder = cases / "vendor_formats" / "kaggle"
    tried = trial("-m", folder / "oi_wide.toml", folder / "oi_wide.csv")
    assert {x for (x,) in tried.rows("open_interest", "oi_usd")} == {12490340004.0, 6925635604.0, 3653808419.0}


def test_a_workbook_in_a_zip_beside_other_members_and_one_without_the_reader(cases: Path) -> None:
    folder = cases / "vendor_formats" / "xlsx"
    assert trial("-m", folder / "mz.toml", folder / "f.zip").counts("open_interest") == (1, 0, 0)
    tried = trial("-m", folder / "m.toml", folder / "f.xlsx")
    if importlib.util.find_spec("fastexcel") is None:
        assert (tried.code, "leverhouse[xlsx]" in tried.refusals) == (DATA, True)
    else:
        assert tried.code == 0
