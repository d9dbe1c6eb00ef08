select
    landing_id,
    source,
    partition,
    part,
    version,
    is_current,
    path,
    original_name,
    sha256,
    bytes,
    fetched_at,
    completeness,
    request,
    parser_version
from {{ source('ops', 'landings') }}
