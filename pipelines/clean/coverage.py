"""Coverage: expected against present rows per instrument and day, with the reason of every gap.

Reads the staged tables of a load (accepted_<table>, counted_<table>, affected_partitions, stage_rejects, stage_null_cells,
stage_withdrawn) in its transaction; accepted_<table> has all rows of the affected partitions. Captures are compared with the
landed slots.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import duckdb
import polars as pl

from pipelines.contract.batch import Captures, SourceRules
from pipelines.contract.ddl import Contract, CoverageRule, Table
from pipelines.core.periods import period_sql
from pipelines.storage.query import execute_with

_PERIOD_MINUTES: Final = period_sql(timedelta(minutes=1))

_IN_QUARANTINE: Final = "when c.quarantined > 0 then cast(c.quarantined as varchar) || ' rows in quarantine'"
_WITHDRAWN: Final = "withdrawn by the venue"
_REASON: Final = (
    f"coalesce(g.reason, case when w.rows > 0 then '{_WITHDRAWN}' when c.quarantined > 0 then 'quarantined' "
    "else 'not in the source' end)"
)
_DETAIL: Final = (
    "case when g.reason is not null then g.detail when w.rows > 0 then cast(w.rows as varchar) || ' rows taken back' "
    f"{_IN_QUARANTINE} when c.cells > 0 then 'empty in the source' end"
)


def write_coverage(con: duckdb.DuckDBPyConnection, contract: Contract, source: str, rules: SourceRules) -> None:
    """Update ops.coverage of `source`: the affected days, and the gaps between first and last day.

    Gaps are derived from ops.coverage, which is small, so that the cost of a load does not grow with the history.
    """
    gaps, spans = _gaps(rules), _spans(rules)
    con.register("known_gaps", gaps)
    con.register("known_spans", spans)
    try:
        affected_partitions = {
            name for (name,) in con.execute("select distinct table_name from affected_partitions").fetchall()
        }
        # A declared span without any events is complete too: its days are empty.
        for name in sorted(affected_partitions | {span.table for span in rules.spans}):
            table = contract.table(name)
            if table.coverage is not None:
                _collect_gap_reasons(con, table, table.coverage)
                if name in affected_partitions:
                    _count_affected_days(con, table, table.coverage, source, rules.expected_per_day.get(name))
                _fill_gaps(con, table, table.coverage, source)
        if rules.captures is not None and rules.captures.slots:
            _compare_with_slots(con, contract, source, rules.captures)
    finally:
        con.unregister("known_gaps")
        con.unregister("known_spans")
        con.execute("drop table if exists gap_reasons")


def _collect_gap_reasons(con: duckdb.DuckDBPyConnection, table: Table, rule: CoverageRule) -> None:
    """gap_reasons(instrument, trade_date, quarantined, cells): why an affected day may have fewer rows than expected."""
    instrument = rule.instrument if rule.instrument.startswith("'") else "instrument"
    con.execute(
        f"""
        create or replace temp table gap_reasons as
        with
        both_reasons as (
            select {instrument} as instrument, trade_date, 1 as quarantined, 0 as cells
            from stage_rejects where table_name = ?
            union all
            select {instrument} as instrument, trade_date, 0, cells
            from stage_null_cells where table_name = ?
        )
        select instrument, trade_date, sum(quarantined) as quarantined, sum(cells) as cells
        from both_reasons
        where trade_date is not null
        group by instrument, trade_date
        """,
        [table.name, table.name],
    )


def _count_affected_days(
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
    counted, accepted = f"accepted_{table.name}", ""
    if rule.expected == "period":
        present, counted, accepted = "sum(n)", f"counted_{table.name}", "where outcome is null"
    con.execute(
        "delete from ops.coverage where source = ? and table_name = ? and trade_date in "
        "(select trade_date from affected_partitions where table_name = ?)",
        [source, table.name, table.name],
    )
    con.execute(
        f"""
        insert into ops.coverage
        with
        held as (
            select
                {rule.venue} as venue, {rule.instrument} as instrument, {rule.series} as series, trade_date,
                {expected} as expected, {present} as present
            from {counted}
            {accepted}
            group by all
        )
        select
            ?, ?, h.venue, h.instrument, h.series, h.trade_date, h.expected, h.present,
            coalesce(c.quarantined, 0) as quarantined,
            case when g.reason is not null or h.present < h.expected then 'partial' else 'complete' end as status,
            case when g.reason is not null or h.present < h.expected then {_REASON} end as reason,
            case when g.reason is not null or h.present < h.expected then {_DETAIL} end as detail,
            null as forgotten_on
        from held as h
        left join gap_reasons as c on c.instrument = h.instrument and c.trade_date = h.trade_date
        {_withdrawn_join("h", table)}
        {_gap_join("h", table)}
        """,
        [source, table.name],
    )
    # Days of which nothing is left, also after the last row of a series.
    con.execute(
        f"""
        insert into ops.coverage
        select
            $source, $table, w.venue, w.instrument, w.series, w.trade_date, null, 0, 0, 'missing', '{_WITHDRAWN}',
            cast(sum(w.rows) as varchar) || ' rows taken back', null
        from stage_withdrawn as w
        anti join ops.coverage as o
            on o.source = $source and o.table_name = $table and o.venue = w.venue and o.instrument = w.instrument
            and o.series = w.series and o.trade_date = w.trade_date
        where w.table_name = $table
        group by all
        """,
        {"source": source, "table": table.name},
    )


def _fill_gaps(con: duckdb.DuckDBPyConnection, table: Table, rule: CoverageRule, source: str) -> None:
    """Add coverage rows for days without data: empty in a span the source declares complete, missing otherwise.

    Event tables get a row for every day of their spans, other tables between an instrument's first and last day.
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
        null_cells as (
            select
                h.venue, h.instrument, h.series, h.trade_date, coalesce(c.quarantined, 0) as quarantined,
                exists (
                    select 1 from known_spans as k
                    where k.table_name = $table and k.venue = h.venue and k.series in (h.series, '')
                        and h.trade_date between k.first_day and k.last_day
                ) and coalesce(c.quarantined, 0) = 0 and g.reason is null as is_empty,
                {_REASON} as reason,
                {_DETAIL} as detail
            from spine as h
            anti join ops.coverage as o
                on o.source = $source and o.table_name = $table and o.venue = h.venue and o.instrument = h.instrument
                and o.series = h.series and o.trade_date = h.trade_date
            left join gap_reasons as c on c.instrument = h.instrument and c.trade_date = h.trade_date
            {_withdrawn_join("h", table)}
            {_gap_join("h", table)}
        )
        select
            $source, $table, venue, instrument, series, trade_date, null, 0, quarantined,
            case when is_empty then 'empty' else 'missing' end, case when not is_empty then reason end,
            case when not is_empty then detail end, null
        from null_cells
        """,
        {"source": source, "table": table.name},
    )


def _compare_with_slots(con: duckdb.DuckDBPyConnection, contract: Contract, source: str, captures: Captures) -> None:
    """Set status and reason of every day of a captured source by its landed slots: what was not captured is lost.

    All days are updated, because the newest day counts as a full day only once a later day has a slot. For states the rows
    are compared as well: a slot may lack one instrument. Days with a known gap keep its reason.
    """
    execute_with(con, _slots(captures), "create or replace temp table slots as select * from frame")
    for (name,) in con.execute("select distinct table_name from ops.coverage where source = ?", [source]).fetchall():
        rule = contract.table(name).coverage
        if rule is None or rule.expected == "events":
            continue
        # A predicted rate is one row for all captures before its settlement.
        expected = "c.expected" if rule.expected == "interval" else "s.wanted"
        con.execute(
            f"""
            update ops.coverage as o
            set expected = j.expected, status = j.status, reason = j.reason, detail = j.detail
            from (
                select
                    c.venue, c.instrument, c.series, c.trade_date, {expected} as expected,
                    case
                        when c.present = 0 then 'missing'
                        when s.had < s.wanted or c.present < {expected} then 'partial'
                        else 'complete'
                    end as status,
                    case
                        when s.had < s.wanted then 'never asked'
                        when c.present >= {expected} or c.present > 0 and {expected} is null then null
                        when c.quarantined > 0 then 'quarantined'
                        else 'not in the source'
                    end as reason,
                    case
                        when s.had < s.wanted then 'captured ' || s.had || ' of ' || s.wanted || ' slots'
                        when c.present >= {expected} or c.present > 0 and {expected} is null then null
                        {_IN_QUARANTINE}
                    end as detail
                from ops.coverage as c
                join slots as s on s.trade_date = c.trade_date
                where c.source = $source and c.table_name = $table and not exists (
                    select 1 from known_gaps as k
                    where k.table_name = c.table_name and c.trade_date between k.first_day and k.last_day
                        and (k.instrument is null or k.instrument = c.instrument)
                )
            ) as j
            where o.source = $source and o.table_name = $table and o.venue = j.venue and o.instrument = j.instrument
                and o.series = j.series and o.trade_date = j.trade_date
                and (
                    o.expected is distinct from j.expected or o.status <> j.status or o.reason is distinct from j.reason
                    or o.detail is distinct from j.detail
                )
            """,
            {"source": source, "table": name},
        )
    con.execute("drop table slots")


def _slots(captures: Captures) -> pl.DataFrame:
    """slots(trade_date, had, wanted) of every day from the first to the newest slot; on the newest day, `wanted` counts the
    slots up to the newest."""
    newest = max(captures.slots)
    day = pl.col("trade_date")
    landed = pl.DataFrame({"trade_date": [slot.date() for slot in captures.slots]}, schema={"trade_date": pl.Date})
    had = landed.group_by("trade_date").agg(pl.len().cast(pl.Int64).alias("had"))
    return (
        landed.select(pl.date_range(day.min(), day.max()).alias("trade_date"))
        .join(had, on="trade_date", how="left")
        .select(
            day,
            pl.col("had").fill_null(0),
            pl.when(day < newest.date())
            .then(24 // captures.every_hours)
            .otherwise(newest.hour // captures.every_hours + 1)
            .cast(pl.Int64)
            .alias("wanted"),
        )
    )


def _withdrawn_join(alias: str, table: Table) -> str:
    """Join how many rows of the row's series and day a version of their landing had and a later one lacks."""
    return (
        f"left join (select venue, instrument, series, trade_date, sum(rows) as rows from stage_withdrawn where table_name = "
        f"'{table.name}' group by all) as w on w.venue = {alias}.venue and w.instrument = {alias}.instrument "
        f"and w.series = {alias}.series and w.trade_date = {alias}.trade_date"
    )


def _gap_join(alias: str, table: Table) -> str:
    """Join the reason of a known gap that covers the row's day; at most one, so that the join adds no rows."""
    return (
        "left join lateral (select arg_min(k.kind, k.reason) as reason, min(k.reason) as detail from known_gaps as k "
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
            "kind": [gap.kind for gap in rules.gaps],
            "reason": [gap.reason for gap in rules.gaps],
        },
        schema={
            "table_name": pl.String,
            "instrument": pl.String,
            "first_day": pl.Date,
            "last_day": pl.Date,
            "kind": pl.String,
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
