"""Commands that change the warehouse: import, run, fetch, backfill, rebuild, publish. Each runs Dagster jobs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from pipelines.cli.mappings import chosen_mapping
from pipelines.cli.report import print_nothing_new, print_run, print_trial, uncovered_note
from pipelines.cli.screen import Screen
from pipelines.cli.session import Session, open_session
from pipelines.core.errors import ConfigError, MappingError
from pipelines.core.settings import Settings
from pipelines.extract.landing import utc_now
from pipelines.extract.venue import CadenceName
from pipelines.operations.build import forget_builds
from pipelines.operations.current import LAYERS, note, note_built, nothing_new_since, seen_now
from pipelines.operations.datasets import (
    Dataset,
    claim_folders,
    find_datasets,
    read_dataset,
    refused_in_inbox,
    uncovered_in_inbox,
    waiting_files,
)

if TYPE_CHECKING:
    import dagster as dg

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for programs.")]
Root = Annotated[Path | None, typer.Option("--root", exists=True, file_okay=False, help="Folder to search for files.")]
Venues = Annotated[list[str] | None, typer.Argument(metavar="VENUE...", help="Venues; default: those of the settings.")]
Feeds = Annotated[list[str] | None, typer.Option("--feed", "-f", help="Only this feed; may be repeated.")]
Assets = Annotated[str | None, typer.Option("--assets", help="Comma-separated assets; default: those of the settings.")]
AsOfClock = Literal["fetched", "available"]
Force = Annotated[bool, typer.Option("--force", help="Build everything, also what has not changed.")]
Again = Annotated[bool, typer.Option("--again", help="Fetch again what is landed and final.")]


UNCOVERED_EXIT_CODE: Final = 1
"""Exit code of a command that did everything but import files that no mapping covers."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("import")(import_)
    app.command("run")(run)
    app.command("fetch")(fetch)
    app.command("backfill")(backfill)
    app.command("rebuild")(rebuild)
    app.command("publish")(publish)


