-- Facts reach an asset only through their instrument: one that clean.instruments lacks would fall out of every mart.
with used as (
    select venue, instrument, source from {{ ref('int_candles_by_source') }}
    union
    select venue, instrument, source from {{ ref('int_open_interest_by_source') }}
    union
    select venue, instrument, source from {{ ref('int_long_short_by_source') }}
    union
    select venue, instrument, source from {{ ref('int_liquidation_events_by_source') }}
    union
    select venue, instrument, source from {{ ref('int_liquidation_totals_by_source') }}
    union
    select venue, instrument, source from {{ ref('int_funding_intervals') }}
)

select
    venue,
    instrument,
    source
from used as u
where
    not exists (
        select 1 from {{ ref('int_instruments') }} as i
        where i.venue = u.venue and i.instrument = u.instrument
    )
