select
    source,
    table_name,
    venue,
    instrument,
    series,
    trade_date,
    expected,
    present,
    quarantined,
    status,
    reason
from {{ source('ops', 'coverage') }}
