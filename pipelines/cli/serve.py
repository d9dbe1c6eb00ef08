"""The command ui: starts Dagster's web UI, daemon and code server on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.core.paths import prepare_home
from pipelines.core.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ui")(ui)


def ui(
    *,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 3000,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; in a container, the container's address.")
    ] = "127.0.0.1",
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", help="Another address under which the UI is opened, such as that of a proxy."),
    ] = None,
) -> None:
    """Start Dagster's web UI, schedules and sensors. Stop with Ctrl-C.

    The server accepts requests only from pages opened under these addresses; other sites in the same browser are refused.
    """
    from pipelines.service.processes import Service

    settings = Settings.load()
    prepare_home(settings)
    service = Service(settings, port, host=host, origins=tuple(origin or ()))
    typer.echo(f"{service.addresses[0]} for the warehouse in {settings.root}", err=True)
    service.run()
