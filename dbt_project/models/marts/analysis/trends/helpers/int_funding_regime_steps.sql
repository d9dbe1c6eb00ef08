-- The regime of an asset's funding at every step: percentile, class, confirmation and hysteresis, all by looking back.
-- Which frequency speaks for a day, and everything counted in days, is funding_regimes_daily's.
with across_venues as (
    select frequency, asset, trade_date, slot, step_at, rate_8h, excess_rate_8h
    from {{ ref('int_funding_across_venues') }}
),

frequencies as (
    select
        'settlement' as frequency,
        cast(i as int) as slot
    from range(0, {{ threshold('funding_slots_per_day') }}) as slots (i)
    union all
    select
        'daily' as frequency,
        0 as slot
),

-- Every step the frequency promises, so that a missing one is seen.
bounds as (
    select
        frequency,
        asset,
        min(trade_date) as first_day,
        max(trade_date) as last_day
    from across_venues
    group by frequency, asset
),

promised as (
    select bounds.frequency, bounds.asset, calendar.trade_date, frequencies.slot
    from bounds
    inner join {{ ref('int_calendar') }} as calendar on calendar.trade_date between bounds.first_day and bounds.last_day
    inner join frequencies on bounds.frequency = frequencies.frequency
),

segments as (
    select
        promised.frequency,
        promised.asset,
        promised.trade_date,
        promised.slot,
        across_venues.step_at,
        across_venues.rate_8h,
        across_venues.excess_rate_8h,
        count_if(across_venues.excess_rate_8h is null) over (
            partition by promised.frequency, promised.asset order by promised.trade_date, promised.slot
            rows between unbounded preceding and current row
        ) as segment
    from promised
    left join across_venues
        on promised.frequency = across_venues.frequency and promised.asset = across_venues.asset
        and promised.trade_date = across_venues.trade_date and promised.slot = across_venues.slot
),

settlements as (
    select asset, segment, step_at, excess_rate_8h
    from segments
    where frequency = 'settlement' and excess_rate_8h is not null
),

days as (
    select asset, segment, step_at, excess_rate_8h
    from segments
    where frequency = 'daily' and excess_rate_8h is not null
),

settlement_ranks as (
    {{ stats_midrank(
        'settlements', ['asset', 'segment'], 'step_at', 'excess_rate_8h', threshold('funding_percentile_settlements')
    ) }}
),

day_ranks as (
    {{ stats_midrank('days', ['asset', 'segment'], 'step_at', 'excess_rate_8h', threshold('funding_percentile_days')) }}
),

ranks as (
    select 'settlement' as frequency, asset, step_at, percentile from settlement_ranks
    union all
    select 'daily' as frequency, asset, step_at, percentile from day_ranks
),

ranked as (
    select
        segments.*,
        ranks.percentile as excess_rate_percentile_90d,
        cast(sign(segments.rate_8h) as int) as rate_sign
    from segments
    left join ranks
        on segments.frequency = ranks.frequency and segments.asset = ranks.asset and segments.step_at = ranks.step_at
    where segments.excess_rate_8h is not null
),

classed as (
    select
        *,
        -- In the order of docs/metrics.md. Without a percentile nothing is classed, not even neutral: an extreme might
        -- still be held.
        case
            when excess_rate_percentile_90d is null then null
            when abs(excess_rate_8h) <= {{ threshold('funding_neutral_band') }} then 'neutral'
            when {{ signal_condition('extreme_positive_funding') }} then 'extreme_positive'
            when {{ signal_condition('extreme_negative_funding') }} then 'extreme_negative'
            when excess_rate_8h > 0 and excess_rate_percentile_90d >= {{ threshold('funding_elevated_percentile') }}
                then 'elevated'
            when excess_rate_8h > 0 then 'mild_positive'
            when excess_rate_percentile_90d <= {{ threshold('funding_depressed_percentile') }} then 'depressed'
            else 'negative'
        end as regime_class
    from ranked
),

confirmed as (
    select
        *,
        case
            when
                count(regime_class) over lately = {{ threshold('funding_regime_confirmations') }}
                and min(regime_class) over lately = max(regime_class) over lately
                then regime_class
        end as confirmed_class,
        max(excess_rate_percentile_90d) over lately as highest_lately,
        min(excess_rate_percentile_90d) over lately as lowest_lately,
        row_number() over in_order as step_no,
        coalesce(rate_sign <> lag(rate_sign) over in_order, true) as is_sign_change
    from classed
    window
        in_order as (partition by frequency, asset, segment order by step_at),
        lately as (
            partition by frequency, asset, segment order by step_at
            rows between {{ threshold('funding_regime_confirmations') | int - 1 }} preceding and current row
        )
),

-- One latch per extreme: set when the extreme is confirmed, cleared when another class is confirmed and the percentile
-- was back inside, held otherwise. Neither looks at the other's state: a forward fill carries them without recursion.
latched as (
    select
        *,
        case
            when confirmed_class = 'extreme_positive' then 1
            when
                confirmed_class is not null
                and not {{ signal_is_held('extreme_positive_funding', 'highest_lately') }}
                then 0
        end as positive_latch,
        case
            when confirmed_class = 'extreme_negative' then 1
            when
                confirmed_class is not null
                and not {{ signal_is_held('extreme_negative_funding', 'lowest_lately') }}
                then 0
        end as negative_latch
    from confirmed
),

held as (
    select
        *,
        {{ stats_last_known('positive_latch', 'step_at', 'so_far') }} as is_extreme_positive,
        {{ stats_last_known('negative_latch', 'step_at', 'so_far') }} as is_extreme_negative,
        {{ stats_last_known('confirmed_class', 'step_at', 'so_far') }} as latest_class,
        cast({{ stats_run_length('step_no', 'is_sign_change', 'so_far') }} as int) as sign_run_length
    from latched
    window so_far as (
        partition by frequency, asset, segment order by step_at rows between unbounded preceding and current row
    )
)

select
    frequency,
    asset,
    trade_date,
    slot,
    step_at,
    rate_8h,
    excess_rate_8h,
    excess_rate_percentile_90d as percentile,
    regime_class,
    case
        when is_extreme_positive = 1 then 'extreme_positive'
        when is_extreme_negative = 1 then 'extreme_negative'
        else coalesce(latest_class, 'unknown')
    end as regime,
    excess_rate_percentile_90d > {{ threshold('funding_depressed_percentile') }}
    and excess_rate_percentile_90d < {{ threshold('funding_elevated_percentile') }} as is_inside,
    rate_sign,
    sign_run_length
from held
