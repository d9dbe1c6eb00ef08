"""Runs the command line in its own process against a venue emulated in this one."""

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
    """The system clock, which other processes use."""
    return datetime.now(tz=UTC).replace(tzinfo=None)


def start(settings: Settings, emulator: Emulator, *arguments: str) -> subprocess.Popen[str]:
    """Start `leverhouse ... --json` on the warehouse of `settings`, without waiting for it."""
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
    """The JSON output of a command that must succeed."""
    process = start(settings, emulator, *arguments)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output)
