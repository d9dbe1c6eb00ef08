-- Question: Dollar open interest rose: new positions, or only the price?
-- Unit: one row per asset and month; US dollars, split into positions, price and both together, which add up to the
-- change.
-- Trust: like with like: each day's change compares only venues present on both days, so months do not chain across
-- venues that came or went. Days without a price for one of the venues are missing from all four sums alike.
select
    asset,
    cast(date_trunc('month', trade_date) as date) as month_start,
    count(oi_usd_change_1d) as days,
    sum(oi_usd_change_1d) as change_usd,
    sum(oi_usd_position_1d) as from_positions_usd,
    sum(oi_usd_price_1d) as from_price_usd,
    sum(oi_usd_cross_1d) as from_both_usd
from {{ ref('oi_trends_daily') }}
where asset in ('BTC', 'ETH', 'SOL', 'AVAX') and oi_usd_change_1d is not null
group by asset, cast(date_trunc('month', trade_date) as date)
order by asset, month_start
