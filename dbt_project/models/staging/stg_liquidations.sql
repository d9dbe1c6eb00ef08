select
    venue,
    liquidation_id,
    venue_kind,
    instrument,
    occurred_at,
    side,
    price,
    quantity_base,
    notional_usd,
    completeness,
    is_adl,
    trade_date,
    source,
    landing_id,
    available_at,
    loaded_at
from {{ source('clean', 'liquidations') }}
