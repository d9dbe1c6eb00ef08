-- An asset's funding day by day: the composite rates, and the regime in force at the day's end. The steps behind the regime
-- are int_funding_regime_steps'.
with composite as (
    select * from {{ ref('int_funding_across_venues') }} where pace = 'daily'
),

steps as (
    select * from {{ ref('int_funding_regime_steps') }}
),

reports as (
    select distinct venue, asset, trade_date from {{ ref('int_funding_by_venue_slot') }} where pace = 'daily'
),

expected as ({{ stats_expected_days('reports', ['venue', 'asset']) }}),

expected_venues as (
    select asset, trade_date, cast(count(*) as int) as venues_expected from expected group by asset, trade_date
),

-- A day's rates are weighed with the day before's closing open interest.
open_interest as (
    select asset, trade_date + 1 as trade_date, sum(oi_usd) as oi_usd from {{ ref('int_oi_by_venue_daily') }} group by asset, trade_date
),

spine as ({{ stats_day_spine('composite') }}),

pace_days as (
    select
        pace,
        asset,
        trade_date,
        cast(count(*) as int) as steps,
        cast(count_if(rate_8h > 0) as int) as positive_steps,
        cast(count_if(x_8h > 0) as int) as above_neutral_steps,
        cast(count_if(is_inside) as int) as inside_steps
    from steps
    group by pace, asset, trade_date
),

pace_windows as (
    select
        *,
        case pace when 'settlement' then {{ threshold('funding_slots_per_day') }} else 1 end as steps_of_full_day,
        sum(steps) over month_before as steps_30d,
        sum(positive_steps) over month_before as positive_steps_30d,
        sum(above_neutral_steps) over month_before as above_neutral_steps_30d
    from pace_days
    window month_before as (
        partition by pace, asset order by trade_date
        range between interval '{{ threshold('month_window_days') }}' day preceding and interval '1' day preceding
    )
),

closes as (
    select
        pace_windows.pace,
        pace_windows.asset,
        pace_windows.trade_date,
        steps.x_8h,
        steps.percentile,
        steps.regime_class,
        steps.regime,
        steps.rate_sign,
        steps.sign_run_length,
        pace_windows.inside_steps = pace_windows.steps_of_full_day as is_inside_all_day,
        case when pace_windows.steps_30d = {{ threshold('month_window_days') }} * pace_windows.steps_of_full_day
            then pace_windows.positive_steps_30d / cast(pace_windows.steps_30d as double)
        end as positive_share_30d,
        case when pace_windows.steps_30d = {{ threshold('month_window_days') }} * pace_windows.steps_of_full_day
            then pace_windows.above_neutral_steps_30d / cast(pace_windows.steps_30d as double)
        end as above_neutral_share_30d
    from pace_windows
    left join steps
        on pace_windows.pace = steps.pace and pace_windows.asset = steps.asset and pace_windows.trade_date = steps.trade_date
        and pace_windows.steps_of_full_day - 1 = steps.slot
),

-- Settlements speak wherever their window is full, days where only theirs is.
chosen as (
    select *
    from closes
    qualify row_number() over (
        partition by asset, trade_date
        order by case when percentile is null then 1 else 0 end, case pace when 'settlement' then 0 else 1 end
    ) = 1
),

stability as (
    select
        asset,
        trade_date,
        {{ stats_snap(stats_where_full('stddev_samp(rate_8h) over before', 'rate_8h', threshold('month_window_days'), 'before')) }}
            as rate_8h_sd_30d
    from composite
    window before as (
        partition by asset order by trade_date
        range between interval '{{ threshold('month_window_days') }}' day preceding and interval '1' day preceding
    )
),

