{#- Measures of shares on two sides. -#}

{#- ln(share / (1 - share)) of a share of longs; null at 0 and 1, where one side is empty and the scale has no value. -#}
{% macro logit(share) -%}
    case when {{ share }} > 0 and {{ share }} < 1 then ln({{ share }} / (1 - {{ share }})) end
{%- endmacro %}
