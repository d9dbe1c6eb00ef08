-- int_liquidation_totals_by_source, but of days inside which a contract began or ended only the periods in between. A
-- period that the instant cuts counts whole: part of it is of the contract.
-- A view: days with an edge are few, and all others are copies.
{{ config(materialized='view') }}
with days as (
    select * from {{ ref('int_liquidation_totals_by_source') }}
),

edges as (
    select * from {{ ref('int_contract_edges') }}
),

totals as (
    select
        s.source,
        s.venue,
        s.instrument,
        s.measure,
        s.period,
        s.period_minutes,
        s.completeness,
        s.long_usd,
        s.short_usd,
        s.total_usd,
        s.long_base,
        s.short_base,
        s.events,
        s.available_at,
        s.trade_date,
        e.outside_at,
        (e.ended_at is null or s.event_at < e.ended_at)
        and (
            e.began_at is null
            or s.event_at + cast(coalesce(s.period_minutes, 0) as int) * interval '1' minute > e.began_at
        ) as is_counted
    from {{ ref('stg_liquidation_totals') }} as s
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
    completeness,
    long_usd,
    short_usd,
    total_usd,
    long_base,
    short_base,
    events,
    periods_present,
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
    {{ worst_completeness('completeness') }} as completeness,
    sum(long_usd) filter (where is_counted) as long_usd,
    sum(short_usd) filter (where is_counted) as short_usd,
    sum(total_usd) filter (where is_counted) as total_usd,
    sum(long_base) filter (where is_counted) as long_base,
    sum(short_base) filter (where is_counted) as short_base,
    cast(sum(events) filter (where is_counted) as bigint) as events,
    cast(count(*) filter (where is_counted) as bigint) as periods_present,
    cast(count(*) filter (where not is_counted) as bigint) as uncounted,
    max(outside_at) as outside_at,
    max(available_at) as available_at,
    trade_date
from totals
group by source, venue, instrument, measure, period, period_minutes, trade_date
