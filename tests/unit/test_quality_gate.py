"""The gate on real batches with real Great Expectations: for every check a valid batch and one that must fail.

All tests are in one file, because importing Great Expectations takes seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.contract.ddl import Contract, apply_ddl, load_contract
from pipelines.core.errors import ContractError
from pipelines.quality import gate, measures
from pipelines.quality.batch import CheckResult, GateInput
from pipelines.quality.gate import GateBrokenError, run_gate
from pipelines.quality.suites import SHAPE, SUITES, Check
from tests.unit import quality_fixture as fixture

SCHEMA_DIR = Path(__file__).resolve().parents[2] / "warehouse" / "schema"

# A change to a valid batch ({rows}), and exactly the checks that then fail.
BROKEN_ROWS: list[tuple[str, str, set[str]]] = [
    ("open_interest", "update {rows} set oi_base = oi_base * 470, oi_raw = oi_raw * 470 where instrument < 'COIN2'",
     {"oi_base_unit_jump", "oi_base_level_shift", "other_sources_agree", "price_against_candles",
      "price_unit_against_candles"}),
    ("open_interest", "update {rows} set oi_usd = oi_usd * 470",
     {"oi_usd_unit_jump", "oi_usd_level_shift", "price_against_candles", "price_unit_against_candles"}),
    ("open_interest", "update {rows} set oi_usd = oi_usd / 20", {"oi_usd_level_shift", "price_against_candles"}),
    ("open_interest", ("update {rows} set oi_base = oi_base * 15, oi_raw = oi_raw * 15, oi_usd = oi_usd * 15 "
     "where trade_date = '2024-03-02'"), {"oi_base_day_jump"}),
    ("open_interest", "update {rows} set oi_raw = oi_raw * 2 where instrument = 'COIN0USDT'",
     {"normalized_matches_raw"}),
    ("open_interest", "update {rows} set oi_base = 0, oi_usd = 0, oi_raw = 0 where event_at = '2024-03-01 05:00'",
     {"no_all_zero_stamps", "all_zero_at_an_end", "zeros_are_rare"}),
    ("open_interest", ("update {rows} set oi_base = 0, oi_usd = 0, oi_raw = 0 where event_at = '2024-03-01 05:00' "
     "and instrument = 'COIN1USDT'"), {"zeros_are_rare"}),
    ("open_interest", "update {rows} set oi_base = 1000, oi_raw = 1000, oi_usd = 100500 where instrument = 'COIN0USDT'",
     {"values_move", "other_sources_agree"}),
    ("open_interest", ("update {rows} set event_at = event_at + interval '3' minute, available_at = event_at + "
     "interval '9' minute where instrument = 'COIN0USDT' and hour(event_at) = 5"), {"stamps_on_grid"}),
    ("open_interest", ("update {rows} set event_at = event_at + interval '30' minute, available_at = event_at + "
     "interval '1' hour where trade_date = '2024-03-02' and hour(event_at) between 1 and 20"),
     {"stamps_on_grid", "stamps_in_phase"}),
    ("open_interest", "update {rows} set trade_date = trade_date + 1 where event_at = '2024-03-02 00:00'",
     {"trade_date_follows_clock"}),
    ("open_interest", "update {rows} set available_at = event_at - interval '1' hour where instrument = 'COIN0USDT'",
     {"known_after_it_happened"}),
    ("open_interest", ("update {rows} set event_at = '1970-01-20 18:00', trade_date = '1970-01-20' "
     "where event_at = '2024-03-02 00:00' and instrument = 'COIN0USDT'"), {"stamps_after_genesis"}),
    ("open_interest", ("update {rows} set event_at = '2026-01-20 18:00', trade_date = '2026-01-20', "
     "available_at = '2026-01-20 18:00' where event_at = '2024-03-02 00:00' and instrument = 'COIN0USDT'"),
     {"stamps_not_ahead"}),
    ("open_interest", "insert into {rows} select * from {rows} where instrument = 'COIN0USDT' and hour(event_at) = 5",
     {"keys_unique"}),
    ("open_interest", "update {rows} set source = 'files.stray' where instrument = 'COIN0USDT' and hour(event_at) = 5",
     {"one_source"}),
    ("open_interest", "update {rows} set oi_usd = null", {"null_share_steady"}),
    ("open_interest", "alter table {rows} drop column counting", {"columns_present"}),
    ("open_interest", "alter table {rows} add column oi_value double", {"columns_known"}),
    ("open_interest", "alter table {rows} alter column oi_raw type varchar", {"column_types"}),
    ("candles", ("update {rows} set close = close * 1000, open = open * 1000, high = high * 1000, low = low * 1000, "
     "volume_quote = volume_quote * 1000"), {"close_unit_jump", "close_level_shift", "other_sources_agree"}),
    ("candles", ("update {rows} set close = close * 5, open = open * 5, high = high * 5, low = low * 5, "
     "volume_quote = volume_quote * 5 where trade_date = '2024-03-02'"), {"close_day_jump"}),
    ("candles", "update {rows} set volume_base = volume_base * 100, taker_buy_base = taker_buy_base * 100",
     {"volume_unit", "volume_near_close", "volume_base_unit_jump", "volume_base_level_shift"}),
    ("candles", "update {rows} set taker_buy_base = volume_base * 2", {"taker_within_volume"}),
    ("candles", "update {rows} set high = close * 11 where instrument = 'COIN1USDT' and hour(opened_at) = 3",
     {"candle_range"}),
    ("funding_rates", "update {rows} set rate = rate * 100",
     {"rate_unit_jump", "rate_magnitude", "rate_at_its_cap", "other_sources_agree"}),
    ("funding_rates", "update {rows} set rate = 0.04 where instrument = 'COIN0USDT' and hour(settled_at) = 3",
     {"rate_plausible"}),
    ("funding_rates", "update {rows} set interval_hours = 28800 where instrument = 'COIN0USDT'",
     {"interval_known", "interval_matches_gaps"}),
    ("funding_rates", "update {rows} set interval_hours = 8 where instrument = 'COIN0USDT'", {"interval_matches_gaps"}),
    ("funding_rates", ("insert into {rows} select r.* replace (0.0 as rate, 'X' || x.i as instrument) "
     "from {rows} as r, range(12) as x(i) where r.instrument = 'COIN0USDT' and settled_at = '2024-03-01 05:00'; "
     "delete from {rows} where instrument like 'COIN%' and settled_at = '2024-03-01 05:00'"), {"no_all_zero_stamps"}),
    ("funding_rates", "update {rows} set mark_price = mark_price * 60",
     {"price_against_candles", "price_unit_against_candles"}),
    ("long_short_ratios", "update {rows} set long_share = 1 - long_share",
     {"share_matches_ratio", "odds_side_swap", "other_sources_agree"}),
    ("long_short_ratios", "update {rows} set long_share = 1 - long_share, ratio = 1 / ratio",
     {"odds_side_swap", "other_sources_agree"}),
    ("long_short_ratios", ("update {rows} set long_share = 0.985 + long_share / 1000, ratio = null "
     "where instrument = 'COIN0USDT'"), {"share_plausible", "other_sources_agree"}),
    ("long_short_ratios", "update {rows} set long_share = 0.5, ratio = 1 where event_at = '2024-03-01 05:00'",
     {"no_flat_stamps"}),
    ("liquidations", "update {rows} set quantity_base = quantity_base * 100",
     {"notional_unit", "notional_near_value", "quantity_base_unit_jump"}),
    ("liquidations", ("update {rows} set notional_usd = 2e9 where hour(occurred_at) = 3 and trade_date = '2024-03-01' "
     "and instrument = 'COIN1USDT'"), {"largest_event"}),
    ("liquidations", "update {rows} set side = 'long'", {"both_sides_present"}),
    ("liquidations", ("insert into {rows} select * replace (liquidation_id || 'x' as liquidation_id) from {rows} "
     "where hour(occurred_at) < 3"), {"events_not_repeated"}),
    ("liquidations", "update {rows} set price = price * 60, notional_usd = notional_usd * 60",
     {"price_against_candles", "price_unit_against_candles"}),
    ("liquidation_totals", "update {rows} set long_usd = long_usd * 2", {"sides_within_total"}),
    ("liquidation_totals", "update {rows} set long_usd = short_usd, long_base = short_base, total_usd = 2 * short_usd",
     {"sides_differ"}),
    ("liquidation_totals", ("update {rows} set long_usd = long_usd * 80, short_usd = short_usd * 80, "
     "total_usd = total_usd * 80"),
     {"price_against_candles", "price_unit_against_candles", "other_sources_agree"}),
    ("liquidation_totals", "update {rows} set long_base = long_base * 1e5, short_base = short_base * 1e5",
     {"liquidated_within_oi", "liquidated_share_of_oi", "liquidated_unit_against_oi", "price_against_candles",
      "price_unit_against_candles"}),
    ("lending_liquidations", "update {rows} set collateral_usd = collateral_usd * 1000",
     {"collateral_covers_debt", "collateral_unit", "collateral_price_unit_jump", "other_sources_agree"}),
    ("lending_liquidations", ("update {rows} set collateral_usd = 2e9 where hour(occurred_at) = 3 "
     "and event_id like '%0'"), {"largest_event"}),
    ("lending_liquidations", "update {rows} set collateral_token = upper(collateral_token)",
     {"tokens_spelled", "odd_tokens"}),
    ("lending_liquidations", "update {rows} set block_number = 3000000 - block_number", {"blocks_in_order"}),
    ("lending_bad_debt", "update {rows} set debt_usd = 2e9 where hour(occurred_at) = 3 and event_id like '%0'",
     {"largest_event"}),
    ("lending_bad_debt", "update {rows} set debt_token = upper(debt_token)", {"tokens_spelled", "odd_tokens"}),
    ("option_chain", "update {rows} set oi_base = oi_base * 100",
     {"oi_base_unit_jump", "oi_base_level_shift"}),
    ("option_chain", "update {rows} set mark_iv = mark_iv / 100", {"iv_is_fraction"}),
    ("option_chain", "update {rows} set delta = -delta", {"delta_sign"}),
    ("option_chain", "update {rows} set mark_price_base = 3000", {"call_price_in_coin"}),
    ("option_chain", "update {rows} set underlying_price = 3000", {"forward_near_index"}),
    ("option_chain", ("update {rows} set oi_base = 0 where snapshot_at = '2024-03-02 08:00' "
     "and underlying = 'BTC'"), {"no_all_zero_stamps", "all_zero_at_an_end"}),
    ("option_chain", "delete from {rows} where strike > 55000 and snapshot_at = '2024-03-02 08:00'", {"chain_size"}),
    ("option_chain", "update {rows} set option_type = 'call', delta = 0.5", {"both_option_types"}),
    ("option_chain", "update {rows} set index_price = index_price * 1.2 where strike = 55000",
     {"one_index_per_snapshot"}),
    ("volatility_index", "update {rows} set open = open * 100, high = high * 100, low = low * 100, close = close * 100",
     {"index_is_fraction", "other_sources_agree"}),
    ("volatility_index", ("update {rows} set open = open * 4, high = high * 4, low = low * 4, close = close * 4 "
     "where trade_date = '2024-03-02'"), {"close_day_jump"}),
    ("token_prices", "update {rows} set price_usd = price_usd * 1e6",
     {"price_usd_unit_jump", "price_usd_level_shift", "other_sources_agree"}),
    ("token_prices", "update {rows} set price_usd = price_usd * 4 where trade_date = '2024-03-02'",
     {"price_usd_day_jump"}),
    ("token_prices", "update {rows} set decimals = 6 where hour(priced_at) = 3", {"one_decimals_per_token"}),
    ("token_prices", "update {rows} set token = upper(token)", {"tokens_spelled", "odd_tokens"}),
    ("tokens", "update {rows} set decimals = 6 where hour(named_at) = 3", {"one_decimals_per_token"}),
    ("tokens", "update {rows} set token = upper(token)", {"tokens_spelled", "odd_tokens"}),
    ("risk_tiers", "update {rows} set max_leverage = max_leverage * 100",
     {"max_leverage_unit_jump", "initial_follows_leverage"}),
    ("risk_tiers", "update {rows} set upper_bound = upper_bound / 1000", {"upper_bound_unit_jump"}),
    ("risk_tiers", "update {rows} set maintenance_margin_rate = initial_margin_rate * 2", {"maintenance_below_initial"}),
    ("risk_tiers", "delete from {rows} where tier = 1 and instrument = 'COIN1USDT'", {"tiers_from_zero"}),
    ("risk_tiers", "update {rows} set tier = 13 - tier where instrument = 'COIN1USDT'", {"tiers_tighten"}),
    ("instruments", "update {rows} set listed_at = '2025-06-01' where instrument = 'COIN1USD'",
     {"listed_before_delisted"}),
    ("instruments", "update {rows} set contract_size = null where instrument like '%USD'",
     {"inverse_has_size", "every_inverse_has_size", "null_share_steady"}),
    ("instruments", "update {rows} set multiplier = 1", {"multiplier_matches_name"}),
    ("instruments", "update {rows} set asset = 'coin1' where instrument = 'COIN1USD'",
     {"asset_spelled", "asset_steady"}),
    ("instruments", "update {rows} set contract_size = 1 where instrument = 'COIN1USD'", {"contract_size_steady"}),
]  # fmt: skip

# Changed row counts, and exactly the checks that then fail.
BROKEN_COUNTS: list[tuple[dict[str, Any], set[str]]] = [
    ({"received": 433}, {"received_reconciles"}),
    ({"received": 431, "accepted": 431}, {"staged_is_accepted"}),
    ({"received": 440, "quarantined": 8}, {"quarantine_share_notice"}),
    ({"received": 600, "quarantined": 168}, {"quarantine_share", "quarantine_share_notice"}),
    ({"received": 1000, "duplicates": 568}, {"duplicates_share"}),
]

# Checks that all tables share and that use the same code: tested for one table.
SHARED = {check.name for check in SHAPE} | {
    check.name for check in SUITES["open_interest"] if all(check in suite for suite in SUITES.values())
}
CADENCE = {
    "stamps_on_grid",
    "stamps_in_phase",
    "values_move",
    "null_share_steady",
    "keys_unique",
    "other_sources_agree",
    "duplicates_share",
}
STAMPED = {"stamps_after_genesis", "stamps_not_ahead", "known_after_it_happened"}


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(SCHEMA_DIR)


def empty_warehouse(contract: Contract) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'")
    apply_ddl(con, contract)
    return con


@pytest.fixture(scope="module")
def warehouse(contract: Contract) -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse with thirty loaded days before the batch and a second source; tests do not modify it."""
    con = empty_warehouse(contract)
    for table in fixture.ROWS:
        fixture.load_neighbors(con, table)
    yield con
    con.close()


