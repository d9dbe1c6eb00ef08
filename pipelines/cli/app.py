"""Assembles the command line and converts errors into a message and an exit code."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pipelines.cli import (
    backup,
    demo,
    doctor,
    evaluate,
    export,
    ingest,
    landings,
    mappings,
    read,
    record,
    report_pages,
    serve,
    trace,
)
from pipelines.cli.grid import printable
from pipelines.core import redaction
from pipelines.core.errors import LeverhouseError
from pipelines.core.files import allow_open_files, explained, private_files
from pipelines.core.settings import Settings


class Commands(TyperGroup):
    """Prints a LeverhouseError, or a fault of this machine, without traceback, unless --debug is given, and exits with its code.

    Neither shows a secret, nor does a traceback of any other error, and none steers the terminal.
    """

    def invoke(self, ctx: Any) -> Any:
        redaction.install()
        try:
            allow_open_files()
            with private_files():
                return super().invoke(ctx)
        except LeverhouseError as error:
            raise _failed(ctx, error) from error
        except KeyboardInterrupt as interrupt:
            raise _interrupted() from interrupt
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except Exception as error:
            # Python 3.11 raises this for an interrupt during the creation of a class, as in the seconds of importing.
            if isinstance(error, RuntimeError) and isinstance(error.__cause__, KeyboardInterrupt):
                raise _interrupted() from error
            fault = explained(error, home=Settings.load().root)
            if fault is None:
                raise
            raise _failed(ctx, fault) from error


def _failed(ctx: Any, error: LeverhouseError) -> typer.Exit:
    text = redaction.format_error(error) if ctx.params.get("debug") else f"error: {redaction.redact(str(error))}"
    typer.echo(printable(text, keep="\n").rstrip("\n"), err=True)
    return typer.Exit(error.exit_code)


def _interrupted() -> typer.Exit:
    typer.echo("interrupted; the next run continues the work", err=True)
    return typer.Exit(130)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A warehouse of crypto leverage, from files and venues to published marts. Data is stored in LEVERHOUSE_HOME.",
)


def _show_version(value: bool) -> None:  # noqa: FBT001 - typer calls it with the flag's value
    if value:
        try:
            typer.echo(version("leverhouse"))
        except PackageNotFoundError:
            typer.echo("not installed; run from a checkout")
        raise typer.Exit


@app.callback()
def options(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Global options."""


for module in (
    ingest,
    mappings,
    record,
    landings,
    backup,
    export,
    demo,
    evaluate,
    read,
    trace,
    report_pages,
    doctor,
    serve,
):
    module.register(app)


def main() -> None:
    """Entry point of the `leverhouse` script."""
    app()
