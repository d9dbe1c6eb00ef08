-- Question: When the crowd of accounts leans furthest one way, does the price turn against it? (H14)
-- Unit: one row per asset and fifth of days by long share (5 the most long); long share and 7-day returns are
-- fractions.
-- Trust: accounts are counted, not money: one whale is one account. The fifths are of the whole history, so nobody
-- could have known them on the day; returns count from the first close at which the ratio was known. One venue, one
-- measure; measures are never averaged together.
with positioning as (
    select
        asset,
        available_at,
        long_share,
        ntile(5) over (partition by asset order by long_share, trade_date) as fifth
    from {{ ref('fct_positioning_daily') }}
    where measure = 'account_global' and venue = 'binance' and asset in ('BTC', 'ETH', 'SOL', 'AVAX')
)

select
    positioning.asset,
    positioning.fifth,
    count(*) as days,
    avg(positioning.long_share) as mean_long_share,
    avg(later.close_usd / entry.close_usd - 1) as mean_return_7d,
    corr(positioning.long_share, later.close_usd / entry.close_usd - 1) as correlation_inside_the_fifth
from positioning
inner join {{ ref('fct_price_daily') }} as entry
    on positioning.asset = entry.asset
    and entry.trade_date = cast(positioning.available_at - interval '1' microsecond as date)
inner join {{ ref('fct_price_daily') }} as later
    on entry.asset = later.asset and entry.trade_date + 7 = later.trade_date
group by positioning.asset, positioning.fifth
order by positioning.asset, positioning.fifth