def failures(results: list[CheckResult]) -> set[str]:
    return {result.check_name for result in results if not result.passed}


def named(results: list[CheckResult], name: str) -> CheckResult:
    (found,) = [result for result in results if result.check_name == name]
    return found


def test_valid_batches_of_every_table_pass_every_check(warehouse: duckdb.DuckDBPyConnection) -> None:
    results = run_gate(warehouse, [fixture.stage(warehouse, table) for table in fixture.ROWS])
    assert failures(results) == set()
    assert [(r.table, r.check_name) for r in results] == [
        (table, check.name) for table in fixture.ROWS for check in sorted(SUITES[table], key=_frame_order)
    ]


def test_every_check_has_values_once_neighbors_are_loaded(warehouse: duckdb.DuckDBPyConnection) -> None:
    results = run_gate(warehouse, [fixture.stage(warehouse, table) for table in fixture.ROWS])
    # Units are judged of imported files only: test_units.py.
    stamps = {(t, c.name) for t, suite in SUITES.items() for c in suite if c.frame in ("stamps", "units")}
    without_values = {(r.table, r.check_name) for r in results if not r.observed["judged"]}
    assert without_values - stamps == set()


@pytest.mark.parametrize(("table", "change", "expected"), BROKEN_ROWS, ids=[f"{t}-{min(e)}" for t, _, e in BROKEN_ROWS])
def test_a_broken_batch_fails_exactly_the_expected_checks(
    warehouse: duckdb.DuckDBPyConnection, table: str, change: str, expected: set[str]
) -> None:
    results = run_gate(warehouse, [fixture.stage(warehouse, table, *change.split("; "))])
    assert failures(results) == expected
    for result in results:
        if not result.passed:
            assert result.observed["unexpected"] > 0
            assert 1 <= len(result.sample) <= gate.SAMPLES


