"""What is measured of each clean table for the checks in suites.py: a Profile per table.

measures.py computes the measures. No thresholds on values and no Great Expectations here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final, Literal

from pipelines.core.periods import period_sql
from pipelines.quality.bounds import (
    FLAT_SET,
    NEIGHBOR_DAYS,
    RATE_ROWS,
    SMALL_BATCH,
    SPELLED,
    VENUE_EVENTS,
    ZERO_RATE_SET,
    ZERO_SET,
)

_PERIOD_SECONDS: Final = period_sql(timedelta(seconds=1))
_PERIOD_END: Final = "{clock} + " + _PERIOD_SECONDS + " * interval '1' second"

DAYS: Final = "gate_days"
"""Temporary table of the batch's daily aggregates, from which the frames over all rows are computed."""


@dataclass(frozen=True)
class StampRule:
    """Finds timestamps at which at least `members` rows of a group all have the same value: `zero`, or any (`flat`)."""

    group: tuple[str, ...]
    value: str
    kind: Literal["zero", "flat"]
    members: int


@dataclass(frozen=True)
class Agreement:
    """How a batch is compared with another source: rows are matched on `identity` and `stamp`, `value` gives the gap.

    `only` filters both sides, so that large tables are joined on a few timestamps a day.
    """

    identity: tuple[str, ...]
    stamp: str
    value: str
    gap: Literal["relative", "absolute"]
    only: str = "true"


