with liquidations as (
    select * from {{ ref('int_liquidations_daily') }}
),

days as (
    select
        venue,
        chain,
        asset,
        side,
        measure,
        trade_date,
        max(venue_kind) as venue_kind,
        case when count(*) = count(events) then cast(sum(events) as bigint) end as events,
        sum(notional_usd) as notional_usd,
        sum(quantity_base) as quantity_base,
        max(largest_usd) as largest_usd,
        {{ worst_completeness('completeness') }} as completeness,
        {{ common_price_source('price_source') }} as price_source,
        cast(sum(unpriced_events) as bigint) as unpriced_events,
        {{ sorted_list('source') }} as sources,
        max(available_at) as available_at
    from liquidations
    group by venue, chain, asset, side, measure, trade_date
)

select
    venue,
    chain,
    asset,
    side,
    measure,
    trade_date,
    venue_kind,
    events,
    notional_usd,
    case when completeness = 'full' and unpriced_events = 0 then notional_usd end as notional_usd_upper,
    quantity_base,
    largest_usd,
    completeness,
    price_source,
    unpriced_events,
    sources,
    available_at
from days
