-- Question: Where are the dense zones of liquidations near the price of bitcoin now, within 5% above all? (H06)
-- Unit: one row per zone of the newest map, nearest first: edges in US dollars, distance a fraction of the close (0
-- inside, above it plus), dollars liquidated in the 90 days before.
-- Trust: liquidations that happened, not a prediction: that is liquidation_levels_daily. Without ninety known days
-- there is no map and no row.
select
    asset,
    trade_date,
    close_usd,
    zone_low_usd,
    zone_high_usd,
    distance_to_close,
    abs(distance_to_close) <= 0.05e0 as is_within_5_percent,
    zone_usd,
    zone_state
from {{ ref('liquidation_zones_daily') }}
where asset = 'BTC'
qualify trade_date = max(trade_date) over ()
order by abs(distance_to_close), zone_low_usd
