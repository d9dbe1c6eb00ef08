-- Where positions would be liquidated, by bins of price as of the end of each day.
with bins as (
    select * from {{ ref('int_liquidation_level_bins_daily') }}
),

background as (
    select
        asset,
        side,
        valid_from,
        feed_completeness,
        {{ threshold('levels_map_weight') }} * calibration_factor * beta
        + (1 - {{ threshold('levels_map_weight') }}) * calibration_distance * beta_distance as background_share
    from {{ ref('int_liquidation_kernel_monthly') }}
    where asset <> '*' and class_no = 0
),

days as (
    select
        d.asset,
        d.trade_date,
        d.side,
        d.oi_base,
        d.close_usd,
        d.cohort_days,
        d.available_at,
        b.valid_from,
        b.feed_completeness,
        b.background_share
    from {{ ref('int_liquidation_exposure_daily') }} as d
    left join background as b
        on d.asset = b.asset and d.side = b.side and cast(date_trunc('month', d.trade_date) as date) = b.valid_from
),

priced as (
    select
        bins.asset,
        bins.trade_date,
        bins.side,
        bins.bin_no,
        exp(bins.bin_no * ln({{ threshold('levels_bin_base') }})) as price_low_usd,
        exp((bins.bin_no + 1) * ln({{ threshold('levels_bin_base') }})) as price_high_usd,
        bins.exposure_share,
        bins.expected_share,
        -- From the close to the far edge of the bin; every bin between counts, published or not.
        sum(bins.expected_share) over (
            partition by bins.asset, bins.trade_date, bins.side
            order by case when bins.side = 'long' then -bins.bin_no else bins.bin_no end
            rows between unbounded preceding and current row
        ) as expected_share_so_far,
        days.oi_base,
        days.close_usd,
        days.cohort_days,
        days.available_at,
        days.valid_from,
        days.feed_completeness,
        days.background_share
    from bins
    inner join days on bins.asset = days.asset and bins.trade_date = days.trade_date and bins.side = days.side
)

select
    asset,
    trade_date,
    side,
    bin_no,
    price_low_usd,
    price_high_usd,
    case when side = 'long' then price_low_usd else price_high_usd end / close_usd - 1 as distance_to_close,
    exposure_share * oi_base as exposure_base,
    exposure_share * oi_base * close_usd as exposure_usd,
    exposure_share as exposure_share_of_oi,
    expected_share * oi_base * close_usd as expected_usd,
    (background_share + expected_share_so_far) * oi_base * close_usd as expected_cumulative_usd,
    close_usd,
    oi_base,
    '1d' as input_grain,
    cohort_days,
    coalesce(feed_completeness, 'none') as completeness,
    valid_from as kernel_valid_from,
    greatest(available_at, cast(trade_date + 1 as timestamp)) as available_at
from priced
where exposure_share >= {{ threshold('levels_bin_share_min') }}
