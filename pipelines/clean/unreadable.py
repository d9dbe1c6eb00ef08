"""Names in ops.coverage the days for which a venue answered and the answer could not be read.

Such answers lie in the landing and are not loaded (extract/answers.py). Once an answer was read, its load counts the day anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import duckdb

from pipelines.contract.batch import UnreadableAnswer
from pipelines.storage.query import transaction

REASON: Final = "unreadable answer"
"""ops.coverage.reason of such days."""


def clear_read_answers(con: duckdb.DuckDBPyConnection, source: str, answers: Sequence[UnreadableAnswer]) -> None:
    """Remove the empty days that were named before and no longer have an unreadable answer: the next load counts them."""
    days = [day for answer in answers for day in answer.days]
    con.execute(
        "delete from ops.coverage where source = ? and reason = ? and present = 0 "
        "and trade_date not in (select unnest(cast(? as date[])))",
        [source, REASON, days],
    )


def name_unreadable_answers(con: duckdb.DuckDBPyConnection, source: str, answers: Sequence[UnreadableAnswer]) -> None:
    """Give the reason to days that are partial or missing, and a row to those that follow the last day of a series."""
    with transaction(con):
        for subject, day in sorted(
            {(answer.subject, day) for answer in answers for day in answer.days}, key=lambda x: x[1]
        ):
            of_subject = (
                "(instrument = $subject or not exists (select 1 from ops.coverage as o where o.source = $source "
                "and o.instrument = $subject))"
            )
            con.execute(
                f"""
                insert into ops.coverage
                select source, table_name, venue, instrument, series, $day, expected, 0, 0, 'missing', $reason
                from ops.coverage as b
                where b.source = $source and b.trade_date = $before and {of_subject}
                    and not exists (
                        select 1 from ops.coverage as c
                        where c.source = b.source and c.table_name = b.table_name and c.venue = b.venue
                            and c.instrument = b.instrument and c.series = b.series and c.trade_date = $day
                    )
                """,
                {"source": source, "subject": subject, "day": day, "before": day - timedelta(days=1), "reason": REASON},
            )
            con.execute(
                f"update ops.coverage set reason = $reason where source = $source and trade_date = $day "
                f"and status in ('partial', 'missing') and {of_subject}",
                {"source": source, "subject": subject, "day": day, "reason": REASON},
            )
