"""What of the landing is lost or damaged: writes lost manifests again from the books, and says what is gone.

The books are ops.landings, in the working database or, where that cannot be opened, in the published file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipelines.core.errors import LeverhouseError, WarehouseDamagedError
from pipelines.core.progress import Progress, no_progress
from pipelines.core.settings import Settings
from pipelines.extract.landing import Clock, Landing, LandingStore, utc_now
from pipelines.storage.database import open_database
from pipelines.storage.status import recorded_landings
from pipelines.storage.warehouse import reader, writer_lock

FILES: Final = "files."
"""Prefix of imported sources."""


@dataclass(frozen=True)
class Lost:
    """A landing that the books or its manifest name and whose bytes are missing or altered, and what to do about it."""

    landing_id: str
    source: str
    partition: str
    part: str
    what: str
    next_step: str


@dataclass(frozen=True)
class RepairReport:
    """Manifests that were written again, landings that are gone, those of them that are forgotten now, and faults that the
    books say nothing about."""

    manifests: tuple[str, ...]
    lost: tuple[Lost, ...]
    forgotten: tuple[str, ...]
    unknown: tuple[str, ...]
    books: str


def repair_landing(
    settings: Settings, *, forget_because: str | None = None, clock: Clock = utc_now, progress: Progress = no_progress
) -> RepairReport:
    """Write lost and damaged manifests again where their bytes are as they were received, and name what is gone.

    With `forget_because`, what is gone is marked as forgotten: a rebuild goes on without it, and venues are asked again.
    """
    store = LandingStore(settings.root)
    recorded, books = _books(settings)
    known = {landing.landing_id: landing for landing in map(store.from_record, recorded)}
    taken = {(landing.identity, landing.version) for landing in store.all()}
    written = []
    for landing in known.values():
        if (landing.identity, landing.version) in taken or store.is_forgotten(landing):
            continue
        if not store.has_manifest(landing) and not any(store.verify([landing])):
            store.write_manifest(landing)
            written.append(landing.landing_id)
    here = {landing.landing_id: landing for landing in store.all()}
    lost: list[Lost] = []
    forgotten = []
    every = {**{x: landing for x, landing in known.items() if not store.is_forgotten(landing)}, **here}
    for done, landing in enumerate(every.values()):
        progress(f"verify {landing.part}", done, len(every))
        fault = next(store.verify([landing]), None)
        if fault is None:
            continue
        what = "missing" if not landing.path.exists() else "altered"
        lost.append(
            Lost(landing.landing_id, landing.source, landing.partition, landing.part, what, _next_step(landing))
        )
        if forget_because is not None:
            landing.path.parent.mkdir(parents=True, exist_ok=True)
            store.forget(landing, reason=forget_because, clock=clock)
            forgotten.append(landing.landing_id)
    return RepairReport(tuple(written), tuple(lost), tuple(forgotten), tuple(store.damaged_manifests()), books)


def _books(settings: Settings) -> tuple[list[Mapping[str, Any]], str]:
    """The rows of ops.landings, and where they were read."""
    if settings.database.exists():
        try:
            with writer_lock(settings, what="read ops.landings"):
                con = open_database(settings)
                try:
                    return recorded_landings(con), "the working database"
                finally:
                    con.close()
        except WarehouseDamagedError:
            pass
    if settings.published_database.exists():
        try:
            with reader(settings) as con:
                return recorded_landings(con), "the published file"
        except LeverhouseError:
            pass
    return [], "no book: neither the working database nor the published file can be opened"


def _next_step(landing: Landing) -> str:
    again = (
        "import the file again"
        if landing.source.startswith(FILES)
        else f"fetch it again: leverhouse backfill {landing.source.partition('.')[0]} over {landing.partition}"
    )
    return f"leverhouse restore DIR, if there is a backup; if not, leverhouse landing repair --forget, then {again}"
