"""The report of commands that change the warehouse: loaded, refused and missing data, path of the published file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from rich.markup import escape

from pipelines.cli.screen import Screen, plain, shown
from pipelines.cli.session import Session
from pipelines.core.settings import Settings
from pipelines.extract.landing import Refusal
from pipelines.storage.status import Missing, Refused, Status

LINES: Final = 25
"""Maximum rows of a table on the screen; --json prints all."""


def print_run(screen: Screen, session: Session, *, as_json: bool) -> None:
    """Print the report of all runs of a session."""
    record = session.record
    status = published(session) if record.publication else None
    loads = [
        {
            "source": source,
            "table": load.table,
            "received": load.received,
            "accepted": load.accepted,
            "duplicates": load.duplicates,
            "quarantined": load.quarantined,
            "first_day": load.first_day,
            "last_day": load.last_day,
        }
        for source, load in record.loads
    ]
    if as_json:
        screen.json(
            {
                "runs": [
                    {
                        "job": run.job,
                        "run_id": run.run_id,
                        "succeeded": run.succeeded,
                        "error": str(run.error or "") or None,
                    }
                    for run in session.runs
                ],
                "landed": {name: {"files": files, "new": new} for name, (files, new) in record.landings.items()},
                "loaded": loads,
                "failed": {source: str(error) for source, error in record.failures.items()},
                "refused_landings": [plain(one) for one in record.refused],
                "build": _build(session),
                "compared": {
                    tables: {"tables": one.tables, "differences": list(one.differences), "pending": one.pending}
                    for tables, one in record.comparisons.items()
                },
                "refused": [plain(row) for row in status.refused] if status else None,
                "missing": [plain(row) for row in status.missing] if status else None,
                "published": record.publication.database if record.publication else None,
            }
        )
        return
    screen.table("Loaded", loads, empty="nothing was pending")
    print_refused_landings(screen, record.refused)
    for source, error in record.failures.items():
        screen.out.print(f"[red]not loaded[/red] {escape(shown(source))}: ", end="")
        screen.out.print(shown(str(error), keep="\n"), markup=False)
    if status:
        print_refused(screen, status)
        print_missing(screen, status)
    if record.publication:
        screen.out.print(
            f"[bold]Published[/bold]: {record.publication.tables} marts, {record.publication.rows:,} rows in "
            f"{escape(shown(str(record.publication.database)))}, Parquet in {escape(shown(str(record.publication.parquet)))}"
        )


def print_nothing_new(screen: Screen, settings: Settings, since: datetime, *, as_json: bool) -> None:
    """Print that a run had nothing to do: as JSON the document of a run without runs."""
    if as_json:
        nothing: dict[str, Any] = {
            "runs": [],
            "landed": {},
            "loaded": [],
            "failed": {},
            "refused_landings": [],
            "build": None,
        }
        nothing |= {"compared": {}, "refused": None, "missing": None, "published": settings.published_database}
        screen.json({**nothing, "nothing_new_since": since})
        return
    screen.out.print(
        f"nothing new since {since:%Y-%m-%d %H:%M:%S} UTC; published: {escape(shown(str(settings.published_database)))}. "
        "--force builds all the same."
    )


def print_refused(screen: Screen, status: Status) -> None:
    """Quarantined rows by reason."""
    _print_first(screen, "In quarantine", status.refused, empty="no rows")


def print_refused_landings(screen: Screen, refusals: Sequence[Refusal]) -> None:
    """Landings that are not loaded because something in them is wrong, and what to do."""
    if not refusals:
        return
    rows = [
        {
            "id": x.landing_id,
            "source": x.source,
            "partition": x.partition,
            "part": x.part,
            "reason": x.reason,
            "detail": x.detail,
        }
        for x in refusals[:LINES]
    ]
    more = f" (the first {LINES} of {len(refusals)})" if len(refusals) > LINES else ""
    screen.table(f"Refused landings{more}", rows)
    screen.note(
        "'leverhouse landing show ID' shows one; accept it if its data is right, forget it, or correct its mapping"
    )


def print_missing(screen: Screen, status: Status) -> None:
    """Missing or partial days by reason."""
    _print_first(screen, "Missing or partial days", status.missing, empty="none")


def _print_first(screen: Screen, title: str, rows: Sequence[Refused] | Sequence[Missing], *, empty: str) -> None:
    more = f" (the first {LINES} of {len(rows)}; --json prints all)" if len(rows) > LINES else ""
    screen.table(title + more, [vars(row) for row in rows[:LINES]], empty=empty)


def published(session: Session) -> Status:
    """Status of the snapshot published in this session."""
    from pipelines.storage.status import published_status
    from pipelines.storage.warehouse import reader

    with reader(session.settings) as con:
        return published_status(con, str(session.settings.published_database))


def _build(session: Session) -> dict[str, Any] | None:
    report = session.record.build
    if report is None:
        return None
    return {
        "models": len(report.models),
        "tests": len(report.tests),
        "seconds": round(report.seconds, 1),
        "warnings": [node.name for node in report.nodes if node.status == "warn"],
        "faults": [{"name": node.name, "message": node.message} for node in report.faults],
    }
