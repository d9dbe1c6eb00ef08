-- Question: Which hypotheses of traders were on for bitcoin while an exchange collapsed, and what did they expect?
-- Unit: one row per day and signal that is on; strength is a fraction from -1 to 1, minus for a falling price or
-- rising risk.
-- Trust: a signal says that its condition was met, not that the hypothesis is true. What could not be known is not in
-- the answer: ask for state unknown and unknown_reason to see it.
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
inner join {{ ref('dim_signal') }} as meaning on signals.signal = meaning.signal
where
    signals.asset = 'BTC'
    and signals.state = 'on'
    and signals.trade_date between date '2022-11-06' and date '2022-11-12'
order by signals.trade_date, signals.signal
