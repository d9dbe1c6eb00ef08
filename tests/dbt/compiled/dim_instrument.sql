with instruments as (
    select * from intermediate.int_instruments
)

select
    venue,
    instrument,
    version_from as valid_from,
    asset,
    asset_class,
    quote,
    contract_type,
    contract_size,
    contract_size_unit,
    multiplier,
    listed_at,
    delisted_at,
    source,
    available_at
from instruments
