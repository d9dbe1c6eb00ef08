select
    signal,
    belief,
    title,
    direction,
    cast({{ signal_sign('direction') }} as int) as direction_sign,
    horizon,
    input_marts,
    on_means,
    value_is,
    strength_is
from {{ ref('signals') }}
