"""Coverage: what a source should hold per instrument and day against what it holds, with the reason of every gap.

Works on what a load has staged (accepted_<table>, touched, stage_rejects, stage_absent) inside the load's transaction:
the accepted rows are all rows of the touched partitions.
"""

from __future__ import annotations

from typing import Final

import duckdb
import polars as pl

from pipelines.clean.batch import SourceRules
from pipelines.clean.contract import Contract, CoverageRule, Table

_PERIOD_MINUTES: Final = (
    "case period when '1m' then 1 when '5m' then 5 when '15m' then 15 when '30m' then 30 when '1h' then 60 "
    "when '4h' then 240 when '8h' then 480 when '1d' then 1440 end"
)

_REASON: Final = (
    "case when g.reason is not null then g.reason "
    "when c.quarantined > 0 then cast(c.quarantined as varchar) || ' rows in quarantine' "
    "when c.cells > 0 then 'empty in the source' else 'not in the source' end"
)


def write_coverage(con: duckdb.DuckDBPyConnection, contract: Contract, source: str, rules: SourceRules) -> None:
    """Renew ops.coverage of `source`: the touched days from the clean tables, and the gaps between first and last day.

    Gaps are worked out from ops.coverage itself, which is small, so that a day costs the same however long the history.
    """
    gaps, spans = _gaps(rules), _spans(rules)
    con.register("known_gaps", gaps)
    con.register("known_spans", spans)
    try:
        touched = {name for (name,) in con.execute("select distinct table_name from touched").fetchall()}
        # A span of which no event is known yet was listened to all the same: its days are empty.
        for name in sorted(touched | {span.table for span in rules.spans}):
            table = contract.table(name)
            if table.coverage is not None:
                _collect_causes(con, table, table.coverage)
                if name in touched:
                    _count_touched_days(con, table, table.coverage, source, rules.expected_per_day.get(name))
                _fill_gaps(con, table, table.coverage, source)
    finally:
        con.unregister("known_gaps")
        con.unregister("known_spans")
        con.execute("drop table if exists causes")


def _collect_causes(con: duckdb.DuckDBPyConnection, table: Table, rule: CoverageRule) -> None:
    """causes(instrument, trade_date, quarantined, cells): why a touched day may hold less than it should."""
    instrument = rule.instrument if rule.instrument.startswith("'") else "instrument"
    con.execute(
        f"""
        create or replace temp table causes as
        with
        both_causes as (
            select {instrument} as instrument, trade_date, 1 as quarantined, 0 as cells
            from stage_rejects where table_name = ?
            union all
            select {instrument} as instrument, trade_date, 0, cells
            from stage_absent where table_name = ?
        )
        select instrument, trade_date, sum(quarantined) as quarantined, sum(cells) as cells
        from both_causes
        where trade_date is not null
        group by instrument, trade_date
        """,
        [table.name, table.name],
    )


def _count_touched_days(
    con: duckdb.DuckDBPyConnection, table: Table, rule: CoverageRule, source: str, expected_per_day: int | None
) -> None:
    present = f"count(distinct {table.day_column})" if rule.expected == "captures" else "count(*)"
    expected = {
        "period": f"max(1440 // ({_PERIOD_MINUTES}))",
        "interval": "cast(round(24 / max(interval_hours)) as bigint)",
        "captures": "cast(null as bigint)",
        "events": "cast(null as bigint)",
    }[rule.expected]
    if expected_per_day is not None:
        expected = str(int(expected_per_day))
    days, counted = "", f"accepted_{table.name}"
    if rule.expected == "period":
        # Many rows have one key but for the clock: counted first, the text of the series is made once a day.
        series = ", ".join(c for c in table.key if c not in ("source", table.day_column))
        days = f"days as (select {series}, trade_date, count(*) as n from {counted} group by all),"
        present, counted = "sum(n)", "days"
    con.execute(
        "delete from ops.coverage where source = ? and table_name = ? and trade_date in "
        "(select trade_date from touched where table_name = ?)",
        [source, table.name, table.name],
    )
    con.execute(
        f"""
        insert into ops.coverage
        with
        {days}
        held as (
            select
                {rule.venue} as venue, {rule.instrument} as instrument, {rule.series} as series, trade_date,
                {expected} as expected, {present} as present
            from {counted}
            group by all
        )
        select
            ?, ?, h.venue, h.instrument, h.series, h.trade_date, h.expected, h.present,
            coalesce(c.quarantined, 0) as quarantined,
            case when g.reason is not null or h.present < h.expected then 'partial' else 'complete' end as status,
            case when g.reason is not null or h.present < h.expected then {_REASON} end as reason
        from held as h
        left join causes as c on c.instrument = h.instrument and c.trade_date = h.trade_date
        {_gap_join("h", table)}
        """,
        [source, table.name],
    )


