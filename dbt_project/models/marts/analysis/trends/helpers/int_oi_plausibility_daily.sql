-- Whether a change of open interest can have been traded at all: no more contracts can open or close in a day than
-- change hands. Instrument by instrument, since volume of one cannot explain another. Rates per venue are
-- oi_plausibility_daily's. A view: its two readers reckon it again in less time than its rows would take to write.
{{ config(materialized='view') }}
with changes as (
    select
        today.venue,
        today.instrument,
        today.asset,
        today.trade_date,
        today.oi_base - day_before.oi_base as oi_base_change_1d,
        greatest(today.available_at, day_before.available_at) as available_at
    from {{ ref('int_open_interest_daily') }} as today
    inner join {{ ref('int_open_interest_daily') }} as day_before
        on
            today.venue = day_before.venue
            and today.instrument = day_before.instrument
            and today.trade_date - {{ threshold('oi_change_short_days') }} = day_before.trade_date
    -- From an implausible value nothing can be said to have changed.
    where today.oi_base is not null and day_before.oi_base is not null and day_before.taint_reason is null
),

volumes as (
    select venue, instrument, trade_date, volume_base, available_at
    from {{ ref('int_candles_daily') }}
    where market = 'perp' and volume_base is not null
)

select
    changes.venue,
    changes.instrument,
    changes.asset,
    changes.trade_date,
    changes.oi_base_change_1d,
    volumes.volume_base,
    abs(changes.oi_base_change_1d) / nullif(volumes.volume_base, 0) as change_to_volume,
    abs(changes.oi_base_change_1d) <= volumes.volume_base as is_plausible,
    greatest(changes.available_at, volumes.available_at) as available_at
from changes
inner join volumes
    on
        changes.venue = volumes.venue
        and changes.instrument = volumes.instrument
        and changes.trade_date = volumes.trade_date
