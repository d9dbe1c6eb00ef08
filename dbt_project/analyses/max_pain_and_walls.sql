-- Question: Where do options pull, where are the walls, and what does protection cost?
-- Unit: one row per asset and day with an option chain; strikes and index in US dollars, ratios of open interest,
-- implied volatility a fraction per year, distance a fraction of the index.
-- Trust: chains are captures: a day without one has no row, and put/call compares only between days of the same venues
-- (venue_share). Volatility is that of one venue (iv_venue), never an average of venues.
select
    asset,
    trade_date,
    index_usd,
    max_pain_nearest_expiry_date,
    max_pain_nearest_usd,
    max_pain_nearest_usd / nullif(index_usd, 0) - 1 as max_pain_distance,
    call_wall_strike_usd,
    put_wall_strike_usd,
    put_call_oi_ratio,
    otm_put_oi_share,
    iv_atm_30d,
    risk_reversal_25d_30d,
    venues,
    iv_venue,
    venue_share
from {{ ref('options_structure_daily') }}
order by trade_date desc, asset asc
limit 100
