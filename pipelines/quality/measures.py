"""Measures of a batch: SQL that computes from the staged rows of a table the frames its suite checks.

Aggregates run in DuckDB over all rows; only frames of bounded size are fetched. profiles.py defines what is measured. The
connection is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pipelines.core.errors import ContractError
from pipelines.quality.batch import GateInput
from pipelines.quality.bounds import (
    CONSTANT_ROWS,
    FEW_SERIES,
    NEIGHBOR_DAYS,
    PHASE_ROWS,
    SAMPLE_ROWS,
    SETTLED_DAYS,
    SMALL_BATCH,
    WIDESPREAD,
)
from pipelines.quality.profiles import DAYS, PROFILES, Agreement, Profile, StampRule
from pipelines.quality.suites import Frame
from pipelines.quality.units import IMPORTED, units_frame
from pipelines.storage.query import first_row

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

STAMPS_SHOWN: Final = 1000
"""Maximum suspicious timestamps fetched; one is enough to fail."""


def shape_frame(con: duckdb.DuckDBPyConnection, batch: GateInput) -> pd.DataFrame:
    """One row per column of the contract or the batch, with its type in each. Columns starting with _ are internal to the
    loader and skipped.

    Raises ContractError if the clean table or the staged relation does not exist.
    """
    import duckdb

    relation(batch.staged)
    contract = con.execute(
        "select column_name, data_type from duckdb_columns() where database_name = current_database() "
        "and schema_name = 'clean' and table_name = ? order by column_index",
        [batch.table],
    ).fetchall()
    if not contract or batch.table not in PROFILES:
        raise ContractError(
            f"{batch.source}: no clean table {batch.table!r} for the gate; create it from warehouse/schema and "
            "add it to pipelines/quality/profiles.py and suites.py."
        )
    try:
        staged = con.execute(f"describe select * from {batch.staged}").fetchall()
    except duckdb.CatalogException as error:
        raise ContractError(
            f"{batch.source}: {batch.staged}, the batch for clean.{batch.table}, does not exist; "
            "stage it before the gate."
        ) from error
    expected = dict(contract)
    present = {row[0]: row[1] for row in staged if not row[0].startswith("_")}
    import pandas as pd

    names = list(dict.fromkeys([*expected, *present]))
    frame = pd.DataFrame({
        "column_name": names,
        "contract_type": [expected.get(name) for name in names],
        "staged_type": [present.get(name) for name in names],
        "missing": [float(name not in present) for name in names],
        "unknown": [float(name not in expected) for name in names],
    })  # fmt: skip
    both = frame["contract_type"].notna() & frame["staged_type"].notna()
    frame["retyped"] = (both & (frame["contract_type"] != frame["staged_type"])).astype("float64")
    return frame


def frames(
    con: duckdb.DuckDBPyConnection, batch: GateInput, *, staged_tables: Mapping[str, str] | None = None
) -> Mapping[Frame, pd.DataFrame]:
    """All frames of a batch except its shape. `staged_tables` are the staged relations of the same load, by clean table.

    Creates and drops one temporary table. The batch must have passed its shape checks.
    """
    profile = PROFILES[batch.table]
    nullable = [
        row[0]
        for row in con.execute(
            "select column_name from duckdb_columns() where database_name = current_database() "
            "and schema_name = 'clean' and table_name = ? and is_nullable order by column_index",
            [batch.table],
        ).fetchall()
    ]
    con.execute(f"create or replace temp table {DAYS} as {_days_sql(profile, batch.staged, nullable)}")
    try:
        found: dict[Frame, pd.DataFrame] = {
            "batch": _batch_frame(con, profile, batch),
            "nulls": _nulls_frame(con, batch, nullable),
            "series": con.sql(_series_sql(profile, batch, staged_tables or {})).df(),
            "rows": con.sql(_rows_sql(con, profile, batch)).df(),
        }
        if batch.source.startswith(IMPORTED):
            units = units_frame(con, batch, staged_tables or {})
            if units is not None:
                found["units"] = units
        if profile.stamps is not None:
            found["stamps"] = _stamps_frame(con, profile, profile.stamps, batch)
    finally:
        con.execute(f"drop table {DAYS}")
    return found


def identity(table: str, frame: Frame) -> tuple[str, ...]:
    """Columns that identify a row of a frame in samples."""
    profile = PROFILES[table]
    if frame == "shape":
        return ("column_name", "contract_type", "staged_type")
    if frame == "nulls":
        return ("column_name", "share", "loaded_share")
    if frame == "rows":
        return profile.key
    if frame == "series":
        return profile.series
    if frame == "units":
        return profile.series[:3] if table.startswith("lending") else ("venue", "instrument", "asset")
    return ()


def relation(name: str) -> str:
    """`name` if it is a plain identifier, optionally qualified. Raises ContractError otherwise."""
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){0,2}", name):
        raise ContractError(
            f"{name!r} is not a valid name of a table or view; the loader must pass the name of its staged rows."
        )
    return name


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _near(batch: GateInput) -> str:
    """SQL condition: loaded rows of the batch's source on days around the batch, without the days the load replaces.

    Replaced days are excluded so that a corrected mapping can restate a history that was loaded in a wrong unit.
    """
    return (
        f"source = {_text(batch.source)} and trade_date >= (select min(trade_date) - {NEIGHBOR_DAYS} from {DAYS}) "
        f"and trade_date <= (select max(trade_date) + {NEIGHBOR_DAYS} from {DAYS}) "
        f"and trade_date not in (select trade_date from {DAYS})"
    )


def _log(expression: str) -> str:
    """SQL: mean logarithm of non-zero magnitudes; takes no memory per row, and a wrong unit shifts it by the log of its
    factor."""
    return f"avg(ln(nullif(abs({expression}), 0)))"


def _days_sql(profile: Profile, staged: str, nullable: Sequence[str]) -> str:
    series = ", ".join(profile.series)
    watched = profile.watched or "cast(null as double)"
    measures = [f"{_log(sql)} as {name}_log" for name, sql in profile.levels.items()]
    measures += [f"count({column}) as filled_{column}" for column in nullable]
    return f"""
        select
            {series}, trade_date, count(*) as n,
            count({watched}) as watched, count(*) filter (where {watched} = 0) as zeros,
            min({watched}) as lowest, max({watched}) as highest
            {"".join(", " + m for m in measures)}
        from {staged}
        group by {series}, trade_date
    """


def _batch_frame(con: duckdb.DuckDBPyConnection, profile: Profile, batch: GateInput) -> pd.DataFrame:
    import pandas as pd

    staged, foreign, first_year, hours_ahead = first_row(
        con,
        f"""
        select
            count(*), count(*) filter (where source <> ?), min(year({profile.clock})),
            epoch(max({profile.not_ahead or "cast(null as timestamp)"})) / 3600.0 - epoch(max(loaded_at)) / 3600.0
        from {batch.staged}
        """,
        [batch.source],
    )
    large = batch.received >= SMALL_BATCH
    observed: dict[str, Any] = {
        # All rows of an older list of instruments may be those of a newer one that is loaded.
        "accepted_of_received": batch.accepted + batch.duplicates if batch.received else None,
        "unaccounted": abs(batch.received - batch.accepted - batch.duplicates - batch.quarantined),
        "staged_minus_accepted": abs(staged - batch.accepted),
        "foreign_rows": foreign,
        "quarantined_share": (batch.quarantined - batch.distrusted) / batch.received if large else None,
        "duplicates_share": batch.duplicates / batch.received if large else None,
        "first_year": first_year,
        "hours_ahead": hours_ahead,
    }
    return pd.DataFrame([observed]).astype("float64")


def _nulls_frame(con: duckdb.DuckDBPyConnection, batch: GateInput, nullable: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    def shares(counts: str, rows: str, source: str) -> tuple[float | None, ...]:
        row = first_row(con, f"select {rows}, {counts} from {source}")
        if not row[0] or row[0] < SMALL_BATCH:
            return (None,) * len(nullable)
        return tuple(1 - float(filled) / float(row[0]) for filled in row[1:])

    columns: dict[str, Sequence[Any]] = {"column_name": list(nullable), "share": [], "loaded_share": []}
    if nullable:
        columns["share"] = shares(", ".join(f"sum(filled_{c})" for c in nullable), "sum(n)", DAYS)
        columns["loaded_share"] = shares(
            ", ".join(f"count({c})" for c in nullable), "count(*)", f"clean.{batch.table} where {_near(batch)}"
        )
    frame = pd.DataFrame(columns).astype({"share": "float64", "loaded_share": "float64"})
    frame["rise"] = frame["share"] - frame["loaded_share"]
    return frame


def _series_sql(profile: Profile, batch: GateInput, staged_tables: Mapping[str, str]) -> str:
    """One row per series over all rows of the batch, compared with neighboring days, other sources and candles."""
    series = ", ".join(profile.series)
    levels = list(profile.levels)
    lead = profile.series[0]
    parts = {
        "levels": f"""
            select
                {series}, cast(sum(n) as double) as row_count, count(*) as day_count,
                cast(greatest(
                    max(case when lowest = highest then n else 0 end),
                    case when min(lowest) = max(highest) then sum(n) else 0 end
                ) as double) as constant_rows,
                case when sum(n) >= {CONSTANT_ROWS} and max(highest) > 0
                    then cast(sum(zeros) as double) / sum(watched)
                end as zero_share
                {"".join(f", exp(median({x}_log)) as {x}_now, exp(abs(median({x}_log))) as {x}_off" for x in levels)}
            from {DAYS}
            group by {series}
        """,
    }
    if levels:
        parts["jumps"] = f"""
            select {series} {"".join(f", exp(max(abs({x}_log - {x}_before))) as {x}_jump" for x in levels)}
            from (
                select
                    {series}, trade_date, lag(trade_date) over days as day_before
                    {"".join(f", {x}_log, lag({x}_log) over days as {x}_before" for x in levels)}
                from {DAYS}
                window days as (partition by {series} order by trade_date)
            )
            where trade_date - day_before = 1
            group by {series}
        """
        parts["shifts"] = _shifts_sql(profile, batch)
    if profile.period is not None:
        parts["phases"] = f"""
            select
                {series}, coalesce(sum(n) filter (where phase <> 0), 0) / cast(sum(n) as double) as off_grid_share,
                case when sum(n) >= {PHASE_ROWS} then 1 - max(n) / cast(sum(n) as double) end as off_phase_share
            from (
                select {series}, (epoch_us({profile.clock}) // 1000000) % ({profile.period}) as phase, count(*) as n
                from {batch.staged}
                where ({profile.period}) is not null
                group by {series}, phase
            )
            group by {series}
        """
    if profile.price is not None:
        parts["candles"] = _candles_sql(profile, profile.price, _known("candles", staged_tables))
    if profile.agreement is not None:
        parts["others"] = _agreement_sql(profile, profile.agreement, batch)
    if profile.extra is not None:
        parts["extra"] = profile.extra.format(
            staged=batch.staged, source=_text(batch.source), open_interest=_known("open_interest", staged_tables)
        )
    breadths = {f"{x}_breadth": f"{x}_settled_shift" for x in levels} | {f"{x}_breadth": x for x in profile.spread}
    if profile.price is not None:
        breadths["price_gap_breadth"] = "price_gap"
    breadths |= {f"{x}_off_breadth": f"{x}_off" for x in levels}
    breadth = "".join(f", {_breadth(c)} as {name}" for name, c in breadths.items())
    lasting = "".join(
        f", case when day_count >= {SETTLED_DAYS} then {x}_off else {x}_off_breadth end as {x}_lasting" for x in levels
    )
    ctes = ",\n".join(f"part_{name} as ({sql})" for name, sql in parts.items())
    joins = "\n".join(f"left join part_{name} using ({series})" for name in parts if name != "levels")
    return f"""
        with
        {ctes}
        select * {lasting}
        from (
            select * {breadth}
            from part_levels
            {joins}
            window lead as (partition by {lead})
        )
        order by {series}
    """


def _breadth(column: str) -> str:
    """SQL: the value that a fifth of the series of a venue reach, of few series all; null of a single one."""
    return (
        f"case when count({column}) over lead >= {FEW_SERIES} then quantile_disc({column}, {1 - WIDESPREAD}) over lead "
        f"when count({column}) over lead > 1 then min({column}) over lead end"
    )


def _shifts_sql(profile: Profile, batch: GateInput) -> str:
    """Factor between a series' days near loaded days and those loaded days; settled if enough days are loaded."""
    series = ", ".join(profile.series)
    levels = list(profile.levels)
    same = " and ".join(f"b.{c} = d.{c}" for c in profile.series)
    medians = "".join(f", median({x}_log) as {x}_log" for x in levels)
    settled = f"b.loaded_days >= {SETTLED_DAYS}"
    shift = {
        x: f"exp(case when d.{x}_log < b.{x}_log then 0 else d.{x}_log - b.{x}_log end)"
        if x in profile.rising
        else f"exp(abs(d.{x}_log - b.{x}_log))"
        for x in levels
    }
    return f"""
        with
        loaded as (
            select {series}, trade_date {"".join(f", {_log(sql)} as {x}_log" for x, sql in profile.levels.items())}
            from clean.{batch.table}
            where {_near(batch)}
            group by {series}, trade_date
        ),
        before as (select {series}, count(*) as loaded_days {medians} from loaded group by {series}),
        now as (
            select {series} {medians}
            from {DAYS} as d
            where exists (
                select 1 from loaded as b
                where {same}
                    and b.trade_date between d.trade_date - {NEIGHBOR_DAYS} and d.trade_date + {NEIGHBOR_DAYS}
            )
            group by {series}
        )
        select
            {series}, b.loaded_days
            {"".join(f", {shift[x]} as {x}_shift" for x in levels)}
            {"".join(f", case when {settled} then {shift[x]} end as {x}_settled_shift" for x in levels)}
        from before as b
        join now as d using ({series})
    """


def _known(table: str, staged_tables: Mapping[str, str]) -> str:
    """Rows of another table, loaded or staged."""
    staged = (
        f" union all select venue, instrument, trade_date, {{columns}} from {staged_tables[table]}"
        if table in staged_tables
        else ""
    )
    columns = {"candles": "market, close", "open_interest": "oi_base, oi_usd"}[table]
    loaded = f"select venue, instrument, trade_date, {columns} from clean.{table}"
    return f"({loaded}{staged.format(columns=columns)})"


def _candles_sql(profile: Profile, price: str, candles: str) -> str:
    series = ", ".join(f"d.{c}" for c in profile.series)
    return f"""
        select {series}, exp(median(abs(d.{price}_log - c.close_log))) as price_gap
        from {DAYS} as d
        join (
            select venue, instrument, trade_date, avg(ln(close)) as close_log
            from {candles}
            where market in ('spot', 'perp') and trade_date in (select trade_date from {DAYS})
            group by venue, instrument, trade_date
        ) as c on c.venue = d.venue and c.instrument = d.instrument and c.trade_date = d.trade_date
        group by {series}
    """


def _agreement_sql(profile: Profile, agreement: Agreement, batch: GateInput) -> str:
    series = ", ".join(f"b.{c}" for c in profile.series)
    columns = ", ".join(dict.fromkeys((*profile.series, *agreement.identity)))
    identity_columns = ", ".join(agreement.identity)
    gap = "abs(b.compared_value - o.compared_value)"
    if agreement.gap == "relative":
        gap = f"{gap} / nullif(greatest(abs(b.compared_value), abs(o.compared_value)), 0)"
    same = " and ".join(f"o.{c} = b.{c}" for c in (*agreement.identity, "stamp"))
    return f"""
        select {series}, median({gap}) as other_source_gap, count(*) as compared
        from (
            select {columns}, {agreement.stamp} as stamp, {agreement.value} as compared_value
            from {batch.staged}
            where {agreement.only}
        ) as b
        join (
            select {identity_columns}, {agreement.stamp} as stamp, {agreement.value} as compared_value
            from clean.{batch.table}
            where source <> {_text(batch.source)} and {agreement.only}
                and trade_date >= (select min(trade_date) from {DAYS})
                and trade_date <= (select max(trade_date) from {DAYS})
        ) as o on {same}
        group by {series}
    """


def _stamps_frame(con: duckdb.DuckDBPyConnection, profile: Profile, rule: StampRule, batch: GateInput) -> pd.DataFrame:
    """Suspicious timestamps only. Of zeros `enclosed` is whether their group has other values before and after, in the batch or
    in the neighboring days."""
    group = (*rule.group, profile.clock)
    columns = ", ".join(group)
    if rule.kind == "flat":
        return con.sql(f"""
            select {columns}, count(*) as instruments, max({rule.value}) as held
            from {batch.staged}
            group by {columns}
            having count(*) >= {rule.members} and min({rule.value}) = max({rule.value})
            order by {columns}
            limit {STAMPS_SHOWN}
        """).df()
    # Zeros are searched first because they are few, and then compared with all rows.
    zeros = con.sql(f"""
        with
        zeros as (
            select {columns}, count(*) as zeros
            from {batch.staged}
            where {rule.value} = 0
            group by {columns}
            having count(*) >= {rule.members}
        )
        select {columns}, count(*) as instruments, 0.0 as enclosed
        from {batch.staged}
        join zeros using ({columns})
        group by {columns}, zeros
        having count(*) = zeros
        order by {columns}
        limit {STAMPS_SHOWN}
    """).df()
    if zeros.empty:
        return zeros
    con.register("gate_zeros", zeros)
    try:
        return con.sql(f"""
            with alive as (
                select {", ".join(rule.group)}, min({profile.clock}) as first_alive, max({profile.clock}) as last_alive
                from (
                    select {columns} from {batch.staged} where {rule.value} <> 0
                    union all
                    select {columns} from clean.{batch.table} where {_near(batch)} and {rule.value} <> 0
                )
                group by {", ".join(rule.group)}
            )
            select
                z.* exclude (enclosed),
                case when z.{profile.clock} between a.first_alive and a.last_alive then 1.0 else 0.0 end as enclosed
            from gate_zeros as z
            left join alive as a on {" and ".join(f"a.{c} = z.{c}" for c in rule.group)}
            order by {", ".join(f"z.{c}" for c in group)}
        """).df()
    finally:
        con.unregister("gate_zeros")


def _rows_sql(con: duckdb.DuckDBPyConnection, profile: Profile, batch: GateInput) -> str:
    """All rows, or those whose key hash falls in 1 of n: equal keys stay together, and the sample is deterministic."""
    every = -(-int(first_row(con, f"select count(*) from {batch.staged}")[0]) // SAMPLE_ROWS)
    columns = {
        **{c: c for c in profile.key},
        "days_misfiled": f"abs(date_diff('day', {profile.day}, trade_date))",
        "seconds_early": f"epoch({profile.known_at}) - epoch(available_at)" if profile.known_at else "null",
        **profile.rows,
    }
    text = {"instrument", "collateral_token", "asset", "loaded_asset", "option_type"} | set(profile.key)
    selected = ", ".join(
        sql if name == sql else f"{sql} as {name}" if name in text else f"cast({sql} as double) as {name}"
        for name, sql in columns.items()
    )
    where = f" where hash({', '.join(profile.key)}) % {every} = 0" if every > 1 else ""
    return f"select {selected} from {profile.rows_from.format(staged=batch.staged)}{where}"
