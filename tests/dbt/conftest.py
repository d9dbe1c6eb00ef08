"""A warehouse for dbt that has its tables and no rows."""

from __future__ import annotations

import pytest

from pipelines.contract.ddl import apply_ddl, load_contract

from .dbt_fixture import SCHEMA, Dbt, DbtIn


@pytest.fixture(scope="module")
def dbt(dbt_in: DbtIn, tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    """dbt on a warehouse that has its clean and ops tables and no rows."""
    made = dbt_in(tmp_path_factory.mktemp("dbt"))
    with made.connection() as con:
        apply_ddl(con, load_contract(SCHEMA))
    return made
