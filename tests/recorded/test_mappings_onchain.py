"""The recorded on-chain files parsed with their mappings: decoding, amounts, prices, declared gaps."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines.sources.files.source import load_mapping
from tests.recorded.recorded_fixture import FOLDERS, MAPPINGS, Load, at, only


def test_raw_aave_logs_decode_to_exactly_the_decoded_rows(load: Load, recorded_dir: Path) -> None:
    folder = recorded_dir / FOLDERS["aave_ethereum"]
    decoded = pl.concat(
        [
            pl.read_csv(folder / f"liq_aave_{version}.csv", infer_schema=False).with_columns(
                pl.lit(f"aave_{version}").alias("protocol")
            )
            for version in ("v2", "v3")
        ]
    ).select(
        "protocol",
        tx_hash="evt_tx_hash",
        log_index=pl.col("evt_index").cast(pl.Int64),
        occurred_at=pl.col("evt_block_time").str.strip_suffix(" UTC").str.to_datetime(time_unit="us"),
        block_number=pl.col("evt_block_number").cast(pl.Float64).cast(pl.Int64),
        market="contract_address",
        collateral_token="collateralAsset",
        debt_token="debtAsset",
        debt_amount_raw="debtToCover",
        collateral_amount_raw="liquidatedCollateralAmount",
        liquidator="liquidator",
        borrower="user",
    )
    parsed = load("aave_ethereum")["lending_liquidations"].select(decoded.columns)
    order = ["tx_hash", "log_index"]
    assert decoded.height == 1144
    assert parsed.sort(order).equals(decoded.sort(order))


def test_aave_v2_is_a_sample_and_v3_complete(load: Load) -> None:
    rows = load("aave_ethereum")["lending_liquidations"]
    stated = rows.group_by("protocol").agg(pl.col("completeness").unique().first(), pl.len()).sort("protocol")
    assert stated.rows() == [("aave_v2", "sampled", 1000), ("aave_v3", "full", 144)]


def test_bitcoin_collateral_matches_the_raw_logs_where_both_have_it(load: Load) -> None:
    wbtc = "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599"
    logs = only(load("aave_ethereum")["lending_liquidations"], collateral_token=wbtc).with_columns(
        (pl.col("collateral_amount_raw").cast(pl.Float64) / 1e8).alias("amount")
    )
    tokens = load("aave_btc_collateral")["lending_liquidations"].rename({"collateral_amount": "amount_tokens"})
    both = logs.join(tokens, on=["protocol", "occurred_at", "borrower"], suffix="_tokens")
    same = both.filter((pl.col("amount") - pl.col("amount_tokens")).abs() < 1e-8)
    assert same.group_by("protocol").len().sort("protocol").rows() == [("aave_v2", 99), ("aave_v3", 22)]
    assert logs.group_by("protocol").len().sort("protocol").rows() == [("aave_v2", 100), ("aave_v3", 22)]


def test_bitcoin_collateral_is_loaded_once_and_its_subset_is_ignored(load: Load, recorded_dir: Path) -> None:
    rows = load("aave_btc_collateral")["lending_liquidations"]
    assert rows["event_id"].n_unique() == 6269
    assert set(rows["collateral_token"]) == {"wbtc", "cbbtc"}
    assert rows.filter(pl.col("collateral_amount") == 0).height == 1
    subset = pl.read_parquet(recorded_dir / FOLDERS["aave_btc_collateral"] / "liquidations.parquet").select(
        occurred_at=pl.from_epoch("timestamp").cast(pl.Datetime("us")),
        borrower="liquidatee",
        amount="collateral_amount_wbtc",
    )
    found = subset.unique().join(
        rows, left_on=["occurred_at", "borrower"], right_on=["occurred_at", "borrower"], how="semi"
    )
    assert found.height >= 0.99 * subset.unique().height


def test_bitcoin_collateral_is_priced_at_event_time(load: Load) -> None:
    rows = load("aave_btc_collateral")["lending_liquidations"].filter(pl.col("collateral_amount") > 0.001)
    closes = only(load("binance_daily_2022_2023")["candles"], instrument="BTCUSDT").select("opened_at", "close")
    implied = rows.select(
        (pl.col("collateral_usd") / pl.col("collateral_amount")).alias("price"),
        pl.col("occurred_at").dt.truncate("1d").alias("opened_at"),
    ).join(closes, on="opened_at")
    assert implied.height > 1000
    assert implied.select((pl.col("price") / pl.col("close") - 1).abs().median()).item() < 0.05


def test_liquity_addresses_are_extracted_from_html_and_dollars_use_the_event_price(load: Load) -> None:
    rows = load("liquity_v1")["lending_liquidations"]
    assert rows["borrower"].str.contains("^0x[0-9a-f]{40}$").all()
    assert rows["tx_hash"].str.contains("^0x[0-9a-f]{64}$").all()
    assert (rows["tx_hash"].n_unique(), rows["event_id"].n_unique()) == (288, 870)
    first = only(rows, occurred_at=at(2023, 7, 26, 9, 55, 35))
    assert first["collateral_usd"].to_list() == pytest.approx([4.6 * 1849.7848999999999])
    ratio = rows.select((pl.col("collateral_usd") / pl.col("debt_amount")).alias("ratio"))
    assert ratio.select(pl.col("ratio").is_between(0.5, 1.6).mean()).item() > 0.99


def test_the_ether_price_is_taken_at_midnight(load: Load) -> None:
    prices = load("liquity_v1")["token_prices"]
    closes = only(load("binance_daily_2022_2023")["candles"], instrument="ETHUSDT")

    def distance(days: int) -> float:
        moved = closes.select((pl.col("opened_at") + timedelta(days=days)).alias("priced_at"), "close")
        both = prices.join(moved, on="priced_at")
        return float(both.select((pl.col("price_usd") / pl.col("close") - 1).abs().median()).item())

    assert distance(1) < 0.002  # The price at 00:00 is the close of the previous day.
    assert distance(1) < min(distance(0), distance(2)) / 5
    off_midnight = (
        prices.filter(pl.col("priced_at") != pl.col("priced_at").dt.truncate("1d"))["priced_at"].sort().to_list()
    )
    assert off_midnight == [at(2018, 1, 30, 0, 5, 11), at(2018, 2, 8, 0, 5, 23)]


def test_hyperliquid_days_are_complete_except_the_declared_gaps(load: Load) -> None:
    rows = load("hyperliquid_daily")["liquidation_totals"]
    first, last = date(2023, 6, 13), date(2025, 5, 2)
    days = {first + timedelta(days=n) for n in range((last - first).days + 1)}
    missing = days - set(rows["event_at"].dt.date())
    rules = load_mapping(MAPPINGS / "hyperliquid_daily.toml").rules
    declared = {
        gap.first_day + timedelta(days=n) for gap in rules.gaps for n in range((gap.last_day - gap.first_day).days + 1)
    }
    assert len(missing) == 22
    assert declared == missing | {first}
    assert only(rows, event_at=at(2023, 6, 13)).height == 1
    assert [(span.first_day, span.last_day) for span in rules.spans] == [(date(2023, 6, 14), last)]


def test_hyperliquid_k_prefixes_are_multipliers(load: Load) -> None:
    scaled = load("hyperliquid_daily")["instruments"].filter(pl.col("multiplier") != 1)
    assert {asset for (asset,) in scaled.select("asset").rows()} == {
        "BONK", "DOGS", "FLOKI", "LUNC", "NEIRO", "PEPE", "SHIB",
    }  # fmt: skip
    assert scaled["multiplier"].unique().to_list() == [1000.0]
