"""The report of commands that change the warehouse: loaded, refused and missing data, path of the published file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape

from pipelines.cli.screen import Screen, plain, shown
from pipelines.cli.session import Session
from pipelines.core.settings import Settings

if TYPE_CHECKING:
    from pipelines.extract.landing import Refusal
    from pipelines.operations.import_check import ImportReport
    from pipelines.quality.batch import CheckResult
    from pipelines.storage.status import Missing, Refused, Status

LINES: Final = 25
"""Maximum rows of a table on the screen; --json prints all."""

SAMPLES: Final = 3
"""Offending rows of a check on the screen."""

RAW_LENGTH: Final = 120
"""Characters of a rejected record on the screen."""


def print_run(screen: Screen, session: Session, *, as_json: bool) -> None:
    """Print the report of all runs of a session."""
    record = session.record
    status = published(session) if record.publication else None
    loads = [
        {
            "source": source,
            "table": load.table,
            "received": load.received + load.ignored,
            "accepted": load.accepted,
            "duplicates": load.duplicates,
            "quarantined": load.quarantined,
            "ignored": load.ignored,
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
                "rejects": [{"source": x.source, **row} for x in record.imports for row in x.load.rejects],
                "warnings": [
                    *({"source": x.source, "note": note} for x in record.imports for note in x.notes),
                    *(
                        {
                            "source": x.source,
                            "check": f"{c.table}.{c.check_name}",
                            "cause": c.cause,
                            "observed": c.observed,
                            "sample": c.sample,
                        }
                        for x in record.reports
                        for c in x.checks
                        if not c.passed
                    ),
                ],
                "uncovered": [str(path) for x in record.imports for path in x.uncovered],
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
    for report in record.imports:
        print_import(screen, report)
    for load in record.reports:
        print_warnings(screen, load.source, load.checks)
    imported = {refusal.landing_id for report in record.imports for refusal in report.load.refused}
    print_refused_landings(screen, [x for x in record.refused if x.landing_id not in imported])
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


def print_import(screen: Screen, report: ImportReport) -> None:
    """What an import found: rejected rows, what is left open, and the files that no mapping covers."""
    rejects = [
        {**row, "raw": None if row["raw"] is None else row["raw"][:RAW_LENGTH]} for row in report.load.rejects[:LINES]
    ]
    if rejects:
        screen.table(f"Rejected rows of {report.source}, with the first of each kind", rejects)
    for note in report.notes:
        screen.out.print(f"[yellow]warning[/yellow] {escape(shown(note))}")
    for path in report.uncovered:
        screen.note(f"not imported: {path}: the mapping has no pattern for it")
    for refusal in report.load.refused:
        screen.out.print(f"[red]refused[/red] {escape(shown(refusal.part))}: ", end="")
        screen.out.print(shown(refusal.detail), markup=False)
        for value in refusal.sample[:SAMPLES]:
            screen.out.print(f"  {shown(value)}", markup=False)


def print_warnings(screen: Screen, source: str, checks: Sequence[CheckResult]) -> None:
    """Failed checks that did not refuse anything, with what they mean and samples."""
    from pipelines.quality.suites import SUITES

    for check in [x for x in checks if not x.passed][:LINES]:
        meaning = next((x.catches for x in SUITES[check.table] if x.name == check.check_name), "")
        observed = ", ".join(f"{name} {value}" for name, value in check.observed.items())
        text = f"{source} {check.table}.{check.check_name}: {check.cause or meaning} ({observed})"
        screen.out.print(f"[yellow]warning[/yellow] {escape(shown(text))}")
        for value in check.sample[:SAMPLES]:
            screen.out.print(f"  {shown(str(value))}", markup=False)


def print_trial(screen: Screen, report: ImportReport, *, as_json: bool) -> None:
    """What an import would do."""
    load = report.load
    failed = [plain(check) for check in load.checks if not check.passed]
    if as_json:
        screen.json(
            {
                "source": report.source, "unchanged": [x.part for x in report.unchanged], "counts": list(load.counts),
                "rows": load.preview, "rejects": list(load.rejects), "warnings": [*report.notes, *failed],
                "compared": _compared(load.checks),
                "refused": [plain(x) for x in load.refused], "uncovered": [str(path) for path in report.uncovered],
            }
        )  # fmt: skip
        return
    for table, rows in load.preview.items():
        filled = {name for row in rows for name, value in row.items() if value is not None}
        shown_rows = [{name: value for name, value in row.items() if name in filled} for row in rows]
        screen.table(f"{table}: {len(rows)} rows as they would be", shown_rows)
    print_import(screen, report)
    print_warnings(screen, report.source, load.checks)
    screen.table("Units, compared with what is known", _compared(load.checks), empty="nothing to compare")
    for one in report.unchanged:
        screen.note(f"{one.part} is imported already, with this mapping")
    screen.table(f"Would be loaded of {report.source}", load.counts)
    screen.note("nothing was landed or loaded")


COMPARED: Final = {
    "price_of_asset": "implied price, candles of any source: factor apart",
    "near_volume": "amount, traded volume of a day: times",
    "within_supply": "amount, supply of the coin: times",
    "dollars_a_day": "dollars on a typical day",
    "loan_in_dollars": "dollars of the largest event",
}
"""Checks of units whose measures are shown where they pass, too."""


def _compared(checks: Sequence[CheckResult]) -> list[dict[str, Any]]:
    """What the amounts of a file imply, and for how many of its series there is nothing to compare them with."""
    return [
        {
            "table": check.table, "what": COMPARED[check.check_name], "lowest": _short(check.observed.get("lowest")),
            "highest": _short(check.observed.get("highest")), "at most": _short(check.observed.get("max_value")),
            "series": check.observed["rows"], "unknown": check.observed["rows"] - check.observed["judged"],
        }
        for check in checks
        if check.check_name in COMPARED and check.observed["rows"]
    ]  # fmt: skip


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:,.4g}"


def uncovered_note(settings: Settings, path: Path, mapped: Collection[str]) -> str:
    """Why a file of the inbox is not imported."""
    folder = path.relative_to(settings.inbox_dir).parts[0]
    if folder in mapped:
        return f"not imported: {path}: the mapping of {folder!r} has no pattern for it"
    return f"not imported: {path}: no mapping for data set {folder!r}"


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


def print_refused_imports(screen: Screen, refusals: Sequence[Refusal]) -> None:
    """Files that were not imported because something in them is wrong, and what to do."""
    if not refusals:
        return
    rows = [
        {"source": x.source, "file": x.part, "reason": x.reason, "detail": x.detail,
         "sample": "; ".join(x.sample[:SAMPLES]), "refused_at": x.refused_at}
        for x in refusals[:LINES]
    ]  # fmt: skip
    more = f" (the first {LINES} of {len(refusals)})" if len(refusals) > LINES else ""
    screen.table(f"Refused imports{more}", rows)
    screen.note(
        "correct the mapping or the file and import it again; its rejected rows are in the home's folder refused"
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
