"""Invariants of the simulated market that must hold for every seed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pipelines.sandbox.market import (
    CAP_8H,
    CLAMP,
    INTEREST_8H,
    SHARES,
    SimulatedMarket,
    clamped,
    dead_banded,
)
from pipelines.sandbox.market_episodes import UNRESTATED_FACTOR
from pipelines.sandbox.market_model import Listing
from pipelines.sandbox.market_options import OPTIONS_TO_PERPETUALS, PUTS_TO_CALLS, expiries
from pipelines.sandbox.market_paths import CHARACTERS, DAY, STEP, TIERS, first_crossings

FIRST, LAST = date(2025, 2, 1), date(2025, 5, 31)
ASSETS = tuple(CHARACTERS)
BYBIT = Listing("bybit", "SOLUSDT", "SOL")
START, END = datetime(2025, 2, 1), datetime(2025, 6, 1)


@pytest.fixture(scope="module", params=[7, 8])
def market(request: pytest.FixtureRequest) -> SimulatedMarket:
    return SimulatedMarket(FIRST, LAST, seed=request.param)


@pytest.mark.parametrize("asset", ASSETS)
def test_longs_equal_shorts_equal_open_interest_and_no_position_is_negative(
    market: SimulatedMarket, asset: str
) -> None:
    paths = market.paths(asset)
    longs, shorts = paths.longs.sum(axis=0) + paths.long_hedgers, paths.shorts.sum(axis=0) + paths.short_hedgers
    np.testing.assert_allclose(longs, shorts, rtol=1e-12)
    np.testing.assert_allclose(longs, paths.oi, rtol=1e-12)
    for held in (paths.longs, paths.shorts, paths.long_hedgers, paths.short_hedgers):
        assert held.min() >= 0


@pytest.mark.parametrize("asset", ASSETS)
def test_a_position_is_liquidated_exactly_where_the_price_reaches_its_level(
    market: SimulatedMarket, asset: str
) -> None:
    paths = market.paths(asset)
    step, price = paths.forced.step, paths.forced.price
    assert len(step) > 1000
    reached = np.where(paths.forced.is_long, paths.low[step] <= price, paths.high[step] >= price)
    assert reached.all()
    # The level is where a tier's margin ends, relative to the price at which a cohort was opened.
    before = np.where(paths.forced.is_long, paths.low[step - 1] > price, paths.high[step - 1] < price)
    opened_just_before = before | (step % 24 == 1)
    assert opened_just_before.all()


def test_first_crossings_equal_a_step_by_step_search() -> None:
    random = np.random.default_rng(1)
    path = np.cumsum(random.normal(size=700))
    opened = random.integers(0, 699, 300)
    levels = path[opened] - random.uniform(0, 8, 300)
    slow = [
        next((i for i in range(o + 1, 700) if path[i] <= level), 700) for o, level in zip(opened, levels, strict=True)
    ]
    assert first_crossings(path, opened, levels, below=True).tolist() == slow
    mirrored = first_crossings(-path, opened, -levels, below=False)
    assert mirrored.tolist() == slow


def test_forced_closes_reduce_open_interest(market: SimulatedMarket) -> None:
    """In the planted cascade thousands of longs are closed, and open interest falls by about half of them; the other half is taken
    over."""
    (cascade,) = [e for e in market.episodes if e.kind == "cascade"]
    listing = Listing("deribit", "ETH-PERPETUAL", "ETH", contract_type="inverse")
    begins, ends = cascade.start + timedelta(hours=13), cascade.start + timedelta(hours=13, minutes=30)
    events = market.liquidations(listing, begins, ends)
    longs = events.filter(pl.col("side") == "long")["quantity_base"].sum()
    states = market.open_interest(listing, 5, begins, ends + STEP)["oi_base"]
    assert longs > 20 * events.filter(pl.col("side") == "short")["quantity_base"].sum()
    assert states[0] - states[-1] == pytest.approx(longs / 2, rel=0.5)


def test_the_last_fifth_of_a_cohort_is_closed_voluntarily(market: SimulatedMarket) -> None:
    """It is never liquidated, so no liquidation is tiny compared with the median."""
    forced = market.paths("SOL").forced
    assert forced.quantity.min() > 0.01 * np.median(forced.quantity)


def test_funding_is_the_mean_premium_clamped_around_interest(market: SimulatedMarket) -> None:
    settled = market.funding(BYBIT, START, END)
    first = (START - market.start) // STEP
    premium = market.premium(BYBIT)[first : first + 120 * DAY].reshape(-1, 96).mean(axis=1)
    # The settlement of an instant is of the eight hours that end with it.
    assert settled["settled_at"][1] == START + timedelta(hours=8)
    expected = np.clip(premium + np.clip(INTEREST_8H - premium, -CLAMP, CLAMP), -CAP_8H, CAP_8H)
    np.testing.assert_allclose(settled["rate"].to_numpy()[1:], expected[:-1], atol=1e-8)


@pytest.mark.parametrize(
    ("premium", "rate"),
    [(0.0, 0.0001), (0.0006, 0.0001), (-0.0004, 0.0001), (0.0010, 0.0005), (-0.0010, -0.0005), (0.1, CAP_8H)],
)
def test_the_clamp_rule_by_hand(premium: float, rate: float) -> None:
    assert clamped(np.array([premium]))[0] == pytest.approx(rate)


def test_deribit_charges_the_premium_beyond_its_dead_band() -> None:
    np.testing.assert_allclose(dead_banded(np.array([0.0002, 0.0010, -0.0010])), [0.0, 0.00075, -0.00075])


def test_account_ratios_follow_from_positions(market: SimulatedMarket) -> None:
    """Where leveraged longs exceed shorts in every tier, long accounts outnumber short ones."""
    paths = market.paths("SOL")
    ratio = market.ratios(BYBIT, "account_global", 5, market.start + STEP, END)["ratio"].to_numpy()
    in_tiers = (paths.longs > paths.shorts)[:, : len(ratio)].sum(axis=0)
    assert np.count_nonzero(in_tiers == len(TIERS)) > 1000
    assert float(np.mean(ratio[in_tiers == len(TIERS)] > 1)) > 0.99


def test_a_seed_determines_the_market() -> None:
    def simulated_candles(seed: int) -> pl.DataFrame:
        return SimulatedMarket(FIRST, LAST, seed=seed).candles(BYBIT, "perp", 60, START, END)

    assert_frame_equal(simulated_candles(7), simulated_candles(7))
    assert simulated_candles(7)["close"].to_list() != simulated_candles(8)["close"].to_list()


def test_an_asset_is_independent_of_other_assets() -> None:
    alone = SimulatedMarket(FIRST, LAST, seed=7, assets=("SOL",))
    among = SimulatedMarket(FIRST, LAST, seed=7)
    among.candles(Listing("bybit", "BTCUSDT", "BTC"), "perp", 60, START, END)
    assert_frame_equal(alone.open_interest(BYBIT, 60, START, END), among.open_interest(BYBIT, 60, START, END))


@pytest.mark.parametrize("days", [1, 7, 31])
def test_slices_equal_the_whole_range(market: SimulatedMarket, days: int) -> None:
    queries: dict[str, Callable[[datetime, datetime], pl.DataFrame]] = {
        "candles": lambda a, b: market.candles(BYBIT, "spot", 60, a, b),
        "open_interest": lambda a, b: market.open_interest(BYBIT, 5, a, b),
        "minutes": lambda a, b: market.open_interest(BYBIT, 1, a, b),
        "funding": lambda a, b: market.funding(BYBIT, a, b),
        "ratios": lambda a, b: market.ratios(BYBIT, "taker_volume", 30, a, b),
        "liquidations": lambda a, b: market.liquidations(BYBIT, a, b),
        "volatility": lambda a, b: market.volatility_index("BTC", 60, a, b),
    }
    end = START + timedelta(days=31)
    cuts = [*(START + timedelta(days=d) for d in range(0, 31, days)), end]
    for query in queries.values():
        slices = pl.concat([query(a, b) for a, b in pairwise(cuts)])
        assert_frame_equal(slices, query(START, end))


def test_candles_contain_their_prices_and_open_at_the_previous_close(market: SimulatedMarket) -> None:
    bars = market.candles(BYBIT, "index", 60, START, END)
    assert bars.height == 120 * 24
    inside = (pl.col("low") <= pl.min_horizontal("open", "close")) & (
        pl.col("high") >= pl.max_horizontal("open", "close")
    )
    assert bars.filter(~inside).is_empty()
    assert bars["open"].to_list()[1:] == bars["close"].to_list()[:-1]


def test_open_interest_never_changes_by_more_than_was_traded(market: SimulatedMarket) -> None:
    changed = market.open_interest(BYBIT, 60, START, END)["oi_base"].diff().abs().drop_nulls()
    traded = market.candles(BYBIT, "perp", 60, START, END)["volume_base"]
    assert (changed.head(24 * 7) <= traded.head(24 * 7) * (1 + 1e-9)).all()


def test_venues_hold_no_more_than_all_positions() -> None:
    assert sum(SHARES.values()) <= 1 + 1e-12


# Options


@pytest.fixture
def chain(market: SimulatedMarket) -> pl.DataFrame:
    return market.option_chain("BTC", datetime(2025, 4, 10, 8, 30))


def test_open_interest_of_options_follows_that_of_perpetuals(market: SimulatedMarket, chain: pl.DataFrame) -> None:
    """Calls have OPTIONS_TO_PERPETUALS of it, puts PUTS_TO_CALLS of the calls times the current put tilt; no strike is negative."""
    paths = market.paths("BTC")
    now = (datetime(2025, 4, 10, 8, 30) - market.start) // STEP - 1
    held = dict(chain.group_by("option_type").agg(pl.col("oi_base").sum()).iter_rows())
    assert held["call"] == pytest.approx(paths.oi[now] * OPTIONS_TO_PERPETUALS, rel=1e-3)
    assert held["put"] / held["call"] == pytest.approx(PUTS_TO_CALLS * paths.put_tilt[now], rel=0.15)
    assert (chain["oi_base"] >= 0).all()
    assert (chain["volume_24h_base"] <= chain["oi_base"]).all()


def test_put_call_parity_holds(chain: pl.DataFrame) -> None:
    """In coin: call minus put is 1 minus strike over forward; deltas differ by 1; both have the same volatility."""
    both = chain.filter(pl.col("option_type") == "call").join(
        chain.filter(pl.col("option_type") == "put"), on=["expiry_date", "strike"], suffix="_put"
    )
    assert both.height * 2 == chain.height
    parity = both["mark_price_base"] - both["mark_price_base_put"] - (1 - both["strike"] / both["underlying_price"])
    np.testing.assert_allclose(parity.to_numpy(), 0, atol=1e-12)
    np.testing.assert_allclose((both["delta"] - both["delta_put"]).to_numpy(), 1, atol=1e-12)
    assert both["mark_iv"].to_list() == both["mark_iv_put"].to_list()


def test_smiles_are_higher_in_the_wings_and_on_the_side_of_puts(chain: pl.DataFrame) -> None:
    for (_,), smile in chain.filter(pl.col("option_type") == "call").sort("strike").group_by("expiry_date"):
        depth = (smile["strike"] / smile["underlying_price"]).log()
        middle = smile["mark_iv"][int(depth.abs().arg_min() or 0)]
        low, high = smile["mark_iv"][0], smile["mark_iv"][-1]
        assert low > middle
        assert low > high or abs(depth[0]) < depth[-1]


def test_calls_get_cheaper_and_deltas_smaller_from_strike_to_strike(chain: pl.DataFrame) -> None:
    for _, calls in chain.filter(pl.col("option_type") == "call").sort("strike").group_by("expiry_date"):
        assert (calls["mark_price_base"].diff().drop_nulls() <= 0).all()
        assert (calls["delta"].diff().drop_nulls() <= 0).all()


def test_chains_settle_on_fridays_at_eight(market: SimulatedMarket) -> None:
    friday = datetime(2025, 4, 11)
    assert friday.date() in expiries(friday + timedelta(hours=7, minutes=59))
    assert friday.date() not in expiries(friday + timedelta(hours=8))
    assert {day.weekday() for day in expiries(friday)} == {4}


# Planted episodes


def test_a_null_market_differs_only_by_the_planted_episodes() -> None:
    null, planted = (SimulatedMarket(FIRST, LAST, seed=7, planted=p) for p in (False, True))
    assert null.episodes == ()
    untouched = Listing("bybit", "AVAXUSDT", "AVAX")
    assert_frame_equal(
        null.candles(untouched, "perp", 60, START, END), planted.candles(untouched, "perp", 60, START, END)
    )
    assert_frame_equal(
        null.candles(BYBIT, "perp", 60, START, datetime(2025, 5, 20)),
        planted.candles(BYBIT, "perp", 60, START, datetime(2025, 5, 20)),
    )


def test_the_planted_expansion_meets_its_definition(market: SimulatedMarket) -> None:
    (episode,) = [e for e in market.episodes if e.kind == "expansion"]
    states = market.open_interest(BYBIT, 1440, episode.start, episode.end + STEP)["oi_base"]
    assert states[1] / states[0] - 1 >= 0.08
    price = market.candles(BYBIT, "index", 1440, episode.start, episode.end)
    assert price["close"][0] == pytest.approx(price["open"][0], rel=1e-5)


def test_an_outage_removes_exactly_the_states_of_its_days(market: SimulatedMarket) -> None:
    (outage,) = [e for e in market.episodes if e.kind == "outage"]
    states = market.open_interest(BYBIT, 5, START, END)["event_at"]
    silent = (states > outage.start) & (states <= outage.end)
    assert silent.sum() == 0
    assert len(states) == 119 * DAY


def test_a_unit_error_affects_one_venue_asset_and_day(market: SimulatedMarket) -> None:
    (episode,) = [e for e in market.episodes if e.kind == "unit_error"]
    wrong, other = Listing("bybit", "AVAXUSDT", "AVAX"), Listing("okx", "AVAX-USDT-SWAP", "AVAX")
    wrong_oi, expected = (market.open_interest(x, 5, START, END) for x in (wrong, other))
    inside = (wrong_oi["event_at"] > episode.start) & (wrong_oi["event_at"] <= episode.end)
    level = wrong_oi.join(expected, on="event_at")["oi_base"] / wrong_oi.join(expected, on="event_at")["oi_base_right"]
    np.testing.assert_allclose(level.filter(inside).to_numpy() / level.filter(~inside).median(), 1000, rtol=1e-6)
    np.testing.assert_allclose(level.filter(~inside).to_numpy() / level.filter(~inside).median(), 1, rtol=1e-6)


def test_the_market_before_restatement_differs_in_open_interest_only(market: SimulatedMarket) -> None:
    first = market.before_restatement()
    ratio = (
        first.open_interest(BYBIT, 60, START, END)["oi_base"] / market.open_interest(BYBIT, 60, START, END)["oi_base"]
    )
    np.testing.assert_allclose(ratio.to_numpy(), UNRESTATED_FACTOR, rtol=1e-6)
    assert_frame_equal(first.candles(BYBIT, "perp", 60, START, END), market.candles(BYBIT, "perp", 60, START, END))


def test_only_episodes_with_enough_history_are_planted() -> None:
    short = SimulatedMarket(LAST - timedelta(days=39), LAST, seed=7)
    assert {e.kind for e in short.episodes} == {"cascade", "restated", "late"}


def test_liquidation_comes_before_the_margin_is_lost() -> None:
    for tier in TIERS:
        assert 0 < tier.distance < 1 / tier.leverage
