{#- Every row keeps every rule: columns of `not_null` are known, `ranges` hold (column: [least, most], null is no
    bound), `sets` hold (column: allowed values), named `rules` are true. Unknown values pass ranges, sets and rules.
    One query per model, since a test costs a query's overhead; broken_rule says which rule a returned row breaks. -#}
{% test row_rules(model, not_null=[], ranges={}, sets={}, rules={}) %}
{%- set checks = [] -%}
{%- for column in not_null -%}
    {%- do checks.append((column ~ ' is null', column ~ ' is not null')) -%}
{%- endfor -%}
{%- for column, (least, most) in ranges.items() -%}
    {%- if least is not none -%}
        {%- do checks.append((column ~ ' is below ' ~ least, column ~ ' >= ' ~ number_literal(least))) -%}
    {%- endif -%}
    {%- if most is not none -%}
        {%- do checks.append((column ~ ' is above ' ~ most, column ~ ' <= ' ~ number_literal(most))) -%}
    {%- endif -%}
{%- endfor -%}
{%- for column, allowed in sets.items() -%}
    {%- set condition = column ~ " in ('" ~ allowed | join("', '") ~ "')" -%}
    {%- do checks.append((column ~ ' is none of ' ~ allowed | join(', '), condition)) -%}
{%- endfor -%}
{%- for name, condition in rules.items() -%}
    {%- do checks.append((name, condition)) -%}
{%- endfor -%}

with judged as (
    select
        *,
        case
            {%- for name, condition in checks %}
            when not coalesce({{ condition }}, true) then '{{ name }}'
            {%- endfor %}
        end as broken_rule
    from {{ model }}
)

select * from judged
where broken_rule is not null
{% endtest %}
