-- What can follow a signal: returns with and without those of the market, and liquidations over open interest.
with prices as (
    select
        asset,
        trade_date,
        log_return,
        available_at
    from {{ ref('fct_price_daily') }}
),

oi as (
    select
        asset,
        trade_date,
        -- Known with the day's signal, so no asset is large by what came later.
        row_number() over (partition by trade_date order by oi_usd desc, asset asc) as oi_rank,
        available_at
    from {{ ref('oi_trends_daily') }}
    where oi_usd is not null
),

liquidations as (
    select
        asset,
        trade_date,
        exchange_liq_to_oi as liquidations_total,
        exchange_liq_to_oi_long as liquidations_long,
        exchange_liq_to_oi_short as liquidations_short,
        available_at
    from {{ ref('liquidation_comparison_daily') }}
    where exchange_completeness <> 'none'
)

select
    prices.asset,
    prices.trade_date,
    prices.log_return,
    prices.log_return - avg(prices.log_return) over (partition by prices.trade_date) as adjusted_return,
    liquidations.liquidations_total,
    liquidations.liquidations_long,
    liquidations.liquidations_short,
    cast(oi.oi_rank as int) as oi_rank,
    greatest(
        prices.available_at,
        coalesce(oi.available_at, prices.available_at),
        coalesce(liquidations.available_at, prices.available_at)
    ) as available_at
from prices
left join oi on prices.asset = oi.asset and prices.trade_date = oi.trade_date
left join liquidations on prices.asset = liquidations.asset and prices.trade_date = liquidations.trade_date
