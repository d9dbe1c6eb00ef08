"""What the recorded history of 2022 and 2023 says about the hypotheses, and how good its liquidation levels are."""

from __future__ import annotations

from datetime import date

import duckdb
import pytest

pytestmark = pytest.mark.timeout(1800)

JUDGED = date(2023, 12, 31)


@pytest.mark.parametrize(
    ("hypothesis", "effect", "low", "high", "p", "events"),
    [
        ("oi_expansion_with_move_adjusted_return_7d_all", -0.011966, -0.019159, -0.004773, 0.0019, 3824),
        ("oi_expansion_adjusted_return_7d_all", 0.001492, -0.003249, 0.006232, 0.5215, 2578),
    ],
)
def test_the_effects_of_expansions_are_those_of_the_record(
    published: duckdb.DuckDBPyConnection, hypothesis: str, effect: float, low: float, high: float, p: float, events: int
) -> None:
    query = """
        select effect, ci_low, ci_high, p, n_events, verdict from marts.signal_scorecard
        where hypothesis_id = ? and judged_on = ?
    """
    [found] = published.execute(query, [hypothesis, JUDGED]).fetchall()
    assert found[:3] == pytest.approx((effect, low, high), abs=1e-5)
    assert found[3] == pytest.approx(p, abs=1e-3)
    # Looked at before it was written down: its verdict counts on later days only.
    assert found[4:] == (events, "not_testable")


def test_no_hypothesis_is_supported_in_two_years(published: duckdb.DuckDBPyConnection) -> None:
    query = (
        "select count(*) from marts.signal_scorecard where judged_on <= ? and verdict in ('supported', 'contradicted')"
    )
    assert published.execute(query, [JUDGED]).fetchall() == [(0,)]


def test_levels_from_closes_alone_are_no_worse_than_distance(published: duckdb.DuckDBPyConnection) -> None:
    query = """
        select side, 1 - sum(loss_map) / sum(loss_distance) from marts.liquidation_levels_skill_daily
        where asset = '*' and trade_date <= ? group by side order by side
    """
    found = dict(published.execute(query, [JUDGED]).fetchall())
    assert found == pytest.approx({"long": 0.020, "short": 0.056}, abs=0.005)


def test_open_interest_is_shared_out_without_a_rest(published: duckdb.DuckDBPyConnection) -> None:
    query = """
        select max(abs(in_bins_base + beyond_bins_base + swept_base + never_base - oi_base) / oi_base)
        from marts.liquidation_levels_summary_daily
    """
    [(worst,)] = published.execute(query).fetchall()
    assert worst <= 1e-9
