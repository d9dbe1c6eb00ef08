"""Starts tests.e2e.failing_machine where a disk is small or a folder cannot be written: in a mount namespace of its own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from pipelines.core.settings import PROJECT_ROOT

NAMESPACE: Final = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")


def small_disk(folder: Path, size: str) -> str:
    """The command that puts an empty disk of this size, in memory, at `folder`."""
    return f"mount -t tmpfs -o size={size} tmpfs {shlex.quote(str(folder))}"


def read_only(folder: Path) -> str:
    """The command after which nothing below `folder` can be written, by root either."""
    place = shlex.quote(str(folder))
    return f"mount --bind {place} {place} && mount -o remount,bind,ro {place}"


def failing_machine(setup: str, case: str, *arguments: object) -> Any:
    """What `case` found on a machine prepared by the command `setup`."""
    done = started(setup, "tests.e2e.failing_machine", case, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def started(setup: str, module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a module in a namespace that `setup` prepares. Skips where this system lets nobody mount in a namespace."""
    tried = subprocess.run(
        ["sh", "-c", shlex.join([*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"])],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"no mount namespace: {tried.stderr.strip()}")
    line = shlex.join([sys.executable, "-m", module, *map(str, arguments)])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEVERHOUSE_", "DAGSTER_", "DBT_"))}
    return subprocess.run(
        [*NAMESPACE, "sh", "-ec", f"{setup}\nexec {line}"],
        cwd=PROJECT_ROOT, env=kept, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
