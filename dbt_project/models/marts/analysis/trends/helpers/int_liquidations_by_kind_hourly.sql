-- An asset's liquidations by kind and hour, on days of which some feed tells the hours apart: what
-- liquidation_comparison_hourly sets side by side. An hour of a covered day in which nothing is reported is zero.
with feed_sides as (
    select
        *,
        {{ liquidation_kind('venue_kind', 'measure') }} as kind
    from {{ ref('int_liquidation_feeds_daily') }}
),

reports as (
    select
        *,
        {{ liquidation_kind('venue_kind', 'measure') }} as kind
    from {{ ref('int_liquidations_hourly') }}
),

-- Days with hours. Which source speaks, and that its day is whole, is known when the day is.
days as (
    select
        asset,
        trade_date,
        {{ sorted_list("case when hours_known_by <> 'none' then source end") }} as sources,
        greatest(max(available_at), cast(trade_date + 1 as timestamp)) as available_at
    from feed_sides
    group by asset, trade_date
    having bool_or(hours_known_by <> 'none')
),

-- Every feed of the day's total counts as expected, also one that speaks of days only.
feeds as (
    select
        asset,
        trade_date,
        kind,
        venue,
        chain,
        series,
        bool_and(hours_known_by = 'day') as is_day_covered,
        bool_or(hours_known_by <> 'none') as is_hourly,
        {{ worst_completeness('completeness') }} as completeness
    from feed_sides
    group by asset, trade_date, kind, venue, chain, series
),

feed_days as (
    select
        asset,
        trade_date,
        kind,
        count(*) as feeds_expected,
        count_if(is_day_covered) as feeds_covered,
        {{ worst_completeness('case when is_hourly then completeness end') }} as completeness
    from feeds
    group by asset, trade_date, kind
),

-- Which amounts are zero in an hour without events.
covered as (
    select
        asset,
        trade_date,
        kind,
        true as is_covered,
        bool_or(side = 'long') as is_long_covered,
        bool_or(side = 'short') as is_short_covered,
        bool_or(side = 'unknown') as is_side_unknown_covered
    from feed_sides
    where hours_known_by = 'day'
    group by asset, trade_date, kind
),

reported as (
    select
        asset,
        opened_at,
        kind,
        count(*) as reports,
        sum(notional_usd) as notional_usd,
        count(events) as counts,
        sum(events) as events,
        sum(unpriced_events) as unpriced_events,
        count(*) filter (where side = 'long') as long_reports,
        sum(notional_usd) filter (where side = 'long') as long_usd,
        sum(unpriced_events) filter (where side = 'long') as long_unpriced_events,
        count(*) filter (where side = 'short') as short_reports,
        sum(notional_usd) filter (where side = 'short') as short_usd,
        sum(unpriced_events) filter (where side = 'short') as short_unpriced_events,
        count(*) filter (where side = 'unknown') as side_unknown_reports,
        sum(notional_usd) filter (where side = 'unknown') as side_unknown_usd,
        sum(unpriced_events) filter (where side = 'unknown') as side_unknown_unpriced_events,
        count(distinct case when is_hour_complete then concat_ws(' ', venue, chain, series) end) as feeds_covered
    from reports
    group by asset, opened_at, kind
),

kinds as ({{ liquidation_kinds() }}),

spine as (
    select
        days.asset,
        cast(days.trade_date as timestamp) + cast(steps.i as int) * interval '1' hour as opened_at,
        days.trade_date,
        kinds.kind,
        days.sources,
        days.available_at
    from days
    cross join range(0, 24) as steps (i)
    cross join kinds
),

hours as (
    select
        spine.asset,
        spine.opened_at,
        spine.trade_date,
        spine.kind,
        {{ stats_zero_if_covered(
            'reported.notional_usd', 'reported.reports', 'covered.is_covered', 'reported.unpriced_events'
        ) }} as notional_usd,
        {{ stats_zero_if_covered(
            'reported.long_usd', 'reported.long_reports', 'covered.is_long_covered', 'reported.long_unpriced_events'
        ) }} as notional_usd_long,
        {{ stats_zero_if_covered(
            'reported.short_usd', 'reported.short_reports', 'covered.is_short_covered',
            'reported.short_unpriced_events'
        ) }} as notional_usd_short,
        {{ stats_zero_if_covered(
            'reported.side_unknown_usd', 'reported.side_unknown_reports', 'covered.is_side_unknown_covered',
            'reported.side_unknown_unpriced_events'
        ) }} as notional_usd_side_unknown,
        -- A report without a count leaves the hour's open.
        case
            when reported.reports > reported.counts then null
            when reported.reports > 0 then reported.events
            when covered.is_covered then 0
        end as events,
        case
            when reported.reports > 0 then reported.unpriced_events
            when covered.is_covered then 0
        end as unpriced_events,
        case when reported.reports > 0 or covered.is_covered then feed_days.completeness end as completeness,
        coalesce(feed_days.feeds_covered, 0) + coalesce(reported.feeds_covered, 0) as feeds_covered,
        coalesce(feed_days.feeds_expected, 0) as feeds_expected,
        spine.sources,
        spine.available_at
    from spine
    left join feed_days
        on spine.asset = feed_days.asset and spine.trade_date = feed_days.trade_date
        and spine.kind = feed_days.kind
    left join covered
        on spine.asset = covered.asset and spine.trade_date = covered.trade_date and spine.kind = covered.kind
    left join reported
        on spine.asset = reported.asset and spine.opened_at = reported.opened_at and spine.kind = reported.kind
)

select
    asset,
    opened_at,
    trade_date,
    kind,
    notional_usd,
    notional_usd_long,
    notional_usd_short,
    notional_usd_side_unknown,
    cast(events as bigint) as events,
    cast(unpriced_events as bigint) as unpriced_events,
    coalesce(completeness, 'none') as completeness,
    cast(feeds_covered as int) as feeds_covered,
    cast(feeds_expected as int) as feeds_expected,
    feeds_expected > 0 and feeds_covered = feeds_expected as is_covered,
    sources,
    available_at
from hours
