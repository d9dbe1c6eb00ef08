-- Question: What followed the events of each signal in seven days, against all assets on the same days?
-- Unit: one row per signal: mean log returns after the first close at which the signal was known.
-- Trust: events cluster and their windows overlap, so the number of events overstates the evidence; signal_scorecard
-- says what is more than chance. Events whose seven days are not over are left out and counted.
select
    signal,
    direction,
    count(*) filter (where outcome = 'known') as events_known,
    count(*) filter (where outcome <> 'known') as events_not_known,
    avg(log_return) as log_return_mean,
    avg(adjusted_return) as adjusted_return_mean,
    avg(realized_vol_annual) as realized_vol_annual_mean
from {{ ref('signal_outcomes') }}
where horizon_days = 7
group by signal, direction
order by signal
