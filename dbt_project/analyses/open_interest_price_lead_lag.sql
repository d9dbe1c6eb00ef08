-- Question: Does open interest move before the price or after it? (H01)
-- Unit: one row per lag in days (above 0 open interest first, below 0 the price first, 0 together); profiles and assets
-- are counts, correlations without unit.
-- Trust: only profiles whose best lag leaves a band that allows for the search over lags; about one in twenty does by
-- chance. Profiles of neighboring months share most of their days: count assets before months.
select
    lag_days,
    count(*) as profiles,
    count(distinct asset) as assets,
    avg(correlation) as mean_correlation,
    avg(correlation_band) as mean_band,
    min(trade_month) as first_month,
    max(trade_month) as last_month
from {{ ref('oi_lead_lag_monthly') }}
where is_best and is_outside_band
group by lag_days
order by lag_days
