"""Copies the fetch log (extract/fetch_log.py) into ops.fetch_problems."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb
import polars as pl

from pipelines.extract.fetch_log import ASKED, read_fetch_logs
from pipelines.storage.query import execute_with, transaction

_COPIED: Final = ("source", "partition", "subject", "problem", "effect", "detail")


def record_fetch_problems(con: duckdb.DuckDBPyConnection, raw_dir: Path) -> int:
    """Update ops.fetch_problems from the fetch log and return the number of lines read.

    Whole days of a venue are replaced, starting the day before the newest recorded one: only the current day is written to,
    or the day before by a process whose clock is slightly behind.
    """
    newest: dict[str, date] = dict(
        con.execute("select venue, max(noted_on) from ops.fetch_problems group by venue").fetchall()
    )
    logged = list(read_fetch_logs(raw_dir, since={venue: day - timedelta(days=1) for venue, day in newest.items()}))
    rows = pl.DataFrame(
        [
            {
                "venue": day.venue,
                "noted_on": day.noted_on,
                "line": number,
                **{name: entry.get(name) for name in _COPIED},
                "noted_at": datetime.fromisoformat(entry["noted_at"]),
            }
            for day in logged
            for number, entry in enumerate(day.lines, start=1)
            if entry["effect"] != ASKED
        ],
        schema={
            "venue": pl.String, "noted_on": pl.Date, "line": pl.Int64, "noted_at": pl.Datetime("us"),
            "source": pl.String, "partition": pl.String, "subject": pl.String,
            "problem": pl.String, "effect": pl.String, "detail": pl.String,
        },
    )  # fmt: skip
    if rows.is_empty():
        return 0
    with transaction(con):
        execute_with(
            con,
            rows,
            "delete from ops.fetch_problems where (venue, noted_on) in (select distinct venue, noted_on from frame)",
        )
        execute_with(con, rows, "insert into ops.fetch_problems by name select * from frame")
    return rows.height
