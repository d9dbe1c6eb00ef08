{{ config(materialized='view') }}

select
    asset,
    side,
    trade_date,
    assets,
    realized_share,
    expected_map_share,
    expected_distance_share,
    expected_climatology_share,
    loss_map,
    loss_distance,
    loss_climatology,
    skill_180d,
    skill_low,
    skill_high,
    skill_days,
    {{ liquidation_skill_verdict() }} as verdict,
    available_at
from {{ source('stats', 'liquidation_skill_daily') }}
