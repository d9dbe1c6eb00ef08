"""The working database made anew from the landing alone, with the network unplugged."""

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
    """Make the working database anew from the landing alone. The published snapshot stays until the next publish.

    The new database is made beside the old one and renamed over it when every source is in it, so that a kill at any
    moment leaves a whole one. Raises LandingError where landed bytes were lost or altered, and the error of a source
    that cannot be loaded; the old database is then as before.
    """
    store = LandingStore(settings.root)
    progress("verify landings", 0, 0)
    faults = list(store.verify(store.all()))
    if faults:
        raise LandingError(
            f"{len(faults)} landing(s) are not as received, nothing was rebuilt.\n" + "\n".join(faults[:20])
        )
    side = settings.model_copy(update={"home": settings.root / "rebuild"})
    with writer_lock(settings, what="rebuild"):
        shutil.rmtree(side.home, ignore_errors=True)
        side.home.mkdir(parents=True)
        (side.home / "raw").symlink_to(settings.raw_dir, target_is_directory=True)
        outcome = load_pending(side, gate=gate, clock=clock, progress=progress)
        outcome.raise_failures()
        replace_database(settings, side.database)
        shutil.rmtree(side.home)
    return outcome
