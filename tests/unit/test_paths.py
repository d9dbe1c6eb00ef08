"""Preparing the home of a warehouse."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.core.errors import ConfigError
from pipelines.core.paths import DAGSTER_YAML, environment, prepare_home
from pipelines.core.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def test_a_new_home_gets_the_projects_dagster_settings(home: Settings) -> None:
    prepare_home(home)
    assert (home.dagster_home / "dagster.yaml").read_bytes() == DAGSTER_YAML.read_bytes()


def test_changed_dagster_settings_are_overwritten(home: Settings) -> None:
    prepare_home(home)
    (home.dagster_home / "dagster.yaml").write_text("telemetry: {enabled: true}\n", encoding="utf-8")
    prepare_home(home)
    assert (home.dagster_home / "dagster.yaml").read_bytes() == DAGSTER_YAML.read_bytes()


def test_a_home_that_cannot_be_written_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    with pytest.raises(ConfigError, match="LEVERHOUSE_HOME"):
        prepare_home(Settings(home=tmp_path / "file" / "home"))


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_KEPT", "before")
    with environment(EXAMPLE_KEPT="during", EXAMPLE_NEW="during"):
        assert (os.environ["EXAMPLE_KEPT"], os.environ["EXAMPLE_NEW"]) == ("during", "during")
    assert os.environ["EXAMPLE_KEPT"] == "before"
    assert "EXAMPLE_NEW" not in os.environ
