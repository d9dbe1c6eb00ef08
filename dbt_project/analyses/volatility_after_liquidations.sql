-- Question: Do days of large liquidations raise the volatility of bitcoin and ether afterwards? (H12)
-- Unit: one row per asset and tenth of days by liquidated share of open interest (10 the largest); absolute log
-- returns per day.
-- Trust: volatility clusters without any liquidation: compare with move_of_the_day, which rises over the tenths too.
-- The tenths are of the whole history and not of what was known on the day: good for describing, not for trading.
with days as (
    select
        liquidations.asset,
        liquidations.trade_date,
        cast(liquidations.available_at - interval '1' microsecond as date) as known_date,
        abs(prices.log_return) as move,
        ntile(10) over (
            partition by liquidations.asset
            order by liquidations.exchange_liq_to_oi_usd nulls last, liquidations.trade_date
        ) as tenth
    from {{ ref('liquidation_comparison_daily') }} as liquidations
    inner join {{ ref('fct_price_daily') }} as prices
        on liquidations.asset = prices.asset and liquidations.trade_date = prices.trade_date
    where
        liquidations.asset in ('BTC', 'ETH')
        and liquidations.exchange_liq_to_oi_usd is not null
        and prices.log_return is not null
)

select
    days.asset,
    days.tenth,
    count(distinct days.trade_date) as days,
    avg(days.move) as move_of_the_day,
    avg(abs(later.log_return)) as mean_move_of_the_next_5_days
from days
inner join {{ ref('fct_price_daily') }} as later
    on days.asset = later.asset
    and later.trade_date between days.known_date + 1 and days.known_date + 5
group by days.asset, days.tenth
order by days.asset, days.tenth
