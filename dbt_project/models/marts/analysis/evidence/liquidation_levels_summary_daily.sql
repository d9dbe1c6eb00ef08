-- The levels of a day on one line per side: where all of open interest is, and what moves of one to three sigma would
-- liquidate.
{%- set distances = liquidation_distances() %}

with classes as (
    select
        {%- for distance in distances %}
        max(case when class_no = {{ loop.index }} then opening_weight end) as weight_{{ loop.index }},
        {%- endfor %}
        1 - sum(opening_weight) as weight_never
    from {{ ref('liquidation_classes') }}
),

bins as (
    select
        asset,
        trade_date,
        side,
        sum(exposure_share) as exposure_share
    from {{ ref('int_liquidation_level_bins_daily') }}
    group by asset, trade_date, side
),

near as (
    select
        b.asset,
        b.trade_date,
        b.side,
        {%- for percent in [2, 5, 10] %}
        sum(case when {{ near_edge() }} <= {{ percent }} / 100e0 then b.exposure_share else 0e0 end)
            as within_{{ percent }}pct,
        {%- endfor %}
        {%- for sigmas in [1, 2, 3] %}
        sum(
            case
                when {{ near_edge() }} <= {{ sigmas }} * d.realized_vol_30d_daily then b.expected_share
                else 0 * b.expected_share
            end
        ) as expected_{{ sigmas }}_sigma{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('int_liquidation_level_bins_daily') }} as b
    inner join {{ ref('int_liquidation_exposure_daily') }} as d
        on b.asset = d.asset and b.trade_date = d.trade_date and b.side = d.side
    group by b.asset, b.trade_date, b.side
),

background as (
    select
        asset,
        side,
        valid_from,
        {{ threshold('levels_map_weight') }} * calibration_factor * beta
        + (1 - {{ threshold('levels_map_weight') }}) * calibration_distance * beta_distance as background_share
    from {{ ref('int_liquidation_kernel_monthly') }}
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
    from {{ ref('int_liquidation_skill_daily') }}
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
            {%- for distance in distances %}
            {{ '+ ' if not loop.first }}c.weight_{{ loop.index }} * d.alive_{{ loop.index }}
            {%- endfor %}
        ) as alive_share,
        (
            {%- for distance in distances %}
            {{ '+ ' if not loop.first }}c.weight_{{ loop.index }} * (1 - d.alive_{{ loop.index }})
            {%- endfor %}
        ) as swept_share,
        c.weight_never
    from {{ ref('int_liquidation_exposure_daily') }} as d
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
    {%- for percent in [2, 5, 10] %}
    coalesce(near.within_{{ percent }}pct, 0) * summed.oi_base * summed.close_usd
        as exposure_within_{{ percent }}pct_usd,
    {%- endfor %}
    {%- for sigmas in [1, 2, 3] %}
    case when summed.realized_vol_30d_daily is not null
        then (background.background_share + near.expected_{{ sigmas }}_sigma) * summed.oi_base * summed.close_usd
    end as expected_{{ sigmas }}_sigma_usd,
    {%- endfor %}
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
