-- Question: Does open interest that grows by 8% or more on a flat price lead the price upward? (H01, with volume H02)
-- Unit: one row per state of the day; days and assets are counts, returns fractions over the 7 days after the first
-- close at which the day was known.
-- Trust: a description and no test: the days of one asset overlap and assets move together. The line off is what the
-- others are held against. The return looks ahead on purpose; nothing of it was known on the day.
select
    case when oi.expansion_confirmed = 'on' then 'expansion with volume' else oi.expansion end as state,
    count(*) as days,
    count(distinct oi.asset) as assets,
    avg(later.close_usd / entry.close_usd - 1) as mean_return_7d,
    median(later.close_usd / entry.close_usd - 1) as median_return_7d,
    avg(case when later.close_usd > entry.close_usd then 1e0 else 0e0 end) as share_up_7d
from {{ ref('oi_trends_daily') }} as oi
inner join {{ ref('fct_price_daily') }} as entry
    on oi.asset = entry.asset and entry.trade_date = cast(oi.available_at - interval '1' microsecond as date)
inner join {{ ref('fct_price_daily') }} as later
    on entry.asset = later.asset and later.trade_date = entry.trade_date + 7
where oi.expansion <> 'unknown'
group by state
order by state