def import_(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="Files to import.")
    ] = None,
    *,
    mapping: Annotated[
        Path | None,
        typer.Option("--mapping", "-m", exists=True, dir_okay=False, help="Mapping (TOML) that describes the files."),
    ] = None,
    vendor: Annotated[
        str | None, typer.Option("--vendor", help="Built-in mapping instead; 'leverhouse mapping vendors' lists them.")
    ] = None,
    root: Root = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check only: show rows, rejected rows and warnings; land and load nothing."),
    ] = False,
    accept: Annotated[
        str | None,
        typer.Option("--accept", metavar="WHY", help="Take files that the checks refuse; why is kept with them."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check files, land those that pass, and load them into the clean tables. Importing the same file again changes nothing.

    The mapping is compared with the tables, the files are parsed and judged, and rejected rows and warnings are shown with file,
    line and value. A refused file is not landed and stays where it is; 'leverhouse status' keeps saying why. A corrected mapping
    is used for every file of its data set, those landed before too; 'leverhouse forget' undoes an import.
    """
    settings = Settings.load()
    if bool(files) == (root is not None):
        raise ConfigError("import: give either files or a folder with --root.")
    dataset = _checked_mapping(settings, chosen_mapping(mapping, vendor))
    if dry_run:
        _try_import(
            settings, dataset, [root.resolve()] if root else [f.resolve() for f in files or []], as_json=as_json
        )
        return
    config: dict[str, Any] = (
        {"root": str(root.resolve())} if root else {"files": [str(f.resolve()) for f in files or []]}
    )
    if accept is not None:
        config["accept"] = accept
    screen = Screen()
    with open_session(settings, screen, mappings=[dataset.mapping]) as session:
        _ingest(session, {dataset.name: config})
    print_run(screen, session, as_json=as_json)
    session.raise_errors()
    _leave_uncovered([path for report in session.record.imports for path in report.uncovered])


def _checked_mapping(settings: Settings, path: Path) -> Dataset:
    """The data set of a mapping that fits the tables. Raises MappingError at once, before anything is opened."""
    from pipelines.contract.ddl import load_contract
    from pipelines.operations.import_check import check_venues, known_venues
    from pipelines.sources.files.source import load_mapping

    dataset = read_dataset(path)
    loaded = load_mapping(path, contract=load_contract(settings.schema_dir))
    check_venues(loaded, known_venues(settings))
    if dataset.fault is not None:
        raise MappingError(dataset.fault)
    return dataset


def _try_import(settings: Settings, dataset: Dataset, paths: Sequence[Path], *, as_json: bool) -> None:
    """Check files without landing or loading them."""
    from pipelines.cli.screen import Bar
    from pipelines.core.paths import prepare_home
    from pipelines.operations.import_check import import_checked
    from pipelines.operations.load import LoadOutcome

    screen = Screen()
    prepare_home(settings)
    with Bar(screen) as bar, screen.quiet(settings.dagster_home / "logs" / "leverhouse.log"):
        report = import_checked(settings, dataset.mapping, paths=paths, dry_run=True, progress=bar.show)
    print_trial(screen, report, as_json=as_json)
    LoadOutcome((report.load,), {}, is_import=True).raise_failures()
    _leave_uncovered(report.uncovered)


def _leave_uncovered(uncovered: Sequence[Path]) -> None:
    """Exit with 1 where files were left alone because no mapping covers them. They were named already."""
    if uncovered:
        raise typer.Exit(UNCOVERED_EXIT_CODE)


def run(*, root: Root = None, force: Force = False, as_json: Json = False) -> None:
    """Ingest waiting files, load pending landings, build the marts, publish them, and print a report.

    Without --root, the files in the inbox are landed; with it, every folder below the root that matches a mapping. Pending
    landings are loaded in any case. Where nothing has changed since the last run, it says so and ends; --force builds all the
    same.
    """
    _run(Settings.load(), root=root, force=force, as_json=as_json)


def fetch(
    venues: Venues = None, *, feeds: Feeds = None, assets: Assets = None, again: Again = False, as_json: Json = False
) -> None:
    """Fetch everything that is due of the venues, and load it: days that are published since the last fetch, earlier ones that
    failed, came late or were missed, and this hour's captures.

    The schedule of the UI fetches the same; a fetch an hour by cron replaces it. What is due begins with the first fetch of a
    feed, and after a pause everything that the venues still have is caught up. Landed, final data is not fetched again; --again
    fetches the newest day once more. A failed venue does not stop the others. The next run builds the marts.
    """
    _fetch(venues, ("daily", "capture"), None, None, feeds, assets, again=again, as_json=as_json)


def backfill(
    venues: Venues = None,
    *,
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day (UTC).")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day (UTC), included.")],
    feeds: Feeds = None,
    assets: Assets = None,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Fetch a range of days of the venues' daily feeds, one run per venue, and load them.

    A killed backfill continues when started again: landed data is not fetched twice. To load files, use run or import.
    """
    if last < first:
        raise ConfigError(f"backfill: --to {last:%Y-%m-%d} is before --from {first:%Y-%m-%d}.")
    _fetch(venues, ("daily",), first, last, feeds, assets, again=again, as_json=as_json)


def _fetch(
    names: Sequence[str] | None,
    cadences: Sequence[CadenceName],
    first: datetime | None,
    last: datetime | None,
    feeds: Sequence[str] | None,
    assets: str | None,
    *,
    again: bool,
    as_json: bool,
) -> None:
    from pipelines.sources.registry import followed_venues

    settings = Settings.load()
    settings = settings.model_copy(update={"venues": tuple(names)}) if names else settings
    followed = followed_venues(settings)
    known = {feed.name for venue in followed for feed in venue.feeds}
    if unknown := sorted(set(feeds or ()) - known):
        raise ConfigError(f"no feed {', '.join(unknown)}; known feeds: {', '.join(sorted(known))}.")
    screen = Screen()
    with open_session(settings, screen) as session:
        from pipelines.defs.jobs import LOAD, capture_job, fetch_job
        from pipelines.defs.venues import CADENCES, step_name

        days = {"first": f"{first:%Y-%m-%d}", "last": f"{last:%Y-%m-%d}"} if first and last else {}
        config: dict[str, Any] = {
            **days,
            "assets": [name for name in (assets or "").split(",") if name],
            "again": again,
        }
        for venue in followed:
            for cadence in CADENCES:
                job = fetch_job(venue.name) if cadence == "daily" else capture_job(venue.name)
                names = [
                    feed.name
                    for feed in venue.feeds
                    if feed.cadence.name == cadence and (not feeds or feed.name in feeds)
                ]
                if names and cadence in cadences:
                    op = step_name(venue.name, cadence)
                    session.run(job, config={"ops": {op: {"config": {**config, "feeds": names}}}})
        session.run(LOAD)
    print_run(screen, session, as_json=as_json)
    session.raise_errors()


def rebuild(
    *,
    as_of: Annotated[
        datetime | None,
        typer.Option(
            "--as-of",
            metavar="T",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
            help="Build only what was there by this instant (UTC), into published/asof; nothing else changes.",
        ),
    ] = None,
    by: Annotated[
        AsOfClock,
        typer.Option(
            "--clock", help="With --as-of: what this warehouse had fetched by then, or what was available to anyone."
        ),
    ] = "fetched",
    as_json: Json = False,
) -> None:
    """Rebuild the database from the landing, then the marts and the snapshot. Needs no network.

    Landed bytes are compared with their digests first. The old database stays until the new one is complete. The new
    tables are compared with the old ones by fingerprint, and every difference is printed. With --as-of, a separate
    warehouse of only what was there by an instant is built and published in published/asof.
    """
    if as_of is not None:
        _rebuild_as_of(as_of, by, as_json=as_json)
        return
    screen = Screen()
    settings = Settings.load()
    with open_session(settings, screen) as session:
        from pipelines.defs.jobs import BUILD, REBUILD
        from pipelines.operations.rebuild import Comparison, published_fingerprints

        before = published_fingerprints(settings)
        if session.run(REBUILD).succeeded:
            session.run(BUILD)
        if session.record.publication:
            after = published_fingerprints(settings)
            comparison = Comparison.of(before, after) if before is not None and after is not None else None
            session.record.compared("marts", comparison)
    print_run(screen, session, as_json=as_json)
    session.raise_errors()


def _rebuild_as_of(at: datetime, by: AsOfClock, *, as_json: bool) -> None:
    from pipelines.cli.screen import Bar
    from pipelines.core.paths import prepare_home
    from pipelines.operations.as_of import CLOCKS, rebuild_as_of

    settings, screen = Settings.load(), Screen()
    prepare_home(settings)
    with Bar(screen) as bar, screen.quiet(settings.dagster_home / "logs" / "leverhouse.log"):
        report = rebuild_as_of(settings, at, by=by, progress=bar.show)
    found = {
        "database": report.publication.database,
        "as_of": at,
        "clock": by,
        "landings": report.landings,
        "refused": len(report.outcome.refused),
        "marts": report.publication.tables,
        "rows": report.publication.rows,
    }
    if as_json:
        screen.json(found)
    else:
        screen.table(f"{CLOCKS[by][:1].upper()}{CLOCKS[by][1:]}", [found])


def publish(*, as_json: Json = False) -> None:
    """Publish the marts as they are, without building them."""
    screen = Screen()
    with open_session(Settings.load(), screen) as session:
        from pipelines.defs.jobs import PUBLISH

        session.run(PUBLISH)
    print_run(screen, session, as_json=as_json)
    session.raise_errors()


def _run(settings: Settings, *, root: Path | None, force: bool, as_json: bool) -> None:
    screen = Screen()
    if root is None and not force:
        now = utc_now()
        since = nothing_new_since(settings, now)
        if since is not None:
            for layer in LAYERS:
                note_built(settings, layer, now)
            print_nothing_new(screen, settings, since, as_json=as_json)
            return
    seen = seen_now(settings)
    datasets = find_datasets(settings)
    configs, notes, uncovered = _waiting(settings, datasets) if root is None else _claimed(datasets, root.resolve())
    with open_session(settings, screen) as session:
        from pipelines.defs.jobs import BUILD

        if force:
            forget_builds(settings)
        _ingest(session, configs)
        # Build even if a source failed, so that readers get the data of the others.
        session.run(BUILD)
    if root is None and not notes:
        _note_current(session, seen)
    for text in notes:
        screen.note(text)
    print_run(screen, session, as_json=as_json)
    session.raise_errors()
    _leave_uncovered([*uncovered, *(path for report in session.record.imports for path in report.uncovered)])


def _note_current(session: Session, seen: Mapping[str, str]) -> None:
    """Note what a faultless run has read and written, so that the next one ends at once if it would read the same."""
    record = session.record
    loaded, built = record.outcome, record.build
    if any(not run.succeeded for run in session.runs) or record.publication is None or record.report is None:
        return
    if loaded is None or loaded.found is None or loaded.failures or built is None or built.faults:
        return
    note(session.settings, seen, landing=loaded.found, until=loaded.until, now=utc_now())


Waiting = tuple[dict[str, dict[str, Any]], list[str], list[Path]]
"""Configurations of data sets to import, notes on what is not imported, and the files that no mapping covers."""


def _waiting(settings: Settings, datasets: Sequence[Dataset]) -> Waiting:
    """Data sets with files in their inbox, and what in the inbox belongs to none."""
    now = time.time()
    waiting = {dataset.name: waiting_files(settings, dataset, now=now) for dataset in datasets}
    refused = refused_in_inbox(settings)
    uncovered = [path for path in uncovered_in_inbox(settings, datasets) if path not in refused]
    notes = [uncovered_note(settings, path, waiting) for path in uncovered]
    notes += [f"not imported: {path} is no regular file; put the file itself there" for path in refused]
    configs = {name: {"files": [str(file) for file in files]} for name, files in waiting.items() if files}
    return configs, notes, uncovered


def _claimed(datasets: Sequence[Dataset], root: Path) -> Waiting:
    """Data sets with folders below `root`, and notes on the folders that match no mapping."""
    claims = claim_folders(datasets, root)
    if not claims.folders:
        raise ConfigError(
            f"no folder below {root} matches a mapping; mappings are read from LEVERHOUSE_MAPPINGS "
            f"({len(datasets)} found)."
        )
    notes = [f"not imported: {path}: no mapping matches all of its files" for path in claims.unclaimed if path != root]
    notes += [f"no files for {d.name}: {d.fault or 'no folder below the root matches its mapping'}" for d in datasets
              if d.name not in claims.folders]  # fmt: skip
    configs = {name: {"files": [str(folder) for folder in folders]} for name, folders in claims.folders.items()}
    return configs, notes, []


def _ingest(session: Session, configs: dict[str, dict[str, Any]]) -> None:
    """Land the data sets of `configs` and load everything pending. A failed data set does not stop the others."""
    from pipelines.defs.common import raw_key
    from pipelines.defs.jobs import INGEST_FILES, LOAD

    landing: list[dg.AssetKey] = [raw_key(name) for name in configs]
    ops = {raw_key(name).to_python_identifier(): {"config": config} for name, config in configs.items()}
    if not landing:
        session.run(LOAD)
        return
    done = session.run(INGEST_FILES, assets=[*landing, *session.clean_keys()], config={"ops": ops})
    if not done.succeeded and session.record.outcome is None:
        # Dagster skips the load after a failed landing; load the landed files in a separate run.
        session.run(LOAD)
