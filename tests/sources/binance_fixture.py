"""Shared by the tests of both Binance venues: known instruments, archive files, parsed rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl

from pipelines.contract.ddl import load_contract
from pipelines.core.settings import Settings
from pipelines.extract.landing import LandingStore
from pipelines.extract.venue import Context, Page, Parsed, Span
from pipelines.sandbox.venues.binance_archive import zipped
from pipelines.sources import registry
from pipelines.sources.instruments import SCHEMA

AT = datetime(2026, 11, 1)


def known(**instruments: dict[str, Any]) -> pl.DataFrame:
    """Instruments by name, with the given columns."""
    rows = [{**dict.fromkeys(SCHEMA), "instrument": name, **columns} for name, columns in instruments.items()]
    return pl.DataFrame(rows, schema=SCHEMA)


INVERSE = known(
    BTCUSD_PERP={"contract_type": "inverse", "contract_size": 100.0},
    ETHUSD_PERP={"contract_type": "inverse", "contract_size": 10.0},
)


def archived(subject: str, name: str, text: bytes) -> Page:
    """A landed archive file."""
    path = f"/data/x/{subject}/{name}"
    return Page(subject, {"endpoint": "archive", "path": path}, 200, AT, zipped(name.replace(".zip", ".csv"), text))


def parsed(
    venue: str, feed: str, pages: Sequence[Page], instruments: pl.DataFrame | None = None
) -> dict[str, tuple[pl.DataFrame, pl.DataFrame]]:
    """Rows and rejects by table, in the types of the contract."""
    context = Context(venue, AT, Span(AT, AT), known() if instruments is None else instruments)
    return by_table(list(registry.venue(venue).feed(feed).parse(pages, context)))


def by_table(batches: Sequence[Parsed]) -> dict[str, tuple[pl.DataFrame, pl.DataFrame]]:
    contract = load_contract(Settings.load().schema_dir)
    found: dict[str, list[Parsed]] = {}
    for batch in batches:
        types = contract.table(batch.table).polars_schema()
        assert {c: t for c, t in batch.rows.schema.items() if c != "_line" and types.get(c) != t} == {}
        found.setdefault(batch.table, []).append(batch)
    return {
        table: (
            pl.concat([b.rows for b in matching]),
            pl.concat([b.rejects for b in matching if b.rejects is not None]),
        )
        for table, matching in found.items()
    }


def landed(settings: Settings, source: str) -> dict[str, pl.DataFrame]:
    """Rows of all landings of a source by table, as passed to the loader."""
    store = LandingStore(settings.root)
    matching = store.current(source)
    opened = registry.open_source(store, load_contract(settings.schema_dir), source, matching)
    rows: dict[str, list[pl.DataFrame]] = {}
    for landing in matching:
        for batch in opened.parse(landing):
            rows.setdefault(batch.table, []).append(batch.rows.drop("_line", "_field"))
    return {table: pl.concat(frames) for table, frames in rows.items()}
