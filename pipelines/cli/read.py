"""The reading commands: status and sql. They open only the published file."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from rich.markup import escape

from pipelines.cli.grid import printable, records, spreadsheet_safe, table
from pipelines.cli.report import (
    print_missing,
    print_refused,
    print_refused_imports,
    print_refused_landings,
    uncovered_note,
)
from pipelines.cli.screen import Screen, plain, shown
from pipelines.core.errors import ConfigError, PermanentError
from pipelines.core.files import is_machine_fault
from pipelines.core.settings import Settings

SHOWN_ROWS: Final = 1_000
"""Maximum rows of a result on the screen; --csv and --json print all."""


class QueryError(PermanentError):
    """The query is invalid, or not allowed for a reader."""

    exit_code = 65


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("status")(status)
    app.command("sql")(sql)


def status(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")] = False
) -> None:
    """Show what the published file contains, how fresh it is, and what is missing."""
    from pipelines.extract.landing import utc_now
    from pipelines.operations.datasets import find_datasets, uncovered_in_inbox
    from pipelines.operations.diagnostics import refused_landings
    from pipelines.operations.import_check import refused_imports
    from pipelines.operations.recorders import recorder_reports
    from pipelines.storage.snapshots import inspect_snapshots
    from pipelines.storage.status import published_status
    from pipelines.storage.warehouse import reader

    settings = Settings.load()
    screen = Screen()
    refused = refused_landings(settings)
    imports = refused_imports(settings)
    uncovered = uncovered_in_inbox(settings, find_datasets(settings))
    if not settings.published_database.exists() and not as_json:
        # What was refused must be readable before anything was ever published.
        print_refused_landings(screen, refused)
        print_refused_imports(screen, imports)
    if not as_json:
        mapped = {dataset.name for dataset in find_datasets(settings)}
        for path in uncovered:
            screen.note(uncovered_note(settings, path, mapped))
    faults = list(inspect_snapshots(settings, full=False))
    if not as_json:
        # Before the file is opened, which what a client did to it may prevent.
        for fault in faults:
            screen.note(f"{fault.what}; {fault.next_step}")
    with reader(settings) as con:
        found = published_status(con, str(settings.published_database))
    recorders = recorder_reports(settings, utc_now())
    if as_json:
        screen.json(
            {
                **plain(found),
                "recorders": [plain(one) for one in recorders],
                "newest_day": found.newest_day,
                "refused_landings": [plain(one) for one in refused],
                "refused_imports": [plain(one) for one in imports],
                "uncovered": [str(path) for path in uncovered],
                "snapshot_faults": [plain(fault) for fault in faults],
            }
        )
        return
    screen.out.print(
        f"{escape(shown(found.database))}, published {found.published_at:%Y-%m-%d %H:%M:%S} UTC, "
        f"newest day {found.newest_day or 'none'}"
    )
    screen.table("Loaded", [vars(holding) for holding in found.holdings], empty="nothing")
    screen.table("Marts", [{"mart": name, "rows": rows} for name, rows in found.marts.items()])
    for one in recorders:
        screen.text(one.line)
    print_refused(screen, found)
    print_refused_landings(screen, refused)
    print_refused_imports(screen, imports)
    print_missing(screen, found)


def sql(
    query: Annotated[str | None, typer.Argument(help="A query on the schemas marts and ops.")] = None,
    *,
    example: Annotated[str | None, typer.Option("--example", help="Run the example query of this name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array of objects.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="With --csv: no apostrophe before a text that a spreadsheet would run as a formula."
        ),
    ] = False,
    expanded: Annotated[
        bool, typer.Option("--expanded", "-x", help="Print a column a line, a row after the other.")
    ] = False,
) -> None:
    """Query the published file, read-only and without access to other files; without a query, list the examples.

    A result that is wider than the terminal is printed in blocks of columns, each with asset and date; nothing is cut without
    a mark. Into a pipe or file every row is one line.
    """
    import duckdb

    from pipelines.operations.examples import load_examples
    from pipelines.storage.warehouse import reader

    if as_json and as_csv:
        raise ConfigError("sql: give --json or --csv, not both.")
    if query is not None and example is not None:
        raise ConfigError("sql: give a query or --example, not both.")
    settings, screen = Settings.load(), Screen()
    if query is None:
        examples = load_examples(settings.dbt_project_dir)
        if example is None:
            listed = [{"example": one.name, "question": one.question} for one in examples.values()]
            screen.json(listed) if as_json else screen.table("Examples", listed)
            return
        if example not in examples:
            raise ConfigError(f"sql: no example '{example}'; 'leverhouse sql' lists them.")
        chosen = examples[example]
        query = chosen.query
        screen.note(f"{chosen.question}\nAnswer: {chosen.unit}\nTrust: {chosen.trust}")
    with reader(settings) as con:
        try:
            cursor = con.execute(query)
            names = [column[0] for column in cursor.description or ()]
            rows: list[tuple[Any, ...]] = cursor.fetchall() if as_json or as_csv else cursor.fetchmany(SHOWN_ROWS + 1)
        except duckdb.OutOfMemoryException as error:
            raise QueryError(
                f"sql: the query needs more than {settings.limits.reader_memory} of memory, the limit reader_memory, and the disk "
                "has no room for the rest. Ask for less, or raise limits.reader_memory in leverhouse.toml (docs/limits.md)."
            ) from error
        except duckdb.Error as error:
            if is_machine_fault(error):
                raise
            raise QueryError(f"sql: {error}") from error
    if as_json:
        screen.json([dict(zip(names, row, strict=True)) for row in rows])
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        exported: list[Sequence[Any]] = [names, *rows]
        if not raw:
            exported = [[spreadsheet_safe(value) for value in row] for row in exported]
        if sys.stdout.isatty():
            exported = [[printable(value) if isinstance(value, str) else value for value in row] for row in exported]
        writer.writerows(exported)
    elif not rows:
        screen.note("no rows")
    else:
        shown = rows[:SHOWN_ROWS]
        lines = records(names, shown) if expanded else table(names, shown, width=screen.width)
        for line in lines:
            screen.text(line)
        if len(rows) > SHOWN_ROWS:
            screen.note(f"the first {SHOWN_ROWS} rows; --csv and --json print all")
