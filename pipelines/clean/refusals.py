"""Copies the marks of refused landings (extract/landing.py) into ops.refused_landings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

import duckdb
import orjson
import polars as pl

from pipelines.extract.landing import Landing, LandingStore
from pipelines.storage.query import execute_with, transaction


def record_refusals(
    con: duckdb.DuckDBPyConnection, store: LandingStore, landings: Mapping[str, Iterable[Landing]]
) -> int:
    """Replace the rows of the given sources with the refusals among their landings; return how many there are."""
    found = [refusal for matching in landings.values() for refusal in store.refusals(matching).values()]
    rows = pl.DataFrame(
        [asdict(refusal) | {"sample": orjson.dumps(refusal.sample).decode()} for refusal in found],
        schema={
            "landing_id": pl.String, "source": pl.String, "partition": pl.String, "part": pl.String,
            "reason": pl.String, "detail": pl.String, "page": pl.String, "sample": pl.String,
            "reader_version": pl.String, "refused_at": pl.Datetime("us"),
        },
    )  # fmt: skip
    with transaction(con):
        con.execute(
            "delete from ops.refused_landings where source in (select unnest(cast(? as varchar[])))", [list(landings)]
        )
        execute_with(con, rows, "insert into ops.refused_landings by name select * from frame")
    return rows.height
