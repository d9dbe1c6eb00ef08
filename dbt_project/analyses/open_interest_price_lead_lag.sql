-- Question: Does open interest move before the price or after it? (H01)
-- Unit: one row per lag in days (above 0 open interest first, below 0 the price first, 0 together); profiles and assets
-- are counts, correlations without unit.
-- Trust: a lag says something where it is the best of more profiles than chance has: the band allows for the search
-- over lags and is left by one profile in twenty. Profiles of neighboring months share most of their days: count assets
-- before months.
select
    lag_days,
    count(*) as profiles,
    count_if(is_best) as best_of_profiles,
    count(distinct case when is_best then asset end) as best_of_assets,
    avg(correlation) as mean_correlation,
    avg(correlation_band) as mean_band,
    min(trade_month) as first_month,
    max(trade_month) as last_month
from {{ ref('oi_lead_lag_monthly') }}
where correlation is not null
group by lag_days
order by lag_days
