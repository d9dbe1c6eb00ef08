-- Question: Which were the largest cascades of liquidations, and how far did the price move in them?
-- Unit: one row per cascade, largest first: US dollars, price moves in natural logs.
-- Trust: cascades of minutes and of days are found by different rules (input_grain). Amounts are lower bounds where
-- feeds are throttled. Reversals were known later (reversal_24h_known_at).
select
    asset,
    started_at,
    ended_at,
    input_grain,
    notional_usd,
    long_usd,
    short_usd,
    price_move,
    move_after_24h,
    is_market_wide,
    completeness
from {{ ref('liquidation_cascades') }}
order by notional_usd desc, asset asc, started_at asc
limit 50
