-- Question: What is max pain of each expiry now, on how much open interest, and how far is it from the index?
-- Unit: one row per asset and expiry of the newest whole chain: strikes in US dollars, open interest in coins and US
-- dollars, distance a fraction of the index.
-- Trust: max pain is where holders of options get least if all were settled today; that prices are drawn to it is a
-- hypothesis. Strikes of the followed venues only.
select
    pain.asset,
    pain.trade_date,
    pain.expiry_date,
    pain.max_pain_usd,
    pain.max_pain_usd / nullif(structure.index_usd, 0) - 1 as distance_to_index,
    pain.oi_base,
    pain.oi_base * structure.index_usd as oi_usd
from {{ ref('options_max_pain_daily') }} as pain
inner join {{ ref('options_structure_daily') }} as structure
    on pain.asset = structure.asset and pain.trade_date = structure.trade_date
qualify pain.trade_date = max(pain.trade_date) over (partition by pain.asset)
order by pain.asset, pain.expiry_date
