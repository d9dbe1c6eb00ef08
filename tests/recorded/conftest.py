"""Fixtures: each recorded data set parsed once with its mapping."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pipelines.contract.ddl import Contract, load_contract
from pipelines.core.settings import PROJECT_ROOT
from pipelines.extract.landing import LandingStore
from pipelines.sources.files.source import land_matches, open_landings
from tests.recorded.recorded_fixture import FOLDERS, MAPPINGS, Dataset, Load


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract(PROJECT_ROOT / "warehouse" / "schema")


@pytest.fixture(scope="module")
def load(recorded_dir: Path, contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Rows of a data set by table, with its rejects as `rejects`; each data set is parsed once."""
    datasets: dict[str, Dataset] = {}

    def loaded(name: str) -> Dataset:
        if name not in datasets:
            store = LandingStore(tmp_path_factory.mktemp(name))
            landings = land_matches(store, MAPPINGS / f"{name}.toml", root=recorded_dir / FOLDERS[name])
            parse, _ = open_landings(store, contract, landings)
            batches = [batch for landing in landings for batch in parse(landing)]
            datasets[name] = {
                table: pl.concat([b.rows for b in batches if b.table == table and b.rows.width > 2], how="diagonal")
                for table in dict.fromkeys(batch.table for batch in batches)
            }
            datasets[name]["rejects"] = pl.concat([batch.rejects for batch in batches])
        return datasets[name]

    return loaded
