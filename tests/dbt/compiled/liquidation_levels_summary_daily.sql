-- The levels of a day on one line per side: where all of open interest is, and what moves of one to three sigma would
-- liquidate.

with classes as (
    select
        max(case when class_no = 1 then opening_weight end) as weight_1,
        max(case when class_no = 2 then opening_weight end) as weight_2,
        max(case when class_no = 3 then opening_weight end) as weight_3,
        max(case when class_no = 4 then opening_weight end) as weight_4,
        max(case when class_no = 5 then opening_weight end) as weight_5,
        max(case when class_no = 6 then opening_weight end) as weight_6,
        max(case when class_no = 7 then opening_weight end) as weight_7,
        max(case when class_no = 8 then opening_weight end) as weight_8,
        max(case when class_no = 9 then opening_weight end) as weight_9,
        max(case when class_no = 10 then opening_weight end) as weight_10,
        max(case when class_no = 11 then opening_weight end) as weight_11,
        max(case when class_no = 12 then opening_weight end) as weight_12,
        max(case when class_no = 13 then opening_weight end) as weight_13,
        1 - sum(opening_weight) as weight_never
    from seeds.liquidation_classes
),

bins as (
    select
        asset,
        trade_date,
        side,
        sum(exposure_share) as exposure_share
    from intermediate.int_liquidation_level_bins_daily
    group by asset, trade_date, side
),

near as (
    select
        b.asset,
        b.trade_date,
        b.side,
        sum(case when case
        when b.side = 'long' then 1 - exp((b.bin_no + 0.5e0) * ln(1.005e0)) / d.close_usd
        else 1 - d.close_usd / exp((b.bin_no + 0.5e0) * ln(1.005e0))
    end <= 2 / 100e0 then b.exposure_share else 0e0 end)
            as within_2pct,
        sum(case when case
        when b.side = 'long' then 1 - exp((b.bin_no + 0.5e0) * ln(1.005e0)) / d.close_usd
        else 1 - d.close_usd / exp((b.bin_no + 0.5e0) * ln(1.005e0))
    end <= 5 / 100e0 then b.exposure_share else 0e0 end)
            as within_5pct,
        sum(case when case
        when b.side = 'long' then 1 - exp((b.bin_no + 0.5e0) * ln(1.005e0)) / d.close_usd
        else 1 - d.close_usd / exp((b.bin_no + 0.5e0) * ln(1.005e0))
    end <= 10 / 100e0 then b.exposure_share else 0e0 end)
            as within_10pct,
        sum(
            case
                when case
        when b.side = 'long' then 1 - exp((b.bin_no + 0.5e0) * ln(1.005e0)) / d.close_usd
        else 1 - d.close_usd / exp((b.bin_no + 0.5e0) * ln(1.005e0))
    end <= 1 * d.realized_vol_30d_daily then b.expected_share
                else 0 * b.expected_share
            end
        ) as expected_1_sigma,
        sum(
            case
                when case
        when b.side = 'long' then 1 - exp((b.bin_no + 0.5e0) * ln(1.005e0)) / d.close_usd
        else 1 - d.close_usd / exp((b.bin_no + 0.5e0) * ln(1.005e0))
    end <= 2 * d.realized_vol_30d_daily then b.expected_share
                else 0 * b.expected_share
            end
        ) as expected_2_sigma,
        sum(
            case
                when case
        when b.side = 'long' then 1 - exp((b.bin_no + 0.5e0) * ln(1.005e0)) / d.close_usd
        else 1 - d.close_usd / exp((b.bin_no + 0.5e0) * ln(1.005e0))
    end <= 3 * d.realized_vol_30d_daily then b.expected_share
                else 0 * b.expected_share
            end
        ) as expected_3_sigma
    from intermediate.int_liquidation_level_bins_daily as b
    inner join intermediate.int_liquidation_exposure_daily as d
        on b.asset = d.asset and b.trade_date = d.trade_date and b.side = d.side
    group by b.asset, b.trade_date, b.side
),

background as (
    select
        asset,
        side,
        valid_from,
        0.8e0 * calibration_factor * beta
        + (1 - 0.8e0) * calibration_distance * beta_distance as background_share
    from intermediate.int_liquidation_kernel_monthly
    where asset <> '*' and class_no = 0
),

