"""Rebuilding the working database from the landing, without network access."""

from __future__ import annotations

import shutil

from pipelines.core.errors import LandingError
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import Settings
from pipelines.extract.landing import Clock, LandingStore, utc_now
from pipelines.operations.load import LoadOutcome, load_pending
from pipelines.quality.batch import Gate
from pipelines.quality.gate import run_gate
from pipelines.storage.database import replace_database
from pipelines.storage.warehouse import writer_lock


def rebuild(
    settings: Settings, *, gate: Gate = run_gate, clock: Clock = utc_now, progress: Progress = no_progress
) -> LoadOutcome:
    """Rebuild the working database from the landing. The published snapshot stays until the next publish.

    The new database is written to a separate file and renamed over the old one once every source is loaded, so that a kill
    at any moment leaves a complete database. Raises LandingError if landed bytes are missing or altered, and the error of a
    source that cannot be loaded; the old database is then unchanged.
    """
    store = LandingStore(settings.root)
    progress("verify landings", 0, 0)
    faults = list(store.verify(store.all()))
    if faults:
        raise LandingError(
            f"{len(faults)} landing(s) are missing or altered; nothing was rebuilt.\n" + "\n".join(faults[:20])
        )
    rebuilt = settings.model_copy(update={"home": settings.root / "rebuild"})
    with writer_lock(settings, what="rebuild"):
        shutil.rmtree(rebuilt.home, ignore_errors=True)
        rebuilt.home.mkdir(parents=True)
        (rebuilt.home / "raw").symlink_to(settings.raw_dir, target_is_directory=True)
        outcome = load_pending(rebuilt, gate=gate, clock=clock, progress=progress)
        outcome.raise_failures()
        replace_database(settings, rebuilt.database)
        shutil.rmtree(rebuilt.home)
    return outcome
