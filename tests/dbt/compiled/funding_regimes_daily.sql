-- An asset's funding day by day: the composite rates, and the regime in force at the day's end. The steps behind the
-- regime are int_funding_regime_steps'.
with points as (
    select * from intermediate.int_funding_by_venue_slot where frequency = 'daily'
),

composite as (
    select * from intermediate.int_funding_across_venues where frequency = 'daily'
),

steps as (
    select
        *,
        slot = case frequency when 'settlement' then 3 - 1 else 0 end as is_close
    from intermediate.int_funding_regime_steps
),

-- One venue has no dispersion to speak of.
dispersions as (
    select
        points.asset,
        points.trade_date,
        sqrt(
            sum(
                points.oi_usd_before
                * (points.rate_8h - composite.rate_8h_oi_weighted) * (points.rate_8h - composite.rate_8h_oi_weighted)
            ) / sum(points.oi_usd_before)
        ) as rate_8h_dispersion
    from points
    inner join composite on points.asset = composite.asset and points.trade_date = composite.trade_date
    where composite.venues_weighted > 1
    group by points.asset, points.trade_date
),

expected as (
    select venue, asset, trade_date, trade_date as reported_on, 0 as days_silent
    from points
    union all
    select
        report.venue, report.asset,
        report.trade_date + cast(silence.days as int) as trade_date,
        report.trade_date as reported_on,
        cast(silence.days as int) as days_silent
    from (
        select
            venue, asset,
            trade_date,
            coalesce(
                lead(trade_date) over (partition by venue, asset order by trade_date), date '9999-12-31'
            ) as next_report
        from points
    ) as report
    cross join range(1, 7 + 1) as silence (days)
    where
        report.next_report > report.trade_date + 1
        and report.trade_date + cast(silence.days as int) < report.next_report
),

expected_venues as (
    select asset, trade_date, cast(count(*) as int) as venues_expected from expected group by asset, trade_date
),

-- A new interval reprices what one settlement means: whoever reads rates by settlement must know of it.
intervals as (
    select
        asset,
        trade_date,
        min(interval_hours) as interval_hours_min,
        max(interval_hours) as interval_hours_max,
        cast(count_if(interval_changed) as int) as interval_changes
    from marts.fct_funding_daily
    group by asset, trade_date
),

-- A day's rates are weighed with the day before's closing open interest.
open_interest as (
    select
        asset,
        trade_date + 1 as trade_date,
        sum(oi_usd) as oi_usd
    from intermediate.int_oi_by_venue_daily
    group by asset, trade_date
),

spine as (
    select bounds.asset, calendar.trade_date
    from (
        select asset, min(trade_date) as first_day, max(trade_date) as last_day from composite group by asset
    ) as bounds
    inner join intermediate.int_calendar as calendar
        on calendar.trade_date between bounds.first_day and bounds.last_day
),

-- What the steps of a day say, at each frequency: its last step, and counts.
frequency_days as (
    select
        frequency,
        asset,
        trade_date,
        max(excess_rate_8h) filter (where is_close) as excess_rate_8h,
        max(percentile) filter (where is_close) as percentile,
        max(regime_class) filter (where is_close) as regime_class,
        max(regime) filter (where is_close) as regime,
        max(rate_sign) filter (where is_close) as rate_sign,
        max(sign_run_length) filter (where is_close) as sign_run_length,
        count(*) as steps,
        count_if(rate_8h > 0) as positive_steps,
        count_if(excess_rate_8h > 0) as above_neutral_steps,
        count_if(is_inside) as inside_steps
    from steps
    group by frequency, asset, trade_date
),

frequencies as (
    select 'settlement' as frequency, 3 as steps_per_day
    union all
    select 'daily' as frequency, 1 as steps_per_day
),

