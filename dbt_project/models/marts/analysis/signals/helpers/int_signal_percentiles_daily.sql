-- Where each measure that is judged or ranked by a percentile stands among its own days before: one row per measure, so
-- that a percentile is reckoned in one place.
with told as (
    select asset, trade_date, 'oi_zscore_90d' as measure, {{ stats_snap('oi_zscore_90d') }} as value
    from {{ ref('oi_trends_daily') }}
    union all
    select asset, trade_date, 'rate_8h_sd_30d' as measure, rate_8h_sd_30d as value
    from {{ ref('funding_regimes_daily') }}
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
        told.value
    from bounds
    inner join {{ ref('int_calendar') }} as calendar on calendar.trade_date between bounds.first_day and bounds.last_day
    left join told
        on
            bounds.asset = told.asset
            and bounds.measure = told.measure
            and calendar.trade_date = told.trade_date
),

-- Windows are literals, so each measure is ranked by itself.
ranks as (
    {{ stats_midrank(
        "(select * from daily where measure = 'oi_zscore_90d')",
        ['asset', 'measure'], 'trade_date', 'value', threshold('grid_window_days')
    ) }}
    union all
    {{ stats_midrank(
        "(select * from daily where measure = 'rate_8h_sd_30d')",
        ['asset', 'measure'], 'trade_date', 'value', threshold('long_run_window_days')
    ) }}
)

select
    daily.asset,
    daily.trade_date,
    daily.measure,
    daily.value,
    ranks.percentile
from daily
left join ranks
    on daily.asset = ranks.asset and daily.trade_date = ranks.trade_date and daily.measure = ranks.measure
