select
    venue,
    instrument,
    period,
    {{ period_minutes('period') }} as period_minutes,
    event_at,
    oi_base,
    oi_usd,
    oi_raw,
    oi_raw_unit,
    counting,
    trade_date,
    source,
    landing_id,
    available_at,
    loaded_at
from {{ source('clean', 'open_interest') }}
