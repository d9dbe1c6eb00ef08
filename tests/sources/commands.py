"""The command line as people start it, in a process of its own, with a venue that is emulated in this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

from pipelines.core.settings import PROJECT_ROOT, Settings
from pipelines.sandbox.emulator import Emulator


def real_now() -> datetime:
    """The clock of processes: a command cannot be told another."""
    return datetime.now(tz=UTC).replace(tzinfo=None)


def start(settings: Settings, emulator: Emulator, *arguments: str) -> subprocess.Popen[str]:
    """`leverhouse ... --json` on the warehouse of `settings`, started and not waited for."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LEVERHOUSE_", "DAGSTER_", "DBT_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *arguments, "--json"],
        cwd=PROJECT_ROOT,
        env=kept
        | {
            "LEVERHOUSE_HOME": str(settings.root),
            "LEVERHOUSE_ENDPOINTS": json.dumps(emulator.endpoints),
            "LEVERHOUSE_VENUES": "bybit",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def leverhouse(settings: Settings, emulator: Emulator, *arguments: str) -> Any:
    """The JSON that a command prints, which must succeed."""
    process = start(settings, emulator, *arguments)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output)
