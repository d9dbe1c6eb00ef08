"""What every test stands on: a clean environment, a warehouse of its own, the folders of recorded data, and dbt's one parse.

Fixtures of one subject live beside its tests; nothing here builds data.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from pydantic import BaseModel

from pipelines.core.settings import Settings
from pipelines.operations.build import ensure_manifest
from tests.dbt.dbt_fixture import Dbt, DbtIn

pytest_plugins = ("tests.suite",)

ROOT = Path(__file__).resolve().parents[1]

# Variables that steer the project and its tools. A test sees none of the caller's and must put back those that it sets.
STEERING = ("LEVERHOUSE_", "DAGSTER_", "DBT_")
# Read before the environment is cleaned: the only settings of a test run that come from outside.
FOLDERS = {
    name: os.environ.get(name)
    for name in ("LEVERHOUSE_RECORDED", "LEVERHOUSE_SAMPLES", "LEVERHOUSE_FIELD", "LEVERHOUSE_REFERENCE")
}
IN_CI = os.environ.get("CI", "").lower() == "true"

# No deadline: a shared machine is slow at times, and pytest-timeout watches already. CI tries the same examples always.
hypothesis.settings.register_profile("leverhouse", deadline=None, database=None, derandomize=IN_CI)
hypothesis.settings.load_profile("leverhouse")


def steering_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(STEERING) or name == "TZ"}


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in steering_variables():
            patch.delenv(name)
        patch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")
        patch.setenv("DBT_SEND_ANONYMOUS_USAGE_STATS", "false")
        time.tzset()
        yield


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fails a test that leaves another working folder or another environment to the next one."""
    folder, before = Path.cwd(), steering_variables()
    yield
    left, here = steering_variables(), Path.cwd()
    for name in left.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    os.chdir(folder)
    assert left == before, "the test leaves environment variables changed; set them with monkeypatch"
    assert here == folder, "the test leaves another working folder; use monkeypatch.chdir"


def _folder(variable: str, name: str) -> Path:
    named = FOLDERS[variable]
    folder = Path(named).expanduser().resolve() if named else ROOT.parent / "shared" / name
    if not folder.is_dir():
        reason = f"no folder {folder}; name it in {variable}"
        if IN_CI or named:
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def recorded_dir() -> Path:
    """Real history: LEVERHOUSE_RECORDED, or shared/recorded beside the project. Read in place, never written."""
    return _folder("LEVERHOUSE_RECORDED", "recorded")


@pytest.fixture(scope="session")
def samples_dir() -> Path:
    """Payloads in wire format: LEVERHOUSE_SAMPLES, or shared/samples beside the project. Read in place."""
    return _folder("LEVERHOUSE_SAMPLES", "samples")


@pytest.fixture(scope="session")
def field_dir() -> Path:
    """Inputs that once failed, with the right outcome: LEVERHOUSE_FIELD, or shared/field beside the project. Read in place."""
    return _folder("LEVERHOUSE_FIELD", "field")


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Fact sheets of chains: LEVERHOUSE_REFERENCE, or shared/reference beside the project. Read in place."""
    return _folder("LEVERHOUSE_REFERENCE", "reference")


@pytest.fixture
def warehouse_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty warehouse root that this process and its children use.

    Every other setting is put into the environment with its default, so that a leverhouse.toml of the developer cannot
    reach a test.
    """
    home = tmp_path / "home"
    home.mkdir()
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if default is not None:
            text = (
                default.model_dump_json()
                if isinstance(default, BaseModel)
                else json.dumps(default)
                if isinstance(default, dict)
                else ",".join(default)
                if isinstance(default, tuple)
                else str(default)
            )
            monkeypatch.setenv(f"LEVERHOUSE_{name.upper()}", text)
    monkeypatch.setenv("LEVERHOUSE_HOME", str(home))
    monkeypatch.setenv("LEVERHOUSE_MAPPINGS", str(home / "mappings"))
    return home


@pytest.fixture
def settings(warehouse_home: Path) -> Settings:
    """Settings of the test's own warehouse."""
    loaded = Settings.load()
    assert loaded.root == warehouse_home.resolve()
    return loaded


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of a run have in common."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def parsed(shared_folder: Path) -> Path:
    """dbt's manifest of the project, which is parsed once for all tests."""
    return ensure_manifest(Settings(home=shared_folder / "parsed"))


@pytest.fixture(scope="session")
def dbt_in(parsed: Path) -> DbtIn:
    """`dbt_in(folder)("run", "--select", ...)`."""
    return lambda folder: Dbt(folder, parsed)


@pytest.fixture(scope="session")
def spare_parsing(parsed: Path) -> Callable[[Settings], None]:
    """Gives a warehouse the manifest that it would otherwise parse the project for."""

    def give(settings: Settings) -> None:
        settings.dbt_target_dir.mkdir(parents=True)
        for file in parsed.parent.glob(f"{parsed.stem}.*"):
            shutil.copy(file, settings.dbt_target_dir)

    return give
