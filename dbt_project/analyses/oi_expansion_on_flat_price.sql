-- Question: Does open interest that grows by 8% or more on a flat price lead the price upward? (H01, with volume H02)
-- Unit: one row per state of the day; days and assets are counts, returns fractions over the 7 days after the close.
-- Trust: a description and no test: the days of one asset overlap and assets move together. The line off is what the
-- others are held against. The return looks ahead on purpose; nothing of it was known on the day.
with days as (
    -- The mart has a row for every day, so seven rows on are seven days on.
    select
        asset,
        case when expansion_confirmed = 'on' then 'expansion with volume' else expansion end as state,
        lead(close_usd, 7) over (partition by asset order by trade_date) / close_usd - 1 as return_7d
    from {{ ref('oi_trends_daily') }}
)

select
    state,
    count(*) as days,
    count(distinct asset) as assets,
    avg(return_7d) as mean_return_7d,
    median(return_7d) as median_return_7d,
    avg(case when return_7d > 0 then 1e0 else 0e0 end) as share_up_7d
from days
where return_7d is not null and state <> 'unknown'
group by state
order by state
