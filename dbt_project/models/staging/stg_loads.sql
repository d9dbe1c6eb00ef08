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
    loaded_at,
    code_version,
    schema_version,
    parser_version
from {{ source('ops', 'loads') }}
