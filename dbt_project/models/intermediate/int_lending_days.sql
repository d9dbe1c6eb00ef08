with legs as (
    select * from {{ ref('int_lending_legs_by_source') }}
),

collateral as (
    select * from legs
    where leg = 'collateral'
),

debt as (
    select * from legs
    where leg = 'debt'
),

-- A loan in dollars against a coin is a bet on the coin; a loan in a coin against dollars is a bet against it.
events as (
    select
        c.source,
        c.chain,
        c.event_id,
        coalesce(c.asset, c.token) as asset,
        case
            when d.token is null then 'unknown'
            when d.asset_kind = 'stable' and c.asset is not null and coalesce(c.asset_kind, 'coin') <> 'stable'
                then 'long'
            when c.asset_kind = 'stable' and d.asset is not null and coalesce(d.asset_kind, 'coin') <> 'stable'
                then 'short'
            else 'unknown'
        end as side
    from collateral as c
    left join debt as d
        on
            c.source = d.source
            and c.chain = d.chain
            and c.event_id = d.event_id
)

select
    l.source,
    l.protocol as venue,
    l.chain,
    e.asset,
    e.side,
    case l.leg when 'collateral' then 'collateral_seized' else 'debt_repaid' end as measure,
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
