-- Received = accepted + duplicates + quarantined, in every load.
select
    load_seq,
    source,
    table_name,
    trade_date
from {{ ref('stg_loads') }}
where received <> accepted + duplicates + quarantined
