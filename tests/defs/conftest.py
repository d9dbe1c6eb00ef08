"""A small warehouse and its definitions, which tests read and do not change: building them takes half a second."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from pipelines.core.settings import Settings
from pipelines.defs.assemble import build_definitions
from tests.e2e.example_history import MAPPING


def small_warehouse(folder: Path) -> Settings:
    """An empty warehouse with one mapping and one venue."""
    settings = Settings(home=folder / "home", mappings=folder / "mappings", venues=("bybit",), lock_timeout_seconds=0.2)
    settings.mappings_dir.mkdir(parents=True)
    (settings.mappings_dir / "example.toml").write_text(MAPPING, encoding="utf-8")
    return settings


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return small_warehouse(tmp_path)


@pytest.fixture(scope="session")
def definitions(parsed: Path, tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(small_warehouse(tmp_path_factory.mktemp("definitions")), manifest=parsed)
