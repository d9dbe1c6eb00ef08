select
    venue,
    instrument,
    kind,
    settled_at,
    rate,
    interval_hours,
    mark_price,
    trade_date,
    source,
    landing_id,
    available_at,
    loaded_at
from {{ source('clean', 'funding_rates') }}
