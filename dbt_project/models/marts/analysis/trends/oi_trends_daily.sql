-- States and statistics of an asset's open interest. How venues add up, and what a silent venue does to the total, is
-- int_oi_across_venues_daily's business.
with oi as (
    select * from {{ ref('int_oi_across_venues_daily') }}
),

price_windows as (
    select
        asset,
        trade_date,
        close_usd,
        log_return,
        realized_vol_30d_daily,
        volume_base,
        volume_venues,
        -- Volume has no like-with-like change to fall back on: across a changed number of venues it is not judged.
        {{ stats_where_full(
            stats_rolling_quantile('volume_base', threshold('volume_confirmation_quantile'), 'before'),
            'volume_base', threshold('volume_window_days'), 'before'
        ) }} as volume_high_30d,
        min(volume_venues) over before = volume_venues
        and max(volume_venues) over before = volume_venues as is_volume_comparable,
        sources,
        available_at
    from {{ ref('fct_price_daily') }}
    window before as (
        partition by asset order by trade_date
        range between interval '{{ threshold('volume_window_days') }}' day preceding and interval '1' day preceding
    )
),

oi_windows as (
    select
        asset,
        trade_date,
        {{ stats_where_full(
            'stddev_samp(oi_log_step) over month_before',
            'oi_log_step', threshold('volatility_window_days'), 'month_before'
        ) }} as oi_log_change_sd_30d,
        {{ stats_zscore('oi_log_level', threshold('oi_zscore_window_days'), 'quarter_before') }} as oi_zscore_90d
    from oi
    window
        month_before as (
            partition by asset, level_segment
            order by trade_date {{ stats_rows_before(threshold('volatility_window_days')) }}
        ),
        quarter_before as (
            partition by asset, level_segment
            order by trade_date {{ stats_rows_before(threshold('oi_zscore_window_days')) }}
        )
),

snapped_levels as (
    select asset, level_segment, trade_date, {{ stats_snap('oi_log_level') }} as oi_log_level from oi
),

oi_ranks as (
    {{ stats_midrank(
        'snapped_levels', ['asset', 'level_segment'], 'trade_date', 'oi_log_level', threshold('long_run_window_days')
    ) }}
),

plausibility as (
    select
        asset,
        trade_date,
        count(*) as oi_changes_checked,
        count_if(not is_plausible) as oi_changes_implausible,
        max(available_at) as available_at
    from {{ ref('int_oi_plausibility_daily') }}
    group by asset, trade_date
),

-- The profile of the months before holds for the whole month.
leads as (
    select
        asset,
        trade_month,
        max(lag_days) filter (where is_best) as oi_lead_days,
        max(correlation) filter (where is_best) as oi_lead_correlation,
        max(correlation_band) filter (where is_best) as oi_lead_band,
        max(pairs) as oi_lead_pairs
    from {{ ref('oi_lead_lag_monthly') }}
    group by asset, trade_month
),

measured as (
    select
        oi.*,
        coalesce(plausibility.oi_changes_checked, 0) as oi_changes_checked,
        plausibility.oi_changes_implausible,
        leads.oi_lead_days,
        leads.oi_lead_correlation,
        leads.oi_lead_band,
        coalesce(leads.oi_lead_pairs, 0) as oi_lead_pairs,
        oi_windows.oi_log_change_sd_30d,
        oi_windows.oi_zscore_90d,
        oi_ranks.percentile as oi_percentile_365d,
        price_windows.close_usd,
        price_windows.log_return,
        price_windows.realized_vol_30d_daily,
        price_windows.volume_base,
        price_windows.volume_venues,
        price_windows.volume_high_30d,
        price_windows.is_volume_comparable,
        concat_ws(',', oi.source_lists, price_windows.sources) as day_sources,
        greatest(
            oi.available_at, price_windows.available_at, plausibility.available_at, cast(oi.trade_date + 1 as timestamp)
        ) as day_available_at,
        -- Both sides of every comparison on one grid, so that a value on the border is on the border in every run.
        {{ stats_snap('price_windows.log_return') }} as price_return,
        abs({{ stats_snap('price_windows.log_return') }}) as price_move,
        {{ stats_snap('oi.oi_log_change_1d') }} as oi_change,
        {{ stats_snap('oi.oi_growth_1d') }} as oi_growth,
        {{ stats_snap(threshold('quadrant_return_sigmas') ~ ' * price_windows.realized_vol_30d_daily') }}
            as quadrant_return_border,
        {{ stats_snap(threshold('quadrant_oi_sigmas') ~ ' * oi_windows.oi_log_change_sd_30d') }}
            as quadrant_oi_border,
        -- Too small a part of the market must not speak for all of it.
        case when oi.oi_compared_share_1d >= {{ threshold('oi_comparable_share_min') }} then true end as is_comparable
    from oi
    left join oi_windows on oi.asset = oi_windows.asset and oi.trade_date = oi_windows.trade_date
    left join oi_ranks on oi.asset = oi_ranks.asset and oi.trade_date = oi_ranks.trade_date
    left join price_windows on oi.asset = price_windows.asset and oi.trade_date = price_windows.trade_date
    left join plausibility on oi.asset = plausibility.asset and oi.trade_date = plausibility.trade_date
    left join leads
        on oi.asset = leads.asset and cast(date_trunc('month', oi.trade_date) as date) = leads.trade_month
),

