-- What an asset's positions lost on each day and whether anybody was there to see it: what heatmap, zones and cascades
-- stand on. A day of nothing but samples is not seen, because a sample covers nothing.
with liquidations as (
    select * from {{ ref('int_liquidations_daily') }}
    where measure = 'position_notional'
),

spine as ({{ stats_day_spine('liquidations') }}),

venues as (
    select distinct venue, asset, trade_date
    from liquidations
    where notional_usd is not null and completeness <> 'sampled'
),

expected as ({{ stats_expected_days('venues', ['venue', 'asset']) }}),

expected_venues as (
    select
        asset,
        trade_date,
        cast(count(*) as int) as venues_expected,
        cast(count(*) filter (where days_silent = 0) as int) as venues_present
    from expected
    group by asset, trade_date
),

days as (
    select
        asset,
        trade_date,
        sum(notional_usd) filter (where completeness <> 'sampled') as notional_usd,
        sum(notional_usd) filter (where completeness <> 'sampled' and side = 'long') as long_usd,
        sum(notional_usd) filter (where completeness <> 'sampled' and side = 'short') as short_usd,
        coalesce(
            bool_or(table_name = 'liquidations' and completeness <> 'sampled' and notional_usd is not null), false
        ) as has_events,
        {{ worst_completeness('completeness') }} as completeness,
        {{ string_agg_list('source') }} as source_list,
        max(available_at) as available_at
    from liquidations
    group by asset, trade_date
),

dated as (
    select
        spine.asset,
        spine.trade_date,
        days.notional_usd,
        days.long_usd,
        days.short_usd,
        coalesce(days.has_events, false) as has_events,
        coalesce(days.completeness, 'none') as completeness,
        days.source_list,
        coalesce(expected_venues.venues_present, 0) as venues_present,
        coalesce(expected_venues.venues_expected, 0) as venues_expected,
        greatest(days.available_at, cast(spine.trade_date + 1 as timestamp)) as day_available_at
    from spine
    left join days on spine.asset = days.asset and spine.trade_date = days.trade_date
    left join expected_venues
        on spine.asset = expected_venues.asset and spine.trade_date = expected_venues.trade_date
),

source_lists as ({{ distinct_sorted_list('dated', 'source_list') }})

select
    dated.asset,
    dated.trade_date,
    dated.notional_usd,
    dated.long_usd,
    dated.short_usd,
    dated.has_events,
    dated.completeness,
    dated.venues_present,
    dated.venues_expected,
    source_lists.tidy as sources,
    dated.day_available_at,
    max(dated.day_available_at) over so_far as available_at
from dated
left join source_lists on dated.source_list = source_lists.gathered
window so_far as (
    partition by dated.asset order by dated.trade_date rows between unbounded preceding and current row
)
