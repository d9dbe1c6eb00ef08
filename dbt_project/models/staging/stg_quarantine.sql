select
    source,
    table_name,
    trade_date,
    landing_id,
    line,
    field,
    instrument,
    reason,
    detail,
    raw,
    loaded_at
from {{ source('ops', 'quarantine') }}
