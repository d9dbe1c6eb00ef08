-- Question: On which days did most of the market carry signals of risk, and how strongly?
-- Unit: one row per day: the mean risk_score of the assets whose liquidations are judged (higher is more risk), and how
-- many of them had large liquidations.
-- Trust: a mean over assets, which fall together. Days are comparable while the same signals are known of the same
-- assets; risk_score is a mean of hypotheses and no probability.
select
    trade_date,
    avg(risk_score) as risk_score_mean,
    count(*) as assets,
    cast(count_if(large_liquidations_state = 'on') as bigint) as assets_with_large_liquidations
from {{ ref('signal_matrix_daily') }}
where large_liquidations_state <> 'unknown' and risk_score is not null
group by trade_date
order by risk_score_mean desc, trade_date asc
limit 50
