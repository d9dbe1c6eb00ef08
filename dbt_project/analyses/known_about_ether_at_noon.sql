-- Question: What was known about ether on 29 May 2025 at 12:00 UTC?
-- Unit: one row per signal: its newest row that could be known at that instant.
-- Trust: available_at decides and never trade_date. Values are today's: what was restated since shows its new value
-- from the moment it was published. leverhouse rebuild --as-of builds a warehouse of only what was there.
select
    signal,
    trade_date,
    state,
    value,
    threshold,
    strength,
    unknown_reason,
    available_at
from {{ ref('signals_daily') }}
where asset = 'ETH' and available_at <= timestamp '2025-05-29 12:00:00'
qualify row_number() over (partition by signal order by trade_date desc) = 1
order by signal
