with captured as (
    select
        *,
        {{ option_days_to_expiry('snapshot_at', 'expiry_date') }} as days_to_expiry
    from {{ ref('stg_option_chain') }}
    where {{ needs_rebuild('int_option_chain_by_source', 'trade_date') }}
),

-- A chain asked for after 08:00 may still list what settled then; that is no position any more.
live as (
    select * from captured
    where days_to_expiry > 0
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
),

quoted as (
    select
        live.*,
        chosen.lasting_instruments,
        chosen.snapshots,
        {{ black76_d1('live.underlying_price', 'live.strike', 'live.mark_iv', 'live.days_to_expiry') }} as d1
    from live
    inner join chosen
        on
            live.source = chosen.source
            and live.venue = chosen.venue
            and live.underlying = chosen.underlying
            and live.snapshot_at = chosen.snapshot_at
)

select
    source,
    venue,
    underlying,
    instrument,
    expiry_date,
    strike,
    option_type,
    snapshot_at,
    days_to_expiry,
    oi_base,
    volume_24h_base,
    mark_iv,
    underlying_price,
    index_price,
    coalesce(delta, {{ black76_delta('option_type', 'd1') }}) as delta,
    case
        when delta is not null then 'stated'
        when d1 is not null then 'black76'
        else 'none'
    end as delta_source,
    cast(lasting_instruments as int) as lasting_instruments,
    cast(snapshots as int) as snapshots,
    available_at,
    trade_date
from quoted