daily as (
    select
        spine.asset,
        spine.trade_date,
        composite.rate_8h,
        composite.rate_basis,
        composite.rate_8h_oi_weighted,
        composite.rate_8h_volume_weighted,
        composite.rate_8h_median,
        composite.rate_8h_dispersion,
        composite.x_8h,
        chosen.pace,
        chosen.x_8h as x_8h_at_close,
        chosen.percentile,
        coalesce(chosen.regime_class, 'unknown') as regime_class,
        case when chosen.percentile is null then 'unknown' else chosen.regime end as regime,
        chosen.rate_sign,
        chosen.sign_run_length,
        coalesce(chosen.is_inside_all_day, false) as is_inside_all_day,
        chosen.positive_share_30d,
        chosen.above_neutral_share_30d,
        stability.rate_8h_sd_30d,
        coalesce(composite.venues_present, 0) as venues_present,
        coalesce(expected_venues.venues_expected, 0) as venues_expected,
        coalesce(composite.venues_weighted, 0) as venues_weighted,
        composite.oi_usd_weighing / nullif(open_interest.oi_usd, 0) as oi_weighted_share,
        composite.source_lists,
        greatest(composite.available_at, cast(spine.trade_date + 1 as timestamp)) as day_available_at
    from spine
    left join composite on spine.asset = composite.asset and spine.trade_date = composite.trade_date
    left join chosen on spine.asset = chosen.asset and spine.trade_date = chosen.trade_date
    left join stability on spine.asset = stability.asset and spine.trade_date = stability.trade_date
    left join expected_venues on spine.asset = expected_venues.asset and spine.trade_date = expected_venues.trade_date
    left join open_interest on spine.asset = open_interest.asset and spine.trade_date = open_interest.trade_date
),

changes as (
    select
        *,
        case when regime = lag(regime) over by_day then 0 else 1 end as is_new_regime,
        regime in ('extreme_positive', 'extreme_negative') as is_extreme,
        sum(case when is_inside_all_day then 0 else 1 end) over so_far as days_not_inside,
        sum(case when regime = 'unknown' then 1 else 0 end) over so_far as days_unknown
    from daily
    window
        by_day as (partition by asset order by trade_date),
        so_far as (partition by asset order by trade_date rows between unbounded preceding and current row)
),

runs as (
    select
        *,
        sum(is_new_regime) over (partition by asset order by trade_date rows between unbounded preceding and current row) as regime_run,
        count_if(is_inside_all_day) over (
            partition by asset, days_not_inside order by trade_date rows between unbounded preceding and current row
        ) as inside_days,
        count_if(regime <> 'unknown') over (
            partition by asset, days_unknown order by trade_date rows between unbounded preceding and current row
        ) as known_days
    from changes
),

marked as (
    select
        *,
        -- 1 an extreme in force, 0 calm that a normalisation has answered; a day between keeps the mark before it.
        case
            when is_extreme then 1
            when regime = 'unknown' or inside_days >= {{ threshold('funding_normalisation_days') }} then 0
        end as extreme_mark
    from runs
),

judged as (
    select
        *,
        {{ stats_run_length('regime_run', 'asset', 'trade_date') }} as days_in_run,
        {{ stats_last_known('extreme_mark', 'asset', 'trade_date', frame_end='1 preceding') }} as earlier_mark
    from marked
),

source_lists as ({{ stats_tidy_lists('judged', 'source_lists') }})

select
    judged.asset,
    judged.trade_date,
    judged.rate_8h,
    coalesce(judged.rate_basis, 'unknown') as rate_basis,
    judged.rate_8h_oi_weighted,
    judged.rate_8h_volume_weighted,
    judged.rate_8h_median,
    judged.rate_8h_dispersion,
    {{ stats_snap('judged.rate_8h - judged.x_8h') }} as neutral_rate_8h,
    judged.x_8h,
    judged.x_8h_at_close,
    judged.percentile as x_percentile_90d,
    judged.regime_class,
    judged.regime,
    case when judged.regime <> 'unknown' then cast(judged.days_in_run as int) end as days_in_regime,
    judged.positive_share_30d,
    judged.above_neutral_share_30d,
    case judged.rate_sign when 1 then 'positive' when 0 then 'zero' when -1 then 'negative' else 'unknown' end as rate_sign,
    judged.sign_run_length,
    judged.rate_8h_sd_30d,
    case
        when judged.regime = 'unknown' or judged.known_days < {{ threshold('funding_normalisation_days') }} then 'unknown'
        when not judged.is_extreme and judged.inside_days >= {{ threshold('funding_normalisation_days') }} and judged.earlier_mark = 1
            then 'on'
        else 'off'
    end as normalisation,
    coalesce(judged.pace, 'none') as input_grain,
    judged.venues_present,
    judged.venues_expected,
    judged.venues_present / cast(nullif(judged.venues_expected, 0) as double) as venue_share,
    judged.venues_weighted,
    judged.oi_weighted_share,
    source_lists.tidy as sources,
    max(judged.day_available_at) over (
        partition by judged.asset order by judged.trade_date rows between unbounded preceding and current row
    ) as available_at
from judged
left join source_lists on judged.source_lists = source_lists.list
