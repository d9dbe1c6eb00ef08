-- The zones behind the signal dense_liquidation_zone, all of a day's map. How they are found is
-- int_liquidation_zone_maps_daily's.
select
    asset,
    trade_date,
    zone_id,
    low_usd as zone_low_usd,
    high_usd as zone_high_usd,
    zone_usd,
    close_usd,
    distance as distance_to_close,
    zone_state,
    available_at
from {{ ref('int_liquidation_zone_maps_daily') }}
