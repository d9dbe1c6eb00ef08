{%- for name, entry in var('thresholds').items() %}
select
    '{{ name }}' as name,
    cast({{ number_literal(entry.value) }} as double) as value,
    '{{ entry.unit }}' as unit,
    '{{ entry.description | replace("'", "''") }}' as description
{{ 'union all' if not loop.last }}
{%- endfor %}
