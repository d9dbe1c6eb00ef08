"""The rules of a mapping: units, conditions, overrides, sides, ids, instruments, availability."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from pipelines.core.errors import SourceFormatError
from tests.unit import files_fixture as fixture
from tests.unit.files_fixture import LONG, LONG_HEADER, WIDE, parse_content


def utc(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]


FUNDING = """
dataset = "funding"
description = "Funding of two venues"

[[instrument]]
venue = "binance"
name = 'perp:(?P<base>[A-Z0-9]+)USDT'
symbol = "{base}USDT"
base = "{base}"
quote = "USDT"
contract_type = "linear"

[[instrument]]
venue = "okx"
name = 'perp:BTCUSDT'
symbol = "BTC-USDT-SWAP"
base = "BTC"
quote = "USDT"
contract_type = "linear"
contract_size = 0.01
contract_size_unit = "base"

[[file]]
pattern = "*.csv"
format = "csv"
instrument = { template = "{kind}:{pair}" }
time = { column = "time", format = "epoch_ms", round = "1m" }
distrust = [{ where = { cells = { rate = ["9999"] } }, because = "9999 is the venue's placeholder" }]

[[file.rows]]
table = "funding_rates"
where = { cells = { kind = ["perp"] } }
available = { after = "event", lag = "1m" }
set = { kind = "settled", interval_hours = 8.0 }
columns = { venue = "exchange", rate = { column = "rate", scale = 0.01 } }

[[file.rows.adjust]]
where = { instrument = ["TRBUSDT"], from = 2023-10-12 }
set = { interval_hours = 4.0 }

[[file.rows.adjust]]
where = { cells = { exchange = ["okx"] } }
scale = { rate = 10.0 }
"""

FUNDING_HEADER = "time,exchange,kind,pair,rate\n"


def funding(folder: Path, *rows: str) -> fixture.Parsed:
    return parse_content(folder, FUNDING_HEADER + "".join(f"{row}\n" for row in rows), text=FUNDING)


def test_percent_becomes_a_fraction_and_jitter_is_rounded(tmp_path: Path) -> None:
    [row] = funding(tmp_path, "1697097600023,binance,perp,BTCUSDT,0.01").rows["funding_rates"].to_dicts()
    assert row["rate"] == pytest.approx(0.0001)
    assert row["settled_at"] == utc(2023, 10, 12, 8)
    assert row["available_at"] == utc(2023, 10, 12, 8, 1)
    assert row["interval_hours"] == 8.0


def test_an_override_applies_to_its_instruments_from_its_day_on(tmp_path: Path) -> None:
    before, from_the_override, other = "1697068800000", "1697068801000", "1697097600000"  # 2023-10-12 00:00 and 08:00
    rows = funding(
        tmp_path,
        "1697040000000,binance,perp,TRBUSDT,0.01",
        f"{before},binance,perp,TRBUSDT,0.01",
        f"{from_the_override},binance,perp,BTCUSDT,0.01",
        f"{other},binance,perp,TRBUSDT,0.01",
    ).rows["funding_rates"]
    assert rows["interval_hours"].to_list() == [8.0, 4.0, 8.0, 4.0]


def test_a_scale_override_multiplies_matching_rows(tmp_path: Path) -> None:
    rows = funding(tmp_path, "1697097600000,okx,perp,BTCUSDT,0.01", "1697097600000,binance,perp,BTCUSDT,0.01").rows[
        "funding_rates"
    ]
    assert rows["rate"].to_list() == pytest.approx([0.001, 0.0001])
    assert rows["instrument"].to_list() == ["BTC-USDT-SWAP", "BTCUSDT"]


def test_a_row_that_no_rule_covers_is_rejected(tmp_path: Path) -> None:
    parsed = funding(tmp_path, "1697097600000,binance,option,BTCUSDT,0.01", "1697097600000,binance,perp,BTCUSDT,0.01")
    [reject] = parsed.rejects["funding_rates"].to_dicts()
    assert (reject["line"], reject["detail"]) == (2, "no rule of the mapping covers this row")
    assert parsed.rows["funding_rates"].height == 1


def test_a_distrusted_row_is_rejected_as_sentinel_with_the_reason(tmp_path: Path) -> None:
    [reject] = funding(tmp_path, "1697097600000,binance,perp,BTCUSDT,9999").rejects["funding_rates"].to_dicts()
    assert (reject["reason"], reject["detail"]) == ("sentinel", "9999 is the venue's placeholder")
    assert reject["instrument"] == "BTCUSDT"


def test_an_unknown_venue_is_an_unknown_instrument(tmp_path: Path) -> None:
    parsed = funding(tmp_path, "1697097600000,ftx,perp,BTCUSDT,0.01")
    assert parsed.rejects["funding_rates"]["reason"].to_list() == ["unknown_instrument"]


def test_instruments_have_asset_multiplier_and_contract_size_once_per_landing(tmp_path: Path) -> None:
    rows = funding(
        tmp_path,
        "1697097600000,binance,perp,1000SHIBUSDT,0.01",
        "1697068800000,binance,perp,1000SHIBUSDT,0.01",
        "1697068800000,okx,perp,BTCUSDT,0.01",
    ).rows["instruments"]
    assert rows.select("venue", "instrument", "asset", "multiplier", "contract_size").rows() == [
        ("binance", "1000SHIBUSDT", "SHIB", 1000.0, None),
        ("okx", "BTC-USDT-SWAP", "BTC", 1.0, 0.01),
    ]
    assert rows["available_at"].to_list() == [utc(2023, 10, 12, 0, 1)] * 2
    assert rows["valid_from"].to_list() == [utc(1970, 1, 1)] * 2


LIQUIDATIONS = """
dataset = "liquidations"
description = "Liquidations in contracts"

