"""A warehouse of only what was there by an instant, built from the landing into a published folder of its own.

    published/asof/<instant>-<clock>/leverhouse.duckdb      as published/leverhouse.duckdb, with meta.publication.as_of

The working database, the landing and the published file of the warehouse stay as they are: landings are linked into a folder
below the scratch folder, which is removed at the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pipelines.core.errors import ConfigError, LandingError
from pipelines.core.files import show_folder
from pipelines.core.home_kind import home_kind, mark_home
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import Settings
from pipelines.extract.landing import Clock, Landing, LandingStore, utc_now
from pipelines.operations.build import build_marts, edition, ensure_manifest
from pipelines.operations.build_report import BuildReport
from pipelines.operations.load import LoadOutcome, load_pending
from pipelines.quality.batch import Gate
from pipelines.quality.gate import run_gate
from pipelines.storage.publish import Publication, publish
from pipelines.storage.warehouse import writer

AsOfClock = Literal["fetched", "available"]

CLOCKS: Final[dict[AsOfClock, str]] = {
    "fetched": "what this warehouse had received by then",
    "available": "what anyone could have known by then, also where it was received later",
}


@dataclass(frozen=True)
class AsOfReport:
    """Result: landings used, the load, the build and the publication."""

    landings: int
    outcome: LoadOutcome
    build: BuildReport
    publication: Publication


def landings_as_of(landings: Iterable[Landing], at: datetime, clock: AsOfClock) -> list[Landing]:
    """The versions that count as landed by `at`.

    By the clock `fetched`, those received by then. By `available`, a part of which nothing was received by then counts as far
    as its first complete version, else with all of its versions: what was received later is older than its receipt.
    """
    parts: dict[tuple[str, str, str], list[Landing]] = {}
    for landing in sorted(landings, key=lambda x: x.version):
        parts.setdefault(landing.identity, []).append(landing)
    kept: list[Landing] = []
    for versions in parts.values():
        found = [x for x in versions if x.fetched_at <= at]
        if not found and clock == "available":
            first = next((n for n, x in enumerate(versions, start=1) if x.completeness == "complete"), len(versions))
            found = versions[:first]
        kept += found
    return sorted(kept, key=lambda x: (x.fetched_at, x.landing_id))


def rebuild_as_of(
    settings: Settings,
    at: datetime,
    *,
    by: AsOfClock = "fetched",
    gate: Gate = run_gate,
    clock: Clock = utc_now,
    progress: Progress = no_progress,
) -> AsOfReport:
    """Load, build and publish what was there by `at`. An earlier result for the same instant and clock is replaced.

    Raises ConfigError if nothing had been landed by then, LandingError if landed bytes are missing or altered, and the errors
    of a load and a build.
    """
    store = LandingStore(settings.root)
    progress("choose landings", 0, 0)
    landings = landings_as_of(store.all(), at, by)
    if not landings:
        raise ConfigError(f"rebuild --as-of: nothing had been landed by {at:%Y-%m-%d %H:%M} UTC.")
    faults = list(store.verify(landings))
    if faults:
        raise LandingError(
            f"{len(faults)} landing(s) are missing or altered; nothing was built.\n" + "\n".join(faults[:20])
        )
    name = f"{at:%Y%m%dT%H%M%SZ}-{by}"
    work = settings.model_copy(
        update={"home": settings.scratch_dir / f"asof-{name}", "mappings": settings.mappings_dir}
    )
    shutil.rmtree(work.home, ignore_errors=True)
    try:
        _link(store, landings, work.home)
        mark_home(work.home, home_kind(settings.root))
        outcome = load_pending(work, gate=gate, clock=clock, known_by=at, progress=progress)
        outcome.raise_source_failures()
        with writer(work, what="limit coverage") as con:
            con.execute("delete from ops.coverage where cast(trade_date as timestamp) >= ?", [at])
        work.dbt_target_dir.mkdir(parents=True)
        manifest = ensure_manifest(settings)
        for file in manifest.parent.glob(f"{manifest.stem}.*"):
            shutil.copy(file, work.dbt_target_dir)
        build = build_marts(work, progress=progress)
        build.raise_faults()
        publication = publish(
            work, now=clock(), edition=replace(edition(settings, manifest), as_of=at, clock=by), progress=progress
        )
        target = settings.published_dir / "asof" / name
        show_folder(settings.published_dir)
        show_folder(target.parent)
        shutil.rmtree(target, ignore_errors=True)
        # Links inside are relative.
        shutil.move(work.published_dir, target)
    finally:
        shutil.rmtree(work.home, ignore_errors=True)
    moved = replace(
        publication,
        database=target / publication.database.name,
        snapshot=target / publication.snapshot.relative_to(work.published_dir),
        parquet=target / publication.parquet.name,
    )
    return AsOfReport(len(landings), outcome, build, moved)


def _link(store: LandingStore, landings: Iterable[Landing], home: Path) -> None:
    """Link landings with their manifests, what a person accepted, and the mappings into the landing of another home.

    What this load refuses is marked there and not in the warehouse's own landing.
    """
    for source in store.raw_dir.iterdir():
        mappings = source / "_mappings"
        if mappings.is_dir():
            (home / "raw" / source.name).mkdir(parents=True)
            (home / "raw" / source.name / "_mappings").symlink_to(mappings, target_is_directory=True)
    for landing in landings:
        folder = home / "raw" / landing.path.parent.relative_to(store.raw_dir)
        folder.mkdir(parents=True, exist_ok=True)
        manifest = landing.path.with_name(f"{landing.path.name}.manifest.json")
        for path in (landing.path, manifest, store.mark_path(landing, "accepted")):
            if path.exists():
                (folder / path.name).symlink_to(path)
