with legs as (
    select * from {{ ref('int_lending_legs_by_source') }}
),

events as ({{ lending_event_sides('legs') }})

select
    l.source,
    l.protocol as venue,
    l.chain,
    e.asset,
    e.side,
    {{ lending_measure('l.leg') }} as measure,
    {{ worst_completeness('l.completeness') }} as completeness,
    cast(count(*) as bigint) as events,
    sum(l.amount_usd) as notional_usd,
    case when l.leg = 'collateral' then sum(l.amount) end as quantity_base,
    max(l.amount_usd) as largest_usd,
    cast(count(*) filter (where l.price_source = 'none') as bigint) as unpriced_events,
    {{ common_price_source('l.price_source') }} as price_source,
    max(l.available_at) as available_at,
    l.trade_date
from legs as l
inner join events as e
    on
        l.source = e.source
        and l.chain = e.chain
        and l.event_id = e.event_id
group by l.source, l.protocol, l.chain, e.asset, e.side, l.leg, l.trade_date