[[instrument]]
venue = "okx"
name = '(?P<base>ETH)USDT'
symbol = "{base}-USDT-SWAP"
base = "{base}"
quote = "USDT"
contract_type = "linear"
contract_size = 0.1
contract_size_unit = "base"

[[instrument]]
venue = "okx"
name = 'SOLUSDT'
symbol = "SOL-USDT-SWAP"
base = "SOL"
quote = "USDT"
contract_type = "linear"

[[file]]
pattern = "*.csv"
format = "csv"
instrument = "symbol"
time = { column = "ts", format = "epoch_ms" }
ignore = ["note"]

[[file.rows]]
table = "liquidations"
available = { after = "event", lag = "0s" }
set = { venue = "okx", venue_kind = "cex", completeness = "throttled" }

[file.rows.columns]
liquidation_id = { digest = ["symbol", "raw_side", "qty", "price", "ts"] }
side = { column = "raw_side", translate = { SELL = "long", BUY = "short" } }
price = "price"
quantity_base = { column = "qty", contracts = true }
notional_usd = { column = "qty", contracts = true, times = "price" }
is_adl = "adl"
"""

LIQUIDATION_HEADER = "symbol,raw_side,qty,price,ts,adl,note\n"


def liquidations(folder: Path, *rows: str) -> fixture.Parsed:
    return parse_content(folder, LIQUIDATION_HEADER + "".join(f"{row}\n" for row in rows), text=LIQUIDATIONS)


def test_contracts_become_base_and_notional(tmp_path: Path) -> None:
    [row] = liquidations(tmp_path, "ETHUSDT,SELL,20,2000,1700000000000,false,x").rows["liquidations"].to_dicts()
    assert row["quantity_base"] == pytest.approx(2.0)
    assert row["notional_usd"] == pytest.approx(4000.0)
    assert row["side"] == "long"
    assert row["is_adl"] is False


def test_contracts_of_an_instrument_without_a_size_are_rejected(tmp_path: Path) -> None:
    parsed = liquidations(tmp_path, "SOLUSDT,SELL,20,2000,1700000000000,false,x")
    [reject] = parsed.rejects["liquidations"].to_dicts()
    assert reject["field"] == "qty"
    assert "no contract size in base" in reject["detail"]


def test_an_unknown_side_is_rejected(tmp_path: Path) -> None:
    parsed = liquidations(tmp_path, "ETHUSDT,sell,20,2000,1700000000000,false,x")
    [reject] = parsed.rejects["liquidations"].to_dicts()
    assert reject["detail"] == "column 'raw_side': sell is none of SELL, BUY"


def test_a_boolean_is_true_or_false(tmp_path: Path) -> None:
    parsed = liquidations(tmp_path, "ETHUSDT,SELL,1,1,1700000000000,True,x", "ETHUSDT,SELL,1,1,1700000000000,maybe,x")
    assert parsed.rows["liquidations"]["is_adl"].to_list() == [True]
    assert parsed.rejects["liquidations"]["detail"].to_list() == ["column 'adl': maybe is neither true nor false"]


def test_an_id_is_a_hash_of_the_named_cells_only(tmp_path: Path) -> None:
    rows = (
        liquidations(
            tmp_path,
            "ETHUSDT,SELL,20,2000,1700000000000,false,x",
            "ETHUSDT,SELL,20,2000,1700000000000,true,y",
            "ETHUSDT,SELL,20,2001,1700000000000,false,x",
        )
        .rows["liquidations"]["liquidation_id"]
        .to_list()
    )
    assert rows[0] == rows[1] != rows[2]
    # Pinned: a changed hash would make every event of history a new one.
    assert rows[0] == "62aa992428f3f67d54eff3102820f2eb"


def test_a_share_is_computed_from_a_ratio(tmp_path: Path) -> None:
    text = LONG.replace('table = "open_interest"', 'table = "long_short_ratios"').replace(
        'set = { venue = "binance", period = "5m", oi_raw_unit = "base", counting = "one_sided" }',
        'set = { venue = "binance", period = "5m", measure = "account_global" }',
    )
    text = text.replace(
        'columns = { oi_base = "oi", oi_raw = "oi", oi_usd = "value" }',
        'columns = { ratio = "oi", long_share = { column = "oi", as = "long_share" } }\n',
    ).replace('absent = [""]', 'ignore = ["value"]')
    rows = parse_content(tmp_path, LONG_HEADER + "BTCUSDT,2024-01-01 00:05:00,1.54,0\n", text=text).rows[
        "long_short_ratios"
    ]
    assert rows["long_share"].to_list() == pytest.approx([0.6063], abs=1e-4)


def test_a_row_that_divides_by_zero_is_rejected(tmp_path: Path) -> None:
    text = LONG.replace('oi_base = "oi"', 'oi_base = { column = "value", over = "oi" }')
    parsed = parse_content(tmp_path, LONG_HEADER + "BTCUSDT,2024-01-01 00:05:00,0,5\n", text=text)
    assert parsed.rejects["open_interest"]["detail"].to_list() == ["column 'value': 5 is not a finite number (with oi)"]


def test_a_daily_state_can_be_shifted_to_the_end_of_its_day(tmp_path: Path) -> None:
    text = WIDE.replace('zone = "UTC"', 'zone = "UTC", shift = "1d"')
    rows = parse_content(tmp_path, "t,BTCUSDT_long,BTCUSDT_short\n2024-01-01,1,2\n", text=text).rows[
        "liquidation_totals"
    ]
    assert rows["event_at"].to_list() == [utc(2024, 1, 2)]


def test_a_wide_file_gives_one_row_per_line_and_instrument(tmp_path: Path) -> None:
    content = "t,BTCUSDT_long,BTCUSDT_short,ETHUSDT_long,ETHUSDT_short\n2024-01-01,1,2,3,4\n2024-01-02,5,6,7,0\n"
    rows = parse_content(tmp_path, content, text=WIDE).rows["liquidation_totals"]
    assert rows.select("instrument", "_line", "_field", "long_base", "short_base").rows() == [
        ("BTCUSDT", 2, "BTCUSDT_long", 1.0, 2.0),
        ("BTCUSDT", 3, "BTCUSDT_long", 5.0, 6.0),
        ("ETHUSDT", 2, "ETHUSDT_long", 3.0, 4.0),
        ("ETHUSDT", 3, "ETHUSDT_long", 7.0, 0.0),
    ]
    assert rows["available_at"].to_list()[0] == utc(2024, 1, 2, 1)


def test_a_bad_wide_cell_is_named_by_its_column_and_rejects_only_its_instrument(tmp_path: Path) -> None:
    content = "t,BTCUSDT_long,BTCUSDT_short,ETHUSDT_long,ETHUSDT_short\n2024-01-01,1,x,3,4\n"
    parsed = parse_content(tmp_path, content, text=WIDE)
    [reject] = parsed.rejects["liquidation_totals"].to_dicts()
    assert (reject["field"], reject["instrument"], reject["line"]) == ("BTCUSDT_short", "BTCUSDT", 2)
    assert parsed.rows["liquidation_totals"]["instrument"].to_list() == ["ETHUSDT"]


def test_wide_cells_without_value_are_counted_as_null_per_day_and_instrument(tmp_path: Path) -> None:
    content = "t,BTCUSDT_long,BTCUSDT_short,ETHUSDT_long,ETHUSDT_short\n2024-01-01,,NaN,3,4\n2024-01-02,1,,NaN,\n"
    parsed = parse_content(tmp_path, content, text=WIDE)
    absent = parsed.null_cells["liquidation_totals"]
    assert [(str(day), name, cells) for day, name, cells in absent.rows()] == [
        ("2024-01-01", "BTCUSDT", 1),
        ("2024-01-02", "ETHUSDT", 1),
    ]
    assert parsed.rows["liquidation_totals"].select("instrument", "long_base", "short_base").rows() == [
        ("BTCUSDT", 1.0, None),
        ("ETHUSDT", 3.0, 4.0),
    ]
    assert parsed.only_rejects().is_empty()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("t,BTCUSDT_long,BTCUSDT_short,surprise", "column 'surprise' is not in the mapping"),
        ("t,BTCUSDT_long", "the short column of 'BTCUSDT' is missing"),
        ("BTCUSDT_long,BTCUSDT_short", "column 't' is missing"),
        ("t", "no column matches wide.columns"),
    ],
)
def test_a_wide_header_that_does_not_match_the_mapping_is_an_error(tmp_path: Path, header: str, message: str) -> None:
    row = ",".join(["2024-01-01", *["1"] * header.count(",")])
    with pytest.raises(SourceFormatError, match=message):
        parse_content(tmp_path, f"{header}\n{row}\n", text=WIDE)


def test_a_wide_series_whose_name_matches_no_rule_is_rejected_row_by_row(tmp_path: Path) -> None:
    parsed = parse_content(tmp_path, "t,../../x_long,../../x_short\n2024-01-01,1,2\n", text=WIDE)
    [reject] = parsed.rejects["liquidation_totals"].to_dicts()
    assert (reject["reason"], reject["field"]) == ("unknown_instrument", "../../x_long")


LENDING = """
dataset = "lending"
description = "Aave logs"

