"""The standing check of open interest: its level against a second source of the same venue. It refuses nothing.

A venue that counts both sides, or begins to, tells twice the open interest, smoothly and every day: no jump gives it away. So
each batch is held against whatever else tells of the same instruments: the venue's own other endpoint, a vendor, an import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipelines.quality.batch import CheckResult, GateInput

if TYPE_CHECKING:
    import duckdb

TABLE: Final = "open_interest"

CHECK: Final = "second_source_level"

MOST_APART: Final = 1.5
"""Factor between two sources from which one of them is wrong: half of what counting both sides gives, and more than what venues
and vendors differ by through the instant they look at."""

SAMPLES: Final = 10


def check_level(con: duckdb.DuckDBPyConnection, batch: GateInput) -> CheckResult | None:
    """Compare the batch's days with what other sources had loaded of the same venue and instrument.

    Compared are the means of an hour, in coins or else in dollars; a day is off if the median of its hours is apart by more
    than MOST_APART. Values of unknown counting are left out. None for other tables, and where there is no second source. A
    failed check is of severity error, which shows red on every screen; the load goes on, because nobody knows which of the
    two is wrong.
    """
    if batch.table != TABLE:
        return None
    compared, off, worst = con.execute(
        f"select count(*), count(*) filter (where apart > {MOST_APART}), max(apart) from ({_days(batch)})",
        [batch.source],
    ).fetchall()[0]
    if not compared:
        return None
    sample = con.execute(
        "select instrument || ' on ' || trade_date || ': ' || round(apart, 2) || ' times apart, ' || other "
        f"from ({_days(batch)}) where apart > {MOST_APART} order by apart desc, instrument, trade_date, other limit {SAMPLES}",
        [batch.source],
    ).fetchall()
    observed = {"days_compared": compared, "days_off": off, "most_apart": worst, "limit": MOST_APART}
    return CheckResult(TABLE, CHECK, "error", not off, observed, [text for (text,) in sample])


def _days(batch: GateInput) -> str:
    """Rows of instrument, trade_date, other (source), apart (factor, at least 1). Takes the batch's source as parameter."""
    hours = """
        select
            {source} as source, venue, instrument, trade_date, date_trunc('hour', event_at) as hour,
            nullif(avg(oi_base), 0) as base, nullif(avg(oi_usd), 0) as usd
        from {rows}
        where counting <> 'unknown' {others}
        group by all
    """
    others = "and source <> ? and (venue, instrument, trade_date) in (select (venue, instrument, trade_date) from own)"
    return f"""
        with
        own as ({hours.format(source="''", rows=batch.staged, others="")}),
        other as ({hours.format(source="source", rows=f"clean.{TABLE}", others=others)}),
        factors as (
            select
                instrument, trade_date, other.source as other,
                coalesce(own.base / other.base, own.usd / other.usd) as factor
            from own
            join other using (venue, instrument, trade_date, hour)
        )
        select instrument, trade_date, other, median(greatest(factor, 1 / factor)) as apart
        from factors
        where factor is not null
        group by instrument, trade_date, other
    """
