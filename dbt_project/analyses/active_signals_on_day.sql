-- Question: Which hypotheses of traders were on for bitcoin in the week it fell most, and what did they expect?
-- Unit: one row per day and signal that is on; strength is a fraction from -1 to 1, minus for a falling price or
-- rising risk.
-- Trust: a signal says that its condition was met, not that the hypothesis is true. What could not be known is not in
-- the answer: ask for state unknown and unknown_reason to see it.
with worst as (
    select trade_date from {{ ref('oi_trends_daily') }}
    where asset = 'BTC' and quadrant <> 'unknown'
    order by log_return asc
    limit 1
)

select
    signals.trade_date,
    signals.signal,
    meaning.title,
    signals.direction,
    signals.strength,
    signals.value,
    signals.threshold,
    signals.condition,
    signals.available_at
from {{ ref('signals_daily') }} as signals
cross join worst
inner join {{ ref('dim_signal') }} as meaning on signals.signal = meaning.signal
where
    signals.asset = 'BTC'
    and signals.state = 'on'
    and abs(extract(day from (cast(signals.trade_date as timestamp) - cast(worst.trade_date as timestamp)))) <= 3
order by signals.trade_date, signals.signal
