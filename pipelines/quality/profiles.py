"""How the columns that suites.py judges are measured: a Profile per clean table, SQL that turns a batch into frames.

Aggregates run in DuckDB over all rows; only frames of bounded size leave it. No thresholds on values and no Great
Expectations here, and no opening of databases: the connection is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from pipelines.errors import ContractError
from pipelines.quality.suites import (
    CONSTANT_ROWS,
    FLAT_SET,
    NEIGHBOUR_DAYS,
    PHASE_ROWS,
    RATE_ROWS,
    SAMPLE_ROWS,
    SETTLED_DAYS,
    SMALL_BATCH,
    VENUE_EVENTS,
    WIDESPREAD,
    ZERO_RATE_SET,
    ZERO_SET,
    Frame,
)

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from pipelines.quality.gate import GateInput

_SECONDS: Final[dict[str, int]] = {
    "1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14400, "8h": 28800, "1d": 86400,
}  # fmt: skip
_PERIOD_SECONDS: Final = "case period " + " ".join(f"when '{k}' then {v}" for k, v in _SECONDS.items()) + " end"
_PERIOD_END: Final = "{clock} + " + _PERIOD_SECONDS + " * interval '1' second"

DAYS: Final = "gate_days"
"""Temporary table of the batch's daily aggregates; every frame over all rows is rolled up from it."""

STAMPS_SHOWN: Final = 1000
"""Suspicious stamps that leave DuckDB; one is enough to fail."""


@dataclass(frozen=True)
class StampRule:
    """Stamps at which at least `members` rows of one group all hold one value: `zero`, or any (`flat`)."""

    group: tuple[str, ...]
    value: str
    kind: Literal["zero", "flat"]
    members: int


@dataclass(frozen=True)
class Agreement:
    """How rows of another source are found and compared: equal `identity` and `stamp`, gap of `value`.

    `only` restricts both sides, so that large tables are joined on a few stamps a day.
    """

    identity: tuple[str, ...]
    stamp: str
    value: str
    gap: Literal["relative", "absolute"]
    only: str = "true"


@dataclass(frozen=True)
class Profile:
    """What is measured of one clean table.

    `key`, `clock` and `day_is_state` repeat the DDL's headers (a test compares them). `series` tells the series of a
    table apart, the first column being venue or chain.

    `levels` are positive measures, compared by factor: of each the series frame gets `<name>_now` (typical value),
    `_off` (its factor away from 1), `_jump` (largest factor between days in a row), `_shift` (factor against loaded
    neighbours), `_settled_shift` (the same once enough days are loaded) and `_breadth` (the settled shift that a fifth
    of the venue's series reach). Of levels in `rising` only a rise is a shift.

    `watched` is the value that must move and not be zero. `known_at` is the instant from which a row could be known,
    `not_ahead` the stamp that must not lie in the future, `period` SQL for the seconds of the row's period. `price`
    names the level that is a price in the candles' quote. `rows` are extra columns of the row frame, from `rows_from`;
    `extra` is a query of extra series columns, of which those in `spread` also get a `<name>_breadth`. It may name
    {staged}, {source} and {open_interest} (all that is loaded or about to be).
    """

    key: tuple[str, ...]
    clock: str
    series: tuple[str, ...]
    day_is_state: bool = False
    levels: Mapping[str, str] = field(default_factory=dict)
    rising: tuple[str, ...] = ()
    watched: str | None = None
    known_at: str | None = None
    not_ahead: str | None = None
    period: str | None = None
    price: str | None = None
    stamps: StampRule | None = None
    agreement: Agreement | None = None
    rows: Mapping[str, str] = field(default_factory=dict)
    rows_from: str = "{staged}"
    extra: str | None = None
    spread: tuple[str, ...] = ()

    @property
    def day(self) -> str:
        """SQL for the day a row belongs to."""
        return (
            f"cast({self.clock} - interval '1' microsecond as date)"
            if self.day_is_state
            else f"cast({self.clock} as date)"
        )


def _midnight(stamp: str) -> str:
    return f"epoch_us({stamp}) % 86400000000 = 0"


def _factor(a: str, b: str) -> str:
    """SQL: how many times the larger of two positive numbers is the smaller."""
    return f"greatest({a} / nullif({b}, 0), {b} / nullif({a}, 0))"


_CANDLE_END: Final = _PERIOD_END.format(clock="opened_at")