-- Skill as known at the end of the day: that of the last day scored whose outcome was known.
skill as (
    select
        asset,
        side,
        trade_date,
        skill_180d,
        skill_low,
        skill_high,
        skill_days,
        verdict,
        available_at
    from intermediate.int_liquidation_skill_daily
),

summed as (
    select
        d.asset,
        d.trade_date,
        d.side,
        d.oi_base,
        d.close_usd,
        d.realized_vol_30d_daily,
        d.available_at,
        (
            c.weight_1 * d.alive_1
            + c.weight_2 * d.alive_2
            + c.weight_3 * d.alive_3
            + c.weight_4 * d.alive_4
            + c.weight_5 * d.alive_5
            + c.weight_6 * d.alive_6
            + c.weight_7 * d.alive_7
            + c.weight_8 * d.alive_8
            + c.weight_9 * d.alive_9
            + c.weight_10 * d.alive_10
            + c.weight_11 * d.alive_11
            + c.weight_12 * d.alive_12
            + c.weight_13 * d.alive_13
        ) as alive_share,
        (
            c.weight_1 * (1 - d.alive_1)
            + c.weight_2 * (1 - d.alive_2)
            + c.weight_3 * (1 - d.alive_3)
            + c.weight_4 * (1 - d.alive_4)
            + c.weight_5 * (1 - d.alive_5)
            + c.weight_6 * (1 - d.alive_6)
            + c.weight_7 * (1 - d.alive_7)
            + c.weight_8 * (1 - d.alive_8)
            + c.weight_9 * (1 - d.alive_9)
            + c.weight_10 * (1 - d.alive_10)
            + c.weight_11 * (1 - d.alive_11)
            + c.weight_12 * (1 - d.alive_12)
            + c.weight_13 * (1 - d.alive_13)
        ) as swept_share,
        c.weight_never
    from intermediate.int_liquidation_exposure_daily as d
    cross join classes as c
)

select
    summed.asset,
    summed.trade_date,
    summed.side,
    summed.oi_base,
    coalesce(bins.exposure_share, 0) * summed.oi_base as in_bins_base,
    (summed.alive_share - coalesce(bins.exposure_share, 0)) * summed.oi_base as beyond_bins_base,
    summed.swept_share * summed.oi_base as swept_base,
    summed.weight_never * summed.oi_base as never_base,
    coalesce(near.within_2pct, 0) * summed.oi_base * summed.close_usd
        as exposure_within_2pct_usd,
    coalesce(near.within_5pct, 0) * summed.oi_base * summed.close_usd
        as exposure_within_5pct_usd,
    coalesce(near.within_10pct, 0) * summed.oi_base * summed.close_usd
        as exposure_within_10pct_usd,
    case when summed.realized_vol_30d_daily is not null
        then (background.background_share + near.expected_1_sigma) * summed.oi_base * summed.close_usd
    end as expected_1_sigma_usd,
    case when summed.realized_vol_30d_daily is not null
        then (background.background_share + near.expected_2_sigma) * summed.oi_base * summed.close_usd
    end as expected_2_sigma_usd,
    case when summed.realized_vol_30d_daily is not null
        then (background.background_share + near.expected_3_sigma) * summed.oi_base * summed.close_usd
    end as expected_3_sigma_usd,
    background.background_share * summed.oi_base * summed.close_usd as background_usd,
    skill.skill_180d,
    skill.skill_low,
    skill.skill_high,
    cast(coalesce(skill.skill_days, 0) as bigint) as skill_days,
    coalesce(skill.verdict, 'too_few_days') as skill_verdict,
    greatest(
        summed.available_at, coalesce(skill.available_at, summed.available_at), cast(summed.trade_date + 1 as timestamp)
    ) as available_at
from summed
left join bins on summed.asset = bins.asset and summed.trade_date = bins.trade_date and summed.side = bins.side
left join near on summed.asset = near.asset and summed.trade_date = near.trade_date and summed.side = near.side
left join background
    on
        summed.asset = background.asset
        and summed.side = background.side
        and cast(date_trunc('month', summed.trade_date) as date) = background.valid_from
left join skill on summed.asset = skill.asset and summed.trade_date = skill.trade_date and summed.side = skill.side
