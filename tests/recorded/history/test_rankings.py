"""What ranks on the recorded history: the collapse of November 2022 among the days of risk, and dollars among the colors."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import duckdb
import pytest

from pipelines.core.settings import PROJECT_ROOT
from pipelines.operations.examples import load_examples

pytestmark = pytest.mark.timeout(1800)

DAYS = "trade_date between date '2022-01-02' and date '2023-12-02'"


def test_every_signal_that_is_on_has_a_strength(published: duckdb.DuckDBPyConnection) -> None:
    sql = (
        "select count(*) > 10000, bool_and(strength > 0), bool_and(strength <= 1), count(*) = count(strength) "
        "from marts.signals_daily where state = 'on'"
    )
    assert published.execute(sql).fetchall() == [(True, True, True, True)]


@pytest.mark.parametrize(("column", "lead"), [("risk_score", 1.01), ("large_liquidations_strength", 1.4)])
def test_8_november_2022_is_the_riskiest_day_of_2022_and_2023(
    published: duckdb.DuckDBPyConnection, column: str, lead: float
) -> None:
    """By the mean over the assets whose liquidations are known, as the example riskiest_days ranks."""
    sql = (
        f"select trade_date, avg({column}) from marts.signal_matrix_daily where large_liquidations_state <> 'unknown' "
        f"and risk_score is not null and {DAYS} group by trade_date having count(*) >= 50 order by 2 desc limit 2"
    )
    (first, highest), (_, second) = published.execute(sql).fetchall()
    assert first == date(2022, 11, 8)
    assert highest > lead * second


def test_more_risk_is_a_higher_score(published: duckdb.DuckDBPyConnection) -> None:
    """A day with only large liquidations on is above one with only healthy funding."""
    sql = (
        "select min(risk_score) filter (large_liquidations_state = 'on'), max(risk_score) filter (healthy_funding_state = 'on') "
        "from marts.signal_matrix_daily where signals_on = 1"
    )
    ((liquidated, healthy),) = published.execute(sql).fetchall()
    assert liquidated > 0 > healthy


def test_colors_fill_the_scale(published: duckdb.DuckDBPyConnection) -> None:
    sql = (
        "select min(color_value), max(color_value), avg(cast(color_value < 0.2 as int)), avg(cast(color_value > 0.8 as int)), "
        "count(distinct (asset, color_low_usd, color_high_usd)) = count(distinct asset), "
        "min(color_hex), max(color_hex) filter (color_value = 1) from marts.liquidation_heatmap_daily"
    )
    ((low, high, purple, yellow, one_scale, _, brightest),) = published.execute(sql).fetchall()
    assert (low, high) == (0, 1)
    assert purple > 0.1
    assert yellow > 0.1
    assert one_scale, "an asset has one scale of dollars"
    assert brightest == "#f7ee5a"


def test_the_map_by_price_has_every_bin_and_every_dollar(published: duckdb.DuckDBPyConnection) -> None:
    query = load_examples(PROJECT_ROOT / "dbt_project")["liquidation_map_by_price"].query
    bins = published.execute(query).fetchall()
    edges = [(low, high) for low, high, *_ in bins]
    assert all(low == pytest.approx(high, rel=1e-9) for (_, high), (low, _) in pairwise(edges))
    assert any(usd == 0 for _, _, _, usd, *_ in bins), "bins without liquidations are rows of zero"
    sql = (
        "select sum(notional_usd) from marts.liquidation_heatmap_daily where asset = 'BTC' and trade_date > "
        "(select max(trade_date) from marts.fct_price_daily where asset = 'BTC' and close_usd is not null) - 90"
    )
    ((total,),) = published.execute(sql).fetchall()
    assert sum(usd for _, _, _, usd, *_ in bins) == pytest.approx(total or 0)
