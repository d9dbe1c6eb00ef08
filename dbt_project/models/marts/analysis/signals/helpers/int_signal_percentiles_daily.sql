-- Where each measure that a strength is taken from stands among its own days before, and where its thresholds stand:
-- one row per measure, so that a percentile is reckoned in one place.
with told as (
    select asset, trade_date, 'volume_base' as measure, volume_base as value
    from {{ ref('oi_trends_daily') }}
    union all
    select asset, trade_date, 'oi_growth_1d' as measure, {{ stats_snap('oi_growth_1d') }} as value
    from {{ ref('oi_trends_daily') }}
    union all
    select
        asset,
        trade_date,
        'oi_change_sigmas' as measure,
        {{ stats_snap('oi_log_change_1d / nullif(oi_log_change_sd_30d, 0)') }} as value
    from {{ ref('oi_trends_daily') }}
    union all
    select asset, trade_date, 'oi_zscore_90d' as measure, {{ stats_snap('oi_zscore_90d') }} as value
    from {{ ref('oi_trends_daily') }}
    union all
    select asset, trade_date, 'rate_8h_sd_30d' as measure, rate_8h_sd_30d as value
    from {{ ref('funding_regimes_daily') }}
    union all
    select asset, trade_date, 'liquidated_usd' as measure, {{ liquidation_snap('notional_usd') }} as value
    from {{ ref('int_liquidation_days') }}
    union all
    select
        asset,
        trade_date,
        'lending_zscore_lead' as measure,
        {{ stats_snap('-exchange_lending_zscore_divergence') }} as value
    from {{ ref('liquidation_comparison_daily') }}
    union all
    select
        asset,
        trade_date,
        'perp_dex_zscore_lead' as measure,
        {{ stats_snap('-exchange_perp_dex_zscore_divergence') }} as value
    from {{ ref('liquidation_comparison_daily') }}
),

-- How far each measure looks back, and the thresholds that are no percentiles: they have one too, their place among the
-- same values.
measures as (
    select
        'volume_base' as measure,
        'volume_window_days' as looks_back,
        cast(null as double) as high_level,
        cast(null as double) as low_level
    union all
    select
        'oi_growth_1d' as measure,
        'signal_window_days' as looks_back,
        {{ signal_threshold('oi_expansion') }} as high_level,
        null as low_level
    union all
    select
        'oi_change_sigmas' as measure,
        'signal_window_days' as looks_back,
        {{ signal_threshold('bought_dip') }} as high_level,
        {{ signal_threshold('deleveraging') }} as low_level
    union all
    select
        'oi_zscore_90d' as measure,
        'grid_window_days' as looks_back,
        null as high_level,
        null as low_level
    union all
    select
        'rate_8h_sd_30d' as measure,
        'long_run_window_days' as looks_back,
        null as high_level,
        null as low_level
    union all
    select
        'liquidated_usd' as measure,
        'cascade_daily_days' as looks_back,
        null as high_level,
        null as low_level
    union all
    select
        'lending_zscore_lead' as measure,
        'signal_window_days' as looks_back,
        {{ signal_threshold('lending_stress') }} as high_level,
        null as low_level
    union all
    select
        'perp_dex_zscore_lead' as measure,
        'signal_window_days' as looks_back,
        {{ signal_threshold('perp_dex_stress') }} as high_level,
        null as low_level
),

-- Every day from the first to the last that a measure is told of, so that a window of N rows is a window of N days. An
-- asset of which it was never known has nothing to rank.
bounds as (
    select
        asset,
        measure,
        min(trade_date) as first_day,
        max(trade_date) as last_day
    from told
    group by asset, measure
    having count(value) > 0
),

daily as (
    select
        bounds.asset,
        calendar.trade_date,
        bounds.measure,
        told.value,
        measures.looks_back,
        measures.high_level,
        measures.low_level
    from bounds
    inner join measures on bounds.measure = measures.measure
    inner join {{ ref('int_calendar') }} as calendar on calendar.trade_date between bounds.first_day and bounds.last_day
    left join told
        on
            bounds.asset = told.asset
            and bounds.measure = told.measure
            and calendar.trade_date = told.trade_date
),

-- Windows are literals, so measures that look back equally far are ranked together.
ranks as (
    {{ stats_midrank(
        "(select * from daily where looks_back = 'volume_window_days')",
        ['asset', 'measure'], 'trade_date', 'value', threshold('volume_window_days')
    ) }}
    union all
    {{ stats_midrank(
        "(select * from daily where looks_back = 'signal_window_days')",
        ['asset', 'measure'], 'trade_date', 'value', threshold('signal_window_days')
    ) }}
    union all
    {{ stats_midrank(
        "(select * from daily where looks_back = 'grid_window_days')",
        ['asset', 'measure'], 'trade_date', 'value', threshold('grid_window_days')
    ) }}
    union all
    {{ stats_midrank(
        "(select * from daily where looks_back = 'long_run_window_days')",
        ['asset', 'measure'], 'trade_date', 'value', threshold('long_run_window_days')
    ) }}
    union all
    {{ stats_midrank(
        "(select * from daily where looks_back = 'cascade_daily_days')",
        ['asset', 'measure'], 'trade_date', 'value', threshold('cascade_daily_days')
    ) }}
),

levels as (
    select
        asset,
        trade_date,
        measure,
        {{ signal_level_percentile('value', 'high_level', threshold('signal_window_days'), 'days_before') }}
            as high_level_percentile,
        {{ signal_level_percentile('value', 'low_level', threshold('signal_window_days'), 'days_before') }}
            as low_level_percentile
    from daily
    where looks_back = 'signal_window_days'
    window days_before as (
        partition by asset, measure order by trade_date {{ stats_rows_before(threshold('signal_window_days')) }}
    )
)

select
    daily.asset,
    daily.trade_date,
    daily.measure,
    daily.value,
    ranks.percentile,
    levels.high_level_percentile,
    levels.low_level_percentile
from daily
left join ranks
    on daily.asset = ranks.asset and daily.trade_date = ranks.trade_date and daily.measure = ranks.measure
left join levels
    on daily.asset = levels.asset and daily.trade_date = levels.trade_date and daily.measure = levels.measure
