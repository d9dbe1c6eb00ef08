"""Bad debt told apart from liquidations: golden values by event, and the way of one day through fetch and load."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from pipelines.contract.ddl import load_contract
from pipelines.core.settings import Settings
from pipelines.sandbox.venues.evm import ChainMarket, Log, block_of
from pipelines.sources import registry
from pipelines.sources.chain.evm.lending import BAD_DEBT as TABLE
from pipelines.sources.chain.evm.venue import FAMILIES
from pipelines.storage.warehouse import writer
from tests.sources.conftest import Clock, Serve, loaded, quarantined
from tests.sources.evm_events import address, encoded, parsed, rows, stream
from tests.sources.test_evm import VENUE, bring
from tests.sources.test_evm_events import (
    MORPHO,
    POOL_V3,
    USDC,
    WETH,
    absorb,
    absorb_debt,
    create_market,
    liquidation_call,
    morpho_liquidate,
    vault_created,
    vault_liquidated,
)

TOLD = ("protocol", "event", "market", "borrower", "debt_token", "debt_amount_raw", "debt_usd", "price_source")


def told(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in TOLD)


def deficit(amount: int, *, asset: str = USDC, user: int = 7, **place: Any) -> Log:
    return encoded(
        "DeficitCreated(address,address,uint256)", POOL_V3, [("address", address(user)), ("address", asset)],
        [("uint256", amount)], **place,
    )  # fmt: skip


def test_a_deficit_of_aave_is_bad_debt_and_its_liquidation_stays_what_it_was() -> None:
    # Above 64 bits: 20 ether of debt, and a second reserve of the same account in the same transaction.
    logs = (
        liquidation_call(5, 6, index=3),
        deficit(20 * 10**18, asset=WETH, index=4),
        deficit(1_500_000, index=5),
    )
    assert [told(row) for row in rows(VENUE, "aave", *logs, table=TABLE)] == [
        ("aave_v3", "DeficitCreated", POOL_V3, address(7), WETH, "20000000000000000000", None, None),
        ("aave_v3", "DeficitCreated", POOL_V3, address(7), USDC, "1500000", None, None),
    ]
    [liquidation] = rows(VENUE, "aave", *logs)
    assert (liquidation["debt_amount_raw"], liquidation["collateral_amount_raw"]) == ("5", "6")


def test_debt_that_comet_absorbs_without_collateral_is_bad_debt_in_dollars_of_the_event() -> None:
    # Account 9 had none. Account 5 is absorbed twice in one transaction, and its second debt has no collateral of its own.
    logs = (
        absorb(1, 100, 1, 100),
        absorb_debt(2, 5, 9),
        absorb_debt(3, 7_250_000, 725_000_000, borrower=9),
        absorb_debt(4, 8, 9),
    )
    found = rows(VENUE, "comet", *logs, table=TABLE)
    assert [
        (row["event"], row["borrower"], row["debt_token"], row["debt_amount_raw"], row["debt_usd"]) for row in found
    ] == [
        ("AbsorbDebt", address(9), USDC, "7250000", 7.25),
        ("AbsorbDebt", address(5), USDC, "8", pytest.approx(9e-8)),
    ]
    assert {row["price_source"] for row in found} == {"event"}
    assert [row["debt_amount_raw"] for row in rows(VENUE, "comet", *logs)] == ["5"]


def test_the_bad_debt_of_a_morpho_liquidation_is_in_the_market_s_loan_token() -> None:
    market = bytes(range(32))
    logs = (morpho_liquidate(market, index=8), create_market(market, USDC, WETH))
    # Repaid 1,000,000,000 and bad 5, of one event: each stands in its own table.
    [row] = rows(VENUE, "morpho", *logs, table=TABLE)
    assert told(row) == ("morpho_blue", "Liquidate", MORPHO, address(4), USDC, "5", None, None)
    [liquidation] = rows(VENUE, "morpho", *logs)
    assert liquidation["event_id"] == row["event_id"]
    assert liquidation["debt_amount_raw"] == "1000000000"


def test_a_morpho_liquidation_without_bad_debt_makes_no_row_of_it() -> None:
    market = bytes(range(32))
    clean = morpho_liquidate(market)
    clean = Log(clean.block, clean.index, clean.address, clean.topics, clean.data[:-128] + "0" * 128)
    assert rows(VENUE, "morpho", clean, create_market(market, USDC, WETH), table=TABLE) == []


def test_socialized_debt_of_a_vault_of_euler_is_in_what_the_vault_lends() -> None:
    vault = address(0xE1)
    lost = encoded("DebtSocialized(address,uint256)", vault, [("address", address(9))], [("uint256", 77)], index=5)
    logs = (vault_created(vault, USDC), vault_liquidated(vault, index=4), lost)
    [row] = rows(VENUE, "euler", *logs, table=TABLE)
    assert told(row) == ("euler_v2", "DebtSocialized", vault, address(9), USDC, "77", None, None)
    assert len(rows(VENUE, "euler", *logs)) == 1


def test_a_stranger_s_bad_debt_is_not_believed() -> None:
    fake = deficit(1)
    fake = Log(fake.block, fake.index, address(0xBAD), fake.topics, fake.data)
    assert parsed(VENUE, "aave", stream(fake), table=TABLE).rows.is_empty()


def test_an_event_of_another_shape_is_turned_away_under_bad_debt() -> None:
    cut = deficit(1)
    cut = Log(cut.block, cut.index, cut.address, cut.topics, "0x")
    one = parsed(VENUE, "aave", stream(cut), table=TABLE)
    assert one.rows.is_empty()
    assert one.rejects is not None
    assert one.rejects["detail"].to_list() == ["data has 2 characters, not 66"]
    liquidations = parsed(VENUE, "aave", stream(cut))
    assert liquidations.rejects is not None
    assert liquidations.rejects.is_empty()


def test_rows_have_the_types_of_the_contract() -> None:
    types = load_contract(Settings.load().schema_dir).table(TABLE).polars_schema()
    for family in FAMILIES:
        feed = registry.venue(VENUE).feed(family) if family in {f.name for f in registry.venue(VENUE).feeds} else None
        if feed is None or not any(protocol.bad_debt for protocol in FAMILIES[family].protocols):
            continue
        assert TABLE in feed.tables
        one = parsed(VENUE, family, stream(), table=TABLE)
        assert {name: kind for name, kind in one.rows.schema.items() if name != "_line" and types[name] != kind} == {}


def test_a_day_of_bad_debt_is_loaded_and_a_day_without_any_is_empty(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    clock.now = datetime(2025, 3, 10, 6)
    day = date(2025, 3, 8)
    first = block_of(datetime(2025, 3, 8))
    model = ChainMarket(logs=[liquidation_call(5, 6, block=first, index=1), deficit(9, block=first, index=2)])
    there, failures, _ = bring(settings, serve, clock, model, day=day)
    assert failures == {}
    assert loaded(there, TABLE, clock=clock)["debt_amount_raw"].to_list() == ["9"]
    assert loaded(there, "lending_liquidations", clock=clock)["debt_amount_raw"].to_list() == ["5"]
    assert quarantined(there).is_empty()
    # Nothing happened on the next day: it is covered and empty, in both tables.
    there, failures, _ = bring(settings, serve, clock, ChainMarket(), day=date(2025, 3, 9))
    assert failures == {}
    loaded(there, TABLE, clock=clock)
    with writer(there, what="test") as con:
        days = con.sql(
            "select table_name, trade_date, status from ops.coverage where venue = 'aave_v3' order by 1, 2"
        ).fetchall()
    assert days == [
        (table, date(2025, 3, n), status)
        for table in ("lending_bad_debt", "lending_liquidations")
        for n, status in ((8, "complete"), (9, "empty"))
    ]


def test_a_landed_day_of_a_pool_that_could_not_tell_of_bad_debt_is_not_covered(
    settings: Settings, serve: Serve, clock: Clock
) -> None:
    there, _, _ = bring(settings, serve, clock, ChainMarket(logs=[]))
    loaded(there, "lending_liquidations", clock=clock)
    with writer(there, what="test") as con:
        tables = con.sql("select distinct table_name from ops.coverage").fetchall()
    assert tables == [("lending_liquidations",)]
