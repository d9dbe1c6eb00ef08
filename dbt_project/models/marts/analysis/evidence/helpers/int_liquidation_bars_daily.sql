-- What liquidation levels are made from, per asset and day: open interest and volume of the same venues, liquidations
-- of these, and how far the price went.
with oi as (
    select
        venue,
        asset,
        trade_date,
        oi_base,
        available_at
    from {{ ref('fct_open_interest_daily') }}
    where oi_base > 0 and taint_reason is null
),

perps as (
    select
        venue,
        asset,
        trade_date,
        sum(volume_base) as volume_base,
        max(available_at) as available_at
    from {{ ref('int_candles_daily') }}
    where market = 'perp'
    group by venue, asset, trade_date
),

liquidations as (
    select
        venue,
        asset,
        trade_date,
        sum(quantity_base) filter (where side = 'long') as liquidated_long_base,
        sum(quantity_base) filter (where side = 'short') as liquidated_short_base,
        {{ worst_completeness('completeness') }} as completeness,
        max(available_at) as available_at
    from {{ ref('fct_liquidations_daily') }}
    where measure = 'position_notional' and completeness <> 'none'
    group by venue, asset, trade_date
),

positions as (
    select
        oi.asset,
        oi.trade_date,
        sum(oi.oi_base) as oi_base,
        -- Turnover of venues that tell none is not known; theirs is that of open interest alone.
        coalesce(sum(perps.volume_base), 0) as volume_base,
        sum(liquidations.liquidated_long_base) as liquidated_long_base,
        sum(liquidations.liquidated_short_base) as liquidated_short_base,
        {{ worst_completeness('liquidations.completeness') }} as completeness,
        greatest(max(oi.available_at), max(coalesce(perps.available_at, oi.available_at))) as available_at,
        max(liquidations.available_at) as liquidations_available_at
    from oi
    left join perps on oi.venue = perps.venue and oi.asset = perps.asset and oi.trade_date = perps.trade_date
    left join liquidations
        on oi.venue = liquidations.venue and oi.asset = liquidations.asset and oi.trade_date = liquidations.trade_date
    group by oi.asset, oi.trade_date
),

prices as (
    select
        price.asset,
        price.trade_date,
        price.close_usd,
        price.realized_vol_30d_daily,
        max(candles.high_usd) as high_usd,
        min(candles.low_usd) as low_usd,
        max(price.available_at) as available_at
    from {{ ref('fct_price_daily') }} as price
    left join {{ ref('int_candles_daily') }} as candles
        on
            price.asset = candles.asset
            and price.trade_date = candles.trade_date
            and price.close_venue = candles.venue
            and price.close_market = candles.market
            and price.close_usd = candles.close_usd
    group by price.asset, price.trade_date, price.close_usd, price.realized_vol_30d_daily
)

select
    positions.asset,
    positions.trade_date,
    row_number() over (partition by positions.asset order by positions.trade_date) as day_no,
    positions.oi_base,
    positions.volume_base,
    positions.liquidated_long_base,
    positions.liquidated_short_base,
    positions.completeness,
    prices.close_usd,
    prices.realized_vol_30d_daily,
    prices.low_usd is not null and prices.high_usd is not null as has_extremes,
    -- Where only closes are told, the price went at least from one to the next.
    coalesce(prices.high_usd, greatest(prices.close_usd, lag(prices.close_usd, 1, prices.close_usd) over by_day))
        as high_usd,
    coalesce(prices.low_usd, least(prices.close_usd, lag(prices.close_usd, 1, prices.close_usd) over by_day))
        as low_usd,
    max(greatest(positions.available_at, prices.available_at)) over by_day as available_at,
    positions.liquidations_available_at
from positions
inner join prices on positions.asset = prices.asset and positions.trade_date = prices.trade_date
where prices.close_usd > 0
window by_day as (partition by positions.asset order by positions.trade_date)
