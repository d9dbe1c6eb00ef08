"""Preparing the home of a warehouse."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.core.errors import ConfigError, NotPermittedError
from pipelines.core.paths import (
    DAGSTER_YAML,
    OVERRIDES,
    dagster_yaml_is_current,
    environment,
    open_to_others,
    plain_path,
    prepare_home,
)
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


def test_the_environment_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_KEPT", "before")
    with environment(EXAMPLE_KEPT="during", EXAMPLE_NEW="during"):
        assert (os.environ["EXAMPLE_KEPT"], os.environ["EXAMPLE_NEW"]) == ("during", "during")
    assert os.environ["EXAMPLE_KEPT"] == "before"
    assert "EXAMPLE_NEW" not in os.environ


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_may_be_passed_and_its_folders_are_private(home: Settings) -> None:
    before = os.umask(0)
    try:
        prepare_home(home)
    finally:
        os.umask(before)
    assert mode(home.root) == 0o711
    folders = (home.raw_dir, home.inbox_dir, home.scratch_dir, home.dbt_target_dir, home.dagster_home)
    assert [mode(folder) for folder in folders] == [0o700] * 5
    assert open_to_others(home) == []


def test_what_others_were_given_is_taken_and_what_a_group_was_given_stays(home: Settings) -> None:
    prepare_home(home)
    home.database.write_bytes(b"")
    home.published_dir.mkdir()
    for path, given in ((home.root, 0o777), (home.raw_dir, 0o755), (home.inbox_dir, 0o770), (home.database, 0o664),
                        (home.published_dir, 0o777)):  # fmt: skip
        path.chmod(given)
    assert set(open_to_others(home)) == {home.root, home.raw_dir, home.database, home.published_dir}
    prepare_home(home)
    found = [mode(path) for path in (home.root, home.raw_dir, home.inbox_dir, home.database, home.published_dir)]
    assert found == [0o771, 0o750, 0o770, 0o660, 0o775]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a home away")
def test_a_home_of_another_user_is_refused(home: Settings) -> None:
    prepare_home(home)
    os.chown(home.root, 65534, -1)
    with pytest.raises(
        NotPermittedError, match=r"belongs to user nobody and this is user root; run the command as its owner"
    ):
        prepare_home(home)


def test_a_name_that_dbt_would_cut_gets_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "a#b"
    folder.mkdir()
    assert plain_path(tmp_path) == tmp_path
    link = plain_path(folder)
    assert "#" not in str(link)
    assert link.resolve() == folder
    assert plain_path(folder) == link
    link.unlink()
    link.symlink_to(tmp_path)
    with pytest.raises(NotPermittedError, match="is not the link to"):
        plain_path(folder)