judged as (
    select
        *,
        case
            when
                price_return is null or oi_change is null or is_comparable is null
                or quadrant_return_border is null or quadrant_oi_border is null
                then 'unknown'
            when price_return > quadrant_return_border and oi_change > quadrant_oi_border then 'long_build_up'
            when price_return < -quadrant_return_border and oi_change > quadrant_oi_border then 'short_build_up'
            when price_return > quadrant_return_border and oi_change < -quadrant_oi_border then 'short_covering'
            when price_return < -quadrant_return_border and oi_change < -quadrant_oi_border then 'long_unwinding'
            else 'neutral'
        end as quadrant,
        {{ signal_state('oi_expansion', also_known=['is_comparable']) }} as expansion,
        {{ stats_state(
            signal_comparison('oi_expansion_confirmed', 'volume_base'),
            ['volume_base', 'volume_high_30d', 'nullif(is_volume_comparable, false)']
        ) }} as volume_surge,
        case
            when
                price_return is null or oi_change is null or is_comparable is null
                or realized_vol_30d_daily is null or oi_log_change_sd_30d is null
                then 'unknown'
            when {{ signal_condition('bought_dip') }} then 'bought_dip'
            when {{ signal_condition('deleveraging') }} then 'deleveraging'
            when {{ signal_comparison('bought_dip', 'price_return') }} then 'neutral'
            else 'none'
        end as divergence
    from measured
),

source_lists as ({{ distinct_sorted_list('judged', 'day_sources') }})

select
    judged.asset,
    judged.trade_date,
    judged.oi_base,
    judged.oi_usd,
    judged.oi_base_reported,
    judged.oi_base_chain_linked,
    judged.venues_present,
    judged.venues_expected,
    judged.venues_present / cast(nullif(judged.venues_expected, 0) as double) as venue_share,
    judged.oi_base_reported / nullif(judged.oi_base, 0) as oi_reported_share,
    judged.venues_excluded,
    judged.excluded_venues,
    judged.oi_base_change_1d,
    judged.oi_base_change_7d,
    judged.oi_base_change_30d,
    judged.oi_growth_1d,
    judged.oi_growth_7d,
    judged.oi_growth_30d,
    judged.venues_compared_1d,
    judged.venues_compared_7d,
    judged.venues_compared_30d,
    judged.oi_compared_share_1d,
    judged.oi_usd_change_1d,
    judged.oi_usd_position_1d,
    judged.oi_usd_price_1d,
    judged.oi_usd_cross_1d,
    judged.oi_log_change_1d,
    judged.oi_log_change_sd_30d,
    judged.oi_zscore_90d,
    judged.oi_percentile_365d,
    judged.oi_hhi,
    judged.close_usd,
    judged.log_return,
    judged.realized_vol_30d_daily,
    judged.volume_base,
    judged.volume_venues,
    judged.volume_high_30d,
    judged.quadrant,
    judged.expansion,
    judged.volume_surge,
    case
        when judged.expansion = 'unknown' or judged.volume_surge = 'unknown' then 'unknown'
        when judged.expansion = 'on' and judged.volume_surge = 'on' then 'on'
        else 'off'
    end as expansion_confirmed,
    judged.divergence,
    cast(judged.oi_changes_checked as int) as oi_changes_checked,
    cast(judged.oi_changes_implausible as int) as oi_changes_implausible,
    {{ stats_state('judged.oi_changes_implausible = 0', ['judged.oi_changes_implausible']) }} as oi_change_plausible,
    judged.oi_lead_days,
    judged.oi_lead_correlation,
    judged.oi_lead_band,
    judged.oi_lead_pairs,
    judged.input_grains as input_grain,
    source_lists.tidy as sources,
    -- A row rests on its windows and carried values too: it was not known before the last of them.
    max(judged.day_available_at) over (
        partition by judged.asset order by judged.trade_date rows between unbounded preceding and current row
    ) as available_at
from judged
left join source_lists on judged.day_sources = source_lists.gathered
