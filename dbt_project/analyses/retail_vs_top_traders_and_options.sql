-- Question: Is the crowd long while the large are not, and do options hedge against it? (H08, H14)
-- Unit: one row per asset and extreme of the crowd; days are counts, shares fractions, the gap a natural log.
-- Trust: one venue speaks for an asset on a day; accounts are counted and not money. Most assets have no options, so
-- capitulation is unknown there, which is not off. The return looks ahead on purpose, from the first close at
-- which the day was known.
select
    positioning.asset,
    positioning.positioning_extreme,
    count(*) as days,
    avg(positioning.account_long_share) as mean_account_long_share,
    avg(positioning.top_trader_account_gap) as mean_top_trader_account_gap,
    avg(positioning.put_call_oi_ratio) as mean_put_call_oi_ratio,
    cast(count_if(positioning.capitulation = 'on') as bigint) as capitulation_days,
    cast(count_if(positioning.capitulation = 'unknown') as bigint) as days_capitulation_unknown,
    avg(later.close_usd / entry.close_usd - 1) as mean_return_7d
from {{ ref('positioning_divergence_daily') }} as positioning
inner join {{ ref('fct_price_daily') }} as entry
    on positioning.asset = entry.asset
    and entry.trade_date = cast(positioning.available_at - interval '1' microsecond as date)
left join {{ ref('fct_price_daily') }} as later
    on entry.asset = later.asset and entry.trade_date + 7 = later.trade_date
where positioning.asset in ('BTC', 'ETH', 'SOL', 'AVAX')
group by positioning.asset, positioning.positioning_extreme
order by positioning.asset, positioning.positioning_extreme