PROFILES: Final[Mapping[str, Profile]] = MappingProxyType({
    "open_interest": Profile(
        key=("venue", "instrument", "period", "event_at"),
        clock="event_at",
        day_is_state=True,
        series=("venue", "instrument", "period"),
        levels={"oi_base": "oi_base", "oi_usd": "oi_usd", "price": "oi_usd / nullif(oi_base, 0)"},
        watched="coalesce(oi_base, oi_usd)",
        known_at="event_at",
        not_ahead="event_at",
        period=_PERIOD_SECONDS,
        price="price",
        stamps=StampRule(("venue", "period"), "greatest(coalesce(oi_base, 0), coalesce(oi_usd, 0))", "zero", ZERO_SET),
        agreement=Agreement(("venue", "instrument"), "event_at", "oi_base", "relative", _midnight("event_at")),
        rows={
            "raw_gap": "abs(case oi_raw_unit when 'base' then oi_base when 'usd' then oi_usd end "
            "/ nullif(oi_raw * case counting when 'halved' then 0.5 else 1 end, 0) - 1)",
        },
    ),
    "candles": Profile(
        key=("venue", "instrument", "market", "period", "opened_at"),
        clock="opened_at",
        series=("venue", "instrument", "market", "period"),
        levels={
            "close": "close",
            "volume_base": "volume_base",
            "vwap_per_close": "volume_quote / nullif(volume_base, 0) / close",
        },
        watched="close",
        known_at=_CANDLE_END,
        not_ahead="opened_at",
        period=_PERIOD_SECONDS,
        agreement=Agreement(
            ("venue", "instrument", "market"), _CANDLE_END, "close", "relative", _midnight(_CANDLE_END)
        ),
        rows={"taker_share": "taker_buy_base / nullif(volume_base, 0)", "high_over_low": "high / low"},
    ),
    "funding_rates": Profile(
        key=("venue", "instrument", "kind", "settled_at"),
        clock="settled_at",
        series=("venue", "instrument", "kind"),
        levels={"rate": "rate", "price": "mark_price"},
        # Rates fall to nothing by themselves; over three years of seven venues none rose fifty-fold on a whole venue.
        rising=("rate",),
        known_at="case kind when 'settled' then settled_at end",
        not_ahead="case kind when 'settled' then settled_at end",
        # Venues settle on whole hours, whatever the interval.
        period="3600",
        price="price",
        stamps=StampRule(("venue", "kind"), "rate", "zero", ZERO_RATE_SET),
        agreement=Agreement(("venue", "instrument", "kind"), "settled_at", "rate", "absolute"),
        rows={"rate": "rate", "interval_hours": "interval_hours"},
        extra=f"""
            select
                venue, instrument, kind,
                case when count(*) >= {RATE_ROWS} then exp(median(ln(nullif(abs(rate), 0)))) end as rate_typical,
                avg(case when gap_hours < 0.9 * interval_hours then 1.0 when gap_hours is not null then 0.0 end)
                    filter (where interval_hours is not null) as short_gap_share
            from (
                select
                    venue, instrument, kind, rate, interval_hours,
                    date_diff('minute', lag(settled_at) over (
                        partition by venue, instrument, kind order by settled_at), settled_at) / 60.0 as gap_hours
                from {{staged}}
            )
            group by venue, instrument, kind
        """,
    ),
    "long_short_ratios": Profile(
        key=("venue", "instrument", "measure", "period", "event_at"),
        clock="event_at",
        day_is_state=True,
        series=("venue", "instrument", "measure", "period"),
        levels={"odds": "long_share / nullif(1 - long_share, 0)"},
        watched="long_share",
        known_at="event_at",
        not_ahead="event_at",
        period=_PERIOD_SECONDS,
        stamps=StampRule(("venue", "measure", "period"), "long_share", "flat", FLAT_SET),
        agreement=Agreement(
            ("venue", "instrument", "measure"), "event_at", "long_share", "absolute", _midnight("event_at")
        ),
        rows={"share_gap": "abs(long_share - ratio / (1 + ratio))", "ratio": "ratio", "long_share": "long_share"},
    ),
    "liquidations": Profile(
        key=("venue", "liquidation_id"),
        clock="occurred_at",
        series=("venue", "instrument"),
        levels={
            "quantity_base": "quantity_base",
            "price": "price",
            "notional_per_value": "notional_usd / (price * quantity_base)",
        },
        known_at="occurred_at",
        not_ahead="occurred_at",
        price="price",
        rows={"instrument": "instrument", "notional_usd": "notional_usd"},
        extra=f"""
            select
                venue, instrument,
                case when sum(count(*)) over venue >= {VENUE_EVENTS}
                    then sum(count(*) filter (where side = 'long')) over venue
                        / cast(sum(count(*)) over venue as double)
                end as long_share,
                case when count(*) >= {SMALL_BATCH}
                    then 1 - count(distinct hash(occurred_at, side, price, quantity_base)) / count(*)
                end as repeated_share
            from {{staged}}
            group by venue, instrument
            window venue as (partition by venue)
        """,
    ),
    "liquidation_totals": Profile(
        key=("venue", "instrument", "measure", "period", "event_at"),
        clock="event_at",
        series=("venue", "instrument", "measure", "period"),
        levels={
            # No level of the totals themselves: a crash is a thousand calm days.
            "price": "total_usd / nullif(long_base + short_base, 0)",
        },
        known_at=_PERIOD_END.format(clock="event_at"),
        not_ahead="event_at",
        period=_PERIOD_SECONDS,
        price="price",
        agreement=Agreement(
            ("venue", "instrument", "measure", "period"), "event_at",
            "coalesce(total_usd, long_base + short_base)", "relative",
        ),
        rows={
            "sides_over_total": "(long_usd + short_usd) / nullif(total_usd, 0)",
            "long_usd": "long_usd", "short_usd": "short_usd", "total_usd": "total_usd",
        },
        extra=f"""
            with
            sides as (
                select
                    venue, instrument, measure, period,
                    case when count(*) >= {SMALL_BATCH}
                        then avg(case when coalesce(long_usd = short_usd, long_base = short_base) then 1.0 else 0.0 end)
                    end as equal_sides_share
                from {{staged}}
                where coalesce(long_usd, long_base) > 0
                group by venue, instrument, measure, period
            ),
            liquidated as (
                select
                    venue, instrument, measure, period, trade_date, sum(total_usd) as usd,
                    sum(coalesce(long_base, 0) + coalesce(short_base, 0)) as base
                from {{staged}}
                where measure = 'position_notional'
                group by venue, instrument, measure, period, trade_date
            ),
            outstanding as (
                select venue, instrument, trade_date, avg(oi_base) as base, avg(oi_usd) as usd
                from {{open_interest}}
                where trade_date in (select trade_date from {DAYS})
                group by venue, instrument, trade_date
            ),
            shares as (
                select
                    l.venue, l.instrument, l.measure, l.period,
                    coalesce(nullif(l.base, 0) / nullif(o.base, 0), l.usd / nullif(o.usd, 0)) as share
                from liquidated as l
                join outstanding as o
                    on o.venue = l.venue and o.instrument = l.instrument and o.trade_date = l.trade_date
            ),
            of_oi as (
                select venue, instrument, measure, period, max(share) as most_of_oi, median(share) as typical_of_oi
                from shares
                group by venue, instrument, measure, period
            )
            select venue, instrument, measure, period, s.equal_sides_share, i.most_of_oi, i.typical_of_oi
            from sides as s
            full join of_oi as i using (venue, instrument, measure, period)
        """,
        spread=("typical_of_oi",),
    ),
    "lending_liquidations": Profile(
        key=("chain", "event_id"),
        clock="occurred_at",
        series=("chain", "protocol", "collateral_token"),
        levels={
            "collateral_price": "collateral_usd / nullif(collateral_amount, 0)",
            "collateral_per_debt": "collateral_usd / nullif(debt_usd, 0)",
        },
        known_at="occurred_at",
        not_ahead="occurred_at",
        agreement=Agreement(("chain", "event_id"), "occurred_at", "collateral_usd", "relative"),
        rows={"collateral_token": "collateral_token", "collateral_usd": "collateral_usd"},
        extra="""
            select s.chain, s.protocol, s.collateral_token, d.block_disorder
            from (select distinct chain, protocol, collateral_token from {staged}) as s
            join (
                select chain, avg(case when occurred_at < before then 1.0 else 0.0 end) as block_disorder
                from (
                    select
                        chain, occurred_at,
                        lag(occurred_at) over (partition by chain order by block_number, occurred_at) as before
                    from {staged}
                    where block_number is not null
                )
                group by chain
            ) as d on d.chain = s.chain
        """,
    ),
    "option_chain": Profile(
        key=("venue", "instrument", "snapshot_at"),
        clock="snapshot_at",
        series=("venue", "underlying"),
        levels={"open_interest_base": "open_interest_base", "mark_iv": "mark_iv"},
        known_at="snapshot_at",
        not_ahead="snapshot_at",
        stamps=StampRule(("venue", "underlying"), "open_interest_base", "zero", ZERO_SET),
        rows={
            "call_delta": "case option_type when 'call' then delta else -delta end",
            "call_price_base": "case option_type when 'call' then mark_price_base end",
            "forward_gap": _factor("underlying_price", "index_price"),
            "option_type": "option_type",
        },
        extra=f"""
            with
            chains as (
                select
                    venue, underlying, snapshot_at, count(*) as size,
                    count(*) filter (where option_type = 'put') as puts,
                    max(index_price) / min(index_price) as index_spread
                from {{staged}}
                group by venue, underlying, snapshot_at
            ),
            loaded as (
                select venue, underlying, median(size) as size
                from (
                    select venue, underlying, snapshot_at, count(*) as size
                    from clean.option_chain
                    where source = {{source}} and trade_date not in (select trade_date from {DAYS})
                        and trade_date >= (select min(trade_date) - {NEIGHBOUR_DAYS} from {DAYS})
                        and trade_date <= (select max(trade_date) + {NEIGHBOUR_DAYS} from {DAYS})
                    group by venue, underlying, snapshot_at
                )
                group by venue, underlying
            )
            select
                c.venue, c.underlying, min(c.size) / any_value(l.size) as chain_size_share,
                case when sum(c.size) >= {SMALL_BATCH} then cast(sum(c.puts) as double) / sum(c.size) end as put_share,
                max(c.index_spread) as index_spread
            from chains as c
            left join loaded as l on l.venue = c.venue and l.underlying = c.underlying
            group by c.venue, c.underlying
        """,
    ),
    "volatility_index": Profile(
        key=("venue", "index_name", "period", "opened_at"),
        clock="opened_at",
        series=("venue", "index_name", "period"),
        levels={"close": "close"},
        watched="close",
        known_at=_CANDLE_END,
        not_ahead="opened_at",
        period=_PERIOD_SECONDS,
        agreement=Agreement(("venue", "index_name"), _CANDLE_END, "close", "relative", _midnight(_CANDLE_END)),
    ),
    "token_prices": Profile(
        key=("chain", "token", "priced_at"),
        clock="priced_at",
        series=("chain", "token"),
        levels={"price_usd": "price_usd"},
        known_at="priced_at",
        not_ahead="priced_at",
        agreement=Agreement(("chain", "token"), "priced_at", "price_usd", "relative"),
        extra="""
            select chain, token, cast(count(distinct decimals) as double) as decimals_seen
            from (
                select chain, token, decimals from {staged}
                union all
                select chain, token, decimals from clean.token_prices
                where token in (select token from {staged}) and source <> {source}
            )
            group by chain, token
        """,
    ),
    "instruments": Profile(
        key=("venue", "instrument", "valid_from"),
        clock="valid_from",
        series=("venue",),
        rows={
            "days_listed": "date_diff('day', listed_at, delisted_at)",
            "inverse_size": "case when contract_type in ('inverse', 'quanto') then coalesce(contract_size, 0) end",
            "multiplier": "multiplier",
            "named_multiplier": "case when regexp_matches(instrument, '^k[A-Z]') then 1000.0 "
            "when regexp_matches(instrument, '^10{3,7}[A-Z]') then cast(regexp_extract(instrument, '^10+') as double) "
            "when regexp_matches(instrument, '^1M[A-Z]') then 1000000.0 end",
            "asset": "asset",
            "loaded_asset": "loaded_asset",
            "size_shift": _factor("contract_size", "loaded_size"),
        },
        rows_from="{staged} left join (select venue, instrument, arg_max(asset, valid_from) as loaded_asset, "
        "arg_max(contract_size, valid_from) as loaded_size from clean.instruments group by venue, instrument) "
        "using (venue, instrument)",
    ),
})  # fmt: skip
"""One profile per clean table."""


