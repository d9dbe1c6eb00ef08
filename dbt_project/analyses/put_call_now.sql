-- Question: Where does the put/call ratio of each asset stand, by open interest and by volume, against its past?
-- Unit: one row per asset with options, on its newest day with a whole chain.
-- Trust: ratios of what the followed option venues list. The percentile needs ninety whole days before; it is null
-- until then.
select
    asset,
    trade_date,
    put_call_oi_ratio,
    put_call_oi_percentile_90d,
    put_call_volume_ratio,
    venues
from {{ ref('options_structure_daily') }}
where put_call_oi_ratio is not null
qualify row_number() over (partition by asset order by trade_date desc) = 1
order by asset
