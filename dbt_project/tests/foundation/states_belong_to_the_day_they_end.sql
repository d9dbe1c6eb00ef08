-- A state stamped exactly 00:00 describes the day that ends there; the loader and this project must agree on it.
select
    source,
    venue,
    instrument,
    event_at,
    trade_date
from {{ ref('stg_open_interest') }}
where trade_date <> {{ state_day('event_at') }}
union all
select
    source,
    venue,
    instrument,
    event_at,
    trade_date
from {{ ref('stg_long_short_ratios') }}
where trade_date <> {{ state_day('event_at') }}
