with liquidations as (
    select * from {{ ref('int_liquidations_daily') }}
),

-- A venue's instruments of an asset add up; most assets have one, and nothing to add.
shared as (
    {{ multi_source_series('liquidations', ['venue', 'chain', 'asset', 'side', 'measure'], ['series']) }}
),

days as (
    select
        l.venue,
        l.chain,
        l.asset,
        l.side,
        l.measure,
        l.trade_date,
        l.venue_kind,
        l.events,
        l.notional_usd,
        l.quantity_base,
        l.largest_usd,
        l.completeness,
        l.price_source,
        l.unpriced_events,
        l.source as source_lists,
        l.available_at
    from liquidations as l
    anti join shared on {{ same_series('l', 'shared', ['venue', 'chain', 'asset', 'side', 'measure']) }}
    union all
    select
        l.venue,
        l.chain,
        l.asset,
        l.side,
        l.measure,
        l.trade_date,
        max(l.venue_kind) as venue_kind,
        case when count(*) = count(l.events) then cast(sum(l.events) as bigint) end as events,
        sum(l.notional_usd) as notional_usd,
        sum(l.quantity_base) as quantity_base,
        max(l.largest_usd) as largest_usd,
        {{ worst_completeness('l.completeness') }} as completeness,
        {{ common_price_source('l.price_source') }} as price_source,
        cast(sum(l.unpriced_events) as bigint) as unpriced_events,
        {{ string_agg_list('l.source') }} as source_lists,
        max(l.available_at) as available_at
    from liquidations as l
    semi join shared on {{ same_series('l', 'shared', ['venue', 'chain', 'asset', 'side', 'measure']) }}
    group by l.venue, l.chain, l.asset, l.side, l.measure, l.trade_date
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
        when d.completeness = 'full' and d.unpriced_events = 0 and d.price_source <> 'debt_times_incentive'
            then d.notional_usd
    end as notional_usd_upper,
    d.quantity_base,
    d.largest_usd,
    d.completeness,
    d.price_source,
    d.unpriced_events,
    s.tidy as sources,
    d.available_at
from days as d
inner join source_lists as s on d.source_lists = s.gathered
