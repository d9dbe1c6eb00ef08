"""The definitions of a small warehouse; dbt's manifest is prepared once, because parsing the project takes time."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from pipelines.core.settings import Settings
from pipelines.defs.assemble import build_definitions
from tests.e2e.example_history import MAPPING


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    """An empty warehouse with one data set and one venue."""
    settings = Settings(
        home=tmp_path / "home", mappings=tmp_path / "mappings", venues=("bybit",), lock_timeout_seconds=0.2
    )
    settings.mappings_dir.mkdir(parents=True)
    (settings.mappings_dir / "example.toml").write_text(MAPPING, encoding="utf-8")
    return settings


@pytest.fixture
def definitions(home: Settings, manifest: Path) -> dg.Definitions:
    return build_definitions(home, manifest=manifest)
