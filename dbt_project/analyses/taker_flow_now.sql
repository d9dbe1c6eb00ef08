-- Question: Who was in a hurry, buyers or sellers? (cumulative volume delta)
-- Unit: one row per asset and market on its newest day; deltas in US dollars, bought minus sold by takers.
-- Trust: venues that state taker buys only; volume_share_known says how much of the volume they have. A delta is not
-- money that came in: every trade has both sides.
select
    asset,
    market,
    trade_date,
    volume_delta_usd,
    volume_delta_7d_usd,
    volume_delta_30d_usd,
    taker_buy_share,
    volume_share_known,
    available_at
from {{ ref('taker_flow_daily') }}
qualify row_number() over (partition by asset, market order by trade_date desc) = 1
order by abs(volume_delta_30d_usd) desc nulls last, asset asc, market asc
