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
    outside_span,
    ignored,
    ignored_by,
    loaded_at
from {{ source('ops', 'loads') }}