def _fill_gaps(con: duckdb.DuckDBPyConnection, table: Table, rule: CoverageRule, source: str) -> None:
    """Rows for days without any: empty inside a span the source declares complete, missing otherwise.

    Event tables have a row for every day of their spans, the others between an instrument's first and last day.
    """
    if rule.expected == "events":
        series_days = (
            f"select venue, {rule.instrument} as instrument, series, first_day, last_day "
            "from known_spans where table_name = $table"
        )
    else:
        series_days = (
            "select venue, instrument, series, min(trade_date) as first_day, max(trade_date) as last_day "
            "from ops.coverage where table_name = $table and source = $source group by venue, instrument, series"
        )
    con.execute(
        f"""
        insert into ops.coverage
        with
        series_days as ({series_days}),
        spine as (
            select
                venue, instrument, series,
                cast(unnest(generate_series(first_day, last_day, interval 1 day)) as date) as trade_date
            from series_days
        ),
        absent as (
            select
                h.venue, h.instrument, h.series, h.trade_date, coalesce(c.quarantined, 0) as quarantined,
                exists (
                    select 1 from known_spans as k
                    where k.table_name = $table and k.venue = h.venue and k.series in (h.series, '')
                        and h.trade_date between k.first_day and k.last_day
                ) and coalesce(c.quarantined, 0) = 0 and g.reason is null as is_empty,
                {_REASON} as reason
            from spine as h
            anti join ops.coverage as o
                on o.source = $source and o.table_name = $table and o.venue = h.venue and o.instrument = h.instrument
                and o.series = h.series and o.trade_date = h.trade_date
            left join causes as c on c.instrument = h.instrument and c.trade_date = h.trade_date
            {_gap_join("h", table)}
        )
        select
            $source, $table, venue, instrument, series, trade_date, null, 0, quarantined,
            case when is_empty then 'empty' else 'missing' end, case when not is_empty then reason end
        from absent
        """,
        {"source": source, "table": table.name},
    )


def _gap_join(alias: str, table: Table) -> str:
    """The first known gap that covers the row's day: one row at most, so that the join never multiplies."""
    return (
        "left join lateral (select min(k.reason) as reason from known_gaps as k "
        f"where k.table_name = '{table.name}' and {alias}.trade_date between k.first_day and k.last_day "
        f"and (k.instrument is null or k.instrument = {alias}.instrument)) as g on true"
    )


def _gaps(rules: SourceRules) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "table_name": [gap.table for gap in rules.gaps],
            "instrument": [gap.instrument for gap in rules.gaps],
            "first_day": [gap.first_day for gap in rules.gaps],
            "last_day": [gap.last_day for gap in rules.gaps],
            "reason": [gap.reason for gap in rules.gaps],
        },
        schema={
            "table_name": pl.String,
            "instrument": pl.String,
            "first_day": pl.Date,
            "last_day": pl.Date,
            "reason": pl.String,
        },
    )


def _spans(rules: SourceRules) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "table_name": [span.table for span in rules.spans],
            "venue": [span.venue for span in rules.spans],
            "series": [span.series for span in rules.spans],
            "first_day": [span.first_day for span in rules.spans],
            "last_day": [span.last_day for span in rules.spans],
        },
        schema={
            "table_name": pl.String,
            "venue": pl.String,
            "series": pl.String,
            "first_day": pl.Date,
            "last_day": pl.Date,
        },
    )
