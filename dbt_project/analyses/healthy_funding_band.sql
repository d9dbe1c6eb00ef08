-- Question: Is funding of 0.0037% to 0.0072% per 8 hours a healthy market, with fewer forced closings than outside it?
-- (H04)
-- Unit: one row per band of a calendar week's mean rate; weeks are counts of asset and week, liquidations the week's
-- mean of a day's fraction of the open interest of the day before.
-- Trust: the band lies below the 0.01% that a calm market prints on most venues: look at the lines above it too. Only
-- whole weeks count. Exchange feeds are lower bounds, so compare lines with each other and not with the truth.
with funding as (
    select
        asset,
        date_trunc('week', trade_date) as week_start,
        avg(rate_8h) as mean_rate_8h,
        stddev_samp(rate_8h) as spread_rate_8h
    from {{ ref('funding_regimes_daily') }}
    group by asset, date_trunc('week', trade_date)
    having count(rate_8h) = 7
),

liquidations as (
    select
        asset,
        date_trunc('week', trade_date) as week_start,
        avg(exchange_liq_to_oi_usd) as liquidated_share
    from {{ ref('liquidation_comparison_daily') }}
    where exchange_liq_to_oi_usd is not null
    group by asset, date_trunc('week', trade_date)
    having count(*) = 7
),

weeks as (
    select
        case
            when funding.mean_rate_8h < 0 then '1 below zero'
            when funding.mean_rate_8h < 0.000037e0 then '2 zero to healthy'
            when funding.mean_rate_8h <= 0.000072e0 then '3 healthy band'
            when funding.mean_rate_8h <= 0.00011e0 then '4 around neutral'
            else '5 above neutral'
        end as band,
        funding.spread_rate_8h,
        liquidations.liquidated_share
    from funding
    inner join liquidations on funding.asset = liquidations.asset and funding.week_start = liquidations.week_start
)

select
    band,
    count(*) as weeks,
    avg(spread_rate_8h) as mean_spread_rate_8h,
    avg(liquidated_share) as mean_liquidated_share_of_oi,
    percentile_cont(0.95e0) within group (order by liquidated_share) as highest_twentieth_from
from weeks
group by band
order by band
