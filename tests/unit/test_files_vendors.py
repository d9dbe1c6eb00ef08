"""Built-in mappings and proposed ones, on files written by hand after the vendors' formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.core.errors import ConfigError
from pipelines.sources.files.check import load_mapping
from pipelines.sources.files.propose import Answers, propose
from pipelines.sources.files.vendors import vendor_mapping, vendor_names
from pipelines.sources.files.vendors.examples import EXAMPLES, TARDIS
from scripts.mapping_page import PAGE, page
from tests.unit import files_fixture as fixture
from tests.unit.files_fixture import Parsed, parse_file


def read(folder: Path, name: str, content: str, text: str) -> Parsed:
    path = folder / "landed"
    path.write_text(content)
    return parse_file(folder, path, text=text, name=name)


@pytest.mark.parametrize("vendor", vendor_names())
def test_a_built_in_mapping_gives_the_values_in_the_file(tmp_path: Path, vendor: str) -> None:
    name, content, expected = EXAMPLES[vendor]
    text = vendor_mapping(vendor).read_text()
    load_mapping(vendor_mapping(vendor), contract=fixture.contract())
    parsed = read(tmp_path, name, content, text)
    table, values = expected
    [row] = parsed.rows[table].select(*values).to_dicts()
    assert row == {key: pytest.approx(value) if isinstance(value, float) else value for key, value in values.items()}


@pytest.mark.parametrize(
    ("content", "oi"),
    [
        ("time,symbol,oi\n2026-03-10,BTC,$5.42B\n", 5.42e9),
        ('time,symbol,oi\n2026-03-10,BTC,"5,419,496,040.5"\n', 5419496040.5),
        ("time;symbol;oi\n10.03.2026 00:00;BTC;5419496040,5\n", 5419496040.5),
        ("# exported\n# by me\ntime, symbol, oi\n1773100800.0, btc, 7\n", 7.0),
        ("a banner\n\nDate,Time,symbol,oi\n2026-03-10,00:00,BTC,7\n2026-03-11,00:00,BTC,\n", 7.0),
    ],
)
def test_a_proposed_mapping_reads_numbers_written_for_people(tmp_path: Path, content: str, oi: float) -> None:
    path = tmp_path / "f.csv"
    path.write_text(content)
    answers = Answers(venue="binance", unit="usd", label="end", period="1d", zone="UTC")
    parsed = read(tmp_path, "f.csv", content, propose([path], answers))
    assert parsed.rows["open_interest"]["oi_usd"].to_list() == [pytest.approx(oi)]
    assert parsed.only_rejects().is_empty()


def test_what_a_file_cannot_say_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("time,open,high,low,close\n1762977600000,1,2,1,2\n1762992000000,2,3,2,3\n")
    with pytest.raises(ConfigError, match=r"does not say: what are the values\? Give --table"):
        propose([path], Answers())
    with pytest.raises(ConfigError, match=r"Give --symbol.*Give --venue.*Give --label.*--unit usd or --unit base"):
        propose([path], Answers(table="open_interest"))


def test_the_newest_period_of_an_answer_is_ignored_and_counted(tmp_path: Path) -> None:
    content = "time,open,high,low,close\n1762977600000,1,2,1,2\n1762992000000,2,3,2,3\n"
    path = tmp_path / "f.csv"
    path.write_text(content)
    answers = Answers(table="open_interest", venue="binance", symbol="BTCUSDT", unit="base", label="start")
    parsed = read(tmp_path, "f.csv", content, propose([path], answers))
    assert parsed.rows["open_interest"]["oi_base"].to_list() == [2.0]


def test_the_page_about_mappings_is_made_from_the_model() -> None:
    assert PAGE.read_text() == page(), "make it anew: python scripts/mapping_page.py"


def test_candles_of_tardis_trades_are_not_taken_for_liquidations(tmp_path: Path) -> None:
    path = tmp_path / "renamed.csv"
    path.write_text(TARDIS + "bybit,BTCUSD,1696118480000000,1696118480100000,,sell,25000,5000\n")
    with pytest.raises(ConfigError, match="liquidations and trades have the same header"):
        propose([path], Answers())


def test_a_sum_and_a_sign(tmp_path: Path) -> None:
    text = fixture.LONG.replace('oi_base = "oi"', 'oi_base = { sum = ["oi", "value"], scale = -1 }')
    parsed = read(tmp_path, "data.csv", "symbol,time,oi,value\nBTCUSDT,2024-01-01 00:05:00,-1,-2\n", text)
    assert parsed.rows["open_interest"]["oi_base"].to_list() == [3.0]
    assert isinstance(parsed.rows["open_interest"], pl.DataFrame)


def proposed(folder: Path, name: str, content: str, **answers: Any) -> dict[str, pl.DataFrame]:
    """The rows that the mapping proposed for a file gives."""
    path = folder / name
    path.write_text(content)
    return read(folder, name, content, propose([path], Answers(**answers))).rows


def test_open_interest_is_the_close_of_its_period(tmp_path: Path) -> None:
    content = "timestamp,open_interest,high_oi,low_oi,close_oi\n2021-03-19,1,9,1,2\n2021-03-20,2,9,1,3\n"
    rows = proposed(
        tmp_path, "oi.csv", content, venue="binance", symbol="BTCUSDT", unit="usd", label="start", zone="UTC"
    )
    assert rows["open_interest"]["oi_usd"].to_list() == [2.0, 3.0]


def test_a_column_named_after_hyperliquid_holds_no_liquidations(tmp_path: Path) -> None:
    content = "timestamp,BINANCE,HYPERLIQUID\n1763078400000,1,2\n1763092800000,3,4\n1763100000000,5,6\n"
    with pytest.raises(ConfigError, match="what are the values"):
        proposed(tmp_path, "oi.csv", content)
    rows = proposed(tmp_path, "oi.csv", content, table="open_interest", symbol="BTC", unit="usd", period="4h")
    assert sorted(rows["open_interest"]["oi_usd"].to_list()) == [1.0, 2.0, 3.0, 4.0]
    with pytest.raises(ConfigError, match="would be counted as perpetuals'"):
        proposed(tmp_path, "option_oi.csv", content, table="open_interest", symbol="BTC", unit="usd", period="4h")


def test_the_volume_of_coin_margined_klines_is_in_the_column_of_the_quote(tmp_path: Path) -> None:
    content = (
        "open_time,open,high,low,close,volume,quote_volume\n1698364800000,1,1,1,1,500,2\n1698368400000,1,1,1,1,5,3\n"
    )
    rows = proposed(tmp_path, "cm.csv", content, table="candles", venue="binance", symbol="BTCUSD_PERP")
    assert rows["candles"]["volume_base"].to_list() == [2.0, 3.0]
    assert rows["instruments"]["contract_type"].unique().to_list() == ["inverse"]


def test_sums_that_roll_over_a_day_are_refused_and_beside_others_ignored(tmp_path: Path) -> None:
    rolling = "exchange,longLiquidation_usd,shortLiquidation_usd\nBinance,1,2\n"
    with pytest.raises(ConfigError, match="rolls over 24 hours"):
        proposed(tmp_path, "liquidation_24h_BTC.csv", rolling, period="1d", symbol="BTC")
    with pytest.raises(ConfigError, match="'total24h' cannot be imported"):
        proposed(tmp_path, "overview.csv", "date,total24h\n2026-01-01,5\n", zone="UTC")
    content = "time,symbol,oi,volume_24h\n1773100800000,BTCUSDT,7,9\n"
    rows = proposed(tmp_path, "oi.csv", content, venue="binance", unit="base", label="end", period="1h")
    assert rows["open_interest"]["oi_base"].to_list() == [7.0]


def test_liquidations_by_letters_and_symbols_without_a_header(tmp_path: Path) -> None:
    content = "t,l,s\n1789423200,220,0\n1789426800,1,2\n"
    rows = proposed(tmp_path, "a.csv", content, venue="okx", symbol="BTC-USD-SWAP", unit="usd")
    assert rows["liquidation_totals"]["long_usd"].to_list() == [220.0, 1.0]
    with pytest.raises(ConfigError, match="no periods of a minute"):
        proposed(tmp_path, "a.csv", content, venue="okx", symbol="BTC-USD-SWAP", unit="usd", period="1m")
    content = "2026-03-10,BTCUSDT,7\n2026-03-10,ETHUSDT,8\n"
    answers = {
        "table": "open_interest",
        "venue": "binance",
        "unit": "usd",
        "label": "end",
        "zone": "UTC",
        "period": "1d",
    }
    rows = proposed(tmp_path, "b.csv", content, **answers)
    assert rows["open_interest"].sort("instrument")["instrument"].to_list() == ["BTCUSDT", "ETHUSDT"]


def test_a_pair_without_dollars_is_none_that_is_followed(tmp_path: Path) -> None:
    content = "1735689600000000,1,2,0.5,1.5,10,1735775999999999,15,3,5,7,0\n"
    parsed = read(tmp_path, "ETHBTC-1d-2025-01.csv", content, vendor_mapping("binance_vision_spot").read_text())
    assert parsed.only_rejects()["reason"].to_list() == ["unknown_instrument"]


def test_totals_of_lending_are_no_liquidations(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="DefiLlama's yields and totals hold no liquidations"):
        proposed(tmp_path, "pool.csv", "timestamp,tvlUsd,apy,apyBase\n2026-01-01T00:00:00Z,1,2,2\n")


def test_the_symbol_of_a_files_name_is_its_instrument(tmp_path: Path) -> None:
    content = "timestamp,sum_open_interest\n1771574400000,5\n1771588800000,6\n"
    rows = proposed(tmp_path, "oi-ETHUSDT-4h.csv", content, venue="binance", unit="base", label="end")
    assert rows["open_interest"]["instrument"].unique().to_list() == ["ETHUSDT"]
