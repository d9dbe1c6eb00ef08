-- Question: What did each series say, day by day, around the day on which bitcoin fell most? (H03, H10, H13)
-- Unit: one row per day for bitcoin; prices and amounts in US dollars, growth and rates fractions, states as words.
-- Trust: row by row what was known then (available_at); which day was the worst is hindsight. Liquidations are lower
-- bounds, on the very days that mattered most by most: feeds are throttled hardest when the most happens.
with worst as (
    select trade_date from {{ ref('oi_trends_daily') }}
    where asset = 'BTC' and quadrant <> 'unknown'
    order by log_return asc
    limit 1
)

select
    oi.trade_date,
    oi.close_usd,
    oi.log_return / nullif(oi.realized_vol_30d_daily, 0) as move_in_sigmas,
    oi.oi_growth_1d,
    oi.quadrant,
    oi.divergence,
    funding.rate_8h,
    funding.regime,
    liquidations.exchange_position_notional_usd_long as longs_liquidated_usd,
    liquidations.exchange_position_notional_usd_short as shorts_liquidated_usd,
    liquidations.lending_collateral_seized_usd,
    oi.available_at
from {{ ref('oi_trends_daily') }} as oi
inner join worst
    on abs(extract(day from (cast(oi.trade_date as timestamp) - cast(worst.trade_date as timestamp)))) <= 15
left join {{ ref('funding_regimes_daily') }} as funding
    on oi.asset = funding.asset and oi.trade_date = funding.trade_date
left join {{ ref('liquidation_comparison_daily') }} as liquidations
    on oi.asset = liquidations.asset and oi.trade_date = liquidations.trade_date
where oi.asset = 'BTC'
order by oi.trade_date
