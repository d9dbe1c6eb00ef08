"""The command export: the tables that models read, as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.screen import Screen
from pipelines.core.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder for the files; those of an earlier export are replaced.")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")] = False,
) -> None:
    """Write the clean tables, the ledger and the statistics to DIR as Parquet, for dbt on another engine (docs/scale.md).

    The marts are Parquet already, in published/parquet.
    """
    from pipelines.storage.export import export_parquet
    from pipelines.storage.warehouse import writer

    settings = Settings.load()
    with writer(settings, what="export") as con:
        done = export_parquet(con, folder.resolve())
    screen = Screen()
    if as_json:
        screen.json({"folder": str(done.folder), "tables": done.tables, "rows": done.rows})
    else:
        screen.note(f"{done.tables} tables, {done.rows:,} rows in {done.folder}")
