"""The wheel: what it carries, that two builds are alike, and that what is installed from it needs nothing of a checkout.

The demo from an installed wheel is slow; everything else takes seconds.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from pipelines.core.settings import PROJECT_ROOT, Settings

CARRIED: Final = "pipelines/_project/"

_HOOK: Final = """
import os, sys
sink = os.open(os.environ["WRITTEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(event, arguments):
    if event == "open":
        names = arguments[:1] if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else ()
    else:
        names = arguments[:2] if event in ("os.mkdir", "os.rename", "os.symlink") else ()
    for name in names:
        if isinstance(name, str | bytes | os.PathLike):
            os.write(sink, os.fsencode(os.path.abspath(os.fsdecode(name))) + bytes([10]))
sys.addaudithook(note)
"""
"""A sitecustomize: every Python process that is started notes what it opens for writing, makes or renames."""


def build(folder: Path) -> Path:
    """A wheel of the checkout in `folder`."""
    variables = os.environ | {"SOURCE_DATE_EPOCH": "1735689600"}
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=PROJECT_ROOT, env=variables, capture_output=True, check=True,
    )  # fmt: skip
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


def files_of(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def tracked() -> Iterator[Path]:
    """What the wheel has to carry: the package, and what it needs of the project."""
    left_out = {"__pycache__", "target", "logs"}
    for folder in ("pipelines", "dbt_project", "warehouse/schema"):
        for path in (PROJECT_ROOT / folder).rglob("*"):
            parts = path.relative_to(PROJECT_ROOT).parts
            if path.is_file() and not left_out & set(parts) and not any(part.startswith(".") for part in parts):
                yield path
    yield PROJECT_ROOT / "warehouse" / "dagster_home" / "dagster.yaml"


def test_the_wheel_carries_the_package_and_what_it_needs_of_the_project_and_nothing_else(wheel: Path) -> None:
    names = {path: path.relative_to(PROJECT_ROOT).as_posix() for path in tracked()}
    wanted = {
        name if name.startswith("pipelines/") else CARRIED + name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path, name in names.items()
    }
    carried = {name: hashlib.sha256(content).hexdigest() for name, content in files_of(wheel).items()}
    assert carried == wanted


def test_two_builds_are_alike(wheel: Path, tmp_path: Path) -> None:
    assert build(tmp_path).read_bytes() == wheel.read_bytes()


def test_an_installed_package_has_its_home_in_the_users_data_folder_and_the_version_of_its_checkout(
    wheel: Path, tmp_path: Path
) -> None:
    unpacked, user, elsewhere = tmp_path / "site", tmp_path / "user", tmp_path / "elsewhere"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    elsewhere.mkdir()
    code = (
        "from pipelines.core.settings import *; from pipelines.operations.build import code_version; s = Settings.load();"
        "from pipelines.contract.ddl import load_contract; from pipelines.sources.tokens import registered;"
        "assert load_contract(s.schema_dir).clean and registered().height;"
        "print(s.root, SETTINGS_FILE, code_version(s), sep='\\n')"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LEVERHOUSE_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=elsewhere, env=kept | {"HOME": str(user), "PYTHONPATH": str(unpacked), "PYTHONSAFEPATH": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    root, file, version = done.stdout.split()
    assert Path(root).is_relative_to(user)
    assert Path(file).is_relative_to(user)
    assert not user.exists(), "reading settings creates nothing"
    from pipelines.operations.build import code_version

    assert version == code_version(Settings(home=tmp_path))


def test_dagster_validates_the_definitions_and_writes_nothing_outside_the_home(
    tmp_path: Path, spare_parsing: Callable[[Settings], None]
) -> None:
    home, empty, scratch, hook = (tmp_path / name for name in ("home", "empty", "scratch", "hook"))
    for folder in (empty, scratch, hook):
        folder.mkdir()
    (hook / "sitecustomize.py").write_text(_HOOK, encoding="utf-8")
    settings = Settings(home=home)
    spare_parsing(settings)
    settings.dagster_home.mkdir()
    given = {
        "LEVERHOUSE_HOME": home, "DAGSTER_HOME": settings.dagster_home, "TMPDIR": scratch, "WRITTEN": tmp_path / "written",
        "PYTHONPATH": f"{hook}{os.pathsep}{PROJECT_ROOT}", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-m", "pipelines.definitions"],
        cwd=empty, env=os.environ | {name: str(value) for name, value in given.items()},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    written = [Path(line) for line in (tmp_path / "written").read_text(encoding="utf-8").splitlines()]
    assert any(path.is_relative_to(home) for path in written), "the hook sees what is written"
    allowed = (home, scratch, Path("/dev"))
    assert [path for path in written if not any(path.is_relative_to(folder) for folder in allowed)] == []
    assert not any(empty.iterdir())


@pytest.mark.slow
def test_the_demo_runs_from_an_installed_wheel_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    environment, empty, user = tmp_path / "environment", tmp_path / "empty", tmp_path / "user"
    empty.mkdir()
    user.mkdir()
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "-qq", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, cwd=empty)
    packages = next((environment / "lib").glob("python*")) / "site-packages"
    # What the package depends on is that of this environment. Its own editable install is not reached: of a folder that a
    # .pth file names no further .pth file is read.
    locked = next(Path(entry) for entry in sys.path if entry.endswith("site-packages"))
    (packages / "locked.pth").write_text(f"{locked}\n", encoding="utf-8")
    before = _listing(packages)
    done = subprocess.run(
        [str(environment / "bin" / "leverhouse"), "demo", "--json"],
        cwd=empty,
        env={"PATH": "/usr/bin:/bin", "HOME": str(user), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (user / ".local" / "share" / "leverhouse" / "demo" / "published" / "leverhouse.duckdb").exists()
    assert not any(empty.iterdir())
    assert _listing(packages) == before


def _listing(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_the_version_of_the_package_is_the_newest_of_the_changelog() -> None:
    text = (PROJECT_ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    headings = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", text, re.MULTILINE)
    numbers = [tuple(map(int, found.split("."))) for found, _ in headings]
    assert numbers == sorted(numbers, reverse=True)
    # Before the first release there is only what is unreleased.
    assert headings[0][0] == version if headings else version == "0.1.0"
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        assert "### Upgrade notes" in section
