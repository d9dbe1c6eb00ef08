-- Question: High open interest with low funding, with high funding, low with low: what came after each? (H09, H11)
-- Unit: one row per cell of the grid; days and assets are counts, returns fractions over the 30 days after
-- the first close at which both were known.
-- Trust: open interest is high from z-score +1 and low to -1 here, a coarse reading of the grid; funding by its
-- 90-day percentile (80 and 20). Thirty-day returns of neighboring days overlap almost wholly: the effective sample
-- is small.
with cells as (
    select
        oi.asset,
        later.close_usd / entry.close_usd - 1 as return_30d,
        case
            when oi.oi_zscore_90d >= 1 then 'high'
            when oi.oi_zscore_90d <= -1 then 'low'
            else 'middle'
        end as open_interest,
        case
            when funding.excess_rate_percentile_90d >= 80 then 'high'
            when funding.excess_rate_percentile_90d <= 20 then 'low'
            else 'middle'
        end as funding
    from {{ ref('oi_trends_daily') }} as oi
    inner join {{ ref('funding_regimes_daily') }} as funding
        on oi.asset = funding.asset and oi.trade_date = funding.trade_date
    inner join {{ ref('fct_price_daily') }} as entry
        on oi.asset = entry.asset
        and entry.trade_date = cast(greatest(oi.available_at, funding.available_at) - interval '1' microsecond as date)
    inner join {{ ref('fct_price_daily') }} as later
        on entry.asset = later.asset and later.trade_date = entry.trade_date + 30
    where
        oi.oi_zscore_90d is not null
        and funding.excess_rate_percentile_90d is not null
)

select
    open_interest,
    funding,
    count(*) as days,
    count(distinct asset) as assets,
    avg(return_30d) as mean_return_30d,
    median(return_30d) as median_return_30d
from cells
group by open_interest, funding
order by open_interest, funding
