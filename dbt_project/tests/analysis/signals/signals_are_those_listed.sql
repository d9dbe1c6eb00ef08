-- The names the models are generated from and the seed that describes them are the same list.
with named as (
    {%- for name in signal_names() %}
    select '{{ name }}' as signal
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select
    named.signal as named_signal,
    dim_signal.signal as described_signal
from named
full join {{ ref('dim_signal') }} as dim_signal on named.signal = dim_signal.signal
where named.signal is null or dim_signal.signal is null
