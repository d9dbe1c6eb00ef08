-- Question: High open interest with low funding, with high funding, low with low: what came after each? (H09, H11)
-- Unit: one row per cell of the grid; days and assets are counts, returns fractions over the 30 days after.
-- Trust: open interest is high from z-score +1 and low to -1 here, a coarse reading of the grid; funding by its
-- 90-day percentile (80 and 20). Thirty-day returns of neighboring days overlap almost wholly: the effective sample
-- is small.
with returns as (
    -- The mart has a row for every day, so thirty rows on are thirty days on.
    select
        asset,
        trade_date,
        oi_zscore_90d,
        lead(close_usd, 30) over (partition by asset order by trade_date) / close_usd - 1 as return_30d
    from {{ ref('oi_trends_daily') }}
),

cells as (
    select
        returns.asset,
        returns.return_30d,
        case
            when returns.oi_zscore_90d >= 1 then 'high'
            when returns.oi_zscore_90d <= -1 then 'low'
            else 'middle'
        end as open_interest,
        case
            when funding.excess_rate_percentile_90d >= 80 then 'high'
            when funding.excess_rate_percentile_90d <= 20 then 'low'
            else 'middle'
        end as funding
    from returns
    inner join {{ ref('funding_regimes_daily') }} as funding
        on returns.asset = funding.asset and returns.trade_date = funding.trade_date
    where
        returns.return_30d is not null
        and returns.oi_zscore_90d is not null
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
