-- Question: What did it cost to hold a long of bitcoin, and where would it have been cheapest?
-- Unit: one row per month and venue; the rate a simple fraction per year (0.10 is 10%), cost in US dollars paid by
-- all longs.
-- Trust: settled rates only, no fees and no slippage. cost_usd stands where open interest of the day before is known
-- for every settlement; days_with_cost says for how many. Months with few days are not the month.
select
    cast(date_trunc('month', trade_date) as date) as month_start,
    venue,
    count(*) as days,
    avg(rate_annualized) as mean_rate_annualized,
    min(rate_8h_min) as lowest_rate_8h,
    max(rate_8h_max) as highest_rate_8h,
    min(interval_hours) as shortest_interval_hours,
    sum(cost_usd) as cost_usd,
    count(cost_usd) as days_with_cost
from {{ ref('fct_funding_daily') }}
where asset = 'BTC'
group by cast(date_trunc('month', trade_date) as date), venue
order by month_start desc, venue asc
