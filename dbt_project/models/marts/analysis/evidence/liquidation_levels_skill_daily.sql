-- How good the levels were, day by day: what was expected of the way the price went, and what was liquidated.
with exposure as (
    select
        asset,
        side,
        trade_date + 1 as trade_date,
        oi_base,
        close_usd,
        reached_price_usd,
        reached_move,
        completeness
    from {{ ref('int_liquidation_exposure_daily') }}
)

select
    skill.asset,
    skill.side,
    skill.trade_date,
    cast(skill.assets as bigint) as assets,
    skill.realized_share * exposure.oi_base * exposure.close_usd as realized_usd,
    exposure.completeness,
    exposure.reached_price_usd,
    exposure.reached_move,
    skill.expected_map_share * exposure.oi_base * exposure.close_usd as expected_map_usd,
    skill.expected_distance_share * exposure.oi_base * exposure.close_usd as expected_distance_usd,
    skill.expected_climatology_share * exposure.oi_base * exposure.close_usd as expected_climatology_usd,
    skill.loss_map,
    skill.loss_distance,
    skill.loss_climatology,
    skill.skill_180d as skill_180d_vs_distance,
    skill.skill_low,
    skill.skill_high,
    cast(skill.skill_days as bigint) as skill_days,
    skill.verdict,
    greatest(skill.available_at, cast(skill.trade_date + 1 as timestamp)) as available_at
from {{ ref('int_liquidation_skill_daily') }} as skill
left join exposure
    on skill.asset = exposure.asset and skill.side = exposure.side and skill.trade_date = exposure.trade_date
