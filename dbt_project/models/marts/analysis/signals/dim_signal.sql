select
    signal,
    hypothesis,
    title,
    direction,
    cast({{ signal_sign('direction') }} as int) as direction_sign,
    horizon,
    input_marts,
    case signal
        {%- for name in signal_names() %}
        when '{{ name }}' then '{{ signal_sentence(name) }}'
        {%- endfor %}
    end as condition_description,
    value_description,
    strength_description
from {{ ref('signals') }}