-- Both frequencies on every day, with the shares of the month before: of a full month of steps, else not known.
frequency_months as (
    select
        spine.asset,
        spine.trade_date,
        frequencies.frequency,
        frequency_days.asset is not null as has_steps,
        frequency_days.excess_rate_8h,
        frequency_days.percentile,
        frequency_days.regime_class,
        frequency_days.regime,
        frequency_days.rate_sign,
        frequency_days.sign_run_length,
        coalesce(frequency_days.inside_steps = frequencies.steps_per_day, false) as is_inside_all_day,
        case
            when sum(frequency_days.steps) over month_before
                = 30 * frequencies.steps_per_day
                then sum(frequency_days.positive_steps) over month_before
                / cast(sum(frequency_days.steps) over month_before as double)
        end as positive_share_30d,
        case
            when sum(frequency_days.steps) over month_before
                = 30 * frequencies.steps_per_day
                then sum(frequency_days.above_neutral_steps) over month_before
                / cast(sum(frequency_days.steps) over month_before as double)
        end as above_neutral_share_30d
    from spine
    cross join frequencies
    left join frequency_days
        on
            spine.asset = frequency_days.asset
            and spine.trade_date = frequency_days.trade_date
            and frequencies.frequency = frequency_days.frequency
    window month_before as (
        partition by spine.asset, frequencies.frequency
        order by spine.trade_date rows between 30 preceding and 1 preceding
    )
),

-- Settlements speak wherever their window is full, days where only theirs is; then whichever has the day at all.
speaking as (
    select *
    from frequency_months
    qualify
        row_number() over (
            partition by asset, trade_date
            order by
                case when percentile is not null then 1 when has_steps then 2 else 3 end,
                case frequency when 'settlement' then 1 else 2 end
        ) = 1
),

daily as (
    select
        speaking.asset,
        speaking.trade_date,
        composite.rate_8h,
        coalesce(composite.rate_basis, 'unknown') as rate_basis,
        composite.rate_8h_oi_weighted,
        composite.rate_8h_volume_weighted,
        composite.rate_8h_median,
        dispersions.rate_8h_dispersion,
        composite.excess_rate_8h,
        intervals.interval_hours_min,
        intervals.interval_hours_max,
        intervals.interval_changes,
        case when speaking.has_steps then speaking.frequency else 'none' end as input_grain,
        speaking.excess_rate_8h as close_excess_rate_8h,
        speaking.percentile as close_percentile,
        speaking.regime_class as close_regime_class,
        speaking.regime as close_regime,
        speaking.rate_sign as close_rate_sign,
        speaking.sign_run_length as close_sign_run_length,
        speaking.is_inside_all_day,
        speaking.positive_share_30d,
        speaking.above_neutral_share_30d,
        coalesce(composite.venues_present, 0) as venues_present,
        coalesce(expected_venues.venues_expected, 0) as venues_expected,
        coalesce(composite.venues_weighted, 0) as venues_weighted,
        composite.oi_usd_weighing / nullif(open_interest.oi_usd, 0) as oi_weighted_share,
        composite.source_lists,
        greatest(composite.available_at, cast(speaking.trade_date + 1 as timestamp)) as day_available_at
    from speaking
    left join composite on speaking.asset = composite.asset and speaking.trade_date = composite.trade_date
    left join dispersions on speaking.asset = dispersions.asset and speaking.trade_date = dispersions.trade_date
    left join intervals on speaking.asset = intervals.asset and speaking.trade_date = intervals.trade_date
    left join expected_venues
        on speaking.asset = expected_venues.asset and speaking.trade_date = expected_venues.trade_date
    left join open_interest
        on speaking.asset = open_interest.asset and speaking.trade_date = open_interest.trade_date
),

states as (
    select
        *,
        case when close_percentile is null then 'unknown' else close_regime end as regime,
        close_percentile is not null and close_regime in ('extreme_positive', 'extreme_negative') as is_extreme
    from daily
),

windowed as (
    select
        *,
        row_number() over in_order as day_no,
        coalesce(regime <> lag(regime) over in_order, true) as is_new_regime,
        floor((case when count(rate_8h) over month_before = 30 then stddev_samp(rate_8h) over month_before end) * 1e12 + 0.5e0) / 1e12 as rate_8h_sd_30d,
        floor((case when count(rate_8h) over week_before = 7 then avg(rate_8h) over week_before end) * 1e12 + 0.5e0) / 1e12 as rate_8h_mean_7d,
        case when count(interval_changes) over month_before = 30 then sum(interval_changes) over month_before end as interval_changes_30d
    from states
    window
        in_order as (partition by asset order by trade_date),
        week_before as (partition by asset order by trade_date rows between 7 preceding and 1 preceding),
        month_before as (partition by asset order by trade_date rows between 30 preceding and 1 preceding)
),

