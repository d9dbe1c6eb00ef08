-- Positioning of one venue's traders, each measure in its own column, and where the day stands in that venue's own
-- past: levels of two venues are never ranked among each other. Which venue speaks for an asset is the business of
-- positioning_divergence_daily.
{%- set window_days = threshold('positioning_window_days') %}

with reports as (
    select
        venue,
        asset,
        trade_date,
        max(long_share) filter (where measure = 'account_global') as account_long_share,
        max(long_share) filter (where measure = 'account_top') as account_top_long_share,
        max(long_share) filter (where measure = 'position_top') as position_top_long_share,
        max(long_share) filter (where measure = 'taker_volume') as taker_long_share,
        {{ sorted_list('input_grain') }} as input_grains,
        {{ string_agg_list('sources') }} as sources,
        max(available_at) as available_at
    from {{ ref('fct_positioning_daily') }}
    group by venue, asset, trade_date
),

-- Every day from a venue's first to its last, so that a window of N rows is a window of N days.
spine as (
    select bounds.venue, bounds.asset, calendar.trade_date
    from (
        select venue, asset, min(trade_date) as first_day, max(trade_date) as last_day
        from reports
        group by venue, asset
    ) as bounds
    inner join {{ ref('int_calendar') }} as calendar
        on calendar.trade_date between bounds.first_day and bounds.last_day
),

daily as (
    select
        spine.venue,
        spine.asset,
        spine.trade_date,
        reports.account_long_share,
        reports.account_top_long_share,
        reports.position_top_long_share,
        reports.taker_long_share,
        {{ stats_snap(logit('reports.position_top_long_share') ~ ' - ' ~ logit('reports.account_long_share')) }}
            as top_trader_account_gap,
        {{ stats_snap(logit('reports.account_top_long_share') ~ ' - ' ~ logit('reports.account_long_share')) }}
            as top_account_retail_gap,
        reports.input_grains,
        reports.sources,
        reports.available_at
    from spine
    left join reports
        on spine.venue = reports.venue and spine.asset = reports.asset and spine.trade_date = reports.trade_date
),

snapped as (
    select
        venue,
        asset,
        trade_date,
        {{ stats_snap('account_long_share') }} as account_long_share,
        top_trader_account_gap
    from daily
),

account_ranks as (
    {{ stats_midrank('snapped', ['venue', 'asset'], 'trade_date', 'account_long_share', window_days) }}
),

gap_ranks as (
    {{ stats_midrank('snapped', ['venue', 'asset'], 'trade_date', 'top_trader_account_gap', window_days) }}
)

select
    daily.venue,
    daily.asset,
    daily.trade_date,
    daily.account_long_share,
    {{ stats_snap('account_ranks.percentile') }} as account_long_share_percentile_90d,
    daily.account_top_long_share,
    daily.position_top_long_share,
    daily.taker_long_share,
    daily.top_trader_account_gap,
    {{ stats_snap('gap_ranks.percentile') }} as top_trader_account_gap_percentile_90d,
    daily.top_account_retail_gap,
    daily.input_grains,
    daily.sources,
    daily.available_at
from daily
left join account_ranks
    on daily.venue = account_ranks.venue and daily.asset = account_ranks.asset
    and daily.trade_date = account_ranks.trade_date
left join gap_ranks
    on daily.venue = gap_ranks.venue and daily.asset = gap_ranks.asset and daily.trade_date = gap_ranks.trade_date
where daily.sources is not null
