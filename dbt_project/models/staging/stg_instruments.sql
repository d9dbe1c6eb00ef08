select
    venue,
    instrument,
    valid_from,
    asset,
    quote,
    contract_type,
    contract_size,
    contract_size_unit,
    multiplier,
    listed_at,
    delisted_at,
    trade_date,
    source,
    landing_id,
    available_at,
    loaded_at
from {{ source('clean', 'instruments') }}