@pytest.mark.parametrize(("counts", "expected"), BROKEN_COUNTS, ids=[min(e) for _, e in BROKEN_COUNTS])
def test_wrong_counts_fail_exactly_the_expected_checks(
    warehouse: duckdb.DuckDBPyConnection, counts: dict[str, Any], expected: set[str]
) -> None:
    batch = replace(fixture.stage(warehouse, "open_interest"), **counts)
    assert failures(run_gate(warehouse, [batch])) == expected


def test_rows_that_a_mapping_distrusts_on_purpose_are_no_sign_of_a_misread_format(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    batch = replace(fixture.stage(warehouse, "open_interest"), received=600, quarantined=168, distrusted=165)
    assert failures(run_gate(warehouse, [batch])) == set()


def test_every_check_fails_in_some_test() -> None:
    broken = {(table, name) for table, _, names in BROKEN_ROWS for name in names}
    names = {name for _, name in broken} | {name for _, found in BROKEN_COUNTS for name in found} | {"batch_not_empty"}
    anywhere = SHARED | CADENCE | STAMPED | {"close_level_shift"}
    for table, suite in SUITES.items():
        for check in suite:
            if check.frame == "units":
                continue
            assert check.name in names, f"{table}.{check.name}"
            assert check.name in anywhere or (table, check.name) in broken, f"{table}.{check.name}"


def test_a_batch_that_received_rows_and_accepted_none_is_refused(warehouse: duckdb.DuckDBPyConnection) -> None:
    batch = fixture.stage(warehouse, "open_interest", "delete from {rows}")
    refused = run_gate(warehouse, [replace(batch, received=3, quarantined=3)])
    assert failures(refused) == {"batch_not_empty"}
    assert failures(run_gate(warehouse, [batch])) == set()


def test_three_bad_lines_of_ten_do_not_refuse_the_batch(warehouse: duckdb.DuckDBPyConnection) -> None:
    batch = fixture.stage(
        warehouse, "candles", "delete from {rows} where instrument <> 'COIN0USDT' or hour(opened_at) > 1"
    )
    assert batch.accepted < 7
    assert failures(run_gate(warehouse, [replace(batch, received=batch.accepted + 3, quarantined=3)])) == set()


def test_the_collapse_of_a_single_coin_is_a_warning(warehouse: duckdb.DuckDBPyConnection) -> None:
    change = "update {rows} set close = close / 1000, open = open / 1000, high = high / 1000, low = low / 1000, "
    change += "volume_quote = volume_quote / 1000 where instrument = 'COIN1USDT'"
    results = run_gate(warehouse, [fixture.stage(warehouse, "candles", change)])
    assert not named(results, "close_level_shift").passed
    assert all(result.passed for result in results if result.severity == "error")


# What happened, or may: none of it refuses a batch.
TRUE_EXTREMES: list[tuple[str, str, str]] = [
    ("a contract split 1,000 for 1", "open_interest",
     "update {rows} set oi_base = oi_base * 1000, oi_raw = oi_raw * 1000, oi_usd = oi_usd where instrument = 'COIN1USDT'"),
    ("a contract wound down", "open_interest",
     ("update {rows} set oi_base = oi_base / 1e5, oi_raw = oi_raw / 1e5, oi_usd = oi_usd / 1e5 "
      "where instrument = 'COIN1USDT'")),
    ("a venue closed", "open_interest",
     "update {rows} set oi_base = 0, oi_usd = 0, oi_raw = 0 where event_at > '2024-03-02 12:00'"),
    ("a day's candle of a collapse", "candles",
     ("update {rows} set close = close / 30, low = low / 40 where instrument = 'COIN1USDT'; "
      "delete from {rows} where trade_date > '2024-03-01'")),
    ("a venue that nobody trades on any more", "candles",
     ("update {rows} set volume_base = volume_base / 1e4, volume_quote = volume_quote / 1e4, "
      "taker_buy_base = taker_buy_base / 1e4")),
    ("a squeeze before a delisting", "funding_rates", "update {rows} set rate = -0.02 where instrument = 'COIN1USDT'"),
    ("a crash in which most of the open interest goes", "liquidation_totals",
     ("update {rows} set long_base = long_base * 20, long_usd = long_usd * 20, "
      "total_usd = long_usd * 20 + short_usd")),
    ("collateral that became worthless", "lending_liquidations",
     "update {rows} set collateral_usd = collateral_usd / 1e4 where event_id like '%:1'"),
    ("dust", "lending_liquidations", "update {rows} set collateral_usd = 0, debt_usd = 1e-6 where event_id like '%:1'"),
    ("a token with an odd name", "lending_liquidations",
     "update {rows} set collateral_token = 'USD\u20ae0' where event_id like '%:1'"),
    ("a token that changes its decimals", "tokens", "update {rows} set decimals = 6 where hour(named_at) = 3"),
    ("options on a coin in collapse", "option_chain", "update {rows} set mark_iv = mark_iv * 12"),
    ("an instrument listed again", "instruments",
     "update {rows} set listed_at = '2025-06-01' where instrument = 'COIN1USD'"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "change"), [x[1:] for x in TRUE_EXTREMES], ids=[x[0] for x in TRUE_EXTREMES])
def test_a_true_extreme_is_noticed_and_not_refused(
    warehouse: duckdb.DuckDBPyConnection, table: str, change: str
) -> None:
    results = run_gate(warehouse, [fixture.stage(warehouse, table, *change.split("; "))])
    assert [result.check_name for result in results if result.severity == "error" and not result.passed] == []


def test_a_series_listed_days_ago_may_multiply(contract: Contract) -> None:
    con = empty_warehouse(contract)
    fixture.load(con, "open_interest", source=fixture.SOURCE, first=fixture.BATCH_START - timedelta(days=2), days=2)
    batch = fixture.stage(con, "open_interest", "update {rows} set oi_base = oi_base * 470, oi_raw = oi_raw * 470")
    assert failures(run_gate(con, [batch])) == {"oi_base_level_shift"}


def test_a_history_loaded_in_a_wrong_unit_can_be_restated(contract: Contract) -> None:
    con = empty_warehouse(contract)
    fixture.load(con, "open_interest", source=fixture.SOURCE, first=fixture.BATCH_START, days=fixture.BATCH_DAYS)
    con.execute("update clean.open_interest set oi_base = oi_base * 470, oi_raw = oi_raw * 470")
    assert failures(run_gate(con, [fixture.stage(con, "open_interest")])) == set()


def test_loaded_days_of_another_year_are_not_neighbors(contract: Contract) -> None:
    con = empty_warehouse(contract)
    fixture.load(con, "open_interest", source=fixture.SOURCE, first=fixture.BATCH_START - timedelta(days=400), days=30)
    batch = fixture.stage(con, "open_interest", "update {rows} set oi_base = oi_base * 470, oi_raw = oi_raw * 470")
    assert named(run_gate(con, [batch]), "oi_base_unit_jump").observed["judged"] == 0


def test_candles_of_the_same_load_reveal_a_wrong_unit(contract: Contract) -> None:
    con = empty_warehouse(contract)
    wrong = fixture.stage(con, "open_interest", "update {rows} set oi_usd = oi_usd * 470")
    assert failures(run_gate(con, [wrong])) == set()
    results = run_gate(con, [wrong, fixture.stage(con, "candles")])
    assert failures(results) == {"price_against_candles", "price_unit_against_candles"}


def test_samples_name_the_series_and_show_the_worst_first(warehouse: duckdb.DuckDBPyConnection) -> None:
    change = (
        "update {rows} set oi_base = oi_base * case instrument when 'COIN1USDT' then 470 else 90 end, oi_raw = oi_raw"
    )
    change += " * case instrument when 'COIN1USDT' then 470 else 90 end where instrument in ('COIN0USDT', 'COIN1USDT')"
    result = named(run_gate(warehouse, [fixture.stage(warehouse, "open_interest", change)]), "oi_base_level_shift")
    assert [row["instrument"] for row in result.sample] == ["COIN1USDT", "COIN0USDT"]
    assert result.sample[0]["oi_base_shift"] == pytest.approx(470, rel=0.2)
    assert (result.observed["unexpected"], result.observed["judged"], result.observed["max_value"]) == (2, 6, 10)


def test_a_wrong_shape_is_the_only_failure_reported_and_names_the_column(warehouse: duckdb.DuckDBPyConnection) -> None:
    results = run_gate(warehouse, [fixture.stage(warehouse, "candles", "alter table {rows} drop column trades")])
    assert [result.check_name for result in results] == [check.name for check in SHAPE]
    assert named(results, "columns_present").sample[0]["column_name"] == "trades"


def test_columns_of_the_loader_are_not_part_of_the_shape(warehouse: duckdb.DuckDBPyConnection) -> None:
    batch = fixture.stage(warehouse, "candles", "alter table {rows} add column _line bigint")
    assert failures(run_gate(warehouse, [batch])) == set()


def test_a_large_batch_is_sampled_by_key_deterministically(
    warehouse: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "SAMPLE_ROWS", 60)
    batch = fixture.stage(warehouse, "open_interest", "insert into {rows} select * from {rows}")
    first, second = (named(run_gate(warehouse, [batch]), "keys_unique") for _ in range(2))
    assert first == second
    assert 20 <= first.observed["rows"] <= 120
    assert first.observed["unexpected"] == first.observed["rows"]


def test_a_check_that_cannot_be_evaluated_raises_instead_of_failing(
    warehouse: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Check("nonsense", "warn", "series", "ExpectColumnMaxToBeBetween", "nothing", {"column": "no_such_column"})
    monkeypatch.setattr(gate, "SUITES", {**SUITES, "candles": (*SUITES["candles"], broken)})
    with pytest.raises(GateBrokenError, match=r"files\.market.*candles\.nonsense.*no_such_column"):
        run_gate(warehouse, [fixture.stage(warehouse, "candles")])


def test_a_batch_that_is_not_staged_raises(warehouse: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(ContractError, match="accepted_candles"):
        run_gate(warehouse, [GateInput("candles", fixture.SOURCE, "accepted_candles", 1, 1, 0, 0)])


def test_a_table_without_suite_raises(warehouse: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(ContractError, match="order_books"):
        run_gate(warehouse, [GateInput("order_books", fixture.SOURCE, "staged_order_books", 1, 1, 0, 0)])


def test_a_staged_name_that_is_not_an_identifier_raises(warehouse: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(ContractError, match="not a valid name of a table"):
        run_gate(warehouse, [GateInput("candles", fixture.SOURCE, "(select 1) as x; drop table y", 1, 1, 0, 0)])


def test_the_gate_prints_nothing_and_leaves_the_connection_unchanged(
    warehouse: duckdb.DuckDBPyConnection, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    batch = fixture.stage(warehouse, "liquidations", "update {rows} set side = 'long'")
    tables = warehouse.execute("select table_name from duckdb_tables() order by all").fetchall()
    level = logging.getLogger("great_expectations").level
    run_gate(warehouse, [batch])
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert logging.getLogger("great_expectations").level == level
    assert warehouse.execute("select table_name from duckdb_tables() order by all").fetchall() == tables


def test_a_load_without_batches_has_no_results(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert run_gate(warehouse, []) == []


def _frame_order(check: Check) -> int:
    return ["shape", "batch", "nulls", "series", "rows", "units", "stamps"].index(check.frame)
