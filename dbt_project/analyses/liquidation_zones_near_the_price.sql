-- Question: Where are the dense zones of liquidations within 5% of the price of bitcoin now? (H06)
-- Unit: one row per zone of the newest day: edges in US dollars, distance a fraction of the close (0 inside, above it
-- plus), dollars liquidated in the 90 days before.
-- Trust: liquidations that happened, not a prediction: that is liquidation_levels_daily. Without ninety known days there
-- is no map and no row.
select
    asset,
    trade_date,
    close_usd,
    zone_low_usd,
    zone_high_usd,
    distance_to_close,
    zone_usd,
    zone_state
from {{ ref('liquidation_zones_daily') }}
where
    asset = 'BTC'
    and abs(distance_to_close) <= 0.05
    and trade_date = (select max(newest.trade_date) from {{ ref('liquidation_zones_daily') }} as newest)
order by abs(distance_to_close), zone_low_usd