@dataclass(frozen=True)
class Profile:
    """What is measured of one clean table.

    `key`, `clock` and `day_is_state` repeat the DDL's headers (a test compares them). `series` identifies a series of the
    table; its first column is venue or chain.

    `levels` are positive measures, compared by factor. The series frame gets for each: `<name>_now` (typical value),
    `_off` (factor from 1), `_jump` (largest factor between consecutive days), `_shift` (factor to loaded neighboring
    days), `_settled_shift` (the same if enough days are loaded), `_breadth` and `_off_breadth` (the settled shift and the factor
    from 1 that a fifth of the venue's series reach) and `_lasting` (the factor from 1 of a series of many days, else
    `_off_breadth`). For levels in `rising`, only a rise counts as a shift.

    `watched` is the value that must change and not be zero. `known_at` is the instant from which a row could be known,
    `not_ahead` the timestamp that must not be in the future, `period` SQL for the seconds of the row's period. `price`
    names the level that is a price in the candles' quote currency. `rows` are extra columns of the row frame, from
    `rows_from`; `extra` is a query of extra series columns, of which those in `spread` also get a `<name>_breadth`. It may
    use {staged}, {source} and {open_interest} (loaded or staged rows).
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
    """SQL: the larger of two positive numbers divided by the smaller."""
    return f"greatest({a} / nullif({b}, 0), {b} / nullif({a}, 0))"


def _misspelled(token: str, series: str) -> str:
    """SQL: per series whether its token is misspelled, and the share of such rows in a batch that is not small."""
    # Doubled for str.format, through which every extra goes.
    pattern = SPELLED.replace("{", "{{").replace("}", "}}")
    odd = f"not regexp_full_match({token}, '{pattern}')"
    return f"""
            select
                {series}, max(case when {odd} then 1.0 else 0.0 end) as misspelled,
                case when sum(count(*)) over () >= {SMALL_BATCH}
                    then sum(count(*) filter (where {odd})) over () / cast(sum(count(*)) over () as double)
                end as misspelled_share
            from {{staged}}
            group by {series}
    """


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
        # A venue that closes trades less and less; fifty-fold more is a unit.
        rising=("volume_base",),
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
        # Rates can fall to zero in normal markets; in three years of seven venues none rose fifty-fold on a whole venue.
        rising=("rate",),
        known_at="case kind when 'settled' then settled_at end",
        not_ahead="case kind when 'settled' then settled_at end",
        # Venues settle on whole hours, whatever the interval.
        period="3600",
        price="price",
        stamps=StampRule(("venue", "kind"), "rate", "zero", ZERO_RATE_SET),
        agreement=Agreement(("venue", "instrument", "kind"), "settled_at", "rate", "absolute"),
        rows={"rate": "rate", "interval_hours": "interval_hours"},
        spread=("rate_typical",),
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
            # No level of the totals themselves: a crash has as much as a thousand calm days.
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
        extra=f"""
            select s.*, d.block_disorder
            from ({_misspelled("collateral_token", "chain, protocol, collateral_token")}) as s
            left join (
                select chain, avg(case when occurred_at < before then 1.0 else 0.0 end) as block_disorder
                from (
                    select
                        chain, occurred_at,
                        lag(occurred_at) over (partition by chain order by block_number, occurred_at) as before
                    from {{staged}}
                    where block_number is not null
                )
                group by chain
            ) as d on d.chain = s.chain
        """,
    ),
    "lending_bad_debt": Profile(
        key=("chain", "event_id"),
        clock="occurred_at",
        series=("chain", "protocol", "debt_token"),
        known_at="occurred_at",
        not_ahead="occurred_at",
        rows={"debt_token": "debt_token", "debt_usd": "debt_usd"},
        extra=_misspelled("debt_token", "chain, protocol, debt_token"),
    ),
    "option_chain": Profile(
        key=("venue", "instrument", "snapshot_at"),
        clock="snapshot_at",
        series=("venue", "underlying"),
        levels={"oi_base": "oi_base", "mark_iv": "mark_iv"},
        known_at="snapshot_at",
        not_ahead="snapshot_at",
        stamps=StampRule(("venue", "underlying"), "oi_base", "zero", ZERO_SET),
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
                        and trade_date >= (select min(trade_date) - {NEIGHBOR_DAYS} from {DAYS})
                        and trade_date <= (select max(trade_date) + {NEIGHBOR_DAYS} from {DAYS})
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
        extra=f"""
            select d.chain, d.token, d.decimals_seen, s.misspelled, s.misspelled_share
            from (
                select chain, token, cast(count(distinct decimals) as double) as decimals_seen
                from (
                    select chain, token, decimals from {{staged}}
                    union all
                    select chain, token, decimals from clean.token_prices
                    where token in (select token from {{staged}}) and source <> {{source}}
                )
                group by chain, token
            ) as d
            left join ({_misspelled("token", "chain, token")}) as s on s.chain = d.chain and s.token = d.token
        """,
    ),
    "risk_tiers": Profile(
        key=("venue", "instrument", "schedule", "tier", "snapshot_at"),
        clock="snapshot_at",
        series=("venue", "instrument", "schedule"),
        levels={"max_leverage": "max_leverage", "upper_bound": "upper_bound"},
        known_at="snapshot_at",
        not_ahead="snapshot_at",
        rows={
            "maintenance_over_initial": "maintenance_margin_rate / coalesce(initial_margin_rate, 1 / max_leverage)",
            "initial_by_leverage": _factor("initial_margin_rate", "(1 / max_leverage)"),
        },
        extra="""
            with
            tables as (
                select
                    venue, instrument, schedule, snapshot_at, min(lower_bound) as first_bound,
                    bool_or(max_leverage > smaller_leverage) as leverage_rises,
                    bool_or(maintenance_margin_rate < smaller_rate) as rate_falls
                from (
                    select
                        *, lag(max_leverage) over by_size as smaller_leverage,
                        lag(maintenance_margin_rate) over by_size as smaller_rate
                    from {staged}
                    window by_size as (partition by venue, instrument, schedule, snapshot_at order by tier)
                )
                group by venue, instrument, schedule, snapshot_at
            )
            select
                venue, instrument, schedule, max(first_bound) as first_bound,
                max(case when leverage_rises or rate_falls then 1.0 else 0.0 end) as eases_with_size
            from tables
            group by venue, instrument, schedule
        """,
    ),
    "tokens": Profile(
        key=("chain", "token", "named_at"),
        clock="named_at",
        series=("chain", "token"),
        known_at="read_at",
        not_ahead="named_at",
        rows={"token": "token"},
        extra=f"""
            select d.chain, d.token, d.decimals_seen, s.misspelled, s.misspelled_share
            from (
                select chain, token, cast(count(distinct decimals) as double) as decimals_seen
                from (
                    select chain, token, decimals from {{staged}}
                    union all
                    select chain, token, decimals from clean.tokens
                    where token in (select token from {{staged}}) and source <> {{source}}
                )
                group by chain, token
            ) as d
            left join ({_misspelled("token", "chain, token")}) as s on s.chain = d.chain and s.token = d.token
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
