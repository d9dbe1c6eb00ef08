{#- Assets, venues and days of a fact are those of the dimensions; unmatched says which is not. -#}
{% test conformed_dimensions(model, assets=none, venues=none, dates=none) %}
{%- set checks = [] -%}
{%- if assets is not none %}{% do checks.append(('asset', assets)) %}{% endif -%}
{%- if venues is not none %}{% do checks.append(('venue', venues)) %}{% endif -%}
{%- if dates is not none %}{% do checks.append(('trade_date', dates)) %}{% endif -%}

{%- for column, dimension in checks %}
select
    '{{ column }}' as unmatched,
    cast({{ column }} as string) as unmatched_value
from (select distinct {{ column }} from {{ model }}) as fact
where not exists (select 1 from {{ dimension }} as dimension where dimension.{{ column }} = fact.{{ column }})
{{ 'union all' if not loop.last }}
{%- endfor %}
{% endtest %}
