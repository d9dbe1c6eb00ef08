-- The bins of a day hold every liquidated dollar of it once, and no other. On a day without a close, totals have no
-- place among prices: then the bins hold no more than the day's dollars.
with bins as (
    select
        asset,
        trade_date,
        sum(notional_usd) as notional_usd,
        sum(long_usd) as long_usd,
        sum(short_usd) as short_usd
    from {{ ref('liquidation_heatmap_daily') }}
    group by asset, trade_date
),

facts as (
    select
        asset,
        trade_date,
        coalesce(sum(notional_usd), 0) as notional_usd,
        coalesce(sum(notional_usd) filter (where side = 'long'), 0) as long_usd,
        coalesce(sum(notional_usd) filter (where side = 'short'), 0) as short_usd
    from {{ ref('fct_liquidations_daily') }}
    where measure = 'position_notional'
    group by asset, trade_date
),

compared as (
    select
        coalesce(facts.asset, bins.asset) as asset,
        coalesce(facts.trade_date, bins.trade_date) as trade_date,
        coalesce(facts.notional_usd, 0) as fact_usd,
        coalesce(bins.notional_usd, 0) as bins_usd,
        coalesce(facts.long_usd, 0) as fact_long_usd,
        coalesce(bins.long_usd, 0) as bins_long_usd,
        coalesce(facts.short_usd, 0) as fact_short_usd,
        coalesce(bins.short_usd, 0) as bins_short_usd
    from facts
    full join bins on facts.asset = bins.asset and facts.trade_date = bins.trade_date
)

select compared.*
from compared
left join {{ ref('fct_price_daily') }} as prices
    on compared.asset = prices.asset and compared.trade_date = prices.trade_date
where
    compared.bins_usd - compared.fact_usd > 1e-9 * greatest(1, compared.fact_usd)
    or (
        prices.close_usd is not null
        and (
            abs(compared.bins_usd - compared.fact_usd) > 1e-9 * greatest(1, compared.fact_usd)
            or abs(compared.bins_long_usd - compared.fact_long_usd) > 1e-9 * greatest(1, compared.fact_usd)
            or abs(compared.bins_short_usd - compared.fact_short_usd) > 1e-9 * greatest(1, compared.fact_usd)
        )
    )