def shape_frame(con: duckdb.DuckDBPyConnection, batch: GateInput) -> pd.DataFrame:
    """One row per column of the contract or the batch: its type in each. Columns beginning with _ are the loader's own.

    Raises ContractError where the clean table or the staged relation does not exist.
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
            f"{batch.source}: the gate knows no clean table {batch.table!r}; create it from warehouse/schema and "
            "describe it in pipelines/quality/profiles.py and suites.py."
        )
    try:
        staged = con.execute(f"describe select * from {batch.staged}").fetchall()
    except duckdb.CatalogException as error:
        raise ContractError(
            f"{batch.source}: there is no {batch.staged} with the batch for clean.{batch.table}; "
            "stage it before the gate."
        ) from error
    wanted = dict(contract)
    there = {row[0]: row[1] for row in staged if not row[0].startswith("_")}
    import pandas as pd

    names = list(dict.fromkeys([*wanted, *there]))
    frame = pd.DataFrame({
        "column_name": names,
        "contract_type": [wanted.get(name) for name in names],
        "staged_type": [there.get(name) for name in names],
        "missing": [float(name not in there) for name in names],
        "unknown": [float(name not in wanted) for name in names],
    })  # fmt: skip
    both = frame["contract_type"].notna() & frame["staged_type"].notna()
    frame["retyped"] = (both & (frame["contract_type"] != frame["staged_type"])).astype("float64")
    return frame


def frames(
    con: duckdb.DuckDBPyConnection, batch: GateInput, *, beside: Mapping[str, str] | None = None
) -> Mapping[Frame, pd.DataFrame]:
    """Every frame of a batch but its shape. `beside` names the staged rows of other tables of the same load, by table.

    Makes and drops one temporary table. The batch must have passed its shape checks.
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
            "series": con.sql(_series_sql(profile, batch, beside or {})).df(),
            "rows": con.sql(_rows_sql(con, profile, batch)).df(),
        }
        if profile.stamps is not None:
            found["stamps"] = con.sql(_stamps_sql(profile, profile.stamps, batch.staged)).df()
    finally:
        con.execute(f"drop table {DAYS}")
    return found


