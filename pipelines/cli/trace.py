"""The command trace: from a row of a mart to the lines it was made of, and from a landing to what it feeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipelines.cli.screen import Screen, plain
from pipelines.core.errors import ConfigError
from pipelines.core.settings import Settings

if TYPE_CHECKING:
    from pipelines.operations.trace import Fed, Line, Step

DEFAULT_LANDINGS: Final = 20
DEFAULT_LINES: Final = 1_000


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command("trace")(trace)


def trace(
    mart: Annotated[str | None, typer.Argument(help="A mart.")] = None,
    key: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY...]", help="The values of its key, such as BTC 2025-05-28.")
    ] = None,
    *,
    landing: Annotated[
        str | None, typer.Option("--landing", metavar="ID", help="A landing, or its first characters: what it feeds.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=0, help="Follow rows of so many days before, too.")] = 0,
    landings: Annotated[
        int, typer.Option("--landings", min=0, help="Landings to look for lines in.")
    ] = DEFAULT_LANDINGS,
    lines: Annotated[int, typer.Option("--lines", min=0, help="Lines to name.")] = DEFAULT_LINES,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")] = False,
) -> None:
    """Show what a row of a mart was made of: tables, landings, requests, lines; or what a landing feeds."""
    from pipelines.operations.trace import trace_landing, trace_row

    settings, screen = Settings.load(), Screen()
    if (mart is None) == (landing is None):
        raise ConfigError("trace: name a mart and the values of its key, or a landing with --landing, and not both.")
    if landing is not None:
        found = trace_landing(settings, landing)
    else:
        found = trace_row(settings, str(mart), key or [], days=days, most_landings=landings, most_lines=lines)
    if as_json:
        screen.json(plain(found))
        return
    if found.row:
        screen.table(found.of, [{"column": name, "value": value} for name, value in found.row.items()])
    screen.table("Steps", [_step(step) for step in found.steps])
    screen.table("Landings", [_landing(one) for one in found.landings], empty="none")
    if landing is not None:
        return
    screen.table("Requests", [
        {"landing": one.landing_id, **request} for one in found.landings for request in one.requests
    ], empty="none: the landings are files")  # fmt: skip
    screen.table("Lines", list(_spans(found.lines)), empty="none")
    if found.landings_left or found.lines_left:
        screen.note(
            f"not shown: {found.lines_left} lines, and those of {found.landings_left} landings; ask for more with --lines and "
            "--landings"
        )


def _spans(lines: Iterable[Line]) -> Iterator[dict[str, Any]]:
    """Lines that follow each other in one answer or file as one: the first and the last, and the keys of both."""
    first = last = None
    for line in lines:
        if first is not None and last is not None:
            if (line.table, line.landing_id, line.where) == (first.table, first.landing_id, first.where) and (
                line.line - last.line in (0, 1)
            ):
                last = line
                continue
            yield _span(first, last)
        first = last = line
    if first is not None and last is not None:
        yield _span(first, last)


def _span(first: Line, last: Line) -> dict[str, Any]:
    def key(line: Line) -> str:
        return ", ".join(str(value) for value in line.key.values())

    return {
        "landing": first.landing_id,
        "where": first.where,
        "from line": first.line,
        "to line": last.line,
        "table": first.table,
        "first row": key(first),
        "last row": key(last),
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "table": step.table,
        "kind": step.kind,
        "rows": step.rows,
        "from": step.first_day,
        "to": step.last_day,
        "by": ", ".join(step.found_by),
        "rule": step.rule,
        "file": step.file,
    }


def _landing(one: Fed) -> dict[str, Any]:
    return {
        "landing": one.landing_id,
        "source": one.source,
        "partition": one.partition,
        "part": one.part,
        "version": one.version,
        "fetched": one.fetched_at,
        "state": one.fault or one.completeness,
        "rows": ", ".join(f"{table} {rows}" for table, rows in one.tables.items()),
        "read by": one.read_by,
        "file": one.path,
    }
