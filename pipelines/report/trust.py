"""Numbers of the trust page: coverage by source and day, freshness, loads, quarantine, restatements. Reads only."""

from __future__ import annotations

from typing import Any, Final

import duckdb

from pipelines.report.encode import texts, words
from pipelines.report.gather import rows_of
from pipelines.report.views import VIEWS

COVERAGE: Final = "marts.data_coverage_daily"
TABLES: Final = ("freshness", "loads", "quarantine", "restated", "gaps")
"""Views that are tables: their rows are those of their query."""


def trust_data(con: duckdb.DuckDBPyConnection, tables: frozenset[str]) -> dict[str, Any]:
    """Everything the trust page shows."""
    views = {view.name: view for view in VIEWS}
    out: dict[str, Any] = {name: rows_of(con, views[name].sql) for name in TABLES if not views[name].missing(tables)}
    out["coverage"] = _coverage(con) if COVERAGE in tables else None
    return out


def _coverage(con: duckdb.DuckDBPyConnection) -> dict[str, Any] | None:
    frame = con.sql(
        "select source || ' · ' || table_name || ' · ' || venue as series, trade_date, status, primary_reason "
        f"from {COVERAGE} order by series, trade_date"
    ).pl()
    if frame.is_empty():
        return None
    first, last = frame.select(first=frame["trade_date"].min(), last=frame["trade_date"].max()).row(0)
    days = (last - first).days + 1
    keys, columns = [], []
    for (series,), part in frame.partition_by("series", as_dict=True, maintain_order=True).items():
        status: list[str | None] = [None] * days
        reason: list[str | None] = [None] * days
        for day, word, text in part.select("trade_date", "status", "primary_reason").iter_rows():
            status[(day - first).days] = word
            reason[(day - first).days] = text
        keys.append(series)
        columns.append({"status": words(status), "primary_reason": texts(reason)})
    return {"start": str(first), "n": days, "k": keys, "v": columns}