def identity(table: str, frame: Frame) -> tuple[str, ...]:
    """Columns that say which row of a frame is meant; samples show them."""
    profile = PROFILES[table]
    if frame == "shape":
        return ("column_name", "contract_type", "staged_type")
    if frame == "nulls":
        return ("column_name", "share", "loaded_share")
    if frame == "rows":
        return profile.key
    if frame == "series":
        return profile.series
    return ()


def relation(name: str) -> str:
    """`name` if it is a plain, possibly qualified, identifier. Raises ContractError otherwise."""
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*){0,2}", name):
        raise ContractError(
            f"{name!r} is not the name of a table or view; the loader passes the name of its staged rows."
        )
    return name


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _near(batch: GateInput) -> str:
    """SQL condition: rows of the batch's source on loaded days around the batch, without those the load replaces.

    Replaced days are left out so that a corrected mapping can restate a history that was loaded in a wrong unit.
    """
    return (
        f"source = {_text(batch.source)} and trade_date >= (select min(trade_date) - {NEIGHBOUR_DAYS} from {DAYS}) "
        f"and trade_date <= (select max(trade_date) + {NEIGHBOUR_DAYS} from {DAYS}) "
        f"and trade_date not in (select trade_date from {DAYS})"
    )


def _log(expression: str) -> str:
    """SQL: mean logarithm of non-zero sizes; it takes no memory per row, and a wrong unit shifts it by its factor."""
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

    row = con.execute(
        f"""
        select
            count(*), count(*) filter (where source <> ?), min(year({profile.clock})),
            epoch(max({profile.not_ahead or "cast(null as timestamp)"})) / 3600.0 - epoch(max(loaded_at)) / 3600.0
        from {batch.staged}
        """,
        [batch.source],
    ).fetchone()
    staged, foreign, first_year, hours_ahead = row or (0, 0, None, None)
    large = batch.received >= SMALL_BATCH
    observed: dict[str, Any] = {
        "accepted_of_received": batch.accepted if batch.received else None,
        "unaccounted": abs(batch.received - batch.accepted - batch.duplicates - batch.quarantined),
        "staged_minus_accepted": abs(staged - batch.accepted),
        "foreign_rows": foreign,
        "quarantined_share": batch.quarantined / batch.received if large else None,
        "duplicates_share": batch.duplicates / batch.received if large else None,
        "first_year": first_year,
        "hours_ahead": hours_ahead,
    }
    return pd.DataFrame([observed]).astype("float64")


