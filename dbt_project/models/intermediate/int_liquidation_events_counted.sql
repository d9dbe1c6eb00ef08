-- int_liquidation_events_by_source, but of days inside which a contract began or ended only the events in between.
-- A view: days with an edge are few, and all others are copies.
{{ config(materialized='view') }}
with days as (
    select * from {{ ref('int_liquidation_events_by_source') }}
),

edges as (
    select * from {{ ref('int_contract_edges') }}
),

events as (
    select
        s.source,
        s.venue,
        s.instrument,
        s.side,
        s.completeness,
        s.quantity_base,
        s.notional_usd,
        s.available_at,
        s.trade_date,
        e.outside_at,
        (e.ended_at is null or s.occurred_at < e.ended_at)
        and (e.began_at is null or s.occurred_at >= e.began_at) as is_counted
    from {{ ref('stg_liquidations') }} as s
    inner join edges as e
        on
            s.venue = e.venue
            and s.instrument = e.instrument
            and s.trade_date = e.trade_date
    where not s.is_adl
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
    side,
    completeness,
    events,
    quantity_base,
    notional_usd,
    largest_usd,
    unpriced_events,
    unpriced_base,
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
    side,
    {{ worst_completeness('completeness') }} as completeness,
    cast(count(*) filter (where is_counted) as bigint) as events,
    sum(quantity_base) filter (where is_counted) as quantity_base,
    sum(notional_usd) filter (where is_counted) as notional_usd,
    max(notional_usd) filter (where is_counted) as largest_usd,
    cast(count(*) filter (where is_counted and notional_usd is null) as bigint) as unpriced_events,
    sum(quantity_base) filter (where is_counted and notional_usd is null) as unpriced_base,
    cast(count(*) filter (where not is_counted) as bigint) as uncounted,
    max(outside_at) as outside_at,
    max(available_at) as available_at,
    trade_date
from events
group by source, venue, instrument, side, trade_date
