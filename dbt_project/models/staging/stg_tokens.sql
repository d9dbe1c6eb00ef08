select
    chain,
    token,
    named_at,
    symbol,
    decimals,
    underlying_token,
    read_at,
    trade_date,
    source,
    landing_id,
    available_at,
    loaded_at
from {{ source('clean', 'tokens') }}