def _nulls_frame(con: duckdb.DuckDBPyConnection, batch: GateInput, nullable: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    def shares(counts: str, rows: str, source: str) -> tuple[float | None, ...]:
        row = con.execute(f"select {rows}, {counts} from {source}").fetchone() or (0,)
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


def _series_sql(profile: Profile, batch: GateInput, beside: Mapping[str, str]) -> str:
    """One row per series over all rows of the batch, with its neighbours, other sources and candles beside it."""
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
        parts["candles"] = _candles_sql(profile, profile.price, _known("candles", beside))
    if profile.agreement is not None:
        parts["others"] = _agreement_sql(profile, profile.agreement, batch)
    if profile.extra is not None:
        parts["extra"] = profile.extra.format(
            staged=batch.staged, source=_text(batch.source), open_interest=_known("open_interest", beside)
        )
    breadths = {f"{x}_breadth": f"{x}_settled_shift" for x in levels} | {f"{x}_breadth": x for x in profile.spread}
    if profile.price is not None:
        breadths["price_gap_breadth"] = "price_gap"
    breadth = "".join(f", quantile_disc({c}, {1 - WIDESPREAD}) over lead as {name}" for name, c in breadths.items())
    ctes = ",\n".join(f"part_{name} as ({sql})" for name, sql in parts.items())
    joins = "\n".join(f"left join part_{name} using ({series})" for name in parts if name != "levels")
    return f"""
        with
        {ctes}
        select * {breadth}
        from part_levels
        {joins}
        window lead as (partition by {lead})
        order by {series}
    """


def _shifts_sql(profile: Profile, batch: GateInput) -> str:
    """Factor between a series' days near loaded days and those loaded days; settled once enough days are loaded."""
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
                    and b.trade_date between d.trade_date - {NEIGHBOUR_DAYS} and d.trade_date + {NEIGHBOUR_DAYS}
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


def _known(table: str, beside: Mapping[str, str]) -> str:
    """Rows of another table: loaded, and about to be."""
    staged = (
        f" union all select venue, instrument, trade_date, {{columns}} from {beside[table]}" if table in beside else ""
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
    gap = "abs(b.said - o.said)"
    if agreement.gap == "relative":
        gap = f"{gap} / nullif(greatest(abs(b.said), abs(o.said)), 0)"
    same = " and ".join(f"o.{c} = b.{c}" for c in (*agreement.identity, "stamp"))
    return f"""
        select {series}, median({gap}) as other_source_gap, count(*) as compared
        from (
            select {columns}, {agreement.stamp} as stamp, {agreement.value} as said
            from {batch.staged}
            where {agreement.only}
        ) as b
        join (
            select {identity_columns}, {agreement.stamp} as stamp, {agreement.value} as said
            from clean.{batch.table}
            where source <> {_text(batch.source)} and {agreement.only}
                and trade_date >= (select min(trade_date) from {DAYS})
                and trade_date <= (select max(trade_date) from {DAYS})
        ) as o on {same}
        group by {series}
    """


def _stamps_sql(profile: Profile, rule: StampRule, staged: str) -> str:
    """Suspicious stamps only; zeros are searched first because there are few, and then counted against all rows."""
    group = (*rule.group, profile.clock)
    columns = ", ".join(group)
    if rule.kind == "flat":
        return f"""
            select {columns}, count(*) as instruments, max({rule.value}) as held
            from {staged}
            group by {columns}
            having count(*) >= {rule.members} and min({rule.value}) = max({rule.value})
            order by {columns}
            limit {STAMPS_SHOWN}
        """
    return f"""
        with
        zeros as (
            select {columns}, count(*) as zeros
            from {staged}
            where {rule.value} = 0
            group by {columns}
            having count(*) >= {rule.members}
        )
        select {columns}, count(*) as instruments
        from {staged}
        join zeros using ({columns})
        group by {columns}, zeros
        having count(*) = zeros
        order by {columns}
        limit {STAMPS_SHOWN}
    """


def _rows_sql(con: duckdb.DuckDBPyConnection, profile: Profile, batch: GateInput) -> str:
    """All rows, or those whose key hash falls in 1 of n: equal keys stay together, and every run sees the same rows."""
    row = con.execute(f"select count(*) from {batch.staged}").fetchone()
    every = -(-int(row[0] if row else 0) // SAMPLE_ROWS)
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
