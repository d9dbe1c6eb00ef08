select
    chain,
    token,
    priced_at,
    price_usd,
    decimals,
    price_source,
    confidence,
    trade_date,
    source,
    landing_id,
    available_at,
    loaded_at
from {{ source('clean', 'token_prices') }}
