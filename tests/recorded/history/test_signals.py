"""Signals on the recorded data: on, off and unknown (with reasons) for four assets in 2022 and 2023, and the FTX collapse of
November 2022.
"""

from __future__ import annotations

from datetime import date

import duckdb
import pytest

pytestmark = pytest.mark.timeout(1800)

ASSETS = ("BTC", "ETH", "SOL", "AVAX")
FIRST, LAST = date(2022, 1, 2), date(2023, 12, 2)
DAYS = (LAST - FIRST).days + 1

# Inputs missing from all recorded sources in these two years.
NEVER_KNOWN = {
    **{("capitulation", asset): "missing options" for asset in ASSETS},
    **{("perp_dex_stress", asset): "missing perpetual DEX liquidations" for asset in ASSETS},
    **{("lending_stress", asset): "missing lending liquidations" for asset in ("SOL", "AVAX")},
}
# Known on hundreds of days and never on; see test_conditions_of_signals_that_are_never_on_are_not_met.
NEVER_ON = {("oi_expansion_confirmed", "BTC"), ("extreme_positive_funding", "SOL")}


@pytest.fixture(scope="module")
def states(published: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], dict[str, int]]:
    """Days by signal, asset and state."""
    counted: dict[tuple[str, str], dict[str, int]] = {}
    query = """
        select signal, asset, state, count(*) from marts.signals_daily
        where asset in ('BTC', 'ETH', 'SOL', 'AVAX') and trade_date between ? and ?
        group by signal, asset, state
    """
    for signal, asset, state, days in published.execute(query, [FIRST, LAST]).fetchall():
        counted.setdefault((signal, asset), {})[state] = days
    return counted


def on(published: duckdb.DuckDBPyConnection, asset: str, day: date) -> set[str]:
    query = "select signal from marts.signals_daily where asset = ? and trade_date = ? and state = 'on'"
    return {signal for (signal,) in published.execute(query, [asset, day]).fetchall()}


def test_every_signal_has_a_row_for_every_asset_and_day(
    published: duckdb.DuckDBPyConnection, states: dict[tuple[str, str], dict[str, int]]
) -> None:
    signals = [signal for (signal,) in published.execute("select signal from marts.dim_signal").fetchall()]
    assert len(signals) == 19
    assert states.keys() == {(signal, asset) for signal in signals for asset in ASSETS}
    assert {sum(days.values()) for days in states.values()} == {DAYS}


def test_no_signal_with_inputs_is_constant(states: dict[tuple[str, str], dict[str, int]]) -> None:
    known = {key: days.keys() & {"on", "off"} for key, days in states.items()}
    assert {key for key, seen in known.items() if seen == set()} == NEVER_KNOWN.keys()
    assert {key for key, seen in known.items() if seen == {"off"}} == NEVER_ON
    assert {key for key, seen in known.items() if seen == {"on"}} == set()


def test_a_signal_without_inputs_is_unknown_and_lists_them(published: duckdb.DuckDBPyConnection) -> None:
    """Days within the sources' coverage, so that only the listed input is missing."""
    query = """
        select distinct signal, asset, unknown_reason from marts.signals_daily
        where asset in ('BTC', 'ETH', 'SOL', 'AVAX') and trade_date between '2022-06-01' and '2022-12-31'
            and signal in ('capitulation', 'perp_dex_stress', 'lending_stress') and state = 'unknown'
    """
    reasons = {(signal, asset): reason for signal, asset, reason in published.execute(query).fetchall()}
    assert reasons == NEVER_KNOWN


def test_conditions_of_signals_that_are_never_on_are_not_met(published: duckdb.DuckDBPyConnection) -> None:
    """Bitcoin's open interest grew by 8% at a flat price on one day only, with volume below its quantile; Solana's funding
    never stayed above the 97.5th percentile for three days."""
    query = """
        select count(*), bool_and(volume_base < volume_high_30d) from marts.oi_trends_daily
        where asset = 'BTC' and expansion = 'on' and trade_date between ? and ?
    """
    assert published.execute(query, [FIRST, LAST]).fetchall() == [(1, True)]
    query = """
        select count(*) from (
            select count_if(regime_class = 'extreme_positive') over (order by trade_date rows 2 preceding) as in_a_row
            from marts.funding_regimes_daily
            where asset = 'SOL' and trade_date between ? and ?
        ) where in_a_row = 3
    """
    assert published.execute(query, [FIRST, LAST]).fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("signal", "first_known"),
    [
        # 30 days of returns, 90 of liquidations, a z-score of 90 days ranked in 90 days, a year of ratios.
        ("bought_dip", date(2022, 2, 2)),
        ("large_liquidations", date(2022, 4, 2)),
        ("top_risk", date(2022, 7, 1)),
        ("systemic_risk", date(2023, 1, 2)),
    ],
)
def test_a_signal_is_known_from_the_first_day_with_full_windows(
    published: duckdb.DuckDBPyConnection, signal: str, first_known: date
) -> None:
    query = "select min(trade_date) from marts.signals_daily where asset = 'BTC' and signal = ? and state <> 'unknown'"
    assert published.execute(query, [signal]).fetchall() == [(first_known,)]


def test_november_2022_has_deleveraging_liquidations_and_extreme_funding(published: duckdb.DuckDBPyConnection) -> None:
    assert "deleveraging" in on(published, "BTC", date(2022, 11, 8))
    for day in (8, 9, 10):
        assert "large_liquidations" in on(published, "BTC", date(2022, 11, day))
    for day in (10, 11):
        assert {"extreme_negative_funding", "bottom_zone"} <= on(published, "BTC", date(2022, 11, day))
    assert {"deleveraging", "large_liquidations"} <= on(published, "ETH", date(2022, 11, 8))


def test_solana_in_november_2022_is_shorted_as_the_price_falls(published: duckdb.DuckDBPyConnection) -> None:
    """Open interest grew as the price fell, funding was at its 90-day low, and few accounts were long."""
    expected = {"bought_dip", "upside_setup", "large_liquidations", "short_crowded"}
    assert expected <= on(published, "SOL", date(2022, 11, 9))
    query = (
        "select excess_rate_percentile_90d, grid_cell from marts.signal_matrix_daily "
        "where asset = 'SOL' and trade_date = '2022-11-09'"
    )
    assert published.execute(query).fetchall() == [(0.0, "upside_setup")]


@pytest.mark.parametrize("day", [date(2022, 5, 9), date(2023, 8, 17)])
def test_other_days_of_forced_selling_have_deleveraging_and_large_liquidations(
    published: duckdb.DuckDBPyConnection, day: date
) -> None:
    for asset in ("BTC", "ETH"):
        assert {"deleveraging", "large_liquidations"} <= on(published, asset, day)
