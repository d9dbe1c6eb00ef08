select
    venue,
    index_name,
    period,
    opened_at,
    open,
    high,
    low,
    close,
    trade_date,
    source,
    landing_id,
    available_at,
    loaded_at
from {{ source('clean', 'volatility_index') }}
