-- Days inside which a contract began or ended: of their rows only those between both instants are of the contract.
-- A view: few instruments ever ended, and it is read beside much larger tables.
{{ config(materialized='view') }}
with lives as (
    select * from {{ ref('int_instrument_lives') }}
),

edges as (
    select
        venue,
        instrument,
        cast(ended_at as date) as trade_date,
        cast(null as timestamp) as began_at,
        ended_at
    from lives
    where ended_at > cast(cast(ended_at as date) as timestamp) and ended_at < cast(life_to as timestamp)
    union all
    select
        venue,
        instrument,
        life_from as trade_date,
        began_at,
        cast(null as timestamp) as ended_at
    from lives
    where began_at > cast(life_from as timestamp)
)

select
    venue,
    instrument,
    trade_date,
    max(began_at) as began_at,
    max(ended_at) as ended_at,
    -- An instant that is of no contract, before the beginning or after the end.
    coalesce(max(began_at), max(ended_at) + interval '1' microsecond) as outside_at
from edges
group by venue, instrument, trade_date
