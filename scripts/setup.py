"""Makes .venv from requirements.lock, with nothing but the Python that runs this file; uv is used when it is on PATH.

Hashes are verified and nothing is built: every package is a wheel. What the lock holds is decided in scripts/lock.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)


class SetupError(Exception):
    """Set-up cannot go on; the message says what to do."""


def digest(lock: Path, *parts: object) -> str:
    return hashlib.sha256(lock.read_bytes() + json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run(*command: str) -> None:
    try:
        subprocess.run(command, cwd=ROOT, check=True)
    except subprocess.CalledProcessError as error:
        raise SetupError(
            f"set-up: `{' '.join(command[:6])} …` ended with {error.returncode}; the reason stands above. "
            "Remove it and run the same make command again."
        ) from error


def base_python() -> str:
    """The interpreter outside any virtual environment: the caller may be running from the .venv that is replaced."""
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
    """Makes `folder` anew unless its stamp says that it came whole from this lock with this Python.

    It is thrown away rather than mended: a half-written package looks installed to every package client.
    """
    lock = ROOT / "requirements.lock"
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = digest(lock, str(folder), sys.version_info[:2], document["project"], document["build-system"])
    stamp = folder / ".ready"
    if is_ready(stamp, wanted):
        return
    print(
        f"set-up: making {folder.name} from {lock.name} with {'uv' if uv else 'pip'}; a few minutes the first time",
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
            f"{error} On Debian and Ubuntu the module venv is a package of its own: python3-venv."
        ) from error
    # The lock is complete, so nothing is resolved again.
    install(folder, ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(lock)], uv=uv)
    # The builder comes from the lock too: an isolated build would fetch an unpinned one.
    install(folder, ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)], uv=uv)
    mark_ready(stamp, wanted)


def overlay(folder: Path, environment_folder: Path, *, uv: str | None) -> None:
    """Puts the packages of requirements-duckdb2.lock alone into `folder`, to stand before .venv on PYTHONPATH."""
    lock = ROOT / "requirements-duckdb2.lock"
    wanted = digest(lock, sys.version_info[:2])
    stamp = folder / ".ready"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    arguments = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", str(folder), "-r", str(lock)]
    install(environment_folder, arguments, uv=uv)
    mark_ready(stamp, wanted)


def main(arguments: Sequence[str]) -> int:
    if sys.version_info < OLDEST:
        raise SetupError(f"set-up: Python {OLDEST[0]}.{OLDEST[1]} or newer is needed.")
    uv = shutil.which(os.environ.get("UV", "uv"))
    folder = ROOT / ".venv"
    environment(folder, uv=uv)
    if "--with-duckdb2" in arguments:
        overlay(ROOT / ".venv-duckdb2-overlay", folder, uv=uv)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except SetupError as fault:
        print(fault, file=sys.stderr)
        sys.exit(1)
