select
    load_seq,
    source,
    table_name,
    trade_date,
    received,
    accepted,
    duplicates,
    restated,
    quarantined,
    absent_cells,
    loaded_at
from {{ source('ops', 'loads') }}
