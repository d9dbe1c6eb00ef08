select
    source,
    venue,
    instrument,
    trade_date,
    listened_seconds,
    listened_share,
    spans,
    refused,
    seconds_at_cap,
    expected_events
from {{ source('ops', 'listening') }}
