"""The whole project on a warehouse without rows, and its unit tests, which need nothing but the tables."""

from __future__ import annotations

from .conftest import Dbt


def test_everything_builds_and_every_unit_test_passes_before_anything_was_loaded(dbt: Dbt) -> None:
    dbt.succeed("build")

    results = dbt.artifact("run_results")["results"]
    kinds = [result["unique_id"].split(".")[0] for result in results]
    assert kinds.count("unit_test") > 20
    assert {result["status"] for result in results} <= {"success", "pass", "no-op"}
    assert dbt.rows("select count(*) from marts.fct_price_daily") == [(0,)]
    assert dbt.rows("select comment <> '' from duckdb_tables() where table_name = 'fct_price_daily'") == [(True,)]
