"""The command ui: starts Dagster's webserver and daemon on this machine."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from pipelines.core.paths import prepare_home
from pipelines.core.settings import PROJECT_ROOT, Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ui")(ui)


def ui(*, port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")] = 3000) -> None:
    """Start Dagster's webserver and daemon: lineage, runs, schedules and the inbox sensor. Stop with Ctrl-C."""
    settings = Settings.load()
    prepare_home(settings)
    typer.echo(f"http://127.0.0.1:{port} for the warehouse in {settings.root}", err=True)
    command = [
        *(sys.executable, "-m", "dagster", "dev"),
        *("--workspace", str(PROJECT_ROOT / "workspace.yaml")),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    variables = {
        **os.environ,
        "DAGSTER_HOME": str(settings.dagster_home),
        "LEVERHOUSE_HOME": str(settings.root),
        "LEVERHOUSE_MAPPINGS": str(settings.mappings_dir),
        # Dagster's processes must find the package in an uninstalled checkout too.
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PROJECT_ROOT), os.environ.get("PYTHONPATH")))),
    }
    # A shell makes background processes ignore SIGINT, but Dagster stops its child processes with it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execve(sys.executable, command, variables)  # noqa: S606 - the arguments are a list, no shell reads them
