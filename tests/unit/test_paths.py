"""Preparing the home of a warehouse, and detecting ended processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.core.errors import ConfigError
from pipelines.core.paths import (
    DAGSTER_YAML,
    OVERRIDES,
    claim_process,
    dagster_yaml_is_current,
    environment,
    prepare_home,
    process_is_alive,
    remove_dead_process_locks,
)
from pipelines.core.settings import PROJECT_ROOT, Settings

_CLAIM = """
import sys
from pathlib import Path
from pipelines.core.paths import claim_process
from pipelines.core.settings import Settings
print(claim_process(Settings(home=Path(sys.argv[1]))))
"""


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def dead(home: Settings) -> str:
    """The token of a process that has ended."""
    done = subprocess.run(
        [sys.executable, "-c", _CLAIM, str(home.home)], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_new_home_gets_the_projects_dagster_settings(home: Settings) -> None:
    prepare_home(home)
    assert (home.dagster_home / "dagster.yaml").read_bytes() == DAGSTER_YAML.read_bytes()


def test_changed_dagster_settings_are_overwritten(home: Settings) -> None:
    prepare_home(home)
    (home.dagster_home / "dagster.yaml").write_text("telemetry: {enabled: true}\n", encoding="utf-8")
    prepare_home(home)
    assert (home.dagster_home / "dagster.yaml").read_bytes() == DAGSTER_YAML.read_bytes()


def rendered(home: Settings, overrides: str) -> dict[str, Any]:
    home.root.mkdir(parents=True, exist_ok=True)
    (home.root / OVERRIDES).write_text(overrides, encoding="utf-8")
    prepare_home(home)
    loaded: dict[str, Any] = yaml.safe_load((home.dagster_home / "dagster.yaml").read_text(encoding="utf-8"))
    return loaded


def test_settings_of_the_home_are_laid_over_those_of_the_project_key_by_key(home: Settings) -> None:
    project = yaml.safe_load(DAGSTER_YAML.read_text(encoding="utf-8"))
    found = rendered(
        home, "storage: {postgres: {postgres_url: {env: URL}}}\nrun_monitoring: {poll_interval_seconds: 7}\nnux: null\n"
    )
    assert found["storage"] == {"postgres": {"postgres_url": {"env": "URL"}}}
    assert found["run_monitoring"] == project["run_monitoring"] | {"poll_interval_seconds": 7}
    assert found == {name: value for name, value in project.items() if name != "nux"} | {
        "storage": found["storage"], "run_monitoring": found["run_monitoring"],
    }  # fmt: skip


def test_changed_overrides_are_rendered_again_and_removed_ones_are_gone(home: Settings) -> None:
    assert rendered(home, "sensors: {num_workers: 3}\n")["sensors"]["num_workers"] == 3
    assert dagster_yaml_is_current(home)
    (home.root / OVERRIDES).write_text("sensors: {num_workers: 4}\n", encoding="utf-8")
    assert not dagster_yaml_is_current(home)
    assert rendered(home, "")["sensors"]["num_workers"] != 3


@pytest.mark.parametrize("text", ["- storage\n", "storage: [\n", "just words"])
def test_overrides_that_hold_no_settings_are_refused(home: Settings, text: str) -> None:
    with pytest.raises(ConfigError, match=OVERRIDES):
        rendered(home, text)


def test_a_home_that_cannot_be_written_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    with pytest.raises(ConfigError, match="LEVERHOUSE_HOME"):
        prepare_home(Settings(home=tmp_path / "file" / "home"))


def test_a_process_has_one_token_and_is_alive(home: Settings) -> None:
    token = claim_process(home)
    assert claim_process(home) == token
    assert process_is_alive(home, token)


def test_the_token_of_an_ended_process_is_dead(home: Settings, dead: str) -> None:
    assert not process_is_alive(home, dead)


def test_only_lock_files_of_ended_processes_are_removed(home: Settings, dead: str) -> None:
    own_token = claim_process(home)
    remove_dead_process_locks(home)
    assert [path.stem for path in (home.dagster_home / "processes").glob("*.lock")] == [own_token]
    assert dead != own_token


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_KEPT", "before")
    with environment(EXAMPLE_KEPT="during", EXAMPLE_NEW="during"):
        assert (os.environ["EXAMPLE_KEPT"], os.environ["EXAMPLE_NEW"]) == ("during", "during")
    assert os.environ["EXAMPLE_KEPT"] == "before"
    assert "EXAMPLE_NEW" not in os.environ
