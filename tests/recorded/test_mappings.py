"""The recorded CEX files parsed with their mappings: units, times, sides, gaps.

Where two data sets overlap, values are compared with the other data set.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipelines.contract.ddl import Contract, apply_ddl
from pipelines.sources.files.source import load_mapping, match_files
from tests.recorded.recorded_fixture import FOLDERS, MAPPINGS, Load, at, close_to, only

ROWS = {
    "binance_daily_2022_2023": {
        "candles": 119 * 702,
        "open_interest": 119 * 702,
        "funding_rates": 119 * 703,
        "long_short_ratios": 119 * 700,
        "liquidation_totals": 66 * 700,
        "instruments": 4 * 119 + 66,
    },
    "older_btc_closes": {"candles": 1545, "instruments": 1},
    "binance_hyperliquid_funding": {"funding_rates": 2 * (4377 + 12192), "instruments": 4},
    "three_venue_8h_2023_2024": {"candles": 18 * 1642, "funding_rates": 12 * 1642, "instruments": 18},
    "seven_venue_hourly_2025_2026": {
        "candles": 121_122,
        "funding_rates": 115_218,
        "open_interest": 18_477,
        "liquidation_totals": 173,
        "instruments": 3 * 35 + 5,
    },
    "binance_vision_klines_golden": {"candles": 3 * 168, "instruments": 3},
    "deribit_option_snapshots": {"option_chain": 18_302, "instruments": 18_302},
    "liquidation_capture_2026_04": {"liquidations": 18, "instruments": 3},
    "aave_ethereum": {"lending_liquidations": 1144},
    "aave_btc_collateral": {"lending_liquidations": 6269, "token_prices": 10_220},
    "liquity_v1": {"lending_liquidations": 870, "token_prices": 2914},
    "hyperliquid_daily": {"liquidation_totals": 35_608, "instruments": 194},
}

REJECTED = {"binance_daily_2022_2023": 2 * 119, "older_btc_closes": 1}


def test_every_folder_has_a_mapping_and_every_mapping_a_folder(recorded_dir: Path) -> None:
    assert {path.stem for path in MAPPINGS.glob("*.toml")} == set(FOLDERS)
    folders = {str(path.parent.relative_to(recorded_dir)) for path in recorded_dir.rglob("*") if path.is_file()} - {"."}
    assert folders == set(FOLDERS.values())


def test_every_recorded_file_is_imported_once_or_ignored_with_a_reason(recorded_dir: Path) -> None:
    imported: list[Path] = []
    for name, folder in FOLDERS.items():
        mapping = load_mapping(MAPPINGS / f"{name}.toml")
        imported += [match.path for match in match_files(mapping, recorded_dir / folder)]
        assert all(len(ignored.because) > 20 for ignored in mapping.ignore)
    assert len(imported) == len(set(imported))
    everything = {path for folder in set(FOLDERS.values()) for path in (recorded_dir / folder).rglob("*")}
    assert {path.name for path in everything - set(imported)} == {
        "orderbook_depth.parquet",
        "liquidations.parquet",
        "liq_aave_v2.csv",
        "liq_aave_v3.csv",
    }


@pytest.mark.parametrize("name", FOLDERS)
def test_every_row_of_every_file_is_parsed(load: Load, name: str) -> None:
    dataset = load(name)
    assert {table: rows.height for table, rows in dataset.items() if table != "rejects"} == ROWS[name]
    assert dataset["rejects"].height == REJECTED.get(name, 0)


@pytest.mark.parametrize("name", FOLDERS)
def test_all_rows_satisfy_the_contract_and_keys_are_unique(load: Load, contract: Contract, name: str) -> None:
    con = duckdb.connect(":memory:")
    try:
        apply_ddl(con, contract)
        for table_name, rows in load(name).items():
            if table_name == "rejects":
                continue
            table = contract.table(table_name)
            columns = [column for column in table.polars_schema() if column in rows.columns]
            assert {column: rows.schema[column] for column in columns} == {
                column: table.polars_schema()[column] for column in columns
            }
            con.register("parsed", rows.select(columns))
            day = f"cast({table.day_column} as date)"
            con.execute(
                f"insert into {table.qualified} ({', '.join(columns)}, trade_date, source, landing_id, loaded_at) "
                f"select {', '.join(columns)}, {day}, 's', 'l', timestamp '2026-01-01' from parsed"
            )
            key = ", ".join(table.key)
            duplicates = con.execute(
                f"select count(*) from (select {key} from {table.qualified} group by {key} having count(*) > 1)"
            ).fetchall()
            # An instrument appears once per file; the loader drops duplicates.
            assert duplicates == [(0,)] or table_name == "instruments"
            values = ", ".join(name for name in (*table.key, *table.value_columns))
            conflicts = con.execute(
                f"select count(*) from (select {key} from (select distinct {values} from {table.qualified}) "
                f"group by {key} having count(*) > 1)"
            ).fetchall()
            assert conflicts == [(0,)]
    finally:
        con.close()


@pytest.mark.parametrize("name", FOLDERS)
def test_no_row_is_available_before_its_event(load: Load, contract: Contract, name: str) -> None:
    for table_name, rows in load(name).items():
        if table_name in {"rejects", "instruments"}:
            continue
        day_column = contract.table(table_name).day_column
        assert day_column is not None
        assert rows.select((pl.col("available_at") >= pl.col(day_column)).all()).item()


# Binance daily


@pytest.mark.parametrize("table", ["candles", "open_interest", "funding_rates", "long_short_ratios"])
def test_all_119_perpetuals_have_data_on_every_day(load: Load, table: str) -> None:
    label = {
        "candles": "opened_at",
        "open_interest": "event_at",
        "funding_rates": "settled_at",
        "long_short_ratios": "event_at",
    }
    shift = timedelta(days=1) if table == "open_interest" else timedelta()
    days = load("binance_daily_2022_2023")[table].select(
        "instrument", (pl.col(label[table]) - shift).dt.date().alias("day")
    )
    window = days.filter(pl.col("day").is_between(date(2022, 1, 2), date(2023, 12, 2)))
    per_day = window.group_by("day").agg(pl.col("instrument").n_unique())
    assert per_day.height == 700
    assert per_day["instrument"].unique().to_list() == [119]
    assert "AVAXUSDT" in window["instrument"].unique().to_list()


def test_66_perpetuals_have_liquidations_in_base_units_on_every_day(load: Load) -> None:
    rows = load("binance_daily_2022_2023")["liquidation_totals"]
    per_day = rows.group_by("event_at").agg(pl.col("instrument").n_unique())
    assert (per_day.height, per_day["instrument"].unique().to_list()) == (700, [66])
    assert rows["completeness"].unique().to_list() == ["throttled"]
    assert rows.filter((pl.col("long_base") == 0) | (pl.col("short_base") == 0)).height > 2000  # zeros are real
    # Base units: the peak, in the FTX collapse, would exceed the bound by far if it were in dollars.
    btc = only(rows, instrument="BTCUSDT")
    assert btc["long_base"].max() < 20_000  # type: ignore[operator]


def test_the_bitcoin_close_of_the_ftx_crash(load: Load) -> None:
    rows = load("binance_daily_2022_2023")["candles"]
    assert only(rows, instrument="BTCUSDT", opened_at=at(2022, 11, 9))["close"].to_list() == [15_905.0]


def test_older_closes_match_the_newer_data_set_on_every_common_day(load: Load) -> None:
    older = load("older_btc_closes")["candles"]
    newer = only(load("binance_daily_2022_2023")["candles"], instrument="BTCUSDT")
    both = older.join(newer, on="opened_at", suffix="_newer")
    assert both.height == 702
    assert both.select((pl.col("close") == pl.col("close_newer")).all()).item()


def test_the_partial_day_is_rejected_with_the_reason(load: Load) -> None:
    rejects = load("binance_daily_2022_2023")["rejects"]
    assert rejects["reason"].unique().to_list() == ["sentinel"]
    assert rejects["trade_date"].unique().to_list() == [date(2023, 12, 5)]
    assert rejects["detail"].str.starts_with("partial day").all()


@pytest.mark.parametrize("instrument", ["BTCUSDT", "ETHUSDT"])
def test_daily_funding_is_the_settlement_at_16_utc(load: Load, instrument: str) -> None:
    vendor = only(load("binance_daily_2022_2023")["funding_rates"], instrument=instrument)
    venue = only(load("binance_hyperliquid_funding")["funding_rates"], venue="binance", instrument=instrument)
    both = vendor.join(venue, on="settled_at", suffix="_venue")
    assert both.height == 703
    assert both.select(((pl.col("rate") - pl.col("rate_venue")).abs() < 1e-10).all()).item()


def test_six_perpetuals_settle_every_four_hours_from_12_october_2023(load: Load) -> None:
    four = only(load("binance_daily_2022_2023")["funding_rates"], interval_hours=4.0)
    assert set(four["instrument"]) == {"BLZUSDT", "FLMUSDT", "LPTUSDT", "STMXUSDT", "TRBUSDT", "UNFIUSDT"}
    assert four["settled_at"].min() == at(2023, 10, 12, 16)
    assert four.height == 6 * 55


def test_multipliers_are_parsed_and_a_digit_in_a_name_is_not_one(load: Load) -> None:
    instruments = load("binance_daily_2022_2023")["instruments"].unique(["instrument"])
    scaled = instruments.filter(pl.col("multiplier") != 1).select("instrument", "asset", "multiplier")
    assert sorted(scaled.rows()) == [("1000SHIBUSDT", "SHIB", 1000.0), ("1000XECUSDT", "XEC", 1000.0)]
    assert only(instruments, instrument="1INCHUSDT")["asset"].to_list() == ["1INCH"]


# Funding as returned by the venues


def test_jitter_is_rounded_and_every_binance_interval_is_8_hours(load: Load) -> None:
    rows = load("binance_hyperliquid_funding")["funding_rates"]
    gaps = only(rows, venue="binance").sort("settled_at").select(pl.col("settled_at").diff().over("instrument"))
    assert gaps.drop_nulls().unique().to_series().to_list() == [timedelta(hours=8)]
    hourly = only(rows, venue="hyperliquid")
    assert hourly.select((pl.col("settled_at").dt.truncate("1h") == pl.col("settled_at")).all()).item()


def test_every_hyperliquid_gap_is_declared(load: Load) -> None:
    rules = load_mapping(MAPPINGS / "binance_hyperliquid_funding.toml").rules
    for coin in ("BTC", "ETH"):
        rows = only(load("binance_hyperliquid_funding")["funding_rates"], venue="hyperliquid", instrument=coin)
        per_day = rows.group_by(pl.col("settled_at").dt.date().alias("day")).len()
        full = set(per_day.filter(pl.col("len") == 24)["day"])
        first, last = date(2024, 1, 1), date(2025, 12, 28)
        days = {first + timedelta(days=n) for n in range((last - first).days + 1)}
        declared = {
            gap.first_day + timedelta(days=n)
            for gap in rules.gaps
            if gap.instrument == coin
            for n in range((gap.last_day - gap.first_day).days + 1)
        }
        assert days - full == declared
        assert sum(gap.instrument == coin and "paging bug" in gap.reason for gap in rules.gaps) == 24


# Three venues, 8 hours


@pytest.mark.parametrize(("market", "instrument"), [("spot", "BTC/USDT"), ("perp", "BTCUSDT"), ("perp", "BTCUSD_PERP")])
def test_london_time_and_coin_margined_volume_match_the_binance_archive(
    load: Load, market: str, instrument: str
) -> None:
    hourly = only(load("binance_vision_klines_golden")["candles"], market=market, instrument=instrument).sort(
        "opened_at"
    )
    eight = hourly.group_by_dynamic("opened_at", every="8h").agg(
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume_base").sum(),
    )
    candles = only(load("three_venue_8h_2023_2024")["candles"], venue="binance", market=market, instrument=instrument)
    both = eight.join(candles, on="opened_at", suffix="_file")
    assert both.height == 21
    for column in ("open", "high", "low", "close", "volume_base"):
        assert both.select(close_to(column, f"{column}_file")).item(), column


@pytest.mark.parametrize("instrument", ["BTCUSDT", "ETHUSDT"])
def test_the_funding_of_a_candle_is_the_settlement_at_its_open_in_summer_and_winter(
    load: Load, instrument: str
) -> None:
    file = only(load("three_venue_8h_2023_2024")["funding_rates"], venue="binance", instrument=instrument)
    venue = only(load("binance_hyperliquid_funding")["funding_rates"], venue="binance", instrument=instrument)
    both = file.join(venue, on="settled_at", suffix="_venue")
    assert both.height == 1642
    assert both.select(((pl.col("rate") - pl.col("rate_venue")).abs() < 1e-10).all()).item()


def test_18_months_of_8_hour_candles_are_complete_across_clock_changes(load: Load) -> None:
    candles = load("three_venue_8h_2023_2024")["candles"]
    gaps = candles.sort("opened_at").select(pl.col("opened_at").diff().over("venue", "instrument"))
    assert gaps.drop_nulls().unique().to_series().to_list() == [timedelta(hours=8)]
    assert candles["opened_at"].min() == at(2023, 1, 1)
    assert candles["opened_at"].max() == at(2024, 7, 1)


def test_coin_margined_contracts_are_inverse_with_a_size_in_dollars(load: Load) -> None:
    inverse = only(load("three_venue_8h_2023_2024")["instruments"], contract_type="inverse")
    assert sorted(inverse.select("venue", "instrument", "contract_size", "contract_size_unit").rows()) == [
        ("binance", "BTCUSD_PERP", 100.0, "usd"),
        ("binance", "ETHUSD_PERP", 10.0, "usd"),
        ("bybit", "BTCUSD", 1.0, "usd"),
        ("bybit", "ETHUSD", 1.0, "usd"),
        ("okx", "BTC-USD-SWAP", 100.0, "usd"),
        ("okx", "ETH-USD-SWAP", 10.0, "usd"),
    ]


# Seven venues, hourly


def test_okx_contracts_are_converted_to_base_units(load: Load) -> None:
    dataset = load("seven_venue_hourly_2025_2026")
    assets = dataset["instruments"].select("venue", "instrument", "asset").unique()
    volume = dataset["candles"].join(assets, on=["venue", "instrument"])
    both = only(volume, venue="okx").join(only(volume, venue="binance"), on=["asset", "opened_at"], suffix="_binance")
    shares = both.group_by("asset").agg((pl.col("volume_base") / pl.col("volume_base_binance")).median().alias("share"))
    assert shares.height == 5
    assert shares.select(pl.col("share").is_between(0.3, 1.0).all()).item(), shares.rows()


def test_kraken_funding_is_hourly_and_its_extreme_is_the_hourly_cap(load: Load) -> None:
    kraken = only(load("seven_venue_hourly_2025_2026")["funding_rates"], venue="kraken")
    assert kraken["rate"].abs().max() == pytest.approx(0.0025, abs=1e-9)
    assert kraken["interval_hours"].unique().to_list() == [1.0]


def test_dydx_funding_is_hourly_and_its_step_is_an_eighth_of_the_chains(load: Load) -> None:
    dydx = only(load("seven_venue_hourly_2025_2026")["funding_rates"], venue="dydx")
    eighths = dydx["rate"] / 1.25e-7
    assert ((eighths - eighths.round()).abs() < 1e-6).all()
    whole = dydx["rate"] / 1e-6
    assert ((whole - whole.round()).abs() < 1e-6).mean() < 0.5  # type: ignore[operator]


def test_8_hour_rates_of_all_venues_are_of_the_same_magnitude(load: Load) -> None:
    dataset = load("seven_venue_hourly_2025_2026")
    assets = dataset["instruments"].select("venue", "instrument", "asset").unique()
    rates = dataset["funding_rates"].join(assets, on=["venue", "instrument"]).filter(pl.col("asset") == "BTC")
    spread = rates.group_by("venue").agg(
        (pl.col("rate").abs() * 8 / pl.col("interval_hours")).median().alias("rate_8h")
    )
    assert spread.select(pl.col("rate_8h").is_between(1e-5, 2e-4).all()).item(), spread.rows()


def test_binance_funding_matches_the_settlements_of_the_other_data_set(load: Load) -> None:
    hourly = only(load("seven_venue_hourly_2025_2026")["funding_rates"], venue="binance")
    venue = only(load("binance_hyperliquid_funding")["funding_rates"], venue="binance")
    both = hourly.join(venue, on=["instrument", "settled_at"], suffix="_venue")
    assert both.height == 2 * 889
    assert both.select(((pl.col("rate") - pl.col("rate_venue")).abs() < 1e-12).all()).item()


def test_the_observed_interval_of_every_settled_series_is_the_stated_one(load: Load) -> None:
    settled = only(load("seven_venue_hourly_2025_2026")["funding_rates"], kind="settled").sort("settled_at")
    gaps = (
        settled.with_columns(
            (pl.col("settled_at").diff().over("venue", "instrument").dt.total_minutes() / 60).alias("gap")
        )
        .group_by("venue", "instrument")
        .agg(pl.col("gap").mode().first(), pl.col("interval_hours").unique())
    )
    assert gaps.select((pl.col("gap") == pl.col("interval_hours").list.first()).all()).item()
    assert gaps.select((pl.col("interval_hours").list.len() == 1).all()).item()


@pytest.mark.parametrize("coin", ["BTC", "ETH"])
def test_archived_hyperliquid_rates_predict_the_settlement_at_their_time(load: Load, coin: str) -> None:
    archive = only(load("seven_venue_hourly_2025_2026")["funding_rates"], venue="hyperliquid", instrument=coin)
    assert archive["kind"].unique().to_list() == ["predicted"]
    venue = only(load("binance_hyperliquid_funding")["funding_rates"], venue="hyperliquid", instrument=coin)
    moving = venue.filter((pl.col("rate") - 1.25e-5).abs() > 1e-9)

    def correlation(hours: int) -> float:
        shifted = archive.with_columns(pl.col("settled_at") + timedelta(hours=hours))
        both = shifted.join(moving, on="settled_at", suffix="_venue")
        return float(both.select(pl.corr("rate", "rate_venue")).item())

    assert correlation(0) > 0.95
    assert correlation(0) > max(correlation(-1), correlation(1)) + 0.05


def test_open_interest_is_in_dollars_and_one_sided(load: Load) -> None:
    rows = load("seven_venue_hourly_2025_2026")["open_interest"]
    bybit = only(rows, venue="bybit")
    assert bybit.select((pl.col("oi_usd") * 2 == pl.col("oi_raw")).all()).item()
    assert bybit["counting"].unique().to_list() == ["halved"]
    snapshots = only(rows, period="snapshot")
    assert set(snapshots["venue"]) == {"binance", "bybit", "okx", "kraken", "dydx"}
    assert snapshots.height == 25
    assert set(only(rows, period="1h")["venue"]) == {"hyperliquid", "lighter"}


# Archive klines, options, captured liquidations


def test_a_coin_margined_contract_is_100_dollars(load: Load) -> None:
    rows = only(load("binance_vision_klines_golden")["candles"], instrument="BTCUSD_PERP")
    implied = rows.select((pl.col("volume_quote") / pl.col("volume_base")).alias("price"), "low", "high")
    assert implied.select(pl.col("price").is_between("low", "high").all()).item()
    assert only(rows, opened_at=at(2024, 1, 1))["volume_quote"].to_list() == [50_193_600.0]


def test_option_chains_are_complete_and_volatility_is_a_fraction(load: Load) -> None:
    rows = load("deribit_option_snapshots")["option_chain"]
    per_day = rows.group_by(pl.col("snapshot_at").dt.date()).len().sort("snapshot_at")["len"].to_list()
    assert (len(per_day), min(per_day), max(per_day)) == (14, 1240, 1338)
    assert rows["snapshot_at"].n_unique() == 14
    assert 0.3 < rows["mark_iv"].median() < 0.9  # type: ignore[operator]
    assert rows["option_type"].value_counts()["count"].to_list() == [9151, 9151]
    in_name = rows.select(pl.col("instrument").str.extract(r"-(\d+)-[CP]$").cast(pl.Float64).alias("named"), "strike")
    assert in_name.select((pl.col("named") == pl.col("strike")).all()).item()
    assert rows.group_by("snapshot_at", "underlying").agg(pl.col("index_price").n_unique())["index_price"].max() > 1  # type: ignore[operator]


def test_option_prices_are_in_coin(load: Load) -> None:
    rows = load("deribit_option_snapshots")["option_chain"]
    # Put-call parity in coin: C - P = 1 - K/F.
    key = ["snapshot_at", "underlying", "expiry_date", "strike"]
    calls, puts = only(rows, option_type="call"), only(rows, option_type="put")
    both = calls.join(puts, on=key, suffix="_put")
    gap = both.select(
        (
            pl.col("mark_price_base")
            - pl.col("mark_price_base_put")
            - (1 - pl.col("strike") / pl.col("underlying_price"))
        ).abs()
    ).to_series()
    assert both.height == 9151
    assert gap.median() < 0.001  # type: ignore[operator]


def test_every_captured_side_is_decoded_as_recorded(load: Load, recorded_dir: Path) -> None:
    recorded = pl.read_csv(recorded_dir / FOLDERS["liquidation_capture_2026_04"] / "eth_liquidations.csv")
    rows = load("liquidation_capture_2026_04")["liquidations"].sort("_line")
    assert rows.height == 18
    by_line = recorded.with_row_index("_line", offset=2).with_columns(pl.col("_line").cast(pl.Int64))
    both = rows.join(by_line, on="_line", suffix="_recorded")
    assert both["side"].to_list() == both["side_recorded"].to_list()
    kinds = set(zip(recorded["exchange"], recorded["raw_side"], strict=True))
    assert kinds == {("binance", "BUY"), ("binance", "SELL"), ("bybit", "Buy"), ("bybit", "Sell"), ("okx", "long:sell")}
    assert rows["liquidation_id"].n_unique() == 18


def test_an_okx_contract_is_a_tenth_of_an_ether(load: Load) -> None:
    [row] = only(load("liquidation_capture_2026_04")["liquidations"], venue="okx").to_dicts()
    assert row["quantity_base"] == pytest.approx(0.001)
    assert row["notional_usd"] == pytest.approx(2.05829, rel=1e-3)
    assert row["instrument"] == "ETH-USDT-SWAP"
