-- A view: its two readers choose again in less time than its rows would take to write.
{{ config(materialized='view') }}

with settlements as (
    select * from {{ ref('int_funding_intervals') }}
),

instruments as (
    select * from {{ ref('int_instruments') }}
),

venues as (
    select * from {{ ref('venues') }}
),

source_ranks as (
    select * from {{ ref('int_source_ranks') }}
),

days as (
    select
        s.source,
        s.venue,
        s.instrument,
        s.trade_date,
        least(1e0, sum(s.interval_hours) / 24e0) as day_completeness,
        cast(60 * min(s.interval_hours) as int) as period_minutes,
        max(r.precedence) as precedence
    from settlements as s
    left join source_ranks as r on s.source = r.source
    group by s.source, s.venue, s.instrument, s.trade_date
),

chosen as (
    select
        source,
        venue,
        instrument,
        trade_date
    from days
    qualify
        row_number() over (
            partition by venue, instrument, trade_date
            order by {{ best_source_first() }}
        ) = 1
),

kept as (
    select s.*
    from settlements as s
    inner join chosen as c
        on
            s.source = c.source
            and s.venue = c.venue
            and s.instrument = c.instrument
            and s.trade_date = c.trade_date
),

comparable as (
    select
        s.venue,
        i.asset,
        s.instrument,
        s.settled_at,
        s.rate,
        s.interval_hours,
        s.interval_source,
        s.interval_changed,
        s.rate * 8e0 / s.interval_hours as rate_8h,
        v.neutral_rate_8h,
        s.input_grain,
        s.source,
        s.available_at,
        s.trade_date
    from kept as s
    inner join instruments as i
        on
            s.venue = i.venue
            and s.instrument = i.instrument
            and s.trade_date >= i.valid_from
            and s.trade_date < i.valid_to
    left join venues as v on s.venue = v.venue
    where
        (i.ended_at is null or s.settled_at <= i.ended_at)
        and (i.began_at is null or s.settled_at > i.began_at)
)

select
    venue,
    asset,
    instrument,
    settled_at,
    trade_date,
    rate,
    interval_hours,
    interval_source,
    interval_changed,
    rate_8h,
    neutral_rate_8h,
    rate_8h - neutral_rate_8h as excess_rate_8h,
    input_grain,
    source,
    available_at
from comparable
