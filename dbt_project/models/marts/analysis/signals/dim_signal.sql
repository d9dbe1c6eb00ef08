select
    signal,
    hypothesis,
    title,
    direction,
    cast({{ signal_sign('direction') }} as int) as direction_sign,
    horizon,
    input_marts,
    condition_description,
    value_description,
    strength_description
from {{ ref('signals') }}