[[file]]
pattern = "*.jsonl"
format = "jsonl"
decode = "aave_liquidation_call"
time = { column = "time", format = "iso" }

[[file.rows]]
table = "lending_liquidations"
where = { cells = { address = ["0xabababababababababababababababababababab"] } }
available = { after = "event", lag = "15m" }
set = { chain = "ethereum", protocol = "aave_v2", completeness = "full" }

[file.rows.columns]
event_id = { template = "{tx_hash}:{log_index}" }
tx_hash = "tx_hash"
log_index = "log_index"
market = "address"
collateral_token = "collateral_asset"
collateral_amount_raw = "liquidated_collateral_amount"
"""


def test_logs_are_decoded_before_the_rules_and_undecodable_ones_kept(tmp_path: Path) -> None:
    word = "0" * 62
    good = (
        '{"address":"0x'
        + "ab" * 20
        + '","topics":["0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286"'
        + "".join(f',"0x{"0" * 24}{n * 20}"' for n in ("01", "02", "03"))
        + f'],"data":"0x{word}07{word}05{word}04{word}01","blockNumber":"0x10","transactionHash":"0x{"cd" * 32}",'
        '"logIndex":"0x2","time":"2024-01-01T00:00:00Z"}\n'
    )
    bad = good.replace(f"0x{word}07", "0x")
    other = good.replace("ab" * 20, "cd" * 20)
    parsed = parse_content(tmp_path, good + bad + other, text=LENDING, name="a.jsonl")
    rows = parsed.rows["lending_liquidations"].filter(pl.col("chain").is_not_null())
    assert rows["collateral_amount_raw"].to_list() == ["5"]
    assert rows["event_id"].to_list() == ["0x" + "cd" * 32 + ":2"]
    assert parsed.rejects["lending_liquidations"].select("line", "reason").rows() == [
        (2, "undecodable"),
        (3, "unparsable"),
    ]
    assert '"logIndex":"0x2"' in parsed.rejects["lending_liquidations"]["raw"][0]
