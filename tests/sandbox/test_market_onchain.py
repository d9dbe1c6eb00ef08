"""Borrowers of the simulated market: liquidations follow from health factors at oracle prices, and their logs are readable by the
pipeline's decoders."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from pipelines.sandbox.market import SimulatedMarket
from pipelines.sandbox.market_onchain import (
    BONUS,
    CLOSE_ALL_BELOW,
    COMET,
    COMET_FACTOR,
    COMET_SHARE,
    CUT,
    CUT_AT,
    POOL,
    RESERVES,
    absorptions,
    logs,
)
from pipelines.sandbox.market_paths import STEP
from pipelines.sandbox.venues.evm import BLOCK_SECONDS, GENESIS, Log
from pipelines.sources.chain.evm.aave import LIQUIDATION_CALL
from pipelines.sources.chain.evm.abi import decode_logs
from pipelines.sources.chain.evm.comet import ABSORB_COLLATERAL, ABSORB_DEBT
from pipelines.sources.chain.evm.contracts import contracts_of

FIRST, LAST = date(2025, 2, 1), date(2025, 5, 31)
ASSETS = tuple(RESERVES)


@pytest.fixture(scope="module", params=[7, 8])
def market(request: pytest.FixtureRequest) -> SimulatedMarket:
    return SimulatedMarket(FIRST, LAST, seed=request.param, assets=ASSETS)


@pytest.mark.parametrize("asset", ASSETS)
def test_no_loan_with_a_health_factor_above_one_is_liquidated(market: SimulatedMarket, asset: str) -> None:
    loans = market.loans(asset)
    assert loans.height > 1000
    assert (loans["health_factor"] <= 1).all()
    assert loans["loan"].is_unique().all()


@pytest.mark.parametrize("asset", ASSETS)
def test_a_liquidation_comes_some_blocks_after_the_oracles_price_and_at_that_price(
    market: SimulatedMarket, asset: str
) -> None:
    loans = market.loans(asset)
    lag = (loans["occurred_at"] - loans["reached_at"]).dt.total_seconds()
    assert lag.is_between(2 * BLOCK_SECONDS, 900 + BLOCK_SECONDS).all()
    assert ((loans["occurred_at"] - GENESIS).dt.total_seconds() % BLOCK_SECONDS == 0).all()
    assert (loans["reached_at"].dt.minute() == 0).all()
    step = ((loans["reached_at"] - market.start).dt.total_seconds() // STEP.seconds - 1).to_numpy()
    np.testing.assert_allclose(loans["price"].to_numpy(), market.paths(asset).price[step], rtol=1e-12)


@pytest.mark.parametrize("asset", ASSETS)
def test_collateral_covers_debt_and_bonus_and_healthy_loans_are_half_repaid(
    market: SimulatedMarket, asset: str
) -> None:
    loans = market.loans(asset)
    seized = loans["collateral_base"] * loans["price"]
    np.testing.assert_allclose((seized / loans["debt_usd"]).to_numpy(), 1 + BONUS, rtol=1e-9)
    assert (loans["collateral_base"] <= loans["left_base"] * (1 + 1e-9)).all()
    owed = loans["left_base"] * loans["price"] * RESERVES[asset].threshold / loans["health_factor"]
    part = (loans["debt_usd"] / owed).to_numpy()
    # Excluded: days with the lowered threshold, which the health factor reflects, and bad debt, which is not repaid.
    same = (loans["occurred_at"] < datetime(2025, 5, 29)).to_numpy() & (
        (loans["collateral_base"] < loans["left_base"] * (1 - 1e-9)).to_numpy()
    )
    expected = np.where(loans["health_factor"].to_numpy() < CLOSE_ALL_BELOW, 1.0, 0.5)
    np.testing.assert_allclose(part[same], expected[same], rtol=1e-9)
    assert np.count_nonzero(same & (expected == 1.0)) > 0


def test_a_threshold_cut_liquidates_without_a_price_move(market: SimulatedMarket) -> None:
    (cut,) = [e for e in market.episodes if e.kind == "divergence"]
    null = SimulatedMarket(FIRST, LAST, seed=market.seed, assets=ASSETS, planted=False)

    def seized(of: SimulatedMarket) -> float:
        day = of.loans(cut.asset).filter(pl.col("occurred_at").is_between(cut.start, cut.end))
        return float((day["collateral_base"] * day["price"]).sum())

    assert seized(market) > 10 * seized(null) + 1e6
    after = market.loans(cut.asset).filter(pl.col("occurred_at") >= cut.start + CUT_AT).head(20)
    # Loans up to CUT above the old threshold are below the new one, but not by more.
    assert (after["health_factor"] > (1 - CUT) * 0.95).all()


def wire(found: list[Log]) -> pl.DataFrame:
    return pl.DataFrame(
        [(x.address, str(list(x.topics)), x.data, hex(x.block), x.transaction, hex(x.index)) for x in found],
        schema=["address", "topics", "data", "blockNumber", "transactionHash", "logIndex"],
        orient="row",
    )


def test_a_loan_far_below_its_threshold_is_absorbed_with_the_debt_it_had(market: SimulatedMarket) -> None:
    loans = market.loans("ETH")
    share = pl.col("left_base") * pl.col("price") * COMET_SHARE
    deep = loans.filter(pl.col("health_factor") < CLOSE_ALL_BELOW, share >= 1)
    found = absorptions("ETH", loans)
    taken, owed = decode_logs(wire(found[::2]), ABSORB_COLLATERAL), decode_logs(wire(found[1::2]), ABSORB_DEBT)
    assert taken["undecodable"].null_count() + owed["undecodable"].null_count() == len(found)
    assert taken.height == owed.height == deep.height > 50
    assert set(taken["address"]) == {COMET} <= {one.address for one in contracts_of("compound_v3")["ethereum"]}
    base = deep["left_base"].to_numpy() * COMET_SHARE
    np.testing.assert_allclose(taken["collateral_absorbed"].cast(pl.Float64).to_numpy() / 1e18, base, atol=1e-10)
    debt = base * deep["price"].to_numpy() * COMET_FACTOR / deep["health_factor"].to_numpy()
    np.testing.assert_allclose(owed["usd_value"].cast(pl.Float64).to_numpy() / 1e8, debt, atol=1e-7)
    worth = taken["usd_value"].cast(pl.Float64).to_numpy() / 1e8
    # Who is absorbed below COMET_FACTOR leaves bad debt.
    np.testing.assert_array_equal(debt > worth, deep["health_factor"].to_numpy() < COMET_FACTOR)
    assert list(taken["borrower"]) == list(owed["borrower"])
    assert [log.tx_hash for log in found[::2]] == [log.tx_hash for log in found[1::2]]


def test_liquidations_are_logs_that_the_decoder_reads(market: SimulatedMarket) -> None:
    loans = market.loans("ETH").head(200)
    read = decode_logs(wire(logs("ETH", loans)), LIQUIDATION_CALL)
    assert read["undecodable"].null_count() == read.height
    assert set(read["address"]) == {POOL} <= {contract.address for contract in contracts_of("aave_v3")["ethereum"]}
    amounts = read["liquidated_collateral_amount"].cast(pl.Float64) / 1e18
    np.testing.assert_allclose(amounts.to_numpy(), loans["collateral_base"].to_numpy(), atol=1e-10)
    debts = read["debt_to_cover"].cast(pl.Float64) / 1e6
    np.testing.assert_allclose(debts.to_numpy(), loans["debt_usd"].to_numpy(), atol=1e-6)
    assert set(read["collateral_asset"]) == {RESERVES["ETH"].token}


def test_log_indices_are_unique_within_a_block(market: SimulatedMarket) -> None:
    places = [(log.block, log.index) for log in market.chain.logs]
    assert len(set(places)) == len(places) > 2000
