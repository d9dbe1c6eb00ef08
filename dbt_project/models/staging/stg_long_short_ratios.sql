select
    venue,
    instrument,
    measure,
    period,
    {{ period_minutes('period') }} as period_minutes,
    event_at,
    ratio,
    long_share,
    trade_date,
    source,
    landing_id,
    available_at,
    loaded_at
from {{ source('clean', 'long_short_ratios') }}
