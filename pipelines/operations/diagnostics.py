"""Inspection of the working database for asset checks and doctor: opens it as writer and queries storage.status.

Readers use the published file instead. No Dagster, and no SQL but the names of tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final

from pipelines.contract.ddl import load_contract
from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore, Refusal
from pipelines.storage import status
from pipelines.storage.database import check_columns
from pipelines.storage.warehouse import onlooker, writer

IMPORTED: Final = "files."
"""Prefix of sources that are imported and not fetched on a schedule."""


@dataclass(frozen=True)
class NewestDays:
    """Newest day by source and table, newest day by mart and venue, and the scheduled sources that are behind."""

    sources: Sequence[Mapping[str, Any]]
    venues: Sequence[Mapping[str, Any]]
    behind: Sequence[Mapping[str, Any]]


def inspect_clean(settings: Settings) -> tuple[dict[str, status.TableState], status.LedgerState]:
    """State of every clean table, and of the ledger."""
    with writer(settings, what="inspect clean tables") as con:
        return status.clean_states(con, load_contract(settings.schema_dir)), status.ledger_state(con)


def look_at_clean(settings: Settings) -> tuple[dict[str, status.TableState], status.LedgerState]:
    """The same without changing anything, not even adding a table that is new in the contract: it has no state then.

    Raises WarehouseBusyError at once if another process writes, and WarehouseDamagedError if the database cannot be read.
    """
    contract = load_contract(settings.schema_dir)
    with onlooker(settings) as con:
        check_columns(con, settings, contract)
        held = {
            name
            for (name,) in con.execute("select table_name from duckdb_tables() where schema_name = 'clean'").fetchall()
        }
        present = replace(contract, clean={name: table for name, table in contract.clean.items() if name in held})
        return status.clean_states(con, present), status.ledger_state(con)


def refused_landings(settings: Settings) -> list[Refusal]:
    """The landings that are not loaded because something in them is wrong, oldest first. Opens no database."""
    store = LandingStore(settings.root)
    return sorted(store.refusals(store.all()).values(), key=lambda refusal: refusal.refused_at)


def inspect_newest_days(settings: Settings, *, today: date, behind_days: int) -> NewestDays:
    """Newest days of the marts. A scheduled source is behind if its newest day is more than `behind_days` before `today`
    (UTC); imported files are history and never behind."""
    with writer(settings, what="inspect newest days") as con:
        sources, venues = status.source_newest_days(con), status.newest_days(con)
    oldest = today - timedelta(days=behind_days)
    scheduled = [row for row in sources if not row["source"].startswith(IMPORTED)]
    behind = [row for row in scheduled if row["newest_day"] is None or row["newest_day"] < oldest]
    return NewestDays(sources=sources, venues=venues, behind=behind)


def inspect_coverage(settings: Settings) -> tuple[dict[str, int], Sequence[Mapping[str, Any]]]:
    """Days of the coverage mart by status, and the newest days that are missing or partial."""
    with writer(settings, what="inspect coverage") as con:
        return status.coverage_gaps(con)


def inspect_evidence(settings: Settings) -> status.EvidenceState:
    """What the tables of evidence say of themselves."""
    with writer(settings, what="inspect evidence") as con:
        return status.evidence_state(con)
