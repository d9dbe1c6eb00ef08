-- A view: one model reads it, and writing it would cost twice what choosing the source does.
{{ config(materialized='view') }}
with instruments as (
    select * from {{ ref('int_instruments') }}
),

counted as (
    select * from {{ ref('int_long_short_counted') }}
    where observations > 0
),

chosen as (
    {{ best_source_of_day('counted', ['venue', 'instrument', 'measure'], 'observations') }}
)

select
    c.venue,
    c.instrument,
    i.asset,
    c.measure,
    -- Accounts and positions are states, read at the day's end; taker volume is a flow, averaged over the day.
    case when c.measure = 'taker_volume' then c.long_share_mean else c.long_share_last end as long_share,
    c.observations,
    c.period,
    c.period_minutes,
    c.source,
    c.available_at,
    c.trade_date
from chosen as c
inner join instruments as i
    on
        c.venue = i.venue
        and c.instrument = i.instrument
        and c.trade_date >= i.valid_from
        and c.trade_date < i.valid_to
