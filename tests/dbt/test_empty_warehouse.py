"""The whole project on a warehouse without rows, and its unit tests, which need nothing but the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from .dbt_fixture import Dbt


@pytest.fixture(scope="module")
def results(dbt: Dbt) -> Sequence[Mapping[str, Any]]:
    """What a build of everything did with each node, unit tests too; its tables stay in `dbt`, to be copied and not changed."""
    dbt.succeed("build")
    return dbt.results()


def test_everything_builds_and_every_unit_test_passes_before_anything_was_loaded(
    results: Sequence[Mapping[str, Any]], dbt: Dbt
) -> None:
    kinds = [result["unique_id"].split(".")[0] for result in results]
    assert kinds.count("unit_test") > 20
    assert {result["status"] for result in results} <= {"success", "pass", "no-op"}
    assert dbt.rows("select count(*) from marts.fct_price_daily") == [(0,)]
    assert dbt.rows("select comment <> '' from duckdb_tables() where table_name = 'fct_price_daily'") == [(True,)]
    close = "from duckdb_columns() where table_name = 'fct_price_daily' and column_name = 'close_usd'"
    assert dbt.rows(f"select comment {close}") == [("Close of the day. [usd_per_coin, ratio]",)]


@pytest.mark.usefixtures("results")
def test_a_broken_row_fails_the_test_of_each_rule_it_breaks(dbt: Dbt, tmp_path: Path) -> None:
    broken = dbt.copy(tmp_path)
    row = (
        "insert into marts.fct_price_daily by name select 'NOBODY' as asset, date '2024-01-01' as trade_date, "
        "1 as close_usd, 'perp' as close_market, 'binance' as close_venue, false as is_stale, 1 as perp_close_usd, "
        "-1 as volume_base, 1 as volume_venues, '1d' as input_grain, 'files.a' as sources, timestamp '2024-01-02' as available_at"
    )
    with broken.connection() as con:
        con.execute(row)
        con.execute(row)

    assert not broken("test", "--select", "fct_price_daily", "--exclude-resource-type", "unit_test").success

    failed = {
        result["unique_id"].split(".")[2]: result["failures"] for result in broken.results() if result["failures"]
    }
    assert failed["fct_price_daily_row_rules"] == 2
    assert failed["fct_price_daily_conformed_dimensions"] == 2
    assert failed["unique_combination_fct_price_daily_asset__trade_date"] == 1
