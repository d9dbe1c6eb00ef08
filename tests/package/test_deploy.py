"""What stands in deploy/: the compose file, the image and the units keep the rules that deploy/README.md states.

No Docker daemon is needed. The commands of the image are tested in test_wheel.py and tests/service.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.core.paths import OVERRIDES, dagster_yaml
from pipelines.core.settings import PROJECT_ROOT, Settings

DEPLOY = PROJECT_ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
VERSION = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_every_container_is_pinned_confined_and_watched(name: str) -> None:
    service = COMPOSE["services"][name]
    image, _, tag = service["image"].partition(":")
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?(-\w+)?", tag), f"{image} is pinned to a version"
    assert service["read_only"] is True
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["healthcheck"]["test"]
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", []))
    assert not any("PASSWORD" in key and value for key, value in service["environment"].items() if "FILE" not in key)


def test_volumes_and_secrets_that_are_used_are_declared() -> None:
    for service in COMPOSE["services"].values():
        named = {volume.split(":")[0] for volume in service["volumes"] if not volume.startswith(".")}
        assert named <= set(COMPOSE["volumes"])
        assert set(service["secrets"]) <= set(COMPOSE["secrets"])


def test_the_versions_of_image_and_package_are_one() -> None:
    assert COMPOSE["services"]["leverhouse"]["image"] == f"leverhouse:{VERSION}"
    named = "".join((DEPLOY / name).read_text(encoding="utf-8") for name in ("README.md", "Dockerfile"))
    assert set(re.findall(r"leverhouse[:-](\d+\.\d+\.\d+)", named)) == {VERSION}


def test_the_image_runs_as_nobody_special_from_pinned_packages_and_copies_what_exists() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    assert re.search(r"^ARG PYTHON=python:\d+\.\d+\.\d+-", DOCKERFILE, re.MULTILINE)
    assert "USER 10001:10001" in stages[-1]
    for command in re.findall(r"pip install (?:[^&]|\\\n)*", DOCKERFILE):
        assert "--require-hashes" in command or "--no-index" in command
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        assert [source for source in line.split()[:-1] if not (PROJECT_ROOT / source).exists()] == []


def test_storage_in_postgres_reaches_dagster(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "dagster_overrides.yaml", tmp_path / OVERRIDES)
    rendered = yaml.safe_load(dagster_yaml(Settings(home=tmp_path)))
    assert rendered["storage"]["postgres"]["postgres_db"]["password"] == {"env": "DAGSTER_POSTGRES_PASSWORD"}
    assert rendered["telemetry"] == {"enabled": False}
    mounts = COMPOSE["services"]["leverhouse"]["volumes"]
    assert f"./dagster_overrides.yaml:/var/lib/leverhouse/{OVERRIDES}:ro" in mounts


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    units = []
    for unit in sorted((DEPLOY / "systemd").iterdir()):
        # The program is not installed where this runs.
        text = unit.read_text(encoding="utf-8").replace("/opt/leverhouse/bin/leverhouse", "/bin/true")
        units.append(tmp_path / unit.name)
        units[-1].write_text(text, encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", *map(str, units)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
