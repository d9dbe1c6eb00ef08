"""Dagster's web server behind the guard, as a process: `python -m pipelines.service.web`. Started by processes.py.

The one module that uses private names of Dagster's web server.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipelines.service.guard import App, Guard


@contextmanager
def guarded_app(workspace: Path, *, origins: Sequence[str]) -> Iterator[App]:
    """The pages of the Dagster instance of DAGSTER_HOME, over the code locations that the file `workspace` names."""
    from dagster import DagsterInstance
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.webserver import DagsterWebserver

    with DagsterInstance.get() as instance:
        instance.optimize_for_webserver(statement_timeout=15_000, pool_recycle=3_600, max_overflow=20)
        target = WorkspaceFileTarget([str(workspace)])
        with WorkspaceProcessContext(instance, workspace_load_target=target) as context:
            yield Guard(DagsterWebserver(context).create_asgi_app(), origins=origins)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="pipelines.service.web")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--origin", action="append", required=True, help="an address under which the pages are opened")
    given = parser.parse_args(arguments)

    import uvicorn

    with guarded_app(given.workspace, origins=given.origin) as app:
        uvicorn.run(app, host=given.host, port=given.port, log_level="warning", timeout_graceful_shutdown=5)


if __name__ == "__main__":
    main()
