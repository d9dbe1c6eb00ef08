-- int_long_short_by_source, but of days inside which a contract began or ended only the states in between.
-- A view: days with an edge are few, and all others are copies.
{{ config(materialized='view') }}
with days as (
    select * from {{ ref('int_long_short_by_source') }}
),

edges as (
    select * from {{ ref('int_contract_edges') }}
),

states as (
    select
        s.source,
        s.venue,
        s.instrument,
        s.measure,
        s.period,
        s.period_minutes,
        s.event_at,
        s.long_share,
        s.available_at,
        s.trade_date,
        e.outside_at,
        (e.ended_at is null or s.event_at <= e.ended_at)
        and (e.began_at is null or s.event_at > e.began_at) as is_counted
    from {{ ref('stg_long_short_ratios') }} as s
    inner join edges as e
        on
            s.venue = e.venue
            and s.instrument = e.instrument
            and s.trade_date = e.trade_date
),

whole as (
    select d.*
    from days as d
    anti join edges as e
        on
            d.venue = e.venue
            and d.instrument = e.instrument
            and d.trade_date = e.trade_date
)

select
    source,
    venue,
    instrument,
    measure,
    period,
    period_minutes,
    long_share_last,
    long_share_mean,
    observations,
    cast(0 as bigint) as uncounted,
    cast(null as timestamp) as outside_at,
    available_at,
    trade_date
from whole
union all
select
    source,
    venue,
    instrument,
    measure,
    period,
    cast(period_minutes as int) as period_minutes,
    max_by(long_share, event_at) filter (where is_counted) as long_share_last,
    avg(long_share) filter (where is_counted) as long_share_mean,
    cast(count(*) filter (where is_counted) as bigint) as observations,
    cast(count(*) filter (where not is_counted) as bigint) as uncounted,
    max(outside_at) as outside_at,
    max(available_at) as available_at,
    trade_date
from states
group by source, venue, instrument, measure, period, period_minutes, trade_date
