"""Creates .venv from requirements.lock. Needs only the Python that runs this file; uses uv if it is on PATH.

Hashes are verified and nothing is built: every package is a wheel. scripts/lock.py writes the lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)


class SetupError(Exception):
    """Setup failed; the message says what to do."""


def digest(lock: Path, *parts: object) -> str:
    return hashlib.sha256(lock.read_bytes() + json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run(*command: str) -> None:
    try:
        subprocess.run(command, cwd=ROOT, check=True)
    except subprocess.CalledProcessError as error:
        raise SetupError(
            f"setup: `{' '.join(command[:6])} …` failed with exit code {error.returncode}; see its output above. "
            "Fix the cause and run the same make command again."
        ) from error


def base_python() -> str:
    """The interpreter outside any virtual environment, because this script may run in the .venv that is replaced."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


def install(folder: Path, arguments: Sequence[str], *, uv: str | None) -> None:
    python = str(folder / "bin" / "python")
    if uv is not None:
        run(uv, "pip", "install", "--quiet", "--python", python, "--compile-bytecode", *arguments)
    else:
        run(python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *arguments)


def is_ready(stamp: Path, wanted: str) -> bool:
    return stamp.is_file() and stamp.read_text() == wanted and (stamp.parent / "bin" / "python").exists()


def mark_ready(stamp: Path, wanted: str) -> None:
    scratch = stamp.with_name(stamp.name + ".new")
    scratch.write_text(wanted)
    scratch.replace(stamp)


def environment(folder: Path, *, uv: str | None) -> None:
    """Recreates `folder` unless its stamp shows that it was completely installed from this lock with this Python.

    It is recreated rather than repaired, because package clients treat a partially written package as installed.
    """
    lock = ROOT / "requirements.lock"
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = digest(lock, str(folder), sys.version_info[:2], document["project"], document["build-system"])
    stamp = folder / ".ready"
    if is_ready(stamp, wanted):
        return
    print(
        f"setup: creating {folder.name} from {lock.name} with {'uv' if uv else 'pip'}; takes a few minutes the first time",
        flush=True,
    )
    stamp.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        if uv is not None:
            run(uv, "venv", "--quiet", "--python", base_python(), str(folder))
        else:
            run(base_python(), "-m", "venv", str(folder))
    except SetupError as error:
        raise SetupError(
            f"{error} On Debian and Ubuntu the module venv is in a separate package: python3-venv."
        ) from error
    # The lock is complete; no resolution is needed.
    install(folder, ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(lock)], uv=uv)
    # The build backend is in the lock too: an isolated build would download an unpinned one.
    install(folder, ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)], uv=uv)
    mark_ready(stamp, wanted)


def overlay(
    folder: Path, lock: Path, environment_folder: Path, *, uv: str | None, builds: str | None = None, built_by: str = ""
) -> None:
    """Installs only the packages of `lock` into `folder`, which precedes .venv on PYTHONPATH.

    All are wheels but `builds`, which is built by `built_by`, another package of the lock: an isolated build would download an
    unpinned one.
    """
    wanted = digest(lock, sys.version_info[:2])
    stamp = folder / ".ready"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    arguments = ["--no-deps", "--require-hashes", "--target", str(folder), "--only-binary", ":all:"]
    if builds is None:
        install(environment_folder, [*arguments, "-r", str(lock)], uv=uv)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            wheels, first = Path(scratch) / "wheels.txt", Path(scratch) / "backend.txt"
            wheels.write_text("\n".join(entry for name, entry in entries(lock) if name != builds))
            first.write_text("\n".join(entry for name, entry in entries(lock) if name == builds))
            install(environment_folder, [*arguments, "-r", str(wheels)], uv=uv)
            print(f"setup: building {builds} with {built_by}; takes a minute", flush=True)
            arguments = [
                "--no-deps",
                "--require-hashes",
                "--target",
                str(folder),
                "--no-build-isolation",
                "-r",
                str(first),
            ]
            with on_path(folder):
                install(environment_folder, arguments, uv=uv)
    mark_ready(stamp, wanted)


def entries(lock: Path) -> Iterator[tuple[str, str]]:
    """Every package of a lock with its pin and hashes."""
    for entry in re.findall(r"^[^#\s]+==.*(?:\n .*)*", lock.read_text(), re.MULTILINE):
        yield entry.partition("==")[0], entry


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    """PYTHONPATH begins with `folder` inside the block."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(folder) if before is None else os.pathsep.join((str(folder), before))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def main(arguments: Sequence[str]) -> int:
    if sys.version_info < OLDEST:
        raise SetupError(f"setup: Python {OLDEST[0]}.{OLDEST[1]} or newer is required.")
    uv = shutil.which(os.environ.get("UV", "uv"))
    folder = ROOT / ".venv"
    environment(folder, uv=uv)
    if "--with-duckdb2" in arguments:
        overlay(ROOT / ".venv-duckdb2-overlay", ROOT / "requirements-duckdb2.lock", folder, uv=uv)
    if "--with-spark" in arguments:
        lock = ROOT / "requirements-spark.lock"
        overlay(ROOT / ".venv-spark-overlay", lock, folder, uv=uv, builds="pyspark", built_by="setuptools")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupError as fault:
        print(fault, file=sys.stderr)
        sys.exit(1)
