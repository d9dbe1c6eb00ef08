"""Writes how long a recorder listened into ops.listening and ops.coverage: a quiet day is empty only where it was heard.

A function of the landed spans alone, so that every load and every rebuild agree. The spans are read by extract.listening.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import duckdb
import polars as pl

from pipelines.core.gap_reasons import GapReason
from pipelines.extract.landing import Landing
from pipelines.extract.listening import heard_of, refused_of, seconds_heard
from pipelines.extract.stream import EVERY_INSTRUMENT
from pipelines.storage.query import execute_with, transaction

NOT_HEARD: Final[GapReason] = "not heard (recorder)"
WHOLE_DAY: Final = 0.999
"""From this share on a day counts as heard: 86 seconds of reconnections."""

SCHEMA: Final = {
    "source": pl.String, "venue": pl.String, "instrument": pl.String, "trade_date": pl.Date, "listened_seconds": pl.Float64,
    "listened_share": pl.Float64, "spans": pl.Int64, "refused": pl.String,
}  # fmt: skip


def write_listening(
    con: duckdb.DuckDBPyConnection,
    source: str,
    venue: str,
    tables: Sequence[str],
    landings: Sequence[Landing],
    *,
    is_capped: bool = False,
) -> None:
    """Replace the rows of `source` in ops.listening, and set status and reason of its days in ops.coverage by them.

    `is_capped`: the venue pushes at most one event per instrument and second.
    """
    refused = refused_of(landings)
    heard = seconds_heard(list(heard_of(landings)), refused)
    rows = pl.DataFrame(
        [
            (
                source,
                venue,
                one.instrument,
                one.day,
                one.seconds,
                one.share,
                one.spans,
                refused.get((one.instrument, one.day)),
            )
            for one in heard
        ],
        schema=SCHEMA,
        orient="row",
    )
    with transaction(con):
        con.execute("delete from ops.listening where source = ?", [source])
        execute_with(con, rows, "insert into ops.listening by name select * from frame")
        if is_capped:
            _estimate_loss(con, source)
        for table in tables:
            _judge(con, source, table)


def _estimate_loss(con: duckdb.DuckDBPyConnection, source: str) -> None:
    """Seconds at the cap, and how many events they let expect if events came independently within an hour: of 3,600 seconds, n have
    one, so that a second has -ln(1 - n / 3600) on average. An hour without a free second has no estimate."""
    con.execute(
        f"""
        update ops.listening as o
        set seconds_at_cap = j.seconds_at_cap, expected_events = j.expected_events
        from (
            select
                trade_date, sum(n) as seconds_at_cap,
                case when max(n) < 3600 then sum(-ln(1 - n / 3600.0) * 3600) end as expected_events
            from (
                select trade_date, instrument, date_trunc('hour', occurred_at) as opened_at,
                    count(distinct date_trunc('second', occurred_at)) as n
                from clean.liquidations where source = $source
                group by all
            )
            group by trade_date
        ) as j
        where o.source = $source and o.instrument = '{EVERY_INSTRUMENT}' and o.trade_date = j.trade_date
        """,
        {"source": source},
    )


def _judge(con: duckdb.DuckDBPyConnection, source: str, table: str) -> None:
    """Days in which less was heard than all are partial or missing, whatever came; quarantined rows keep their reason."""
    con.execute(
        f"""
        update ops.coverage as o
        set
            status = case
                when j.share >= {WHOLE_DAY} and o.present > 0 then 'complete'
                when j.share >= {WHOLE_DAY} then 'empty'
                when o.present > 0 then 'partial'
                else 'missing'
            end,
            reason = case when j.share < {WHOLE_DAY} then '{NOT_HEARD}' end,
            detail = case
                when j.share < {WHOLE_DAY}
                    then 'listened ' || cast(round(j.seconds, 1) as varchar) || ' of 86400 s ('
                        || cast(round(100 * j.share, 2) as varchar) || '%)'
            end
        from (
            select
                c.venue, c.instrument, c.series, c.trade_date,
                coalesce(l.listened_share, 0) as share, coalesce(l.listened_seconds, 0) as seconds
            from ops.coverage as c
            left join ops.listening as l
                on l.source = c.source and l.instrument = '{EVERY_INSTRUMENT}' and l.trade_date = c.trade_date
            where c.source = $source and c.table_name = $table and c.quarantined = 0
        ) as j
        where o.source = $source and o.table_name = $table and o.venue = j.venue and o.instrument = j.instrument
            and o.series = j.series and o.trade_date = j.trade_date
        """,
        {"source": source, "table": table},
    )