counted as (
    select
        *,
        day_no - coalesce(max(case when is_new_regime then day_no end) over so_far, 1) + 1 as days_in_run,
        day_no - coalesce(max(case when not is_inside_all_day then day_no end) over so_far, 0) as days_inside,
        day_no - coalesce(max(case when regime = 'unknown' then day_no end) over so_far, 0) as days_known,
        floor((case when count(rate_8h_sd_30d) over year_before = 365 then quantile_cont(rate_8h_sd_30d, 0.5e0) over year_before end) * 1e12 + 0.5e0) / 1e12 as rate_8h_sd_median_365d,
        max(day_available_at) over so_far as available_at
    from windowed
    window
        so_far as (partition by asset order by trade_date rows between unbounded preceding and current row),
        year_before as (
            partition by asset order by trade_date rows between 365 preceding and 1 preceding
        )
),

marked as (
    select
        *,
        -- 1 an extreme in force, 0 calm that a normalization has answered; a day between keeps the mark before it.
        case
            when is_extreme then 1
            when regime = 'unknown' or days_inside >= 3 then 0
        end as extreme_mark
    from counted
),

judged as (
    select
        *,
        max_by(extreme_mark, trade_date) filter (where extreme_mark is not null) over earlier = 1 as is_after_extreme
    from marked
    window earlier as (partition by asset order by trade_date rows between unbounded preceding and 1 preceding)
),

source_lists as (
    select
        messy.gathered,
        array_to_string(list_sort(list_distinct(list(member.item) filter (where member.item is not null))), ',') as tidy
    from (
        select
            gathered,
            string_split(gathered, ',') as items
        from (
            select distinct source_lists as gathered from judged where source_lists is not null
        ) as lists
    ) as messy
    cross join lateral unnest(messy.items) as member (item)
    group by messy.gathered
)

select
    judged.asset,
    judged.trade_date,
    judged.rate_8h,
    judged.rate_basis,
    judged.rate_8h_oi_weighted,
    judged.rate_8h_volume_weighted,
    judged.rate_8h_median,
    judged.rate_8h_dispersion,
    floor((judged.rate_8h - judged.excess_rate_8h) * 1e12 + 0.5e0) / 1e12 as neutral_rate_8h,
    judged.excess_rate_8h,
    judged.close_excess_rate_8h as excess_rate_8h_at_close,
    judged.close_percentile as excess_rate_percentile_90d,
    coalesce(judged.close_regime_class, 'unknown') as regime_class,
    judged.regime,
    case when judged.regime <> 'unknown' then cast(judged.days_in_run as int) end as days_in_regime,
    judged.positive_share_30d,
    judged.above_neutral_share_30d,
    case judged.close_rate_sign
        when 1 then 'positive'
        when 0 then 'zero'
        when -1 then 'negative'
        else 'unknown'
    end as rate_sign,
    judged.close_sign_run_length as sign_run_length,
    judged.rate_8h_sd_30d,
    judged.rate_8h_sd_median_365d,
    judged.rate_8h_mean_7d,
    case
        when judged.rate_8h_mean_7d is null or judged.rate_8h_sd_30d is null or judged.rate_8h_sd_median_365d is null then 'unknown'
        when judged.rate_8h_mean_7d >= 3.7e-05 and judged.rate_8h_mean_7d <= 7.2e-05 and judged.rate_8h_sd_30d < judged.rate_8h_sd_median_365d then 'on'
        else 'off'
    end as healthy_market,
    case
        when judged.regime = 'unknown' or judged.days_known < 3
            then 'unknown'
        when judged.days_inside >= 3 and judged.regime <> 'extreme_positive' and judged.regime <> 'extreme_negative' and judged.is_after_extreme then 'on'
        else 'off'
    end as normalization,
    judged.interval_hours_min,
    judged.interval_hours_max,
    judged.interval_changes,
    cast(judged.interval_changes_30d as int) as interval_changes_30d,
    judged.input_grain,
    judged.venues_present,
    judged.venues_expected,
    judged.venues_present / cast(nullif(judged.venues_expected, 0) as double) as venue_share,
    judged.venues_weighted,
    judged.oi_weighted_share,
    source_lists.tidy as sources,
    judged.available_at
from judged
left join source_lists on judged.source_lists = source_lists.gathered
