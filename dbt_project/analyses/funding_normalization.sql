-- Question: When funding comes back from an extreme, do small moves liquidate less than before? (H05)
-- Unit: one row per week around the day on which a normalization was known; liquidations a fraction of the open
-- interest of the day before, per unit of move a fraction per 1.0 of absolute log return.
-- Trust: an event needs an extreme, so volatility is higher before it by construction: read liquidated_per_move,
-- which divides by the move. Only days with liquidations and open interest of the same venues count.
with events as (
    select asset, cast(available_at - interval '1' microsecond as date) as known_date
    from {{ ref('funding_regimes_daily') }}
    where normalization = 'on'
),

around as (
    select
        events.asset,
        events.known_date + cast(days.i as int) as trade_date,
        case when days.i < 0 then '1 week before' else '2 week after' end as span
    from events
    cross join range(-7, 7) as days (i)
)

select
    around.span,
    count(*) as days,
    count(distinct around.asset) as assets,
    avg(liquidations.exchange_liq_to_oi_usd) as mean_liquidated_share_of_oi,
    avg(abs(prices.log_return)) as mean_absolute_log_return,
    avg(liquidations.exchange_liq_to_oi_usd) / nullif(avg(abs(prices.log_return)), 0) as liquidated_per_move
from around
inner join {{ ref('liquidation_comparison_daily') }} as liquidations
    on around.asset = liquidations.asset and around.trade_date = liquidations.trade_date
inner join {{ ref('fct_price_daily') }} as prices
    on around.asset = prices.asset and around.trade_date = prices.trade_date
where liquidations.exchange_liq_to_oi_usd is not null and prices.log_return is not null
group by around.span
order by around.span
