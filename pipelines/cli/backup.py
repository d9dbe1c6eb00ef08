"""The commands backup and restore: copies of the landing and the history, and the way back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.screen import Bar, Screen
from pipelines.core.errors import LandingError
from pipelines.core.settings import Settings

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the backup, best on another disk.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    folder: Folder,
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Back up nothing; compare every file of the backup with its digest.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Back up the landing, its marks, the mappings and Dagster's history into DIR. Only what is new is copied.

    Landed bytes are compared with their digests on the way; damaged ones never replace good ones of the backup. Other commands
    may run meanwhile. The working database and the published files are not in it: 'leverhouse rebuild' makes them.
    """
    from pipelines.extract.landing import utc_now
    from pipelines.operations import backup as work

    screen = Screen()
    if verify:
        with Bar(screen) as bar:
            files, faults = work.verify(folder, progress=bar.show)
        if as_json:
            screen.json({"files": files, "faults": faults})
        else:
            screen.note(f"{files} files, {len(faults)} of them missing or altered")
        if faults:
            raise LandingError("\n".join(faults[:20]))
        return
    with Bar(screen) as bar:
        report = work.backup(Settings.load(), folder, now=utc_now(), progress=bar.show)
    if as_json:
        screen.json(asdict(report))
    else:
        screen.note(
            f"{report.files} files in {folder}; {report.copied} copied now, {report.copied_bytes / 1e6:,.1f} MB, "
            f"in {report.seconds:.1f} s"
        )
        if report.only_in_backup:
            screen.note(
                f"{len(report.only_in_backup)} landed file(s) are in the backup only, such as {report.only_in_backup[0]}; "
                "'leverhouse restore' brings them back"
            )
    report.raise_faults()


def restore(folder: Folder, *, as_json: Json = False) -> None:
    """Bring back from the backup in DIR what this home lacks, and landed files that are damaged. Removes nothing.

    Every copy is compared with its digest. Into an empty home everything comes back; then 'leverhouse rebuild' makes the
    database and the published files anew.
    """
    from pipelines.operations import backup as work

    screen = Screen()
    settings = Settings.load()
    with Bar(screen) as bar:
        report = work.restore(settings, folder, progress=bar.show)
    if as_json:
        screen.json(asdict(report))
    else:
        screen.note(
            f"{report.restored} files restored to {settings.root}, {len(report.repaired)} damaged ones replaced, "
            f"{report.kept} were right already, in {report.seconds:.1f} s"
        )
        for name in report.repaired[:20]:
            screen.note(f"replaced {name}")
        if report.restored or report.repaired:
            screen.note("next: leverhouse rebuild")
    report.raise_faults()
