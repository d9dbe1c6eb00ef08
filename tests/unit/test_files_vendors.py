"""Built-in mappings and proposed ones, on files written by hand after the vendors' formats."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipelines.core.errors import ConfigError
from pipelines.sources.files.check import load_mapping
from pipelines.sources.files.propose import Answers, propose
from pipelines.sources.files.vendors import vendor_mapping, vendor_names
from scripts.mapping_page import PAGE, page
from tests.unit import files_fixture as fixture
from tests.unit.files_fixture import Parsed, parse_file

TARDIS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
EXAMPLES = {
    "tardis": (
        "binance-futures_liquidations_2023-10-01_PERPETUALS.csv",
        TARDIS + "bybit,BTCUSD,1696118480000000,1696118480100000,,sell,25000,5000\n",
        ("liquidations", {"side": "long", "quantity_base": 0.2, "notional_usd": 5000.0}),
    ),
    "binance_vision": (
        "BTCUSDT-1h-2024-01-01.csv",
        "1704067200000,42000,42100,41900,42050.5,1000.5,1704070799999,42000000,5000,500.1,21000000,0\n",
        ("candles", {"instrument": "BTCUSDT", "period": "1h", "close": 42050.5, "trades": 5000}),
    ),
    "binance_vision_spot": (
        "ETHBTC-1d-2025-01.csv",
        "1735689600000000,1,2,0.5,1.5,10,1735775999999999,15,3,5,7,0\n",
        None,
    ),
    "cryptodatadownload": (
        "Binance_BTCUSDT_1h.csv",
        (
            "https://www.CryptoDataDownload.com\nUnix,Date,Symbol,Open,High,Low,Close,Volume USDT,Volume BTC\n"
            "1502942400,2017-08-17 04-AM,BTC/USDT,4300,4400,4261,4308,190952,44.5\n"
        ),
        ("candles", {"venue": "binance", "instrument": "BTCUSDT", "volume_base": 44.5, "volume_quote": 190952.0}),
    ),
    "velo": (
        "rows.csv",
        (
            "exchange,coin,product,time,close_price,buy_liquidations_dollar_volume,sell_liquidations_dollar_volume\n"
            "bybit,BTC,BTCUSDT,1773104400000,68411.1,,5\n"
        ),
        ("liquidation_totals", {"long_usd": 5.0, "short_usd": 0.0, "total_usd": 5.0}),
    ),
    "laevitas": (
        "oi.csv",
        (
            "date,instrument,open_interest,mark_iv,mark_price,underlying_price\n"
            "2026-03-10 08:00:00,BTC-27MAR26-100000-C,1234.5,56.5,0.0012,68100.5\n"
        ),
        ("option_chain", {"strike": 100000.0, "option_type": "call", "oi_base": 1234.5, "mark_iv": 0.565}),
    ),
    "okx_recordings": (
        "okx.jsonl",
        (
            '{"event":"subscribe"}\n{"data":[{"details":[{"bkLoss":"0","bkPx":"50000","ccy":"","posSide":"short","side":"buy",'
            '"sz":"13","ts":"1773100805892"}],"instFamily":"BTC-USDT","instId":"BTC-USDT-SWAP"}]}\n'
        ),
        ("liquidations", {"side": "short", "quantity_base": 0.13, "notional_usd": 6500.0}),
    ),
    "binance_recordings": (
        "um_a.jsonl",
        (
            '{"result":null,"id":1}\n{"ts":1,"msg":{"e":"forceOrder","o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"2",'
            '"p":"9","ap":"10","X":"FILLED","l":"2","z":"2","T":1773100804990}}}\n'
        ),
        ("liquidations", {"side": "long", "quantity_base": 2.0, "notional_usd": 20.0}),
    ),
    "bybit_recordings": (
        "allLiquidation.BTCUSDT.jsonl",
        (
            '{"success":true,"op":"pong"}\n{"topic":"allLiquidation.BTCUSDT","ts":1,"data":[{"T":1773100805600,"s":"BTCUSDT",'
            '"S":"Sell","v":"0.5","p":"10"}]}\n'
        ),
        ("liquidations", {"side": "short", "quantity_base": 0.5, "notional_usd": 5.0}),
    ),
    "binance_rest": (
        "BTCUSDT_openInterestHist_5m.json",
        '[{"symbol":"BTCUSDT","sumOpenInterest":"100.5","sumOpenInterestValue":"6834000","timestamp":"1773100800000"}]',
        ("open_interest", {"instrument": "BTCUSDT", "period": "5m", "oi_base": 100.5, "oi_usd": 6834000.0}),
    ),
    "ccxt": (
        "hyperliquid_funding_rate.json",
        '[{"symbol":"BTC/USDC:USDC","fundingRate":0.0000125,"timestamp":1773100800012,"info":{"x":[1]}}]',
        ("funding_rates", {"venue": "hyperliquid", "instrument": "BTC", "rate": 0.0000125, "interval_hours": 1.0}),
    ),
    "coinalyze": (
        "liquidation-history_1hour.json",
        '[{"symbol":"BTCUSDT.6","history":[{"t":1773100800,"l":7.5,"s":0},{"t":1773104400,"l":1,"s":1}]}]',
        ("liquidation_totals", {"venue": "bybit", "instrument": "BTCUSDT", "period": "1h", "long_usd": 7.5}),
    ),
    "amberdata": (
        "liquidations_btc.json",
        (
            '{"status":200,"payload":{"metadata":{},"data":[{"exchange":"binance","instrument":"BTCUSDT","exchangeTimestamp":'
            '1773100800000,"positionType":"long","side":"SELL","price":50000,"volume":0.5,"unit":"base_asset"}]}}'
        ),
        ("liquidations", {"side": "long", "quantity_base": 0.5, "notional_usd": 25000.0}),
    ),
    "coinglass": (
        "BTC_open_interest_4h.json",
        (
            '{"code":"0","msg":"success","data":[{"time":1773100800000,"open":"1","high":"9","low":"1","close":"8"},'
            '{"time":1773115200000,"open":"8","high":"8","low":"8","close":"8"}]}'
        ),
        ("open_interest", {"venue": "aggregate", "oi_usd": 8.0, "event_at": datetime(2026, 3, 10, 4)}),
    ),
    "dune": (
        "lending_supply.json",
        (
            '{"result":{"rows":[{"blockchain":"ethereum","project":"aave","version":"3","transaction_type":"deposit_liquidation",'
            '"token_address":"0xAB","amount":-2.5,"amount_usd":-5000,"block_time":"2023-04-19 05:00:00.000 UTC","tx_hash":"0x1",'
            '"evt_index":3,"project_contract_address":"0xCD"},{"blockchain":"ethereum","project":"aave","version":"3",'
            '"transaction_type":"deposit","token_address":"0xAB","amount":1,"amount_usd":1,"block_time":'
            '"2023-04-19 05:00:00.000 UTC","tx_hash":"0x2","evt_index":4,"project_contract_address":"0xCD"}]}}'
        ),
        ("lending_liquidations", {"protocol": "aave_v3", "collateral_token": "0xab", "collateral_usd": 5000.0}),
    ),
}


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
    if expected is None:  # a pair without dollars is none that is followed
        assert parsed.only_rejects()["reason"].to_list() == ["unknown_instrument"]
        return
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
