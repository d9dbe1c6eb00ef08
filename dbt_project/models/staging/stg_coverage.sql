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
    reason,
    detail,
    forgotten_on
from {{ source('ops', 'coverage') }}
