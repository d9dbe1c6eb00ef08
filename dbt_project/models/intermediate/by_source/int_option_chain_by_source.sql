with captured as (
    select
        *,
        {{ option_expires_at('expiry_date') }} as expires_at
    from {{ ref('stg_option_chain') }}
    where {{ is_affected('int_option_chain_by_source', 'trade_date') }}
),

-- A chain asked for after 08:00 may still list what settled then; that is no position any more.
live as (
    select * from captured
    where snapshot_at < expires_at
),

-- Captures of one day are compared by the options that outlive it: others leave the chain at 08:00 rightfully.
snapshots as (
    select
        source,
        venue,
        underlying,
        trade_date,
        snapshot_at,
        count_if(expiry_date > trade_date) as lasting_instruments
    from live
    group by source, venue, underlying, trade_date, snapshot_at
),

judged as (
    select
        *,
        max(lasting_instruments) over of_day as most_instruments,
        count(*) over of_day as snapshots
    from snapshots
    window of_day as (partition by source, venue, underlying, trade_date)
),

-- The last capture of the day that did not break off half-way.
chosen as (
    select *
    from judged
    where lasting_instruments >= {{ threshold('option_snapshot_min_share') }} * most_instruments
    qualify row_number() over (partition by source, venue, underlying, trade_date order by snapshot_at desc) = 1
)

select
    live.source,
    live.venue,
    live.underlying,
    live.instrument,
    live.expiry_date,
    live.strike,
    live.option_type,
    live.snapshot_at,
    {{ option_days_to_expiry('live.snapshot_at', 'live.expiry_date') }} as days_to_expiry,
    live.open_interest_base,
    live.volume_24h_base,
    live.mark_iv,
    live.underlying_price,
    live.index_price,
    live.delta,
    cast(chosen.lasting_instruments as int) as lasting_instruments,
    cast(chosen.snapshots as int) as snapshots,
    live.available_at,
    live.trade_date
from live
inner join chosen
    on
        live.source = chosen.source
        and live.venue = chosen.venue
        and live.underlying = chosen.underlying
        and live.snapshot_at = chosen.snapshot_at
