"""Enrichment is last: prices and names that change are built into the marts, and the events stay as they were loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from pipelines.storage.fingerprint import Fingerprint, fingerprint_table

from .dbt_fixture import Dbt

DAY = "2024-03-08"
UNKNOWN = "0x" + "d" * 40
WBTC = "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599"
USDC = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"
# Issued by Circle itself on Optimism; and what it was lent against.
NATIVE_USDC = "0x0b2c639c533813f4aa9d7837caf62653d097ff85"
WSTETH = "0x1f32b1c2345538c0c6f582fcb022739c4a194ebb"
CETH = "0x4ddc2d193948926d02f9b1fe9e1daa0718270ed5"

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Enriched:
    """The marts after each change, by (asset, measure), and the fingerprint of the events then."""

    marts: tuple[Mapping[tuple[str, str], Row], ...]
    events: tuple[Fingerprint, ...]


def loaded(dbt: Dbt, load_seq: int, table: str, rows: str, count: int) -> None:
    """Replace the day of a clean table as the loader does."""
    with dbt.connection() as con:
        con.execute(f"delete from clean.{table} where trade_date = '{DAY}'")
        con.execute(
            f"insert into clean.{table} by name select *, date '{DAY}' as trade_date, 'evm_ethereum.aave' as source, "
            f"'l' as landing_id, timestamp '{DAY}' + interval 1 day as available_at, now()::timestamp as loaded_at from ({rows})"
        )
        con.execute(
            "insert into ops.loads values (?, 'evm_ethereum.aave', ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, null, now()::timestamp, "
            "null, null, null)",
            [load_seq, table, DAY, count, count],
        )


def seizure(
    event: str, protocol: str, token: str, amount: int, debt: int, *, lent: str = USDC, chain: str = "ethereum"
) -> str:
    return (
        f"select '{chain}' as chain, '{event}' as event_id, '{protocol}' as protocol, '0xpool' as market, "
        f"timestamp '{DAY} 12:30:00' as occurred_at, '{token}' as collateral_token, '{amount}' as collateral_amount_raw, "
        f"'{lent}' as debt_token, '{debt}' as debt_amount_raw, 'full' as completeness"
    )


def price(token: str, dollars: float, *, chain: str = "ethereum") -> str:
    return (
        f"select '{chain}' as chain, '{token}' as token, timestamp '{DAY} 12:00:00' as priced_at, {dollars} as price_usd, "
        "'defillama' as price_source"
    )


def state(dbt: Dbt) -> tuple[Mapping[tuple[str, str], Row], Fingerprint]:
    columns = (
        "notional_usd",
        "notional_usd_upper",
        "quantity_base",
        "price_source",
        "unpriced_events",
        "events",
        "side",
    )
    rows = dbt.rows(f"select asset, measure, {', '.join(columns)} from marts.fct_liquidations_daily")
    with dbt.connection() as con:
        events = fingerprint_table(con, "clean", "lending_liquidations", exact_doubles=True)
    return {(row[0], row[1]): dict(zip(columns, row[2:], strict=True)) for row in rows}, events


@pytest.fixture(scope="module")
def enriched(dbt: Dbt) -> Enriched:
    """Prices of two tokens; then one of them restated; then a node's word on the token nobody knew, and a price of it."""
    run = ("build", "--select", "+fct_liquidations_daily", "--exclude-resource-type", "test", "unit_test")
    seizures = (
        seizure("e1", "aave_v3", WBTC, 50_000_000, 20_000_000_000),
        seizure("e2", "aave_v3", UNKNOWN, 4_000, 1_000_000),
        seizure("e3", "compound_v2", CETH, 777, 100_000_000),
        seizure("e4", "aave_v3", WSTETH, 2 * 10**18, 4_000_000_000, lent=NATIVE_USDC, chain="optimism"),
    )
    loaded(dbt, 1, "lending_liquidations", " union all ".join(seizures), 4)
    optimism = f"{price(WSTETH, 2_500, chain='optimism')} union all {price(NATIVE_USDC, 0.75, chain='optimism')}"
    loaded(dbt, 2, "token_prices", f"{price(WBTC, 60_000)} union all {price(USDC, 1)} union all {optimism}", 4)
    dbt.succeed(*run)
    first = state(dbt)
    loaded(dbt, 3, "token_prices", f"{price(WBTC, 50_000)} union all {price(USDC, 1)} union all {optimism}", 4)
    dbt.succeed(*run)
    restated = state(dbt)
    told = (
        f"select 'ethereum' as chain, '{UNKNOWN}' as token, timestamp '{DAY} 12:30:00' as named_at, 'WBTC' as symbol, "
        f"3 as decimals, timestamp '{DAY} 20:00:00' as read_at"
    )
    loaded(dbt, 4, "tokens", told, 1)
    loaded(
        dbt,
        5,
        "token_prices",
        " union all ".join((price(WBTC, 50_000), price(USDC, 1), price(UNKNOWN, 2.5), optimism)),
        5,
    )
    dbt.succeed(*run)
    read = state(dbt)
    return Enriched(tuple(one[0] for one in (first, restated, read)), tuple(one[1] for one in (first, restated, read)))


def test_a_restated_price_is_in_the_marts(enriched: Enriched) -> None:
    # Half a bitcoin.
    assert [mart["BTC", "collateral_seized"]["notional_usd"] for mart in enriched.marts] == [30_000, 25_000, 25_000]
    assert {mart["BTC", "collateral_seized"]["price_source"] for mart in enriched.marts} == {"token_price"}


def test_native_usdc_of_optimism_gives_a_side_and_both_legs_in_dollars(enriched: Enriched) -> None:
    legs = [(mart["WSTETH", "collateral_seized"], mart["WSTETH", "debt_repaid"]) for mart in enriched.marts]
    assert [(seized["notional_usd"], repaid["notional_usd"]) for seized, repaid in legs] == [(5_000, 3_000)] * 3
    assert {leg["side"] for pair in legs for leg in pair} == {"long"}


def test_no_change_of_prices_or_names_touches_an_event(enriched: Enriched) -> None:
    first, *later = enriched.events
    assert first.rows == 4
    assert [first.differences(other) for other in later] == [[], []]


def test_an_unknown_token_is_counted_and_unpriced_until_somebody_says_what_it_is(enriched: Enriched) -> None:
    told = [mart[UNKNOWN, "collateral_seized"] for mart in enriched.marts]
    assert [(row["events"], row["unpriced_events"], row["notional_usd"]) for row in told] == [
        (1, 1, None), (1, 1, None), (1, 0, 10),
    ]  # fmt: skip


def test_a_token_that_calls_itself_wbtc_is_not_bitcoin(enriched: Enriched) -> None:
    assert enriched.marts[-1]["BTC", "collateral_seized"]["quantity_base"] == 0.5
    assert enriched.marts[-1][UNKNOWN, "collateral_seized"]["quantity_base"] == 4


def test_a_receipt_is_an_estimate_under_what_it_stands_for_and_no_upper_bound(enriched: Enriched) -> None:
    # 100 dollars repaid at 8%.
    row = enriched.marts[-1]["ETH", "collateral_seized"]
    assert row["notional_usd"] == pytest.approx(108)
    assert (row["price_source"], row["notional_usd_upper"], row["quantity_base"]) == (
        "debt_times_incentive",
        None,
        None,
    )
    assert enriched.marts[-1]["ETH", "debt_repaid"]["notional_usd"] == 100
