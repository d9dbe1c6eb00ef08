with liquidations as (
    select * from {{ ref('int_liquidations_daily') }}
),

-- A venue's instruments of an asset add up.
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
        min(listened_share) as listened_share,
        min(pushed_share) as pushed_share,
        {{ string_agg_list('source') }} as source_lists,
        max(available_at) as available_at
    from liquidations
    group by venue, chain, asset, side, measure, trade_date
),

source_lists as ({{ distinct_sorted_list('days', 'source_lists') }})

select
    d.venue,
    d.chain,
    d.asset,
    d.side,
    d.measure,
    d.trade_date,
    d.venue_kind,
    d.events,
    d.notional_usd,
    case
        when
            d.completeness = 'full' and d.unpriced_events = 0 and d.price_source <> 'debt_times_incentive'
            and coalesce(d.listened_share, 1) >= {{ threshold('listened_whole_day_min_share') }}
            then d.notional_usd
    end as notional_usd_upper,
    d.quantity_base,
    d.largest_usd,
    d.completeness,
    d.price_source,
    d.unpriced_events,
    d.listened_share,
    d.pushed_share,
    s.tidy as sources,
    d.available_at
from days as d
inner join source_lists as s on d.source_lists = s.gathered
