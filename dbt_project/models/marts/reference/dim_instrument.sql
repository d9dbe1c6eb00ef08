with instruments as (
    select * from {{ ref('int_instruments') }}
)

select
    venue,
    instrument,
    version_from as valid_from,
    cast(valid_to as timestamp) as valid_to,
    asset,
    asset_class,
    quote,
    contract_type,
    contract_size,
    contract_size_unit,
    multiplier,
    listed_at,
    delisted_at,
    life,
    ended_at,
    end_known_by,
    source,
    available_at
from instruments
